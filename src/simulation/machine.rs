//! A machine with several processes, one disk and faults: which process makes the next call, and how it ends, is drawn
//! from a seed.
//!
//! ```text
//! process 0 ─┐   one call at a time: only one process has the turn;   ┌▶ it works
//! process 1 ─┼─▶ after each call the seed picks who has it next ─────┼▶ it fails, before or after it took effect
//! process 2 ─┘                                                        ├▶ its process dies: its locks are free
//!                                                                     └▶ the power is cut: all die, unsynced data may go
//! ```
//! A dead process still runs to the end of its command, as a thread cannot be killed; each of its calls fails and none
//! has an effect, so the others do not notice.
//!
//! Not for: what processes do (`actor`), or what must hold (`model`).

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::disk::Disk;
use super::faults::{Fault, Faults, InjectedBug, Kind, chance};
use super::model::{Effect, Model, Operation};
use crate::catalog::Layout;
use crate::demo::random::Random;
use crate::durable_file::fs::{self, Look, Mode};

/// A sleep takes at most this many times as long as requested.
const OVERSLEEP: u64 = 40;

/// A machine.
pub(super) struct World {
    state: Mutex<State>,
    turns: Vec<Condvar>,
}

/// All of its mutable state.
pub(super) struct State {
    pub(super) random: Random,
    pub(super) model: Model,
    pub(super) disk: Disk,
    pub(super) cluster: Cluster,
    /// Whether versions are streamed to the cluster.
    pub(super) streams: bool,
    layout: Layout,
    processes: Vec<Process>,
    files: BTreeMap<u64, Open>,
    opened: u64,
    turn: usize,
    faults: Faults,
    lie: Option<InjectedBug>,
    started: Instant,
    clock: Duration,
    violation: Option<String>,
    trace: Option<Vec<String>>,
}

/// One process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    /// Whether its calls have an effect.
    pub(super) alive: bool,
    left: bool,
    doing: Operation,
    /// Whether a call of this step failed.
    pub(super) faulted: bool,
    /// The epoch it read last in this step.
    pub(super) read: Option<u64>,
    /// The epoch it wrote last in this step.
    pub(super) wrote: Option<u64>,
    /// Whether it recorded an intent in this step.
    intends: bool,
    /// Whether its request in this step was applied, fully or partly.
    pub(super) applied: bool,
}

/// An open file of a process.
struct Open {
    process: usize,
    path: PathBuf,
    inode: usize,
    locked: bool,
}

impl World {
    /// A machine with an empty disk and this many processes.
    pub(super) fn new(seed: u64, processes: usize, layout: Layout, lie: Option<InjectedBug>, trace: bool) -> Self {
        let mut random = Random::of(seed, &[]);
        let state = State {
            faults: Faults::draw(&mut random),
            turn: random.below(processes as u64) as usize,
            model: Model::new(layout.clone()),
            disk: Disk::new(),
            cluster: Cluster::default(),
            streams: random.one_in(2),
            layout,
            processes: vec![Process::default(); processes],
            files: BTreeMap::new(),
            opened: 0,
            lie,
            started: Instant::now(),
            clock: Duration::ZERO,
            violation: None,
            trace: trace.then(Vec::new),
            random,
        };
        Self { state: Mutex::new(state), turns: (0..processes).map(|_| Condvar::new()).collect() }
    }

    /// The state, for the process that has the turn.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first turn.
    pub(super) fn enter(&self, me: usize) {
        drop(self.wait(self.state(), me));
    }

    /// Leaves for good; returns true for the last process, which keeps the turn.
    pub(super) fn leave(&self, me: usize) -> bool {
        let mut state = self.state();
        state.end_process(me);
        state.processes[me].left = true;
        let Some(next) = state.draw_other(me) else { return true };
        state.turn = next;
        self.turns[next].notify_one();
        false
    }

    /// The first violation.
    pub(super) fn violation(&self) -> Option<String> {
        self.state().violation.clone()
    }

    fn wait<'s>(&self, mut state: MutexGuard<'s, State>, me: usize) -> MutexGuard<'s, State> {
        while state.turn != me {
            state = self.turns[me].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// Passes the turn to another process, if there is one, and waits to get it back.
    fn hand_over(&self, mut state: MutexGuard<'_, State>, me: usize) {
        if let Some(next) = state.draw_other(me) {
            state.turn = next;
            self.turns[next].notify_one();
            drop(self.wait(state, me));
        }
    }
}

impl State {
    /// Starts a process in the slot of one that ended.
    pub(super) fn start(&mut self, me: usize) {
        self.end_process(me);
        self.processes[me].alive = self.violation.is_none();
    }

    /// A process begins another step.
    pub(super) fn begin(&mut self, me: usize, doing: Operation) {
        let Process { alive, left, .. } = self.processes[me];
        self.processes[me] = Process { alive, left, doing, ..Process::default() };
        self.note(|| format!("{me} {doing:?}"));
    }

    /// What is known of a process.
    pub(super) fn process(&self, me: usize) -> Process {
        self.processes[me]
    }

    /// Disables faults from now on.
    pub(super) fn end_faults(&mut self) {
        self.faults = Faults::none();
    }

