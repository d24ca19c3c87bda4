//! A disk in memory that knows which of its content would survive a power cut.
//!
//! ```text
//!              now                     after a power cut
//! a file       its bytes               those of its last sync; later ones fully, partly, as zeros or not
//! a directory  its names               those of its last sync; each later change of a name or not
//! ```
//! Unsynced changes of names survive in any combination in which none depends on one that was lost; a move between two
//! directories is one change of both. After a failed sync of a file, another sync does not save it: the kernel has
//! dropped the dirty pages. That is weaker than journaling file systems, and all that POSIX promises.
//!
//! Not for: who uses it, and what fails when (`machine`, `faults`).

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Component, Path};

use crate::demo::random::Random;

/// The root directory.
const ROOT: usize = 0;

/// A disk.
#[derive(Debug)]
pub(super) struct Disk {
    inodes: Vec<Inode>,
    /// Unsynced changes of names, in order.
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Inode {
    File(File),
    Directory(Directory),
}

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// A sync of it failed, and it has not been written since.
    spoiled: bool,
}

#[derive(Debug, Default)]
struct Directory {
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
}

/// A name in a directory.
type Place = (usize, String);

/// A change of names.
#[derive(Debug)]
enum Change {
    Put(Place, usize),
    Take(Place),
    Move(Place, Place, usize),
}

impl Disk {
    /// An empty disk.
    pub(super) fn new() -> Self {
        Self { inodes: vec![Inode::Directory(Directory::default())], unsynced: Vec::new() }
    }

