//! The client's side of TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dantok_net::pem::{Error, certificates, key, misfit, provider, roots};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError, ClientConfig};
use tokio_rustls::{TlsConnector, client};

/// Performs the client's handshake. `cert_and_key` is for a daemon that asks for a certificate.
///
/// # Errors
/// A file is unusable, or the handshake failed.
pub(crate) async fn connect(
    stream: TcpStream,
    ca: &Path,
    cert_and_key: Option<&(PathBuf, PathBuf)>,
    name: &str,
) -> Result<client::TlsStream<TcpStream>, Failed> {
    let config = client_config(ca, cert_and_key)?;
    let name =
        ServerName::try_from(name.to_owned()).map_err(|_| Error(format!("{name} can't be a name in a certificate")))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// Why TLS failed.
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

/// The reason, if TLS itself failed; `None` for an error of the socket below it, for which retrying may help.
pub(crate) fn why(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidMessage(_) => "what listens there does not speak TLS".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::Other(why)) if why.to_string() == "CaUsedAsEndEntity" => {
            "its certificate is a CA's own (CA:TRUE); the daemon needs a server certificate (CA:FALSE)".to_owned()
        }
        other => other.to_string(),
    })
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
