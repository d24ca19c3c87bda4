//! Runs a planned query: the stream of every partition on a thread of its own, each batch passed to a synchronous
//! function.
//!
//! These threads do the query's work as they poll; tasks that DataFusion spawns (repartitioning) run on a runtime with
//! as many threads. When one partition fails or panics, the others are stopped, and the first failure is reported.
//!
//! Not for: what is done with a batch.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, cast};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable, execute_stream_partitioned};
use futures::StreamExt;
use futures::stream::{AbortHandle, Abortable, abortable};
use serde::{Deserialize, Serialize};

use super::bounded_window;
use super::error::{convert, out_of_memory, unplanned};
use super::grace_hash_join;
use super::join_strategy::JoinStrategy;
use super::measuring::Measuring;
use super::memory_pool::ClassedPool;
use super::operator_budget::OperatorBudget;
use super::partitioned_aggregate;
use super::row_width;
use super::scan_row_check;
use super::session::{Query, partition_joins, runtime_env};
use super::single_read;
use super::sort_merge_join;
use super::sorted_aggregate;
use super::spilling_repartition::SpillPolicy;
use super::unspillable::{self, Unspillable};
use crate::catch_panic::contain;
use crate::error::{Error, Kind, Result};
use crate::shutdown;
use crate::stack;

/// A query that is ready to run.
#[derive(Debug)]
pub struct Execution<'q> {
    query: &'q Query<'q>,
    state: SessionState,
    pool: Arc<ClassedPool>,
    plan: Arc<dyn ExecutionPlan>,
}

/// Resources that a run used, as its operators count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Peak memory in bytes.
    pub peak_memory: u64,
    /// Bytes written to the spill directory.
    pub spilled_bytes: u64,
}

/// Why a run of a query ended early.
#[derive(Debug)]
pub enum RunError {
    /// Its memory budget is too small; it may suffice for another [`JoinStrategy`].
    OutOfMemory(Error),
    /// It did not end before the query's deadline.
    DeadlineExceeded(Error),
    /// The query itself failed, or reading its files.
    Query(Error),
    /// The consumer of the rows failed.
    Sink(Error),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Sink(error)
    }
}

impl From<RunError> for Error {
    fn from(failed: RunError) -> Self {
        match failed {
            RunError::OutOfMemory(error)
            | RunError::DeadlineExceeded(error)
            | RunError::Query(error)
            | RunError::Sink(error) => error,
        }
    }
}

impl<'q> Query<'q> {
    /// Runs with hash tables and, if they do not fit into memory, again with strategies that need less. The query
    /// remembers a strategy that did not fit and does not try it again.
    ///
    /// # Errors
    /// Those of the last run; if there is no plan for the last strategy, such as for a sort by structs, those of the
    /// run before it.
    pub fn run_with_fallback<T>(&self, run: impl Fn(JoinStrategy) -> Result<T, RunError>) -> Result<T, RunError> {
        let mut did_not_fit = None;
        loop {
            let way = self.join_strategy();
            let wide = self.wide_row_bytes();
            match run(way) {
                Err(RunError::OutOfMemory(error)) => match self.fall_back(way, wide) {
                    Some(why) => {
                        tracing::warn!("{why}");
                        tracing::debug!(error = error.chain().join(": "), "out of memory");
                        did_not_fit = Some(error);
                    }
                    None => return Err(RunError::OutOfMemory(error)),
                },
                Err(RunError::Sink(error)) if error.kind() == Kind::Invalid => {
                    return Err(did_not_fit.map_or(RunError::Sink(error), RunError::OutOfMemory));
                }
                done => return done,
            }
        }
    }

    /// After a run by `way` that ran out of memory, when rows were known to have `wide` bytes: prepares another one and
    /// says why it may fit; none if it would be the same again.
    pub(super) fn fall_back(&self, way: JoinStrategy, wide: usize) -> Option<String> {
        let mean = self.wide_row_bytes();
        if mean > wide {
            return Some(format!(
                "rows of {mean} bytes are wider than the files' metadata says; restarting with smaller batches"
            ));
        }
        let (next, why) = way.next(self.has_join).filter(|_| self.has_pipeline_breaker)?;
        self.set_join_strategy(next);
        Some(why.to_owned())
    }

