//! Who may talk to whom: TLS with certificates on both sides, or the loopback interface.
//!
//! A plan is work that an executor does with its own credentials, so anyone who can pose as a driver has power over it,
//! and anyone who can pose as an executor learns where the data is. Without certificates only processes of one machine
//! meet.
//!
//! Not for: access to the object store, for which every process has credentials in its own environment.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::error::{Error, IoContext, Result};

/// The files in the directory of certificates.
const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// How the driver and executors know each other.
#[derive(Clone, Debug)]
pub enum Security {
    /// They are on one machine.
    Loopback,
    /// By certificates of one authority, which are in a directory: `ca.pem`, `cert.pem` and `key.pem`.
    Tls(PathBuf),
}

impl Security {
    /// By the certificates in a directory, if one is given.
    pub fn new(directory: Option<PathBuf>) -> Self {
        directory.map_or(Self::Loopback, Self::Tls)
    }

    /// The addresses that `HOST:PORT` names, all of which may be used.
    ///
    /// # Errors
    /// `Invalid` for what is no address, and for one beyond this machine without certificates; `Unavailable` when the
    /// name is not known.
    pub fn addresses(&self, place: &str) -> Result<Vec<SocketAddr>> {
        if place.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
            return Err(Error::invalid(format!("{place:?} is not HOST:PORT, such as 10.0.0.5:4600")));
        }
        let found = place.to_socket_addrs();
        let found: Vec<SocketAddr> = found
            .map_err(|error| Error::unavailable(format!("the host name in {place} cannot be resolved")).because(error))?
            .collect();
        if matches!(self, Self::Loopback) && !found.iter().all(|address| address.ip().is_loopback()) {
            return Err(Error::invalid(format!(
                "{place} is not on this machine, so a driver and its executors need certificates: give both \
                 --cluster-tls DIR with {}",
                FILES.join(", ")
            )));
        }
        Ok(found)
    }

    /// What the driver asks of executors.
    ///
    /// # Errors
    /// `Invalid` when a file is missing.
    pub(super) fn server(&self) -> Result<Option<ServerTlsConfig>> {
        let Self::Tls(directory) = self else { return Ok(None) };
        let [ca, certificate, key] = read(directory)?;
        let config = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        Ok(Some(config.client_ca_root(Certificate::from_pem(ca)).client_auth_optional(false)))
    }

    /// What an executor asks of the driver at `host`.
    ///
    /// # Errors
    /// As [`Security::server`].
    pub(super) fn client(&self, host: &str) -> Result<Option<ClientTlsConfig>> {
        let Self::Tls(directory) = self else { return Ok(None) };
        let [ca, certificate, key] = read(directory)?;
        let config = ClientTlsConfig::new().identity(Identity::from_pem(certificate, key));
        Ok(Some(config.ca_certificate(Certificate::from_pem(ca)).domain_name(host)))
    }
}

fn read(directory: &Path) -> Result<[Vec<u8>; 3]> {
    let [ca, certificate, key] = FILES.map(|name| {
        let path = directory.join(name);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::invalid(format!("{} is missing: --cluster-tls needs {}", path.display(), FILES.join(", "))))
            }
            read => read.io("read", &path),
        }
    });
    Ok([ca?, certificate?, key?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn without_certificates_only_this_machine_is_allowed() {
        let loopback = Security::new(None);
        for place in ["127.0.0.1:4600", "[::1]:4600", "127.3.4.5:0"] {
            assert!(loopback.addresses(place).is_ok(), "{place}");
        }
        for place in ["0.0.0.0:4600", "10.0.0.5:4600", "[::]:4600"] {
            let error = loopback.addresses(place).unwrap_err();
            assert!(error.kind() == Kind::Invalid && error.message().contains("--cluster-tls"), "{place}: {error}");
            assert!(Security::new(Some("certificates".into())).addresses(place).is_ok(), "{place}");
        }
        for place in ["127.0.0.1", ":4600", "a:b", ""] {
            assert_eq!(loopback.addresses(place).unwrap_err().kind(), Kind::Invalid, "{place}");
        }
    }

    #[test]
    fn a_certificate_that_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let security = Security::new(Some(directory.path().to_owned()));
        assert!(security.server().unwrap_err().message().contains("ca.pem is missing"));
        assert!(security.client("host").unwrap_err().message().contains("ca.pem is missing"));
    }
}
