//! `cutover plan`: what a run would do, without doing it.

use super::k8s::{self, Request};
use super::run::JobArgs;
use super::text_table::Rows;
use super::{Output, Verdict, cron, format, parsers};
use crate::error::Result;
use crate::pipeline;
use crate::report::{ClusterPlan, PlanReport};

const EXAMPLES: &str = "\
Examples:
  cutover plan jobs/views_by_age.toml
  cutover plan jobs/views_of_day.toml --set date=2026-11-22 --memory 2GiB
  cutover plan jobs/views_of_day.toml --set date=2026-11-02 --stage
  cutover plan jobs/views_by_age.toml --k8s --schedule '15 * * * *' > cron-job.yaml";

/// Show what a run would do: predicted rows, memory, disk and time, and a few rows; nothing is written
///
/// Says whether the run fits this machine. With -v, also shows the engine's query plan.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    job: JobArgs,
    /// Print a Kubernetes CronJob that runs the job, with requests and limits from the prediction; it expects a volume
    /// claim `cutover`, with the job's files below the directory that the command runs in
    #[arg(long, conflicts_with = "cluster")]
    k8s: bool,
    /// When the CronJob runs
    #[arg(long, value_name = "CRON", value_parser = cron::schedule, default_value = "0 2 * * *", requires = "k8s")]
    schedule: String,
    /// The image that the CronJob runs
    #[arg(long, value_name = "IMAGE", default_value = concat!("cutover:", env!("CARGO_PKG_VERSION")), requires = "k8s")]
    image: String,
    /// Also show how `run --cluster` would divide the job into tasks
    #[arg(long)]
    cluster: bool,
    /// Bytes of input per map task; 256MiB, and 4GiB from 1 TiB on, if left out
    #[arg(long, value_name = "SIZE", value_parser = parsers::size, requires = "cluster")]
    share_bytes: Option<u64>,
}

impl Args {
    pub(super) fn memory(&self) -> u64 {
        self.job.memory()
    }

    /// Looks for the job's data below a URL.
    pub(super) fn below(&mut self, root: String) {
        self.job.below(root);
    }

    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let (mut arguments, fixed) = (self.job.arguments(), self.job.fixed());
        let (job, mut options) = self.job.load()?;
        options.plans_cluster = self.cluster;
        options.share_bytes = self.share_bytes;
        output.about(&job.dataset, &job.store);
        let report = pipeline::plan(&job, &options)?;
        output.document(&report)?;
        if self.k8s {
            arguments.extend(["--threads".to_owned(), report.threads.to_string()]);
            arguments.extend(["--memory".to_owned(), format!("{}B", report.memory_budget)]);
            let (schedule, image) = (&self.schedule, &self.image);
            if !fixed.is_empty() {
                tracing::warn!("{}", k8s::always(&fixed));
            }
            let manifest = k8s::cron_job(&report, &Request { schedule, image, arguments: &arguments, fixed: &fixed });
            output.document(&serde_json::json!({"cron_job": manifest}))?;
            if !output.is_json() {
                output.raw_line(manifest.trim_end())?;
            }
        } else if !output.is_json() {
            show(&report, output)?;
        }
        Ok(Verdict::Yes)
    }
}

fn show(report: &PlanReport, output: &mut Output) -> Result<()> {
    output.line(format!("would {}", report.would))?;
    report.resumes.iter().try_for_each(|resumes| output.line(resumes))?;
    output.line("")?;
    output.line(inputs(report))?;
    if let Some(reads) = &report.object_reads {
        output.line(format!("from object stores, so far: {}", format::object_traffic(reads)))?;
    }
    for input in &report.inputs {
        if let ([first, ..], Some(last)) = (input.partitions.as_slice(), input.partitions.last()) {
            let all = format::plural(input.partitions.len() as u64, "partition");
            output.line(format!("{} is read from {first} to {last}, {all}; none is missing", input.name))?;
        }
    }
    output.line("")?;
    output.line(columns(report))?;
    output.line("")?;
    output.line(predicted(report))?;
    output.line(format!("predicted from {}", report.predicted.basis))?;
    if let Some(forecast) = &report.object_store {
        output.say(format!(
            "object store: about {} sent by {}; each host that pulls the version receives {} by {}",
            format::size(forecast.sent_bytes),
            format::plural(forecast.requests, "request"),
            format::size(forecast.pulled_bytes),
            format::plural(forecast.pull_requests, "request"),
        ))?;
    }
    for held in &report.unspillable {
        let size = held.bytes.map_or("of unknown size".to_owned(), |bytes| format!("about {}", format::size(bytes)));
        output.line(format!(
            "cannot spill: {} holds {} in memory, {size}; the query's share is {}",
            held.operator,
            held.holds,
            format::size(report.query_memory)
        ))?;
    }
    report.cluster.iter().try_for_each(|cluster| output.line(shared_out(cluster)))?;
    for problem in &report.fits.problems {
        output.say(format!("does not fit: {problem}"))?;
    }
    if output.is_verbose() {
        output.line("")?;
        output.line("query plan")?;
        for line in report.plan.lines() {
            output.line(format_args!("  {line}"))?;
        }
    }
    if !report.preview.is_empty() {
        output.line("")?;
        output
            .line(format!("the first {} of the query's result", format::plural(report.preview.len() as u64, "row")))?;
        for row in &report.preview {
            output.line(format_args!("  {row}"))?;
        }
    }
    Ok(())
}

