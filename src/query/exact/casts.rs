//! Casts keep the value, or fail with the expression and the value in the message.
//!
//! DataFusion's casts fail without naming the expression, and a cast to `TIMESTAMP` truncates what is finer than
//! microseconds. Casts that can fail are replaced by a function that casts in the same way. Casts of times to a coarser
//! unit cut off downwards, before 1970 as after it; a fraction is no timestamp.
//!
//! Not for: `TRY_CAST`, which returns null, except for how it cuts off; and widening casts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::util::display::array_value_to_string;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{
    DFSchema, DataFusionError, Result, exec_datafusion_err, exec_err, internal_datafusion_err, plan_err,
};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TryCast, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::time_comparisons::nanoseconds;

/// Nanoseconds per microsecond.
const MICROSECOND: i64 = 1_000;
/// Digits of a fractional second in microseconds.
const MICROSECOND_DIGITS: usize = 6;

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct NamedCasts;

impl AnalyzerRule for NamedCasts {
    fn name(&self) -> &'static str {
        "named_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        super::everywhere(plan, replace)
    }
}

fn replace(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (expr, field, tries) = match &expression {
        Expr::Cast(Cast { expr, field }) => (expr, field, false),
        Expr::TryCast(TryCast { expr, field }) => (expr, field, true),
        _ => return Ok(Transformed::no(expression)),
    };
    let named = |to: &DataType| {
        let signature = Signature::any(1, Volatility::Immutable);
        let named = NamedCast { text: super::as_written(&expression), to: to.clone(), tries, signature };
        ScalarUDF::new_from_impl(named).call(vec![expr.as_ref().clone()])
    };
    let from = expr.get_type(schema)?;
    match (&from, field.data_type()) {
        (DataType::Union(fields, _), to) if from != *to => {
            let names: Vec<&str> = fields.iter().map(|(_, field)| field.name().as_str()).collect();
            plan_err!(
                "{} would lose values: {expr} has one of several types; take each with union_extract({expr}, 'TYPE'), \
                 of the types {}",
                super::as_written(&expression),
                names.join(", ")
            )
        }
        (DataType::Timestamp(fine, zone), DataType::Timestamp(coarse, _)) if tries && coarse < fine => {
            let cut = named(&DataType::Timestamp(*coarse, zone.clone()));
            Ok(Transformed::yes(Expr::TryCast(TryCast { expr: Box::new(cut), field: Arc::clone(field) })))
        }
        (from, DataType::Timestamp(..)) if from.is_floating() || from.is_decimal() => {
            plan_err!(
                "{}: a number with a fraction is no timestamp; write to_timestamp({expr}) for seconds since 1970, or \
                 to_timestamp_millis or _micros",
                super::as_written(&expression)
            )
        }
        (from, to) if !tries && can_fail(from, to) => Ok(Transformed::yes(named(to))),
        _ => Ok(Transformed::no(expression)),
    }
}

/// Whether a cast may fail, or silently truncate.
fn can_fail(from: &DataType, to: &DataType) -> bool {
    let is_text = |of: &DataType| matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match (from, to) {
        (from, to) if from == to || from.is_nested() || to.is_nested() || from.is_null() => false,
        (_, DataType::Boolean) | (DataType::Boolean, _) => is_text(from),
        (from, to) if is_text(from) => !is_text(to) && !matches!(to, DataType::Binary | DataType::LargeBinary),
        (from, to) if from.is_integer() && to.is_integer() => !contains(to, from),
        (from, DataType::Decimal128(digits, scale)) if from.is_integer() => {
            i16::from(*digits) - i16::from(*scale) < 20 && bounds_digits(from) > i16::from(*digits) - i16::from(*scale)
        }
        (from, to) if from.is_integer() && to.is_decimal() => true,
        (from, to) if from.is_decimal() && to.is_decimal() => whole_digits(from) > whole_digits(to),
        (from, to) if from.is_floating() || from.is_decimal() => to.is_integer() || to.is_decimal(),
        (DataType::Date32 | DataType::Date64, DataType::Timestamp(unit, zone)) => {
            *unit > TimeUnit::Second || zone.as_deref().is_some_and(is_named)
        }
        (DataType::Timestamp(from, old), DataType::Timestamp(to, new)) => {
            to != from || (old.is_none() && new.as_deref().is_some_and(is_named))
        }
        (DataType::Timestamp(..), to) if to.is_integer() => *to != DataType::Int64,
        (DataType::Binary | DataType::LargeBinary, to) => is_text(to),
        _ => false,
    }
}

/// Whether a time zone is named, so that some local times may not exist in it.
fn is_named(zone: &str) -> bool {
    zone != super::ZONE && !zone.starts_with(['+', '-'])
}

