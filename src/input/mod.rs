//! The inputs of a job: their files, their schemas, and whether they have changed.
//!
//! [`resolve`] turns an input of the job file into a fixed list of files before any work starts; this list is the
//! lineage in the manifest, and [`check_unchanged`] compares it with the disk again before the flip. Parquet footers
//! are read here, so a truncated file, a missing column or a null where the contract allows none is found in
//! milliseconds.
//!
//! `text` reads CSV and JSON lines: all rows once, to find the columns, and then for the query.
//!
//! Not for: reading the rows of other formats, which the query does.

pub(crate) mod avro;
mod buckets;
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
mod narrowing;
mod object_tree;
mod pages;
mod parquet_files;
mod partitions;
mod pattern;
mod resolve;
mod source;
mod statistics;
pub mod text;
mod thrift;
mod tree;
mod type_parser;
mod union;
mod widen;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::error::{Error, IoContext, Result};
use crate::job::{CsvForm, Format, InputSpec, Partitions};

use buckets::Buckets;
pub use buckets::traffic;
pub use contract::Contract;
pub use find_corrupt::find_damaged;
pub use find_value::{locate, locate_null};
pub use fingerprint::{check_unchanged, digest, disappeared};
pub use footer::Footer;
pub use parquet_files::{ChunkCheck, Metadata};
pub use source::{ObjectFile, Source};
use text::Survey;
pub use text::guess_delimiter;

/// One input of a job: a table made of files.
#[derive(Clone, Debug)]
pub struct Input {
    /// The table's name in SQL.
    pub name: String,
    /// The format of all its files.
    pub format: Format,
    /// The dialect of CSV files.
    pub csv: CsvForm,
    /// The files, sorted by path; at least one.
    pub files: Vec<InputFile>,
    /// Names of the partition columns in the paths (`date=2026-01-01/`), outermost first.
    pub partition_columns: Vec<String>,
    /// The partitions that the job names; none if it reads all.
    pub partitions: Option<Partitions>,
    /// The data contract.
    pub contract: Option<Contract>,
    /// The merged columns of all files; none for text files.
    schema: Option<SchemaRef>,
    /// The survey of text files, once it has been requested: see [`Input::survey`].
    pub surveyed: OnceLock<Arc<Survey>>,
    /// The parts that are read, as [`Input::parts`] counts them; none: all. A task of a cluster reads a share, and
    /// everything else is that of the whole input.
    pub share: Option<Range<u64>>,
}

/// One file of an input.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// Where it is.
    pub source: Source,
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time.
    pub modified: jiff::Timestamp,
    /// Values of the partition columns; `None` is null.
    pub partitions: Vec<Option<String>>,
    /// The footer; none for formats without one.
    pub footer: Option<Footer>,
}

impl InputFile {
    /// Number of parts that can be read separately: row groups, or 1 for formats without them.
    pub fn parts(&self) -> u64 {
        self.footer.as_ref().map_or(1, |footer| footer.row_groups.len() as u64)
    }
}

impl Input {
    /// Number of parts that can be read separately: row groups, chunks of text files, or files.
    pub fn parts(&self) -> u64 {
        match self.surveyed.get() {
            Some(survey) => survey.chunks().filter(|chunk| chunk.rows > 0).count() as u64,
            None => self.files.iter().map(InputFile::parts).sum(),
        }
    }

    /// Bytes of each part: those of a file are shared out by rows.
    pub fn part_bytes(&self) -> Vec<u64> {
        if let Some(survey) = self.surveyed.get() {
            return survey.chunks().filter(|chunk| chunk.rows > 0).map(|chunk| chunk.bytes()).collect();
        }
        let of_file = |file: &InputFile| match &file.footer {
            None => vec![file.bytes],
            Some(footer) => {
                let share = |rows: &u64| u128::from(file.bytes) * u128::from(*rows) / u128::from(footer.rows.max(1));
                footer.row_groups.iter().map(|rows| share(rows) as u64).collect()
            }
        };
        self.files.iter().flat_map(of_file).collect()
    }

    /// Fingerprint of the parts: two machines that count the same parts have the same one.
    pub fn parts_fingerprint(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        let mut add = |number: u64| hasher.update(&number.to_le_bytes());
        match self.surveyed.get() {
            Some(survey) => survey.files().iter().enumerate().for_each(|(file, of)| {
                let chunks = of.chunks.iter().flat_map(|chunk| [chunk.rows, chunk.bytes()]);
                [file as u64].into_iter().chain(chunks).for_each(&mut add);
            }),
            None => self.files.iter().enumerate().for_each(|(number, file)| {
                let groups = file.footer.iter().flat_map(|footer| footer.row_groups.iter().copied());
                [number as u64, file.bytes].into_iter().chain(groups).for_each(&mut add);
            }),
        }
        hasher.digest()
    }

    /// Whether a part is read.
    pub fn reads(&self, part: u64) -> bool {
        self.share.as_ref().is_none_or(|share| share.contains(&part))
    }

    /// The survey of all rows of its text files; the first call reads them, with `threads` threads. `None` for other
    /// formats.
    ///
    /// # Errors
    /// `Input` if their rows do not form a table or break the contract, naming file and line; `Unavailable` if they
    /// cannot be read; `Stopped` if shutdown was requested.
    pub fn survey(&self, threads: usize) -> Result<Option<Arc<Survey>>> {
        if let Some(survey) = self.surveyed.get() {
            return Ok(Some(Arc::clone(survey)));
        }
        let Some(survey) = Survey::make(self, threads)? else { return Ok(None) };
        Ok(Some(Arc::clone(self.surveyed.get_or_init(|| Arc::new(survey)))))
    }

