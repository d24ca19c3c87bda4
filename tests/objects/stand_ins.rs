//! The other object stores, by stand-ins: Azurite for Azure's blobs, fake-gcs-server for Google Cloud Storage.
//!
//! They are brought by `scripts/stand-ins.sh`, with npm and Go. Where those are not installed, a test says so and
//! passes.
//!
//! Not for: S3, which all other tests use.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cutover::internals::objects::{Bucket, Key, Location, Settings};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use crate::fixture::Numbers;
use crate::lake::csv;
use crate::pulls::{copied, pull};
use crate::server::{free_ports, keys, skip};
use crate::stores::behaviours;

const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A stand-in, as a child process of this one, which ends with its standard input.
struct StandIn {
    scheme: &'static str,
    port: u16,
    environment: Vec<(String, String)>,
    _dir: TempDir,
    _script: Child,
}

impl StandIn {
    fn azurite() -> Option<Self> {
        let environment = |port| {
            vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1".to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY.to_owned()),
                ("AZURE_STORAGE_ENDPOINT", format!("http://127.0.0.1:{port}/devstoreaccount1")),
            ]
        };
        Self::start("azurite", "npm", "az", environment)
    }

    fn gcs() -> Option<Self> {
        let environment = |port| {
            vec![("GOOGLE_BASE_URL", format!("http://127.0.0.1:{port}")), ("GOOGLE_SKIP_SIGNATURE", "true".to_owned())]
        };
        Self::start("gcs", "go", "gs", environment)
    }

    /// Starts it; none, and a word about it, where it cannot be had.
    fn start(
        name: &str,
        tool: &str,
        scheme: &'static str,
        environment: impl Fn(u16) -> Vec<(&'static str, String)>,
    ) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stand-ins.sh");
        let is_there =
            Command::new("bash").args(["-c", &format!("command -v {tool}")]).output().unwrap().status.success();
        if !is_there {
            eprintln!("skipped: {name} needs {tool}, which is not installed");
            return None;
        }
        let fetched = Command::new(&script).args(["fetch", name]).stdin(Stdio::null()).output().unwrap();
        if !fetched.status.success() {
            skip(&String::from_utf8_lossy(&fetched.stderr));
            return None;
        }
        let (dir, port) = (tempfile::Builder::new().prefix("cutover-objects-").tempdir().unwrap(), free_ports(1));
        let mut command = Command::new(script);
        command.arg("run").arg(name).arg(dir.path()).arg(port.to_string());
        let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready "), "{name} did not start");
        let environment = environment(port).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Some(Self { scheme, port, environment, _dir: dir, _script: script })
    }

    fn url(&self, key: &str) -> String {
        format!("{}://lake/{key}", self.scheme)
    }

    fn open(&self, prefix: &str) -> Bucket {
        let location = Location::parse(&self.url(prefix)).unwrap();
        Bucket::open(&location, &Settings::of(self.environment.clone())).unwrap()
    }

    /// A dataset with its store at a key.
    fn numbers(&self, key: &str, sections: &str) -> Numbers {
        Numbers::at(&self.url(key), &self.environment, sections)
    }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// The client: small and large objects, conditions where the store has them, listings and deletions.
fn client(bucket: &Bucket) {
    bucket.put(&key("day=1/a b+ü%41"), b"0123456789".to_vec()).unwrap();
    let entry = bucket.head(&key("day=1/a b+ü%41")).unwrap().unwrap();
    assert_eq!((entry.bytes, bucket.range(&entry, 3..6).unwrap()), (10, b"345".to_vec()));
    bucket.put(&key("day=2/b"), b"x".to_vec()).unwrap();
    let (objects, directories) = bucket.list_level(None).unwrap();
    assert_eq!((objects.len(), directories), (0, [key("day=1"), key("day=2")].to_vec()));
    assert_eq!(keys(bucket, None), ["day=1/a b+ü%41", "day=2/b"]);
    bucket.delete([key("day=1/a b+ü%41"), key("day=2/b"), key("never")]).unwrap();
    assert_eq!(keys(bucket, None), [""; 0]);
    assert_eq!(bucket.head(&key("day=2/b")).unwrap(), None);
}

