//! The tokens file: its contents, and reading it.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::{Error, READ_TOKENS as READ};
use crate::secrets::{self, Stamp, rfc3339};
use dantok_protocol::name::person;

/// The prefix of every token, which makes it recognisable wherever it turns up.
pub(super) const PREFIX: &str = "dantok_";
pub(super) const ID_BYTES: usize = 4;

/// The head of the file.
pub(super) const HEAD: &str = "# Who may connect to dantok, and as whom. `dantok token` changes this file; the tokens themselves are not in it.\n";

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What any client may do.
    Member,
    /// Everything, in every room.
    Admin,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its id, which is not secret.
    pub id: String,
    /// Its client: a person with all devices, or a single device.
    pub client: String,
    /// What its bearer may do.
    pub role: Role,
    /// The hash of the token, in hex digits.
    pub sha256: String,
    /// When it was issued.
    #[serde(with = "rfc3339")]
    pub issued: SystemTime,
    /// When it expires; none: never.
    #[serde(default, with = "optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub expires: Option<SystemTime>,
}

impl Token {
    /// Whether it has expired.
    pub fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= SystemTime::now())
    }

    /// Whether its bearer may be this client.
    pub(super) fn serves(&self, client: &str) -> bool {
        self.client == client || self.client == person(client)
    }
}

mod optional_rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::rfc3339::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
        super::rfc3339::deserialize(deserializer).map(Some)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    #[serde(default)]
    pub(super) token: Vec<Token>,
}

pub(super) fn read(path: &Path) -> Result<Option<(Stamp, Vec<Token>)>, Error> {
    let found = secrets::read::<Contents>(path, READ)?;
    Ok(found.map(|(stamp, contents)| (stamp, contents.token)))
}
