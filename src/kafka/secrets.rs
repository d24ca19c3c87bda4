//! Redacts values of client settings: a message of librdkafka can quote any of them, whole or from the middle.
//!
//! ```text
//! Unrecognized sasl.oauthbearer.config beginning at: secret=hunter2   ─▶   …beginning at: ***
//! ```
//! Settings that only name a mechanism, a size or a file are listed as harmless; every other value is treated as a
//! secret, and each substring that a message shares with it is replaced.
//!
//! Not for: settings as they are passed to librdkafka (`connection`).

use std::sync::Arc;

/// Longest substring that a message may share with a secret by chance, in characters.
const BY_CHANCE: usize = 3;
/// The replacement.
const HIDDEN: &str = "***";
/// Settings whose values are not secrets, and name endings of such settings.
const HARMLESS: [&str; 9] = [
    "client.id",
    "debug",
    "enable.ssl.certificate.verification",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.method",
    "security.protocol",
    "socket.keepalive.enable",
    "ssl.endpoint.identification.algorithm",
];
const HARMLESS_ENDINGS: [&str; 6] = [".ms", ".bytes", ".kbytes", ".max", ".location", ".size"];

/// The secrets of one connection.
#[derive(Clone, Default)]
pub(super) struct Secrets(Arc<[String]>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// The secrets among settings.
    pub(super) fn of(settings: &[(String, String)]) -> Self {
        let harmless =
            |name: &str| HARMLESS.contains(&name) || HARMLESS_ENDINGS.iter().any(|ending| name.ends_with(ending));
        let secrets = settings.iter().filter(|(name, value)| !harmless(name) && value.chars().count() > BY_CHANCE);
        Self(secrets.map(|(_, value)| value.clone()).collect())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A message with the secrets replaced.
    pub(super) fn hidden(&self, message: &str) -> String {
        self.0.iter().fold(message.to_owned(), |message, secret| hide(&message, secret))
    }
}

/// Replaces every substring of more than [`BY_CHANCE`] characters that also occurs in a secret.
fn hide(message: &str, secret: &str) -> String {
    let starts: Vec<usize> = message.char_indices().map(|(at, _)| at).chain([message.len()]).collect();
    let mut shown = String::with_capacity(message.len());
    let mut at = 0;
    while at + 1 < starts.len() {
        let common =
            |letters: usize| starts.get(at + letters).is_some_and(|&end| secret.contains(&message[starts[at]..end]));
        let longest =
            if common(BY_CHANCE + 1) { (BY_CHANCE + 1..).take_while(|&letters| common(letters)).last() } else { None };
        match longest {
            Some(letters) => {
                shown.push_str(HIDDEN);
                at += letters;
            }
            None => {
                shown.push_str(&message[starts[at]..starts[at + 1]]);
                at += 1;
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(settings: &[(&str, &str)]) -> Secrets {
        Secrets::of(&settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>())
    }

    #[test]
    fn no_part_of_a_secret_is_left() {
        let hides =
            secrets(&[("sasl.oauthbearer.config", "principal=me secret=hunter2"), ("sasl.password", "pässwörd")]);
        for (message, shown) in [
            (
                "Unrecognized sasl.oauthbearer.config beginning at: secret=hunter2",
                "Unrecognized sasl.oauthbearer.config beginning at:***",
            ),
            ("wrong: hunter2, hunter", "wrong: ***, ***"),
            ("pässwörd", "***"),
            ("the broker is away", "the broker is away"),
            ("", ""),
        ] {
            assert_eq!(hides.hidden(message), shown);
        }
    }

    #[test]
    fn settings_that_are_no_secrets_stay_readable() {
        let settings = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("socket.timeout.ms", "10000"),
            ("ssl.ca.location", "/etc/ca.pem"),
        ];
        assert!(secrets(&settings).is_empty());
        assert!(!secrets(&[("ssl.key.pem", "-----BEGIN")]).is_empty() && !secrets(&[("unknown", "value")]).is_empty());
        assert_eq!(format!("{:?}", secrets(&[("sasl.password", "hunter2")])), "Secrets");
    }
}
