//! `JOIN … USING (k)`: `k` is one column; in a RIGHT or FULL JOIN it is the value of the side that has a row.
//!
//! ```text
//!  SELECT k FROM a JOIN b USING (k)       ─▶  SELECT a.k AS k FROM a JOIN b USING (k)
//!  SELECT k FROM a FULL JOIN b USING (k)  ─▶  SELECT coalesce(a.k, b.k) AS k FROM a FULL JOIN b ON a.k = b.k
//! ```
//! DataFusion takes the left side's column for `k`, which may be null if that side has no row, and reports `k` as
//! ambiguous in WHERE. So the statement is rewritten before it is planned: `k` is replaced by what it means.
//!
//! Not for: `NATURAL`, and `SELECT *` of a RIGHT or FULL JOIN, which need to know the tables' columns: they are
//! rejected, and so is a `k` in a subquery of such a join.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::identifiers::folded;

/// Rewrites the joins of a query's SELECT, and its ORDER BY; breaks with an error message if it cannot.
pub(super) fn rewrite_query(query: &mut Query) -> ControlFlow<String> {
    let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
    let mut merged = rewrite(select)?;
    for item in &select.projection {
        // An ORDER BY that names a column of the result means that column.
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            merged.columns.remove(&folded(alias));
        }
    }
    query.order_by.visit(&mut merged)
}

/// Rewrites the joins of one SELECT, if it has any to rewrite; breaks with an error message if it cannot.
pub(super) fn rewrite(select: &mut Select) -> ControlFlow<String, Merged> {
    let mut merged = Merged { columns: BTreeMap::new(), outer: false, queries: 0 };
    for tables in &mut select.from {
        merged.join(tables)?;
    }
    if merged.columns.is_empty() {
        return ControlFlow::Continue(merged);
    }
    for item in &mut select.projection {
        if let SelectItem::Wildcard(_) = item {
            if merged.outer {
                return ControlFlow::Break(
                    "SELECT * of a RIGHT or FULL JOIN by USING is not supported: name the columns".to_owned(),
                );
            }
            continue;
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
    select.qualify.visit(&mut merged)?;
    ControlFlow::Continue(merged)
}

/// The USING of a join, and whether a row of the join may have no row of the left side.
fn using(join: &mut JoinOperator) -> Option<(&mut JoinConstraint, bool)> {
    let (constraint, outer) = match join {
        JoinOperator::Join(of) | JoinOperator::Inner(of) | JoinOperator::Left(of) | JoinOperator::LeftOuter(of) => {
            (of, false)
        }
        JoinOperator::Right(of) | JoinOperator::RightOuter(of) | JoinOperator::FullOuter(of) => (of, true),
        _ => return None,
    };
    matches!(constraint, JoinConstraint::Using(_)).then_some((constraint, outer))
}

/// Which columns joins have merged, and from which columns.
pub(super) struct Merged {
    columns: BTreeMap<String, Vec<String>>,
    /// Whether there is a RIGHT or FULL JOIN among them.
    outer: bool,
    /// Nesting depth of queries around the expression being visited.
    queries: usize,
}

impl Merged {
    fn join(&mut self, tables: &mut TableWithJoins) -> ControlFlow<String> {
        let mut found = tables.joins.iter_mut().filter_map(|join| using(&mut join.join_operator));
        let outer = found.any(|(_, outer)| outer);
        self.outer |= outer;
        for (place, join) in tables.joins.iter_mut().enumerate() {
            let Some((constraint, is_outer)) = using(&mut join.join_operator) else { continue };
            let JoinConstraint::Using(columns) = &*constraint else { continue };
            let names = named(&tables.relation).zip(named(&join.relation));
            let Some((first, right)) = names else {
                match outer {
                    true => return ControlFlow::Break(format!("USING needs a name for {}", join.relation)),
                    false => continue,
                }
            };
            let mut tests = Vec::new();
            for column in columns.iter().filter_map(single) {
                let known = self.columns.contains_key(&folded(column));
                if !known && place > 0 {
                    match outer {
                        true => {
                            return ControlFlow::Break(format!(
                                "it is unclear which table has column {column} of USING ({column}); write ON with \
                                 both columns"
                            ));
                        }
                        false => continue,
                    }
                }
                let sides = self.columns.entry(folded(column)).or_insert_with(|| vec![format!("{first}.{column}")]);
                tests.push(format!("{} = {right}.{column}", value(sides)));
                if is_outer {
                    sides.push(format!("{right}.{column}"));
                }
            }
            if outer {
                *constraint = JoinConstraint::On(parsed(&tests.join(" AND "))?);
            }
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
            if !self.outer {
                return ControlFlow::Continue(());
            }
            return ControlFlow::Break(format!(
                "{name} in a subquery of a RIGHT or FULL JOIN by USING is not supported: write the table before the \
                 column"
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

/// The name of a table in a join.
fn named(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, alias: None, .. } => single(name).cloned(),
        _ => None,
    }
}

fn single(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}
