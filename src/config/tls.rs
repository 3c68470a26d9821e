//! The settings of TLS, and how they depend on each other.

use std::path::PathBuf;

use super::table::{one, quoted};
use super::{Config, ConfigError, Setting, address};
use crate::tls::Files;

/// The settings of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Addresses to listen on for TLS.
    pub listen: Vec<String>,
    /// Whether a socket for TLS was passed in.
    pub is_passed: bool,
    /// The certificate file.
    pub cert: Option<PathBuf>,
    /// Its key file.
    pub key: Option<PathBuf>,
    /// The file of the authorities that sign client certificates.
    pub client_ca: Option<PathBuf>,
}

const HEADING: &str = "TLS";

pub(super) const LISTEN: Setting = Setting {
    name: "listen-tls",
    value: "ADDRESS",
    heading: HEADING,
    help: "Address to listen on for TLS, like 0.0.0.0:7421; may be repeated; needs --tls-cert and --tls-key",
    many: true,
    switch: false,
    parse: |config, values| address::list(values).map(|addresses| config.tls.listen = addresses),
    show: |config| toml::Value::from(config.tls.listen.clone()).to_string(),
};

pub(super) const CERT: Setting = Setting {
    name: "tls-cert",
    value: "FILE",
    heading: HEADING,
    help: "The daemon's certificate chain in PEM form; read again at SIGHUP",
    many: false,
    switch: false,
    parse: |config, values| file(values).map(|path| config.tls.cert = path),
    show: |config| shown(config.tls.cert.as_ref()),
};

pub(super) const KEY: Setting = Setting {
    name: "tls-key",
    value: "FILE",
    heading: HEADING,
    help: "The private key in PEM form, without a passphrase; read again at SIGHUP",
    many: false,
    switch: false,
    parse: |config, values| file(values).map(|path| config.tls.key = path),
    show: |config| shown(config.tls.key.as_ref()),
};

pub(super) const CLIENT_CA: Setting = Setting {
    name: "tls-client-ca",
    value: "FILE",
    heading: HEADING,
    help: "CA certificates in PEM form; TLS clients must then present a certificate signed by one of them; read again at SIGHUP",
    many: false,
    switch: false,
    parse: |config, values| file(values).map(|path| config.tls.client_ca = path),
    show: |config| shown(config.tls.client_ca.as_ref()),
};

/// Parses a file name. An empty one means none, as `dantok config` shows it.
fn file(values: &[String]) -> Result<Option<PathBuf>, String> {
    Ok(Some(one(values)?).filter(|path| !path.is_empty()).map(PathBuf::from))
}

fn shown(path: Option<&PathBuf>) -> String {
    quoted(&path.map_or_else(Default::default, |path| path.to_string_lossy()))
}

impl Config {
    /// The files for TLS; none if TLS is not used.
    ///
    /// # Errors
    /// A setting is missing: no one must get less protection than they asked for.
    pub fn tls_files(&self) -> Result<Option<Files>, ConfigError> {
        let Tls { cert, key, client_ca, .. } = &self.tls;
        match (!self.wants_tls(), cert, key) {
            (false, Some(cert), Some(key)) => {
                Ok(Some(Files { cert: cert.clone(), key: key.clone(), client_ca: client_ca.clone() }))
            }
            (false, ..) => {
                let missing = if cert.is_none() { "--tls-cert" } else { "--tls-key" };
                let who = match () {
                    () if self.tls.is_passed => "a socket for TLS",
                    () if self.tls.listen.is_empty() => "--web-tls",
                    () => "--listen-tls",
                };
                Err(ConfigError::of(format!(
                    "{who} needs a certificate and its key: {missing} FILE is missing (docs/operating.md tells how to make one)"
                )))
            }
            (true, None, None) if client_ca.is_none() => Ok(None),
            (true, ..) => {
                let given = [(cert, "--tls-cert"), (key, "--tls-key"), (client_ca, "--tls-client-ca")];
                let given = given.iter().find(|(path, _)| path.is_some()).map_or("", |(_, name)| name);
                Err(ConfigError::of(format!(
                    "{given} has no effect without --listen-tls ADDRESS or --web-tls ADDRESS: nothing would be served over TLS"
                )))
            }
        }
    }
}
