//! `median` and `percentile_cont`: the exact position between two values, in doubles or decimals.
//!
//! ```text
//!  values of a group ─▶ the two at and after the position p · (n − 1) ─▶ lower + fraction · (upper − lower)
//! ```
//! DataFusion interpolates in steps of a millionth, and cuts off the median of decimals; here it has the digits that
//! their average has. Positions are found by selection, not by sorting.
//!
//! Not for: approximate percentiles.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray,
    RecordBatch, make_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Float64Type, Schema, i256};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::prelude::SessionContext;

use super::averages::type_of_average;
use super::quotients::Number;

/// Values of a `DISTINCT` before repetitions are first removed.
const FIRST_COMPACTION: usize = 1_024;

/// Replaces the session's functions.
pub(super) fn register(context: &SessionContext) {
    for (name, aliases) in [("median", Vec::new()), ("percentile_cont", vec!["quantile_cont".to_owned()])] {
        let signature = Signature::user_defined(Volatility::Immutable);
        context.register_udaf(AggregateUDF::new_from_impl(Percentile { name, aliases, signature }));
    }
}

/// One of the two functions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
}

impl Percentile {
    fn is_median(&self) -> bool {
        self.aliases.is_empty()
    }

    fn rank(&self, args: &AccumulatorArgs<'_>) -> Result<Rank> {
        let values = args.expr_fields.first().map_or(DataType::Float64, |field| field.data_type().clone());
        let result = args.return_field.data_type().clone();
        let more = match (&values, &result) {
            (
                DataType::Decimal128(_, before) | DataType::Decimal256(_, before),
                DataType::Decimal128(_, after) | DataType::Decimal256(_, after),
            ) => u32::try_from(after - before).unwrap_or(0),
            _ => 0,
        };
        let fraction = if self.is_median() { 0.5 } else { fraction(args)? };
        let descending = args.order_bys.first().is_some_and(|by| by.options.descending);
        let name = args.name.to_owned();
        Ok(Rank { name, values, result, more, fraction, descending, distinct: args.is_distinct })
    }

    fn values(&self, args: &AccumulatorArgs<'_>, slides: bool) -> Result<Box<dyn Accumulator>> {
        let rank = self.rank(args)?;
        Ok(match rank.values {
            DataType::Decimal128(..) => Box::new(Values::<Decimal128Type>::new(rank, slides)),
            DataType::Decimal256(..) => Box::new(Values::<Decimal256Type>::new(rank, slides)),
            _ => Box::new(Values::<Float64Type>::new(rank, slides)),
        })
    }
}

/// The percentile, a constant between 0 and 1.
fn fraction(args: &AccumulatorArgs<'_>) -> Result<f64> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let constant = args.exprs.get(1).and_then(|of| of.evaluate(&nothing).ok());
    let Some(ColumnarValue::Scalar(constant)) = constant else {
        return plan_err!("{}: the percentile has to be a constant", args.name);
    };
    match constant.cast_to(&DataType::Float64)? {
        ScalarValue::Float64(Some(fraction)) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => plan_err!("{}: the percentile {constant} is not between 0 and 1", args.name),
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_number = |of: &DataType| of.is_numeric() || of.is_null();
        match types {
            [DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale)] if self.is_median() => {
                Ok(vec![DataType::Decimal128(*digits, *scale)])
            }
            [DataType::Decimal128(..) | DataType::Decimal256(..)] if self.is_median() => Ok(types.to_vec()),
            [of] if self.is_median() && is_number(of) => Ok(vec![DataType::Float64]),
            [of, percentile] if !self.is_median() && is_number(of) && is_number(percentile) => {
                Ok(vec![DataType::Float64; 2])
            }
            _ if self.is_median() => plan_err!("median takes one number, not {types:?}"),
            _ => plan_err!("{} takes a number and a percentile between 0 and 1, not {types:?}", self.name),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types.first() {
            Some(DataType::Decimal256(digits, scale)) if *digits < 76 => DataType::Decimal256(digits + 1, scale + 1),
            Some(of @ DataType::Decimal256(..)) => of.clone(),
            Some(of) if of.is_decimal() => type_of_average(of).unwrap_or(DataType::Float64),
            _ => DataType::Float64,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let values = args.input_fields.first().map_or(DataType::Float64, |field| field.data_type().clone());
        let list = DataType::new_list(values, true);
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "values"), list, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.values(&args, false)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.values(&args, true)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let rank = self.rank(&args)?;
        Ok(match rank.values {
            DataType::Decimal128(..) => Box::new(Groups::<Decimal128Type> { rank, groups: Vec::new() }),
            DataType::Decimal256(..) => Box::new(Groups::<Decimal256Type> { rank, groups: Vec::new() }),
            _ => Box::new(Groups::<Float64Type> { rank, groups: Vec::new() }),
        })
    }

    fn supports_within_group_clause(&self) -> bool {
        !self.is_median()
    }
}

