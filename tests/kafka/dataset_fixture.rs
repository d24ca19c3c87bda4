//! A small dataset with a topic and a consumer, and the complete generation that both show.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cutover::format::Announcement;
use cutover::internals::kafka::{Connection, announced, is_data_topic};
use cutover::serve::{Range, Store};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::broker::Broker;
use crate::fixture::{Numbers, integers, strings, write_parquet};
use crate::harness::{CUTOVER, Run, Running, Workspace};

/// Rows of a generation: enough for several tables in each of four shards.
pub const ROWS: usize = 20_000;
/// Shards of the dataset.
pub const SHARDS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);

/// A dataset of numbers with its own topic.
pub struct Dataset {
    pub numbers: Numbers,
    pub topic: String,
    pub bootstrap: String,
}

/// The sections of a job that is streamed to a topic.
fn sections(bootstrap: &str, topic: &str, more: &str) -> String {
    let kafka = format!("\n[kafka]\nbrokers = \"{bootstrap}\"\ntopic = \"{topic}\"\n{more}\n");
    let tables = "\n[tables]\nfile_size = \"64KiB\"\nblock_size = \"4KiB\"\ncompression = \"none\"\n";
    let checks = "\n[checks]\nrows = { min = 0, max_change = 1000 }\n";
    format!("{tables}{checks}{kafka}")
}

impl Dataset {
    pub fn new(broker: &Broker) -> Self {
        Self::with(broker, "")
    }

    /// With more keys in `[kafka]`, and more sections after it.
    pub fn with(broker: &Broker, more: &str) -> Self {
        let topic = format!("numbers-{:016x}", getrandom::u64().unwrap());
        Self::on(broker.bootstrap(), topic, more)
    }

    /// Another store that is published to a topic by name.
    pub fn on(bootstrap: &str, topic: String, more: &str) -> Self {
        let numbers = Numbers::with(&sections(bootstrap, &topic, more));
        Self { numbers, topic, bootstrap: bootstrap.to_owned() }
    }

    /// As [`Dataset::new`], with the store on an object store.
    pub fn at(broker: &Broker, url: &str, environment: &[(String, String)]) -> Self {
        let (topic, bootstrap) = (format!("numbers-{:016x}", getrandom::u64().unwrap()), broker.bootstrap());
        let numbers = Numbers::at(url, environment, &sections(bootstrap, &topic, ""));
        Self { numbers, topic, bootstrap: bootstrap.to_owned() }
    }

    pub fn workspace(&self) -> &Workspace {
        &self.numbers.workspace
    }

    /// Writes a generation of [`ROWS`] rows and runs the job.
    pub fn run(&self, generation: i64) -> Run {
        self.write(generation, ROWS);
        self.workspace().cutover("run numbers.toml")
    }

    /// Writes a generation's input. Values are padded so that a few tables are filled.
    pub fn write(&self, generation: i64, rows: usize) {
        let keys: Vec<String> = (0..rows).map(|row| format!("k{row:06}")).collect();
        write_parquet(
            &self.workspace().path("in/part-0.parquet"),
            vec![
                ("key", strings(keys.iter().map(String::as_str))),
                ("generation", integers(std::iter::repeat_n(generation, rows))),
            ],
        );
    }

    /// Runs a command with a failpoint armed.
    pub fn failing(&self, failpoints: &str, line: &str) -> Run {
        let mut command = self.command(line);
        command.env("CUTOVER_FAILPOINTS", failpoints);
        self.workspace().finish(&mut command)
    }

    pub fn command(&self, line: &str) -> Command {
        self.workspace().command(CUTOVER, &line.split_whitespace().collect::<Vec<_>>())
    }

    /// The arguments of a consumer.
    pub fn consuming(&self, more: &str) -> String {
        format!("consume --brokers {} --topic {} --store consumer --name test {more}", self.bootstrap, self.topic)
    }

    /// Consumes what is announced, and exits.
    pub fn consume(&self) -> Run {
        self.workspace().cutover(&self.consuming("--once"))
    }

    /// Starts a consumer that follows.
    pub fn follow(&self) -> Running<'_> {
        self.workspace().start(&self.consuming(""))
    }

    /// The generation in this store, complete.
    #[track_caller]
    pub fn built(&self) -> Option<i64> {
        generation(&self.workspace().path("store"))
    }

    /// The generation in the consumer's store, complete.
    #[track_caller]
    pub fn consumed(&self) -> Option<i64> {
        generation(&self.workspace().path("consumer"))
    }

    pub fn connection(&self) -> Connection {
        Connection::new(&self.bootstrap, None).unwrap()
    }

    /// The last committed announcement.
    pub fn announcement(&self) -> Option<Announcement> {
        announced(&self.connection(), &self.topic, None).unwrap()
    }

    /// The announced version.
    pub fn announced(&self) -> Option<u64> {
        self.announcement().map(|announcement| announcement.current)
    }

    /// The data topic of the announced version.
    pub fn data_topic(&self) -> String {
        self.announcement().unwrap().current().unwrap().topic.clone()
    }

    /// Data topics of this dataset that exist.
    pub fn data_topics(&self) -> BTreeSet<String> {
        let names = self.client().fetch_metadata(None, PATIENCE).unwrap();
        let names = names.topics().iter().map(|topic| topic.name().to_owned());
        names.filter(|name| is_data_topic(name, &self.topic)).collect()
    }

    /// The existing data topics are exactly the announced ones.
    #[track_caller]
    pub fn assert_tidy(&self) {
        let announced = self.announcement().unwrap();
        let listed: BTreeSet<String> = announced.versions.iter().map(|it| it.streamed.topic.clone()).collect();
        assert_eq!(self.data_topics(), listed);
    }

    pub fn client(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("group.id", "test").set("auto.offset.reset", "earliest");
        config.create().unwrap()
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().unwrap()
    }

    pub fn delete_topic(&self, name: &str) {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let outcome = futures::executor::block_on(self.admin().delete_topics(&[name], &options)).unwrap();
        outcome.into_iter().for_each(|topic| drop(topic.unwrap()));
    }
}

/// The one generation of all rows of a store; `None` if nothing is published. A mix, or a part, fails.
#[track_caller]
pub fn generation(store: &Path) -> Option<i64> {
    let store: PathBuf = store.to_owned();
    if !store.join("current.json").exists() {
        return None;
    }
    let version = Store::open(&store).unwrap().current().unwrap()?;
    let mut generations = BTreeSet::new();
    let mut rows = 0;
    for entry in version.scan(&Range::all()) {
        let (_, value) = entry.unwrap();
        generations.insert(version.value_schema().to_json(&value).unwrap()["generation"].as_i64().unwrap());
        rows += 1;
    }
    assert_eq!(rows, version.manifest().rows, "a version is complete");
    assert!(generations.len() <= 1, "a version is of one generation, found {generations:?}");
    Some(generations.into_iter().next().unwrap_or(0))
}
