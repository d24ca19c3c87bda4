//! The Parquet files of an input: reads their footers, merges their columns, and keeps the metadata that the query
//! reads each file by.
//!
//! ```text
//! footers ─▶ unit of INT96 timestamps ─▶ union of columns, contract ─▶ metadata for the query
//! ```
//! Footers are kept, so that no file is parsed twice; if they take too much memory, the others are parsed again when
//! the query reads their files.
//!
//! Not for: rows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::{DataType, Fields, Schema, SchemaRef, TimeUnit};
use parquet::file::metadata::ParquetMetaData;
use rayon::prelude::*;

use super::int96::{self, Instants};
use super::layout::map_leaves;
use super::source::{Source, on_threads_that_wait};
use super::{Footer, Input, InputFile, columns, footer, footer_repair, pages};
use crate::error::{Error, Result};

/// Maximum memory of the kept footers of one input, in bytes.
const KEPT_BYTES: usize = 32 << 20;

/// The metadata that the query reads one file by.
#[derive(Clone, Debug)]
pub struct Metadata {
    kept: Option<Arc<ParquetMetaData>>,
    source: Source,
    own: SchemaRef,
    table: SchemaRef,
}

impl Metadata {
    pub(super) fn of(file: &InputFile, table: &SchemaRef) -> Option<Self> {
        let footer = file.footer.as_ref()?;
        Some(Self {
            kept: footer.metadata.clone(),
            source: file.source.clone(),
            own: Arc::clone(&footer.schema),
            table: Arc::clone(table),
        })
    }

    /// Where the file is.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The corrected metadata, with only the statistics that can be trusted.
    ///
    /// # Errors
    /// `Input` and `Unavailable` if the file has to be parsed again and has changed.
    pub fn get(&self) -> Result<Arc<ParquetMetaData>> {
        match &self.kept {
            Some(kept) => Ok(Arc::clone(kept)),
            None => for_query(&self.source, footer::read_metadata(&self.source)?, &self.own, &self.table),
        }
    }
}

/// Checks column chunks as they are read.
#[derive(Debug)]
pub struct ChunkCheck {
    source: Source,
    metadata: Arc<ParquetMetaData>,
    /// Index of the chunk after the last one checked, over all row groups: they mostly come in order.
    next: usize,
}

impl ChunkCheck {
    /// For the chunks of the file that `of` and `metadata` describe.
    pub fn new(of: &Metadata, metadata: Arc<ParquetMetaData>) -> Self {
        Self { source: of.source.clone(), metadata, next: 0 }
    }

    /// Checks bytes of the file against what its footer says of the column chunk that begins there.
    ///
    /// # Errors
    /// `Input` if a page of it would take more memory than the footer says, naming file, row group and column.
    pub fn check(&mut self, range: &Range<u64>, bytes: &[u8]) -> Result<()> {
        let columns = self.metadata.file_metadata().schema_descr().num_columns();
        let chunks = columns * self.metadata.num_row_groups();
        let chunk = |number: usize| self.metadata.row_group(number / columns).column(number % columns);
        let found = (self.next..chunks).chain(0..self.next.min(chunks)).find(|number| {
            let (start, length) = chunk(*number).byte_range();
            *range == (start..start + length)
        });
        let Some(number) = found else { return Ok(()) };
        let (name, group) = (chunk(number).column_path().string(), number / columns);
        pages::check(chunk(number), bytes)
            .map_err(|why| Error::input(format!("{}: column {name} of row group {group}: {why}", self.source)))?;
        self.next = number + 1;
        Ok(())
    }
}

