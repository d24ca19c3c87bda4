//! Stores on an object store: every rule of versions holds as in a directory, and readers anywhere see whole versions.
//!
//! `behaviours` runs one list of expectations on a local store and on a remote one. The other tests are about what only
//! remote stores have: two hosts, leases, lost answers.
//!
//! Not for: pulling versions to hosts (`pulls`), and the client itself.

use std::collections::BTreeSet;

use cutover::internals::objects::{Bucket, Key, Location};
use serde_json::Value;

use crate::fixture::Numbers;
use crate::harness::names;
use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::{SECRET, Server, keys};

/// Variables of the environment that give access to the server by way of `port`.
pub fn environment(port: u16) -> Vec<(String, String)> {
    let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        of("AWS_ACCESS_KEY_ID", "admin"),
        of("AWS_SECRET_ACCESS_KEY", SECRET),
        of("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}")),
    ]
}

/// The dataset with a store in a new bucket, by way of `port`.
pub fn remote(server: &Server, port: u16, sections: &str) -> (Numbers, String) {
    let bucket = server.bucket();
    (Numbers::at(&format!("s3://{bucket}/data"), &environment(port), sections), bucket)
}

/// Another host that works on the same store: the same job with a working directory of its own.
fn other_host(numbers: &Numbers, port: u16) -> Numbers {
    Numbers::at(&numbers.store, &environment(port), "")
}

