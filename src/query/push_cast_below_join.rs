//! Optimizer rule: pushes casts of integers to strings below a join, to its smaller side, so that each row is cast once
//! instead of every joined row.
//!
//! ```text
//!  Aggregate: url, CAST(age / 10 AS VARCHAR)         Aggregate: url, text
//!    Join                                     ─▶       Join
//!      events                                            events
//!      profiles                                          Projection: …, CAST(age / 10 AS VARCHAR) AS text
//!                                                          profiles
//! ```
//! DataFusion evaluates an expression where the SQL has it. Moved are casts of integers to strings, with arithmetic
//! inside them: they cost more than copying a ready string, and they never fail and return null for null, so they may
//! be evaluated for rows without a match, and are null where the join emits nulls.
//!
//! Not for: expressions that may fail, those over both sides, or joins of sides of similar size.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// How many times larger the other side has to be.
const TIMES_LARGER: usize = 4;
/// Prefix of the new columns' names; a number follows.
const PREFIX: &str = "cutover: text";

/// The optimizer rule of this file.
#[derive(Debug)]
pub(super) struct PushCastBelowJoin;

impl OptimizerRule for PushCastBelowJoin {
    fn name(&self) -> &'static str {
        "texts_ahead_of_joins"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let Some((join, between)) = join_below(&plan) else { return Ok(Transformed::no(plan)) };
        let Some(side) = smaller_side(join) else { return Ok(Transformed::no(plan)) };
        let mut texts = CastCollector { schema: side.schema(), between, found: Vec::new(), config };
        let names = NamePreserver::new(&plan);
        let mut expressions = Vec::new();
        for expression in plan.expressions() {
            let name = names.save(&expression);
            expressions.push(name.restore(texts.replace(expression)?.data));
        }
        if texts.found.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let made = texts.found.iter().map(|(text, name)| text.clone().alias(name));
        let columns = |plan: &LogicalPlan| plan.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
        let with_texts =
            LogicalPlanBuilder::from(side.clone()).project(columns(side).into_iter().chain(made))?.build()?;
        let sides = [&join.left, &join.right].map(|input| match std::ptr::eq(input.as_ref(), side) {
            true => with_texts.clone(),
            false => input.as_ref().clone(),
        });
        let join = LogicalPlan::Join(join.clone());
        let mut input = join.with_new_exprs(join.expressions(), sides.to_vec())?;
        if let Some(between) = between {
            let names = texts.found.iter().map(|(_, name)| Expr::Column(Column::from_name(name)));
            input = LogicalPlanBuilder::from(input).project(between.expr.iter().cloned().chain(names))?.build()?;
        }
        Ok(Transformed::yes(plan.with_new_exprs(expressions, vec![input])?))
    }
}

/// The join below a node, and the projection between them, if there is one: selected columns and common subexpressions.
fn join_below(plan: &LogicalPlan) -> Option<(&Join, Option<&Projection>)> {
    let input = match plan {
        LogicalPlan::Projection(projection) => &projection.input,
        LogicalPlan::Aggregate(aggregate) => {
            let sets = aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
            (!sets).then_some(&aggregate.input)?
        }
        _ => return None,
    };
    match input.as_ref() {
        LogicalPlan::Join(join) => Some((join, None)),
        LogicalPlan::Projection(between) => match between.input.as_ref() {
            LogicalPlan::Join(join) => Some((join, Some(between))),
            _ => None,
        },
        _ => None,
    }
}

/// The side that is so much smaller that it pays to move casts there.
fn smaller_side(join: &Join) -> Option<&LogicalPlan> {
    // Semi and anti joins return the columns of one side only.
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) {
        return None;
    }
    let (left, right) = (rows(&join.left)?, rows(&join.right)?);
    let smaller = |one: usize, other: usize| one.saturating_mul(TIMES_LARGER) <= other;
    if smaller(left, right) {
        Some(&join.left)
    } else if smaller(right, left) {
        Some(&join.right)
    } else {
        None
    }
}