    /// Creates the physical plan.
    ///
    /// # Errors
    /// `Invalid` if DataFusion does not support the query.
    pub fn prepare(&'q self, way: JoinStrategy) -> Result<Execution<'q>> {
        let mut state = self.state.clone();
        *state.config_mut() = state.config().clone().with_batch_size(self.batch_rows());
        let options = state.config_mut().options_mut();
        if way != JoinStrategy::Hash {
            // DataFusion partitions both sides of a join only if there is more than one partition.
            options.execution.target_partitions = options.execution.target_partitions.max(2);
            partition_joins(options);
        }
        let planned = shutdown::leaving(|| self.runtime.block_on(state.create_physical_plan(&self.plan)))?;
        let plan = planned.map_err(unplanned)?;
        match by_way(plan, way, self.operator_budget(&state)).map_err(unplanned)? {
            Some(plan) => {
                let plan = as_declared(plan, &self.schema()).map_err(unplanned)?;
                let plan = row_width::watch(plan, &self.widths).map_err(unplanned)?;
                Ok(Execution { query: self, state, pool: Arc::new(ClassedPool::new(self.settings.memory)), plan })
            }
            None => self.prepare(JoinStrategy::SortMerge),
        }
    }

    fn operator_budget(&self, state: &SessionState) -> OperatorBudget {
        OperatorBudget {
            threads: state.config().target_partitions(),
            memory: self.settings.memory,
            batch_rows: state.config().batch_size(),
            row_bytes: self.wide_row_bytes(),
        }
    }

    /// The rows of a small result, at most `limit`.
    ///
    /// # Errors
    /// As [`Execution::run`].
    pub fn collect(&self, limit: usize, spill_dir: &Path) -> Result<Vec<RecordBatch>, RunError> {
        let take = |taken: &mut Vec<RecordBatch>, batch: RecordBatch| {
            let held: usize = taken.iter().map(RecordBatch::num_rows).sum();
            if held < limit {
                taken.push(batch.slice(0, batch.num_rows().min(limit - held)));
            }
            Ok(())
        };
        let parts = self.run_with_fallback(|way| self.prepare(way)?.run(spill_dir, |_| Ok(Vec::new()), take))?;
        Ok(parts.concat())
    }
}

impl Execution<'_> {
    /// Also measures the inputs while the query reads them.
    #[must_use]
    pub fn measuring(mut self, measuring: Arc<Measuring>) -> Self {
        self.state.config_mut().set_extension(measuring);
        self
    }

    /// Number of streams that the query returns.
    pub fn partitions(&self) -> usize {
        self.plan.output_partitioning().partition_count()
    }

    /// The plan as indented text.
    pub fn explain(&self) -> String {
        displayable(self.plan.as_ref()).indent(false).to_string()
    }

    /// Its operators that cannot spill, in plan order.
    pub fn unspillable(&self) -> Vec<Unspillable> {
        unspillable::of(&self.plan)
    }

    /// The resources that the run used.
    pub fn usage(&self) -> Usage {
        Usage { peak_memory: self.pool.peak() as u64, spilled_bytes: spilled(self.plan.as_ref()) }
    }

    /// Runs the query. `make` makes a state for every partition, and `step` takes that partition's batches one after
    /// another on one thread; the states are returned in partition order. What does not fit into memory is spilled to
    /// `spill_dir`, which is created here.
    ///
    /// # Errors
    /// The first failure of the query or of `step`; `Stopped` if shutdown was requested. At the query's deadline the
    /// run ends with `DeadlineExceeded`.
    pub fn run<S: Send>(
        &self,
        spill_dir: &Path,
        make: impl Fn(usize) -> Result<S>,
        step: impl Fn(&mut S, RecordBatch) -> Result<()> + Sync,
    ) -> Result<Vec<S>, RunError> {
        let environment = runtime_env(Arc::clone(&self.pool), spill_dir, self.query.fan_in())?;
        let context = TaskContext::from(&self.state).with_runtime(environment);
        // Operators may spawn tasks while they are started.
        let _inside = self.query.runtime.enter();
        let streams = execute_stream_partitioned(Arc::clone(&self.plan), Arc::new(context))
            .map_err(|error| convert("the query cannot be started", error))?;
        let first_failure: Mutex<Option<RunError>> = Mutex::new(None);
        let (streams, stops): (Vec<_>, Vec<_>) = streams.into_iter().map(abortable).unzip();
        let states = (0..streams.len()).map(make).collect::<Result<Vec<S>>>()?;
        let (done, ended) = mpsc::channel();
        let done: Vec<Option<S>> = std::thread::scope(|scope| {
            let stops = stops.as_slice();
            let fail = |failed| fail(&first_failure, failed, stops);
            let deadline = self.query.deadline;
            start(scope, fail, move || end_early(stops, ended, deadline, fail));
            let threads: Vec<_> = streams
                .into_iter()
                .zip(states)
                .map(|(stream, mut state)| {
                    let step = &step;
                    start(scope, fail, move || {
                        let drained = contain(|| self.drain(stream, |batch| step(&mut state, batch)));
                        let failed = match drained {
                            Ok(Ok(())) => return Some(state),
                            Ok(Err(failed)) => failed,
                            Err(panic) => RunError::Query(
                                Error::internal("a thread of the query ended unexpectedly").because(panic),
                            ),
                        };
                        fail(failed);
                        None
                    })
                })
                .collect();
            let states = threads.into_iter().map(|thread| thread?.join().ok().flatten()).collect();
            drop(done);
            states
        });
        if let Ok(Some(failed)) = first_failure.into_inner() {
            return Err(failed);
        }
        let all = done.into_iter().collect::<Option<Vec<S>>>();
        let all = all.ok_or_else(|| RunError::Query(Error::internal("a thread of the query was lost")))?;
        match scan_row_check::difference(&self.plan) {
            None => Ok(all),
            Some((given, promised)) => Err(RunError::Query(Error::input(format!(
                "the query read {given} rows of an input whose footers record {promised}: a file is damaged"
            )))),
        }
    }

