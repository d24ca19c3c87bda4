//! Checks a Parquet footer before it is decoded.
//!
//! The decoder reserves memory for as many elements as a list claims and recurses for every level of the schema, so a
//! hostile footer of a few bytes could abort the process, which no error handling survives. Here every count is checked
//! against the bytes that remain, and the schema's depth against a limit. Encrypted columns are detected here too:
//! their entries lack what the decoder needs, so it would report a damaged file.
//!
//! ```text
//! footer: 2 schema elements: the tree, depth first; 5 number of children
//!         4 row groups: 1 column chunks: 3 metadata (3 path), 8 how it is encrypted (2 by its own key: 1 path),
//!           9 encrypted metadata
//! ```
//! Format: `parquet.thrift` of apache/parquet-format.
//!
//! Not for: interpreting the footer.

use std::collections::BTreeSet;

use super::thrift::{Kind, ThriftReader};

/// Maximum depth of a schema; a list takes two or three levels.
const MAX_SCHEMA_DEPTH: usize = 100;

/// What the check found in a footer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Paths of the encrypted columns; an empty path if it is encrypted too.
    pub(super) encrypted: BTreeSet<String>,
}

/// Checks that a footer is safe to decode.
///
/// # Errors
/// Describes what is wrong with it.
pub(super) fn check(footer: &[u8]) -> Result<Seen, String> {
    let mut children = Vec::new();
    let mut seen = Seen::default();
    ThriftReader::new(footer)
        .structure(|walk, id, kind| match (id, kind) {
            (2, Kind::List) => walk.list(|walk, kind| schema_element(walk, kind, &mut children)),
            (4, Kind::List) => walk.list(|walk, kind| row_group(walk, kind, &mut seen)),
            _ => walk.skip(kind),
        })
        .ok_or("its footer is incomplete, or claims more than it holds")?;
    check_depth(&children)?;
    Ok(seen)
}

fn schema_element(walk: &mut ThriftReader, kind: Kind, children: &mut Vec<i64>) -> Option<()> {
    if kind != Kind::Struct {
        return walk.skip_element(kind);
    }
    let mut of_this = 0;
    walk.structure(|walk, id, kind| match (id, kind) {
        (5, Kind::Integer) => {
            of_this = walk.integer()?;
            Some(())
        }
        _ => walk.skip(kind),
    })?;
    children.push(of_this);
    Some(())
}

fn row_group(walk: &mut ThriftReader, kind: Kind, seen: &mut Seen) -> Option<()> {
    if kind != Kind::Struct {
        return walk.skip_element(kind);
    }
    walk.structure(|walk, id, kind| match (id, kind) {
        (1, Kind::List) => walk.list(|walk, kind| column_chunk(walk, kind, seen)),
        _ => walk.skip(kind),
    })
}

fn column_chunk(walk: &mut ThriftReader, kind: Kind, seen: &mut Seen) -> Option<()> {
    if kind != Kind::Struct {
        return walk.skip_element(kind);
    }
    let (mut path, mut encrypted) = (Vec::new(), false);
    walk.structure(|walk, id, kind| match (id, kind) {
        (3, Kind::Struct) => walk.structure(|walk, id, kind| path_in(walk, id == 3, kind, &mut path)),
        (8, Kind::Struct) => {
            encrypted = true;
            walk.structure(|walk, id, kind| match (id, kind) {
                (2, Kind::Struct) => walk.structure(|walk, id, kind| path_in(walk, id == 1, kind, &mut path)),
                _ => walk.skip(kind),
            })
        }
        (9, Kind::Binary) => {
            encrypted = true;
            walk.skip(kind)
        }
        _ => walk.skip(kind),
    })?;
    if encrypted {
        seen.encrypted.insert(path.join("."));
    }
    Some(())
}

/// Reads a column's path from the field that has it.
fn path_in(walk: &mut ThriftReader, here: bool, kind: Kind, path: &mut Vec<String>) -> Option<()> {
    if !here || kind != Kind::List {
        return walk.skip(kind);
    }
    path.clear();
    walk.list(|walk, kind| match kind {
        Kind::Binary => {
            path.push(String::from_utf8_lossy(walk.binary()?).into_owned());
            Some(())
        }
        other => walk.skip_element(other),
    })
}

/// Checks that the tree of schema elements, in depth-first order, is complete and not too deep.
fn check_depth(children: &[i64]) -> Result<(), String> {
    // For every open element, the number of children to come.
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

    /// A footer whose schema elements have these numbers of children.
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
    fn encrypted_columns_are_named() {
        let mut bytes = vec![0x29, 0x1c, 0x48, 1, b'n', 0]; // schema: one element
        // Row groups: one, of three chunks: plain, encrypted by a key of its own, encrypted by the footer's key.
        bytes.extend_from_slice(b"\x29\x1c\x19\x3c");
        bytes.extend_from_slice(b"\x3c\x39\x18\x02id\0\0");
        bytes.extend_from_slice(b"\x8c\x2c\x19\x28\x01a\x01b\0\0\x18\x01x\0");
        bytes.extend_from_slice(b"\x3c\x39\x18\x04card\0\x5c\x1c\0\0\0");
        bytes.extend_from_slice(b"\0\0");
        let names = ["a.b", "card"].map(str::to_owned);
        assert_eq!(check(&bytes).unwrap().encrypted, BTreeSet::from(names));
    }

    #[test]
    fn claimed_lengths_must_be_present() {
        let whole = footer(&[1, 0]);
        check(&whole).unwrap();
        for cut in 0..whole.len() {
            assert!(check(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
