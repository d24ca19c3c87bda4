//! Keys: from Python values to stored bytes, and back.
//!
//! ```text
//! b"…"           the stored bytes, as they are
//! 42, "planes"   the value of a key of one column
//! ("/home", 3)   the columns of a key of several
//! ```
//! Everything else is the text that `cutover get` takes, so that one parser decides what a key is. What comes back has
//! the same form: dates, times and decimals as text, binary columns as bytes.

use cutover::error::{Error, Kind, Result};
use cutover::format::{KeyColumn, KeyEncoding, KeyKind, KeySchema};
use cutover::serve::Range;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDate, PyDateTime, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::Value;

use crate::errors::{OrRaise, invalid};
use crate::values;

/// The stored bytes of a complete key.
pub(crate) fn encode(schema: &KeySchema, key: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    let columns = columns(key)?;
    if schema.encoding == KeyEncoding::Bytes {
        return match columns.as_slice() {
            [one] => bytes_of(schema, one),
            other => Err(not_one(key, other.len())),
        };
    }
    let parsed = match (width(schema), columns.as_slice()) {
        (1, [one]) => schema.parse(&literal(schema, 0, one)?),
        _ => schema.parse(&array(schema, &columns)?),
    };
    parsed.or_raise(key.py())
}

/// The keys of a prefix: complete first columns, or the start of a text.
pub(crate) fn encode_prefix(schema: &KeySchema, prefix: &Bound<'_, PyAny>) -> PyResult<Range> {
    if let Ok(bytes) = prefix.cast::<PyBytes>() {
        return Ok(Range::prefix(bytes.as_bytes()));
    }
    if schema.encoding == KeyEncoding::Bytes {
        if !is_columns(prefix) {
            return bytes_of(schema, prefix).map(|start| Range::prefix(&start));
        }
        return match columns(prefix)?.as_slice() {
            [] => Ok(Range::all()),
            [one] => bytes_of(schema, one).map(|key| Range::between(&key, &[key.as_slice(), &[0]].concat())),
            more => Err(not_one(prefix, more.len())),
        };
    }
    let text = match prefix.cast::<PyString>() {
        Ok(text) => text.to_string(),
        Err(_) => array(schema, &columns(prefix)?)?,
    };
    schema.parse_prefix(&text).map(|start| Range::columns(&start)).or_raise(prefix.py())
}

fn is_columns(key: &Bound<'_, PyAny>) -> bool {
    key.is_instance_of::<PyTuple>() || key.is_instance_of::<PyList>()
}

/// The columns of a key that is not bytes.
fn columns<'py>(key: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    match is_columns(key) {
        true => key.try_iter()?.collect(),
        false => Ok(vec![key.clone()]),
    }
}

/// A key of one text or binary column: its bytes.
fn bytes_of(schema: &KeySchema, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    match schema.columns.as_slice() {
        [KeyColumn { kind: KeyKind::String, .. }] => match value.cast::<PyString>() {
            Ok(text) => Ok(text.to_cow()?.as_bytes().to_vec()),
            Err(_) => Err(unfit(value, "str")),
        },
        _ => match value.cast::<PyBytes>() {
            Ok(bytes) => Ok(bytes.as_bytes().to_vec()),
            Err(_) => Err(unfit(value, "bytes")),
        },
    }
}

fn array(schema: &KeySchema, columns: &[Bound<'_, PyAny>]) -> PyResult<String> {
    let literals = columns.iter().enumerate().map(|(at, column)| literal(schema, at, column));
    Ok(format!("[{}]", literals.collect::<PyResult<Vec<_>>>()?.join(",")))
}

/// A column's value as JSON: the number of an entry as it is, all else as a string.
fn literal(schema: &KeySchema, at: usize, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let kind = schema.columns.get(at).map(|column| column.kind);
    let text = match kind {
        Some(KeyKind::String) if !value.is_instance_of::<PyString>() => return Err(unfit(value, "str")),
        Some(KeyKind::Binary) if !value.is_instance_of::<PyBytes>() => return Err(unfit(value, "bytes")),
        Some(KeyKind::Date) if value.is_instance_of::<PyDateTime>() => return Err(unfit(value, "datetime.date")),
        _ => text(value)?,
    };
    Ok(if kind.is_none() { text } else { Value::from(text).to_string() })
}

fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_cow()?.into_owned());
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(truth.is_true().to_string());
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        let digits: String = bytes.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        return Ok(format!("0x{digits}"));
    }
    if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>() {
        return Ok(value.str()?.to_cow()?.into_owned());
    }
    if value.is_instance_of::<PyDate>() || value.hasattr("isoformat")? {
        return value.call_method0("isoformat")?.extract();
    }
    if value.hasattr("as_tuple")? {
        // A Decimal; `f` writes no exponent.
        return value.call_method1("__format__", ("f",))?.extract();
    }
    match value.call_method0("__index__") {
        Ok(number) => Ok(number.str()?.to_cow()?.into_owned()),
        Err(_) => Err(unfit(value, "a value of the key's columns")),
    }
}

