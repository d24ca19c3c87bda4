//! Resuming a run that died: what is reused, what is built again, and what makes a run start from scratch.
//!
//! The job spills: its entries are more than a run with 64 MiB keeps in memory. One thread makes the order of its
//! ranges deterministic, so that a kill after the fourth leaves exactly four. The work of a run is counted in rows:
//! those that its query returned, and those that it wrote into tables.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::StringArray;
use serde_json::Value;

use crate::fixture::{integers, write_parquet};
use crate::harness::{CUTOVER, Run, Workspace, copy_directory, names};
use crate::namespace::in_namespace;

const ROWS: u64 = 220_000;
const JOB: &str = r#"
version = 1
dataset = "texts"
store = "store"

[inputs.texts]
path = "in/"

[query]
sql = "SELECT key, text FROM texts"

[output]
key = ["key"]

[tables]
file_size = "4MiB"
"#;
/// The memory with which the job spills, unless a run has its own.
pub const SMALL: &str = "--memory 64MiB";

/// A workspace with the job and its input.
pub struct Texts {
    pub workspace: Workspace,
}

impl Texts {
    pub fn new() -> Self {
        let texts = Self { workspace: Workspace::new() };
        texts.workspace.write("texts.toml", JOB);
        texts.write_input("in/part-0.parquet", 1);
        texts
    }

    fn write_input(&self, path: &str, generation: u64) {
        // Random order of keys, so that every run of the shuffle has a part in every range.
        let keys = (0..ROWS).map(|row| (row * 7_919 % ROWS) as i64);
        let texts = (0..ROWS).map(|row| format!("{generation}-{row}-{:0>130}", row % 1000));
        write_parquet(
            &self.workspace.path(path),
            vec![("key", integers(keys)), ("text", Arc::new(StringArray::from_iter_values(texts)))],
        );
    }

    /// Runs the job, with failpoints armed.
    pub fn run_at(&self, failpoints: &str, flags: &str) -> Run {
        let memory = if flags.contains("--memory") { "" } else { SMALL };
        let line = format!("run texts.toml --threads 1 {memory} {flags}");
        let mut command = self.workspace.command(CUTOVER, &line.split_whitespace().collect::<Vec<_>>());
        self.workspace.finish(command.env("CUTOVER_FAILPOINTS", failpoints))
    }

    /// Runs the job to its end.
    #[track_caller]
    pub fn run(&self, flags: &str) -> Report {
        let run = self.run_at("", &format!("--json {flags}")).ok();
        Report { json: run.json(), stderr: run.stderr.clone() }
    }

    /// The digest of what the job builds, from an uninterrupted run.
    #[track_caller]
    pub fn digest(&self) -> Value {
        self.workspace.write("undisturbed.toml", JOB.replace("\"store\"", "\"undisturbed\""));
        let run = self.workspace.cutover(&format!("run undisturbed.toml --threads 1 {SMALL} --json")).ok().json();
        assert!(run["spilled_bytes"].as_u64().unwrap() > 0, "the job is to spill");
        assert_eq!((&run["resumed"], &run["not_resumed"]), (&Value::Null, &Value::Null));
        run["digest"].clone()
    }

    fn staging(&self) -> Vec<String> {
        names(&self.workspace.path("store/staging"))
    }

    /// The directory of the one build in staging.
    #[track_caller]
    pub fn unfinished(&self) -> PathBuf {
        let staging = self.staging();
        assert_eq!(staging.len(), 1, "{staging:?}");
        self.workspace.path("store/staging").join(&staging[0])
    }

    /// The version that readers see is complete, and nothing else is left.
    #[track_caller]
    pub fn is_clean(&self) {
        self.workspace.cutover("verify store --depth full").ok();
        assert_eq!(self.staging(), [""; 0], "left in staging");
    }
}

/// The report of a run.
pub struct Report {
    pub json: Value,
    stderr: String,
}

impl Report {
    /// Rows that a stage processed; `None` if there was no such stage.
    fn rows_of(&self, stage: &str) -> Option<u64> {
        let stages = self.json["stages"].as_array().unwrap();
        stages.iter().find(|found| found["name"] == stage).map(|stage| stage["rows"].as_u64().unwrap())
    }

