//! A lake with a cluster: the driver and its executors as processes, and the same job run by one process.
//!
//! Not for: expectations of single tests.

use std::collections::BTreeMap;
use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{Run, Running};
use crate::lake::{Lake, parquet};

/// How soon a driver takes an executor for dead, and gives up without any: for tests.
const PATIENCE: &str = "--executor-timeout 8s --executors-grace 12s";

/// A lake, and the address of its driver.
pub struct Cluster {
    pub lake: Lake,
    pub address: String,
}

impl Cluster {
    /// With nothing in it; none where there is no server.
    pub fn new() -> Option<Self> {
        let lake = Lake::new()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Some(Self { lake, address: format!("127.0.0.1:{port}") })
    }

    /// With the input `rows/`: files of 500 rows each, and a job `rows` over it with more sections.
    pub fn with_rows(files: i64, sections: &str) -> Option<Self> {
        let cluster = Self::new()?;
        for file in 0..files {
            parquet(&cluster.lake.workspace, &format!("rows/{file:03}.parquet"), file * 500..(file + 1) * 500);
        }
        cluster.lake.upload("rows");
        cluster.job("rows", "SELECT key, number * 2 AS twice, text FROM rows", sections);
        Some(cluster)
    }

    /// Writes a job over `rows/`, with its key in `key`, in four shards.
    pub fn job(&self, name: &str, sql: &str, sections: &str) {
        let job = format!(
            "version = 1\ndataset = \"{name}\"\nstore = \"stores/{name}\"\n\n[inputs.rows]\npath = \"rows/\"\n\n\
             [query]\nsql = \"\"\"{sql}\"\"\"\n\n[output]\nkey = [\"key\"]\nduplicates = \"number\"\nshards = 4\n{sections}"
        );
        self.lake.workspace.write(&format!("{name}.toml"), job);
    }

    /// The line of a driver for a job. Shares are so small that every file is one.
    pub fn line(&self, job: &str, flags: &str) -> String {
        let url = self.lake.url("");
        let url = url.trim_end_matches('/');
        format!(
            "-C {url} run {job}.toml --json --cluster {} --share-bytes 1KiB --memory 256MiB --threads 1 {PATIENCE} {flags}",
            self.address
        )
    }

    /// Starts the driver.
    pub fn drive(&self, job: &str, failpoints: &str) -> Running<'_> {
        self.lake.start_failing(failpoints, &self.line(job, ""))
    }

    /// Starts an executor of one slot; it ends with the test.
    pub fn executor(&self, name: &str, failpoints: &str) -> Running<'_> {
        let scratch = self.lake.workspace.path(format!("scratch-{name}"));
        let line = format!(
            "executor --driver {} --slots 1 --memory 256MiB --scratch {} --idle-exit 60s -v",
            self.address,
            scratch.display()
        );
        self.lake.start_failing(failpoints, &line)
    }

    /// Runs the job in one process, into another store of the same lake.
    pub fn locally(&self, job: &str) -> Value {
        let text = std::fs::read_to_string(self.lake.workspace.path(format!("{job}.toml"))).unwrap();
        let text = text.replace(&format!("store = \"stores/{job}\""), &format!("store = \"local/{job}\""));
        self.lake.workspace.write(&format!("{job}-locally.toml"), text);
        let url = self.lake.url("");
        let url = url.trim_end_matches('/');
        self.lake.cutover(&format!("-C {url} run {job}-locally.toml --json --memory 256MiB --threads 1")).ok().json()
    }

    /// The store of a job.
    pub fn store(&self, job: &str) -> String {
        self.lake.url(&format!("stores/{job}"))
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
        self.locally(job);
        let (there, here) = (self.sums(&self.store(job)), self.sums(&self.lake.url(&format!("local/{job}"))));
        assert_eq!(there, here);
        self.on("verify", job, "--depth full").ok();
        self.on("gc", job, "--grace 0s").ok();
        self.is_tidy(job);
    }

    /// Asserts that the store has nothing that its versions do not name.
    #[track_caller]
    pub fn is_tidy(&self, job: &str) {
        let keys = self.keys(&format!("stores/{job}"));
        let debris: Vec<&String> =
            keys.iter().filter(|key| key.contains("/work/") || key.ends_with("building.json")).collect();
        assert!(debris.is_empty(), "{debris:?}");
        let attempts: std::collections::BTreeSet<String> = keys
            .iter()
            .filter_map(|key| key.split('/').find(|part| part.starts_with("attempt-")).map(str::to_owned))
            .collect();
        let versions = self.on("versions", job, "--json").ok().json();
        let versions = versions["versions"].as_object().unwrap().values();
        let shards = versions.flat_map(|version| {
            let manifest = self.manifest_of(&self.store(job), version["build_id"].as_str().unwrap());
            manifest["shards"].as_array().unwrap().clone()
        });
        let named: std::collections::BTreeSet<String> =
            shards.filter_map(|shard| shard["attempt"].as_str().map(str::to_owned)).collect();
        assert_eq!(attempts, named, "attempts in the store, and those of the version");
    }

    /// The manifest of the version that readers of a store see.
    fn manifest(&self, store: &str) -> Value {
        let shown = self.lake.cutover(&format!("show {store} --json")).ok().json();
        self.manifest_of(store, shown["build_id"].as_str().unwrap())
    }

    fn manifest_of(&self, store: &str, build: &str) -> Value {
        let prefix = store.strip_prefix(&self.lake.url("")).unwrap();
        let text = self.lake.read(&format!("{prefix}/versions/{build}/manifest.json"));
        serde_json::Deserializer::from_str(&text).into_iter::<Value>().next().unwrap().unwrap()
    }

    /// The keys below a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        crate::server::keys(&self.bucket(), Some(prefix))
    }

    fn bucket(&self) -> cutover::internals::objects::Bucket {
        use cutover::internals::objects::{Bucket, Location};
        let location = Location::parse(&format!("s3://{}", self.lake.bucket)).unwrap();
        Bucket::open(&location, &crate::server::Server::settings(self.lake.port)).unwrap()
    }
}
