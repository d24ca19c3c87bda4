//! The partitions of an input: those that a job names, which must exist and are the only ones read, and date
//! partitions.
//!
//! ```text
//!  data/events/date=2026-11-26/country=de/part-0.parquet      two columns, a partition for each pair of values
//! ```
//! Not for: expanding partition names in a job file (`job`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Input, InputFile, avro};
use crate::error::{Error, Result};
use crate::job::{Format, InputSpec, Partitions};

/// Maximum number of partitions listed in a message.
const NAMED: usize = 20;
/// The directory value that Hive writes for null.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// Columns that together form a date.
const PARTS_OF_DATES: [&str; 4] = ["year", "month", "day", "hour"];

impl Input {
    /// The directory columns that contain dates: one with complete dates, or year, month and so on.
    pub fn dated_columns(&self) -> Vec<usize> {
        let all_dates = |column: &usize| {
            let mut values = self.files.iter().map(|file| file.partitions[*column].as_deref());
            values.all(|value| value.is_some_and(is_date))
        };
        let columns = 0..self.partition_columns.len();
        if let Some(column) = columns.clone().find(all_dates) {
            return vec![column];
        }
        let part = |column: &usize| PARTS_OF_DATES.contains(&self.partition_columns[*column].to_lowercase().as_str());
        let parts: Vec<usize> = columns.filter(part).collect();
        let numbers = |file: &InputFile| {
            parts
                .iter()
                .all(|column| file.partitions[*column].as_ref().is_some_and(|value| value.parse::<u32>().is_ok()))
        };
        let begins = parts.first().is_some_and(|first| self.partition_columns[*first].eq_ignore_ascii_case("year"));
        if begins && self.files.iter().all(numbers) { parts } else { Vec::new() }
    }

    /// The date partitions, the oldest first, each with its name and one of its files; empty if there are none.
    pub fn dated_partitions(&self) -> Vec<(String, &InputFile)> {
        let columns = self.dated_columns();
        if columns.is_empty() {
            return Vec::new();
        }
        // Numbers of different lengths are ordered by value.
        let order = |file: &InputFile| -> Vec<(usize, String)> {
            let value = |column: &usize| file.partitions[*column].clone().unwrap_or_default();
            let number = |value: String| (value.trim_start_matches('0').len() * usize::from(is_number(&value)), value);
            columns.iter().map(|column| number(value(column))).collect()
        };
        let partitions: BTreeMap<_, &InputFile> = self.files.iter().map(|file| (order(file), file)).collect();
        partitions.into_values().map(|file| (name(&self.partition_columns, &columns, &file.partitions), file)).collect()
    }

    /// The rows of each date partition by its name, if they are known from the files.
    pub fn rows_by_date(&self) -> Option<BTreeMap<String, u64>> {
        let columns = self.dated_columns();
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        for (number, file) in self.files.iter().enumerate() {
            let partition = name(&self.partition_columns, &columns, &file.partitions);
            *rows.entry(partition).or_default() += self.rows_of(number)?;
        }
        Some(rows)
    }

    /// Rejects columns of Parquet and Avro files that are in the names of their directories too.
    ///
    /// # Errors
    /// `Input`, naming a file and the column.
    pub(super) fn check_partition_columns(&self) -> Result<()> {
        let Some((schema, file)) = self.schema.as_ref().zip(self.files.first()) else { return Ok(()) };
        let in_files = |column: &&String| schema.fields().iter().any(|field| field.name() == *column);
        match self.partition_columns.iter().find(in_files) {
            Some(column) => Err(Error::input(format!("{}: {}", file.source, in_both(column)))),
            None => Ok(()),
        }
    }

    /// Rejects partitions that the job names and that have no rows.
    ///
    /// # Errors
    /// `Input`, naming each.
    pub fn check_partitions(&self) -> Result<()> {
        let Some(wanted) = &self.partitions else { return Ok(()) };
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        for (number, file) in self.files.iter().enumerate() {
            let of_file = match self.format {
                // The rows of Avro files are only known by reading them.
                Format::Avro => u64::from(!file.source.told("read", avro::open(&file.source)?.at_end())?),
                _ => match self.rows_of(number) {
                    Some(rows) => rows,
                    None => return Ok(()),
                },
            };
            let partition = wanted.matching(&self.partition_columns, &file.partitions);
            *rows.entry(partition.unwrap_or_default()).or_default() += of_file;
        }
        let empty = rows.iter().filter(|(_, rows)| **rows == 0).map(|(name, _)| format!("{name} has no rows"));
        refuse(&self.name, wanted, empty.collect())
    }
}

