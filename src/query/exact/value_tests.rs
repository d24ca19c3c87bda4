//! Answers to queries over a few rows: type coercion, casts, times, averages and divisions.
//!
//! Not for: rows, nulls and joins (see `tests`).

use super::tests::{MAX, check, refused};

#[test]
fn dates_far_away_are_right_or_refused() {
    let far = "(SELECT CAST(t AS TIMESTAMP) AS t FROM (VALUES ('9999-12-31T01:02:03'), (NULL)) v(t))";
    refused(&format!("SELECT date_bin(INTERVAL '1 month', t) FROM {far}"), &["date_bin", "9999-12-31"]);
    check(&format!("SELECT date_part('year', t) FROM {far}"), &["-", "9999"]);
    refused("SELECT sum(INTERVAL '1 month') FROM (VALUES (1)) v(x)", &["intervals"]);
}

#[test]
fn decimals_have_no_more_digits_than_they_may() {
    let d = "(SELECT CAST('60000000000000000000000000000000000000' AS DECIMAL(38, 0)) AS d)";
    refused(&format!("SELECT d + d FROM {d}"), &["more than 38 digits", "d + "]);
    check(&format!("SELECT d - d FROM {d}"), &["0"]);
}

#[test]
fn long_chains_are_planned_in_time_and_exact() {
    let chain = |operand: &str, operator: &str| vec![operand; 400].join(operator);
    let start = std::time::Instant::now();
    check(&format!("SELECT {} FROM (VALUES (3)) v(x)", chain("x", " + ")), &["1200"]);
    check(&format!("SELECT {} FROM (VALUES (3)) v(x)", chain("x", " - ")), &["-1194"]);
    let d = "(SELECT CAST('0.5' AS DECIMAL(9, 2)) AS d)";
    check(&format!("SELECT {} FROM {d}", chain("d", " + ")), &["200.00"]);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    check("SELECT x - 1 + 2 - x * 3 / 2, (x + 1) * (x - 1) - -x FROM (VALUES (5)) v(x)", &["-1 29"]);
    check("SELECT a FROM (SELECT x + 1 - 2 AS a, x - 1 + 2 AS b FROM (VALUES (5)) v(x)) WHERE a <> b", &["4"]);
    refused(&format!("SELECT x + 1 - 1 FROM (VALUES ({MAX})) v(x)"), &["x + Int64(1) overflows"]);
}

#[test]
fn quotients_and_averages_of_decimals_are_rounded() {
    let values = "(VALUES ('2.00', '3.00'), ('-2.00', '3.00'), ('0.01', '64'), ('-0.03', '64'), (NULL, '1')) t(a, b)";
    let d = format!("(SELECT CAST(a AS DECIMAL(7, 2)) AS a, CAST(b AS DECIMAL(7, 2)) AS b FROM {values})");
    check(&format!("SELECT a / b FROM {d}"), &["-", "-0.000469", "-0.666667", "0.000156", "0.666667"]);
    let constant = "CAST('64' AS DECIMAL(7, 2))";
    check(&format!("SELECT b / {constant} FROM {d} WHERE a = 2"), &["0.046875"]);
    check(&format!("SELECT CAST('0.05' AS DECIMAL(3, 2)) / {constant}"), &["0.000781"]);
    check("SELECT CAST('1' AS DECIMAL(9, 0)) / 32, CAST('-1' AS DECIMAL(9, 0)) / 32", &["0.0313 -0.0313"]);
    check(
        &format!("SELECT sum(a) / sum(b), avg(a), avg(a) FILTER (WHERE a < 0) FROM {d}"),
        &["-0.000148 -0.005000 -1.015000"],
    );
    let thirds = "(SELECT CAST(x AS DECIMAL(3, 0)) AS x FROM (VALUES (1), (1), (0), (-2), (-2), (-1)) t(x))";
    check(&format!("SELECT avg(x) FROM {thirds} WHERE x >= 0"), &["0.6667"]);
    check(&format!("SELECT avg(x) FROM {thirds} WHERE x < 0"), &["-1.6667"]);
    check(&format!("SELECT avg(DISTINCT x) FROM {thirds} WHERE x > -2"), &["0.0000"]);
    refused(&format!("SELECT a / (b - b) FROM {d}"), &["/", "nullif(…, 0)"]);
    let large = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0))";
    refused(&format!("SELECT x / CAST('0.5' AS DECIMAL(38, 0)) FROM (SELECT {large} AS x)"), &["/"]);
    check(&format!("SELECT x / x FROM (SELECT {large} AS x)"), &["1.0000"]);
}

