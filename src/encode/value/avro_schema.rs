//! Derives the Avro schema of a record from its columns, and the Arrow types that it is written from.
//!
//! ```text
//! bool boolean │ int8‥int32, uint8, uint16 int │ int64, uint32, uint64 long │ float16, float32 float │ float64 double
//! string string │ binary bytes │ binary(n) fixed │ decimal(p, s) bytes/decimal │ date int/date
//! timestamp[ms us ns, zone] long/timestamp-millis… │ without zone long/local-timestamp-… │ seconds are scaled to ms
//! date64 long/local-timestamp-millis │ time[s ms] int/time-millis │ time[us] long/time-micros
//! time[ns], duration long in their unit │ null null │ list array │ struct record │ map with string keys map
//! ```
//!
//! A nullable field is a union with null first and null as its default, so that schemas can evolve. Characters that
//! Avro does not allow in names are replaced with `_`; two columns that get the same name are refused. A uint64 of 2^63
//! or more is an Input error when it occurs. Refused by name: intervals, unions, maps with other keys, decimals with a
//! negative scale or a scale beyond their precision.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields, TimeUnit};
use serde_json::{Value, json};

use super::ValueField;
use crate::error::{Error, Result};
use crate::input::contract::type_name;

/// A record's Avro schema and the Arrow fields it is written from.
pub(super) struct AvroRecord {
    pub(super) schema: Value,
    pub(super) fields: Fields,
}

/// The schema of one record of these columns.
///
/// # Errors
/// `Invalid` naming the column whose type or name Avro cannot hold.
pub(super) fn record(name: &str, columns: &[ValueField]) -> Result<AvroRecord> {
    let mut names = Names::default();
    let fields: Vec<_> =
        columns.iter().map(|column| (column.name.as_str(), &column.data_type, column.nullable)).collect();
    let (schema, fields) = names.record(name, &fields, None)?;
    Ok(AvroRecord { schema, fields })
}

/// The schema of the values of folds that keep a list: a record whose only field is an array of `entry` records.
pub(super) fn list_of(name: &str, entry: &Value) -> Value {
    json!({
        "type": "record",
        "name": sanitised(name),
        "fields": [{ "name": LIST_FIELD, "type": { "type": "array", "items": entry } }],
    })
}

/// The name of the record of a list's entries.
pub(super) fn entry_name(name: &str) -> String {
    format!("{name}_entry")
}

/// The field that holds the entries of a list.
const LIST_FIELD: &str = "entries";