/// A type of values between which there are others.
trait Continuous: ArrowPrimitiveType + Debug {
    /// `lower + fraction · (upper − lower)`, with `more` further decimal digits; none if it is too large.
    fn between(lower: Self::Native, upper: Self::Native, fraction: f64, more: u32) -> Option<Self::Native>;
}

impl Continuous for Float64Type {
    fn between(lower: f64, upper: f64, fraction: f64, _: u32) -> Option<f64> {
        let distance = upper - lower;
        Some(match () {
            () if lower == upper => lower,
            () if distance.is_finite() => lower + fraction * distance,
            () => lower * (1.0 - fraction) + upper * fraction,
        })
    }
}

/// Decimals have medians only: the fraction is a half, or nothing if both are one value.
impl Continuous for Decimal128Type {
    fn between(lower: i128, upper: i128, _: f64, more: u32) -> Option<i128> {
        Decimal256Type::between(i256::from(lower), i256::from(upper), 0.5, more)?.to_i128()
    }
}

impl Continuous for Decimal256Type {
    fn between(lower: i256, upper: i256, _: f64, more: u32) -> Option<i256> {
        let sum = lower.checked_add(upper)?;
        sum.checked_mul(i256::from(10).checked_pow(more)?)?.rounded(i256::from(2))
    }
}

/// What is computed.
#[derive(Clone, Debug)]
struct Rank {
    name: String,
    values: DataType,
    result: DataType,
    /// Digits that the result has in addition to those of the values.
    more: u32,
    fraction: f64,
    descending: bool,
    distinct: bool,
}

impl Rank {
    /// The value at the rank; none if there are no values. Their order changes.
    fn pick<T: Continuous>(&self, values: &mut [T::Native]) -> Result<Option<T::Native>> {
        let Some(last) = values.len().checked_sub(1) else { return Ok(None) };
        let position = self.fraction * last as f64;
        let (at, after) = (position.floor() as usize, position.ceil() as usize);
        let (low, high) = if self.descending { (last - after, last - at) } else { (at, after) };
        let (_, lower, above) = values.select_nth_unstable_by(low, order::<T>);
        let lower = *lower;
        let upper = match high > low {
            true => above.iter().copied().min_by(order::<T>).unwrap_or(lower),
            false => lower,
        };
        let (from, to) = if self.descending { (upper, lower) } else { (lower, upper) };
        let between = T::between(from, to, position - position.floor(), self.more);
        between.map(Some).ok_or_else(|| exec_datafusion_err!("{} has too many digits for {}", self.name, self.result))
    }

    fn results<T: Continuous>(&self, groups: impl Iterator<Item = Result<Option<T::Native>>>) -> Result<ArrayRef> {
        let results = groups.collect::<Result<PrimitiveArray<T>>>()?;
        Ok(make_array(results.into_data().into_builder().data_type(self.result.clone()).build()?))
    }

    fn list<T: Continuous>(&self, groups: Vec<Vec<T::Native>>) -> Result<ListArray> {
        let all: usize = groups.iter().map(Vec::len).sum();
        if i32::try_from(all).is_err() {
            return Err(exec_datafusion_err!("{}: {all} values at once are too many", self.name));
        }
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
        let values = PrimitiveArray::<T>::from_iter_values(groups.into_iter().flatten());
        let values = values.with_data_type(self.values.clone());
        let item = Arc::new(Field::new_list_field(self.values.clone(), true));
        Ok(ListArray::try_new(item, offsets, Arc::new(values), None)?)
    }
}