    /// Records a violation: the run ends.
    pub(super) fn fail(&mut self, what: String) {
        self.violation.get_or_insert(what);
        (0..self.processes.len()).for_each(|process| self.end_process(process));
    }

    /// The index of a topic that another client deletes now; mostly `None`.
    pub(super) fn draw_lost_topic(&mut self, topics: usize) -> Option<usize> {
        let lost = topics > 0 && chance(&mut self.random, self.faults.lost_topic);
        lost.then(|| self.random.below(topics as u64) as usize)
    }

    /// Adds a line to the trace, for the report of a failed run.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    /// The trace.
    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// All processes die; the disk keeps what is durable and, at random, some of the rest.
    pub(super) fn cut_power(&mut self) {
        (0..self.processes.len()).for_each(|process| self.end_process(process));
        self.disk.cut_power(&mut self.random);
        if let Err(what) = self.model.power_cut(&self.disk) {
            self.fail(what);
        }
    }

    /// A process ends: the kernel closes its files.
    fn end_process(&mut self, me: usize) {
        self.processes[me].alive = false;
        self.files.retain(|_, file| file.process != me);
    }

    fn draw_other(&mut self, me: usize) -> Option<usize> {
        let others = || self.processes.iter().enumerate().filter(|(other, it)| *other != me && !it.left);
        let count = others().count() as u64;
        let place = self.random.below(count) as usize;
        others().nth(place).map(|(other, _)| other)
    }

    fn open_file(&self, file: u64) -> Result<&Open> {
        self.files.get(&file).ok_or_else(gone)
    }

    /// A sync failed: what it was to save is lost.
    fn spoil(&mut self, kind: Kind) {
        if let Kind::Sync(file) = kind
            && let Some(open) = self.files.get(&file)
        {
            self.disk.fail_sync(open.inode);
        }
    }

    /// The process replaced `current.json`, with this effect.
    fn replaced(&mut self, me: usize, effect: Effect) {
        let process = &mut self.processes[me];
        let foreign = matches!(effect, Effect::Settled | Effect::Abandoned) && !process.intends;
        process.applied |= match effect {
            Effect::Intent | Effect::Tidied | Effect::Abandoned | Effect::CaughtUp => false,
            Effect::Settled => process.intends,
            Effect::Applied => true,
        };
        process.intends |= effect == Effect::Intent;
        if effect == Effect::CaughtUp {
            self.note(|| format!("{me} catches up"));
        }
        if foreign {
            self.note(|| format!("{me} finishes what another began: {effect:?}"));
        }
    }

    pub(super) fn check(&mut self, outcome: std::result::Result<(), String>) {
        if let Err(what) = outcome {
            self.fail(what);
        }
    }
}

/// The disk as one process sees it.
pub(super) struct ProcessIo {
    world: Arc<World>,
    me: usize,
}

impl ProcessIo {
    /// The disk of a machine, for one of its processes.
    pub(super) fn new(world: &Arc<World>, me: usize) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), me })
    }

    /// One call: draws its outcome and who has the next turn.
    pub(super) fn call<T>(
        &self,
        kind: Kind,
        what: impl FnOnce(&State) -> String,
        act: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        let mut guard = self.world.state();
        let state = &mut *guard;
        if !state.processes[self.me].alive {
            return Err(gone());
        }
        let said = state.trace.is_some().then(|| what(state));
        let fault = state.faults.next(kind, &mut state.random);
        state.processes[self.me].faulted |= fault.is_some();
        let outcome = match fault {
            None => act(state),
            Some(Fault::Full) => Err(ErrorKind::StorageFull.into()),
            Some(Fault::Error { after: true }) => act(state).and(Err(Error::other("it failed after all"))),
            Some(Fault::Error { after: false }) => {
                state.spoil(kind);
                Err(Error::other("it failed"))
            }
            Some(Fault::Death { after }) => {
                let _ = after.then(|| act(state));
                state.end_process(self.me);
                Err(gone())
            }
            Some(Fault::PowerCut { after }) => {
                let _ = after.then(|| act(state));
                state.cut_power();
                Err(gone())
            }
        };
        let ended = outcome.as_ref().err().map(|error| format!(": {error}"));
        let fault = fault.map(|fault| format!(" ({fault:?})")).unwrap_or_default();
        state.note(|| format!("{} {}{}{fault}", self.me, said.unwrap_or_default(), ended.unwrap_or_default()));
        let switch = state.faults.switch;
        if chance(&mut state.random, switch) {
            self.world.hand_over(guard, self.me);
        }
        outcome
    }
}

impl fs::Disk for ProcessIo {
    fn look(&self, path: &Path) -> Result<Look> {
        self.call(Kind::Look, said("stat", path), |state| {
            let bytes = state.disk.bytes(state.disk.find(path)?).map(<[u8]>::len);
            Ok(Look { directory: bytes.is_none(), bytes: bytes.unwrap_or_default() as u64 })
        })
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.call(Kind::Look, said("list", path), |state| {
            Ok(state.disk.names(state.disk.find(path)?)?.map(str::to_owned).collect())
        })
    }

