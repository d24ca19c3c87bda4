//! The password of both protocols, from a file.
//!
//! The file's content without the line end is the password. It is compared in a time that depends on its length alone,
//! and only as often as an address may guess (`guesses`).
//!
//! Not for: how clients send it (`resp`, `http`).

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::guesses::Guesses;
use crate::error::{Error, IoContext, Result};

/// The shortest password that is accepted.
const SHORTEST: usize = 8;
/// The longest, so that a wrong file is noticed.
const LONGEST: usize = 1024;

/// Who may ask.
#[derive(Debug, Default)]
pub struct Auth {
    password: ArcSwapOption<Vec<u8>>,
    guesses: Guesses,
}

/// What became of a password that a client showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is the password, or none is needed.
    Right,
    /// It is not.
    Wrong,
    /// It was not compared: the address has shown too many wrong ones, and may show another one after this time.
    TooMany(Duration),
}

impl Auth {
    /// Whether a password is needed.
    pub fn is_needed(&self) -> bool {
        self.password.load().is_some()
    }

    /// Compares what a client shows. An empty password is no guess.
    pub fn check(&self, given: &[u8], from: IpAddr) -> Shown {
        let password = self.password.load();
        let Some(password) = password.as_ref() else { return Shown::Right };
        if given.is_empty() {
            return Shown::Wrong;
        }
        let now = Instant::now();
        if let Some(wait) = self.guesses.wait(from, now) {
            return Shown::TooMany(wait);
        }
        if is_same(password, given) {
            return Shown::Right;
        }
        if self.guesses.wrong(from, now) {
            tracing::warn!("{from} has shown many wrong passwords: further ones are compared once per second");
        }
        Shown::Wrong
    }

    /// Wrong passwords so far.
    pub fn wrong(&self) -> u64 {
        self.guesses.all()
    }

    /// Replaces the password by the content of a file.
    ///
    /// # Errors
    /// `Invalid` when it holds no password; `Unavailable` when it cannot be read. The password is then as before.
    pub fn load(&self, file: &Path) -> Result<()> {
        let content = std::fs::read(file).io("read", file)?;
        let password = content.strip_suffix(b"\n").unwrap_or(&content);
        let password = password.strip_suffix(b"\r").unwrap_or(password);
        if !(SHORTEST..=LONGEST).contains(&password.len()) || password.contains(&b'\n') {
            return Err(Error::invalid(format!(
                "{} must hold one line of {SHORTEST} to {LONGEST} bytes: the password",
                file.display()
            )));
        }
        self.password.store(Some(std::sync::Arc::new(password.to_vec())));
        Ok(())
    }
}

/// Compares without stopping at the first difference.
fn is_same(password: &[u8], given: &[u8]) -> bool {
    let mut differences = u8::from(password.len() != given.len());
    for (at, byte) in password.iter().enumerate() {
        differences |= byte ^ given.get(at).copied().unwrap_or(!byte);
    }
    std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_is_accepted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let auth = Auth::default();
        let accepts = |given: &[u8]| auth.check(given, [127, 0, 0, 1].into()) == Shown::Right;
        assert!(accepts(b"anything") && !auth.is_needed());
        std::fs::write(&file, "correct horse\r\n").unwrap();
        auth.load(file.path()).unwrap();
        assert!(auth.is_needed() && accepts(b"correct horse"));
        for wrong in [&b""[..], b"correct horsf", b"correct hors", b"correct horse\n", b"correct horse "] {
            assert!(!accepts(wrong), "{wrong:?}");
        }
        std::fs::write(&file, "short\n").unwrap();
        assert!(auth.load(file.path()).is_err());
        assert!(accepts(b"correct horse"), "the password before");
    }

    #[test]
    fn who_guesses_too_often_does_not_learn_the_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "correct horse").unwrap();
        let auth = Auth::default();
        auth.load(file.path()).unwrap();
        let (guesser, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let tried = std::iter::repeat_with(|| auth.check(b"wrong", guesser)).take_while(|shown| *shown == Shown::Wrong);
        assert!((5..50).contains(&tried.count()));
        assert!(matches!(auth.check(b"correct horse", guesser), Shown::TooMany(_)));
        assert_eq!(auth.check(b"correct horse", other), Shown::Right);
        assert_eq!(auth.check(b"", guesser), Shown::Wrong, "no password is no guess");
    }
}
