//! Every rule of the job file is shown to reject through [`Job::parse`], and the shipped jobs are shown to pass.
//!
//! A new rule gets a line in `BROKEN`: what is replaced in a good job, by what, and the problem with its line.
//!
//! Not for: the small parsers of one value (units, order, parameters), which have tests in their own files.

mod params;

use crate::format::{Compression, Encoding, Partitioner};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::error::{Error, Kind};

const GOOD: &str = r#"version = 1
dataset = "views_by_age"
store = "stores/${env}/views_by_age"
[inputs.events]
path = "data/events/date=${date}/*.parquet"
format = "parquet"
schema = "schemas/activity_event.json"
require = "_SUCCESS"
[inputs.profiles]
path = "data/profiles/"
[query]
sql = "SELECT url, age, ts FROM events WHERE country = $country AND x = '$not' -- $nor"
[output]
key = ["url", "age"]
shard_by = ["url"]
order_by = ["ts desc nulls last"]
duplicates = { top = 10 }
value = { encoding = "avro", single_object = true, columns = ["ts"] }
shards = 4
partitioner = "murmur2"
[tables]
compression = "zstd"
block_size = "32KiB"
bloom_bits = 12
file_size = "8MiB"
format_version = 5
[checks]
rows = { min = 1, max = 9, warn_change = 0.1, max_change = 0.3 }
not_null = ["ts"]
unique = ["url"]
verify = "full"
[retention]
keep = 5
keep_for = "48h"
[kafka]
brokers = "a:9092,b:9092"
topic = "views-by-age"
replication = 3
compression = "lz4" # kafka
properties = "secrets/kafka.properties"
"#;

const SMALL: &str = r#"version = 1
dataset = "d"
store = "stores/d"
[inputs.t]
path = "t.parquet"
[query]
sql = "SELECT k FROM t"
[output]
key = ["k"]
"#;