/// How a cluster would divide the job, as sentences.
fn shared_out(plan: &ClusterPlan) -> String {
    let tasks = |count: u64, kind: &str| format::plural(count, &format!("{kind} task"));
    let how = match (&plan.shared, plan.exchanged.is_empty()) {
        (Some(input), _) => {
            let maps = tasks(plan.map_tasks, "map");
            format!("{maps} divide {} of input {input}, and read all other inputs whole", format::size(plan.bytes))
        }
        (None, false) => {
            let by = plan.exchanged.iter().map(|(input, column)| format!("{input} by {column}"));
            let (by, scans) = (by.collect::<Vec<_>>().join(", "), tasks(plan.scan_tasks, "scan"));
            let maps = tasks(plan.map_tasks, "map");
            format!("{scans} exchange {}: {by}; {maps} run the query", format::size(plan.bytes))
        }
        (None, true) => "one map task runs the whole query, which cannot be divided".to_owned(),
    };
    let reads = format::count(plan.reads);
    format!("on a cluster: {how}; {}; at most {reads} reads of parts of runs", tasks(plan.build_tasks, "build"))
}

fn inputs(report: &PlanReport) -> String {
    let mut rows = Rows::new(&["input", "files", "size", "rows"], &[1, 2, 3]);
    for input in &report.inputs {
        let known = input.rows.map_or("unknown".to_owned(), format::count);
        rows.add([input.name.clone(), format::count(input.files as u64), format::size(input.bytes), known]);
    }
    rows.text()
}

fn columns(report: &PlanReport) -> String {
    let mut rows = Rows::new(&["column", "type", "part of"], &[]);
    let parts = [("key", &report.key), ("value", &report.value)];
    for (part, (name, kind)) in
        parts.iter().flat_map(|(part, columns)| columns.iter().map(move |column| (part, column)))
    {
        rows.add([name.clone(), kind.clone(), (*part).to_owned()]);
    }
    rows.text()
}

fn predicted(report: &PlanReport) -> String {
    let predicted = &report.predicted;
    let known = |shown: Option<String>| shown.unwrap_or_else(|| "not known".to_owned());
    let spill = known(report.spill_bytes.map(|bytes| match bytes {
        0 => "none: all of it fits".to_owned(),
        bytes => format::size(bytes),
    }));
    let memory = format!(
        "{} for the whole process; --memory is {}, which the query, the shuffle and the tables share",
        format::size(predicted.memory),
        format::size(report.memory_budget)
    );
    let disk = known(report.stored_bytes.map(|bytes| match &report.stored_from {
        Some(from) => format!("about {}, compressed like {from}", format::size(bytes)),
        None => format!("at most {}, before compression", format::size(bytes)),
    }));
    let fits = match (report.fits.problems.is_empty(), report.fits.disk) {
        (true, Some(_)) => "yes",
        (true, None) => "its memory: yes; its disk: not known",
        (false, _) => "no",
    };
    let time = match (report.seconds, &report.seconds_from) {
        (Some(seconds), Some(from)) => format!("about {}, as {from} took", format::duration(seconds)),
        _ => "not known before the first version".to_owned(),
    };
    let mut rows = Rows::new(&["predicted", ""], &[]);
    let lines = [
        ("rows", known(predicted.rows.map(format::count))),
        ("data", known(predicted.bytes.map(format::size))),
        ("through the shuffle", known(report.entries_bytes.map(format::size))),
        ("memory", memory),
        ("spill", spill),
        ("disk", disk),
        ("time", time),
        ("fits this machine", fits.to_owned()),
        ("threads", report.threads.to_string()),
    ];
    for (name, value) in lines {
        rows.add([name.to_owned(), value]);
    }
    rows.text()
}
