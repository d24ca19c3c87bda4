//! Rejects a SELECT of more columns than can be planned in acceptable time, before it is planned.
//!
//! ```text
//! SELECT *, a + b AS c FROM w JOIN v …        columns of w + columns of v + 1
//! ```
//! DataFusion compares the name of each column of a SELECT with all names before it, several times: 1,000 columns are
//! planned in less than a second, 5,000 in six, 10,000 in twenty.
//!
//! Not for: columns of an input that a query does not name; files may have any number of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, Visit, Visitor,
};

/// Maximum number of columns of a SELECT.
const MAX_COLUMNS: usize = 10_000;

/// Rejects a statement with a SELECT of too many columns. `tables` has the number of columns of each table.
///
/// # Errors
/// `Plan`, with what to do about it.
pub(super) fn check_columns(statement: &Statement, tables: &BTreeMap<&str, usize>) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    let mut widest = Widest { tables, columns: 0 };
    let _ = statement.visit(&mut widest);
    match widest.columns {
        ..=MAX_COLUMNS => Ok(()),
        columns => plan_err!(
            "a SELECT has {columns} columns, at most {MAX_COLUMNS} can be planned: name the columns that are needed \
             in place of *"
        ),
    }
}

/// The number of columns of the widest SELECT, if the names of tables show it.
struct Widest<'t> {
    tables: &'t BTreeMap<&'t str, usize>,
    columns: usize,
}

impl Visitor for Widest<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.set(&query.body);
        ControlFlow::Continue(())
    }
}

impl Widest<'_> {
    fn set(&mut self, body: &SetExpr) {
        let mut rest = vec![body];
        while let Some(body) = rest.pop() {
            match body {
                SetExpr::Select(select) => self.columns = self.columns.max(self.of(select)),
                SetExpr::SetOperation { left, right, .. } => rest.extend([left.as_ref(), right.as_ref()]),
                // A query in brackets is visited by itself.
                _ => {}
            }
        }
    }

    fn of(&self, select: &Select) -> usize {
        let joined = |with: &datafusion::sql::sqlparser::ast::TableWithJoins| {
            let others = with.joins.iter().map(|join| &join.relation);
            std::iter::once(&with.relation).chain(others).cloned().collect::<Vec<_>>()
        };
        let factors: Vec<TableFactor> = select.from.iter().flat_map(joined).collect();
        let item = |item: &SelectItem| match item {
            SelectItem::Wildcard(_) => factors.iter().filter_map(|factor| self.columns_of(factor, None)).sum(),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                factors.iter().find_map(|factor| self.columns_of(factor, Some(name))).unwrap_or(1)
            }
            _ => 1,
        };
        select.projection.iter().map(item).sum()
    }

    /// The columns of a table of FROM, if it is an input, and is named or aliased `named` if that is given.
    fn columns_of(&self, factor: &TableFactor, named: Option<&ObjectName>) -> Option<usize> {
        let TableFactor::Table { name, alias, .. } = factor else { return None };
        let shown = |name: &ObjectName| name.to_string().replace('"', "");
        let called = alias.as_ref().map_or_else(|| shown(name), |alias| alias.name.value.clone());
        if named.is_some_and(|named| !shown(named).eq_ignore_ascii_case(&called)) {
            return None;
        }
        let name = shown(name);
        self.tables.iter().find(|(table, _)| table.eq_ignore_ascii_case(&name)).map(|(_, columns)| *columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::parser::DFParser;

    fn refused(sql: &str) -> Option<String> {
        let statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        let tables = BTreeMap::from([("w", 6_000), ("v", 5_000)]);
        check_columns(&statement, &tables).err().map(|error| error.strip_backtrace())
    }

    #[test]
    fn columns_of_a_select_are_counted_wherever_it_is() {
        for sql in [
            "SELECT * FROM w",
            "SELECT a FROM w JOIN v ON w.a = v.a",
            "SELECT count(*) FROM w JOIN v ON w.a = v.a",
            "SELECT x.* FROM w AS x JOIN v ON x.a = v.a",
            "SELECT * FROM w UNION ALL SELECT * FROM w",
        ] {
            assert_eq!(refused(sql), None, "{sql}");
        }
        for sql in [
            "SELECT * FROM w JOIN v ON w.a = v.a",
            "SELECT * FROM W, \"v\"",
            "SELECT x.*, v.* FROM w AS x JOIN v ON x.a = v.a",
            "SELECT a FROM (SELECT * FROM w, v)",
            "WITH x AS (SELECT * FROM w, v) SELECT a FROM x",
            "SELECT a FROM v UNION ALL SELECT * FROM w, v",
            "SELECT a FROM v WHERE a IN (SELECT b FROM (SELECT w.*, v.* FROM w, v))",
        ] {
            assert!(refused(sql).unwrap().contains("has 11000 columns, at most 10000"), "{sql}");
        }
        let listed = vec!["a"; MAX_COLUMNS + 1].join(", ");
        assert!(refused(&format!("SELECT {listed} FROM w")).unwrap().contains("10001"));
    }
}
