//! Connection settings, fixed ones and the user's, and the translation of Kafka errors to errors that say what to do.
//!
//! Credentials come from a file of client settings, one `name=value` per line in librdkafka's names. They are read when
//! a connection is made, stored nowhere else, and never shown: messages name a setting, not its value (`secrets`). A
//! process that holds credentials disables its core dumps.
//!
//! Not for: what is sent or read.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};

use super::secrets::Secrets;
use crate::error::{Error, Result};
use crate::format::Compression;
use crate::job::text_file;
use crate::resources;

/// How long a cluster may take to answer a request.
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one metadata request waits before errors are checked.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// Settings that the protocol fixes.
const RESERVED_SETTINGS: [&str; 14] = [
    "acks",
    "bootstrap.servers",
    "compression.codec",
    "compression.type",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "metadata.broker.list",
    "request.required.acks",
    "transaction.timeout.ms",
    "transactional.id",
];

/// A cluster and how to reach it.
#[derive(Clone)]
pub struct Connection {
    brokers: String,
    file: Option<PathBuf>,
    settings: Vec<(String, String)>,
    secrets: Secrets,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("brokers", &self.brokers).field("file", &self.file).finish_non_exhaustive()
    }
}

impl Connection {
    /// A cluster at `brokers`, with the client settings in the file `properties`.
    ///
    /// # Errors
    /// `Invalid` when it is not a file, or has a line that is not a setting or a setting that the protocol fixes;
    /// `Unavailable` when it cannot be read.
    pub fn new(brokers: &str, properties: Option<&Path>) -> Result<Self> {
        let settings = properties.map(read_settings).transpose()?.unwrap_or_default();
        let secrets = Secrets::of(&settings);
        if !secrets.is_empty() {
            resources::forbid_cores();
        }
        let file = properties.map(Path::to_path_buf);
        let connection = Self { brokers: brokers.to_owned(), file, settings, secrets };
        connection.check_settings()?;
        Ok(connection)
    }

    /// The bootstrap servers.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Checks that the cluster can be reached.
    ///
    /// # Errors
    /// `Invalid` when it refuses the credentials; `Unavailable` when it does not answer.
    pub fn check(&self) -> Result<()> {
        self.reach().map(drop)
    }

    /// A context that records the errors that librdkafka reports outside of calls.
    pub(super) fn listener(&self) -> ClientErrors {
        ClientErrors { secrets: self.secrets.clone(), heard: Mutex::default() }
    }

    /// Values that no message may show.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Settings of every client.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", concat!("cutover-", env!("CARGO_PKG_VERSION")));
        config.set("socket.keepalive.enable", "true");
        config.set("topic.metadata.refresh.interval.ms", "30000");
        // The longest wait before a lost broker is tried again.
        config.set("reconnect.backoff.max.ms", "2000");
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// Creates a client from `config`.
    pub(super) fn client<C, T: FromClientConfigAndContext<C>>(&self, config: &ClientConfig, context: C) -> Result<T>
    where
        C: ClientContext,
    {
        T::from_config_and_context(config, context).map_err(|error| match error {
            KafkaError::ClientConfig(_, _, name, _) => self.refused(&name),
            KafkaError::ClientCreation(why) => {
                let why = self.secrets.hidden(&why);
                Error::invalid(format!("cannot connect to Kafka: {why}{}", self.named()))
            }
            error => self.failed("cannot connect", &error),
        })
    }

    /// Fetches the cluster's metadata, which shows that it can be reached.
    ///
    /// # Errors
    /// `Invalid` when it refuses the credentials; `Unavailable` when it does not answer.
    pub(super) fn reach(&self) -> Result<(BaseProducer<ClientErrors>, Metadata)> {
        let client: BaseProducer<ClientErrors> = self.client(&self.config(), self.listener())?;
        let deadline = Instant::now() + OPERATION_TIMEOUT;
        loop {
            let answer = client.client().fetch_metadata(None, METADATA_TIMEOUT);
            let error = match answer {
                Ok(metadata) => return Ok((client, metadata)),
                Err(error) => error,
            };
            client.poll(Duration::ZERO);
            let heard = client.context().heard();
            let refused = heard.as_ref().is_some_and(|(code, _)| is_refusal(*code));
            if refused || Instant::now() > deadline {
                return Err(self.unreachable(heard, &error));
            }
        }
    }

