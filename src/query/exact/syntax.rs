//! SQL that DataFusion reads in another way than the standard does, refused with what to write instead.
//!
//! | SQL | what is wrong |
//! |---|---|
//! | `RIGHT` or `FULL JOIN … USING (k)`, `NATURAL` | `k` would be the left side's column, null where that side has no row |
//! | `a IS NOT DISTINCT FROM b AND c` | would be read as `a IS NOT DISTINCT FROM (b AND c)` |
//!
//! Not for: SQL that DataFusion refuses itself.

use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Select, TableFactor, TableWithJoins, Visit, Visitor,
};

/// Refuses what would be read wrong.
///
/// # Errors
/// `Plan`, with what to write instead.
pub(in crate::query) fn check(statement: &Statement) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    match statement.visit(&mut Check) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => plan_err!("{why}"),
    }
}

struct Check;

impl Visitor for Check {
    type Break = String;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        select.from.iter().try_for_each(joins)
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<String> {
        match table {
            TableFactor::NestedJoin { table_with_joins, .. } => joins(table_with_joins),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<String> {
        let (Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right)) = expression else {
            return ControlFlow::Continue(());
        };
        match right.as_ref() {
            Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor, .. } => {
                ControlFlow::Break(format!("put brackets around each side of AND and OR in {expression}"))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn joins(tables: &TableWithJoins) -> ControlFlow<String> {
    tables.joins.iter().try_for_each(|join| match &join.join_operator {
        JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
            if matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural) =>
        {
            ControlFlow::Break(format!(
                "a RIGHT or FULL JOIN by USING or NATURAL is not supported: write {} ON with both columns, and \
                 coalesce(left.column, right.column) where the column is used",
                join.relation
            ))
        }
        _ => ControlFlow::Continue(()),
    })
}
