//! Merges the columns of all files of an input.
//!
//! Columns are matched by name, in the order of their first occurrence; if a file lacks one, it is null there. Types
//! widen if no value is lost (`widen`), to the contract's type if it names one. Everything else is refused, naming both
//! files: two types of which neither holds the other's values, and names that differ only in case, of which SQL would
//! see one.
//!
//! Not for: checking a file against the contract.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use super::layout::plain;
use super::statistics::Bounds;
use super::widen::{Widening, widen};
use super::{Contract, contract, type_parser};

/// Maximum number of problems in one error.
pub(super) const MAX_PROBLEMS: usize = 20;
/// The largest integer up to which a double holds all integers.
const EXACT_IN_FLOAT: i128 = 1 << 53;

/// The columns of one file.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    /// The file's path, for messages.
    pub(super) file: &'a str,
    pub(super) schema: &'a Schema,
    /// Bounds of the values of 64-bit columns, if known.
    pub(super) bounds: &'a BTreeMap<String, Bounds>,
    /// Null counts, for columns for which they are known.
    pub(super) nulls: &'a BTreeMap<String, u64>,
}

/// A column of the union, and where it first occurs.
struct Column {
    field: FieldRef,
    /// Index of the first file that has it.
    first: usize,
    /// Number of files that have it.
    files: usize,
    /// Whether its type differs between files.
    drifts: bool,
}

/// The union of the files' columns, or all reasons why there is none.
pub(super) fn union(files: &[Columns], promised: Option<&Contract>) -> Result<SchemaRef, Vec<String>> {
    let mut columns: Vec<Column> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut problems = Vec::new();
    for (number, file) in files.iter().enumerate() {
        for field in file.schema.fields() {
            let Some(&place) = places.get(field.name().as_str()) else {
                places.insert(field.name(), columns.len());
                columns.push(Column { field: Arc::clone(field), first: number, files: 1, drifts: false });
                continue;
            };
            let column = &mut columns[place];
            column.files += 1;
            column.drifts |= column.field.data_type() != field.data_type();
            match wider(&column.field, field) {
                Some(wider) => column.field = wider,
                None if problems.len() > MAX_PROBLEMS => {}
                None => problems.push(differs(files, number, field, column)),
            }
        }
    }
    let fields = columns.iter().map(|column| {
        let nullable = column.field.is_nullable() || column.files < files.len();
        column.field.as_ref().clone().with_nullable(nullable)
    });
    let fields: Vec<Field> = fields.map(|field| as_promised(field, promised)).collect();
    // Only the few columns with differing types are looked up in every file again.
    let drifting = columns
        .iter()
        .zip(&fields)
        .filter(|(column, field)| column.drifts || column.field.data_type() != field.data_type());
    problems.extend(unfit(files, drifting.map(|(_, field)| field)));
    problems.extend(alike(files, &columns));
    if problems.is_empty() { Ok(Arc::new(Schema::new(fields))) } else { Err(problems) }
}

fn wider(one: &FieldRef, other: &FieldRef) -> Option<FieldRef> {
    let nullable = one.is_nullable() || other.is_nullable();
    if one.data_type() == other.data_type() && one.is_nullable() == nullable {
        return Some(Arc::clone(one));
    }
    let data_type = widen(one.data_type(), other.data_type(), Widening::Exact)?;
    Some(Arc::new(one.as_ref().clone().with_data_type(data_type).with_nullable(nullable)))
}

/// Describes that a file's column cannot be merged with an earlier one's.
fn differs(files: &[Columns], number: usize, field: &Field, column: &Column) -> String {
    // The first file whose type does not fit; if each fits alone, the first file that has the column.
    let earlier =
        files[..number].iter().filter_map(|file| Some((file, file.schema.field_with_name(field.name()).ok()?)));
    let other = earlier
        .filter(|(_, other)| widen(other.data_type(), field.data_type(), Widening::Exact).is_none())
        .map(|(file, other)| (file.file, other.data_type()))
        .next()
        .unwrap_or((files[column.first].file, column.field.data_type()));
    format!(
        "{}: column {:?} is {}, but {} in {}, and neither holds the values of the other; give them one type, or make \
         them two inputs",
        files[number].file,
        field.name(),
        contract::type_name(field.data_type()),
        contract::type_name(other.1),
        other.0
    )
}

