//! What `cutover run` shows when it is done.
//!
//! ```text
//! version 2 is live: readers of stores/events went from version 1 to 2
//!
//! stage    time    rows  rows/s
//! …
//!            actual  predicted
//! …
//! ```
//! Not for: `--json`, which prints the report itself.

use super::text_table::Rows;
use super::{Output, format};
use crate::error::Result;
use crate::report::{ClusterReport, InputReport, KafkaReport, ObjectTraffic, ResumeReport, RunOutcome, RunReport};

/// Digits of a digest that are shown, enough to distinguish versions.
const DIGEST_DIGITS: usize = 12;

/// The throughput of what went to or came from object stores, over the whole run.
fn on_average(report: &RunReport, traffic: &ObjectTraffic) -> String {
    let seconds: f64 = report.stages.iter().map(|stage| stage.seconds).sum();
    if seconds < 0.001 {
        return String::new();
    }
    format!(", {}/s on average", format::size((traffic.bytes as f64 / seconds) as u64))
}

/// Shows all of a report.
pub(super) fn show(report: &RunReport, output: &mut Output) -> Result<()> {
    output.say(outcome(report))?;
    if report.outcome == RunOutcome::AlreadyPublished {
        return report.kafka.as_ref().filter(|kafka| kafka.streamed).map_or(Ok(()), |it| output.line(kafka(it)));
    }
    output.line("")?;
    if !report.stages.is_empty() {
        output.line(stages(report))?;
        output.line("")?;
    }
    output.line(facts(report))?;
    output.line("")?;
    output.say(format!("read     {}", inputs(&report.inputs)))?;
    if let Some(reads) = &report.object_reads {
        output.line(format!("fetched  {}{}", format::object_traffic(reads), on_average(report, reads)))?;
    }
    output.say(format!(
        "stored   {} on disk, in {}, {}; digest {}, as of {}{}",
        format::size(report.stored_bytes),
        format::plural(report.files as u64, "file"),
        format::plural(u64::from(report.shards), "shard"),
        short(&report.digest),
        as_of(&report.as_of),
        if report.as_of_stated { "" } else { " by the clock" }
    ))?;
    if let Some(writes) = &report.object_writes {
        output.line(format!("sent     {}{}", format::object_traffic(writes), on_average(report, writes)))?;
    }
    if !report.params.is_empty() {
        output.line(format!("params   {}", crate::format::shown_params(&report.params)))?;
    }
    let query_spilled = report.memory.map_or(0, |memory| memory.query_spilled_bytes);
    let spilled: Vec<String> = [("the shuffle", report.spilled_bytes), ("the query", query_spilled)]
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(who, bytes)| format!("{} by {who}", format::size(bytes)))
        .collect();
    if !spilled.is_empty() {
        output.line(format!("spilled  {}", spilled.join(", ")))?;
    }
    if let Some(earlier) = &report.resumed {
        let ResumeReport { build, ranges, of_ranges } = earlier;
        output.line(format!(
            "resumed  the shuffle and {ranges} of {of_ranges} ranges, which build {build} had finished"
        ))?;
    }
    if let Some(why) = &report.not_resumed {
        output.line(format!("afresh   {why}"))?;
    }
    if let Some(told) = &report.kafka {
        output.line(kafka(told))?;
    }
    if let Some(cluster) = &report.cluster {
        output.line(on_cluster(cluster))?;
    }
    output.line(format!("checks   {}", checks(report)))?;
    for check in report.checks.iter().filter(|check| check.outcome != crate::format::CheckOutcome::Passed) {
        let word = match check.outcome {
            crate::format::CheckOutcome::Allowed => "failed, but allowed",
            crate::format::CheckOutcome::Failed => "failed",
            crate::format::CheckOutcome::Warned | crate::format::CheckOutcome::Passed => "warning",
        };
        output.line(format!("{word}: {}: expected {}, found {}", check.rule, check.expected, check.found))?;
    }
    for (check, compared) in report.checks.iter().filter_map(|check| Some((check, check.compared.as_ref()?))) {
        let left_out: String = compared.left_out.iter().map(|why| format!("; not compared: {why}")).collect();
        output.line(format!("changes  {}{left_out}", check.found))?;
    }
    for change in &report.moved {
        output.line(format!("moved    {}: {} -> {}", change.title(), change.from, change.to))?;
    }
    if !report.removed.is_empty() {
        output.line(format!("deleted  {}, which retention no longer keeps", format::versions(&report.removed)))?;
    }
    output.say(next(report))
}

