//! Every job in `jobs/`, run by the command and compared entry by entry with an oracle that shares none of our code:
//! plain loops and maps over the rows of the input files.
//!
//! Rows are added that the sample data lacks: two events of one user in the same microsecond, ages at the edges of the
//! groups, users without a profile or an age.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Date32Array, Int32Array, TimestampMicrosecondArray};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::fixture::{each_row, integers, number, optional, strings, text, write_parquet};
use crate::harness::Workspace;

/// Keys as JSON text, with their values.
type Entries = BTreeMap<String, Value>;

type Oracle = fn(&Path) -> Entries;

const ORACLES: [(&str, Oracle); 6] = [
    ("enriched_events", enriched_events),
    ("views_by_age", views_by_age),
    ("top_pages_per_user", top_pages_per_user),
    ("top_pages", top_pages),
    ("views_of_day", views_of_day),
    ("flights_by_plane", flights_by_plane),
];

const DAY: &str = "2026-10-05";
const DAY_US: i64 = 86_400_000_000;
/// 2026-10-05T00:00:00Z in microseconds.
const DAY_BEGINS: i64 = 20_731 * DAY_US;

#[test]
fn every_job_has_an_oracle() {
    let jobs = crate::harness::names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs"));
    let jobs: BTreeSet<&str> = jobs.iter().filter_map(|name| name.strip_suffix(".toml")).collect();
    assert_eq!(jobs, ORACLES.map(|(name, _)| name).into(), "give a new job an oracle in this file");
}

#[test]
fn enriched_events_match_the_oracle() {
    compare("enriched_events", "");
}

#[test]
fn views_by_age_match_the_oracle() {
    compare("views_by_age", "");
}

#[test]
fn top_pages_per_user_match_the_oracle() {
    compare("top_pages_per_user", "");
}

#[test]
fn top_pages_match_the_oracle() {
    compare("top_pages", "");
}

#[test]
fn views_of_day_match_the_oracle() {
    compare("views_of_day", &format!("--set date={DAY}"));
}

#[test]
fn flights_by_plane_match_the_oracle() {
    compare("flights_by_plane", "");
}

/// Runs a job and compares everything it stored, by scan and by point reads, with its oracle.
fn compare(job: &str, flags: &str) {
    let workspace = Workspace::with_repository();
    if job != "flights_by_plane" {
        workspace.cutover("demo --generate-only --dir data/demo --events 20000 --profiles 500").ok();
        add_edges(&workspace.path("data/demo"));
    }
    let report = workspace.cutover(&format!("run jobs/{job}.toml --json {flags}")).ok().json();
    let (_, oracle) = ORACLES.into_iter().find(|(name, _)| *name == job).unwrap();
    let expected = oracle(&workspace.path("data"));
    assert_eq!(report["rows"], expected.len(), "rows of the report");
    assert_eq!(report["outcome"], "published");

    let store = format!("stores/{job}");
    let mut scanned = Entries::new();
    for mut line in workspace.cutover(&format!("scan {store} --json")).ok().json_lines() {
        let twice = scanned.insert(line["key"].to_string(), line["value"].take());
        assert!(twice.is_none(), "{} is there twice", line["key"]);
    }
    let missing: Vec<_> = expected.keys().filter(|key| !scanned.contains_key(*key)).take(5).collect();
    let surplus: Vec<_> = scanned.keys().filter(|key| !expected.contains_key(*key)).take(5).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:?}\nnot expected: {surplus:?}");
    for (key, value) in &expected {
        assert_eq!(&scanned[key], value, "value of {key}");
    }

    let some: Vec<_> = expected.iter().step_by((expected.len() / 40).max(1)).collect();
    let keys: Vec<String> = some.iter().map(|(key, _)| plain(key)).collect();
    let mut arguments = vec!["get", &store, "--json"];
    arguments.extend(keys.iter().map(String::as_str));
    let got = workspace.cutover_with(&arguments).ok().json();
    for (entry, (key, value)) in got["entries"].as_array().unwrap().iter().zip(some) {
        assert_eq!((&entry["key"].to_string(), &entry["value"]), (key, value));
    }
}

/// A key as typed on the command line: strings without quotes, arrays and numbers as JSON.
fn plain(key: &str) -> String {
    match serde_json::from_str(key).unwrap() {
        Value::String(text) => text,
        _ => key.to_owned(),
    }
}

