//! The password of both protocols, from a file.
//!
//! The file's content without the line end is the password. It is compared in a time that depends on its length alone.
//!
//! Not for: how clients send it (`resp`, `http`).

use std::path::Path;

use arc_swap::ArcSwapOption;

use crate::error::{Error, IoContext, Result};

/// The shortest password that is accepted.
const SHORTEST: usize = 8;
/// The longest, so that a wrong file is noticed.
const LONGEST: usize = 1024;

/// Who may ask.
#[derive(Debug, Default)]
pub struct Auth(ArcSwapOption<Vec<u8>>);

impl Auth {
    /// Whether a password is needed.
    pub fn is_needed(&self) -> bool {
        self.0.load().is_some()
    }

    /// Whether this is the password.
    pub fn accepts(&self, given: &[u8]) -> bool {
        self.0.load().as_ref().is_none_or(|password| is_same(password, given))
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
        self.0.store(Some(std::sync::Arc::new(password.to_vec())));
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
        assert!(auth.accepts(b"anything") && !auth.is_needed());
        std::fs::write(&file, "correct horse\r\n").unwrap();
        auth.load(file.path()).unwrap();
        assert!(auth.is_needed() && auth.accepts(b"correct horse"));
        for wrong in [&b""[..], b"correct horsf", b"correct hors", b"correct horse\n", b"correct horse "] {
            assert!(!auth.accepts(wrong), "{wrong:?}");
        }
        std::fs::write(&file, "short\n").unwrap();
        assert!(auth.load(file.path()).is_err());
        assert!(auth.accepts(b"correct horse"), "the password before");
    }
}
