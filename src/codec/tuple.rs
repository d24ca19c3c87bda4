//! The FoundationDB tuple layer: typed elements as bytes that sort as the elements do.
//!
//! ```text
//! (“a\0b”, 1, -2, 1.5)  →  02 61 00 ff 62 00 │ 15 01 │ 13 fd │ 21 bf f8 00 00 00 00 00 00
//! ```
//!
//! A tuple is the concatenation of its elements' bytes, so a part of a tuple is a slice of it. Integers take as many
//! bytes as they need: 0x14 is zero, 0x15‥0x1c positive of 1‥8 bytes, 0x13‥0x0c negative in ones' complement, and
//! 0x1d/0x0b carry a length byte for more than 8. Format: the FoundationDB project's `design/tuple.md`.
//!
//! Implemented here and not taken from a crate because it runs once per key column and row: an integer is one 9-byte
//! store and a truncation. Tests compare the bytes with the crate `foundationdb-tuple` and with the format's vectors.
//!
//! Not for: the meaning of a column (`key.rs`), or nulls, which no key has.

use std::borrow::Cow;

use arrow_buffer::i256;

const BYTES: u8 = 0x01;
const STRING: u8 = 0x02;
const NEGATIVE_LONG: u8 = 0x0b;
const ZERO: u8 = 0x14;
const POSITIVE_LONG: u8 = 0x1d;
const FLOAT: u8 = 0x20;
const DOUBLE: u8 = 0x21;
const FALSE: u8 = 0x26;
const TRUE: u8 = 0x27;
/// Follows a zero byte inside a string; a zero byte without it ends the string.
const ESCAPE: u8 = 0xff;
/// The most bytes an integer takes without a length byte.
const SHORT: usize = 8;

pub(crate) fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { TRUE } else { FALSE });
}

#[inline]
pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    let magnitude = value.unsigned_abs();
    if value >= 0 {
        write_u64(out, magnitude);
    } else {
        let size = significant(magnitude);
        write_short(out, ZERO - size as u8, !magnitude, size);
    }
}

#[inline]
pub(crate) fn write_u64(out: &mut Vec<u8>, value: u64) {
    let size = significant(value);
    write_short(out, ZERO + size as u8, value, size);
}

/// Bytes that `value` needs; none for zero.
#[inline]
fn significant(value: u64) -> usize {
    SHORT - value.leading_zeros() as usize / 8
}

/// Writes `code` and the last `size` bytes of `value`: always nine bytes, then truncated, which is cheaper than a copy
/// of variable length.
#[inline]
fn write_short(out: &mut Vec<u8>, code: u8, value: u64, size: usize) {
    let end = out.len() + 1 + size;
    let aligned = value.checked_shl(8 * (SHORT - size) as u32).unwrap_or(0);
    let mut element = [code; 1 + SHORT];
    element[1..].copy_from_slice(&aligned.to_be_bytes());
    out.extend_from_slice(&element);
    out.truncate(end);
}

pub(crate) fn write_i128(out: &mut Vec<u8>, value: i128) {
    match i64::try_from(value) {
        Ok(short) => write_i64(out, short),
        Err(_) => write_long(out, value < 0, &value.unsigned_abs().to_be_bytes()),
    }
}

pub(crate) fn write_i256(out: &mut Vec<u8>, value: i256) {
    match value.to_i128() {
        Some(short) => write_i128(out, short),
        // The only value without a positive counterpart is its own magnitude when read as unsigned.
        None => write_long(out, value.is_negative(), &value.wrapping_abs().to_be_bytes()),
    }
}

/// Writes an integer by its sign and the big-endian bytes of its magnitude.
fn write_long(out: &mut Vec<u8>, negative: bool, magnitude: &[u8]) {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let magnitude = &magnitude[zeros..];
    let size = magnitude.len() as u8;
    match (negative, magnitude.len() <= SHORT) {
        (false, true) => out.push(ZERO + size),
        (false, false) => out.extend_from_slice(&[POSITIVE_LONG, size]),
        (true, true) => out.push(ZERO - size),
        (true, false) => out.extend_from_slice(&[NEGATIVE_LONG, !size]),
    }
    let flip = if negative { 0xff } else { 0 };
    out.extend(magnitude.iter().map(|byte| byte ^ flip));
}

pub(crate) fn write_f32(out: &mut Vec<u8>, value: f32) {
    let bits = (value + 0.0).to_bits(); // -0.0 + 0.0 is 0.0
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    out.push(FLOAT);
    out.extend_from_slice(&ordered.to_be_bytes());
}

pub(crate) fn write_f64(out: &mut Vec<u8>, value: f64) {
    let bits = (value + 0.0).to_bits(); // -0.0 + 0.0 is 0.0
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    out.push(DOUBLE);
    out.extend_from_slice(&ordered.to_be_bytes());
}

