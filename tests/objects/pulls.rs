//! Pulling versions to a host: once and following, with everything that can come between.
//!
//! Readers of the local store see the old version or the new one, a rerun succeeds, and nothing half stays.
//!
//! Not for: stores themselves (`stores`).

use std::time::Duration;

use cutover::internals::objects::Key;
use rustix::process::Signal;

use crate::fixture::Numbers;
use crate::harness::{Run, names, wait_for};
use crate::namespace::in_namespace;
use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::{Server, keys};
use crate::stores::remote;

/// Pulls into `copy/` of the workspace.
pub fn pull(numbers: &Numbers) -> Run {
    numbers.workspace.cutover(&format!("pull {} --to copy", numbers.store))
}

/// What readers of the copy see.
pub fn copied(numbers: &Numbers) -> (u64, i64) {
    let found = numbers.workspace.cutover("get copy k000 --json").ok().json();
    (found["version"].as_u64().unwrap(), found["entries"][0]["value"]["generation"].as_i64().unwrap())
}

/// Nothing is left in the copy's staging, and it has these versions.
fn assert_copy(numbers: &Numbers, versions: &[&str]) {
    assert_eq!(names(&numbers.workspace.path("copy/staging")), [""; 0]);
    assert_eq!(names(&numbers.workspace.path("copy/versions")), versions);
    numbers.workspace.cutover("verify copy --depth full").ok();
}

#[test]
fn versions_are_pulled_once_and_rollbacks_follow() {
    let Some(server) = Server::shared() else { return };
    let (numbers, _) = remote(server, server.port(), "");
    pull(&numbers).fails(2).complains(&["there is no store at s3://"]);
    numbers.run(1).ok();
    let first = pull(&numbers).ok();
    assert!(first.stdout.contains("version 1 is live"), "{}", first.stdout);
    assert_eq!(copied(&numbers), (1, 1));
    assert!(pull(&numbers).exits(1).stderr.contains("already see"));
    numbers.run(2).ok();
    pull(&numbers).ok();
    assert_eq!(copied(&numbers), (2, 2));
    numbers.on("rollback", "").ok();
    pull(&numbers).ok();
    assert_eq!(copied(&numbers), (1, 1));
    let states = numbers.workspace.cutover("versions copy --json").ok().json();
    assert_eq!(states["versions"]["2"]["state"], "rolled_back");
    assert_copy(&numbers, &["00000001", "00000002"]);
    // A store that follows is changed where its versions are built.
    numbers.workspace.cutover("publish copy 2 --allow rolled-back").fails(2).complains(&["follows", "s3://"]);
    numbers.workspace.cutover("pin copy --reason incident").ok();
    numbers.on("publish", "2 --allow rolled-back").ok();
    pull(&numbers).fails(5).complains(&["pinned"]);
    numbers.workspace.cutover("unpin copy").ok();
    pull(&numbers).ok();
    assert_eq!(copied(&numbers), (2, 2));
}

#[test]
fn a_host_follows_until_it_is_stopped_and_reports_what_it_serves() {
    let Some(server) = Server::shared() else { return };
    let (numbers, bucket) = remote(server, server.port(), "");
    numbers.run(1).ok();
    let line = format!("pull {} --to copy --follow --every 1s --name edge-7", numbers.store);
    let following = numbers.workspace.start(&line);
    for generation in 1..=3 {
        if generation > 1 {
            numbers.run(generation).ok();
        }
        let build = numbers.current_json()["versions"][generation.to_string()]["build_id"].clone();
        wait_for("the host to serve the version", || {
            let report = Server::open(server.port(), &bucket).get(&Key::new("replicas/edge-7.json").unwrap(), 9999);
            let report =
                report.unwrap().map(|object| serde_json::from_slice::<serde_json::Value>(&object.bytes).unwrap());
            report.is_some_and(|report| report["build_id"] == build && report["state"] == "serving")
        });
        assert_eq!(copied(&numbers), (generation as u64, generation));
    }
    numbers.on("publish", "3 --wait-replicas 1 --wait-for 20s").ok();
    following.signal(Signal::TERM);
    let ended = following.wait().exits(143);
    assert_eq!(ended.stdout.lines().filter(|line| line.contains("is live")).count(), 3, "{}", ended.stdout);
    let refused = numbers.on("publish", "3 --wait-replicas 2 --wait-for 1s").exits(4);
    assert!(refused.stderr.contains("1 of 2 hosts serve it; \"edge-7\" serves it"), "{}", refused.stderr);
}

