//! Runs over inputs in a store that fails, and inputs that change while they are read: an error that names the object,
//! or the right result, and never a secret in any text.

use rustix::process::Signal;

use crate::harness::Run;
use crate::lake::{Lake, USER, csv, json, parquet};
use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::{SECRET, Server};

/// Bytes that a process may use beyond its budget.
const BEYOND: u64 = 80 << 20;
const MIB: u64 = 1 << 20;

/// Starts a run, changes an object while the run is paused, and lets it continue.
fn changed_at(lake: &Lake, failpoint: &str, job: &str, change: impl FnOnce()) -> Run {
    let mut run = lake.start_failing(&format!("{failpoint}=pause"), &format!("run {job}.toml --rebuild"));
    run.wait_until_paused();
    change();
    run.wake_with(Signal::CONT);
    run.wait()
}

#[test]
fn an_object_that_changes_during_the_run_stops_it() {
    let Some(lake) = Lake::new() else { return };
    parquet(&lake.workspace, "parquet/a.parquet", 0..2_000);
    let content = std::fs::read(lake.workspace.path("parquet/a.parquet")).unwrap();
    let other = {
        parquet(&lake.workspace, "other.parquet", 5_000..7_000);
        std::fs::read(lake.workspace.path("other.parquet")).unwrap()
    };
    let (text, lines) = (csv(0..2_000), json(0..2_000));
    let files = [
        ("parquet/a.parquet", content.clone(), other),
        ("csv/a.csv", text.clone().into_bytes(), text.replace("k0", "k1").into_bytes()),
        ("json/a.json", lines.clone().into_bytes(), lines.replace("k0", "k1").into_bytes()),
    ];
    for (key, content, other) in files {
        let name = key.split('/').next().unwrap();
        lake.put(key, content.clone());
        lake.job(name, &lake.url(&format!("{name}/")), "");
        lake.cutover(&format!("run {name}.toml")).ok();
        let url = lake.url(key);
        // Before the query reads its rows, and after it has.
        for failpoint in ["build.started", "build.finished"] {
            let run = changed_at(&lake, failpoint, name, || lake.put(key, other.clone()));
            run.fails(3).complains(&[&url, "while it was being read", "nothing was published"]);
            lake.put(key, content.clone());
            let run = changed_at(&lake, failpoint, name, || lake.put(key, &content[..content.len() / 2]));
            run.fails(3).complains(&[&url, "while it was being read"]);
            lake.put(key, content.clone());
            let run = changed_at(&lake, failpoint, name, || lake.delete(key));
            run.fails(3).complains(&[&url, "while it was being read"]);
            lake.put(key, content.clone());
        }
        // The same bytes again are no change.
        changed_at(&lake, "build.started", name, || lake.put(key, content.clone())).ok();
        lake.cutover(&format!("versions stores/{name}")).ok();
    }
}

#[test]
fn refusals_and_broken_connections_are_retried() {
    let Some(lake) = Lake::new() else { return };
    for number in 0..12 {
        parquet(&lake.workspace, &format!("data/parquet/{number:02}.parquet"), number * 500..(number + 1) * 500);
        lake.workspace.write(&format!("data/csv/{number:02}.csv"), csv(number * 500..(number + 1) * 500));
    }
    lake.upload("data");
    let proxy = Proxy::before(lake.port, []);
    for name in ["parquet", "csv"] {
        lake.job(name, &lake.url(&format!("data/{name}/")), "");
        let direct = lake.cutover(&format!("run {name}.toml --json")).ok().json();
        proxy.set([
            Rule::new("", "", When::Percent(5, 3), Fault::Refuse),
            Rule::new("GET", "data/", When::Percent(5, 4), Fault::CutBody(700)),
            Rule::new("GET", "data/", When::Percent(5, 5), Fault::LoseAnswer),
        ]);
        let before = proxy.seen(true).len();
        let mut command = lake.command_as(proxy.port(), USER, SECRET, &format!("run {name}.toml --rebuild --json"));
        let report = lake.workspace.finish(&mut command).ok().json();
        assert!(proxy.seen(true).len() > before, "faults have happened");
        assert_eq!(report["digest"], direct["digest"]);
    }
}

