//! `--allow KIND`: what a publish may be let through for, by name.
//!
//! Not for: what each kind lets through, which the catalog decides (`catalog::allow`).

use super::parsers;
use crate::error::{Error, Result};
use crate::format::{Allow, Allowed};

/// The flag, and the two flags that it replaced.
#[derive(Debug, clap::Args)]
pub(super) struct AllowArgs {
    /// Publish it though this kind of check or rule says no; can be repeated, or kinds separated by commas
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = parsers::allow())]
    allow: Vec<Allow>,
    /// Replaced by --allow KIND
    #[arg(long, hide = true)]
    force: bool,
    /// Replaced by --allow keys
    #[arg(long, hide = true)]
    allow_key_change: bool,
}

impl AllowArgs {
    /// The kinds that are let through.
    ///
    /// # Errors
    /// `Invalid` for the flags that are gone.
    pub(super) fn read(&self) -> Result<Allowed> {
        if self.force {
            return Err(Error::invalid(
                "there is no --force: it switched off every check at once. The message that refuses names the --allow \
                 KIND that lets this one reason through",
            ));
        }
        if self.allow_key_change {
            return Err(Error::invalid("there is no --allow-key-change: write --allow keys"));
        }
        Ok(self.allow.iter().copied().collect())
    }
}