/// What is wrong with a column, as it is shown, of files and of their directories.
pub(super) fn in_both(column: impl std::fmt::Display) -> String {
    format!("column {column} is also in the names of directories; remove it from one")
}

/// Selects the files of the partitions that a job names.
///
/// # Errors
/// `Invalid` if the files are not in directories of these columns; `Input` if a partition does not exist.
pub(super) fn select(
    spec: &InputSpec,
    root: &Path,
    paths: Vec<PathBuf>,
    shown: &dyn Fn(&Path) -> String,
) -> Result<Vec<PathBuf>> {
    let Some(wanted) = &spec.partitions else { return Ok(paths) };
    let mut there: BTreeSet<String> = BTreeSet::new();
    let mut kept = Vec::new();
    for path in paths {
        let (columns, values) = columns_and_values(path.strip_prefix(root).unwrap_or(&path));
        if let Some(missing) = wanted.columns().find(|name| !columns.iter().any(|column| column == name)) {
            return Err(Error::invalid(format!(
                "input {}: line {} of the job names partitions by {missing}, but {} is not in a directory {missing}=…",
                spec.name,
                wanted.line,
                shown(&path)
            )));
        }
        if let Some(partition) = wanted.matching(&columns, &values) {
            there.insert(partition);
            kept.push(path);
        }
    }
    let missing = wanted.all().filter(|partition| !there.contains(partition));
    refuse(&spec.name, wanted, missing.map(|partition| format!("{partition} is not there")).collect())?;
    Ok(kept)
}

/// Whether a directory can hold files of the partitions that a job names, by its own name.
pub(super) fn may_hold(wanted: &Partitions, name: &str) -> bool {
    column_and_value(name).is_none_or(|(column, value)| wanted.allow(column, value.as_deref()))
}

/// Columns and values from the directories of a relative path.
pub(super) fn columns_and_values(path: &Path) -> (Vec<String>, Vec<Option<String>>) {
    let directories = path.parent().into_iter().flat_map(Path::components);
    let names = directories.filter_map(|directory| column_and_value(directory.as_os_str().to_str()?));
    names.map(|(column, value)| (column.to_owned(), value)).unzip()
}

/// The column and the value in a directory's name; no value is null.
fn column_and_value(name: &str) -> Option<(&str, Option<String>)> {
    let (column, value) = name.split_once('=')?;
    Some((column, (value != HIVE_NULL).then(|| unescape(value))))
}

/// Decodes the percent-encoding that writers use for characters a path cannot have.
fn unescape(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

fn refuse(input: &str, wanted: &Partitions, wrong: Vec<String>) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    let all = wanted.all().count();
    let which = match all {
        1 => "the partition".to_owned(),
        all => format!("{} of the {all} partitions", wrong.len()),
    };
    let others = if all == 1 { "another" } else { "others" };
    let mut text = format!(
        "input {input}: {which} that line {} of the job names cannot be read; wait for the data to arrive, or name {others}",
        wanted.line
    );
    wrong.iter().take(NAMED).for_each(|one| text.push_str(&format!("\n  {one}")));
    if wrong.len() > NAMED {
        text.push_str(&format!("\n  and {} more", wrong.len() - NAMED));
    }
    Err(Error::input(text))
}

/// The directories of the partitions that are read, at the level of the innermost partition column.
pub(super) fn directories(root: &Path, paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let innermost = |path: &PathBuf| {
        let below = path.strip_prefix(root).unwrap_or(path);
        let partition =
            |directory: &&Path| directory.file_name().is_some_and(|name| name.as_encoded_bytes().contains(&b'='));
        below.ancestors().skip(1).find(partition).map(|directory| root.join(directory))
    };
    paths.iter().filter_map(innermost).collect()
}

fn name(names: &[String], columns: &[usize], values: &[Option<String>]) -> String {
    let part = |column: &usize| format!("{}={}", names[*column], values[*column].as_deref().unwrap_or("null"));
    columns.iter().map(part).collect::<Vec<_>>().join("/")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a directory value begins with a date: `2026-11-26`, `2026-11`, `20261126`, `2026112613`.
fn is_date(text: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| text.get(range).is_some_and(is_number);
    let parted = digits(0..4) && text.get(4..5) == Some("-") && digits(5..7);
    let plain = is_number(text) && matches!(text.len(), 8 | 10) && (text.starts_with("19") || text.starts_with("20"));
    parted || plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_directories_are_known() {
        for date in ["2026-11-26", "2026-11", "20261126", "2026112613", "2026-11-26T13"] {
            assert!(is_date(date), "{date}");
        }
        for other in ["de", "12345678", "2026", "", "26-11-2026", "ü026-11"] {
            assert!(!is_date(other), "{other}");
        }
    }
}
