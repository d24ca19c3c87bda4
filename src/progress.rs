//! Progress for the user: a bar on a terminal, otherwise one plain line per finished stage.
//!
//! A [`Stage`] counts rows from any thread and measures its time; the counts also go into the run's report. Everything
//! is written to standard error, so that standard output contains only results.
//!
//! Not for: logs (`tracing`) and results (`cli`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, json};

use crate::stderr;

/// How progress is shown.
///
/// ```no_run
/// use cutover::run::{Progress, Resources, RunOptions};
///
/// # fn main() -> cutover::error::Result<()> {
/// let options = RunOptions { progress: Progress::auto(), ..RunOptions::new(Resources::new(None, None)?) };
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// A bar that is redrawn.
    Bars,
    /// A line when a stage ends.
    Lines,
    /// Nothing.
    #[default]
    Silent,
}

impl Progress {
    /// Bars on a terminal, lines elsewhere.
    pub fn auto() -> Self {
        if stderr::is_watched() { Self::Bars } else { Self::Lines }
    }

    /// Prints a note about the work as a whole.
    pub fn note(self, message: &str) {
        if self != Self::Silent {
            stderr::note("info", message);
        }
    }

    /// Starts a stage of `total` rows, or of an unknown number.
    pub fn stage(self, name: &'static str, total: Option<u64>) -> Stage {
        let bar = match total {
            Some(total) => ProgressBar::new(total).with_style(style("{wide_bar} {human_pos}/{human_len} rows {eta}")),
            None => ProgressBar::no_length().with_style(style("{spinner} {human_pos} rows {wide_msg}")),
        };
        self.show(&bar, name);
        Stage { name, progress: self, bar, counts: Unit::Rows, count: AtomicU64::new(0), started: Instant::now() }
    }

    /// Starts a stage of `total` bytes.
    pub fn transfer(self, name: &'static str, total: u64) -> Stage {
        let bar = ProgressBar::new(total)
            .with_style(style("{wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"));
        self.show(&bar, name);
        Stage { name, progress: self, bar, counts: Unit::Bytes, count: AtomicU64::new(0), started: Instant::now() }
    }

    /// Starts work in parts, each of which is reported.
    pub fn parts(self, name: &'static str) -> Parts {
        let bar = ProgressBar::no_length().with_style(style("{wide_bar} {pos}/{len} {eta} {msg}"));
        self.show(&bar, name);
        Parts { progress: self, bar }
    }

    fn show(self, bar: &ProgressBar, name: &'static str) {
        if self == Self::Bars {
            bar.set_prefix(name);
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let template = format!("{{prefix:>10.cyan}} {{elapsed:>4}} {template}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A running stage.
#[derive(Debug)]
pub struct Stage {
    name: &'static str,
    progress: Progress,
    bar: ProgressBar,
    counts: Unit,
    count: AtomicU64,
    started: Instant,
}

/// What a stage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Rows,
    Bytes,
}

/// A finished stage.
#[derive(Clone, Copy, Debug)]
pub struct StageTimer {
    /// The stage.
    pub name: &'static str,
    /// Rows it processed; 0 if it counts none.
    pub rows: u64,
    /// Time it took.
    pub took: Duration,
}

impl Stage {
    /// Counts `count` more rows or bytes.
    pub fn advance(&self, count: u64) {
        self.count.fetch_add(count, Ordering::Relaxed);
        self.bar.inc(count);
    }

    /// Subtracts `rows` that were counted, as they will be processed again.
    pub fn retract(&self, rows: u64) {
        self.count.fetch_sub(rows, Ordering::Relaxed);
        self.bar.dec(rows);
    }

    /// Advances the bar by `rows` that an earlier run processed, without counting them.
    pub fn skip(&self, rows: u64) {
        self.bar.inc(rows);
    }

    /// Rows counted so far; 0 if it counts bytes.
    pub fn rows(&self) -> u64 {
        if self.counts == Unit::Rows { self.count.load(Ordering::Relaxed) } else { 0 }
    }

    /// Ends the stage.
    pub fn finish(self) -> StageTimer {
        self.bar.finish_and_clear();
        let finished = StageTimer { name: self.name, rows: self.rows(), took: self.started.elapsed() };
        if self.progress == Progress::Lines {
            let counted = match (self.counts, self.count.load(Ordering::Relaxed)) {
                (_, 0) => String::new(),
                (Unit::Rows, rows) => format!("  {} rows", HumanCount(rows)),
                (Unit::Bytes, bytes) => format!("  {}", BinaryBytes(bytes)),
            };
            let seconds = finished.took.as_secs_f64();
            let fields = [("rows", json!(finished.rows)), ("seconds", json!(seconds))];
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            stderr::line("info", &format!("{:>10}  {seconds:.1} s{counted}", self.name), self.name, fields);
        } else if self.progress == Progress::Bars && finished.took > Duration::from_secs(5) {
            stderr::note("info", &format!("{:>10}  {}", self.name, HumanDuration(finished.took)));
        }
        finished
    }
}

/// Running work in parts.
#[derive(Debug)]
pub struct Parts {
    progress: Progress,
    bar: ProgressBar,
}

impl Parts {
    /// One part of `total` is done.
    pub fn done(&self, total: usize, what: &str) {
        self.bar.set_length(total as u64);
        self.bar.inc(1);
        self.bar.set_message(what.to_owned());
        if self.progress == Progress::Lines {
            let place = format!("{}/{total}", self.bar.position());
            stderr::line("info", &format!("{place:>10}  {what}"), &format!("{place} {what}"), Map::new());
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
