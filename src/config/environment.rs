//! What a service manager says besides the settings' own variables.

use std::path::{Path, PathBuf};

use super::nearest::meant;
use super::{Config, SETTINGS, Setting, Source};

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
    /// Variables that begin like ours, and that nobody reads.
    pub unread: Vec<String>,
}

impl Environment {
    /// What the environment says.
    pub fn read(passes_tls: bool) -> Environment {
        Environment {
            state_directory: std::env::var("STATE_DIRECTORY").ok(),
            credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            passes_tls,
            unread: unread(std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned())),
        }
    }

    /// What was said that nobody listens to, a sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let ours = SETTINGS.iter().map(Setting::env).collect::<Vec<_>>();
        let meant = |name: &str| {
            let ours = ours.iter().map(String::as_str).chain(["DANTOK_CONFIG"]);
            meant(&name.to_uppercase(), ours, "`dantok config` prints all settings")
        };
        self.unread.iter().map(|name| format!("${name} is set, and nobody reads it; {}", meant(name))).collect()
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

/// Which of the environment's variables are meant for a dantok, and read by none.
fn unread(names: impl Iterator<Item = String>) -> Vec<String> {
    let is_read = |name: &str| {
        // The chat example's, and those of this project's own tests.
        matches!(name, "DANTOK_CONFIG" | "DANTOK_TOKEN")
            || name.starts_with("DANTOK_TEST_")
            || SETTINGS.iter().any(|setting| setting.env() == name)
    };
    let mut unread: Vec<_> =
        names.filter(|name| name.to_uppercase().starts_with("DANTOK_") && !is_read(name)).collect();
    unread.sort();
    unread
}

/// One that can't be looked at is left to whoever reads it to complain of.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}
