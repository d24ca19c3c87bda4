//! Plans the query of a job: tables, functions, bound parameters, DataFusion's settings.
//!
//! SQL is one statement that reads. `$name` is bound as a value in the plan; it is never inserted into the SQL text, so
//! no value can change what the query does.
//!
//! Not for: running it (see `execute`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use tokio::runtime::Runtime;

use super::bounded_functions;
use super::column_limit;
use super::error::{convert, unplanned};
use super::exact;
use super::join_strategy::JoinStrategy;
use super::memory_pool::ClassedPool;
use super::open_order::open_orders;
use super::ordered;
use super::row_group_sample::RowGroupSample;
use super::row_width::Widths;
use super::sql_limits;
use super::table_provider::InputTable;
use super::text_scan::TextTable;
use super::unordered::unordered;
use crate::error::{IoContext, Result};
use crate::input::Input;

/// Rows of a batch if memory is not short: more than DataFusion's 8,192, as grouping was a tenth faster with them.
const MAX_BATCH_ROWS: usize = 32_768;
/// Maximum number of sorts per thread that merge at the same time: both sides of a join, and the sorts below them.
const SORTS_AT_ONCE: usize = 16;
/// Minimum bytes to plan for a row.
const MIN_ROW_BYTES: usize = 512;
/// The column that counts repeated values; a name that no column of a job is likely to have.
const REPEATED: &str = "cutover: rows of this value";

/// Resources for the query.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Number of partitions the query runs in.
    pub threads: usize,
    /// Bytes of memory for its operators.
    pub memory: usize,
}

/// A planned query.
#[derive(Debug)]
pub struct Query<'r> {
    pub(super) runtime: &'r Runtime,
    pub(super) settings: Settings,
    pub(super) plan: LogicalPlan,
    schema: SchemaRef,
    pub(super) state: SessionState,
    /// Bytes of a row of the input with the widest rows, from the files' metadata.
    row_bytes: usize,
    pub(super) widths: Arc<Widths>,
    /// The first strategy not yet known to run out of memory; shared with queries derived from this one.
    way: Arc<Mutex<JoinStrategy>>,
    /// The columns read from each input.
    columns: BTreeMap<String, BTreeSet<String>>,
    /// Whether it has a join.
    pub(super) has_join: bool,
    /// Whether it has operators that combine rows, for which another strategy may need less memory.
    pub(super) has_pipeline_breaker: bool,
    /// For every join the inputs below its left and its right side.
    pub(super) joins: Arc<[[BTreeSet<String>; 2]]>,
    /// When a run of it ends, finished or not.
    pub(super) deadline: Option<Instant>,
    sql: String,
    params: BTreeMap<String, String>,
}

