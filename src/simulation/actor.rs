//! The processes of a simulated machine: they run the commands of the program, with its own code.
//!
//! A command is a sequence of steps. After each step its outcome is compared with what the process did. Violations are
//! an error that says nothing was applied while something was, an error without a fault, and corruption without damage.
//!
//! Not for: whether the state of the store is allowed (`model`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::machine::{Process, World};
use super::model::{Allows, Operation};
use crate::catalog::fixture::{at, manifest};
use crate::catalog::{Catalog, FileDepth, inspect};
use crate::durable_file::{self, fs};
use crate::error::{Error, IoContext, Kind, Result};
use crate::format::{CheckOutcome, CheckResult, Current, FileEntry, Kafka, Manifest, Retention, State};
use crate::progress::Progress;
use crate::publish::{self, Built, GcReport, PublishOptions};

/// The store, in a directory that does not exist at first.
pub(super) const STORE: &str = "/stores/views";
const DATASET: &str = "views";
/// Number of different contents that builds make, so that some are built again.
const CONTENTS: u64 = 3;
/// How often a reader retries when the version it opens is removed.
const ATTEMPTS: usize = 8;

/// Runs one process after another in one slot of the machine.
pub(super) struct Actor {
    world: Arc<World>,
    me: usize,
    builds: Cell<u64>,
    /// The last error, for the report of a violation.
    error: RefCell<String>,
}

/// A command with its arguments.
#[derive(Clone, Copy, Debug)]
enum Command {
    /// Build a content, and keep this many versions.
    Build(Content, u32),
    Publish(u64, Allows),
    Rollback(Option<u64>),
    /// The same without Kafka.
    RollbackLocally(Option<u64>),
    Pin(Option<u64>),
    Unpin,
    Clean(u32),
    Read,
}

/// What a build makes.
#[derive(Clone, Copy, Debug)]
struct Content {
    number: u64,
    as_of: i64,
    /// Whether `as_of` is stated.
    stated: bool,
    failed: bool,
    /// Whether to build it even if it exists, maybe leaving it to be published by hand.
    rebuild: bool,
}

impl Actor {
    pub(super) fn new(world: &Arc<World>, me: usize) -> Self {
        Self { world: Arc::clone(world), me, builds: Cell::new(0), error: RefCell::default() }
    }

    /// Runs this many commands, each in a process of its own. A command whose process died is sometimes repeated.
    pub(super) fn run(&self, commands: usize) {
        let mut command = self.draw_command();
        for _ in 0..commands {
            self.world.state().start(self.me);
            self.command(command);
            let died = !self.world.state().process(self.me).alive;
            if !died || self.draw(2) == 0 {
                command = self.draw_command();
            }
        }
    }

    fn draw_command(&self) -> Command {
        let version = self.draw_version();
        let (number, as_of) = (self.draw(CONTENTS), 10 + self.draw(3) as i64);
        let (stated, failed) = (self.draw(4) > 0, self.draw(8) == 0);
        let content = Content { number, as_of, stated, failed, rebuild: self.draw(2) == 0 };
        let builds = version.is_none() && self.draw(8) > 0;
        let version = version.unwrap_or(1);
        let some = (self.draw(2) == 0).then_some(version);
        match self.draw(16) {
            0..5 => Command::Build(content, 1 + self.draw(3) as u32),
            _ if builds => Command::Build(content, 1 + self.draw(3) as u32),
            5..=7 => {
                let allows = [Allows::Nothing, Allows::Nothing, Allows::Older, Allows::Everything];
                Command::Publish(version, allows[self.draw(4) as usize])
            }
            8..=9 => Command::Rollback(some),
            10 => Command::RollbackLocally(some),
            11 => Command::Pin(some),
            12 => Command::Unpin,
            13 => Command::Clean(self.draw(3) as u32),
            _ => Command::Read,
        }
    }

    fn command(&self, command: Command) {
        if let Command::Build(content, keep) = command {
            self.build(content, keep);
            return;
        }
        let Some(catalog) = self.step(Operation::Reading, || Catalog::open(STORE)) else { return };
        let silent = Progress::Silent;
        match command {
            Command::Publish(version, allows) => {
                let options = PublishOptions { allow: allows.kinds(), ..PublishOptions::default() };
                self.step(Operation::Publishing(allows), || publish::publish(&catalog, version, &options));
            }
            Command::RollbackLocally(to) => {
                drop(self.step(Operation::RollingBack, || publish::rollback_locally(&catalog, to)))
            }
            Command::Rollback(to) => {
                drop(self.step(Operation::RollingBack, || publish::rollback(&catalog, to, silent)))
            }
            Command::Pin(version) => {
                drop(self.step(Operation::Pinning, || publish::pin(&catalog, version, "why", silent)))
            }
            Command::Unpin => drop(self.step(Operation::Pinning, || publish::unpin(&catalog))),
            Command::Clean(keep) => drop(self.clean(&catalog, keep)),
            Command::Build(..) | Command::Read => drop(self.step(Operation::Reading, || open_current(&catalog))),
        }
    }