#[test]
fn averages_are_divided_once() {
    let w = format!("(VALUES (1, {MAX}), (2, 3), (3, -{MAX}), (4, {MAX}), (5, -{MAX})) w(k, a)");
    check(
        &format!("SELECT avg(a), avg(DISTINCT a), avg(a) FILTER (WHERE a < 0) FROM {w}"),
        &["0.6 1.0 -9.223372036854776e18"],
    );
    check(
        &format!("SELECT k % 2, avg(a) FROM {w} WHERE k > 1 GROUP BY k % 2"),
        &["0 4.611686018427388e18", "1 -9.223372036854776e18"],
    );
    check("SELECT avg(x) FROM (VALUES (1)) v(x) WHERE x > 1", &["-"]);
    let frames = format!(
        "SELECT k, avg(a) OVER (ORDER BY k ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) \
         FROM (VALUES (1, -{MAX}), (2, NULL), (3, {MAX}), (4, 9)) v(k, a)"
    );
    check(&frames, &["1 -9.223372036854776e18", "2 -9.223372036854776e18", "3 0.0", "4 4.611686018427388e18"]);
    let wide = "99999999999999999999999999999999999999";
    check(&format!("SELECT avg(CAST(x AS DECIMAL(38, 0))) FROM (VALUES ('{wide}'), ('{wide}')) t(x)"), &[wide]);
    check("SELECT avg(CAST(x AS DECIMAL(36, 0))) FROM (VALUES ('1'), ('2')) t(x)", &["1.50"]);
    check("SELECT avg(CAST(x AS DECIMAL(9, 2))) FROM (VALUES ('1'), ('2')) t(x)", &["1.500000"]);
    for of in ["Decimal32(9, 0)", "Decimal64(18, 0)"] {
        check(&format!("SELECT avg(arrow_cast(x, '{of}')) FROM (VALUES (1), (2), (2)) t(x)"), &["1.6667"]);
    }
    let t = "(VALUES (1, 2), (2, 7)) t(g, x)";
    check(
        &format!("SELECT g FROM {t} WHERE x > (SELECT avg(y) FROM (VALUES (1, 3), (2, 4)) u(g, y) WHERE u.g = t.g)"),
        &["2"],
    );
    check(
        &format!("SELECT g, avg(x) FROM {t} GROUP BY ROLLUP (g) HAVING avg(x) < 7 ORDER BY avg(x)"),
        &["- 4.5", "1 2.0"],
    );
    let numbers = "(VALUES (4611686018427387904), (4611686018427387904), (4611686018427387903), (1)) v(x)";
    let durations = format!("(SELECT arrow_cast(x, 'Duration(Microsecond)') AS d FROM {numbers})");
    check(&format!("SELECT CAST(avg(d) AS BIGINT) FROM {durations}"), &["3458764513820540928"]);
}

