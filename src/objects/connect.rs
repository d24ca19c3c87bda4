//! Makes the clients of a location, by the settings.
//!
//! Each store has two: one that sends again what failed, and one that sends once, for conditional puts. Both share one
//! source of credentials. Settings beyond those of `names` are not passed on, such as those that would turn off the
//! check of certificates.
//!
//! Not for: sending anything.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use tokio::sync::Semaphore;

use super::location::{Location, Scheme};
use super::names::{
    AWS, AWS_CREDENTIALS, AWS_ENDPOINTS, AZURE, AZURE_ENDPOINTS, GOOGLE, GOOGLE_ENDPOINTS, NO_METADATA,
};
use super::settings::Settings;
use super::traffic::{Counting, Counts};
use super::{Bucket, Writer, upload};
use crate::error::{Error, Result};

/// Times that credentials are asked for again, where a metadata service gives them: mostly there is none.
const CREDENTIAL_RETRIES: usize = 2;

/// The longest wait before a request is sent again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What the clients of one location have in common.
struct Common<'a> {
    location: &'a Location,
    settings: &'a Settings,
    counts: Arc<Counts>,
}

pub(super) fn connect(location: &Location, settings: &Settings) -> Result<Bucket> {
    let common = Common { location, settings, counts: Arc::default() };
    let (store, writer) = match location.scheme() {
        Scheme::S3 => common.s3()?,
        Scheme::Gcs => common.gcs()?,
        Scheme::Azure => common.azure()?,
        Scheme::Http => (common.http()?, None),
        Scheme::File => (Arc::new(LocalFileSystem::new()) as Arc<dyn ObjectStore>, None),
    };
    Ok(Bucket {
        location: location.clone(),
        store,
        writer,
        counts: common.counts,
        settle_for: settings.patience().retry_for,
        parts: Arc::new(Semaphore::new(upload::PARTS)),
    })
}

type Clients = (Arc<dyn ObjectStore>, Option<Writer>);

