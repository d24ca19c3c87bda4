//! Finds what a query leaves open: results that depend on an order of rows that the SQL does not give.
//!
//! `array_agg(x)`, `first_value(x)`, `row_number() OVER (PARTITION BY k)`, `DISTINCT ON` and `LIMIT` without `ORDER BY`
//! are valid, but their results may differ from run to run, and so may the version's digest.
//!
//! Not for: orders with ties, which only the data shows; queries that are invalid.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, LimitClause, Query, Select, SetExpr, Visit,
    Visitor, WindowType,
};

/// Aggregates whose result depends on the order of their rows.
const AGGREGATES: [&str; 6] = ["array_agg", "string_agg", "first_value", "last_value", "nth_value", "any_value"];
/// The same for functions of windows.
const OF_WINDOWS: [&str; 9] =
    ["array_agg", "string_agg", "first_value", "last_value", "nth_value", "row_number", "ntile", "lead", "lag"];
/// Functions of a list for which the order of its items does not matter.
const OF_ANY_ORDER: [&str; 8] =
    ["array_sort", "list_sort", "cardinality", "array_length", "list_length", "array_max", "array_min", "array_has"];

/// One sentence for each expression of the query whose result an order would decide.
pub(super) fn open_orders(statement: &Statement) -> Vec<String> {
    let mut search = Search::default();
    if let Statement::Statement(statement) = statement {
        let ControlFlow::Continue(()) = statement.visit(&mut search);
    }
    search.found.dedup();
    search.found
}

/// What surrounds an expression.
#[derive(PartialEq)]
enum Around {
    /// A function for which the order of a list does not matter.
    AnyOrder,
    /// `EXISTS`, for which it does not matter which rows there are.
    Exists,
    Other,
}

#[derive(Default)]
struct Search {
    around: Vec<Around>,
    found: Vec<String>,
}

impl Search {
    fn add(&mut self, what: &str, depends: &str) {
        self.found.push(format!(
            "the query leaves a result open: {what} has no ORDER BY: {depends} may differ from run to run"
        ));
    }

    fn function(&mut self, function: &Function) {
        let name = function.name.to_string().to_lowercase();
        let open = match &function.over {
            Some(WindowType::WindowSpec(window)) => {
                OF_WINDOWS.contains(&name.as_str()) && window.order_by.is_empty() && window.window_name.is_none()
            }
            Some(WindowType::NamedWindow(_)) => false,
            None => {
                AGGREGATES.contains(&name.as_str())
                    && !has_order(function)
                    && self.around.last() != Some(&Around::AnyOrder)
            }
        };
        if open {
            self.add(&function.to_string(), "its result");
        }
    }
}

impl Visitor for Search {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        if query.order_by.is_none() && !self.around.contains(&Around::Exists) {
            if let SetExpr::Select(select) = query.body.as_ref() {
                distinct_on(select).into_iter().for_each(|what| self.add(&what, "the row that it takes of each group"));
            }
            if let Some(limit) = limit(query) {
                self.add(&limit, "the rows that it takes");
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        let around = match expression {
            Expr::Function(function) => {
                self.function(function);
                let name = function.name.to_string().to_lowercase();
                if OF_ANY_ORDER.contains(&name.as_str()) { Around::AnyOrder } else { Around::Other }
            }
            Expr::Exists { .. } => Around::Exists,
            _ => Around::Other,
        };
        self.around.push(around);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Self::Break> {
        self.around.pop();
        ControlFlow::Continue(())
    }
}

/// Whether an aggregate has its own order.
fn has_order(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    let ordered = |clause: &FunctionArgumentClause| matches!(clause, FunctionArgumentClause::OrderBy(_));
    !function.within_group.is_empty() || list.clauses.iter().any(ordered)
}

/// A limit that may take some of the rows: not `LIMIT 0`.
fn limit(query: &Query) -> Option<String> {
    let Some(LimitClause::LimitOffset { limit: Some(limit), .. }) = &query.limit_clause else { return None };
    let limit = limit.to_string();
    (limit != "0" && limit != "NULL").then(|| format!("LIMIT {limit}"))
}

fn distinct_on(select: &Select) -> Option<String> {
    let Some(Distinct::On(columns)) = &select.distinct else { return None };
    let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
    Some(format!("DISTINCT ON ({})", columns.join(", ")))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::open_orders;

    fn open(sql: &str) -> Vec<String> {
        let statement = SessionContext::new().state().sql_to_statement(sql, &Default::default()).unwrap();
        open_orders(&statement)
    }

    #[test]
    fn results_that_an_order_would_decide_are_named() {
        for (sql, what) in [
            ("SELECT k, array_agg(v) FROM t GROUP BY k", "array_agg(v) has no ORDER BY: its result"),
            ("SELECT k, String_Agg(v, ',') FROM t GROUP BY k", "String_Agg(v, ',') has no ORDER BY"),
            ("SELECT k FROM t GROUP BY k HAVING first_value(v) > 1", "first_value(v)"),
            ("SELECT row_number() OVER (PARTITION BY k) FROM t", "row_number() OVER (PARTITION BY k)"),
            ("SELECT * FROM (SELECT k FROM t LIMIT 5) ORDER BY k", "LIMIT 5 has no ORDER BY: the rows that it takes"),
            ("WITH w AS (SELECT DISTINCT ON (k) k, v FROM t) SELECT * FROM w", "DISTINCT ON (k) has no ORDER BY"),
            ("SELECT array_to_string(array_agg(v), ',') FROM t", "array_agg(v)"),
            ("SELECT k FROM t WHERE v IN (SELECT v FROM u LIMIT 2)", "LIMIT 2"),
        ] {
            let found = open(sql);
            assert!(found.len() == 1 && found[0].contains(what), "{sql}: {found:?}");
        }
    }

    #[test]
    fn results_that_are_determined_are_not() {
        for sql in [
            "SELECT k, array_agg(v ORDER BY v), first_value(v ORDER BY w DESC) FROM t GROUP BY k",
            "SELECT k, sum(v), count(*), max(v) FROM t GROUP BY k",
            "SELECT k, array_sort(array_agg(v)), cardinality(array_agg(v)) FROM t GROUP BY k",
            "SELECT row_number() OVER (PARTITION BY k ORDER BY v), sum(v) OVER (PARTITION BY k) FROM t",
            "SELECT lag(v) OVER w FROM t WINDOW w AS (PARTITION BY k ORDER BY v)",
            "SELECT k FROM t ORDER BY k LIMIT 5",
            "SELECT DISTINCT ON (k) k, v FROM t ORDER BY k, v",
            "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k LIMIT 1)",
            "SELECT k FROM t LIMIT 0",
        ] {
            assert_eq!(open(sql), Vec::<String>::new(), "{sql}");
        }
    }
}
