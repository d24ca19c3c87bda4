//! Keeps lists of `IN` apart, where DataFusion's simplifier would combine two lists of one expression.
//!
//! ```text
//! x IN (1) AND x IN (2)              would be false, and is unknown for a null x
//! x NOT IN (1) OR x NOT IN (2)       would be true, and is unknown for a null x
//! x IN (1, 2) AND x NOT IN (3, NULL) would be x IN (1, 2), and is true for no row
//! ```
//! In a WHERE clause, where unknown is as good as false, lists of values that are combined by AND may be combined; those
//! are left as they are, also because statistics of files are compared with them. Every other expression with a list is
//! hidden from the optimizer, under a number of its own, so that no two are equal. `array_has` computes its own result
//! for the same reason: as `IN` it would be unknown for an array with a null.
//!
//! Not for: `IN` with a subquery (`not_in`).

use std::cell::Cell;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, lit};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

use super::empty_aggregates::hidden;
use crate::query::checked_udf::{self, Guard};

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct SeparateLists;

impl AnalyzerRule for SeparateLists {
    fn name(&self) -> &'static str {
        "separate_lists"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        if lists(&plan)? < 2 {
            return Ok(plan);
        }
        let hide = Hide { next: Cell::new(0) };
        let separate = plan.transform_up_with_subqueries(|plan| {
            let is_condition = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let separate = if is_condition { hide.condition(expression) } else { hide.all(expression) };
                Ok(separate?.update_data(|expression| name.restore(expression)))
            })
        })?;
        Ok(separate.data)
    }
}

/// Expressions with lists in a plan.
fn lists(plan: &LogicalPlan) -> Result<usize> {
    let mut lists = 0;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                lists += usize::from(matches!(part, Expr::InList(_)));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(lists)
}

/// Hides expressions, each under another number.
struct Hide {
    next: Cell<i64>,
}

impl Hide {
    /// Those of a condition that are not among the parts that must all be true.
    fn condition(&self, expression: Expr) -> Result<Transformed<Expr>> {
        match expression {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                let (left, right) = (self.condition(*left)?, self.condition(*right)?);
                let changed = left.transformed || right.transformed;
                let both = BinaryExpr { left: Box::new(left.data), op: Operator::And, right: Box::new(right.data) };
                Ok(Transformed::new(Expr::BinaryExpr(both), changed, TreeNodeRecursion::Continue))
            }
            Expr::InList(InList { expr, list, negated }) if list.iter().all(is_value) => {
                Ok(self.all(*expr)?.update_data(|expr| Expr::InList(InList::new(Box::new(expr), list, negated))))
            }
            other => self.all(other),
        }
    }

    /// Those of an expression.
    fn all(&self, expression: Expr) -> Result<Transformed<Expr>> {
        expression.transform_up(|part| match part {
            Expr::InList(InList { expr, list, negated }) => {
                let number = self.next.replace(self.next.get() + 1);
                let apart = InList::new(Box::new(hidden(vec![*expr, lit(number)])), list, negated);
                Ok(Transformed::yes(Expr::InList(apart)))
            }
            part => Ok(Transformed::no(part)),
        })
    }
}

/// Whether an item of a list is a value, and not null.
fn is_value(item: &Expr) -> bool {
    matches!(item, Expr::Literal(value, _) if !value.is_null())
}

/// Replaces the session's functions.
pub(super) fn register(context: &SessionContext) {
    checked_udf::register(context, "array_has", AsItIs);
}

/// Checks nothing: what is wrapped is not simplified to `IN`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AsItIs;

impl Guard for AsItIs {}
