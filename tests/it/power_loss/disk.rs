//! A disk that loses what was not synced.
//!
//! ```text
//! content of a file    survives once that file is synced; until then any of its writes may be there or not
//! names in a directory    survive once that directory is synced; until then any of the changes may be there or not,
//!                      but those of one directory in their order, and a rename in both of its directories or in none
//! ```
//! That is what POSIX promises, with one addition that every file system makes: a rename is atomic. Journaling file
//! systems keep more; a program that is correct here is correct on all of them.
//!
//! Not for: opening what is left (`super`).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use super::recording::{Op, inode};
use crate::harness::names;
use crate::random::Random;

/// A file or directory, wherever it is.
type Node = usize;
type Names = BTreeMap<String, Node>;

/// A change to the content of a file.
#[derive(Clone, Debug)]
enum Change {
    Resize(usize),
    Extend(usize),
    Write(usize, Vec<u8>),
}

/// A change to names: in each directory the name that is now this node, or nothing.
#[derive(Clone, Debug)]
struct Naming {
    effects: Vec<(Node, String, Option<Node>)>,
}

#[derive(Clone, Debug)]
enum Content {
    /// What survives, and the changes since.
    File(Vec<u8>, Vec<Change>),
    /// What survives, and the current names.
    Directory { durable: Names, current: Names },
}

/// The disk below one directory.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: Vec<Content>,
    by_inode: HashMap<u64, Node>,
    unsynced: Vec<Naming>,
}

/// The root directory of the disk.
const ROOT: Node = 0;

