//! Kills a job at each of its durable steps and checks what is left each time.
//!
//! ```text
//! sandbox ─▶ a run: the old version ─▶ a traced run: its steps, the digest
//!         ─▶ for each step:  killed run ─▶ what does a reader see? ─▶ rerun: the same digest? ─▶ gc: is anything left?
//! ```
//! The runs are processes of this same program with a failpoint armed, in a separate store next to the user's; that
//! store keeps one version, so that every run deletes one, and streams nothing to Kafka. Old and new are builds of the
//! same job over the same inputs: they differ in their number, and each is read entirely, entry by entry.
//!
//! | file | what it contains |
//! |---|---|
//! | `sandbox` | the directory for the store and all output |
//! | `child` | child processes of the program |
//! | `observation` | what a reader sees |
//!
//! Not for: power cuts, which lose what was not synced; a killed process loses nothing that it passed to the kernel.

mod child;
mod observation;
mod sandbox;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;

use self::child::{Child, Ended};
pub use self::observation::ReaderView;
use self::sandbox::Sandbox;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::failpoint::{STEPS, Step};

/// A step that happens at most this many times is killed every time; any other the first, the middle and the last time.
const FEW: u64 = 4;

/// What is killed, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program.
    pub program: PathBuf,
    /// The arguments of `cutover run`: the job file and its flags.
    pub arguments: Vec<OsString>,
    /// Existing directory in which the sandbox is created.
    pub directory: PathBuf,
    /// Names of steps, or of their stages; empty for all that the job reaches.
    pub steps: Vec<String>,
}

/// The results of all kills.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The digest of every uninterrupted run.
    pub digest: String,
    /// Each kill, in the order of the steps.
    pub kills: Vec<Kill>,
    /// Requested steps that the job does not reach.
    pub not_reached: Vec<&'static str>,
}

/// The result of one kill.
#[derive(Clone, Debug, Serialize)]
pub struct Kill {
    /// The step.
    pub step: &'static str,
    /// What had just happened there.
    pub meaning: &'static str,
    /// At which occurrence of the step, from 1.
    pub at: u64,
    /// How often an uninterrupted run reaches it.
    pub of: u64,
    /// Whether the run reached it and was killed; the number of occurrences may differ between runs.
    pub killed: bool,
    /// What a reader saw afterwards.
    pub sees: ReaderView,
    /// Whether the same command, run again, succeeded.
    pub rerun: bool,
    /// Whether readers then saw the same entries as after an uninterrupted run.
    pub same_digest: bool,
    /// What `gc` left although nothing references it: paths in the store.
    pub left: Vec<PathBuf>,
    /// What is wrong; empty if nothing is.
    pub problems: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.kills.iter().all(|kill| kill.problems.is_empty())
    }
}

/// Kills the job at each step. Calls `on_kill` after each kill, with the number of kills in all.
///
/// # Errors
/// `Invalid` for an unknown step, for a directory that does not exist, and for a job that fails even uninterrupted;
/// `Input` when two uninterrupted runs give different entries; `Unavailable` when the disk or the system fails;
/// `Stopped` after a signal. The sandbox is removed in every case.
pub fn verify(options: &Options, mut on_kill: impl FnMut(usize, &Kill)) -> Result<Report> {
    let wanted = wanted(&options.steps)?;
    let sandbox = Sandbox::create(&options.directory)?;
    let child = Child::new(options, &sandbox);
    let digest = digest_of(&child.rerun()?)?;
    let (traced, counts) = child.traced()?;
    let again = digest_of(&traced)?;
    if again != digest {
        return Err(Error::input(format!(
            "two runs of this job over the same inputs give different entries (digests {digest} and {again}), so a run \
             after a kill cannot be compared with one without: does its query use a random number or the time?"
        )));
    }
    let of = |step: &Step| counts.get(step.name).copied().unwrap_or(0);
    let plan: Vec<(Step, u64, u64)> =
        wanted.iter().flat_map(|step| times(of(step)).into_iter().map(|at| (*step, at, of(step)))).collect();
    let mut kills = Vec::with_capacity(plan.len());
    for (step, at, of) in &plan {
        let kill = kill(&child, step, (*at, *of), &digest)?;
        on_kill(plan.len(), &kill);
        if !kill.problems.is_empty() {
            // A broken store must not affect the result of the next kill.
            sandbox.clear()?;
            digest_of(&child.rerun()?).map_err(|error| error.during(kill.problems.join("; ")))?;
        }
        kills.push(kill);
    }
    let asked = wanted.iter().filter(|_| !options.steps.is_empty());
    let not_reached = asked.filter(|step| of(step) == 0).map(|step| step.name).collect();
    Ok(Report { digest, kills, not_reached })
}

