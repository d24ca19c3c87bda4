//! The model of what may be visible: every state of `current.json`, what was acknowledged, and the files of builds.
//!
//! The model sees every replacement of `current.json` as it happens and checks the new state against the previous one.
//! After a power cut it checks what is left against what was acknowledged. It reads the disk directly, not through the
//! catalog.
//!
//! Not for: the outcome of single commands (`actor`).

use std::collections::BTreeMap;
use std::path::Path;

use super::cluster::Cluster;
use super::disk::Disk;
use crate::catalog::Layout;
use crate::format::{Allow, Allowed, Announcement, Change, Current, Digest, Manifest, State};

/// What a process is doing, which decides what it may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Operation {
    /// Reading only.
    #[default]
    Reading,
    /// Finding that there is nothing to do, and reporting it.
    Confirming,
    /// Creating the store.
    Creating,
    /// Setting where versions are streamed to.
    Targeting,
    /// Installing a version.
    Installing,
    /// Publishing a version.
    Publishing(Allows),
    /// Rolling back.
    RollingBack,
    /// Pinning or unpinning.
    Pinning,
    /// Deleting.
    Cleaning,
}

/// What `--allow` lets a publish do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allows {
    Nothing,
    Older,
    Everything,
}

impl Allows {
    /// The kinds to allow.
    pub(super) fn kinds(self) -> Allowed {
        match self {
            Self::Nothing => Allowed::new(),
            Self::Older => [Allow::Older].into(),
            Self::Everything => Allow::all().collect(),
        }
    }

    fn of(kinds: &Allowed) -> Self {
        let all = [Self::Nothing, Self::Older, Self::Everything];
        all.into_iter().find(|it| it.kinds() == *kinds).unwrap_or(Self::Nothing)
    }
}

impl Operation {
    /// Whether success implies that the state it read is durable, too.
    pub(super) fn confirms(self) -> bool {
        !matches!(self, Self::Reading | Self::Creating | Self::Targeting)
    }

    fn changes(self) -> bool {
        !matches!(self, Self::Reading | Self::Confirming | Self::Creating)
    }

    /// What a process does that finishes a recorded change.
    fn finishing(change: &Change) -> Self {
        match change {
            Change::Publish { allow, .. } => Self::Publishing(Allows::of(allow)),
            Change::Rollback { .. } => Self::RollingBack,
            Change::Pin { .. } => Self::Pinning,
            Change::Remove { .. } => Self::Cleaning,
        }
    }
}

/// What a replacement of `current.json` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It recorded an intent.
    Intent,
    /// It removed topics that are gone, in addition to what is recorded.
    Tidied,
    /// It applied what was recorded.
    Settled,
    /// Consumers were notified of a rollback that was made without them.
    CaughtUp,
    /// It abandoned what was recorded.
    Abandoned,
    /// It applied a change.
    Applied,
}

/// A state of `current.json`, and what an observer of the store would know then.
#[derive(Clone, Debug)]
struct Known {
    current: Current,
    /// Contents that were rolled back, that no good version had then, and that no publish has allowed since.
    condemned: Vec<Digest>,
    /// Every number that was assigned, with its build.
    given: BTreeMap<u64, String>,
}

