//! Every shipped job, its file unchanged, gives on a cluster what it gives on one machine.

use std::path::Path;

use crate::cluster::Cluster;
use crate::harness::{copy_directory, names};

/// The flags that a job needs.
fn flags(job: &str) -> &'static str {
    if job == "views_of_day" { "--set date=2026-10-05" } else { "" }
}

#[test]
fn every_shipped_job_gives_the_entries_of_a_local_run() {
    let Some(mut cluster) = Cluster::new() else { return };
    cluster.share = "64KiB";
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = &cluster.lake.workspace;
    ["jobs", "schemas"].iter().for_each(|name| copy_directory(&repository.join(name), &workspace.path(name)));
    workspace.cutover("demo --generate-only --dir data/demo --events 20000 --profiles 500").ok();
    copy_directory(&repository.join("data/nycflights13"), &workspace.path("data/nycflights13"));
    cluster.lake.upload("data");
    let _executors = [cluster.executor("a", ""), cluster.executor("b", "")];
    let jobs = names(&repository.join("jobs"));
    let jobs: Vec<&str> = jobs.iter().filter_map(|name| name.strip_suffix(".toml")).collect();
    assert!(jobs.len() >= 6, "{jobs:?}");
    for name in jobs {
        let job = format!("jobs/{name}");
        let report = cluster.lake.cutover(&cluster.line(&job, flags(name))).ok().json();
        assert!(report["cluster"]["map_tasks"].as_u64() > Some(1), "{name}: {}", report["cluster"]);
        cluster.is_as_locally_with(&job, flags(name));
    }
    cluster.scratch_is_empty(&["a", "b"]);
}
