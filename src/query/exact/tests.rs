//! Answers to queries over a few rows, by the SQL standard.

use arrow::util::display::array_value_to_string;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

/// The rows of a query, each as its values separated by spaces, sorted; or the error message.
fn answer(sql: &str) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = SessionConfig::new().with_target_partitions(2).with_batch_size(2);
        let state = SessionStateBuilder::new().with_config(config).with_default_features();
        let context = SessionContext::new_with_state(super::settings(state).build());
        super::register(&context);
        let batches = async {
            let state = context.state();
            let mut statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect)?;
            super::check_syntax(&mut statement, state.scalar_functions().keys().cloned().collect())?;
            let plan = state.statement_to_plan(statement).await?;
            context.execute_logical_plan(plan).await?.collect().await
        };
        let batches = batches.await.map_err(|error| error.strip_backtrace())?;
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let value = |column: &arrow::array::ArrayRef| match column.is_null(row) {
                    true => "-".to_owned(),
                    false => array_value_to_string(column, row).unwrap(),
                };
                rows.push(batch.columns().iter().map(value).collect::<Vec<_>>().join(" "));
            }
        }
        rows.sort();
        Ok(rows)
    })
}

pub(super) fn check(sql: &str, expected: &[&str]) {
    assert_eq!(
        answer(sql).as_deref(),
        Ok(expected.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>().as_slice()),
        "{sql}"
    );
}

pub(super) fn refused(sql: &str, words: &[&str]) {
    let error = answer(sql).expect_err(sql);
    assert!(words.iter().all(|word| error.contains(word)), "{sql}: {error}");
}

pub(super) const MAX: &str = "9223372036854775807";

#[test]
fn sums_are_exact_or_fail() {
    refused(&format!("SELECT sum(x) FROM (VALUES ({MAX}), (1)) t(x)"), &["sum", "overflows Int64"]);
    check(&format!("SELECT sum(x) FROM (VALUES ({MAX}), (1), (-5)) t(x)"), &["9223372036854775803"]);
    refused(&format!("SELECT g, sum(x) FROM (VALUES (1, {MAX}), (1, 1), (2, 3)) t(g, x) GROUP BY g"), &["overflows"]);
    check("SELECT g, sum(x) FROM (VALUES (1, 4), (1, 1), (2, NULL)) t(g, x) GROUP BY g", &["1 5", "2 -"]);
    check("SELECT sum(DISTINCT x), sum(DISTINCT y) FROM (VALUES (4, 1), (4, 2)) t(x, y)", &["4 3"]);
    check(
        "SELECT x, sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1), (2), (4)) t(x)",
        &["1 1", "2 3", "4 6"],
    );
    refused(&format!("SELECT sum(x) OVER (ORDER BY x) FROM (VALUES ({MAX}), (1)) t(x)"), &["overflows"]);
    let wide = "99999999999999999999999999999999999999";
    refused(
        &format!("SELECT sum(CAST(x AS DECIMAL(38, 0))) FROM (VALUES ('{wide}'), ('{wide}')) t(x)"),
        &["overflows Decimal128(38, 0)"],
    );
    check("SELECT sum(CAST(x AS DECIMAL(38, 1))) FROM (VALUES ('1.5'), ('2.5')) t(x)", &["4.0"]);
    check("SELECT sum(CAST(x AS DECIMAL(5, 1))) FROM (VALUES ('1.5'), ('2.5')) t(x)", &["4.0"]);
    check("SELECT sum(x) FROM (VALUES (1.5), (2.5)) t(x)", &["4.0"]);
}

