//! Parsers for the values of flags: parameters, instants, sizes and durations.
//!
//! An invalid value is an error of the command line, which clap reports before anything is done.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::format::{Allow, KEEP};
use crate::job::units;

/// `key=value`; the value may be empty and may hold `=`.
pub(super) fn set(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// All `--set` values, by parameter.
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

/// A date, which means its midnight in UTC, or an instant in RFC 3339.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    units::parse_instant(text).map_err(|error| error.message().to_owned())
}

/// A number of things, from 1 on.
pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "must be a whole number from 1".to_owned())
}

/// A number of things, or none of them.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "must be a whole number".to_owned())
}

/// The number of a version.
pub(super) fn version(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is not a version number"))
}

/// How many versions to keep: as in job files, or 0 for none but what readers see.
pub(super) fn keep(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number == 0 || KEEP.contains(number));
    number.ok_or_else(|| format!("must be a whole number from 0 to {}", KEEP.end()))
}

/// One of the kinds that `--allow` names.
pub(super) fn allow() -> impl TypedValueParser<Value = Allow> {
    let values = Allow::all().map(|allow| PossibleValue::new(allow.name()).help(allow.what()));
    PossibleValuesParser::new(values).map(Allow::from)
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    units::parse_size(text).map_err(|error| error.message().to_owned())
}

/// A duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).map_err(|error| error.message().to_owned())
}

/// A duration between two things that are done again and again.
pub(super) fn pause(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing, such as 1s".to_owned()),
        pause => Ok(pause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_may_contain_an_equals_sign_and_is_given_once() {
        assert_eq!(set("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(set("a="), Ok(("a".into(), String::new())));
        assert!(set("a").is_err());
        let twice = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert!(sets(twice).unwrap_err().message().contains("given twice"));
    }
}
