//! The `cutover` command: runs it, has told how it ended, and maps an error's kind to an exit code.
//!
//! Not for: anything else. What the command does and tells is in [`cutover::cli`].

mod allocator;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use cutover::cli::{self, Answer, Cli};
use cutover::error::{Error, Kind, Result};
use cutover::stop;

/// What a shell reports of a program that SIGPIPE ended: whoever read our output has gone.
const OUTPUT_CLOSED: u8 = 141;
/// What a shell adds to the number of a signal that ended a program.
const SIGNALLED: u8 = 128;

fn main() -> ExitCode {
    cutover::contain::install_hook();
    cutover::runtime::raise_open_files();
    let (cli, ending) = match Cli::read_arguments() {
        Ok(read) => read,
        Err(refused) => {
            let Some((error, ending)) = refused.tell() else { return ExitCode::SUCCESS };
            let code = code(error.kind());
            return ExitCode::from(ending.document_alone(&error, code).map_or(code, |()| code));
        }
    };
    if cli.memory_is_short() {
        allocator::give_back_freed_memory()
    } else {
        allocator::keep_freed_memory()
    };
    let ended = catch_unwind(AssertUnwindSafe(|| cli::run(cli, &ending)))
        .unwrap_or_else(|_| Err(Error::internal("the command panicked; please report it with the lines above")));
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

fn code_of(ended: &Result<Answer>) -> u8 {
    match ended {
        Ok(Answer::Yes) => 0,
        Ok(Answer::No) => 1,
        Err(error) if cli::is_output_closed(error) => OUTPUT_CLOSED,
        Err(error) => code(error.kind()),
    }
}

fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Invalid => 2,
        Kind::Input => 3,
        Kind::Unavailable => 4,
        Kind::Conflict => 5,
        Kind::Corrupt => 6,
        Kind::Rejected => 7,
        Kind::Stopped => SIGNALLED + stop::signal(),
        Kind::Internal => 70,
    }
}