#[test]
fn arithmetic_of_integers_is_exact_or_fails() {
    for expression in ["x + 1", "x - (-1)", "x * 2", "-x - 2"] {
        refused(&format!("SELECT {expression} FROM (VALUES ({MAX})) t(x)"), &["overflows Int64", "t.x"]);
    }
    refused("SELECT -CAST(x AS TINYINT) FROM (VALUES (-128)) t(x)", &["overflows Int8"]);
    refused(&format!("SELECT {MAX} + 1"), &["overflows"]);
    check("SELECT x + 1, x - 1, x * 2, -x, x + NULL FROM (VALUES (3)) t(x)", &["4 2 6 -3 -"]);
    check("SELECT a.x FROM (VALUES (3)) a(x) JOIN (VALUES (2)) b(x) ON a.x = b.x + 1 WHERE a.x * 2 > 5", &["3"]);
    check("SELECT x + 1, count(*) FROM (VALUES (3), (3)) t(x) GROUP BY x + 1 ORDER BY x + 1", &["4 2"]);
    check("SELECT x + 1.5, CAST('2026-01-31' AS DATE) + INTERVAL '1 day' FROM (VALUES (3)) t(x)", &["4.5 2026-02-01"]);
}

#[test]
fn expressions_that_cannot_overflow_are_unchanged() {
    let plan = |expression: &str| {
        let sql = format!("EXPLAIN FORMAT INDENT SELECT {expression} FROM (VALUES (3)) t(x)");
        answer(&sql).unwrap().join(" ")
    };
    for (expression, checked) in [
        ("x / 10 * 10", false),
        ("x % 100 + 5", false),
        ("CAST(CAST(x AS INT) AS BIGINT) * 1000 - 7", false),
        ("x / 2 * 3", true),
        ("x * 1", false),
        ("x / x + 1", true),
    ] {
        assert_eq!(plan(expression).contains("checked_"), checked, "{expression}: {}", plan(expression));
    }
}

#[test]
fn there_is_one_zero_and_one_nan() {
    let floats = "(SELECT -x AS x FROM (VALUES (0.0), (-0.0), (1.5)) t(x))";
    check(&format!("SELECT x, count(*) FROM {floats} GROUP BY x"), &["-1.5 1", "0.0 2"]);
    check(&format!("SELECT count(DISTINCT x), count(*) FILTER (WHERE x = 0) FROM {floats}"), &["2 2"]);
    check(&format!("SELECT count(*) FROM {floats} a JOIN {floats} b ON a.x = b.x"), &["5"]);
    check(&format!("SELECT x, rank() OVER (ORDER BY x DESC) FROM {floats}"), &["-1.5 3", "0.0 1", "0.0 1"]);
    let nans = "(SELECT CAST(x AS DOUBLE) AS x FROM (VALUES ('NaN'), ('-NaN'), ('inf')) t(x))";
    check(&format!("SELECT x - x, count(*) FROM {nans} GROUP BY x - x"), &["NaN 3"]);
    check(
        &format!("SELECT x, count(*) FROM (SELECT x FROM {nans} UNION ALL SELECT sum(x) FROM {nans}) GROUP BY x"),
        &["NaN 3", "inf 1"],
    );
    check(
        "SELECT count(*) FROM (SELECT avg(x) AS x FROM (VALUES (1.0, 1), (2.0, 2)) t(x, g) GROUP BY g) WHERE x > 1.5",
        &["1"],
    );
}

#[test]
fn nan_is_the_greatest_float() {
    let rows = "(VALUES (1, 'NaN'), (1, 'inf'), (1, '-2'), (2, '1'), (2, '-0.5')) t(g, x)";
    let rows = format!("(SELECT g, CAST(x AS DOUBLE) AS x FROM {rows})");
    check(&format!("SELECT g, max(x), min(x) FROM {rows} GROUP BY g"), &["1 NaN -2.0", "2 1.0 -0.5"]);
    check(&format!("SELECT max(x), min(x) FROM {rows}"), &["NaN -2.0"]);
    check(&format!("SELECT max(CAST(x AS REAL)) FROM {rows} WHERE g = 2"), &["1.0"]);
    check(
        &format!(
            "SELECT x, max(x) OVER (PARTITION BY g ORDER BY x ROWS UNBOUNDED PRECEDING) AS m FROM {rows} WHERE g = 1"
        ),
        &["-2.0 -2.0", "NaN NaN", "inf inf"],
    );
}

