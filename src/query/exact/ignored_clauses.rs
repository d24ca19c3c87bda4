//! Clauses that the parser accepts and DataFusion's planner never reads: rejected, as a query without them has another
//! answer.
//!
//! Structures are taken apart field by field, so a clause that a new version of the parser adds does not compile until
//! it is decided on here. `GROUP BY a, b WITH ROLLUP` (or `CUBE`) is rewritten to what it means.
//!
//! Not for: clauses that the planner rejects itself.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, GroupByWithModifier, Join, JoinConstraint, JoinOperator, Query,
    Select, SelectFlavor, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, WildcardAdditionalOptions,
    visit_relations,
};

use super::identifiers::may_be;

/// A problem, if the clause is there.
fn without(is_there: bool, clause: &str) -> ControlFlow<String> {
    match is_there {
        true => ControlFlow::Break(format!("{clause} is not supported")),
        false => ControlFlow::Continue(()),
    }
}

/// Rejects clauses of a whole query.
pub(super) fn check_query(query: &Query) -> ControlFlow<String> {
    let Query {
        with,
        body: _,
        order_by: _,
        limit_clause: _,
        fetch: _,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators: _,
    } = query;
    without(!locks.is_empty(), "FOR UPDATE or FOR SHARE")?;
    without(for_clause.is_some(), "FOR XML, JSON or BROWSE")?;
    without(settings.is_some(), "SETTINGS")?;
    without(format_clause.is_some(), "FORMAT")?;
    let Some(with) = with.as_ref().filter(|with| with.recursive) else { return ControlFlow::Continue(()) };
    with.cte_tables.iter().try_for_each(|table| {
        let Query { body, order_by, limit_clause, fetch, .. } = table.query.as_ref();
        let bounded = order_by.is_some() || limit_clause.is_some() || fetch.is_some();
        let SetExpr::SetOperation { right, .. } = body.as_ref() else { return ControlFlow::Continue(()) };
        let name = &table.alias.name;
        let own = visit_relations(right, |relation| match may_be(relation, name) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        match bounded && own.is_break() {
            true => ControlFlow::Break(format!(
                "ORDER BY and LIMIT in the recursive query {name} are not supported: write them where {name} is read"
            )),
            false => ControlFlow::Continue(()),
        }
    })
}

/// Rejects clauses of one SELECT, and rewrites the modifiers of its groups.
pub(super) fn check_select(select: &mut Select) -> ControlFlow<String> {
    let Select {
        select_token: _,
        // Hints change no answer.
        optimizer_hints: _,
        distinct: _,
        select_modifiers,
        top: _,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views: _,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by: _,
        distribute_by,
        sort_by: _,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    without(select_modifiers.is_some(), "a modifier after SELECT, such as STRAIGHT_JOIN,")?;
    without(exclude.is_some(), "EXCLUDE after the columns")?;
    without(into.is_some(), "SELECT INTO")?;
    without(prewhere.is_some(), "PREWHERE (write WHERE)")?;
    without(!connect_by.is_empty(), "CONNECT BY (write WITH RECURSIVE)")?;
    without(!distribute_by.is_empty(), "DISTRIBUTE BY")?;
    without(value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE")?;
    without(matches!(flavor, SelectFlavor::FromFirstNoSelect), "FROM without SELECT")?;
    for item in projection {
        match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => wildcard(options)?,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } | SelectItem::ExprWithAliases { .. } => {}
        }
    }
    for TableWithJoins { relation: _, joins } in from {
        joins.iter().try_for_each(join)?;
    }
    groups(group_by)
}

fn wildcard(options: &WildcardAdditionalOptions) -> ControlFlow<String> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude: _,
        opt_except: _,
        opt_replace: _,
        opt_rename: _,
        opt_alias: _,
    } = options;
    without(opt_ilike.is_some(), "* ILIKE (name the columns)")
}

fn join(join: &Join) -> ControlFlow<String> {
    let Join { relation: _, global, join_operator } = join;
    without(*global, "GLOBAL JOIN")?;
    match join_operator {
        JoinOperator::CrossJoin(constraint) => {
            without(!matches!(constraint, JoinConstraint::None), "a condition of a CROSS JOIN (write JOIN)")
        }
        _ => ControlFlow::Continue(()),
    }
}

