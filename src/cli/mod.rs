//! The command line: parses arguments, calls the library and shows the results.
//!
//! ```text
//! arguments ─▶ one `Args` struct per command (this directory's files) ─▶ the library ─▶ Output: text or JSON
//! ```
//! A command is a struct of its arguments, whose doc comments are the help, and a `run` that calls the library and
//! shows the result. Each has its own file. Results go to standard output, everything else
//! to standard error. Only this directory prints results; `main.rs` sets exit codes.
//!
//! Not for: decisions about data or stores, which the library makes.

mod allow;
mod command_report;
mod completions;
mod consume;
mod cron;
mod demo;
#[cfg(feature = "cluster")]
mod executor;
mod flip;
mod format;
mod gc;
mod get;
mod init;
mod k8s;
mod log;
mod logging;
mod outcome;
mod output;
mod parsers;
mod path;
mod pin;
mod plan;
mod publish;
mod pull;
mod result_file;
mod rollback;
mod run;
mod scan;
mod serve;
mod show;
mod summary;
mod text_table;
mod verify;
mod verify_crash;
mod version;
mod versions;
mod wait;

use std::io::Write;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub use self::outcome::{Ending, report};
use self::output::Output;
pub use self::output::is_output_closed;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::Current;
use crate::job::suggest;
use crate::objects::Location;
use crate::serve::{Store, Version};
use crate::shutdown;
use crate::stderr;

const EXAMPLES: &str = "\
Examples:
  cutover demo                                  see a whole cycle on sample data
  cutover init data/events/ data/profiles/      write a job for your own files
  cutover run jobs/events.toml                  build, check and publish a version
  cutover get stores/events 42                  read a key
  cutover rollback stores/events                go back to the version before

Exit codes:
  0 done                        4 unavailable: run it again    7 a check stopped the publish
  1 the answer is no            5 locked, or pinned            70 a bug
  2 wrong job file or flags     6 stored data is damaged       130, 143 interrupted
  3 wrong input data";

/// Builds RocksDB databases from data files with SQL, and switches readers to new versions atomically.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, long_version = version::long(), after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Change to this directory before doing anything else; with a URL, look for the job's data below it
    #[arg(short = 'C', value_name = "DIR", global = true, help_heading = "Global options")]
    directory: Option<PathBuf>,
    /// Log more to standard error: -v each action, -vv details, -vvv everything; RUST_LOG overrides it
    #[arg(short, action = ArgAction::Count, global = true, help_heading = "Global options")]
    verbose: u8,
    /// Print one JSON document instead of text, whatever the outcome
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    /// Write the JSON document to this file, whatever the outcome; an earlier one is removed first
    #[arg(long, value_name = "FILE", global = true, help_heading = "Global options")]
    result: Option<PathBuf>,
    /// Format of the lines on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t, global = true, help_heading = "Global options")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// The format of the lines on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Plain text
    #[default]
    Text,
    /// One JSON object per line, with time, level, message and fields
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Run(run::Args),
    Plan(plan::Args),
    Versions(versions::Args),
    Show(show::Args),
    Path(path::Args),
    Get(get::Args),
    Scan(scan::Args),
    Publish(publish::PublishArgs),
    Rollback(rollback::RollbackArgs),
    Pin(pin::PinArgs),
    Unpin(pin::UnpinArgs),
    Gc(gc::GcArgs),
    Verify(verify::Args),
    VerifyCrash(verify_crash::Args),
    Log(log::Args),
    Consume(consume::Args),
    Pull(pull::Args),
    Serve(serve::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Man(completions::ManArgs),
    #[cfg(feature = "cluster")]
    Executor(executor::Args),
}

/// A memory budget below this is short: 1 GiB.
const SHORT_MEMORY: u64 = 1 << 30;

/// The result of a command that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done, or the answer is yes.
    Yes,
    /// The answer is no: a key is absent, a version is damaged.
    No,
    /// The version is built, but a pin keeps readers off it.
    Held,
}

/// Arguments that do not run a command: a request for help, or invalid arguments.
pub struct Refused {
    error: clap::Error,
    json: bool,
}

