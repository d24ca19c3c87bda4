//! The cells of one column of a batch: as hashes, as numbers, and as patterns.
//!
//! Equal values have equal hashes in every batch, version and integer width, so that sketches of different versions can
//! be compared. Hashes are keyed with the dataset's name: those of one dataset say nothing about another's values.
//!
//! Not for: nested types and intervals, for which only nulls are counted.

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, GenericByteArray, StringViewArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, GenericBinaryType, GenericStringType};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::pattern::pattern;

/// The hash of a null.
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;

/// The cells of one column.
pub(super) struct Cells<'a> {
    nulls: Option<NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    I8(ScalarBuffer<i8>),
    I16(ScalarBuffer<i16>),
    I32(ScalarBuffer<i32>),
    I64(ScalarBuffer<i64>),
    U8(ScalarBuffer<u8>),
    U16(ScalarBuffer<u16>),
    U32(ScalarBuffer<u32>),
    U64(ScalarBuffer<u64>),
    F32(ScalarBuffer<f32>),
    F64(ScalarBuffer<f64>),
    I128(ScalarBuffer<i128>, f64),
    Text(&'a GenericByteArray<GenericStringType<i32>>),
    LargeText(&'a GenericByteArray<GenericStringType<i64>>),
    TextView(&'a StringViewArray),
    Bytes(&'a GenericByteArray<GenericBinaryType<i32>>),
    LargeBytes(&'a GenericByteArray<GenericBinaryType<i64>>),
    BytesView(&'a BinaryViewArray),
}

/// Whether cells of this type can be hashed.
pub(super) fn is_hashed(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_temporal()
        || is_text(data_type)
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Float32
                | DataType::Float64
                | DataType::Decimal128(..)
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
        )
}

/// Whether values of this type are strings.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

impl<'a> Cells<'a> {
    /// The cells of a column, if they can be hashed.
    pub(super) fn of(array: &'a ArrayRef) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean_opt()?),
            DataType::Int8 => Values::I8(buffer(array)),
            DataType::Int16 => Values::I16(buffer(array)),
            DataType::UInt8 => Values::U8(buffer(array)),
            DataType::UInt16 => Values::U16(buffer(array)),
            DataType::UInt32 => Values::U32(buffer(array)),
            DataType::UInt64 => Values::U64(buffer(array)),
            DataType::Float32 => Values::F32(buffer(array)),
            DataType::Float64 => Values::F64(buffer(array)),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => Values::I32(buffer(array)),
            DataType::Int64
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_) => Values::I64(buffer(array)),
            DataType::Decimal128(_, scale) => Values::I128(buffer(array), 10_f64.powi(-i32::from(*scale))),
            DataType::Utf8 => Values::Text(array.as_string_opt()?),
            DataType::LargeUtf8 => Values::LargeText(array.as_string_opt()?),
            DataType::Utf8View => Values::TextView(array.as_string_view_opt()?),
            DataType::Binary => Values::Bytes(array.as_binary_opt()?),
            DataType::LargeBinary => Values::LargeBytes(array.as_binary_opt()?),
            DataType::BinaryView => Values::BytesView(array.as_binary_view_opt()?),
            _ => return None,
        };
        Some(Self { nulls: array.nulls().cloned().filter(|nulls| nulls.null_count() > 0), values })
    }

    /// Whether the cell is null.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Calls `take` with the hash of every row of `rows`; a null has one too.
    pub(super) fn hashes(&self, rows: impl Iterator<Item = usize>, seed: u64, take: impl FnMut(usize, u64)) {
        self.each(rows, seed, |word| mix(word, seed), take);
    }

    /// Folds every row's cell into the row's number: cheaper than a hash, and as good once [`spread`] has followed it.
    pub(super) fn fold_into(&self, numbers: &mut [u64], seed: u64) {
        let rows = 0..numbers.len();
        self.each(rows, seed, |word| word, |row, word| numbers[row] = spread(numbers[row].wrapping_add(word)));
    }

    /// Calls `take` for every row of `rows`, with what `hash` makes of a number, and with the hash of a longer value.
    #[inline]
    fn each(
        &self,
        rows: impl Iterator<Item = usize>,
        seed: u64,
        hash: impl Fn(u64) -> u64,
        mut take: impl FnMut(usize, u64),
    ) {
        macro_rules! each {
            ($hash:expr) => {
                match &self.nulls {
                    None => rows.for_each(|row| take(row, $hash(row))),
                    Some(nulls) => rows.for_each(|row| take(row, if nulls.is_null(row) { NULL } else { $hash(row) })),
                }
            };
        }
        match &self.values {
            Values::Bool(values) => each!(|row| hash(u64::from(values.value(row)))),
            Values::I8(values) => each!(|row: usize| hash(i64::from(values[row]) as u64)),
            Values::I16(values) => each!(|row: usize| hash(i64::from(values[row]) as u64)),
            Values::I32(values) => each!(|row: usize| hash(i64::from(values[row]) as u64)),
            Values::I64(values) => each!(|row: usize| hash(values[row] as u64)),
            Values::U8(values) => each!(|row: usize| hash(u64::from(values[row]))),
            Values::U16(values) => each!(|row: usize| hash(u64::from(values[row]))),
            Values::U32(values) => each!(|row: usize| hash(u64::from(values[row]))),
            Values::U64(values) => each!(|row: usize| hash(values[row])),
            Values::F32(values) => each!(|row: usize| hash(bits(f64::from(values[row])))),
            Values::F64(values) => each!(|row: usize| hash(bits(values[row]))),
            Values::I128(values, _) => each!(|row: usize| wide(values[row], seed)),
            Values::Text(values) => each!(|row| xxh3_64_with_seed(values.value(row).as_bytes(), seed)),
            Values::LargeText(values) => each!(|row| xxh3_64_with_seed(values.value(row).as_bytes(), seed)),
            Values::TextView(values) => each!(|row| xxh3_64_with_seed(values.value(row).as_bytes(), seed)),
            Values::Bytes(values) => each!(|row| xxh3_64_with_seed(values.value(row), seed)),
            Values::LargeBytes(values) => each!(|row| xxh3_64_with_seed(values.value(row), seed)),
            Values::BytesView(values) => each!(|row| xxh3_64_with_seed(values.value(row), seed)),
        }
    }

    /// A value as a number: the number of characters of a string, or of bytes of a binary value.
    pub(super) fn number(&self, row: usize) -> f64 {
        match &self.values {
            Values::Bool(values) => f64::from(u8::from(values.value(row))),
            Values::I8(values) => f64::from(values[row]),
            Values::I16(values) => f64::from(values[row]),
            Values::I32(values) => f64::from(values[row]),
            Values::I64(values) => values[row] as f64,
            Values::U8(values) => f64::from(values[row]),
            Values::U16(values) => f64::from(values[row]),
            Values::U32(values) => f64::from(values[row]),
            Values::U64(values) => values[row] as f64,
            Values::F32(values) => f64::from(values[row]),
            Values::F64(values) => values[row],
            Values::I128(values, unit) => values[row] as f64 * unit,
            Values::Text(_) | Values::LargeText(_) | Values::TextView(_) => {
                self.text(row).map_or(0, |text| text.chars().count()) as f64
            }
            Values::Bytes(values) => values.value(row).len() as f64,
            Values::LargeBytes(values) => values.value(row).len() as f64,
            Values::BytesView(values) => values.value(row).len() as f64,
        }
    }

    /// The pattern of a string.
    pub(super) fn pattern(&self, row: usize) -> Option<Box<str>> {
        self.text(row).map(|text| pattern(text).into_boxed_str())
    }

    fn text(&self, row: usize) -> Option<&str> {
        match &self.values {
            Values::Text(values) => Some(values.value(row)),
            Values::LargeText(values) => Some(values.value(row)),
            Values::TextView(values) => Some(values.value(row)),
            _ => None,
        }
    }
}

/// The values of a fixed-width array.
fn buffer<T: ArrowNativeType>(array: &ArrayRef) -> ScalarBuffer<T> {
    let data = array.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
}

/// Spreads a word over all bits: the finalizer of MurmurHash3.
pub(super) fn mix(word: u64, seed: u64) -> u64 {
    let mut hash = word ^ seed;
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Lets every bit of a word depend on those below it, and the lower half on the upper one.
pub(super) fn spread(word: u64) -> u64 {
    let product = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

fn wide(value: i128, seed: u64) -> u64 {
    mix(value as u64, mix((value >> 64) as u64, seed))
}

/// The bits of a float, with one zero and one NaN.
fn bits(value: f64) -> u64 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}
