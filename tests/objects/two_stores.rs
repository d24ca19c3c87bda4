//! One run over two object stores: each bucket is reached by its own section of a file of settings.
//!
//! Not for: what is wrong in such a file (the unit tests of `src/objects`).

use crate::lake::{Lake, csv};
use crate::server::{SECRET, Server};

#[test]
fn inputs_and_store_are_reached_by_their_own_settings() {
    let (Some(server), Some(other)) = (Server::shared(), Server::own()) else { return };
    let (lake, far) = (Lake::on(server), Lake::on(&other));
    lake.put("near.csv", csv(0..10));
    far.put("far.csv", csv(10..20));
    let section = |bucket: &str, port: u16, user: &str, secret: &str| {
        format!(
            "[s3://{bucket}]\nAWS_ENDPOINT_URL = http://127.0.0.1:{port}\nAWS_ACCESS_KEY_ID = {user}\n\
             AWS_SECRET_ACCESS_KEY = {secret}\n"
        )
    };
    let near = section(&lake.bucket, server.port(), "admin", SECRET);
    let settings =
        format!("# where things are\n{near}\n{}", section(&far.bucket, other.port(), "reader", "reader-secret"));
    lake.workspace.write("stores.conf", &settings);
    lake.workspace.write(
        "job.toml",
        format!(
            "version = 1\ndataset = \"rows\"\nstore = \"{}\"\n\n[inputs.near]\npath = \"{}\"\n[inputs.far]\npath = \
             \"{}\"\n\n[query]\nsql = \"SELECT * FROM near UNION ALL SELECT * FROM far\"\n\n[output]\nkey = [\"key\"]\n",
            lake.url("store"),
            lake.url("near.csv"),
            far.url("far.csv")
        ),
    );
    let run = |line: &str| {
        let mut command = lake.command(line);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        lake.workspace.finish(command.env("CUTOVER_OBJECT_SETTINGS", "stores.conf"))
    };
    assert_eq!(run("run job.toml --json").ok().json()["rows"], 20);
    let store = lake.url("store");
    assert_eq!(run(&format!("get {store} k000015")).ok().stdout.lines().count(), 1);
    // Another user's secret is not used, and no secret is told.
    lake.workspace.write("stores.conf", settings.replace("reader-secret", "wrong-secret"));
    let refused = run("run job.toml --rebuild").fails(2);
    refused.complains(&["cannot read", &far.bucket, "the credentials have no right to"]);
    assert!(!refused.stderr.contains("wrong-secret") && !refused.stderr.contains(SECRET), "{}", refused.stderr);
    lake.workspace.write("stores.conf", settings.replace("AWS_SECRET_ACCESS_KEY = reader", "AWS_SECRET_KEY = reader"));
    let refused = run("run job.toml --rebuild").fails(2);
    refused.complains(&["stores.conf: line 10: it names no setting of an object store"]);
    assert!(!refused.stderr.contains("reader-secret"), "{}", refused.stderr);
    std::fs::remove_file(lake.workspace.path("stores.conf")).unwrap();
    run("run job.toml").fails(2).complains(&["cannot read stores.conf", "CUTOVER_OBJECT_SETTINGS"]);
}
