//! Which files an input has, on disk and in a bucket.

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
    for (table, log) in [("delta", "_delta_log/0.json"), ("hudi", ".hoodie/x"), ("ice", "metadata/v1.metadata.json")] {
        touch(root, &format!("{table}/1.parquet"));
        touch(root, &format!("{table}/data/date=1/1.parquet"));
        touch(root, &format!("{table}/{log}"));
        for path in ["", "*.parquet", "**/*.parquet", "data/", "data/date=*/", "data/date=1", "data/date=1/1.parquet"] {
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
            let looked = list(&place).and_then(|(root, _)| refuse_tables_above(&place, &Buckets::from_env(), &root));
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
