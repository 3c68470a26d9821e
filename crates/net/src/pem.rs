//! Reads certificates and keys from PEM files, for both sides of TLS.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, RootCertStore};

/// A file can't be used. The message names the file and says what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl Error {
    /// An error about a file.
    pub fn of(path: &Path, what: impl std::fmt::Display) -> Error {
        Error(format!("{}: {what}", path.display()))
    }
}

/// The cryptography provider. It is named explicitly, so that nothing else a program links can select another.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A certificate chain or a list of CAs, in the order of the file.
pub type Certificates = Vec<CertificateDer<'static>>;

/// Reads all certificates in a file.
///
/// # Errors
/// The file can't be read, or contains none.
pub fn certificates(path: &Path) -> Result<Certificates, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(no_pem(path, "certificate", &pem::Error::NoItemsFound)),
        Err(error) => Err(no_pem(path, "certificate", &error)),
    }
}

/// Reads the first private key in a file.
///
/// # Errors
/// The file can't be read, or contains none.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| no_pem(path, "private key without a passphrase", &error))
}

/// Trusts these certificates to sign others. `path` is for the error message.
///
/// # Errors
/// One of them can't be used as a CA.
pub fn roots(path: &Path, certificates: Certificates) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| Error::of(path, error))?;
    }
    Ok(roots)
}

/// Explains why a certificate and a key can't be used together.
pub fn misfit(cert: &Path, key: &Path, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            Error::of(key, format_args!("is not the key of the certificate in {}", cert.display()))
        }
        rustls::Error::InvalidCertificate(_) => Error::of(cert, error),
        _ => Error::of(key, format_args!("can't be used with {}: {error}", cert.display())),
    }
}

fn no_pem(path: &Path, wanted: &str, error: &pem::Error) -> Error {
    match error {
        pem::Error::Io(error) => Error::of(path, format_args!("can't read it: {error}")),
        pem::Error::NoItemsFound => Error::of(path, format_args!("has no {wanted} in PEM form")),
        error => Error::of(path, format_args!("has no {wanted} in PEM form: {error}")),
    }
}
