//! Damaged files: inputs that are truncated or have flipped bits, stores whose files were changed or come from a newer
//! program. What is damaged is named and never served, and the message says how to recover.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{NUMBERS, Numbers};
use crate::harness::{Workspace, names};

fn flip_bit(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, bytes: usize) {
    let whole = fs::read(path).unwrap();
    fs::write(path, &whole[..whole.len() - bytes]).unwrap();
}

/// A store with one version, and the input of the next.
fn published() -> Numbers {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.write(2, 100);
    numbers
}

#[test]
fn a_parquet_file_that_is_cut_off_is_named() {
    let numbers = published();
    let input = numbers.workspace.path("in/part-0.parquet");
    let size = fs::metadata(&input).unwrap().len() as usize;
    for cut_off in [1, 8, size / 2, size - 2] {
        numbers.write(2, 100);
        cut(&input, cut_off);
        let run = numbers.workspace.cutover("run numbers.toml").fails(3);
        run.complains(&["in/part-0.parquet", "not a readable Parquet file"]);
        assert_eq!(numbers.seen(), (1, 1));
        numbers.assert_states(&[(1, "published")]);
    }
}

#[test]
fn a_parquet_file_with_a_flipped_bit_is_named() {
    let numbers = published();
    let input = numbers.workspace.path("in/part-0.parquet");
    let size = fs::metadata(&input).unwrap().len() as usize;
    let mut refused = 0;
    let mut taken = 0;
    for at in (0..size).step_by(size / 60) {
        numbers.write(2, 100);
        flip_bit(&input, at);
        let run = numbers.workspace.cutover("run numbers.toml --rebuild");
        // A bit in a plain value or in a name that nothing reads makes another file, not a damaged one.
        if run.stdout.contains("is live") {
            run.ok();
            taken += 1;
            continue;
        }
        refused += 1;
        let before = numbers.states();
        match run.stderr.contains("did not pass") || run.stderr.contains("built but not published") {
            true => drop(run.exits(7)),
            false if run.stderr.contains("part-0.parquet") => drop(run.fails(3)),
            // A changed name or type of a column or a changed key is an error about that.
            false => assert!([2, 3, 7].contains(&run.code()), "bit in byte {at}: {}", run.stderr),
        }
        assert_eq!(numbers.states(), before);
        assert_eq!(names(&numbers.workspace.path("store/staging")), [""; 0]);
    }
    assert!(refused > 0, "{taken} files were taken, none was refused");
}