#[inline]
pub(crate) fn write_str(out: &mut Vec<u8>, value: &str) {
    out.push(STRING);
    write_terminated(out, value.as_bytes());
}

#[inline]
pub(crate) fn write_bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.push(BYTES);
    write_terminated(out, value);
}

#[inline]
fn write_terminated(out: &mut Vec<u8>, value: &[u8]) {
    if value.contains(&0) {
        write_escaped(out, value);
    } else {
        out.extend_from_slice(value);
    }
    out.push(0);
}

#[cold]
fn write_escaped(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        out.push(*byte);
        if *byte == 0 {
            out.push(ESCAPE);
        }
    }
}

/// One decoded element.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Element<'a> {
    Bool(bool),
    Int(i256),
    Float(f32),
    Double(f64),
    Str(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

/// Decodes the first element of `input`, and returns it with its size in bytes; `None` when it is not complete.
pub(crate) fn read(input: &[u8]) -> Option<(Element<'_>, usize)> {
    let (&code, rest) = input.split_first()?;
    let (element, size) = match code {
        FALSE | TRUE => (Element::Bool(code == TRUE), 0),
        FLOAT => {
            let ordered = u32::from_be_bytes(*rest.first_chunk()?);
            let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
            (Element::Float(f32::from_bits(bits)), 4)
        }
        DOUBLE => {
            let ordered = u64::from_be_bytes(*rest.first_chunk()?);
            let bits = if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered };
            (Element::Double(f64::from_bits(bits)), 8)
        }
        BYTES => {
            let (bytes, size) = read_terminated(rest)?;
            (Element::Bytes(bytes), size)
        }
        STRING => {
            let (bytes, size) = read_terminated(rest)?;
            let text = match bytes {
                Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
                Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
            };
            (Element::Str(text), size)
        }
        _ => {
            let (value, size) = read_int(code, rest)?;
            (Element::Int(value), size)
        }
    };
    Some((element, 1 + size))
}

fn read_int(code: u8, rest: &[u8]) -> Option<(i256, usize)> {
    let short = SHORT as u8;
    let (negative, size, start) = match code {
        POSITIVE_LONG => (false, *rest.first()?, 1),
        NEGATIVE_LONG => (true, !*rest.first()?, 1),
        _ if (ZERO..=ZERO + short).contains(&code) => (false, code - ZERO, 0),
        _ if (ZERO - short..ZERO).contains(&code) => (true, ZERO - code, 0),
        _ => return None,
    };
    let size = usize::from(size);
    let digits = rest.get(start..start + size)?;
    let mut magnitude = [0; 32];
    let flip = if negative { 0xff } else { 0 };
    for (to, from) in magnitude.get_mut(32_usize.checked_sub(size)?..)?.iter_mut().zip(digits) {
        *to = from ^ flip;
    }
    let magnitude = i256::from_be_bytes(magnitude);
    let value = match negative {
        true if magnitude == i256::MIN => i256::MIN,
        _ if magnitude.is_negative() => return None,
        true => magnitude.wrapping_neg(),
        false => magnitude,
    };
    Some((value, start + size))
}

fn read_terminated(rest: &[u8]) -> Option<(Cow<'_, [u8]>, usize)> {
    let mut unescaped: Option<Vec<u8>> = None;
    let mut from = 0;
    loop {
        let zero = from + rest[from..].iter().position(|byte| *byte == 0)?;
        let part = &rest[from..zero];
        if rest.get(zero + 1) != Some(&ESCAPE) {
            let value = match unescaped {
                None => Cow::Borrowed(part),
                Some(mut whole) => {
                    whole.extend_from_slice(part);
                    Cow::Owned(whole)
                }
            };
            return Some((value, zero + 1));
        }
        let whole = unescaped.get_or_insert_default();
        whole.extend_from_slice(part);
        whole.push(0);
        from = zero + 2;
    }
}

