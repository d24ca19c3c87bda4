//! `cutover pull`: a local store that follows a store on an object store.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Output, Verdict, format, notice, parsers};
use crate::error::{Error, Result};
use crate::format::{DEFAULT_KEEP, Retention};
use crate::progress::{Progress, Stage};
use crate::pull::{DownloadProgress, Follower, Options, Takeover};
use crate::shutdown;
use crate::stderr;

const EXAMPLES: &str = "\
Examples:
  cutover pull s3://serving/views_by_age --to /srv/views_by_age            once; exits 1 if nothing was new
  cutover pull s3://serving/views_by_age --to /srv/views_by_age --follow   until it is stopped
  cutover scan /srv/views_by_age --limit 5                                 read it as any local store

The environment has credentials and settings: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
AWS_ENDPOINT_URL and others; see docs/object-stores.md.";

/// Follow a store on an object store: copy its current version into a local store
///
/// Readers of the local store see the complete old version or the complete new one. A version is downloaded to
/// staging, every file is compared with its checksum, and only then it becomes current. A killed pull keeps what was
/// complete; files that did not change are linked. Each version that becomes current prints a line.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// URL of the store: s3://, gs:// or az://
    #[arg(value_name = "URL")]
    url: String,
    /// Directory of the local store
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Keep following until stopped
    #[arg(long)]
    follow: bool,
    /// Time between two checks with --follow
    #[arg(long, value_name = "D", value_parser = parsers::pause, default_value = "5s")]
    every: Duration,
    /// Also take candidates: versions that `cutover publish --canary` names
    #[arg(long)]
    canary: bool,
    /// Receive at most this many bytes per second, such as 50MiB
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    limit_rate: Option<u64>,
    /// Versions to keep in the local store
    #[arg(long, value_name = "N", value_parser = parsers::keep, allow_negative_numbers = true, default_value_t = DEFAULT_KEEP)]
    keep: u32,
    /// Name under which this host reports; host and directory if left out
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// A bar for the download that is under way.
#[derive(Debug, Default)]
struct Bar(Mutex<Option<Stage>>);

impl Bar {
    fn stage(&self) -> MutexGuard<'_, Option<Stage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DownloadProgress for Bar {
    fn begin(&self, total: u64) {
        *self.stage() = Some(Progress::Bars.transfer("pull", total));
    }

    fn advance(&self, bytes: u64) {
        self.stage().as_ref().inspect(|stage| stage.advance(bytes));
    }

    fn end(&self) {
        self.stage().take();
    }
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        if self.limit_rate == Some(0) {
            return Err(Error::invalid("--limit-rate must be more than 0"));
        }
        if self.to.to_string_lossy().contains("://") {
            return Err(Error::invalid(format!("--to is {}: it must be a local directory", self.to.display())));
        }
        let defaults = Options::new(self.url, self.to);
        let options = Options {
            name: self.name.unwrap_or(defaults.name),
            limit_rate: self.limit_rate,
            retention: Retention { keep: self.keep, keep_for: None },
            look_every: self.every,
            canary: self.canary,
            progress: stderr::is_watched().then(|| Arc::new(Bar::default()) as _),
            ..defaults
        };
        let store = options.to.display().to_string();
        let options = if self.follow { options.following() } else { options };
        let mut follower = Follower::open(options)?;
        let stopped = |error| {
            shutdown::explain_stop(error, || {
                format!("stopped: readers of {store} are unaffected; the next pull keeps the files that are complete")
            })
        };
        if self.follow {
            follower
                .follow(|pulled| match pulled {
                    Ok(Some(taken)) => print_takeover(&store, taken, output),
                    Ok(None) => Ok(()),
                    Err(error) => {
                        tracing::error!("readers stay on their version: {}", error.chain().join(": "));
                        Ok(())
                    }
                })
                .map_err(stopped)?;
            return Ok(Verdict::Yes);
        }
        let pulled = follower.pull().map_err(stopped)?;
        match pulled {
            Some(taken) => print_takeover(&store, &taken, output).map(|()| Verdict::Yes),
            None => {
                notice(&format!("readers of {store} already see what is published"));
                output.ended("unchanged");
                Ok(Verdict::No)
            }
        }
    }
}

fn print_takeover(store: &str, taken: &Takeover, output: &mut Output) -> Result<()> {
    if output.is_json() {
        output.json_line(taken)?;
    } else {
        output.line(sentence(store, taken))?;
    }
    output.flush()
}

fn sentence(store: &str, taken: &Takeover) -> String {
    let version = taken.version;
    let from = match taken.previous {
        Some(previous) => format!("readers of {store} went from version {previous} to {version}"),
        None => format!("it is the first that readers of {store} see"),
    };
    let received = taken.downloaded.received_bytes;
    let reused = match taken.downloaded.reused_bytes {
        0 => String::new(),
        bytes => format!(", {} were here already", format::size(bytes)),
    };
    let speed = (received as f64 / taken.seconds.max(0.001)) as u64;
    format!(
        "version {version} is live: {from} ({} received in {}, {}/s{reused})",
        format::size(received),
        format::duration(taken.seconds),
        format::size(speed)
    )
}
