//! What the footer of a Parquet file tells without reading its rows.
//!
//! Not for: anything else about the file; the query reads it again with its own reader.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::RowGroupMetaData;

use crate::contain::contain;
use crate::error::{Error, IoContext, Result};

/// A Parquet footer.
#[derive(Clone, Debug)]
pub struct Footer {
    /// The columns as Arrow types.
    pub schema: SchemaRef,
    /// Rows of the file.
    pub rows: u64,
    /// Bytes of all columns when decompressed, still encoded.
    pub unpacked_bytes: u64,
    /// The row groups, in file order.
    pub row_groups: Vec<RowGroup>,
    /// Bytes of each top-level column on disk, in the row group where it has the most.
    pub column_bytes: BTreeMap<String, u64>,
    /// Nulls per top-level column, for the columns whose every row group counts them.
    pub nulls: BTreeMap<String, u64>,
}

/// Where a row group lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroup {
    /// Offset of its first byte.
    pub start: u64,
    /// Offset after its last byte.
    pub end: u64,
    /// Its rows.
    pub rows: u64,
}

/// Reads the footer of a Parquet file.
///
/// # Errors
/// `Input` when it is no Parquet file or its footer is damaged or cut off, `Unavailable` when it cannot be read.
pub fn read(path: &Path) -> Result<Footer> {
    let file = File::open(path).io("open", path)?;
    let metadata = contain(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()));
    let damaged = || {
        Error::input(format!(
            "{} is not a readable Parquet file; is it cut off, or still being written?",
            path.display()
        ))
    };
    let metadata = metadata.map_err(|panic| damaged().because(panic))?.map_err(|error| damaged().because(error))?;
    let row_groups: Vec<RowGroup> = metadata
        .metadata()
        .row_groups()
        .iter()
        .map(|group| {
            let ranges = || group.columns().iter().map(|column| column.byte_range());
            RowGroup {
                start: ranges().map(|(start, _)| start).min().unwrap_or(0),
                end: ranges().map(|(start, length)| start.saturating_add(length)).max().unwrap_or(0),
                rows: group.num_rows().max(0) as u64,
            }
        })
        .collect();
    let groups = metadata.metadata().row_groups();
    Ok(Footer {
        schema: metadata.schema().clone(),
        rows: row_groups.iter().map(|group| group.rows).sum(),
        unpacked_bytes: groups.iter().map(|group| group.total_byte_size().max(0) as u64).sum(),
        column_bytes: column_bytes(groups),
        nulls: nulls(groups),
        row_groups,
    })
}

fn column_bytes(groups: &[RowGroupMetaData]) -> BTreeMap<String, u64> {
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    for group in groups {
        let mut here: BTreeMap<&String, u64> = BTreeMap::new();
        for column in group.columns() {
            let Some(name) = column.column_path().parts().first() else { continue };
            *here.entry(name).or_default() += column.byte_range().1;
        }
        for (name, bytes) in here {
            let most = most.entry(name.clone()).or_default();
            *most = bytes.max(*most);
        }
    }
    most
}

fn nulls(groups: &[RowGroupMetaData]) -> BTreeMap<String, u64> {
    let mut nulls: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for column in groups.iter().flat_map(|group| group.columns()) {
        let [name] = column.column_path().parts() else { continue };
        let counted = column.statistics().and_then(|statistics| statistics.null_count_opt());
        let sum = nulls.entry(name.clone()).or_insert(Some(0));
        *sum = sum.zip(counted).map(|(sum, more)| sum + more);
    }
    nulls.into_iter().filter_map(|(name, count)| Some((name, count?))).collect()
}
