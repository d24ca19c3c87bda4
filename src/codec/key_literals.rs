//! Literals of keys: parses the KEY argument of commands, and formats keys in their output.
//!
//! ```text
//! one column       https://a.example/      2026-11-22      42      0xcafe
//! several columns  ["https://a.example/", "25-34"]         with fold `number` its number last: ["…", "25-34", 0]
//! ```
//!
//! [`KeySchema::parse`] accepts what [`KeySchema::to_json`] returns. Columns that are not strings may be given as JSON
//! numbers or strings; dates as 2026-11-22 or days, timestamps as RFC 3339 or in their unit, decimals as 1.25, binary
//! as 0x and hex digits. Nothing is rounded: a key that its type cannot hold exactly is refused.

use arrow_buffer::i256;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Number, Value};

use super::tuple::{self, Element};
use super::{listing, literals};
use crate::error::{Error, Result};
use crate::format::{KeyColumn, KeyEncoding, KeyKind, KeySchema};

impl KeySchema {
    /// The stored bytes of a complete key.
    ///
    /// # Errors
    /// `Invalid` when the string is not a key of these columns, with what is expected.
    pub fn parse(&self, key: &str) -> Result<Vec<u8>> {
        if self.encoding == KeyEncoding::Bytes {
            return self.parse_bytes(key);
        }
        let mut out = Vec::new();
        if let ([column], false) = (self.columns.as_slice(), self.numbered) {
            // A JSON string is accepted, too, and unquoted.
            match serde_json::from_str(key) {
                Ok(Value::String(inner)) => column.write_text(&inner, &mut out)?,
                _ => column.write_text(key, &mut out)?,
            }
            return Ok(out);
        }
        let elements = self.array(key)?;
        if elements.len() != self.width() {
            return Err(self.mismatch(&format!("{key} has {}", counted(elements.len()))));
        }
        self.write_elements(&elements, &mut out)?;
        Ok(out)
    }

    /// The stored bytes of a key prefix: the first columns of a tuple as a JSON array, each complete, or the leading
    /// bytes of a key of one string or binary column.
    ///
    /// # Errors
    /// `Invalid` when the string is not a prefix of a key of these columns.
    pub fn parse_prefix(&self, prefix: &str) -> Result<Vec<u8>> {
        if self.encoding == KeyEncoding::Bytes {
            return self.parse_bytes(prefix);
        }
        let mut out = Vec::new();
        // A bare string may be meant as the start of a string column, but a tuple's prefix holds complete columns only.
        let is_array = serde_json::from_str::<Vec<IgnoredAny>>(prefix).is_ok();
        match self.columns.first() {
            Some(first) if !is_array && (self.width() == 1 || first.kind != KeyKind::String) => {
                first.write_text(prefix, &mut out)?;
                return Ok(out);
            }
            Some(_) if prefix.is_empty() => return Err(self.mismatch("a prefix must not be empty")),
            Some(_) if !is_array && prefix.trim_start().starts_with('[') => {
                return Err(self.mismatch(&format!("{prefix} is not complete JSON")));
            }
            Some(first) if !is_array => {
                let whole = Value::Array(vec![Value::from(prefix)]);
                return Err(self.mismatch(&format!(
                    "{prefix:?} is not the start of a key: write '{whole}' for all keys whose {} is exactly this",
                    first.name
                )));
            }
            _ => {}
        }
        let elements = self.array(prefix)?;
        if elements.len() > self.width() {
            return Err(self.mismatch(&format!("{prefix} has {}", counted(elements.len()))));
        }
        self.write_elements(&elements, &mut out)?;
        Ok(out)
    }

    /// A stored key for display: the value of a one-column key, else an array of all elements.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not a key of these columns.
    pub fn to_json(&self, key: &[u8]) -> Result<Value> {
        let corrupt =
            || Error::corrupt(format!("key {} does not decode as ({})", literals::hex(key), listing(self.names())));
        if let (KeyEncoding::Bytes, [column]) = (self.encoding, self.columns.as_slice()) {
            return match column.kind {
                KeyKind::String => std::str::from_utf8(key).map(Value::from).map_err(|error| corrupt().because(error)),
                _ => Ok(Value::from(literals::hex(key))),
            };
        }
        let mut values = Vec::with_capacity(self.width());
        let mut rest = key;
        for kind in self.kinds() {
            let (element, size) = tuple::read(rest).ok_or_else(corrupt)?;
            values.push(show(kind, &element).ok_or_else(corrupt)?);
            rest = &rest[size..];
        }
        match (rest, values.as_mut_slice()) {
            ([], [one]) => Ok(one.take()),
            ([], _) => Ok(Value::Array(values)),
            _ => Err(corrupt()),
        }
    }