#[test]
fn values_of_two_types_meet_in_one_that_holds_both() {
    let far =
        "(SELECT CAST(d AS DATE) AS d, CAST(d AS TIMESTAMP) AS t FROM (VALUES ('9999-12-31'), ('0001-03-05')) v(d))";
    check(
        &format!("SELECT d < TIMESTAMP '2020-01-01', t = d, t > '2020-01-01' FROM {far}"),
        &["false true true", "true true false"],
    );
    check(
        &format!("SELECT date_trunc('month', d), coalesce(d, t), CASE WHEN d > t THEN d ELSE t END FROM {far}"),
        &[
            "0001-03-01T00:00:00 0001-03-05T00:00:00 0001-03-05T00:00:00",
            "9999-12-01T00:00:00 9999-12-31T00:00:00 9999-12-31T00:00:00",
        ],
    );
    check(
        &format!("SELECT d FROM {far} UNION ALL SELECT TIMESTAMP '2000-01-01'"),
        &["0001-03-05T00:00:00", "2000-01-01T00:00:00", "9999-12-31T00:00:00"],
    );
    check(&format!("SELECT d FROM {far} WHERE d IN (SELECT TIMESTAMP '9999-12-31')"), &["9999-12-31"]);
    let nanoseconds = "arrow_cast('2020-01-01T00:00:00.000000001', 'Timestamp(Nanosecond, None)')";
    check(
        &format!("SELECT d > {nanoseconds}, date '2020-01-01' < {nanoseconds} FROM {far}"),
        &["false true", "true true"],
    );
    check(
        "SELECT x = y, x < y, coalesce(y, x), x = 1.5, x BETWEEN 1.25 AND 1e300 \
         FROM (SELECT CAST('1.5' AS DECIMAL(10, 2)) AS x, CAST('1e15' AS DOUBLE) AS y)",
        &["false true 1000000000000000.0 true true"],
    );
    check("SELECT CAST('1e-20' AS DOUBLE) UNION ALL SELECT CAST('0.5' AS DECIMAL(3, 1))", &["0.5", "1e-20"]);
    check("SELECT CAST(16777217 AS BIGINT) = CAST(16777216 AS REAL)", &["false"]);
    let wide = "99999999999999999999999999999999999999";
    check(&format!("SELECT CAST('{wide}' AS DECIMAL(38, 0)) > CAST('0.5' AS DECIMAL(38, 10))"), &["true"]);
}

#[test]
fn a_fraction_in_the_sql_does_not_make_doubles_of_decimals() {
    let d = "(SELECT CAST(a AS DECIMAL(7, 2)) AS x, CAST(b AS DECIMAL(7, 2)) AS y \
             FROM (VALUES ('0.30', '0.10'), ('0.10', NULL)) v(a, b))";
    check(
        &format!("SELECT sum(x - coalesce(y, 0.0)), max(CASE WHEN y > 0 THEN y ELSE 0.25 END) FROM {d}"),
        &["0.30 0.25"],
    );
}

#[test]
fn patterns_may_have_any_escape_character() {
    let texts = "(VALUES ('10%'), ('10x'), ('a_b'), ('a!b'), ('a\\b')) v(x)";
    check(&format!("SELECT x FROM {texts} WHERE x LIKE '10!%' ESCAPE '!'"), &["10%"]);
    check(&format!("SELECT x FROM {texts} WHERE x LIKE 'a!!b' ESCAPE '!'"), &["a!b"]);
    check(&format!("SELECT x FROM {texts} WHERE x LIKE '%\\%' ESCAPE '!'"), &["a\\b"]);
    check(
        &format!("SELECT x FROM {texts} WHERE x NOT LIKE '_!__' ESCAPE '!' AND x < 'b' AND x > 'a'"),
        &["a!b", "a\\b"],
    );
}

#[test]
fn frames_of_peers_may_be_ordered_by_binary_values() {
    let bytes = "(SELECT k, arrow_cast(x, 'Binary') AS b FROM (VALUES (1, 'a'), (2, 'b'), (3, 'b')) v(k, x))";
    check(&format!("SELECT k, count(*) OVER (ORDER BY b) FROM {bytes}"), &["1 1", "2 3", "3 3"]);
}

