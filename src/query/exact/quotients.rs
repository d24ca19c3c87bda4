//! Division of decimals: the exact quotient, rounded half away from zero to the digits that its type has.
//!
//! ```text
//!  decimal(p, s) / decimal(q, t)  ─▶  s + 4 digits after the point:   2.00 / 3.00 = 0.666667,   -1 / 32 = -0.0313
//! ```
//! Arrow's kernel cuts the quotient off. The type is the one that DataFusion declares. What 128 bits cannot hold in
//! between is divided in 256 bits; what the type cannot hold is an error, as is a divisor of zero.
//!
//! Not for: which expressions use it (`arithmetic`, `averages`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, Datum, PrimitiveArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, i256};
use arrow::error::ArrowError;

type Result<T> = std::result::Result<T, ArrowError>;

/// The integers behind decimals.
pub(super) trait Number: ArrowNativeTypeOp {
    /// The quotient, rounded half away from zero; none if the divisor is zero or the result is too large.
    fn rounded(self, by: Self) -> Option<Self> {
        let quotient = self.div_checked(by).ok()?;
        let rest = self.mod_checked(by).ok()?;
        // Negative numbers, as they have one value more; `rest` is nearer to zero than `by`.
        let [rest, size] = [rest, by].map(|of| if of.is_le(Self::ZERO) { of } else { Self::ZERO.sub_wrapping(of) });
        if rest.is_gt(size.sub_wrapping(rest)) {
            return Some(quotient);
        }
        match self.is_lt(Self::ZERO) == by.is_lt(Self::ZERO) {
            true => quotient.add_checked(Self::ONE).ok(),
            false => quotient.sub_checked(Self::ONE).ok(),
        }
    }
}

impl Number for i128 {}
impl Number for i256 {}

/// `left / right`, element by element, as `result`: a decimal type with at least as many digits after the point as
/// `left` has.
///
/// # Errors
/// A divisor of zero, or a quotient that `result` cannot hold.
pub(super) fn divide(left: &dyn Datum, right: &dyn Datum, result: &DataType) -> Result<ArrayRef> {
    let ((left, one_left), (right, one_right)) = (left.get(), right.get());
    let rows = if one_left { right.len() } else { left.len() };
    let places = |row: usize| (if one_left { 0 } else { row }, if one_right { 0 } else { row });
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let (scale, up) = shift(left.data_type(), right.data_type(), result)?;
    if let (DataType::Decimal256(..), DataType::Decimal256(digits, _)) = (left.data_type(), result) {
        let (left, right) = (left.as_primitive::<Decimal256Type>(), right.as_primitive::<Decimal256Type>());
        let power = i256::from(10).pow_checked(up)?;
        return finished::<Decimal256Type>(rows, *digits, scale, |row| {
            quotient(left, right, places(row), |left, right| left.mul_checked(power).ok()?.rounded(right))
        });
    }
    let wide = |array: &dyn Array| cast_with_options(array, &DataType::Decimal128(38, array_scale(array)?), &exact);
    let (left, right) = (wide(left)?, wide(right)?);
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let (power, wide_power) = (10_i128.checked_pow(up), i256::from(10).pow_checked(up)?);
    let digits = digits(result)?;
    let done = finished::<Decimal128Type>(rows, digits, scale, |row| {
        quotient(left, right, places(row), |left, right| match power.and_then(|power| left.checked_mul(power)) {
            Some(left) => left.rounded(right),
            None => i256::from(left).mul_checked(wide_power).ok()?.rounded(i256::from(right))?.to_i128(),
        })
    })?;
    if done.data_type() == result { Ok(done) } else { cast_with_options(&done, result, &exact) }
}

/// Digits after the point of the result, and the power of ten that the left side is multiplied by.
fn shift(left: &DataType, right: &DataType, result: &DataType) -> Result<(i8, u32)> {
    let ([left, right], scale) = ([left, right].map(scale_of), scale_of(result)?);
    let up = i16::from(scale) - i16::from(left?) + i16::from(right?);
    u32::try_from(up).map(|up| (scale, up)).map_err(|_| unknown(result))
}

fn array_scale(array: &dyn Array) -> Result<i8> {
    scale_of(array.data_type())
}

fn scale_of(of: &DataType) -> Result<i8> {
    decimal(of).map(|(_, scale)| scale)
}

fn digits(of: &DataType) -> Result<u8> {
    decimal(of).map(|(digits, _)| digits)
}

fn decimal(of: &DataType) -> Result<(u8, i8)> {
    match of {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => Ok((*digits, *scale)),
        other => Err(unknown(other)),
    }
}

fn unknown(of: &DataType) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("a quotient of decimals is no {of}"))
}

