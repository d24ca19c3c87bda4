//! The columns of all Parquet files of an input together.
//!
//! Columns are brought together by their names, in the order of their first appearance; where a file lacks one, it is
//! null there. Types widen where no value is lost (`widen`), to the type of a contract where that names one. All else is
//! refused, naming both files: two types of which neither holds the other's values, and names that differ in nothing but
//! the case of letters, of which SQL would see one.
//!
//! Not for: what a contract says of a file by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::widen::{Widening, widen};
use super::{Contract, contract, types};

/// The columns of one file.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    /// The file's path, for messages.
    pub(super) file: &'a str,
    pub(super) schema: &'a Schema,
    /// Columns of 64-bit integers of which a float is known to hold all.
    pub(super) exact_in_float: &'a BTreeSet<String>,
    /// Nulls of the columns that are known to have so many.
    pub(super) nulls: &'a BTreeMap<String, u64>,
}

/// A column of the union, and where it comes from.
struct Column {
    field: FieldRef,
    /// Number of the file that it first appears in.
    first: usize,
    /// Files that have it.
    files: usize,
}

/// The union of the files' columns, or every reason why there is none.
pub(super) fn union(files: &[Columns], promised: Option<&Contract>) -> Result<SchemaRef, Vec<String>> {
    let mut columns: Vec<Column> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut problems = Vec::new();
    for (number, file) in files.iter().enumerate() {
        for field in file.schema.fields() {
            let Some(&place) = places.get(field.name().as_str()) else {
                places.insert(field.name(), columns.len());
                columns.push(Column { field: Arc::clone(field), first: number, files: 1 });
                continue;
            };
            let column = &mut columns[place];
            column.files += 1;
            match wider(&column.field, field) {
                Some(wider) => column.field = wider,
                None => problems.push(differs(files, number, field, column)),
            }
        }
    }
    let fields = columns.iter().map(|column| {
        let nullable = column.field.is_nullable() || column.files < files.len();
        column.field.as_ref().clone().with_nullable(nullable)
    });
    let fields: Vec<Field> = fields.map(|field| as_promised(field, promised)).collect();
    problems.extend(inexact(files, &fields));
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

/// Says that a file's column and an earlier one's cannot be one.
fn differs(files: &[Columns], number: usize, field: &Field, column: &Column) -> String {
    // The first that by itself does not go together; where none does, it is all of them.
    let earlier = files[..number].iter().filter_map(|file| Some((file, file.schema.field_with_name(field.name()).ok()?)));
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

/// The type of a contract where it holds all that the files have.
fn as_promised(field: Field, promised: Option<&Contract>) -> Field {
    let column = promised.iter().flat_map(|contract| &contract.columns).find(|column| column.name == *field.name());
    let Some(data_type) = column.and_then(|column| types::from_name(&column.type_name)) else { return field };
    let holds = widen(field.data_type(), &data_type, Widening::Exact).is_some_and(|wide| wide == data_type);
    if holds { field.with_data_type(data_type) } else { field }
}

/// Files whose 64-bit integers would become floats without being known to fit.
fn inexact(files: &[Columns], fields: &[Field]) -> Vec<String> {
    let floats: Vec<&Field> = fields.iter().filter(|field| *field.data_type() == DataType::Float64).collect();
    let mut problems = Vec::new();
    for field in floats {
        let wide = |file: &&Columns| {
            let own = file.schema.field_with_name(field.name()).map(|own| own.data_type().clone());
            matches!(own, Ok(DataType::Int64 | DataType::UInt64)) && !file.exact_in_float.contains(field.name())
        };
        let Some(file) = files.iter().find(wide) else { continue };
        let own = file.schema.field_with_name(field.name()).map_or("int64".to_owned(), |own| contract::type_name(own.data_type()));
        let float = files.iter().find(|other| {
            other.schema.field_with_name(field.name()).is_ok_and(|other| other.data_type().is_floating())
        });
        let (where_to, kind) = float.map_or(("its contract", "float64".to_owned()), |float| {
            let data_type = float.schema.field_with_name(field.name()).map(|field| contract::type_name(field.data_type()));
            (float.file, data_type.unwrap_or_default())
        });
        problems.push(format!(
            "{}: column {:?} is {own}, but {kind} in {where_to}, and its footer does not say that all its values are exact \
             as float64 (up to 2^53); give them one type, or make them two inputs",
            file.file,
            field.name()
        ));
    }
    problems
}

/// Names of different files that differ in nothing but the case of letters. Where one file has both, two are meant.
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
            "{}: column {other_name:?} differs from {one_name:?} in {} in the case of letters alone; give both one name, or \
             make them two inputs",
            files[other.first].file, files[one.first].file
        ));
    }
    problems
}
