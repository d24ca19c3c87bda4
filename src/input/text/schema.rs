//! Turns the result of a survey into the columns of an input: their order and types, checked against the contract.
//!
//! Not for: reading files.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};

use super::chunks::Shape;
use super::csv_survey::{self, Head, OfCsv};
use super::expected;
use super::json_survey::{Objects, OfJson};
use super::json_type::Conflict;
use super::place::Place;
use super::single_column;
use super::survey::{self, Learnt, Plan};
use super::text_error::{Fault, shown};
use super::values::Values;
use super::{Survey, Surveyed};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::input::contract::Column;
use crate::input::layout::plain;
use crate::input::partitions::in_both;

/// Surveys CSV files.
///
/// # Errors
/// As for [`Survey::make`].
pub(super) fn of_csv(input: &Input, plan: Plan) -> Result<Survey> {
    let expected = expected::of(input);
    let learn = OfCsv::new(&input.csv, named_by_contract(input), &expected);
    let shape = Shape::Csv((&input.csv).into());
    let (parts, learnt) = survey::read(&learn, &input.files, shape, plan)?;
    let names = learn.into_names();
    if names.columns.is_empty() {
        let what = match input.csv.header {
            true => "has no header line; a first line with the names of the columns is needed",
            false => "has no row, so its columns are unknown; name them in a contract",
        };
        return Err(Fault::of_file(what).in_file(&input.files[0].source));
    }
    let values: Vec<Values> = (0..names.columns.len()).map(|number| csv_survey::merged(&parts, number)).collect();
    drop(parts);
    let name = |number: usize| names.columns[number].0.as_str();
    if input.contract.is_none() && input.csv.header {
        for (file, learnt) in input.files.iter().zip(&learnt) {
            let head = learnt.head.as_deref().unwrap_or_default();
            if Values::is_row(head.iter().map(|number| (name(*number), &values[*number]))) {
                let names: Vec<&str> = head.iter().map(|number| name(*number)).collect();
                return Err(csv_survey::no_header(&names).in_file(&file.source));
            }
        }
    }
    // Columns with a contract have no values here: their values were checked against their types.
    let odd = |number: usize| values[number].odd().map(|(place, what)| (place, number, what));
    if let Some((place, number, what)) = (0..values.len()).filter_map(odd).min() {
        let what = format!("column {} {what}", shown(name(number)));
        return Err(Fault::at(place.line, what).in_file(&input.files[place.file].source));
    }
    let mut order: Vec<usize> = (0..names.columns.len()).collect();
    order.sort_by_key(|number| names.columns[*number].1);
    let mut place_of = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, number)| place_of[*number] = place);
    let mut columns: Vec<(Field, Place)> = order
        .iter()
        .map(|number| {
            let (name, first) = &names.columns[*number];
            let data_type = expected.get(name).map_or_else(|| values[*number].data_type(), |it| it.data_type.clone());
            (Field::new(name, data_type, true), *first)
        })
        .collect();
    columns.extend(absent(input, &columns, |column| column.optional));
    check_files(input, &learnt, &name)?;
    check_strangers(input, &learnt, names.columns.len(), &name)?;
    let files = surveyed(learnt, &place_of);
    let survey = made(input, shape, &columns, files)?;
    Ok(Survey { warning: single_column::warning(input, &names.columns)?, ..survey })
}

/// The columns of files without a header, in the order of the contract.
fn named_by_contract(input: &Input) -> Option<Vec<String>> {
    let columns = input.contract.as_ref()?.columns.iter().map(|column| column.name.clone());
    Some(columns.filter(|name| !input.partition_columns.contains(name)).collect())
}

/// The files with their columns; consecutive files with the same columns share them.
fn surveyed(learnt: Vec<Learnt<Head>>, place_of: &[usize]) -> Vec<Surveyed> {
    let mut last: Option<(Head, Head)> = None;
    let of = |learnt: Learnt<Head>| {
        let head = learnt.head.unwrap_or_default();
        let columns = match &last {
            Some((before, columns)) if *before == head => Arc::clone(columns),
            _ => head.iter().map(|number| place_of[*number]).collect(),
        };
        last = Some((head, Arc::clone(&columns)));
        Surveyed { columns, chunks: learnt.chunks }
    };
    learnt.into_iter().map(of).collect()
}

/// Rejects a file that has no column in common with the others; its first line is probably a row.
fn check_strangers<'n>(
    input: &Input,
    learnt: &[Learnt<Head>],
    columns: usize,
    name: &impl Fn(usize) -> &'n str,
) -> Result<()> {
    let heads = || learnt.iter().map(|learnt| learnt.head.as_deref().unwrap_or_default());
    let mut files = vec![0_usize; columns];
    heads().flatten().for_each(|number| files[*number] += 1);
    let all = heads().filter(|head| !head.is_empty()).count();
    let is_strange = |head: &[usize]| all > 1 && !head.is_empty() && head.iter().all(|number| files[*number] == 1);
    // Of two files that have nothing in common the second is reported.
    match heads().zip(&input.files).filter(|(head, _)| is_strange(head)).nth(usize::from(all == 2)) {
        None => Ok(()),
        Some((head, file)) => {
            let names: Vec<&str> = head.iter().map(|number| name(*number)).collect();
            let what = format!(
                "its header, {}, has no column in common with the other files; is the header line missing?",
                shown(&names.join(","))
            );
            Err(Fault::at(1, what).in_file(&file.source))
        }
    }
}

