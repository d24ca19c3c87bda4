//! `x IN (SELECT …)` by SQL's three-valued logic: true if an equal value exists, unknown if none does but `x` or one of
//! the values is null, false otherwise.
//!
//! ```text
//!  WHERE x IN (q)      ─▶  WHERE EXISTS (q with y = x)
//!  WHERE x NOT IN (q)  ─▶  WHERE NOT EXISTS (q with y = x) AND NOT EXISTS (q with y IS NULL)
//!                            AND (x IS NOT NULL OR NOT EXISTS (q))
//!  anywhere else       ─▶  CASE WHEN EXISTS (q with y = x) THEN true
//!                               WHEN EXISTS (q with y IS NULL) OR (x IS NULL AND EXISTS (q)) THEN null ELSE false END
//! ```
//! `EXISTS` is never unknown, and DataFusion turns it into plain joins. Parts about nulls are omitted where nothing can
//! be null.
//!
//! `x op ANY (q)` and `x op ALL (q)` are built from `EXISTS` in the same way, on the result of `x op y` for each value.
//! Outside of filters, where DataFusion does not support `EXISTS`, it becomes `(SELECT count(*) …) > 0`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::count::count;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, not, when,
};
use datafusion::optimizer::AnalyzerRule;

/// Name of a subquery's column.
const VALUE: &str = "cutover: value";

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct ThreeValued;

impl AnalyzerRule for ThreeValued {
    fn name(&self) -> &'static str {
        "three_valued_in"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            if let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan {
                let schema = Arc::clone(input.schema());
                let parts = split_conjunction_owned(predicate);
                let parts = parts.into_iter().map(|part| condition(part, &schema)).collect::<Result<Vec<_>>>()?;
                let predicate = conjunction(parts).unwrap_or_else(|| lit(true));
                return Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)));
            }
            super::expressions_of(plan, |expression, schema| three_valued(expression, schema, Place::Value))
        })?;
        Ok(rewritten.data)
    }
}

/// One of the conjuncts of a filter.
fn condition(part: Expr, schema: &DFSchema) -> Result<Expr> {
    match part {
        Expr::InSubquery(InSubquery { ref expr, negated: false, .. }) if expr.contains_outer() => Ok(part),
        Expr::InSubquery(of) if has_one_row(&of.subquery) => anywhere(Expr::InSubquery(of), schema),
        Expr::InSubquery(of) if of.negated => In::new(of, schema, Place::Condition)?.is_false(),
        Expr::InSubquery(of) => In::new(of, schema, Place::Condition)?.has_equal(),
        Expr::Not(of) => match *of {
            Expr::InSubquery(of) => condition(Expr::InSubquery(InSubquery { negated: !of.negated, ..of }), schema),
            other => anywhere(not(other), schema),
        },
        other => anywhere(other, schema),
    }
}

fn anywhere(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(expression.transform_up(|expression| three_valued(expression, schema, Place::Condition))?.data)
}

fn three_valued(expression: Expr, schema: &DFSchema, place: Place) -> Result<Transformed<Expr>> {
    match expression {
        Expr::Exists(of) if has_one_row(&of.subquery) => Ok(Transformed::yes(lit(!of.negated))),
        Expr::Exists(ref of) => {
            refuse_one_row(&of.subquery)?;
            match place {
                Place::Condition => Ok(Transformed::no(expression)),
                Place::Value => {
                    let rows = LogicalPlanBuilder::from(of.subquery.subquery.as_ref().clone());
                    let exists = counted(rows, &of.subquery)?;
                    Ok(Transformed::yes(if of.negated { not(exists) } else { exists }))
                }
            }
        }
        Expr::InSubquery(of) if has_one_row(&of.subquery) => {
            let op = if of.negated { Operator::NotEq } else { Operator::Eq };
            let value = Expr::ScalarSubquery(of.subquery);
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(of.expr, op, Box::new(value)))))
        }
        Expr::InSubquery(of) => {
            let negated = of.negated;
            let value = In::new(of, schema, place)?.value()?;
            Ok(Transformed::yes(if negated { not(value) } else { value }))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, .. }) if has_one_row(&subquery) => {
            let value = Expr::ScalarSubquery(subquery);
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(expr, op, Box::new(value)))))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            let of = In::new(InSubquery::new(expr, subquery, false), schema, place)?;
            Ok(Transformed::yes(of.compared(op, quantifier)?))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Where an expression occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In WHERE or HAVING, where `EXISTS` becomes a join.
    Condition,
    /// Elsewhere, where only scalar subqueries are supported.
    Value,
}

/// Whether a subquery has rows, as a scalar subquery.
fn counted(rows: LogicalPlanBuilder, subquery: &Subquery) -> Result<Expr> {
    let outer_ref_columns = rows.plan().all_out_ref_exprs();
    // One row is enough, but a limit would keep a correlated subquery from becoming a join.
    let rows = if outer_ref_columns.is_empty() { rows.limit(0, Some(1))? } else { rows };
    let any = rows.aggregate(Vec::<Expr>::new(), [count(lit(1)).alias("any")])?.build()?;
    let number = Subquery { subquery: Arc::new(any), outer_ref_columns, spans: subquery.spans.clone() };
    Ok(Expr::ScalarSubquery(number).gt(lit(0_i64)))
}

