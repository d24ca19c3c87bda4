//! What the crate depends on: the reader alone on RocksDB and the client of object stores, and all on licences and
//! sources that `deny.toml` allows.
//!
//! Not for: advisories, whose database is on the network: `cargo deny check` reads it.

use std::process::Command;

use serde_json::Value;

/// What a command of cargo prints about this crate.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).args(["--locked", "--offline"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Names of the crates that a build with these features needs.
fn crates(features: &[&str]) -> Vec<String> {
    let tree = cargo(&[&["tree", "--edges", "normal", "--prefix", "none"], features].concat());
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_reader_needs_rocksdb_and_neither_the_query_engine_nor_kafka() {
    let reader = crates(&["--no-default-features"]);
    let has = |names: &[String], name: &str| names.iter().any(|other| other == name);
    assert!(has(&reader, "rocksdb"), "{reader:?}");
    let all = crates(&[]);
    for name in ["datafusion", "arrow", "parquet", "rdkafka", "axum", "clap", "mimalloc"] {
        assert!(has(&all, name) && !has(&reader, name), "{name}");
    }
}

#[test]
fn rocksdb_is_bundled_as_its_crate_would_compile_it() {
    let script = include_str!("../../scripts/rocksdb.sh");
    let metadata = cargo(&["metadata", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let is_rocksdb = |package: &&Value| package["name"] == "librocksdb-sys";
    let package = metadata["packages"].as_array().unwrap().iter().find(is_rocksdb).unwrap();
    let build = package["manifest_path"].as_str().unwrap().replace("Cargo.toml", "build.rs");
    let hash = Command::new("sha256sum").arg(build).output().unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    let known = format!("known={}\n", hash.split(' ').next().unwrap());
    assert!(script.contains(&known), "compare the flags in scripts/rocksdb.sh with the new build script: {known}");

    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["id"] == package["id"]).unwrap();
    let features = Value::from(vec!["bindgen-runtime", "lz4", "lz4-sys", "static", "zstd", "zstd-sys"]);
    assert_eq!(node["features"], features, "scripts/rocksdb.sh has a flag for each feature");
    let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
    assert_eq!(manifest["profile"]["release"]["package"]["librocksdb-sys"]["opt-level"].as_integer(), Some(2));
    assert!(script.contains("-O2 -std=c++20") && script.contains("-DLZ4=1 -DZSTD=1"));
}

#[test]
fn licences_and_sources_of_all_dependencies_are_allowed() {
    let deny: toml::Table = include_str!("../../deny.toml").parse().unwrap();
    let allowed: Vec<&str> =
        deny["licenses"]["allow"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let metadata = cargo(&["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none");
        // `(MIT OR Apache-2.0) AND BSD-3-Clause`: one of each alternative, and all of what AND joins.
        let alternatives =
            |part: &str| part.replace('/', " OR ").split(" OR ").any(|one| allowed.contains(&one.trim()));
        if !licence.replace(['(', ')'], "").split(" AND ").all(alternatives) {
            problems.push(format!("{name}: {licence}"));
        }
        let source = package["source"].as_str().unwrap_or_default();
        if !["cutover", "cutover-python"].contains(&name) && !source.starts_with("registry+") {
            problems.push(format!("{name} is from {source:?}"));
        }
    }
    assert_eq!(problems, [""; 0]);
}
