//! `RIGHT` and `FULL JOIN … USING (k)`: `k` is the value of the side that has a row.
//!
//! ```text
//!  SELECT k FROM a FULL JOIN b USING (k)  ─▶  SELECT coalesce(a.k, b.k) AS k FROM a FULL JOIN b ON a.k = b.k
//! ```
//! DataFusion takes the left side's column for `k`, which is null where that side has no row. So the statement is
//! rewritten before it is planned: the joins of such a FROM compare columns by their full names, and `k` in the SELECT
//! becomes what it means.
//!
//! Not for: `NATURAL`, `SELECT *` and a `k` in a subquery, which need to know the tables' columns: they are refused.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, TableFactor, TableWithJoins,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Rewrites the joins of one SELECT where it has any to rewrite; breaks with what is wrong where it cannot.
pub(super) fn rewrite(select: &mut Select) -> ControlFlow<String> {
    let mut merged = Merged { columns: BTreeMap::new(), queries: 0 };
    for tables in select.from.iter_mut().filter(|tables| tables.joins.iter().any(|join| by_using(&join.join_operator))) {
        merged.join(tables)?;
    }
    if merged.columns.is_empty() {
        return ControlFlow::Continue(());
    }
    for item in &mut select.projection {
        if let SelectItem::Wildcard(_) = item {
            return ControlFlow::Break(
                "SELECT * of a RIGHT or FULL JOIN by USING is not supported: name the columns".to_owned(),
            );
        }
        let name = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.clone()),
            _ => None,
        };
        item.visit(&mut merged)?;
        if let (SelectItem::UnnamedExpr(expr), Some(alias)) = (&*item, name) {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
    select.distinct.visit(&mut merged)?;
    select.selection.visit(&mut merged)?;
    select.group_by.visit(&mut merged)?;
    select.having.visit(&mut merged)?;
    select.named_window.visit(&mut merged)?;
    select.qualify.visit(&mut merged)
}

/// Whether a join is a RIGHT or FULL one by USING.
fn by_using(join: &JoinOperator) -> bool {
    matches!(
        join,
        JoinOperator::Right(JoinConstraint::Using(_))
            | JoinOperator::RightOuter(JoinConstraint::Using(_))
            | JoinOperator::FullOuter(JoinConstraint::Using(_))
    )
}

/// The columns that a join made one of several, and which they are.
struct Merged {
    columns: BTreeMap<String, Vec<String>>,
    /// Queries around the expression that is looked at.
    queries: usize,
}

impl Merged {
    fn join(&mut self, tables: &mut TableWithJoins) -> ControlFlow<String> {
        let first = named(&tables.relation)?;
        for (place, join) in tables.joins.iter_mut().enumerate() {
            let right = named(&join.relation)?;
            let constraint = match &mut join.join_operator {
                JoinOperator::Join(of)
                | JoinOperator::Inner(of)
                | JoinOperator::Left(of)
                | JoinOperator::LeftOuter(of)
                | JoinOperator::Right(of)
                | JoinOperator::RightOuter(of)
                | JoinOperator::FullOuter(of) => of,
                _ => continue,
            };
            let JoinConstraint::Using(columns) = constraint else { continue };
            let mut tests = Vec::new();
            for column in columns.iter().filter_map(single) {
                let sides = self.columns.entry(folded(column)).or_default();
                if sides.is_empty() && place > 0 {
                    return ControlFlow::Break(format!(
                        "which table has the column {column} of USING ({column}) is not clear; write ON with both columns"
                    ));
                }
                if sides.is_empty() {
                    sides.push(format!("{first}.{column}"));
                }
                tests.push(format!("{} = {right}.{column}", value(sides)));
                sides.push(format!("{right}.{column}"));
            }
            *constraint = JoinConstraint::On(parsed(&tests.join(" AND "))?);
        }
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Merged {
    type Break = String;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<String> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<String> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<String> {
        let Expr::Identifier(name) = &*expression else { return ControlFlow::Continue(()) };
        let Some(sides) = self.columns.get(&folded(name)) else { return ControlFlow::Continue(()) };
        if self.queries > 0 {
            return ControlFlow::Break(format!(
                "{name} in a subquery of a RIGHT or FULL JOIN by USING is not supported: write the table before the column"
            ));
        }
        *expression = parsed(&value(sides))?;
        ControlFlow::Continue(())
    }
}

fn value(sides: &[String]) -> String {
    match sides {
        [one] => one.clone(),
        _ => format!("coalesce({})", sides.join(", ")),
    }
}

fn parsed(sql: &str) -> ControlFlow<String, Expr> {
    match Parser::new(&GenericDialect {}).try_with_sql(sql).and_then(|mut parser| parser.parse_expr()) {
        Ok(expression) => ControlFlow::Continue(expression),
        Err(error) => ControlFlow::Break(format!("{sql}: {error}")),
    }
}

/// What a table of a join is called.
fn named(table: &TableFactor) -> ControlFlow<String, Ident> {
    let name = match table {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, alias: None, .. } => single(name).cloned(),
        _ => None,
    };
    match name {
        Some(name) => ControlFlow::Continue(name),
        None => ControlFlow::Break(format!("a RIGHT or FULL JOIN by USING needs a name for {table}: write … AS name")),
    }
}

fn single(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}

/// A name as SQL compares it: in small letters unless it is quoted.
fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}
