//! Runs a planned query: every partition's stream on a thread of its own, each batch handed to a plain function.
//!
//! The threads do the query's own work as they pull; what DataFusion runs beside them (repartitioning) has a runtime of
//! as many threads. When one partition fails or panics the others are woken and stopped, and the first failure is the
//! one that is told.
//!
//! Not for: what is done with a batch.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable, execute_stream_partitioned};
use futures::StreamExt;
use futures::stream::{AbortHandle, Abortable, abortable};

use super::counted;
use super::error::{convert, out_of_memory};
use super::session::{Query, runtime_env};
use crate::contain::contain;
use crate::error::{Error, Result};

/// How joins are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// By hash tables, which must fit into memory.
    Hash,
    /// By sorting both sides, which can spill.
    SortMerge,
}

/// A query that is ready to run.
#[derive(Debug)]
pub struct Execution<'q> {
    query: &'q Query<'q>,
    plan: Arc<dyn ExecutionPlan>,
}

/// Why a run of a query ended early.
#[derive(Debug)]
pub enum Failed {
    /// Its share of the memory did not do; it may with [`Joins::SortMerge`].
    OutOfMemory(Error),
    /// The query itself, or the files it reads.
    Query(Error),
    /// What was done with its rows.
    Step(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Step(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::OutOfMemory(error) | Failed::Query(error) | Failed::Step(error) => error,
        }
    }
}

/// Runs with hash joins and, where one does not fit into memory, once more by sorting both sides.
///
/// # Errors
/// Those of the last run.
pub fn falling_back<T>(run: impl Fn(Joins) -> Result<T, Failed>) -> Result<T, Failed> {
    match run(Joins::Hash) {
        Err(Failed::OutOfMemory(error)) => {
            tracing::warn!("a join does not fit into memory; joining again by sorting both sides");
            tracing::debug!(error = error.chain().join(": "), "out of memory");
            run(Joins::SortMerge)
        }
        other => other,
    }
}

impl<'q> Query<'q> {
    /// Chooses operators and makes the query ready to run.
    ///
    /// # Errors
    /// `Invalid` when DataFusion has no way to run it.
    pub fn prepare(&'q self, joins: Joins) -> Result<Execution<'q>> {
        let mut state = self.state.clone();
        let options = state.config_mut().options_mut();
        options.optimizer.prefer_hash_join = joins == Joins::Hash;
        if joins == Joins::SortMerge {
            // DataFusion sorts and merges only where it may also partition.
            options.execution.target_partitions = options.execution.target_partitions.max(2);
        }
        let plan = self
            .runtime
            .block_on(state.create_physical_plan(&self.plan))
            .map_err(|error| convert("the query cannot be planned", error))?;
        Ok(Execution { query: self, plan })
    }

    /// The rows of a small result, at most `limit`.
    ///
    /// # Errors
    /// As [`Execution::run`].
    pub fn collect(&self, limit: usize, spill_dir: &Path) -> Result<Vec<RecordBatch>, Failed> {
        let take = |taken: &mut Vec<RecordBatch>, batch: RecordBatch| {
            let held: usize = taken.iter().map(RecordBatch::num_rows).sum();
            if held < limit {
                taken.push(batch.slice(0, batch.num_rows().min(limit - held)));
            }
            Ok(())
        };
        let parts = falling_back(|joins| self.prepare(joins)?.run(spill_dir, |_| Ok(Vec::new()), take))?;
        Ok(parts.concat())
    }
}

impl Execution<'_> {
    /// Streams the query gives.
    pub fn partitions(&self) -> usize {
        self.plan.output_partitioning().partition_count()
    }

    /// The plan as indented text.
    pub fn explain(&self) -> String {
        displayable(self.plan.as_ref()).indent(false).to_string()
    }

    /// Runs the query. `make` makes a state for every partition, and `step` takes that partition's batches one after
    /// another on one thread; the states are returned in the order of the partitions. What does not fit into memory goes
    /// to `spill_dir`, which is made here.
    ///
    /// # Errors
    /// The first failure of the query or of `step`.
    pub fn run<S: Send>(
        &self,
        spill_dir: &Path,
        make: impl Fn(usize) -> Result<S>,
        step: impl Fn(&mut S, RecordBatch) -> Result<()> + Sync,
    ) -> Result<Vec<S>, Failed> {
        let environment = runtime_env(&self.query.settings, spill_dir)?;
        let context = TaskContext::from(&self.query.state).with_runtime(environment);
        // Operators start tasks of their own while they are being started.
        let _inside = self.query.runtime.enter();
        let streams = execute_stream_partitioned(Arc::clone(&self.plan), Arc::new(context))
            .map_err(|error| convert("the query cannot be started", error))?;
        let first_failure: Mutex<Option<Failed>> = Mutex::new(None);
        let (streams, stops): (Vec<_>, Vec<_>) = streams.into_iter().map(abortable).unzip();
        let states = (0..streams.len()).map(make).collect::<Result<Vec<S>>>()?;
        let done: Vec<Option<S>> = std::thread::scope(|scope| {
            let threads: Vec<_> = streams
                .into_iter()
                .zip(states)
                .map(|(stream, mut state)| {
                    let (first_failure, stops, step) = (&first_failure, &stops, &step);
                    scope.spawn(move || {
                        let drained = contain(|| self.drain(stream, |batch| step(&mut state, batch)));
                        let failed = match drained {
                            Ok(Ok(())) => return Some(state),
                            Ok(Err(failed)) => failed,
                            Err(panic) => Failed::Query(
                                Error::internal("a thread of the query ended unexpectedly").because(panic),
                            ),
                        };
                        if let Ok(mut first) = first_failure.lock() {
                            first.get_or_insert(failed);
                        }
                        // The others may be waiting for something that this thread was to bring.
                        stops.iter().for_each(AbortHandle::abort);
                        None
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
        });
        if let Ok(Some(failed)) = first_failure.into_inner() {
            return Err(failed);
        }
        let all = done.into_iter().collect::<Option<Vec<S>>>();
        let all = all.ok_or_else(|| Failed::Query(Error::internal("a thread of the query was lost")))?;
        match counted::difference(&self.plan) {
            None => Ok(all),
            Some((given, promised)) => Err(Failed::Query(Error::input(format!(
                "the query read {given} rows of an input whose files promise {promised}: a file is damaged"
            )))),
        }
    }

    fn drain(
        &self,
        mut stream: Abortable<SendableRecordBatchStream>,
        mut step: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<(), Failed> {
        let failed = |error: DataFusionError| {
            let memory = out_of_memory(&error);
            let error = convert("the query failed", error);
            if memory { Failed::OutOfMemory(error) } else { Failed::Query(error) }
        };
        while let Some(batch) = self.query.runtime.block_on(stream.next()) {
            step(batch.map_err(failed)?)?;
        }
        Ok(())
    }
}