impl Common<'_> {
    fn s3(&self) -> Result<Clients> {
        let plain = self.plain(&AWS_ENDPOINTS)?;
        let has = |name| self.settings.get(name).is_some();
        if has("AWS_ACCESS_KEY_ID") != has("AWS_SECRET_ACCESS_KEY") {
            return Err(Error::invalid("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together: set both or none"));
        }
        let is_named = AWS_CREDENTIALS.into_iter().any(has);
        if !is_named && self.settings.is_on(NO_METADATA)? {
            return Err(Error::invalid(format!(
                "there are no credentials for {}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (profiles of ~/.aws \
                 are not read)",
                self.location
            )));
        }
        let mut builder = AmazonS3Builder::new().with_bucket_name(self.location.place());
        for (name, value) in self.values(&AWS) {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some((_, endpoint)) = self.settings.first(&AWS_ENDPOINTS) {
            builder = builder.with_endpoint(endpoint);
        }
        let builder = builder
            .with_client_options(self.options(plain))
            .with_http_connector(self.counting())
            .with_checksum_algorithm(Checksum::SHA256);
        let asking = builder.clone().with_retry(self.retries(CREDENTIAL_RETRIES)).build();
        let asking = asking.map_err(|error| self.refused(&error))?;
        let builder = builder.with_credentials(Arc::clone(asking.credentials()));
        let build = |retries| builder.clone().with_retry(self.retries(retries)).build();
        let store = Arc::new(build(self.settings.patience().retries).map_err(|error| self.refused(&error))?);
        let once = Arc::new(build(0).map_err(|error| self.refused(&error))?);
        Ok((Arc::clone(&store) as _, Some(Writer { once, multipart: store })))
    }

    fn gcs(&self) -> Result<Clients> {
        let plain = self.plain(&GOOGLE_ENDPOINTS)?;
        let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(self.location.place());
        for (name, value) in self.values(&GOOGLE) {
            if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let builder = builder.with_client_options(self.options(plain)).with_http_connector(self.counting());
        // What it says of a key that cannot be read may repeat a part of the key.
        let refused = |_| {
            Error::invalid(format!(
                "the settings for {} are incomplete or wrong: set one of GOOGLE_APPLICATION_CREDENTIALS, \
                 GOOGLE_SERVICE_ACCOUNT and GOOGLE_SERVICE_ACCOUNT_KEY, and check the key that it names or is",
                self.location
            ))
        };
        let asking = builder.clone().with_retry(self.retries(CREDENTIAL_RETRIES)).build().map_err(refused)?;
        let builder = builder.with_credentials(Arc::clone(asking.credentials()));
        let build = |retries| builder.clone().with_retry(self.retries(retries)).build().map_err(refused);
        let store = Arc::new(build(self.settings.patience().retries)?);
        let once = Arc::new(build(0)?);
        Ok((Arc::clone(&store) as _, Some(Writer { once, multipart: store })))
    }

    fn azure(&self) -> Result<Clients> {
        let plain = self.plain(&AZURE_ENDPOINTS)?;
        if self.settings.get("AZURE_STORAGE_ACCOUNT_NAME").is_none() {
            return Err(Error::invalid(format!("{} needs AZURE_STORAGE_ACCOUNT_NAME to be set", self.location)));
        }
        let mut builder = MicrosoftAzureBuilder::new().with_container_name(self.location.place());
        for (name, value) in self.values(&AZURE) {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let builder = builder.with_client_options(self.options(plain)).with_http_connector(self.counting());
        let asking = builder.clone().with_retry(self.retries(CREDENTIAL_RETRIES)).build();
        let asking = asking.map_err(|error| self.refused(&error))?;
        let builder = builder.with_credentials(Arc::clone(asking.credentials()));
        let build = |retries| builder.clone().with_retry(self.retries(retries)).build();
        let store = Arc::new(build(self.settings.patience().retries).map_err(|error| self.refused(&error))?);
        let once = Arc::new(build(0).map_err(|error| self.refused(&error))?);
        Ok((Arc::clone(&store) as _, Some(Writer { once, multipart: store })))
    }

    fn http(&self) -> Result<Arc<dyn ObjectStore>> {
        let plain = self.location.is_plain();
        if plain {
            self.settings.check_plain("the URL", self.location.place())?;
        }
        let builder = HttpBuilder::new()
            .with_url(self.location.root())
            .with_client_options(self.options(plain))
            .with_http_connector(self.counting())
            .with_retry(self.retries(self.settings.patience().retries));
        Ok(Arc::new(builder.build().map_err(|error| self.refused(&error))?))
    }

    /// Whether the endpoint of the settings is reached without TLS.
    fn plain(&self, names: &[&'static str]) -> Result<bool> {
        Ok(self.settings.endpoint(names)?.is_some_and(|(_, plain)| plain))
    }

    fn values<'s>(&'s self, names: &'static [&'static str]) -> impl Iterator<Item = (&'static str, &'s str)> {
        names.iter().filter_map(|name| Some((*name, self.settings.get(name)?)))
    }

    fn options(&self, plain: bool) -> ClientOptions {
        let patience = self.settings.patience();
        ClientOptions::new()
            .with_allow_http(plain)
            .with_timeout(patience.request)
            .with_connect_timeout(patience.connect)
    }

    fn counting(&self) -> Counting {
        Counting(Arc::clone(&self.counts))
    }

    fn retries(&self, max_retries: usize) -> RetryConfig {
        let backoff = BackoffConfig { max_backoff: LONGEST_WAIT, ..BackoffConfig::default() };
        RetryConfig { max_retries, retry_timeout: self.settings.patience().retry_for, backoff }
    }

    /// Our error for settings that the client does not take.
    fn refused(&self, error: &object_store::Error) -> Error {
        let text = error.to_string();
        let incomplete = Error::invalid(format!("the settings for {} are incomplete or wrong", self.location));
        if self.settings.appear_in(&text) { incomplete } else { incomplete.because(text) }
    }
}
