//! `to_timestamp` and its relatives, and `to_unixtime`: exact for every number, time and text, or an error with the
//! function and the value.
//!
//! ```text
//!  to_timestamp(x)                       seconds                        ─▶  nanoseconds
//!  to_timestamp_seconds(x), … _nanos(x)  seconds, milli-, …             ─▶  the same unit
//!  to_unixtime(x)                        seconds                        ─▶  an integer
//! ```
//! What is finer than the result is cut off downwards, before 1970 as after it. A double is rounded to microseconds by
//! `to_timestamp`, as PostgreSQL does: further digits are noise of its binary form.
//!
//! DataFusion cuts towards 1970, takes 9999-12-31 as a double for 2262, and declares another type than it returns for
//! texts. Texts with formats are still its own (see [`formatted`]).
//!
//! Not for: `CAST` to a timestamp (see `casts`).

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, make_array};
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Float64Type, TimeUnit};
use arrow::util::display::array_value_to_string;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{ExprSchema, Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::functions::datetime::to_timestamp_nanos;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, ExprSchemable};
use datafusion::prelude::SessionContext;

use crate::query::checked_udf::{self, Guard, wrapped};

/// Digits of a fractional second in microseconds.
const MICROSECONDS: u32 = 6;
const DAY_SECONDS: i128 = 86_400;
/// Names, digits of the fractional second that a number of 1 means, and those of the result.
const FUNCTIONS: [(&str, i16, i16); 6] = [
    ("to_timestamp", 0, 9),
    ("to_timestamp_seconds", 0, 0),
    ("to_timestamp_millis", 3, 3),
    ("to_timestamp_micros", 6, 6),
    ("to_timestamp_nanos", 9, 9),
    ("to_unixtime", 0, 0),
];

/// Replaces the session's functions that make timestamps.
pub(super) fn register(context: &SessionContext) {
    for (name, of_one, result) in FUNCTIONS {
        checked_udf::register(context, name, Exact { of_one, result });
    }
}

/// Whether this is a function of this file.
pub(super) fn makes_one(name: &str) -> bool {
    FUNCTIONS.iter().any(|(function, ..)| *function == name)
}

/// A text with formats is read as nanoseconds, as DataFusion does, and cut off by the functions of this file: its own
/// cut towards 1970.
pub(super) fn formatted(call: ScalarFunction, schema: &dyn ExprSchema) -> ScalarFunction {
    let is_coarse = |(name, _, result): &(&str, i16, i16)| *name == call.func.name() && *result < 9;
    let is_text = call.args.first().is_some_and(|text| text.get_type(schema).is_ok_and(|of| of.is_string()));
    if call.args.len() < 2 || !is_text || !FUNCTIONS.iter().any(is_coarse) {
        return call;
    }
    let nanoseconds = wrapped(to_timestamp_nanos(&ConfigOptions::default()), Exact { of_one: 9, result: 9 });
    ScalarFunction { func: call.func, args: vec![nanoseconds.call(call.args)] }
}

/// Digits of a fractional second.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    of_one: i16,
    result: i16,
}

impl Guard for Exact {
    fn instead(&self, name: &str, args: &[ColumnarValue]) -> Result<Option<ColumnarValue>> {
        let [value, formats @ ..] = args else { return Ok(None) };
        let is_text = value.data_type().is_string();
        if value.data_type().is_null() || (is_text && !formats.is_empty()) {
            return Ok(None);
        }
        if !formats.is_empty() {
            return exec_err!("{name} takes formats for a string only, not for a {}", value.data_type());
        }
        let array = value.to_array(1)?;
        let Some(counts) = self.counts(name, &array)? else { return Ok(None) };
        let counts: ArrayRef = match name {
            "to_unixtime" => Arc::new(counts),
            _ => make_array(counts.to_data().into_builder().data_type(self.result_type()).build()?),
        };
        Ok(Some(match value {
            ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&counts, 0)?),
            ColumnarValue::Array(_) => ColumnarValue::Array(counts),
        }))
    }
}

impl Exact {
    fn result_type(&self) -> DataType {
        DataType::Timestamp(unit_of(self.result), Some(super::ZONE.into()))
    }

