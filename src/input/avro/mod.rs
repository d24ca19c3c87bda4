//! Avro files: merges the columns of all of them, and checks their blocks before they are decoded.
//!
//! ```text
//! blocks.rs: the file, block by block ─▶ codec.rs: decompressed, up to a limit ─▶ shape.rs: complete records
//! ```
//! Not for: decoding values, which `arrow-avro` does for the query.

mod blocks;
mod codec;
mod shape;

use arrow::datatypes::{Fields, Schema, SchemaRef};
use arrow_avro::reader::ReaderBuilder;

use super::layout::bare_field;
use super::source::Source;
use crate::catch_panic::contain;
use crate::error::{Error, Result};

pub use blocks::{Blocks, Part};

/// Opens an Avro file.
///
/// # Errors
/// `Input` if it is not an Avro file; `Unavailable` if it cannot be read.
pub fn open(source: &Source) -> Result<Blocks> {
    let reader = source.open()?.into_reader(1);
    Blocks::open(source, reader).or_else(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Err(Error::input(error.to_string())),
        _ => source.told("read", Err(error)),
    })
}

/// The columns according to the header of an Avro file.
///
/// # Errors
/// `Input` if it is not an Avro file, or has an unsupported type; `Unavailable` if it cannot be read.
pub(super) fn columns(source: &Source) -> Result<SchemaRef> {
    let header = contain(|| {
        let blocks = open(source)?;
        let reader = ReaderBuilder::new().build(blocks.header());
        let schema = reader.map(|reader| reader.schema());
        schema.map_err(|error| Error::input(format!("{source} has a schema that cannot be read")).because(error))
    });
    let schema = header.unwrap_or_else(|panic| {
        Err(Error::input(format!("{source} has a schema that cannot be read")).because(panic))
    })?;
    // Without field metadata, which differs between files.
    let fields: Fields = schema.fields().iter().map(bare_field).collect();
    Ok(std::sync::Arc::new(Schema::new(fields)))
}
