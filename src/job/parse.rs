//! Parses a job file into a [`Job`]: the top level, and the order in which its parts are read.
//!
//! ```text
//! text ─▶ TOML tables with byte spans ─▶ inputs · query · output · tables · checks · retention ─▶ Job
//!                                             └── every problem is collected with its line ──▶ one error
//! ```
//! A TOML syntax error is reported alone, as nothing after it can be read reliably.
//!
//! Not for: reading files. The caller passes a function that reads the SQL file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use toml::de::DeTable;

use super::diagnostics::Problems;
use super::params::Params;
use super::spec::Checks;
use super::toml_section::{Item, Section};
use super::units::parse_instant;
use super::{Job, SqlAt, checks, inputs, kafka, output};
use crate::error::{Error, Result};
use crate::format::{LONGEST_DATASET, is_dataset};
use crate::format::{Retention, Tables};
use crate::objects::Location;

/// The version of job files that this program reads.
const VERSION: u64 = 1;

const KEYS: [&str; 11] =
    ["version", "dataset", "store", "as_of", "inputs", "query", "output", "tables", "checks", "retention", "kafka"];

pub(super) fn parse(
    path: &Path,
    text: &str,
    sets: &BTreeMap<String, String>,
    read_sql: &dyn Fn(&Path) -> Result<String>,
) -> Result<Job> {
    let problems = Problems::new(path, text);
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map_or(1, |span| problems.line_at(span.start));
            problems.add(line, format!("not TOML: {}", error.message()));
            return Err(problems.into_error());
        }
    };

    let top = Section::open(&problems, String::new(), 1, document.get_ref(), &KEYS);
    let params = Params::new(sets, &problems);
    version(&top);
    let dataset = top.required("dataset", "dataset = \"views_by_age\"").and_then(|item| {
        let name = item.text()?;
        if !is_dataset(name) {
            item.problem(format!(
                "cannot be {name:?}: use a-z, 0-9, _ and -, begin with a letter or digit, at most {LONGEST_DATASET}"
            ));
        }
        Some(name.to_owned())
    });
    let store = top.required("store", "store = \"stores/views_by_age\"").and_then(|item| store(&item, &params));
    let as_of = top.item("as_of").map_or(Some(None), |item| as_of(&item, &params).map(Some));
    let inputs = top
        .required("inputs", "[inputs.events]")
        .and_then(|item| item.map("[inputs]"))
        .map(|section| inputs::read(&section, &params));
    let query = query(path, &top, &params, read_sql);
    let output = top.required("output", "[output]").and_then(|item| output::read(&item));
    let tables = top.item("tables").map_or(Some(Tables::default()), |item| output::read_tables(&item));
    let checks = top.item("checks").map_or(Some(Checks::default()), |item| checks::read(&item));
    let retention = top.item("retention").map_or(Some(Retention::default()), |item| checks::read_retention(&item));
    let kafka = top.item("kafka").map_or(Some(None), |item| kafka::read(&item).map(Some));
    if query.is_some() && inputs.is_some() {
        params.report_unused(&problems);
    }
    if !problems.is_empty() {
        return Err(problems.into_error());
    }

    let parts = (dataset, store, as_of, inputs, query, output, tables, checks, retention, kafka);
    let (
        Some(dataset),
        Some(store),
        Some(as_of),
        Some(inputs),
        Some(query),
        Some(output),
        Some(tables),
        Some(checks),
        Some(retention),
        Some(kafka),
    ) = parts
    else {
        return Err(Error::internal(format!("{} could not be read, but no problem was found in it", path.display())));
    };
    let (sql, sql_at, params) = query;
    let (path, text, sets) = (path.to_owned(), text.to_owned(), sets.clone());
    Ok(Job {
        path,
        text,
        dataset,
        store,
        as_of,
        sets,
        inputs,
        sql,
        sql_at,
        params,
        output,
        tables,
        checks,
        retention,
        kafka,
    })
}

fn version(top: &Section<'_>) {
    if let Some(item) = top.required("version", "version = 1")
        && let Some(version) = item.integer(0..=u64::from(u32::MAX))
        && version != VERSION
    {
        item.problem(format!("is {version}, and this cutover reads only version {VERSION}"));
    }
}

/// A path, or the URL of an object store that can be written to.
fn store(item: &Item<'_>, params: &Params<'_>) -> Option<PathBuf> {
    if let Some(meant) = Location::with_missing_slash(item.text()?) {
        item.problem(format!("lacks a slash: write {meant:?}"));
        return None;
    }
    if !Location::is_url(item.text()?) {
        return inputs::path(item, params).map(PathBuf::from);
    }
    let url = params.fill(item, item.text()?)?;
    match Location::parse(&url) {
        Ok(location) if location.is_writable() => Some(PathBuf::from(url)),
        Ok(_) => {
            item.problem("cannot be written to: name a path, or a URL of s3://, gs:// or az://");
            None
        }
        Err(error) => {
            item.problem(format!("cannot be used: {}", error.message()));
            None
        }
    }
}

/// The time that the data is as of, with parameters filled in.
fn as_of(item: &Item<'_>, params: &Params<'_>) -> Option<Timestamp> {
    let text = item.text()?;
    let filled = params.fill(item, text)?;
    match parse_instant(&filled) {
        Ok(instant) => Some(instant),
        Err(error) => {
            let given = params.given_in(text);
            let with = if given.is_empty() { String::new() } else { format!(" with {}", given.join(" ")) };
            item.problem(format!("cannot be {text:?}{with}: {}", error.message()));
            None
        }
    }
}

/// The SQL, from the job file or a separate file, its position, and the parameters in it.
fn query(
    path: &Path,
    top: &Section<'_>,
    params: &Params<'_>,
    read_sql: &dyn Fn(&Path) -> Result<String>,
) -> Option<(String, SqlAt, BTreeMap<String, String>)> {
    let section = top.required("query", "[query]")?.section("[query]", &["sql", "file"])?;
    let (item, sql, at) = match (section.item("sql"), section.item("file")) {
        (Some(item), None) => {
            let sql = item.text()?.to_owned();
            let at = SqlAt { path: path.to_owned(), line: item.text_line() };
            (item, sql, at)
        }
        (None, Some(item)) => {
            let file = inputs::plain_path(&item)?;
            match read_sql(&file) {
                Ok(sql) => (item, sql, SqlAt { path: file, line: 1 }),
                Err(error) => {
                    item.problem(format!(
                        "cannot be read: {}{}",
                        error.chain().join(": "),
                        hint_next_to_job(path, &file)
                    ));
                    return None;
                }
            }
        }
        (Some(_), Some(_)) => {
            section.problem("[query] has both sql and file: keep one");
            return None;
        }
        (None, None) => {
            section.problem("[query] has neither sql = \"SELECT …\" nor file = \"jobs/query.sql\"");
            return None;
        }
    };
    if sql.trim().is_empty() {
        item.problem("contains no SQL");
        return None;
    }
    let bound = params.bind(&item, &sql);
    Some((sql, at, bound))
}

/// A hint for a file that is missing, but exists in the job file's directory.
fn hint_next_to_job(job: &Path, file: &Path) -> String {
    let near = job.parent().map(|directory| directory.join(file)).filter(|near| near != file && near.is_file());
    let hint = |near: PathBuf| {
        format!(", but this file is in the directory of the job file: write file = \"{}\"", near.display())
    };
    near.filter(|_| !file.is_file()).map(hint).unwrap_or_default()
}