    /// It reused this many finished ranges, ran no query, and wrote the rest.
    #[track_caller]
    fn resumed(&self, ranges: u64) -> &Self {
        let resumed = &self.json["resumed"];
        assert_eq!(resumed["ranges"], ranges, "{}\n{}", self.json, self.stderr);
        assert_eq!((&self.json["not_resumed"], self.rows_of("query")), (&Value::Null, None));
        let all = resumed["of_ranges"].as_u64().unwrap();
        assert!(all >= 6, "{all} ranges");
        let written = self.rows_of("build").unwrap();
        let expected = ROWS * (all - ranges) / all;
        assert!(written.abs_diff(expected) <= ROWS / all, "{written} of {ROWS} rows for {ranges} of {all} ranges");
        assert!(self.stderr.contains("resuming build"), "{}", self.stderr);
        self
    }

    /// It started from scratch, for this reason.
    #[track_caller]
    fn starts_over(&self, why: &str) -> &Self {
        let said = self.json["not_resumed"].as_str().unwrap_or_default();
        assert!(said.contains(why), "{said:?} does not say {why:?}\n{}", self.stderr);
        assert!(self.stderr.contains("starting from scratch") && self.stderr.contains(why), "{}", self.stderr);
        assert_eq!(self.json["resumed"], Value::Null);
        assert_eq!((self.rows_of("query"), self.rows_of("build")), (Some(ROWS), Some(ROWS)));
        self
    }

    #[track_caller]
    fn has(&self, digest: &Value) -> &Self {
        assert_eq!(&self.json["digest"], digest);
        self
    }
}

#[test]
fn a_run_resumes_where_the_last_one_was_killed() {
    let texts = Texts::new();
    let digest = texts.digest();
    texts.run_at("shuffle.sealed=kill", "").killed();
    let build = texts.staging();
    texts.workspace.cutover("gc store").ok().prints(&[&build[0], "was not finished and stays", "--unfinished"]);
    assert_eq!(texts.staging(), build, "gc keeps what can be resumed");
    let plan = |flags: &str| texts.workspace.cutover(&format!("plan texts.toml --threads 1 {flags}")).ok();
    plan(SMALL).prints(&[&format!("build {} was not finished: its shuffle is resumed", build[0])]);
    plan("--memory 128MiB")
        .prints(&[&format!("build {} was not finished and is not resumed: it had a different", build[0])]);
    texts.run_at("range.finished=kill@4", "").killed();
    texts.run_at("range.finished=kill@2", "").killed();
    assert_eq!(texts.staging(), build);
    texts.run("").resumed(6).has(&digest);
    texts.is_clean();
    let version = fs::read_to_string(texts.workspace.path("store/versions/00000001/report.json")).unwrap();
    let account: Value = serde_json::from_str(&version).unwrap();
    assert_eq!((&account["resumed"]["ranges"], &account["resumed"]["build"]), (&6.into(), &build[0].as_str().into()));
    // A finished run is finished: the same command again finds its version.
    assert_eq!(texts.run("").json["outcome"], "unchanged");
}

/// The tables of a database that was built and not installed are still there for the next run.
#[test]
fn finished_ranges_are_kept_without_their_database() {
    let texts = Texts::new();
    let digest = texts.digest();
    texts.run_at("build.finished=kill", "").killed();
    let ranges = names(&texts.unfinished().join("tables/shard-00000")).len() as u64;
    let shown = texts.run_at("", "").ok();
    shown.prints(&["resumed  the shuffle and", "version 1 is live"]);
    texts.is_clean();
    texts.run_at("build.finished=kill", "--rebuild").killed();
    let report = texts.run("--rebuild");
    report.has(&digest);
    assert_eq!(report.json["resumed"]["ranges"], report.json["resumed"]["of_ranges"]);
    assert!(report.json["resumed"]["ranges"].as_u64().unwrap() <= ranges);
    assert_eq!((report.rows_of("query"), report.rows_of("build")), (None, Some(0)));
    texts.is_clean();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, at: usize) {
    fs::File::options().write(true).open(path).unwrap().set_len(at as u64).unwrap();
}

