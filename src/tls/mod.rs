//! TLS for the daemon: its certificates and keys, and the server configuration made of them.

mod validity;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use dantok_net::pem::{Certificates, certificates, key, misfit, provider, roots};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::{TlsAcceptor, server};

pub use dantok_net::pem::Error;
pub use validity::{Purpose, Validity};

/// The files that TLS uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain of the daemon, its own certificate first: PEM.
    pub cert: PathBuf,
    /// The private key of the certificate: PEM.
    pub key: PathBuf,
    /// The certificate authorities for client certificates, which are required if this is set: PEM.
    pub client_ca: Option<PathBuf>,
}

/// The server side: what new connections get. Can be reloaded while the daemon serves.
#[derive(Debug)]
pub struct Server {
    config: RwLock<Arc<ServerConfig>>,
    validities: RwLock<Vec<Validity>>,
}

impl Server {
    /// Reads the files.
    ///
    /// # Errors
    /// A file can't be read, does not contain what it should, or does not match the others.
    pub fn load(files: &Files) -> Result<Server, Error> {
        let (config, validities) = server_side(files)?;
        Ok(Server { config: RwLock::new(Arc::new(config)), validities: RwLock::new(validities) })
    }

    /// Reads these files for connections from now on. After an error everything stays as it was.
    ///
    /// # Errors
    /// As [`Server::load`].
    pub fn reload(&self, files: &Files) -> Result<(), Error> {
        let (config, validities) = server_side(files)?;
        *self.validities.write().unwrap_or_else(PoisonError::into_inner) = validities;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    /// The validity of its certificates: the whole chain, and the authorities for client certificates.
    pub fn validities(&self) -> Vec<Validity> {
        self.validities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs a warning for each certificate that needs one.
    pub fn warn(&self) {
        for warning in self.validities().iter().filter_map(Validity::warning) {
            tracing::warn!("{warning}");
        }
    }

    /// Does the handshake with a client. If that fails, returns the socket, so that the client gets to read why.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<server::TlsStream<TcpStream>, (io::Error, TcpStream)> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(stream).into_fallible().await
    }
}

/// The configuration made of these files, and the validity of their certificates.
fn server_side(files: &Files) -> Result<(ServerConfig, Vec<Validity>), Error> {
    let (chain, key, client_ca) = (certificates(&files.cert)?, key(&files.key)?, client_ca(files)?);
    let validities = validities_of(files, &chain, client_ca.as_ref());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error(error.to_string()))?;
    let config = match client_ca {
        None => config.with_no_client_auth(),
        Some((path, certificates)) => {
            let roots = Arc::new(roots(path, certificates)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            config.with_client_cert_verifier(verifier.build().map_err(|error| Error::of(path, error))?)
        }
    };
    let config = config.with_single_cert(chain, key).map_err(|error| misfit(&files.cert, &files.key, &error))?;
    Ok((config, validities))
}

/// The validity of the certificates in these files.
///
/// # Errors
/// A file can't be read, or contains no certificate.
pub fn validities(files: &Files) -> Result<Vec<Validity>, Error> {
    Ok(validities_of(files, &certificates(&files.cert)?, client_ca(files)?.as_ref()))
}

fn validities_of(
    files: &Files,
    chain: &[CertificateDer<'_>],
    client_ca: Option<&(&Path, Certificates)>,
) -> Vec<Validity> {
    let mut found = Validity::of(&files.cert, Purpose::Server, chain);
    found.extend(client_ca.into_iter().flat_map(|(path, found)| Validity::of(path, Purpose::ClientCa, found)));
    found
}

/// The certificate authorities for client certificates, and the file with them.
fn client_ca(files: &Files) -> Result<Option<(&Path, Certificates)>, Error> {
    files.client_ca.as_deref().map(|path| Ok((path, certificates(path)?))).transpose()
}
