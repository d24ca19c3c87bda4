//! The Arrow type a contract's type name asks for, for values that come as text: CSV, JSON and folder names.
//!
//! The inverse of [`super::contract::type_name`] for the types text can hold.
//!
//! Not for: Parquet and Avro, whose files say their types themselves.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};

/// The type of that name, or nothing where text cannot hold it.
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
        for name in ["", "list<int8>", "timestamp[x]", "decimal(99, 1)", "decimal(x, 1)", "struct<>"] {
            assert_eq!(from_name(name), None, "{name}");
        }
    }
}
