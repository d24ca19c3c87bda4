//! Reads and checks the footer of a Parquet file, without reading its rows, and keeps the metadata that the query reads
//! it by.
//!
//! A footer has no checksum, so numbers that it has twice are compared, and offsets are checked against the file's
//! size. The metadata is corrected (`footer_repair`) and kept, so that the query uses what was checked.
//!
//! Not for: the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use bytes::Bytes;
use parquet::basic::{ConvertedType, Type};
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use super::source::Source;
use super::statistics::{self, Bounds};
use super::{footer_guard, footer_repair, pages};
use crate::catch_panic::contain;
use crate::error::{Error, Result};

/// The last bytes of a file: the size of the footer, and the magic bytes.
const TAIL_BYTES: usize = 8;
/// Bytes at the end of a file that are read at first: most footers are in them.
const END_BYTES: u64 = 64 << 10;

/// A Parquet footer.
#[derive(Clone, Debug)]
pub struct Footer {
    /// The columns as Arrow types, in the canonical layout (`layout`).
    pub schema: SchemaRef,
    /// Rows of the file.
    pub rows: u64,
    /// Bytes of all columns when decompressed, still encoded.
    pub unpacked_bytes: u64,
    /// Rows of each row group, in file order.
    pub row_groups: Vec<u64>,
    /// Bytes of each top-level column on disk, in the row group where it has the most; a page that decompresses to much
    /// more counts decompressed.
    pub column_bytes: BTreeMap<String, u64>,
    /// Bytes of each top-level column when decompressed; when decoded, if the file records that.
    pub column_unpacked_bytes: BTreeMap<String, u64>,
    /// Nulls per top-level column, for columns whose every row group counts them.
    pub nulls: BTreeMap<String, u64>,
    /// Columns that cannot be read correctly, and why.
    pub unreadable: BTreeMap<String, String>,
    /// Bounds of the values of 64-bit columns, if their statistics have them.
    pub(super) bounds: BTreeMap<String, Bounds>,
    /// Whether each Parquet column has the type INT96.
    pub(super) int96: Vec<bool>,
    /// The corrected metadata; none if the footers of all files are too large to be kept.
    pub(super) metadata: Option<Arc<ParquetMetaData>>,
}

/// What is wrong with a footer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It contradicts itself, or is incomplete.
    Damaged(String),
    /// It is valid, but what it describes cannot be read.
    Unsupported(String),
}

impl Fault {
    fn of(self, source: &Source) -> Error {
        match self {
            Self::Damaged(why) => Error::input(format!(
                "{source} is not a readable Parquet file; is it truncated, or still being written?"
            ))
            .because(why),
            Self::Unsupported(why) => Error::input(format!("{source} {why}")),
        }
    }
}

impl Footer {
    /// Adds the decompressed size of the file's pages, where that is large.
    pub(super) fn add_pages(&mut self, source: &Source) {
        let Some(metadata) = &self.metadata else { return };
        let columns = metadata.file_metadata().schema_descr().columns();
        let mut largest: BTreeMap<&String, u64> = BTreeMap::new();
        for (at, bytes) in pages::weigh(source, metadata) {
            if let Some(name) = columns.get(at).and_then(|column| column.path().parts().first()) {
                let known = largest.entry(name).or_default();
                *known = bytes.max(*known);
            }
        }
        for (name, bytes) in largest {
            let held = self.column_bytes.entry(name.clone()).or_default();
            *held = held.saturating_add(bytes);
        }
    }
}

/// Reads the footer of a Parquet file.
///
/// # Errors
/// `Input` if it is not a Parquet file, its footer is damaged, truncated or contradicts itself, or the file is
/// encrypted or has an unknown type; `Unavailable` if it cannot be read.
pub fn read(source: &Source) -> Result<Footer> {
    let (footer, start) = read_bytes(source)?;
    parse(&footer, start).map_err(|fault| fault.of(source))
}

/// Reads only the metadata of a file whose footer was read before.
///
/// # Errors
/// As for [`read`].
pub(super) fn read_metadata(source: &Source) -> Result<ParquetMetaData> {
    let (footer, start) = read_bytes(source)?;
    let metadata = contain(|| sound(&footer, start)).unwrap_or_else(|panic| Err(Fault::Damaged(panic)));
    metadata.map(|(metadata, _)| metadata).map_err(|fault| fault.of(source))
}

/// The bytes of a footer, and their offset in the file.
fn read_bytes(source: &Source) -> Result<(Bytes, u64)> {
    let file = source.open()?;
    let damaged = |why: String| Fault::Damaged(why).of(source);
    let size = source.with_source("stat", file.bytes())?;
    let from = size.saturating_sub(END_BYTES);
    let end = source.with_source("read", file.read_at(from..size))?;
    let body = end.len().checked_sub(TAIL_BYTES).ok_or_else(|| damaged(format!("it has only {size} bytes")))?;
    let mut tail = [0; TAIL_BYTES];
    tail.copy_from_slice(&end[body..]);
    let tail = FooterTail::try_new(&tail).map_err(|error| damaged(error.to_string()))?;
    if tail.is_encrypted_footer() {
        return Err(Fault::Unsupported("is encrypted, which is not supported".to_owned()).of(source));
    }
    let bytes = tail.metadata_length();
    if let Some(start) = body.checked_sub(bytes) {
        return Ok((end.slice(start..body), from + start as u64));
    }
    let claims = || damaged(format!("it has {size} bytes, its footer claims {bytes}"));
    let footer_end = from + body as u64;
    let start = footer_end.checked_sub(bytes as u64).ok_or_else(claims)?;
    Ok((source.with_source("read", file.read_at(start..footer_end))?, start))
}

