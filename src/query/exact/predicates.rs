//! Predicates that DataFusion answers wrongly, rewritten in the SQL before it is planned, or refused.
//!
//! | SQL | here |
//! |---|---|
//! | `x = ANY(list)` | `NOT (x <> ALL(list))`, whose nulls are right; also for `<`, `<=`, `>`, `>=`, `<>` |
//! | `(a, b) < (c, d)` | `a < c OR (a = c AND b < d)`, so that a null makes the result unknown; also `=`, `IN`, `BETWEEN` |
//! | `s SIMILAR TO '…'` | a regular expression of the whole text (see `similar_to`) |
//! | `2 ^ 3` | refused: a power in PostgreSQL and DuckDB, the bits of either number in DataFusion |
//! | `COLLATE`, `RLIKE` | refused in plain words |
//!
//! Not for: `ANY` and `ALL` over subqueries (see `not_in`).

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

use super::similar_to;

/// The expression that an expression is rewritten to, if any; the error is why it is refused.
type Rewritten = Result<Option<Expr>, String>;

/// Rewrites one expression, whose parts were rewritten before.
///
/// # Errors
/// Why the expression is refused, and what to write instead.
pub(super) fn rewrite(expression: &Expr) -> Rewritten {
    match expression {
        Expr::AnyOp { left, compare_op, right, .. } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
            Ok(negated(compare_op)
                .map(|compare_op| not(Expr::AllOp { left: left.clone(), compare_op, right: right.clone() })))
        }
        Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, right } => Err(format!(
            "{left} ^ {right}: ^ is a power in some databases and combines bits in others; write power({left}, {right}), \
             or {left} XOR {right} for the bits"
        )),
        Expr::BinaryOp { left, op, right } => match (row(left), row(right)) {
            (Some(left), Some(right)) => rows(&left, op, &right).map_err(|why| format!("{expression}: {why}")),
            _ => Ok(None),
        },
        Expr::InList { expr, list, negated } => in_list(expr, list, *negated),
        Expr::Between { expr, negated, low, high } => between([expr, low, high], *negated),
        Expr::IsNull(of) => Ok(row(of).and_then(|parts| tree(each(parts, Expr::IsNull), &BinaryOperator::And))),
        Expr::IsNotNull(of) => Ok(row(of).and_then(|parts| tree(each(parts, Expr::IsNotNull), &BinaryOperator::And))),
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            let (Some(pattern), Some(escape)) = (text(pattern), similar_to::escape(escape_char.as_ref())) else {
                return Err(format!(
                    "{expression}: the pattern of SIMILAR TO and its escape character have to be literals in the SQL; \
                     regexp_like({expr}, …) takes any regular expression"
                ));
            };
            let regex = similar_to::regex(pattern, escape).map_err(|why| format!("{expression}: {why}"))?;
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            let right = Expr::Value(Value::SingleQuotedString(regex).with_empty_span());
            Ok(Some(binary(expr.as_ref().clone(), &op, right)))
        }
        Expr::RLike { expr, pattern, .. } => {
            Err(format!("RLIKE and REGEXP are not supported; write regexp_like({expr}, {pattern})"))
        }
        Expr::Collate { expr, .. } => Err(format!(
            "COLLATE is not supported: strings are compared by their bytes; write {expr} alone, or compare lower({expr})"
        )),
        _ => Ok(None),
    }
}

fn text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => text(inner),
        _ => None,
    }
}

/// The comparison that is true where this one is false.
fn negated(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        _ => return None,
    })
}

fn not(expression: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(expression))) }
}

fn binary(left: Expr, op: &BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
}

/// The values of a row: `(a, b)` or `ROW(a, b)`.
fn row(expression: &Expr) -> Option<Vec<Expr>> {
    match expression {
        Expr::Tuple(values) => Some(values.clone()),
        Expr::Nested(inner) => row(inner),
        Expr::Function(of) if of.name.to_string().eq_ignore_ascii_case("row") => match &of.args {
            FunctionArguments::List(list) => list
                .args
                .iter()
                .map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        },
        _ => None,
    }
}

fn each(parts: Vec<Expr>, test: fn(Box<Expr>) -> Expr) -> Vec<Expr> {
    parts.into_iter().map(|part| test(Box::new(part))).collect()
}

/// All expressions joined by AND or OR, as a tree of little depth; none if there are none.
fn tree(mut parts: Vec<Expr>, op: &BinaryOperator) -> Option<Expr> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let right = parts.split_off(parts.len() / 2);
    Some(binary(tree(parts, op)?, op, tree(right, op)?))
}

/// The comparison of two rows; none for an operator that compares nothing.
fn rows(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Rewritten {
    let strict = match op {
        BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
        BinaryOperator::Gt | BinaryOperator::GtEq => BinaryOperator::Gt,
        BinaryOperator::Eq | BinaryOperator::NotEq => op.clone(),
        _ => return Ok(None),
    };
    if left.len() != right.len() {
        return Err(format!("a row of {} values is compared with one of {}", left.len(), right.len()));
    }
    let compare = |at: usize, op: &BinaryOperator| values(&left[at], op, &right[at]);
    let all = |op| (0..left.len()).map(|at| compare(at, op)).collect::<Result<Vec<_>, _>>();
    match op {
        BinaryOperator::Eq => return Ok(tree(all(op)?, &BinaryOperator::And)),
        BinaryOperator::NotEq => return Ok(tree(all(op)?, &BinaryOperator::Or)),
        _ => {}
    }
    // From the last value, which decides if all before it are equal.
    let mut result = None;
    for at in (0..left.len()).rev() {
        result = Some(match result {
            None => compare(at, op)?,
            Some(rest) => {
                let equal = binary(compare(at, &BinaryOperator::Eq)?, &BinaryOperator::And, rest);
                binary(compare(at, &strict)?, &BinaryOperator::Or, equal)
            }
        });
    }
    Ok(result)
}

/// The comparison of two values, which may be rows.
fn values(left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Expr, String> {
    let compared = match (row(left), row(right)) {
        (Some(left), Some(right)) => rows(&left, op, &right)?,
        _ => None,
    };
    Ok(compared.unwrap_or_else(|| binary(left.clone(), op, right.clone())))
}

fn in_list(expr: &Expr, list: &[Expr], negated: bool) -> Rewritten {
    if row(expr).is_none() || list.iter().any(|item| row(item).is_none()) {
        return Ok(None);
    }
    let equal = list.iter().map(|item| values(expr, &BinaryOperator::Eq, item)).collect::<Result<Vec<_>, _>>()?;
    let any = tree(equal, &BinaryOperator::Or);
    Ok(if negated { any.map(not) } else { any })
}

fn between([expr, low, high]: [&Expr; 3], negated: bool) -> Rewritten {
    if [expr, low, high].into_iter().any(|side| row(side).is_none()) {
        return Ok(None);
    }
    let inside = binary(
        values(expr, &BinaryOperator::GtEq, low)?,
        &BinaryOperator::And,
        values(expr, &BinaryOperator::LtEq, high)?,
    );
    Ok(Some(if negated { not(inside) } else { inside }))
}
