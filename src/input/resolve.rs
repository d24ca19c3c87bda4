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
    let table = match name {
        "_delta_log" => "a Delta Lake table",
        ".hoodie" => "a Hudi table",
        _ if name.ends_with(".metadata.json") && parent(path).ends_with("metadata") => "an Iceberg table",
        _ => return Ok(()),
    };
    Err(is_log(place, path, table))
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
pub(super) mod tests {
    use std::fs;

    use super::*;
    use crate::job::Job;
    use crate::objects::{Bucket, Key, simulated};

    fn find(spec: &InputSpec) -> Result<ResolvedFiles> {
        super::find(spec, &Buckets::from_env())
    }

    /// An input of a job that only has a path.
    pub(in crate::input) fn spec(path: &Path) -> InputSpec {
        InputSpec {
            name: "events".to_owned(),
            path: path.display().to_string(),
            format: None,
            csv: Default::default(),
            schema: None,
            require: None,
            require_each: None,
            partitions: None,
            line: 1,
        }
    }

    fn touch(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }

    #[test]
    fn directories_globs_partitions_and_hidden_files() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        touch(root, "date=2026-01-02/b=x%2Fy/1.parquet");
        touch(root, "date=2026-01-01/b=__HIVE_DEFAULT_PARTITION__/1.parquet");
        touch(root, "_SUCCESS");
        touch(root, "_temporary/2.parquet");
        touch(root, ".hidden.parquet");
        let found = find(&spec(root)).unwrap();
        assert_eq!(found.partition_columns, ["date", "b"]);
        let values: Vec<_> = found.files.iter().map(|file| file.partitions.clone()).collect();
        assert_eq!(
            values,
            [[Some("2026-01-01".to_owned()), None], [Some("2026-01-02".to_owned()), Some("x/y".to_owned())]]
        );
        let globbed = find(&spec(&root.join("date=2026-01-02/*/*.parquet"))).unwrap();
        assert_eq!(globbed.files.len(), 1);
        let everything = find(&spec(&root.join("**/*"))).unwrap();
        assert_eq!(everything.files.len(), 2, "each file once, and none of hidden directories");
    }

    #[test]
    fn directories_of_other_partitions_are_not_looked_into() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for path in ["month=01/de.csv", "month=2/de.csv", "month=3/de.csv"] {
            touch(root, path);
        }
        // A search in it would not end.
        std::os::unix::fs::symlink(".", root.join("month=3/loop")).unwrap();
        let job = |months: &str| {
            let text = format!(
                "version = 1\ndataset = 'n'\nstore = 's'\n[inputs.events]\npath = '{}'\npartitions = {{ month = {months} \
                 }}\n[query]\nsql = 'SELECT k FROM events'\n[output]\nkey = ['k']\n",
                root.display()
            );
            let no_file = |_: &Path| Ok(String::new());
            Job::parse(Path::new("job.toml"), &text, &Default::default(), &no_file).unwrap().inputs.remove(0)
        };
        let files = |months| find(&job(months)).map(|found| found.files.len());
        assert_eq!(files("[1, 2]").unwrap(), 2, "numbers are compared by value");
        assert!(files("[3]").unwrap_err().message().contains("directories deep"));
        assert!(files("[4]").unwrap_err().message().contains("month=4 is not there"));
    }

    #[test]
    fn anything_but_a_file_is_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for directory in ["pipe", "socket", "link"] {
            touch(root, &format!("{directory}/1.parquet"));
        }
        let pipe = root.join("pipe/2.parquet");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket/2")).unwrap();
        std::os::unix::fs::symlink(root.join("nowhere"), root.join("link/2.parquet")).unwrap();
        for (path, named) in [
            ("pipe", "pipe/2.parquet is a pipe"),
            ("pipe/2.parquet", "pipe/2.parquet is a pipe"),
            ("pipe/*.parquet", "pipe/2.parquet is a pipe"),
            ("socket", "socket/2 is a pipe, socket"),
            ("link", "link/2.parquet is a dangling link"),
            ("link/2.parquet", "link/2.parquet is a dangling link"),
        ] {
            let error = find(&spec(&root.join(path))).err().unwrap();
            assert_eq!(error.kind(), Kind::Input, "{path}");
            assert!(error.message().contains(named), "{path}: {error}");
        }
    }

    #[test]
    fn ambiguous_or_incomplete_inputs_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let kind = |spec: &InputSpec| find(spec).err().map(|error| error.kind());
        assert_eq!(kind(&spec(&root.join("nowhere"))), Some(Kind::Input));
        touch(root, "data/1.parquet");
        let marker = InputSpec { require: Some("_SUCCESS".to_owned()), ..spec(&root.join("data")) };
        assert_eq!(kind(&marker), Some(Kind::Input));
        touch(root, "data/_SUCCESS");
        assert_eq!(kind(&marker), None);
        touch(root, "data/date=1/2.parquet");
        assert_eq!(kind(&spec(&root.join("data"))), Some(Kind::Input));
        touch(root, "mixed/1.parquet");
        touch(root, "mixed/1.csv");
        assert_eq!(kind(&spec(&root.join("mixed"))), Some(Kind::Invalid));
        touch(root, "odd/1.xlsx");
        assert_eq!(kind(&spec(&root.join("odd"))), Some(Kind::Invalid));
        for (table, log) in
            [("delta", "_delta_log/0.json"), ("hudi", ".hoodie/x"), ("ice", "metadata/v1.metadata.json")]
        {
            touch(root, &format!("{table}/1.parquet"));
            touch(root, &format!("{table}/data/date=1/1.parquet"));
            touch(root, &format!("{table}/{log}"));
            for path in
                ["", "*.parquet", "**/*.parquet", "data/", "data/date=*/", "data/date=1", "data/date=1/1.parquet"]
            {
                let error = find(&at(&root.join(table), path)).err().unwrap();
                assert_eq!(error.kind(), Kind::Invalid, "{table}/{path}");
                assert!(error.message().contains("is the log of"), "{table}/{path}: {error}");
            }
        }
        // A common name that says nothing by itself.
        touch(root, "plain/metadata/notes.json");
        touch(root, "plain/data/1.parquet");
        assert_eq!(kind(&at(root, "plain/data/")), None);
        assert_eq!(kind(&at(root, "plain/**/*.parquet")), None);
    }

    /// An input of a path that is kept as it is written.
    fn at(root: &Path, path: &str) -> InputSpec {
        InputSpec { path: format!("{}/{path}", root.display()), ..spec(root) }
    }

    fn in_bucket<'s>(bucket: &Bucket, spec: &'s InputSpec) -> Place<'s> {
        let location = Location::parse(&spec.path).unwrap();
        let path = path_of(spec, &location);
        let narrowing = Narrowing::of(spec, &path);
        Place::new(spec, ObjectTree::look(bucket, &spec.path, &location, &narrowing).unwrap(), path)
    }

    /// The paths of the files that are selected, below a directory.
    fn selected(place: &Place<'_>, directory: &Path) -> Vec<String> {
        let (_, paths) = list(place).unwrap();
        let below = |path: &PathBuf| path.strip_prefix(directory).unwrap().display().to_string();
        let selected: BTreeSet<String> = paths.iter().map(below).collect();
        selected.into_iter().collect()
    }

    const FILES: [&str; 13] = [
        ".hid/f.csv",
        "_tmp/f.csv",
        "a/.f.csv",
        "a/_f.csv",
        "a/f.csv",
        "ab/c/.h/f.csv",
        "ab/c/d/h.csv",
        "ab/c/f.csv",
        "ab/f.csv",
        "ab/g.csv",
        "k=1/f.csv",
        "sub.csv/f.csv",
        "top.csv",
    ];

    #[test]
    fn patterns_select_the_same_files_on_disk_and_in_a_bucket() {
        let root = tempfile::tempdir().unwrap();
        let bucket = simulated::bucket(1, 0, 0).unwrap();
        for file in FILES {
            let file = format!("gl/{file}");
            touch(root.path(), &file);
            bucket.put(&Key::new(file).unwrap(), b"x".to_vec()).unwrap();
        }
        let in_directories =
            &["a/f.csv", "ab/c/d/h.csv", "ab/c/f.csv", "ab/f.csv", "ab/g.csv", "k=1/f.csv", "sub.csv/f.csv"];
        let all = &[&in_directories[..], &["top.csv"]].concat();
        let a = &in_directories[..5];
        let c = &in_directories[1..3];
        let named_f = &["a/f.csv", "ab/c/f.csv", "ab/f.csv", "k=1/f.csv", "sub.csv/f.csv"];
        let table: [(&str, &[&str]); 26] = [
            ("", all),
            ("*", all),
            ("**", all),
            ("**/", all),
            ("**/*", all),
            ("**/**", all),
            ("*/", in_directories),
            ("*/*", in_directories),
            ("**/*/**", in_directories),
            ("a*", a),
            ("a*/", a),
            ("a*/**", a),
            ("**/c", c),
            ("**/c/", c),
            ("**/c/**", c),
            ("ab/c/**/", c),
            ("*.csv", &["sub.csv/f.csv", "top.csv"]),
            ("*.csv/", &["sub.csv/f.csv"]),
            ("**/f.csv", named_f),
            ("ab/**/f.csv", &["ab/c/f.csv", "ab/f.csv"]),
            ("k=[12]/*.csv", &["k=1/f.csv"]),
            ("a/*/", &[]),
            (".*/*", &[]),
            (".hid/*", &[".hid/f.csv"]),
            ("top.csv/*", &[]),
            ("nowhere/*", &[]),
        ];
        for (pattern, expected) in table {
            let local = at(&root.path().join("gl"), pattern);
            let place = Place::of(&local, &Buckets::from_env()).unwrap();
            assert_eq!(selected(&place, &root.path().join("gl")), expected, "{pattern} on disk");
            let remote = at(Path::new("s3://simulated/gl"), pattern);
            assert_eq!(selected(&in_bucket(&bucket, &remote), Path::new("gl")), expected, "{pattern} in a bucket");
        }
    }

    #[test]
    fn the_log_of_a_table_is_found_above_what_is_listed() {
        let bucket = simulated::bucket(1, 0, 0).unwrap();
        let put = |key: &str, bytes: &[u8]| drop(bucket.put(&Key::new(key).unwrap(), bytes.to_vec()).unwrap());
        for log in ["delta/_delta_log/0.json", "hudi/.hoodie/hoodie.properties", "ice/metadata/v1.metadata.json"] {
            put(log, b"{}");
            let table = log.split('/').next().unwrap();
            put(&format!("{table}/data/date=1/p.csv"), b"x");
            for path in ["data/", "data/date=1/p.csv", "da*/*/*.csv", "data/date=*/"] {
                let spec = at(Path::new("s3://simulated"), &format!("{table}/{path}"));
                let place = in_bucket(&bucket, &spec);
                let looked =
                    list(&place).and_then(|(root, _)| refuse_tables_above(&place, &Buckets::from_env(), &root));
                assert_eq!(looked.err().map(|error| error.kind()), Some(Kind::Invalid), "{table}/{path}");
            }
        }
        put("plain/metadata/notes.json", b"{}");
        put("plain/data/p.csv", b"x");
        let spec = at(Path::new("s3://simulated"), "plain/data/");
        let place = in_bucket(&bucket, &spec);
        refuse_tables_above(&place, &Buckets::from_env(), Path::new("plain/data")).unwrap();
    }

    #[test]
    fn markers_of_directories_are_no_files() {
        let bucket = simulated::bucket(1, 0, 0).unwrap();
        let put = |key: &str, bytes: &[u8]| drop(bucket.put(&Key::new(key).unwrap(), bytes.to_vec()).unwrap());
        put("fm/s.parquet/part-0.parquet", b"x");
        for marker in ["fm/s.parquet_$folder$", "fm/v1.0_$folder$", "fm/s.parquet", "fm/empty"] {
            put(marker, b"");
        }
        let spec = at(Path::new("s3://simulated"), "fm/");
        assert_eq!(selected(&in_bucket(&bucket, &spec), Path::new("fm")), ["s.parquet/part-0.parquet"]);
    }
}
