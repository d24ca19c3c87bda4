//! What `--allow` can name: the kinds of reasons for which a version is not published by itself.
//!
//! ```text
//! a rule of a job ─┐
//! an older as_of ──┼─▶ a refusal, which names its kind ─▶ `--allow KIND` lets this kind through, and no other
//! a rolled-back ───┘
//! ```
//! There is one kind for each kind of check, and none that stands for all. A new kind of check is one more line in
//! `KINDS`. Names are a format: they are in `current.json`.
//!
//! Not for: when a version is refused (`refusals`), or what a check finds (`check`).

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

/// Kinds that are let through.
pub type Allowed = BTreeSet<Allow>;

/// A kind of reason for which a version is not published by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", from = "String")]
pub enum Allow {
    /// Its data speaks for an earlier time than what readers see.
    Older,
    /// It does not say which time its data speaks for, and what readers see does.
    Undated,
    /// It, or its content, was rolled back.
    RolledBack,
    /// The number of its rows.
    Rows,
    /// Nulls where there must be none.
    NotNull,
    /// Values that must be unique and are not.
    Unique,
    /// Other keys than readers know.
    Keys,
    /// Values that readers could not read.
    Values,
    /// Measures of inputs or of the result that changed too much.
    Change,
    /// The published version is damaged, so that nothing can be compared with it.
    Damaged,
    /// A check that this program does not know.
    Rejected,
}

/// Every kind: its name, how the rules begin whose failure is of this kind, and what it lets through.
const KINDS: [(Allow, &str, Option<&str>, &str); 11] = [
    (Allow::Older, "older", None, "data of an earlier time, or an earlier build, than what readers see"),
    (Allow::Undated, "undated", None, "no as_of, where what readers see has one"),
    (Allow::RolledBack, "rolled-back", None, "a version or content that was rolled back"),
    (Allow::Rows, "rows", Some("rows."), "a number of rows beyond the job's bounds"),
    (Allow::NotNull, "not-null", Some("not_null:"), "nulls in columns that must have none"),
    (Allow::Unique, "unique", Some("unique:"), "repeated values in columns that must have none"),
    (Allow::Keys, "keys", Some("key schema"), "other keys than readers know"),
    (Allow::Values, "values", Some("value schema"), "values that today's readers could not read"),
    (Allow::Change, "change", Some("change"), "inputs or results that changed more than the job's bounds allow"),
    (Allow::Damaged, "damaged", None, "comparing with nothing, as the published version is damaged"),
    (Allow::Rejected, "rejected", None, "a failed check that this program does not know"),
];

impl Allow {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|(allow, ..)| *allow)
    }

    /// Its name, as `--allow` takes it.
    pub fn name(self) -> &'static str {
        self.line().1
    }

    /// What it lets through.
    pub fn what(self) -> &'static str {
        self.line().3
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, known, ..)| *known == name).map(|(allow, ..)| *allow)
    }

    /// The kind that lets a failed rule through.
    pub fn of_rule(rule: &str) -> Self {
        let of = |begins: &Option<&str>| begins.is_some_and(|begins| rule.starts_with(begins));
        KINDS.iter().find(|(_, _, begins, _)| of(begins)).map_or(Self::Rejected, |(allow, ..)| *allow)
    }

    fn line(self) -> &'static (Self, &'static str, Option<&'static str>, &'static str) {
        KINDS.iter().find(|(allow, ..)| *allow == self).unwrap_or(&KINDS[KINDS.len() - 1])
    }
}

impl From<Allow> for &'static str {
    fn from(allow: Allow) -> Self {
        allow.name()
    }
}

impl From<String> for Allow {
    /// One that this program does not know is of a check that it does not know.
    fn from(name: String) -> Self {
        Self::named(&name).unwrap_or(Self::Rejected)
    }
}

/// The flag that lets these kinds through: `--allow older,rows`.
pub fn flag(kinds: impl IntoIterator<Item = Allow>) -> String {
    let kinds: Allowed = kinds.into_iter().collect();
    format!("--allow {}", kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(","))
}

/// Reads kinds, or the `force` of an earlier program, which let everything through or nothing.
pub(crate) fn kinds_or_force<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Allowed, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Recorded {
        Force(bool),
        Kinds(Allowed),
    }
    Ok(match Recorded::deserialize(deserializer)? {
        Recorded::Force(true) => Allow::all().collect(),
        Recorded::Force(false) => Allowed::new(),
        Recorded::Kinds(kinds) => kinds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_name_and_survives_a_file() {
        for allow in Allow::all() {
            assert_eq!(Allow::named(allow.name()), Some(allow));
            let text = serde_json::to_string(&allow).unwrap();
            assert_eq!(serde_json::from_str::<Allow>(&text).unwrap(), allow);
        }
        assert_eq!(Allow::all().count(), Allow::all().map(Allow::name).collect::<BTreeSet<_>>().len());
        assert_eq!(serde_json::from_str::<Allow>("\"of a later program\"").unwrap(), Allow::Rejected);
    }

    #[test]
    fn every_rule_has_its_kind() {
        for (rule, allow) in [
            ("rows.min", Allow::Rows),
            ("rows.max_change", Allow::Rows),
            ("not_null: user_id", Allow::NotNull),
            ("unique: rows.x", Allow::Unique),
            ("key schema", Allow::Keys),
            ("value schema", Allow::Values),
            ("of a later program", Allow::Rejected),
        ] {
            assert_eq!(Allow::of_rule(rule), allow, "{rule}");
        }
    }

    #[test]
    fn a_flag_names_each_kind_once() {
        assert_eq!(flag([Allow::Rows, Allow::Older, Allow::Rows]), "--allow older,rows");
    }
}
