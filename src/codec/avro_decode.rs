//! Decodes Avro records to JSON for display, with the schema stored in the manifest.
//!
//! Supports exactly the schemas that `avro_schema.rs` makes: every named type is defined where it is used. Values are
//! shown as the JSON encoding shows them, except decimals, which become strings so that no digit is lost: `"12.50"`.
//! Every length is checked against the remaining bytes; a record must decode to its last byte.
//!
//! Not for: readers of a dataset, which use an Avro library.

use arrow_buffer::i256;
use serde_json::{Map, Number, Value};

use super::literals;
use crate::format::{self, Unit};

/// One record; `None` when the bytes are not exactly one value of this schema.
pub(super) fn decode(schema: &Value, bytes: &[u8]) -> Option<Value> {
    let mut input = Input(bytes);
    let value = input.value(schema)?;
    input.0.is_empty().then_some(value)
}

/// The bytes not read yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn value(&mut self, schema: &Value) -> Option<Value> {
        match schema {
            Value::String(name) => self.primitive(name),
            Value::Array(branches) => {
                let branch = usize::try_from(self.long()?).ok()?;
                self.value(branches.get(branch)?)
            }
            Value::Object(schema) => self.complex(schema),
            _ => None,
        }
    }

    fn primitive(&mut self, name: &str) -> Option<Value> {
        Some(match name {
            "null" => Value::Null,
            "boolean" => match self.take(1)? {
                [0] => Value::from(false),
                [1] => Value::from(true),
                _ => return None,
            },
            "int" => Value::from(i32::try_from(self.long()?).ok()?),
            "long" => Value::from(self.long()?),
            "float" => {
                let value = f32::from_le_bytes(self.array()?);
                // Through its shortest decimal string, as a conversion to double would show more digits.
                value.to_string().parse().map_or(Value::Null, number)
            }
            "double" => number(f64::from_le_bytes(self.array()?)),
            "string" => Value::from(std::str::from_utf8(self.prefixed()?).ok()?),
            "bytes" => Value::from(format::hex(self.prefixed()?)),
            _ => return None,
        })
    }

    fn complex(&mut self, schema: &Map<String, Value>) -> Option<Value> {
        if let Some(logical) = schema.get("logicalType").and_then(Value::as_str) {
            return self.logical(logical, schema);
        }
        match schema.get("type")?.as_str()? {
            "record" => {
                let mut record = Map::new();
                for field in schema.get("fields")?.as_array()? {
                    let value = self.value(field.get("type")?)?;
                    record.insert(field.get("name")?.as_str()?.to_owned(), value);
                }
                Some(Value::Object(record))
            }
            "array" => {
                let mut items = Vec::new();
                self.blocks(|input| {
                    items.push(input.value(schema.get("items")?)?);
                    Some(())
                })?;
                Some(Value::Array(items))
            }
            "map" => {
                let mut entries = Map::new();
                self.blocks(|input| {
                    let key = std::str::from_utf8(input.prefixed()?).ok()?.to_owned();
                    entries.insert(key, input.value(schema.get("values")?)?);
                    Some(())
                })?;
                Some(Value::Object(entries))
            }
            "fixed" => {
                let size = usize::try_from(schema.get("size")?.as_u64()?).ok()?;
                Some(Value::from(format::hex(self.take(size)?)))
            }
            other => self.primitive(other),
        }
    }

    fn logical(&mut self, logical: &str, schema: &Map<String, Value>) -> Option<Value> {
        if logical == "decimal" {
            let scale = i8::try_from(schema.get("scale")?.as_i64()?).ok()?;
            return Some(Value::from(literals::decimal(signed(self.prefixed()?)?, scale)));
        }
        let count = self.long()?;
        let text = match logical {
            "date" => literals::date(count),
            "time-millis" => literals::time(count, Unit::Millisecond),
            "time-micros" => literals::time(count, Unit::Microsecond),
            "timestamp-millis" => literals::timestamp(count, Unit::Millisecond, true),
            "timestamp-micros" => literals::timestamp(count, Unit::Microsecond, true),
            "timestamp-nanos" => literals::timestamp(count, Unit::Nanosecond, true),
            "local-timestamp-millis" => literals::timestamp(count, Unit::Millisecond, false),
            "local-timestamp-micros" => literals::timestamp(count, Unit::Microsecond, false),
            "local-timestamp-nanos" => literals::timestamp(count, Unit::Nanosecond, false),
            _ => return None,
        };
        Some(text.map_or(Value::from(count), Value::from))
    }

    /// Items in blocks: a count and the items, until a count of zero.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        loop {
            let count = self.long()?;
            if count < 0 {
                self.long()?; // a negative count is followed by the block's size in bytes
            }
            match count.unsigned_abs() {
                0 => return Some(()),
                count => {
                    for _ in 0..count {
                        let left = self.0.len();
                        item(self)?;
                        // A damaged count of items without bytes could otherwise loop almost forever.
                        if self.0.len() == left && count > MAX_EMPTY_ITEMS {
                            return None;
                        }
                    }
                }
            }
        }
    }

    fn long(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }

    fn prefixed(&mut self) -> Option<&'a [u8]> {
        let size = usize::try_from(self.long()?).ok()?;
        self.take(size)
    }

    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// A list of more items than this, none of which has any bytes, is damage.
const MAX_EMPTY_ITEMS: u64 = 1 << 24;

/// A big-endian two's-complement integer.
fn signed(bytes: &[u8]) -> Option<i256> {
    let negative = bytes.first()? & 0x80 != 0;
    let mut whole = [if negative { 0xff } else { 0 }; 32];
    whole.get_mut(32_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i256::from_be_bytes(whole))
}

/// A float as JSON; what JSON has no number for is a string: "NaN", "inf", "-inf".
fn number(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}
