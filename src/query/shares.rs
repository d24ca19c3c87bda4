//! Which input of a query may be read in shares by several machines, such that the results of all shares together are
//! the result of the query.
//!
//! ```text
//!  scan, filter, projection, unnest      those of its input
//!  inner join                            those of either side, as the other side is read whole
//!  left, semi, anti, mark join           those of the side whose rows it keeps
//!  group, window, limit, union, …        none: a row of the result needs rows of several shares
//! ```
//! Only the optimized plan shows it, as subqueries have become joins there. A table that is read twice is never shared
//! out. Every machine plans the same SQL itself, so functions whose value depends on when, or how often, they are
//! called are named: two machines would not agree. Nor would they where SQL leaves a choice, which rows of equal ones a
//! LIMIT keeps or a window numbers first: what every machine computes for itself has none of these.
//!
//! Not for: how large shares are (`pipeline`).

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use datafusion::common::JoinType;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Volatility};

use super::error::convert;
use super::session::Query;

impl Query<'_> {
    /// The inputs of which any one may be read in shares; empty if the query has to see all rows at once.
    ///
    /// # Errors
    /// `Internal` only: the query was planned before.
    pub fn shareable(&self) -> crate::error::Result<BTreeSet<String>> {
        let plan = self.state.optimize(&self.plan).map_err(|error| convert("the query cannot be planned", error))?;
        let scans = scans(&plan).map_err(|error| convert("the query cannot be planned", error))?;
        let mut shareable = if self.has_choice()? { BTreeSet::new() } else { of(&plan) };
        shareable.retain(|table| scans.get(table) == Some(&1));
        Ok(shareable)
    }

    /// Whether the query, or a subquery in it, keeps some of the rows, and SQL does not say which ones of equal ones.
    pub(super) fn has_choice(&self) -> crate::error::Result<bool> {
        has_choice(&self.plan).map_err(|error| convert("the query cannot be planned", error))
    }

    /// All columns of an input that the query reads.
    pub fn columns_of(&self, input: &str) -> Option<SchemaRef> {
        let mut found = None;
        let searched = self.plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && scan.table_name.table() == input
            {
                found = Some(scan.source.schema());
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        searched.ok().and(found)
    }

    /// A function of the query whose value depends on when or how often it is called, such as `now()`.
    ///
    /// # Errors
    /// `Internal` only: the query was planned before.
    pub fn unrepeatable(&self) -> crate::error::Result<Option<String>> {
        unrepeatable(&self.plan).map_err(|error| convert("the query cannot be planned", error))
    }
}

fn unrepeatable(plan: &LogicalPlan) -> Result<Option<String>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    found = Some(call.func.name().to_owned());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn has_choice(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Limit(_) | LogicalPlan::Distinct(Distinct::On(_)));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether every machine that computes this finds the same: not if windows number rows, of which some may be equal.
pub(super) fn is_repeatable(plan: &LogicalPlan) -> bool {
    let is_window = |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::Window(_)));
    !plan.exists(is_window).unwrap_or(true)
}

/// How often a plan reads each table, in subqueries too.
pub(super) fn scans(plan: &LogicalPlan) -> Result<BTreeMap<String, usize>> {
    let mut scans = BTreeMap::new();
    plan.apply_with_subqueries(|node| Ok(count_scan(node, &mut scans)))?;
    Ok(scans)
}

/// Counts a node if it reads a table.
pub(super) fn count_scan(node: &LogicalPlan, scans: &mut BTreeMap<String, usize>) -> TreeNodeRecursion {
    if let LogicalPlan::TableScan(scan) = node {
        *scans.entry(scan.table_name.table().to_owned()).or_default() += 1;
    }
    TreeNodeRecursion::Continue
}