/// Reads the footers of all files and determines the table's schema.
///
/// # Errors
/// `Input` if one is damaged, the files cannot be merged or break the contract; `Unavailable` if one cannot be read.
pub(super) fn read(input: &mut Input) -> Result<()> {
    let held = AtomicUsize::new(0);
    let add_footer = |file: &mut InputFile| {
        let mut footer = footer::read(&file.source)?;
        footer.add_pages(&file.source);
        let bytes = footer.metadata.as_ref().map_or(0, |metadata| metadata.memory_size());
        if held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > KEPT_BYTES {
            footer.metadata = None;
        }
        file.footer = Some(footer);
        Ok::<(), Error>(())
    };
    on_threads_that_wait(&mut input.files, |files| files.par_iter_mut().try_for_each(add_footer))?;
    settle_int96(input)?;
    let table = columns::of_parquet(input)?;
    input.files.par_iter_mut().try_for_each(|file| {
        let Some(footer) = &mut file.footer else { return Ok(()) };
        if let Some(metadata) = footer.metadata.take() {
            let metadata = Arc::try_unwrap(metadata).unwrap_or_else(|shared| shared.as_ref().clone());
            footer.metadata = Some(for_query(&file.source, metadata, &footer.schema, &table)?);
        }
        Ok::<(), Error>(())
    })?;
    input.schema = Some(table);
    Ok(())
}

fn for_query(source: &Source, metadata: ParquetMetaData, own: &Schema, table: &Schema) -> Result<Arc<ParquetMetaData>> {
    let readable = footer_repair::for_query(metadata, own, table);
    readable.map(Arc::new).map_err(|error| Error::input(format!("{source} cannot be read")).because(error))
}

/// Reads the INT96 columns and gives them the unit that holds their values.
fn settle_int96(input: &mut Input) -> Result<()> {
    let affected = |file: &&InputFile| file.footer.as_ref().is_some_and(|footer| footer.int96.contains(&true));
    let affected: Vec<&InputFile> = input.files.iter().filter(affected).collect();
    let measured = affected.par_iter().map(|file| {
        let kept = file.footer.as_ref().and_then(|footer| footer.metadata.clone());
        let metadata = kept.map_or_else(|| footer::read_metadata(&file.source).map(Arc::new), Ok)?;
        Ok((*file, int96::measure(&file.source, &metadata)?))
    });
    let measured: Vec<(&InputFile, BTreeMap<String, Instants>)> = measured.collect::<Result<_>>()?;
    let (units, unreadable) = units(&measured);
    for footer in input.files.iter_mut().filter_map(|file| file.footer.as_mut()) {
        if footer.int96.contains(&true) {
            footer.schema = Arc::new(Schema::new(with_units(footer, &units)));
            footer.unreadable.extend(unreadable.clone());
        }
    }
    Ok(())
}

/// The unit of each column that holds its values in all files; and the columns for which there is none, and why.
fn units(
    measured: &[(&InputFile, BTreeMap<String, Instants>)],
) -> (BTreeMap<String, TimeUnit>, BTreeMap<String, String>) {
    let mut all: BTreeMap<&String, Instants> = BTreeMap::new();
    for (name, instants) in measured.iter().flat_map(|(_, measured)| measured) {
        all.entry(name).and_modify(|all| *all = all.and(*instants)).or_insert(*instants);
    }
    let (mut units, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
    for (name, instants) in all {
        if instants.micros || instants.nanos {
            let unit = if instants.micros { TimeUnit::Microsecond } else { TimeUnit::Nanosecond };
            units.insert(name.clone(), unit);
            continue;
        }
        let breaks = |broken: fn(&Instants) -> bool| {
            let mut files = measured.iter().filter(|(_, of)| of.get(name).is_some_and(broken));
            files.next().map_or(String::new(), |(file, _)| file.source.to_string())
        };
        let (fine, far) = (breaks(|of| !of.micros), breaks(|of| !of.nanos));
        let why = format!(
            "holds INT96 timestamps with digits below the microsecond in {fine}, and some beyond the years 1677 to 2262 \
             in {far}; no unit of 64 bits holds both. Write them as TIMESTAMP_MICROS"
        );
        unreadable.insert(name.clone(), why);
    }
    (units, unreadable)
}

fn with_units(footer: &Footer, units: &BTreeMap<String, TimeUnit>) -> Fields {
    let mut int96 = footer.int96.iter();
    let fields = footer.schema.fields().iter().map(|field| {
        map_leaves(field, &mut |data_type| match (int96.next(), data_type, units.get(field.name())) {
            (Some(true), DataType::Timestamp(_, zone), Some(unit)) => DataType::Timestamp(*unit, zone.clone()),
            (_, other, _) => other.clone(),
        })
    });
    fields.collect()
}