#[test]
fn equal_nulls_are_those_that_were_asked_for() {
    let t = "(VALUES (1, 1, 1), (2, 1, NULL)) t(id, x, y)";
    let pairs = format!("SELECT a.id, b.id FROM {t} a JOIN {t} b ON a.x IS NOT DISTINCT FROM b.x");
    let pairs = pairs.replace("t(id, x, y) a", "a(id, x, y)").replace("t(id, x, y) b", "b(id, x, y)");
    check(&format!("{pairs} WHERE a.y = b.y"), &["1 1"]);
    check(&pairs, &["1 1", "1 2", "2 1", "2 2"]);
    let nulls =
        "SELECT a.x, b.x FROM (VALUES (1), (NULL)) a(x) JOIN (VALUES (NULL), (0)) b(x) ON a.x IS NOT DISTINCT FROM b.x";
    check(nulls, &["- -"]);
}

#[test]
fn in_and_not_in_know_three_values() {
    let t = "(VALUES (1, 10), (2, 20), (NULL, 30)) t(x, z)";
    for (rows, value, negated) in [
        ("(VALUES (1), (5))", ["1 true", "2 false", "- -"], &["2"][..]),
        ("(VALUES (1), (NULL))", ["1 true", "2 -", "- -"], &[]),
        ("(SELECT 1 WHERE false)", ["1 false", "2 false", "- false"], &["1", "2", "-"]),
    ] {
        let q = format!("(SELECT v FROM {rows} q(v))");
        let mut expected: Vec<&str> = negated.to_vec();
        expected.sort_unstable();
        check(&format!("SELECT x FROM {t} WHERE x NOT IN {q}"), &expected);
        check(&format!("SELECT x FROM {t} WHERE NOT (x IN {q})"), &expected);
        let is = |word: &str| {
            let mut rows: Vec<&str> =
                value.iter().filter(|row| row.ends_with(word)).filter_map(|row| row.split(' ').next()).collect();
            rows.sort_unstable();
            rows
        };
        check(&format!("SELECT x FROM {t} WHERE x IN {q}"), &is(" true"));
        check(&format!("SELECT x FROM {t} WHERE (x IN {q}) IS NULL"), &is(" -"));
        check(&format!("SELECT x FROM {t} WHERE (x IN {q}) IS FALSE OR z = 99"), &is(" false"));
        check(&format!("SELECT x FROM {t} WHERE (x NOT IN {q}) IS NULL"), &is(" -"));
    }
    let correlated = "(SELECT u.v FROM (VALUES (10, 1), (20, NULL), (20, 7)) u(z, v) WHERE u.z = t.z)";
    check(&format!("SELECT z FROM {t} WHERE x NOT IN {correlated}"), &["30"]);
    check(&format!("SELECT z FROM {t} WHERE 7 NOT IN {correlated}"), &["10", "30"]);
    check(&format!("SELECT z FROM {t} WHERE x NOT IN {correlated} OR z = 10"), &["10", "30"]);
    check(&format!("SELECT z FROM {t} WHERE x <> ALL {correlated}"), &["30"]);
    let same = "WITH t AS (SELECT * FROM (VALUES (1, 10), (2, 20), (NULL, 30)) t(x, z))";
    check(&format!("{same} SELECT z FROM t WHERE x IN (SELECT x FROM t WHERE z = 20) OR z = 30"), &["20", "30"]);
    check(&format!("{same} SELECT z FROM t WHERE x NOT IN (SELECT x FROM t WHERE z = 20)"), &["10"]);
}

#[test]
fn multisets_count_rows() {
    let five = "(VALUES (0), (1), (1), (1), (NULL), (NULL)) a(x)";
    let two = "(VALUES (1), (1), (NULL), (3)) b(x)";
    let set = |operation: &str| format!("SELECT x FROM {five} {operation} SELECT x FROM {two}");
    check(&set("EXCEPT ALL"), &["-", "0", "1"]);
    check(&set("INTERSECT ALL"), &["-", "1", "1"]);
    check(&set("EXCEPT"), &["0"]);
    check(&set("INTERSECT"), &["-", "1"]);
    check("SELECT x, x AS y FROM (VALUES (1), (1)) a(x) EXCEPT ALL SELECT 1, 1", &["1 1"]);
    check("SELECT DISTINCT x FROM (VALUES (1), (1)) a(x) EXCEPT ALL SELECT 2", &["1"]);
    let typed = |operation: &str| {
        format!("SELECT CAST(x AS INT) FROM (VALUES (1), (1), (2)) a(x) {operation} SELECT CAST(1 AS DOUBLE)")
    };
    check(&typed("EXCEPT ALL"), &["1.0", "2.0"]);
    check(&typed("EXCEPT"), &["2.0"]);
    check(&typed("INTERSECT ALL"), &["1.0"]);
    let days = "SELECT DATE '2024-01-01' EXCEPT ALL SELECT TIMESTAMP '2024-01-02 00:00:00'";
    check(days, &["2024-01-01T00:00:00"]);
}