fn sets(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn good_sets() -> BTreeMap<String, String> {
    sets(&[("env", "test"), ("date", "2026-11-22"), ("country", "it's a/b")])
}

fn no_sql(path: &Path) -> Result<String> {
    Err(Error::invalid(format!("{} does not exist", path.display())))
}

fn parse(text: &str, sets: &BTreeMap<String, String>) -> Result<Job> {
    Job::parse(Path::new("jobs/x.toml"), text, sets, &no_sql)
}

/// The error message for `text`.
fn refusal(text: &str, sets: &BTreeMap<String, String>) -> String {
    let error = parse(text, sets).expect_err(text);
    assert_eq!(error.kind(), Kind::Invalid);
    error.message().to_owned()
}

#[test]
fn a_full_job_is_read_as_written() {
    let job = parse(GOOD, &good_sets()).unwrap();
    assert_eq!(job.dataset, "views_by_age");
    assert_eq!(job.text, GOOD);
    assert_eq!(job.store, PathBuf::from("stores/test/views_by_age"));
    assert_eq!(job.params, sets(&[("country", "it's a/b")]));
    let events = InputSpec {
        name: "events".into(),
        path: "data/events/date=2026-11-22/*.parquet".into(),
        format: Some(Format::Parquet),
        csv: CsvForm::default(),
        schema: Some("schemas/activity_event.json".into()),
        require: Some("_SUCCESS".into()),
        line: 4,
        ..job.inputs[0].clone()
    };
    assert_eq!(job.inputs[0], events);
    assert_eq!((job.inputs[0].require_each.as_ref(), job.inputs[0].partitions.as_ref()), (None, None));
    assert_eq!((job.inputs[1].name.as_str(), job.inputs[1].line), ("profiles", 9));
    let output = Output {
        key: vec!["url".into(), "age".into()],
        shard_by: vec!["url".into()],
        order_by: vec![OrderBy { column: "ts".into(), descending: true, nulls_first: false }],
        duplicates: Fold::Top(10),
        value: ValueSpec { encoding: Encoding::Avro { single_object: true }, columns: Some(vec!["ts".into()]) },
        shards: 4,
        partitioner: Partitioner::Murmur2,
    };
    assert_eq!(job.output, output);
    let tables = Tables {
        compression: Compression::Zstd,
        block_size: 32 << 10,
        bloom_bits: 12.0,
        file_size: 8 << 20,
        format_version: 5,
    };
    assert_eq!(job.tables, tables);
    let checks = Checks {
        rows_min: Some(1),
        rows_max: Some(9),
        warn_change: 0.1,
        max_change: 0.3,
        not_null: vec!["ts".into()],
        unique: vec!["url".into()],
        verify: Verify::Full,
        ..Checks::default()
    };
    assert_eq!(job.checks, checks);
    assert_eq!(job.retention, Retention { keep: 5, keep_for: Some(Duration::from_secs(172_800)) });
}

#[test]
fn a_small_job_gets_the_documented_defaults() {
    let job = parse(SMALL, &sets(&[])).unwrap();
    assert_eq!((job.tables, job.checks, job.retention), (Tables::default(), Checks::default(), Retention::default()));
    assert_eq!((job.output.shards, job.output.partitioner), (DEFAULT_SHARDS, Partitioner::Xxh3));
    assert_eq!((job.output.duplicates, job.output.value), (Fold::Error, ValueSpec::default()));
    assert!(job.output.shard_by.is_empty() && job.output.order_by.is_empty() && job.params.is_empty());
}

#[test]
fn the_sql_may_be_in_a_file() {
    let text = SMALL.replace("sql = \"SELECT k FROM t\"", "file = \"jobs/x.sql\"");
    let read = |path: &Path| {
        assert_eq!(path, Path::new("jobs/x.sql"));
        Ok("SELECT $day AS k FROM t".to_owned())
    };
    let job = Job::parse(Path::new("x.toml"), &text, &sets(&[("day", "1")]), &read).unwrap();
    assert_eq!(job.sql, "SELECT $day AS k FROM t");
    let message = refusal(&text, &sets(&[]));
    assert!(
        message.contains("jobs/x.toml:7: \"file\" in [query] cannot be read: jobs/x.sql does not exist"),
        "{message}"
    );
}

/// A string in [`GOOD`], its replacement, and the problem that must be reported, with its line.
const BROKEN: &[(&str, &str, &str)] = &[
    // The top.
    ("version = 1", "version = 2", ":1: \"version\" is 2, and this cutover reads only version 1"),
    ("version = 1", "", ":1: missing key \"version\""),
    ("version = 1", "version = \"1\"", ":1: \"version\" must be an integer"),
    ("version = 1", "version = 1\nshards = 4", ":2: unknown key \"shards\""),
    ("\"views_by_age\"", "\"Views\"", ":2: \"dataset\" cannot be \"Views\""),
    ("\"views_by_age\"", "\"../up\"", ":2: \"dataset\" cannot be"),
    ("\"views_by_age\"", "\"_x\"", ":2: \"dataset\" cannot be"),
    ("\"views_by_age\"", "\"\"", ":2: \"dataset\" cannot be"),
    ("\"views_by_age\"", "7", ":2: \"dataset\" must be a string, not 7"),
    ("dataset = \"views_by_age\"", "datset = \"x\"", ":2: unknown key \"datset\", did you mean \"dataset\"?"),
    ("dataset = \"views_by_age\"", "", ":1: missing key \"dataset\""),
    ("store = \"stores/${env}/views_by_age\"", "store = \"\" # ${env}", ":3: \"store\" is empty"),
    ("stores/${env}/", "ftp://bucket/${env}/", ":3: \"store\" is a URL"),
    ("stores/${env}/", "https://host/${env}/", ":3: \"store\" cannot be written to"),
    ("stores/${env}/", "s3:/bucket/${env}/", ":3: \"store\" lacks a slash: write \"s3://bucket/${env}/views_by_age\""),
    ("stores/${env}/", "s3://me:word@bucket/${env}/", ":3: \"store\" cannot be used: \"s3://…@bucket/"),
    // Inputs.
    ("[inputs.events]", "[inputs.Events]", ":4: input \"Events\" cannot be a table name"),
    ("[inputs.events]", "[inputs.\"a b\"]", ":4: input \"a b\" cannot be a table name"),
    (
        "[inputs.profiles]\npath = \"data/profiles/\"",
        "[inputs.profiles]",
        ":9: missing key \"path\" in [inputs.profiles]",
    ),
    ("path = \"data/profiles/\"", "path = \"\"", ":10: \"path\" in [inputs.profiles] is empty"),
    ("path = \"data/profiles/\"", "path = \" a\"", ":10: \"path\" in [inputs.profiles] begins or ends with a space"),
    (
        "path = \"data/profiles/\"",
        "path = \"a\\u0000\"",
        ":10: \"path\" in [inputs.profiles] holds a control character",
    ),
    ("path = \"data/profiles/\"", "path = \"a${\"", ":10: \"path\" in [inputs.profiles] has a ${ without a closing }"),
    ("path = \"data/profiles/\"", "path = \"a${b c}\"", ":10: \"path\" in [inputs.profiles] has ${b c}"),
    (
        "path = \"data/profiles/\"",
        "path = [\"a\"]",
        ":10: \"path\" in [inputs.profiles] must be a string, not an array",
    ),
    (
        "format = \"parquet\"",
        "format = \"parket\"",
        ":6: \"format\" in [inputs.events] cannot be \"parket\", did you mean \"parquet\"?",
    ),
    (
        "format = \"parquet\"",
        "fromat = \"csv\"",
        ":6: unknown key \"fromat\" in [inputs.events], did you mean \"format\"?",
    ),
    ("\"schemas/activity_event.json\"", "\"${date}.json\"", ":7: \"schema\" in [inputs.events] cannot hold ${…}"),
    ("\"_SUCCESS\"", "\"../_SUCCESS\"", ":8: \"require\" in [inputs.events] must name a file inside"),
    ("\"_SUCCESS\"", "\"/tmp/x\"", ":8: \"require\" in [inputs.events] must name a file inside"),
    // The query.
    ("sql = ", "file = \"a.sql\"\nsql = ", ":11: [query] has both sql and file"),
    ("sql = ", "query = ", ":11: [query] has neither sql"),
    ("sql = \"SELECT", "sql = \" \" # ", ":12: \"sql\" in [query] contains no SQL"),
    ("$country", "$1", ":12: \"sql\" in [query] has $1 in line 1: write parameters as $name"),
    ("$country", "${country}", ":12: \"sql\" in [query] has ${…} in line 1"),
    ("$country", "'open", ":12: \"sql\" in [query] is not SQL"),
    ("$country", "$county", ":12: \"sql\" in [query] needs a value for $county: add --set county=…"),
    // The output.
    ("key = [\"url\", \"age\"]", "", ":13: missing key \"key\" in [output]"),
    ("key = [\"url\", \"age\"]", "key = []", ":14: \"key\" in [output] names no column"),
    ("key = [\"url\", \"age\"]", "key = \"url\"", ":14: \"key\" in [output] must be an array of column names"),
    (
        "key = [\"url\", \"age\"]",
        "key = [\"url\",\n\"url\"]",
        ":15: an element of \"key\" in [output] names column \"url\" a second",
    ),
    (
        "key = [\"url\", \"age\"]",
        "key = [\"url\", 1]",
        ":14: an element of \"key\" in [output] must be a string, not 1",
    ),
    ("key = [\"url\", \"age\"]", "key = [\"\"]", ":14: an element of \"key\" in [output] is an empty column name"),
    (
        "shard_by = [\"url\"]",
        "shard_by = [\"ts\"]",
        ":15: \"shard_by\" in [output] names \"ts\", which is not a key column",
    ),
    ("shard_by = [\"url\"]", "shard_by = []", ":15: \"shard_by\" in [output] names no column"),
    (
        "\"ts desc nulls last\"",
        "\"ts\", \"ts desc\"",
        ":16: an element of \"order_by\" in [output] names column \"ts\" a second",
    ),
    (
        "\"ts desc nulls last\"",
        "\"ts nulls\", \"\"",
        ":16: an element of \"order_by\" in [output] is wrong: \"\" names no",
    ),
    ("\"ts desc nulls last\"", "\"ts nulls none\"", ":16: an element of \"order_by\" in [output] is wrong"),
    ("{ top = 10 }", "\"frist\"", ":17: \"duplicates\" in [output] cannot be \"frist\", did you mean \"first\"?"),
    ("{ top = 10 }", "{ top = 0 }", ":17: \"top\" in duplicates must be an integer from 1"),
    ("{ top = 10 }", "{ bottom = 1 }", ":17: unknown key \"bottom\" in duplicates; known: top"),
    ("{ top = 10 }", "7", ":17: \"duplicates\" in [output] must be a string, not 7"),
    (
        "encoding = \"avro\"",
        "encoding = \"xml\"",
        ":18: \"encoding\" in value cannot be \"xml\"; known: json, avro, raw",
    ),
    (
        "encoding = \"avro\"",
        "encoding = \"json\"",
        ":18: \"single_object\" in value applies only to encoding = \"avro\"",
    ),
    ("single_object = true", "single_object = 1", ":18: \"single_object\" in value must be true or false, not 1"),
    ("columns = [\"ts\"]", "columns = []", ":18: \"columns\" in value names no column"),
    ("\"avro\", single_object = true", "\"raw\"", ":13: raw values cannot be folded into a list in [output]"),
    (
        "\"avro\", single_object = true, columns = [\"ts\"",
        "\"raw\", columns = [\"ts\", \"x\"",
        ":13: a raw value is exactly one column",
    ),
    ("shards = 4", "shards = 0", ":19: \"shards\" in [output] must be an integer from 1 to 4096, not 0"),
    ("shards = 4", "shards = 4097", ":19: \"shards\" in [output] must be an integer from 1 to 4096, not 4097"),
    ("shards = 4", "shards = -1", ":19: \"shards\" in [output] must be an integer from 1 to 4096, not -1"),
    ("shards = 4", "shard = 4", ":19: unknown key \"shard\" in [output], did you mean \"shards\"?"),
    ("\"murmur2\"", "\"murmur3\"", ":20: \"partitioner\" in [output] cannot be \"murmur3\", did you mean \"murmur2\"?"),
    // Tables.
    ("\"zstd\"", "\"gzip\"", ":22: \"compression\" in [tables] cannot be \"gzip\"; known: lz4, zstd, none"),
    ("\"32KiB\"", "\"32KB\"", ":23: \"block_size\" in [tables] is wrong: \"32KB\" is not a size: write 32KiB"),
    ("\"32KiB\"", "32768", ":23: \"block_size\" in [tables] must be a string, not 32768"),
    ("\"32KiB\"", "\"32MiB\"", ":23: \"block_size\" in [tables] must be a size from 1KiB to 16MiB"),
    ("\"32KiB\"", "\"16MiB\"", ":21: block_size is larger than file_size in [tables]"),
    ("bloom_bits = 12", "bloom_bits = 33", ":24: \"bloom_bits\" in [tables] must be a number from 0 to 32, not 33"),
    ("bloom_bits = 12", "bloom_bits = nan", ":24: \"bloom_bits\" in [tables] must be a number from 0 to 32, not nan"),
    ("\"8MiB\"", "\"1B\"", ":25: \"file_size\" in [tables] must be a size from 64KiB to 4GiB"),
    (
        "format_version = 5",
        "format_version = 7",
        ":26: \"format_version\" in [tables] must be an integer from 5 to 6, not 7",
    ),
    // Checks.
    ("min = 1", "min = 10", ":28: no row count passes rows: min is 10 and max is 9"),
    ("min = 1", "minimum = 1", ":28: unknown key \"minimum\" in rows; known: min, max, warn_change, max_change"),
    ("warn_change = 0.1", "warn_change = 0.4", ":28: warn_change (0.4) is above max_change (0.3)"),
    (
        "warn_change = 0.1",
        "warn_change = -0.1",
        ":28: \"warn_change\" in rows must be a number from 0 to 1000, not -0.1",
    ),
    ("max_change = 0.3", "max_change = inf", ":28: \"max_change\" in rows must be a number from 0 to 1000, not inf"),
    (
        "not_null = [\"ts\"]",
        "not_null = [\"ts\", \"ts\"]",
        ":29: an element of \"not_null\" in [checks] names column \"ts\" a second",
    ),
    ("unique = [\"url\"]", "unique = true", ":30: \"unique\" in [checks] must be an array of column names, not true"),
    ("verify = \"full\"", "verify = \"all\"", ":31: \"verify\" in [checks] cannot be \"all\"; known: sample, full"),
    // Retention.
    ("keep = 5", "keep = 0", ":33: \"keep\" in [retention] must be an integer from 1 to 10000, not 0"),
    ("\"48h\"", "\"2 weeks\"", ":34: \"keep_for\" in [retention] is wrong: \"2 weeks\" is not a duration"),
    // Shapes and syntax.
    ("[inputs.events]", "[inputs.events", ":4: not TOML: "),
    ("shards = 4", "shards = 4\nshards = 5", ":20: not TOML: duplicate key"),
    ("[retention]", "[retention]\nkeep = ", ":33: not TOML: "),
];

#[test]
fn every_rule_refuses_with_its_line() {
    for (from, to, expected) in BROKEN {
        assert!(GOOD.contains(from), "{from}");
        let message = refusal(&GOOD.replacen(from, to, 1), &good_sets());
        assert!(message.starts_with("jobs/x.toml has "), "{message}");
        assert!(message.contains(&format!("jobs/x.toml{expected}")), "{from} → {to}: expected {expected}\n{message}");
    }
}

#[test]
fn missing_and_malformed_sections_are_reported() {
    let message = refusal("", &sets(&[]));
    for section in ["version", "dataset", "store", "inputs", "query", "output"] {
        assert!(message.contains(&format!("x.toml:1: missing key \"{section}\"")), "{message}");
    }
    let message = refusal("inputs = 1\nquery = 2\noutput = []\ntables = 4\nchecks = 5\nretention = 6", &sets(&[]));
    for (line, section) in ["inputs", "query", "output", "tables", "checks", "retention"].iter().enumerate() {
        assert!(message.contains(&format!("x.toml:{}: \"{section}\" must be a table", line + 1)), "{message}");
    }
    let message = refusal(&SMALL.replace("[inputs.t]\npath = \"t.parquet\"", "[inputs]"), &sets(&[]));
    assert!(message.contains("x.toml:4: [inputs] names no input"), "{message}");
}

#[test]
fn all_problems_are_reported_at_once_in_file_order() {
    let text = SMALL.replace("\"d\"", "\"D\"").replace("key = [\"k\"]", "key = [\"k\", \"k\"]\nshard = 4");
    let message = refusal(&text, &sets(&[("date", "x")]));
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], "jobs/x.toml has 4 problems", "{message}");
    assert!(lines[1].starts_with("jobs/x.toml:2: \"dataset\" cannot be \"D\""), "{message}");
    assert!(lines[2].starts_with("jobs/x.toml:9: an element of \"key\" in [output]"), "{message}");
    assert_eq!(lines[3], "jobs/x.toml:10: unknown key \"shard\" in [output], did you mean \"shards\"?");
    assert!(lines[4].starts_with("jobs/x.toml: --set date=… is used nowhere in this job"), "{message}");
    assert_eq!(lines.len(), 5);
}

