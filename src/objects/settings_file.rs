//! Settings for single buckets, in a file: for programs that reach several object stores.
//!
//! ```text
//! [s3://lake]                       # a bucket; what follows is all that is known of how to reach it
//! AWS_REGION = eu-central-1
//! AWS_ACCESS_KEY_ID = …
//! AWS_SECRET_ACCESS_KEY = …
//!
//! [s3://serving]
//! AWS_ENDPOINT_URL = https://minio.example:9000
//! ```
//! No value is in an error: a file of secrets may be wrong at any place.
//!
//! Not for: what the settings mean (`connect`).

use std::path::Path;

use super::location::Location;
use super::names::{FILE, is_known};
use crate::error::{Error, Result};

/// Names and values.
pub(super) type Values = Vec<(String, String)>;

/// The settings that a file has for the bucket of a location; none if it does not name the bucket.
///
/// # Errors
/// `Invalid` when it cannot be read, or is wrong anywhere, naming the line.
pub(super) fn find(path: &Path, location: &Location) -> Result<Option<Values>> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| {
        let file = path.display();
        Error::invalid(format!("cannot read {file}, the settings of object stores that {FILE} names")).because(error)
    })?;
    parse(&text, location).map_err(|(line, what)| Error::invalid(format!("{}: line {line}: {what}", path.display())))
}

fn parse(text: &str, location: &Location) -> Result<Option<Values>, (usize, String)> {
    let (mut sections, mut found) = (Vec::new(), None);
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |what: &str| (number, what.to_owned());
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(url) = line.strip_prefix('[') {
            let bucket = bucket(url).ok_or_else(|| wrong("a section names a bucket, such as [s3://lake]"))?;
            if sections.contains(&bucket) {
                return Err(wrong("this bucket has a section already"));
            }
            sections.push(bucket);
            continue;
        }
        let Some(bucket) = sections.last() else { return Err(wrong("before it there must be a bucket: [s3://lake]")) };
        let pair = line.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let (name, value) = pair.ok_or_else(|| wrong("it is neither [s3://BUCKET] nor NAME = VALUE"))?;
        if !is_known(name) {
            return Err(wrong("it names no setting of an object store"));
        }
        if is_of(bucket, location) {
            found.get_or_insert_with(Values::new).push((name.to_owned(), value.to_owned()));
        }
    }
    let is_empty = found.is_none() && sections.iter().any(|bucket| is_of(bucket, location));
    Ok(if is_empty { Some(Values::new()) } else { found })
}

/// The bucket that a section names.
fn bucket(section: &str) -> Option<Location> {
    let location = Location::parse(section.strip_suffix(']')?.trim()).ok()?;
    (location.is_writable() && location.prefix().is_empty()).then_some(location)
}

fn is_of(bucket: &Location, location: &Location) -> bool {
    bucket.scheme() == location.scheme() && bucket.place() == location.place()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# all\n[s3://lake]\nAWS_REGION = here\nAWS_SECRET_ACCESS_KEY=a=b \n\n[gs://lake]\n";

    fn found(text: &str, url: &str) -> Result<Option<Values>, (usize, String)> {
        parse(text, &Location::parse(url).unwrap())
    }

    #[test]
    fn a_bucket_has_the_settings_of_its_section_alone() {
        let values = found(TEXT, "s3://lake/events").unwrap().unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(values, [pair("AWS_REGION", "here"), pair("AWS_SECRET_ACCESS_KEY", "a=b")]);
        assert_eq!(found(TEXT, "gs://lake").unwrap(), Some(Vec::new()));
        assert_eq!(found(TEXT, "s3://other").unwrap(), None);
    }

    #[test]
    fn faults_are_reported_by_their_line_and_without_values() {
        for (text, line, part) in [
            ("AWS_SECRET_ACCESS_KEY = hunter2", 1, "there must be a bucket"),
            ("[s3://lake]\nhunter2", 2, "NAME = VALUE"),
            ("[s3://lake]\nAWS_SECRET = hunter2", 2, "names no setting"),
            ("[s3://hunter2@lake]", 1, "names a bucket"),
            ("[s3://lake/hunter2]", 1, "names a bucket"),
            ("[https://hunter2]", 1, "names a bucket"),
            ("[s3://lake", 1, "names a bucket"),
            ("[s3://lake]\n\n[s3://lake]", 3, "has a section already"),
        ] {
            let (found, what) = found(text, "s3://other").unwrap_err();
            assert!(found == line && what.contains(part) && !what.contains("hunter2"), "{text}: {found}: {what}");
        }
    }
}
