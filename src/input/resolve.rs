//! Resolves a path or URL in the job file to a list of files: the rules, for local directories and object stores alike.
//!
//! A path is a file, a directory (searched recursively) or a glob. Names that begin with `_` or `.` are ignored, as
//! writers of datasets use them for files in progress and markers; directories named `column=value` add a column. The
//! list is sorted, so the same files always give the same list.
//!
//! A directory with a Delta Lake, Iceberg or Hudi log is refused, and so is a path below one: the log says which files
//! are live, and reading all of them would bring back deleted rows.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::buckets::Buckets;
use super::narrowing::{Narrowing, WILDCARDS};
use super::object_tree::ObjectTree;
use super::pattern::{MAX_DEPTH, PathPattern, is_hidden};
use super::text::FileCompression;
use super::tree::{LocalTree, Node, Tree, TreeEntry, TreeFile};
use super::{InputFile, partitions};
use crate::error::{Error, Kind, Result};
use crate::job::{Format, InputSpec};
use crate::objects::{Location, Scheme};

/// Maximum number of files of an input.
const MAX_FILES: usize = 1_000_000;
/// Directories above an input in which the log of a table is looked for at most; those of partitions are not counted.
const MAX_ABOVE: usize = 4;
/// The directories of the logs of tables, how the names of files in them end, and what has them.
const TABLE_LOGS: [(&str, &str, &str); 3] =
    [("_delta_log", "", "a Delta Lake table"), (".hoodie", "", "a Hudi table"), ICEBERG_LOG];
const ICEBERG_LOG: (&str, &str, &str) = ("metadata", ".metadata.json", "an Iceberg table");

/// The files of an input, and what their names say.
pub(super) struct ResolvedFiles {
    pub(super) format: Format,
    pub(super) files: Vec<InputFile>,
    pub(super) partition_columns: Vec<String>,
}

/// Where an input is looked for.
struct Place<'s> {
    spec: &'s InputSpec,
    tree: Box<dyn Tree>,
    /// Its path in the tree; may be a pattern.
    path: String,
    /// Whether directories of other partitions than those that the job names were found, and not looked into.
    has_others: Cell<bool>,
}

impl<'s> Place<'s> {
    fn of(spec: &'s InputSpec, buckets: &Buckets) -> Result<Self> {
        if !Location::is_url(&spec.path) {
            return Ok(Self::new(spec, LocalTree, spec.path.clone()));
        }
        let location = Location::parse(&spec.path)?;
        let path = path_of(spec, &location);
        if location.scheme() == Scheme::File {
            return Ok(Self::new(spec, LocalTree, format!("/{path}")));
        }
        let narrowing = Narrowing::of(spec, &path);
        let tree = ObjectTree::look(&buckets.open(&location)?, &spec.path, &location, &narrowing)?;
        Ok(Self::new(spec, tree, path))
    }

    fn new(spec: &'s InputSpec, tree: impl Tree + 'static, path: String) -> Self {
        let has_others = Cell::new(spec.partitions.is_some() && tree.has_skipped());
        Self { spec, tree: Box::new(tree), path, has_others }
    }

    /// Whether a directory can hold files of the partitions that the job names; all of it is read if it names none.
    fn may_hold(&self, directory: &Path) -> bool {
        let Some(wanted) = &self.spec.partitions else { return true };
        let name = directory.file_name().and_then(|name| name.to_str());
        let may_hold = name.is_none_or(|name| partitions::may_hold(wanted, name));
        self.has_others.set(self.has_others.get() || !may_hold);
        may_hold
    }

    fn error(&self, kind: Kind, what: impl fmt::Display) -> Error {
        Error::new(kind, format!("input {}: {what}", self.spec.name))
    }
}

/// The path in its bucket. The slash at the end of a pattern, which no location has, names directories.
fn path_of(spec: &InputSpec, location: &Location) -> String {
    let names_directories = spec.path.ends_with('/') && location.prefix().contains(WILDCARDS);
    format!("{}{}", location.prefix(), if names_directories { "/" } else { "" })
}

/// Finds the files of an input.
///
/// # Errors
/// `Input` if there are none, or a required marker is missing; `Invalid` if formats are mixed or unknown, or if the
/// directory is a table of another system; `Unavailable` if a directory cannot be read.
pub(super) fn find(spec: &InputSpec, buckets: &Buckets) -> Result<ResolvedFiles> {
    let place = Place::of(spec, buckets)?;
    let (root, mut paths) = list(&place)?;
    // A glob can match a directory and its content.
    paths.sort_unstable();
    paths.dedup();
    if paths.is_empty() && !place.has_others.get() {
        return Err(Error::input(format!(
            "input {} has no files at {}; check the path, or wait for the data to arrive",
            spec.name, spec.path
        )));
    }
    refuse_tables_above(&place, buckets, &root)?;
    let shown = |path: &Path| place.tree.shown(path);
    let paths = partitions::select(spec, &root, paths, &shown)?;
    check_markers(&place, &root, &paths)?;
    let about = |error: Error| Error::new(error.kind(), format!("input {}: {}", spec.name, error.message()));
    let file = |path: &PathBuf| {
        place.tree.file(path).map_err(|error| if error.kind() == Kind::Input { about(error) } else { error })
    };
    let files = paths.iter().map(file).collect::<Result<Vec<_>>>()?;
    let format = format_of(&place, &paths)?;
    let mut partition_columns: Option<Vec<String>> = None;
    let mut found = Vec::with_capacity(paths.len());
    for (path, TreeFile { source, bytes, modified }) in paths.into_iter().zip(files) {
        let (columns, partitions) = partitions::columns_and_values(path.strip_prefix(&root).unwrap_or(&path));
        let expected = partition_columns.get_or_insert_with(|| columns.clone());
        if *expected != columns {
            return Err(Error::input(format!(
                "input {}: {source} is in directories of {columns:?}, but other files are in directories of {expected:?}",
                spec.name
            )));
        }
        found.push(InputFile { source, bytes, modified, partitions, footer: None });
    }
    Ok(ResolvedFiles { format, files: found, partition_columns: partition_columns.unwrap_or_default() })
}