fn large_objects_are_uploaded_in_parts(bucket: &Bucket) {
    let content: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut source = content.as_slice();
    let uploaded = bucket.upload(&key("large"), &mut source, content.len() as u64, None, &mut |_| Ok(())).unwrap();
    assert_eq!(uploaded.xxh3, xxh3_64(&content));
    let entry = bucket.head(&key("large")).unwrap().unwrap();
    assert_eq!(bucket.hash(&entry).unwrap(), uploaded.xxh3);
    // One whose bytes are not those that were announced is not made.
    let refused = bucket.upload(&key("other"), &mut content.as_slice(), content.len() as u64, Some(1), &mut |_| Ok(()));
    assert!(refused.is_err() && bucket.head(&key("other")).unwrap().is_none());
}

#[test]
fn azure_blobs_are_a_store_like_any_other() {
    let Some(azure) = StandIn::azurite() else { return };
    client(&azure.open("client"));
    large_objects_are_uploaded_in_parts(&azure.open("large"));
    azure.open("conditions").check_conditions(&key("probe")).unwrap();
    behaviours(&azure.numbers("store", "[retention]\nkeep = 2\n"));
}

#[test]
fn versions_in_azure_blobs_are_pulled_verified_and_rolled_back() {
    let Some(azure) = StandIn::azurite() else { return };
    let numbers = azure.numbers("store", "");
    numbers.run(1).ok();
    pull(&numbers).ok();
    assert_eq!(copied(&numbers), (1, 1));
    pull(&numbers).exits(1);
    numbers.run(2).ok();
    pull(&numbers).ok();
    assert_eq!(copied(&numbers), (2, 2));
    numbers.on("rollback", "").ok();
    pull(&numbers).ok();
    assert_eq!(copied(&numbers), (1, 1));
    numbers.workspace.cutover("verify copy --depth full").ok();
    numbers.run(3).ok();
    numbers.on("gc", "--keep 1 --grace 0s").ok();
    let left: Vec<u64> = numbers.states().into_iter().map(|(version, _)| version).collect();
    assert!(left.contains(&3) && !left.contains(&1), "{left:?}");
    let objects = keys(&azure.open("store"), Some("versions"));
    let builds: BTreeSet<&str> = objects.iter().filter_map(|object| object.split('/').nth(1)).collect();
    assert_eq!(builds.len(), left.len(), "gc leaves what current.json names: {builds:?}");
}

#[test]
fn inputs_in_azure_blobs_are_read() {
    let Some(azure) = StandIn::azurite() else { return };
    let bucket = azure.open("");
    inputs(&azure, |name, bytes| _ = bucket.put(&key(name), bytes.to_vec()).unwrap());
}

/// A job over files in a container or bucket, with a local store.
fn inputs(stand_in: &StandIn, put: impl Fn(&str, &[u8])) {
    for day in 1..=3 {
        put(&format!("events/day={day}/rows.csv"), csv(day * 10..day * 10 + 10).as_bytes());
    }
    let workspace = crate::harness::Workspace::new();
    let job = |more: &str| {
        format!(
            "version = 1\ndataset = \"rows\"\nstore = \"stores/rows\"\n\n[inputs.rows]\npath = \"{}\"\n{more}\n\n[query]\nsql = \
             \"SELECT * FROM rows\"\n\n[output]\nkey = [\"key\"]\n",
            stand_in.url("events/")
        )
    };
    let rows = |more: &str| {
        workspace.write("job.toml", job(more));
        let mut command =
            workspace.command(crate::harness::CUTOVER, &["run", "job.toml", "--json", "--allow", "change"]);
        workspace.finish(command.envs(stand_in.environment.clone())).ok().json()["rows"].as_i64()
    };
    assert_eq!(rows(""), Some(30));
    assert_eq!(rows("partitions = { day = \"1..2\" }"), Some(20));
}

/// Listings and reads; fake-gcs-server takes no objects by the interface that the client writes by.
#[test]
fn inputs_in_google_cloud_storage_are_read() {
    let Some(gcs) = StandIn::gcs() else { return };
    inputs(&gcs, |name, bytes| {
        let target = format!("/upload/storage/v1/b/lake/o?uploadType=media&name={}", name.replace('/', "%2F"));
        let mut stream = TcpStream::connect(("127.0.0.1", gcs.port)).unwrap();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            gcs.port,
            bytes.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(bytes)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    });
}
