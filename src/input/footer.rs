//! What the footer of a Parquet file tells without reading its rows.
//!
//! A footer has no checksum: every number that it says twice is compared, every offset held against the file's size.
//!
//! Not for: anything else about the file; the query reads it again with its own reader.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{FooterTail, ParquetMetaDataReader, RowGroupMetaData};

use super::precheck;
use crate::contain::contain;
use crate::error::{Error, IoContext, Result};

/// Bytes at the end of a file: the size of the footer before them, and what kind of file it is.
const TAIL_BYTES: u64 = 8;

/// A Parquet footer.
#[derive(Clone, Debug)]
pub struct Footer {
    /// The columns as Arrow types.
    pub schema: SchemaRef,
    /// Rows of the file.
    pub rows: u64,
    /// Bytes of all columns when decompressed, still encoded.
    pub unpacked_bytes: u64,
    /// Rows of each row group, in file order.
    pub row_groups: Vec<u64>,
    /// Bytes of each top-level column on disk, in the row group where it has the most.
    pub column_bytes: BTreeMap<String, u64>,
    /// Nulls per top-level column, for the columns whose every row group counts them.
    pub nulls: BTreeMap<String, u64>,
}

/// Reads the footer of a Parquet file.
///
/// # Errors
/// `Input` when it is no Parquet file, its footer is damaged or cut off, or contradicts itself; `Unavailable` when it
/// cannot be read.
pub fn read(path: &Path) -> Result<Footer> {
    let file = File::open(path).io("open", path)?;
    let damaged = |why: String| {
        Error::input(format!(
            "{} is not a readable Parquet file; is it cut off, or still being written?",
            path.display()
        ))
        .because(why)
    };
    let size = file.metadata().io("look at", path)?.len();
    let mut tail = [0; TAIL_BYTES as usize];
    let from = size.checked_sub(TAIL_BYTES).ok_or_else(|| damaged(format!("it has only {size} bytes")))?;
    file.read_exact_at(&mut tail, from).io("read", path)?;
    let tail = FooterTail::try_new(&tail).map_err(|error| damaged(error.to_string()))?;
    if tail.is_encrypted_footer() {
        return Err(Error::input(format!("{} is encrypted, which is not supported", path.display())));
    }
    let bytes = tail.metadata_length() as u64;
    let claims = || damaged(format!("it has {size} bytes, its footer claims {bytes}"));
    let start = from.checked_sub(bytes).ok_or_else(claims)?;
    let mut footer = vec![0; tail.metadata_length()];
    file.read_exact_at(&mut footer, start).io("read", path)?;
    parse(&footer, start).map_err(damaged)
}

/// What a footer that lies at `start` of its file says.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(footer: &[u8], start: u64) -> Result<Footer, String> {
    precheck::check(footer)?;
    contain(|| decode(footer, start)).unwrap_or_else(Err)
}

fn decode(footer: &[u8], start: u64) -> Result<Footer, String> {
    let metadata = ParquetMetaDataReader::decode_metadata(footer)
        .and_then(|metadata| ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::default()))
        .map_err(|error| error.to_string())?;
    let (schema, metadata) = (metadata.schema().clone(), metadata.metadata());
    let groups = metadata.row_groups();
    let row_groups: Vec<u64> = groups.iter().map(|group| group_rows(group, start)).collect::<Result<_, _>>()?;
    let rows = row_groups.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows));
    let said = metadata.file_metadata().num_rows();
    match rows {
        Some(rows) if i64::try_from(rows) == Ok(said) => Ok(Footer {
            schema,
            rows,
            unpacked_bytes: groups
                .iter()
                .map(|group| group.total_byte_size().max(0) as u64)
                .fold(0, u64::saturating_add),
            column_bytes: column_bytes(groups),
            nulls: nulls(groups),
            row_groups,
        }),
        _ => Err(format!("its footer says that it has {said} rows, which its row groups do not add up to")),
    }
}

/// Rows of a row group of a file whose data ends at `end`: a footer has no checksum, so what it says is held against what
/// it says elsewhere.
fn group_rows(group: &RowGroupMetaData, end: u64) -> Result<u64, String> {
    let wrong = |what: &str| format!("its footer is wrong: a row group has {what}");
    let rows = u64::try_from(group.num_rows()).map_err(|_| wrong("less than no rows"))?;
    for column in group.columns() {
        let name = column.column_path();
        if column.column_descr().max_rep_level() == 0 && column.num_values() != group.num_rows() {
            let (values, rows) = (column.num_values(), group.num_rows());
            return Err(wrong(&format!("{rows} rows, but {values} values in column {name}")));
        }
        let first = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let inside = u64::try_from(first).ok().zip(u64::try_from(column.compressed_size()).ok());
        let last = inside.and_then(|(first, bytes)| first.checked_add(bytes));
        if last.is_none_or(|last| last > end) {
            return Err(wrong(&format!("column {name} beyond the end of the file")));
        }
    }
    Ok(rows)
}

fn column_bytes(groups: &[RowGroupMetaData]) -> BTreeMap<String, u64> {
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    for group in groups {
        let mut here: BTreeMap<&String, u64> = BTreeMap::new();
        for column in group.columns() {
            let Some(name) = column.column_path().parts().first() else { continue };
            let bytes = here.entry(name).or_default();
            *bytes = bytes.saturating_add(u64::try_from(column.compressed_size()).unwrap_or(0));
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
        *sum = sum.zip(counted).map(|(sum, more)| sum.saturating_add(more));
    }
    nulls.into_iter().filter_map(|(name, count)| Some((name, count?))).collect()
}