/// What the machines of a cluster did.
fn on_cluster(report: &ClusterReport) -> String {
    let resumed = report.scan_tasks_resumed + report.map_tasks_resumed + report.build_tasks_resumed;
    let tasks = [(report.scan_tasks, "scan"), (report.map_tasks, "map"), (report.build_tasks, "build")];
    let tasks = tasks.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}"));
    let mut told = format!("cluster  {} tasks", tasks.collect::<Vec<_>>().join(", "));
    told.push_str(&format!(" on {}", format::plural(report.executors as u64, "executor")));
    if resumed > 0 {
        told.push_str(&format!(", of which an earlier run had done {resumed}"));
    }
    if report.retries > 0 {
        told.push_str(&format!("; {} had to be repeated", format::plural(report.retries as u64, "attempt")));
    }
    told.push_str(&format!("; the largest shard has {:.1} times the mean; slowest: ", report.skew));
    told + &report.slowest.join(", ")
}

/// The outcome of a run, as one word for programs.
pub(super) fn word(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Published | RunOutcome::AlreadyBuilt => "published",
        RunOutcome::AlreadyPublished => "unchanged",
        RunOutcome::Pinned => "not_published",
        RunOutcome::Staged => "staged",
    }
}

/// A useful next command.
pub(super) fn next_command(report: &RunReport) -> String {
    next_commands(report).swap_remove(0)
}

/// Useful next commands, the best first.
fn next_commands(report: &RunReport) -> Vec<String> {
    let store = format::shell_quote(&report.store.display().to_string());
    let of_version = format!("cutover scan {store} --version {} --limit 5", report.version);
    let versions = format!("cutover versions {store}");
    match (report.outcome, report.previous) {
        (RunOutcome::Pinned, _) => vec![format!("cutover unpin {store}"), of_version, versions],
        (RunOutcome::Staged, _) => vec![of_version, versions],
        (outcome, previous) => {
            let moved = outcome != RunOutcome::AlreadyPublished && previous.is_some();
            let back = moved.then(|| format!("cutover rollback {store}"));
            [format!("cutover scan {store} --limit 5"), versions].into_iter().chain(back).collect()
        }
    }
}

/// One sentence: what readers see now.
pub(super) fn outcome(report: &RunReport) -> String {
    let (version, store) = (report.version, report.store.display());
    let way = report.publish_with.as_deref().unwrap_or("cutover publish");
    match (report.outcome, report.previous) {
        (RunOutcome::AlreadyPublished, _) => format!(
            "already published as {version}: the same job over the same inputs; --rebuild builds it again anyway"
        ),
        (RunOutcome::Pinned, previous) => {
            let on = previous.map_or(String::new(), |previous| format!(" on version {previous}"));
            format!(
                "version {version} is complete, but {store} is pinned: readers stay{on}; after `cutover unpin {store}`, \
                 `{way}` takes them to it"
            )
        }
        (RunOutcome::Staged, previous) => {
            let on = previous.map_or("readers see nothing".to_owned(), |it| format!("readers stay on version {it}"));
            format!("version {version} is complete and staged: {on}; `{way}` takes them to it, within a week")
        }
        (RunOutcome::Published, None) => {
            format!("version {version} is live: it is the first that readers of {store} see")
        }
        (RunOutcome::Published, Some(previous)) => {
            format!("version {version} is live: readers of {store} went from version {previous} to {version}")
        }
        (RunOutcome::AlreadyBuilt, None) => {
            format!(
                "version {version} is live: an earlier run had built it; it is the first that readers of {store} see"
            )
        }
        (RunOutcome::AlreadyBuilt, Some(previous)) => format!(
            "version {version} is live: an earlier run had built it; readers of {store} went from version {previous} to \
             {version}"
        ),
    }
}

fn stages(report: &RunReport) -> String {
    let mut rows = Rows::new(&["stage", "time", "rows", "rows/s"], &[1, 2, 3]);
    for stage in &report.stages {
        let handled = if stage.rows == 0 { String::new() } else { format::count(stage.rows) };
        rows.add([
            stage.name.clone(),
            format::duration(stage.seconds),
            handled,
            format::rate(stage.rows, stage.seconds),
        ]);
    }
    let total: f64 = report.stages.iter().map(|stage| stage.seconds).sum();
    rows.add(["all".to_owned(), format::duration(total), format::count(report.rows), format::rate(report.rows, total)]);
    rows.text()
}

