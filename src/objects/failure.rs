//! What an error of a store asks of the person who reads it.
//!
//! The client's own text is not passed on: it holds whole answers, which repeat what was sent. A message has the
//! status, the store's code and its sentence, shortened and without control characters.
//!
//! Not for: deciding whether a conditional put was applied (see `write`).

use std::error::Error as Cause;

use object_store::client::{HttpError, HttpErrorKind};

use crate::error::Error;
use crate::escape;

/// How the client begins the text of an answer that is an error.
const STATUS: &str = "Server returned non-2xx status code: ";
const DELETE: &str = "DeleteObjects request failed for key ";
/// Characters of a store's sentence that are shown.
const SENTENCE: usize = 200;
/// What the addresses of the services hold that give credentials to programs on a machine.
const METADATA: [&str; 4] = ["/latest/api/token", "/latest/meta-data", "computeMetadata", "/metadata/identity"];
/// The kinds of credentials that are looked for, for messages.
const CREDENTIALS: &str = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, or \
                           AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY";

/// What came back, or what kept it from coming.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status, where there was an answer.
    pub(super) status: Option<u16>,
    /// The store's word for the error, such as `NoSuchBucket`.
    pub(super) code: Option<String>,
    sentence: Option<String>,
    /// Where there was no answer, why.
    transport: Option<HttpErrorKind>,
    /// The deepest cause, where there was no answer.
    root: Option<String>,
}

impl Answer {
    pub(super) fn of(error: &object_store::Error) -> Self {
        let mut answer = Self::default();
        let mut next: Option<&(dyn Cause + 'static)> = Some(error);
        while let Some(error) = next {
            if let Some(http) = error.downcast_ref::<HttpError>() {
                answer.transport = Some(http.kind());
            }
            let text = error.to_string();
            if let Some(rest) = text.strip_prefix(STATUS) {
                answer.status =
                    rest.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
                answer.code = element(rest, "Code");
                answer.sentence = element(rest, "Message");
            }
            // One of many deletes, in an answer that as a whole is none of an error.
            if text.starts_with(DELETE) {
                answer.code = text.rsplit_once("(code: ").map(|(_, code)| code.trim_end_matches(')').to_owned());
                answer.status = Some(if answer.has_code(&["AccessDenied"]) { 403 } else { 500 });
            }
            if answer.status.is_none() {
                answer.root = Some(text);
            }
            next = error.source();
        }
        answer
    }

    /// Whether the request was certainly not sent.
    pub(super) fn is_unsent(&self) -> bool {
        self.transport == Some(HttpErrorKind::Connect)
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// It in one line.
    fn line(&self) -> String {
        let Some(status) = self.status else {
            return cut(self.root.as_deref().unwrap_or("no answer"));
        };
        let code = self.code.as_deref().map(|code| format!(" {}", cut(code))).unwrap_or_default();
        let sentence = self.sentence.as_deref().map(|sentence| format!(": {}", cut(sentence))).unwrap_or_default();
        format!("HTTP {status}{code}{sentence}")
    }
}

/// Our error for one of a store's. `doing` is like "read s3://bucket/key".
pub(super) fn classified(doing: &str, error: &object_store::Error) -> Error {
    let answer = Answer::of(error);
    let classified = match error {
        object_store::Error::InvalidPath { .. } => Error::input(format!(
            "cannot {doing}: the store has an object there whose name has an empty segment, `.`, `..` or a control \
             character; rename or delete it"
        )),
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
            Error::invalid(format!("cannot {doing}: this store does not support it"))
        }
        _ if METADATA.iter().any(|part| error.to_string().contains(part)) => Error::invalid(format!(
            "cannot {doing}: there are no credentials, neither in the environment ({CREDENTIALS}) nor from this machine's \
             metadata service"
        )),
        _ => by_answer(doing, &answer),
    };
    classified.because(answer.line())
}

fn by_answer(doing: &str, answer: &Answer) -> Error {
    if answer.has_code(&["NoSuchBucket", "ContainerNotFound"]) {
        return Error::invalid(format!("cannot {doing}: there is no such bucket; create it, or correct the URL"));
    }
    if answer.has_code(&["ExpiredToken", "TokenRefreshRequired"]) {
        return Error::invalid(format!("cannot {doing}: the credentials have expired; renew them and run again"));
    }
    let refused = ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed"];
    if answer.status == Some(401) || answer.has_code(&refused) {
        return Error::invalid(format!(
            "cannot {doing}: the store refuses the credentials; correct them, in the environment ({CREDENTIALS}) or \
             in the file that CUTOVER_OBJECT_SETTINGS names"
        ));
    }
    if answer.has_code(&["RequestTimeTooSkewed"]) {
        return Error::unavailable(format!("cannot {doing}: this machine's clock is wrong; set it and run again"));
    }
    match answer.status {
        Some(403) => Error::invalid(format!(
            "cannot {doing}: the credentials have no right to; give them the right, or use others"
        )),
        Some(301 | 307 | 308) => wrong_region(doing),
        Some(405 | 501) => Error::invalid(format!("cannot {doing}: this store does not support it")),
        Some(404) => Error::conflict(format!("cannot {doing}: it does not exist any more")),
        Some(409 | 412) => Error::conflict(format!("cannot {doing}: it was replaced meanwhile")),
        Some(429 | 500..) => {
            Error::unavailable(format!("cannot {doing}: the store is overloaded or failing; run again later"))
        }
        Some(_) => Error::unavailable(format!("cannot {doing}: the store refuses the request")),
        None => unanswered(doing, answer),
    }
}

fn unanswered(doing: &str, answer: &Answer) -> Error {
    let root = answer.root.as_deref().unwrap_or_default();
    if root.contains("redirect without LOCATION") {
        return wrong_region(doing);
    }
    match answer.transport {
        Some(HttpErrorKind::Connect) => Error::unavailable(format!(
            "cannot {doing}: the store cannot be reached; is its endpoint right, and is it up?"
        )),
        Some(HttpErrorKind::Timeout) => {
            Error::unavailable(format!("cannot {doing}: the store did not answer in time; run again later"))
        }
        Some(_) => Error::unavailable(format!("cannot {doing}: the connection broke off; run again")),
        None => Error::unavailable(format!("cannot {doing}: the store sent an invalid answer")),
    }
}

fn wrong_region(doing: &str) -> Error {
    Error::invalid(format!("cannot {doing}: the bucket is in another region; set AWS_REGION to it"))
}

/// The text of the first element of that name in an answer.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text.to_owned())
}

