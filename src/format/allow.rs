//! The kinds that `--allow` takes: reasons for which a version is not published automatically.
//!
//! ```text
//! a rule of a job ─┐
//! an older as_of ──┼─▶ a refusal, which names its kind ─▶ `--allow KIND` allows this kind, and no other
//! a rolled-back ───┘
//! ```
//! There is one kind for each kind of check, and none that covers all. A new kind of check is one more line in
//! `KINDS`. The names are part of the format of `current.json`.
//!
//! Not for: when a version is refused (`publish_rules`), or the checks themselves (`check`).

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

/// Kinds that are allowed.
pub type Allowed = BTreeSet<Allow>;

/// A kind of reason for which a version is not published automatically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", from = "String")]
pub enum Allow {
    /// Its data is as of an earlier time than the published version's, or it is an earlier build.
    Older,
    /// It states no `as_of`, while the published version does.
    Undated,
    /// It, or its content, was rolled back.
    RolledBack,
    /// Its number of rows is out of bounds.
    Rows,
    /// Nulls in columns that must have none.
    NotNull,
    /// Repeated values in columns that must be unique.
    Unique,
    /// A key schema that differs from the published version's.
    Keys,
    /// A value schema that readers of the published version could not read.
    Values,
    /// Measures of inputs or of the result that changed too much.
    Change,
    /// The published version is damaged, so that nothing can be compared with it.
    Damaged,
    /// A failed check that this program does not know.
    Rejected,
}

/// Every kind: its name, the prefix of the rules whose failure is of this kind, and what it allows.
const KINDS: [(Allow, &str, Option<&str>, &str); 11] = [
    (Allow::Older, "older", None, "data of an earlier time, or an earlier build, than what readers see"),
    (Allow::Undated, "undated", None, "no as_of, although what readers see has one"),
    (Allow::RolledBack, "rolled-back", None, "a version or content that was rolled back"),
    (Allow::Rows, "rows", Some("rows."), "a number of rows beyond the job's bounds"),
    (Allow::NotNull, "not-null", Some("not_null:"), "nulls in columns that must have none"),
    (Allow::Unique, "unique", Some("unique:"), "repeated values in columns that must be unique"),
    (Allow::Keys, "keys", Some("key schema"), "a key schema that differs from what readers see"),
    (Allow::Values, "values", Some("value schema"), "values that today's readers could not read"),
    (Allow::Change, "change", Some("change"), "inputs or results that changed more than the job's bounds allow"),
    (Allow::Damaged, "damaged", None, "no comparison, because the published version is damaged"),
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

    /// What it allows, for `--help`.
    pub fn what(self) -> &'static str {
        self.line().3
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, known, ..)| *known == name).map(|(allow, ..)| *allow)
    }

    /// The kind that allows the failure of a rule.
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
    /// An unknown name is the kind of a check that this program does not know.
    fn from(name: String) -> Self {
        Self::named(&name).unwrap_or(Self::Rejected)
    }
}

/// The flag that allows these kinds: `--allow older,rows`.
pub fn flag(kinds: impl IntoIterator<Item = Allow>) -> String {
    let kinds: Allowed = kinds.into_iter().collect();
    format!("--allow {}", kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(","))
}

/// Reads kinds, or the `force` of an earlier program, which allowed everything or nothing.
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
