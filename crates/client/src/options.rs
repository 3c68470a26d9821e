//! What a client is told about its daemon and about itself.

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::time::Duration;

/// Whom to talk to, and as whom.
#[derive(Clone)]
pub struct Options {
    /// The daemon's host and port.
    pub address: String,
    /// The client's name, with `/device` behind it if it has one.
    pub client: String,
    /// The client's secret, where the daemon has tokens.
    pub token: Option<String>,
    /// The epoch of what the caller remembers of an earlier client: [`Welcome::epoch`](dantok_protocol::Welcome::epoch) from then. Where the rooms were restored
    /// from a backup since, [`connect`](crate::Client::connect) is refused with [`ErrorCode::Epoch`](dantok_protocol::ErrorCode::Epoch). None for who remembers no seqs.
    pub epoch: Option<String>,
    /// How long to keep trying while the daemon does not answer, the first connection included; none: for ever.
    pub reconnect: Option<Duration>,
    /// For an address where the daemon speaks TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
}

/// What TLS with a daemon takes. The files are read for each connection.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Who may sign the daemon's certificate: PEM.
    pub ca: PathBuf,
    /// The name that the certificate must be for; none: the address's host.
    pub server_name: Option<String>,
    /// The client's own certificate and its key, where the daemon asks for one: PEM.
    pub cert_and_key: Option<(PathBuf, PathBuf)>,
}

#[cfg(feature = "tls")]
impl Tls {
    /// Without a certificate of the client's own; the daemon's is for the address's host.
    pub fn new(ca: impl Into<PathBuf>) -> Self {
        Tls { ca: ca.into(), server_name: None, cert_and_key: None }
    }
}

impl Options {
    /// Without a token and without TLS; tries for ever.
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
        // A token is not for logs.
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