    /// The inode of a path.
    pub(super) fn find(&self, path: &Path) -> Result<usize> {
        let mut inode = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let name = name.to_str().ok_or(ErrorKind::InvalidInput)?;
                inode = *self.directory(inode)?.names.get(name).ok_or(ErrorKind::NotFound)?;
            }
        }
        Ok(inode)
    }

    /// The bytes of a file; `None` for a directory.
    pub(super) fn bytes(&self, inode: usize) -> Option<&[u8]> {
        match &self.inodes[inode] {
            Inode::File(file) => Some(&file.bytes),
            Inode::Directory(_) => None,
        }
    }

    /// The names in a directory.
    pub(super) fn names(&self, inode: usize) -> Result<impl Iterator<Item = &str>> {
        Ok(self.directory(inode)?.names.keys().map(String::as_str))
    }

    /// Changes the content of a file.
    pub(super) fn write(&mut self, inode: usize, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        match &mut self.inodes[inode] {
            Inode::File(file) => {
                change(&mut file.bytes);
                file.spoiled = false;
                Ok(())
            }
            Inode::Directory(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// Creates an empty file or directory.
    pub(super) fn create(&mut self, path: &Path, directory: bool) -> Result<usize> {
        let place = self.place(path)?;
        if self.at(&place).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = self.inodes.len();
        self.inodes.push(if directory { Inode::Directory(Directory::default()) } else { Inode::File(File::default()) });
        self.change(Change::Put(place, inode));
        Ok(inode)
    }

    /// Removes a file or an empty directory.
    pub(super) fn remove(&mut self, path: &Path, directory: bool) -> Result<()> {
        let place = self.place(path)?;
        match &self.inodes[self.at(&place).ok_or(ErrorKind::NotFound)?] {
            Inode::File(_) if directory => return Err(ErrorKind::NotADirectory.into()),
            Inode::Directory(_) if !directory => return Err(ErrorKind::IsADirectory.into()),
            Inode::Directory(it) if !it.names.is_empty() => return Err(ErrorKind::DirectoryNotEmpty.into()),
            _ => self.change(Change::Take(place)),
        }
        Ok(())
    }

    /// Moves something to a free path or, for a file, over another file.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        let inode = self.at(&from).ok_or(ErrorKind::NotFound)?;
        let directory = self.bytes(inode).is_none();
        match self.at(&to).map(|other| &self.inodes[other]) {
            Some(Inode::Directory(_)) if !directory => return Err(ErrorKind::IsADirectory.into()),
            Some(Inode::Directory(it)) if !it.names.is_empty() => return Err(ErrorKind::DirectoryNotEmpty.into()),
            Some(Inode::File(_)) if directory => return Err(ErrorKind::NotADirectory.into()),
            _ => self.change(Change::Move(from, to, inode)),
        }
        Ok(())
    }

    /// Makes the bytes of a file, or the names in a directory, survive a power cut.
    pub(super) fn sync(&mut self, inode: usize) {
        match &mut self.inodes[inode] {
            Inode::File(file) if file.spoiled => {}
            Inode::File(file) => file.durable.clone_from(&file.bytes),
            Inode::Directory(_) => self.sync_directory(inode),
        }
    }

    /// A failed sync: nothing is saved, and no later sync reports it again.
    pub(super) fn fail_sync(&mut self, inode: usize) {
        if let Inode::File(file) = &mut self.inodes[inode] {
            file.spoiled = file.bytes != file.durable;
        }
    }

    /// Cuts the power: unsynced changes survive at random.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        let chance = Chance::draw(random);
        for change in std::mem::take(&mut self.unsynced) {
            if chance.keeps(random) && self.is_durable(&change) {
                self.make_durable(&change);
            }
        }
        for inode in &mut self.inodes {
            match inode {
                Inode::Directory(directory) => directory.names.clone_from(&directory.durable),
                Inode::File(file) => {
                    if file.bytes != file.durable {
                        file.durable = chance.torn(random, &file.durable, &file.bytes);
                        file.bytes.clone_from(&file.durable);
                    }
                    file.spoiled = false;
                }
            }
        }
    }

    fn directory(&self, inode: usize) -> Result<&Directory> {
        match &self.inodes[inode] {
            Inode::Directory(directory) => Ok(directory),
            Inode::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn place(&self, path: &Path) -> Result<Place> {
        let wrong = || Error::from(ErrorKind::InvalidInput);
        let parent = self.find(path.parent().ok_or_else(wrong)?)?;
        self.directory(parent)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
        Ok((parent, name.to_owned()))
    }

    fn at(&self, (directory, name): &Place) -> Option<usize> {
        self.directory(*directory).ok()?.names.get(name).copied()
    }

    fn change(&mut self, change: Change) {
        self.apply(&change, |directory| &mut directory.names);
        self.unsynced.push(change);
    }

    fn make_durable(&mut self, change: &Change) {
        self.apply(change, |directory| &mut directory.durable);
    }

    fn apply(&mut self, change: &Change, names: fn(&mut Directory) -> &mut BTreeMap<String, usize>) {
        let mut set = |(directory, name): &Place, inode: Option<usize>| {
            if let Inode::Directory(directory) = &mut self.inodes[*directory] {
                match inode {
                    Some(inode) => names(directory).insert(name.clone(), inode),
                    None => names(directory).remove(name),
                };
            }
        };
        match change {
            Change::Put(place, inode) => set(place, Some(*inode)),
            Change::Take(place) => set(place, None),
            Change::Move(from, to, inode) => {
                set(from, None);
                set(to, Some(*inode));
            }
        }
    }

    /// Whether everything that a change depends on is durable.
    fn is_durable(&self, change: &Change) -> bool {
        match change {
            Change::Put(..) | Change::Take(_) => true,
            Change::Move((directory, name), _, inode) => {
                self.directory(*directory).is_ok_and(|directory| directory.durable.get(name) == Some(inode))
            }
        }
    }

    /// Makes every change in a directory durable, and the earlier ones of the same names elsewhere.
    fn sync_directory(&mut self, directory: usize) {
        let mut places: Vec<Place> = Vec::new();
        let (mut synced, mut left) = (Vec::new(), Vec::new());
        for change in std::mem::take(&mut self.unsynced).into_iter().rev() {
            let touched = match &change {
                Change::Put(place, _) | Change::Take(place) => vec![place.clone()],
                Change::Move(from, to, _) => vec![from.clone(), to.clone()],
            };
            if touched.iter().any(|place| place.0 == directory || places.contains(place)) {
                places.extend(touched);
                synced.push(change);
            } else {
                left.push(change);
            }
        }
        synced.iter().rev().for_each(|change| self.make_durable(change));
        left.reverse();
        self.unsynced = left;
    }
}

/// How much of the unsynced content survives.
#[derive(Clone, Copy)]
enum Chance {
    Nothing,
    Everything,
    Some,
}

impl Chance {
    fn draw(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Nothing,
            1 => Self::Everything,
            _ => Self::Some,
        }
    }

    fn keeps(self, random: &mut Random) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Some => random.one_in(2),
        }
    }

    /// The content of a file that was written and not synced.
    fn torn(self, random: &mut Random, before: &[u8], after: &[u8]) -> Vec<u8> {
        let part = random.below(1 << 20) as usize;
        let cut = (after.len() * part) >> 20;
        match (self, random.below(4)) {
            (Self::Nothing, _) | (Self::Some, 0) => before.to_vec(),
            (Self::Everything, _) | (Self::Some, 1) => after.to_vec(),
            (Self::Some, 2) => after[..cut].to_vec(),
            (Self::Some, _) => [&after[..cut], &vec![0; after.len() - cut]].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(disk: &mut Disk) {
        // With this seed nothing unsynced survives.
        let mut random = (0..).map(|seed| Random::of(seed, &[])).find(|random| random.clone().below(4) == 0).unwrap();
        disk.cut_power(&mut random);
    }

    fn file(disk: &mut Disk, path: &str, bytes: &[u8]) -> usize {
        let inode = disk.create(Path::new(path), false).unwrap();
        disk.write(inode, |old| old.extend_from_slice(bytes)).unwrap();
        inode
    }

    fn read(disk: &Disk, path: &str) -> Option<Vec<u8>> {
        disk.find(Path::new(path)).ok().and_then(|inode| disk.bytes(inode)).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_name_and_its_bytes_each_need_a_sync_of_their_own() {
        for (content, name, left) in
            [(false, false, None), (true, false, None), (false, true, Some("")), (true, true, Some("new"))]
        {
            let mut disk = Disk::new();
            let inode = file(&mut disk, "/a", b"new");
            if content {
                disk.sync(inode);
            }
            if name {
                disk.sync(ROOT);
            }
            cut(&mut disk);
            assert_eq!(read(&disk, "/a"), left.map(|left| left.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_rename_is_atomic_and_needs_its_source_durable() {
        let mut disk = Disk::new();
        let from = disk.create(Path::new("/from"), true).unwrap();
        let to = disk.create(Path::new("/to"), true).unwrap();
        disk.sync(ROOT);
        let inode = file(&mut disk, "/from/a", b"x");
        disk.sync(inode);
        disk.rename(Path::new("/from/a"), Path::new("/to/b")).unwrap();
        disk.sync(to);
        cut(&mut disk);
        assert_eq!(read(&disk, "/to/b").as_deref(), Some(b"x".as_slice()));
        assert_eq!(disk.names(from).unwrap().count(), 0);
    }

    #[test]
    fn a_failed_sync_is_not_repaired_by_another() {
        let mut disk = Disk::new();
        let inode = file(&mut disk, "/a", b"x");
        disk.sync(ROOT);
        disk.fail_sync(inode);
        disk.sync(inode);
        cut(&mut disk);
        assert_eq!(read(&disk, "/a").as_deref(), Some(b"".as_slice()));
    }

    #[test]
    fn names_follow_the_rules_of_a_file_system() {
        let mut disk = Disk::new();
        let kind = |result: Result<()>| result.unwrap_err().kind();
        file(&mut disk, "/a", b"");
        disk.create(Path::new("/directory"), true).unwrap();
        file(&mut disk, "/directory/b", b"");
        assert_eq!(kind(disk.remove(Path::new("/directory"), true)), ErrorKind::DirectoryNotEmpty);
        assert_eq!(kind(disk.remove(Path::new("/directory"), false)), ErrorKind::IsADirectory);
        assert_eq!(kind(disk.rename(Path::new("/a"), Path::new("/directory"))), ErrorKind::IsADirectory);
        assert_eq!(kind(disk.rename(Path::new("/none"), Path::new("/b"))), ErrorKind::NotFound);
        assert_eq!(kind(disk.create(Path::new("/a"), false).map(drop)), ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.create(Path::new("/a/b"), false).map(drop)), ErrorKind::NotADirectory);
    }
}
