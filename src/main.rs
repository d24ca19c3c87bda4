//! The `cutover` command: runs it, prints an error's chain once, and maps its kind to an exit code.
//!
//! Not for: anything else. What the command does is in [`cutover::cli`].

mod allocator;

use std::io::Write;
use std::panic::catch_unwind;
use std::process::ExitCode;

use cutover::cli::{self, Answer, Cli};
use cutover::error::{Error, Kind};
use cutover::stop;

/// What a shell reports of a program that SIGPIPE ended: whoever read our output has gone.
const OUTPUT_CLOSED: u8 = 141;
/// What a shell adds to the number of a signal that ended a program.
const SIGNALLED: u8 = 128;

fn main() -> ExitCode {
    cutover::contain::install_hook();
    cutover::runtime::raise_open_files();
    let cli = Cli::parse_arguments();
    if cli.memory_is_short() {
        allocator::give_back_freed_memory()
    } else {
        allocator::keep_freed_memory()
    };
    let outcome = catch_unwind(|| cli::run(cli))
        .unwrap_or_else(|_| Err(Error::internal("the command panicked; please report it with the lines above")));
    match outcome {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Held) => ExitCode::from(code(Kind::Conflict)),
        Err(error) if cli::is_output_closed(&error) => ExitCode::from(OUTPUT_CLOSED),
        Err(error) => {
            report(&error);
            ExitCode::from(code(error.kind()))
        }
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

fn report(error: &Error) {
    let mut stderr = std::io::stderr().lock();
    for (depth, message) in error.chain().iter().enumerate() {
        let label = if depth == 0 { "error" } else { "  because" };
        // Nobody is left to tell when standard error is closed; the exit code still says it.
        let _ = writeln!(stderr, "{label}: {message}");
    }
}
