//! What a cluster builds is what one process builds, entry by entry, for every shape of query.

use crate::cluster::{Cluster, GROUPED};

/// Runs a job on two executors and compares; returns the report.
fn compare(cluster: &Cluster, job: &str) -> serde_json::Value {
    let driver = cluster.drive(job, "");
    let _executors = [cluster.executor("a", ""), cluster.executor("b", "")];
    let report = driver.wait().ok().json();
    cluster.is_as_locally(job);
    report
}

#[test]
fn rows_of_many_files_are_those_of_a_local_run() {
    let Some(cluster) = Cluster::with_rows(6, "") else { return };
    let report = compare(&cluster, "rows");
    assert_eq!(report["rows"], 3000);
    let maps = report["cluster"]["map_tasks"].as_u64().unwrap();
    assert!((5..=6).contains(&maps), "shares have about equal bytes, in whole files: {maps}");
    assert_eq!(report["cluster"]["build_tasks"], 4);
    assert_eq!(report["cluster"]["shared"], "rows");
    // The same job over the same inputs is there.
    let again = cluster.lake.cutover(&cluster.line("rows", "")).ok().json();
    assert_eq!(again["outcome"], "unchanged");
    // And a second version follows the first.
    let driver = cluster.lake.start_failing("", &cluster.line("rows", "--rebuild"));
    let _executor = cluster.executor("c", "");
    let second = driver.wait().ok().json();
    assert_eq!((&second["version"], &second["digest"]), (&serde_json::json!(2), &report["digest"]));
    cluster.on("verify", "rows", "--depth full").ok();
    cluster.is_tidy("rows");
}

#[test]
fn joins_and_groups_are_those_of_a_local_run() {
    let Some(cluster) = Cluster::with_rows(4, "") else { return };
    let queries = [
        ("join", "SELECT a.key, b.number FROM rows AS a LEFT JOIN rows AS b ON b.number = a.number + 7"),
        ("group", GROUPED),
        ("union", "SELECT key, number FROM rows UNION ALL SELECT text, number FROM rows WHERE text IS NOT NULL"),
        ("top", "SELECT key, number FROM rows ORDER BY number DESC LIMIT 700"),
        ("none", "SELECT key FROM rows WHERE number < -1000000"),
    ];
    for (name, sql) in queries {
        let sections = if name == "none" { "[checks]\nrows = { min = 0 }\n" } else { "" };
        cluster.job(name, sql, sections);
        compare(&cluster, name);
    }
}