/// Whether a correlated subquery returns one row for every outer row: an aggregate without groups. It is a scalar then;
/// as a join it would return no row if nothing matches.
fn has_one_row(subquery: &Subquery) -> bool {
    let mut node = subquery.subquery.as_ref();
    loop {
        node = match node {
            LogicalPlan::Projection(of) => of.input.as_ref(),
            LogicalPlan::SubqueryAlias(of) => of.input.as_ref(),
            LogicalPlan::Sort(of) if of.fetch.is_none() => of.input.as_ref(),
            LogicalPlan::Aggregate(of) => {
                return of.group_expr.is_empty() && !subquery.subquery.all_out_ref_exprs().is_empty();
            }
            _ => return false,
        }
    }
}

/// Rejects a correlated subquery with an aggregate without groups further down: the aggregate returns a row even if
/// nothing matches, but the join that it becomes does not.
fn refuse_one_row(subquery: &Subquery) -> Result<()> {
    let one_row = |node: &LogicalPlan| {
        let LogicalPlan::Aggregate(aggregate) = node else { return Ok(false) };
        Ok(aggregate.group_expr.is_empty() && !node.all_out_ref_exprs().is_empty())
    };
    if subquery.subquery.exists(one_row)? {
        return plan_err!(
            "an aggregate without GROUP BY that uses a column of the outer query is not supported below EXISTS, IN, ANY \
             and ALL where HAVING or a join is above it; compare with it as a value: x = (SELECT max(…) …)"
        );
    }
    Ok(())
}

/// `x IN (q)`.
struct In {
    /// `x` as seen from the subquery.
    outer: Expr,
    x: Expr,
    x_nullable: bool,
    /// The column of the subquery.
    y: Expr,
    y_nullable: bool,
    subquery: Subquery,
    place: Place,
}

impl In {
    fn new(InSubquery { expr, subquery, .. }: InSubquery, schema: &DFSchema, place: Place) -> Result<Self> {
        // Under an alias of its own: if a table is in both queries, a column of one would be taken for the other's.
        refuse_one_row(&subquery)?;
        let rows = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
        let first = rows.schema().columns().swap_remove(0);
        let values = rows.project([Expr::Column(first).alias(VALUE)])?.build()?;
        let y = Expr::Column(Column::from_name(VALUE));
        if expr.contains_outer() {
            return plan_err!(
                "{expr} IN (SELECT …) compares a column of an outer query inside a subquery; write it as EXISTS"
            );
        }
        let outer = expr.as_ref().clone().transform_up(|part| match part {
            Expr::Column(column) => {
                let field = schema.qualified_field_from_column(&column)?.1;
                Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
            }
            part => Ok(Transformed::no(part)),
        })?;
        Ok(Self {
            outer: outer.data,
            x_nullable: expr.nullable(schema)?,
            x: *expr,
            y_nullable: y.nullable(values.schema())?,
            y,
            subquery: Subquery { subquery: Arc::new(values), ..subquery },
            place,
        })
    }

    /// Whether the subquery has a row that meets a condition, or any row.
    fn exists(&self, condition: Option<Expr>) -> Result<Expr> {
        let rows = LogicalPlanBuilder::from(self.subquery.subquery.as_ref().clone());
        let rows = match condition {
            Some(condition) => rows.filter(condition)?,
            None => rows,
        };
        let outer_ref_columns = rows.plan().all_out_ref_exprs();
        if outer_ref_columns.is_empty() || self.place == Place::Value {
            // One scalar for the whole query is simpler than a join.
            return counted(rows, &self.subquery);
        }
        let subquery =
            Subquery { subquery: Arc::new(rows.build()?), outer_ref_columns, spans: self.subquery.spans.clone() };
        Ok(Expr::Exists(Exists { subquery, negated: false }))
    }

    fn has_equal(&self) -> Result<Expr> {
        self.exists(Some(self.y.clone().eq(self.outer.clone())))
    }

    /// If there can be nulls: whether one of the values is null, and whether `x` is null and there are values.
    fn unknowns(&self) -> Result<Vec<Expr>> {
        let mut unknowns = Vec::new();
        if self.y_nullable {
            unknowns.push(self.exists(Some(self.y.clone().is_null()))?);
        }
        if self.x_nullable {
            unknowns.push(self.x.clone().is_null().and(self.exists(None)?));
        }
        Ok(unknowns)
    }

    /// True if the predicate is false; false if it is true or unknown.
    fn is_false(&self) -> Result<Expr> {
        let unknowns = self.unknowns()?;
        Ok(unknowns.into_iter().fold(not(self.has_equal()?), |all, unknown| all.and(not(unknown))))
    }

    /// The result of comparing `x` with any or all of the values.
    fn compared(&self, op: Operator, quantifier: SetQuantifier) -> Result<Expr> {
        let comparison = Expr::BinaryExpr(BinaryExpr::new(Box::new(self.outer.clone()), op, Box::new(self.y.clone())));
        let decisive = quantifier == SetQuantifier::Any;
        let decided = if decisive { comparison.clone().is_true() } else { comparison.clone().is_false() };
        when(self.exists(Some(decided))?, lit(decisive))
            .when(self.exists(Some(comparison.is_null()))?, lit(ScalarValue::Boolean(None)))
            .otherwise(lit(!decisive))
    }

    fn value(&self) -> Result<Expr> {
        let has_equal = self.has_equal()?;
        match self.unknowns()?.into_iter().reduce(Expr::or) {
            None => Ok(has_equal),
            Some(unknown) => {
                when(has_equal, lit(true)).when(unknown, lit(ScalarValue::Boolean(None))).otherwise(lit(false))
            }
        }
    }
}
