//! Inputs by URL: whatever the format, the same result as from local files; and every rule about files holds in a
//! bucket.

use std::io::Write;

use serde_json::Value;

use crate::harness::Ended;
use crate::lake::{Lake, USER, avro, csv, json, parquet};
use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::SECRET;

const ROWS: i64 = 4_000;

fn gzip(text: &str) -> Vec<u8> {
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    compressed.write_all(text.as_bytes()).unwrap();
    compressed.finish().unwrap()
}

/// The digest of what a job builds.
#[track_caller]
fn digest(ended: &Ended) -> String {
    ended.json()["digest"].as_str().unwrap().to_owned()
}

#[test]
fn every_format_gives_what_the_same_local_files_give() {
    let Some(lake) = Lake::new() else { return };
    let half = ROWS / 2;
    for (number, part) in [0..half, half..ROWS].into_iter().enumerate() {
        parquet(&lake.workspace, &format!("data/parquet/{number}.parquet"), part.clone());
        lake.workspace.write(&format!("data/csv/{number}.csv"), csv(part.clone()));
        lake.workspace.write(&format!("data/gz/{number}.csv.gz"), gzip(&csv(part.clone())));
        lake.workspace.write(&format!("data/json/{number}.jsonl"), json(part.clone()));
        lake.workspace.write(&format!("data/avro/{number}.avro"), avro(part));
    }
    lake.upload("data");
    for format in ["parquet", "csv", "gz", "json", "avro"] {
        lake.job(&format!("local-{format}"), &format!("data/{format}/"), "");
        let local = lake.cutover(&format!("run local-{format}.toml --json")).ok();
        assert_eq!(local.json()["object_reads"], Value::Null);
        lake.job(format, &lake.url(&format!("data/{format}/")), "");
        let remote = lake.cutover(&format!("run {format}.toml --json")).ok();
        assert_eq!(digest(&remote), digest(&local), "{format}");
        assert_eq!(remote.json()["rows"], ROWS);
        let reads = &remote.json()["object_reads"];
        assert!(reads["requests"].as_u64().unwrap() > 4 && reads["bytes"].as_u64().unwrap() > 1_000, "{reads}");
        lake.cutover(&format!("run {format}.toml")).ok().prints(&["already published as 1"]);
    }
    lake.cutover("run parquet.toml --rebuild").ok().prints(&["fetched  ", " requests, ", "/s on average"]);
}