impl<'r> Query<'r> {
    /// Plans `sql` over `inputs`.
    ///
    /// # Errors
    /// `Invalid` for wrong SQL, naming what is wrong; `Input` if text files do not have the expected columns.
    pub fn new(
        runtime: &'r Runtime,
        inputs: &[Input],
        sql: &str,
        params: &BTreeMap<String, String>,
        settings: Settings,
    ) -> Result<Self> {
        let shares = vec![RowGroupSample::ALL; inputs.len()];
        let widths = Widths::new(batch_bytes(&settings), (settings.memory / 2).min(i32::MAX as usize));
        let widths = Arc::new(widths);
        let (state, plan) = runtime.block_on(plan(inputs, &shares, sql, params, &settings, &widths))?;
        // Types are checked and columns resolved now, so that wrong SQL is found before any work. The result's columns
        // are known only then: before analysis, those of a union are its first side's.
        let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {});
        let analyzed = analyzed.map_err(unplanned)?;
        let schema = Arc::clone(analyzed.schema().inner());
        let optimized = state.optimizer().optimize(analyzed, &state, |_, _| {}).map_err(unplanned)?;
        let columns = columns_in_use(&optimized).map_err(unplanned)?;
        // Subqueries become joins during optimization.
        let has_join = optimized.exists(|node| Ok(matches!(node, LogicalPlan::Join(_)))).map_err(unplanned)?;
        let has_pipeline_breaker =
            has_join || optimized.exists(|node| Ok(has_pipeline_breaker(node))).map_err(unplanned)?;
        let joins = joins(&optimized).map_err(unplanned)?.into();
        let way = Arc::new(Mutex::new(JoinStrategy::Hash));
        let row_bytes = row_bytes(inputs, &columns);
        let (sql, params) = (sql.to_owned(), params.clone());
        Ok(Self {
            runtime,
            settings,
            plan,
            schema,
            state,
            row_bytes,
            widths,
            way,
            columns,
            has_join,
            has_pipeline_breaker,
            joins,
            deadline: None,
            sql,
            params,
        })
    }

    /// A sentence for each expression whose result depends on an order of rows that the SQL does not give.
    pub fn open_orders(&self) -> Vec<String> {
        let statement = self.state.sql_to_statement(&self.sql, &self.state.config_options().sql_parser.dialect);
        statement.as_ref().map(open_orders).unwrap_or_default()
    }

    /// The same query, whose runs end at `deadline`.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.with_plan(self.plan.clone(), self.schema()) }
    }

    /// The same query over a sample of each input.
    pub(super) fn sampled(&self, inputs: &[Input], shares: &[RowGroupSample]) -> Result<Self> {
        let planned = plan(inputs, shares, &self.sql, &self.params, &self.settings, &self.widths);
        let (mut state, plan) = self.runtime.block_on(planned)?;
        partition_joins(state.config_mut().options_mut());
        Ok(Self { state, ..self.with_plan(plan, self.schema()) })
    }

    /// A query for combinations of values in `columns` that occur more than once; it returns some of them with their
    /// counts.
    ///
    /// # Errors
    /// `Invalid` if a column does not exist.
    pub fn duplicates(&self, columns: &[String]) -> Result<Self> {
        use datafusion::functions_aggregate::expr_fn::count;
        use datafusion::logical_expr::{LogicalPlanBuilder, ident, lit};
        let keys: Vec<_> = columns.iter().map(ident).collect();
        let rows = count(lit(1)).alias(REPEATED);
        let plan = LogicalPlanBuilder::from(self.plan.clone())
            .aggregate(keys, [rows])
            .and_then(|grouped| grouped.filter(ident(REPEATED).gt(lit(1))))
            .and_then(|repeated| repeated.limit(0, Some(3)))
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| convert("cannot look for duplicates", error))?;
        let schema = Arc::clone(plan.schema().inner());
        Ok(self.with_plan(plan, schema))
    }

    /// The same query limited to its first `rows` rows.
    ///
    /// # Errors
    /// `Internal` only.
    pub fn with_limit(&self, rows: usize) -> Result<Self> {
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(self.plan.clone())
            .limit(0, Some(rows))
            .and_then(datafusion::logical_expr::LogicalPlanBuilder::build)
            .map_err(|error| convert("cannot limit the query", error))?;
        Ok(self.with_plan(plan, self.schema()))
    }

    fn with_plan(&self, plan: LogicalPlan, schema: SchemaRef) -> Self {
        Self {
            runtime: self.runtime,
            settings: self.settings,
            plan,
            schema,
            state: self.state.clone(),
            row_bytes: self.row_bytes,
            widths: Arc::clone(&self.widths),
            way: Arc::clone(&self.way),
            columns: self.columns.clone(),
            has_join: self.has_join,
            has_pipeline_breaker: self.has_pipeline_breaker,
            joins: Arc::clone(&self.joins),
            deadline: self.deadline,
            sql: self.sql.clone(),
            params: self.params.clone(),
        }
    }

    /// The columns read from each input.
    pub fn columns_in_use(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.columns
    }

    /// Bytes of a row of the input with the widest rows, as currently known.
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes.max(self.widths.found())
    }

    /// Bytes of a row, if found to be far more than the files say; otherwise 0.
    pub(super) fn wide_row_bytes(&self) -> usize {
        self.widths.found()
    }

    /// Rows of a batch: two batches of each of two runs fit into what a sort reserves for its merge.
    pub(super) fn batch_rows(&self) -> usize {
        (batch_bytes(&self.settings) / self.row_bytes()).clamp(1, MAX_BATCH_ROWS)
    }

    /// Runs that a sort merges at once: as many as fit into a quarter of the memory with five batches each.
    pub(super) fn fan_in(&self) -> usize {
        let merge = self.settings.memory / (4 * self.settings.threads);
        (merge / (5 * self.batch_rows() * self.row_bytes())).max(2)
    }

    /// The current strategy for operators that combine rows.
    pub fn join_strategy(&self) -> JoinStrategy {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_join_strategy(&self, way: JoinStrategy) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    /// Whether every row of the result comes from its own input rows: nothing is grouped, ranked or limited.
    pub(super) fn is_map_only(&self) -> bool {
        let has_pipeline_breaker =
            |node: &LogicalPlan| Ok(has_pipeline_breaker(node) || matches!(node, LogicalPlan::Limit(_)));
        !self.plan.exists(has_pipeline_breaker).unwrap_or(true)
    }

    /// The columns of the result.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Whether a node combines rows.
fn has_pipeline_breaker(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Window(_))
}