/// A column's name with characters that Avro does not allow replaced with `_`.
fn sanitised(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.chars().next().is_none_or(|first| first.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// The names of records and fixed types so far, which must be unique in a schema.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn unique(&mut self, name: &str) -> String {
        let base = sanitised(name);
        let mut name = base.clone();
        let mut count = 1;
        while !self.0.insert(name.clone()) {
            count += 1;
            name = format!("{base}_{count}");
        }
        name
    }

    /// The schema of a record. `column` is the value's column that contains it; `None` for the outermost record.
    fn record(
        &mut self,
        name: &str,
        fields: &[(&str, &DataType, bool)],
        column: Option<Origin<'_>>,
    ) -> Result<(Value, Fields)> {
        let record = self.unique(name);
        let mut seen: Vec<(String, &str)> = Vec::new();
        let (mut schemas, mut arrow_fields) = (Vec::new(), Vec::new());
        for (field, data_type, nullable) in fields {
            let valid = sanitised(field);
            if let Some((_, other)) = seen.iter().find(|(name, _)| *name == valid) {
                return Err(Error::invalid(format!(
                    "columns '{other}' and '{field}' are both '{valid}' in Avro, which allows letters, digits and _ in \
                     names: rename one of them with AS in the SELECT"
                )));
            }
            let column = column.unwrap_or(Origin { name: field, data_type });
            let (schema, arrow_type) = self.of(&format!("{record}_{valid}"), column, data_type)?;
            let nullable = *nullable || *data_type == &DataType::Null;
            schemas.push(field_schema(&valid, field, schema, nullable));
            arrow_fields.push(Field::new(&valid, arrow_type, nullable));
            seen.push((valid, field));
        }
        Ok((json!({ "type": "record", "name": record, "fields": schemas }), arrow_fields.into()))
    }

    /// The schema of a type and the Arrow type that it is written from. Names of nested types begin with `path`.
    fn of(&mut self, path: &str, column: Origin<'_>, data_type: &DataType) -> Result<(Value, DataType)> {
        let plain = |name: &str| json!(name);
        let logical = |name: &str, logical: &str| json!({ "type": name, "logicalType": logical });
        Ok(match data_type {
            DataType::Null => (plain("null"), DataType::Null),
            DataType::Boolean => (plain("boolean"), DataType::Boolean),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
                (plain("int"), DataType::Int32)
            }
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 | DataType::Duration(_) => {
                (plain("long"), DataType::Int64)
            }
            DataType::Float16 | DataType::Float32 => (plain("float"), DataType::Float32),
            DataType::Float64 => (plain("double"), DataType::Float64),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => (plain("string"), data_type.clone()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => (plain("bytes"), data_type.clone()),
            DataType::FixedSizeBinary(size) => {
                (json!({ "type": "fixed", "name": self.unique(path), "size": size }), data_type.clone())
            }
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => match u8::try_from(*scale) {
                Ok(digits) if digits <= *precision => {
                    let wide = *precision > DECIMAL128_MAX_PRECISION;
                    let arrow = if wide { DataType::Decimal256 } else { DataType::Decimal128 };
                    let schema =
                        json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale });
                    (schema, arrow(*precision, *scale))
                }
                _ => return Err(refused(column, data_type)),
            },
            DataType::Date32 => (logical("int", "date"), DataType::Date32),
            DataType::Date64 => {
                (logical("long", "local-timestamp-millis"), DataType::Timestamp(TimeUnit::Millisecond, None))
            }
            DataType::Time32(_) => (logical("int", "time-millis"), DataType::Time32(TimeUnit::Millisecond)),
            DataType::Time64(TimeUnit::Microsecond) => (logical("long", "time-micros"), data_type.clone()),
            DataType::Time64(_) => (plain("long"), DataType::Int64),
            DataType::Timestamp(unit, zone) => {
                let (unit, suffix) = match unit {
                    TimeUnit::Second | TimeUnit::Millisecond => (TimeUnit::Millisecond, "millis"),
                    TimeUnit::Microsecond => (TimeUnit::Microsecond, "micros"),
                    TimeUnit::Nanosecond => (TimeUnit::Nanosecond, "nanos"),
                };
                let local = if zone.is_some() { "" } else { "local-" };
                (logical("long", &format!("{local}timestamp-{suffix}")), DataType::Timestamp(unit, zone.clone()))
            }
            DataType::Dictionary(_, values) => self.of(path, column, values)?,
            DataType::RunEndEncoded(_, values) => self.of(path, column, values.data_type())?,
            DataType::List(item) | DataType::ListView(item) | DataType::FixedSizeList(item, _) => {
                let (schema, item) = self.item(path, column, item)?;
                (json!({ "type": "array", "items": schema }), DataType::List(item))
            }
            DataType::LargeList(item) | DataType::LargeListView(item) => {
                let (schema, item) = self.item(path, column, item)?;
                (json!({ "type": "array", "items": schema }), DataType::LargeList(item))
            }
            DataType::Struct(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|field| (field.name().as_str(), field.data_type(), field.is_nullable()))
                    .collect();
                let (schema, fields) = self.record(path, &fields, Some(column))?;
                (schema, DataType::Struct(fields))
            }
            DataType::Map(entries, sorted) => self.map(path, column, data_type, entries, *sorted)?,
            DataType::Interval(_) | DataType::Union(_, _) => return Err(refused(column, data_type)),
        })
    }

    fn item(&mut self, path: &str, column: Origin<'_>, item: &FieldRef) -> Result<(Value, FieldRef)> {
        let (schema, arrow_type) = self.of(path, column, item.data_type())?;
        let nullable = item.is_nullable() || arrow_type == DataType::Null;
        Ok((optional(schema, nullable), Arc::new(Field::new(item.name(), arrow_type, nullable))))
    }

    fn map(
        &mut self,
        path: &str,
        column: Origin<'_>,
        data_type: &DataType,
        entries: &FieldRef,
        sorted: bool,
    ) -> Result<(Value, DataType)> {
        let DataType::Struct(pair) = entries.data_type() else { return Err(refused(column, data_type)) };
        let [key, value] = &pair[..] else { return Err(refused(column, data_type)) };
        let (_, key_type) = self.of(path, column, key.data_type())?;
        let key_type = match key_type {
            DataType::Utf8 | DataType::LargeUtf8 => key_type,
            DataType::Utf8View => DataType::Utf8,
            _ => return Err(refused(column, data_type)),
        };
        let (schema, value) = self.item(path, column, value)?;
        let value = Arc::new(value.as_ref().clone().with_name("value"));
        let pair = Fields::from(vec![Arc::new(Field::new("key", key_type, false)), value]);
        let entries = Arc::new(Field::new_struct("entries", pair, false));
        Ok((json!({ "type": "map", "values": schema }), DataType::Map(entries, sorted)))
    }
}

fn optional(schema: Value, nullable: bool) -> Value {
    if nullable && schema != "null" { json!(["null", schema]) } else { schema }
}

fn field_schema(valid: &str, name: &str, schema: Value, nullable: bool) -> Value {
    let mut field = json!({ "name": valid, "type": optional(schema, nullable) });
    if nullable {
        field["default"] = Value::Null;
    }
    if valid != name {
        field["doc"] = json!(format!("column {name}"));
    }
    field
}

/// The value's column that has or contains a type, for messages.
#[derive(Clone, Copy)]
struct Origin<'a> {
    name: &'a str,
    data_type: &'a DataType,
}

fn refused(column: Origin<'_>, data_type: &DataType) -> Error {
    Error::invalid(format!(
        "column '{}' has type {}, but Avro values cannot hold {}: cast it in the SELECT to text or a number, or use \
         value = {{ encoding = \"json\" }}",
        column.name,
        type_name(column.data_type),
        type_name(data_type)
    ))
}