/// The requested steps, by name or by stage.
fn wanted(names: &[String]) -> Result<Vec<Step>> {
    let is = |step: &Step, name: &str| {
        step.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some(unknown) = names.iter().find(|name| !STEPS.iter().any(|step| is(step, name))) {
        let all: Vec<String> = STEPS.iter().map(|step| format!("{:<20}{}", step.name, step.meaning)).collect();
        return Err(Error::invalid(format!("there is no step {unknown:?}; the steps are\n  {}", all.join("\n  "))));
    }
    let asked = |step: &&Step| names.is_empty() || names.iter().any(|name| is(step, name));
    Ok(STEPS.iter().filter(asked).copied().collect())
}

/// The occurrences at which a step is killed that happens `count` times.
fn times(count: u64) -> Vec<u64> {
    if count <= FEW { (1..=count).collect() } else { vec![1, count.div_ceil(2), count] }
}

/// Kills a run once, and checks the store.
fn kill(child: &Child<'_>, step: &Step, (at, of): (u64, u64), digest: &str) -> Result<Kill> {
    let catalog = Catalog::open(child.store())?;
    let old = catalog.read()?.current.unwrap_or(0);
    let killed = child.killed_at(step.name, at)?;
    let mut problems = Vec::new();
    if !killed.is_killed() && !killed.succeeded() {
        problems.push(format!("the run ended before it was killed: {}", killed.error_output()));
    }
    let sees = observation::observe(child.store(), old, digest);
    if let ReaderView::Broken(problem) = &sees {
        problems.push(format!("readers: {problem}"));
    }
    let rerun = child.rerun()?;
    let same_digest = rerun.succeeded() && rerun.digest().as_deref() == Some(digest) && {
        let after = observation::observe(child.store(), old, digest);
        matches!(after, ReaderView::New)
    };
    if !rerun.succeeded() {
        problems.push(format!("the rerun failed: {}", rerun.error_output()));
    } else if !same_digest {
        problems.push("after the rerun readers do not see what an uninterrupted run gives".to_owned());
    }
    let gc = child.gc()?;
    let left = match (gc.succeeded(), catalog.unreferenced()) {
        (true, Ok(left)) => left,
        (true, Err(error)) => {
            problems.push(format!("after gc the store cannot be scanned: {}", error.chain().join(": ")));
            Vec::new()
        }
        (false, _) => {
            problems.push(format!("gc failed: {}", gc.error_output()));
            Vec::new()
        }
    };
    if let Some(first) = left.first() {
        problems.push(format!("gc left {} unreferenced paths, such as {}", left.len(), first.display()));
    }
    let (killed, rerun) = (killed.is_killed(), rerun.succeeded());
    Ok(Kill { step: step.name, meaning: step.meaning, at, of, killed, sees, rerun, same_digest, left, problems })
}

/// The digest of an uninterrupted run.
fn digest_of(ended: &Ended) -> Result<String> {
    match ended.digest().filter(|_| ended.succeeded()) {
        Some(digest) => Ok(digest),
        None => Err(Error::invalid(format!(
            "the job does not run in the sandbox even uninterrupted, so there is nothing to kill: {}",
            ended.error_output()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_steps_are_killed_every_time_and_frequent_ones_three_times() {
        assert_eq!(times(0), [] as [u64; 0]);
        assert_eq!(times(3), [1, 2, 3]);
        assert_eq!(times(5), [1, 3, 5]);
        assert_eq!(times(1000), [1, 500, 1000]);
    }

    #[test]
    fn steps_are_selected_by_name_or_by_stage() {
        let names = |asked: &[&str]| -> Vec<&str> {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            wanted(&asked).unwrap().iter().map(|step| step.name).collect()
        };
        assert_eq!(names(&[]).len(), STEPS.len());
        assert_eq!(names(&["current"]), ["current.decided", "current.replaced"]);
        assert_eq!(names(&["log.append", "store"]), ["store.directories", "log.append"]);
        let error = wanted(&["curren".to_owned()]).unwrap_err();
        assert!(error.message().contains("\"curren\"") && error.message().contains("current.replaced"), "{error}");
    }
}
