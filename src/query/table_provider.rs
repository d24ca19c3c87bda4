//! `TableProvider` of a Parquet or Avro input: a fixed list of files, never listed again.
//!
//! DataFusion's own listing table lists the directory when the query is planned; a file that arrived since would be
//! read without being in the lineage. Row counts come from the footers that are already known, so that joins build on
//! the smaller side.
//!
//! Not for: finding files (`input`), and text files (see `text_scan`).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, DataFusionError, Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::path::Path as StorePath;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::avro_scan::{AvroFile, AvroFiles};
use super::parquet_scan;
use super::partition_value::partition_value;
use super::profiled_scan::Measured;
use super::row_group_sample::RowGroupSample;
use super::row_width::Widths;
use super::scan_output::PlainExec;
use crate::error::{Error, IoContext};
use crate::input::{self, Input, InputFile, Source};
use crate::job::Format;

/// One input, as a table.
#[derive(Debug)]
pub(super) struct InputTable {
    format: Format,
    files: Vec<PartitionedFile>,
    schema: TableSchema,
    /// The same columns with the types that Parquet files are read as.
    as_read: TableSchema,
    widths: Arc<Widths>,
    statistics: Statistics,
    /// Columns that cannot be read, and in which file and why.
    unreadable: BTreeMap<String, String>,
    measured: Measured,
}

impl InputTable {
    /// Makes the table of an input. `share` selects a sample of the rows for an estimate: see [`RowGroupSample`].
    ///
    /// # Errors
    /// `Input` if a partition's value is not of its type; `Unavailable` if files cannot be found.
    pub(super) fn open(input: &Input, share: RowGroupSample, widths: &Arc<Widths>) -> crate::error::Result<Self> {
        let all = input.files.iter().map(partitioned_file).collect::<crate::error::Result<Vec<_>>>()?;
        let file_schema =
            input.schema().ok_or_else(|| Error::internal(format!("input {} has no schema", input.name)))?;
        let partition_fields = input.partition_fields()?;
        let measured = Measured::of(input, file_schema.fields().len())?;
        let mut files = Vec::new();
        let mut rows = Some(0);
        let mut groups = 0;
        for (file, whole) in input.files.iter().zip(all) {
            let values = file
                .partitions
                .iter()
                .zip(&partition_fields)
                .map(|(value, field)| partition_value(value.as_deref(), field, file))
                .collect::<crate::error::Result<Vec<_>>>()?;
            let whole = whole.with_partition_values(values);
            let whole = input.metadata(file).into_iter().fold(whole, PartitionedFile::with_extension);
            let taken = share.of(input, file, groups);
            groups += file.parts() as usize;
            rows = rows.zip(taken.rows).map(|(rows, taken)| rows + taken);
            files.extend(taken.plan.map(|plan| plan.into_iter().fold(whole, PartitionedFile::with_extension)));
        }
        let fields: Vec<_> = partition_fields.into_iter().map(Arc::new).collect();
        let read = input.schema_as_read().unwrap_or_else(|| Arc::clone(&file_schema));
        let as_read = TableSchema::builder(read).with_table_partition_cols(fields.clone()).build();
        let schema = TableSchema::builder(file_schema).with_table_partition_cols(fields).build();
        let mut statistics = Statistics::new_unknown(schema.table_schema());
        if let Some(rows) = rows {
            statistics.num_rows = Precision::Inexact(rows as usize);
        }
        let decompressed = |input: &Input| -> Option<u64> {
            input.files.iter().map(|file| Some(file.footer.as_ref()?.unpacked_bytes)).sum()
        };
        if let (Some(bytes), Some(rows), Some(all)) = (decompressed(input), rows, input.rows()) {
            let of_share = u128::from(bytes) * u128::from(rows) / u128::from(all.max(1));
            statistics.total_byte_size = Precision::Inexact(of_share as usize);
        }
        let (format, widths, unreadable) = (input.format, Arc::clone(widths), unreadable(input));
        Ok(Self { format, files, schema, as_read, widths, statistics, unreadable, measured })
    }
}

fn unreadable(input: &Input) -> BTreeMap<String, String> {
    let footers = input.files.iter().filter_map(|file| Some((&file.source, file.footer.as_ref()?)));
    let columns = footers.flat_map(|(source, footer)| {
        footer.unreadable.iter().map(move |(name, why)| (name.clone(), format!("{source}: column {name} {why}")))
    });
    let mut columns: BTreeMap<String, String> = columns.collect();
    if let (Format::Avro, Some(schema)) = (input.format, input.schema()) {
        let path = input.files.first().map(|file| file.source.to_string()).unwrap_or_default();
        for field in schema.fields().iter().filter(|field| has_items_of_nothing(field.data_type())) {
            let why = format!(
                "{path}: column {} has items without a value (of type null, or records without fields), which cannot be \
                 read",
                field.name()
            );
            columns.insert(field.name().clone(), why);
        }
    }
    columns
}

