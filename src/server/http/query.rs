//! The path and the parameters of a request: percent-decoded, and refused when they are not known.
//!
//! Not for: keys (`keys`).

use std::sync::Arc;

use axum::http::Uri;

use crate::error::Kind;
use crate::server::Server;
use crate::server::dataset::Dataset;
use crate::server::refusal::{Reason, Refusal};
use crate::server::resp::aside;
use crate::server::served::Served;

/// The parameters of a request.
pub struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Reads the parameters, which must be among `known`.
    ///
    /// # Errors
    /// `Wrong` for another one, or one that is given twice.
    pub fn read(uri: &Uri, known: &[&str]) -> Result<Self, Refusal> {
        let mut query = Self(Vec::new());
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&decoded(name, true)?).into_owned();
            if !known.contains(&name.as_str()) {
                let shown: String = name.chars().take(64).collect();
                return Err(wrong(format!("there is no parameter {shown:?}; there are: {}", known.join(", "))));
            }
            if query.get(&name).is_some() {
                return Err(wrong(format!("the parameter {name:?} is given twice")));
            }
            query.0.push((name, decoded(value, true)?));
        }
        Ok(query)
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// A parameter as text.
    ///
    /// # Errors
    /// `Wrong` when it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let text =
            |value| std::str::from_utf8(value).map_err(|_| wrong(format!("the parameter {name:?} is not UTF-8")));
        self.get(name).map(text).transpose()
    }

    /// A parameter as a number.
    ///
    /// # Errors
    /// `Wrong` when it is not one.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let number = |text: &str| text.parse().map_err(|_| wrong(format!("the parameter {name:?} is not a number")));
        self.text(name)?.map(number).transpose()
    }

    /// Whether a parameter is set: `name` or `name=1`.
    ///
    /// # Errors
    /// `Wrong` for any other value but 0.
    pub fn is_set(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None | Some(b"0") => Ok(false),
            Some(b"" | b"1") => Ok(true),
            Some(_) => Err(wrong(format!("the parameter {name:?} is 0 or 1"))),
        }
    }

    /// The version that the request is about: the one of its parameter `version`, or the one that clients see.
    ///
    /// # Errors
    /// `Missing` when there is no such version; `Later` when none is loaded.
    pub fn version(&self, server: &Server, dataset: &Dataset) -> Result<Arc<Served>, Refusal> {
        match self.number("version")? {
            Some(number) => version(server, dataset, number),
            None => dataset.served().ok_or_else(|| Refusal::not_loaded(&dataset.name)),
        }
    }
}

/// A version by its number.
///
/// # Errors
/// `Missing` when there is no such version.
pub fn version(server: &Server, dataset: &Dataset, number: u64) -> Result<Arc<Served>, Refusal> {
    if let Some(open) = dataset.open_already(|served| served.number() == number) {
        return Ok(open);
    }
    aside(true, || dataset.version(number, &server.memory.versions)).map_err(|error| match error.kind() {
        Kind::Invalid => Refusal::new(Reason::Missing, format!("there is no version {number} that was published")),
        _ => error.into(),
    })
}

/// The name of a dataset and the key in a path.
///
/// # Errors
/// `Wrong` when the path is not percent-encoded.
pub fn split(uri: &Uri) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let rest = uri.path().strip_prefix("/v1/").unwrap_or_default();
    let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((decoded(name, false)?, decoded(key, false)?))
}

/// The dataset and the key of a path `/v1/dataset/key`.
///
/// # Errors
/// `Missing` when there is no such dataset; `TooLarge` for the key; `Wrong` when the path is not percent-encoded.
pub fn target(server: &Server, uri: &Uri) -> Result<(Arc<Dataset>, Vec<u8>), Refusal> {
    let (name, key) = split(uri)?;
    let dataset = server.registry.find(&name).ok_or_else(|| Refusal::no_dataset(&name))?;
    if key.len() > server.limits.key_bytes {
        let limit = server.limits.key_bytes;
        return Err(Refusal::new(Reason::TooLarge, format!("a key can have {limit} bytes")));
    }
    Ok((dataset, key))
}

/// Percent-decodes; in parameters a plus sign is a space.
fn decoded(text: &str, is_parameter: bool) -> Result<Vec<u8>, Refusal> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(bytes.next()), digit(bytes.next()));
                let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                value.ok_or_else(|| wrong("a percent sign is followed by two hex digits".to_owned()))?
            }
            b'+' if is_parameter => b' ',
            other => other,
        });
    }
    Ok(decoded)
}

fn wrong(message: String) -> Refusal {
    Refusal::new(Reason::Wrong, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_checked() {
        let read = |uri: &'static str| Query::read(&Uri::from_static(uri), &["prefix", "limit", "raw"]);
        let query = read("/v1/x?prefix=%2Fho+%FF&limit=10&raw").unwrap();
        assert_eq!(query.get("prefix"), Some(&b"/ho \xff"[..]));
        assert_eq!(query.number("limit").unwrap(), Some(10));
        assert!(query.is_set("raw").unwrap() && query.text("prefix").is_err());
        for wrong in ["/?limti=1", "/?limit=1&limit=2", "/?prefix=%2", "/?prefix=%zz"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("/?limit=ten").unwrap().number("limit").is_err());
    }
}
