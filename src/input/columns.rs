//! The merged columns of all files of an input, checked against its contract.
//!
//! Not for: how columns are merged (`union`), or text files, whose columns their survey finds (`text`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use rayon::prelude::*;

use super::union::{Columns, MAX_PROBLEMS, union};
use super::{Contract, Footer, Input, avro, contract};
use crate::error::{Error, Result};

/// The columns of Parquet files, from their footers.
///
/// # Errors
/// `Input` if they cannot be merged or break the contract.
pub(super) fn of_parquet(input: &Input) -> Result<SchemaRef> {
    let names = names(input);
    let footers: Vec<&Footer> = input.files.iter().filter_map(|file| file.footer.as_ref()).collect();
    let files = footers.iter().zip(&names).map(|(footer, file)| Columns {
        file,
        schema: &footer.schema,
        bounds: &footer.bounds,
        nulls: &footer.nulls,
    });
    agree(input, &files.collect::<Vec<_>>())
}

/// The columns of Avro files, from their headers.
///
/// # Errors
/// As for [`of_parquet`]; also if a header is damaged or cannot be read.
pub(super) fn of_avro(input: &Input) -> Result<SchemaRef> {
    let names = names(input);
    let schemas = input.files.par_iter().map(|file| avro::columns(&file.source)).collect::<Result<Vec<_>>>()?;
    let (unknown, uncounted) = (BTreeMap::new(), BTreeMap::new());
    let files =
        schemas.iter().zip(&names).map(|(schema, file)| Columns { file, schema, bounds: &unknown, nulls: &uncounted });
    agree(input, &files.collect::<Vec<_>>())
}

fn names(input: &Input) -> Vec<String> {
    input.files.iter().map(|file| file.source.to_string()).collect()
}

fn agree(input: &Input, files: &[Columns]) -> Result<SchemaRef> {
    let (table, mut problems) = match union(files, input.contract.as_ref()) {
        Ok(table) => (Some(with_optional(input, &table)), Vec::new()),
        Err(problems) => (None, problems),
    };
    let partitions = input.partition_fields()?;
    if let Some(contract) = &input.contract {
        let breaches = files.iter().flat_map(|file| breaches(contract, file, table.as_deref(), &partitions));
        problems.extend(breaches.take(MAX_PROBLEMS));
    }
    match table.filter(|_| problems.is_empty()) {
        Some(table) => Ok(table),
        None => {
            problems.dedup();
            if problems.len() > MAX_PROBLEMS {
                problems.truncate(MAX_PROBLEMS);
                problems.push("… and more".to_owned());
            }
            let problems = problems.join("\n  ");
            Err(Error::input(format!("input {} is not what the job expects\n  {problems}", input.name)))
        }
    }
}

/// The table with the columns that its contract allows to be in no file.
fn with_optional(input: &Input, table: &SchemaRef) -> SchemaRef {
    let Some(contract) = &input.contract else { return Arc::clone(table) };
    let there: Vec<&str> = table.fields().iter().map(|field| field.name().as_str()).collect();
    let may_be = |column: &contract::Column| column.optional && !input.partition_columns.contains(&column.name);
    let absent = contract.absent(&there, may_be).into_iter().map(Arc::new);
    Arc::new(Schema::new(table.fields().iter().cloned().chain(absent).collect::<Vec<_>>()))
}

/// Every way in which a file breaks the contract. What it has not, but may lack, and what is widened to the contract's
/// type, is as the table of all files has it.
fn breaches(contract: &Contract, file: &Columns, table: Option<&Schema>, partitions: &[Field]) -> Vec<String> {
    let mut fields: Vec<Field> = file.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    for column in &contract.columns {
        let Some(all) = table.and_then(|table| table.field_with_name(&column.name).ok()) else { continue };
        let own = fields.iter().position(|field| *field.name() == column.name);
        match own {
            Some(own) if column.is_of(all.data_type()) => fields[own] = all.clone(),
            None if column.nullable => fields.push(all.clone()),
            _ => {}
        }
    }
    fields.extend(partitions.iter().cloned());
    let mut problems = contract.check(&Schema::new(fields), file.file);
    problems.extend(contract.columns.iter().filter(|column| !column.nullable).filter_map(|column| {
        let nulls = file.nulls.get(&column.name).copied().filter(|nulls| *nulls > 0)?;
        Some(format!("{}: column {} holds {nulls} nulls, but its contract allows none", file.file, column.name))
    }));
    problems
}
