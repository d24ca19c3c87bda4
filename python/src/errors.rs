//! Errors of the library as exceptions of the package: one class per kind, all of them `CutoverError`.

use cutover::error::{Error, Kind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// `cutover._errors.of_kind`, which makes the exception.
static OF_KIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for an error.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).unwrap_or_else(|failed| failed)
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let of_kind = OF_KIND.import(py, "cutover._errors", "of_kind")?;
    let chain = error.chain();
    let causes = chain.get(1..).unwrap_or_default().to_vec();
    Ok(PyErr::from_value(of_kind.call1((error.kind().name(), error.message(), causes))?))
}

/// An exception for what a caller did wrong.
pub(crate) fn invalid(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raised(py, &Error::new(Kind::Invalid, message))
}

/// The value, or the exception for its error.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception for its error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for cutover::error::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raised(py, &error))
    }
}
