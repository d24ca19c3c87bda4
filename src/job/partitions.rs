//! `partitions = { date = "${date}-2..${date}" }`: the partitions of an input that are read, and must exist.
//!
//! | written | means |
//! |---|---|
//! | `"de"`, `7` | this value |
//! | `"2026-11-24..2026-11-26"`, `"2026-10..2026-12"`, `"1..24"`, `"00..23"` | every day, month or number, inclusive |
//! | `"${date}-2..${date}"` | the same, from two days (months, numbers) before the parameter |
//! | `["de", "at", "1..3"]` | all of these |
//!
//! Several columns mean every combination of their values. Other partition columns may have any value.
//!
//! Not for: listing partitions (`input`).

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::params::Params;
use super::toml_section::Item;

/// Most partitions that a job can name.
const MAX: usize = 10_000;

/// The partitions of an input that are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitions {
    /// Partition columns, each with its allowed values.
    columns: Vec<(String, Vec<String>)>,
    /// Line of the job file, for messages.
    pub line: usize,
}

impl Partitions {
    /// The partition columns that are named.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// Every partition: `date=2026-11-26/country=de`.
    pub fn all(&self) -> impl Iterator<Item = String> {
        let all: usize = self.columns.iter().map(|(_, values)| values.len()).product();
        (0..all).map(|number| {
            let mut rest = number;
            let mut parts = Vec::new();
            for (name, values) in self.columns.iter().rev() {
                parts.push(format!("{name}={}", values[rest % values.len()]));
                rest /= values.len();
            }
            parts.reverse();
            parts.join("/")
        })
    }

    /// The named partition that a file with these partition columns and values belongs to, if any.
    pub fn matching(&self, columns: &[String], values: &[Option<String>]) -> Option<String> {
        let part = |(name, wanted): &(String, Vec<String>)| {
            let own = values.get(columns.iter().position(|column| column == name)?)?.as_ref()?;
            Some(format!("{name}={}", named(wanted, own)?))
        };
        self.columns.iter().map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join("/"))
    }

    /// Whether files with this value of a column can belong to one of the partitions; null is none of them.
    pub fn allow(&self, column: &str, value: Option<&str>) -> bool {
        let known = self.columns.iter().find(|(name, _)| name == column);
        known.is_none_or(|(_, wanted)| value.is_some_and(|value| named(wanted, value).is_some()))
    }
}

/// The one of some values that is meant by a directory's.
fn named<'w>(wanted: &'w [String], own: &str) -> Option<&'w String> {
    let same = |wanted: &&String| *wanted == own || number(wanted).is_some_and(|wanted| number(own) == Some(wanted));
    wanted.iter().find(same)
}

/// Reads `partitions`.
pub(super) fn read(item: &Item<'_>, params: &Params<'_>) -> Option<Partitions> {
    let section = item.map("partitions")?;
    let mut columns = Vec::new();
    let mut good = true;
    for (name, item) in section.items() {
        match values(&item, params) {
            Some(values) => columns.push((name.to_owned(), values)),
            None => good = false,
        }
    }
    if columns.is_empty() && good {
        item.problem("names no partition: write { date = \"${date}\" } or { date = \"${date}-2..${date}\" }");
    }
    let all = columns.iter().map(|(_, values)| values.len()).fold(1_usize, usize::saturating_mul);
    if all > MAX {
        item.problem(format!("names {all} partitions; the maximum is {MAX}"));
    }
    (good && !columns.is_empty() && all <= MAX).then(|| Partitions { columns, line: item.line() })
}

fn values(item: &Item<'_>, params: &Params<'_>) -> Option<Vec<String>> {
    let mut values = Vec::new();
    if item.is_list() {
        for element in item.list("values")? {
            values.extend(one(&element, params)?);
        }
    } else {
        values = one(item, params)?;
    }
    if values.is_empty() {
        item.problem("names no value");
    }
    let mut seen = std::collections::BTreeSet::new();
    values.retain(|value| seen.insert(value.clone()));
    (!values.is_empty()).then_some(values)
}

