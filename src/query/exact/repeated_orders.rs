//! Removes repeated expressions from ORDER BY: the second has no effect, and DataFusion's aggregates that take the
//! first value of a group, which `DISTINCT ON` becomes, fail on it.
//!
//! Not for: the order of a result, where DataFusion removes repetitions itself.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, LogicalPlan, SortExpr};
use datafusion::optimizer::AnalyzerRule;

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct OnceInAnOrder;

impl AnalyzerRule for OnceInAnOrder {
    fn name(&self) -> &'static str {
        "once_in_an_order"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let once = plan.transform_up_with_subqueries(|plan| {
            if let LogicalPlan::Distinct(Distinct::On(on)) = plan {
                let sort_expr = on.sort_expr.map(once);
                return Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(DistinctOn { sort_expr, ..on }))));
            }
            super::expressions_of(plan, |expression, _| match expression {
                Expr::AggregateFunction(mut of) if of.params.order_by.len() > 1 => {
                    of.params.order_by = once(of.params.order_by);
                    Ok(Transformed::yes(Expr::AggregateFunction(of)))
                }
                other => Ok(Transformed::no(other)),
            })
        })?;
        Ok(once.data)
    }
}

fn once(order: Vec<SortExpr>) -> Vec<SortExpr> {
    let mut kept: Vec<SortExpr> = Vec::with_capacity(order.len());
    for by in order {
        if !kept.iter().any(|earlier| earlier.expr == by.expr) {
            kept.push(by);
        }
    }
    kept
}
