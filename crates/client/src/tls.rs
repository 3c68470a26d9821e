//! TLS with a daemon.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dantok_net::pem::{Error, certificates, key, misfit, provider, roots};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError, ClientConfig};
use tokio_rustls::{TlsConnector, client};

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
