//! A change of a store's state as it is decided, and the intent that records one until both systems have it.
//!
//! Not for: what a change does (`catalog::transitions`).

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::allow::{self, Allowed};
use super::rfc3339;

/// A change of the versions' states, as it is decided: all that it depends on besides the state before and the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Make a version the one readers see.
    Publish {
        /// The version.
        version: u64,
        /// Reasons to refuse it that are let through.
        #[serde(default, alias = "force", deserialize_with = "allow::kinds_or_force")]
        allow: Allowed,
    },
    /// Take readers back, and mark the version they leave.
    Rollback {
        /// The version they go to.
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

/// A change that was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The announcement that carries it.
    pub id: String,
    /// The announcement that it follows; none where there was none. If another one came between, it is given up.
    pub follows: Option<String>,
    /// What was decided.
    pub change: Change,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}
