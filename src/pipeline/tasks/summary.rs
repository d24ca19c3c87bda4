//! What a report says of a run on a cluster: tasks, machines, the slowest tasks and the skew.
//!
//! Not for: what the tasks made (`driver`).

use std::collections::BTreeSet;

use super::records::{BuiltRecord, Done, MapRecord, ScanRecord};
use super::{Shares, TaskKind};
use crate::report::ClusterReport;

/// Tasks that are named as the slowest.
const SLOWEST: usize = 3;

/// The summary of all records; `resumed` are those of each kind that an earlier run had left.
pub(super) fn of(
    shares: &Shares,
    (scans, maps, built): (&[ScanRecord], &[MapRecord], &[BuiltRecord]),
    [scan_tasks_resumed, map_tasks_resumed, build_tasks_resumed]: [usize; 3],
    retries: usize,
) -> ClusterReport {
    let mut done: Vec<(TaskKind, usize, &Done)> = Vec::new();
    done.extend(scans.iter().enumerate().map(|(number, scan)| (TaskKind::Scan, number, &scan.done)));
    done.extend(maps.iter().enumerate().map(|(number, map)| (TaskKind::Map, number, &map.done)));
    done.extend(built.iter().enumerate().map(|(number, built)| (TaskKind::Build, number, &built.done)));
    let executors = done.iter().map(|(.., done)| &done.executor).collect::<BTreeSet<_>>().len();
    done.sort_by_key(|(.., done)| std::cmp::Reverse(done.millis));
    let slowest = done.iter().take(SLOWEST).map(|(kind, number, done)| {
        format!("{} {number}: {:.1} s on {}", kind.name(), done.millis as f64 / 1e3, done.executor)
    });
    ClusterReport {
        scan_tasks: scans.len(),
        scan_tasks_resumed,
        map_tasks: maps.len(),
        map_tasks_resumed,
        build_tasks: built.len(),
        build_tasks_resumed,
        shared: shares.input.clone(),
        exchanged: shares.exchange.as_ref().map(|exchange| exchange.columns.clone()).unwrap_or_default(),
        executors,
        retries,
        slowest: slowest.collect(),
        skew: skew(built),
    }
}

/// Rows of the largest shard, divided by the mean.
fn skew(built: &[BuiltRecord]) -> f64 {
    let rows = || built.iter().map(|built| built.entry.rows);
    let mean = rows().sum::<u64>() as f64 / built.len().max(1) as f64;
    if mean > 0.0 { rows().max().unwrap_or_default() as f64 / mean } else { 1.0 }
}