#[test]
fn a_full_disk_stops_a_pull_and_the_next_one_succeeds() {
    let Some(server) = Server::shared() else { return };
    let (numbers, _) = remote(server, server.port(), "");
    numbers.run(1).ok();
    numbers.write(2, 100);
    let script = format!(
        "
        mkdir -p copy && mount -t tmpfs -o size=8m tmpfs copy || exit 99
        $CUTOVER pull {store} --to copy || exit 98
        $CUTOVER run numbers.toml || exit 97
        for left in 0 1 2 4 8 16 24 32 64 128 256 512; do
            free=$(($(stat -f -c %a copy) - left))
            [ $free -le 0 ] || head -c $((free * 4096)) /dev/zero >copy/filler
            $CUTOVER pull {store} --to copy >pull.$left.txt 2>&1
            code=$?
            rm -f copy/filler
            echo \"$left $code\" >>codes.txt
            $CUTOVER get copy k000 --json >>seen.txt || exit 96
            [ $code = 0 ] && exit 0
        done
        exit 95",
        store = numbers.store
    );
    let Some(run) = in_namespace(&numbers.workspace, &script) else { return };
    run.exits(0);
    let read = |name: &str| std::fs::read_to_string(numbers.workspace.path(name)).unwrap();
    let codes = read("codes.txt");
    let failed: Vec<(&str, &str)> = codes.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(failed.len() > 2, "{codes}");
    for (left, code) in &failed[..failed.len() - 1] {
        let said = read(&format!("pull.{left}.txt"));
        assert!(*code == "4" && said.contains("copy") && !said.contains("panicked"), "{left} left: {code}, {said}");
    }
    assert!(read("seen.txt").contains("\"generation\": 2"), "{}", read("seen.txt"));
}

#[test]
fn canary_hosts_try_a_version_that_others_only_fetch() {
    let Some(server) = Server::shared() else { return };
    let (numbers, _) = remote(server, server.port(), "");
    numbers.run(1).ok();
    let follow = |host: &str, flags: &str| {
        numbers
            .workspace
            .start(&format!("pull {} --to {host} --follow --every 1s --name {host} {flags}", numbers.store))
    };
    let hosts = [follow("canary", "--canary"), follow("other", "")];
    let seen = |host: &str| {
        let current = numbers.workspace.path(format!("{host}/current.json"));
        let text = std::fs::read_to_string(current).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        (json["current"].as_u64(), json["versions"]["2"]["state"].as_str().map(str::to_owned))
    };
    let complete = || Some("complete".to_owned());
    wait_for("both to serve version 1", || seen("canary").0 == Some(1) && seen("other").0 == Some(1));
    numbers.write(2, 100);
    numbers.workspace.cutover("run numbers.toml --stage").ok();
    numbers.on("publish", "2 --canary").ok();
    wait_for("the canary to serve version 2", || seen("canary").0 == Some(2));
    wait_for("the other to have fetched it", || seen("other") == (Some(1), complete()));
    numbers.on("versions", "").ok().prints(&["version 2 is the candidate", "readers see version 1"]);
    numbers.on("gc", "--keep 1").ok();
    numbers.on("publish", "2 --withdraw").ok();
    wait_for("the canary to be back", || seen("canary").0 == Some(1));
    numbers.on("publish", "2 --withdraw").exits(2);
    assert_eq!(numbers.current_json()["current"], 1);
    numbers.on("publish", "2 --wait-replicas 2 --wait-for 30s").ok();
    assert!(seen("canary").0 == Some(2) && seen("other").0 == Some(2));
    for host in hosts {
        host.signal(Signal::TERM);
        host.wait().exits(143);
    }

    numbers.write(3, 100);
    let late = numbers.workspace.cutover("run numbers.toml --wait-replicas 3 --wait-for 2s").exits(4);
    assert!(late.stderr.contains("version 3 is not published: after 2 s"), "{}", late.stderr);
    assert_eq!(numbers.current_json()["current"], 2);
    assert!(numbers.current_json()["candidate"].is_null());
}

