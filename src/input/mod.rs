//! What a job reads: its files, their schemas, and whether they still are what they were.
//!
//! [`resolve`] turns an input of the job file into a fixed list of files before any work starts; this list is the
//! lineage in the manifest, and [`check_unchanged`] compares it with the disk once more before the flip. Parquet
//! footers are read here, so a truncated file, a missing column or a null where the contract allows none is found in
//! milliseconds.
//!
//! `text` reads CSV and JSON lines: all of their rows once, to know their columns, and then for the query.
//!
//! Not for: reading the rows of other formats, which the query does.

pub(crate) mod avro;
mod columns;
pub mod contract;
mod find_corrupt;
mod find_value;
mod fingerprint;
pub(crate) mod footer;
mod footer_guard;
mod footer_repair;
mod int96;
mod layout;
mod pages;
mod parquet_files;
mod partitions;
mod resolve;
mod statistics;
pub mod text;
mod thrift;
mod type_parser;
mod union;
mod widen;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::job::{CsvForm, Format, InputSpec, Partitions};

pub use contract::Contract;
pub use find_corrupt::find_damaged;
pub use find_value::locate;
pub use fingerprint::{check_unchanged, digest};
pub use footer::Footer;
pub use parquet_files::{ChunkCheck, Metadata};
use text::Survey;
pub use text::guess_delimiter;
pub use type_parser::from_name as type_from_name;

/// One input of a job: a table made of files.
#[derive(Clone, Debug)]
pub struct Input {
    /// The table's name in SQL.
    pub name: String,
    /// How all its files are written.
    pub format: Format,
    /// How CSV files are written.
    pub csv: CsvForm,
    /// The files, in the order of their paths; at least one.
    pub files: Vec<InputFile>,
    /// Names of the columns that are in the paths (`date=2026-01-01/`), outermost first.
    pub partition_columns: Vec<String>,
    /// The partitions that the job names; none: it reads all.
    pub partitions: Option<Partitions>,
    /// What the columns should be.
    pub contract: Option<Contract>,
    /// The columns of all files together, where the files tell them.
    schema: Option<SchemaRef>,
    /// What all rows of text files tell, once somebody asked: see [`Input::survey`].
    pub surveyed: OnceLock<Arc<Survey>>,
}

/// One file of an input.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// Path as the job names it, for messages and the manifest.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of the last change.
    pub modified: jiff::Timestamp,
    /// Values of the partition columns; none stands for null.
    pub partitions: Vec<Option<String>>,
    /// What the footer says; none for formats without one.
    pub footer: Option<Footer>,
}

impl InputFile {
    /// Parts that can be read by themselves: row groups, or 1 for formats without them.
    pub fn parts(&self) -> u64 {
        self.footer.as_ref().map_or(1, |footer| footer.row_groups.len() as u64)
    }
}

impl Input {
    /// Parts that can be read by themselves: row groups, pieces of text files, or files.
    pub fn parts(&self) -> u64 {
        match self.surveyed.get() {
            Some(survey) => survey.chunks().filter(|chunk| chunk.rows > 0).count() as u64,
            None => self.files.iter().map(InputFile::parts).sum(),
        }
    }

    /// What all rows of its text files tell; they are read at the first call, by so many threads. `None` for other
    /// formats.
    ///
    /// # Errors
    /// `Input` when what they hold makes no table or breaks the contract, naming file and line; `Unavailable` when they
    /// cannot be read; `Stopped` when that is asked for.
    pub fn survey(&self, threads: usize) -> Result<Option<Arc<Survey>>> {
        if let Some(survey) = self.surveyed.get() {
            return Ok(Some(Arc::clone(survey)));
        }
        let Some(survey) = Survey::make(self, threads)? else { return Ok(None) };
        Ok(Some(Arc::clone(self.surveyed.get_or_init(|| Arc::new(survey)))))
    }

    /// Bytes of all files as they are unpacked, where their footers or a survey tell.
    pub fn unpacked_bytes(&self) -> Option<u64> {
        if let Some(survey) = self.surveyed.get() {
            return Some(survey.bytes());
        }
        self.files.iter().map(|file| Some(file.footer.as_ref()?.unpacked_bytes)).sum()
    }

