//! Joins of every type whose sides do not fit into memory: one key and several, null keys, one key with half of the
//! rows of a side. Each is run by the command and compared row by row with nested maps over the same rows.
//!
//! A side is larger than the query's share of the memory, and every result consists of the wide columns of both sides
//! or depends on them, so that no strategy can prune them. Which strategy is used is not checked.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::harness::Workspace;
use crate::wide_rows::{self, FILLER, Row, Side};

/// 82 MB on each side.
const ROWS: i64 = 40_960;
const FLAGS: &str = "--memory 128MiB --threads 2";
const ENOUGH: &str = "--memory 2GiB --threads 2";

/// The join condition in SQL, and a row's key, `None` if it can match nothing.
type Key = fn(&Row) -> Option<(i64, &'static str)>;
const KEYS: [(&str, Key); 4] = [
    ("l.one = r.one", |row| Some((row.one?, ""))),
    ("l.one = r.one AND l.two = r.two", |row| Some((row.one?, row.two?))),
    ("l.hot = r.hot", |row| Some((row.hot, ""))),
    ("l.cold = r.cold", |row| Some((row.cold, ""))),
];

/// Rows of a result by the ids of the rows they come from; -1 where there is none.
type Joined = BTreeMap<(i64, i64), String>;

/// The rows that a join returns in addition to matching pairs.
struct Kept {
    pairs: bool,
    unmatched: &'static [Side],
}

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    wide_rows::write(&workspace.path(""), ROWS);
    workspace
}

/// Runs a query and reads back what it stored.
#[track_caller]
fn run(workspace: &Workspace, sql: &str, flags: &str) -> Joined {
    write_job(workspace, sql);
    run_job(workspace, flags)
}

#[track_caller]
fn run_job(workspace: &Workspace, flags: &str) -> Joined {
    let _ = std::fs::remove_dir_all(workspace.path("store"));
    let report = workspace.cutover(&format!("run joined.toml --json {flags}")).ok().json();
    let lines = workspace.cutover("scan store --json").ok().json_lines();
    assert_eq!(report["rows"], lines.len());
    let entry = |line: &serde_json::Value| {
        let id = |place: usize| line["key"][place].as_i64().unwrap();
        ((id(0), id(1)), line["value"]["labels"].as_str().unwrap().to_owned())
    };
    lines.iter().map(entry).collect()
}

fn write_job(workspace: &Workspace, sql: &str) {
    let job = format!(
        "version = 1\ndataset = \"joined\"\nstore = \"store\"\n\n[inputs.left_rows]\npath = \"left.parquet\"\n\n\
         [inputs.right_rows]\npath = \"right.parquet\"\n\n[query]\nsql = \"\"\"{sql}\"\"\"\n\n\
         [output]\nkey = [\"l\", \"r\"]\n\n[checks]\nrows = {{ min = 0 }}\n"
    );
    workspace.write("joined.toml", job);
}

#[track_caller]
fn compare(found: &Joined, expected: &Joined, what: &str) {
    let missing: Vec<_> = expected.iter().filter(|(ids, _)| !found.contains_key(ids)).take(5).collect();
    let surplus: Vec<_> = found.iter().filter(|(ids, _)| !expected.contains_key(ids)).take(5).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{what}: missing {missing:?}, not expected {surplus:?}");
    let different = expected.iter().find(|(ids, text)| found[ids] != **text);
    assert!(different.is_none(), "{what}: {different:?} is {:?}", different.map(|(ids, _)| &found[ids]));
}

/// The same with maps from keys to rows.
fn expected(key: Key, kept: &Kept) -> Joined {
    let [left, right] = [Side::Left, Side::Right].map(|side| wide_rows::rows(side, ROWS));
    let by_key = |rows: &[Row]| {
        let mut map: HashMap<_, Vec<i64>> = HashMap::new();
        for row in rows {
            key(row).into_iter().for_each(|key| map.entry(key).or_default().push(row.id));
        }
        map
    };
    let (of_left, of_right) = (by_key(&left), by_key(&right));
    let label = |side, id| if id < 0 { "-".to_owned() } else { wide_rows::label(side, id) };
    let mut joined = Joined::new();
    let mut add = |(l, r)| {
        joined.insert((l, r), format!("{}|{}", label(Side::Left, l), label(Side::Right, r)));
    };
    if kept.pairs {
        for row in &left {
            let matches = key(row).and_then(|key| of_right.get(&key));
            matches.into_iter().flatten().for_each(|r| add((row.id, *r)));
        }
    }
    for side in kept.unmatched {
        let (rows, others) = if *side == Side::Left { (&left, &of_right) } else { (&right, &of_left) };
        for row in rows.iter().filter(|row| key(row).is_none_or(|key| !others.contains_key(&key))) {
            add(if *side == Side::Left { (row.id, -1) } else { (-1, row.id) });
        }
    }
    joined
}

