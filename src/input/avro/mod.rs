//! Avro files: merges the columns of all of them, and checks their blocks before they are decoded.
//!
//! ```text
//! blocks.rs: the file, block by block ─▶ codec.rs: decompressed, up to a limit ─▶ shape.rs: complete records
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
/// `Input` if it is not an Avro file; `Unavailable` if it cannot be read.
pub fn open(path: &Path) -> Result<Blocks> {
    std::fs::File::open(path).io("open", path)?;
    Blocks::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Error::input(error.to_string()),
        _ => Error::unavailable(format!("cannot read {}", path.display())).because(error),
    })
}

/// The columns according to the header of an Avro file.
///
/// # Errors
/// `Input` if it is not an Avro file, or has an unsupported type; `Unavailable` if it cannot be read.
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
    // Without field metadata, which differs between files.
    let fields: Fields = schema.fields().iter().map(bare_field).collect();
    Ok(std::sync::Arc::new(Schema::new(fields)))
}