/// For every join of an optimized plan the tables below its left and its right side.
fn joins(plan: &LogicalPlan) -> datafusion::common::Result<Vec<[BTreeSet<String>; 2]>> {
    let mut joins = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::Join(join) = node {
            let [left, right] = [&join.left, &join.right].map(|side| columns_in_use(side));
            joins.push([left?.into_keys().collect(), right?.into_keys().collect()]);
        }
        Ok::<_, DataFusionError>(TreeNodeRecursion::Continue)
    })?;
    Ok(joins)
}

/// The unoptimized plan of a query, and the session that will run it.
async fn plan(
    inputs: &[Input],
    shares: &[RowGroupSample],
    sql: &str,
    params: &BTreeMap<String, String>,
    settings: &Settings,
    widths: &Arc<Widths>,
) -> Result<(SessionState, LogicalPlan)> {
    for input in inputs {
        input.survey(settings.threads)?;
    }
    let context = SessionContext::new_with_state(state(settings));
    exact::register(&context);
    bounded_functions::register(&context, widths);
    ordered::register(&context);
    for function in super::udf::all() {
        context.register_udf(function);
    }
    let mut columns = BTreeMap::new();
    for (input, share) in inputs.iter().zip(shares) {
        let table: Arc<dyn TableProvider> = match input.survey(settings.threads)? {
            Some(survey) => Arc::new(TextTable::new(input, survey, *share, widths)?),
            None => Arc::new(InputTable::open(input, *share, widths)?),
        };
        columns.insert(input.name.as_str(), table.schema().fields().len());
        context
            .register_table(datafusion::common::TableReference::bare(input.name.as_str()), table)
            .map_err(|error| convert(&format!("cannot register a table {}", input.name), error))?;
    }
    let state = context.state();
    sql_limits::check_words(sql).map_err(unplanned)?;
    let mut statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect).map_err(unplanned)?;
    sql_limits::check_names(&statement).map_err(unplanned)?;
    column_limit::check_columns(&statement, &columns).map_err(unplanned)?;
    exact::check_syntax(&mut statement, state.scalar_functions().keys().cloned().collect()).map_err(unplanned)?;
    let written = state.statement_to_plan(statement).await.map_err(unplanned)?;
    let only_reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_reads.verify_plan(&written).map_err(unplanned)?;
    let frame = context.execute_logical_plan(written).await.map_err(unplanned)?;
    let values: Vec<(String, ScalarValue)> =
        params.iter().map(|(name, value)| (name.clone(), ScalarValue::from(value.as_str()))).collect();
    let frame = frame.with_param_values(ParamValues::from(values)).map_err(unplanned)?;
    let (state, plan) = frame.into_parts();
    Ok((state, unordered(plan).map_err(unplanned)?))
}

