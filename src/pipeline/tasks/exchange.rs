//! The exchange of rows before the query: where a group, a window or a join needs all rows with equal values, the
//! inputs are cut by a column first, and each map task runs the query over its own part of them.
//!
//! ```text
//!  scan i:  a share of one input ─▶ columns in use ─▶ part by the hash of a column ─▶ Arrow messages as entries ─▶ one run
//!  map q:   part q of all runs of an input ─▶ a local Parquet file with the input's columns ─▶ the query, unchanged
//! ```
//! The rows travel through the same shuffle as entries do, so memory is bounded and every block has a checksum. A
//! column that the query does not read is null in the file: the SQL means the same.
//!
//! Not for: by which columns (`query`), and the query itself (`map`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::xxh3_64;

use super::super::RunOptions;
use super::TaskKind;
use super::attempt::{Attempt, Known, fetch, record};
use super::records::{ExchangePlan, ExchangeSpec, PlannedPart, RunObject, ScanRecord, exchange_plan_of};
use crate::encode::{Column, EntryBatch};
use crate::error::{Error, IoContext, Result};
use crate::failpoint;
use crate::input::Input;
use crate::profile::Seed;
use crate::query::{JoinStrategy, Measuring, Query, RunError, Settings};
use crate::resources::Resources;
use crate::shuffle::{Options, PartFile, Shuffle, Writer, shard_of_parts};

/// Bytes of rows that are parted at once.
const PARTED_AT_ONCE: usize = 4 << 20;
/// Rows, and bytes, of a row group of a local file.
const GROUP_ROWS: usize = 1 << 16;
const GROUP_BYTES: usize = 16 << 20;

/// Runs a scan task; returns what it did.
///
/// # Errors
/// Those of the query and the shuffle; as those of a write to the store.
pub(super) fn scan(
    known: &Known,
    (exchange, number): (&ExchangeSpec, u64),
    options: &RunOptions,
    runtime: &Runtime,
    attempt: &Attempt,
) -> Result<String> {
    let scan = usize::try_from(number).ok().and_then(|number| exchange.scans.get(number));
    let (name, share) = scan.ok_or_else(|| Error::internal(format!("there is no scan task {number}")))?;
    let missing = || Error::internal(format!("there is no input {name} to exchange"));
    let mut input = known.inputs.iter().find(|input| input.name == *name).cloned().ok_or_else(missing)?;
    input.share = Some(share.clone());
    let (by, columns) = exchange.columns.get(name).zip(exchange.read.get(name)).ok_or_else(missing)?;
    let resources = options.resources;
    let settings = Settings { threads: resources.threads, memory: resources.query_memory() };
    let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
    let listed = columns.iter().map(quoted).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {listed} FROM {}", quoted(name));
    let query = Query::new(runtime, std::slice::from_ref(&input), &sql, &Default::default(), settings)?;
    let schema = query.schema();
    let key =
        schema.index_of(by).map_err(|error| Error::internal("the exchange's column is not read").because(error))?;
    failpoint::reach("cluster.scan")?;
    let measuring = Arc::new(Measuring::new(Seed::new(&known.spec.job.dataset)));
    let sequence = AtomicU64::new(0);
    let filled = query.run_with_fallback(|way: JoinStrategy| {
        let execution = query.prepare(way)?.measuring(Arc::clone(&measuring));
        let writers = execution.partitions();
        let spill = attempt.directory.join("shuffle");
        let shuffle = Shuffle::new(exchange_options(&resources, exchange.partitions, writers, spill));
        let make = |_| Parting::new(&schema, key, exchange.partitions, shuffle.writer(), &sequence);
        let parted = execution.run(&attempt.directory.join("query"), make, |parting, batch| parting.take(batch))?;
        parted.into_iter().try_for_each(Parting::finish)?;
        Ok::<_, RunError>(shuffle)
    })?;
    let (run, stats) = resources.cpu_pool()?.install(|| filled.finish_as_run())?;
    let run = RunObject::upload(&known.work, run, format!("scan-{number:05}-{}", attempt.name))?;
    let written = ScanRecord {
        attempt: attempt.name.clone(),
        input: name.clone(),
        run,
        spilled_bytes: stats.spilled_bytes,
        inputs: measuring.to_portable(),
        done: attempt.done(),
    };
    let outcome = record(&known.work, (TaskKind::Scan, number), &written, || written.run.delete(&known.work))?;
    Ok(format!("{} bytes of {name}{outcome}", stats.bytes))
}

fn exchange_options(resources: &Resources, partitions: u32, writers: usize, spill_dir: PathBuf) -> Options {
    Options {
        memory: resources.shuffle_memory(),
        writers,
        threads: resources.threads,
        shards: partitions,
        spill_dir,
        range_bytes: u64::MAX,
        expected_bytes: 0,
    }
}

/// Parts the rows of one stream.
struct Parting<'s> {
    schema: SchemaRef,
    key: usize,
    partitions: u64,
    converter: RowConverter,
    pending: Vec<RecordBatch>,
    bytes: usize,
    writer: Writer<'s>,
    /// Numbers entries, so that each has a key of its own.
    sequence: &'s AtomicU64,
}