/// Checks that a file with rows has every column for which the contract allows no nulls.
fn check_files<'n>(input: &Input, learnt: &[Learnt<Head>], name: &impl Fn(usize) -> &'n str) -> Result<()> {
    let columns = input.contract.iter().flat_map(|contract| &contract.columns);
    let required: Vec<&str> = columns
        .filter(|column| !column.nullable && !input.partition_columns.contains(&column.name))
        .map(|column| column.name.as_str())
        .collect();
    for (file, learnt) in input.files.iter().zip(learnt) {
        let head = learnt.head.as_deref().unwrap_or_default();
        let lacks = |wanted: &&&str| !head.iter().any(|number| name(*number) == **wanted);
        if learnt.chunks.iter().all(|chunk| chunk.rows == 0) {
            continue;
        }
        if let Some(missing) = required.iter().find(lacks) {
            let what = format!("column {} is missing, but its contract allows no nulls", shown(missing));
            return Err(Fault::of_file(what).in_file(&file.source));
        }
    }
    Ok(())
}

/// Surveys JSON lines.
///
/// # Errors
/// As for [`Survey::make`].
pub(super) fn of_json(input: &Input, plan: Plan) -> Result<Survey> {
    let expected = expected::of(input);
    let (parts, learnt) = survey::read(&OfJson { expected: &expected }, &input.files, Shape::Json, plan)?;
    let source = |place: Place| &input.files[place.file].source;
    let fields = Objects::merged(parts).map_err(|(place, what)| Fault::at(place.line, what).in_file(source(place)))?;
    let mut columns = Vec::with_capacity(fields.len());
    for (name, node) in fields {
        let data_type = match expected.get(&name) {
            Some(expected) => expected.data_type.clone(),
            None => node.data_type(&name).map_err(|conflict| conflict_error(input, conflict))?,
        };
        columns.push((Field::new(name, data_type, true), node.first));
    }
    // A line need not have a field that may be null, so that no line has it is no surprise.
    columns.extend(absent(input, &columns, |column| column.nullable && expected.contains_key(&column.name)));
    let files = learnt.into_iter().map(|learnt| Surveyed { columns: Arc::from([]), chunks: learnt.chunks }).collect();
    made(input, Shape::Json, &columns, files)
}

/// The columns of the contract that no file has and `may_be` allows to be absent. They are null in all rows.
fn absent(input: &Input, columns: &[(Field, Place)], may_be: impl Fn(&Column) -> bool) -> Vec<(Field, Place)> {
    let Some(contract) = &input.contract else { return Vec::new() };
    let there: Vec<&str> = columns.iter().map(|(field, _)| field.name().as_str()).collect();
    let may_be = |column: &Column| may_be(column) && !input.partition_columns.contains(&column.name);
    let place = Place { file: 0, line: 1, order: u32::MAX };
    contract.absent(&there, may_be).into_iter().map(|field| (field, place)).collect()
}

/// The error of a field whose values have no common type.
fn conflict_error(input: &Input, conflict: Conflict) -> Error {
    let at = |place: Place| format!("{}, line {}", input.files[place.file].source, place.line);
    let (place, what) = match conflict {
        Conflict::Kinds { path, one: (one, first), other: (other, place) } => {
            let what = format!(
                "field {} is {} here, but {} in {}; give it one kind in all lines, or the column a type in a contract \
                 (string accepts strings, numbers, true and false as they are written)",
                shown(&path),
                other.name(),
                one.name(),
                at(first)
            );
            (place, what)
        }
        Conflict::Numbers { path, at } => {
            let what = format!(
                "field {} has numbers of which no type holds all digits; give the column a type in a contract (string \
                 accepts them as they are written)",
                shown(&path)
            );
            (at, what)
        }
        Conflict::Fields { path, at } => {
            let what =
                format!("the objects in field {} have too many different keys; write them as pairs", shown(&path));
            (at, what)
        }
    };
    Fault::at(place.line, what).in_file(&input.files[place.file].source)
}

/// The survey with these columns.
fn made(input: &Input, shape: Shape, columns: &[(Field, Place)], files: Vec<Surveyed>) -> Result<Survey> {
    check_names(input, columns)?;
    let in_layout = |(field, _): &(Field, Place)| field.clone().with_data_type(plain(field.data_type()));
    let schema = Schema::new(columns.iter().map(in_layout).collect::<Vec<_>>());
    if let Some(contract) = &input.contract {
        let mut all = schema.fields().to_vec();
        all.extend(input.partition_fields()?.into_iter().map(Arc::new));
        let problems = contract.check(&Schema::new(all), &input.files[0].source.to_string());
        if !problems.is_empty() {
            return Err(Error::input(format!(
                "input {} is not what the job expects\n  {}",
                input.name,
                problems.join("\n  ")
            )));
        }
    }
    Ok(Survey { warning: None, schema: Arc::new(schema), shape, files })
}

/// Checks that no column has the name of a directory column, and that each is spelled in only one way.
fn check_names(input: &Input, columns: &[(Field, Place)]) -> Result<()> {
    let mut spellings: HashMap<String, (&str, Place)> = HashMap::new();
    for (field, place) in columns {
        let source = |place: &Place| &input.files[place.file].source;
        let name = field.name().as_str();
        if input.partition_columns.iter().any(|column| column == name) {
            return Err(Fault::at(place.line, in_both(shown(name))).in_file(source(place)));
        }
        let (other, first) = *spellings.entry(name.to_lowercase()).or_insert((name, *place));
        if (first.file, first.line) != (place.file, place.line) {
            let what =
                format!("column {} is spelled {} in {}; use one spelling", shown(name), shown(other), source(&first));
            return Err(Fault::at(place.line, what).in_file(source(place)));
        }
    }
    Ok(())
}