/// Bytes of a row of the input with the widest rows, counting the columns that are read.
fn row_bytes(inputs: &[Input], columns: &BTreeMap<String, BTreeSet<String>>) -> usize {
    let of = |input: &Input| input.row_bytes(columns.get(&input.name)?);
    let widest = inputs.iter().filter_map(of).max().unwrap_or(0);
    usize::try_from(widest).unwrap_or(usize::MAX).max(MIN_ROW_BYTES)
}

/// The columns read from each table.
fn columns_in_use(plan: &LogicalPlan) -> datafusion::common::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let columns = used.entry(scan.table_name.table().to_owned()).or_default();
            columns.extend(scan.projected_schema.fields().iter().map(|field| field.name().clone()));
            columns.extend(scan.filters.iter().flat_map(Expr::column_refs).map(|column| column.name.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(used)
}

/// Bytes that a sort reserves for its merge.
fn for_merge(settings: &Settings) -> usize {
    settings.memory / (settings.threads * SORTS_AT_ONCE)
}

/// Planned bytes of a batch.
fn batch_bytes(settings: &Settings) -> usize {
    for_merge(settings) / 4
}

fn state(settings: &Settings) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(settings.threads)
        .with_information_schema(false)
        // One file per spilled batch between two operators: a reader must never wait for more of a file whose writer
        // waits for that very reader (as happens in DataFusion 55 when two tasks write to one partition).
        .set_usize("datafusion.execution.max_spill_file_size_bytes", 1);
    let options = config.options_mut();
    // No filters from a join's build side on the other side: bounds of nested values with nulls do not compare
    // correctly, so rows were lost.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // A build side of this size is cheaper to build once than to repartition both sides.
    options.optimizer.hash_join_single_partition_threshold = settings.memory / 8;
    options.optimizer.hash_join_single_partition_threshold_rows = 4 << 20;
    // Strings are copied, not held as views: a batch of views keeps all buffers of all batches that it came from, so a
    // chain of joins holds and counts the same string many times.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    // By default a sort concatenates a few rows into one batch before it sorts them, which may take more memory than it
    // was granted, and then fails. With 0 it sorts the batches as they are.
    options.execution.sort_in_place_threshold_bytes = 0;
    // Every sort reserves this for its merge; the default of 10 MiB alone would exceed a small budget.
    options.execution.sort_spill_reservation_bytes =
        for_merge(settings).min(options.execution.sort_spill_reservation_bytes);
    // This check compares two schemas in which a group column may differ in nullability only, which is harmless.
    options.execution.skip_physical_aggregate_schema_check = true;
    exact::settings(SessionStateBuilder::new().with_config(config).with_default_features()).build()
}

/// Repartitions both sides of every join, so that all threads build the hash table. It pays if few rows are probed.
pub(super) fn partition_joins(options: &mut ConfigOptions) {
    options.optimizer.hash_join_single_partition_threshold = 0;
    options.optimizer.hash_join_single_partition_threshold_rows = 0;
}

/// DataFusion's memory and disk for one run, spilling to `spill_dir` and merging `fan_in` runs at once.
///
/// # Errors
/// `Unavailable` if the directory cannot be created.
pub(super) fn runtime_env(pool: Arc<ClassedPool>, spill_dir: &Path, fan_in: usize) -> Result<Arc<RuntimeEnv>> {
    std::fs::create_dir_all(spill_dir).io("create the spill directory", spill_dir)?;
    // The disk is the limit, not a number of DataFusion's.
    let disk = DiskManagerBuilder::default()
        .with_max_temp_directory_size(u64::MAX)
        .with_max_spill_merge_fan_in(fan_in)
        .with_mode(DiskManagerMode::Directories(vec![spill_dir.to_path_buf()]));
    RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|error| convert("cannot set up the query engine", error))
}