#[test]
fn conditions_without_columns_are_not_moved() {
    let counted = "(SELECT count(*) AS x FROM (VALUES (1)) t(y)) s";
    check(&format!("SELECT x FROM {counted} WHERE x >= 0 AND CAST(9 AS BIGINT) < CAST(NULL AS BIGINT)"), &[]);
    check(&format!("SELECT x FROM {counted} WHERE -3 >= (SELECT count(*) FROM (VALUES (1)) u(y))"), &[]);
    check(&format!("SELECT x FROM {counted} WHERE x NOT IN (SELECT y FROM (VALUES (NULL), (7)) u(y))"), &[]);
    check(&format!("SELECT x FROM {counted} WHERE x NOT IN (SELECT y FROM (VALUES (7)) u(y))"), &["1"]);
    check(&format!("SELECT g FROM (SELECT -1 AS g, x FROM {counted} GROUP BY 1, 2) WHERE g > 5"), &[]);
    check(&format!("SELECT x FROM {counted} WHERE 3 >= (SELECT count(*) FROM (VALUES (1)) u(y))"), &["1"]);
}

#[test]
fn scalar_subqueries_of_every_row_are_joins() {
    let t = "(VALUES (1, 2), (1, 5), (2, 7)) t(g, x)";
    let u = "(VALUES (1, 3), (1, 4)) u(g, y)";
    check(&format!("SELECT g, x FROM {t} WHERE x > (SELECT avg(y) FROM {u} WHERE u.g = t.g)"), &["1 5"]);
    check(&format!("SELECT g, (SELECT count(*) FROM {u} WHERE u.g = t.g) FROM {t}"), &["1 2", "1 2", "2 0"]);
    check(&format!("SELECT g, x FROM {t} WHERE x = (SELECT max(x) FROM {t})"), &["2 7"]);
}

#[test]
fn groups_of_rollup_are_sorted_even_if_they_are_constant() {
    let rows = "(SELECT 5 AS g, x AS h FROM (VALUES (1), (2)) t(x)) s";
    let sql = format!("SELECT g, count(*) AS n FROM {rows} GROUP BY ROLLUP (g) ORDER BY g NULLS LAST LIMIT 1");
    check(&sql, &["5 2"]);
    check(
        &format!("SELECT g, h, count(*), grouping(g) FROM {rows} GROUP BY ROLLUP (g, h)"),
        &["- - 2 1", "5 - 2 0", "5 1 1 0", "5 2 1 0"],
    );
}

/// Both sides have a column of the name that the filter uses from each.
#[test]
fn conditions_after_a_join_see_their_own_side() {
    let t = "(VALUES (1, 1)) t(id, x)";
    let u = "(VALUES (10, 1, NULL, 'a'), (11, 2, NULL, 'b'), (12, 3, 3, 'c')) u(id, x, k, g)";
    let condition = "((t.id <> u.id AND u.x < 3) OR (u.k IS NULL AND u.g = 'b'))";
    for (join, expected) in
        [("INNER", &["10 1"][..]), ("LEFT", &["10 1"]), ("RIGHT", &["10 1", "11 -"]), ("FULL", &["10 1", "11 -"])]
    {
        check(&format!("SELECT u.id, t.id FROM {t} {join} JOIN {u} ON t.x = u.x WHERE {condition}"), expected);
    }
}

#[test]
fn constant_groups_of_no_rows_are_no_rows() {
    check("SELECT g, count(*) FROM (SELECT 5 AS g FROM (VALUES (1)) t(x) WHERE x > 1) GROUP BY g", &[]);
    check("SELECT g, count(*) FROM (SELECT 5 AS g FROM (VALUES (1)) t(x)) GROUP BY g", &["5 1"]);
}