/// Rows that the sample data does not have.
fn add_edges(demo: &Path) {
    let ages = [Some(-1), Some(0), Some(9), Some(10), Some(89), Some(90), Some(120), None];
    let user = |place: usize| 900_000 + place as i64;
    let countries = ["DE"; 8];
    write_parquet(
        &demo.join("profiles/part-90000.parquet"),
        vec![
            ("user_id", integers((0..8).map(user))),
            ("name", strings(["", "a\"b", "c\\d", "é", "日本", "\u{1F600}", "tab\t", "h"])),
            ("age", Arc::new(Int32Array::from(ages.to_vec()))),
            ("country", strings(countries)),
            ("signup", Arc::new(Date32Array::from(vec![-1, 0, 1, 20_000, 20_700, 20_727, 10, 11]))),
        ],
    );
    // Each user views one page twice, at the same time under two actions; the last user (8) has no profile.
    let ts = [DAY_BEGINS, DAY_BEGINS, DAY_BEGINS + DAY_US - 1, DAY_BEGINS + DAY_US];
    let rows: Vec<(i64, i64, &str, &str)> = (0..9)
        .flat_map(|place| {
            let pages = [("/b", "view"), ("/a", "view"), ("/a", "view"), ("/a", "click")];
            ts.into_iter().zip(pages).map(move |(ts, (url, action))| (user(place), ts, url, action))
        })
        .collect();
    write_parquet(
        &demo.join("events/part-90000.parquet"),
        vec![
            ("user_id", integers(rows.iter().map(|row| row.0))),
            (
                "ts",
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone("UTC"),
                ),
            ),
            ("url", strings(rows.iter().map(|row| row.2))),
            ("action", strings(rows.iter().map(|row| row.3))),
            ("duration_ms", Arc::new(Int32Array::from_iter_values(0..rows.len() as i32))),
        ],
    );
}

struct Profile {
    name: String,
    age: Option<i64>,
    country: String,
    signup: i64,
}

fn profiles(data: &Path) -> BTreeMap<i64, Profile> {
    let mut profiles = BTreeMap::new();
    let columns = ["user_id", "name", "age", "country", "signup"];
    each_row(&data.join("demo/profiles"), columns, |[user, name, age, country, signup]| {
        let profile = Profile { name: text(name), age: optional(age), country: text(country), signup: number(signup) };
        profiles.insert(number(user), profile);
    });
    profiles
}

/// Every view: user, time, page.
fn views(data: &Path, mut take: impl FnMut(i64, i64, String)) {
    let columns = ["user_id", "ts", "url", "action"];
    each_row(&data.join("demo/events"), columns, |[user, ts, url, action]| {
        if text(action) == "view" {
            take(number(user), number(ts), text(url));
        }
    });
}

fn time(microseconds: i64) -> String {
    Timestamp::from_microsecond(microseconds).unwrap().to_string()
}

fn day(days: i64) -> String {
    let epoch = jiff::civil::date(1970, 1, 1);
    let date: Date = epoch.checked_add(jiff::Span::new().days(days)).unwrap();
    date.to_string()
}

fn enriched_events(data: &Path) -> Entries {
    let profiles = profiles(data);
    type Event = (String, String, i64);
    let mut events: BTreeMap<(i64, i64), Vec<Event>> = BTreeMap::new();
    let columns = ["user_id", "ts", "url", "action", "duration_ms"];
    each_row(&data.join("demo/events"), columns, |[user, ts, url, action, duration]| {
        let event = (text(url), text(action), number(duration));
        events.entry((number(user), number(ts))).or_default().push(event);
    });
    let mut entries = Entries::new();
    let mut together = 0;
    for ((user, ts), mut events) in events {
        events.sort();
        let same = |pair: &[(String, String, i64)]| (&pair[0].0, &pair[0].1) == (&pair[1].0, &pair[1].1);
        assert!(!events.windows(2).any(same), "the order of two events of user {user} is open");
        together += usize::from(events.len() > 1);
        let profile = profiles.get(&user);
        for (place, (url, action, duration_ms)) in events.into_iter().enumerate() {
            let value = json!({
                "url": url,
                "action": action,
                "duration_ms": duration_ms,
                "name": profile.map(|profile| &profile.name),
                "age": profile.and_then(|profile| profile.age),
                "country": profile.map(|profile| &profile.country),
                "signup": profile.map(|profile| day(profile.signup)),
            });
            entries.insert(json!([user, time(ts), place]).to_string(), value);
        }
    }
    assert!(together >= 9, "the data has events of one user at the same time");
    entries
}

fn views_by_age(data: &Path) -> Entries {
    let profiles = profiles(data);
    let mut groups: BTreeMap<(String, String), (u64, BTreeSet<i64>)> = BTreeMap::new();
    views(data, |user, _, url| {
        let group = match profiles.get(&user).and_then(|profile| profile.age) {
            None | Some(..0) => "unknown".to_owned(),
            Some(90..) => "90+".to_owned(),
            Some(age) => format!("{0}0-{0}9", age / 10),
        };
        let (views, viewers) = groups.entry((url, group)).or_default();
        *views += 1;
        viewers.insert(user);
    });
    let of_edges: Vec<_> = groups.keys().filter(|(url, _)| url == "/a").map(|(_, group)| group.as_str()).collect();
    assert_eq!(of_edges, ["00-09", "10-19", "80-89", "90+", "unknown"], "the data has every edge");
    let entry = |((url, group), (views, viewers)): ((String, String), (u64, BTreeSet<i64>))| {
        (json!([url, group]).to_string(), json!({"views": views, "viewers": viewers.len()}))
    };
    groups.into_iter().map(entry).collect()
}