    fn unreachable(&self, heard: Option<(RDKafkaErrorCode, String)>, error: &KafkaError) -> Error {
        match heard {
            Some((code, why)) if is_refusal(code) => {
                Error::invalid(format!("Kafka at {} refuses the credentials{}", self.brokers, self.named()))
                    .because(why)
            }
            Some((_, why)) => {
                Error::unavailable(format!("cannot reach Kafka at {}; check the address and the brokers", self.brokers))
                    .because(why)
            }
            None => Error::unavailable(format!("Kafka at {} does not answer; is it up?", self.brokers))
                .because(self.secrets.hidden(&error.to_string())),
        }
    }

    /// The error of a failed call, with what to do about it.
    pub(super) fn failed(&self, doing: &str, error: &KafkaError) -> Error {
        let code = match error {
            KafkaError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        self.failed_with(doing, code, error.clone())
    }

    /// The same for an error code alone.
    pub(super) fn failed_code(&self, doing: &str, code: RDKafkaErrorCode) -> Error {
        self.failed_with(doing, Some(code), KafkaError::Global(code))
    }

    fn failed_with(&self, doing: &str, code: Option<RDKafkaErrorCode>, cause: KafkaError) -> Error {
        use RDKafkaErrorCode as Code;
        let at = &self.brokers;
        let error = match code {
            Some(code) if is_refusal(code) => {
                Error::invalid(format!("{doing}: Kafka at {at} refuses the credentials{}", self.named()))
            }
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::PolicyViolation,
            ) => Error::invalid(format!(
                "{doing}: this user has no right to do that in Kafka at {at}; schemas/kafka-protocol.md lists the \
                 required rights"
            )),
            Some(
                Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::InvalidTransactionalState,
            ) => {
                Error::conflict(format!("{doing}: another publisher has taken over; nothing was announced by this one"))
            }
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Error::invalid(format!(
                "{doing}: a record is larger than Kafka at {at} accepts; raise its message.max.bytes or make the value \
                 smaller"
            )),
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => Error::conflict(
                format!("{doing}: the topic is gone; another publisher has taken over, or the topic was deleted"),
            ),
            _ => Error::unavailable(format!("{doing} in Kafka at {at}")),
        };
        // The cause is redacted: librdkafka's message may quote a setting.
        error.because(self.secrets.hidden(&cause.to_string()))
    }

    fn named(&self) -> String {
        match &self.file {
            Some(file) => format!("; check the client settings in {}", file.display()),
            None => "; no file of client settings is given".to_owned(),
        }
    }

    fn refused(&self, name: &str) -> Error {
        Error::invalid(format!("the client setting {name:?} or its value is unknown to librdkafka{}", self.named()))
    }

    fn check_settings(&self) -> Result<()> {
        if let Some((name, _)) = self.settings.iter().find(|(name, _)| RESERVED_SETTINGS.contains(&name.as_str())) {
            return Err(Error::invalid(format!(
                "the client setting {name:?} is decided by the protocol and cannot be set{}",
                self.named()
            )));
        }
        self.config().create_native_config().map(drop).map_err(|error| match error {
            KafkaError::ClientConfig(_, _, name, _) => self.refused(&name),
            error => self.failed("cannot use the client settings", &error),
        })
    }
}

/// Whether a code says that authentication failed.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism | Code::SSL)
}

/// librdkafka's name of a codec.
pub(super) fn codec(compression: Compression) -> &'static str {
    match compression {
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
        Compression::None => "none",
    }
}