/// A tree of files to be written: paths of directories, and paths of files with their content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tree {
    directories: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Disk {
    /// The current disk: of everything in `root` only `name`, all of it synced.
    pub fn of(root: &Path, name: &str) -> Self {
        let mut disk = Self { nodes: Vec::new(), by_inode: HashMap::new(), unsynced: Vec::new() };
        let node = disk.add(inode(root), Content::Directory { durable: Names::new(), current: Names::new() });
        assert_eq!(node, ROOT);
        if root.join(name).exists() {
            disk.scan(ROOT, &root.join(name), name);
        }
        disk
    }

    fn add(&mut self, inode: u64, content: Content) -> Node {
        self.nodes.push(content);
        self.by_inode.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn scan(&mut self, above: Node, path: &Path, name: &str) {
        // A file with two names is one node.
        let known = self.by_inode.get(&inode(path)).copied();
        let node = match path.is_dir() {
            true => {
                let node = self.add(inode(path), Content::Directory { durable: Names::new(), current: Names::new() });
                names(path).iter().for_each(|name| self.scan(node, &path.join(name), name));
                node
            }
            false => known.unwrap_or_else(|| {
                let content = fs::read(path).unwrap();
                self.add(inode(path), Content::File(content, Vec::new()))
            }),
        };
        let Content::Directory { durable, current } = &mut self.nodes[above] else { unreachable!() };
        durable.insert(name.to_owned(), node);
        current.insert(name.to_owned(), node);
    }

    /// Applies a system call. What is not below the disk's directory is ignored.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { directory, name, inode } => {
                self.make(*directory, name, *inode, Content::File(Vec::new(), Vec::new()));
            }
            Op::MakeDir { directory, name, inode } => {
                let empty = Content::Directory { durable: Names::new(), current: Names::new() };
                self.make(*directory, name, *inode, empty);
            }
            Op::Resize { inode, size } => self.change(*inode, Change::Resize(*size)),
            Op::Extend { inode, size } => self.change(*inode, Change::Extend(*size)),
            Op::Write { inode, offset, data } => self.change(*inode, Change::Write(*offset, data.clone())),
            Op::Rename { from, to } => match (self.directory(from.0), self.directory(to.0)) {
                (None, None) => {}
                (Some(old), Some(new)) => {
                    if let Some(node) = self.current(old).get(&from.1).copied() {
                        self.name(vec![(old, from.1.clone(), None), (new, to.1.clone(), Some(node))]);
                    }
                }
                _ => panic!("moved across the edge of the disk: {op:?}"),
            },
            Op::Link { inode, directory, name } => {
                if let (Some(directory), Some(&node)) = (self.directory(*directory), self.by_inode.get(inode)) {
                    self.name(vec![(directory, name.clone(), Some(node))]);
                }
            }
            Op::Remove { directory, name } => {
                if let Some(directory) = self.directory(*directory).filter(|it| self.current(*it).contains_key(name)) {
                    self.name(vec![(directory, name.clone(), None)]);
                }
            }
            Op::Sync { inode } => self.sync(*inode),
        }
    }

    fn directory(&self, inode: u64) -> Option<Node> {
        let node = *self.by_inode.get(&inode)?;
        matches!(self.nodes[node], Content::Directory { .. }).then_some(node)
    }

    fn current(&self, directory: Node) -> &Names {
        match &self.nodes[directory] {
            Content::Directory { current, .. } => current,
            Content::File(..) => panic!("a file has no names"),
        }
    }

    fn make(&mut self, directory: u64, name: &str, inode: u64, content: Content) {
        match self.directory(directory) {
            Some(directory) if directory != ROOT || !self.is_foreign(name) => {
                let node = self.add(inode, content);
                self.name(vec![(directory, name.to_owned(), Some(node))]);
            }
            // The inode of a removed file may be reused elsewhere.
            _ => {
                self.by_inode.remove(&inode);
            }
        }
    }

    /// Whether a name in the first directory is not the store's.
    fn is_foreign(&self, name: &str) -> bool {
        name != super::STORE
    }

    fn change(&mut self, inode: u64, change: Change) {
        let Some(node) = self.by_inode.get(&inode) else { return };
        if let Content::File(_, changes) = &mut self.nodes[*node] {
            changes.push(change);
        }
    }

    fn name(&mut self, effects: Vec<(Node, String, Option<Node>)>) {
        for (directory, name, node) in &effects {
            let Content::Directory { current, .. } = &mut self.nodes[*directory] else { unreachable!() };
            rename_in(current, name, *node);
        }
        self.unsynced.push(Naming { effects });
    }

    fn sync(&mut self, inode: u64) {
        let Some(&node) = self.by_inode.get(&inode) else { return };
        match &mut self.nodes[node] {
            Content::File(durable, changes) => {
                let changes = std::mem::take(changes);
                changes.iter().for_each(|change| change.apply(durable));
            }
            Content::Directory { .. } => {
                let chosen: Vec<bool> = self.unsynced.iter().map(|naming| naming.touches(node)).collect();
                let chosen = self.with_earlier(chosen);
                let mut kept = Vec::new();
                for (naming, chosen) in std::mem::take(&mut self.unsynced).into_iter().zip(chosen) {
                    match chosen {
                        true => self.keep(&naming),
                        false => kept.push(naming),
                    }
                }
                self.unsynced = kept;
            }
        }
    }

    fn keep(&mut self, naming: &Naming) {
        for (directory, name, node) in &naming.effects {
            let Content::Directory { durable, .. } = &mut self.nodes[*directory] else { unreachable!() };
            rename_in(durable, name, *node);
        }
    }

    /// The chosen changes of names, and every earlier one in a directory that one of them touches.
    fn with_earlier(&self, mut chosen: Vec<bool>) -> Vec<bool> {
        let mut directories: Vec<Node> = Vec::new();
        for (naming, chosen) in self.unsynced.iter().zip(&mut chosen).rev() {
            *chosen |= directories.iter().any(|directory| naming.touches(*directory));
            if *chosen {
                directories.extend(naming.effects.iter().map(|(directory, ..)| *directory));
            }
        }
        chosen
    }

    /// The tree if nothing unsynced survives.
    pub fn synced(&self) -> Tree {
        self.tree(|_, durable, _| durable.to_vec())
    }

    /// The tree while the power is on.
    pub fn whole(&self) -> Tree {
        let mut disk = self.clone();
        std::mem::take(&mut disk.unsynced).iter().for_each(|naming| disk.keep(naming));
        disk.tree(|_, durable, changes| changed(durable, changes))
    }

    /// A tree that may be left after a power loss: what was synced, and some of what was not.
    pub fn some(&self, random: &mut Random) -> Tree {
        let mut disk = self.clone();
        let namings = std::mem::take(&mut disk.unsynced);
        let chosen = match random.once_in(2) {
            // As a journal keeps them: all up to some point.
            true => {
                let kept = random.below(namings.len() + 1);
                (0..namings.len()).map(|at| at < kept).collect()
            }
            false => self.with_earlier(namings.iter().map(|_| random.once_in(3)).collect()),
        };
        namings.iter().zip(chosen).filter(|(_, chosen)| *chosen).for_each(|(naming, _)| disk.keep(naming));
        // One choice per file, even if it has two names.
        let choices: Vec<u64> = self.nodes.iter().map(|_| random.next()).collect();
        disk.tree(|node, durable, changes| survivor(durable, changes, &mut Random::new(choices[node])))
    }

    fn tree(&self, mut content: impl FnMut(Node, &[u8], &[Change]) -> Vec<u8>) -> Tree {
        let mut tree = Tree::default();
        self.walk(ROOT, "", &mut content, &mut tree);
        tree
    }

    fn walk(
        &self,
        node: Node,
        path: &str,
        content: &mut impl FnMut(Node, &[u8], &[Change]) -> Vec<u8>,
        tree: &mut Tree,
    ) {
        match &self.nodes[node] {
            Content::File(durable, changes) => {
                tree.files.insert(path.to_owned(), content(node, durable, changes));
            }
            Content::Directory { durable, .. } => {
                tree.directories.push(path.to_owned());
                for (name, node) in durable {
                    let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                    self.walk(*node, &below, content, tree);
                }
            }
        }
    }
}

