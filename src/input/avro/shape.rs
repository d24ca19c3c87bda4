//! The binary layout of Avro records, in enough detail to skip over one.
//!
//! The decoder trusts a block's own counts: its number of records, and the items of their arrays. If those are wrong it
//! ends early, or never. So every record is skipped over once before it is decoded.
//!
//! Format: the Avro specification, "Binary Encoding". Not for: values.

use std::collections::HashMap;

use serde_json::Value;

/// Maximum nesting depth of types.
const DEEPEST: usize = 64;
/// Maximum number of items of zero bytes, such as nulls, in an array.
const MAX_EMPTY_ITEMS: u64 = 1 << 20;

/// The layout of a type.
#[derive(Clone, Debug)]
enum Shape {
    Fixed(usize),
    Varint,
    Bytes,
    Items(Box<Shape>),
    Entries(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<Shape>),
    Named(String),
}

/// The layout of a file's records.
#[derive(Clone, Debug)]
pub(super) struct Records {
    root: Shape,
    named: HashMap<String, Shape>,
}

impl Records {
    /// Parses a schema.
    ///
    /// # Errors
    /// Describes what is not a valid type in it.
    pub(super) fn read(schema: &str) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(schema).map_err(|error| format!("its schema is not JSON: {error}"))?;
        let mut named = HashMap::new();
        let root = shape(&schema, "", &mut named, 0).map_err(|what| format!("its schema has {what}"))?;
        Ok(Self { root, named })
    }

    /// Skips over `count` records that fill `block` exactly; none if they do not.
    pub(super) fn fill(&self, block: &[u8], count: u64) -> Option<()> {
        let mut rest = block;
        for _ in 0..count {
            let before = rest.len();
            self.skip(&self.root, &mut rest, 0)?;
            if rest.len() == before {
                // Records of zero bytes: any number of them fits.
                return block.is_empty().then_some(());
            }
        }
        rest.is_empty().then_some(())
    }

    fn skip(&self, shape: &Shape, rest: &mut &[u8], depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match shape {
            Shape::Fixed(bytes) => pass(rest, *bytes as u64),
            Shape::Varint => long(rest).map(drop),
            Shape::Bytes => {
                let bytes = u64::try_from(long(rest)?).ok()?;
                pass(rest, bytes)
            }
            Shape::Items(item) => self.blocks(rest, |rest| self.skip(item, rest, depth + 1)),
            Shape::Entries(value) => self.blocks(rest, |rest| {
                self.skip(&Shape::Bytes, rest, depth + 1)?;
                self.skip(value, rest, depth + 1)
            }),
            Shape::Union(branches) => {
                let branch = usize::try_from(long(rest)?).ok()?;
                self.skip(branches.get(branch)?, rest, depth + 1)
            }
            Shape::Record(fields) => fields.iter().try_for_each(|field| self.skip(field, rest, depth + 1)),
            Shape::Named(name) => self.skip(self.named.get(name)?, rest, depth + 1),
        }
    }

    /// Reads the blocks of an array or a map.
    fn blocks(&self, rest: &mut &[u8], mut item: impl FnMut(&mut &[u8]) -> Option<()>) -> Option<()> {
        let mut empty = 0;
        loop {
            let count = long(rest)?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                // The size of the block in bytes, which is not needed here.
                long(rest)?;
            }
            for _ in 0..count.unsigned_abs() {
                let before = rest.len();
                item(rest)?;
                empty += u64::from(before == rest.len());
                if empty > MAX_EMPTY_ITEMS {
                    return None;
                }
            }
        }
    }
}

fn pass(rest: &mut &[u8], bytes: u64) -> Option<()> {
    *rest = rest.get(usize::try_from(bytes).ok()?..)?;
    Some(())
}

/// Avro's zigzag varint.
pub(super) fn long(rest: &mut &[u8]) -> Option<i64> {
    let mut folded = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        folded |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some((folded >> 1) as i64 ^ -((folded & 1) as i64));
        }
    }
    None
}