impl Refused {
    /// Prints the help or the error. Returns the error of invalid arguments; none for a request for help.
    ///
    /// # Errors
    /// `Unavailable` when standard output cannot be written.
    pub fn print(self) -> Result<Option<(Error, Ending)>> {
        if !self.error.use_stderr() {
            let printed = self.error.print().and_then(|()| std::io::stdout().flush());
            return printed.map(|()| None).map_err(output::failed);
        }
        let text = self.error.to_string();
        let message = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default().trim().to_owned();
        if stderr::is_json() {
            stderr::note("error", &message);
        } else {
            let _ = self.error.print();
        }
        let command = named();
        Ok(Some((
            Error::invalid(message),
            Ending::new(self.json, result_file::among_arguments(), &command, None, None),
        )))
    }
}

/// The command that the arguments of this process name, whether they parse or not; empty if none.
fn named() -> String {
    let known = Cli::command();
    std::env::args().skip(1).find(|word| known.find_subcommand(word).is_some()).unwrap_or_default()
}

impl Cli {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    /// What to print instead of running a command.
    pub fn read_arguments() -> std::result::Result<(Self, Ending), Refused> {
        let json = has_flag("--json");
        if has_flag("--log-format=json") || has_pair("--log-format", "json") {
            stderr::as_json();
        }
        let refused = |error| Refused { error: suggested(error), json };
        let matches = Self::command().try_get_matches().map_err(refused)?;
        let cli = Self::from_arg_matches(&matches).map_err(|error| Refused { error, json })?;
        let (name, of) = matches.subcommand().unwrap_or(("", &matches));
        let ending = Ending::new(cli.json, cli.result.clone(), name, path_of(of, "job"), store_of(of));
        Ok((cli, ending))
    }

    /// Whether the command's memory budget is so small that it should return unused memory early.
    pub fn memory_is_short(&self) -> bool {
        match &self.command {
            Command::Run(args) => args.memory() < SHORT_MEMORY,
            Command::Plan(args) => args.memory() < SHORT_MEMORY,
            Command::Serve(args) => args.is_bounded(),
            _ => false,
        }
    }
}

/// The store that a command's arguments name, if it is one.
fn store_of(matches: &ArgMatches) -> Option<PathBuf> {
    let several = matches.try_get_many::<String>("stores").ok().flatten();
    path_of(matches, "store").or_else(|| match several?.collect::<Vec<_>>().as_slice() {
        [store] => Some(store.split_once('=').map_or(store.as_str(), |(_, path)| path).into()),
        _ => None,
    })
}

/// A path that a command's arguments name.
fn path_of(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    matches.try_get_one::<PathBuf>(name).ok().flatten().cloned()
}

/// Whether a flag is among the arguments; works before they are parsed, and for invalid ones.
fn has_flag(flag: &str) -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == flag)
}

fn has_pair(flag: &str, value: &str) -> bool {
    let words: Vec<_> = std::env::args_os().skip(1).take_while(|word| word != "--").collect();
    words.windows(2).any(|pair| pair[0] == flag && pair[1] == value)
}

/// The same error with the command that was likely meant: clap does not recognize transposed letters.
fn suggested(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::Strings(names)) = error.get(ContextKind::ValidSubcommand) {
        let cli = Cli::command();
        let is_hidden = |name: &String| cli.find_subcommand(name).is_some_and(clap::Command::is_hide_set);
        let shown = names.iter().filter(|name| !is_hidden(name)).cloned().collect();
        error.insert(ContextKind::ValidSubcommand, ContextValue::Strings(shown));
    }
    let typed = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(typed))) => typed.clone(),
        _ => return error,
    };
    let cli = Cli::command();
    if error.get(ContextKind::SuggestedSubcommand).is_none()
        && let Some(near) = suggest::nearest(&typed, cli.get_subcommands().map(clap::Command::get_name))
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![near.to_owned()]));
    }
    error
}

/// Runs a command, which reports its result to `ending`.
///
/// # Errors
/// As the library's function behind the command. An error for which [`is_output_closed`] holds is no failure: the
/// reader of standard output closed it.
pub fn run(mut cli: Cli, ending: &Ending) -> Result<Verdict> {
    logging::start(cli.verbose)?;
    failpoint::arm()?;
    ending.prepare()?;
    if let Some(root) = cli.directory.as_ref().and_then(|root| root.to_str()).filter(|root| root.contains("://")) {
        cli.command.below(Location::parse(root)?.to_string())?;
    } else if let Some(directory) = &cli.directory {
        std::env::set_current_dir(directory).map_err(|error| {
            Error::invalid(format!("cannot change to the directory {}", directory.display())).because(error)
        })?;
    }
    if cli.command.has_safe_points() {
        shutdown::listen()?;
    }
    let mut output = Output::stdout(cli.json, cli.verbose > 0, ending.command_report());
    let answer = cli.command.run(&mut output);
    let flushed = output.flush();
    failpoint::write_hits()?;
    answer.and_then(|answer| flushed.map(|()| answer))
}

