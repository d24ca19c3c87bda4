//! SQL functions whose result can be far larger than their arguments, limited to the size of a value that can be
//! published.
//!
//! `repeat('x', 2000000000)` asks for two gigabytes per row, which no memory budget counts. Each of these functions is
//! wrapped: the size of its results is computed from its arguments first, and exceeding the limit of a value is an
//! error that names the function. If the results for all rows of a batch together would be too large, the query is run
//! again with fewer rows per batch.
//!
//! Not for: functions whose results are about as large as their arguments, and aggregates that collect values.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::kernels::length::bit_length;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::prelude::SessionContext;

use super::checked_udf::{self, Guard};
use super::row_width::Widths;

/// Maximum bytes of one result: the largest value that can be published.
const MAX_VALUE_BYTES: i64 = 16 << 20;
/// Minimum bytes of an element of a list.
const ELEMENT_BYTES: i64 = 8;

/// How the size of a function's results follows from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument, repeated as often as the second says.
    Copies,
    /// As many characters as the second argument says.
    Padded,
    /// A list with as many elements as the second argument says.
    Elements,
    /// A list of the integers from the first argument to the second, or from 0 to the first, in steps of the third.
    Range,
}

const FUNCTIONS: [(&str, Growth); 7] = [
    ("repeat", Growth::Copies),
    ("lpad", Growth::Padded),
    ("rpad", Growth::Padded),
    ("array_repeat", Growth::Elements),
    ("array_resize", Growth::Elements),
    ("range", Growth::Range),
    ("generate_series", Growth::Range),
];

/// Replaces the session's functions whose results can be too large.
pub(super) fn register(context: &SessionContext, widths: &Arc<Widths>) {
    for (name, growth) in FUNCTIONS {
        checked_udf::register(context, name, Bounded { growth, widths: Found(Arc::clone(widths)) });
    }
}

/// A function's growth, and the row widths of the query.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    growth: Growth,
    widths: Found,
}

/// The row widths of the query; ignored when functions are compared.
#[derive(Debug)]
struct Found(Arc<Widths>);

impl PartialEq for Found {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Found {}

impl Hash for Found {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Guard for Bounded {
    fn before(&self, name: &str, args: &[ColumnarValue], rows: usize) -> Result<()> {
        let scalar = args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let mut all = 0_i64;
        for bytes in self.growth.sizes(args, rows)? {
            all = all.saturating_add(bytes);
            if bytes > MAX_VALUE_BYTES {
                return exec_err!("{name}() would make a value of {bytes} bytes; the limit is {MAX_VALUE_BYTES}");
            }
        }
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        match scalar {
            // Lists that are the same for all rows are mostly unnested into rows.
            true if matches!(self.growth, Growth::Elements | Growth::Range) => {}
            true => self.widths.0.note(all),
            false => self.widths.0.check(all.div_ceil(rows.max(1)), rows)?,
        }
        Ok(())
    }
}

impl Growth {
    /// A lower bound of the result's bytes, for every row.
    fn sizes(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<i64>> {
        let array = |number: usize| args.get(number).map(|argument| argument.to_array(rows)).transpose();
        let (first, second, third) = (array(0)?, array(1)?, array(2)?);
        let numbers = |argument: &Option<ArrayRef>| argument.as_ref().map(integers).transpose();
        let at = |numbers: &Option<Int64Array>, row: usize, otherwise: i64| match numbers {
            Some(numbers) if numbers.is_valid(row) => numbers.value(row),
            _ => otherwise,
        };
        Ok(match self {
            Self::Copies | Self::Padded => {
                let (lengths, times) = (first.as_ref().map(bytes).transpose()?, numbers(&second)?);
                let of_row = |row| match self {
                    Self::Copies => at(&lengths, row, 0).saturating_mul(at(&times, row, 0)),
                    _ => at(&times, row, 0),
                };
                (0..rows).map(of_row).collect()
            }
            Self::Elements => {
                let times = numbers(&second)?;
                (0..rows).map(|row| at(&times, row, 0).saturating_mul(ELEMENT_BYTES)).collect()
            }
            // Dates and timestamps have intervals as steps; only ranges of integers can explode.
            Self::Range if !first.as_ref().is_some_and(|first| first.data_type().is_integer()) => Vec::new(),
            Self::Range => {
                let (first, second, third) = (numbers(&first)?, numbers(&second)?, numbers(&third)?);
                let of_row = |row| {
                    let (from, to) = match &second {
                        Some(_) => (at(&first, row, 0), at(&second, row, 0)),
                        None => (0, at(&first, row, 0)),
                    };
                    let step = at(&third, row, 1).saturating_abs().max(1);
                    (to.saturating_sub(from).saturating_abs() / step).saturating_mul(ELEMENT_BYTES)
                };
                (0..rows).map(of_row).collect()
            }
        })
    }
}

fn integers(array: &ArrayRef) -> Result<Int64Array> {
    // A string that is not a number is null here; the function itself reports the error.
    let numbers = cast_with_options(array, &DataType::Int64, &CastOptions::default())?;
    Ok(numbers.as_primitive::<Int64Type>().clone())
}

/// Bytes of every string.
fn bytes(array: &ArrayRef) -> Result<Int64Array> {
    let bits = integers(&bit_length(array)?)?;
    Ok(bits.unary(|bits| bits / 8))
}