    /// An existing version or, sometimes, one that may not exist; `None` while nothing is published.
    fn draw_version(&self) -> Option<u64> {
        let mut state = self.world.state();
        let current = state.model.current().filter(|current| current.current.is_some())?;
        let known: Vec<u64> = current.versions.keys().copied().collect();
        let place = state.random.below(known.len() as u64 + 1) as usize;
        Some(known.get(place).copied().unwrap_or(1 + place as u64))
    }

    /// As `cutover run`: does nothing if it is done already, otherwise builds, publishes and cleans up.
    fn build(&self, content: Content, keep: u32) -> Option<u64> {
        let catalog = self.step(Operation::Creating, || Catalog::open_or_create(STORE, DATASET))?;
        let building = self.step(Operation::Reading, || catalog.lock_build())?;
        let target = self.world.state().streams.then(target);
        self.step(Operation::Targeting, || publish::set_target(&catalog, target.as_ref()))?;
        let current = self.step(Operation::Confirming, || catalog.read_durable())?;
        let options = PublishOptions::default();
        let publishing = Operation::Publishing(Allows::Nothing);
        match current.find_built("job", &content.inputs()).filter(|_| !content.rebuild) {
            Some((version, State::Published)) => return Some(version),
            Some((_, State::RolledBack)) => return None,
            Some((version, State::Complete)) => {
                return self
                    .step(publishing, || publish::publish(&catalog, version, &options))
                    .map(|done| done.version);
            }
            _ => {}
        }
        let stays = content.rebuild && self.draw(3) == 0;
        let (directory, manifest) = self.step(Operation::Installing, || self.stage(&catalog, content))?;
        let numbered = |version| Manifest { version, staged: stays, ..manifest };
        let complete = self.step(Operation::Installing, || Built::new(&directory).install(&catalog, numbered))?;
        let published = (!stays).then(|| self.step(publishing, || complete.publish(&catalog, &options)));
        drop(building);
        self.clean(&catalog, keep)?;
        published.flatten().map(|published| published.version)
    }

    /// Writes the files of a version, without syncing them.
    fn stage(&self, catalog: &Catalog, content: Content) -> Result<(std::path::PathBuf, Manifest)> {
        self.builds.set(self.builds.get() + 1);
        let build = format!("build-{}-{}", self.me, self.builds.get());
        let dirs = catalog.layout().build_dirs(&build)?;
        durable_file::create_dir_durable(&dirs.shard(0))?;
        let mut manifest = manifest(0, &[("key", &content.number.to_string())]);
        manifest.build_id.clone_from(&build);
        manifest.input_digest = content.inputs();
        (manifest.as_of, manifest.as_of_stated) = (at(content.as_of), content.stated);
        manifest.created_at = jiff::Timestamp::now();
        if content.failed {
            let (rule, expected, found) = ("rows.min".into(), "10".into(), "1".into());
            manifest.checks.push(CheckResult { rule, outcome: CheckOutcome::Failed, expected, found, compared: None });
        }
        let text = |name: &str| (format!("shard-00000/{name}"), format!("{name} of {build}").into_bytes());
        let files = BTreeMap::from(["CURRENT", "000007.sst"].map(text));
        for (path, bytes) in &files {
            write(&dirs.version().join(path), bytes)?;
        }
        let measure = |path: &String| FileEntry::measure(&dirs.version(), path.clone());
        manifest.shards[0].files = files.keys().map(measure).collect::<Result<_>>()?;
        self.world.state().model.finished(&build, files);
        Ok((dirs.version(), manifest))
    }

    fn clean(&self, catalog: &Catalog, keep: u32) -> Option<GcReport> {
        self.step(Operation::Cleaning, || publish::gc(catalog, &Retention { keep, keep_for: None }, publish::GRACE))
    }

    /// After all faults: a run succeeds, no garbage is left, and another power cut loses nothing.
    pub(super) fn settle(&self) {
        self.world.state().end_faults();
        let outcome = self.settled();
        let mut state = self.world.state();
        if let Err(what) = outcome {
            let error = self.error.borrow();
            state.fail(format!("after all faults were over, {what}; the last error: {error}"));
        }
    }