#[test]
fn times_of_every_year_are_cut_and_binned() {
    let far = "(SELECT CAST(t AS TIMESTAMP) AS t FROM (VALUES ('9999-12-31T01:02:03'), ('0001-03-05T10:00:00')) v(t))";
    check(
        &format!("SELECT date_trunc('month', t), date_trunc('week', t), date_bin(INTERVAL '15 minutes', t) FROM {far}"),
        &[
            "0001-03-01T00:00:00 0001-03-05T00:00:00 0001-03-05T10:00:00",
            "9999-12-01T00:00:00 9999-12-27T00:00:00 9999-12-31T01:00:00",
        ],
    );
    check(
        "SELECT date_trunc('quarter', TIMESTAMP '2024-08-31 10:11:12'), date_trunc('week', DATE '1969-12-31')",
        &["2024-07-01T00:00:00 1969-12-29T00:00:00"],
    );
    check(
        "SELECT date_bin(INTERVAL '7 days', TIMESTAMP '2024-01-10', TIMESTAMP '2000-01-01 06:00:00')",
        &["2024-01-06T06:00:00"],
    );
}

#[test]
fn timestamps_with_time_zone_are_instants() {
    check(
        "SELECT CAST(TIMESTAMP '2024-01-01' AS TIMESTAMPTZ), TIMESTAMPTZ '2024-01-01T00:00:00+02:00'",
        &["2024-01-01T00:00:00Z 2023-12-31T22:00:00Z"],
    );
    check(
        "SELECT CAST(TIMESTAMP '2024-01-01' AS TIMESTAMPTZ) AT TIME ZONE 'America/New_York'",
        &["2023-12-31T19:00:00-05:00"],
    );
    check(
        "SELECT CAST(TIMESTAMPTZ '2024-01-01T00:00:00+02:00' AS DATE), now() > TIMESTAMPTZ '2020-01-01T00:00:00Z'",
        &["2023-12-31 true"],
    );
    refused(
        "SELECT t AT TIME ZONE 'Europe/Berlin' FROM (SELECT TIMESTAMP '2024-03-31T02:30:00' AS t)",
        &["t", "2024-03-31"],
    );
}

#[test]
fn casts_name_themselves_where_they_fail() {
    refused("SELECT CAST(x AS BIGINT) FROM (VALUES ('12'), ('abc')) v(x)", &["CAST(", "x AS", "abc"]);
    refused("SELECT CAST(x AS SMALLINT) FROM (VALUES (40000)) v(x)", &["CAST(", "x AS", "40000"]);
    refused(
        "SELECT CAST(x AS TIMESTAMP) FROM (VALUES ('2024-01-01T00:00:00.000000999')) v(x)",
        &["x AS", "finer than microseconds", "TIMESTAMP(9)"],
    );
    check(
        "SELECT CAST(x AS TIMESTAMP(9)), CAST(y AS TIMESTAMP) \
         FROM (VALUES ('2024-01-01T00:00:00.000000999', '2024-01-01T00:00:00.000001000')) v(x, y)",
        &["2024-01-01T00:00:00.000000999 2024-01-01T00:00:00.000001"],
    );
    check("SELECT TRY_CAST(x AS BIGINT) FROM (VALUES ('12'), ('abc')) v(x)", &["-", "12"]);
}

#[test]
fn division_and_shifts_are_exact_or_fail() {
    refused("SELECT x / (x - 1) FROM (VALUES (1), (2)) v(x)", &["x / ", "nullif"]);
    refused("SELECT x % (x - 1) FROM (VALUES (1), (2)) v(x)", &["x % ", "nullif"]);
    refused(&format!("SELECT (-{MAX} - 1) / x FROM (VALUES (-1)) v(x)"), &["/ "]);
    check(
        "SELECT 7 / x, -7 / x, 7 % x, x / 10, CAST('7' AS DECIMAL(3, 1)) / x FROM (VALUES (2), (-2)) v(x)",
        &["-3 3 1 0 -3.50000", "3 -3 1 0 3.50000"],
    );
    check("SELECT x << 3, x >> 1, -x >> 1 FROM (VALUES (5)) v(x)", &["40 2 -3"]);
    for shift in ["x << 64", "x << 63", "x << -1", "x >> 64"] {
        refused(&format!("SELECT {shift} FROM (VALUES (5)) v(x)"), &["x "]);
    }
}

