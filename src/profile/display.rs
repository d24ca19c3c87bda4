//! Formats a profile as lines of a table for people, and its numbers.
//!
//! Not for: JSON, which is the serialized profile.

use crate::format::{ColumnProfile, Profile, TableProfile};

impl Profile {
    /// The heading of the table that [`Profile::lines`] makes.
    pub const HEADING: [&'static str; 8] =
        ["of", "column", "type", "nulls", "distinct", "smallest", "largest", "typical"];

    /// The profile as lines of a table: input or result, column, type, nulls, distinct values, the smallest and the
    /// largest value, and a typical value: the mean, or the most frequent pattern.
    pub fn lines(&self) -> Vec<[String; 8]> {
        let mut lines = Vec::new();
        for input in &self.inputs {
            for part in &input.tables {
                let partition = part.partition.iter().map(|partition| format!("/{partition}")).collect::<String>();
                add(&mut lines, &format!("{}{partition}", input.name), &part.table);
            }
        }
        add(&mut lines, "result", &self.result);
        lines
    }
}

fn add(lines: &mut Vec<[String; 8]>, of: &str, table: &TableProfile) {
    let empty = String::new;
    lines.push([
        of.to_owned(),
        format!("{} rows", count(table.rows)),
        empty(),
        empty(),
        empty(),
        empty(),
        empty(),
        empty(),
    ]);
    lines.extend(table.columns.iter().map(|column| line(table, column)));
}

fn line(table: &TableProfile, column: &ColumnProfile) -> [String; 8] {
    let value = |value: &Option<serde_json::Value>| match value {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let distinct = column.distinct.map_or(String::new(), |distinct| match table.one_in {
        0 | 1 => count(distinct),
        one_in => format!("{} in 1 of {one_in} rows", count(distinct)),
    });
    let typical = match (column.patterns.first(), column.mean) {
        (Some((pattern, share)), _) => format!("{pattern:?} in {}", percent(*share)),
        (None, Some(mean)) => format!("mean {}", number(mean)),
        (None, None) => String::new(),
    };
    [
        String::new(),
        column.name.clone(),
        column.type_name.clone(),
        count(column.nulls),
        distinct,
        value(&column.min),
        value(&column.max),
        typical,
    ]
}

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.5 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A number with about four significant digits.
pub(super) fn number(number: f64) -> String {
    match number.abs() {
        size if size >= 1e7 || (size > 0.0 && size < 1e-3) => format!("{number:.3e}"),
        size if size >= 1000.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}
