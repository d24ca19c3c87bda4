//! Chooses the key column of a new job, and how its duplicate keys are resolved.
//!
//! 1. A column named like an identifier that never is null, one with unique values first.
//! 2. Else a column whose values are unique and never null.
//! 3. Else the column that never is null and whose most frequent value has the fewest rows.
//! 4. Else a column with nulls; the job leaves those rows out and says so.
//!
//! Strings are preferred to numbers, and numbers to dates and times, which are rarely used for lookups. Floating-point
//! numbers, Booleans and nested values are no candidates.

use arrow::datatypes::{DataType, Field};

use super::super::format;
use super::profile::{Cardinality, Profiler, Table};
use crate::error::{Error, Result};

/// Number of candidate columns whose values are counted.
const CANDIDATES: usize = 8;
/// Most rows per key for which the rows become one value, a list; with more, each row is an entry of its own.
const LONGEST_LIST: u64 = 100;

/// The key of the new job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The column.
    pub(super) column: String,
    /// Whether it has nulls, so that the job must filter those rows out.
    pub(super) has_nulls: bool,
    /// Rows of its most frequent value; `None` when they were not counted.
    pub(super) most: Option<u64>,
    /// The class of its type.
    pub(super) class: Class,
}

/// Classes of types, in descending order of preference for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Strings and bytes.
    Text,
    /// Whole numbers and decimals.
    Number,
    /// Dates and times.
    Time,
}

impl Choice {
    /// `duplicates` of the job.
    pub(super) fn fold(&self) -> &'static str {
        match self.most {
            Some(0..=1) => "error",
            Some(2..=LONGEST_LIST) => "list",
            _ => "number",
        }
    }

    /// Why this value of `duplicates`, for the user.
    pub(super) fn reason(&self) -> String {
        match self.most {
            Some(0..=1) => "no two rows have the same key".to_owned(),
            Some(most @ 2..=LONGEST_LIST) => {
                format!("up to {} rows have the same key; they become one value, a list", format::count(most))
            }
            Some(most) => {
                format!("up to {} rows have the same key; each gets a number after the key", format::count(most))
            }
            None => "too many rows to count repeated keys; rows with the same key get a number after it".to_owned(),
        }
    }
}

/// Chooses the key of `table`.
///
/// # Errors
/// `Input` when no column can be a key; else as running a query over the input.
pub(super) fn choose(looker: &Profiler, table: &Table) -> Result<Choice> {
    let fields = table.schema.fields().iter();
    let mut candidates: Vec<(&Field, Class)> =
        fields.filter_map(|field| Some((field.as_ref(), Class::of(field.data_type())?))).collect();
    candidates.sort_by_key(|(field, class)| (!is_named_like_a_key(field.name()), *class));
    candidates.truncate(CANDIDATES);
    let mut counted = Vec::with_capacity(candidates.len());
    for (field, class) in candidates {
        let repeats = looker.repeats(table, field.name())?;
        let nulls = repeats.map(|repeats| repeats.nulls).or_else(|| Profiler::nulls(table, field.name()));
        let has_nulls = field.is_nullable() && nulls != Some(0);
        let most = repeats.map(|repeats: Cardinality| repeats.most);
        counted.push(Choice { column: field.name().clone(), has_nulls, most, class });
    }
    best(counted).ok_or_else(|| {
        Error::input(format!(
            "{} has no column that can be a key: a string, an integer, a date, a time or a decimal",
            table.path
        ))
    })
}

/// The best candidate; candidates are sorted by name and class.
fn best(candidates: Vec<Choice>) -> Option<Choice> {
    let whole = || candidates.iter().filter(|choice| !choice.has_nulls);
    let named = || whole().filter(|choice| is_named_like_a_key(&choice.column));
    let unique = |choice: &&Choice| matches!(choice.most, Some(0..=1));
    let found = named().find(unique).or_else(|| named().next()).or_else(|| whole().find(unique));
    let rarest = || candidates.iter().min_by_key(|one| (one.has_nulls, one.class, one.most.unwrap_or(u64::MAX)));
    found.or_else(rarest).cloned()
}

impl Class {
    /// The class of a type; `None` for types that are not used as keys.
    fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text),
            DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Some(Self::Text),
            DataType::Decimal32(_, _) | DataType::Decimal64(_, _) | DataType::Decimal128(_, _) => Some(Self::Number),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Some(Self::Time),
            other => other.is_integer().then_some(Self::Number),
        }
    }
}

/// `id`, `user_id`, `userId`, `uuid`, `order_key`, …
fn is_named_like_a_key(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower == "id"
        || lower == "key"
        || name.ends_with("Id")
        || name.ends_with("ID")
        || ["_id", "uuid", "guid", "_key"].iter().any(|ending| lower.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(column: &str, has_nulls: bool, most: Option<u64>) -> Choice {
        Choice { column: column.into(), has_nulls, most, class: Class::Number }
    }

    fn chosen(candidates: &[Choice]) -> String {
        best(candidates.to_vec()).unwrap().column
    }

    #[test]
    fn a_column_named_like_a_key_comes_first() {
        let (id, name) = (choice("user_id", false, Some(10)), choice("name", false, Some(1)));
        assert_eq!(chosen(&[id.clone(), name.clone()]), "user_id");
        assert_eq!(chosen(&[id, choice("event_id", false, Some(1)), name.clone()]), "event_id");
        assert_eq!(chosen(&[choice("year", false, Some(99)), name]), "name");
    }

    #[test]
    fn text_comes_before_numbers_and_nulls_last() {
        let (nulls, year) = (choice("user_id", true, Some(1)), choice("year", false, Some(1000)));
        let day = choice("day", false, Some(500));
        assert_eq!(chosen(&[nulls.clone(), year.clone(), day.clone()]), "day");
        let dest = Choice { class: Class::Text, ..choice("dest", false, Some(9000)) };
        assert_eq!(chosen(&[nulls.clone(), dest, year, day]), "dest");
        assert_eq!(chosen(&[nulls]), "user_id");
        assert_eq!(best(Vec::new()), None);
    }

    #[test]
    fn the_proposed_fold_never_collects_unbounded_lists() {
        assert_eq!(choice("a", false, Some(1)).fold(), "error");
        assert_eq!(choice("a", false, Some(100)).fold(), "list");
        assert_eq!(choice("a", false, Some(101)).fold(), "number");
        assert_eq!(choice("a", false, None).fold(), "number");
    }

    #[test]
    fn names_of_key_columns_are_recognized() {
        assert!(["id", "ID", "user_id", "userId", "request_uuid"].iter().all(|name| is_named_like_a_key(name)));
        assert!(["paid", "valid", "name", "monkey"].iter().all(|name| !is_named_like_a_key(name)));
    }
}