#[test]
fn an_order_may_name_a_column_twice() {
    let t = "(VALUES (1, 2), (1, 3), (2, 9)) t(a, b)";
    check(&format!("SELECT DISTINCT ON (a) a, b FROM {t} ORDER BY a, b, b DESC"), &["1 2", "2 9"]);
    check(&format!("SELECT a, array_agg(b ORDER BY b DESC, b) FROM {t} GROUP BY a"), &["1 [3, 2]", "2 [9]"]);
}

#[test]
fn any_and_all_know_three_values() {
    let f = "WITH f AS (SELECT * FROM (VALUES (1), (2), (3), (4)) f(k))";
    check(&format!("{f} SELECT k FROM f WHERE k = ANY(SELECT k FROM f WHERE k = 3)"), &["3"]);
    check(&format!("{f} SELECT k FROM f WHERE k >= ALL(SELECT k FROM f WHERE k < 4)"), &["3", "4"]);
    check(&format!("{f} SELECT k FROM f WHERE (k > ANY(SELECT nullif(k, 4) FROM f)) IS NULL"), &["1"]);
    check(&format!("{f} SELECT k FROM f WHERE k > ALL(SELECT nullif(k, 4) FROM f)"), &[]);
    check(&format!("{f} SELECT k FROM f WHERE k > ALL(SELECT k FROM f WHERE k > 9)"), &["1", "2", "3", "4"]);
}

#[test]
fn sliding_frames_forget_rows_that_left_them() {
    let f = "(VALUES (1, '1e16'), (2, '1'), (3, '1'), (4, 'NaN'), (5, '2'), (6, '3'), (7, NULL), (8, NULL)) v(k, x)";
    let f = format!("(SELECT k, CAST(x AS DOUBLE) AS f FROM {f})");
    for (function, expected) in [
        ("sum", ["1 1e16", "2 1e16", "3 2.0", "4 NaN", "5 NaN", "6 5.0", "7 3.0", "8 -"]),
        ("avg", ["1 1e16", "2 5000000000000000.0", "3 1.0", "4 NaN", "5 NaN", "6 2.5", "7 3.0", "8 -"]),
    ] {
        let over = "OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
        check(&format!("SELECT k, {function}(f) {over} FROM {f}"), &expected);
    }
    let over = "OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
    let rows = "(VALUES (1, '1e16'), (2, '1'), (3, '1'), (4, 'NaN'), (5, '2'), (6, '4')) v(k, x)";
    let rows = format!("(SELECT k, CAST(x AS DOUBLE) AS f FROM {rows})");
    let last =
        |function: &str| format!("SELECT * FROM (SELECT k, {function} {over} AS x FROM {rows}) WHERE k IN (3, 6)");
    check(&last("var_pop(f)"), &["3 0.0", "6 1.0"]);
    check(&last("stddev_pop(f)"), &["3 0.0", "6 1.0"]);
    check(&last("covar_pop(f, f)"), &["3 0.0", "6 1.0"]);
}

#[test]
fn a_subquery_with_a_row_of_its_own_is_a_value() {
    let t = "(VALUES (1, 1, 5), (2, 11, NULL)) t(k, g, x)";
    let aggregate = "(SELECT max(b.x) FROM (VALUES (11, 5)) b(g, x) WHERE b.g = t.g + 10)";
    for (condition, expected) in [
        ("EXISTS", &["1", "2"][..]),
        ("NOT EXISTS", &[]),
        ("x IN", &["1"]),
        ("x NOT IN", &[]),
        ("5 NOT IN", &[]),
        ("x >= ALL", &["1"]),
        ("x < ANY", &[]),
    ] {
        check(&format!("SELECT k FROM {t} WHERE {condition} {aggregate}"), expected);
    }
    let counted = aggregate.replace("max(b.x)", "count(*)");
    check(&format!("SELECT k FROM {t} WHERE 0 IN {counted}"), &["2"]);
    check(&format!("SELECT k FROM {t} WHERE 0 <> ALL {counted}"), &["1"]);
    let having = aggregate.replace("t.g + 10)", "t.g + 10 HAVING count(*) > 0)");
    refused(&format!("SELECT k FROM {t} WHERE EXISTS {having}"), &["without GROUP BY"]);
}

