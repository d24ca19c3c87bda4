//! Credentials, rights and buckets that are missing or wrong: each a clear error, and no secret in any text.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::server::{SECRET, Server, free_ports};
use cutover::error::{Error, Kind};
use cutover::internals::objects::{Bucket, Key, Location, Settings};

fn key() -> Key {
    Key::new("a").unwrap()
}

fn open(name: &str, settings: &Settings) -> Bucket {
    Bucket::open(&Location::parse(&format!("s3://{name}")).unwrap(), settings).unwrap()
}

fn assert_message_contains(error: &Error, part: &str) {
    assert_eq!(error.kind(), Kind::Invalid, "{:?}", error.chain());
    assert!(error.message().contains(part), "{:?}", error.chain());
}

#[test]
fn wrong_credentials_are_reported_and_not_shown() {
    let Some(server) = Server::shared() else { return };
    let name = server.bucket();
    for (user, secret) in [("admin", "hunter2-hunter2"), ("nobody", "hunter2-hunter2")] {
        let bucket = open(&name, &Server::settings_of(server.port(), user, secret));
        let errors = [
            bucket.get(&key(), 10).unwrap_err(),
            bucket.put(&key(), b"x".to_vec()).unwrap_err(),
            bucket.put_if_absent(&key(), b"x".to_vec()).unwrap_err(),
            bucket.list(None, |_| Ok(())).unwrap_err(),
            bucket.delete([key()]).unwrap_err(),
        ];
        for error in errors {
            assert_message_contains(&error, "refuses the credentials");
            assert!(!format!("{error:?} {:?} {bucket:?}", error.chain()).contains("hunter2"), "{error:?}");
        }
    }
}

#[test]
fn missing_write_rights_are_reported() {
    let Some(server) = Server::shared() else { return };
    let name = server.bucket();
    open(&name, &Server::settings(server.port())).put(&key(), b"x".to_vec()).unwrap();
    let bucket = open(&name, &Server::settings_of(server.port(), "reader", "reader-secret"));
    assert_eq!(bucket.get(&key(), 10).unwrap().unwrap().bytes, b"x");
    assert_message_contains(&bucket.put(&key(), b"y".to_vec()).unwrap_err(), "have no right to");
    assert_message_contains(&bucket.put_if_absent(&key(), b"y".to_vec()).unwrap_err(), "have no right to");
    assert_message_contains(&bucket.delete([key()]).unwrap_err(), "have no right to");
    assert_eq!(bucket.get(&key(), 10).unwrap().unwrap().bytes, b"x");
}

#[test]
fn a_missing_bucket_is_reported() {
    let Some(server) = Server::shared() else { return };
    let bucket = open("there-is-none", &Server::settings(server.port()));
    assert_message_contains(&bucket.get(&key(), 10).unwrap_err(), "there is no such bucket");
    assert_message_contains(&bucket.list(None, |_| Ok(())).unwrap_err(), "there is no such bucket");
    assert_message_contains(&bucket.put(&key(), b"y".to_vec()).unwrap_err(), "there is no such bucket");
    assert_message_contains(&bucket.put_if_absent(&key(), b"y".to_vec()).unwrap_err(), "there is no such bucket");
}

#[test]
fn missing_credentials_are_reported() {
    let location = Location::parse("s3://any").unwrap();
    let refused =
        |settings: &[(&str, &str)]| Bucket::open(&location, &Settings::of(settings.iter().copied())).unwrap_err();
    assert_message_contains(
        &refused(&[("AWS_EC2_METADATA_DISABLED", "true")]),
        "there are no credentials for s3://any",
    );
    assert_message_contains(&refused(&[("AWS_ACCESS_KEY_ID", "admin")]), "go together");
    assert_message_contains(&refused(&[("AWS_ENDPOINT_URL", "http://192.0.2.1")]), "use https");
    let metadata = format!("http://127.0.0.1:{}", free_ports(1));
    let bucket =
        open("any", &Settings::of([("AWS_METADATA_ENDPOINT", metadata.as_str()), ("AWS_ENDPOINT_URL", &metadata)]));
    assert_message_contains(
        &bucket.get(&key(), 10).unwrap_err(),
        "there are no credentials, neither in the environment",
    );
    let azure = Location::parse("az://any").unwrap();
    assert_message_contains(&Bucket::open(&azure, &Settings::default()).unwrap_err(), "AZURE_STORAGE_ACCOUNT_NAME");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_is_in_the_log_at_its_finest() {
    let Some(server) = Server::shared() else { return };
    let log = Log::default();
    let writer = log.clone();
    let all =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // For all threads, as the requests are made on others; the only test that sets it.
    tracing::subscriber::set_global_default(all).unwrap();
    let token = "hunter2-session-token";
    let endpoint = format!("http://127.0.0.1:{}", server.port());
    let settings = Settings::of([
        ("AWS_ACCESS_KEY_ID", "admin"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", token),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
    ]);
    let bucket = open(&server.bucket(), &settings);
    let _ = bucket.put(&key(), b"x".to_vec());
    let _ = bucket.get(&key(), 10);
    let _ = bucket.list(None, |_| Ok(()));
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("127.0.0.1"), "the requests are in the log");
    assert!(!text.contains(SECRET) && !text.contains(token));
}
