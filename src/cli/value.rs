//! Values of flags: parameters, instants, sizes and durations.
//!
//! A value that cannot be read is an error of the command line, told by clap before anything is done.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::job::units;

/// Letters of a date like 2026-11-22.
const DATE_LETTERS: usize = 10;

/// `key=value`; the value may be empty and may hold `=`.
pub(super) fn set(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// All `--set` as the job reads them.
///
/// # Errors
/// `Invalid` when one is given twice.
pub(super) fn sets(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    let mut sets = BTreeMap::new();
    for (name, value) in pairs {
        if let Some(first) = sets.insert(name.clone(), value.clone()) {
            return Err(Error::invalid(format!("--set {name} is given twice, as {first:?} and as {value:?}")));
        }
    }
    Ok(sets)
}

/// A date, which stands for its midnight in UTC, or an instant in RFC 3339.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    let wrong = || "write a date like 2026-11-22, or a time like 2026-11-22T10:30:00Z".to_owned();
    if text.len() != DATE_LETTERS {
        return text.parse().map_err(|_| wrong());
    }
    let date: Date = text.parse().map_err(|_| wrong())?;
    date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|_| wrong())
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    units::parse_size(text).map_err(|error| error.message().to_owned())
}

/// A duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).map_err(|error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight() {
        assert_eq!(instant("2026-11-22").unwrap().to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(instant("2026-11-22T12:30:00+02:00").unwrap().to_string(), "2026-11-22T10:30:00Z");
        for text in ["", "yesterday", "2026-13-01", "2026-11-22T10:30:00", "20261122", "2026-11-2\u{663}"] {
            assert!(instant(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_parameter_may_hold_an_equals_sign_and_stands_once() {
        assert_eq!(set("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(set("a="), Ok(("a".into(), String::new())));
        assert!(set("a").is_err());
        let twice = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert!(sets(twice).unwrap_err().message().contains("given twice"));
    }
}