fn groups(group_by: &mut GroupByExpr) -> ControlFlow<String> {
    match group_by {
        GroupByExpr::All(modifiers) => without(!modifiers.is_empty(), "WITH after GROUP BY ALL"),
        GroupByExpr::Expressions(expressions, modifiers) => {
            let mut sets = || std::mem::take(expressions).into_iter().map(|one| vec![one]).collect();
            let of_all = match modifiers.as_slice() {
                [] => return ControlFlow::Continue(()),
                [GroupByWithModifier::Rollup] => Expr::Rollup(sets()),
                [GroupByWithModifier::Cube] => Expr::Cube(sets()),
                [GroupByWithModifier::Totals | GroupByWithModifier::GroupingSets(_), ..] | [_, _, ..] => {
                    return without(true, "WITH TOTALS, and GROUPING SETS after the columns of GROUP BY,");
                }
            };
            *expressions = vec![of_all];
            modifiers.clear();
            ControlFlow::Continue(())
        }
    }
}

/// Rejects clauses of a table.
pub(super) fn check_table(table: &TableFactor) -> ControlFlow<String> {
    let ordinality = |there: bool| without(there, "WITH ORDINALITY");
    let alias = match table {
        TableFactor::Table {
            name,
            alias,
            args: _,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            without(sample.is_some(), "TABLESAMPLE, which would be another sample in every run,")?;
            without(!partitions.is_empty(), &format!("PARTITION after {name}"))?;
            without(version.is_some(), &format!("a version of {name}"))?;
            without(json_path.is_some(), &format!("a path after {name}"))?;
            without(!with_hints.is_empty() || !index_hints.is_empty(), &format!("a hint after {name}"))?;
            ordinality(*with_ordinality)?;
            alias
        }
        TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
            without(sample.is_some(), "TABLESAMPLE, which would be another sample in every run,")?;
            alias
        }
        TableFactor::Function { lateral: _, name: _, args: _, with_ordinality, alias } => {
            ordinality(*with_ordinality)?;
            alias
        }
        TableFactor::UNNEST { alias, array_exprs: _, with_offset, with_offset_alias: _, with_ordinality } => {
            without(*with_offset, "WITH OFFSET")?;
            ordinality(*with_ordinality)?;
            alias
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            table_with_joins.joins.iter().try_for_each(join)?;
            alias
        }
        TableFactor::TableFunction { expr: _, alias } => alias,
        // The planner rejects all others.
        _ => return ControlFlow::Continue(()),
    };
    match alias {
        Some(TableAlias { explicit: _, name: _, columns: _, at }) => without(at.is_some(), "AT after a table's alias"),
        None => ControlFlow::Continue(()),
    }
}

/// Rejects clauses of a call that only aggregates have; `scalars` are the names of all scalar functions.
pub(super) fn check_function(function: &Function, scalars: &HashSet<String>) -> ControlFlow<String> {
    let Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over: _, within_group } =
        function;
    let clause = |there: bool, clause: &str| match there {
        true => ControlFlow::Break(format!("{clause} is not supported in a call of {name}")),
        false => ControlFlow::Continue(()),
    };
    clause(!matches!(parameters, FunctionArguments::None), "a second list of arguments")?;
    if !scalars.contains(&name.to_string().to_lowercase()) {
        return ControlFlow::Continue(());
    }
    clause(filter.is_some(), "FILTER")?;
    clause(null_treatment.is_some(), "IGNORE or RESPECT NULLS")?;
    clause(!within_group.is_empty(), "WITHIN GROUP")?;
    match args {
        FunctionArguments::None | FunctionArguments::Subquery(_) => ControlFlow::Continue(()),
        FunctionArguments::List(list) => {
            clause(list.duplicate_treatment.is_some(), "DISTINCT or ALL")?;
            clause(!list.clauses.is_empty(), "a clause after the arguments")
        }
    }
}