#[cfg(test)]
mod tests {
    use foundationdb_tuple::{Bytes, pack};
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    /// Vectors of the format's description and of its bindings' tests.
    #[test]
    fn published_vectors() {
        assert_eq!(written(|out| write_bytes(out, b"foo\x00bar")), b"\x01foo\x00\xffbar\x00");
        assert_eq!(written(|out| write_str(out, "F\u{d4}O\u{0}bar")), b"\x02F\xc3\x94O\x00\xffbar\x00");
        assert_eq!(written(|out| write_i64(out, -5_551_212)), b"\x11\xab\x4b\x93");
        assert_eq!(written(|out| write_f32(out, -42.0)), b"\x20\x3d\xd7\xff\xff");
        assert_eq!(written(|out| write_i64(out, 0)), b"\x14");
        assert_eq!(written(|out| write_i64(out, 255)), b"\x15\xff");
        assert_eq!(written(|out| write_i64(out, -255)), b"\x13\x00");
        assert_eq!(written(|out| write_i64(out, 256)), b"\x16\x01\x00");
        assert_eq!(written(|out| write_i64(out, -256)), b"\x12\xfe\xff");
        assert_eq!(written(|out| write_i64(out, i64::MIN)), b"\x0c\x7f\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(written(|out| write_u64(out, u64::MAX)), b"\x1c\xff\xff\xff\xff\xff\xff\xff\xff");
        let wide = i128::from(u64::MAX) + 1;
        assert_eq!(written(|out| write_i128(out, wide)), b"\x1d\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00");
        assert_eq!(written(|out| write_i128(out, -wide)), b"\x0b\xf6\xfe\xff\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(written(|out| write_bool(out, false)), b"\x26");
        assert_eq!(written(|out| write_bool(out, true)), b"\x27");
    }

    #[test]
    fn negative_zero_is_zero() {
        assert_eq!(written(|out| write_f64(out, -0.0)), written(|out| write_f64(out, 0.0)));
        assert_eq!(written(|out| write_f32(out, -0.0)), written(|out| write_f32(out, 0.0)));
    }

    #[test]
    fn the_widest_integers_sort_and_round_trip() {
        let steps = [
            i256::MIN,
            i256::from_i128(i128::MIN).wrapping_sub(i256::ONE),
            i256::from_i128(i128::MIN),
            i256::from_i128(-1),
            i256::ZERO,
            i256::from_i128(i128::from(u64::MAX)),
            i256::from_i128(i128::MAX).wrapping_add(i256::ONE),
            i256::MAX,
        ];
        let keys: Vec<_> = steps.iter().map(|step| written(|out| write_i256(out, *step))).collect();
        assert!(keys.is_sorted());
        for (step, key) in steps.iter().zip(&keys) {
            assert_eq!(read(key), Some((Element::Int(*step), key.len())));
        }
    }

    #[test]
    fn damaged_elements_are_refused() {
        for bytes in [&b""[..], b"\x02abc", b"\x02\xff\x00", b"\x16\x01", b"\x21\x00", b"\x1d", b"\x1d\x21", b"\x50"] {
            assert_eq!(read(bytes), None, "{bytes:x?}");
        }
        let too_long = [&[0x1d, 33][..], &[1; 33]].concat();
        assert_eq!(read(&too_long), None);
    }

    proptest! {
        #[test]
        fn tuples_equal_the_reference_crate_and_sort_like_their_values(
            ints in any::<(i64, i64)>(), wide in any::<(i128, i128)>(), unsigned in any::<u64>(),
            doubles in any::<(f64, f64)>(), floats in any::<(f32, f32)>(),
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0..9),
            other in prop::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0..9),
            text in any::<String>(), shift in 0_u32..64,
        ) {
            let ints = (ints.0 >> shift, ints.1 >> shift);
            let int = |value: i64| written(|out| write_i64(out, value));
            prop_assert_eq!(int(ints.0), pack(&ints.0));
            prop_assert_eq!(int(ints.0).cmp(&int(ints.1)), ints.0.cmp(&ints.1));
            let long = |value: i128| written(|out| write_i128(out, value));
            prop_assert_eq!(long(wide.0), pack(&wide.0));
            prop_assert_eq!(long(wide.0).cmp(&long(wide.1)), wide.0.cmp(&wide.1));
            let whole = long(wide.0);
            prop_assert_eq!(read(&whole), Some((Element::Int(i256::from_i128(wide.0)), whole.len())));
            prop_assert_eq!(written(|out| write_u64(out, unsigned >> shift)), pack(&(unsigned >> shift)));
            let double = |value: f64| written(|out| write_f64(out, value));
            if doubles.0 != 0.0 {
                prop_assert_eq!(double(doubles.0), pack(&doubles.0));
            }
            let whole = double(doubles.0);
            prop_assert_eq!(read(&whole), Some((Element::Double(doubles.0), 9)));
            prop_assert_eq!(Some(double(doubles.0).cmp(&double(doubles.1))), doubles.0.partial_cmp(&doubles.1));
            let float = |value: f32| written(|out| write_f32(out, value));
            prop_assert_eq!(Some(float(floats.0).cmp(&float(floats.1))), floats.0.partial_cmp(&floats.1));
            let whole = float(floats.0);
            prop_assert_eq!(read(&whole), Some((Element::Float(floats.0), 5)));
            let binary = |value: &[u8]| written(|out| write_bytes(out, value));
            prop_assert_eq!(binary(&bytes), pack(&Bytes::from(bytes.as_slice())));
            prop_assert_eq!(binary(&bytes).cmp(&binary(&other)), bytes.cmp(&other));
            let whole = binary(&bytes);
            prop_assert_eq!(read(&whole), Some((Element::Bytes(Cow::Borrowed(&bytes)), whole.len())));
            prop_assert_eq!(written(|out| write_str(out, &text)), pack(&text));
        }
    }
}