/// A value or a range of values.
fn one(item: &Item<'_>, params: &Params<'_>) -> Option<Vec<String>> {
    if item.is_integer() {
        return item.integer(0..=i64::MAX as u64).map(|number| vec![number.to_string()]);
    }
    let text = item.text()?;
    let Some((first, last)) = text.split_once("..") else {
        let value = end(item, text, params)?;
        if looks_like_a_date(&value) && date(&value).is_none() {
            let given = params.given_in(text);
            let given = if given.is_empty() { String::new() } else { format!(" with {}", given.join(" ")) };
            item.problem(format!("cannot be {text:?}{given}: {value:?} is not a date"));
            return None;
        }
        return Some(vec![value]);
    };
    let (first, last) = (end(item, first, params)?, end(item, last.trim_start_matches('='), params)?);
    let values = range(&first, &last);
    if values.is_none() {
        item.problem(format!(
            "has the range {first:?} to {last:?}: both ends must be dates (2026-11-26 or 20261126), months (2026-11) \
             or whole numbers, the smaller first, at most {MAX} values"
        ));
    }
    values
}

/// A value in which `${k}` is filled in; `${k}-2` is two days, months or numbers before it.
fn end(item: &Item<'_>, text: &str, params: &Params<'_>) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        item.problem("has an empty value");
        return None;
    }
    let close = text.find('}').filter(|_| text.starts_with("${"));
    let shift = close.and_then(|close| shift(&text[close + 1..]));
    let Some((close, by)) = close.zip(shift) else { return params.fill(item, text) };
    let filled = params.fill(item, &text[..=close])?;
    match shifted(&filled, by) {
        Some(value) => Some(value),
        // `${region}-2` may be a name.
        None if number(&filled).is_none() && date(&filled).is_none() && month(&filled).is_none() => {
            params.fill(item, text)
        }
        None => {
            item.problem(format!("has {text:?}, which is out of range for dates and numbers when applied to {filled}"));
            None
        }
    }
}

/// `-2`, `+ 3`.
fn shift(text: &str) -> Option<i64> {
    let text = text.trim();
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text.strip_prefix(['-', '+'])?.trim_start();
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse::<i64>().ok()).flatten().map(|by| sign * by)
}

fn shifted(value: &str, by: i64) -> Option<String> {
    if let Some((date, write)) = date(value) {
        let span = jiff::Span::new().try_days(by).ok()?;
        return Some(write(date.checked_add(span).ok()?));
    }
    if let Some(months) = month(value) {
        return written_month(months.checked_add(by)?);
    }
    let shifted = i64::try_from(number(value)?).ok()?.checked_add(by).filter(|number| *number >= 0)?;
    Some(format!("{shifted:0width$}", width = value.len()))
}

/// Every value from `first` to `last`, both included.
fn range(first: &str, last: &str) -> Option<Vec<String>> {
    if let (Some((from, write)), Some((to, _))) = (date(first), date(last))
        && first.len() == last.len()
    {
        let days = from.until(to).ok()?.get_days();
        let days = usize::try_from(days).ok().filter(|days| *days < MAX)?;
        return Some(from.series(1.day()).take(days + 1).map(write).collect());
    }
    if let (Some(from), Some(to)) = (month(first), month(last)) {
        let months = usize::try_from(to - from).ok().filter(|months| *months < MAX)?;
        return (from..=from + months as i64).map(written_month).collect();
    }
    let (from, to) = (number(first)?, number(last)?);
    let count = usize::try_from(to.checked_sub(from)?).ok().filter(|count| *count < MAX)?;
    let width = if first.len() == last.len() { first.len() } else { 0 };
    Some((from..=from + count as u64).map(|number| format!("{number:0width$}")).collect())
}

/// How a date is written.
type Write = fn(Date) -> String;