fn facts(report: &RunReport) -> String {
    let mut rows = Rows::new(&["", "actual", "predicted", "ratio"], &[1, 2, 3]);
    let predicted = report.predicted.as_ref();
    let mut add = |name: &str, show: fn(u64) -> String, actual: u64, predicted: Option<u64>| {
        let shown = predicted.map(show).unwrap_or_default();
        let ratio = predicted.map(|predicted| format::ratio(actual, predicted)).unwrap_or_default();
        rows.add([name.to_owned(), show(actual), shown, ratio]);
    };
    add("rows", format::count, report.rows, predicted.and_then(|predicted| predicted.rows));
    add("data", format::size, report.bytes, predicted.and_then(|predicted| predicted.bytes));
    add("memory", format::size, report.peak_memory, predicted.map(|predicted| predicted.memory));
    rows.text()
}

/// `events 200,000 rows in 4 files, 3.1 MiB · profiles …`.
fn inputs(inputs: &[InputReport]) -> String {
    let one = |input: &InputReport| {
        let rows = input.rows.map(|rows| format!("{} in ", format::plural(rows, "row"))).unwrap_or_default();
        let files = format::plural(input.files as u64, "file");
        format!("{} {rows}{files}, {}", input.name, format::size(input.bytes))
    };
    inputs.iter().map(one).collect::<Vec<_>>().join(" · ")
}

fn kafka(report: &KafkaReport) -> String {
    let partitions = format::plural(report.partitions as u64, "partition");
    let how = if report.streamed { "streamed to" } else { "already in" };
    format!("kafka    {} {how} {}, {partitions}; announced", format::plural(report.rows, "row"), report.topic)
}

fn checks(report: &RunReport) -> String {
    let of = |outcome| report.checks.iter().filter(|check| check.outcome == outcome).count();
    let passed = format!("{} passed", of(crate::format::CheckOutcome::Passed));
    let warned = of(crate::format::CheckOutcome::Warned);
    let failed = of(crate::format::CheckOutcome::Failed) + of(crate::format::CheckOutcome::Allowed);
    let warned = if warned > 0 { format!(", {warned} warned") } else { String::new() };
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    passed + &warned + &failed
}

fn next(report: &RunReport) -> String {
    format!("next     {}", next_commands(report).join(" · "))
}

/// The instant to the second, in UTC; unchanged if it cannot be parsed.
fn as_of(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), format::time)
}

fn short(digest: &str) -> &str {
    digest.get(..DIGEST_DIGITS).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: RunOutcome, previous: Option<u64>) -> RunReport {
        RunReport {
            dataset: "d".into(),
            store: "stores/d".into(),
            outcome,
            published: outcome.is_live(),
            publish_with: Some("cutover publish stores/d 2".into()),
            version: 2,
            previous,
            rows: 10,
            bytes: 100,
            disk_bytes: 90,
            stored_bytes: 90,
            files: 4,
            shards: 1,
            digest: "0123456789abcdef0123456789abcdef".into(),
            as_of: "2026-11-22T00:00:00Z".into(),
            as_of_stated: true,
            params: Default::default(),
            notes: Vec::new(),
            inputs: Vec::new(),
            stages: Vec::new(),
            checks: Vec::new(),
            predicted: None,
            peak_memory: 0,
            spilled_bytes: 0,
            memory: None,
            cluster: None,
            resumed: None,
            not_resumed: None,
            moved: Vec::new(),
            removed: Vec::new(),
            kafka: None,
            object_reads: None,
            object_writes: None,
        }
    }

    #[test]
    fn the_first_line_says_what_readers_see() {
        let line = |outcome, previous| super::outcome(&report(outcome, previous));
        assert_eq!(
            line(RunOutcome::Published, Some(1)),
            "version 2 is live: readers of stores/d went from version 1 to 2"
        );
        assert_eq!(
            line(RunOutcome::Published, None),
            "version 2 is live: it is the first that readers of stores/d see"
        );
        assert!(line(RunOutcome::AlreadyPublished, Some(2)).starts_with("already published as 2"));
        assert!(
            line(RunOutcome::Pinned, Some(1)).contains("readers stay on version 1; after `cutover unpin stores/d`")
        );
    }
}
