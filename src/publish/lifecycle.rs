//! A build on its way to readers, as a typestate: each step consumes the one before, so none can be skipped or
//! repeated.
//!
//! Not for: publishing a version that an earlier run installed; that is [`super::publish`].

use std::path::PathBuf;

use super::{PublishOptions, Published, publish};
use crate::catalog::{Action, Catalog, Installed};
use crate::error::Result;
use crate::format::{Allow, CheckOutcome, Manifest, Reasons, shown_date_or_time, shown_params};

/// A finished staging directory: all of a version except its manifest.
#[derive(Debug)]
pub struct Built {
    directory: PathBuf,
}

/// A version of the store that readers do not see. Its checks may have rejected it.
#[derive(Debug)]
pub struct Complete {
    installed: Installed,
}

impl Built {
    /// The directory that will become the version.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Assigns the build the next number and installs it as a version.
    ///
    /// # Errors
    /// As [`Catalog::install`].
    pub fn install(self, catalog: &Catalog, manifest: impl FnOnce(u64) -> Manifest) -> Result<Complete> {
        self.install_as(catalog, None, manifest)
    }

    /// The same, with the number that the version was announced with, if it was.
    ///
    /// # Errors
    /// As [`Catalog::install_as`].
    pub fn install_as(
        self,
        catalog: &Catalog,
        announced: Option<u64>,
        manifest: impl FnOnce(u64) -> Manifest,
    ) -> Result<Complete> {
        let mut size = String::new();
        let installed = catalog.install_as(&self.directory, announced, |version| {
            let manifest = manifest(version);
            size = description(&manifest);
            manifest
        })?;
        match &installed.rejected {
            None => catalog.log().record(Action::Built, Some(installed.version), size),
            Some(why) => catalog.log().record(Action::Rejected, Some(installed.version), format!("{why}; {size}")),
        }
        Ok(Complete { installed })
    }
}

/// Describes a version in the log.
fn description(manifest: &Manifest) -> String {
    let Manifest { rows, bytes, build_id, as_of, .. } = manifest;
    let mut description = format!("{rows} rows, {bytes} bytes, build {build_id}");
    if manifest.as_of_stated {
        description.push_str(&format!(", as of {}", shown_date_or_time(*as_of)));
    }
    if let Some(params) = manifest.params.as_ref().filter(|params| !params.is_empty()) {
        description.push_str(&format!(", {}", shown_params(params)));
    }
    for check in manifest.checks.iter().filter(|check| check.outcome == CheckOutcome::Allowed) {
        let (allow, expected, found) = (Allow::of_rule(&check.rule).name(), &check.expected, &check.found);
        description.push_str(&format!("; --allow {allow}: {}: expected {expected}, found {found}", check.rule));
    }
    description + if manifest.staged { "; staged" } else { "" }
}

impl Complete {
    /// Its number.
    pub fn version(&self) -> u64 {
        self.installed.version
    }

    /// Why it was rejected; `None` when it was not.
    pub fn rejected(&self) -> Option<&Reasons> {
        self.installed.rejected.as_ref()
    }

    /// What `--allow` would have to name to publish it.
    pub fn failed(&self) -> &[Allow] {
        &self.installed.failed
    }

    /// Makes it the version readers see.
    ///
    /// # Errors
    /// As [`publish`]; `Rejected` when it is refused for a reason that `allow` does not name.
    pub fn publish(self, catalog: &Catalog, options: &PublishOptions) -> Result<Published> {
        publish(catalog, self.installed.version, options)
    }
}
