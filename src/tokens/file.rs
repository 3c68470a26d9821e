//! The tokens file: its contents, and reading it.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, READ_TOKENS as READ};
use dantok_protocol::name::person;

/// The prefix of every token, which makes it recognisable wherever it turns up.
pub(super) const PREFIX: &str = "dantok_";
pub(super) const SECRET_BYTES: usize = 20;
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

mod rfc3339 {
    use std::time::SystemTime;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&dantok_protocol::units::time(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        humantime::parse_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn hash(token: &str) -> String {
    hex(&Sha256::digest(token))
}

pub(super) fn random(bytes: usize, path: &Path) -> Result<String, Error> {
    let mut random = vec![0; bytes];
    let filled = getrandom::fill(&mut random).map_err(|error| std::io::Error::other(error.to_string()));
    filled.map_err(Error::io("get random bytes for", path))?;
    Ok(hex(&random))
}

/// What tells one version of the file from another.
pub(super) type Stamp = (u64, i64, i64, u64);

pub(super) fn read(path: &Path) -> Result<Option<(Stamp, Vec<Token>)>, Error> {
    // Opening a FIFO must not block.
    let file = match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(READ, path)(error)),
    };
    // From the open file, since the name may lead to another by now.
    let stamp = file.metadata().map(|metadata| stamp(&metadata)).map_err(Error::io(READ, path))?;
    Ok(Some((stamp, parse(file, path)?)))
}

pub(super) fn parse(file: File, path: &Path) -> Result<Vec<Token>, Error> {
    if !file.metadata().map_err(Error::io(READ, path))?.is_file() {
        return Err(Error::io(READ, path)(std::io::Error::other("it is not a regular file")));
    }
    let text = std::io::read_to_string(file).map_err(Error::io(READ, path))?;
    let contents: Contents = toml::from_str(&text).map_err(|error| Error::Tokens {
        path: path.to_owned(),
        what: error.message().to_owned(),
        line: error.span().map_or(0, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1)),
    })?;
    Ok(contents.token)
}

pub(super) fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}