impl<'s> Parting<'s> {
    fn new(
        schema: &SchemaRef,
        key: usize,
        partitions: u32,
        writer: Writer<'s>,
        sequence: &'s AtomicU64,
    ) -> Result<Self> {
        let field = SortField::new(schema.field(key).data_type().clone());
        let converter = RowConverter::new(vec![field]).map_err(failed)?;
        let (schema, pending) = (Arc::clone(schema), Vec::new());
        let partitions = u64::from(partitions.max(1));
        Ok(Self { schema, key, partitions, converter, pending, bytes: 0, writer, sequence })
    }

    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += batch.get_array_memory_size();
        self.pending.push(batch);
        if self.bytes >= PARTED_AT_ONCE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let rows = concat_batches(&self.schema, &std::mem::take(&mut self.pending)).map_err(failed)?;
        let keys = self.converter.convert_columns(&[Arc::clone(rows.column(self.key))]).map_err(failed)?;
        let mut parts: Vec<Vec<u32>> = vec![Vec::new(); self.partitions as usize];
        for (row, key) in keys.iter().enumerate() {
            parts[(xxh3_64(key.as_ref()) % self.partitions) as usize].push(row as u32);
        }
        for (part, rows_of_part) in parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let taken = take_record_batch(&rows, &UInt32Array::from(rows_of_part)).map_err(failed)?;
            let mut message = Vec::new();
            let mut writer = StreamWriter::try_new(&mut message, &self.schema).map_err(failed)?;
            writer.write(&taken).and_then(|()| writer.finish()).map_err(failed)?;
            drop(writer);
            let key = self.sequence.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec();
            let one = |data: Vec<u8>| Column { offsets: vec![0, data.len()], data };
            self.writer.push(&EntryBatch {
                keys: one(key),
                orders: one(Vec::new()),
                values: one(message),
                shards: vec![part as u32],
            })?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.finish()
    }
}

/// The inputs of map task `number`: those that were exchanged are its part of them, others are whole.
///
/// # Errors
/// `Corrupt` when a part is damaged; `Internal` when it would not be read as the input was; as those of reads of the
/// store.
pub(super) fn inputs(
    known: &Known,
    (exchange, number): (&ExchangeSpec, u64),
    resources: &Resources,
    attempt: &Attempt,
) -> Result<Vec<Input>> {
    let plan: Option<ExchangePlan> = known.work.get(&exchange_plan_of(number))?;
    let plan = plan.ok_or_else(|| Error::unavailable(format!("the plan of map {number} does not exist any more")))?;
    let part = u32::try_from(number).map_err(|_| Error::internal(format!("there is no part {number}")))?;
    let of_input = |input: &Input| {
        if !exchange.columns.contains_key(&input.name) {
            return Ok(input.clone());
        }
        let own = |(name, part): &(String, PlannedPart)| (*name == input.name).then(|| part.clone());
        let parts: Vec<PlannedPart> = plan.parts.iter().filter_map(own).collect();
        let directory = attempt.directory.join(format!("exchange-{}", input.name));
        let files = fetch(known, &parts, &directory.join("parts"))?;
        let table = input.table_schema()?;
        let path = directory.join("rows.parquet");
        let options = exchange_options(resources, exchange.partitions, 1, directory.join("merge"));
        write_rows(&path, &table, (part, &files), &options)?;
        let local = Input::of_parquet(&input.name, path)?;
        let types = |schema: &Schema| schema.fields().iter().map(|it| it.data_type().clone()).collect::<Vec<_>>();
        match local.schema().is_some_and(|found| types(&found) == types(&table)) {
            true => Ok(local),
            false => Err(Error::internal(format!(
                "input {} would have other types after its rows were exchanged; run the job without --cluster",
                input.name
            ))),
        }
    };
    known.inputs.iter().map(of_input).collect()
}

/// Writes a part of an input as a Parquet file with all columns of the input.
fn write_rows(path: &Path, table: &SchemaRef, (part, files): (u32, &[PartFile]), options: &Options) -> Result<()> {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(GROUP_ROWS)).build();
    let file = File::create(path).io("create", path)?;
    let unwritten = |error| Error::unavailable(format!("cannot write {}", path.display())).because(error);
    let mut writer = ArrowWriter::try_new(file, Arc::clone(table), Some(properties)).map_err(unwritten)?;
    for range in shard_of_parts(part, files, options)?.ranges {
        range.for_each(|entry| {
            for batch in StreamReader::try_new(entry.value, None).map_err(damaged)? {
                let batch = batch.map_err(damaged)?;
                writer.write(&widened(table, &batch)?).map_err(unwritten)?;
                if writer.in_progress_size() > GROUP_BYTES {
                    writer.flush().map_err(unwritten)?;
                }
            }
            Ok(())
        })?;
    }
    writer.close().map(drop).map_err(unwritten)
}

/// The rows with all columns of the input: null where the query does not read them.
fn widened(table: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let column = |field: &Arc<Field>| -> ArrayRef {
        let read = batch.column_by_name(field.name()).cloned();
        read.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
    };
    RecordBatch::try_new(Arc::clone(table), table.fields().iter().map(column).collect()).map_err(damaged)
}

fn failed(error: arrow::error::ArrowError) -> Error {
    Error::internal("rows cannot be exchanged").because(error)
}

fn damaged(error: arrow::error::ArrowError) -> Error {
    Error::corrupt("rows that were exchanged cannot be read").because(error)
}
