//! Faults of a new day's data: rows lost, columns swapped, keys and values in another format. The result of a job that
//! joins and folds hides all of them; the measures of its inputs show them.
//!
//! Each day is tested twice: as the newest of three that a job reads, and alone.

use std::fmt::Write as _;

use arrow::array::ArrayRef;

use crate::fixture::{integers, strings, write_parquet};
use crate::harness::Workspace;
use crate::random::Random;

const USERS: usize = 600;
const ITEMS: usize = 300;
const ROWS: usize = 9_000;

/// How a day differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    Good,
    HalfOfTheRows,
    HalfOfTheUsers,
    ColumnsSwapped,
    ItemsInAnotherFormat,
    ActionsInCapitals,
    UsersAsText,
}

/// One event.
struct Event {
    user: i64,
    item: String,
    action: &'static str,
}

fn events(day: u64) -> Vec<Event> {
    let mut random = Random::new(day);
    let mut event = |_| {
        let (one, other) = (random.below(ITEMS), random.below(ITEMS));
        let action = match random.below(20) {
            0 => "purchase",
            1..=3 => "cart",
            4..=6 => "like",
            _ => "view",
        };
        Event { user: random.below(USERS) as i64, item: format!("item-{:05}", one.min(other)), action }
    };
    (0..ROWS).map(&mut event).collect()
}

/// Writes the events of a day of November 2026.
fn write_day(workspace: &Workspace, day: u64, kind: Day) {
    let mut events = events(day);
    let mut random = Random::new(1000 + day);
    match kind {
        Day::HalfOfTheRows => events.retain(|_| random.once_in(2)),
        Day::HalfOfTheUsers => events.retain(|event| event.user % 2 == 0),
        _ => {}
    }
    let mut items: Vec<String> = events.iter().map(|event| event.item.clone()).collect();
    let mut actions: Vec<String> = events.iter().map(|event| event.action.to_owned()).collect();
    match kind {
        Day::ColumnsSwapped => std::mem::swap(&mut items, &mut actions),
        Day::ItemsInAnotherFormat => items.iter_mut().for_each(|item| *item = item.to_uppercase().replace('-', "_")),
        Day::ActionsInCapitals => actions.iter_mut().for_each(|action| action.make_ascii_uppercase()),
        _ => {}
    }
    let users: Vec<i64> = events.iter().map(|event| event.user).collect();
    let users: ArrayRef = match kind {
        Day::UsersAsText => {
            let users: Vec<String> = users.iter().map(i64::to_string).collect();
            strings(users.iter().map(String::as_str))
        }
        _ => integers(users),
    };
    let columns = vec![
        ("user_id", users),
        ("item_id", strings(items.iter().map(String::as_str))),
        ("action", strings(actions.iter().map(String::as_str))),
    ];
    write_parquet(&workspace.path(format!("data/events/date=2026-11-{day}/part-0.parquet")), columns);
}

/// The job, with this `[inputs.events]`: the ten best items of each user.
fn job(events: &str) -> String {
    format!(
        r#"
version = 1
dataset = "top_items"
store = "store"

[inputs.events]
{events}

[inputs.profiles]
path = "data/profiles.csv"

[inputs.items]
path = "data/items.csv"

[query]
sql = """
SELECT e.user_id, e.item_id, p.country, i.category,
       sum(CASE e.action WHEN 'purchase' THEN 5 WHEN 'cart' THEN 3 WHEN 'like' THEN 2 ELSE 1 END) AS score
FROM events e JOIN profiles p ON e.user_id = p.user_id JOIN items i ON e.item_id = i.item_id
GROUP BY e.user_id, e.item_id, p.country, i.category
"""

[output]
key = ["user_id"]
order_by = ["score desc", "item_id"]
duplicates = {{ top = 10 }}

[checks]
rows = {{ min = 1, max_change = 0.2 }}
not_null = ["item_id", "country", "score"]
"#
    )
}

const THREE_DAYS: &str = "path = \"data/events/\"\npartitions = { date = \"${date}-2..${date}\" }";
const ONE_DAY: &str = "path = \"data/events/date=${date}/\"";

/// A workspace with good days up to the 25th, of which a version is published.
fn published(events: &str) -> Workspace {
    let workspace = Workspace::new();
    (23..=25).for_each(|day| write_day(&workspace, day, Day::Good));
    let mut random = Random::new(7);
    let mut profiles = "user_id,country\n".to_owned();
    (0..USERS).for_each(|user| writeln!(profiles, "{user},{}", ["de", "at", "ch", "nl"][random.below(4)]).unwrap());
    workspace.write("data/profiles.csv", profiles);
    let mut items = "item_id,category\n".to_owned();
    (0..ITEMS).for_each(|item| writeln!(items, "item-{item:05},c{}", random.below(9)).unwrap());
    workspace.write("data/items.csv", items);
    workspace.write("job.toml", job(events));
    workspace.cutover("run job.toml --set date=2026-11-25").ok().prints(&["version 1 is live"]);
    workspace
}

/// Runs the 26th with this kind of data: the exit code, and all output.
fn next_day(events: &str, kind: Day) -> (i32, String) {
    let workspace = published(events);
    write_day(&workspace, 26, kind);
    let run = workspace.cutover("run job.toml --set date=2026-11-26");
    (run.code(), format!("{}\n{}", run.stdout, run.stderr))
}

