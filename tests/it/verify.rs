//! `cutover verify`: it names the damaged file, block or shard, at the depth that can find it, and how to recover; and
//! every command that meets damage names a command that repairs it.
//!
//! Not for: damage as readers meet it (`corruption`).

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::fixture::{NUMBERS, Numbers};
use crate::harness::names;

/// A store whose current version, 2, has a table of many blocks in each of two shards.
fn published() -> Numbers {
    let numbers = Numbers::new();
    let tables = "[tables]\nblock_size = \"1KiB\"\ncompression = \"none\"\n";
    numbers.workspace.write("numbers.toml", format!("{}{tables}", NUMBERS.replace("shards = 4", "shards = 2")));
    for generation in 1..=2 {
        numbers.write(generation, 1000);
        numbers.workspace.cutover("run numbers.toml").ok();
    }
    numbers
}

/// A shard of the current version.
fn shard(numbers: &Numbers, number: u32) -> PathBuf {
    numbers.workspace.path(format!("store/versions/00000002/shard-{number:05}"))
}

/// The one table of a shard.
fn table(numbers: &Numbers, number: u32) -> PathBuf {
    let shard = shard(numbers, number);
    let tables: Vec<_> = names(&shard).into_iter().filter(|name| name.ends_with(".sst")).collect();
    assert_eq!(tables.len(), 1);
    shard.join(&tables[0])
}