/// Whether a type has lists or maps of nulls or of records without fields, which the Avro decoder does not support.
fn has_items_of_nothing(data_type: &DataType) -> bool {
    let is_nothing = |of: &DataType| match of {
        DataType::Null => true,
        DataType::Struct(fields) => fields.is_empty(),
        _ => false,
    };
    match data_type {
        DataType::List(of) | DataType::LargeList(of) => {
            is_nothing(of.data_type()) || has_items_of_nothing(of.data_type())
        }
        DataType::Map(of, _) => match of.data_type() {
            DataType::Struct(entry) => {
                entry.iter().any(|of| is_nothing(of.data_type()) || has_items_of_nothing(of.data_type()))
            }
            _ => false,
        },
        DataType::Struct(fields) => fields.iter().any(|of| has_items_of_nothing(of.data_type())),
        _ => false,
    }
}

impl InputTable {
    /// Reads the files.
    fn scan_files(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.check_readable(projection)?;
        if self.format == Format::Avro {
            let (scan, schema) = (self.scan_avro(state, projection, limit)?, self.projected(projection)?);
            return Ok(Arc::new(PlainExec::new(scan, schema, Arc::clone(&self.widths))));
        }
        let url = ObjectStoreUrl::local_filesystem();
        let mut source = parquet_scan::source(self.as_read.clone(), state.runtime_env().object_store(&url)?);
        // Row groups that cannot have a row of the result are skipped, by statistics that were checked. The filters
        // themselves stay in the plan.
        let filters = filters.iter().filter(|filter| self.is_of_plain_columns(filter)).cloned();
        if let Some(filter) = conjunction(filters) {
            let columns = DFSchema::try_from(Arc::clone(self.schema.table_schema()))?;
            source = source.with_predicate(state.create_physical_expr(filter, &columns)?);
        }
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(self.statistics.clone())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        let (scan, schema) = (DataSourceExec::from_data_source(config), self.projected(projection)?);
        Ok(Arc::new(PlainExec::new(scan, schema, Arc::clone(&self.widths))))
    }

    /// Scans Avro files, in as many partitions as there are threads.
    fn scan_avro(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.projected(projection)?;
        let names: Vec<String> = self.schema.table_partition_cols().iter().map(|field| field.name().clone()).collect();
        let file = |file: &PartitionedFile| {
            Some(AvroFile { source: file.extension::<Source>()?.clone(), partitions: file.partition_values.clone() })
        };
        let stream = |files: &[PartitionedFile]| {
            let files = files.iter().filter_map(file).collect();
            Arc::new(AvroFiles::new(files, Arc::clone(&schema), names.clone())) as Arc<dyn PartitionStream>
        };
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let mut streams: Vec<_> = groups.iter().map(|group| stream(group.files())).collect();
        if streams.is_empty() {
            streams.push(stream(&[]));
        }
        Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&schema), streams, None, [], false, limit)?))
    }

    fn projected(&self, projection: Option<&Vec<usize>>) -> Result<SchemaRef> {
        let table = self.schema.table_schema();
        Ok(projection.map_or_else(|| Ok(Arc::clone(table)), |used| table.project(used).map(Arc::new))?)
    }

    /// Whether a filter uses no column that is stored in another layout.
    fn is_of_plain_columns(&self, filter: &Expr) -> bool {
        let (plain, read) = (self.schema.table_schema(), self.as_read.table_schema());
        filter.column_refs().iter().all(|column| {
            let same = plain.field_with_name(column.name()).ok().zip(read.field_with_name(column.name()).ok());
            same.is_some_and(|(plain, read)| plain.data_type() == read.data_type())
        })
    }

    /// Rejects columns that cannot be read.
    fn check_readable(&self, projection: Option<&Vec<usize>>) -> Result<()> {
        let schema = self.schema.table_schema();
        let used = (0..schema.fields().len()).filter(|at| projection.is_none_or(|used| used.contains(at)));
        let unreadable = used.filter_map(|at| self.unreadable.get(schema.field(at).name())).next();
        unreadable.map_or(Ok(()), |why| Err(DataFusionError::External(Box::new(Error::input(why.clone())))))
    }
}

/// The absolute path of a file that was found before.
fn absolute(path: &Path) -> crate::error::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(input::disappeared(path.display())),
        found => found.io("find", path),
    }
}

fn partitioned_file(file: &InputFile) -> crate::error::Result<PartitionedFile> {
    let mut partitioned = PartitionedFile::new("", file.bytes);
    // The location of an object is for plans that are shown: its reader goes by its source.
    partitioned.object_meta.location = match file.source.local() {
        Some(path) => StorePath::from_absolute_path(absolute(path)?)
            .map_err(|error| Error::invalid(format!("{} is not a usable path", path.display())).because(error))?,
        None => StorePath::from(file.source.to_string()),
    };
    Ok(partitioned.with_extension(file.source.clone()))
}

#[async_trait]
impl TableProvider for InputTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.measured.scan(projection, limit, |projection| self.scan_files(state, projection, filters, limit))
    }
}