#[test]
fn intervals_keep_their_parts_and_have_no_order() {
    refused("SELECT t + INTERVAL '1 nanosecond' FROM (SELECT TIMESTAMP '2024-01-01' AS t)", &["t + ", "finer"]);
    refused("SELECT d + INTERVAL '1 hour' FROM (SELECT DATE '2024-01-01' AS d)", &["d + ", "finer"]);
    check(
        "SELECT DATE '2024-01-31' + INTERVAL '1 month', DATE '2024-01-01' - INTERVAL '24 hours'",
        &["2024-02-29 2023-12-31"],
    );
    let intervals = "(SELECT INTERVAL '1 month' AS i)";
    for sql in ["SELECT max(i)", "SELECT avg(i)", "SELECT DISTINCT i", "SELECT min(i)"] {
        refused(&format!("{sql} FROM {intervals}"), &["interval"]);
    }
    refused(&format!("SELECT count(*) FROM {intervals} GROUP BY i"), &["interval"]);
    refused(&format!("SELECT i FROM {intervals} ORDER BY i"), &["interval"]);
}

#[test]
fn the_column_of_using_is_that_of_the_side_with_a_row() {
    let (l, r) = ("(VALUES (1, 10), (3, 30)) l(k, a)", "(VALUES (1, 100), (2, 200)) r(k, b)");
    check(&format!("SELECT k, a, b FROM {l} RIGHT JOIN {r} USING (k)"), &["1 10 100", "2 - 200"]);
    check(&format!("SELECT k, a, b FROM {l} FULL JOIN {r} USING (k) WHERE k > 1"), &["2 - 200", "3 30 -"]);
    check(
        &format!("SELECT k + 1, count(*) FROM {l} FULL JOIN {r} USING (K) GROUP BY k ORDER BY k"),
        &["2 1", "3 1", "4 1"],
    );
    let third = "(VALUES (2, 7), (4, 8)) s(k, c)";
    check(&format!("SELECT k, c FROM {l} FULL JOIN {r} USING (k) LEFT JOIN {third} USING (k)"), &["1 -", "2 7", "3 -"]);
    check(&format!("SELECT k, a, b FROM {l} JOIN {r} USING (k) WHERE k > 0"), &["1 10 100"]);
    check(&format!("SELECT * FROM {l} LEFT JOIN {r} USING (k) WHERE k > 0 ORDER BY k"), &["1 10 100", "3 30 -"]);
    refused(&format!("SELECT * FROM {l} FULL JOIN {r} USING (k)"), &["SELECT *"]);
    refused(&format!("SELECT a FROM {l} NATURAL FULL JOIN {r}"), &["NATURAL"]);
    refused(
        &format!("SELECT a FROM {l} FULL JOIN {r} USING (k) WHERE EXISTS (SELECT 1 FROM {l} WHERE k = 1)"),
        &["subquery"],
    );
}

#[test]
fn timestamps_are_compared_in_the_finer_unit() {
    let m = "(SELECT arrow_cast('2024-01-01T00:00:00', 'Timestamp(Millisecond, None)') AS ts)";
    for (condition, holds) in [
        (">= TIMESTAMP '2024-01-01T00:00:00.0001'", false),
        ("< TIMESTAMP '2024-01-01T00:00:00.0000001'", true),
        ("= TIMESTAMP '2024-01-01T00:00:00.000000999'", false),
        ("IN (TIMESTAMP '2024-01-01T00:00:00.0000001')", false),
        ("BETWEEN TIMESTAMP '2024-01-01T00:00:00.0000001' AND TIMESTAMP '2025-01-01'", false),
        ("= TIMESTAMP '2024-01-01T00:00:00'", true),
    ] {
        let expected: &[&str] = if holds { &["1"] } else { &[] };
        check(&format!("SELECT 1 FROM {m} WHERE ts {condition}"), expected);
    }
    refused("SELECT INTERVAL '1 month' > i FROM (VALUES (INTERVAL '30 days')) v(i)", &["intervals"]);
}