/// The findings of `verify`: shard, file and problem each.
#[track_caller]
fn findings(numbers: &Numbers, arguments: &str) -> Vec<(Value, String, String)> {
    let run = numbers.on("verify", &format!("{arguments} --json"));
    let found = if run.code() == 0 { run.ok() } else { run.exits(1) }.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = found["findings"].as_array().unwrap();
    assert_eq!(found["ok"], findings.is_empty());
    findings.iter().map(|it| (it["shard"].clone(), text(&it["file"]), text(&it["problem"]))).collect()
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_damaged_table_is_named_with_its_block() {
    let numbers = published();
    assert_eq!(findings(&numbers, "--depth full"), []);
    // In each shard a different block, neither of them the first.
    flip(&table(&numbers, 0), 3000);
    flip(&table(&numbers, 1), 5000);
    assert_eq!(findings(&numbers, "--depth sizes"), [], "sizes are as they were");
    let found = findings(&numbers, "--depth checksums");
    assert_eq!(found.len(), 2, "{found:?}");
    for (number, (shard, file, problem)) in found.iter().enumerate() {
        assert_eq!(*shard, number);
        assert!(file.starts_with(&format!("shard-0000{number}/")) && file.ends_with(".sst"), "{file}");
        assert!(problem.contains("the manifest says") && problem.contains("block checksum mismatch"), "{problem}");
        assert!(problem.contains("offset"), "{problem}");
    }
    let found = findings(&numbers, "--depth full");
    for number in 0..2 {
        let read = |it: &&(Value, String, String)| it.0 == number && it.2.contains("cannot read further after");
        assert!(found.iter().any(|it| read(&it) && it.1.ends_with(".sst")), "{found:?}");
    }
    let verified = numbers.on("verify", "").exits(1);
    verified.prints(&["version 2 is damaged", "cutover run JOB.toml --rebuild", "cutover rollback store"]);
    assert_eq!(findings(&numbers, "1 --depth full"), [], "the version before is complete");
}

#[test]
fn every_file_is_checked() {
    let numbers = published();
    let shard = shard(&numbers, 1);
    for name in names(&shard) {
        let path = shard.join(&name);
        let whole = fs::read(&path).unwrap();
        let expected = format!("shard-00001/{name}");
        let damages: [(&dyn Fn(), &str); 3] = [
            (&|| fs::remove_file(&path).unwrap(), "is missing"),
            (&|| fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap(), "bytes, the manifest says"),
            (
                &|| {
                    fs::remove_file(&path).unwrap();
                    fs::create_dir(&path).unwrap();
                },
                "is not a regular file",
            ),
        ];
        for (damage, problem) in damages {
            damage();
            for depth in ["sizes", "checksums", "full"] {
                let found = findings(&numbers, &format!("--depth {depth}"));
                let it = |(_, file, found): &(Value, String, String)| *file == expected && found.contains(problem);
                assert!(found.iter().any(it), "{name}, {depth}: {found:?}");
            }
            if path.is_dir() {
                fs::remove_dir(&path).unwrap();
            }
            fs::write(&path, &whole).unwrap();
        }
        if !whole.is_empty() && !name.ends_with(".sst") {
            flip(&path, whole.len() / 2);
            assert_eq!(findings(&numbers, "--depth sizes").len(), 1, "{name}: small files are read at every depth");
            fs::write(&path, &whole).unwrap();
        }
    }
    assert_eq!(findings(&numbers, "--depth full"), []);
}

/// RocksDB reads write-ahead logs in a database's directory, whether or not they are listed.
#[test]
fn an_added_write_ahead_log_is_found_and_its_version_is_not_served() {
    let numbers = published();
    fs::write(shard(&numbers, 0).join("000099.log"), "foreign entries").unwrap();
    let found = findings(&numbers, "--depth sizes");
    assert!(found.len() == 1 && found[0].1.ends_with("000099.log"), "{found:?}");
    numbers.on("get", "k000").fails(6).complains(&["000099.log", "version 2 is damaged"]);
    // Files of other programs that nothing reads are not damage.
    fs::rename(shard(&numbers, 0).join("000099.log"), shard(&numbers, 0).join("LOG")).unwrap();
    assert_eq!(findings(&numbers, "--depth full"), []);
}

#[test]
fn a_damaged_manifest_is_reported_with_a_command_that_repairs_it() {
    type Damage = fn(&[u8]) -> Vec<u8>;
    let damages: [Damage; 4] = [
        |whole| whole[..whole.len() / 2].to_vec(),
        |_| Vec::new(),
        |_| b"{}".to_vec(),
        |whole| String::from_utf8(whole.to_vec()).unwrap().replacen("numbers", "letters", 1).into_bytes(),
    ];
    for damage in damages {
        let numbers = published();
        let manifest = numbers.workspace.path("store/versions/00000002/manifest.json");
        let whole = fs::read(&manifest).unwrap();
        fs::write(&manifest, damage(&whole)).unwrap();
        assert_eq!(findings(&numbers, "--depth sizes")[0].1, "manifest.json");
        let ways = ["manifest.json", "cutover rollback store", "cutover run JOB.toml --rebuild --allow damaged"];
        numbers.on("get", "k000").fails(6).complains(&ways);
        numbers.write(3, 1000);
        numbers.workspace.cutover("run numbers.toml").fails(6).complains(&ways);
        // The first way to recover.
        numbers.on("rollback", "").ok();
        assert_eq!(numbers.seen(), (1, 1));
        numbers.on("publish", "2 --allow rolled-back").fails(6);
        // The second one, which needs no other version.
        numbers.workspace.cutover("run numbers.toml --rebuild --allow damaged").ok();
        assert_eq!(numbers.seen(), (3, 3));
    }
}

#[test]
fn the_only_version_may_have_lost_its_manifest() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    fs::remove_file(numbers.workspace.path("store/versions/00000001/manifest.json")).unwrap();
    numbers.on("rollback", "").fails(2);
    numbers.workspace.cutover("run numbers.toml").fails(6).complains(&["--rebuild --allow damaged"]);
    numbers.workspace.cutover("run numbers.toml --rebuild").fails(6).complains(&["--rebuild --allow damaged"]);
    numbers.workspace.cutover("run numbers.toml --rebuild --allow damaged").ok();
    assert_eq!(numbers.seen(), (2, 1));
}

/// After a rollback the data of the damaged version counts as rolled back, although only the disk was at fault.
#[test]
fn the_data_of_a_damaged_version_can_be_rebuilt_after_a_rollback() {
    let numbers = published();
    flip(&table(&numbers, 0), 3000);
    numbers.on("verify", "").exits(1).prints(&["until then", "--allow rolled-back"]);
    numbers.on("rollback", "").ok();
    numbers.workspace.cutover("run numbers.toml --rebuild").fails(7);
    numbers.workspace.cutover("run numbers.toml --rebuild --allow rolled-back").ok();
    assert_eq!(numbers.seen().1, 2);
}
