//! Chaos tests with real processes: runs, publishes, rollbacks, pins and gcs, alone or concurrent, killed at random
//! times and at every durable step, while readers keep reading.
//!
//! `CUTOVER_CHAOS_SECONDS` sets the duration, `CUTOVER_CHAOS_SEED` the choices; a failure names its seed. The same seed
//! makes the same choices, but the interleaving of processes is not deterministic.
//!
//! Not for: disk faults; the simulation covers them.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cutover::serve::{Reader, Store};
use serde_json::Value;

use crate::fixture::{NUMBERS, Numbers, integers, strings, write_parquet};
use crate::harness::{CUTOVER, names, wait_for};
use crate::random::Random;
use crate::readers::{Stop, generations, open_files};

/// Duration in seconds in `make test`, one of many tests there.
const SECONDS: u64 = 15;
/// Most commands that run at the same time.
const MAX_CONCURRENT: u64 = 3;
/// A kill at a random time comes within this many milliseconds.
const LATEST_KILL: usize = 60;
/// Failpoints at which a command may be killed; see `cutover::failpoint`.
const PLACES: [&str; 14] = [
    "build.started",
    "build.table",
    "build.ingested",
    "build.synced",
    "install.reported",
    "install.synced",
    "install.manifest",
    "install.renamed",
    "current.decided",
    "storage.written",
    "current.replaced",
    "log.append",
    "retention.forgotten",
    "retention.renamed",
];

/// A store, the commands that run on it, and what is known about it.
struct Chaos {
    numbers: Numbers,
    random: Random,
    generation: i64,
}

/// A running command.
struct Started {
    line: String,
    child: Child,
    /// When to kill it, unless it ends before.
    kill_at: Option<Instant>,
    /// The generation that a run builds.
    generation: Option<i64>,
}

/// How a command ended.
struct Done {
    line: String,
    code: Option<i32>,
    stderr: String,
    generation: Option<i64>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let numbers = Numbers::new();
        for place in 0..MAX_CONCURRENT {
            let job = NUMBERS.replace("\"in/\"", &format!("\"in-{place}/\"")).replace("shards = 4", "shards = 2");
            numbers.workspace.write(&format!("job-{place}.toml"), job);
        }
        Self { numbers, random: Random::new(seed), generation: 0 }
    }

    /// A random command; `place` distinguishes it from concurrent ones.
    fn draw(&mut self, place: u64, known: &[u64]) -> (String, Option<i64>) {
        let version = known.get(self.random.below(known.len() + 1)).copied().unwrap_or(1_000_000);
        let line = match self.random.below(14) {
            0..=4 => {
                let generation = self.write(place);
                return (format!("run job-{place}.toml"), Some(generation));
            }
            5 | 6 => format!("publish store {version}"),
            7 => format!("publish store {version} --allow older,rolled-back,rows"),
            8 => "rollback store".to_owned(),
            9 => format!("rollback store --to {version}"),
            10 => "pin store --reason chaos".to_owned(),
            11 => "unpin store".to_owned(),
            12 => format!("gc store --keep {}", self.random.below(3)),
            _ => "get store k000 k019 --json".to_owned(),
        };
        (line, None)
    }

    /// Writes the next generation's rows for the job of a place.
    fn write(&mut self, place: u64) -> i64 {
        self.generation += 1;
        let keys: Vec<String> = (0..100).map(|row| format!("k{row:03}")).collect();
        let generations = integers(std::iter::repeat_n(self.generation, keys.len()));
        let columns = vec![("key", strings(keys.iter().map(String::as_str))), ("generation", generations)];
        write_parquet(&self.numbers.workspace.path(format!("in-{place}/part-0.parquet")), columns);
        self.generation
    }

    fn start(&mut self, line: String, generation: Option<i64>) -> Started {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = self.numbers.workspace.command(CUTOVER, &words);
        let mut kill_at = None;
        match self.random.below(4) {
            0 => kill_at = Some(Instant::now() + Duration::from_millis(self.random.below(LATEST_KILL) as u64)),
            1 => {
                let place = PLACES[self.random.below(PLACES.len())];
                command.env("CUTOVER_FAILPOINTS", format!("{place}=kill@{}", 1 + self.random.below(3)));
            }
            _ => {}
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Started { line, child, kill_at, generation }
    }

    /// Runs one or more commands to their end.
    fn round(&mut self, known: &[u64]) -> Vec<Done> {
        let concurrent = 1 + if self.random.once_in(2) { self.random.below(MAX_CONCURRENT as usize) as u64 } else { 0 };
        let mut started: Vec<Started> = (0..concurrent)
            .map(|place| {
                let (line, generation) = self.draw(place, known);
                self.start(line, generation)
            })
            .collect();
        // Not `all`, which would skip the later ones.
        wait_for("the commands to end", || {
            started.iter_mut().map(Started::has_ended).filter(|ended| !ended).count() == 0
        });
        started.into_iter().map(Started::done).collect()
    }

    fn current(&self) -> Value {
        self.numbers.current_json()
    }
}

impl Started {
    fn has_ended(&mut self) -> bool {
        if self.kill_at.is_some_and(|at| Instant::now() >= at) {
            self.child.kill().unwrap();
        }
        self.child.try_wait().unwrap().is_some()
    }

    fn done(self) -> Done {
        let output = self.child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Done { line: self.line, code: output.status.code(), stderr, generation: self.generation }
    }
}