#[test]
fn a_pull_that_is_killed_anywhere_leaves_the_old_version_and_the_next_one_succeeds() {
    let Some(server) = Server::shared() else { return };
    let (numbers, _) = remote(server, server.port(), "");
    numbers.run(1).ok();
    pull(&numbers).ok();
    let mut generation = 1;
    for point in [
        "pull.downloaded",
        "install.synced",
        "install.manifest",
        "install.renamed",
        "current.decided",
        "current.replaced",
        "pull.installed",
    ] {
        generation += 1;
        numbers.run(generation).ok();
        let line = format!("pull {} --to copy", numbers.store);
        numbers.workspace.failing(&format!("{point}=kill"), &line).killed();
        let seen = copied(&numbers);
        assert!(
            seen == (generation as u64 - 1, generation - 1) || seen == (generation as u64, generation),
            "{point}: {seen:?}"
        );
        pull(&numbers).exits_with_one_of(&[0, 1]);
        assert_eq!(copied(&numbers), (generation as u64, generation), "{point}");
    }
    numbers.workspace.cutover("gc copy --keep 1").ok();
    assert_copy(&numbers, &[&format!("{generation:08}")]);
}

#[test]
fn a_truncated_or_altered_download_is_refused_and_complete_files_are_kept() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let (numbers, _) = remote(server, proxy.port(), "");
    numbers.run(1).ok();
    pull(&numbers).ok();
    numbers.run(2).ok();
    proxy.set([Rule::new("GET", ".sst", When::Nth(2), Fault::AlterAnswer)]);
    pull(&numbers).fails(6).complains(&["has the checksum", "the manifest says", "try again", "rollback"]);
    assert_eq!(copied(&numbers), (1, 1));
    proxy.set([Rule::new("GET", "/versions", When::Percent(30, 7), Fault::CutBody(3))]);
    let pulled = pull(&numbers).ok();
    assert!(pulled.stdout.contains("were here already"), "{}", pulled.stdout);
    assert_eq!(copied(&numbers), (2, 2));
    assert_copy(&numbers, &["00000001", "00000002"]);
}

#[test]
fn a_version_deleted_or_rolled_back_during_its_download_is_not_installed() {
    let Some(server) = Server::shared() else { return };
    let (numbers, _) = remote(server, server.port(), "");
    (1..=2).for_each(|generation| _ = numbers.run(generation).ok());
    let line = format!("pull {} --to copy", numbers.store);
    // Rolled back while it is downloaded: the version that is current at the end is what readers get.
    let mut pulling = numbers.workspace.start_failing("pull.downloaded=pause", &line);
    pulling.wait_until_paused();
    numbers.on("rollback", "").ok();
    pulling.wake_with(Signal::CONT);
    pulling.wait().ok();
    assert_eq!(copied(&numbers), (1, 1));
    // Deleted while it is downloaded.
    numbers.run(3).ok();
    let proxy =
        Proxy::before(server.port(), [Rule::new("GET", ".sst", When::Nth(1), Fault::Delay(Duration::from_secs(8)))]);
    let slow = Numbers::at(&numbers.store, &crate::stores::environment(proxy.port()), "");
    let pulling = slow.workspace.start(&line);
    wait_for("the download to begin", || !proxy.seen(true).is_empty());
    numbers.run(4).ok();
    numbers.on("gc", "--keep 1 --grace 0s").ok();
    pulling.wait().ok();
    assert_eq!(copied(&slow), (4, 4));
}

#[test]
fn a_store_that_is_unavailable_or_recreated_changes_nothing_for_readers() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let (numbers, bucket) = remote(server, proxy.port(), "");
    numbers.run(1).ok();
    pull(&numbers).ok();
    let gone = Server::open(server.port(), &bucket);
    gone.delete(keys(&gone, None).into_iter().map(|key| Key::new(key).unwrap())).unwrap();
    pull(&numbers).fails(2).complains(&["there is no store at"]);
    assert_eq!(copied(&numbers), (1, 1));
    numbers.run(5).ok();
    pull(&numbers).fails(5).complains(&["created again"]);
    assert_eq!(copied(&numbers), (1, 1));
}

#[test]
fn files_that_did_not_change_are_linked_and_a_store_of_its_own_is_not_overwritten() {
    let Some(server) = Server::shared() else { return };
    let (numbers, _) = remote(server, server.port(), "");
    numbers.run(1).ok();
    pull(&numbers).ok();
    numbers.workspace.cutover("run numbers.toml --rebuild").ok();
    let again = pull(&numbers).ok();
    assert!(again.stdout.contains("were here already"), "the tables of equal content: {}", again.stdout);
    let local = Numbers::new();
    local.run(1).ok();
    let mut both = Numbers::at(&numbers.store, &crate::stores::environment(server.port()), "");
    both.workspace = local.workspace;
    both.workspace.set_environment(&crate::stores::environment(server.port()));
    both.workspace.cutover(&format!("pull {} --to store", both.store)).fails(2).complains(&["has versions of its own"]);
}