/// The root directory for partitions, and all files.
fn list(place: &Place<'_>) -> Result<(PathBuf, Vec<PathBuf>)> {
    let path = Path::new(&place.path);
    let mut paths = Vec::new();
    match place.tree.at(path) {
        Node::Directory => {
            walk(place, path, 0, &mut paths)?;
            return Ok((path.to_path_buf(), paths));
        }
        // What is not a regular file is reported by name later.
        Node::File => return Ok((parent(path), vec![path.to_path_buf()])),
        Node::Nothing if !place.path.contains(WILDCARDS) => return Ok((parent(path), paths)),
        Node::Nothing => {}
    }
    let pattern = PathPattern::new(&place.path)
        .map_err(|error| error.during(format!("input {}: the path cannot be used", place.spec.name)))?;
    select(place, pattern.directory(), pattern.matching(place.tree.as_ref())?, &mut paths)?;
    Ok((pattern.directory().to_path_buf(), paths))
}

/// The files among what a pattern names, and those in the directories that it names.
fn select(place: &Place<'_>, root: &Path, matching: Vec<TreeEntry>, paths: &mut Vec<PathBuf>) -> Result<()> {
    let directories = matching.iter().filter(|found| found.is_directory);
    let directories: BTreeSet<PathBuf> = directories.map(|found| found.path.clone()).collect();
    let mut looked: BTreeSet<PathBuf> = BTreeSet::new();
    for TreeEntry { path, is_directory } in matching {
        let below = path.strip_prefix(root).unwrap_or(&path);
        for directory in path.ancestors().skip(1).take(below.components().count()) {
            if looked.insert(directory.to_path_buf()) {
                refuse_table(place, directory)?;
            }
        }
        let is_hidden = below.components().any(|part| hidden(Path::new(part.as_os_str())));
        // All of a directory is found with the directory itself.
        if is_hidden || path.ancestors().skip(1).any(|above| directories.contains(above)) {
            continue;
        }
        if !is_directory {
            paths.push(path);
        } else if place.may_hold(&path) {
            walk(place, &path, 0, paths)?;
        }
    }
    Ok(())
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| is_hidden(&name.to_string_lossy()))
}

fn walk(place: &Place<'_>, directory: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    if depth > MAX_DEPTH {
        let shown = place.tree.shown(directory);
        return Err(Error::input(format!("{shown} is more than {MAX_DEPTH} directories deep")));
    }
    for TreeEntry { path, is_directory } in place.tree.children(directory)? {
        refuse_table_log(place, &path)?;
        if hidden(&path) {
            continue;
        }
        if !is_directory {
            paths.push(path);
        } else if place.may_hold(&path) {
            walk(place, &path, depth + 1, paths)?;
        }
        if paths.len() > MAX_FILES {
            return Err(Error::input(format!("input {} has more than {MAX_FILES} files", place.spec.name)));
        }
    }
    Ok(())
}

