//! Where SQL asks for one answer and DataFusion gives another, or one that depends on chance: mended in the plan.
//!
//! | file | what |
//! |---|---|
//! | `sum` | sums of integers and decimals are exact, or an error |
//! | `arithmetic` | `+`, `-` and `*` of integers are exact, or an error |
//! | `frames` | floats of a frame that moves are added up anew |
//! | `floats` | there is one zero and one NaN, so equal numbers are one group, one key, one partition |
//! | `not_in` | `IN` and `NOT IN` over subqueries follow the three-valued logic of nulls |
//! | `null_safe` | equality with nulls spreads to no other key of a join |
//! | `anchored` | conditions without columns stay where they are; groups of `ROLLUP` are constant for nobody |
//! | `times` | timestamps are compared in the finer unit, intervals not at all |
//! | `total` | functions of dates fail where they would give null for a date far away |
//! | `syntax` | what would be read in another way than the standard's is refused |
//! | `multisets` | `EXCEPT ALL` and `INTERSECT ALL` count rows |
//!
//! Most are rules of the analyzer, which sees a query once its types are known and before anything is optimized.
//!
//! Not for: speed (see `ahead`, `grouping`).

mod anchored;
mod arithmetic;
mod floats;
mod frames;
mod multisets;
mod not_in;
mod null_safe;
mod orders;
mod sum;
mod syntax;
#[cfg(test)]
mod tests;
mod times;
mod total;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::AggregateUDF;
use datafusion::optimizer::Optimizer;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionContext;

pub(super) use floats::normal;
pub(super) use syntax::check as check_syntax;

/// Rules of DataFusion's that give wrong answers. The first makes an aggregate without groups of one whose groups are
/// constant, which gives a row where there was none to group; the others find columns by name alone where they move a
/// filter into one side of a join, and both sides may have the name.
const LEFT_OUT: [&str; 2] = ["eliminate_group_by_constant", "FilterPushdown"];

fn is_left_out(rule: &str) -> bool {
    LEFT_OUT.iter().any(|name| rule.starts_with(name))
}

/// A session's settings without the rules that give wrong answers.
pub(super) fn without_wrong_rules(builder: SessionStateBuilder) -> SessionStateBuilder {
    let logical = Optimizer::new().rules.into_iter().filter(|rule| !is_left_out(rule.name()));
    let physical = PhysicalOptimizer::new().rules.into_iter().filter(|rule| !is_left_out(rule.name()));
    builder.with_optimizer_rules(logical.collect()).with_physical_optimizer_rules(physical.collect())
}

/// Makes a session answer exactly.
pub(super) fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::new_from_impl(sum::ExactSum::default()));
    context.register_udaf(AggregateUDF::new_from_impl(frames::Average::default()));
    total::register(context);
    context.add_analyzer_rule(Arc::new(total::NoAverageDurations));
    context.add_analyzer_rule(Arc::new(not_in::ThreeValued));
    context.add_analyzer_rule(Arc::new(null_safe::NullSafeKeys));
    context.add_analyzer_rule(Arc::new(multisets::Multisets));
    context.add_analyzer_rule(Arc::new(times::ExactTimes));
    context.add_analyzer_rule(Arc::new(orders::OnceInAnOrder));
    context.add_analyzer_rule(Arc::new(anchored::Anchored));
    context.add_analyzer_rule(Arc::new(arithmetic::CheckedArithmetic));
    context.add_analyzer_rule(Arc::new(floats::OneZero));
}
