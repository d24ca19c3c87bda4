//! SQL that DataFusion reads differently from the standard: rewritten (see `using`), or rejected with what to write
//! instead.
//!
//! | SQL | what is wrong |
//! |---|---|
//! | `NATURAL RIGHT` or `FULL JOIN` | a common column would be the left side's, which is null if that side has no row |
//! | `a IS NOT DISTINCT FROM b AND c` | would be read as `a IS NOT DISTINCT FROM (b AND c)` |
//! | clauses that the planner never reads | would have no effect (`ignored_clauses`, `named_windows`) |
//! | `WITH` of random values, read twice | would differ each time (`volatile_queries`) |
//!
//! Not for: SQL that DataFusion rejects itself.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Query, Select, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};

use super::{ignored_clauses, named_windows, predicates, using, volatile_queries};

/// Rewrites what would be misread, or rejects it; `scalars` are the names of all scalar functions.
///
/// # Errors
/// `Plan`, with what to write instead.
pub(in crate::query) fn check(statement: &mut Statement, scalars: HashSet<String>) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    match statement.visit(&mut Check { scalars }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => plan_err!("{why}"),
    }
}

struct Check {
    scalars: HashSet<String>,
}

impl VisitorMut for Check {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        ignored_clauses::check_query(query)?;
        volatile_queries::check(query)?;
        using::rewrite_query(query)
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<String> {
        ignored_clauses::check_select(select)?;
        named_windows::rewrite(select)?;
        select.from.iter().try_for_each(joins)?;
        using::rewrite(select).map_continue(|_| ())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<String> {
        ignored_clauses::check_table(table)?;
        match table {
            TableFactor::NestedJoin { table_with_joins, .. } => nested(table_with_joins),
            TableFactor::Pivot { .. } => ControlFlow::Break(
                "PIVOT is not supported; write one aggregate for each column: sum(x) FILTER (WHERE y = …)".to_owned(),
            ),
            TableFactor::Unpivot { .. } => ControlFlow::Break(
                "UNPIVOT is not supported; write one SELECT for each column, joined by UNION ALL".to_owned(),
            ),
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<String> {
        match predicates::rewrite(expression) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(rewritten)) => {
                *expression = rewritten;
                ControlFlow::Continue(())
            }
            Err(why) => ControlFlow::Break(why),
        }
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<String> {
        if let Expr::Function(function) = &*expression {
            ignored_clauses::check_function(function, &self.scalars)?;
            function.over.iter().try_for_each(named_windows::check)?;
        }
        let (Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right)) = &*expression else {
            return ControlFlow::Continue(());
        };
        match right.as_ref() {
            Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor, .. } => {
                ControlFlow::Break(format!("put parentheses around each side of AND and OR in {expression}"))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn joins(tables: &TableWithJoins) -> ControlFlow<String> {
    refuse(tables, |constraint| matches!(constraint, JoinConstraint::Natural))
}

/// Joins in parentheses are no FROM clause of their own, so what USING names cannot be rewritten where it is used.
fn nested(tables: &TableWithJoins) -> ControlFlow<String> {
    refuse(tables, |constraint| matches!(constraint, JoinConstraint::Natural | JoinConstraint::Using(_)))
}

fn refuse(tables: &TableWithJoins, is_refused: fn(&JoinConstraint) -> bool) -> ControlFlow<String> {
    tables.joins.iter().try_for_each(|join| match &join.join_operator {
        JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
            if is_refused(constraint) =>
        {
            ControlFlow::Break(format!(
                "a RIGHT or FULL JOIN by NATURAL, or in parentheses by USING, is not supported: write {} ON with both \
                 columns, and coalesce(left.column, right.column) where the column is used",
                join.relation
            ))
        }
        _ => ControlFlow::Continue(()),
    })
}
