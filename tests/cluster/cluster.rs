//! A lake with a cluster: the driver and its executors as processes, and the same job run by one process.
//!
//! Not for: expectations of single tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{Run, Running};
use crate::lake::{Lake, parquet};

/// How soon a driver takes an executor for dead, and gives up without any: for tests.
const PATIENCE: &str = "--executor-timeout 8s --executors-grace 12s";

/// A query that exchanges rows.
pub const GROUPED: &str =
    "SELECT text AS key, count(*) AS times, sum(number) AS all FROM rows WHERE text IS NOT NULL GROUP BY text";

/// A lake, and the address of its driver.
pub struct Cluster {
    pub lake: Lake,
    pub address: String,
    /// Bytes of input of a task: so few that every file is one.
    pub share: &'static str,
    /// The server's own port, wherever commands find it.
    server: u16,
}

/// A loopback address with a free port.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Cluster {
    /// With nothing in it; none where there is no server.
    pub fn new() -> Option<Self> {
        Lake::new().map(Self::over)
    }

    /// Over a lake.
    pub fn over(lake: Lake) -> Self {
        Self { server: lake.port, lake, address: free_address(), share: "1KiB" }
    }

    /// With the input `rows/`, and a job `rows` over it with more sections.
    pub fn with_rows(files: i64, sections: &str) -> Option<Self> {
        let cluster = Self::new()?;
        cluster.add_rows(files, sections);
        Some(cluster)
    }

    /// Adds the input `rows/`: files of 500 rows each, and a job `rows` over it with more sections.
    pub fn add_rows(&self, files: i64, sections: &str) {
        for file in 0..files {
            parquet(&self.lake.workspace, &format!("rows/{file:03}.parquet"), file * 500..(file + 1) * 500);
        }
        self.lake.upload("rows");
        self.job("rows", "SELECT key, number * 2 AS twice, text FROM rows", sections);
    }

    /// Writes a job over `rows/`, with its key in `key`, in four shards.
    pub fn job(&self, name: &str, sql: &str, sections: &str) {
        let job = format!(
            "version = 1\ndataset = \"{name}\"\nstore = \"stores/{name}\"\n\n[inputs.rows]\npath = \"rows/\"\n\n\
             [query]\nsql = \"\"\"{sql}\"\"\"\n\n[output]\nkey = [\"key\"]\nduplicates = \"number\"\nshards = 4\n{sections}"
        );
        self.lake.workspace.write(&format!("{name}.toml"), job);
    }

    /// The line of a driver for a job.
    pub fn line(&self, job: &str, flags: &str) -> String {
        let url = self.lake.url("");
        let url = url.trim_end_matches('/');
        format!(
            "-C {url} run {job}.toml --json --cluster {} --share-bytes {} --memory 256MiB --threads 1 {PATIENCE} {flags}",
            self.address, self.share
        )
    }

    /// Starts the driver.
    pub fn drive(&self, job: &str, failpoints: &str) -> Running<'_> {
        self.lake.start_failing(failpoints, &self.line(job, ""))
    }

    /// Starts an executor of one slot; it ends with the test.
    pub fn executor(&self, name: &str, failpoints: &str) -> Running<'_> {
        self.lake.start_failing(failpoints, &self.executor_line(name, &self.address))
    }

    /// The line of an executor that asks the driver at an address.
    pub fn executor_line(&self, name: &str, address: &str) -> String {
        let scratch = self.lake.workspace.path(format!("scratch-{name}"));
        format!(
            "executor --driver {address} --slots 1 --memory 256MiB --scratch {} --idle-exit 60s -v",
            scratch.display()
        )
    }

    /// Runs the job in one process, into another store of the same lake.
    pub fn locally(&self, job: &str, flags: &str) -> Value {
        let name = name_of(job);
        let text = std::fs::read_to_string(self.lake.workspace.path(format!("{job}.toml"))).unwrap();
        let text = text.replace(&format!("store = \"stores/{name}\""), &format!("store = \"local/{name}\""));
        self.lake.workspace.write(&format!("{job}-locally.toml"), text);
        let url = self.lake.url("");
        let url = url.trim_end_matches('/');
        let line = format!("-C {url} run {job}-locally.toml --json --memory 256MiB --threads 1 {flags}");
        self.lake.cutover(&line).ok().json()
    }

    /// The store of a job.
    pub fn store(&self, job: &str) -> String {
        self.lake.url(&format!("stores/{}", name_of(job)))
    }

    /// A command on the store of a job.
    pub fn on(&self, command: &str, job: &str, flags: &str) -> Run {
        self.lake.cutover(&format!("{command} {} {flags}", self.store(job)))
    }

    /// What the manifest of a version says of rows and digests, in all and by shard.
    pub fn sums(&self, store: &str) -> BTreeMap<String, Value> {
        let manifest = &self.manifest(store);
        let of = |of: &Value| serde_json::json!([of["rows"], of["digest"], of["bytes"]]);
        let shards = manifest["shards"].as_array().unwrap().iter();
        let mut sums: BTreeMap<String, Value> = shards.map(|shard| (shard["shard"].to_string(), of(shard))).collect();
        sums.insert("all".to_owned(), of(manifest));
        sums.insert("columns".to_owned(), manifest["columns"].clone());
        sums.insert("profile".to_owned(), manifest["profile"]["result"].clone());
        sums
    }

    /// Asserts that the version on the cluster is that of a local run, and that the store has nothing but it.
    #[track_caller]
    pub fn is_as_locally(&self, job: &str) {
        self.is_as_locally_with(job, "");
    }

    /// The same of a job that is run with flags.
    #[track_caller]
    pub fn is_as_locally_with(&self, job: &str, flags: &str) {
        self.locally(job, flags);
        let here = self.lake.url(&format!("local/{}", name_of(job)));
        let (there, here) = (self.sums(&self.store(job)), self.sums(&here));
        assert_eq!(there, here);
        self.on("verify", job, "--depth full").ok();
        self.on("gc", job, "--grace 0s").ok();
        self.is_tidy(job);
    }

    /// Asserts that the store has nothing that its versions do not name, and that no upload is open.
    #[track_caller]
    pub fn is_tidy(&self, job: &str) {
        assert_eq!(crate::server::open_uploads(self.server, &self.lake.bucket), 0, "open uploads");
        let keys = self.keys(&format!("stores/{}", name_of(job)));
        let debris: Vec<&String> = keys
            .iter()
            .filter(|key| key.contains("/work/") || key.ends_with("building.json") || key.contains("/uploads/"))
            .collect();
        assert!(debris.is_empty(), "{debris:?}");
        let attempts: BTreeSet<String> = keys
            .iter()
            .filter_map(|key| key.split('/').find(|part| part.starts_with("attempt-")).map(str::to_owned))
            .collect();
        let versions = self.on("versions", job, "--json").ok().json();
        let versions = versions["versions"].as_object().unwrap().values();
        let shards = versions.flat_map(|version| {
            let manifest = self.manifest_of(&self.store(job), version["build_id"].as_str().unwrap());
            manifest["shards"].as_array().unwrap().clone()
        });
        let named: BTreeSet<String> = shards.filter_map(|shard| shard["attempt"].as_str().map(str::to_owned)).collect();
        assert_eq!(attempts, named, "attempts in the store, and those of the version");
    }

    /// The manifest of the version that readers of a store see.
    pub fn manifest(&self, store: &str) -> Value {
        let shown = self.lake.cutover(&format!("show {store} --json")).ok().json();
        self.manifest_of(store, shown["build_id"].as_str().unwrap())
    }

    fn manifest_of(&self, store: &str, build: &str) -> Value {
        let prefix = store.strip_prefix(&self.lake.url("")).unwrap();
        let text = self.lake.read(&format!("{prefix}/versions/{build}/manifest.json"));
        serde_json::Deserializer::from_str(&text).into_iter::<Value>().next().unwrap().unwrap()
    }

    /// The numbers of the tasks of a kind that have a record in any build of a job: `scan`, `map` or `built`.
    pub fn records(&self, job: &str, kind: &str) -> BTreeSet<String> {
        let keys = self.keys(&format!("stores/{}/versions", name_of(job)));
        let of_kind = |key: &String| Some(key.split_once(&format!("/work/{kind}/"))?.1.to_owned());
        keys.iter().filter_map(of_kind).collect()
    }

    /// Asserts that executors that were not killed have left nothing in their scratch directories.
    #[track_caller]
    pub fn scratch_is_empty(&self, executors: &[&str]) {
        for name in executors {
            let left = crate::harness::names(&self.lake.workspace.path(format!("scratch-{name}")));
            assert!(left.iter().all(|name| !name.starts_with("attempt-")), "{name}: {left:?}");
        }
    }

    /// The keys below a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        crate::server::keys(&self.bucket(), Some(prefix))
    }

    fn bucket(&self) -> cutover::internals::objects::Bucket {
        use cutover::internals::objects::{Bucket, Location};
        let location = Location::parse(&format!("s3://{}", self.lake.bucket)).unwrap();
        Bucket::open(&location, &crate::server::Server::settings(self.server)).unwrap()
    }
}

/// The name of a job, which may be in a directory.
fn name_of(job: &str) -> &str {
    job.rsplit('/').next().unwrap_or(job)
}