/// The tables of which any one may be read in shares.
fn of(plan: &LogicalPlan) -> BTreeSet<String> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => BTreeSet::from([scan.table_name.table().to_owned()]),
        LogicalPlan::Projection(node) => of(&node.input),
        LogicalPlan::Filter(node) => of(&node.input),
        LogicalPlan::SubqueryAlias(node) => of(&node.input),
        LogicalPlan::Unnest(node) => of(&node.input),
        LogicalPlan::Join(join) => {
            // The other side is computed by every machine.
            let side = |one: &LogicalPlan, other| if is_repeatable(other) { of(one) } else { BTreeSet::new() };
            let (left, right) = (|| side(&join.left, &join.right), || side(&join.right, &join.left));
            match join.join_type {
                JoinType::Inner => left().into_iter().chain(right()).collect(),
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left(),
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right(),
                JoinType::Full => BTreeSet::new(),
            }
        }
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    async fn planned(sql: &str) -> (SessionContext, LogicalPlan) {
        let context = SessionContext::new();
        for table in ["a", "b"] {
            let sql = format!("CREATE TABLE {table} AS VALUES (1, 'x', [1, 2]), (2, 'y', [3])");
            context.sql(&sql).await.unwrap().collect().await.unwrap();
        }
        let plan = context.state().create_logical_plan(sql).await.unwrap();
        (context, plan)
    }

    #[tokio::test]
    async fn only_row_by_row_queries_are_divided_among_tasks() {
        for (sql, expected) in [
            ("SELECT column1 + 1 FROM a WHERE column2 = 'x'", "a"),
            ("SELECT unnest(column3) FROM a", "a"),
            ("SELECT 1 FROM a JOIN b ON a.column1 = b.column1", "ab"),
            ("SELECT 1 FROM a LEFT JOIN b ON a.column1 = b.column1", "a"),
            ("SELECT 1 FROM a RIGHT JOIN b ON a.column1 = b.column1", "b"),
            ("SELECT 1 FROM a FULL JOIN b ON a.column1 = b.column1", ""),
            ("SELECT 1 FROM a WHERE column1 IN (SELECT column1 FROM b)", "a"),
            ("SELECT 1 FROM a WHERE column1 NOT IN (SELECT column1 FROM b)", "a"),
            ("SELECT 1 FROM a WHERE column1 > (SELECT avg(column1) FROM b)", "a"),
            ("SELECT 1 FROM a JOIN (SELECT max(column1) AS m FROM b) AS s ON a.column1 = s.m", "a"),
            ("SELECT column1, count(*) FROM a GROUP BY column1", ""),
            ("SELECT DISTINCT column1 FROM a", ""),
            ("SELECT row_number() OVER (ORDER BY column1) FROM a", ""),
            ("SELECT column1 FROM a ORDER BY column1 LIMIT 1", ""),
            ("SELECT column1 FROM a LIMIT 1", ""),
            (
                "SELECT 1 FROM a JOIN (SELECT column1, row_number() OVER (ORDER BY column2) AS n FROM b) AS s ON a.column1 = s.n",
                "",
            ),
            ("SELECT column1 FROM a UNION ALL SELECT column1 FROM b", ""),
        ] {
            let (context, plan) = planned(sql).await;
            let plan = context.state().optimize(&plan).unwrap();
            let found: String = of(&plan).into_iter().collect();
            assert_eq!(found, expected, "{sql}\n{}", plan.display_indent());
        }
    }

    #[tokio::test]
    async fn queries_with_more_than_one_valid_result_are_found() {
        for (sql, expected) in [
            ("SELECT 1 FROM a JOIN (SELECT column1 FROM b LIMIT 1) AS s ON a.column1 = s.column1", true),
            ("SELECT 1 FROM a WHERE column1 IN (SELECT column1 FROM b ORDER BY column2 LIMIT 1)", true),
            ("SELECT 1 FROM a WHERE column1 > (SELECT column1 FROM b LIMIT 1)", true),
            ("SELECT DISTINCT ON (column1) column2 FROM a", true),
            ("SELECT column1, count(*) FROM a GROUP BY column1 ORDER BY column1", false),
            ("SELECT 1 FROM a WHERE column1 IN (SELECT max(column1) FROM b)", false),
        ] {
            let (_, plan) = planned(sql).await;
            assert_eq!(has_choice(&plan).unwrap(), expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn functions_on_which_two_machines_differ_are_named() {
        for (sql, expected) in [
            ("SELECT column1 FROM a WHERE random() < 0.5", Some("random")),
            ("SELECT now() FROM a", Some("now")),
            ("SELECT 1 FROM a WHERE column1 IN (SELECT column1 FROM b WHERE uuid() <> 'x')", Some("uuid")),
            ("SELECT abs(column1) FROM a", None),
        ] {
            let (_, plan) = planned(sql).await;
            assert_eq!(unrepeatable(&plan).unwrap().as_deref(), expected, "{sql}");
        }
    }
}