    fn open(&self, path: &Path, mode: Mode) -> Result<u64> {
        let kind = if mode.create { Kind::Grow } else { Kind::Look };
        self.call(kind, said("open", path), |state| {
            let inode = match state.disk.find(path) {
                Err(error) if error.kind() == ErrorKind::NotFound && mode.create => state.disk.create(path, false)?,
                found => found?,
            };
            if mode.truncate {
                state.disk.write(inode, Vec::clear)?;
            }
            if !mode.write && path == state.layout.current() {
                state.processes[self.me].read = state.model.current().map(|current| current.epoch);
            }
            state.opened += 1;
            let open = Open { process: self.me, path: path.to_owned(), inode, locked: false };
            state.files.insert(state.opened, open);
            Ok(state.opened)
        })
    }

    fn close(&self, file: u64) {
        self.world.state().files.remove(&file);
    }

    /// One call for the whole file: the number of reads would depend on how many digits a timestamp has.
    fn read(&self, file: u64, at: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut read = |state: &State| {
            let bytes = state.disk.bytes(state.open_file(file)?.inode).ok_or(ErrorKind::IsADirectory)?;
            let rest = bytes.get(at as usize..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            buffer[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        };
        match at {
            0 => self.call(Kind::Look, of_file("read", file), |state| read(state)),
            _ => read(&self.world.state()),
        }
    }

    fn write(&self, file: u64, at: u64, bytes: &[u8]) -> Result<()> {
        self.call(Kind::Grow, of_file("write", file), |state| {
            let (inode, end) = (state.open_file(file)?.inode, at as usize + bytes.len());
            state.disk.write(inode, |old| {
                old.resize(old.len().max(end), 0);
                old[at as usize..end].copy_from_slice(bytes);
            })
        })
    }

    fn len(&self, file: u64) -> Result<u64> {
        let state = self.world.state();
        let bytes = state.disk.bytes(state.open_file(file)?.inode).ok_or(ErrorKind::IsADirectory)?;
        Ok(bytes.len() as u64)
    }

    fn set_len(&self, file: u64, bytes: u64) -> Result<()> {
        self.call(Kind::Change, of_file("set the length of", file), |state| {
            let inode = state.open_file(file)?.inode;
            state.disk.write(inode, |old| old.resize(bytes as usize, 0))
        })
    }

    fn sync(&self, file: u64) -> Result<()> {
        self.call(Kind::Sync(file), of_file("sync", file), |state| {
            let open = state.open_file(file)?;
            let (inode, directory) = (open.inode, state.disk.bytes(open.inode).is_none());
            if !state.lie.is_some_and(|lie| lie.is_about(&state.layout, &open.path, directory)) {
                state.disk.sync(inode);
            }
            Ok(())
        })
    }

    fn lock(&self, file: u64) -> Result<bool> {
        self.call(Kind::Look, of_file("lock", file), |state| {
            let inode = state.open_file(file)?.inode;
            let taken = state.files.iter().any(|(&other, it)| other != file && it.locked && it.inode == inode);
            let free = !taken || state.lie == Some(InjectedBug::Locks);
            if let Some(open) = state.files.get_mut(&file) {
                open.locked |= free;
            }
            Ok(free)
        })
    }

    fn unlock(&self, file: u64) {
        if let Some(open) = self.world.state().files.get_mut(&file) {
            open.locked = false;
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let what = |_: &State| format!("rename {} to {}", from.display(), to.display());
        self.call(Kind::Change, what, |state| {
            state.disk.rename(from, to)?;
            state.check(state.model.taken_away(from));
            if to == state.layout.current() {
                match state.model.replaced(&state.disk, state.processes[self.me].doing) {
                    Ok((epoch, effect)) => {
                        state.processes[self.me].wrote = Some(epoch);
                        state.replaced(self.me, effect);
                    }
                    Err(what) => state.fail(what),
                }
            }
            Ok(())
        })
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.call(Kind::Grow, said("make directory", path), |state| state.disk.create(path, true).map(drop))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.call(Kind::Change, said("delete", path), |state| {
            state.check(state.model.taken_away(path));
            state.disk.remove(path, false)
        })
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.call(Kind::Change, said("delete directory", path), |state| {
            state.check(state.model.taken_away(path));
            state.disk.remove(path, true)
        })
    }

    fn now(&self) -> Instant {
        let state = self.world.state();
        state.started + state.clock
    }

    fn sleep(&self, time: Duration) {
        let mut state = self.world.state();
        if state.processes[self.me].alive {
            let times = 1 + state.random.below(OVERSLEEP) as u32;
            state.clock += time * times;
            self.world.hand_over(state, self.me);
        }
    }
}

fn said<'p>(what: &'p str, path: &'p Path) -> impl FnOnce(&State) -> String + 'p {
    move |_| format!("{what} {}", path.display())
}

fn of_file(what: &str, file: u64) -> impl FnOnce(&State) -> String {
    move |state| match state.files.get(&file) {
        Some(open) => format!("{what} {}", open.path.display()),
        None => format!("{what} a file that is closed"),
    }
}

fn gone() -> Error {
    Error::other("the process is dead")
}