fn contains(wide: &DataType, narrow: &DataType) -> bool {
    let signed = |of: &DataType| of.is_signed_integer();
    let bits = |of: &DataType| of.primitive_width().unwrap_or(0);
    match (signed(wide), signed(narrow)) {
        (true, true) | (false, false) => bits(wide) >= bits(narrow),
        (true, false) => bits(wide) > bits(narrow),
        (false, true) => false,
    }
}

/// Maximum digits of an integer type.
fn bounds_digits(of: &DataType) -> i16 {
    match of {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        _ => 20,
    }
}

fn whole_digits(of: &DataType) -> i16 {
    match of {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => i16::from(*digits) - i16::from(*scale),
        _ => 0,
    }
}

/// A cast whose errors name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NamedCast {
    /// The SQL of the expression, for messages.
    text: String,
    to: DataType,
    /// Whether it is a `TRY_CAST`, which refuses nothing.
    tries: bool,
    signature: Signature,
}

/// The SQL of a replaced cast.
pub(super) fn text(function: &dyn ScalarUDFImpl) -> Option<&str> {
    function.downcast_ref::<NamedCast>().map(|of| of.text.as_str())
}

impl ScalarUDFImpl for NamedCast {
    fn name(&self) -> &'static str {
        "exact_cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return Err(internal_datafusion_err!("{} takes a value", self.name()));
        };
        if let (DataType::Timestamp(TimeUnit::Microsecond, _), false) = (&self.to, self.tries) {
            self.check_digits(&value.to_array(1)?)?;
        }
        let value = &match (value.data_type(), &self.to) {
            (DataType::Timestamp(fine, _), DataType::Timestamp(coarse, _)) if *coarse < fine => {
                super::of_arrays(&args.args, |values| cut_off(values, *coarse))?
            }
            _ => value.clone(),
        };
        value.cast_to(&self.to, None).map_err(|error| self.failed(value, &error))
    }
}

impl NamedCast {
    fn failed(&self, value: &ColumnarValue, error: &DataFusionError) -> DataFusionError {
        let why = error.strip_backtrace();
        let why = why.rsplit("error: ").next().unwrap_or_default();
        match self.first_lost(value) {
            Some(lost) if !why.contains(&lost) => exec_datafusion_err!("{}: {lost}: {why}", self.text),
            _ => exec_datafusion_err!("{}: {why}", self.text),
        }
    }

    /// The first value that cannot be cast.
    fn first_lost(&self, value: &ColumnarValue) -> Option<String> {
        let given = value.to_array(1).ok()?;
        let safe = CastOptions { safe: true, ..CastOptions::default() };
        let cast = cast_with_options(&given, &self.to, &safe).ok()?;
        let row = (0..given.len()).find(|row| given.is_valid(*row) && cast.is_null(*row))?;
        array_value_to_string(&given, row).ok()
    }

    /// Rejects times that do not fit microseconds.
    fn check_digits(&self, values: &ArrayRef) -> Result<()> {
        let lost = match values.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                let counts = cast_with_options(values, &DataType::Int64, &CastOptions::default())?;
                let counts = counts.as_primitive::<Int64Type>();
                (0..counts.len()).find(|row| counts.is_valid(*row) && counts.value(*row) % MICROSECOND != 0)
            }
            DataType::Utf8 => {
                let texts = values.as_string::<i32>();
                (0..texts.len()).find(|row| texts.is_valid(*row) && is_finer(texts.value(*row)))
            }
            DataType::LargeUtf8 => {
                let texts = values.as_string::<i64>();
                (0..texts.len()).find(|row| texts.is_valid(*row) && is_finer(texts.value(*row)))
            }
            _ => None,
        };
        match lost {
            Some(row) => exec_err!(
                "{}: {} is finer than microseconds; cast it to TIMESTAMP(9), which has nanoseconds",
                self.text,
                array_value_to_string(values, row)?
            ),
            None => Ok(()),
        }
    }
}

/// Times in a coarser unit, cut off downwards: Arrow cuts off towards 1970.
fn cut_off(values: &[ArrayRef], unit: TimeUnit) -> Result<ArrayRef> {
    let [times] = values else { return Err(internal_datafusion_err!("a cast takes a value")) };
    let DataType::Timestamp(fine, zone) = times.data_type() else { return Ok(Arc::clone(times)) };
    let factor = i64::try_from(nanoseconds(unit) / nanoseconds(*fine)).unwrap_or(1).max(1);
    let counts = cast_with_options(times, &DataType::Int64, &CastOptions::default())?;
    let counts = counts.as_primitive::<Int64Type>().unary::<_, Int64Type>(|count| count.div_euclid(factor));
    let to = DataType::Timestamp(unit, zone.clone());
    Ok(make_array(counts.into_data().into_builder().data_type(to).build()?))
}

/// Whether a time as a string has more fractional digits than microseconds.
pub(super) fn is_finer(text: &str) -> bool {
    let Some((_, fraction)) = text.split_once('.') else { return false };
    fraction.bytes().take_while(u8::is_ascii_digit).skip(MICROSECOND_DIGITS).any(|digit| digit != b'0')
}