/// The model.
#[derive(Debug)]
pub(super) struct Model {
    layout: Layout,
    /// Every state, oldest first: the index is the epoch.
    history: Vec<Known>,
    /// The last epoch that was acknowledged as durable.
    acknowledged: Option<u64>,
    /// The last announcement to consumers.
    last_announced: Option<Announcement>,
    /// The files of each build that was finished, by their paths in the version's directory.
    builds: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl Model {
    /// The model of a store that does not exist yet.
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, history: Vec::new(), acknowledged: None, last_announced: None, builds: BTreeMap::new() }
    }

    /// The state that readers see.
    pub(super) fn current(&self) -> Option<&Current> {
        self.history.last().map(|known| &known.current)
    }

    /// A build has written all of its files.
    pub(super) fn finished(&mut self, build: &str, files: BTreeMap<String, Vec<u8>>) {
        self.builds.insert(build.to_owned(), files);
    }

    /// A command reported the state of this epoch.
    pub(super) fn acknowledge(&mut self, epoch: u64) {
        self.acknowledged = self.acknowledged.max(Some(epoch));
    }

    /// An announcement to consumers: it must be what was recorded, of versions that they can read.
    pub(super) fn announced(&mut self, disk: &Disk, it: &Announcement, cluster: &Cluster) -> Result<(), String> {
        let left = read(disk, &self.layout)?.ok_or("a store that does not exist is announced")?;
        let wrong = |what: &str| Err(format!("{what}:\n  announcement {it:?}\n  store {left:?}"));
        if left.pending.as_ref().is_none_or(|pending| pending.id != it.id) {
            return wrong("an announcement is not recorded");
        }
        let settled = left.with_intent_applied().and_then(|(after, _)| after.announcement(&it.id));
        if settled.is_ok_and(|expected| expected != *it) {
            return wrong("an announcement differs from what was recorded");
        }
        if let Some(lost) = it.versions.iter().find(|it| !cluster.holds(&it.streamed)) {
            return wrong(&format!("version {} is announced, which does not exist", lost.streamed.version));
        }
        self.last_announced = Some(it.clone());
        Ok(())
    }

    /// Fails unless the last announcement is what readers see, or what is recorded.
    fn agrees(&self, current: &Current) -> Result<(), String> {
        let Some(last_announced) = &self.last_announced else { return Ok(()) };
        let recorded = current.pending.as_ref().is_some_and(|pending| pending.id == last_announced.id);
        let build = |version: u64| current.versions.get(&version).map(|entry| entry.build_id.as_str());
        let same = last_announced
            .current()
            .is_some_and(|it| current.current == Some(it.version) && build(it.version) == Some(it.build_id.as_str()));
        // Readers of the store alone may have been rolled back, if that is recorded.
        check(recorded || same || current.behind().is_some(), || {
            format!("version {} was announced, readers see {current:?}", last_announced.current)
        })
    }

    /// `current.json` was replaced; returns its epoch, and the effect.
    pub(super) fn replaced(&mut self, disk: &Disk, doing: Operation) -> Result<(u64, Effect), String> {
        let after = read(disk, &self.layout)?.ok_or("current.json is gone")?;
        let Some(before) = self.history.last() else {
            check(doing == Operation::Creating && after.epoch == 0, || format!("{doing:?} made a store: {after:?}"))?;
            let known = Known { current: after, condemned: Vec::new(), given: BTreeMap::new() };
            self.history.push(known);
            return Ok((0, Effect::Applied));
        };
        self.agrees(&after)?;
        let mut known = before.clone();
        let effect = step(&mut known, &after, doing)?;
        known.current = after;
        if known.current.current != before.current.current {
            self.whole(disk, &known.current, known.current.current)?;
        }
        self.history.push(known);
        Ok((self.history.len() as u64 - 1, effect))
    }

    /// Something is moved or deleted.
    pub(super) fn taken_away(&self, path: &Path) -> Result<(), String> {
        let Some(current) = self.current() else { return Ok(()) };
        let version = current.versions.keys().find(|&&version| path.starts_with(self.layout.version_dir(version)));
        let lost = path == self.layout.current() || version.is_some();
        check(!lost, || format!("{} is taken away, which current.json needs", path.display()))
    }

    /// After a power cut: the state must be one that existed, not older than what was acknowledged, and complete.
    pub(super) fn power_cut(&mut self, disk: &Disk) -> Result<(), String> {
        let Some(left) = read(disk, &self.layout)? else {
            let needed = self.acknowledged.is_some() || self.last_announced.is_some();
            check(!needed, || "the store is gone after a power cut".to_owned())?;
            self.history.clear();
            return Ok(());
        };
        let epoch = left.epoch;
        check(Some(epoch) >= self.acknowledged, || {
            format!("a power cut undid what was acknowledged: epoch {epoch}, not {:?}", self.acknowledged)
        })?;
        let known = self.history.get(epoch as usize);
        check(known.is_some_and(|known| known.current == left), || {
            format!("a power cut left a state that never was: {left:?}")
        })?;
        self.history.truncate(epoch as usize + 1);
        self.agrees(&left)?;
        self.whole(disk, &left, left.versions.keys().copied())
    }

    /// After everything is cleaned up: the disk contains only what is referenced.
    pub(super) fn nothing_left_over(&self, disk: &Disk, streams: bool) -> Result<(), String> {
        let current = self.current().ok_or("there is no store")?;
        let versions: Vec<u64> = current.versions.keys().copied().collect();
        self.whole(disk, current, versions.iter().copied())?;
        let expect = |directory: &Path, names: &[&str]| {
            let found = names_in(disk, directory)?;
            check(found == names, || format!("{} holds {found:?}, not {names:?}", directory.display()))
        };
        check(current.behind().is_none(), || "a rollback was never announced".to_owned())?;
        let mut files = vec!["build.lock", "commit.lock", "current.json", "log", "staging", "versions"];
        // A publish to Kafka that got no further than its lock leaves that and nothing else.
        let has = |name| names_in(disk, self.layout.root()).map(|names| names.contains(&name));
        // A disk that is nearly full has no room for the reserve.
        if has("reserve")? {
            files.insert(4, "reserve");
        }
        if current.targets.kafka.is_some() || streams && has("publish.lock")? {
            files.insert(4, "publish.lock");
        }
        expect(self.layout.root(), &files)?;
        expect(&self.layout.staging(), &[])?;
        let directories: Vec<String> = versions.iter().map(|version| format!("{version:08}")).collect();
        expect(&self.layout.versions(), &directories.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Fails unless these versions are what their builds finished, file by file.
    fn whole(&self, disk: &Disk, current: &Current, versions: impl IntoIterator<Item = u64>) -> Result<(), String> {
        for version in versions {
            let entry = current.versions.get(&version).ok_or_else(|| format!("version {version} is not listed"))?;
            let build = &entry.build_id;
            let files = self.builds.get(build).ok_or_else(|| format!("build {build} was never finished"))?;
            let directory = self.layout.version_dir(version);
            for (path, bytes) in files {
                let found = disk.find(&directory.join(path)).ok().and_then(|inode| disk.bytes(inode));
                check(found == Some(bytes), || {
                    let found = found.map(String::from_utf8_lossy);
                    format!("version {version} is not complete: {path} of build {build} is {found:?}")
                })?;
            }
            let manifest = disk.find(&self.layout.manifest(version)).ok().and_then(|inode| disk.bytes(inode));
            let manifest = manifest.and_then(|bytes| serde_json::from_slice::<Manifest>(bytes).ok());
            let same = |it: &Manifest| it.version == version && it.build_id == *build && it.digest == entry.digest;
            check(manifest.is_some_and(|manifest| same(&manifest)), || {
                format!("the manifest of version {version} is not that of build {build}")
            })?;
        }
        Ok(())
    }
}

/// Checks a change against the rules; returns its effect.
fn step(known: &mut Known, after: &Current, doing: Operation) -> Result<Effect, String> {
    let before = &known.current;
    let as_before = before.versions.iter().all(|(version, entry)| after.versions.get(version) == Some(entry));
    let grown = before.current == after.current && before.pin == after.pin && as_before;
    let same = grown && before.versions.len() == after.versions.len();
    let wrong = |what: &str| Err(format!("{what}, while {doing:?}:\n  before {before:?}\n  after {after:?}"));
    if after.epoch != before.epoch + 1 {
        return wrong("epochs do not grow by one");
    }
    if !doing.changes() {
        return wrong("a reader changed the store");
    }
    let (doing, effect) = match (&before.pending, &after.pending) {
        (None, Some(_)) if same => (doing, Effect::Intent),
        (None, Some(_)) => return wrong("an intent changes what is visible"),
        // A settled change that moves no reader only notifies consumers of where readers already are.
        (Some(_), None) if same && before.behind().is_some() && after.behind().is_none() => (doing, Effect::CaughtUp),
        (Some(_), None) if same => (doing, Effect::Abandoned),
        (Some(pending), None) => (Operation::finishing(&pending.change), Effect::Settled),
        // Builds continue during an intent, and add versions.
        (Some(_), Some(_)) if !grown => return wrong("something is changed during an intent"),
        (Some(_), Some(_)) if same => (doing, Effect::Tidied),
        _ => (doing, Effect::Applied),
    };
    match (before.behind(), after.behind()) {
        (None, Some(_)) if doing != Operation::RollingBack => return wrong("consumers are left behind"),
        (Some(_), None) if !matches!(effect, Effect::Settled | Effect::CaughtUp) => {
            return wrong("consumers were not notified of a rollback");
        }
        _ => {}
    }
    if after.next_version < before.next_version {
        return wrong("the next number fell");
    }
    for (version, entry) in &after.versions {
        let new = !before.versions.contains_key(version);
        if new && (doing != Operation::Installing || known.given.contains_key(version)) {
            return wrong(&format!("number {version} is given twice, or not by a build"));
        }
        if new {
            known.given.insert(*version, entry.build_id.clone());
        } else if known.given.get(version) != Some(&entry.build_id) {
            return wrong(&format!("version {version} is another build's"));
        }
    }
    let gone = before.versions.keys().any(|version| !after.versions.contains_key(version));
    if gone && doing != Operation::Cleaning {
        return wrong("a version is forgotten");
    }
    if after.current != before.current {
        if before.pin.is_some() {
            return wrong("pinned readers are moved");
        }
        let Some(entry) = after.current.and_then(|to| before.versions.get(&to)) else {
            return wrong("readers are taken to a version that was not there");
        };
        let all = doing == Operation::Publishing(Allows::Everything);
        let good = before.versions.values().any(|it| it.state.is_good() && it.digest == entry.digest);
        let condemned = known.condemned.contains(&entry.digest) && !good;
        let bad = condemned || entry.state == State::Rejected || entry.state == State::RolledBack;
        let live = before.current_entry();
        let older = live.is_some_and(|(live, left)| match (left.dated(), entry.dated()) {
            (Some(newer), Some(older)) => older < newer,
            (None, _) => after.current < Some(live),
            (Some(_), None) => false,
        });
        let undated = live.is_some_and(|(_, left)| left.as_of_stated && !entry.as_of_stated);
        match doing {
            Operation::Publishing(Allows::Nothing | Allows::Older) if bad => {
                return wrong("a bad version is published without --allow");
            }
            Operation::Publishing(Allows::Nothing) if older => return wrong("readers are taken back in time"),
            Operation::Publishing(Allows::Nothing | Allows::Older) if undated => {
                return wrong("readers are taken from a stated time to none");
            }
            Operation::Publishing(_) if all => known.condemned.retain(|digest| *digest != entry.digest),
            Operation::RollingBack | Operation::Pinning if entry.state != State::Retired => {
                return wrong("readers are taken back to a version that is not good");
            }
            Operation::Publishing(_) | Operation::RollingBack | Operation::Pinning => {}
            _ => return wrong("an operation moved readers that must not"),
        }
    }
    let left = before.current.and_then(|left| after.versions.get(&left));
    let bad = left.filter(|entry| entry.state == State::RolledBack).map(|entry| entry.digest);
    let good = |digest: &Digest| after.versions.values().any(|it| it.state.is_good() && it.digest == *digest);
    known.condemned.extend(bad.filter(|digest| !good(digest)));
    Ok(effect)
}

/// `current.json` as it is on the disk; `None` if there is none.
fn read(disk: &Disk, layout: &Layout) -> Result<Option<Current>, String> {
    let Ok(inode) = disk.find(&layout.current()) else { return Ok(None) };
    let bytes = disk.bytes(inode).ok_or("current.json is a directory")?;
    let damaged = |error| format!("current.json is damaged: {error}: {}", String::from_utf8_lossy(bytes));
    serde_json::from_slice(bytes).map(Some).map_err(damaged)
}

fn names_in<'d>(disk: &'d Disk, directory: &Path) -> Result<Vec<&'d str>, String> {
    let names = disk.find(directory).and_then(|inode| Ok(disk.names(inode)?.collect()));
    names.map_err(|error| format!("{}: {error}", directory.display()))
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
