//! A build on its way to readers: each step consumes the one before, so none can be skipped or done twice.
//!
//! Not for: publishing a version that an earlier run installed; that is [`super::publish`].

use std::path::PathBuf;

use super::{PublishOptions, Published, publish};
use crate::catalog::{Action, Catalog, Installed, Manifest};
use crate::error::Result;

/// A finished folder in the store's staging: all of a version but its manifest.
#[derive(Debug)]
pub struct Staged {
    folder: PathBuf,
}

/// A version of the store that readers do not see. Its checks may have rejected it.
#[derive(Debug)]
pub struct Complete {
    installed: Installed,
}

impl Staged {
    /// The folder that will become the version.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Gives the build its number and makes it a version.
    ///
    /// # Errors
    /// As [`Catalog::install`].
    pub fn install(self, catalog: &Catalog, manifest: impl FnOnce(u64) -> Manifest) -> Result<Complete> {
        self.install_as(catalog, None, manifest)
    }

    /// The same for a version that was announced elsewhere and has its number from there.
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
        let installed = catalog.install_as(&self.folder, announced, |version| {
            let manifest = manifest(version);
            size = format!("{} rows, {} bytes, build {}", manifest.rows, manifest.bytes, manifest.build_id);
            manifest
        })?;
        match &installed.rejected {
            None => catalog.log().record(Action::Built, Some(installed.version), size),
            Some(why) => catalog.log().record(Action::Rejected, Some(installed.version), format!("{why}; {size}")),
        }
        Ok(Complete { installed })
    }
}

impl Complete {
    /// Its number.
    pub fn version(&self) -> u64 {
        self.installed.version
    }

    /// Why it was rejected; `None` when all is well.
    pub fn rejected(&self) -> Option<&str> {
        self.installed.rejected.as_deref()
    }

    /// Makes it the version readers see.
    ///
    /// # Errors
    /// As [`publish`]; `Rejected` when it is, unless `force` is on.
    pub fn publish(self, catalog: &Catalog, options: &PublishOptions) -> Result<Published> {
        publish(catalog, self.installed.version, options)
    }
}