#[test]
fn a_damaged_build_is_never_resumed() {
    let texts = Texts::new();
    let digest = texts.digest();
    texts.run_at("range.finished=kill@4", "").killed();
    copy_directory(&texts.workspace.path("store"), &texts.workspace.path("saved"));
    let build = texts.unfinished();
    let table = |range: usize| build.join(format!("tables/shard-00000/range-{range:05}-00000.sst"));
    let run = build.join("spill/shuffle").join(&names(&build.join("spill/shuffle"))[0]);
    let (shuffle, ranges) = (build.join("journal/shuffle.jsonl"), build.join("journal/shard-00000.jsonl"));
    let third_line = fs::read_to_string(&ranges).unwrap().split_inclusive('\n').take(2).map(str::len).sum::<usize>();
    let again = |damage: &dyn Fn()| {
        fs::remove_dir_all(texts.workspace.path("store")).unwrap();
        copy_directory(&texts.workspace.path("saved"), &texts.workspace.path("store"));
        damage();
        let report = texts.run("");
        report.has(&digest);
        texts.is_clean();
        report
    };
    again(&|| ()).resumed(4);
    let size = |path: &Path| fs::metadata(path).unwrap().len() as usize;
    let damages: [fn(&Path, usize); 2] = [flip, cut];
    for damage in damages {
        let report = again(&|| damage(&table(2), 5_000));
        assert!(report.resumed(3).stderr.contains("range 2 is built again"), "{}", report.stderr);
        // In a block of a range that is not built yet, and in the index after the blocks.
        again(&|| damage(&run, size(&run) / 5 * 4)).starts_over("spill file");
        again(&|| damage(&run, size(&run) - 50)).starts_over("spill file");
        again(&|| damage(&shuffle, 200)).starts_over("its journal is damaged");
        again(&|| damage(&ranges, third_line + 100)).resumed(2);
    }
    again(&|| fs::remove_file(table(0)).unwrap()).resumed(3);
    again(&|| fs::remove_file(&run).unwrap()).starts_over("it is missing");
    again(&|| fs::remove_file(&shuffle).unwrap()).starts_over("no shuffle was sealed");
    again(&|| fs::remove_file(&ranges).unwrap()).resumed(0);
    let [first, second] = [table(0), table(1)];
    again(&|| fs::rename(&second, &first).unwrap()).resumed(2);
    again(&|| fs::write(build.join("tables/shard-00000/range-00009-00000.sst"), "half a table").unwrap()).resumed(4);
}

#[test]
fn other_inputs_another_job_or_other_resources_start_a_new_build() {
    let texts = Texts::new();
    let kill = || texts.run_at("range.finished=kill@2", "").killed();
    kill();
    texts.write_input("in/part-0.parquet", 2);
    texts.run("").starts_over("the inputs have changed since");
    texts.is_clean();
    texts.write_input("in/part-0.parquet", 3);
    kill();
    texts.run("--no-resume").starts_over("--no-resume is set");
    texts.is_clean();
    texts.write_input("in/part-0.parquet", 4);
    kill();
    texts.run("--memory 65MiB").starts_over("a different --threads or --memory");
    texts.is_clean();
    texts.write_input("in/part-0.parquet", 5);
    kill();
    let job = JOB.replace("text FROM", "upper(text) AS text FROM");
    texts.workspace.write("other.toml", &job);
    // Another job of the same store: it reuses nothing of this one, and removes what this one could have resumed from.
    texts.workspace.cutover("run other.toml").ok().prints(&["restart  build", "it is from another job"]);
    texts.is_clean();
    let report = texts.run("");
    assert_eq!((&report.json["resumed"], &report.json["not_resumed"]), (&Value::Null, &Value::Null));
    texts.is_clean();
}

/// Checks may change in between: they are evaluated again.
#[test]
fn checks_are_those_of_the_run_that_finishes() {
    let texts = Texts::new();
    texts.run_at("range.finished=kill@2", "").killed();
    texts.workspace.write("texts.toml", format!("{JOB}\n[checks]\nunique = [\"key\"]\nnot_null = [\"text\"]\n"));
    let report = texts.run("");
    let rules: Vec<_> = report.json["checks"].as_array().unwrap().iter().map(|check| &check["rule"]).collect();
    assert_eq!(rules, ["unique: key", "not_null: text", "rows.min"]);
    report.resumed(2);
    texts.is_clean();
}

#[test]
fn a_build_that_did_not_spill_cannot_be_resumed() {
    let texts = Texts::new();
    texts.run_at("range.finished=kill@2", "--memory 1GiB").killed();
    texts.run("--memory 1GiB").starts_over("no shuffle was sealed on disk");
    texts.is_clean();
}

