//! Certificates, keys and what is made of them: a side of TLS.

mod validity;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub use validity::{Purpose, Validity};

/// Files that can't be used: the message names the one, and says what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    fn of(path: &Path, what: impl std::fmt::Display) -> Error {
        Error(format!("{}: {what}", path.display()))
    }
}

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

/// Connects the client's side. `cert_and_key` are for a daemon that wants to see a certificate.
///
/// # Errors
/// What the files or the socket say.
pub(crate) async fn connect(
    stream: TcpStream,
    ca: &Path,
    cert_and_key: Option<&(PathBuf, PathBuf)>,
    name: &str,
) -> Result<client::TlsStream<TcpStream>, Failed> {
    let config = client_config(ca, cert_and_key)?;
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| Error(format!("{name}: no name that a certificate could have")))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// Why there is no TLS with a daemon.
pub(crate) enum Failed {
    Files(Error),
    Socket(io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Files(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Socket(error)
    }
}

/// Why it is TLS that failed; none where it is the socket below it, which may be better the next time.
pub(crate) fn why(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidMessage(_) => "what listens there does not speak TLS".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::Other(why)) if why.to_string() == "CaUsedAsEndEntity" => {
            "its certificate is a CA's own (CA:TRUE); it needs one for a server (CA:FALSE)".to_owned()
        }
        other => other.to_string(),
    })
}

/// The one provider: named, so that whatever else a program links does not choose another.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
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

fn client_config(ca: &Path, cert_and_key: Option<&(PathBuf, PathBuf)>) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error(error.to_string()))?
        .with_root_certificates(roots(ca, certificates(ca)?)?);
    match cert_and_key {
        None => Ok(config.with_no_client_auth()),
        Some((cert_path, key_path)) => config
            .with_client_auth_cert(certificates(cert_path)?, key(key_path)?)
            .map_err(|error| misfit(cert_path, key_path, &error)),
    }
}

fn misfit(cert: &Path, key: &Path, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            Error::of(key, format_args!("is not the key of the certificate in {}", cert.display()))
        }
        rustls::Error::InvalidCertificate(_) => Error::of(cert, error),
        _ => Error::of(key, format_args!("can't be used with {}: {error}", cert.display())),
    }
}

/// How long the certificates of these files are good for.
///
/// # Errors
/// A file that can't be read, or has no certificate in it.
pub fn validities(files: &Files) -> Result<Vec<Validity>, Error> {
    Ok(validities_of(files, &certificates(&files.cert)?, client_ca(files)?.as_ref()))
}

type Certificates = Vec<CertificateDer<'static>>;

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

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(no_pem(path, "certificate", &pem::Error::NoItemsFound)),
        Err(error) => Err(no_pem(path, "certificate", &error)),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| no_pem(path, "private key without a passphrase", &error))
}

fn roots(path: &Path, certificates: Certificates) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| Error::of(path, error))?;
    }
    Ok(roots)
}

fn no_pem(path: &Path, wanted: &str, error: &pem::Error) -> Error {
    match error {
        pem::Error::Io(error) => Error::of(path, format_args!("can't read it: {error}")),
        pem::Error::NoItemsFound => Error::of(path, format_args!("has no {wanted} in PEM form")),
        error => Error::of(path, format_args!("has no {wanted} in PEM form: {error}")),
    }
}
