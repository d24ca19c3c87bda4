//! Why a version was rejected: one sentence for each reason, stored as one line.
//!
//! ```text
//! ["rows.min: expected 10, found 1", "same content as version 3, …"]  ◀─▶  "rows.min: …; same content …"
//! ```
//! A line that is read again is one reason, as a sentence may contain the separator.
//!
//! Not for: which kinds of checks failed (`allow`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What separates reasons on a line.
const SEPARATOR: &str = "; ";

/// The reasons of a rejection, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Reasons(Vec<String>);

impl Reasons {
    /// These reasons; none if there is no reason.
    pub(crate) fn of(reasons: Vec<String>) -> Option<Self> {
        (!reasons.is_empty()).then_some(Self(reasons))
    }

    /// Each reason.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// These and one more.
    #[must_use]
    pub(crate) fn and(mut self, reason: String) -> Self {
        self.0.push(reason);
        self
    }
}

impl From<String> for Reasons {
    fn from(line: String) -> Self {
        Self(vec![line])
    }
}

impl From<Reasons> for String {
    fn from(reasons: Reasons) -> Self {
        reasons.to_string()
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(SEPARATOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_stored_as_one_line() {
        let reasons = Reasons::of(vec!["a; b".into(), "c".into()]).unwrap();
        assert_eq!(reasons.iter().collect::<Vec<_>>(), ["a; b", "c"], "what contains the separator is not cut");
        let stored = serde_json::to_string(&reasons).unwrap();
        assert_eq!(stored, r#""a; b; c""#);
        let read: Reasons = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.to_string(), reasons.to_string());
        assert_eq!(Reasons::of(Vec::new()), None);
    }
}
