//! What the next tasks read of the runs that were left: the parts of all runs, by shard or by map task.
//!
//! Not for: the records that have them (`records`), and reading them (`attempt`).

use super::records::{ExchangePlan, MapRecord, PlannedPart, RunObject, ScanRecord, ShardPlan};
use super::records::{exchange_plan_of, new_attempt, plan_of};
use crate::error::{Error, Result};

/// The plan of every shard: its parts of all runs, each plan with its path.
///
/// # Errors
/// `Corrupt` when a run has parts of other shards.
pub(super) fn of_shards(maps: &[MapRecord], shards: u64) -> Result<Vec<(String, ShardPlan)>> {
    let parts = by_part(maps.iter().map(|map| (&map.run, |part| part)), shards)?;
    let plan = |(shard, parts)| Ok((plan_of(shard), ShardPlan { attempt: new_attempt()?, parts }));
    (0..).zip(parts).map(plan).collect()
}

/// What every map task reads of the inputs that were exchanged, each plan with its path.
///
/// # Errors
/// As [`of_shards`].
pub(super) fn of_maps(scans: &[ScanRecord], tasks: u32) -> Result<Vec<(String, ExchangePlan)>> {
    let parts = by_part(scans.iter().map(|scan| (&scan.run, |part| (scan.input.clone(), part))), u64::from(tasks))?;
    let plan = |(task, parts)| Ok((exchange_plan_of(task), ExchangePlan { attempt: new_attempt()?, parts }));
    (0..).zip(parts).map(plan).collect()
}

/// Parts of runs, each made into what a plan has of it, by the numbers of the parts, which are below `count`.
fn by_part<'r, P>(
    runs: impl Iterator<Item = (&'r RunObject, impl Fn(PlannedPart) -> P)>,
    count: u64,
) -> Result<Vec<Vec<P>>> {
    let mut parts: Vec<Vec<P>> = (0..count).map(|_| Vec::new()).collect();
    for (run, planned) in runs {
        let Some(path) = &run.path else { continue };
        for part in &run.parts {
            let of_number = parts.get_mut(part.shard as usize);
            let of_number = of_number.ok_or_else(|| Error::corrupt(format!("{path} has a part {}", part.shard)))?;
            of_number.push(planned(PlannedPart { run: path.clone(), largest_block: run.largest_block, part: *part }));
        }
    }
    Ok(parts)
}
