//! The environment variables of a service manager, and those that were mistyped.

use std::path::{Path, PathBuf};

use super::nearest::meant;
use super::{Config, SETTINGS, Setting, Source};

/// Settings that a file in `$CREDENTIALS_DIRECTORY` provides, with its name.
const CREDENTIALS: &[(&str, &str)] = &[
    ("tokens", "tokens.toml"),
    ("tls-cert", "tls-cert.pem"),
    ("tls-key", "tls-key.pem"),
    ("tls-client-ca", "tls-client-ca.pem"),
];

/// What the environment has besides the variables of settings.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// systemd's `$STATE_DIRECTORY`: where everything is stored. If it is a list separated by colons, the first is used.
    pub state_directory: Option<String>,
    /// systemd's `$CREDENTIALS_DIRECTORY`: files that only the daemon may read.
    pub credentials_directory: Option<PathBuf>,
    /// Whether a socket for TLS was handed in, so that TLS is wanted without an address for it.
    pub passes_tls: bool,
    /// Variables that are named like settings but are not.
    pub unread: Vec<String>,
}

impl Environment {
    /// Reads the environment.
    pub fn read(passes_tls: bool) -> Environment {
        Environment {
            state_directory: std::env::var("STATE_DIRECTORY").ok(),
            credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            passes_tls,
            unread: unread(std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned())),
        }
    }

    /// Warns of variables that have no effect, a sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let ours = SETTINGS.iter().map(Setting::env).collect::<Vec<_>>();
        let meant = |name: &str| {
            let ours = ours.iter().map(String::as_str).chain(["DANTOK_CONFIG"]);
            meant(&name.to_uppercase(), ours, "`dantok config` prints all settings")
        };
        self.unread.iter().map(|name| format!("${name} is set, but nothing reads it; {}", meant(name))).collect()
    }

    /// A value for a setting that is not set otherwise, and its source.
    pub(super) fn value(&self, setting: &str, config: &Config) -> Option<(String, Source)> {
        if setting == "data-dir" {
            let first = self.state_directory.as_deref()?.split(':').next().filter(|dir| !dir.is_empty())?;
            return Some((first.to_owned(), Source::Env("STATE_DIRECTORY".to_owned())));
        }
        // A certificate may be there before TLS is used.
        if setting.starts_with("tls-") && !config.wants_tls() {
            return None;
        }
        let (_, file) = CREDENTIALS.iter().find(|(name, _)| *name == setting)?;
        let path = self.credentials_directory.as_deref().map(|dir| dir.join(file)).filter(|path| is_there(path))?;
        Some((path.to_str()?.to_owned(), Source::Env("CREDENTIALS_DIRECTORY".to_owned())))
    }
}

/// Variables that are meant for dantok and that nothing reads.
fn unread(names: impl Iterator<Item = String>) -> Vec<String> {
    let is_read = |name: &str| {
        // Variables of the chat client and of this project's tests.
        matches!(name, "DANTOK_CONFIG" | "DANTOK_TOKEN")
            || name.starts_with("DANTOK_TEST_")
            || SETTINGS.iter().any(|setting| setting.env() == name)
    };
    let mut unread: Vec<_> =
        names.filter(|name| name.to_uppercase().starts_with("DANTOK_") && !is_read(name)).collect();
    unread.sort();
    unread
}

/// Whether a file exists. If that can't be told, whoever reads it reports why.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}
