//! Windows that extend a named one: `OVER (w ROWS 1 PRECEDING)` has the partitions and the order of `w`.
//!
//! DataFusion's planner reads `OVER w`, but drops `w` from parentheses. So the named window is copied before it is
//! planned, by the rules of PostgreSQL: what extends a window has no partitions of its own, an order only if the window
//! has none, and the window has no frame.
//!
//! Not for: `OVER w` without parentheses.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowExpr, Query, Select, VisitMut, VisitorMut, WindowSpec, WindowType,
};

use super::identifiers::folded;

/// Copies the windows of one SELECT to where they are extended.
pub(super) fn rewrite(select: &mut Select) -> ControlFlow<String> {
    let mut windows = Windows { known: HashMap::new(), queries: 0 };
    for definition in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(window) = &mut definition.1 {
            windows.extend(window)?;
        }
        let window = match &definition.1 {
            NamedWindowExpr::WindowSpec(window) => window.clone(),
            NamedWindowExpr::NamedWindow(other) => windows.named(other)?,
        };
        windows.known.insert(folded(&definition.0), window);
    }
    if windows.known.is_empty() {
        return ControlFlow::Continue(());
    }
    select.projection.visit(&mut windows)?;
    select.qualify.visit(&mut windows)
}

/// Rejects a window that extends one and was not found by [`rewrite`].
pub(super) fn check(window: &WindowType) -> ControlFlow<String> {
    match window {
        WindowType::WindowSpec(WindowSpec { window_name: Some(name), .. }) => ControlFlow::Break(format!(
            "the window {name} cannot be extended here: write its PARTITION BY and ORDER BY in the parentheses"
        )),
        _ => ControlFlow::Continue(()),
    }
}

struct Windows {
    known: HashMap<String, WindowSpec>,
    /// Subqueries around the expression: their windows are their own.
    queries: usize,
}

impl Windows {
    fn named(&self, name: &Ident) -> ControlFlow<String, WindowSpec> {
        match self.known.get(&folded(name)) {
            Some(window) => ControlFlow::Continue(window.clone()),
            None => ControlFlow::Break(format!("the window {name} is not defined, or only after this one")),
        }
    }

    fn extend(&self, window: &mut WindowSpec) -> ControlFlow<String> {
        let Some(name) = window.window_name.take() else { return ControlFlow::Continue(()) };
        let base = self.named(&name)?;
        let problem = if base.window_frame.is_some() {
            format!("the window {name} has a frame, so it cannot be extended")
        } else if !window.partition_by.is_empty() {
            format!("PARTITION BY cannot be added to the window {name}")
        } else if !base.order_by.is_empty() && !window.order_by.is_empty() {
            format!("the window {name} has an ORDER BY already")
        } else {
            window.partition_by = base.partition_by;
            if window.order_by.is_empty() {
                window.order_by = base.order_by;
            }
            return ControlFlow::Continue(());
        };
        ControlFlow::Break(problem)
    }
}

impl VisitorMut for Windows {
    type Break = String;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<String> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<String> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<String> {
        match expression {
            Expr::Function(function) if self.queries == 0 => match &mut function.over {
                Some(WindowType::WindowSpec(window)) => self.extend(window),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}
