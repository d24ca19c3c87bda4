//! Sample events: a log of what visitors of a shop do, roughly in order of time.
//!
//! Events are generated hour by hour, each hour from its own random numbers, and an hour has the same events whichever
//! window and file it falls into. So tomorrow's window shares 29 of its 30 days with today's, as a real log would, and
//! files can be cut between any two hours.
//!
//! | column | type | content |
//! |---|---|---|
//! | `user_id` | int64 | skewed; one in 50 events is of a user without a profile |
//! | `ts` | timestamp(µs, UTC) | evenly over the hour, up to 2 s out of order |
//! | `url` | string | skewed; `https://shop.example/p/10000` is the most popular |
//! | `action` | string | 90 % `view`, 8 % `click`, 2 % `buy` |
//! | `duration_ms` | int32 | below 10 minutes, mostly short |

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;

use super::parquet_part::Part;
use super::random::{Random, scatter};
use super::{Shape, internal};
use crate::error::Result;

/// Hours of events in a data set: 30 days.
pub(super) const WINDOW_HOURS: u64 = 30 * 24;

/// The hour, since 1970, at which the window of day 0 begins: 2026-10-01T00:00Z.
pub(super) const FIRST_HOUR: u64 = 20_727 * 24;

/// One event in N is of a user without a profile.
const STRANGERS: u64 = 50;

/// The number in the most popular URL.
const FIRST_PAGE: u64 = 10_000;

/// Every `duration_ms` is below this: 10 minutes.
const LONGEST_MS: u64 = 600_000;

const HOUR_US: u64 = 3_600_000_000;
const JITTER_US: u64 = 2_000_000;
const BATCH_ROWS: usize = 16 * 1024;

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Int64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("url", DataType::Utf8, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("duration_ms", DataType::Int32, false),
    ]))
}

/// Writes the events of `hours`, counted from 1970, into `part`.
pub(super) fn write(mut part: Part, shape: &Shape, hours: Range<u64>) -> Result<()> {
    let mut rows = Rows::new();
    for hour in hours {
        let mut random = Random::of(shape.seed, &[hour]);
        let count = in_hour(hour, shape.events);
        for number in 0..count {
            rows.push(&mut random, shape, hour, number, count);
            if rows.len() == BATCH_ROWS {
                part.write(&rows.take()?)?;
            }
        }
    }
    part.write(&rows.take()?)?;
    part.finish()
}

/// Number of events in an hour, so that any [`WINDOW_HOURS`] consecutive hours have `events`.
fn in_hour(hour: u64, events: u64) -> u64 {
    let before = |hour: u64| u128::from(hour) * u128::from(events) / u128::from(WINDOW_HOURS);
    (before(hour + 1) - before(hour)) as u64
}

struct Rows {
    schema: SchemaRef,
    user_id: Int64Builder,
    ts: TimestampMicrosecondBuilder,
    url: StringBuilder,
    action: StringBuilder,
    duration_ms: Int32Builder,
}

impl Rows {
    fn new() -> Self {
        Self {
            schema: schema(),
            user_id: Int64Builder::with_capacity(BATCH_ROWS),
            ts: TimestampMicrosecondBuilder::with_capacity(BATCH_ROWS).with_timezone("UTC"),
            url: StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 32),
            action: StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 5),
            duration_ms: Int32Builder::with_capacity(BATCH_ROWS),
        }
    }

    fn push(&mut self, random: &mut Random, shape: &Shape, hour: u64, number: u64, count: u64) {
        let stranger = random.one_in(STRANGERS);
        let user = match stranger {
            true => shape.profiles + random.below((shape.profiles / STRANGERS).max(1)),
            false => scatter(random.skewed(shape.profiles, 2), shape.profiles),
        };
        self.user_id.append_value(user as i64 + 1);
        let place = number * (HOUR_US - JITTER_US) / count;
        self.ts.append_value((hour * HOUR_US + place + random.below(JITTER_US)) as i64);
        let page = FIRST_PAGE + scatter(random.skewed(shape.urls, 3), shape.urls);
        // Writing into a builder's buffer cannot fail; the empty value ends the string.
        let _ = write!(self.url, "https://shop.example/p/{page}");
        self.url.append_value("");
        self.action.append_value(match random.below(100) {
            0..90 => "view",
            90..98 => "click",
            _ => "buy",
        });
        self.duration_ms.append_value(random.skewed(LONGEST_MS, 3) as i32);
    }

    fn len(&self) -> usize {
        arrow::array::ArrayBuilder::len(&self.user_id)
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.user_id.finish()),
            Arc::new(self.ts.finish()),
            Arc::new(self.url.finish()),
            Arc::new(self.action.finish()),
            Arc::new(self.duration_ms.finish()),
        ];
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_has_all_its_events() {
        for events in [0, 1, 719, 720, 200_000, 40_000_001] {
            for start in [FIRST_HOUR, FIRST_HOUR + 24, FIRST_HOUR + 1_000] {
                let total: u64 = (start..start + WINDOW_HOURS).map(|hour| in_hour(hour, events)).sum();
                assert_eq!(total, events);
            }
        }
    }

    #[test]
    fn the_first_window_begins_in_october_2026() {
        let begins = jiff::Timestamp::from_second((FIRST_HOUR * 3_600) as i64).unwrap();
        assert_eq!(begins.to_string(), "2026-10-01T00:00:00Z");
    }
}
