//! Good nights that look unusual in a careless comparison: days built again, values that are new every day,
//! the same rows in other files. None of them is refused.
//!
//! Not for: faults of a day's data (`bad_days`).

use std::fmt::Write as _;

use crate::fixture::{integers, strings, write_parquet};
use crate::harness::{Run, Workspace};
use crate::random::Random;

const ROWS: usize = 4_000;

/// Orders with numbers that never come back, from files whose names are new every day.
fn write_orders(workspace: &Workspace, day: u64, rows: usize) {
    let mut random = Random::new(day);
    let mut text = "order_id,source,amount\n".to_owned();
    for row in 0..rows {
        let order = (day << 40) | (random.below(1 << 30) as u64) << 8;
        let source = ["a", "b", "c", "d"][row % 4];
        writeln!(text, "{order:016x}{row:06x},export-2026-11-{day:02}-{source}.csv,{}", random.below(900)).unwrap();
    }
    workspace.write(&format!("data/orders/date=2026-11-{day:02}/orders.csv"), text);
}

fn orders(input: &str) -> Workspace {
    let workspace = Workspace::new();
    let job = format!(
        r#"
version = 1
dataset = "orders"
store = "store"
as_of = "${{date}}"

[inputs.orders]
{input}

[query]
sql = "SELECT order_id, source, amount FROM orders"

[output]
key = ["order_id"]
"#
    );
    workspace.write("job.toml", job);
    workspace
}

fn night(workspace: &Workspace, day: u64, flags: &str) -> Run {
    workspace.cutover(&format!("run job.toml --set date=2026-11-{day:02} {flags}"))
}

#[test]
fn a_rebuilt_day_does_not_change_the_bounds_of_the_next() {
    for input in
        ["path = \"data/orders/date=${date}/\"", "path = \"data/orders/\"\npartitions = { date = \"${date}\" }"]
    {
        let workspace = orders(input);
        (19..=22).for_each(|day| write_orders(&workspace, day, ROWS));
        night(&workspace, 19, "").ok();
        night(&workspace, 20, "").ok();
        // The first thing ever compared with the same day is that day itself, and once more with late rows.
        night(&workspace, 20, "--rebuild").ok().prints(&["version 3 is live"]);
        write_orders(&workspace, 20, ROWS + 20);
        night(&workspace, 20, "").ok().prints(&["version 4 is live"]);
        night(&workspace, 21, "").ok().prints(&["version 5 is live"]);
        night(&workspace, 22, "").ok().prints(&["version 6 is live"]);
    }
}

#[test]
fn a_store_whose_first_day_was_rebuilt_accepts_the_next() {
    let workspace = orders("path = \"data/orders/date=${date}/\"");
    (20..=22).for_each(|day| write_orders(&workspace, day, ROWS));
    night(&workspace, 20, "").ok();
    night(&workspace, 20, "--rebuild").ok();
    night(&workspace, 21, "").ok().prints(&["version 3 is live"]);
    night(&workspace, 22, "").ok().prints(&["version 4 is live"]);
}

#[test]
fn values_that_used_to_recur_stop_a_publish_once_that_is_known() {
    let workspace = orders("path = \"data/orders/date=${date}/\"");
    let write = |day: u64, kinds: [&str; 5]| {
        let mut text = "order_id,source,amount\n".to_owned();
        for row in 0..ROWS {
            writeln!(text, "{:08x},{},{}", day as usize * ROWS + row, kinds[row % 5], row % 90).unwrap();
        }
        workspace.write(&format!("data/orders/date=2026-11-{day:02}/orders.csv"), text);
    };
    let usual = ["shop", "mail", "tele", "fair", "user"];
    (19..=21).for_each(|day| write(day, usual));
    for day in 19..=21 {
        night(&workspace, day, "").ok();
    }
    // Other words of the same pattern.
    write(22, ["pohs", "liam", "elet", "riaf", "resu"]);
    night(&workspace, 22, "").fails(7).complains(&["source overlap"]);
}

#[test]
fn the_same_rows_in_other_files_are_the_same_rows() {
    let workspace = Workspace::new();
    let part = |name: String, days: std::ops::Range<i64>| {
        let rows = days.flat_map(|day| (0..2_000).map(move |row| (day, row)));
        let days = integers(rows.clone().map(|(day, _)| day));
        let numbers = integers(rows.clone().map(|(day, row)| day * 10_000 + row));
        let texts: Vec<String> = rows.map(|(day, row)| format!("k{day}-{row}")).collect();
        let texts = strings(texts.iter().map(String::as_str));
        write_parquet(&workspace.path(format!("data/{name}.parquet")), vec![("d", days), ("i", numbers), ("k", texts)]);
    };
    (0..20).for_each(|day| part(format!("day-{day:02}"), day..day + 1));
    workspace.write(
        "job.toml",
        r#"
version = 1
dataset = "one_day"
store = "store"

[inputs.e]
path = "data/"

[query]
sql = "SELECT i, max(k) AS k, count(*) AS rows FROM e WHERE d = 7 GROUP BY i"

[output]
key = ["i"]
"#,
    );
    let first = workspace.cutover("run job.toml --json").ok().json();
    std::fs::remove_dir_all(workspace.path("data")).unwrap();
    part("all".to_owned(), 0..20);
    let second = workspace.cutover("run job.toml --json").ok();
    assert_eq!(second.json()["digest"], first["digest"]);
    let text = format!("{}{}", second.stdout, second.stderr);
    assert!(!text.contains("\"warned\""), "{text}");
}