fn unfit(value: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    let found = value.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    PyTypeError::new_err(format!("a key of this dataset takes {wanted}, not {found}"))
}

fn not_one(key: &Bound<'_, PyAny>, found: usize) -> PyErr {
    invalid(key.py(), format!("a key of this dataset has one column, not {found}"))
}

/// Elements of a complete key.
fn width(schema: &KeySchema) -> usize {
    schema.columns.len() + usize::from(schema.numbered)
}

/// A stored key as Python values: one value, or a tuple.
pub(crate) fn decode<'py>(py: Python<'py>, schema: &KeySchema, key: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if let (KeyEncoding::Bytes, [column]) = (schema.encoding, schema.columns.as_slice()) {
        match (column.kind, std::str::from_utf8(key)) {
            (KeyKind::Binary, _) => return Ok(PyBytes::new(py, key).into_any()),
            (_, Ok(text)) => return Ok(PyString::new(py, text).into_any()),
            _ => {}
        }
    }
    let shown = schema.to_json(key).or_raise(py)?;
    match shown {
        Value::Array(elements) => {
            let elements = elements.iter().enumerate().map(|(at, element)| of_column(py, schema, at, element));
            Ok(PyTuple::new(py, elements.collect::<PyResult<Vec<_>>>()?)?.into_any())
        }
        one => of_column(py, schema, 0, &one),
    }
}

fn of_column<'py>(py: Python<'py>, schema: &KeySchema, at: usize, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match (schema.columns.get(at).map(|column| column.kind), value) {
        (Some(KeyKind::Binary), Value::String(digits)) => {
            Ok(PyBytes::new(py, &values::undigits(digits.trim_start_matches("0x"))).into_any())
        }
        _ => values::of_json(py, value),
    }
}

/// The names of a key's columns as JSON, each with its colon.
pub(crate) fn names(schema: &KeySchema) -> Vec<String> {
    let names = schema.columns.iter().map(|column| column.name.as_str());
    let names = names.chain(schema.numbered.then_some(NUMBER));
    names.map(|name| format!("{}:", Value::from(name))).collect()
}

/// A stored key as the members of a JSON object: `names`, values, and a comma behind each.
pub(crate) fn members(schema: &KeySchema, names: &[String], key: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if let (KeyEncoding::Bytes, [KeyColumn { kind: KeyKind::String, .. }], [name], Ok(text)) =
        (schema.encoding, schema.columns.as_slice(), names, std::str::from_utf8(key))
    {
        out.extend_from_slice(name.as_bytes());
        append(&text, out)?;
        return Ok(());
    }
    let shown = schema.to_json(key)?;
    let elements = match shown {
        Value::Array(elements) => elements,
        one => vec![one],
    };
    let kinds = schema.columns.iter().map(|column| Some(column.kind)).chain([None]);
    for ((name, kind), element) in names.iter().zip(kinds).zip(elements) {
        out.extend_from_slice(name.as_bytes());
        match (kind, &element) {
            (Some(KeyKind::Binary), Value::String(digits)) => append(&digits.trim_start_matches("0x"), out)?,
            _ => append(&element, out)?,
        }
    }
    Ok(())
}

fn append(value: &impl serde::Serialize, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(|error| Error::new(Kind::Internal, "no JSON").because(error))?;
    out.push(b',');
    Ok(())
}

/// The column of an entry's number, where several entries have one key.
pub(crate) const NUMBER: &str = "number";
