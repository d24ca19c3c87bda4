//! Corrects plans for which DataFusion's answer differs from the SQL standard's, or depends on chance.
//!
//! ```text
//!  types, conversions,
//!  set_operations   values of two types meet in one that holds both
//!  rewrites         forms of SQL that DataFusion does not know
//!  casts            a cast keeps the value, or is an error that names it
//!  sum              sums of integers and decimals are exact, or an error
//!  averages         averages of whole numbers, decimals and durations are divided once, of an exact sum
//!  arithmetic,
//!  operation        operators on integers are exact, or an error
//!  quotients        quotients of decimals are rounded, not cut off
//!  float_frames,
//!  moving_statistics  floats of a frame that moves are added up, or otherwise aggregated, again for each row
//!  floats           there is one zero and one NaN, so equal numbers are one group, one key, one partition
//!  not_in           IN and NOT IN over subqueries follow the three-valued logic of nulls
//!  null_safe        equality with nulls spreads to no other key of a join
//!  empty_aggregates conditions without columns are not moved; groups of ROLLUP are never treated as constant
//!  time_comparisons timestamps are compared in the finer unit, intervals not at all; what is added to a time is not cut
//!  checked_dates    functions of dates fail where they would give null for a date far away
//!  timestamps       to_timestamp and to_unixtime are exact, or an error
//!  named_functions  functions of numbers that fail name the value; round has any number of digits
//!  percentiles      median and percentile_cont are exact
//!  repeated_orders  a column occurs once in an order
//!  truncation       date_trunc and date_bin of any year
//!  syntax, using,
//!  predicates,
//!  similar_to       what would be read in another way than the standard's is rewritten, or refused
//!  multisets        EXCEPT ALL and INTERSECT ALL count rows
//! ```
//!
//! Most are analyzer rules, which see a query once its types are known and before anything is optimized; two run before
//! DataFusion coerces types.
//!
//! Not for: speed (see `partitioned_aggregate`).

mod arithmetic;
mod averages;
mod casts;
mod checked_dates;
mod conversions;
mod empty_aggregates;
mod float_frames;
mod floats;
#[cfg(test)]
mod function_tests;
mod identifiers;
mod ignored_clauses;
mod in_lists;
mod moving_statistics;
mod multisets;
mod named_functions;
mod named_windows;
mod not_in;
mod null_safe;
mod operation;
mod percentiles;
mod predicates;
mod quotients;
mod repeated_orders;
mod rewrites;
mod set_operations;
mod similar_to;
mod sum;
mod syntax;
#[cfg(test)]
mod tests;
mod time_comparisons;
mod timestamps;
mod truncation;
mod types;
mod using;
#[cfg(test)]
mod value_tests;
mod volatile_queries;

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, Expr, LogicalPlan};
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::{AnalyzerRule, Optimizer};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionContext;

pub(super) use floats::normal;
pub(super) use syntax::check as check_syntax;

/// DataFusion's rules that give wrong answers. The first turns an aggregate with constant groups into one without
/// groups, which returns a row even for no rows; the others match columns by name alone when they push a filter into
/// one side of a join, and both sides may have the name.
const LEFT_OUT: [&str; 2] = ["eliminate_group_by_constant", "FilterPushdown"];

fn is_left_out(rule: &str) -> bool {
    LEFT_OUT.iter().any(|name| rule.starts_with(name))
}

/// The time zone of queries: instants are displayed in it, and their dates are dates in it.
const ZONE: &str = "UTC";

/// Session settings for exact answers; functions are replaced by [`register`].
pub(super) fn settings(builder: SessionStateBuilder) -> SessionStateBuilder {
    let logical = Optimizer::new().rules.into_iter().filter(|rule| !is_left_out(rule.name()));
    let physical = PhysicalOptimizer::new().rules.into_iter().filter(|rule| !is_left_out(rule.name()));
    let mut builder = builder;
    builder.config().get_or_insert_default().options_mut().execution.time_zone = Some(ZONE.to_owned());
    builder
        .with_type_planner(Arc::new(rewrites::Timestamps))
        .with_analyzer_rules(rules())
        .with_optimizer_rules(logical.collect())
        .with_physical_optimizer_rules(physical.collect())
}

/// The analyzer rules, DataFusion's and ours, in order.
fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![
        Arc::new(ResolveGroupingFunction::new()),
        Arc::new(not_in::ThreeValued),
        Arc::new(types::CommonTypes),
        Arc::new(TypeCoercion::new()),
        Arc::new(averages::ExactAverages),
        Arc::new(in_lists::SeparateLists),
        Arc::new(null_safe::NullSafeKeys),
        Arc::new(multisets::Multisets),
        Arc::new(time_comparisons::ExactTimes),
        Arc::new(repeated_orders::OnceInAnOrder),
        Arc::new(empty_aggregates::Anchored),
        Arc::new(arithmetic::CheckedArithmetic),
        Arc::new(casts::NamedCasts),
        Arc::new(floats::OneZero),
    ]
}

/// Replaces functions of a session by exact ones.
pub(super) fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::new_from_impl(sum::ExactSum::default()));
    context.register_udaf(AggregateUDF::new_from_impl(averages::Average::default()));
    moving_statistics::register(context);
    checked_dates::register(context);
    in_lists::register(context);
    timestamps::register(context);
    named_functions::register(context);
    percentiles::register(context);
}

/// The same plan with every expression of every node rewritten bottom-up, under its old name.
fn everywhere(plan: LogicalPlan, change: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(|plan| expressions_of(plan, &change))?.data)
}

/// The same node with its expressions rewritten bottom-up, under their old names.
fn expressions_of(
    plan: LogicalPlan,
    change: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let changed = expression.transform_up(|expression| change(expression, &schema))?;
        Ok(changed.update_data(|expression| name.restore(expression)))
    })
}

/// Expressions in place of the columns of a schema, under their names.
fn under_names(schema: &DFSchema, columns: Vec<Expr>) -> Vec<Expr> {
    let named = schema.iter().zip(columns).map(|((relation, field), column)| match &column {
        Expr::Column(_) => column,
        _ => column.alias_qualified(relation.cloned(), field.name()),
    });
    named.collect()
}

/// An expression as it was before this directory's rules replaced operators in it.
fn as_written(expression: &Expr) -> String {
    // Top-down: the text of an outer function already contains that of its arguments.
    let written = expression.clone().transform_down(|part| match &part {
        Expr::ScalarFunction(of) => {
            let function = of.func.inner().as_ref();
            if let (true, [interval]) = (time_comparisons::is_whole(function), of.args.as_slice()) {
                return Ok(Transformed::yes(interval.clone()));
            }
            let text = arithmetic::text(function).or_else(|| casts::text(function));
            Ok(match text {
                Some(text) => Transformed::new(Expr::Column(Column::from_name(text)), true, TreeNodeRecursion::Jump),
                None => Transformed::no(part),
            })
        }
        _ => Ok(Transformed::no(part)),
    });
    written.map_or_else(|_| expression.to_string(), |written| written.data.to_string())
}

/// Applies a function of arrays to its arguments; the result is a scalar if all of them are.
fn of_arrays(args: &[ColumnarValue], function: impl FnOnce(&[ArrayRef]) -> Result<ArrayRef>) -> Result<ColumnarValue> {
    let result = function(&ColumnarValue::values_to_arrays(args)?)?;
    match args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_))) {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
        false => Ok(ColumnarValue::Array(result)),
    }
}
