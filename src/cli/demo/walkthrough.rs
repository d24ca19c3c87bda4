//! The steps of the demo, and what it prints at each.
//!
//! A reader stays open from the first version on, as in a serving program: it follows the flip and the rollback without
//! being notified, and a snapshot taken before the flip keeps its version.

use std::sync::Arc;

use serde_json::json;

use super::made;
use super::workspace::{DATASET, Directory};
use crate::catalog::Catalog;
use crate::cli::{Output, format, scan, summary, versions};
use crate::demo::{Shape, generate};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::pipeline::{self, RunOptions};
use crate::progress::Progress;
use crate::publish;
use crate::report::RunReport;
use crate::resources::Resources;
use crate::serve::{Range, Reader, Version};

/// Entries shown after the first run.
const SHOWN: usize = 3;

/// Runs all steps.
pub(super) fn run(directory: &Directory, shape: &Shape, output: &mut Output) -> Result<()> {
    let mut story = Story { directory, output, steps: 0 };
    directory.prepare()?;

    let dir = shell(&directory.path().display().to_string());
    let sizes = format!("--events {} --profiles {}", shape.events, shape.profiles);
    story.step("sample data", &format!("cutover demo --generate-only --dir {dir} {sizes}"))?;
    generate(directory.path(), shape)?;
    story.say(&format!("{} below {dir}", made(shape)))?;

    story.step("the main job: every event joined with its user's profile, by user and time", &story.run_command())?;
    let first = story.run()?;
    story.summary(&first)?;

    let reader = Reader::open(directory.store())?;
    story
        .step("reads: a reader opens version 1 and stays open", &story.command("scan", &format!("--limit {SHOWN}")))?;
    story.entries(&reader.snapshot())?;

    let changed = Shape { day: shape.day + 1, ..shape.clone() };
    story.step("a day later: new events, some users changed; the job runs again", &story.run_command())?;
    generate(directory.path(), &changed)?;
    let before = reader.snapshot();
    let second = story.run()?;
    story.say(&summary::outcome(&second))?;

    let after = reader.refresh();
    if let Some(error) = reader.last_error() {
        return Err(Error::internal("the open reader could not follow").because(error));
    }
    let entry = changed_entry(&before, &after)?;
    story.flip(&before, &after, entry.as_ref())?;

    story.step("all versions are still there", &story.command("versions", ""))?;
    if !story.output.is_json() {
        let catalog = Catalog::open(directory.store())?;
        versions::show(&catalog, &catalog.read()?, story.output)?;
    }

    story.step("back again, in an instant", &story.command("rollback", ""))?;
    let back = publish::rollback(&Catalog::open(directory.store())?, None, Progress::auto())?;
    let rolled_back = reader.refresh();
    story.say(&format!("readers went from version {} back to {}", after.number(), back.version))?;
    if let Some(entry) = &entry {
        let value = value_of(&rolled_back, &entry.key)?;
        story.say(&format!("the open reader now sees version {}: {value}", rolled_back.number()))?;
    }

    let shown = entry.map(|entry| json!({"key": entry.name, "before": entry.before, "after": entry.after}));
    story.end(&json!({
        "dir": directory.path(),
        "store": directory.store(),
        "runs": [first, second],
        "flip": shown,
        "rolled_back_to": back.version,
    }))
}

/// An entry whose value differs between two versions.
struct Changed {
    key: Vec<u8>,
    name: String,
    before: String,
    after: String,
}

struct Story<'a> {
    directory: &'a Directory,
    output: &'a mut Output,
    steps: usize,
}

