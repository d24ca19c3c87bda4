//! Where objects are: a URL without anything secret in it.
//!
//! ```text
//! s3://bucket/prefix   gs://bucket/prefix   az://container/prefix   https://host:port/prefix   file:///directory
//! ```
//! A prefix is taken as it is written; only that of https is percent-decoded. What could hold credentials (a user
//! before the host, a query, a fragment) is refused, and is not repeated in the message.
//!
//! Not for: patterns of input files.

use std::fmt;
use std::net::IpAddr;

use super::key;
use crate::error::{Error, Result};
use crate::escape;

/// What kind of store a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `s3://`: Amazon S3, or another server with its interface.
    S3,
    /// `gs://`: Google Cloud Storage.
    Gcs,
    /// `az://`: Azure Blob Storage.
    Azure,
    /// `https://`, and `http://` where that is allowed: files to read.
    Http,
    /// `file://`: a local directory to read.
    File,
}

/// The schemes by their names.
const SCHEMES: [(&str, Scheme); 6] = [
    ("s3", Scheme::S3),
    ("gs", Scheme::Gcs),
    ("az", Scheme::Azure),
    ("https", Scheme::Http),
    ("http", Scheme::Http),
    ("file", Scheme::File),
];

/// Characters that a bucket's name has at most.
const LONGEST_BUCKET: usize = 255;

/// A bucket, container or host, and a prefix in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    scheme: Scheme,
    /// As the URL names it, for `http` differs from `https`.
    name: &'static str,
    /// Bucket, container, host with its port; empty for files.
    place: String,
    /// Without slashes at its ends; may be empty.
    prefix: String,
}

impl Location {
    /// Whether a text is a URL of one of these schemes, rather than a path.
    pub fn is_url(text: &str) -> bool {
        scheme(text).is_some()
    }

    /// The URL that is meant where one slash is missing, as in `s3:/lake`.
    pub fn with_missing_slash(text: &str) -> Option<String> {
        let (name, rest) = text.split_once(":/").filter(|(_, rest)| !rest.starts_with('/'))?;
        let url = format!("{name}://{rest}");
        Self::is_url(&url).then_some(url)
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// `Invalid` for other schemes, for names that no store accepts and for credentials in the URL.
    pub fn parse(url: &str) -> Result<Self> {
        let Some((name, scheme, rest)) = scheme(url) else {
            let known: Vec<String> = SCHEMES.iter().map(|(name, _)| format!("{name}://")).collect();
            return Err(Error::invalid(format!("{} is not a URL of {}", without_secrets(url), known.join(", "))));
        };
        if rest.contains(['?', '#']) {
            return Err(Error::invalid(format!(
                "{} has a query or a fragment, which may hold credentials: leave it out and give credentials by the \
                 environment",
                without_secrets(url)
            )));
        }
        let (place, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if place.contains('@') {
            return Err(Error::invalid(format!(
                "{} has credentials in it: remove them and set them in the environment",
                without_secrets(url)
            )));
        }
        check_place(scheme, place).map_err(|why| Error::invalid(format!("{}: {why}", without_secrets(url))))?;
        let prefix = match scheme {
            Scheme::Http => decoded(prefix).ok_or_else(|| {
                Error::invalid(format!(
                    "{}: its percent signs are not followed by two digits of UTF-8",
                    escape::escaped(url)
                ))
            })?,
            _ => prefix.to_owned(),
        };
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            key::check(prefix).map_err(|why| Error::invalid(format!("{}: {why}", without_secrets(url))))?;
        }
        Ok(Self { scheme, name, place: place.to_owned(), prefix: prefix.to_owned() })
    }

    /// Whether objects can be written there.
    pub fn is_writable(&self) -> bool {
        matches!(self.scheme, Scheme::S3 | Scheme::Gcs | Scheme::Azure)
    }

    /// The kind of store.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket, container or host.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What all keys below it begin with, without slashes at its ends.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same bucket with another prefix.
    ///
    /// # Errors
    /// `Invalid` for a prefix that no key can have.
    pub fn at(&self, prefix: &str) -> Result<Self> {
        if !prefix.is_empty() {
            key::check(prefix).map_err(|why| Error::invalid(format!("{self}: {why}")))?;
        }
        Ok(Self { prefix: prefix.to_owned(), ..self.clone() })
    }

    /// Whether it is reached without TLS by its own scheme.
    pub(super) fn is_plain(&self) -> bool {
        self.name == "http"
    }

    /// The scheme and the host.
    pub(super) fn root(&self) -> String {
        format!("{}://{}", self.name, self.place)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.place)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", escape::escaped(&self.prefix)) }
    }
}

