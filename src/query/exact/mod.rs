//! Where SQL asks for one answer and DataFusion gives another, or one that depends on chance: mended in the plan.
//!
//! | file | what |
//! |---|---|
//! | `sum` | sums of integers and decimals are exact, or an error |
//! | `arithmetic` | `+`, `-` and `*` of integers are exact, or an error |
//! | `floats` | there is one zero and one NaN, so equal numbers are one group, one key, one partition |
//! | `not_in` | `IN` and `NOT IN` over subqueries follow the three-valued logic of nulls |
//! | `null_safe` | equality with nulls spreads to no other key of a join |
//! | `anchored` | conditions without columns stay where they are; groups of `ROLLUP` are constant for nobody |
//! | `syntax` | what would be read in another way than the standard's is refused |
//! | `multisets` | `EXCEPT ALL` and `INTERSECT ALL` count rows |
//!
//! Most are rules of the analyzer, which sees a query once its types are known and before anything is optimized; `sum`
//! takes the place of DataFusion's function of that name.
//!
//! Not for: speed (see `ahead`, `grouping`).

mod anchored;
mod arithmetic;
mod floats;
mod multisets;
mod not_in;
mod null_safe;
mod sum;
mod syntax;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionContext;

pub(super) use floats::normalized;
pub(super) use syntax::check as check_syntax;

/// Rules of DataFusion's that give wrong answers: this one finds columns by name alone where it moves a filter into one
/// side of a join, and both sides may have the name.
const LEFT_OUT: &str = "FilterPushdown";

/// The rules by which a physical plan is made better.
pub(super) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let all = PhysicalOptimizer::new().rules;
    all.into_iter().filter(|rule| !rule.name().starts_with(LEFT_OUT)).collect()
}

/// Makes a session answer exactly.
pub(super) fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::new_from_impl(sum::ExactSum::default()));
    context.add_analyzer_rule(Arc::new(not_in::ThreeValued));
    context.add_analyzer_rule(Arc::new(null_safe::NullSafeKeys));
    context.add_analyzer_rule(Arc::new(multisets::Multisets));
    context.add_analyzer_rule(Arc::new(anchored::Anchored));
    context.add_analyzer_rule(Arc::new(arithmetic::CheckedArithmetic));
    context.add_analyzer_rule(Arc::new(floats::OneZero));
}