impl Naming {
    fn touches(&self, directory: Node) -> bool {
        self.effects.iter().any(|(touched, ..)| *touched == directory)
    }
}

fn rename_in(names: &mut Names, name: &str, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Resize(size) => content.resize(*size, 0),
            Self::Extend(size) => content.resize(content.len().max(*size), 0),
            Self::Write(offset, data) => {
                let end = offset + data.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(data);
            }
        }
    }
}

fn changed(durable: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut content = durable.to_vec();
    changes.iter().for_each(|change| change.apply(&mut content));
    content
}

/// A content that a file may have after a power loss.
fn survivor(durable: &[u8], changes: &[Change], random: &mut Random) -> Vec<u8> {
    let (whole, torn) = (changes.len(), random.below(changes.len() + 1));
    match random.below(5) {
        0 => durable.to_vec(),
        1 => changed(durable, changes),
        // The size reached the disk, the content did not.
        2 => {
            let mut content = durable.to_vec();
            content.resize(changed(durable, changes).len(), 0);
            content
        }
        // Writes up to one that is torn.
        3 => {
            let mut content = changed(durable, &changes[..torn]);
            if let Some(Change::Write(offset, data)) = changes.get(torn) {
                Change::Write(*offset, data[..random.below(data.len())].to_vec()).apply(&mut content);
            }
            content
        }
        // Any subset of the writes.
        _ => {
            let some: Vec<Change> = changes.iter().take(whole).filter(|_| random.once_in(2)).cloned().collect();
            changed(durable, &some)
        }
    }
}

impl Tree {
    /// What is below `root` on a real disk, of everything in it only `name`.
    pub fn read(root: &Path, name: &str) -> Self {
        Disk::of(root, name).synced()
    }

    /// Writes the tree below `root`, replacing everything with its top-level names.
    pub fn write(&self, root: &Path, name: &str) {
        if root.join(name).exists() {
            fs::remove_dir_all(root.join(name)).unwrap();
        }
        for directory in self.directories.iter().filter(|directory| !directory.is_empty()) {
            fs::create_dir(root.join(directory)).unwrap();
        }
        for (path, content) in &self.files {
            fs::write(root.join(path), content).unwrap();
        }
    }

    /// Paths whose content differs between the two, or that only one has.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let paths = self.files.keys().chain(other.files.keys());
        let differing = paths.filter(|path| self.files.get(*path) != other.files.get(*path)).cloned();
        let mut differing: Vec<String> = differing.collect();
        differing.extend(self.directories.iter().filter(|directory| !other.directories.contains(directory)).cloned());
        differing.extend(other.directories.iter().filter(|directory| !self.directories.contains(directory)).cloned());
        differing.sort_unstable();
        differing.dedup();
        differing
    }
}
