//! Certificates, keys and what is made of them: a side of TLS.

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

/// Where a daemon's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those that lead from it to one that clients know: PEM.
    pub cert: PathBuf,
    /// Its key: PEM.
    pub key: PathBuf,
    /// Who may sign the certificates that clients then must show: PEM.
    pub client_ca: Option<PathBuf>,
}

/// The daemon's side: what new connections are met with. Can be read again while it serves.
#[derive(Debug)]
pub struct Server {
    config: RwLock<Arc<ServerConfig>>,
    validities: RwLock<Vec<Validity>>,
}

impl Server {
    /// Reads the files.
    ///
    /// # Errors
    /// A file that can't be read, has not in it what it should, or does not belong to the others.
    pub fn load(files: &Files) -> Result<Server, Error> {
        let (config, validities) = server_side(files)?;
        Ok(Server { config: RwLock::new(Arc::new(config)), validities: RwLock::new(validities) })
    }

    /// Reads files again, or others, for connections from now on. After an error all is as it was.
    ///
    /// # Errors
    /// As [`Server::load`].
    pub fn reload(&self, files: &Files) -> Result<(), Error> {
        let (config, validities) = server_side(files)?;
        *self.validities.write().unwrap_or_else(PoisonError::into_inner) = validities;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    /// How long its certificates are good for: the whole chain, and those that sign clients'.
    pub fn validities(&self) -> Vec<Validity> {
        self.validities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says in the log what is to be said of them.
    pub fn warn(&self) {
        for remark in self.validities().iter().filter_map(Validity::remark) {
            tracing::warn!("{remark}");
        }
    }

    /// Meets a client; where that fails, its socket is given back, so that it gets to read why.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<server::TlsStream<TcpStream>, (io::Error, TcpStream)> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(stream).into_fallible().await
    }
}

/// What is made of files, and how long it is good for.
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

/// How long the certificates of these files are good for.
///
/// # Errors
/// A file that can't be read, or has no certificate in it.
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

/// Who may sign clients' certificates, and the file that says so.
fn client_ca(files: &Files) -> Result<Option<(&Path, Certificates)>, Error> {
    files.client_ca.as_deref().map(|path| Ok((path, certificates(path)?))).transpose()
}
