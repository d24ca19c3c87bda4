//! What is refused before any work, by name.

use crate::cluster::Cluster;

#[test]
fn local_data_and_functions_of_the_moment_are_refused_by_name() {
    let Some(cluster) = Cluster::with_rows(1, "") else { return };
    let url = cluster.lake.url("");
    let local = cluster.line("rows", "").replace(&format!("-C {} ", url.trim_end_matches('/')), "");
    cluster.lake.cutover(&local).fails(2).complains(&["is a local directory", "--cluster"]);
    cluster.job("moment", "SELECT key, now() AS at FROM rows", "");
    cluster.lake.cutover(&cluster.line("moment", "")).fails(2).complains(&["now()", "--cluster"]);
    let text = std::fs::read_to_string(cluster.lake.workspace.path("rows.toml")).unwrap();
    let rows = cluster.lake.workspace.path("rows");
    let absolute = text.replace("path = \"rows/\"", &format!("path = {:?}", rows.to_str().unwrap()));
    cluster.lake.workspace.write("absolute.toml", absolute);
    cluster.lake.cutover(&cluster.line("absolute", "")).fails(2).complains(&["input rows", "this machine's disk"]);
    assert!(cluster.keys("stores").is_empty(), "nothing was written");
}

#[test]
fn beyond_this_machine_certificates_are_needed_on_both_sides() {
    let Some(cluster) = Cluster::with_rows(1, "") else { return };
    let anywhere = cluster.line("rows", "").replace(&cluster.address, "0.0.0.0:0");
    cluster.lake.cutover(&anywhere).fails(2).complains(&["--cluster-tls"]);
    cluster.lake.cutover("executor --driver 192.0.2.1:4600").fails(2).complains(&["--cluster-tls"]);
    cluster.lake.cutover("executor --driver nowhere").fails(2).complains(&["HOST:PORT"]);
}

#[test]
fn two_executors_never_share_a_scratch_directory() {
    let Some(cluster) = Cluster::with_rows(1, "") else { return };
    let _first = cluster.executor("a", "");
    let scratch = cluster.lake.workspace.path("scratch-a");
    crate::harness::wait_for("the first executor's scratch", || scratch.join("ballista").is_dir());
    let line = format!("executor --driver {} --scratch {}", cluster.address, scratch.display());
    cluster.lake.cutover(&line).fails(5).complains(&["another executor uses"]);
}

#[test]
fn no_secret_is_in_the_work_of_a_build() {
    let Some(cluster) = Cluster::with_rows(2, "") else { return };
    let driver = cluster.drive("rows", "build.finished=kill");
    let _executor = cluster.executor("a", "");
    let _ = driver.wait().killed();
    let keys = cluster.keys("stores/rows");
    assert!(keys.iter().any(|key| key.ends_with("spec.json")), "{keys:?}");
    for key in keys.iter().filter(|key| key.ends_with(".json")) {
        let text = cluster.lake.read(key);
        assert!(!text.contains(crate::server::SECRET), "{key}");
    }
}

/// Makes a directory with certificates of an authority of its own.
fn certificates(cluster: &Cluster, name: &str) -> bool {
    let directory = cluster.lake.workspace.path(name);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("names"), "subjectAltName = IP:127.0.0.1, DNS:localhost\n").unwrap();
    let openssl = |line: &str| {
        let mut command = std::process::Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(&directory).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {KEY} -days 2 -keyout ca-key.pem -out ca.pem -subj /CN=authority-{name}"))
        && openssl(&format!("req {KEY} -keyout key.pem -out request.pem -subj /CN=node"))
        && openssl(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -out cert.pem -extfile names",
        )
}

#[test]
fn executors_without_a_certificate_of_the_authority_get_no_task() {
    let Some(cluster) = Cluster::with_rows(1, "") else { return };
    if !certificates(&cluster, "ours") {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "openssl is required");
        return eprintln!("skipped: there is no openssl");
    }
    assert!(certificates(&cluster, "theirs"));
    let path = |name: &str| cluster.lake.workspace.path(name).display().to_string();
    let line = cluster.line("rows", &format!("--cluster-tls {}", path("ours")));
    let executor = |name: &str, flags: &str| {
        let scratch = path(&format!("scratch-{name}"));
        let line =
            format!("executor --driver {} --slots 1 --memory 256MiB --scratch {scratch} {flags}", cluster.address);
        cluster.lake.start_failing("", &line)
    };
    let strangers = [executor("plain", ""), executor("foreign", &format!("--cluster-tls {}", path("theirs")))];
    cluster
        .lake
        .cutover(&line.replace("--executors-grace 12s", "--executors-grace 4s"))
        .fails(4)
        .complains(&["no executor"]);
    drop(strangers);
    let driver = cluster.lake.start_failing("", &line);
    let _ours = executor("ours", &format!("--cluster-tls {}", path("ours")));
    let _ = driver.wait().ok();
    cluster.is_as_locally("rows");
}
