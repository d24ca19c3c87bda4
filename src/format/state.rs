//! The state of a version, which `current.json` and announcements name.
//!
//! Not for: which state follows which (`transitions` of the catalog).

use serde::{Deserialize, Serialize};

/// The state of a version. Builds in staging have no entry and no state.
///
/// ```
/// use cutover::format::State;
///
/// assert!(State::Published.is_good() && State::RolledBack.is_bad());
/// assert_eq!(State::RolledBack.as_str(), "rolled back");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Built and checked, never published.
    Complete,
    /// Built, but a check failed.
    Rejected,
    /// The version that readers see.
    Published,
    /// It was published and then rolled back as bad.
    RolledBack,
    /// It was published and then replaced by another version.
    Retired,
}

impl State {
    /// The state as it is shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Rejected => "rejected",
            Self::Published => "published",
            Self::RolledBack => "rolled back",
            Self::Retired => "retired",
        }
    }

    /// Whether a version in this state was found bad, by a check or by a rollback.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Rejected | Self::RolledBack)
    }

    /// Whether a version in this state was published and not found bad since.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Published | Self::Retired)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
