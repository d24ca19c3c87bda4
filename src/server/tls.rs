//! TLS for both protocols: certificate and key from PEM files, read again when they change.
//!
//! Not for: client certificates. Clients show a password (`auth`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// Encrypts connections.
pub struct Tls {
    files: (PathBuf, PathBuf),
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads a certificate chain and its private key.
    ///
    /// # Errors
    /// `Invalid` when they cannot be read or do not belong together.
    pub fn load(certificates: &Path, key: &Path) -> Result<Self> {
        let files = (certificates.to_owned(), key.to_owned());
        Ok(Self { config: ArcSwap::from(read(&files.0, &files.1)?), files })
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// As [`Tls::load`]; the certificate is then as before.
    pub fn reload(&self) -> Result<()> {
        self.config.store(read(&self.files.0, &self.files.1)?);
        Ok(())
    }

    /// What new connections are accepted with.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn read(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let refused = |what: &str, file: &Path, error: Box<dyn std::error::Error + Send + Sync>| {
        Error::invalid(format!("cannot use {} as {what}", file.display())).because(error)
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect)
        .map_err(|error| refused("certificates", certificates, error.into()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| refused("private key", key, error.into()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("cannot set up TLS").because(error))?;
    let config = builder
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| refused("certificates with this key", certificates, error.into()))?;
    Ok(Arc::new(config))
}
