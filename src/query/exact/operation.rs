//! The operations on integers and decimals that are checked: what each of them does, and what to do where it fails.
//!
//! Not for: which expressions are replaced by them (see `arithmetic`).

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::compute::kernels::numeric;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};
use arrow::error::ArrowError;
use datafusion::logical_expr::Operator;

use super::quotients;

/// An operator of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    ShiftLeft,
    ShiftRight,
}

impl Operation {
    pub(super) fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Plus),
            Operator::Minus => Some(Self::Minus),
            Operator::Multiply => Some(Self::Times),
            Operator::Divide => Some(Self::Divide),
            Operator::Modulo => Some(Self::Modulo),
            Operator::BitwiseShiftLeft => Some(Self::ShiftLeft),
            Operator::BitwiseShiftRight => Some(Self::ShiftRight),
            _ => None,
        }
    }

    /// The operator of SQL.
    pub(super) fn operator(self) -> Operator {
        match self {
            Self::Plus => Operator::Plus,
            Self::Minus => Operator::Minus,
            Self::Times => Operator::Multiply,
            Self::Divide => Operator::Divide,
            Self::Modulo => Operator::Modulo,
            Self::ShiftLeft => Operator::BitwiseShiftLeft,
            Self::ShiftRight => Operator::BitwiseShiftRight,
        }
    }

    /// The operation on two arrays or scalars, as `result`.
    pub(super) fn apply(
        self,
        left: &dyn Datum,
        right: &dyn Datum,
        result: &DataType,
    ) -> std::result::Result<ArrayRef, ArrowError> {
        match self {
            Self::Divide if result.is_decimal() => quotients::divide(left, right, result),
            Self::Plus => numeric::add(left, right),
            Self::Minus => numeric::sub(left, right),
            Self::Times => numeric::mul(left, right),
            Self::Divide => numeric::div(left, right),
            Self::Modulo => numeric::rem(left, right),
            Self::ShiftLeft | Self::ShiftRight => shifted(self, left, right),
        }
    }

    pub(super) fn divides(self) -> bool {
        matches!(self, Self::Divide | Self::Modulo)
    }

    pub(super) fn shifts(self) -> bool {
        matches!(self, Self::ShiftLeft | Self::ShiftRight)
    }

    /// What to do where it fails.
    pub(super) fn advice(self, of: &DataType) -> String {
        match self {
            Self::Plus | Self::Minus | Self::Times if of.is_decimal() => {
                "has more than 38 digits; cast its sides to decimals of fewer digits, or to DOUBLE".to_owned()
            }
            Self::Plus | Self::Minus if of.is_temporal() => format!("is outside of the range of {of}"),
            Self::Plus | Self::Minus | Self::Times | Self::ShiftLeft => {
                format!("overflows {of}; cast one side to a wider type, such as DECIMAL(38, 0)")
            }
            Self::Divide | Self::Modulo => "fails; nullif(…, 0) as the divisor gives null where it is zero".to_owned(),
            Self::ShiftRight => format!("shifts further than {of} has bits"),
        }
    }
}

/// Shifts an integer: an error if a left shift loses bits, or the count is out of range.
fn shifted(operation: Operation, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let wide = |side: &dyn Datum| -> std::result::Result<(Decimal128Array, bool), ArrowError> {
        let (array, scalar) = side.get();
        let wide = cast_with_options(array, &DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0), &exact)?;
        Ok((wide.as_primitive::<Decimal128Type>().clone(), scalar))
    };
    let bits = i128::try_from(8 * left.get().0.data_type().primitive_width().unwrap_or(0)).unwrap_or(0);
    let ((values, one_value), (counts, one_count)) = (wide(left)?, wide(right)?);
    let rows = if one_value { counts.len() } else { values.len() };
    let of_row = |row: usize| {
        let (value, count) = (if one_value { 0 } else { row }, if one_count { 0 } else { row });
        if values.is_null(value) || counts.is_null(count) {
            return Ok(None);
        }
        let (value, count) = (values.value(value), counts.value(count));
        match operation {
            _ if count < 0 || count >= bits => Err(ArrowError::ComputeError(format!("{value} by {count} bits"))),
            Operation::ShiftLeft => Ok(Some(value << count)),
            _ => Ok(Some(value >> count)),
        }
    };
    let wide = (0..rows).map(of_row).collect::<std::result::Result<Decimal128Array, ArrowError>>()?;
    let wide = wide.with_precision_and_scale(DECIMAL128_MAX_PRECISION, 0)?;
    cast_with_options(&wide, left.get().0.data_type(), &exact)
}