impl Command {
    /// Looks for a job's data below a URL.
    fn below(&mut self, root: String) -> Result<()> {
        match self {
            Self::Init(args) => args.below(&root),
            Self::Run(args) => {
                args.below(root);
                Ok(())
            }
            Self::Plan(args) => {
                args.below(root);
                Ok(())
            }
            _ => Err(Error::invalid(format!("-C {root} is a URL, which only init, plan and run take"))),
        }
    }

    /// Whether it stops at safe points after a signal; any other command ends immediately, which loses nothing.
    fn has_safe_points(&self) -> bool {
        matches!(
            self,
            Self::Run(_)
                | Self::Plan(_)
                | Self::Publish(_)
                | Self::Rollback(_)
                | Self::Pin(_)
                | Self::Unpin(_)
                | Self::Gc(_)
                | Self::Consume(_)
                | Self::Pull(_)
                | Self::Serve(_)
                | Self::VerifyCrash(_)
        )
    }

    fn run(self, output: &mut Output) -> Result<Verdict> {
        match self {
            Self::Init(args) => args.run(output),
            Self::Run(args) => args.run(output),
            Self::Plan(args) => args.run(output),
            Self::Versions(args) => args.run(output),
            Self::Show(args) => args.run(output),
            Self::Path(args) => args.run(output),
            Self::Get(args) => args.run(output),
            Self::Scan(args) => args.run(output),
            Self::Publish(args) => args.run(output),
            Self::Rollback(args) => args.run(output),
            Self::Pin(args) => args.run(output),
            Self::Unpin(args) => args.run(output),
            Self::Gc(args) => args.run(output),
            Self::Verify(args) => args.run(output),
            Self::VerifyCrash(args) => args.run(output),
            Self::Log(args) => args.run(output),
            Self::Consume(args) => args.run(output),
            Self::Pull(args) => args.run(output),
            Self::Serve(args) => args.run(output),
            Self::Demo(args) => args.run(output),
            Self::Completions(args) => args.run(output),
            Self::Man(args) => args.run(output),
            #[cfg(feature = "cluster")]
            Self::Executor(args) => args.run(output),
        }
    }
}

/// Opens a version of a store: the one asked for, or the one readers see.
fn open_version(store: &std::path::Path, version: Option<u64>) -> Result<Version> {
    let open = Store::open(store)?;
    match version {
        Some(version) => open.version(version),
        None => open.current()?.ok_or_else(|| nothing_published(store)),
    }
}

/// The number of a version of a store: the one asked for if it exists, or the one readers see.
fn version_number(store: &std::path::Path, current: &Current, version: Option<u64>) -> Result<u64> {
    match version {
        Some(version) if current.versions.contains_key(&version) => Ok(version),
        Some(version) => Err(Error::invalid(format!(
            "there is no version {version} in {0}; `cutover versions {0}` lists those that exist",
            store.display()
        ))),
        None => current.current.ok_or_else(|| nothing_published(store)),
    }
}

fn nothing_published(store: &std::path::Path) -> Error {
    Error::unavailable(format!(
        "nothing is published in the store at {0}: `cutover run JOB.toml` publishes a version, `cutover versions {0}` \
         lists those that wait",
        store.display()
    ))
}

/// Prints a notice on standard error.
fn notice(message: &str) {
    stderr::note("info", message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_has_examples() {
        let cli = Cli::command();
        for command in cli.get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no sentence");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n  cutover "), "{name} has no examples");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {} has no help", argument.get_id());
            }
        }
    }

    #[test]
    fn a_version_to_read_does_not_collide_with_the_version_of_the_program() {
        let cli = Cli::try_parse_from(["cutover", "get", "store", "key", "--version", "2", "--json"]).unwrap();
        assert!(cli.json);
        assert!(Cli::try_parse_from(["cutover", "get", "store", "-5", "--json"]).unwrap().json, "a key below zero");
        assert!(Cli::try_parse_from(["cutover", "--version"]).is_err_and(|shown| shown.exit_code() == 0));
        assert!(Cli::try_parse_from(["cutover", "run"]).is_err_and(|wrong| wrong.exit_code() == 2));
    }
}
