//! Looks through a Parquet footer before a decoder is trusted with it.
//!
//! The decoder reserves memory for as many elements as a list claims and calls itself for every level of the schema. A
//! hostile footer of a few bytes could so end the whole process, which no error handling survives. Here every count is
//! held against the bytes that are there, and the schema's depth against a limit.
//!
//! ```text
//! footer: one struct in Thrift's compact protocol; field 2 is the list of schema elements, and of each of them field 5
//!         is its number of children: the tree, depth first
//! ```
//! Format: `parquet.thrift` of apache/parquet-format, and Thrift's `thrift-compact-protocol.md`.
//!
//! Not for: what the footer says.

/// Levels that a schema may have; a list takes two or three.
const MAX_SCHEMA_DEPTH: usize = 100;
/// Structs and lists in each other; the deepest of the format are fewer than ten.
const MAX_NESTING: usize = 32;

/// The field of the footer that holds the schema, and the field of its elements that counts their children.
const SCHEMA: i64 = 2;
const CHILDREN: i64 = 5;

/// Types of the compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const INTEGERS: std::ops::RangeInclusive<u8> = 4..=6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Whether a decoder can be trusted with this footer.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(footer: &[u8]) -> Result<(), String> {
    let mut walk = Walk { rest: footer, children: Vec::new() };
    walk.structure(0, Place::Footer).ok_or("its footer is not whole, or claims more than it holds")?;
    check_depth(&walk.children)
}

/// Where in the footer a struct is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Footer,
    SchemaElement,
    Elsewhere,
}

/// A walk through the footer's bytes, front to back.
struct Walk<'a> {
    rest: &'a [u8],
    /// The children of every schema element.
    children: Vec<i64>,
}

impl Walk<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let folded = self.varint()?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }

    fn structure(&mut self, nesting: usize, place: Place) -> Option<()> {
        let mut id = 0;
        let mut children = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                break;
            }
            id = match head >> 4 {
                0 => self.integer()?,
                step => id + i64::from(step),
            };
            match (place, id, head & 0x0f) {
                (Place::Footer, SCHEMA, LIST) => self.list(nesting + 1, Place::SchemaElement)?,
                (Place::SchemaElement, CHILDREN, kind) if INTEGERS.contains(&kind) => children = self.integer()?,
                (_, _, TRUE | FALSE) => {}
                (_, _, kind) => self.value(kind, nesting)?,
            }
        }
        if place == Place::SchemaElement {
            self.children.push(children);
        }
        Some(())
    }

    fn value(&mut self, kind: u8, nesting: usize) -> Option<()> {
        if nesting > MAX_NESTING {
            return None;
        }
        match kind {
            TRUE | FALSE | BYTE => self.skip(1),
            DOUBLE => self.skip(8),
            BINARY => {
                let bytes = self.varint()?;
                self.skip(bytes)
            }
            LIST | SET => self.list(nesting + 1, Place::Elsewhere),
            MAP => self.map(nesting + 1),
            STRUCT => self.structure(nesting + 1, Place::Elsewhere),
            kind if INTEGERS.contains(&kind) => self.integer().map(drop),
            _ => None,
        }
    }

    /// A number of elements, each of which takes at least a byte.
    fn count(&self, claimed: u64) -> Option<u64> {
        (claimed <= self.rest.len() as u64).then_some(claimed)
    }

    fn list(&mut self, nesting: usize, place: Place) -> Option<()> {
        let head = self.byte()?;
        let claimed = if head >> 4 == 0x0f { self.varint()? } else { u64::from(head >> 4) };
        for _ in 0..self.count(claimed)? {
            match (place, head & 0x0f) {
                (Place::SchemaElement, STRUCT) => self.structure(nesting + 1, place)?,
                (_, kind) => self.value(kind, nesting)?,
            }
        }
        Some(())
    }

    fn map(&mut self, nesting: usize) -> Option<()> {
        let claimed = self.varint()?;
        if claimed == 0 {
            return Some(());
        }
        let kinds = self.byte()?;
        for _ in 0..self.count(claimed)? {
            self.value(kinds >> 4, nesting)?;
            self.value(kinds & 0x0f, nesting)?;
        }
        Some(())
    }
}

/// The tree of schema elements, which come depth first, is whole and not too deep.
fn check_depth(children: &[i64]) -> Result<(), String> {
    // Of every element that is being filled: how many children are still to come.
    let mut open: Vec<u64> = Vec::new();
    for (at, &children_of) in children.iter().enumerate() {
        let claimed = u64::try_from(children_of).ok().filter(|claimed| *claimed < (children.len() - at) as u64);
        let claimed = claimed.ok_or_else(|| format!("its schema has an element with {children_of} children"))?;
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        open.push(claimed);
        while open.pop_if(|left| *left == 0).is_some() {}
        if open.len() > MAX_SCHEMA_DEPTH {
            return Err(format!("its schema is more than {MAX_SCHEMA_DEPTH} levels deep"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer whose schema elements have so many children each.
    fn footer(children: &[i64]) -> Vec<u8> {
        let mut bytes = vec![0x15, 0x02, 0x19, 0xfc]; // version: 1; schema: a list of structs …
        varint(&mut bytes, children.len() as u64); // … of this length
        for children in children {
            bytes.extend_from_slice(b"\x48\x01n\x15"); // name: "n"; children:
            varint(&mut bytes, (children << 1 ^ children >> 63) as u64);
            bytes.push(0);
        }
        bytes.push(0);
        bytes
    }

    fn varint(bytes: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }

    #[test]
    fn a_schema_is_a_tree_of_bounded_depth() {
        check(&footer(&[2, 0, 1, 0])).unwrap();
        let deep = |levels: usize| [vec![1; levels], vec![0]].concat();
        check(&footer(&deep(MAX_SCHEMA_DEPTH))).unwrap();
        assert!(check(&footer(&deep(MAX_SCHEMA_DEPTH + 1))).unwrap_err().contains("levels deep"));
        assert!(check(&footer(&deep(1_000_000))).is_err());
        for wrong in [vec![i64::from(i32::MAX), 0], vec![-1, 0], vec![2, 0]] {
            assert!(check(&footer(&wrong)).unwrap_err().contains("children"), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_claimed_must_be_there() {
        let whole = footer(&[1, 0]);
        check(&whole).unwrap();
        for cut in 0..whole.len() {
            assert!(check(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(check(b"\x29\xfc\xff\xff\xff\xff\x07\x00").is_err(), "a list of two billion structs");
        assert!(check(b"\x18\xff\xff\xff\xff\x0f").is_err(), "a string of four gigabytes");
        assert!(check(&[0x1c; 100_000]).is_err(), "structs in structs");
        assert!(check(&[0x19, 0x19].repeat(100_000)).is_err(), "lists in lists");
    }
}