/// Each kind with the expected messages, in both windows.
#[test]
fn every_bad_day_is_stopped_or_warned_of() {
    for (kind, said) in [
        (Day::HalfOfTheRows, "rows"),
        (Day::HalfOfTheUsers, "rows"),
        (Day::ColumnsSwapped, "item_id pattern"),
        (Day::ItemsInAnotherFormat, "item_id pattern"),
        (Day::ActionsInCapitals, "action pattern"),
        (Day::UsersAsText, "user_id"),
    ] {
        for events in [THREE_DAYS, ONE_DAY] {
            let (code, text) = next_day(events, kind);
            let warned = text.lines().any(|line| line.starts_with("warning: change: ") && line.contains(said));
            let stopped = [3, 7].contains(&code) && text.contains(said);
            assert!(warned || stopped, "{kind:?} with {events}: exit {code}\n{text}");
            // Another format is always wrong.
            let surely = !matches!(kind, Day::HalfOfTheRows | Day::HalfOfTheUsers);
            assert!(!surely || stopped, "{kind:?} with {events}: exit {code}\n{text}");
        }
    }
}

#[test]
fn a_good_day_passes_without_a_warning() {
    for events in [THREE_DAYS, ONE_DAY] {
        let (code, text) = next_day(events, Day::Good);
        assert_eq!(code, 0, "{events}\n{text}");
        assert!(text.contains("version 2 is live") && !text.contains("warning: change"), "{events}\n{text}");
        assert!(text.contains("moved    "), "the measures that moved most are reported\n{text}");
    }
}

#[test]
fn a_bad_first_day_is_found_by_comparing_with_the_days_before() {
    let workspace = published(THREE_DAYS);
    write_day(&workspace, 26, Day::ActionsInCapitals);
    workspace.write("job.toml", job(THREE_DAYS).replace("\"store\"", "\"another\""));
    let first = workspace.cutover("run job.toml --set date=2026-11-26").ok();
    first.prints(&["version 1 is live", "warning: change: events/date=2026-11-26 action pattern"]);
}

#[test]
fn bounds_of_the_job_apply() {
    let workspace = published(THREE_DAYS);
    write_day(&workspace, 26, Day::ActionsInCapitals);
    let run = |change: &str| {
        workspace.write("job.toml", format!("{}{change}", job(THREE_DAYS)));
        workspace.cutover("run job.toml --set date=2026-11-26 --rebuild")
    };
    let off = "change = { for = { \"events.action\" = { pattern = false, overlap = false, values = false } } }\n";
    let quiet = run(off).ok();
    assert!(!quiet.stdout.contains("action pattern: expected"), "{}", quiet.stdout);
    run("change = { for = { \"events.actions\" = { pattern = false } } }\n").fails(2).complains(&[
        "job.toml:",
        "\"events.actions\" is neither an input",
        "events.action",
    ]);
    run("change = { patern = false }\n").fails(2).complains(&["unknown key \"patern\"", "did you mean \"pattern\"?"]);
    run("change = { rows = { warn = 0.5, stop = 0.1 } }\n").fails(2).complains(&["warn (0.5) is above stop (0.1)"]);
}

/// Enough rows that some are left out of the sketches.
#[test]
fn a_profile_does_not_depend_on_threads_or_memory() {
    let workspace = Workspace::new();
    let mut random = Random::new(11);
    for day in 1..=3 {
        let ids: Vec<i64> = (0..150_000).map(|_| random.below(40_000) as i64).collect();
        let names: Vec<String> = ids.iter().map(|id| format!("n-{}", id % 5_000)).collect();
        let numbers: Vec<i64> = (0..150_000).map(|_| random.below(1_000_000) as i64).collect();
        let columns = vec![
            ("id", integers(ids)),
            ("name", strings(names.iter().map(String::as_str))),
            ("kind", strings(numbers.iter().map(|number| if number % 7 == 0 { "a" } else { "b" }))),
            ("number", integers(numbers)),
        ];
        write_parquet(&workspace.path(format!("data/rows/date=2026-11-0{day}/part-0.parquet")), columns);
    }
    let profile = |number: usize, flags: &str| {
        let job = format!(
            "version = 1\ndataset = \"rows\"\nstore = \"store-{number}\"\n[inputs.rows]\npath = \"data/rows/\"\n[query]\n\
             sql = \"SELECT id, name, kind, number FROM rows WHERE number % 3 = 0\"\n[output]\nkey = [\"id\"]\n\
             order_by = [\"number\", \"name\", \"kind\"]\nduplicates = \"number\"\n"
        );
        workspace.write("job.toml", job);
        workspace.cutover(&format!("run job.toml {flags}")).ok();
        let manifest = workspace.path(format!("store-{number}/versions/00000001/manifest.json"));
        let text = std::fs::read_to_string(manifest).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let profile = manifest["profile"].clone();
        assert!(profile.to_string().len() < 100_000, "a profile is small");
        profile
    };
    let one = profile(1, "--threads 1");
    assert_eq!(one["inputs"][0]["read"], 450_000);
    assert_eq!(one["inputs"][0]["tables"][2]["one_in"], 16);
    assert_eq!(one["inputs"][0]["partitions"][2], serde_json::json!(["date=2026-11-03", 150_000]));
    for (number, flags) in [(2, "--threads 4"), (3, "--threads 2 --memory 128MiB"), (4, "--threads 3 --memory 1GiB")] {
        assert_eq!(profile(number, flags), one, "{flags}");
    }
}
