//! How a client connects and identifies itself.

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::time::Duration;

/// How to reach the daemon, and as which client.
#[derive(Clone)]
pub struct Options {
    /// The daemon's host and port.
    pub address: String,
    /// The client's name: `NAME` or `NAME/DEVICE`.
    pub client: String,
    /// The client's secret, if the daemon uses tokens.
    pub token: Option<String>,
    /// The [epoch](dantok_protocol::Welcome::epoch) of seqs that the caller remembers from an earlier client. If the rooms were restored
    /// from a backup since, [`connect`](crate::Client::connect) is refused with [`ErrorCode::Epoch`](dantok_protocol::ErrorCode::Epoch).
    /// `None` if the caller remembers no seqs.
    pub epoch: Option<String>,
    /// How long to keep trying while the daemon does not answer, including for the first connection; `None`: forever.
    pub reconnect: Option<Duration>,
    /// Set this if the daemon speaks TLS on the address.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
}

/// TLS settings. The files are read again for each connection.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the CA certificates that may sign the daemon's certificate.
    pub ca: PathBuf,
    /// The name that the certificate must be for; `None`: the host of the address.
    pub server_name: Option<String>,
    /// PEM files with the client's own certificate and its key, if the daemon asks for one.
    pub cert_and_key: Option<(PathBuf, PathBuf)>,
}

#[cfg(feature = "tls")]
impl Tls {
    /// TLS without a client certificate, to a daemon whose certificate is for the host of the address.
    pub fn new(ca: impl Into<PathBuf>) -> Self {
        Tls { ca: ca.into(), server_name: None, cert_and_key: None }
    }
}

impl Options {
    /// Options without a token or TLS, which keep trying forever.
    pub fn new(address: impl Into<String>, client: impl Into<String>) -> Self {
        Options {
            address: address.into(),
            client: client.into(),
            token: None,
            epoch: None,
            reconnect: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Tokens must not end up in logs.
        let mut shown = f.debug_struct("Options");
        shown
            .field("address", &self.address)
            .field("client", &self.client)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("epoch", &self.epoch)
            .field("reconnect", &self.reconnect);
        #[cfg(feature = "tls")]
        shown.field("tls", &self.tls);
        shown.finish()
    }
}