#[test]
fn a_damaged_page_is_found_while_it_is_read_and_the_file_is_named() {
    let numbers = published();
    let input = numbers.workspace.path("in/part-0.parquet");
    // The first page header follows the four letters at the beginning.
    let mut bytes = fs::read(&input).unwrap();
    bytes[4..40].fill(0xff);
    fs::write(&input, bytes).unwrap();
    let run = numbers.workspace.cutover("run numbers.toml").fails(3);
    run.complains(&["in/part-0.parquet"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published")]);
}

/// Pages carry no checksum by default. A page header that names another encoding makes the reader misread its bytes,
/// where it can trip over an assertion of its own.
#[test]
fn a_page_that_names_a_wrong_encoding_ends_the_run_and_the_file_is_named() {
    let workspace = Workspace::with_repository();
    workspace.cutover("demo --generate-only --dir data/demo --events 2000 --profiles 20000").ok();
    let input = workspace.path("data/demo/profiles/part-00000.parquet");
    let whole = fs::read(&input).unwrap();
    // In Thrift's compact form: a page in the encoding RLE_DICTIONARY (8), its levels in RLE (3).
    let places: Vec<usize> =
        (0..whole.len()).filter(|&at| whole[at..].starts_with(b"\x15\x10\x15\x06\x15\x06")).collect();
    assert!(places.len() >= 3, "the sample data has columns with dictionaries");
    for at in places {
        // BYTE_STREAM_SPLIT (9), DELTA_BINARY_PACKED (5), and one that does not exist.
        for encoding in [9, 5, 99_u8] {
            let mut bytes = whole.clone();
            bytes[at + 1] = encoding.wrapping_mul(2) & 0x7f;
            fs::write(&input, bytes).unwrap();
            let run = workspace.cutover("run jobs/enriched_events.toml").fails(3);
            run.complains(&["data/demo/profiles/part-00000.parquet"]);
        }
    }
    assert_eq!(names(&workspace.path("stores/enriched_events/staging")), [""; 0]);
}

#[test]
fn a_store_of_a_newer_program_is_not_changed() {
    let numbers = published();
    let current = numbers.workspace.path("store/current.json");
    let text = fs::read_to_string(&current).unwrap();
    fs::write(&current, text.replacen("\"format_version\": 2", "\"format_version\": 3", 1)).unwrap();
    let before = crate::harness::listing(&numbers.workspace.path("store"));
    for command in ["run numbers.toml", "get store k000", "versions store", "rollback store", "gc store"] {
        let refused = numbers.workspace.cutover(command).fails(2);
        refused.complains(&["store/current.json has format version 3", "upgrade cutover"]);
    }
    assert_eq!(crate::harness::listing(&numbers.workspace.path("store")), before);
    fs::write(&current, &text).unwrap();
    assert_eq!(numbers.seen(), (1, 1));

    let manifest = numbers.workspace.path("store/versions/00000001/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("\"format_version\": 1", "\"format_version\": 7", 1)).unwrap();
    numbers.on("get", "k000").fails(2).complains(&["manifest.json has format version 7", "upgrade cutover"]);
}

#[test]
fn a_damaged_current_json_is_refused() {
    let numbers = published();
    let current = numbers.workspace.path("store/current.json");
    let text = fs::read_to_string(&current).unwrap();
    for damaged in [
        text.replacen("\"rows\": 100", "\"rows\": 101", 1),
        text[..text.len() / 2].to_owned(),
        String::new(),
        "{}".to_owned(),
    ] {
        assert_ne!(damaged, text);
        fs::write(&current, damaged).unwrap();
        for command in ["run numbers.toml", "get store k000", "publish store 1 --allow older", "versions store"] {
            let refused = numbers.workspace.cutover(command).fails(6);
            refused.complains(&["the store at store cannot be trusted", "backup", "store/current.json is damaged"]);
        }
    }
    fs::write(&current, &text).unwrap();
    assert_eq!(numbers.seen(), (1, 1));
    fs::remove_file(&current).unwrap();
    numbers.on("get", "k000").fails(6).complains(&["store has versions but no current.json", "backup"]);
    numbers.workspace.cutover("run numbers.toml").fails(6);
}

/// The one table of a shard of version 1 that has rows.
fn table(numbers: &Numbers) -> PathBuf {
    let shard = numbers.workspace.path("store/versions/00000001/shard-00000");
    let name = names(&shard).into_iter().find(|name| name.ends_with(".sst")).unwrap();
    shard.join(name)
}

#[test]
fn a_damaged_table_is_found_by_verify_and_by_reads() {
    let numbers = published();
    numbers.on("verify", "").ok().prints(&["no damage found in version 1"]);
    numbers.on("verify", "--depth full").ok().prints(&["all 100 entries"]);
    let table = table(&numbers);
    let whole = fs::read(&table).unwrap();
    flip_bit(&table, 20);
    let found = numbers.on("verify", "").exits(1);
    found.prints(&["version 1 is damaged", "shard-00000", ".sst"]);
    assert_eq!(numbers.on("verify", "--json").exits(1).json()["ok"], false);
    // Sizes do not show it; a read of that block does.
    numbers.on("verify", "--depth sizes").ok();
    numbers.on("scan", "--json").exits(6).complains(&["version 1", "shard-00000", "checksum mismatch"]);

    fs::write(&table, &whole[..whole.len() - 1]).unwrap();
    numbers.on("verify", "--depth sizes").exits(1).prints(&["version 1 is damaged"]);
    numbers.on("get", "k000").fails(6).complains(&["version 1 is damaged", "cutover verify"]);
    fs::write(&table, &whole).unwrap();
    assert_eq!(numbers.seen(), (1, 1));
}

#[test]
fn no_command_switches_to_a_damaged_version() {
    let numbers = published();
    numbers.workspace.cutover("run numbers.toml").ok();
    let table = table(&numbers);
    cut(&table, 1);
    for command in ["rollback store", "publish store 1 --allow older", "pin store 1 --reason audit"] {
        let refused = numbers.workspace.cutover(command).fails(6);
        refused.complains(&["not applied: version 1 is damaged", "cutover verify store 1"]);
    }
    assert_eq!(numbers.seen(), (2, 2));
    numbers.assert_states(&[(1, "retired"), (2, "published")]);
}

#[test]
fn a_damaged_published_version_can_be_replaced() {
    let numbers = published();
    let table = table(&numbers);
    cut(&table, 1);
    numbers.on("get", "k000").fails(6);
    numbers.workspace.cutover("run numbers.toml").ok();
    assert_eq!(numbers.seen(), (2, 2));
    numbers.workspace.write("numbers.toml", NUMBERS);
    fs::remove_file(numbers.workspace.path("store/versions/00000002/manifest.json")).unwrap();
    numbers.on("get", "k000").fails(6).complains(&["00000002"]);
}
