//! A change of a store's state as it is decided, and the intent that records one until both systems have it.
//!
//! Not for: what a change does (`catalog::transitions`).

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::allow::{self, Allowed};
use super::rfc3339;

/// A change of versions' states. With the state before it and the time, it determines the state after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Make a version the one readers see.
    Publish {
        /// The version.
        version: u64,
        /// Kinds of refusals that are allowed.
        #[serde(default, alias = "force", deserialize_with = "allow::kinds_or_force")]
        allow: Allowed,
    },
    /// Move readers back to an earlier version, and mark the version they leave.
    Rollback {
        /// The version readers go back to.
        to: u64,
    },
    /// Hold readers on a version.
    Pin {
        /// The version.
        version: u64,
        /// Why.
        reason: String,
    },
    /// Forget versions.
    Remove {
        /// The versions.
        versions: Vec<u64>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { version, .. } => write!(f, "the publish of version {version}"),
            Self::Rollback { to } => write!(f, "the rollback to version {to}"),
            Self::Pin { version, .. } => write!(f, "the pin on version {version}"),
            Self::Remove { versions } => write!(f, "the removal of versions {versions:?}"),
        }
    }
}

/// A recorded change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// ID of its announcement.
    pub id: String,
    /// ID of the latest announcement when it was recorded, if any. If another one was made since, the change is
    /// abandoned.
    pub follows: Option<String>,
    /// The change.
    pub change: Change,
    /// When it was recorded.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}
