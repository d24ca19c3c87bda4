//! `WITH` queries that are read more than once and whose values would differ each time: rejected.
//!
//! DataFusion plans such a query again wherever it is read, so `random()` or `uuid()` in it gives other values there.
//!
//! Not for: one that is read once.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, visit_expressions, visit_relations};

use super::identifiers::may_be;

/// Functions whose value differs from call to call.
const VOLATILE: [&str; 2] = ["random", "uuid"];

/// Rejects a query whose `WITH` has such a one.
pub(super) fn check(query: &Query) -> ControlFlow<String> {
    let Some(with) = &query.with else { return ControlFlow::Continue(()) };
    let reads = |of: &Query, name: &Ident| {
        let mut times = 0;
        let _ = visit_relations(of, |relation| {
            times += usize::from(may_be(relation, name));
            ControlFlow::<()>::Continue(())
        });
        times
    };
    // The first volatile function below each of them.
    let mut volatile: HashMap<&str, String> = HashMap::new();
    for table in &with.cte_tables {
        let (name, own) = (&table.alias.name, reads(&table.query, &table.alias.name));
        let below = volatile.iter().find(|(other, _)| reads(&table.query, &Ident::new(**other)) > 0);
        let Some(function) = called(&table.query).or_else(|| below.map(|(_, function)| function.clone())) else {
            continue;
        };
        if reads(query, name) - own > 1 {
            return ControlFlow::Break(format!(
                "{name} is read more than once and calls {function}(), whose values would differ each time: build it as \
                 a dataset of its own, and read that"
            ));
        }
        volatile.insert(&name.value, function);
    }
    ControlFlow::Continue(())
}

fn called(query: &Query) -> Option<String> {
    let found = visit_expressions(query, |expression| match expression {
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            if VOLATILE.contains(&name.as_str()) { ControlFlow::Break(name) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value()
}