#[test]
fn lineage_has_urls_and_e_tags_and_new_content_is_noticed() {
    let Some(lake) = Lake::new() else { return };
    lake.put("in/a.csv", csv(0..10));
    lake.job("one", &lake.url("in/a.csv"), "");
    lake.cutover("run one.toml").ok();
    let manifest = lake.workspace.path("stores/one/versions/00000001/manifest.json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let file = &manifest["inputs"][0];
    assert_eq!(file["path"], lake.url("in/a.csv"));
    assert_eq!(file["size"], csv(0..10).len());
    assert!(file["etag"].as_str().is_some_and(|tag| tag.len() > 8), "{file}");
    // The same bytes have the same tag, whenever they were written.
    lake.put("in/a.csv", csv(0..10));
    lake.cutover("run one.toml").ok().prints(&["already published as 1"]);
    let other = csv(0..10).replace("k000003", "k000333");
    lake.put("in/a.csv", other);
    lake.cutover("run one.toml").ok().prints(&["version 2 is live"]);
    lake.cutover("show stores/one").ok();
}

#[test]
fn directories_patterns_and_partitions_are_as_in_a_file_system() {
    let Some(lake) = Lake::new() else { return };
    for (number, day) in ["2026-11-01", "2026-11-02", "2026-12-01"].into_iter().enumerate() {
        let from = number as i64 * 10;
        lake.put(&format!("events/date={day}/part-0.csv"), csv(from..from + 10));
    }
    lake.put("events/date=2026-11-01/_temporary/part-1.csv", "broken");
    lake.put("events/.hidden.csv", "broken");
    lake.put("events/date=2026-11-02", "");
    lake.put("events/empty", "");
    lake.put("events/v1.0_$folder$", "");
    lake.put("events-other/part-0.csv", csv(500..510));
    let mut jobs = 0;
    let mut rows = |path: &str, more: &str| -> Value {
        jobs += 1;
        lake.job(&format!("job-{jobs}"), path, more);
        let report = lake.cutover(&format!("run job-{jobs}.toml --json")).ok().json();
        assert_eq!(report["outcome"], "published");
        report["rows"].clone()
    };
    assert_eq!(rows(&lake.url("events"), ""), 30);
    assert_eq!(rows(&lake.url("events/"), ""), 30);
    assert_eq!(rows(&lake.url("events/*/*.csv"), ""), 30);
    assert_eq!(rows(&lake.url("events/**/*.csv"), ""), 30);
    assert_eq!(rows(&lake.url("events/date=2026-11-*"), ""), 20);
    assert_eq!(rows(&lake.url("events/**/"), ""), 30);
    assert_eq!(rows(&lake.url("events-*/"), ""), 10);
    assert_eq!(rows(&lake.url("events/date=2026-1[2]-*/part-*.csv"), ""), 10);
    assert_eq!(rows(&lake.url("events/date=2026-11-01/part-0.csv"), ""), 10);
    let days = |days: &str| format!("partitions = {{ date = \"{days}\" }}");
    assert_eq!(rows(&lake.url("events/"), &days("2026-11-01..2026-11-02")), 20);
    lake.job("globs", &lake.url("events/"), &days("2026-11-01..2026-11-03"));
    lake.cutover("run globs.toml").fails(3).complains(&["date=2026-11-03 is not there"]);
    lake.job("globs", &lake.url("events/*.parquet"), "");
    lake.cutover("run globs.toml").fails(3).complains(&["has no files at s3://", "events/*.parquet"]);
    lake.job("globs", &lake.url("events/[.csv"), "");
    lake.cutover("run globs.toml").fails(2).complains(&["is not a valid pattern"]);
}

/// The listings among some requests, by their prefixes, without those that look for the log of a table.
fn listed(requests: &[String]) -> Vec<String> {
    let prefix = |request: &String| {
        let (_, rest) = request.split_once("prefix=")?;
        Some(rest.split(['&', ' ']).next()?.replace("%2F", "/").replace("%3D", "="))
    };
    let is_log = |prefix: &String| ["_delta_log/", ".hoodie/", "metadata/"].iter().any(|log| prefix.ends_with(log));
    let listings = requests.iter().filter(|request| request.contains("list-type=2"));
    listings.filter_map(prefix).filter(|prefix| !is_log(prefix)).collect()
}

#[test]
fn only_directories_that_can_hold_the_input_are_listed() {
    let Some(lake) = Lake::new() else { return };
    for (number, day) in ["2026-10-31", "2026-11-01", "2026-11-02", "2026-12-01"].into_iter().enumerate() {
        for (hour, name) in ["00", "01"].into_iter().enumerate() {
            let from = (number * 2 + hour) as i64 * 10;
            lake.put(&format!("events/date={day}/hour={name}/part-0.csv"), csv(from..from + 10));
        }
        lake.put(&format!("events/date={day}/_SUCCESS"), "");
    }
    lake.put("events/_SUCCESS", "");
    let proxy = Proxy::before(lake.port, []);
    let mut jobs = 0;
    let mut listings = |path: &str, more: &str| {
        jobs += 1;
        lake.job(&format!("job-{jobs}"), &lake.url(path), more);
        let before = proxy.seen(false).len();
        let run = lake.workspace.finish(&mut lake.command_as(
            proxy.port(),
            USER,
            SECRET,
            &format!("run job-{jobs}.toml --json"),
        ));
        (run.ok().json()["rows"].as_i64().unwrap(), listed(&proxy.seen(false)[before..]))
    };
    let day = "partitions = { date = \"2026-11-01..2026-11-02\" }\nrequire = \"_SUCCESS\"";
    let (rows, prefixes) = listings("events/", day);
    assert_eq!(
        (rows, &prefixes[..]),
        (40, &["events/", "events/date=2026-11-01/", "events/date=2026-11-02/"].map(String::from)[..])
    );
    let (rows, prefixes) = listings("events/", "partitions = { date = \"2026-11-01\", hour = \"1\" }");
    let expected = ["events/", "events/date=2026-11-01/", "events/date=2026-11-01/hour=01/"].map(String::from);
    assert_eq!((rows, &prefixes[..]), (10, &expected[..]), "numbers are compared by value");
    let (rows, prefixes) = listings("events/date=2026-11-*/*/*.csv", "");
    assert_eq!((rows, prefixes.len()), (40, 3));
    assert!(!prefixes.iter().any(|prefix| prefix.contains("2026-10-31")), "{prefixes:?}");
    let (rows, prefixes) = listings("events/", "");
    assert_eq!((rows, &prefixes[..]), (80, &["events/".to_owned()][..]), "all of it is listed at once");
    // A marker in a directory that is not listed.
    let other = "partitions = { date = \"2026-11-01\" }\nrequire = \"date=2026-10-31/_SUCCESS\"";
    assert_eq!(listings("events/", other).0, 20);
    // The log of a table is found, though no name below it is of the input.
    lake.put("delta/date=2026-11-01/part-0.csv", csv(0..10));
    lake.put("delta/_delta_log/0.json", "{}");
    lake.job("delta", &lake.url("delta/date=2026-11-*/*.csv"), "");
    lake.cutover("run delta.toml").fails(2).complains(&["Delta Lake"]);
    lake.job("missing", &lake.url("events/"), "partitions = { date = \"2026-11-03\" }");
    lake.cutover("run missing.toml").fails(3).complains(&["date=2026-11-03 is not there"]);
}

#[test]
fn one_large_file_is_read_by_several_requests_at_a_time() {
    let Some(lake) = Lake::new() else { return };
    let rows = 0..300_000;
    lake.put("big.csv", csv(rows.clone()));
    parquet(&lake.workspace, "big.parquet", rows.clone());
    lake.put("big.parquet", std::fs::read(lake.workspace.path("big.parquet")).unwrap());
    let by = |proxy: &Proxy, line: &str| lake.command_as(proxy.port(), USER, SECRET, line);
    // The survey of text: the first part is read alone, as it may be all that is wanted.
    let proxy = Proxy::before(lake.port, [Rule::new("GET", "/big.csv", When::From(2), Fault::Together(4))]);
    lake.job("csv", &lake.url("big.csv"), "");
    let run = lake.workspace.finish(&mut by(&proxy, "run csv.toml --json --threads 2"));
    assert_eq!(run.ok().json()["rows"], rows.end);
    assert!(proxy.came_together(), "{:?}", proxy.seen(false));
    // The query, over chunks of text and over row groups.
    for name in ["csv", "parquet"] {
        lake.job(name, &lake.url(&format!("big.{name}")), "");
        lake.cutover(&format!("run {name}.toml")).exits_with_one_of(&[0]);
        let proxy = Proxy::before(lake.port, []);
        let line = format!("run {name}.toml --json --threads 2 --rebuild");
        let mut command = by(&proxy, &line);
        let mut running = lake.workspace.spawn(command.env("CUTOVER_FAILPOINTS", "build.started=pause"));
        running.wait_until_paused();
        proxy.set([Rule::new("GET", format!("/big.{name}"), When::Always, Fault::Together(2))]);
        running.wake_with(rustix::process::Signal::CONT);
        assert_eq!(running.wait().ok().json()["rows"], rows.end);
        assert!(proxy.came_together(), "{name}: {:?}", proxy.seen(false));
    }
}

#[test]
fn markers_can_be_required_and_table_logs_are_refused() {
    let Some(lake) = Lake::new() else { return };
    lake.put("events/date=1/a.csv", csv(0..10));
    lake.put("events/date=2/a.csv", csv(10..20));
    for path in ["events/", "events/*/*.csv"] {
        lake.job("marked", &lake.url(path), "require = \"_SUCCESS\"");
        let missing = format!("{} is not there yet", lake.url("events/_SUCCESS"));
        lake.cutover("run marked.toml").fails(3).complains(&[&missing]);
    }
    lake.put("events/_SUCCESS", "");
    lake.cutover("run marked.toml").ok();
    lake.put("events/date=1/_SUCCESS", "");
    let each = "require = { partition = \"_SUCC*\" }";
    lake.job("marked", &lake.url("events/"), each);
    lake.cutover("run marked.toml").fails(3).complains(&[&lake.url("events/date=2/_SUCC*")]);
    lake.put("events/date=2/_SUCCESS", "");
    lake.cutover("run marked.toml").ok();
    lake.job("single", &lake.url("events/date=1/a.csv"), "require = \"_DONE\"");
    lake.cutover("run single.toml").fails(3).complains(&[&lake.url("events/date=1/_DONE")]);
    lake.put("events/date=1/_DONE", "");
    lake.cutover("run single.toml").ok();
    lake.put("delta/a.csv", csv(0..10));
    lake.put("delta/_delta_log/0.json", "{}");
    lake.put("delta/date=1/a.csv", csv(0..10));
    for path in ["delta/", "delta/*.csv", "delta/date=1/", "delta/date=1/a.csv", "delta/date=*/*.csv"] {
        lake.job("delta", &lake.url(path), "");
        lake.cutover("run delta.toml").fails(2).complains(&["is the log of a Delta Lake table"]);
    }
}

#[test]
fn a_job_of_local_paths_runs_below_a_url() {
    let Some(lake) = Lake::new() else { return };
    lake.put("root/data/a.csv", csv(0..10));
    lake.put("elsewhere/b.csv", csv(0..20));
    let store = lake.workspace.path("here").display().to_string();
    lake.job("below", "./data/*.csv", "");
    let text = std::fs::read_to_string(lake.workspace.path("below.toml")).unwrap();
    lake.workspace.write("below.toml", text.replace("stores/below", &store));
    let root = lake.url("root");
    let report = lake.cutover(&format!("-C {root} run below.toml --json")).ok().json();
    assert_eq!((&report["rows"], &report["how"]), (&Value::from(10), &Value::from("published")));
    lake.cutover(&format!("-C {root}/ plan below.toml")).ok().prints(&["already published as 1", "from object stores"]);
    // A store of a relative path is below the URL too, and no directory of that name is made.
    lake.workspace.write("below.toml", text);
    lake.cutover(&format!("-C {root} run below.toml")).ok().prints(&["/root/stores/below"]);
    lake.cutover(&format!("versions {root}/stores/below")).ok().prints(&["readers see version 1"]);
    assert!(!lake.workspace.path("s3:").exists());
    lake.job("below", "../elsewhere/b.csv", "");
    lake.cutover(&format!("-C {root} run below.toml")).fails(2).complains(&["may lead out of"]);
    lake.cutover(&format!("-C {root} versions stores/below")).fails(2).complains(&["only init, plan and run"]);
    lake.cutover("-C s3://me:hunter2@lake/x run below.toml").fails(2).complains(&["has credentials in it"]);
}

#[test]
fn init_and_plan_read_by_url() {
    let Some(lake) = Lake::new() else { return };
    parquet(&lake.workspace, "data/date=2026-11-01/a.parquet", 0..1_000);
    parquet(&lake.workspace, "data/date=2026-11-02/a.parquet", 1_000..3_000);
    lake.upload("data");
    lake.cutover(&format!("init {}", lake.url("data/*/*.parquet"))).ok().prints(&["wrote jobs/data.toml"]);
    let planned = lake.cutover("plan jobs/data.toml --json").ok().json();
    assert_eq!(planned["inputs"][0]["rows"], 3_000);
    assert!(planned["object_reads"]["requests"].as_u64().unwrap() > 3, "{}", planned["object_reads"]);
    assert_eq!(planned["predicted"]["rows"], 3_000);
    lake.cutover("run jobs/data.toml").ok().prints(&["3,000 rows in 2 files"]);
}

#[test]
fn many_objects_are_rechecked_by_one_listing() {
    let Some(lake) = Lake::new() else { return };
    for number in 0..40 {
        lake.put(&format!("many/{number:02}.csv"), csv(number..number + 1));
    }
    lake.job("many", &lake.url("many/"), "");
    let report = lake.cutover("run many.toml --json").ok().json();
    assert_eq!(report["rows"], 40);
    let mut run = lake.start_failing("build.finished=pause", "run many.toml --rebuild");
    run.wait_until_paused();
    lake.delete("many/17.csv");
    run.wake_with(rustix::process::Signal::CONT);
    run.wait().fails(3).complains(&[&format!("{} disappeared", lake.url("many/17.csv"))]);
}

#[test]
fn errors_in_an_object_are_reported_with_its_url() {
    let Some(lake) = Lake::new() else { return };
    parquet(&lake.workspace, "data/a.parquet", 0..5_000);
    let mut bytes = std::fs::read(lake.workspace.path("data/a.parquet")).unwrap();
    lake.put("cut/a.parquet", &bytes[..bytes.len() - 10]);
    lake.job("cut", &lake.url("cut/"), "");
    let url = lake.url("cut/a.parquet");
    lake.cutover("run cut.toml").fails(3).complains(&[&url, "is not a readable Parquet file"]);
    // The header of the first page.
    bytes[4..24].fill(0xff);
    lake.put("damaged/a.parquet", bytes);
    lake.job("damaged", &lake.url("damaged/"), "");
    let url = lake.url("damaged/a.parquet");
    lake.cutover("run damaged.toml").fails(3).complains(&[&format!("{url} is damaged: column")]);

    lake.put("text/a.csv", "key,number\na,1\nb,x,y\n");
    lake.job("text", &lake.url("text/"), "");
    lake.cutover("run text.toml").fails(3).complains(&[&format!("{}, line 3: has 3 fields", lake.url("text/a.csv"))]);
    lake.put("avro/a.avro", &avro(0..100)[..900]);
    lake.job("avro", &lake.url("avro/"), "");
    lake.cutover("run avro.toml").fails(3).complains(&[&lake.url("avro/a.avro"), "is truncated in block 0"]);

    parquet(&lake.workspace, "data/b.parquet", 0..5_000);
    lake.upload("data");
    lake.job("value", &lake.url("data/b.parquet"), "");
    let job = std::fs::read_to_string(lake.workspace.path("value.toml")).unwrap();
    lake.workspace.write("value.toml", job.replace("SELECT *", "SELECT key, CAST(text AS BIGINT) AS n"));
    let place = format!("{}, row 2: column \"text\" holds", lake.url("data/b.parquet"));
    lake.cutover("run value.toml").fails(3).complains(&[&place]);
}

#[test]
fn urls_with_secrets_and_unknown_schemes_are_refused_with_their_line() {
    let Some(lake) = Lake::new() else { return };
    for (path, message) in [
        ("s3://AKIA:hunter2@lake/a.csv", "has credentials in it"),
        ("https://host/a.csv?X-Amz-Signature=hunter2", "has a query"),
        ("ftp://me:hunter2@host/a.csv", "is not a URL of s3://"),
        ("s3://lake/a//b.csv", "one of its segments is empty"),
        ("http://192.0.2.1/a.csv", "CUTOVER_ALLOW_HTTP"),
        ("https://127.0.0.1:1/*.csv", "cannot be listed"),
    ] {
        lake.job("refused", path, "");
        let refused = lake.cutover("run refused.toml");
        assert!(!refused.stderr.contains("hunter2") && !refused.stdout.contains("hunter2"), "{}", refused.stderr);
        assert!(refused.stderr.contains(message), "{path}: {}", refused.stderr);
        assert!([2, 4].contains(&refused.code()), "{path}: {}", refused.stderr);
    }
}

#[test]
fn single_files_are_read_by_http_from_this_machine() {
    let Some(lake) = Lake::new() else { return };
    parquet(&lake.workspace, "data/a.parquet", 0..3_000);
    lake.workspace.write("data/a.csv", csv(0..3_000));
    lake.upload("data");
    // The server has the same files for the web.
    let web = format!("http://127.0.0.1:{}/buckets/{}/data", lake.port + 1, lake.bucket);
    for name in ["a.parquet", "a.csv"] {
        let job = name.replace('.', "-");
        lake.job(&format!("local-{job}"), &format!("data/{name}"), "");
        lake.job(&job, &format!("{web}/{name}"), "");
        let local = lake.cutover(&format!("run local-{job}.toml --json")).ok();
        let remote = lake.cutover(&format!("run {job}.toml --json")).ok();
        assert_eq!(digest(&remote), digest(&local), "{name}");
    }
    lake.job("absent", &format!("{web}/b.csv"), "");
    lake.cutover("run absent.toml").fails(3).complains(&["has no files at http://"]);
    lake.job("marked", &format!("{web}/a.csv"), "require = \"_SUCCESS\"");
    lake.cutover("run marked.toml").fails(3).complains(&["data/_SUCCESS is not there yet"]);
}
