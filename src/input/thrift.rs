//! Reader of Thrift's compact protocol that traverses bytes without building any structure.
//!
//! ```text
//! struct: (field header, value)…, 0
//! field header: 4 bits of step from the last field's number, 4 bits of type; step 0: the number follows, zigzag varint
//! list: 4 bits of length (15: a varint follows), 4 bits of type of the elements; string: its length, bytes
//! ```
//! A count of more elements than there are bytes, and structs nested deeper than any format needs, are errors.
//!
//! Format: Thrift's `thrift-compact-protocol.md`. Not for: the meaning of a struct, which `footer_guard` and `pages`
//! know.

/// Maximum nesting of structs and lists; Parquet's metadata needs fewer than ten levels.
const MAX_NESTING: usize = 32;

/// The type of a field, or of a list's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    Integer,
    Double,
    Binary,
    List,
    Set,
    Map,
    Struct,
}

impl Kind {
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 => Self::List,
            10 => Self::Set,
            11 => Self::Map,
            12 => Self::Struct,
            _ => return None,
        })
    }
}

/// Traverses bytes, front to back. Every method returns none if the bytes are not valid.
pub(super) struct ThriftReader<'a> {
    rest: &'a [u8],
    nesting: usize,
}

impl<'a> ThriftReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, nesting: 0 }
    }

    /// Number of bytes left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Calls `field` for every field of the struct that begins here, with its id and type. It reads the value, or skips
    /// it with [`ThriftReader::skip`].
    pub(super) fn structure(&mut self, mut field: impl FnMut(&mut Self, i64, Kind) -> Option<()>) -> Option<()> {
        let mut id = 0_i64;
        self.nested(|walk| {
            loop {
                let head = walk.byte()?;
                if head == 0 {
                    return Some(());
                }
                id = match head >> 4 {
                    0 => walk.integer()?,
                    step => id.checked_add(i64::from(step))?,
                };
                field(walk, id, Kind::of(head & 0x0f)?)?;
            }
        })
    }

    /// Calls `element` for every element of the list that begins here, with its type.
    pub(super) fn list(&mut self, mut element: impl FnMut(&mut Self, Kind) -> Option<()>) -> Option<()> {
        self.nested(|walk| {
            let head = walk.byte()?;
            let claimed = if head >> 4 == 0x0f { walk.varint()? } else { u64::from(head >> 4) };
            let kind = Kind::of(head & 0x0f);
            for _ in 0..walk.count(claimed)? {
                element(walk, kind?)?;
            }
            Some(())
        })
    }

    /// Reads an integer of any width.
    pub(super) fn integer(&mut self) -> Option<i64> {
        let folded = self.varint()?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    /// Reads the bytes of a string.
    pub(super) fn binary(&mut self) -> Option<&'a [u8]> {
        let bytes = self.varint()?;
        let (value, rest) = self.rest.split_at_checked(usize::try_from(bytes).ok()?)?;
        self.rest = rest;
        Some(value)
    }

    /// Skips a field's value.
    pub(super) fn skip(&mut self, kind: Kind) -> Option<()> {
        match kind {
            // Their value is in the field's header.
            Kind::True | Kind::False => Some(()),
            other => self.skip_element(other),
        }
    }

    /// Skips a value in a list, where even a boolean takes a byte.
    pub(super) fn skip_element(&mut self, kind: Kind) -> Option<()> {
        match kind {
            Kind::True | Kind::False | Kind::Byte => self.pass(1),
            Kind::Double => self.pass(8),
            Kind::Binary => self.binary().map(drop),
            Kind::Integer => self.integer().map(drop),
            Kind::List | Kind::Set => self.list(Self::skip_element),
            Kind::Map => self.skip_map(),
            Kind::Struct => self.structure(|walk, _, kind| walk.skip(kind)),
        }
    }

    fn skip_map(&mut self) -> Option<()> {
        self.nested(|walk| {
            let claimed = walk.varint()?;
            if claimed == 0 {
                return Some(());
            }
            let kinds = walk.byte()?;
            for _ in 0..walk.count(claimed)? {
                walk.skip_element(Kind::of(kinds >> 4)?)?;
                walk.skip_element(Kind::of(kinds & 0x0f)?)?;
            }
            Some(())
        })
    }

    fn nested(&mut self, walk: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        if self.nesting > MAX_NESTING {
            return None;
        }
        self.nesting += 1;
        let walked = walk(self);
        self.nesting -= 1;
        walked
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn pass(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
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

    /// Checks a number of elements, each of which takes at least a byte.
    fn count(&self, claimed: u64) -> Option<u64> {
        (claimed <= self.rest.len() as u64).then_some(claimed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_number_and_others_skipped() {
        // 1: 5 (i32), 3: "ab", 4: true, 20: list of two i32, 21: a struct of one double, 22: a map of one byte to one
        // byte
        let bytes = b"\x15\x0a\x28\x02ab\x11\x09\x28\x25\x02\x04\x1c\x17\0\0\0\0\0\0\0\0\0\x1b\x01\x33\x07\x07\0rest";
        let mut walk = ThriftReader::new(bytes);
        let (mut number, mut text, mut items, mut seen) = (0, Vec::new(), Vec::new(), Vec::new());
        walk.structure(|walk, id, kind| {
            seen.push((id, kind));
            match id {
                1 => number = walk.integer()?,
                3 => text = walk.binary()?.to_vec(),
                20 => walk.list(|walk, _| {
                    items.push(walk.integer()?);
                    Some(())
                })?,
                _ => walk.skip(kind)?,
            }
            Some(())
        })
        .unwrap();
        assert_eq!((number, text.as_slice(), items.as_slice()), (5, b"ab".as_slice(), [1, 2].as_slice()));
        let ids: Vec<i64> = seen.iter().map(|(id, _)| *id).collect();
        assert_eq!((ids, walk.left()), (vec![1, 3, 4, 20, 21, 22], 4));
    }

    #[test]
    fn claimed_lengths_must_be_present() {
        let skip = |bytes: &[u8]| ThriftReader::new(bytes).structure(|walk, _, kind| walk.skip(kind));
        assert!(skip(b"\x29\xfc\xff\xff\xff\xff\x07\x00").is_none(), "a list of two billion structs");
        assert!(skip(b"\x18\xff\xff\xff\xff\x0f").is_none(), "a string of four gigabytes");
        assert!(skip(&[0x1c; 100_000]).is_none(), "structs in structs");
        assert!(skip(&[0x19; 100_000]).is_none(), "lists in lists");
    }
}
