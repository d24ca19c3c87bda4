//! Parses sizes, durations and instants: `64MiB`, `48h`, `2026-11-25`.
//!
//! The job file and the command line both use these parsers, so that a value means the same in either place. A size is
//! a whole number and one of B, KiB, MiB, GiB, TiB. KB, MB and GB are refused as ambiguous: they may mean powers of
//! 1000 or of 1024. A duration is a whole number and one of s, m, h, d.
//!
//! An instant is a date, which means its midnight in UTC, or a time in RFC 3339.
//!
//! Invariant: nothing is rounded, guessed or capped.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};

const SIZES: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

const DAY: u64 = 24 * 60 * 60;
const DURATIONS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", DAY)];

/// Length of a date like 2026-11-22.
const DATE_LETTERS: usize = 10;

/// Longest duration: a hundred years, so that adding one to an instant cannot overflow.
const LONGEST: u64 = 36_500 * DAY;

/// Reads a size in bytes, such as `16KiB` or `4GiB`.
///
/// # Errors
/// `Invalid`, with a corrected spelling if one is close.
pub fn parse_size(text: &str) -> Result<u64> {
    let (number, unit) = split(text);
    let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        let binary = SIZES.iter().find(|(name, _)| {
            let initial = &name[..1];
            [initial, &format!("{initial}B"), &format!("{initial}iB")]
                .iter()
                .any(|near| near.eq_ignore_ascii_case(unit))
        });
        let hint = match binary {
            Some((name, _)) if is_number(number) => format!("write {number}{name}"),
            _ => "write a whole number and a unit: B, KiB, MiB, GiB or TiB, such as \"64MiB\"".to_owned(),
        };
        return Err(Error::invalid(format!("{text:?} is not a size: {hint}")));
    };
    scale(text, number, *factor, u64::MAX, "size", "64MiB")
}

/// Reads a duration, such as `90m`, `48h` or `7d`.
///
/// # Errors
/// `Invalid`, with the known units.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let (number, unit) = split(text);
    let Some((_, factor)) = DURATIONS.iter().find(|(name, _)| *name == unit) else {
        let hint = "write a whole number and a unit: s, m, h or d, such as \"48h\"";
        return Err(Error::invalid(format!("{text:?} is not a duration: {hint}")));
    };
    scale(text, number, *factor, LONGEST, "duration", "48h").map(Duration::from_secs)
}

/// Reads an instant: a date such as `2026-11-25`, its midnight in UTC, or a time such as `2026-11-25T10:30:00Z`.
///
/// # Errors
/// `Invalid`, with an example of both forms.
pub fn parse_instant(text: &str) -> Result<Timestamp> {
    let wrong = || {
        Error::invalid(format!(
            "{text:?} is not a date or time: write a date like 2026-11-22 or an RFC 3339 time like 2026-11-22T10:30:00Z"
        ))
    };
    if text.len() != DATE_LETTERS {
        return text.parse().map_err(|_| wrong());
    }
    let date: Date = text.parse().map_err(|_| wrong())?;
    date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|_| wrong())
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    text.split_at(end)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn scale(text: &str, number: &str, factor: u64, most: u64, what: &str, example: &str) -> Result<u64> {
    if !is_number(number) {
        return Err(Error::invalid(format!(
            "{text:?} is not a {what}: write a whole number before the unit, such as {example:?}"
        )));
    }
    let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    value.filter(|value| *value <= most).ok_or_else(|| Error::invalid(format!("{text:?} is too large for a {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse_size("0B").unwrap(), 0);
        assert_eq!(parse_size("16KiB").unwrap(), 16_384);
        assert_eq!(parse_size("64MiB").unwrap(), 67_108_864);
        assert_eq!(parse_size("4GiB").unwrap(), 4_294_967_296);
        assert_eq!(parse_size("2TiB").unwrap(), 2_199_023_255_552);
    }

    #[test]
    fn sizes_that_could_mean_two_things_are_refused_with_a_spelling() {
        for (text, hint) in
            [("64MB", "write 64MiB"), ("4g", "write 4GiB"), ("4Gib", "write 4GiB"), ("16kb", "write 16KiB")]
        {
            let error = parse_size(text).unwrap_err();
            assert!(error.message().contains(hint), "{error}");
        }
        for text in ["", "64", "MiB", "-1B", "1.5GiB", "1 GiB", "64 MiB ", "x", "99999999TiB", "99999999999999999999B"]
        {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("30s").unwrap().as_secs(), 30);
        assert_eq!(parse_duration("90m").unwrap().as_secs(), 5_400);
        assert_eq!(parse_duration("48h").unwrap().as_secs(), 172_800);
        assert_eq!(parse_duration("7d").unwrap().as_secs(), 604_800);
        for text in ["", "48", "h", "-1h", "1.5h", "1 h", "2w", "36501d", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_date_is_its_midnight() {
        assert_eq!(parse_instant("2026-11-22").unwrap().to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(parse_instant("2026-11-22T12:30:00+02:00").unwrap().to_string(), "2026-11-22T10:30:00Z");
        for text in ["", "yesterday", "2026-13-01", "2026-11-31", "2026-11-22T10:30:00", "20261122", "2026-11-2\u{663}"]
        {
            assert!(parse_instant(text).is_err(), "{text:?}");
        }
    }
}
