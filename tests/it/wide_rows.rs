//! Two tables of wide rows for joins that do not fit into the memory they are given: `left.parquet` and
//! `right.parquet`, a seeded number of rows each, of about 2 KiB.
//!
//! | column | in `left` | in `right` |
//! |---|---|---|
//! | `id` | 0, 1, 2 … | the same |
//! | `one` | spread over as many keys as there are rows; one in 32 is null | the same |
//! | `two` | one of three strings; one in 32 is null | the same |
//! | `hot` | 7 in every second row, otherwise spread | 7 in two rows, otherwise spread |
//! | `cold` | 7 in two rows, otherwise spread | 7 in every second row, otherwise spread |
//! | `payload` | `L`, the id, `:` and 2,000 times `x` | the same with `R` |
//!
//! The payload is large in memory and small on disk. Row groups are small, so that a job can run in little memory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::random::{GOLDEN, Random};

/// Letters that fill a payload.
pub const FILLER: usize = 2_000;
/// The key of half of the rows of one side.
const HOT: i64 = 7;
/// First other key of the columns with a hot one.
const SPREAD_FROM: i64 = 100;
const ROW_GROUP_ROWS: usize = 4_096;

/// A side of a join.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// The join columns of a row.
pub struct Row {
    pub id: i64,
    pub one: Option<i64>,
    pub two: Option<&'static str>,
    pub hot: i64,
    pub cold: i64,
}

/// A random number that is always the same for the same seed.
fn random(seed: i64) -> u64 {
    Random::new((seed as u64).wrapping_mul(GOLDEN)).next()
}

/// The rows of one side of tables with `count` rows.
pub fn rows(side: Side, count: i64) -> Vec<Row> {
    let of_side: i64 = if side == Side::Left { 0 } else { 1 << 40 };
    let row = |id: i64| {
        let [one, two, key] = [0, 1, 2].map(|column| random(of_side + 3 * id + column));
        let spread = |random: u64| (random >> 8) as i64 % count;
        let half = if id % 2 == 0 { HOT } else { SPREAD_FROM + spread(key) };
        let twice = if id < 2 { HOT } else { SPREAD_FROM + spread(key) };
        let (hot, cold) = if side == Side::Left { (half, twice) } else { (twice, half) };
        Row {
            id,
            one: (!one.is_multiple_of(32)).then(|| spread(one)),
            two: (!two.is_multiple_of(32)).then(|| ["ä", "b", ""][(two >> 8) as usize % 3]),
            hot,
            cold,
        }
    };
    (0..count).map(row).collect()
}

/// The payload of a row without its filler.
pub fn label(side: Side, id: i64) -> String {
    format!("{}{id}:", if side == Side::Left { 'L' } else { 'R' })
}

/// Writes both tables into a directory.
pub fn write(directory: &Path, count: i64) {
    for (side, name) in [(Side::Left, "left.parquet"), (Side::Right, "right.parquet")] {
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let file = File::create(directory.join(name)).unwrap();
        let rows = rows(side, count);
        let mut writer = ArrowWriter::try_new(file, batch(side, &rows[..0]).schema(), Some(properties)).unwrap();
        rows.chunks(ROW_GROUP_ROWS).for_each(|rows| writer.write(&batch(side, rows)).unwrap());
        writer.close().unwrap();
    }
}

fn batch(side: Side, rows: &[Row]) -> RecordBatch {
    let filler = "x".repeat(FILLER);
    let integers = |of: fn(&Row) -> Option<i64>| Arc::new(rows.iter().map(of).collect::<Int64Array>()) as ArrayRef;
    let payloads = rows.iter().map(|row| format!("{}{filler}", label(side, row.id)));
    RecordBatch::try_from_iter_with_nullable([
        ("id", integers(|row| Some(row.id)), false),
        ("one", integers(|row| row.one), true),
        ("two", Arc::new(rows.iter().map(|row| row.two).collect::<StringArray>()) as ArrayRef, true),
        ("hot", integers(|row| Some(row.hot)), false),
        ("cold", integers(|row| Some(row.cold)), false),
        ("payload", Arc::new(StringArray::from_iter_values(payloads)) as ArrayRef, false),
    ])
    .unwrap()
}