/// The builds that a bucket has objects of.
fn builds(bucket: &Bucket) -> BTreeSet<String> {
    keys(bucket, Some("versions")).iter().map(|key| key.split('/').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn behaviours_of_a_local_store() {
    behaviours(&Numbers::with("[retention]\nkeep = 2\n"));
}

#[test]
fn behaviours_of_a_store_on_an_object_store() {
    let Some(server) = Server::shared() else { return };
    let (numbers, bucket) = remote(server, server.port(), "[retention]\nkeep = 2\n");
    behaviours(&numbers);
    let bucket = Server::open(server.port(), &bucket);
    assert_eq!(keys(&bucket, Some("uploads")), [""; 0]);
    let named: BTreeSet<String> = numbers.current_json()["versions"]
        .as_object()
        .unwrap()
        .values()
        .map(|entry| entry["build_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(builds(&bucket), named, "gc leaves what current.json names, and nothing else");
}

/// What every store does, wherever it is.
pub fn behaviours(numbers: &Numbers) {
    // Versions, and a run that has nothing to do.
    numbers.run(1).ok();
    numbers.assert_states(&[(1, "published")]);
    assert_eq!(numbers.seen(), (1, 1));
    assert_eq!(numbers.workspace.cutover("run numbers.toml --json").ok().json()["outcome"], "unchanged");
    numbers.run(2).ok();
    assert_eq!(numbers.seen(), (2, 2));
    // Rollback, and the same content again, which is refused.
    numbers.on("rollback", "").ok();
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published"), (2, "rolled_back")]);
    numbers.workspace.cutover("run numbers.toml").fails(7).complains(&["rolled back"]);
    // A pin holds readers; the new version waits.
    numbers.on("pin", "--reason incident").ok();
    numbers.run(3).exits(5);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.on("unpin", "").ok();
    numbers.on("publish", "3").ok();
    assert_eq!(numbers.seen(), (3, 3));
    // Staged, then published by its number.
    numbers.write(4, 100);
    numbers.workspace.cutover("run numbers.toml --stage").ok();
    assert_eq!(numbers.seen(), (3, 3));
    assert_eq!(numbers.on("get", "k000 --version 4 --json").ok().json()["entries"][0]["value"]["generation"], 4);
    numbers.on("publish", "4").ok();
    // Older data never replaces newer.
    numbers.write(5, 100);
    numbers.workspace.cutover("run numbers.toml --as-of 2030-01-01").ok();
    numbers.write(6, 100);
    numbers.workspace.cutover("run numbers.toml --as-of 2029-01-01").fails(7).complains(&["older"]);
    assert_eq!(numbers.seen(), (5, 5));
    // Readers, and what a store reports.
    assert_eq!(numbers.on("scan", "--limit 3").ok().stdout.lines().count(), 3);
    numbers.on("get", "absent").exits(1);
    for depth in ["sizes", "checksums", "full"] {
        numbers.on("verify", &format!("--depth {depth}")).ok();
    }
    let events = numbers.on("log", "--json").ok().json();
    let events: Vec<&Value> = events["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    for event in ["created", "built", "published", "rolled_back", "pinned", "unpinned"] {
        assert!(events.iter().any(|found| *found == event), "{event}: {events:?}");
    }
    // Retention.
    numbers.on("gc", "--keep 1 --grace 0s").ok();
    assert_eq!(numbers.seen(), (5, 5));
    let left: Vec<u64> = numbers.states().into_iter().map(|(version, _)| version).collect();
    assert!(left.contains(&5) && !left.contains(&1) && !left.contains(&3), "{left:?}");
}

#[test]
fn two_hosts_see_the_same_store_and_build_in_turn() {
    let Some(server) = Server::shared() else { return };
    let (one, _) = remote(server, server.port(), "");
    let other = other_host(&one, server.port());
    one.run(1).ok();
    assert_eq!(other.seen(), (1, 1));
    other.run(2).ok();
    assert_eq!(one.seen(), (2, 2));
    one.on("rollback", "").ok();
    assert_eq!(other.seen(), (1, 1));
    // The host that built has no second copy of what it does not read.
    assert!(names(&one.workspace.path("work")).len() == 1);
}

#[test]
fn of_two_hosts_that_build_at_once_one_reports_the_other() {
    let Some(server) = Server::shared() else { return };
    let (one, _) = remote(server, server.port(), "");
    let other = other_host(&one, server.port());
    one.write(1, 100);
    let mut first = one.workspace.start_failing("build.started=pause", "run numbers.toml");
    first.wait_until_paused();
    other.run(2).fails(5).complains(&["lease", "is held by"]);
    first.wake_with(rustix::process::Signal::CONT);
    first.wait().ok();
    assert_eq!(other.seen(), (1, 1));
    other.run(2).ok();
    assert_eq!(one.seen(), (2, 2));
}

#[test]
fn changes_of_two_hosts_at_once_are_both_applied_or_refused() {
    let Some(server) = Server::shared() else { return };
    let (one, _) = remote(server, server.port(), "");
    let other = other_host(&one, server.port());
    (1..=2).for_each(|generation| _ = one.run(generation).ok());
    for round in 0..20 {
        let (to, back) = if round % 2 == 0 { (1, 2) } else { (2, 1) };
        let racers = [
            (&one, format!("publish {} {to} --allow rolled-back --allow older", one.store)),
            (&other, format!("pin {} --reason r", one.store)),
        ];
        let runs: Vec<_> = racers.iter().map(|(host, line)| host.workspace.start(line)).collect();
        let codes: Vec<i32> = runs.into_iter().map(|run| run.wait().exits_with_one_of(&[0, 2, 5])).collect();
        let current = one.current_json();
        // Whichever came first, the state is one of those that the two commands lead to, one after the other.
        assert!(current["current"] == to || current["current"] == back, "{codes:?} {current}");
        if !current["pin"].is_null() {
            assert_eq!(current["pin"]["version"], current["current"]);
            one.on("unpin", "").ok();
        }
        one.on("publish", &format!("{to} --allow rolled-back --allow older")).ok();
    }
}

#[test]
fn the_outcome_of_a_commit_with_a_lost_answer_is_found() {
    let Some(server) = Server::shared() else { return };
    for fault in [Fault::LoseAnswer, Fault::RefuseAfterwards, Fault::Swallow, Fault::Refuse] {
        let proxy = Proxy::before(server.port(), []);
        let (numbers, _) = remote(server, proxy.port(), "");
        (1..=2).for_each(|generation| _ = numbers.run(generation).ok());
        proxy.set([Rule::new("PUT", "/current.json", When::Nth(1), fault)]);
        numbers.on("rollback", "").ok();
        assert_eq!(proxy.seen(true).len(), 1, "{fault:?}");
        assert_eq!(numbers.seen(), (1, 1), "{fault:?}");
    }
}

#[test]
fn a_builder_whose_lease_expired_while_paused_installs_nothing() {
    let Some(server) = Server::shared() else { return };
    let (one, bucket) = remote(server, server.port(), "");
    let other = other_host(&one, server.port());
    one.run(1).ok();
    one.write(2, 100);
    let mut slow = one.workspace.start_failing("install.synced=pause", "run numbers.toml");
    slow.wait_until_paused();
    // As if its lease had ended: another host takes over.
    let bucket = Server::open(server.port(), &bucket);
    bucket.delete([Key::new("lease.json").unwrap()]).unwrap();
    other.run(3).ok();
    slow.wake_with(rustix::process::Signal::CONT);
    slow.wait().fails(5).complains(&["took over"]);
    assert_eq!(one.seen(), (2, 3));
    one.run(4).ok();
    assert_eq!(other.seen(), (3, 4));
    // What the slow one had uploaded is debris, which gc finds.
    other.on("gc", "--grace 0s").ok();
    assert_eq!(builds(&bucket).len(), 3);
}

#[test]
fn answers_of_503_and_cut_connections_are_retried() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let (numbers, _) = remote(server, proxy.port(), "");
    proxy.set([
        Rule::new("GET", "/", When::Percent(5, 1), Fault::Refuse),
        Rule::new("PUT", "/versions", When::Percent(20, 2), Fault::RefuseAfterwards),
        Rule::new("GET", "/versions", When::Percent(20, 3), Fault::CutBody(10)),
    ]);
    for generation in 1..=3 {
        numbers.run(generation).ok();
        assert_eq!(numbers.seen(), (generation as u64, generation));
    }
    assert!(!proxy.seen(true).is_empty());
}

#[test]
fn credentials_that_expire_at_any_put_of_a_run_change_nothing() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let (numbers, bucket) = remote(server, proxy.port(), "");
    numbers.run(1).ok();
    numbers.write(2, 100);
    let bucket = Server::open(server.port(), &bucket);
    for put in [1, 2, 5, 9] {
        proxy.set([Rule::new("PUT", "", When::From(put), Fault::Expire)]);
        let run = numbers.workspace.cutover("run numbers.toml").fails(2);
        run.complains(&["the credentials have expired; renew them and run again"]);
        proxy.set([]);
        assert_eq!(numbers.seen(), (1, 1), "put {put}");
        // As if time had passed: the lease of a builder that could not end it.
        bucket.delete([Key::new("lease.json").unwrap()]).unwrap();
    }
    numbers.workspace.cutover("run numbers.toml").ok();
    assert_eq!(numbers.seen().1, 2);
    numbers.on("gc", "--grace 0s").ok();
    assert_eq!(builds(&bucket).len(), 2);
}

#[test]
fn objects_that_were_altered_or_deleted_are_found_and_never_read() {
    let Some(server) = Server::shared() else { return };
    let (numbers, bucket) = remote(server, server.port(), "");
    numbers.run(1).ok();
    let bucket = Server::open(server.port(), &bucket);
    let table = keys(&bucket, Some("versions")).into_iter().find(|key| key.ends_with(".sst")).unwrap();
    let key = Key::new(table).unwrap();
    let whole = bucket.get(&key, u64::MAX).unwrap().unwrap().bytes;
    let reader = other_host(&numbers, server.port());
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (bytes, depth) in
        [(Some(altered), "checksums"), (Some(whole[..whole.len() - 1].to_vec()), "sizes"), (None, "sizes")]
    {
        match bytes {
            Some(bytes) => _ = bucket.put(&key, bytes).unwrap(),
            None => bucket.delete([key.clone()]).unwrap(),
        }
        assert!(reader.on("verify", &format!("--depth {depth}")).exits(1).stdout.contains(".sst"));
        // Not 5, by which a scheduler would try again for ever.
        reader.on("get", "k000").exits_with_one_of(&[6]);
    }
    bucket.put(&key, whole).unwrap();
    assert_eq!(reader.seen(), (1, 1));
}

#[test]
fn a_version_whose_objects_are_not_all_there_is_no_candidate() {
    let Some(server) = Server::shared() else { return };
    let (numbers, bucket) = remote(server, server.port(), "");
    numbers.run(1).ok();
    numbers.write(2, 100);
    numbers.workspace.cutover("run numbers.toml --stage").ok();
    let bucket = Server::open(server.port(), &bucket);
    let build = numbers.current_json()["versions"]["2"]["build_id"].as_str().unwrap().to_owned();
    let objects = keys(&bucket, Some(&format!("versions/{build}")));
    let table = objects.into_iter().find(|key| key.ends_with(".sst")).unwrap();
    bucket.delete([Key::new(table).unwrap()]).unwrap();
    for flags in ["--canary", "--wait-replicas 1 --wait-for 1s"] {
        let refused = numbers.on("publish", &format!("2 {flags}")).fails(6);
        refused.complains(&["not applied: version 2 is damaged", ".sst", "is missing"]);
        assert!(numbers.current_json()["candidate"].is_null(), "{flags}");
    }
    numbers.on("publish", "9 --canary").fails(2);
    assert_eq!(numbers.seen(), (1, 1));
}

#[test]
fn gc_leaves_what_a_slow_builder_uploads() {
    let Some(server) = Server::shared() else { return };
    let (one, bucket) = remote(server, server.port(), "");
    let other = other_host(&one, server.port());
    one.run(1).ok();
    one.write(2, 100);
    let bucket = Server::open(server.port(), &bucket);
    let dead = Key::new("versions/20260101T000000Z-0000dead/shard-00000/000001.sst").unwrap();
    for point in ["install.synced", "install.manifest"] {
        let mut slow = one.workspace.start_failing(&format!("{point}=pause"), "run numbers.toml --rebuild");
        slow.wait_until_paused();
        bucket.put(&dead, vec![1]).unwrap();
        let before = keys(&bucket, Some("versions"));
        other.on("gc", "--grace 0s").ok().complains(&["were not deleted", "is held by"]);
        assert_eq!(keys(&bucket, Some("versions")), before, "{point}: nothing goes while somebody builds");
        slow.wake_with(rustix::process::Signal::CONT);
        slow.wait().ok();
        one.on("verify", "--depth checksums").ok();
        other.on("gc", "--grace 0s").ok();
        assert!(!keys(&bucket, Some("versions")).contains(&dead.as_str().to_owned()));
    }
}

#[test]
fn objects_that_are_no_stores_survive_runs_and_gc() {
    let Some(server) = Server::shared() else { return };
    let (numbers, bucket) = remote(server, server.port(), "[retention]\nkeep = 1\n");
    numbers.run(1).ok();
    let bucket = Server::open(server.port(), &bucket);
    let put = |key: &str, bytes: Vec<u8>| _ = bucket.put(&Key::new(key).unwrap(), bytes).unwrap();
    let foreign = [
        "readme.md",
        "uploads/20260101T000000Z-0000dead/0123456789abcdef.json",
        "uploads/20260101T000000Z-0000dead/huge.json",
        "uploads/photo.png",
        "versions/2.3.1/app.jar",
        "versions/20260101T000000Z-dead/a.sst",
        "versions/notes.txt",
    ];
    for key in foreign {
        // As what a note may say, and larger than one can be.
        let bytes = if key.ends_with("huge.json") { vec![b' '; 70_000] } else { br#"{"key":"a","id":"b"}"#.to_vec() };
        put(key, bytes);
    }
    let dead = "versions/20260101T000000Z-0000dead/shard-00000/000001.sst";
    put(dead, vec![1]);
    numbers.run(2).ok();
    numbers.on("gc", "--keep 1 --grace 0s").ok();
    let left = keys(&bucket, None);
    for key in foreign {
        assert!(left.iter().any(|found| found == key), "{key} is gone: {left:?}");
    }
    assert!(!left.iter().any(|found| found == dead), "{left:?}");
    assert_eq!(numbers.seen(), (2, 2));
    numbers.on("gc", "--keep 1 --grace 0s").ok().prints(&["nothing to delete"]);
}

#[test]
fn a_store_is_not_created_among_other_objects() {
    let Some(server) = Server::shared() else { return };
    for key in ["in/a.csv", "readme.md", "uploads/photo.png", "versions/notes.txt"] {
        let (numbers, bucket) = remote(server, server.port(), "");
        let bucket = Server::open(server.port(), &bucket);
        bucket.put(&Key::new(key).unwrap(), vec![1]).unwrap();
        numbers.run(1).fails(2).complains(&["is not a store but holds", key]);
        assert_eq!(keys(&bucket, None), [key]);
    }
    // What an interrupted creation leaves, and objects beside the store's prefix, are no obstacle.
    let (numbers, name) = remote(server, server.port(), "");
    let bucket = Server::open(server.port(), &name);
    for key in ["log/20260101T000000.000000000Z-0123456789abcdef.json", "probe-0123456789abcdef"] {
        bucket.put(&Key::new(key).unwrap(), b"{}".to_vec()).unwrap();
    }
    let url = format!("s3://{name}/database");
    let beside = Bucket::open(&Location::parse(&url).unwrap(), &Server::settings(server.port())).unwrap();
    beside.put(&Key::new("a.csv").unwrap(), vec![1]).unwrap();
    numbers.run(1).ok();
    assert_eq!(numbers.seen(), (1, 1));
    let refused = numbers.workspace.cutover(&format!("verify-crash numbers.toml --dir {url}")).fails(2);
    refused.complains(&["is a URL", "--dir"]);
    let pulled = numbers.workspace.cutover(&format!("pull {url} --to {url}/copy")).fails(2);
    pulled.complains(&["must be a local directory"]);
}

#[test]
fn gc_lists_the_versions_once() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let (numbers, bucket) = remote(server, proxy.port(), "");
    (1..=3).for_each(|generation| _ = numbers.run(generation).ok());
    let stray = Key::new("versions/20260101T000000Z-0000dead/shard-00000/000001.sst").unwrap();
    let bucket = Server::open(server.port(), &bucket);
    bucket.put(&stray, vec![1]).unwrap();
    let before = proxy.seen(false).len();
    let report = numbers.on("gc", "--keep 1 --grace 0s --json").ok().json();
    assert_eq!(report["versions"], serde_json::json!([1, 2]));
    let requests = proxy.seen(false).split_off(before);
    let lists = |request: &&String| request.contains("list-type=2") && request.contains("versions");
    assert_eq!(requests.iter().filter(lists).count(), 1, "{requests:#?}");
    assert_eq!(builds(&bucket).len(), 1, "versions that were removed and what nothing names are gone");
}

#[test]
fn unusable_stores_are_refused_with_a_reason_and_without_secrets() {
    let Some(server) = Server::shared() else { return };
    let (numbers, bucket) = remote(server, server.port(), "");
    numbers.run(1).ok();
    let with = |user: &str, secret: &str| {
        let mut environment = environment(server.port());
        environment[0].1 = user.to_owned();
        environment[1].1 = secret.to_owned();
        Numbers::at(&format!("s3://{bucket}/data"), &environment, "")
    };
    let wrong = with("admin", "a-wrong-secret").on("versions", "").fails(2);
    wrong.complains(&["credentials"]);
    assert!(!wrong.stderr.contains("a-wrong-secret"), "{}", wrong.stderr);
    assert_eq!(with("reader", "reader-secret").seen(), (1, 1), "reading needs no right to write");
    with("reader", "reader-secret").run(2).fails(2).complains(&["right"]);
    Numbers::at("s3://no-such-bucket-anywhere/data", &environment(server.port()), "")
        .run(1)
        .fails(2)
        .complains(&["bucket"]);
    Numbers::at(&format!("s3://{bucket}/elsewhere"), &environment(server.port()), "")
        .on("versions", "")
        .fails(2)
        .complains(&["there is no store at s3://"]);
}

#[test]
fn of_hosts_that_race_for_the_lease_one_builds_at_a_time() {
    let Some(server) = Server::shared() else { return };
    let (one, _) = remote(server, server.port(), "");
    let other = other_host(&one, server.port());
    let mut built = 0;
    for round in 1..=20 {
        one.write(round, 10);
        other.write(100 + round, 10);
        let runs = [&one, &other].map(|host| host.workspace.start("run numbers.toml"));
        let codes = runs.map(|run| run.wait().exits_with_one_of(&[0, 5]));
        built += codes.iter().filter(|code| **code == 0).count();
        assert!(codes.contains(&0), "no host built in round {round}");
        let current = one.current_json();
        assert_eq!(current["next_version"], built + 1, "a number for each build, in round {round}");
        assert_eq!(current["current"], built);
    }
}

#[test]
fn a_server_that_is_killed_and_restarted_stops_no_build_and_no_pull() {
    let Some(server) = Server::own() else { return };
    let (numbers, _) = remote(&server, server.port(), "");
    numbers.run(1).ok();
    let mut generation = 1;
    for point in ["install.synced", "install.manifest", "current.decided"] {
        generation += 1;
        numbers.write(generation, 100);
        let mut running = numbers.workspace.start_failing(&format!("{point}=pause"), "run numbers.toml");
        running.wait_until_paused();
        server.kill();
        running.wake_with(rustix::process::Signal::CONT);
        server.restart();
        running.wait().ok();
        assert_eq!(numbers.seen(), (generation as u64, generation), "{point}");
    }
    let line = format!("pull {} --to copy", numbers.store);
    let mut pulling = numbers.workspace.start_failing("pull.downloaded=pause", &line);
    pulling.wait_until_paused();
    server.kill();
    pulling.wake_with(rustix::process::Signal::CONT);
    server.restart();
    pulling.wait().ok();
    numbers.workspace.cutover("verify copy --depth full").ok();
}

#[test]
fn an_object_store_without_conditional_writes_is_refused_before_work() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), [Rule::new("PUT", "/probe-", When::Always, Fault::ForgetConditions)]);
    let (numbers, bucket) = remote(server, proxy.port(), "");
    numbers.run(1).fails(2).complains(&["cannot be written safely", "If-None-Match"]);
    assert_eq!(keys(&Server::open(server.port(), &bucket), None), [""; 0]);
}