#[test]
fn exists_and_in_are_values_too() {
    let t = "(VALUES (1, 1, 5), (2, 2, NULL), (3, 3, 7)) t(k, g, x)";
    let rows =
        |column: &str| format!("(SELECT {column} FROM (VALUES (1, 5), (3, 8), (3, NULL)) u(g, x) WHERE u.g = t.g)");
    check(&format!("SELECT k, EXISTS {} FROM {t}", rows("1")), &["1 true", "2 false", "3 true"]);
    check(
        &format!("SELECT k, CASE WHEN NOT EXISTS {} THEN 'no' ELSE 'yes' END FROM {t}", rows("1")),
        &["1 yes", "2 no", "3 yes"],
    );
    check(&format!("SELECT k, x IN {} FROM {t}", rows("x")), &["1 true", "2 false", "3 -"]);
}

const ROWS: &str = "(VALUES (1, 'a', 10), (2, 'a', 20), (3, 'b', 5), (4, 'b', 7)) AS t(k, g, x)";

#[test]
fn a_window_extends_a_named_one() {
    let expected = &["1 10", "2 30", "3 5", "4 12"];
    for window in [
        "OVER (w ROWS UNBOUNDED PRECEDING) AS s FROM {} WINDOW w AS (PARTITION BY g ORDER BY k)",
        "OVER (w) AS s FROM {} WINDOW w AS (PARTITION BY g ORDER BY k)",
        "OVER (W ORDER BY k) AS s FROM {} WINDOW w AS (PARTITION BY g)",
        "OVER v AS s FROM {} WINDOW w AS (PARTITION BY g), v AS (w ORDER BY k)",
        "OVER (v ROWS UNBOUNDED PRECEDING) AS s FROM {} WINDOW w AS (PARTITION BY g), v AS (w ORDER BY k)",
    ] {
        check(&format!("SELECT k, sum(x) {}", window.replace("{}", ROWS)), expected);
    }
    let inner = format!("SELECT k, (SELECT max(x) FROM {ROWS} WHERE k = 1) + sum(x) OVER (w) AS s FROM {ROWS}");
    check(&format!("{inner} WINDOW w AS (PARTITION BY g ORDER BY k)"), &["1 20", "2 40", "3 15", "4 22"]);
    for (window, said) in [
        ("OVER (w PARTITION BY k) FROM {} WINDOW w AS (ORDER BY k)", "PARTITION BY cannot be added"),
        ("OVER (w ORDER BY x) FROM {} WINDOW w AS (ORDER BY k)", "has an ORDER BY already"),
        ("OVER (w) FROM {} WINDOW w AS (ORDER BY k ROWS 1 PRECEDING)", "has a frame"),
        ("OVER (v) FROM {} WINDOW w AS (ORDER BY k)", "window v is not defined"),
    ] {
        refused(&format!("SELECT sum(x) {}", window.replace("{}", ROWS)), &[said]);
    }
}

#[test]
fn clauses_that_would_be_ignored_are_refused() {
    for (sql, said) in [
        ("SELECT k FROM t PREWHERE x > 9", "PREWHERE"),
        ("SELECT k FROM t START WITH k = 1 CONNECT BY PRIOR k = x", "CONNECT BY"),
        ("SELECT count(*) FROM t TABLESAMPLE (1 ROWS)", "TABLESAMPLE"),
        ("SELECT k FROM t TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
        ("SELECT * ILIKE 'k%' FROM t", "ILIKE"),
        ("SELECT g FROM t GROUP BY g WITH TOTALS", "TOTALS"),
        ("SELECT k FROM t FOR UPDATE", "FOR UPDATE"),
        ("SELECT k FROM t FOR SHARE", "FOR SHARE"),
        ("SELECT k FROM t SETTINGS a = 1", "SETTINGS"),
        ("SELECT lower(DISTINCT g) FROM t", "DISTINCT"),
        ("SELECT lower(g) FILTER (WHERE x > 9) FROM t", "FILTER"),
        ("SELECT lower(g) IGNORE NULLS FROM t", "NULLS"),
        ("SELECT concat(g, x ORDER BY x) FROM t", "a clause after the arguments"),
        ("SELECT lower(g) WITHIN GROUP (ORDER BY x) FROM t", "WITHIN GROUP"),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5 LIMIT 3) SELECT n FROM r",
            "LIMIT",
        ),
    ] {
        let table = format!("FROM {ROWS}");
        refused(&sql.replace("FROM t", &table.replace(" AS t(", " AS u(")), &[said]);
    }
    let groups = format!("SELECT g, sum(x) FROM {ROWS} GROUP BY g WITH");
    check(&format!("{groups} ROLLUP"), &["- 42", "a 30", "b 12"]);
    check(&format!("{groups} CUBE"), &["- 42", "a 30", "b 12"]);
    let all = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r LIMIT 9";
    check(all, &["1", "2", "3"]);
}

