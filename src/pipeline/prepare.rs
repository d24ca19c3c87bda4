//! A job whose inputs are found (`found`), whose query is planned and whose columns all have a place: ready to run.
//!
//! Everything that can be refused before any work is refused here.
//!
//! Not for: reading the store.

use std::ops::Deref;

use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::as_of::AsOf;
use super::listed::Listed;
use crate::build::BuiltShard;
use crate::catalog::{self, BuildPaths};
use crate::check::{self, Previous};
use crate::durable_file;
use crate::encode::EncodePlan;
use crate::error::{Error, IoContext, Kind, Result};
use crate::format::{Allow, CheckResult, Manifest, Profile, StageTiming};
use crate::input::{self, Input};
use crate::job::Job;
use crate::profile;
use crate::progress::StageTimer;
use crate::query::{self, Query, RunError, Settings, Usage, Written};
use crate::report::MemoryReport;
use crate::resources::Resources;
use crate::shutdown;

/// Row groups that are being read may take 1/N of the memory.
const READER_SHARE_DIVISOR: u64 = 3;

/// A job that is ready to run.
#[derive(Debug)]
pub(super) struct Prepared<'r> {
    found: Listed<'r>,
    pub(super) query: Query<'r>,
    pub(super) encode: EncodePlan,
    /// Warnings about results that the query leaves open: sentences.
    open_orders: Vec<String>,
}

impl<'r> Deref for Prepared<'r> {
    type Target = Listed<'r>;

    fn deref(&self) -> &Listed<'r> {
        &self.found
    }
}

impl<'r> Prepared<'r> {
    pub(super) fn new(found: Listed<'r>, runtime: &'r Runtime) -> Result<Self> {
        let Listed { job, options, inputs, .. } = &found;
        let settings = Settings { threads: options.resources.threads, memory: options.resources.query_memory() };
        inputs.iter().try_for_each(|input| survey(input, settings.threads))?;
        let query = shutdown::leaving(|| Query::new(runtime, inputs, &job.sql, &job.params, settings))?
            .map_err(|error| unplanned(job, inputs, error))?;
        let open_orders = query.open_orders();
        open_orders.iter().for_each(|open| tracing::warn!("{open}"));
        inputs.iter().try_for_each(Input::check_partitions)?;
        let encode = EncodePlan::new(&query.schema(), &job.output, &job.dataset)
            .map_err(|error| error.during(format!("the output of {} cannot be built", job.path.display())))?;
        let prepared = Self { found, query, encode, open_orders };
        prepared.check_names()?;
        prepared.check_targets()?;
        prepared.check_memory()?;
        Ok(prepared)
    }

    /// The memory must hold what the readers hold: per thread a row group of the columns in use.
    fn check_memory(&self) -> Result<()> {
        let Resources { threads, memory } = self.options.resources;
        let used = self.query.columns_in_use();
        let bytes = |input: &Input| used.get(&input.name).map_or(0, |columns| input.row_group_bytes(columns));
        let largest = self.inputs.iter().map(|input| (bytes(input), input)).max_by_key(|(bytes, _)| *bytes);
        let Some((bytes, input)) = largest.filter(|(bytes, _)| bytes * threads as u64 > memory / READER_SHARE_DIVISOR)
        else {
            return Ok(());
        };
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(Error::invalid(format!(
            "--memory {} MiB is too small: each of {threads} threads reads a row group of input {}, up to {} MiB, \
             and all of them must fit in a third of the memory. --memory {}MiB is enough{}",
            memory >> 20,
            input.name,
            mib(bytes),
            mib(bytes * READER_SHARE_DIVISOR * threads as u64),
            match (memory / READER_SHARE_DIVISOR / bytes) as usize {
                0 => String::new(),
                fewer => format!(", or --threads {fewer}"),
            }
        )))
    }