/// Lists and reads by Amazon's own client for Python, and compares every byte and size with what is here.
#[test]
fn a_foreign_client_reads_what_was_written() {
    let Some(server) = Server::shared() else { return };
    let (numbers, bucket) = remote(server, server.port(), "");
    numbers.run(1).ok();
    let copy = numbers.on("path", "").ok().stdout.clone();
    let program = r#"
import boto3, os, pathlib, sys
bucket, prefix, copy = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
listed = {o["Key"][len(prefix):]: o["Size"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]}
here = {str(p.relative_to(copy)): p for p in pathlib.Path(copy).rglob("*") if p.is_file()}
skipped = {name for name in here if name.endswith(("LOCK", "LOG"))}
assert listed.keys() - here.keys() == set(), listed.keys() - here.keys()
assert len(listed) > 10
for name, size in listed.items():
    body = s3.get_object(Bucket=bucket, Key=prefix + name)["Body"].read()
    assert len(body) == size and body == here[name].read_bytes(), name
print(len(listed))
"#;
    let build = numbers.current_json()["versions"]["1"]["build_id"].as_str().unwrap().to_owned();
    let arguments = [&bucket, &format!("data/versions/{build}/"), copy.trim()];
    boto3(server.port(), &numbers.workspace.path(""), program, &arguments);
}

