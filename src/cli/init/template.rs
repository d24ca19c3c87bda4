//! The template of a new job file.
//!
//! The user will edit the file: every choice has a comment that names the alternatives.

use std::path::Path;

use super::identifier::identifier;
use super::key::Choice;
use super::profile::Table;
use crate::job::CsvForm;

/// The values for the template.
pub(super) struct Parts<'a> {
    /// Path of the job file.
    pub(super) path: &'a Path,
    /// Directory of the store.
    pub(super) store: &'a Path,
    /// The inputs, the main one first.
    pub(super) tables: &'a [Table],
    /// Their contracts, in the same order.
    pub(super) schemas: &'a [&'a Path],
    /// The key.
    pub(super) choice: &'a Choice,
}

/// The text of the job.
pub(super) fn job(parts: &Parts<'_>) -> String {
    let Some((main, others)) = parts.tables.split_first() else { return String::new() };
    let path = parts.path.display();
    let mut text = format!(
        "# Written by `cutover init`; edit it as needed. To see what it would do: cutover plan {path}\n\
         # Paths are relative to the directory the command runs in.\n\
         version = 1\n\
         dataset = {}\n\
         store = {}\n\n",
        quoted(&main.name),
        quoted(&parts.store.display().to_string()),
    );
    for (number, (table, schema)) in parts.tables.iter().zip(parts.schemas).enumerate() {
        let delimiter = Some(table.delimiter).filter(|letter| *letter != CsvForm::default().delimiter);
        let delimiter = delimiter.map(|letter| format!("delimiter = {}\n", quoted(&letter.to_string())));
        let input = format!(
            "[inputs.{}]\npath = {}\n{}schema = {}\n",
            table.name,
            quoted(&table.path),
            delimiter.unwrap_or_default(),
            quoted(&schema.display().to_string())
        );
        if number == 0 {
            text.push_str(
                "# Every file is checked against the contract before any work; fill in what its columns mean.\n",
            );
            text.push_str(&input);
            if let Some(dated) = &table.dated {
                text.push_str(&format!(
                    "# To read three days up to --set date=2026-11-26, and to stop when one is missing:\n\
                     # partitions = {{ {} = \"${{date}}-2..${{date}}\" }}\n",
                    key(dated)
                ));
            }
        } else {
            text.push_str("# To join it, uncomment this and its lines in the query.\n");
            input.lines().for_each(|line| text.push_str(&format!("# {line}\n")));
        }
        text.push('\n');
    }
    text.push_str(&query(main, others, parts.choice));
    text.push_str(&output(parts.choice));
    if main.rows != Some(0) {
        text.push_str(
            "\n[checks]\n\
             # Readers never see a version without rows, nor one that has lost or gained half of them since the last.\n\
             rows = { min = 1, max_change = 0.5 }\n",
        );
    }
    text.push_str("\n[retention]\n# Versions to keep, for rollbacks.\nkeep = 3\n");
    text
}

fn query(main: &Table, others: &[Table], choice: &Choice) -> String {
    let table = identifier(&main.name);
    let named = |column: &str| match others.is_empty() {
        true => identifier(column),
        false => format!("{table}.{}", identifier(column)),
    };
    let columns: Vec<String> =
        main.schema.fields().iter().map(|field| format!("    {}", named(field.name()))).collect();
    let mut text = format!("[query]\nsql = '''\nSELECT\n{}\n", columns.join(",\n"));
    for other in others {
        let more = other.schema.fields().iter().filter(|field| main.schema.field_with_name(field.name()).is_err());
        let more: Vec<String> = more.map(|field| column_of(other, field.name())).collect();
        if !more.is_empty() {
            text.push_str(&format!("    -- , {}\n", more.join(", ")));
        }
    }
    text.push_str(&format!("FROM {table}\n"));
    for other in others {
        text.push_str(&join(main, other));
    }
    if choice.has_nulls {
        text.push_str("-- A key cannot be null: rows without one are left out.\n");
        text.push_str(&format!("WHERE {} IS NOT NULL\n", named(&choice.column)));
    }
    text + "'''\n\n"
}

/// A join by the columns that both tables have, as a comment.
fn join(main: &Table, other: &Table) -> String {
    let common = main.schema.fields().iter().filter(|field| other.schema.field_with_name(field.name()).is_ok());
    let same = |name: &str| format!("{} = {}", column_of(other, name), column_of(main, name));
    let common: Vec<String> = common.map(|field| same(field.name())).collect();
    let name = identifier(&other.name);
    match common.is_empty() {
        true => format!("-- LEFT JOIN {name} ON … (no column has the same name in both)\n"),
        false => format!("-- LEFT JOIN {name} ON {}\n", common.join(" AND ")),
    }
}

fn output(choice: &Choice) -> String {
    let key = quoted(&choice.column);
    format!(
        "[output]\n\
         # What readers look up: one or more columns of the query, the most significant first.\n\
         key = [{key}]\n\
         # What to do with rows with the same key. When this was written,\n\
         # {}.\n\
         # \"error\" stops the job, \"first\" and \"last\" keep one by order_by, \"list\" makes one value of all, {{ top = 10 }} of\n\
         # the first ten, \"number\" keeps each under a number after the key.\n\
         duplicates = {}\n\
         # order_by = [\"a_column desc\"]\n\
         # \"json\" is readable everywhere, \"avro\" is smaller, \"raw\" is the bytes of one column.\n\
         value = {{ encoding = \"json\" }}\n",
        choice.reason(),
        quoted(choice.fold()),
    )
}

fn column_of(table: &Table, column: &str) -> String {
    format!("{}.{}", identifier(&table.name), identifier(column))
}

/// A key of TOML.
fn key(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if plain { name.to_owned() } else { quoted(name) }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init::key::Class;

    #[test]
    fn a_hint_names_every_choice() {
        let text = output(&Choice { column: "a\"b".into(), has_nulls: false, most: Some(3), class: Class::Text });
        assert!(text.contains("key = ['a\"b']"), "{text}");
        assert!(text.contains("duplicates = \"list\""), "{text}");
        assert!(toml::from_str::<toml::Table>(&text).is_ok(), "{text}");
    }
}
