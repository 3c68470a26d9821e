//! What files of secrets have in common: secrets are random and kept as hashes only, commands change the files, and a running daemon
//! notices that.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serializer};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Random bytes in a secret: far too many to guess, so that its hash needs no salt and the search for it no defence.
pub(crate) const SECRET_BYTES: usize = 20;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

/// Random bytes, in hex digits. `path` is the file that they are for.
pub(crate) fn random(bytes: usize, path: &Path) -> Result<String, Error> {
    let mut random = vec![0; bytes];
    let filled = getrandom::fill(&mut random).map_err(|error| std::io::Error::other(error.to_string()));
    filled.map_err(Error::io("get random bytes for", path))?;
    Ok(hex(&random))
}

/// What tells one version of a file from another.
pub(crate) type Stamp = (u64, i64, i64, u64);

pub(crate) fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}

/// Reads a file; none if there is none. `what` is done here, as in "can't …".
pub(crate) fn read<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<Option<(Stamp, T)>, Error> {
    // Opening a FIFO must not block.
    let file = match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(what, path)(error)),
    };
    // From the open file, since the name may lead to another by now.
    let stamp = file.metadata().map(|metadata| stamp(&metadata)).map_err(Error::io(what, path))?;
    Ok(Some((stamp, parse(file, path, what)?)))
}

pub(crate) fn parse<T: DeserializeOwned>(file: File, path: &Path, what: &'static str) -> Result<T, Error> {
    if !file.metadata().map_err(Error::io(what, path))?.is_file() {
        return Err(Error::io(what, path)(std::io::Error::other("it is not a regular file")));
    }
    let text = std::io::read_to_string(file).map_err(Error::io(what, path))?;
    toml::from_str(&text).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        what: error.message().to_owned(),
        line: error.span().map_or(0, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1)),
    })
}

/// Times as RFC 3339 has them.
pub(crate) mod rfc3339 {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&dantok_protocol::units::time(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        humantime::parse_rfc3339(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
