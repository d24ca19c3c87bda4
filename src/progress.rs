//! Progress for the user: a bar on a terminal, otherwise one plain line per finished stage.
//!
//! A [`Stage`] counts rows from any thread and measures its time; the counts also go into the run's report. Everything
//! is written to standard error, so that standard output contains only results.
//!
//! Not for: logs (`tracing`) and results (`cli`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, json};

use crate::stderr;

/// How progress is shown.
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
        Stage { name, progress: self, bar, rows: AtomicU64::new(0), started: Instant::now() }
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
    rows: AtomicU64,
    started: Instant,
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
    /// Counts `rows` more.
    pub fn advance(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bar.inc(rows);
    }

    /// Subtracts `rows` that were counted, as they will be processed again.
    pub fn retract(&self, rows: u64) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
        self.bar.dec(rows);
    }

    /// Advances the bar by `rows` that an earlier run processed, without counting them.
    pub fn skip(&self, rows: u64) {
        self.bar.inc(rows);
    }

    /// Rows counted so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Ends the stage.
    pub fn finish(self) -> StageTimer {
        self.bar.finish_and_clear();
        let finished = StageTimer { name: self.name, rows: self.rows(), took: self.started.elapsed() };
        if self.progress == Progress::Lines {
            let rows = if finished.rows > 0 { format!("  {} rows", HumanCount(finished.rows)) } else { String::new() };
            let seconds = finished.took.as_secs_f64();
            let fields = [("rows", json!(finished.rows)), ("seconds", json!(seconds))];
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            stderr::line("info", &format!("{:>10}  {seconds:.1} s{rows}", self.name), self.name, fields);
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
