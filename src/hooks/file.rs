//! The file of hooks.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::secrets::rfc3339;

/// The file's name in the data directory.
pub const NAME: &str = "hooks.toml";

/// The head of the file.
pub(super) const HEAD: &str = "# Which incoming hooks may write into which room. `dantok hook` changes this file; the secrets in their URLs are not in it,\n\
    # but those that GitHub signs with are.\n";

/// A hook, without the secret of its URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// The name of the room that it writes into.
    pub room: String,
    /// The number of that room; none until there is a room of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The hash of the secret, in hex digits.
    pub sha256: String,
    /// When it was added.
    #[serde(with = "rfc3339")]
    pub added: SystemTime,
    /// What GitHub signs its requests with. Then the hook takes no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github_secret: Option<Key>,
}

impl Hook {
    /// The client that its messages are sent by.
    pub fn client(&self) -> String {
        client(&self.name)
    }
}

/// The client that a hook's messages are sent by.
pub(super) fn client(name: &str) -> String {
    format!("{}/{name}", dantok_protocol::name::HOOK)
}

/// A secret that has to be known itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub String);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    #[serde(default)]
    pub(super) hook: Vec<Hook>,
}
