//! By which column of which inputs rows can be exchanged between machines, such that each machine then runs the whole
//! query over its own part of them, and the results together are the result of the query.
//!
//! ```text
//!  SELECT p.country, e.user_id, count(*) FROM events e JOIN profiles p ON e.user_id = p.user_id GROUP BY 1, 2
//!      events by user_id, profiles by user_id: all rows of a user are on one machine, so joins and groups are complete
//! ```
//! An alignment names a column of each input that is exchanged, and the columns of a node's rows that then have only
//! values of the machine's own part. A node keeps those under which no row of its result needs rows of two parts:
//!
//! ```text
//!  scan           every column            window           those that every PARTITION BY has
//!  group          those that it groups by join             equal columns of both sides, or one side with the other whole
//! ```
//! Values are distinguished by their bytes, so columns of floating-point numbers, whose equality differs, cannot be
//! used.
//!
//! Not for: queries that need no exchange (`shares`), and moving the rows (`pipeline::tasks`).

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, JoinType, Result};
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::error::convert;
use super::session::Query;
use super::shares::{count_scan, is_repeatable, scans};

/// Most alignments of a node that are followed.
const MAX_ALIGNMENTS: usize = 4096;

/// A column for each input that is exchanged.
pub type ExchangeColumns = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Alignment {
    inputs: ExchangeColumns,
    /// The columns of the node's rows, by place, that have only values of the own part.
    own: BTreeSet<usize>,
}

impl Query<'_> {
    /// The exchange that covers most bytes of inputs; none if there is none.
    ///
    /// # Errors
    /// `Internal` only: the query was planned before.
    pub fn exchange_columns(&self, bytes: impl Fn(&str) -> u64) -> crate::error::Result<Option<ExchangeColumns>> {
        if self.has_choice()? {
            return Ok(None);
        }
        let best = self.state.optimize(&self.plan).and_then(|plan| best(&plan, bytes));
        best.map_err(|error| convert("the query cannot be planned", error))
    }
}

fn best(plan: &LogicalPlan, bytes: impl Fn(&str) -> u64) -> Result<Option<ExchangeColumns>> {
    let whole = tables_of_subqueries(plan)?;
    let mut all: Vec<ExchangeColumns> = of(plan).into_iter().map(|alignment| alignment.inputs).collect();
    all.retain(|inputs| inputs.keys().all(|input| !whole.contains(input)));
    // The same choice on every machine and in every run.
    all.sort_by_key(|inputs| (std::cmp::Reverse(inputs.keys().map(|input| bytes(input)).sum::<u64>()), inputs.clone()));
    Ok(all.into_iter().next())
}

/// The tables that subqueries in expressions read: they are evaluated over all rows.
fn tables_of_subqueries(plan: &LogicalPlan) -> Result<BTreeSet<String>> {
    let mut direct: BTreeMap<String, usize> = BTreeMap::new();
    plan.apply(|node| Ok(count_scan(node, &mut direct)))?;
    Ok(scans(plan)?
        .into_iter()
        .filter(|(table, times)| direct.get(table) != Some(times))
        .map(|(table, _)| table)
        .collect())
}

fn of(plan: &LogicalPlan) -> Vec<Alignment> {
    let mut found = match plan {
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let table = scan.table_name.table();
            let fields = scan.projected_schema.fields().iter().enumerate();
            fields
                .filter(|(_, field)| is_equal_by_bytes(field.data_type()))
                .map(|(place, field)| Alignment {
                    inputs: BTreeMap::from([(table.to_owned(), field.name().clone())]),
                    own: BTreeSet::from([place]),
                })
                .collect()
        }
        LogicalPlan::Filter(node) => of(&node.input),
        LogicalPlan::SubqueryAlias(node) => of(&node.input),
        LogicalPlan::Distinct(Distinct::All(input)) => kept(of(input)),
        LogicalPlan::Projection(node) => moved(of(&node.input), &node.expr, node.input.schema()),
        LogicalPlan::Unnest(node) => {
            // Columns are matched by their names, as lists become several rows.
            let place = |column: &usize| {
                let (qualifier, field) = node.input.schema().qualified_field(*column);
                node.schema.index_of_column_by_name(qualifier, field.name())
            };
            let same = |column: &usize| {
                place(column).filter(|there| {
                    node.schema.field(*there).data_type() == node.input.schema().field(*column).data_type()
                })
            };
            let moved = of(&node.input).into_iter();
            moved.map(|it| Alignment { own: it.own.iter().filter_map(same).collect(), inputs: it.inputs }).collect()
        }
        LogicalPlan::Aggregate(node) => kept(moved(of(&node.input), &node.group_expr, node.input.schema())),
        LogicalPlan::Window(node) => {
            let parts = node.window_expr.iter().map(|call| partition_by(call, node.input.schema()));
            let Some(parts) = parts.collect::<Option<Vec<BTreeSet<usize>>>>() else { return Vec::new() };
            let is_complete = |it: &Alignment| parts.iter().all(|part| !part.is_disjoint(&it.own));
            of(&node.input).into_iter().filter(is_complete).collect()
        }
        LogicalPlan::Join(join) => of_join(join),
        _ => Vec::new(),
    };
    found.truncate(MAX_ALIGNMENTS);
    found
}

