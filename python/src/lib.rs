//! The native part of the Python package `cutover`: reads stores, and follows their versions.
//!
//! ```text
//! Reader ──snapshot()──▶ Version ──get, multi_get, scan──▶ Python values
//!                                 └─to_arrow, to_batches──▶ Arrow, through PyCapsules
//! ```
//! Work runs without the interpreter's lock, so that other threads run meanwhile. `cutover/_native.pyi` has the types.
//!
//! Not for: building versions: `cutover/_commands.py` starts the command.

mod arrow_stream;
mod cursor;
mod detached;
mod errors;
mod fork;
mod keys;
mod reader;
mod values;
mod version;

#[path = "../../src/input/type_parser.rs"]
#[allow(dead_code, reason = "it also parses the types of contracts")]
mod type_parser;

use pyo3::prelude::*;

/// The module `cutover._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    fork::watch(module)?;
    detached::watch(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<reader::Reader>()?;
    module.add_class::<version::Version>()?;
    module.add_class::<version::Entries>()?;
    module.add_class::<arrow_stream::ArrowStream>()?;
    module.add_class::<arrow_stream::ArrowBatches>()?;
    module.add_class::<arrow_stream::ArrowBatch>()
}