/// A join of this type on every key.
#[track_caller]
fn check(join: &str, kept: &Kept) {
    let workspace = workspace();
    for (on, key) in KEYS {
        let sql = format!(
            "SELECT coalesce(l.id, -1) AS l, coalesce(r.id, -1) AS r, \
             replace(concat(coalesce(l.payload, '-'), '|', coalesce(r.payload, '-')), repeat('x', {FILLER}), '') AS labels \
             FROM left_rows l {join} JOIN right_rows r ON {on}"
        );
        compare(&run(&workspace, &sql, FLAGS), &expected(key, kept), &format!("{join} join on {on}"));
    }
}

/// Rows of the left side that match, or those that do not; the condition needs the wide column of both sides.
#[track_caller]
fn check_exists(exists: &str, matching: bool) {
    let workspace = workspace();
    for (on, key) in KEYS {
        let sql = format!(
            "SELECT l.id AS l, -1 AS r, replace(l.payload, repeat('x', {FILLER}), '') || '|-' AS labels \
             FROM left_rows l WHERE {exists} (SELECT 1 FROM right_rows r WHERE {on} AND r.payload <> l.payload)"
        );
        let unmatched = expected(key, &Kept { pairs: false, unmatched: &[Side::Left] });
        let expected = match matching {
            false => unmatched,
            true => {
                let all = (0..ROWS).map(|id| ((id, -1), format!("{}|-", wide_rows::label(Side::Left, id))));
                all.filter(|(ids, _)| !unmatched.contains_key(ids)).collect()
            }
        };
        assert!(!expected.is_empty());
        compare(&run(&workspace, &sql, FLAGS), &expected, &format!("{exists} on {on}"));
    }
}

#[test]
fn inner_joins_beyond_memory() {
    check("INNER", &Kept { pairs: true, unmatched: &[] });
}

#[test]
fn left_joins_beyond_memory() {
    check("LEFT", &Kept { pairs: true, unmatched: &[Side::Left] });
}

#[test]
fn right_joins_beyond_memory() {
    check("RIGHT", &Kept { pairs: true, unmatched: &[Side::Right] });
}

#[test]
fn full_joins_beyond_memory() {
    check("FULL", &Kept { pairs: true, unmatched: &[Side::Left, Side::Right] });
}

#[test]
fn semi_joins_beyond_memory() {
    check_exists("EXISTS", true);
}

#[test]
fn anti_joins_beyond_memory() {
    check_exists("NOT EXISTS", false);
}

/// `NOT IN` is no plain anti join: a null among the right side's values leaves no row, and one on the left is not kept.
#[test]
fn not_in_beyond_memory() {
    let workspace = workspace();
    let sql = |condition: &str| {
        format!(
            "SELECT l.id AS l, -1 AS r, replace(l.payload, repeat('x', {FILLER}), '') || '|-' AS labels \
             FROM left_rows l WHERE l.one NOT IN (SELECT r.one FROM right_rows r WHERE {condition})"
        )
    };
    let [left, right] = [Side::Left, Side::Right].map(|side| wide_rows::rows(side, ROWS));
    let values: HashSet<i64> = right.iter().filter_map(|row| row.one).collect();
    let outside = left.iter().filter(|row| row.one.is_some_and(|one| !values.contains(&one)));
    let expected = outside.map(|row| ((row.id, -1), format!("{}|-", wide_rows::label(Side::Left, row.id)))).collect();
    for flags in [FLAGS, ENOUGH] {
        compare(&run(&workspace, &sql("r.id >= 0"), flags), &Joined::new(), "NOT IN with a null");
        compare(&run(&workspace, &sql("r.one IS NOT NULL"), flags), &expected, "NOT IN without a null");
    }
}

/// Whether a join finishes must not depend on thread scheduling: it is repeated on a busy machine.
#[test]
fn joins_finish_on_a_busy_machine() {
    let workspace = workspace();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        (0..4).for_each(|_| drop(scope.spawn(busy)));
        let runs = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (on, key) = KEYS[1];
            let expected = expected(key, &Kept { pairs: true, unmatched: &[Side::Right] });
            let sql = format!(
                "SELECT coalesce(l.id, -1) AS l, coalesce(r.id, -1) AS r, \
                 replace(concat(coalesce(l.payload, '-'), '|', coalesce(r.payload, '-')), repeat('x', {FILLER}), '') \
                 AS labels FROM left_rows l RIGHT JOIN right_rows r ON {on}"
            );
            for round in 0..2 {
                for threads in [1, 2, 4] {
                    let flags = format!("--memory 128MiB --threads {threads}");
                    compare(&run(&workspace, &sql, &flags), &expected, &format!("round {round}, {flags}"));
                }
            }
        }));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        runs.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// A string that is computed from a number on one side is null if that side has no row, and computed once for each of
