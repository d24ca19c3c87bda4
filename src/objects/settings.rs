//! How stores are reached: credentials, endpoints and regions, by the names that their own tools have for them in the
//! environment.
//!
//! Values are looked up when a store is opened and go nowhere else: the debug text has the names alone.
//!
//! Not for: job files, which never hold credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::location::{Location, is_loopback};
use super::names::{ALLOW_HTTP, FILE};
use super::settings_file;
use crate::error::{Error, Result};

/// What the names of all settings begin with.
const FAMILIES: [&str; 4] = ["AWS_", "GOOGLE_", "AZURE_", ALLOW_HTTP];

/// How long a request is waited for and tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a request and its whole answer; the answer to a large read is begun anew where it broke off.
    pub request: Duration,
    /// For a connection.
    pub connect: Duration,
    /// Times that a request is sent again.
    pub retries: usize,
    /// No request is sent again later than this after its first time.
    pub retry_for: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(60),
            connect: Duration::from_secs(5),
            retries: 100,
            retry_for: Duration::from_secs(60),
        }
    }
}

/// Names and values, such as `AWS_ACCESS_KEY_ID` and `AWS_ENDPOINT_URL`.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
    patience: Patience,
    /// Has settings for single buckets.
    file: Option<PathBuf>,
}

impl Settings {
    /// Those of the environment.
    pub fn from_env() -> Self {
        let texts =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let values = Self::of(texts.filter(|(name, _)| FAMILIES.iter().any(|family| name.starts_with(family))));
        Self { file: std::env::var_os(FILE).filter(|path| !path.is_empty()).map(PathBuf::from), ..values }
    }

    /// Those for a bucket: of its section in the file, if it has one there; else these.
    ///
    /// # Errors
    /// `Invalid` when the file cannot be read, or is wrong anywhere.
    pub(super) fn for_bucket(&self, location: &Location) -> Result<Self> {
        let found = self.file.as_deref().map(|file| settings_file::find(file, location)).transpose()?.flatten();
        Ok(found.map_or_else(|| self.clone(), |values| Self::of(values).with_patience(self.patience)))
    }

    /// Those that are given.
    pub fn of<N: Into<String>, V: Into<String>>(values: impl IntoIterator<Item = (N, V)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into()));
        let values = values.filter(|(_, value)| !value.is_empty()).collect();
        Self { values, patience: Patience::default(), file: None }
    }

    /// The same with other times.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// How long requests are waited for.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// A value; an empty one counts as none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a text repeats one of the values.
    pub(super) fn appear_in(&self, text: &str) -> bool {
        self.values.values().any(|value| text.contains(value.as_str()))
    }

    /// The first of some names that has a value, and the value.
    pub(super) fn first(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    /// A switch; none counts as off.
    pub(super) fn is_on(&self, name: &str) -> Result<bool> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("0" | "false" | "no" | "off") => Ok(false),
            Some("1" | "true" | "yes" | "on") => Ok(true),
            Some(_) => Err(Error::invalid(format!("{name} must be true or false"))),
        }
    }

    /// Whether plain http may be used to reach `host`.
    ///
    /// # Errors
    /// `Invalid` when it may not, as anyone on the way could read data and credentials.
    pub(super) fn check_plain(&self, name: &str, host: &str) -> Result<()> {
        if is_loopback(host) || self.is_on(ALLOW_HTTP)? {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{name} is http, by which anyone on the way can read and change what is sent: use https, or set \
             {ALLOW_HTTP}=true where the network is trusted"
        )))
    }

    /// An endpoint by one of its names, and whether it is reached without TLS.
    ///
    /// # Errors
    /// `Invalid` for what is no URL of http or https, for credentials in it, and as [`Settings::check_plain`].
    pub(super) fn endpoint(&self, names: &[&'static str]) -> Result<Option<(&str, bool)>> {
        let Some((name, url)) = self.first(names) else { return Ok(None) };
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        if !["http", "https"].contains(&scheme) || host.is_empty() {
            return Err(Error::invalid(format!("{name} must be a URL that begins with https:// or http://")));
        }
        if rest.contains(['@', '?', '#']) {
            return Err(Error::invalid(format!("{name} must be without user, password, query and fragment")));
        }
        if scheme == "http" {
            self.check_plain(name, host)?;
        }
        Ok(Some((url, scheme == "http")))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("names", &self.values.keys()).field("patience", &self.patience).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

    #[test]
    fn values_are_not_shown() {
        let settings = Settings::of([("AWS_SECRET_ACCESS_KEY", "hunter2")]);
        let shown = format!("{settings:?}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn plain_http_is_for_this_machine_or_allowed() {
        let endpoint = |url: &str, allow: &str| {
            let settings = Settings::of([("AWS_ENDPOINT_URL", url), (ALLOW_HTTP, allow)]);
            settings
                .endpoint(&NAMES)
                .map(|found| found.map(|(_, plain)| plain))
                .map_err(|error| error.message().to_owned())
        };
        assert_eq!(endpoint("http://127.0.0.1:9000", ""), Ok(Some(true)));
        assert_eq!(endpoint("https://minio.example", ""), Ok(Some(false)));
        assert_eq!(endpoint("", ""), Ok(None));
        assert!(endpoint("http://minio.example", "").unwrap_err().contains(ALLOW_HTTP));
        assert!(endpoint("http://minio.example", "false").is_err());
        assert_eq!(endpoint("http://minio.example", "true"), Ok(Some(true)));
        assert!(endpoint("http://minio.example", "hunter2").unwrap_err().contains("true or false"));
        for wrong in
            ["minio.example", "ftp://minio", "http://", "https://me:hunter2@minio", "https://minio?sig=hunter2"]
        {
            assert!(!endpoint(wrong, "").unwrap_err().contains("hunter2"));
        }
    }

    #[test]
    fn the_more_special_name_comes_first() {
        let both = [("AWS_ENDPOINT_URL", "https://general"), ("AWS_ENDPOINT_URL_S3", "https://special")];
        assert_eq!(Settings::of(both).endpoint(&NAMES).unwrap(), Some(("https://special", false)));
    }
}
