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
/// Words for a request that arrived incomplete or altered, or took too long: it may succeed when it is sent again.
const TRANSIENT: [&str; 6] = [
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "RequestTimeout",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
];

/// The settings that a kind of store is reached by, for messages.
struct Names {
    credentials: &'static str,
    endpoint: &'static str,
}

/// By the URL in what was being done.
fn names(doing: &str) -> Names {
    let (credentials, endpoint) = if doing.contains(" gs://") {
        ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BASE_URL")
    } else if doing.contains(" az://") {
        ("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ENDPOINT")
    } else {
        ("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
    };
    Names { credentials, endpoint }
}

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
                answer.sentence = element(rest, "Message").or_else(|| json_sentence(rest));
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
            "cannot {doing}: there are no credentials, neither in the environment ({}) nor from this machine's metadata \
             service",
            names(doing).credentials
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
    if matches!(answer.status, Some(401 | 403)) && doing.contains(" http") {
        return Error::invalid(format!(
            "cannot {doing}: the server wants credentials, and none are sent to URLs of https; use one that needs none"
        ));
    }
    if answer.status == Some(401) || answer.has_code(&refused) {
        return Error::invalid(format!(
            "cannot {doing}: the store refuses the credentials; correct them, in the environment ({}) or in the file \
             that CUTOVER_OBJECT_SETTINGS names",
            names(doing).credentials
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
        // A listing of nothing is an answer with nothing in it.
        Some(404) if doing.starts_with("list ") => Error::invalid(format!(
            "cannot {doing}: there is no such bucket, or this store lists in another way; correct the URL or the endpoint"
        )),
        Some(404) => Error::conflict(format!("cannot {doing}: it does not exist any more")),
        Some(409 | 412) => Error::conflict(format!("cannot {doing}: it was replaced meanwhile")),
        Some(429 | 500..) => {
            Error::unavailable(format!("cannot {doing}: the store is overloaded or failing; run again later"))
        }
        Some(408 | 425) => Error::unavailable(format!("cannot {doing}: the request did not arrive in time; run again")),
        Some(_) if answer.has_code(&TRANSIENT) => {
            Error::unavailable(format!("cannot {doing}: the request did not arrive as it was sent; run again"))
        }
        // The same request gets the same answer.
        Some(_) => Error::invalid(format!("cannot {doing}: the store refuses the request")),
        None => unanswered(doing, answer),
    }
}

fn unanswered(doing: &str, answer: &Answer) -> Error {
    let root = answer.root.as_deref().unwrap_or_default();
    if root.contains("redirect without LOCATION") {
        return wrong_region(doing);
    }
    let endpoint = names(doing).endpoint;
    if root.contains("URL scheme is not allowed") {
        return Error::invalid(format!(
            "cannot {doing}: its endpoint is http, and was set elsewhere than in {endpoint}; set it there"
        ));
    }
    match answer.transport {
        Some(HttpErrorKind::Connect) if doing.contains(" http") => {
            Error::unavailable(format!("cannot {doing}: the server cannot be reached; is the URL right, and is it up?"))
        }
        Some(HttpErrorKind::Connect) => Error::unavailable(format!(
            "cannot {doing}: the store cannot be reached; is it up, and is {endpoint} right, if it is set?"
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

/// The sentence of an answer in JSON, as Google's services give them.
fn json_sentence(answer: &str) -> Option<String> {
    let (_, json) = answer.split_once('{')?;
    let value: serde_json::Value = serde_json::from_str(&format!("{{{json}")).ok()?;
    let sentence = ["/error/message", "/error_description", "/message"].iter().find_map(|at| value.pointer(at));
    Some(sentence?.as_str()?.to_owned())
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
            ("400 Bad Request: <Error><Code>RequestTimeout</Code></Error>", Kind::Unavailable, "run again"),
            ("400 Bad Request: <Error><Code>InvalidArgument</Code></Error>", Kind::Invalid, "refuses the request"),
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
        let json =
            "Server returned non-2xx status code: 400 Bad Request: {\"error\":{\"message\":\"invalid uploadType\"}}";
        assert_eq!(classified_text(json).chain()[1], "HTTP 400: invalid uploadType");
    }

    #[test]
    fn files_of_https_are_read_without_credentials() {
        let source = Box::new(Said("Server returned non-2xx status code: 401 Unauthorized: "));
        let error = object_store::Error::Generic { store: "HTTP", source };
        assert!(classified("read https://host/a.csv", &error).message().contains("none are sent"));
    }

    #[test]
    fn a_message_names_the_settings_of_its_kind_of_store() {
        let text = "Server returned non-2xx status code: 401 Unauthorized: ";
        let source = || Box::new(Said(text));
        for (url, name) in [("s3", "AWS_ACCESS"), ("gs", "GOOGLE_APPLICATION"), ("az", "AZURE_STORAGE")] {
            let error = object_store::Error::Generic { store: "", source: source() };
            let message = classified(&format!("read {url}://lake/a"), &error).message().to_owned();
            let others = ["AWS_", "GOOGLE_", "AZURE_"].iter().filter(|family| message.contains(**family)).count();
            assert!(message.contains(name) && others == 1, "{message}");
        }
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
