//! `cutover verify-crash`: kills a job at each of its durable steps in a sandbox and shows what is left each time.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::text_table::Rows;
use super::{Output, Verdict, format, notice, parsers};
use crate::crash::{self, Kill, Options, ReaderView, Report};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::progress::Progress;
use crate::resources::Resources;
use crate::shutdown;

const EXAMPLES: &str = "\
Examples:
  cutover verify-crash jobs/views_by_age.toml
  cutover verify-crash jobs/views_of_day.toml --set date=2026-11-22 --memory 256MiB
  cutover verify-crash jobs/views_by_age.toml --step build.table --step current
  cutover verify-crash jobs/views_by_age.toml --json > crashes.json

--step takes a step or a stage; an unknown one lists all of them, with their meanings.
A step that occurs at most 4 times is killed each time, others the first, middle and last time.
Each kill needs a rerun: expect about two runs of the job for each line of the table.";

/// Kill a job at each of its durable steps, and check what is left
///
/// Runs the job repeatedly in a sandbox next to its store, kills it at each step, and shows what a reader saw after it
/// (old, new or broken), whether the rerun succeeded with the same entries, and what gc left. The job's own store is
/// never touched, and nothing is streamed to Kafka. The exit code is 1 when anything is broken.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    job: PathBuf,
    /// Give the job's parameter a value; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parsers::set)]
    set: Vec<(String, String)>,
    /// Memory for each run, such as 256MiB; a small budget makes it spill
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    memory: Option<u64>,
    /// Threads for each run; one per processor if left out
    #[arg(long, value_name = "N", value_parser = parsers::number, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Only this step, or all steps of this stage; can be repeated
    #[arg(long, value_name = "STEP")]
    step: Vec<String>,
    /// Directory in which the sandbox is created; the one of the job's store if left out
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        // Only to report invalid arguments before any work.
        Resources::new(self.threads, self.memory)?;
        let job = Job::load(&self.job, &parsers::sets(self.set.clone())?)?;
        let program = std::env::current_exe()
            .map_err(|error| Error::unavailable("cannot find this program to start it again").because(error))?;
        let directory = self.dir.clone().unwrap_or_else(|| existing_above(&job.store));
        let options = Options { program, arguments: self.arguments(), directory, steps: self.step };
        if job.kafka.is_some() {
            notice("this job streams to Kafka; in the sandbox it does not, so those steps are left out");
        }
        let parts = Progress::auto().parts("kills");
        let report = crash::verify(&options, |total, kill| parts.done(total, &line(kill)));
        drop(parts);
        let in_effect = || "stopped: the sandbox is removed, and the job's own store was never touched".to_owned();
        let report = report.map_err(|error| shutdown::explain_stop(error, in_effect))?;
        output.document(&json!({
            "job": self.job,
            "ok": report.is_sound(),
            "digest": report.digest,
            "kafka_left_out": job.kafka.is_some(),
            "kills": report.kills,
            "not_reached": report.not_reached,
        }))?;
        if !output.is_json() {
            show(&report, output)?;
        }
        Ok(if report.is_sound() { Verdict::Yes } else { Verdict::No })
    }

    /// The arguments of `cutover run`.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: String| arguments.extend([name.into(), value.into()]);
        self.set.iter().for_each(|(name, value)| flag("--set", format!("{name}={value}")));
        self.memory.iter().for_each(|memory| flag("--memory", format!("{memory}B")));
        self.threads.iter().for_each(|threads| flag("--threads", threads.to_string()));
        arguments.extend(["--".into(), self.job.clone().into()]);
        arguments
    }
}

/// The nearest existing directory above a store: on the same file system, and nothing has to be created for it.
fn existing_above(store: &Path) -> PathBuf {
    let above = store.ancestors().skip(1).find(|directory| directory.is_dir());
    above.filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// One kill, as a line of text.
fn line(kill: &Kill) -> String {
    let Kill { step, at, of, .. } = kill;
    match kill.problems.as_slice() {
        [] => format!("{step}, {at} of {of}: readers saw the {} version, the rerun is the same", kill.sees.name()),
        problems => format!("{step}, {at} of {of}: {}", problems.join("; ")),
    }
}

fn show(report: &Report, output: &mut Output) -> Result<()> {
    let mut rows = Rows::new(&["step", "time", "readers see", "rerun", "entries", "gc left"], &[]);
    for kill in &report.kills {
        let sees = kill.sees.name();
        rows.add([
            kill.step.to_owned(),
            format!("{} of {}", kill.at, kill.of),
            if kill.killed { sees.to_owned() } else { format!("{sees} (not killed)") },
            if kill.rerun { "ok" } else { "failed" }.to_owned(),
            if kill.same_digest { "the same" } else { "others" }.to_owned(),
            if kill.left.is_empty() { "nothing".to_owned() } else { format::plural(kill.left.len() as u64, "path") },
        ]);
    }
    if !report.kills.is_empty() {
        output.line(rows.text())?;
    }
    if !report.not_reached.is_empty() {
        output.line(format!("this job does not reach {}", report.not_reached.join(", ")))?;
    }
    for kill in report.kills.iter().filter(|kill| !kill.problems.is_empty()) {
        output.line(format!("{}, {} of {}: {}", kill.step, kill.at, kill.of, kill.problems.join("; ")))?;
    }
    output.line(sentence(report))
}

/// The summary, as one sentence.
fn sentence(report: &Report) -> String {
    let count = |is: fn(&Kill) -> bool| report.kills.iter().filter(|kill| is(kill)).count() as u64;
    let kills = format::plural(count(|kill| kill.killed), "kill");
    let broken = count(|kill| !kill.problems.is_empty());
    if broken > 0 {
        return format!("{kills}; after {broken} of them something was wrong: please report the lines above");
    }
    format!(
        "{kills}: readers saw the whole old version after {} of them and the whole new one after {}; every rerun gave \
         the same entries, and gc left nothing",
        count(|kill| kill.killed && kill.sees == ReaderView::Old),
        count(|kill| kill.killed && kill.sees == ReaderView::New)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(sees: ReaderView, problems: &[&str]) -> Kill {
        Kill {
            step: "build.table",
            meaning: "a table is finished",
            at: 1,
            of: 2,
            killed: true,
            sees,
            rerun: true,
            same_digest: true,
            left: Vec::new(),
            problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
        }
    }

    fn report(kills: Vec<Kill>) -> Report {
        Report { digest: "d".into(), kills, not_reached: Vec::new() }
    }

    #[test]
    fn a_broken_kill_is_counted_and_described() {
        let sound = report(vec![kill(ReaderView::Old, &[]), kill(ReaderView::New, &[])]);
        assert!(sound.is_sound());
        assert!(sentence(&sound).starts_with("2 kills: readers saw the whole old version after 1 "));
        let broken =
            report(vec![kill(ReaderView::Old, &[]), kill(ReaderView::Broken("lost".into()), &["readers: lost"])]);
        assert!(!broken.is_sound());
        assert!(sentence(&broken).starts_with("2 kills; after 1 of them"));
        assert_eq!(line(&broken.kills[1]), "build.table, 1 of 2: readers: lost");
    }

    #[test]
    fn the_sandbox_is_created_in_the_nearest_existing_directory() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(existing_above(&directory.path().join("stores/views")), directory.path());
        assert_eq!(existing_above(Path::new("views")), Path::new("."));
    }
}