    fn settled(&self) -> std::result::Result<(), String> {
        let start = || self.world.state().start(self.me);
        let tidy = || {
            let state = self.world.state();
            state.model.nothing_left_over(&state.disk, state.streams)
        };
        start();
        let catalog = self.step(Operation::Creating, || Catalog::open_or_create(STORE, DATASET));
        let catalog = catalog.ok_or("the store cannot be opened")?;
        self.clean(&catalog, u32::MAX).ok_or("gc fails")?;
        tidy()?;
        start();
        if self.step(Operation::Reading, || catalog.read()).is_some_and(|current| current.pin.is_some()) {
            self.step(Operation::Pinning, || publish::unpin(&catalog)).ok_or("unpin fails")?;
        }
        start();
        let content = Content { number: CONTENTS, as_of: 1000, stated: true, failed: false, rebuild: false };
        let version = self.build(content, 1).ok_or("a run does not succeed")?;
        tidy()?;
        {
            let state = self.world.state();
            let left = state.cluster.left_over();
            if !left.is_empty() {
                return Err(format!("topics are left over: {left:?}"));
            }
        }
        start();
        let again = self.clean(&catalog, 1).ok_or("a second gc fails")?;
        if again != GcReport::default() {
            return Err(format!("a second gc still finds something: {again:?}"));
        }
        // Deleted files may reappear, but nothing visible may differ.
        self.world.state().cut_power();
        start();
        match self.step(Operation::Reading, || open_current(&catalog)) {
            Some(Some(current)) if current.current == Some(version) => {}
            other => return Err(format!("readers see {:?} instead of version {version}", other.flatten())),
        }
        self.clean(&catalog, 1).ok_or("gc fails after a power cut")?;
        tidy()
    }

    /// One step of a command; `None` when it fails or its process dies.
    fn step<T>(&self, doing: Operation, act: impl FnOnce() -> Result<T>) -> Option<T> {
        self.world.state().begin(self.me, doing);
        let outcome = act();
        let mut state = self.world.state();
        let process = state.process(self.me);
        if !process.alive {
            return None;
        }
        match outcome {
            Ok(value) => {
                state.note(|| format!("{} {doing:?} done", self.me));
                let read = process.read.filter(|_| doing.confirms());
                read.max(process.wrote).into_iter().for_each(|epoch| state.model.acknowledge(epoch));
                Some(value)
            }
            Err(error) => {
                let chain = error.chain().join(": ");
                state.note(|| format!("{} {doing:?} failed: {chain}", self.me));
                if let Some(what) = complaint(doing, &process, &error, &chain) {
                    state.fail(format!("{what}, {doing:?}: {chain}"));
                }
                self.error.replace(chain);
                None
            }
        }
    }

    fn draw(&self, below: u64) -> u64 {
        self.world.state().random.below(below)
    }
}

impl Content {
    fn inputs(self) -> String {
        format!("{} {} {} {}", self.number, self.as_of, self.stated, self.failed)
    }
}

/// What is wrong with an error.
fn complaint(doing: Operation, process: &Process, error: &Error, chain: &str) -> Option<&'static str> {
    let unknown = chain.contains("unknown whether");
    match error.kind() {
        Kind::Internal => Some("a bug"),
        Kind::Corrupt if !process.faulted => Some("damage where nothing was damaged"),
        Kind::Unavailable if !process.faulted => Some("an error though nothing failed"),
        _ if !process.applied || unknown => None,
        _ if chain.contains("not applied") => Some("it was applied anyway"),
        // A gc forgets versions before it deletes them; the creation of a store checks whether it exists.
        _ if !matches!(doing, Operation::Cleaning | Operation::Creating) => {
            Some("it was applied, which the error does not say")
        }
        _ => None,
    }
}

/// Where versions are streamed to.
fn target() -> Kafka {
    let (brokers, topic) = ("127.0.0.1:9092".to_owned(), DATASET.to_owned());
    Kafka { brokers, topic, replication: None, compression: Default::default(), properties: None }
}

/// Opens the version that readers see, as they do: retries if it was removed meanwhile.
fn open_current(catalog: &Catalog) -> Result<Option<Current>> {
    let mut current = catalog.read()?;
    for attempt in 1.. {
        let Some(version) = current.current else { return Ok(None) };
        let Err(error) = open(catalog, &current, version) else { break };
        let latest = catalog.read()?;
        if latest.current == Some(version) || attempt == ATTEMPTS {
            return Err(error);
        }
        current = latest;
    }
    Ok(Some(current))
}

fn open(catalog: &Catalog, current: &Current, version: u64) -> Result<()> {
    let manifest = catalog.manifest(current, version)?;
    match inspect(&catalog.layout().version_dir(version), &manifest, FileDepth::AllFiles).first() {
        Some(finding) => Err(Error::corrupt(format!("version {version} is damaged: {finding}"))),
        None => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::File::create(path).and_then(|mut file| file.write_all(bytes)).io("write", path)
}