    /// Elements of a complete key.
    fn width(&self) -> usize {
        self.columns.len() + usize::from(self.numbered)
    }

    fn kinds(&self) -> impl Iterator<Item = KeyKind> {
        let number = self.numbered.then_some(KeyKind::Int { bits: 64, signed: false });
        self.columns.iter().map(|column| column.kind).chain(number)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str()).chain(self.numbered.then_some("number"))
    }

    fn parse_bytes(&self, key: &str) -> Result<Vec<u8>> {
        match self.columns.as_slice() {
            [KeyColumn { kind: KeyKind::Binary, name, .. }] => literals::unhex(key).ok_or_else(|| {
                Error::invalid(format!(
                    "{key:?} is not a key of the binary column '{name}': write it as 0x and hex digits"
                ))
            }),
            _ => Ok(key.as_bytes().to_vec()),
        }
    }

    /// The elements of a JSON array as unparsed strings, so that no number passes through a double.
    fn array<'a>(&self, key: &'a str) -> Result<Vec<&'a str>> {
        let mismatch = || self.mismatch(&format!("{key:?} is not a JSON array"));
        serde_json::from_str::<Vec<IgnoredAny>>(key).map_err(|error| mismatch().because(error))?;
        elements(key).ok_or_else(mismatch)
    }

    fn mismatch(&self, what: &str) -> Error {
        Error::invalid(format!("{what}, but a key is an array of {}: [{}]", self.width(), listing(self.names())))
    }

    fn write_elements(&self, elements: &[&str], out: &mut Vec<u8>) -> Result<()> {
        let mut columns = self.columns.iter();
        for element in elements {
            match columns.next() {
                Some(column) => column.write_json(element, out)?,
                None => append_json_number(element, out)?,
            }
        }
        Ok(())
    }
}