#[test]
fn the_digest_covers_what_determines_the_output_and_nothing_else() {
    let digest = |text: &str, sets: &BTreeMap<String, String>| parse(text, sets).unwrap().digest(&["c".to_owned()]);
    let base = digest(GOOD, &good_sets());
    assert_eq!(base.len(), 32);
    let same = [
        ("keep = 5", "keep = 6"),
        ("min = 1", "min = 2"),
        ("stores/", "elsewhere/"),
        ("require = \"_SUCCESS\"", ""),
        ("version = 1", "# a comment\nversion = 1"),
    ];
    for (from, to) in same {
        assert_eq!(digest(&GOOD.replacen(from, to, 1), &good_sets()), base, "{to}");
    }
    let other = [
        ("\"views_by_age\"", "\"other\""),
        ("data/profiles/", "data/profile/"),
        ("[inputs.profiles]", "[inputs.people]"),
        ("format = \"parquet\"", ""),
        ("schemas/activity", "schema/activity"),
        ("SELECT url", "SELECT  url"),
        ("key = [\"url\", \"age\"]", "key = [\"age\", \"url\"]"),
        ("shard_by = [\"url\"]", ""),
        ("ts desc", "ts asc"),
        ("top = 10", "top = 11"),
        ("single_object = true", "single_object = false"),
        ("columns = [\"ts\"]", "columns = [\"xs\"]"),
        ("shards = 4", "shards = 5"),
        ("murmur2", "xxh3"),
        ("zstd", "lz4"),
        ("32KiB", "16KiB"),
    ];
    for (from, to) in other {
        assert_ne!(digest(&GOOD.replacen(from, to, 1), &good_sets()), base, "{to}");
    }
    let mut sets = good_sets();
    sets.insert("country".into(), "de".into());
    assert_ne!(digest(GOOD, &sets), base);
    let job = parse(GOOD, &good_sets()).unwrap();
    assert_ne!(job.digest(&["d".to_owned()]), base);
    assert_ne!(job.digest(&[]), base);
}