fn shape(schema: &Value, space: &str, named: &mut HashMap<String, Shape>, depth: usize) -> Result<Shape, String> {
    if depth > DEEPEST {
        return Err(format!("types more than {DEEPEST} levels deep"));
    }
    let mut inner = |schema: &Value, space: &str| shape(schema, space, named, depth + 1);
    let missing = |what: &str| format!("a type without {what}");
    match schema {
        Value::String(name) => Ok(primitive(name).unwrap_or_else(|| Shape::Named(full_name(name, space)))),
        Value::Array(branches) => {
            branches.iter().map(|branch| inner(branch, space)).collect::<Result<_, _>>().map(Shape::Union)
        }
        Value::Object(parts) => {
            let Some(Value::String(kind)) = parts.get("type") else {
                return inner(parts.get("type").ok_or_else(|| missing("type"))?, space);
            };
            let text = |key: &str| parts.get(key).and_then(Value::as_str);
            let own_name = || {
                let space = text("namespace").unwrap_or(space);
                full_name(text("name").unwrap_or_default(), space)
            };
            match kind.as_str() {
                "array" => {
                    Ok(Shape::Items(Box::new(inner(parts.get("items").ok_or_else(|| missing("items"))?, space)?)))
                }
                "map" => {
                    Ok(Shape::Entries(Box::new(inner(parts.get("values").ok_or_else(|| missing("values"))?, space)?)))
                }
                "record" | "error" => {
                    let name = own_name();
                    let space = name.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
                    let fields = parts.get("fields").and_then(Value::as_array).ok_or_else(|| missing("fields"))?;
                    let fields = fields.iter().map(|field| inner(field.get("type").unwrap_or(&Value::Null), &space));
                    let record = Shape::Record(fields.collect::<Result<_, _>>()?);
                    named.insert(name, record.clone());
                    Ok(record)
                }
                "enum" => {
                    named.insert(own_name(), Shape::Varint);
                    Ok(Shape::Varint)
                }
                "fixed" => {
                    let size = parts.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                    let fixed = Shape::Fixed(size.ok_or_else(|| missing("size"))?);
                    named.insert(own_name(), fixed.clone());
                    Ok(fixed)
                }
                other => Ok(primitive(other).unwrap_or_else(|| Shape::Named(full_name(other, space)))),
            }
        }
        other => Err(format!("{other} where a type should be")),
    }
}

/// Whether a name is one of the types that need no definition.
pub(super) fn is_primitive(name: &str) -> bool {
    primitive(name).is_some()
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "null" => Shape::Fixed(0),
        "boolean" => Shape::Fixed(1),
        "int" | "long" => Shape::Varint,
        "float" => Shape::Fixed(4),
        "double" => Shape::Fixed(8),
        "bytes" | "string" => Shape::Bytes,
        _ => return None,
    })
}

/// A name with its namespace, if it has none of its own.
pub(super) fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_must_take_all_of_their_block() {
        let schema = r#"{"type": "record", "name": "r", "namespace": "n", "fields": [
            {"name": "a", "type": ["null", "long"]},
            {"name": "b", "type": {"type": "array", "items": "string"}},
            {"name": "c", "type": {"type": "enum", "name": "e", "symbols": ["x"]}},
            {"name": "d", "type": {"type": "map", "values": "e"}},
            {"name": "f", "type": {"type": "fixed", "name": "id", "size": 2}},
            {"name": "g", "type": ["null", "n.id"]},
            {"name": "h", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}"#;
        let records = Records::read(schema).unwrap();
        let one = b"\x02\x05\x04\x02x\x02y\0\0\x02\x02k\0\0ab\x02cd\x09";
        assert_eq!(records.fill(one, 1), Some(()));
        assert_eq!(records.fill(&one.repeat(3), 3), Some(()));
        assert_eq!(records.fill(&one.repeat(3), 2), None, "more than the block says");
        assert_eq!(records.fill(&one.repeat(3), 4), None, "fewer than the block says");
        for cut in 0..one.len() {
            assert_eq!(records.fill(&one[..cut], 1), None, "cut at {cut}");
        }
    }

    #[test]
    fn records_and_items_without_bytes() {
        let nulls =
            Records::read(r#"{"type": "record", "name": "r", "fields": [{"name": "a", "type": "null"}]}"#).unwrap();
        assert_eq!(nulls.fill(b"", 5), Some(()));
        assert_eq!(nulls.fill(b"x", 5), None);
        let list =
            r#"{"type": "record", "name": "r", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}"#;
        let list = Records::read(list).unwrap();
        assert_eq!(list.fill(b"\x06\0", 1), Some(()));
        assert_eq!(list.fill(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00", 1), None, "nulls without end");
        assert!(Records::read("[").is_err());
        assert!(Records::read(r#"{"type": "fixed", "name": "x"}"#).is_err());
    }
}
