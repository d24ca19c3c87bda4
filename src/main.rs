//! The `cutover` command: runs it, reports how it ended, and maps the kind of an error to an exit code.
//!
//! Not for: anything else. What the command does and prints is in [`cutover::cli`].

mod allocator;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use cutover::error::{Error, Kind, Result};
use cutover::internals::cli::{self, Cli, Refused, Verdict};
use cutover::internals::shutdown;
use cutover::internals::stack;

/// A shell's exit code for a program that SIGPIPE ended: stdout was closed.
const OUTPUT_CLOSED: u8 = 141;
/// What a shell adds to the number of the signal that ended a program.
const SIGNALLED: u8 = 128;

fn main() -> ExitCode {
    cutover::internals::catch_panic::install_hook();
    cutover::internals::resources::raise_open_files();
    let (cli, ending) = match Cli::read_arguments() {
        Ok(read) => read,
        Err(refused) => return instead(refused),
    };
    if cli.memory_is_short() {
        allocator::give_back_freed_memory()
    } else {
        allocator::keep_freed_memory()
    };
    let panicked = |_| Err(Error::internal("the command panicked; please report it with the lines above"));
    let ending = Arc::new(ending);
    let of_command = Arc::clone(&ending);
    let run = move || catch_unwind(AssertUnwindSafe(|| cli::run(cli, &of_command))).unwrap_or_else(panicked);
    let ended = prepare().and_then(|()| {
        let refused = |error| Err(Error::unavailable("cannot start a thread").because(error));
        stack::on_deep_stack(run, || shutdown::left().map(Err)).unwrap_or_else(refused)
    });
    let code = code_of(&ended);
    if code == OUTPUT_CLOSED {
        let _ = ending.record(&ended, code);
        return ExitCode::from(code);
    }
    match ending.print(&ended, code) {
        Err(error) if code == 0 && !cli::is_output_closed(&error) => {
            cli::report(&error);
            ExitCode::from(self::code(error.kind()))
        }
        Err(_) if code == 0 => ExitCode::from(OUTPUT_CLOSED),
        _ => ExitCode::from(code),
    }
}

/// Prints what clap reports instead of running a command: help, or what is wrong with the arguments.
fn instead(refused: Refused) -> ExitCode {
    match refused.print() {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some((error, ending))) => {
            let code = code(error.kind());
            ExitCode::from(ending.document_alone(&error, code).map_or(code, |()| code))
        }
        Err(error) if cli::is_output_closed(&error) => ExitCode::from(OUTPUT_CLOSED),
        Err(error) => {
            cli::report(&error);
            ExitCode::from(code(error.kind()))
        }
    }
}

fn code_of(ended: &Result<Verdict>) -> u8 {
    match ended {
        Ok(Verdict::Yes) => 0,
        Ok(Verdict::No) => 1,
        Ok(Verdict::Held) => code(Kind::Conflict),
        Err(error) if cli::is_output_closed(error) => OUTPUT_CLOSED,
        Err(error) => code(error.kind()),
    }
}

/// Setup for every command.
fn prepare() -> Result<()> {
    shutdown::end_with_parent()?;
    cutover::internals::resources::survive_file_size_limit()?;
    cutover::internals::resources::check_clock()
}

fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Invalid => 2,
        Kind::Input => 3,
        Kind::Unavailable => 4,
        Kind::Conflict => 5,
        Kind::Corrupt => 6,
        Kind::Rejected => 7,
        Kind::Stopped => SIGNALLED + shutdown::signal(),
        Kind::Internal => 70,
    }
}