/// Whether a host is this machine, so that no other machine sees what is sent to it.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A URL up to where a secret could begin, and without what precedes its host.
pub(super) fn without_secrets(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url[..end].split_once("://").unwrap_or(("", &url[..end]));
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let shown = match place.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://…@{place}/{path}"),
        None => url[..end].to_owned(),
    };
    escape::shortened(&shown)
}

fn scheme(url: &str) -> Option<(&'static str, Scheme, &str)> {
    let (name, rest) = url.split_once("://")?;
    let (name, scheme) = SCHEMES.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    Some((name, scheme, rest))
}

fn check_place(scheme: Scheme, place: &str) -> Result<(), String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    match scheme {
        Scheme::File if place.is_empty() => Ok(()),
        Scheme::File => Err("the path of a file begins with a third slash".to_owned()),
        _ if place.is_empty() => Err("it names no bucket".to_owned()),
        Scheme::Http if place.chars().all(|letter| allowed(letter) || ":[]".contains(letter)) => Ok(()),
        Scheme::Http => Err("a host has letters, digits, dots and hyphens, and a port after a colon".to_owned()),
        _ if place.len() > LONGEST_BUCKET || place.starts_with('.') || !place.chars().all(allowed) => {
            Err("a bucket's name has letters, digits, points, hyphens and underscores".to_owned())
        }
        _ => Ok(()),
    }
}

/// A percent-encoded path as it is meant.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok().filter(|digits| !digits.starts_with('+'))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Location::parse(url).unwrap_err().message().to_owned()
    }

    #[test]
    fn urls_are_read_and_shown() {
        for (url, place, prefix, shown) in [
            ("s3://lake", "lake", "", "s3://lake"),
            ("S3://lake/", "lake", "", "s3://lake"),
            ("gs://lake/a/b=1/", "lake", "a/b=1", "gs://lake/a/b=1"),
            ("az://lake/a b/é", "lake", "a b/é", "az://lake/a b/é"),
            ("https://host:8443/a%20b/c", "host:8443", "a b/c", "https://host:8443/a b/c"),
            ("file:///srv/lake", "", "srv/lake", "file:///srv/lake"),
            ("s3://lake/user@host", "lake", "user@host", "s3://lake/user@host"),
        ] {
            let location = Location::parse(url).unwrap();
            assert_eq!((location.place(), location.prefix(), location.to_string().as_str()), (place, prefix, shown));
        }
        assert!(Location::is_url("s3://lake") && !Location::is_url("lake/a.parquet") && !Location::is_url("ftp://a/b"));
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        for url in [
            "s3://AKIA:hunter2@lake/a",
            "s3://hunter2@lake",
            "https://host/a?X-Amz-Signature=hunter2",
            "az://lake/a?sig=hunter2",
            "https://host/a#hunter2",
            "ftp://me:hunter2@host/a",
            "me:hunter2@host",
        ] {
            assert!(!refused(url).contains("hunter2"), "{}", refused(url));
        }
        assert!(refused("s3://AKIA:hunter2@lake/a").contains("has credentials in it"));
    }

    #[test]
    fn locations_that_no_store_accepts_are_refused() {
        assert!(refused("s3://").contains("names no bucket"));
        assert!(refused("file://host/a").contains("third slash"));
        assert!(refused("s3://la ke/a").contains("a bucket's name"));
        assert!(refused("s3://../a").contains("a bucket's name"));
        assert!(refused("s3://lake/a/../b").contains(".."));
        assert!(refused("s3://lake/a//b").contains("empty"));
        assert!(refused("s3://lake/a\nb").contains("control"));
        assert!(refused("https://host/a%2").contains("percent"));
        assert!(refused("https://host/a%2e%2e/../b").contains(".."));
        assert!(refused("ftp://lake/a").contains("s3://"));
    }

    #[test]
    fn addresses_of_this_machine_are_recognized() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.8.9.1:9000", "[::1]:80", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1", "10.0.0.1:80", "[::2]:80", "127.0.0.1.example", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