/// Runs a program with Amazon's own client.
fn boto3(port: u16, directory: &std::path::Path, program: &str, arguments: &[&str]) {
    let home = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let home = home.unwrap_or_else(|| std::path::PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let python = home.join("cutover/objects/venv/bin/python");
    let output = std::process::Command::new(python)
        .args(["-c", program])
        .args(arguments)
        .envs(environment(port))
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whoever may read objects may not yet read earlier versions of them.
#[test]
fn a_bucket_with_versions_of_objects_needs_no_other_right() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let (numbers, bucket) = remote(server, proxy.port(), "");
    let program = r#"
import boto3, os, sys
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
s3.put_bucket_versioning(Bucket=sys.argv[1], VersioningConfiguration={"Status": "Enabled"})
assert s3.put_object(Bucket=sys.argv[1], Key="probe", Body=b"1")["VersionId"]
"#;
    boto3(server.port(), &numbers.workspace.path(""), program, &[&bucket]);
    (1..=2).for_each(|generation| _ = numbers.run(generation).ok());
    numbers.on("rollback", "").ok();
    assert_eq!(numbers.seen(), (1, 1));
    numbers.on("verify", "--depth checksums").ok();
    let by_number: Vec<String> = proxy.seen(false).into_iter().filter(|it| it.contains("versionId=")).collect();
    assert_eq!(by_number, [""; 0]);
}