/// The quotient of one row: null if a side is null.
fn quotient<T: DecimalType>(
    left: &PrimitiveArray<T>,
    right: &PrimitiveArray<T>,
    (left_row, right_row): (usize, usize),
    divide: impl Fn(T::Native, T::Native) -> Option<T::Native>,
) -> Result<Option<T::Native>> {
    if left.is_null(left_row) || right.is_null(right_row) {
        return Ok(None);
    }
    let (left, right) = (left.value(left_row), right.value(right_row));
    if right.is_zero() {
        return Err(ArrowError::DivideByZero);
    }
    let too_large = || ArrowError::ArithmeticOverflow("the quotient has too many digits".to_owned());
    divide(left, right).ok_or_else(too_large).map(Some)
}

fn finished<T: DecimalType>(
    rows: usize,
    digits: u8,
    scale: i8,
    of_row: impl Fn(usize) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    let all = (0..rows).map(of_row).collect::<Result<PrimitiveArray<T>>>()?;
    let all = all.with_precision_and_scale(digits, scale)?;
    all.validate_decimal_precision(digits)?;
    Ok(Arc::new(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Decimal256Array};

    fn decimals(values: &[Option<i128>], digits: u8, scale: i8) -> Decimal128Array {
        Decimal128Array::from(values.to_vec()).with_precision_and_scale(digits, scale).unwrap()
    }

    fn quotients(left: &[Option<i128>], right: &[Option<i128>]) -> Result<Vec<Option<i128>>> {
        let (left, right) = (decimals(left, 7, 2), decimals(right, 7, 2));
        let done = divide(&left, &right, &DataType::Decimal128(13, 6))?;
        assert_eq!(done.data_type(), &DataType::Decimal128(13, 6));
        Ok(done.as_primitive::<Decimal128Type>().iter().collect())
    }

    #[test]
    fn ties_go_away_from_zero_whatever_the_signs() {
        // 2 / 3, 1 / 3, and 0.01 / 64 = 0.00015625, 0.03 / 64 = 0.00046875: cut, and rounded in the sixth digit.
        let left = [200, 100, 1, 3].map(Some);
        let right = [300, 300, 6400, 6400].map(Some);
        let expected = [666_667, 333_333, 156, 469];
        let negative = |of: [Option<i128>; 4]| of.map(|value| value.map(|value| -value));
        assert_eq!(quotients(&left, &right).unwrap(), expected.map(Some));
        assert_eq!(quotients(&negative(left), &negative(right)).unwrap(), expected.map(Some));
        assert_eq!(quotients(&negative(left), &right).unwrap(), expected.map(|value| Some(-value)));
        assert_eq!(quotients(&left, &negative(right)).unwrap(), expected.map(|value| Some(-value)));
        // 0.01 / 0.32 · 10⁻⁴: exactly half a unit of the last digit.
        let (halves, by) = (decimals(&[Some(1), Some(-1)], 5, 0), decimals(&[Some(32), Some(32)], 5, 0));
        let done = divide(&halves, &by, &DataType::Decimal128(9, 4)).unwrap();
        assert_eq!(done.as_primitive::<Decimal128Type>().values(), &[313, -313]);
    }

    #[test]
    fn null_by_anything_is_null_and_zero_divides_nothing() {
        assert_eq!(quotients(&[None, Some(1)], &[Some(0), None]).unwrap(), [None, None]);
        assert!(matches!(quotients(&[Some(1)], &[Some(0)]), Err(ArrowError::DivideByZero)));
    }

    #[test]
    fn quotients_with_overflowing_intermediates_are_exact() {
        let most = 10_i128.pow(38) - 1;
        let (left, right) = (decimals(&[Some(most)], 38, 0), decimals(&[Some(most)], 38, 2));
        let done = divide(&left, &right, &DataType::Decimal128(38, 4)).unwrap();
        assert_eq!(done.as_primitive::<Decimal128Type>().value(0), 1_000_000, "99… / 0.99… is 100");
        let small = decimals(&[Some(1)], 38, 2);
        let error = divide(&left, &small, &DataType::Decimal128(38, 4)).unwrap_err();
        assert!(error.to_string().contains("too many digits"), "{error}");
        let (half, by) = (decimals(&[Some(most / 2)], 38, 0), decimals(&[Some(10)], 38, 0));
        assert!(divide(&half, &by, &DataType::Decimal128(38, 4)).is_err(), "42 digits");
    }

    #[test]
    fn scalars_and_other_widths() {
        let (left, three) = (decimals(&[Some(100), Some(200)], 7, 2), decimals(&[Some(3)], 1, 0));
        let scalar = arrow::array::Scalar::new(three);
        let done = divide(&left, &scalar, &DataType::Decimal128(11, 6)).unwrap();
        assert_eq!(done.as_primitive::<Decimal128Type>().values(), &[333_333, 666_667]);
        let wide =
            |value: i128| Decimal256Array::from(vec![i256::from(value)]).with_precision_and_scale(50, 2).unwrap();
        let done = divide(&wide(-200), &wide(300), &DataType::Decimal256(56, 6)).unwrap();
        assert_eq!(done.as_primitive::<Decimal256Type>().value(0), i256::from(-666_667));
    }
}