/// A rough row count of a plan: that of the largest table it reads.
fn rows(plan: &LogicalPlan) -> Option<usize> {
    if let LogicalPlan::TableScan(scan) = plan {
        return source_as_provider(&scan.source).ok()?.statistics()?.num_rows.get_value().copied();
    }
    plan.inputs().into_iter().map(rows).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// Casts that can be evaluated on one side of a join, and the columns that replace them.
struct CastCollector<'a> {
    schema: &'a DFSchema,
    between: Option<&'a Projection>,
    found: Vec<(Expr, String)>,
    config: &'a dyn OptimizerConfig,
}

impl CastCollector<'_> {
    /// An expression in which movable casts are replaced by columns.
    fn replace(&mut self, expression: Expr) -> Result<Transformed<Expr>> {
        expression.transform_down(|part| {
            if !matches!(&part, Expr::Cast(cast) if is_text(cast.field.data_type())) {
                return Ok(Transformed::no(part));
            }
            let text = self.of_side(part.clone())?;
            if text.column_refs().is_empty() || !self.can_be_made(&text) {
                return Ok(Transformed::no(part));
            }
            let known = self.found.iter().find(|(known, _)| *known == text).map(|(_, name)| name.clone());
            let name = known.unwrap_or_else(|| {
                let name = self.config.alias_generator().next(PREFIX);
                self.found.push((text, name.clone()));
                name
            });
            Ok(Transformed::new(Expr::Column(Column::from_name(name)), true, TreeNodeRecursion::Jump))
        })
    }

    /// An expression over the columns of the join, with the projection between inlined.
    fn of_side(&self, expression: Expr) -> Result<Expr> {
        let Some(between) = self.between else { return Ok(expression) };
        let made = |column: &Column| {
            let place = between.schema.maybe_index_of_column(column)?;
            Some(between.expr[place].clone().unalias())
        };
        let replaced = expression.transform_up(|part| match &part {
            Expr::Column(column) => match made(column) {
                Some(made) => Ok(Transformed::yes(made)),
                None => Ok(Transformed::no(part)),
            },
            // Aliases keep the names that common subexpressions had.
            Expr::Alias(_) => Ok(Transformed::yes(part.unalias())),
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(replaced.data)
    }

    /// Whether an expression uses this side only, can never fail, and is null if one of its columns is null.
    fn can_be_made(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Column(column) => self.schema.has_column(column),
            Expr::Literal(value, _) => !value.is_null(),
            Expr::Cast(cast) => {
                let to = cast.field.data_type();
                let Ok(from) = cast.expr.get_type(self.schema) else { return false };
                let whole = from.is_integer() && (is_text(to) || is_wider(&from, to));
                whole && self.can_be_made(&cast.expr)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let whole = |side: &Expr| side.get_type(self.schema).is_ok_and(|of| of.is_integer());
                let safe = match op {
                    // Arithmetic that may overflow is a function by now (see `exact`).
                    Operator::Plus | Operator::Minus | Operator::Multiply => true,
                    Operator::Divide | Operator::Modulo => is_positive(right),
                    _ => false,
                };
                safe && whole(left) && whole(right) && self.can_be_made(left) && self.can_be_made(right)
            }
            _ => false,
        }
    }
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether one type holds every signed integer of another.
fn is_wider(from: &DataType, to: &DataType) -> bool {
    from.is_signed_integer() && to.is_signed_integer() && from.primitive_width() <= to.primitive_width()
}

/// Whether dividing by it neither fails nor overflows.
fn is_positive(expression: &Expr) -> bool {
    let Expr::Literal(value, _) = expression else { return false };
    matches!(value.cast_to(&DataType::Int64), Ok(ScalarValue::Int64(Some(1..))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema, SchemaRef};
    use async_trait::async_trait;
    use datafusion::catalog::{Session, TableProvider};
    use datafusion::common::Statistics;
    use datafusion::common::stats::Precision;
    use datafusion::datasource::TableType;
    use datafusion::physical_plan::ExecutionPlan;
    use datafusion::prelude::SessionContext;

    use super::*;

    /// A table with a given row count that is never read.
    #[derive(Debug)]
    struct Sized(SchemaRef, usize);

    #[async_trait]
    impl TableProvider for Sized {
        fn schema(&self) -> SchemaRef {
            Arc::clone(&self.0)
        }

        fn table_type(&self) -> TableType {
            TableType::Base
        }

        fn statistics(&self) -> Option<Statistics> {
            Some(Statistics::new_unknown(&self.0).with_num_rows(Precision::Inexact(self.1)))
        }

        async fn scan(
            &self,
            _: &dyn Session,
            _: Option<&Vec<usize>>,
            _: &[Expr],
            _: Option<usize>,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            unreachable!("the plan is not carried out")
        }
    }

    /// The optimized plan of a query over many events and fewer profiles, one line each, outermost first.
    fn plan(sql: &str, profiles: usize) -> Vec<String> {
        let context = SessionContext::new();
        context.add_optimizer_rule(Arc::new(PushCastBelowJoin));
        let fields = ["id", "age"].map(|name| Field::new(name, DataType::Int32, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        for (name, rows) in [("events", 1000), ("profiles", profiles)] {
            context.register_table(name, Arc::new(Sized(Arc::clone(&schema), rows))).unwrap();
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let frame = runtime.block_on(context.sql(sql)).unwrap();
        let plan = frame.into_optimized_plan().unwrap();
        plan.display_indent().to_string().lines().map(|line| line.trim().to_owned()).collect()
    }

    /// Whether a cast is evaluated below the join.
    #[track_caller]
    fn is_moved(sql: &str, profiles: usize) -> bool {
        let plan = plan(sql, profiles);
        let join = plan.iter().position(|line| line.contains("Join")).unwrap();
        let casts = |lines: &[String]| lines.iter().any(|line| line.contains("Utf8"));
        assert_ne!(casts(&plan[..join]), casts(&plan[join..]), "made once, above or below: {plan:#?}");
        casts(&plan[join..])
    }

    #[test]
    fn texts_of_the_smaller_side_are_made_before_the_join() {
        let grouped = |text: &str, join: &str| {
            format!("SELECT {text} AS text, count(*) FROM events e {join} JOIN profiles p ON e.id = p.id GROUP BY 1")
        };
        let text = "CAST(p.age - p.age % 10 AS VARCHAR)";
        for join in ["INNER", "LEFT", "RIGHT", "FULL"] {
            assert!(is_moved(&grouped(text, join), 100), "{join}");
            assert!(!is_moved(&grouped(text, join), 900), "{join}: about as many rows");
        }
        assert!(is_moved(&format!("SELECT e.id, {text} FROM events e JOIN profiles p ON e.id = p.id"), 100));
        for stays in [
            "CAST(e.age AS VARCHAR)",
            "CAST(e.age + p.age AS VARCHAR)",
            "CAST(10 / p.age AS VARCHAR)",
            "CAST(p.age % -1 AS VARCHAR)",
            "CAST(p.age / 2.5 AS VARCHAR)",
        ] {
            assert!(!is_moved(&grouped(stays, "LEFT"), 100), "{stays}");
        }
    }

    #[test]
    fn one_text_is_made_once_and_columns_keep_their_names() {
        let text = "CAST(p.age AS VARCHAR)";
        let sql = format!(
            "SELECT {text}, max({text}), count(*) FROM events e LEFT JOIN profiles p ON e.id = p.id GROUP BY {text}"
        );
        let plan = plan(&sql, 100);
        let made = plan.iter().filter(|line| line.contains("AS cutover: text")).count();
        assert_eq!(made, 1, "{plan:#?}");
        assert!(plan[0].contains("p.age") && !plan[0].contains("cutover"), "{plan:#?}");
    }
}