    /// Columns that checks name exist.
    fn check_names(&self) -> Result<()> {
        let schema = self.query.schema();
        let checks = &self.job.checks;
        match checks.not_null.iter().chain(&checks.unique).find(|name| schema.index_of(name).is_err()) {
            None => Ok(()),
            Some(name) => Err(Error::invalid(format!(
                "{}: a check names column {name}, which the query does not return; it returns {}",
                self.job.path.display(),
                schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// Inputs and columns that bounds on changes name are measured.
    fn check_targets(&self) -> Result<()> {
        let used = self.query.columns_in_use();
        let schema = self.query.schema();
        let is_measured = |target: &str| {
            let of_input = target
                .split_once('.')
                .is_some_and(|(input, column)| used.get(input).is_some_and(|columns| columns.contains(column)));
            of_input || used.contains_key(target) || schema.index_of(target).is_ok()
        };
        match self.job.checks.change.targets().find(|(target, _)| !is_measured(target)) {
            None => Ok(()),
            Some((target, line)) => {
                let inputs = used
                    .iter()
                    .flat_map(|(input, columns)| columns.iter().map(move |column| format!("{input}.{column}")));
                let columns = schema.fields().iter().map(|field| field.name().clone());
                let measured: Vec<String> = inputs.chain(columns).collect();
                Err(Error::invalid(format!(
                    "{}:{line}: {target:?} is neither an input, nor a column that the query reads of one (input.column), nor a \
                     column of its result; measured are {}",
                    self.job.path.display(),
                    measured.join(", ")
                )))
            }
        }
    }

    /// Why a query failed: if its data may be the reason, finds and names the damaged file.
    pub(super) fn explain(&self, failed: RunError) -> Error {
        if let (RunError::Query(_), Err(changed)) = (&failed, input::check_unchanged(&self.inputs))
            && changed.kind() == Kind::Input
        {
            return changed.because(Error::from(failed));
        }
        match failed {
            RunError::Query(error) if matches!(error.kind(), Kind::Input | Kind::Internal) => {
                match input::find_damaged(&self.inputs) {
                    Some(found) => found.because(error),
                    None => self.locate(error),
                }
            }
            RunError::Sink(error) if error.kind() == Kind::Input => self.locate_null(error),
            failed => failed.into(),
        }
    }

    /// Adds where the inputs have a null in the column that must not have one.
    fn locate_null(&self, error: Error) -> Error {
        let column = error.details().iter().find(|(name, _)| *name == "column").and_then(|(_, name)| name.as_str());
        let place = column.and_then(|name| input::locate_null(&self.inputs, self.query.columns_in_use(), name));
        match place {
            Some(place) => error.because(format!("the first row of the inputs without it is in {place}")),
            None => error,
        }
    }

    /// The warnings about the inputs and the query, which are on standard error already: sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        let surveys = self.inputs.iter().filter_map(|input| Some((input, input.surveyed.get()?)));
        let of_inputs =
            surveys.filter_map(|(input, survey)| Some(format!("input {} {}", input.name, survey.warning()?)));
        of_inputs.chain(self.open_orders.iter().cloned()).collect()
    }

    /// Adds the origin of the value on which the query failed: a parameter, or a place in a file.
    fn locate(&self, error: Error) -> Error {
        let (error, _) = written(self.job, &names(&self.inputs)).pinpoint(error);
        let found = Some(&error).filter(|error| error.kind() == Kind::Input).and_then(query::unread_value);
        match found.and_then(|value| input::locate(&self.inputs, self.query.columns_in_use(), &value)) {
            Some(place) => Error::input(place).because(error),
            None => error,
        }
    }

    /// Key and value schema against the published version.
    pub(super) fn compatibility(&self, previous: Option<&Previous>) -> Vec<CheckResult> {
        let (key, value) = (self.encode.key_schema(), self.encode.value_schema());
        self.allowed(check::compatibility(key, value, previous))
    }

    /// The results, where failures that `--allow` names are marked as allowed.
    pub(super) fn allowed(&self, mut results: Vec<CheckResult>) -> Vec<CheckResult> {
        let allowed = |result: &CheckResult| self.options.allow.contains(&Allow::of_rule(&result.rule));
        let failed = results.iter_mut().filter(|result| result.outcome == crate::format::CheckOutcome::Failed);
        failed
            .filter(|result| allowed(result))
            .for_each(|result| result.outcome = crate::format::CheckOutcome::Allowed);
        results
    }

    /// Writes the copies of the job, its query and its contracts that the version keeps.
    pub(super) fn write_job(&self, dirs: &BuildPaths) -> Result<()> {
        durable_file::write_synced(&dirs.job(), self.job.text.as_bytes())?;
        durable_file::write_synced(&dirs.query(), self.job.sql.as_bytes())?;
        for input in &self.inputs {
            if let Some(contract) = &input.contract {
                let path = dirs.schema(&input.name);
                let directory = path.parent().unwrap_or(&path);
                std::fs::create_dir_all(directory).io("create directory", directory)?;
                durable_file::write_synced(&path, contract.to_text().as_bytes())?;
            }
        }
        Ok(())
    }

    /// The manifest of the new version; its number is set when it is installed.
    pub(super) fn manifest(
        &self,
        build_id: &str,
        as_of: AsOf,
        built: Vec<BuiltShard>,
        profile: Profile,
        checks: Vec<CheckResult>,
        stages: &[StageTimer],
    ) -> Manifest {
        let output = &self.job.output;
        let largest = built.iter().filter_map(|shard| shard.largest.clone()).max_by_key(|entry| entry.bytes);
        let shards: Vec<crate::format::ShardEntry> = built.into_iter().map(|shard| shard.entry).collect();
        Manifest {
            format_version: 1,
            dataset: self.job.dataset.clone(),
            version: 0,
            build_id: build_id.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            job_digest: self.job_digest.clone(),
            input_digest: self.input_digest.clone(),
            as_of: as_of.at,
            as_of_stated: as_of.stated,
            created_at: Timestamp::now(),
            built_by: Some(catalog::by()),
            staged: self.options.stage,
            params: Some(self.job.sets.clone()),
            inputs: self.lineage(),
            key: self.encode.key_schema().clone(),
            value: self.encode.value_schema().clone(),
            shard_by: output.shard_by.clone(),
            partitioner: output.partitioner,
            shard_count: output.shards,
            tables: self.job.tables,
            rows: shards.iter().map(|shard| shard.rows).sum(),
            bytes: shards.iter().map(|shard| shard.bytes).sum(),
            digest: shards.iter().map(|shard| shard.digest).sum(),
            shards,
            columns: profile::column_stats(&profile),
            checks,
            stages: stages
                .iter()
                .map(|stage| StageTiming {
                    name: stage.name.to_owned(),
                    millis: stage.took.as_millis() as u64,
                    rows: stage.rows,
                    bytes: 0,
                })
                .collect(),
            largest,
            profile: Some(profile),
        }
    }

    fn lineage(&self) -> Vec<crate::format::InputFile> {
        let files = self.inputs.iter().flat_map(|input| input.files.iter().enumerate().map(move |file| (input, file)));
        files
            .map(|(input, (number, file))| {
                let tag = file.source.remote().map(|object| object.tag());
                crate::format::InputFile {
                    input: input.name.clone(),
                    path: file.source.to_string(),
                    size: file.bytes,
                    modified: file.modified.to_string(),
                    rows: input.rows_of(number),
                    etag: tag.as_ref().and_then(|tag| tag.e_tag.clone()),
                    object_version: tag.and_then(|tag| tag.version),
                }
            })
            .collect()
    }

    /// How the memory was divided, and what the query used of its share.
    pub(super) fn memory(&self, query: Usage) -> MemoryReport {
        let resources = &self.options.resources;
        MemoryReport {
            budget: resources.memory,
            query_share: resources.query_memory() as u64,
            query_peak: query.peak_memory,
            query_spilled_bytes: query.spilled_bytes,
            shuffle_share: resources.shuffle_memory() as u64,
            tables_share: resources.build_memory() as u64,
        }
    }
}

/// Reads all rows of an input's text files.
fn survey(input: &Input, threads: usize) -> Result<()> {
    let about_input = format!("input {} ", input.name);
    let survey = input.survey(threads).map_err(|error| match error.kind() {
        Kind::Input if error.message().starts_with(&about_input) => error,
        Kind::Input if input.contract.is_some() && error.message().contains("contract") => {
            error.during(format!("{about_input}breaks its contract"))
        }
        Kind::Input => error.during(format!("{about_input}cannot be read")),
        _ => error,
    })?;
    // Here, as the job may fail for this reason.
    if let Some(warning) = survey.as_ref().and_then(|survey| survey.warning()) {
        tracing::warn!("{about_input}{warning}");
    }
    Ok(())
}

/// Why the query cannot be planned, with the file and line of its SQL.
fn unplanned(job: &Job, inputs: &[Input], error: Error) -> Error {
    let (error, line) = written(job, &names(inputs)).pinpoint(error);
    let at = &job.sql_at;
    error.during(match line {
        Some(line) => format!("{}:{}: the query is invalid", at.path.display(), at.line + line - 1),
        None => format!("the query of {} is invalid", job.path.display()),
    })
}

fn names(inputs: &[Input]) -> Vec<&str> {
    inputs.iter().map(|input| input.name.as_str()).collect()
}

fn written<'a>(job: &'a Job, inputs: &'a [&'a str]) -> Written<'a> {
    Written { sql: &job.sql, inputs, params: &job.params }
}
