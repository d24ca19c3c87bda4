//! What the program says about its own work, on standard error: warnings, and more with `-v`.
//!
//! Not for: results (`output`), progress (`crate::progress`) or errors (`main.rs`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};

/// The variable that overrides `-v`, as in every program that uses the same library.
const VARIABLE: &str = "RUST_LOG";

/// Starts logging.
///
/// # Errors
/// `Invalid` when `RUST_LOG` cannot be understood.
pub(super) fn start(verbose: u8) -> Result<()> {
    let wanted = match std::env::var(VARIABLE) {
        Ok(wanted) if !wanted.is_empty() => wanted,
        _ => level(verbose).to_owned(),
    };
    let filter = EnvFilter::try_new(&wanted)
        .map_err(|error| Error::invalid(format!("{VARIABLE}={wanted:?} is not a log filter")).because(error))?;
    // A program that embeds the library may log in its own way already; that one then stays.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let _ = log.try_init();
    Ok(())
}

fn level(verbose: u8) -> &'static str {
    match verbose {
        0 => "warn",
        1 => "warn,cutover=info",
        2 => "info,cutover=debug",
        _ => "debug,cutover=trace",
    }
}
