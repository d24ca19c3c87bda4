//! The `cutover` command: runs it, has told how it ended, and maps an error's kind to an exit code.
//!
//! Not for: anything else. What the command does and tells is in [`cutover::cli`].

mod allocator;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use cutover::cli::{self, Cli, Refused, Verdict};
use cutover::error::{Error, Kind, Result};
use cutover::shutdown;
use cutover::stack;

/// What a shell reports of a program that SIGPIPE ended: whoever read our output has gone.
const OUTPUT_CLOSED: u8 = 141;
/// What a shell adds to the number of a signal that ended a program.
const SIGNALLED: u8 = 128;

fn main() -> ExitCode {
    cutover::catch_panic::install_hook();
    cutover::resources::raise_open_files();
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
        return ExitCode::from(code);
    }
    match ending.tell(&ended, code) {
        Err(error) if code == 0 && !cli::is_output_closed(&error) => {
            cli::report(&error);
            ExitCode::from(self::code(error.kind()))
        }
        Err(_) if code == 0 => ExitCode::from(OUTPUT_CLOSED),
        _ => ExitCode::from(code),
    }
}

/// Says what clap has to say instead of running a command: help, or why the arguments are wrong.
fn instead(refused: Refused) -> ExitCode {
    match refused.tell() {
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

/// What holds for every command.
fn prepare() -> Result<()> {
    cutover::resources::survive_file_size_limit()?;
    cutover::resources::check_clock()
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
