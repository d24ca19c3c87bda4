//! What the next tasks read of the runs that were left: the parts of all runs, by shard or by map task.
//!
//! There is a part for every task and every shard, so plans are made some at a time: those of 4,096 shards of 4,096
//! runs would take more memory than the records that they are made of.
//!
//! Not for: the records (`records`), and reading the parts (`attempt`).

use std::ops::Range;

use super::records::{ExchangePlan, PlannedPart, RunObject, ScanRecord, ShardPlan};
use super::records::{exchange_plan_of, new_attempt, plan_of};
use crate::error::{Error, Result};

/// Plans that are made at a time.
const AT_A_TIME: u64 = 64;

/// Plans with their paths.
type Plans<P> = Result<Vec<(String, P)>>;

/// The plan of every shard, some at a time: its parts of all runs.
///
/// # Errors
/// `Corrupt` when a run has parts of other shards.
pub(super) fn of_shards<'r>(
    runs: impl Iterator<Item = &'r RunObject> + Clone,
    shards: u64,
) -> impl Iterator<Item = Plans<ShardPlan>> {
    some_at_a_time(shards).map(move |range| {
        let parts = by_part(runs.clone().map(|run| (run, |part| part)), &range, shards)?;
        let plan = |(shard, parts)| Ok((plan_of(shard), ShardPlan { attempt: new_attempt()?, parts }));
        range.zip(parts).map(plan).collect()
    })
}

/// What every map task reads of the inputs that were exchanged, some tasks at a time.
///
/// # Errors
/// As [`of_shards`].
pub(super) fn of_maps(scans: &[ScanRecord], tasks: u32) -> impl Iterator<Item = Plans<ExchangePlan>> {
    let tasks = u64::from(tasks);
    some_at_a_time(tasks).map(move |range| {
        let parts = by_part(scans.iter().map(|scan| (&scan.run, |part| (scan.input.clone(), part))), &range, tasks)?;
        let plan = |(task, parts)| Ok((exchange_plan_of(task), ExchangePlan { attempt: new_attempt()?, parts }));
        range.zip(parts).map(plan).collect()
    })
}

fn some_at_a_time(count: u64) -> impl Iterator<Item = Range<u64>> {
    (0..count).step_by(AT_A_TIME as usize).map(move |from| from..count.min(from + AT_A_TIME))
}

/// Parts of runs, each made into what a plan has of it, by those of their numbers that are in a range. All numbers are
/// below `count`.
fn by_part<'r, P>(
    runs: impl Iterator<Item = (&'r RunObject, impl Fn(PlannedPart) -> P)>,
    range: &Range<u64>,
    count: u64,
) -> Result<Vec<Vec<P>>> {
    let mut parts: Vec<Vec<P>> = range.clone().map(|_| Vec::new()).collect();
    for (run, planned) in runs {
        let Some(path) = &run.path else { continue };
        for part in &run.parts {
            let number = u64::from(part.shard);
            if number >= count {
                return Err(Error::corrupt(format!("{path} has a part {number}")));
            }
            if let Some(of_number) = number.checked_sub(range.start).and_then(|at| parts.get_mut(at as usize)) {
                of_number.push(planned(PlannedPart {
                    run: path.clone(),
                    largest_block: run.largest_block,
                    part: *part,
                }));
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shuffle::ShardPart;

    fn run(number: u64, shards: impl Iterator<Item = u32>) -> RunObject {
        let part =
            |shard| ShardPart { shard, from: u64::from(shard) << 20, to: 1 << 40, entries: 1_000, bytes: 1 << 20 };
        let path = Some(format!("runs/{number:05}-{}.run", new_attempt().unwrap()));
        RunObject { path, largest_block: 1 << 16, parts: shards.map(part).collect() }
    }

    #[test]
    fn every_part_is_in_the_plan_of_its_shard_and_no_other() {
        let shards = 2 * AT_A_TIME + 3;
        let runs = [run(0, 0..shards as u32), run(1, (0..shards as u32).step_by(2)), run(2, 0..0)];
        let plans: Vec<(String, ShardPlan)> = of_shards(runs.iter(), shards).flat_map(|plans| plans.unwrap()).collect();
        assert_eq!(plans.len() as u64, shards);
        for (shard, (path, plan)) in plans.iter().enumerate() {
            assert_eq!(*path, plan_of(shard as u64));
            assert_eq!(plan.parts.len(), if shard % 2 == 0 { 2 } else { 1 }, "{shard}");
            assert!(plan.parts.iter().all(|it| it.part.shard as usize == shard), "{shard}");
        }
        let beyond = of_shards(runs.iter(), shards - 1).find_map(Result::err).unwrap();
        assert!(beyond.message().contains("has a part"), "{beyond}");
    }

    /// `make soak-cluster` prints what the largest builds cost.
    #[test]
    #[ignore = "takes a gigabyte"]
    fn plans_of_the_largest_build() {
        const MOST: u64 = 4096;
        let held = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned()
        };
        let runs: Vec<RunObject> = (0..MOST).map(|number| run(number, 0..MOST as u32)).collect();
        println!("records of {MOST} runs of {MOST} parts: {}", held());
        let (began, mut largest, mut count) = (std::time::Instant::now(), 0, 0);
        for plans in of_shards(runs.iter(), MOST) {
            let plans = plans.unwrap();
            count += plans.len();
            largest = largest.max(serde_json::to_vec(&plans[0].1).unwrap().len());
        }
        assert_eq!(count as u64, MOST);
        println!("{count} plans, the largest {largest} bytes, in {:?}: at most {}", began.elapsed(), held());
    }
}