/// A text of the store's for people: escaped, and not longer than a sentence.
fn cut(text: &str) -> String {
    let end = text.char_indices().nth(SENTENCE).map_or(text.len(), |(end, _)| end);
    escape::escaped(&text[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// The client's own errors cannot be made here; what is read of them is their text.
    #[derive(Debug)]
    struct Said(&'static str);

    impl std::fmt::Display for Said {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Cause for Said {}

    fn classified_text(text: &'static str) -> Error {
        classified("read s3://lake/a", &object_store::Error::Generic { store: "S3", source: Box::new(Said(text)) })
    }

    #[test]
    fn an_answer_is_classified_by_its_code_and_status() {
        for (text, kind, part) in [
            ("404 Not Found: <Error><Code>NoSuchBucket</Code></Error>", Kind::Invalid, "no such bucket"),
            ("404 Not Found: ", Kind::Conflict, "does not exist any more"),
            ("403 Forbidden: <Error><Code>AccessDenied</Code></Error>", Kind::Invalid, "no right to"),
            (
                "403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code></Error>",
                Kind::Invalid,
                "refuses the credentials",
            ),
            ("400 Bad Request: <Error><Code>ExpiredToken</Code></Error>", Kind::Invalid, "have expired"),
            ("403 Forbidden: <Error><Code>RequestTimeTooSkewed</Code></Error>", Kind::Unavailable, "clock"),
            ("401 Unauthorized: ", Kind::Invalid, "refuses the credentials"),
            ("412 Precondition Failed: ", Kind::Conflict, "replaced meanwhile"),
            ("503 Service Unavailable: ", Kind::Unavailable, "run again later"),
            ("501 Not Implemented: ", Kind::Invalid, "does not support it"),
            ("301 Moved Permanently: ", Kind::Invalid, "AWS_REGION"),
        ] {
            let error = classified_text(Box::leak(format!("{STATUS}{text}").into_boxed_str()));
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn only_the_code_and_the_message_are_shown() {
        let text = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                    <Message>It differs.\u{1b}[2J</Message><StringToSign>hunter2</StringToSign></Error>";
        assert_eq!(classified_text(text).chain()[1], "HTTP 403 SignatureDoesNotMatch: It differs.\\u{1b}[2J");
        let long = Box::leak(format!("{STATUS}500 X: <Message>{}</Message>", "x".repeat(100_000)).into_boxed_str());
        assert!(classified_text(long).chain()[1].len() < 300);
    }

    #[test]
    fn requests_that_could_not_be_made_are_classified() {
        assert!(
            classified_text("GET http://169.254.169.254/latest/api/token")
                .message()
                .contains("there are no credentials")
        );
        let many = classified_text("DeleteObjects request failed for key a: Access Denied. (code: AccessDenied)");
        assert_eq!((many.kind(), many.message().contains("no right to")), (Kind::Invalid, true));
    }
}