impl Story<'_> {
    /// Starts a step: prints its title and the command that does the same.
    fn step(&mut self, what: &str, command: &str) -> Result<()> {
        self.steps += 1;
        let gap = if self.steps > 1 { "\n" } else { "" };
        self.say(&format!("{gap}{}. {what}\n   $ {command}\n", self.steps))?;
        self.output.flush()
    }

    fn say(&mut self, text: &str) -> Result<()> {
        if self.output.is_json() { Ok(()) } else { self.output.line(text) }
    }

    fn run(&self) -> Result<RunReport> {
        let job = Job::load(&self.directory.job(), &Default::default())?;
        let mut options = RunOptions::new(Resources::new(None, None)?);
        if options.progress == Progress::Lines {
            options.progress = Progress::Silent;
        }
        pipeline::run(&job, &options)
    }

    fn summary(&mut self, report: &RunReport) -> Result<()> {
        if self.output.is_json() { Ok(()) } else { summary::show(report, self.output) }
    }

    /// Shows the first entries of a version.
    fn entries(&mut self, version: &Version) -> Result<()> {
        for entry in version.scan(&Range::all()).take(SHOWN) {
            let (key, value) = entry?;
            let key = scan::key_text(&version.key_schema().to_json(&key)?);
            self.say(&format!("{key}  {}", version.value_schema().to_text(&value)?))?;
        }
        Ok(())
    }

    /// Shows that the open reader followed, and that the earlier snapshot did not change.
    fn flip(&mut self, before: &Arc<Version>, after: &Arc<Version>, entry: Option<&Changed>) -> Result<()> {
        let name = entry.map(|entry| entry.name.as_str()).unwrap_or_default();
        self.step("the reader that stayed open sees the flip", &self.command("get", &shell(name)))?;
        let Some(entry) = entry else {
            return self.say(&format!("it went from version {} to {}", before.number(), after.number()));
        };
        self.say(&format!("a request begun before the flip keeps version {}: {}", before.number(), entry.before))?;
        self.say(&format!("the next request gets version {}: {}", after.number(), entry.after))
    }

    fn run_command(&self) -> String {
        format!("cutover run {}", shell(&self.directory.job().display().to_string()))
    }

    /// A command about the demo's store.
    fn command(&self, name: &str, more: &str) -> String {
        let store = self.directory.store();
        format!("cutover {name} {} {more}", shell(&store.display().to_string())).trim_end().to_owned()
    }

    fn end(&mut self, document: &serde_json::Value) -> Result<()> {
        self.output.document(document)?;
        if self.output.is_json() {
            return Ok(());
        }
        let jobs = self.directory.path().join("jobs");
        let about = |command: &str, job: &str| {
            format!("cutover {command} {}", shell(&jobs.join(format!("{job}.toml")).display().to_string()))
        };
        let ideas = [
            (self.command("publish", "2 --allow rolled-back"), "version 2 after all"),
            (self.command("verify", "--depth full"), "read every entry back"),
            (self.command("log", ""), "who did what"),
            (about("plan", DATASET), "what a run would do"),
            (about("run", "views_by_age"), "counts by page and age"),
            ("cutover init PATH".to_owned(), "a job for your own files"),
        ];
        let width = ideas.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
        self.output.line("\nWhat to try next")?;
        ideas.iter().try_for_each(|(command, what)| self.output.line(format!("   $ {command:<width$}  {what}")))
    }
}

/// The first key that two versions both have with different values.
fn changed_entry(before: &Version, after: &Version) -> Result<Option<Changed>> {
    let (mut old, mut new) = (before.scan(&Range::all()), after.scan(&Range::all()));
    let (mut left, mut right) = (old.next().transpose()?, new.next().transpose()?);
    while let (Some((old_key, old_value)), Some((new_key, new_value))) = (&left, &right) {
        match old_key.cmp(new_key) {
            std::cmp::Ordering::Less => left = old.next().transpose()?,
            std::cmp::Ordering::Greater => right = new.next().transpose()?,
            std::cmp::Ordering::Equal if old_value == new_value => {
                left = old.next().transpose()?;
                right = new.next().transpose()?;
            }
            std::cmp::Ordering::Equal => {
                return Ok(Some(Changed {
                    name: scan::key_text(&after.key_schema().to_json(new_key)?),
                    before: before.value_schema().to_text(old_value)?,
                    after: after.value_schema().to_text(new_value)?,
                    key: new_key.clone(),
                }));
            }
        }
    }
    Ok(None)
}

fn value_of(version: &Version, key: &[u8]) -> Result<String> {
    let value = version.get(key)?;
    value.map_or(Ok("absent".to_owned()), |value| version.value_schema().to_text(&value))
}

fn shell(word: &str) -> String {
    format::shell_quote(word)
}