/// Parses a footer that begins at offset `start` of its file.
///
/// # Errors
/// Describes what is wrong with it.
pub(crate) fn parse(footer: &[u8], start: u64) -> Result<Footer, Fault> {
    contain(|| decode(footer, start)).unwrap_or_else(|panic| Err(Fault::Damaged(panic)))
}

/// The corrected metadata and the rows of each row group, if the footer is consistent.
fn sound(footer: &[u8], start: u64) -> Result<(ParquetMetaData, Vec<u64>), Fault> {
    let seen = footer_guard::check(footer).map_err(Fault::Damaged)?;
    if !seen.encrypted.is_empty() {
        let names: Vec<&str> = seen.encrypted.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        let which = if names.is_empty() { "some columns".to_owned() } else { names.join(", ") };
        return Err(Fault::Unsupported(format!(
            "is encrypted ({which}), which is not supported; write it without encryption"
        )));
    }
    let metadata = ParquetMetaDataReader::decode_metadata(footer).and_then(footer_repair::put_right);
    let metadata = metadata.map_err(|error| Fault::Damaged(error.to_string()))?;
    let rows = metadata.row_groups().iter().map(|group| group_rows(group, start));
    let rows = rows.collect::<Result<Vec<u64>, _>>().map_err(Fault::Damaged)?;
    let sum = rows.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows));
    let said = metadata.file_metadata().num_rows();
    if sum.is_none_or(|sum| i64::try_from(sum) != Ok(said)) {
        let why = format!("its footer says that it has {said} rows, but its row groups do not add up to that");
        return Err(Fault::Damaged(why));
    }
    Ok((metadata, rows))
}

fn decode(footer: &[u8], start: u64) -> Result<Footer, Fault> {
    let (metadata, row_groups) = sound(footer, start)?;
    let fields = footer_repair::columns(metadata.file_metadata())
        .map_err(|error| Fault::Unsupported(format!("has a column of a type that cannot be read: {error}")))?;
    let schema = Arc::new(Schema::new(fields));
    if let Some(name) = repeated_name(&schema) {
        return Err(Fault::Unsupported(format!(
            "has more than one column {name:?}, so the name is ambiguous; rename one"
        )));
    }
    let (groups, rows) = (metadata.row_groups(), row_groups.iter().sum());
    let columns = metadata.file_metadata().schema_descr().columns();
    if columns.is_empty() && rows > 0 {
        return Err(Fault::Unsupported(format!("has {rows} rows, but no columns")));
    }
    Ok(Footer {
        rows,
        unpacked_bytes: groups.iter().map(unpacked_bytes).fold(0, u64::saturating_add),
        column_bytes: column_bytes(groups),
        column_unpacked_bytes: column_unpacked_bytes(groups),
        nulls: statistics::nulls(groups),
        unreadable: unreadable(&metadata),
        bounds: statistics::bounds(&metadata, &schema),
        int96: columns.iter().map(|column| column.physical_type() == Type::INT96).collect(),
        row_groups,
        schema,
        metadata: Some(Arc::new(metadata)),
    })
}

/// A name that two columns, or two fields of a struct, share.
fn repeated_name(schema: &Schema) -> Option<String> {
    fn within(data_type: &DataType) -> Option<String> {
        match data_type {
            DataType::Struct(fields) => among(fields.iter().map(|field| (field.name(), field.data_type()))),
            DataType::List(item) | DataType::Map(item, _) => within(item.data_type()),
            _ => None,
        }
    }
    fn among<'a>(fields: impl Iterator<Item = (&'a String, &'a DataType)>) -> Option<String> {
        let mut names = BTreeSet::new();
        fields.into_iter().find_map(|(name, data_type)| {
            if names.insert(name) {
                within(data_type).map(|inner| format!("{name}.{inner}"))
            } else {
                Some(name.clone())
            }
        })
    }
    among(schema.fields().iter().map(|field| (field.name(), field.data_type())))
}

/// The rows of a row group of a file whose data ends at `end`: a footer has no checksum, so its numbers are compared
/// with each other.
fn group_rows(group: &RowGroupMetaData, end: u64) -> Result<u64, String> {
    let wrong = |what: &str| format!("its footer is wrong: a row group has {what}");
    let rows = u64::try_from(group.num_rows()).map_err(|_| wrong("a negative number of rows"))?;
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

/// Bytes of a row group when decompressed; some writers leave the total at 0.
fn unpacked_bytes(group: &RowGroupMetaData) -> u64 {
    let of_columns = || group.columns().iter().map(|column| column.uncompressed_size().max(0) as u64);
    match u64::try_from(group.total_byte_size()) {
        Ok(bytes) if bytes > 0 => bytes,
        _ => of_columns().fold(0, u64::saturating_add),
    }
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

fn column_unpacked_bytes(groups: &[RowGroupMetaData]) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for column in groups.iter().flat_map(RowGroupMetaData::columns) {
        let Some(name) = column.column_path().parts().first() else { continue };
        let bytes = all.entry(name.clone()).or_default();
        let decoded = column.unencoded_byte_array_data_bytes().unwrap_or(0);
        *bytes = bytes.saturating_add(u64::try_from(column.uncompressed_size().max(decoded)).unwrap_or(0));
    }
    all
}

/// Columns of Parquet's type INTERVAL: months, days and milliseconds, of which the reader returns only two.
fn unreadable(metadata: &ParquetMetaData) -> BTreeMap<String, String> {
    let why = "is an INTERVAL, whose months, days and milliseconds cannot be read as one value";
    let intervals = metadata
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .filter(|column| column.converted_type() == ConvertedType::INTERVAL);
    let named = intervals.filter_map(|column| column.path().parts().first().cloned());
    named.map(|name| (name, why.to_owned())).collect()
}
