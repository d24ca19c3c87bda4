//! Shortens retries at an endpoint that has never responded: a wrong name or port is reported within seconds, while a
//! store that responded before is retried for much longer.
//!
//! Not for: counting retries, which the client does.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use object_store::client::{HttpError, HttpErrorKind, HttpResponse};

/// How long connections are tried to an endpoint that has never answered.
const TIME: Duration = Duration::from_secs(10);

/// Whether an endpoint has answered yet.
#[derive(Debug, Default)]
pub(super) struct FirstContact {
    first_failure: OnceLock<Instant>,
    has_answered: OnceLock<()>,
}

impl FirstContact {
    /// The result of a request; a failure to connect to a stranger becomes one that is not tried again, after a while.
    pub(super) fn judge(&self, result: Result<HttpResponse, HttpError>) -> Result<HttpResponse, HttpError> {
        match result {
            Ok(answer) => {
                let _ = self.has_answered.set(());
                Ok(answer)
            }
            Err(error) if error.kind() == HttpErrorKind::Connect && self.is_hopeless() => {
                Err(HttpError::new(HttpErrorKind::Unknown, Unreachable(error)))
            }
            Err(error) => Err(error),
        }
    }

    fn is_hopeless(&self) -> bool {
        self.has_answered.get().is_none() && self.first_failure.get_or_init(Instant::now).elapsed() >= TIME
    }
}

/// A failure to connect that is final. Its source is the failure, by which its kind is still known.
#[derive(Debug)]
struct Unreachable(HttpError);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the endpoint has never answered")
    }
}

impl std::error::Error for Unreachable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Result<HttpResponse, HttpError> {
        Err(HttpError::new(HttpErrorKind::Connect, std::io::Error::other("refused")))
    }

    fn kind(result: Result<HttpResponse, HttpError>) -> HttpErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn an_unknown_server_is_retried_briefly_and_a_known_one_longer() {
        let contact = FirstContact::default();
        assert_eq!(kind(contact.judge(refused())), HttpErrorKind::Connect);
        let long_ago = FirstContact::default();
        long_ago.first_failure.set(Instant::now().checked_sub(TIME).unwrap()).unwrap();
        assert_eq!(kind(long_ago.judge(refused())), HttpErrorKind::Unknown);
        long_ago.judge(Ok(HttpResponse::new(String::new().into()))).unwrap();
        assert_eq!(kind(long_ago.judge(refused())), HttpErrorKind::Connect);
    }
}
