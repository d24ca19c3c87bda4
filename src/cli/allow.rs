//! `--allow KIND`: the kinds of refusals that a publish overrides, by name.
//!
//! Not for: what each kind allows, which `format::Allow` defines.

use super::parsers;
use crate::error::{Error, Result};
use crate::format::{Allow, Allowed};

/// The flag, and the two flags that it replaced.
#[derive(Debug, clap::Args)]
pub(super) struct AllowArgs {
    /// Publish it despite refusals of this kind; can be repeated, or kinds separated by commas
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
    /// The kinds that are allowed.
    ///
    /// # Errors
    /// `Invalid` for the flags that were replaced.
    pub(super) fn read(&self) -> Result<Allowed> {
        if self.force {
            return Err(Error::invalid(
                "there is no --force: it switched off every check at once. The message that refuses names the --allow \
                 KIND that overrides this one reason",
            ));
        }
        if self.allow_key_change {
            return Err(Error::invalid("there is no --allow-key-change: write --allow keys"));
        }
        Ok(self.allow.iter().copied().collect())
    }

    /// The arguments that say the same.
    pub(super) fn words(&self) -> Vec<String> {
        self.allow.iter().flat_map(|kind| ["--allow".to_owned(), kind.name().to_owned()]).collect()
    }
}