#[test]
fn files_are_bounded_and_must_be_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    let refused = |path: &Path| {
        let error = Job::load(path, &sets(&[])).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        error.message().to_owned()
    };
    assert!(refused(&path).contains("x.toml does not exist"));
    assert!(refused(directory.path()).contains("is not a file"));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(refused(&path).contains("is not UTF-8 text"));
    std::fs::write(&path, vec![b'#'; text_file::LARGEST_TEXT as usize + 1]).unwrap();
    assert!(refused(&path).contains("is larger than 1048576 bytes"));
    std::fs::write(&path, SMALL).unwrap();
    assert_eq!(Job::load(&path, &sets(&[])).unwrap().path, path);
}

/// The repository's own jobs and contracts, read as a user in its root would read them.
#[test]
fn every_shipped_job_and_contract_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut jobs = 0;
    for entry in std::fs::read_dir(root.join("jobs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let text = text_file::read_text(&path).unwrap();
        let sets = if text.contains("--set date=") { sets(&[("date", "2026-11-22")]) } else { sets(&[]) };
        let job = Job::parse(&path, &text, &sets, &|sql| text_file::read_text(&root.join(sql))).unwrap();
        assert_eq!(Some(job.dataset.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
        for input in &job.inputs {
            let schema = root.join(input.schema.as_ref().unwrap());
            let contract = crate::input::Contract::load(&schema).unwrap();
            assert_eq!(contract.to_text(), text_file::read_text(&schema).unwrap(), "{}", schema.display());
        }
        jobs += 1;
    }
    assert!(jobs >= 6, "only {jobs} jobs found");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}", path in "[a-z.${}/]{0,20}") {
        let _ = parse(&text, &sets(&[("date", &path)]));
        let _ = parse(&SMALL.replace("t.parquet", &path), &sets(&[]));
    }

    #[test]
    fn toml_like_text_never_panics(text in "([a-z]{0,3}[\\[\\]{}=\"'.,$\n #0-9-]{0,3}){0,40}") {
        let _ = parse(&text, &sets(&[]));
    }

    #[test]
    fn mutations_of_a_good_job_are_read_or_refused_with_a_line(
        cut in 0..GOOD.len(), length in 0..40_usize, insert in "[a-z\\[\\]{}=\"'.,$\n #0-9-]{0,6}",
    ) {
        let end = (cut + length).min(GOOD.len());
        let text = format!("{}{insert}{}", &GOOD[..cut], &GOOD[end..]);
        if let Err(error) = parse(&text, &good_sets()) {
            prop_assert_eq!(error.kind(), Kind::Invalid);
            prop_assert!(error.message().lines().skip(1).all(|line| line.starts_with("jobs/x.toml:")), "{}", error);
        }
    }
}