/// Splits a JSON array into its elements.
fn elements(array: &str) -> Option<Vec<&str>> {
    let mut rest = array.trim_start().strip_prefix('[')?.trim_start();
    let mut elements = Vec::new();
    while !rest.starts_with(']') {
        let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (element, after) = rest.split_at_checked(values.byte_offset())?;
        elements.push(element.trim());
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(elements)
}

fn append_json_number(element: &str, out: &mut Vec<u8>) -> Result<()> {
    let number: u64 = element.parse().map_err(|error: std::num::ParseIntError| {
        Error::invalid(format!("{element} is not the number of an entry: use 0, 1, 2, …")).because(error)
    })?;
    tuple::write_u64(out, number);
    Ok(())
}

impl KeyColumn {
    /// Writes one element of a JSON array.
    fn write_json(&self, element: &str, out: &mut Vec<u8>) -> Result<()> {
        match (element.as_bytes().first(), self.kind) {
            (Some(b'"'), _) => {
                let text: String = serde_json::from_str(element).map_err(|error| self.unfit(element).because(error))?;
                self.write_text(&text, out)
            }
            (_, KeyKind::String | KeyKind::Binary) | (Some(b'n' | b'[' | b'{'), _) => Err(self.unfit(element)),
            _ => self.write_text(element, out),
        }
    }

    fn write_text(&self, text: &str, out: &mut Vec<u8>) -> Result<()> {
        self.try_write(text, out).ok_or_else(|| self.unfit(&format!("{text:?}")))
    }

    fn try_write(&self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        let count = || text.parse::<i64>().ok();
        match self.kind {
            KeyKind::Bool => tuple::write_bool(out, text.parse().ok()?),
            KeyKind::Int { bits, signed } => {
                let value: i128 = text.parse().ok()?;
                let (low, high) = if signed { (-(1 << (bits - 1)), 1 << (bits - 1)) } else { (0, 1 << bits) };
                tuple::write_i128(out, (low..high).contains(&value).then_some(value)?);
            }
            KeyKind::Float32 => tuple::write_f32(out, literals::parse_f32(text).filter(|value| !value.is_nan())?),
            KeyKind::Float64 => tuple::write_f64(out, literals::parse_f64(text).filter(|value| !value.is_nan())?),
            KeyKind::String => tuple::write_str(out, text),
            KeyKind::Binary => tuple::write_bytes(out, &literals::unhex(text)?),
            KeyKind::Date => tuple::write_i64(out, count().or_else(|| literals::parse_date(text))?),
            KeyKind::Time(unit) => tuple::write_i64(out, count().or_else(|| literals::parse_time(text, unit))?),
            KeyKind::Timestamp { unit, utc } => {
                tuple::write_i64(out, count().or_else(|| literals::parse_timestamp(text, unit, utc))?);
            }
            KeyKind::Duration(_) => tuple::write_i64(out, count()?),
            KeyKind::Decimal { precision, scale } => {
                tuple::write_i256(out, literals::parse_decimal(text, precision, scale)?);
            }
        }
        Some(())
    }

    fn unfit(&self, value: &str) -> Error {
        let form = match self.kind {
            KeyKind::Bool => "true or false",
            KeyKind::Int { .. } => "an integer in its range",
            KeyKind::Float32 | KeyKind::Float64 => "a number that it holds exactly",
            KeyKind::String => "a string in quotes",
            KeyKind::Binary => "0x and hex digits",
            KeyKind::Date => "a date like 2026-11-22, or days since 1970-01-01",
            KeyKind::Time(_) => "a time like 10:30:00, or an integer in the column's unit",
            KeyKind::Timestamp { utc: true, .. } => {
                "a time like 2026-11-22T10:30:00Z, or an integer in the column's unit"
            }
            KeyKind::Timestamp { .. } => "a time like 2026-11-22T10:30:00, or an integer in the column's unit",
            KeyKind::Duration(_) => "an integer in the column's unit",
            KeyKind::Decimal { .. } => "a number like 1.25 that its precision and scale hold exactly",
        };
        Error::invalid(format!(
            "{value} does not fit the key column '{}' of type {}: use {form}",
            self.name, self.type_name
        ))
    }
}

/// The element as JSON; `None` when it is not of this kind.
fn show(kind: KeyKind, element: &Element<'_>) -> Option<Value> {
    let float = |text: String| {
        let number = text.parse().ok().and_then(Number::from_f64);
        Some(number.map_or(Value::from(text), Value::Number))
    };
    match (kind, element) {
        (KeyKind::Bool, Element::Bool(value)) => Some(Value::from(*value)),
        (KeyKind::Float32, Element::Float(value)) => float(value.to_string()),
        (KeyKind::Float64, Element::Double(value)) => float(value.to_string()),
        (KeyKind::String, Element::Str(value)) => Some(Value::from(value.as_ref())),
        (KeyKind::Binary, Element::Bytes(value)) => Some(Value::from(literals::hex(value))),
        (KeyKind::Int { signed: false, .. }, Element::Int(value)) => {
            u64::try_from(value.to_i128()?).ok().map(Value::from)
        }
        (KeyKind::Decimal { scale, .. }, Element::Int(value)) => Some(Value::from(literals::decimal(*value, scale))),
        (_, Element::Int(value)) => show_count(kind, *value),
        _ => None,
    }
}

/// An integer as the date or time that it represents, or the integer itself if that has no literal.
fn show_count(kind: KeyKind, value: i256) -> Option<Value> {
    let count = i64::try_from(value.to_i128()?).ok()?;
    let text = match kind {
        KeyKind::Date => literals::date(count),
        KeyKind::Time(unit) => literals::time(count, unit),
        KeyKind::Timestamp { unit, utc } => literals::timestamp(count, unit, utc),
        KeyKind::Int { .. } | KeyKind::Duration(_) => None,
        _ => return None,
    };
    Some(text.map_or(Value::from(count), Value::from))
}

fn counted(elements: usize) -> String {
    if elements == 1 { "1 element".to_owned() } else { format!("{elements} elements") }
}