fn read_settings(path: &Path) -> Result<Vec<(String, String)>> {
    let text = text_file::read_text(path)
        .map_err(|error| error.during(format!("cannot read the client settings in {}", path.display())))?;
    let mut settings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                settings.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => {
                return Err(Error::invalid(format!(
                    "{}:{}: not a setting; write name=value, such as security.protocol=SASL_SSL",
                    path.display(),
                    number + 1
                )));
            }
        }
    }
    Ok(settings)
}

/// Records the errors that librdkafka reports outside of calls.
#[derive(Debug, Default)]
pub(super) struct ClientErrors {
    secrets: Secrets,
    heard: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl ClientErrors {
    /// The last error; the first authentication failure takes precedence over all others.
    pub(super) fn heard(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hear(&self, code: RDKafkaErrorCode, why: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let vague = matches!(code, RDKafkaErrorCode::AllBrokersDown);
        let keeps = heard.as_ref().is_some_and(|(code, _)| is_refusal(*code) || vague);
        if !keeps {
            *heard = Some((code, self.secrets.hidden(why)));
        }
    }
}

/// Forwards a line of librdkafka's log to `tracing`.
pub(super) fn log(secrets: &Secrets, level: RDKafkaLogLevel, facility: &str, line: &str) {
    tracing::debug!(target: "librdkafka", ?level, facility, "{}", secrets.hidden(line));
}

/// The same for an error that it reports outside of calls.
pub(super) fn log_error(secrets: &Secrets, error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", error = secrets.hidden(&error.to_string()), reason = secrets.hidden(reason));
}

impl ClientContext for ClientErrors {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(&self.secrets, level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&self.secrets, &error, reason);
        if let Some(code) = error.rdkafka_error_code() {
            self.hear(code, reason);
        }
    }
}

impl ConsumerContext for ClientErrors {}

impl ProducerContext for ClientErrors {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Connection> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.properties");
        std::fs::write(&path, text).unwrap();
        Connection::new("127.0.0.1:9092", Some(&path))
    }

    #[test]
    fn settings_are_read_and_secrets_are_never_shown() {
        let text =
            "# TLS\nsecurity.protocol = SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=se=cret\n";
        let connection = with(text).unwrap();
        assert_eq!(connection.config().get("sasl.password"), Some("se=cret"));
        assert!(!format!("{connection:?}").contains("cret"));
        for (wrong, named) in [
            ("sasl.password", ":1: not a setting"),
            ("acks=0", "\"acks\" is decided by the protocol"),
            ("no.such.setting=se=cret", "\"no.such.setting\" or its value"),
            ("socket.timeout.ms=se=cret", "\"socket.timeout.ms\" or its value"),
        ] {
            let error = with(wrong).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Invalid);
            let said = error.chain().join("\n");
            assert!(said.contains(named) && !said.contains("se=cret"), "{said}");
        }
    }

    #[test]
    fn settings_that_librdkafka_quotes_are_hidden() {
        let text = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nenable.sasl.oauthbearer.unsecure.jwt=true\n\
            sasl.oauthbearer.config=principal=me secret=hunter2\n";
        let connection = with(text).unwrap();
        let error = connection.reach().map(drop).unwrap_err();
        let said = error.chain().join("\n");
        assert!(said.contains("sasl.oauthbearer.config") && said.contains("***"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("secret=") && !said.contains("principal="), "{said}");
        let quoted = connection.failed("cannot do it", &KafkaError::ClientCreation("bad secret=hunter2".to_owned()));
        assert!(!quoted.chain().join("\n").contains("hunter2"));
    }

    #[test]
    fn settings_may_be_mounted_as_a_link_but_must_be_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, "security.protocol=PLAINTEXT\n").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        Connection::new("127.0.0.1:9092", Some(&link)).unwrap();
        for none in [directory.path(), Path::new("/dev/null"), &directory.path().join("absent")] {
            let error = Connection::new("127.0.0.1:9092", Some(none)).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Invalid, "{none:?}: {error}");
        }
    }
}