    /// The results as counts of the result's unit; none for a type that DataFusion refuses.
    fn counts(&self, name: &str, values: &ArrayRef) -> Result<Option<Int64Array>> {
        let exactly = CastOptions { safe: false, ..CastOptions::default() };
        let read = |to: &DataType| cast_with_options(values, to, &exactly);
        let of_row: Box<dyn Fn(usize) -> Option<i64>> = match values.data_type() {
            of if of.is_string() => return self.read(name, &read(&DataType::LargeUtf8)?).map(Some),
            of if of.is_floating() => {
                let floats = read(&DataType::Float64)?.as_primitive::<Float64Type>().clone();
                Box::new(move |row| self.of_float(floats.value(row)))
            }
            of => {
                let (factor, digits) = match of {
                    of if of.is_integer() => (1, self.of_one),
                    DataType::Date32 => (DAY_SECONDS, 0),
                    DataType::Date64 => (1, 3),
                    DataType::Timestamp(unit, _) => (1, digits_of(*unit)),
                    DataType::Decimal32(_, scale)
                    | DataType::Decimal64(_, scale)
                    | DataType::Decimal128(_, scale)
                    | DataType::Decimal256(_, scale) => (1, self.of_one + i16::from(*scale)),
                    _ => return Ok(None),
                };
                let numbers = match of {
                    of if of.is_decimal() => {
                        let scale = i8::try_from(digits - self.of_one).unwrap_or(0);
                        read(&DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale))?
                    }
                    DataType::UInt64 => read(&DataType::Decimal128(20, 0))?,
                    DataType::Date32 => {
                        cast_with_options(&read(&DataType::Int32)?, &DataType::Decimal128(20, 0), &exactly)?
                    }
                    _ => cast_with_options(&read(&DataType::Int64)?, &DataType::Decimal128(20, 0), &exactly)?,
                };
                let numbers = numbers.as_primitive::<Decimal128Type>().clone();
                Box::new(move |row| scaled(numbers.value(row).checked_mul(factor)?, self.result - digits))
            }
        };
        let all = (0..values.len()).map(|row| match values.is_null(row) {
            true => Ok(None),
            false => of_row(row).map(Some).ok_or_else(|| self.out_of_range(name, values, row)),
        });
        all.collect::<Result<Int64Array>>().map(Some)
    }

    fn of_float(&self, value: f64) -> Option<i64> {
        let power = 10_f64.powi(i32::from(self.result - self.of_one));
        // Casts of floats saturate; a count beyond i64 is out of range in any case.
        match self.result > self.of_one {
            true => {
                let micros = (value * 10_f64.powi(MICROSECONDS.cast_signed())).round_ties_even();
                micros.is_finite().then(|| scaled(micros as i128, self.result - MICROSECONDS as i16)).flatten()
            }
            false => {
                let count = (value * power).floor();
                count.is_finite().then(|| i64::try_from(count as i128).ok()).flatten()
            }
        }
    }

    /// Reads texts without a format.
    fn read(&self, name: &str, texts: &ArrayRef) -> Result<Int64Array> {
        let zone: Tz = super::ZONE.parse()?;
        let texts = texts.as_string::<i64>();
        let of_row = |row: usize| {
            if texts.is_null(row) {
                return Ok(None);
            }
            let time = string_to_datetime(&zone, texts.value(row))
                .map_err(|error| exec_datafusion_err!("{name}('{}'): {error}", texts.value(row)))?;
            let count = match unit_of(self.result) {
                TimeUnit::Second => Some(time.timestamp()),
                TimeUnit::Millisecond => Some(time.timestamp_millis()),
                TimeUnit::Microsecond => Some(time.timestamp_micros()),
                TimeUnit::Nanosecond => time.timestamp_nanos_opt(),
            };
            count.map(Some).ok_or_else(|| self.out_of_range(name, texts, row))
        };
        (0..texts.len()).map(of_row).collect()
    }

    fn out_of_range(&self, name: &str, values: &dyn Array, row: usize) -> datafusion::common::DataFusionError {
        let value = array_value_to_string(values, row).unwrap_or_default();
        let value = if values.data_type().is_string() { format!("'{value}'") } else { value };
        match self.result {
            9 => exec_datafusion_err!(
                "{name}({value}) is outside of the range of nanoseconds, 1677-09-21 to 2262-04-11; use \
                 to_timestamp_micros, which takes microseconds, or to_timestamp_seconds"
            ),
            _ => exec_datafusion_err!("{name}({value}) is outside of the range of 64-bit integers"),
        }
    }
}

/// A number multiplied by a power of ten, cut off downwards; none if 64 bits do not hold it.
fn scaled(number: i128, power: i16) -> Option<i64> {
    let factor = 10_i128.checked_pow(power.unsigned_abs().into());
    i64::try_from(match power >= 0 {
        true => number.checked_mul(factor?)?,
        false => number.div_euclid(factor?),
    })
    .ok()
}

fn unit_of(digits: i16) -> TimeUnit {
    match digits {
        0 => TimeUnit::Second,
        3 => TimeUnit::Millisecond,
        6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn digits_of(unit: TimeUnit) -> i16 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
