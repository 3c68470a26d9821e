//! What a service manager says besides the settings' own variables.

use std::path::{Path, PathBuf};

use super::{Config, Source};

/// What stands where in `$CREDENTIALS_DIRECTORY`, by setting.
const CREDENTIALS: &[(&str, &str)] = &[
    ("tokens", "tokens.toml"),
    ("tls-cert", "tls-cert.pem"),
    ("tls-key", "tls-key.pem"),
    ("tls-client-ca", "tls-client-ca.pem"),
];

/// What a service manager has said.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// systemd's `$STATE_DIRECTORY`: where everything is stored. It may be several, separated by colons; the first is meant.
    pub state_directory: Option<String>,
    /// systemd's `$CREDENTIALS_DIRECTORY`: files that only the daemon may read.
    pub credentials_directory: Option<PathBuf>,
    /// Whether a socket for TLS was handed in, so that TLS is wanted without an address for it.
    pub passes_tls: bool,
}

impl Environment {
    /// What the environment says.
    pub fn read(passes_tls: bool) -> Environment {
        Environment {
            state_directory: std::env::var("STATE_DIRECTORY").ok(),
            credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            passes_tls,
        }
    }

    /// A value for who says nothing else, and where it comes from.
    pub(super) fn value(&self, setting: &str, config: &Config) -> Option<(String, Source)> {
        if setting == "data-dir" {
            let first = self.state_directory.as_deref()?.split(':').next().filter(|dir| !dir.is_empty())?;
            return Some((first.to_owned(), Source::Env("STATE_DIRECTORY".to_owned())));
        }
        // A certificate may lie there before there is any use for it.
        if setting.starts_with("tls-") && !config.wants_tls() {
            return None;
        }
        let (_, file) = CREDENTIALS.iter().find(|(name, _)| *name == setting)?;
        let path = self.credentials_directory.as_deref().map(|dir| dir.join(file)).filter(|path| is_there(path))?;
        Some((path.to_str()?.to_owned(), Source::Env("CREDENTIALS_DIRECTORY".to_owned())))
    }
}

/// One that can't be looked at is left to whoever reads it to complain of.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}
