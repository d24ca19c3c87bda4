//! Values: from stored bytes to Python values.
//!
//! ```text
//! json   dict, or a list of dicts; numbers with a fraction are float, or Decimal where the dataset has decimal columns
//! avro   dict; decimals, NaN and infinities are text, and several rows the list `entries` of it
//! raw    str for a text column, bytes for a binary one
//! ```
//! JSON is parsed by Python's own scanner, which keeps all digits of integers and, if asked, of decimals.

use cutover::error::{Error, Kind};
use cutover::format::{Encoding, ValueSchema};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use serde_json::Value;

use crate::errors::{OrRaise, raised};

/// How the values of a version become Python values.
pub(crate) enum Decoder {
    /// `scan_once` of a decoder of Python's module `json`.
    Json(Py<PyAny>),
    Avro,
    Text,
    Bytes,
}

static FLOATS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static DECIMALS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

impl Decoder {
    pub(crate) fn new(py: Python<'_>, schema: &ValueSchema) -> PyResult<Self> {
        let any = |is: fn(&str) -> bool| schema.columns.iter().any(|column| is(&column.type_name));
        Ok(match schema.encoding {
            Encoding::Json => Self::Json(scanner(py, any(has_decimal))?),
            Encoding::Avro { .. } => Self::Avro,
            Encoding::Raw if any(|name| name == "string") => Self::Text,
            Encoding::Raw => Self::Bytes,
        })
    }

    /// A stored value.
    pub(crate) fn decode<'py>(
        &self,
        py: Python<'py>,
        schema: &ValueSchema,
        value: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Bytes => Ok(PyBytes::new(py, value).into_any()),
            Self::Text => Ok(PyString::new(py, utf8(py, value)?).into_any()),
            Self::Avro => of_json(py, &schema.to_json(value).or_raise(py)?),
            Self::Json(scan_once) => {
                let text = utf8(py, value)?;
                let scanned = scan_once.bind(py).call1((text, 0));
                let (decoded, end): (Bound<'py, PyAny>, usize) =
                    scanned.and_then(|scanned| scanned.extract()).map_err(|_| damaged(py, "is not JSON"))?;
                match end == text.chars().count() {
                    true => Ok(decoded),
                    false => Err(damaged(py, "has more than one JSON document")),
                }
            }
        }
    }
}

/// Whether a type is a decimal or contains one. Names of fields that have a parenthesis are quoted, as in JSON.
fn has_decimal(type_name: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    let unquoted = type_name.chars().filter(|&letter| {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        !quoted
    });
    unquoted.collect::<String>().contains("decimal(")
}

fn scanner(py: Python<'_>, decimals: bool) -> PyResult<Py<PyAny>> {
    let made = if decimals { &DECIMALS } else { &FLOATS };
    let scanner = made.get_or_try_init(py, || {
        let options = PyDict::new(py);
        if decimals {
            options.set_item("parse_float", py.import("decimal")?.getattr("Decimal")?)?;
        }
        let decoder = py.import("json")?.getattr("JSONDecoder")?.call((), Some(&options))?;
        Ok::<_, PyErr>(decoder.getattr("scan_once")?.unbind())
    })?;
    Ok(scanner.clone_ref(py))
}

fn utf8<'a>(py: Python<'_>, value: &'a [u8]) -> PyResult<&'a str> {
    std::str::from_utf8(value).map_err(|_| damaged(py, "is not UTF-8"))
}

fn damaged(py: Python<'_>, how: &str) -> PyErr {
    raised(py, &Error::new(Kind::Corrupt, format!("a stored value {how}")))
}

/// A JSON value as a Python value.
pub(crate) fn of_json<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => truth.into_pyobject(py)?.to_owned().into_any(),
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_pyobject(py)?.into_any(),
            (_, Some(number)) => number.into_pyobject(py)?.into_any(),
            _ => number.as_f64().unwrap_or(f64::NAN).into_pyobject(py)?.into_any(),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| of_json(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (name, member) in members {
                dict.set_item(name, of_json(py, member)?)?;
            }
            dict.into_any()
        }
    })
}

/// The bytes of hexadecimal digits.
pub(crate) fn undigits(digits: &str) -> Vec<u8> {
    let digit = |letter: u8| char::from(letter).to_digit(16).unwrap_or_default() as u8;
    digits.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