/// A date, and how to write another in the same form.
fn date(text: &str) -> Option<(Date, Write)> {
    let digits =
        |range: std::ops::Range<usize>| text.get(range).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let of =
        |year: &str, month: &str, day: &str| Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok();
    match text.len() {
        10 if text.get(4..5) == Some("-") && text.get(7..8) == Some("-") => {
            Some((of(digits(0..4)?, digits(5..7)?, digits(8..10)?)?, |date| date.to_string()))
        }
        8 => Some((of(digits(0..4)?, digits(4..6)?, digits(6..8)?)?, |date| date.strftime("%Y%m%d").to_string())),
        _ => None,
    }
}

/// Whether a value is written as a date is: `2026-02-30`.
fn looks_like_a_date(text: &str) -> bool {
    let fits = |(place, byte): (usize, u8)| if matches!(place, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(fits)
}

/// A month such as 2026-11, as the number of months since year 0.
fn month(text: &str) -> Option<i64> {
    let (year, month) = text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2)?;
    let (year, month) = (number(year)?, number(month)?);
    (1..=12).contains(&month).then(|| (year * 12 + month - 1) as i64)
}

fn written_month(months: i64) -> Option<String> {
    (0..=9999 * 12 + 11).contains(&months).then(|| format!("{:04}-{:02}", months / 12, months % 12 + 1))
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_both_ends() {
        for (first, last, expected) in [
            ("2026-11-29", "2026-12-01", &["2026-11-29", "2026-11-30", "2026-12-01"] as &[_]),
            ("20240228", "20240301", &["20240228", "20240229", "20240301"]),
            ("2025-12", "2026-01", &["2025-12", "2026-01"]),
            ("9", "11", &["9", "10", "11"]),
            ("08", "10", &["08", "09", "10"]),
            ("7", "7", &["7"]),
        ] {
            assert_eq!(range(first, last).unwrap(), expected, "{first}..{last}");
        }
        for (first, last) in [
            ("2026-11-26", "2026-11-25"),
            ("2026-11-26", "20261127"),
            ("a", "b"),
            ("2", "1"),
            ("0", "99999999"),
            ("0001-01-01", "9999-12-31"),
            ("2026-11-31", "2026-12-02"),
        ] {
            assert_eq!(range(first, last), None, "{first}..{last}");
        }
    }

    #[test]
    fn a_parameter_is_moved_by_days_months_or_numbers() {
        for (value, by, expected) in [
            ("2026-03-01", -1, Some("2026-02-28")),
            ("20260101", -1, Some("20251231")),
            ("2026-01", -1, Some("2025-12")),
            ("07", 4, Some("11")),
            ("7", -8, None),
            ("eu", -2, None),
            ("9999-12-31", 1, None),
        ] {
            assert_eq!(shifted(value, by).as_deref(), expected, "{value} {by}");
        }
        assert_eq!(
            [shift("-2"), shift(" + 3"), shift("-x"), shift(""), shift("2")],
            [Some(-2), Some(3), None, None, None]
        );
    }

    #[test]
    fn partitions_are_all_combinations_and_match_numbers_by_value() {
        let columns = vec![
            ("date".to_owned(), vec!["2026-11-25".to_owned(), "2026-11-26".to_owned()]),
            ("hour".to_owned(), vec!["3".to_owned()]),
        ];
        let wanted = Partitions { columns, line: 1 };
        assert_eq!(wanted.all().collect::<Vec<_>>(), ["date=2026-11-25/hour=3", "date=2026-11-26/hour=3"]);
        let names = ["hour", "country", "date"].map(str::to_owned);
        let file = |hour: &str, date: &str| [hour, "de", date].map(|value| Some(value.to_owned()));
        assert_eq!(wanted.matching(&names, &file("03", "2026-11-26")).unwrap(), "date=2026-11-26/hour=3");
        assert_eq!(wanted.matching(&names, &file("04", "2026-11-26")), None);
        assert_eq!(wanted.matching(&names, &[Some("3".to_owned()), None, None]), None);
    }
}