/// The `n` rows with most views, ties in the order of their pages.
fn ranked<T>(pages: BTreeMap<String, T>, views: impl Fn(&T) -> u64, n: usize) -> Vec<(String, T)> {
    let mut pages: Vec<(String, T)> = pages.into_iter().collect();
    pages.sort_by_key(|(_, counted)| std::cmp::Reverse(views(counted)));
    pages.truncate(n);
    pages
}

fn top_pages_per_user(data: &Path) -> Entries {
    let mut users: BTreeMap<i64, BTreeMap<String, u64>> = BTreeMap::new();
    views(data, |user, _, url| *users.entry(user).or_default().entry(url).or_default() += 1);
    let mut entries = Entries::new();
    for (user, pages) in users {
        let top = ranked(pages, |views| *views, 10);
        let list: Vec<_> = top.into_iter().map(|(url, views)| json!({"url": url, "views": views})).collect();
        entries.insert(user.to_string(), list.into());
    }
    entries
}

fn top_pages(data: &Path) -> Entries {
    let mut days: BTreeMap<i64, BTreeMap<String, (u64, BTreeSet<i64>)>> = BTreeMap::new();
    views(data, |user, ts, url| {
        let (views, viewers) = days.entry(ts.div_euclid(DAY_US)).or_default().entry(url).or_default();
        *views += 1;
        viewers.insert(user);
    });
    let mut entries = Entries::new();
    for (days, pages) in days {
        let top = ranked(pages, |(views, _)| *views, 5);
        let row = |(url, (views, viewers)): (String, (u64, BTreeSet<i64>))| json!({"url": url, "views": views, "viewers": viewers.len()});
        entries.insert(json!(day(days)).to_string(), top.into_iter().map(row).collect());
    }
    entries
}

fn views_of_day(data: &Path) -> Entries {
    let mut pages: BTreeMap<String, (u64, BTreeSet<i64>)> = BTreeMap::new();
    views(data, |user, ts, url| {
        if (DAY_BEGINS..DAY_BEGINS + DAY_US).contains(&ts) {
            let (views, viewers) = pages.entry(url).or_default();
            *views += 1;
            viewers.insert(user);
        }
    });
    assert_eq!(pages["/a"].0, 18, "the last microsecond of the day is in it, the next is not");
    let entry = |(url, (views, viewers)): (String, (u64, BTreeSet<i64>))| {
        (json!(url).to_string(), json!({"views": views, "viewers": viewers.len()}))
    };
    pages.into_iter().map(entry).collect()
}

fn flights_by_plane(data: &Path) -> Entries {
    let data = data.join("nycflights13");
    let mut planes = BTreeMap::new();
    let columns = ["tailnum", "manufacturer", "model", "year", "seats", "engines", "engine"];
    each_row(&data.join("planes.parquet"), columns, |[tail, maker, model, year, seats, engines, engine]| {
        let facts = json!({
            "manufacturer": text(maker), "model": text(model), "built": optional(year), "seats": number(seats),
            "engines": number(engines), "engine": text(engine),
        });
        planes.insert(text(tail), facts);
    });
    let unknown = json!({
        "manufacturer": null, "model": null, "built": null, "seats": null, "engines": null, "engine": null,
    });

    type Flight = ((i64, String, i64), Value);
    let mut flights: BTreeMap<String, Vec<Flight>> = BTreeMap::new();
    let columns = ["tailnum", "time_hour", "minute", "carrier", "flight", "origin", "dest", "dep_delay", "arr_delay"];
    each_row(
        &data.join("flights.parquet"),
        columns,
        |[tail, hour, minute, carrier, flight, origin, dest, departed, arrived]| {
            if matches!(tail, parquet::record::Field::Null) {
                return;
            }
            let departure = number(hour) + number(minute) * 60_000_000;
            let mut value = planes.get(&text(tail)).unwrap_or(&unknown).clone();
            value["departure"] = json!(time(departure));
            value["carrier"] = json!(text(carrier));
            value["flight"] = json!(number(flight));
            value["origin"] = json!(text(origin));
            value["dest"] = json!(text(dest));
            value["dep_delay"] = json!(optional(departed));
            value["arr_delay"] = json!(optional(arrived));
            flights.entry(text(tail)).or_default().push(((departure, text(carrier), number(flight)), value));
        },
    );
    let mut entries = Entries::new();
    for (tail, mut flown) in flights {
        flown.sort_by(|one, other| one.0.cmp(&other.0));
        assert!(!flown.windows(2).any(|pair| pair[0].0 == pair[1].0), "the order of two flights of {tail} is open");
        entries.insert(json!(tail).to_string(), flown.into_iter().map(|(_, flight)| flight).collect());
    }
    entries
}
