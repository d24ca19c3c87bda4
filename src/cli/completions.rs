//! `cutover completions` and the hidden `cutover man`: files for shells and for `man`, from the definition of the
//! command line.
//!
//! Not for: the text itself, which is in the doc comments of each command.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Output, Verdict};
use crate::error::{Error, IoContext, Result};

const EXAMPLES: &str = "\
Examples:
  cutover completions bash > ~/.local/share/bash-completion/completions/cutover
  cutover completions zsh > ~/.zfunc/_cutover
  cutover completions fish > ~/.config/fish/completions/cutover.fish";

/// Print a script that lets a shell complete commands and flags
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cutover", &mut script);
        let script = String::from_utf8(script)
            .map_err(|error| Error::internal("the script for the shell is not UTF-8").because(error))?;
        match output.is_json() {
            true => output.document(&serde_json::json!({"shell": self.shell.to_string(), "script": script}))?,
            false => output.raw_line(script.trim_end())?,
        }
        Ok(Verdict::Yes)
    }
}

const MAN_EXAMPLES: &str = "\
Examples:
  cutover man share/man/man1";

/// Write a manual page for each command into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(super) struct ManArgs {
    /// The directory, which is created if it is missing
    #[arg(value_name = "DIR")]
    to: PathBuf,
}

impl ManArgs {
    pub(super) fn run(self, _: &mut Output) -> Result<Verdict> {
        std::fs::create_dir_all(&self.to).io("create directory", &self.to)?;
        clap_mangen::generate_to(Cli::command(), &self.to).io("write manual pages into", &self.to)?;
        Ok(Verdict::Yes)
    }
}