#[test]
fn a_separate_spill_directory_is_kept_and_deleted_with_its_build() {
    let texts = Texts::new();
    let digest = texts.digest();
    let spill = || names(&texts.workspace.path("spill"));
    texts.run_at("range.finished=kill@3", "--spill-dir spill").killed();
    let left = spill();
    assert_eq!(left.len(), 1);
    // A run of another store with the same directory, and one of the same store that never gets so far.
    texts.workspace.cutover("run undisturbed.toml --rebuild --spill-dir spill").ok();
    texts.workspace.cutover("plan texts.toml --spill-dir spill").ok();
    assert_eq!(spill(), left);
    texts.run("--spill-dir spill").resumed(3).has(&digest);
    assert_eq!(spill(), [""; 0]);
    texts.is_clean();

    texts.run_at("range.finished=kill@3", "--rebuild --spill-dir spill").killed();
    texts.run("--rebuild").starts_over("its spill directory is not here");
    assert_eq!(spill().len(), 1, "no run has used that directory yet");
    texts.workspace.cutover("plan texts.toml --spill-dir spill").ok();
    assert_eq!(spill(), [""; 0], "the next run with the directory removes it");

    texts.run_at("shuffle.sealed=kill", "--rebuild --spill-dir spill").killed();
    texts.workspace.cutover("gc store --unfinished").ok().prints(&["deleted 1 leftover directory"]);
    texts.run("--rebuild --spill-dir spill");
    assert_eq!(spill(), [""; 0]);
    texts.is_clean();
}

#[test]
fn a_transient_error_is_retried_and_a_lasting_one_ends_the_run() {
    let texts = Texts::new();
    let digest = texts.digest();
    // In memory, and from disk.
    for (flags, store) in [("--memory 1GiB", 1), ("--rebuild", 2)] {
        let run = texts.run_at("range.written=error@2", &format!("--json {flags}")).ok();
        run.complains(&["range 1 of shard 0 failed and is retried: failpoint range.written"]);
        let report = Report { json: run.json(), stderr: run.stderr.clone() };
        assert_eq!((report.rows_of("build"), &report.json["version"]), (Some(ROWS), &store.into()));
        report.has(&digest);
        texts.is_clean();
    }
    let thrice = "range.written=error@3,range.written=error@3,range.written=error@3";
    let failed = texts.run_at(thrice, "--rebuild").fails(4);
    failed.complains(&["range 2 of shard 0 failed after 3 attempts", "because: failpoint range.written", "is kept"]);
    texts.run("--rebuild").resumed(2).has(&digest);
    texts.is_clean();
    // In memory nothing is kept.
    texts.run_at(thrice, "--rebuild --memory 1GiB").fails(4);
    assert_eq!(texts.staging(), [""; 0]);
}

#[test]
fn a_run_that_fails_because_of_the_data_keeps_nothing() {
    let texts = Texts::new();
    texts
        .workspace
        .write("texts.toml", JOB.replace("SELECT key,", "SELECT CASE WHEN key = 7 THEN 8 ELSE key END AS key,"));
    texts.run_at("", "").fails(3).complains(&["more than once"]);
    assert_eq!(texts.staging(), [""; 0]);
}

/// What could be resumed would keep the disk full for all other writers, even a rollback of this store.
#[test]
fn a_full_disk_is_freed_even_if_the_run_could_be_resumed() {
    let texts = Texts::new();
    let script = format!(
        "mkdir -p store && mount -t tmpfs -o size=3m tmpfs store || exit 99
        $CUTOVER run texts.toml --threads 1 {SMALL} --spill-dir spill >run.txt 2>&1
        echo $? >code.txt
        find store/staging spill -mindepth 1 >left.txt"
    );
    let Some(run) = in_namespace(&texts.workspace, &script) else { return };
    run.exits(0);
    let read = |name: &str| fs::read_to_string(texts.workspace.path(name)).unwrap();
    let said = read("run.txt");
    assert_eq!((read("code.txt").as_str(), read("left.txt").as_str()), ("4\n", ""), "{said}");
    assert!(said.contains("split") && said.contains("No space left on device"), "it failed after the seal: {said}");
    assert!(!said.contains("retried") && !said.contains("is kept"), "{said}");
}
