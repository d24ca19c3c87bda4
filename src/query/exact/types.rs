//! Coerces operands of two types to one type that holds both, before DataFusion chooses one that does not: in
//! comparisons, in functions and forms that return one of several values, in joins and in unions.
//!
//! Not for: which type that is (see `conversions`), or values that do not fit the type they are cast to (see `casts`).

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Between, InList, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Union, cast,
};
use datafusion::optimizer::AnalyzerRule;

use super::conversions::{Meeting, converted};
use super::rewrites;
use super::set_operations;

/// Functions that return one of their arguments, or a list of them, from the argument of this index on.
const CHOOSE: [(&str, usize); 8] = [
    ("coalesce", 0),
    ("greatest", 0),
    ("least", 0),
    ("nullif", 0),
    ("nvl", 0),
    ("ifnull", 0),
    ("nvl2", 1),
    ("make_array", 0),
];
/// Functions of times that convert a date to a time in nanoseconds.
const OF_TIMES: [&str; 3] = ["date_trunc", "date_bin", "to_local_time"];

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct CommonTypes;

impl AnalyzerRule for CommonTypes {
    fn name(&self) -> &'static str {
        "common_types"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let common = plan.transform_up_with_subqueries(|plan| {
            let plan = super::expressions_of(plan, meet)?;
            let plan = plan.transform_data(|plan| match plan {
                LogicalPlan::Union(union) => unite(union),
                LogicalPlan::Join(join) => equal(set_operations::with_common_types(join)?),
                plan => Ok(Transformed::no(plan)),
            })?;
            plan.map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(common.data)
    }
}

fn meet(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let boxed = |expressions: &mut Vec<Expr>| Box::new(expressions.remove(0));
    Ok(match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let how = match op {
                Operator::Plus | Operator::Minus => Meeting::Chosen,
                op if op.supports_propagation() => Meeting::Compared,
                _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            };
            let sides = vec![*left, *right];
            let arithmetic = how == Meeting::Chosen && !sides.iter().all(|side| is_time(side, schema));
            let mut sides = if arithmetic { sides } else { common(sides, how, schema)? };
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: boxed(&mut sides), op, right: boxed(&mut sides) }))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let mut all = common(vec![*expr, *low, *high], Meeting::Compared, schema)?;
            let (expr, low, high) = (boxed(&mut all), boxed(&mut all), boxed(&mut all));
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let mut all = common([vec![*expr], list].concat(), Meeting::Compared, schema)?;
            let expr = boxed(&mut all);
            Transformed::yes(Expr::InList(InList { expr, list: all, negated }))
        }
        Expr::Case(case) => Transformed::yes(Expr::Case(cases(case, schema)?)),
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let chooses = CHOOSE.iter().find(|(name, _)| *name == func.name());
            let args = match chooses {
                Some((_, first)) if args.len() > *first => {
                    let (others, mut chosen) = (args[..*first].to_vec(), args[*first..].to_vec());
                    chosen = common(chosen, Meeting::Chosen, schema)?;
                    [others, chosen].concat()
                }
                _ if OF_TIMES.contains(&func.name()) => {
                    let of_time = |argument: Expr| match argument.get_type(schema) {
                        Ok(DataType::Date32 | DataType::Date64) => {
                            cast(argument, DataType::Timestamp(TimeUnit::Microsecond, None))
                        }
                        _ => argument,
                    };
                    args.into_iter().map(of_time).collect()
                }
                _ => return rewrites::known(Expr::ScalarFunction(ScalarFunction { func, args }), schema),
            };
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        other => rewrites::known(other, schema)?,
    })
}

fn cases(Case { expr, when_then_expr, else_expr }: Case, schema: &DFSchema) -> Result<Case> {
    let (whens, thens): (Vec<_>, Vec<_>) = when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
    let (rows, has_else) = (whens.len(), else_expr.is_some());
    let (expr, whens) = match expr {
        Some(expr) => {
            let mut all = common([vec![*expr], whens].concat(), Meeting::Compared, schema)?;
            (Some(Box::new(all.remove(0))), all)
        }
        None => (None, whens),
    };
    let thens = thens.into_iter().chain(else_expr.map(|otherwise| *otherwise)).collect();
    let mut thens = common(thens, Meeting::Chosen, schema)?;
    let otherwise = if has_else { thens.pop().map(Box::new) } else { None };
    let pairs = whens.into_iter().zip(thens.drain(..rows)).map(|(when, then)| (Box::new(when), Box::new(then)));
    Ok(Case { expr, when_then_expr: pairs.collect(), else_expr: otherwise })
}

fn is_time(expression: &Expr, schema: &DFSchema) -> bool {
    matches!(expression.get_type(schema), Ok(DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)))
}

/// Casts the keys of a join to types in which they can be compared.
fn equal(join: Join) -> Result<Transformed<LogicalPlan>> {
    let mut on = Vec::with_capacity(join.on.len());
    for (left, right) in join.on {
        let types = (left.get_type(join.left.schema()), right.get_type(join.right.schema()));
        let (Ok(left_type), Ok(right_type)) = types else {
            on.push((left, right));
            continue;
        };
        let mut both = converted(vec![left, right], &[left_type, right_type], Meeting::Compared);
        on.push((both.remove(0), both.remove(0)));
    }
    Ok(Transformed::yes(LogicalPlan::Join(Join { on, ..join })))
}

/// Casts the rows of a union to types that hold the columns of all its inputs.
fn unite(union: Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.schema.fields().len();
    if union.inputs.iter().any(|input| input.schema().fields().len() != width) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let columns: Vec<Vec<Expr>> =
        union.inputs.iter().map(|input| input.schema().columns().into_iter().map(Expr::Column).collect()).collect();
    let mut united = columns.clone();
    for place in 0..width {
        let types: Vec<DataType> =
            union.inputs.iter().map(|input| input.schema().field(place).data_type().clone()).collect();
        let of_place = columns.iter().map(|columns| columns[place].clone()).collect();
        for (input, column) in converted(of_place, &types, Meeting::Chosen).into_iter().enumerate() {
            united[input][place] = column;
        }
    }
    if united == columns {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let inputs = union.inputs.into_iter().zip(united).map(|(input, columns)| {
        let named = super::under_names(input.schema(), columns);
        Ok(Arc::new(LogicalPlanBuilder::from(input).project(named)?.build()?))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}

/// Casts the expressions to a type in which they can be compared, or that can hold any of them; unchanged if their
/// types are still unknown.
fn common(expressions: Vec<Expr>, how: Meeting, schema: &DFSchema) -> Result<Vec<Expr>> {
    let types = expressions.iter().map(|of| of.get_type(schema)).collect::<Result<Vec<_>>>();
    Ok(match types {
        Ok(types) => converted(expressions, &types, how),
        Err(_) => expressions,
    })
}
