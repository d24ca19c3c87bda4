//! An input as a table of DataFusion's: a fixed list of files, never listed again.
//!
//! DataFusion's own listing table looks into the folder when the query is planned; a file that arrived since would be
//! read without being in the lineage. Row counts come from the footers that are already known, so that joins build on
//! the smaller side.
//!
//! Not for: finding files (`input`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::file_format::parquet::{ParquetFormat, transform_schema_to_view};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::{ObjectMeta, path::Path as StorePath};
use datafusion::physical_plan::ExecutionPlan;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::text_scan::parts;
use crate::error::{Error, IoContext};
use crate::input::{Input, InputFile, contract, type_from_name};
use crate::job::Format;

/// One input, as a table.
#[derive(Debug)]
pub(super) struct InputTable {
    format: Arc<dyn FileFormat>,
    files: Vec<PartitionedFile>,
    schema: TableSchema,
    statistics: Statistics,
}

impl InputTable {
    /// Makes the table of an input. `share` selects a part of the rows for an estimate: see [`Share`].
    ///
    /// # Errors
    /// `Input` when the schema of text files cannot be inferred or breaks the contract, or a partition's value is not
    /// of its type; `Unavailable` when files cannot be read.
    pub(super) async fn open(state: &dyn Session, input: &Input, share: Share) -> crate::error::Result<Self> {
        let format: Arc<dyn FileFormat> = match input.format {
            Format::Avro => Arc::new(AvroFormat),
            _ => Arc::new(ParquetFormat::default()),
        };
        let all = input.files.iter().map(partitioned_file).collect::<crate::error::Result<Vec<_>>>()?;
        let file_schema = match input.schema() {
            Some(schema) => Arc::new(transform_schema_to_view(&schema)),
            None => infer(state, format.as_ref(), input, &all).await?,
        };
        let partition_fields = input.partition_fields()?;
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
            let taken = share.of(file, groups);
            groups += file.parts() as usize;
            rows = rows.zip(taken.rows).map(|(rows, taken)| rows + taken);
            files.extend(taken.plan.map(|plan| plan.into_iter().fold(whole, PartitionedFile::with_extension)));
        }
        let fields: Vec<_> = partition_fields.into_iter().map(Arc::new).collect();
        let schema = TableSchema::builder(file_schema).with_table_partition_cols(fields).build();
        let mut statistics = Statistics::new_unknown(schema.table_schema());
        if let Some(rows) = rows {
            statistics.num_rows = Precision::Inexact(rows as usize);
        }
        let unpacked = |input: &Input| -> Option<u64> {
            input.files.iter().map(|file| Some(file.footer.as_ref()?.unpacked_bytes)).sum()
        };
        if let (Some(bytes), Some(rows), Some(all)) = (unpacked(input), rows, input.rows()) {
            let of_share = u128::from(bytes) * u128::from(rows) / u128::from(all.max(1));
            statistics.total_byte_size = Precision::Inexact(of_share as usize);
        }
        Ok(Self { format, files, schema, statistics })
    }
}

/// Which rows of an input a query sees: the first `rows` of every `step`-th row group, or piece of text files. Of Avro
/// files it is every `step`-th, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) step: usize,
    pub(super) rows: u64,
}

/// What a share has of one file.
struct Taken {
    /// Nothing where it has none of the file, an empty plan where it has all.
    plan: Option<Option<ParquetAccessPlan>>,
    /// Its rows, where they are known.
    rows: Option<u64>,
}

impl Share {
    pub(super) const ALL: Self = Self { step: 1, rows: u64::MAX };

    /// Rows of an input that are seen, or files where there are no row groups.
    pub(super) fn rows(self, input: &Input) -> u64 {
        if let Some(survey) = input.surveyed.get() {
            return parts(survey, self).iter().map(|part| part.rows).sum();
        }
        let mut groups = 0;
        let of_file = |file: &InputFile| {
            let taken = self.of(file, groups);
            groups += file.parts() as usize;
            taken.rows.unwrap_or(u64::from(taken.plan.is_some()))
        };
        input.files.iter().map(of_file).sum()
    }

