//! `cutover consume`: a local store that follows a topic.

use std::path::PathBuf;

use super::{Output, Verdict, format, parsers};
use crate::consume::{self, Options, Takeover};
use crate::error::{Error, Result};
use crate::format::{DEFAULT_KEEP, Retention};
use crate::job::is_topic;
use crate::kafka::Connection;
use crate::progress::Progress;
use crate::resources::Resources;
use crate::shutdown;

const EXAMPLES: &str = "\
Examples:
  cutover consume --brokers 127.0.0.1:9092 --topic views-by-age --store local/views_by_age
  cutover consume --brokers kafka:9092 --topic views-by-age --store local/views_by_age --once
  cutover consume --brokers kafka:9093 --topic views-by-age --store local/views_by_age \\
      --properties /etc/cutover/kafka.properties --name edge-7 --rate-limit 50MiB";

/// Follow a topic: copy every announced version into a local store
///
/// Readers of the local store see the complete old version or the complete new one. A version is staged, verified
/// against the announced counts and digests, and only then becomes current; one that does not match is discarded. A
/// killed consumer resumes from what it had staged. Each version that becomes current prints a line.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Brokers of the cluster: host:port, several separated by commas
    #[arg(long, value_name = "B")]
    brokers: String,
    /// The topic, as the job names it
    #[arg(long, value_name = "T")]
    topic: String,
    /// Directory of the local store
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// File of client settings, such as credentials: name=value lines as librdkafka knows them
    #[arg(long, value_name = "FILE")]
    properties: Option<PathBuf>,
    /// Name under which this consumer reports; host and store if left out
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Exit once the announced version is served
    #[arg(long)]
    once: bool,
    /// Read at most this many bytes per second, such as 50MiB
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    rate_limit: Option<u64>,
    /// Versions to keep in the local store
    #[arg(long, value_name = "N", value_parser = parsers::keep, allow_negative_numbers = true, default_value_t = DEFAULT_KEEP)]
    keep: u32,
    /// Threads to use; one per processor if left out
    #[arg(long, value_name = "N", value_parser = parsers::number, allow_negative_numbers = true)]
    threads: Option<usize>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        if !is_topic(&self.topic) {
            return Err(Error::invalid(format!("--topic {:?} cannot be the name of a topic", self.topic)));
        }
        if self.rate_limit == Some(0) {
            return Err(Error::invalid("--rate-limit must be more than 0"));
        }
        let options = Options {
            connection: Connection::new(&self.brokers, self.properties.as_deref())?,
            name: self.name.unwrap_or_else(|| own_name(&self.store)),
            topic: self.topic,
            store: self.store,
            once: self.once,
            rate_limit: self.rate_limit,
            retention: Retention { keep: self.keep, keep_for: None },
            threads: Resources::new(self.threads, None)?.threads,
            progress: Progress::auto(),
        };
        let (store, json) = (options.store.display().to_string(), output.is_json());
        let mut switched = false;
        let ended = consume::consume(&options, |taken| {
            switched = true;
            if json {
                output.json_line(taken)?;
            } else {
                output.line(sentence(&store, taken))?;
            }
            output.flush()
        });
        ended.map_err(|error| {
            shutdown::explain_stop(error, || {
                format!("stopped: readers of {store} are unaffected; run the same command again, which resumes from what is staged")
            })
        })?;
        match (switched, json) {
            (true, _) => {}
            (false, true) => output.ended("unchanged"),
            (false, false) => output.line(format!("readers of {store} already see what is announced"))?,
        }
        Ok(Verdict::Yes)
    }
}

fn sentence(store: &str, taken: &Takeover) -> String {
    let version = taken.version;
    let from = match taken.previous {
        Some(previous) => format!("readers of {store} went from version {previous} to {version}"),
        None => format!("it is the first that readers of {store} see"),
    };
    let how = match (taken.was_here, taken.resumed_rows) {
        (true, _) => "it was here already".to_owned(),
        (false, 0) => format!("{} in {}", format::plural(taken.rows, "row"), format::duration(taken.seconds)),
        (false, resumed) => format!(
            "{} in {}, {} of them staged before",
            format::plural(taken.rows, "row"),
            format::duration(taken.seconds),
            format::count(resumed)
        ),
    };
    format!("version {version} is live: {from} ({how})")
}

/// A default name that is unique among consumers.
fn own_name(store: &std::path::Path) -> String {
    let store = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
    format!("{}:{}", crate::catalog::host(), store.display())
}
