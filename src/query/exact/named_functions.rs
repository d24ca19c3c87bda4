//! Functions of numbers and dates whose errors name them and their arguments, and `round` and `trunc` of floats to any
//! number of digits.
//!
//! DataFusion rounds by multiplying with a power of ten, and the product may be infinite: `round(1.5, 400)` would be
//! NaN, `round(1e300, 20)` infinite. A float that large has no digits there, so it is its own result.
//!
//! Not for: operators (see `arithmetic`), and functions that make timestamps (see `timestamps`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::prelude::SessionContext;

use crate::query::checked_udf::{self, Guard, call_of};

/// Functions that fail for some arguments.
const NAMED: [&str; 12] = [
    "abs",
    "chr",
    "decode",
    "factorial",
    "from_unixtime",
    "gcd",
    "lcm",
    "make_date",
    "make_time",
    "power",
    "to_date",
    "to_time",
];

/// Replaces the session's functions that may fail.
pub(super) fn register(context: &SessionContext) {
    NAMED.iter().for_each(|name| checked_udf::register(context, name, Named));
    for name in ["round", "trunc"] {
        checked_udf::register(context, name, Digits);
    }
}

/// A function of which only the errors are different.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Named;

impl Guard for Named {}

/// A function that rounds to a number of digits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Digits;

/// A function that rounds a float to a number of digits; `cut` rounds to an integer.
macro_rules! rounding {
    ($name:ident, $float:ty) => {
        fn $name(value: $float, digits: i64, cut: fn($float) -> $float) -> $float {
            /// The largest power of ten that is far from infinite.
            const STEP: i64 = <$float>::MAX_10_EXP as i64 - 8;
            /// Above it, floats are integers.
            const INTEGERS: $float = (1_u64 << <$float>::MANTISSA_DIGITS) as $float;
            let power = |digits: i64| (10.0 as $float).powi(i32::try_from(digits).unwrap_or(i32::MAX));
            if !value.is_finite() {
                return value;
            }
            if digits < 0 {
                // Ten to a power above the largest one is more than twice as large as any float.
                return match digits < -i64::from(<$float>::MAX_10_EXP) {
                    true => 0.0,
                    false => cut(value * power(digits)) / power(digits),
                };
            }
            let (first, second) = (power(digits.min(STEP)), power((digits - STEP).max(0)));
            let scaled = value * first * second;
            if scaled.abs() < INTEGERS { cut(scaled) / second / first } else { value }
        }
    };
}

rounding!(double, f64);
rounding!(single, f32);

impl Guard for Digits {
    fn instead(&self, name: &str, args: &[ColumnarValue]) -> Result<Option<ColumnarValue>> {
        let [value, digits] = args else { return Ok(None) };
        let is_round = name == "round";
        let of = value.data_type();
        if !matches!(of, DataType::Float64 | DataType::Float32) || !digits.data_type().is_integer() {
            return Ok(None);
        }
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let [values, digits] = arrays.as_slice() else { return Ok(None) };
        let digits = cast(digits, &DataType::Int64)?;
        let digits = digits.as_primitive::<Int64Type>();
        let rounded: ArrayRef = match of {
            DataType::Float64 => {
                let cut = if is_round { f64::round } else { f64::trunc };
                let pairs = values.as_primitive::<Float64Type>().iter().zip(digits);
                let results = pairs.map(|(value, digits)| Some(double(value?, digits?, cut)));
                Arc::new(results.collect::<PrimitiveArray<Float64Type>>())
            }
            _ => {
                let cut = if is_round { f32::round } else { f32::trunc };
                let pairs = values.as_primitive::<Float32Type>().iter().zip(digits);
                let results = pairs.map(|(value, digits)| Some(single(value?, digits?, cut)));
                Arc::new(results.collect::<PrimitiveArray<Float32Type>>())
            }
        };
        let finite = |array: &ArrayRef, row: usize| match array.data_type() {
            DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_finite(),
            _ => array.as_primitive::<Float32Type>().value(row).is_finite(),
        };
        let lost = |row: &usize| rounded.is_valid(*row) && !finite(&rounded, *row) && finite(values, *row);
        if let Some(row) = (0..rounded.len()).find(lost) {
            return exec_err!("{} is larger than the largest {of}", call_of(name, args, row)?);
        }
        Ok(Some(match args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_))) {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&rounded, 0)?),
            false => ColumnarValue::Array(rounded),
        }))
    }
}
