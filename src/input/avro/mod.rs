//! Avro files: the columns of all of them together, and their blocks, checked before a decoder gets them.
//!
//! ```text
//! blocks.rs: the file, block by block ─▶ codec.rs: unpacked, up to a limit ─▶ shape.rs: whole records
//! ```
//! Not for: decoding values, which `arrow-avro` does for the query.

mod blocks;
mod codec;
mod shape;

use std::path::Path;

use arrow::datatypes::{Fields, Schema, SchemaRef};
use arrow_avro::reader::ReaderBuilder;

use super::layout::bare_field;
use crate::catch_panic::contain;
use crate::error::{Error, IoContext, Result};

pub use blocks::{Blocks, Part};

/// Opens an Avro file.
///
/// # Errors
/// `Input` when it is no Avro file; `Unavailable` when it cannot be read.
pub fn open(path: &Path) -> Result<Blocks> {
    std::fs::File::open(path).io("open", path)?;
    Blocks::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Error::input(error.to_string()),
        _ => Error::unavailable(format!("cannot read {}", path.display())).because(error),
    })
}

/// The columns that the header of an Avro file tells.
///
/// # Errors
/// `Input` when it is no Avro file, or a type of it cannot be read; `Unavailable` when it cannot be read.
pub(super) fn columns(path: &Path) -> Result<SchemaRef> {
    let header = contain(|| {
        let blocks = open(path)?;
        let reader = ReaderBuilder::new().build(blocks.header());
        let schema = reader.map(|reader| reader.schema());
        schema.map_err(|error| {
            Error::input(format!("{} has a schema that cannot be read", path.display())).because(error)
        })
    });
    let schema = header.unwrap_or_else(|panic| {
        Err(Error::input(format!("{} has a schema that cannot be read", path.display())).because(panic))
    })?;
    // Notes about names, which differ between files.
    let fields: Fields = schema.fields().iter().map(bare_field).collect();
    Ok(std::sync::Arc::new(Schema::new(fields)))
}