fn refuse_table_log(place: &Place<'_>, path: &Path) -> Result<()> {
    let is_directory = |path: PathBuf| place.tree.at(&path) == Node::Directory;
    if path.file_name().is_some_and(|name| name == "current.json") && is_directory(parent(path).join("versions")) {
        return Err(place.error(
            Kind::Invalid,
            format_args!(
                "{} is a Cutover store, which cannot be an input; read what it was built from, or files that `cutover \
                 scan --json` wrote",
                place.tree.shown(&parent(path))
            ),
        ));
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let has_sibling = |name: &str| place.tree.exists(&parent(path).join(name));
    if name == "manifest.json" && has_sibling("job.toml")? && has_sibling("query.sql")?
        || name == "CURRENT" && has_sibling("IDENTITY")?
    {
        return Err(place.error(
            Kind::Invalid,
            format_args!(
                "{} is part of a Cutover store, which cannot be an input; read what it was built from, or files that \
                 `cutover scan --json` wrote",
                place.tree.shown(&parent(path))
            ),
        ));
    }
    let is_of = |(log, ending, _): &&(&str, &str, &str)| match *ending {
        "" => name == *log,
        ending => name.ends_with(ending) && parent(path).ends_with(log),
    };
    TABLE_LOGS.iter().find(is_of).map_or(Ok(()), |(_, _, table)| Err(is_log(place, path, table)))
}

fn is_log(place: &Place<'_>, path: &Path, table: &str) -> Error {
    place.error(
        Kind::Invalid,
        format_args!(
            "{} is the log of {table}; reading its files directly would bring back deleted rows. Export the rows you \
             need to plain Parquet and point the input at them",
            place.tree.shown(path)
        ),
    )
}

/// Refuses a directory with the log of a table in it, or with part of a store.
fn refuse_table(place: &Place<'_>, directory: &Path) -> Result<()> {
    for child in place.tree.children(directory)? {
        refuse_table_log(place, &child.path)?;
    }
    // The name of its directory says nothing.
    let (name, ending, table) = ICEBERG_LOG;
    let log = directory.join(name);
    if place.tree.has_file(&log, ending)? { Err(is_log(place, &log, table)) } else { Ok(()) }
}

/// Refuses what is below the directory of a table, which has the log: its root may be above the path in the job.
fn refuse_tables_above(place: &Place<'_>, buckets: &Buckets, root: &Path) -> Result<()> {
    let mut counted = 0;
    for directory in root.ancestors() {
        // The files of a log itself can be read.
        let logs = TABLE_LOGS.iter().map(|(name, ending, table)| (directory.join(name), ending, table));
        for (log, ending, table) in logs.filter(|(log, _, _)| !root.starts_with(log)) {
            buckets.once(place.tree.shown(&log), || {
                if place.tree.has_file(&log, ending)? { Err(is_log(place, &log, table)) } else { Ok(()) }
            })?;
        }
        let Some(name) = directory.file_name() else { break };
        counted += usize::from(!name.as_encoded_bytes().contains(&b'='));
        if counted > MAX_ABOVE {
            break;
        }
    }
    Ok(())
}

fn check_markers(place: &Place<'_>, root: &Path, paths: &[PathBuf]) -> Result<()> {
    let spec = place.spec;
    let mut missing = Vec::new();
    for marker in spec.require.iter().map(|marker| root.join(marker)) {
        if !place.tree.exists(&marker)? {
            missing.push(marker);
        }
    }
    if let Some(pattern) = &spec.require_each {
        let directories = partitions::directories(root, paths);
        if directories.is_empty() {
            return Err(Error::invalid(format!(
                "input {}: {} has no partitions (directories column=value) that could have {pattern}",
                spec.name, spec.path
            )));
        }
        for directory in directories {
            if !holds(place, &directory, pattern)? {
                missing.push(directory.join(pattern));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let (is, them) = if missing.len() == 1 { ("is", "it") } else { ("are", "them") };
    let missing: Vec<String> = missing.iter().map(|path| place.tree.shown(path)).collect();
    Err(Error::input(format!(
        "input {}: {} {is} not there yet, and the job requires {them}; run again when the data is complete",
        spec.name,
        missing.join(", ")
    )))
}

/// Whether a directory has a file that matches the pattern.
fn holds(place: &Place<'_>, directory: &Path, pattern: &str) -> Result<bool> {
    if !pattern.contains(WILDCARDS) {
        return place.tree.exists(&directory.join(pattern));
    }
    let found = PathPattern::below(directory, pattern).and_then(|pattern| pattern.matching(place.tree.as_ref()));
    Ok(found.is_ok_and(|found| !found.is_empty()))
}

fn format_of(place: &Place<'_>, paths: &[PathBuf]) -> Result<Format> {
    let spec = place.spec;
    if let Some(format) = spec.format {
        return Ok(format);
    }
    let mut found: Option<(Format, &PathBuf)> = None;
    for path in paths {
        let decompressed =
            if FileCompression::of(path) == FileCompression::None { path.clone() } else { path.with_extension("") };
        let ending = decompressed.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let format = match ending.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Format::Parquet,
            "csv" => Format::Csv,
            "json" | "jsonl" | "ndjson" => Format::Json,
            "avro" => Format::Avro,
            _ => {
                return Err(Error::invalid(format!(
                    "input {}: the format of {} is unknown; end its name in .parquet, .csv, .json or .avro (.csv.gz \
                     etc. for compressed text), or set `format`",
                    spec.name,
                    place.tree.shown(path)
                )));
            }
        };
        match found {
            Some((first, of)) if first != format => {
                return Err(Error::invalid(format!(
                    "input {} mixes formats: {} and {}; make them two inputs",
                    spec.name,
                    place.tree.shown(of),
                    place.tree.shown(path)
                )));
            }
            _ => found = Some((format, path)),
        }
        if decompressed != *path && !matches!(format, Format::Csv | Format::Json) {
            return Err(Error::invalid(format!(
                "input {}: {} is compressed, which is supported for CSV and JSON files only",
                spec.name,
                place.tree.shown(path)
            )));
        }
    }
    Ok(found.map_or(Format::Parquet, |(format, _)| format))
}

#[cfg(test)]
pub(super) mod tests;