/// its rows if that side is the smaller one.
#[test]
fn strings_of_one_side_are_the_same_before_and_after_a_join() {
    let workspace = Workspace::new();
    let (few, many) = (500, 4_000);
    for (directory, count) in [("few", few), ("many", many)] {
        std::fs::create_dir(workspace.path(directory)).unwrap();
        wide_rows::write(&workspace.path(directory), count);
    }
    let [smaller, larger] = [few, many].map(|count| wide_rows::rows(Side::Left, count));
    for (left, right) in [("few", "many"), ("many", "few")] {
        for join in ["INNER", "LEFT", "RIGHT", "FULL"] {
            let sql = format!(
                "SELECT coalesce(l.id, -1) AS l, coalesce(r.id, -1) AS r, \
                 concat(coalesce(CAST(l.id % 7 - 3 AS VARCHAR), '-'), '|', coalesce(CAST(r.id * r.one AS VARCHAR), '-'), \
                 '|', CAST(l.id + r.id AS VARCHAR)) AS labels FROM left_rows l {join} JOIN right_rows r ON l.id = 2 * r.one"
            );
            write_job(&workspace, &sql);
            let job = std::fs::read_to_string(workspace.path("joined.toml")).unwrap();
            let job = job.replace("\"left.parquet\"", &format!("\"{left}/left.parquet\""));
            workspace.write("joined.toml", job.replace("\"right.parquet\"", &format!("\"{right}/left.parquet\"")));
            let [left_rows, right_rows] = if left == "few" { [&smaller, &larger] } else { [&larger, &smaller] };
            let text = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
            let mut expected = Joined::new();
            let mut add = |l: Option<&Row>, r: Option<&Row>| {
                let (left_id, right_id) = (l.map(|row| row.id), r.map(|row| row.id));
                let product = r.and_then(|row| Some(row.id * row.one?));
                let sum = left_id.zip(right_id).map_or(String::new(), |(l, r)| (l + r).to_string());
                let label = format!("{}|{}|{sum}", text(left_id.map(|id| id % 7 - 3)), text(product));
                expected.insert((left_id.unwrap_or(-1), right_id.unwrap_or(-1)), label);
            };
            let mut matched = HashSet::new();
            for r in right_rows {
                let l = r.one.and_then(|one| left_rows.get(2 * one as usize));
                matched.extend(l.map(|row| row.id));
                if l.is_some() || ["RIGHT", "FULL"].contains(&join) {
                    add(l, Some(r));
                }
            }
            if ["LEFT", "FULL"].contains(&join) {
                left_rows.iter().filter(|row| !matched.contains(&row.id)).for_each(|row| add(Some(row), None));
            }
            compare(&run_job(&workspace, ENOUGH), &expected, &format!("{left} {join} {right}"));
        }
    }
}

/// Sides of many files, as the files of a scan were once read by two streams that each got a part of them.
#[test]
fn joins_without_equality_are_right_or_refused_if_a_side_does_not_fit() {
    use crate::fixture::{integers, strings, write_parquet};
    let workspace = Workspace::new();
    for side in ["a", "b"] {
        for file in 0..30 {
            let ids = file * 50..(file + 1) * 50;
            let pads: Vec<String> = ids.clone().map(|id| format!("{id:048000}")).collect();
            let pads = strings(pads.iter().map(String::as_str));
            let path = workspace.path(format!("{side}/{file:02}.parquet"));
            write_parquet(&path, vec![("x", integers(ids)), ("pad", pads)]);
        }
    }
    // Rows 0 to 491 of a side have no match.
    let pairs: i64 = (0..1500).map(|x| (x - 491).max(0)).sum();
    for (join, rows) in [
        ("a JOIN b ON a.x + b.x > 1990", pairs),
        ("a LEFT JOIN b ON a.x + b.x > 1990", pairs + 492),
        ("a RIGHT JOIN b ON a.x + b.x > 1990", pairs + 492),
        ("a FULL JOIN b ON a.x + b.x > 1990", pairs + 2 * 492),
    ] {
        let text = "coalesce(sum(length(a.pad)), 0) + coalesce(sum(length(b.pad)), 0)";
        let job = format!(
            "version = 1\ndataset = \"d\"\nstore = \"store\"\n[inputs.a]\npath = \"a/\"\n[inputs.b]\npath = \"b/\"\n[query]\n\
             sql = \"SELECT 1 AS k, count(*) AS n, {text} AS bytes FROM {join}\"\n[output]\nkey = [\"k\"]\n"
        );
        workspace.write("job.toml", job);
        for threads in [1, 2] {
            for memory in ["128MiB", "2GiB"] {
                let _ = std::fs::remove_dir_all(workspace.path("store"));
                let ran = workspace.cutover(&format!("run job.toml --memory {memory} --threads {threads}"));
                let ended = ran.exits_with(if memory == "128MiB" { &[0, 4] } else { &[0] });
                if ended.stdout.is_empty() {
                    ended.complains(&["raise --memory"]);
                    continue;
                }
                let entry = workspace.cutover("get store 1").ok();
                let entry: serde_json::Value = serde_json::from_str(&entry.stdout).unwrap();
                assert_eq!(entry["n"], rows, "{join}, {memory}, {threads} threads");
            }
        }
    }
}