/// The contract's type, if it holds all values of the files.
fn as_promised(field: Field, promised: Option<&Contract>) -> Field {
    let column = promised.iter().flat_map(|contract| &contract.columns).find(|column| column.name == *field.name());
    let Some(data_type) = column.and_then(|column| type_parser::from_name(&column.type_name)) else { return field };
    let data_type = plain(&data_type);
    let holds = widen(field.data_type(), &data_type, Widening::Exact).is_some_and(|wide| wide == data_type);
    if holds { field.with_data_type(data_type) } else { field }
}

/// Columns of files whose values do not fit the merged type, or are not known to fit.
fn unfit<'a>(files: &[Columns], fields: impl Iterator<Item = &'a Field>) -> Vec<String> {
    let mut problems = Vec::new();
    for field in fields {
        let of = |file: &Columns| file.schema.field_with_name(field.name()).ok().map(|own| own.data_type().clone());
        let unfit = |file: &Columns| why_unfit(&of(file)?, field.data_type(), file.bounds.get(field.name()));
        let Some((file, why)) = files.iter().find_map(|file| Some((file, unfit(file)?))) else { continue };
        let same = files.iter().find(|other| of(other).as_ref() == Some(field.data_type()));
        problems.push(format!(
            "{}: column {:?} is {}, but {} in {}; {why}. Give them one type, or make them two inputs",
            file.file,
            field.name(),
            of(file).as_ref().map_or_else(String::new, contract::type_name),
            contract::type_name(field.data_type()),
            same.map_or("all files together", |other| other.file),
        ));
    }
    problems
}

/// Why a column's values, within these bounds, may not fit the type `all`.
fn why_unfit(own: &DataType, all: &DataType, bounds: Option<&Bounds>) -> Option<&'static str> {
    let within =
        |most: i128| bounds.map(|bounds| bounds.is_empty() || *bounds.start() >= -most && *bounds.end() <= most);
    match (own, all) {
        (DataType::Int64 | DataType::UInt64, DataType::Float64) if within(EXACT_IN_FLOAT) != Some(true) => {
            Some("its footer does not say that all of its values are exact as float64, up to 2^53")
        }
        (DataType::Timestamp(own, _), DataType::Timestamp(all, _)) => {
            let most = i128::from(i64::MAX) / (units_in_second(all) / units_in_second(own)).max(1);
            (within(most) == Some(false)).then_some("some of its values are out of the range of the finer unit")
        }
        _ => None,
    }
}

fn units_in_second(unit: &TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Names in different files that differ only in case. If one file has both, they are different columns.
fn alike(files: &[Columns], columns: &[Column]) -> Vec<String> {
    let mut spellings: BTreeMap<String, Vec<&Column>> = BTreeMap::new();
    for column in columns {
        spellings.entry(column.field.name().to_lowercase()).or_default().push(column);
    }
    let mut problems = Vec::new();
    for [one, other] in spellings.values().filter_map(|columns| columns.first_chunk::<2>()) {
        let (one_name, other_name) = (one.field.name(), other.field.name());
        let has = |file: &Columns, name: &str| file.schema.field_with_name(name).is_ok();
        if files.iter().any(|file| has(file, one_name) && has(file, other_name)) {
            continue;
        }
        problems.push(format!(
            "{}: column {other_name:?} differs from {one_name:?} in {} in case only; give both one name, or \
             make them two inputs",
            files[other.first].file, files[one.first].file
        ));
    }
    problems
}
