//! Sample data: the events and profiles that the demo, the tests and the benchmarks run on.
//!
//! [`generate`] writes two directories of Parquet files, `events/` and `profiles/`. The same [`Shape`] gives the same
//! rows on every machine; another day shifts the log by a day and changes some profiles. Files are written in parallel,
//! each a batch at a time, so that memory depends on their number and not on their size.
//!
//! Not for: users' jobs; only the `demo` command, tests and benchmarks import this.

mod events;
mod parquet_part;
mod profiles;
pub(crate) mod random;

use std::fs;
use std::path::Path;

use arrow::error::ArrowError;
use rayon::prelude::*;

use self::parquet_part::Part;
use crate::error::{Error, IoContext, Result};

/// Most profiles in one file, if the number of files allows it.
const PROFILES_PER_FILE: u64 = 1_000_000;

/// The shape of the sample data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Events over the 30 days of the data.
    pub events: u64,
    /// Users with a profile, 1 to 1,000,000,000.
    pub profiles: u64,
    /// Different URLs in the events, 1 to 1,000,000,000.
    pub urls: u64,
    /// Files of events, 1 to 720 (an hour of events is in one file); profiles are in as many or fewer.
    pub files: usize,
    /// Another seed gives other data of the same shape.
    pub seed: u64,
    /// Days by which the log is shifted: day 1 drops the first day of day 0, adds one at the end, and one profile in 20
    /// has changed.
    pub day: u32,
}

impl Shape {
    /// The demo: 200,000 events of 20,000 users on 2,000 pages.
    #[must_use]
    pub fn demo() -> Self {
        Self { events: 200_000, profiles: 20_000, urls: 2_000, files: 4, seed: 1, day: 0 }
    }

    /// The benchmark: 40 million events of 2 million users on 100,000 pages, about 545 MB.
    #[must_use]
    pub fn bench() -> Self {
        Self { events: 40_000_000, profiles: 2_000_000, urls: 100_000, files: 8, seed: 1, day: 0 }
    }

    fn check(&self) -> Result<()> {
        let within = |what: &str, value: u64, range: std::ops::RangeInclusive<u64>| match range.contains(&value) {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "sample data cannot have {value} {what}: choose {} to {}",
                range.start(),
                range.end()
            ))),
        };
        within("events", self.events, 0..=1_000_000_000_000)?;
        within("profiles", self.profiles, 1..=random::SCATTER_MAX)?;
        within("urls", self.urls, 1..=random::SCATTER_MAX)?;
        within("files", self.files as u64, 1..=events::WINDOW_HOURS)
    }
}

/// Writes `dir/events/part-00000.parquet` … and `dir/profiles/part-00000.parquet` …, replacing what an earlier call
/// wrote there. A file appears under its name when it is complete; the set of files is not replaced atomically.
///
/// # Errors
/// `Invalid` when the shape is out of its limits; `Unavailable` when the directory cannot be written.
pub fn generate(dir: &Path, shape: &Shape) -> Result<()> {
    shape.check()?;
    let (events, profiles) = (dir.join("events"), dir.join("profiles"));
    fs::create_dir_all(&events).io("create directory", &events)?;
    fs::create_dir_all(&profiles).io("create directory", &profiles)?;

    let first_hour = events::FIRST_HOUR + u64::from(shape.day) * 24;
    (0..shape.files).into_par_iter().try_for_each(|file| {
        let hours = cut(events::WINDOW_HOURS, file, shape.files);
        let part = Part::create(&events, file, events::schema())?;
        events::write(part, shape, first_hour + hours.start..first_hour + hours.end)
    })?;
    let profile_files = (shape.profiles.div_ceil(PROFILES_PER_FILE) as usize).min(shape.files);
    (0..profile_files).into_par_iter().try_for_each(|file| {
        let part = Part::create(&profiles, file, profiles::schema())?;
        profiles::write(part, shape, cut(shape.profiles, file, profile_files))
    })?;
    parquet_part::remove_from(&events, shape.files)?;
    parquet_part::remove_from(&profiles, profile_files)
}

/// The `number`th of `count` even pieces of `0..total`.
fn cut(total: u64, number: usize, count: usize) -> std::ops::Range<u64> {
    let at = |number: usize| (u128::from(total) * number as u128 / count as u128) as u64;
    at(number)..at(number + 1)
}

fn internal(error: ArrowError) -> Error {
    Error::internal("sample rows do not fit their schema").because(error)
}

#[cfg(test)]
mod tests;
