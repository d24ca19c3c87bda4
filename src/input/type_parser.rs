//! Parses a contract's type names into Arrow types, for values that come as text: CSV, JSON and directory names.
//!
//! The inverse of [`super::contract::type_name`] for the types that text can represent.
//!
//! Not for: Parquet and Avro, whose files contain their types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

/// The type of that name; none if text cannot represent it.
pub fn from_name(name: &str) -> Option<DataType> {
    Some(match name {
        "bool" => DataType::Boolean,
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "int64" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float32" => DataType::Float32,
        "float64" => DataType::Float64,
        "string" => DataType::Utf8,
        "date" => DataType::Date32,
        _ => return with_parameters(name),
    })
}

/// The type of that name with lists and structs, for JSON; none if text cannot represent it.
pub(super) fn nested_from_name(name: &str) -> Option<DataType> {
    if let Some(item) = name.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return Some(DataType::List(Arc::new(Field::new_list_field(nested_from_name(item)?, true))));
    }
    let Some(mut rest) = name.strip_prefix("struct<").and_then(|rest| rest.strip_suffix('>')) else {
        return from_name(name);
    };
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (field, after) = field_name(rest)?;
        let end = end_of_type(after);
        fields.push(Field::new(field, nested_from_name(&after[..end])?, true));
        rest = after[end..].strip_prefix(", ").unwrap_or(&after[end..]);
    }
    Some(DataType::Struct(fields.into()))
}

/// The name of a struct's first field, which may be quoted, and what follows its colon.
fn field_name(fields: &str) -> Option<(String, &str)> {
    if !fields.starts_with('"') {
        let (name, after) = fields.split_once(": ")?;
        return Some((name.to_owned(), after));
    }
    let mut quoted = serde_json::Deserializer::from_str(fields).into_iter::<String>();
    let name = quoted.next()?.ok()?;
    Some((name, fields.get(quoted.byte_offset()..)?.strip_prefix(": ")?))
}

/// The end of the first of several types: a comma that is not in brackets or quotes.
fn end_of_type(types: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, letter) in types.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' | '(' | '[' if !quoted => depth += 1,
            '>' | ')' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => return at,
            _ => {}
        }
    }
    types.len()
}

fn with_parameters(name: &str) -> Option<DataType> {
    if let Some(parameters) = name.strip_prefix("timestamp[").and_then(|rest| rest.strip_suffix(']')) {
        let (unit, zone) = parameters.split_once(", ").map_or((parameters, None), |(unit, zone)| (unit, Some(zone)));
        let unit = match unit {
            "s" => TimeUnit::Second,
            "ms" => TimeUnit::Millisecond,
            "us" => TimeUnit::Microsecond,
            "ns" => TimeUnit::Nanosecond,
            _ => return None,
        };
        return Some(DataType::Timestamp(unit, zone.map(Arc::from)));
    }
    let (precision, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(", ")?;
    Some(DataType::Decimal128(precision.parse().ok().filter(|digits| (1..=38).contains(digits))?, scale.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::contract::type_name;

    #[test]
    fn names_and_types_agree() {
        for name in [
            "bool",
            "int8",
            "uint64",
            "float32",
            "string",
            "date",
            "timestamp[ms]",
            "timestamp[us, UTC]",
            "decimal(10, 2)",
        ] {
            assert_eq!(from_name(name).map(|data_type| type_name(&data_type)).as_deref(), Some(name));
        }
        for name in [
            "int8",
            "list<list<decimal(10, 2)>>",
            "struct<>",
            "struct<a: list<struct<b: timestamp[us, UTC]>>, \"odd: \\\", <name\": string, c: bool>",
        ] {
            assert_eq!(nested_from_name(name).map(|data_type| type_name(&data_type)).as_deref(), Some(name));
        }
        assert_eq!(nested_from_name("list<binary>"), None);
        for name in ["", "list<int8>", "timestamp[x]", "decimal(99, 1)", "decimal(x, 1)", "struct<>"] {
            assert_eq!(from_name(name), None, "{name}");
        }
    }
}