impl Done {
    /// Every command must end in an allowed way: success, refusal or kill.
    fn check(&self) {
        let allowed: &[i32] = match self.line.split_whitespace().next().unwrap() {
            "run" => &[0, 5, 7],
            "publish" => &[0, 2, 5, 7],
            "rollback" | "pin" | "unpin" => &[0, 2, 5],
            "gc" => &[0, 5],
            _ => &[0],
        };
        let ended_well = self.code.is_none_or(|code| allowed.contains(&code));
        assert!(ended_well && !self.stderr.contains("panicked"), "{}: {:?}\n{}", self.line, self.code, self.stderr);
    }
}

/// What must hold after all commands have ended, given the state before.
fn check_quiet(before: &Value, after: &Value, done: &[Done]) {
    let lines: Vec<_> = done.iter().map(|done| (&done.line, done.code)).collect();
    let grew = after["epoch"].as_u64() >= before["epoch"].as_u64()
        && after["next_version"].as_u64() >= before["next_version"].as_u64();
    assert!(grew, "something went back: {lines:?}\n{before}\n{after}");
    let unpinned = done.iter().any(|done| done.line.starts_with("unpin"));
    if !before["pin"].is_null() && !unpinned {
        assert_eq!((&after["current"], after["pin"].is_null()), (&before["current"], false), "{lines:?}");
    }
    // A single command that succeeded has taken effect.
    let [only] = done else { return };
    if only.code != Some(0) {
        return;
    }
    let words: Vec<&str> = only.line.split_whitespace().collect();
    match words.as_slice() {
        ["publish", _, version, ..] => assert_eq!(after["current"].to_string(), *version, "{lines:?}"),
        ["rollback", ..] => assert_ne!(after["current"], before["current"], "{lines:?}"),
        ["pin", ..] => assert!(!after["pin"].is_null(), "{lines:?}"),
        ["unpin", ..] => assert!(after["pin"].is_null(), "{lines:?}"),
        ["run", ..] if after["pin"].is_null() => assert_ne!(after["current"], before["current"], "{lines:?}"),
        _ => {}
    }
}

/// Prints the seed when a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let again = format!("CUTOVER_CHAOS_SEED={} cargo test --release --test it chaos", self.0);
            eprintln!("to make the same choices again: {again}");
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn readers_read_one_whole_version_whatever_is_killed_and_whenever() {
    let seed = setting("CUTOVER_CHAOS_SEED").unwrap_or_else(|| (u64::from(std::process::id()) << 20) ^ now());
    let _seed = Seed(seed);
    let until = Instant::now() + Duration::from_secs(setting("CUTOVER_CHAOS_SECONDS").unwrap_or(SECONDS));
    let mut chaos = Chaos::new(seed);
    chaos.write(0);
    chaos.numbers.workspace.cutover("run job-0.toml").ok();
    let store = chaos.numbers.workspace.path("store");
    let reader = Reader::follow(Store::open(&store).unwrap(), Duration::ZERO).unwrap();
    let (done, seen) = (AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (reader, done, seen) = (&reader, &done, &seen);
            scope.spawn(move || {
                let mut number = thread;
                while !done.load(Ordering::Relaxed) {
                    let version = reader.snapshot();
                    let found = generations(&version, number % 2 == 0);
                    assert_eq!(found.len(), 1, "a read of version {} found {found:?}", version.number());
                    let generation = found.into_iter().next().unwrap();
                    let known = *seen.lock().unwrap().entry(version.number()).or_insert(generation);
                    assert_eq!(known, generation, "version {} was given twice", version.number());
                    number += 1;
                    // Yields the processors to the commands.
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let _stop = Stop(&done);
        let mut ends = BTreeMap::new();
        while Instant::now() < until {
            let before = chaos.current();
            let known: Vec<u64> =
                before["versions"].as_object().unwrap().keys().map(|key| key.parse().unwrap()).collect();
            let ended = chaos.round(&known);
            for done in &ended {
                done.check();
                *ends.entry(done.code).or_insert(0) += 1;
            }
            let after = chaos.current();
            check_quiet(&before, &after, &ended);
            let version = reader.refresh();
            assert!(reader.last_error().is_none(), "{:?}", reader.last_error());
            assert_eq!(Some(version.number()), after["current"].as_u64());
            let generation = generations(&version, true).into_iter().next().unwrap();
            if let [Done { generation: Some(made), code, .. }] = ended.as_slice() {
                let before = seen.lock().unwrap().get(&before["current"].as_u64().unwrap()).copied();
                let old_or_new = generation == *made || before.is_none_or(|before| before == generation);
                assert!(old_or_new, "{generation} is neither old nor {made}, which ended with {code:?}");
            }
        }
        eprintln!("seed {seed}: commands by their exit codes, none for a kill: {ends:?}");
        assert!(ends.contains_key(&None) && ends.contains_key(&Some(0)), "nothing was killed, or all was");
    });

    // After all faults: a run succeeds, and leftovers are removed.
    let workspace = &chaos.numbers.workspace;
    if !chaos.current()["pin"].is_null() {
        workspace.cutover("unpin store").ok();
    }
    let made = chaos.write(0);
    let workspace = &chaos.numbers.workspace;
    workspace.cutover("run job-0.toml").ok();
    assert_eq!(chaos.numbers.seen().1, made);
    // `--keep 1` would keep the newest bad version for inspection; the published one is kept with 0, too.
    workspace.cutover("gc store --keep 0").ok();
    chaos.numbers.assert_states(&[(chaos.numbers.seen().0, "published")]);
    workspace.cutover("verify store --depth full").ok();
    let files = ["build.lock", "commit.lock", "current.json", "log", "reserve", "staging", "versions"];
    assert_eq!(names(&store), files, "files of the store");
    drop(reader);
    assert_eq!(open_files(&store), 0, "files still open");
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_nanos() as u64
}