#[test]
fn an_unavailable_store_is_not_an_error_of_the_data() {
    let Some(lake) = Lake::new() else { return };
    parquet(&lake.workspace, "data/a.parquet", 0..2_000);
    lake.upload("data");
    lake.job("gone", &lake.url("data/"), "");
    let proxy = Proxy::before(lake.port, []);
    let mut command = lake.command_as(proxy.port(), USER, SECRET, "run gone.toml");
    let mut run = lake.workspace.spawn(command.env("CUTOVER_FAILPOINTS", "build.started=pause"));
    run.wait_until_paused();
    proxy.set([Rule::new("", "", When::Always, Fault::Deny)]);
    run.wake_with(Signal::CONT);
    let run = run.wait().fails(2);
    run.complains(&[&lake.url("data/a.parquet"), "have no right to"]);
    assert!(!run.stderr.contains("damaged"), "{}", run.stderr);
}

#[test]
fn a_server_that_is_killed_and_comes_back_while_inputs_are_read_stops_no_run() {
    let Some(server) = Server::own() else { return };
    let lake = Lake::on(&server);
    let rows = 2_000;
    for format in ["csv", "parquet"] {
        let name = format!("data/rows.{format}");
        match format {
            "csv" => lake.workspace.write(&name, csv(0..rows)),
            _ => parquet(&lake.workspace, &name, 0..rows),
        }
        lake.put(&name, std::fs::read(lake.workspace.path(&name)).unwrap());
        lake.job(format, &lake.url(&name), "");
        let mut running = lake.start_failing("build.started=pause", &format!("run {format}.toml --json"));
        running.wait_until_paused();
        server.kill();
        // It takes seconds to come back, in which every read fails.
        running.wake_with(Signal::CONT);
        server.restart();
        assert_eq!(running.wait().ok().json()["rows"], rows);
    }
}

#[test]
fn wrong_credentials_buckets_and_objects_are_reported() {
    let Some(lake) = Lake::new() else { return };
    lake.put("in/a.csv", csv(0..10));
    lake.job("one", &lake.url("in/a.csv"), "");
    lake.job("directory", &lake.url("in/"), "");
    for job in ["one", "directory"] {
        let line = format!("run {job}.toml -vvv");
        let wrong = lake.workspace.finish(&mut lake.command_as(lake.port, USER, "hunter2-hunter2", &line)).fails(2);
        // An answer to a HEAD has no text that says what is wrong with the credentials.
        let refused = wrong.stderr.contains("refuses the credentials") || wrong.stderr.contains("have no right to");
        assert!(refused && !wrong.stderr.contains("hunter2"), "{}", wrong.stderr);
        let right = lake.cutover(&line).ok();
        assert!(!right.stderr.contains(SECRET) && !right.stdout.contains(SECRET), "{}", right.stderr);
        let reader = lake.workspace.finish(&mut lake.command_as(lake.port, "reader", "reader-secret", &line)).ok();
        assert!(!reader.stderr.contains("reader-secret"), "{}", reader.stderr);
    }
    lake.job("absent", &lake.url("in/absent.csv"), "");
    lake.cutover("run absent.toml").fails(3).complains(&["has no files at", &lake.url("in/absent.csv")]);
    for path in ["s3://there-is-no-such-bucket/in/", "s3://there-is-no-such-bucket/in/*.csv"] {
        lake.job("bucket", path, "");
        lake.cutover("run bucket.toml").fails(2).complains(&["there-is-no-such-bucket", "there is no such bucket"]);
    }
    lake.job("unreached", &lake.url("in/"), "");
    let mut bare = lake.command("run unreached.toml");
    bare.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("AWS_EC2_METADATA_DISABLED", "true");
    lake.workspace.finish(&mut bare).fails(2).complains(&["there are no credentials for s3://"]);
}

#[test]
fn large_inputs_stay_within_the_memory() {
    let Some(lake) = Lake::new() else { return };
    let _ = Server::shared();
    let rows = 250_000;
    for number in 0..4 {
        let part = number * rows..(number + 1) * rows;
        parquet(&lake.workspace, &format!("data/parquet/{number}.parquet"), part.clone());
        lake.workspace.write(&format!("data/csv/{number}.csv"), csv(part));
    }
    lake.upload("data");
    for name in ["parquet", "csv"] {
        lake.job(name, &lake.url(&format!("data/{name}/")), "");
        let line = format!("run {name}.toml --json --threads 2 --memory 128MiB");
        let running = lake.workspace.spawn(&mut lake.command(&line));
        let peak = running.watch_memory();
        let report = running.wait().ok().json();
        assert_eq!(report["rows"], rows * 4);
        let peak = peak.join().unwrap().max(report["peak_memory"].as_u64().unwrap());
        eprintln!("{name}: {} MiB with 128 MiB, {}", peak / MIB, report["object_reads"]);
        assert!(peak <= 128 * MIB + BEYOND, "{name} held {} MiB", peak / MIB);
    }
}