#[test]
fn random_values_that_are_read_twice_are_refused() {
    let twice = "SELECT a.v = b.v FROM r AS a JOIN r AS b ON a.k = b.k";
    for with in [
        format!("WITH r AS (SELECT k, random() AS v FROM {ROWS}) {twice}"),
        format!("WITH q AS (SELECT k, uuid() AS v FROM {ROWS}), r AS (SELECT * FROM q) {twice}"),
    ] {
        refused(&with, &["read more than once"]);
    }
    let once = format!("WITH r AS (SELECT k, random() AS v FROM {ROWS}) SELECT k FROM r WHERE v < 2");
    check(&once, &["1", "2", "3", "4"]);
    check(&format!("WITH r AS (SELECT k, x AS v FROM {ROWS}) {twice}"), &["true", "true", "true", "true"]);
}

/// Two lists of one expression were combined as if it could not be null.
#[test]
fn lists_of_one_expression_know_nulls() {
    let rows = "(VALUES (1), (2), (NULL)) t(x)";
    let where_ = |condition: &str, expected: &[&str]| {
        check(&format!("SELECT coalesce(x, 0) FROM {rows} WHERE {condition}"), expected);
        check(&format!("SELECT coalesce(x, 0) FROM {rows} WHERE NOT (NOT ({condition}))"), expected);
        check(
            &format!("SELECT coalesce(x, 0) FROM {rows} WHERE CASE WHEN {condition} THEN 1 ELSE 0 END = 1"),
            expected,
        );
    };
    where_("x IN (1, 3) AND x IN (1, 4)", &["1"]);
    where_("x IN (1) AND x IN (2)", &[]);
    where_("NOT (x IN (1) AND x IN (2))", &["1", "2"]);
    where_("x NOT IN (1) OR x NOT IN (2)", &["1", "2"]);
    where_("x IN (1, 2) AND x NOT IN (3, NULL)", &[]);
    where_("x NOT IN (1, NULL) OR x NOT IN (2)", &["1"]);
    where_("(x IN (1) AND x NOT IN (1)) IS NULL", &["0"]);
    where_("x IN (1, 2) AND x NOT IN (2, 3)", &["1"]);
    check(
        &format!(
            "SELECT x, x IN (1) AND x IN (2), x NOT IN (1) OR x NOT IN (2), x IN (1) AND x NOT IN (1) FROM {rows}"
        ),
        &["- - - -", "1 false true false", "2 false true false"],
    );
    check(&format!("SELECT y FROM (SELECT x AS y, x IN (1) AS p FROM {rows}) WHERE (p AND y IN (2)) IS NULL"), &["-"]);
    check(
        &format!("SELECT array_has([x, 1], 2), array_has([1, NULL], x), array_has([1, 2], x) FROM {rows}"),
        &["false - -", "false true true", "true false true"],
    );
}

#[test]
fn a_correlated_count_of_no_rows_is_zero() {
    let counts = ["count(*)", "count(y)", "count(DISTINCT y)", "regr_count(y, y)", "approx_distinct(y)"];
    for count in counts {
        check(
            &format!(
                "SELECT x, (SELECT {count} FROM (VALUES (1, 5)) u(x, y) WHERE u.x = t.x) FROM (VALUES (1), (2)) t(x)"
            ),
            &["1 1", "2 0"],
        );
    }
}