    /// The share of a file whose first row group is number `first` of the input.
    fn of(self, file: &InputFile, first: usize) -> Taken {
        let takes = |group: usize| (first + group).is_multiple_of(self.step);
        let Some(footer) = &file.footer else {
            return Taken { plan: takes(0).then_some(None), rows: None };
        };
        if self == Self::ALL {
            return Taken { plan: Some(None), rows: Some(footer.rows) };
        }
        let mut plan = ParquetAccessPlan::new_none(footer.row_groups.len());
        let mut rows = 0;
        for (number, all) in footer.row_groups.iter().enumerate().filter(|(number, _)| takes(*number)) {
            let seen = self.rows.min(*all);
            rows += seen;
            let selected = [(seen, false), (all - seen, true)];
            let selectors = selected.map(|(rows, skip)| RowSelector { row_count: rows as usize, skip });
            plan.set(number, RowGroupAccess::Selection(RowSelection::from(selectors.to_vec())));
        }
        Taken { plan: (rows > 0).then_some(Some(plan)), rows: Some(rows) }
    }
}

fn partitioned_file(file: &InputFile) -> crate::error::Result<PartitionedFile> {
    let absolute = std::fs::canonicalize(&file.path).io("find", &file.path)?;
    let mut partitioned = PartitionedFile::new("", file.bytes);
    partitioned.object_meta.location = StorePath::from_absolute_path(&absolute)
        .map_err(|error| Error::invalid(format!("{} is not a usable path", file.path.display())).because(error))?;
    Ok(partitioned)
}

/// The schema of text files: what DataFusion infers from them, but the contract's types where it names a column.
async fn infer(
    state: &dyn Session,
    format: &dyn FileFormat,
    input: &Input,
    files: &[PartitionedFile],
) -> crate::error::Result<SchemaRef> {
    let doing = format!("cannot read input {}", input.name);
    let store = state
        .runtime_env()
        .object_store(ObjectStoreUrl::local_filesystem())
        .map_err(|error| super::error::convert(&doing, error))?;
    let metas: Vec<ObjectMeta> = files.iter().map(|file| file.object_meta.clone()).collect();
    let inferred = format
        .infer_schema(state, &store, &metas)
        .await
        .map_err(|error| Error::input(format!("{doing}: its columns cannot be told")).because(error))?;
    let Some(contract) = &input.contract else { return Ok(inferred) };
    let promised = |field: &Field| -> Option<DataType> {
        let column = contract.columns.iter().find(|column| column.name == *field.name())?;
        (input.format != Format::Avro).then(|| type_from_name(&column.type_name))?
    };
    let fields: Vec<Field> = inferred
        .fields()
        .iter()
        .map(|field| {
            promised(field).map_or(field.as_ref().clone(), |promised| field.as_ref().clone().with_data_type(promised))
        })
        .collect();
    let schema = Schema::new(fields);
    let mut all = schema.fields().to_vec();
    all.extend(input.partition_fields()?.into_iter().map(Arc::new));
    let problems = contract.check(&Schema::new(all), &input.files[0].path.display().to_string());
    if problems.is_empty() {
        return Ok(Arc::new(schema));
    }
    Err(Error::input(format!("input {} is not what the job expects\n  {}", input.name, problems.join("\n  "))))
}

/// The value that a file's folder gives a column.
///
/// # Errors
/// `Input` when it is not of the column's type.
pub(super) fn partition_value(
    value: Option<&str>,
    field: &Field,
    file: &InputFile,
) -> crate::error::Result<ScalarValue> {
    let parsed = match value {
        None => ScalarValue::try_from(field.data_type()),
        Some(value) => ScalarValue::try_from_string(value.to_owned(), field.data_type()),
    };
    parsed.map_err(|error| {
        Error::input(format!(
            "{}: its folder gives {} = {:?}, which is no {}",
            file.path.display(),
            field.name(),
            value.unwrap_or("null"),
            contract::type_name(field.data_type())
        ))
        .because(error)
    })
}

#[async_trait]
impl TableProvider for InputTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.clone())
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = self.format.file_source(self.schema.clone());
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_statistics(self.statistics.clone())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        self.format.create_physical_plan(state, config).await
    }
}