/// Whether equal values have equal bytes, and others have others.
fn is_equal_by_bytes(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::Boolean
                | DataType::Date32
                | DataType::Date64
                | DataType::Timestamp(..)
                | DataType::Decimal128(..)
        )
}

/// Those under which rows with equal columns are all in one part.
fn kept(all: Vec<Alignment>) -> Vec<Alignment> {
    all.into_iter().filter(|alignment| !alignment.own.is_empty()).collect()
}

/// The same alignments of rows whose columns are these expressions.
fn moved(all: Vec<Alignment>, expressions: &[Expr], schema: &DFSchema) -> Vec<Alignment> {
    let places: Vec<Option<usize>> = expressions.iter().map(|expression| place(expression, schema)).collect();
    let own = |alignment: &Alignment| {
        let columns = places.iter().enumerate();
        columns.filter(|(_, from)| from.is_some_and(|from| alignment.own.contains(&from))).map(|(to, _)| to).collect()
    };
    all.into_iter().map(|alignment| Alignment { own: own(&alignment), inputs: alignment.inputs }).collect()
}

/// The column that an expression is, by its place.
fn place(expression: &Expr, schema: &DFSchema) -> Option<usize> {
    match expression {
        Expr::Alias(alias) => place(&alias.expr, schema),
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}

/// The columns of a window function's PARTITION BY.
fn partition_by(call: &Expr, schema: &DFSchema) -> Option<BTreeSet<usize>> {
    match call {
        Expr::Alias(alias) => partition_by(&alias.expr, schema),
        Expr::WindowFunction(call) => {
            Some(call.params.partition_by.iter().filter_map(|expression| place(expression, schema)).collect())
        }
        _ => None,
    }
}

fn of_join(join: &Join) -> Vec<Alignment> {
    use JoinType::{Full, Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
    let (left, right) = (of(&join.left), of(&join.right));
    let width = join.left.schema().fields().len();
    let from_left = matches!(join.join_type, Inner | Left | LeftSemi | LeftAnti | LeftMark);
    let from_right = matches!(join.join_type, Inner | Right | RightSemi | RightAnti | RightMark);
    // Where the result has columns of both sides, those of the right one come behind.
    let offset = if matches!(join.join_type, Inner | Left | Right | Full) { width } else { 0 };
    let of_right = |own: &BTreeSet<usize>| own.iter().map(|column| column + offset).collect::<BTreeSet<usize>>();
    let mut found = Vec::new();
    // Both sides in parts, by columns that are equal where rows match. A row without a match is one in its own part.
    // Not for a join that asks whether there is a null anywhere on the other side.
    if matches!(join.join_type, Inner | Left | Right | Full | LeftSemi | RightSemi) {
        let pairs = join.on.iter().filter_map(|(one, other)| {
            let (one, other) = (place(one, join.left.schema())?, place(other, join.right.schema())?);
            let types = (join.left.schema().field(one).data_type(), join.right.schema().field(other).data_type());
            (types.0 == types.1).then_some((one, other))
        });
        for (one, other) in pairs {
            for left in left.iter().filter(|left| left.own.contains(&one)) {
                for right in right.iter().filter(|right| right.own.contains(&other)) {
                    let mut inputs = left.inputs.clone();
                    inputs.extend(right.inputs.clone());
                    let agrees = |(input, column): (&String, &String)| inputs.get(input) == Some(column);
                    if !left.inputs.iter().all(agrees) || found.len() >= MAX_ALIGNMENTS {
                        continue;
                    }
                    let mut own = if from_left { left.own.clone() } else { BTreeSet::new() };
                    own.extend(if from_right { of_right(&right.own) } else { BTreeSet::new() });
                    found.push(Alignment { inputs, own });
                }
            }
        }
    }
    // One side in parts, the other one whole.
    let (on_left, on_right) = (tables(&join.left), tables(&join.right));
    let apart = |alignment: &Alignment, other: &BTreeSet<String>| alignment.inputs.keys().all(|it| !other.contains(it));
    if from_left && is_repeatable(&join.right) {
        found.extend(left.into_iter().filter(|it| apart(it, &on_right)));
    }
    if from_right && is_repeatable(&join.left) {
        let right = right.into_iter().filter(|it| apart(it, &on_left));
        found.extend(right.map(|it| Alignment { own: of_right(&it.own), inputs: it.inputs }));
    }
    found
}

fn tables(plan: &LogicalPlan) -> BTreeSet<String> {
    scans(plan).unwrap_or_default().into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{SessionConfig, SessionContext};

    async fn aligned(sql: &str) -> String {
        // Strings as jobs have them.
        let config = SessionConfig::new().set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let context = SessionContext::new_with_config(config);
        for table in ["a", "b", "c"] {
            let sql = format!(
                "CREATE TABLE {table} (k INT, l INT, s VARCHAR, f DOUBLE, w BIGINT) AS VALUES (1, 2, 'x', 1.5, 3)"
            );
            context.sql(&sql).await.unwrap().collect().await.unwrap();
        }
        let plan = context.state().create_logical_plan(sql).await.unwrap();
        let plan = context.state().optimize(&plan).unwrap();
        let bytes = |table: &str| if table == "a" { 100 } else { 10 };
        let found = best(&plan, bytes).unwrap().unwrap_or_default();
        found.iter().map(|(input, column)| format!("{input}.{column}")).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn rows_that_are_combined_are_in_one_partition() {
        for (sql, expected) in [
            ("SELECT k, count(*) FROM a GROUP BY k", "a.k"),
            ("SELECT s, k, sum(l) FROM a GROUP BY k, s", "a.k"),
            ("SELECT k, count(DISTINCT s) FROM a GROUP BY k", "a.k"),
            ("SELECT DISTINCT s FROM a", "a.s"),
            ("SELECT k, n + 1 FROM (SELECT k, count(*) AS n FROM a WHERE l > 1 GROUP BY k) WHERE n > 2", "a.k"),
            ("SELECT row_number() OVER (PARTITION BY s ORDER BY k) FROM a", "a.s"),
            ("SELECT sum(k) OVER (PARTITION BY s), rank() OVER (PARTITION BY k, s ORDER BY l) FROM a", "a.s"),
            ("SELECT a.k, count(*) FROM a JOIN b ON a.k = b.l GROUP BY a.k", "a.k b.l"),
            ("SELECT a.k, count(*) FROM a LEFT JOIN b ON a.k = b.l GROUP BY a.k", "a.k b.l"),
            ("SELECT a.s, count(*) FROM a LEFT JOIN b ON a.k = b.l GROUP BY a.s", "a.s"),
            ("SELECT a.k FROM a FULL JOIN b ON a.k = b.k", "a.k b.k"),
            ("SELECT a.k FROM a JOIN b ON a.k = b.k JOIN c ON b.k = c.l", "a.k b.k c.l"),
            ("SELECT x.k, count(*) FROM a AS x JOIN a AS y ON x.k = y.k GROUP BY x.k", "a.k"),
            ("SELECT k, count(*) FROM a WHERE l IN (SELECT l FROM b) GROUP BY k", "a.k"),
            ("SELECT k, count(*) FROM a WHERE l NOT IN (SELECT l FROM b) GROUP BY k", "a.k"),
        ] {
            assert_eq!(aligned(sql).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn operations_over_all_rows_are_not_partitioned() {
        for sql in [
            "SELECT count(*) FROM a",
            "SELECT k FROM a ORDER BY k LIMIT 3",
            "SELECT k, count(*) FROM a GROUP BY k ORDER BY 2 LIMIT 3",
            "SELECT k + 1, count(*) FROM a GROUP BY 1",
            "SELECT f, count(*) FROM a GROUP BY f",
            "SELECT k, count(*) FROM a GROUP BY ROLLUP (k)",
            "SELECT row_number() OVER (ORDER BY k) FROM a",
            "SELECT row_number() OVER (PARTITION BY s), row_number() OVER (PARTITION BY k) FROM a",
            "SELECT k FROM a UNION SELECT k FROM b",
            "SELECT x.k FROM a AS x FULL JOIN a AS y ON x.k = y.l",
            "SELECT max(n) FROM (SELECT k, count(*) AS n FROM a GROUP BY k)",
            "SELECT n, count(*) FROM (SELECT k, count(*) AS n FROM a GROUP BY k) GROUP BY n",
            "SELECT a.k FROM a FULL JOIN b ON a.k = b.w",
        ] {
            assert_eq!(aligned(sql).await, "", "{sql}");
        }
    }

    #[tokio::test]
    async fn a_table_that_a_subquery_reads_whole_is_not_exchanged() {
        let sql = "SELECT k, count(*) FROM a WHERE l > (SELECT avg(l) FROM a) GROUP BY k";
        assert_eq!(aligned(sql).await, "");
        let sql = "SELECT k, count(*) FROM a WHERE l > (SELECT avg(l) FROM b) GROUP BY k";
        assert_eq!(aligned(sql).await, "a.k");
    }
}
