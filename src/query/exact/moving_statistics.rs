//! Variances, deviations, covariances, correlations and regressions over moving window frames: recomputed for each
//! row.
//!
//! DataFusion removes values that leave a frame from its running state. With floats that leaves a residue: the variance
//! of 1 and 1 is not 0 if 1e16 was in the frame before, and NaN never leaves.
//!
//! Not for: sums and averages, which need less (see `float_frames`).

use std::collections::VecDeque;
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use crate::query::delegated_aggregate::delegated;

const FUNCTIONS: [&str; 16] = [
    "var",
    "var_pop",
    "stddev",
    "stddev_pop",
    "covar_samp",
    "covar_pop",
    "corr",
    "regr_slope",
    "regr_intercept",
    "regr_count",
    "regr_r2",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
];

/// Replaces the session's functions that remove values from their state.
pub(super) fn register(context: &SessionContext) {
    for name in FUNCTIONS {
        if let Ok(inner) = context.udaf(name) {
            context.register_udaf(AggregateUDF::new_from_impl(Refilled { inner }));
        }
    }
}

/// An aggregate that recomputes a moving frame instead of removing values from its state.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Refilled {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Refilled {
    delegated!(
        inner: name, aliases, signature, return_type, coerce_types, accumulator, state_fields,
        groups_accumulator_supported, create_groups_accumulator, default_value, is_nullable
    );

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Frame {
            function: Arc::clone(&self.inner),
            result: args.return_field,
            schema: args.schema.clone(),
            name: args.name.to_owned(),
            is_distinct: args.is_distinct,
            exprs: args.exprs.to_vec(),
            fields: args.expr_fields.to_vec(),
            values: VecDeque::new(),
        }))
    }
}

/// The rows in a frame, in input order.
#[derive(Debug)]
struct Frame {
    function: Arc<AggregateUDF>,
    result: FieldRef,
    schema: Schema,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<FieldRef>,
    values: VecDeque<Vec<ArrayRef>>,
}

impl Accumulator for Frame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.push_back(values.to_vec());
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut leaving = values.first().map_or(0, |array| array.len());
        while let Some(first) = self.values.front_mut().filter(|_| leaving > 0) {
            let rows = first.first().map_or(0, |array| array.len());
            let gone = leaving.min(rows);
            leaving -= gone;
            if gone == rows {
                self.values.pop_front();
            } else {
                first.iter_mut().for_each(|array| *array = array.slice(gone, rows - gone));
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut inner = self.function.accumulator(AccumulatorArgs {
            return_field: Arc::clone(&self.result),
            schema: &self.schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.fields,
        })?;
        self.values.iter().try_for_each(|values| inner.update_batch(values))?;
        inner.evaluate()
    }

    fn size(&self) -> usize {
        let arrays = self.values.iter().flatten();
        size_of_val(self) + arrays.map(|array| array.get_array_memory_size()).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        not_impl_err!("a frame is not merged")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        not_impl_err!("a frame is not merged")
    }
}