    fn drain(
        &self,
        mut stream: Abortable<SendableRecordBatchStream>,
        mut step: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<(), RunError> {
        let failed = |error: DataFusionError| {
            let memory = out_of_memory(&error);
            let error = convert("the query failed", error);
            if memory { RunError::OutOfMemory(error) } else { RunError::Query(error) }
        };
        while let Some(batch) = self.query.runtime.block_on(stream.next()) {
            shutdown::check()?;
            step(batch.map_err(failed)?)?;
        }
        Ok(shutdown::check()?)
    }
}

/// Records the first failure and aborts all streams: others may wait for rows of the failed one.
fn fail(first_failure: &Mutex<Option<RunError>>, failed: RunError, stops: &[AbortHandle]) {
    if let Ok(mut first) = first_failure.lock() {
        first.get_or_insert(failed);
    }
    stops.iter().for_each(AbortHandle::abort);
}

/// Starts a thread whose stack is deep enough for any plan. If the system refuses it, the run fails.
fn start<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    fail: impl Fn(RunError),
    work: impl FnOnce() -> T + Send + 's,
) -> Option<ScopedJoinHandle<'s, T>> {
    let started = Builder::new().name("query".to_owned()).stack_size(stack::BYTES).spawn_scoped(scope, work);
    let refused =
        |error| fail(RunError::Query(Error::unavailable("cannot start a thread of the query").because(error)));
    started.map_err(refused).ok()
}

/// The same plan with our operators in place of DataFusion's; none if grace hash joins cannot help.
fn by_way(
    plan: Arc<dyn ExecutionPlan>,
    way: JoinStrategy,
    budget: OperatorBudget,
) -> datafusion::common::Result<Option<Arc<dyn ExecutionPlan>>> {
    let wait = if way == JoinStrategy::Hash { SpillPolicy::InMemory } else { SpillPolicy::OnDisk };
    let plan = partitioned_aggregate::partition_aggregates(
        sorted_aggregate::sort_unbounded_aggregates(plan, budget)?,
        wait,
        budget,
    )?;
    let plan = match way {
        JoinStrategy::GraceHash => match grace_hash_join::plan_grace_joins(plan, budget)? {
            Some(plan) => plan,
            None => return Ok(None),
        },
        JoinStrategy::SortMerge => {
            grace_hash_join::spill_build_sides(sort_merge_join::plan_sort_merge_joins(plan, budget)?, budget)?
        }
        JoinStrategy::Hash => plan,
    };
    bounded_window::bound_windows(single_read::read_once(plan)?).map(Some)
}

/// The same plan, cast to the declared types: optimizer rules may change the digits of a decimal, such as when a sum of
/// distinct values becomes a sum of sums.
fn as_declared(plan: Arc<dyn ExecutionPlan>, declared: &Schema) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
    let given = plan.schema();
    let pairs = || given.fields().iter().zip(declared.fields());
    if pairs().all(|(given, declared)| given.data_type() == declared.data_type()) {
        return Ok(plan);
    }
    let column = |(place, (field, declared)): (usize, (&FieldRef, &FieldRef))| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), place));
        let column = match field.data_type() == declared.data_type() {
            true => column,
            false => cast(column, &given, declared.data_type().clone())?,
        };
        Ok((column, field.name().clone()))
    };
    let columns = pairs().enumerate().map(column).collect::<datafusion::common::Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}

/// Bytes that a plan's operators have written to the spill directory.
pub(super) fn spilled(plan: &dyn ExecutionPlan) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0) as u64;
    own + plan.children().iter().map(|child| spilled(child.as_ref())).sum::<u64>()
}

/// Aborts the streams on shutdown or at the deadline; some may not return a batch for long, such as a join that still
/// reads its build side.
fn end_early(
    streams: &[AbortHandle],
    ended: mpsc::Receiver<()>,
    deadline: Option<Instant>,
    fail: impl FnOnce(RunError),
) {
    while ended.recv_timeout(shutdown::POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if shutdown::check().is_err() {
            return streams.iter().for_each(AbortHandle::abort);
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return fail(RunError::DeadlineExceeded(Error::unavailable("the query did not end in time")));
        }
    }
}