    /// Rows of all files, where their footers or a survey tell.
    pub fn rows(&self) -> Option<u64> {
        if let Some(survey) = self.surveyed.get() {
            return Some(survey.rows());
        }
        self.files.iter().map(|file| Some(file.footer.as_ref()?.rows)).sum()
    }

    /// Rows of a file, where its footer or a survey tells.
    pub fn rows_of(&self, number: usize) -> Option<u64> {
        match self.surveyed.get() {
            Some(survey) => survey.files().get(number).map(|file| file.rows()),
            None => self.files.get(number)?.footer.as_ref().map(|footer| footer.rows),
        }
    }

    /// The partition columns with their types: as the contract says, or string.
    ///
    /// # Errors
    /// `Invalid` when the contract gives one a type that a directory's name cannot hold.
    pub fn partition_fields(&self) -> Result<Vec<Field>> {
        let field = |name: &String| {
            let column =
                self.contract.iter().flat_map(|contract| &contract.columns).find(|column| column.name == *name);
            let data_type = match column {
                None => DataType::Utf8,
                Some(column) => type_parser::from_name(&column.type_name).ok_or_else(|| {
                    Error::invalid(format!(
                        "input {}: partition column {name} cannot be {}; it can be a string, a date or a number",
                        self.name, column.type_name
                    ))
                })?,
            };
            Ok(Field::new(name, data_type, true))
        };
        self.partition_columns.iter().map(field).collect()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Bytes that a reader of `columns` holds at once: those of a row group, which are fetched together. 0 for formats
    /// that are read line by line.
    pub fn row_group_bytes(&self, columns: &BTreeSet<String>) -> u64 {
        let footers = self.files.iter().filter_map(|file| file.footer.as_ref());
        let bytes = |footer: &Footer| columns.iter().filter_map(|column| footer.column_bytes.get(column)).sum();
        footers.map(bytes).max().unwrap_or(0)
    }

    /// The columns of all files together, where the files tell them: Parquet and Avro.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.schema.clone()
    }

    /// The columns as they come out of Parquet files: the same, with texts and bytes as views.
    pub fn schema_as_read(&self) -> Option<SchemaRef> {
        Some(Arc::new(Schema::new(self.schema.as_ref()?.fields().iter().map(layout::views).collect::<Fields>())))
    }

    /// Bytes of a row of `columns`, as far as footers or a survey tell.
    pub fn row_bytes(&self, columns: &BTreeSet<String>) -> Option<u64> {
        let bytes = match self.surveyed.get() {
            Some(survey) => survey.bytes(),
            None => {
                let footers = self.files.iter().map(|file| file.footer.as_ref());
                let unpacked = |footer: &Footer| -> u64 {
                    columns.iter().filter_map(|column| footer.column_unpacked_bytes.get(column)).sum()
                };
                footers.map(|footer| footer.map(unpacked)).sum::<Option<u64>>()?
            }
        };
        Some(bytes / self.rows()?.max(1))
    }

    /// What the query reads a Parquet file by. None for other formats.
    pub fn metadata(&self, file: &InputFile) -> Option<Metadata> {
        Metadata::of(file, self.schema.as_ref()?)
    }
}

/// Finds the files of every input, reads their footers and checks them against the contracts. All problems of all
/// inputs are reported at once.
///
/// # Errors
/// `Input` when files are missing, damaged or break their contract; `Invalid` when the job's idea of them is wrong;
/// `Unavailable` when they cannot be read.
pub fn resolve(specs: &[InputSpec]) -> Result<Vec<Input>> {
    specs.iter().map(resolve_one).collect()
}

fn resolve_one(spec: &InputSpec) -> Result<Input> {
    let contract = spec.schema.as_deref().map(Contract::load).transpose()?;
    let found = resolve::find(spec)?;
    let mut input = Input {
        name: spec.name.clone(),
        format: found.format,
        csv: spec.csv.clone(),
        files: found.files,
        partition_columns: found.partition_columns,
        partitions: spec.partitions.clone(),
        contract,
        schema: None,
        surveyed: OnceLock::new(),
    };
    match input.format {
        Format::Parquet => parquet_files::read(&mut input)?,
        Format::Avro => input.schema = Some(columns::of_avro(&input)?),
        Format::Csv | Format::Json => {}
    }
    input.check_partitions()?;
    Ok(input)
}