    /// Decompressed bytes of all files, if known from footers or a survey.
    pub fn unpacked_bytes(&self) -> Option<u64> {
        if let Some(survey) = self.surveyed.get() {
            return Some(survey.bytes());
        }
        self.files.iter().map(|file| Some(file.footer.as_ref()?.unpacked_bytes)).sum()
    }

    /// Rows of all files, if known from footers or a survey.
    pub fn rows(&self) -> Option<u64> {
        if let Some(survey) = self.surveyed.get() {
            return Some(survey.rows());
        }
        self.files.iter().map(|file| Some(file.footer.as_ref()?.rows)).sum()
    }

    /// Rows of a file, if known from its footer or a survey.
    pub fn rows_of(&self, number: usize) -> Option<u64> {
        match self.surveyed.get() {
            Some(survey) => survey.files().get(number).map(|file| file.rows()),
            None => self.files.get(number)?.footer.as_ref().map(|footer| footer.rows),
        }
    }

    /// The partition columns with their types from the contract; strings if it does not name them.
    ///
    /// # Errors
    /// `Invalid` if the contract gives one a type that a directory name cannot represent.
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

    /// Bytes that a reader of `columns` holds at once: the largest row group's, which are fetched together. 0 for
    /// formats that are read line by line.
    pub fn row_group_bytes(&self, columns: &BTreeSet<String>) -> u64 {
        let footers = self.files.iter().filter_map(|file| file.footer.as_ref());
        let bytes = |footer: &Footer| columns.iter().filter_map(|column| footer.column_bytes.get(column)).sum();
        footers.map(bytes).max().unwrap_or(0)
    }

    /// The merged columns of all files, for Parquet and Avro.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.schema.clone()
    }

    /// All columns of the table: those of the files, then those of the paths; every one may be null.
    ///
    /// # Errors
    /// `Invalid` as [`Input::partition_fields`]; `Internal` for text files that were not surveyed.
    pub fn table_schema(&self) -> Result<SchemaRef> {
        let files = self.surveyed.get().map(|survey| survey.schema()).or(self.schema.as_ref());
        let files = files.ok_or_else(|| Error::internal(format!("input {} has no schema", self.name)))?;
        let fields = files.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
        Ok(Arc::new(Schema::new(fields.chain(self.partition_fields()?).collect::<Vec<_>>())))
    }

    /// A table of one local Parquet file.
    ///
    /// # Errors
    /// `Input` if it is damaged; `Unavailable` if it cannot be read.
    pub fn of_parquet(name: &str, path: PathBuf) -> Result<Self> {
        let found = std::fs::metadata(&path).and_then(|meta| Ok((meta.len(), meta.modified()?)));
        let (bytes, modified) = found.io("stat", &path)?;
        let modified = jiff::Timestamp::try_from(modified).unwrap_or_default();
        let source = Source::Local(path);
        let mut input = Self {
            name: name.to_owned(),
            format: Format::Parquet,
            csv: CsvForm::default(),
            files: vec![InputFile { source, bytes, modified, partitions: Vec::new(), footer: None }],
            partition_columns: Vec::new(),
            partitions: None,
            contract: None,
            schema: None,
            surveyed: OnceLock::new(),
            share: None,
        };
        parquet_files::read(&mut input)?;
        Ok(input)
    }

    /// The columns as they are read from Parquet files: with strings and binary values as views.
    pub fn schema_as_read(&self) -> Option<SchemaRef> {
        Some(Arc::new(Schema::new(self.schema.as_ref()?.fields().iter().map(layout::views).collect::<Fields>())))
    }

    /// Bytes of a row of `columns`, if known from footers or a survey.
    pub fn row_bytes(&self, columns: &BTreeSet<String>) -> Option<u64> {
        let bytes = match self.surveyed.get() {
            Some(survey) => survey.bytes(),
            None => {
                let footers = self.files.iter().map(|file| file.footer.as_ref());
                let decompressed = |footer: &Footer| -> u64 {
                    columns.iter().filter_map(|column| footer.column_unpacked_bytes.get(column)).sum()
                };
                footers.map(|footer| footer.map(decompressed)).sum::<Option<u64>>()?
            }
        };
        Some(bytes / self.rows()?.max(1))
    }

    /// The metadata that the query reads a Parquet file by. None for other formats.
    pub fn metadata(&self, file: &InputFile) -> Option<Metadata> {
        Metadata::of(file, self.schema.as_ref()?)
    }
}

/// Finds the files of every input, reads their footers and checks them against the contracts. Stops at the first input
/// with problems; all contract breaches of that input are reported together.
///
/// # Errors
/// `Input` if files are missing, damaged or break their contract; `Invalid` if the job does not match them;
/// `Unavailable` if they cannot be read.
pub fn resolve(specs: &[InputSpec]) -> Result<Vec<Input>> {
    let buckets = Buckets::from_env();
    specs.iter().map(|spec| resolve_one(spec, &buckets)).collect()
}

fn resolve_one(spec: &InputSpec, buckets: &Buckets) -> Result<Input> {
    let contract = spec.schema.as_deref().map(Contract::load).transpose()?;
    let found = resolve::find(spec, buckets)?;
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
        share: None,
    };
    match input.format {
        Format::Parquet => parquet_files::read(&mut input)?,
        Format::Avro => input.schema = Some(columns::of_avro(&input)?),
        Format::Csv | Format::Json => {}
    }
    input.check_partition_columns()?;
    input.check_partitions()?;
    Ok(input)
}
