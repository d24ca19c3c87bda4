//! Faults and their rates: drawn for every run, so that some runs see one kind of fault and some see all.
//!
//! Not for: what a fault does (`machine`).

use std::path::Path;

use crate::catalog::Layout;
use crate::demo::random::Random;

/// A read-only call fails once in this many times that another call would.
const READS_PER_FAULT: u64 = 4;
/// A process dies this many times as often in a call to another machine as in one to the disk: there are fewer of them.
const REMOTE: u64 = 5;

/// Fault rates: once in N calls; never if 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    error: u64,
    death: u64,
    power_cut: u64,
    full: u64,
    /// The disk is full for this many more calls.
    full_for: u64,
    /// How often another machine does not answer, or its answer is lost.
    remote: u64,
    /// How often another client has deleted a topic.
    pub(super) lost_topic: u64,
    /// How often the turn passes to another process.
    pub(super) switch: u64,
}

/// What a call does, where that decides how it can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only reads.
    Look,
    /// It needs space.
    Grow,
    /// It changes something without needing space.
    Change,
    /// It syncs the file of this number.
    Sync(u64),
    /// It asks another machine to do something.
    Remote,
}

/// A fault. With `after`, it happens once the call took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The disk reports an error.
    Error { after: bool },
    /// There is no space left.
    Full,
    /// The process is killed.
    Death { after: bool },
    /// The power is cut.
    PowerCut { after: bool },
}

/// A sync or lock that the operating system reports and does not do: equivalent to a call missing in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InjectedBug {
    /// The new content of `current.json` is not synced.
    CurrentFile,
    /// Names in the store's directory are not synced.
    StoreDirectory,
    /// Names in the directory above the store are not synced.
    DirectoryAbove,
    /// Names of versions are not synced.
    VersionsDirectory,
    /// Files of versions are not synced.
    VersionFiles,
    /// Names of files in versions are not synced.
    VersionDirectories,
    /// Manifests are not synced.
    Manifests,
    /// A lock excludes no other process.
    Locks,
}

impl Faults {
    /// The rates of one run.
    pub(super) fn draw(random: &mut Random) -> Self {
        let mut one_of = |rates: [u64; 5]| rates[random.below(5) as usize];
        Self {
            error: one_of([0, 0, 500, 150, 50]),
            death: one_of([0, 0, 500, 150, 50]),
            power_cut: one_of([0, 0, 700, 300, 100]),
            full: one_of([0, 0, 0, 700, 200]),
            full_for: 0,
            remote: one_of([0, 0, 30, 6, 2]),
            lost_topic: one_of([0, 0, 0, 30, 10]),
            switch: one_of([2, 4, 8, 16, 32]),
        }
    }

    /// No faults, and no other process gets a turn.
    pub(super) fn none() -> Self {
        Self { error: 0, death: 0, power_cut: 0, full: 0, full_for: 0, remote: 0, lost_topic: 0, switch: 0 }
    }

    /// The fault of the next call. Most calls only read; fewer of them fail, so that more faults hit calls that matter.
    pub(super) fn next(&mut self, kind: Kind, random: &mut Random) -> Option<Fault> {
        if kind == Kind::Look && !random.one_in(READS_PER_FAULT) {
            return None;
        }
        let rate = |rate: u64| if kind == Kind::Remote { rate.div_ceil(REMOTE) } else { rate };
        if chance(random, rate(self.power_cut)) {
            return Some(Fault::PowerCut { after: random.one_in(2) });
        }
        if chance(random, rate(self.death)) {
            return Some(Fault::Death { after: random.one_in(2) });
        }
        if kind == Kind::Remote && chance(random, self.remote) {
            return Some(Fault::Error { after: random.one_in(2) });
        }
        if chance(random, self.error) {
            return Some(Fault::Error { after: kind != Kind::Look && random.one_in(2) });
        }
        if chance(random, self.full) {
            self.full_for = random.below(60);
        }
        self.full_for = self.full_for.saturating_sub(1);
        (self.full_for > 0 && kind == Kind::Grow).then_some(Fault::Full)
    }
}

impl InjectedBug {
    /// Every variant.
    pub(super) const ALL: [Self; 8] = [
        Self::CurrentFile,
        Self::StoreDirectory,
        Self::DirectoryAbove,
        Self::VersionsDirectory,
        Self::VersionFiles,
        Self::VersionDirectories,
        Self::Manifests,
        Self::Locks,
    ];

    /// Whether a sync of this file or directory does nothing.
    pub(super) fn is_about(self, layout: &Layout, path: &Path, directory: bool) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let staged = path.starts_with(layout.staging()) && path != layout.staging();
        match self {
            Self::CurrentFile => name.starts_with("current.json"),
            Self::StoreDirectory => path == layout.root(),
            Self::DirectoryAbove => Some(path) == layout.root().parent(),
            Self::VersionsDirectory => path == layout.versions(),
            Self::VersionFiles => staged && !directory && name != "manifest.json",
            Self::VersionDirectories => staged && directory,
            Self::Manifests => name == "manifest.json",
            Self::Locks => false,
        }
    }
}

/// True once in `one_in` times; never if that is 0.
pub(super) fn chance(random: &mut Random, one_in: u64) -> bool {
    one_in > 0 && random.one_in(one_in)
}