fn order<T: Continuous>(one: &T::Native, other: &T::Native) -> Ordering {
    one.compare(*other)
}

fn once<T: Continuous>(values: &mut Vec<T::Native>) {
    values.sort_unstable_by(order::<T>);
    values.dedup_by(|one, other| one.is_eq(*other));
}

/// Accumulator of the values of one group, or of a frame.
#[derive(Debug)]
struct Values<T: Continuous> {
    rank: Rank,
    values: Vec<T::Native>,
    /// Number of values at the front that have left the frame.
    gone: usize,
    slides: bool,
    compaction: usize,
}

impl<T: Continuous> Values<T> {
    fn new(rank: Rank, slides: bool) -> Self {
        Self { rank, values: Vec::new(), gone: 0, slides, compaction: FIRST_COMPACTION }
    }

    fn add(&mut self, values: &ArrayRef) {
        self.values.extend(values.as_primitive::<T>().iter().flatten());
        if self.rank.distinct && !self.slides && self.values.len() > self.compaction {
            once::<T>(&mut self.values);
            self.compaction = (2 * self.values.len()).max(FIRST_COMPACTION);
        }
    }
}

impl<T: Continuous> Accumulator for Values<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.first().into_iter().for_each(|values| self.add(values));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.gone += values.first().map_or(0, |values| values.len() - values.null_count());
        if self.gone > self.values.len() {
            return Err(internal_datafusion_err!("{}: more values leave the frame than it has", self.rank.name));
        }
        if 2 * self.gone > self.values.len() {
            self.values.drain(..std::mem::take(&mut self.gone));
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.slides
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.rank.distinct && !self.slides {
            once::<T>(&mut self.values);
        }
        let picked = match self.slides {
            true => {
                // The order of the values says which of them leave first.
                let mut frame = self.values[self.gone..].to_vec();
                if self.rank.distinct {
                    once::<T>(&mut frame);
                }
                self.rank.pick::<T>(&mut frame)
            }
            false => self.rank.pick::<T>(&mut self.values),
        };
        ScalarValue::try_from_array(&self.rank.results::<T>(std::iter::once(picked))?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = std::mem::take(&mut self.values);
        Ok(vec![ScalarValue::List(Arc::new(self.rank.list::<T>(vec![values])?))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states.first().into_iter().flat_map(|lists| lists.as_list::<i32>().iter().flatten());
        lists.for_each(|values| self.add(&values));
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<T::Native>()
    }
}

/// Whether a FILTER clause keeps a row.
fn keeps(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// Accumulator of the values of many groups.
struct Groups<T: Continuous> {
    rank: Rank,
    groups: Vec<Vec<T::Native>>,
}

impl<T: Continuous> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize(total, Vec::new());
        let Some(values) = values.first() else { return Ok(()) };
        for (row, (value, group)) in values.as_primitive::<T>().iter().zip(groups).enumerate() {
            self.groups[*group].extend(value.filter(|_| keeps(filter, row)));
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize(total, Vec::new());
        let Some(lists) = states.first() else { return Ok(()) };
        for (values, group) in lists.as_list::<i32>().iter().zip(groups) {
            if let Some(values) = values {
                self.groups[*group].extend(values.as_primitive::<T>().iter().flatten());
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut groups = emit_to.take_needed(&mut self.groups);
        self.rank.results::<T>(groups.iter_mut().map(|values| self.rank.pick::<T>(values)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        Ok(vec![Arc::new(self.rank.list::<T>(groups)?)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values.first().ok_or_else(|| internal_datafusion_err!("{} takes a number", self.rank.name))?;
        let of_row =
            |(row, value): (usize, Option<T::Native>)| value.filter(|_| keeps(filter, row)).into_iter().collect();
        let groups = values.as_primitive::<T>().iter().enumerate().map(of_row).collect();
        Ok(vec![Arc::new(self.rank.list::<T>(groups)?)])
    }

    fn size(&self) -> usize {
        let values: usize = self.groups.iter().map(|values| values.capacity() * size_of::<T::Native>()).sum();
        size_of_val(self) + self.groups.capacity() * size_of::<Vec<T::Native>>() + values
    }
}
