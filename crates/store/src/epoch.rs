//! Which history a store has. All copies of a store have the same seqs, but as soon as they continue, a seq means something else
//! in each: a room restored from a backup gives seqs that already existed to other messages. So a store gets an epoch when it is
//! created, and another one when it is restored; whoever remembers a seq remembers the epoch with it.
//!
//! The epoch is in the file `EPOCH` in the data directory: 16 hex digits and a newline. If there is none, or it can't be read,
//! the next start makes another: clients then begin again from their cursors, and miss nothing. A version that knows nothing of
//! epochs leaves the file alone, so it does not change the data directory's format.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::disk;
use crate::error::Error;
use crate::replace::Target;

const FILE: &str = "EPOCH";
const DIGITS: usize = 16;

/// The epoch of a data directory, if it has one yet.
///
/// # Errors
/// I/O errors.
pub fn read(dir: &Path) -> Result<Option<Arc<str>>, Error> {
    let path = dir.join(FILE);
    let is_one =
        |text: &str| text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match std::fs::read(&path) {
        Ok(bytes) => Ok(std::str::from_utf8(&bytes).ok().map(str::trim_end).filter(|text| is_one(text)).map(Arc::from)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// Gives a data directory that is not in use another epoch: for one that was copied back from a backup by hand. Returns it.
///
/// # Errors
/// There is no data directory, or it is in use; I/O errors.
pub fn renew(dir: &Path) -> Result<Arc<str>, Error> {
    disk::expect_data_dir(dir)?;
    let _lock = disk::lock(dir)?;
    make(dir)
}

/// The epoch of a data directory that is being opened. If it has none, one is made, durably.
pub(crate) fn open(dir: &Path) -> Result<Arc<str>, Error> {
    match read(dir)? {
        Some(epoch) => Ok(epoch),
        None => {
            let epoch = make(dir)?;
            tracing::info!(path = %dir.display(), %epoch, "the store has a new epoch");
            Ok(epoch)
        }
    }
}

/// After a failure: writes it again, in case only memory has it.
pub(crate) fn write_again(dir: &Path) -> Result<(), Error> {
    read(dir)?.map_or(Ok(()), |epoch| write(dir, &epoch))
}

fn make(dir: &Path) -> Result<Arc<str>, Error> {
    let no_number = |error| Error::io("make a random number for", &dir.join(FILE))(std::io::Error::other(error));
    let epoch = format!("{:016x}", getrandom::u64().map_err(no_number)?);
    write(dir, &epoch)?;
    Ok(epoch.into())
}

/// Durably and atomically.
fn write(dir: &Path, epoch: &str) -> Result<(), Error> {
    Target::find(&dir.join(FILE), "write")?.write(format!("{epoch}\n").as_bytes(), "write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_until_it_is_renewed_or_lost() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(read(dir).unwrap(), None);
        let epoch = open(dir).unwrap();
        assert_eq!(epoch.len(), DIGITS);
        assert_eq!(open(dir).unwrap(), epoch);
        assert_eq!(read(dir).unwrap(), Some(epoch.clone()));
        // A mistyped name must not create an epoch.
        assert!(renew(dir).unwrap_err().to_string().contains("FORMAT"));
        std::fs::write(dir.join("FORMAT"), "2\n").unwrap();
        let renewed = renew(dir).unwrap();
        assert_ne!(renewed, epoch);
        assert_eq!(open(dir).unwrap(), renewed);
        for torn in ["", "0123\n", "0123456789abcdeg\n", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
            std::fs::write(dir.join(FILE), torn).unwrap();
            assert_eq!(read(dir).unwrap(), None, "{torn:?}");
            let another = open(dir).unwrap();
            assert_ne!(another, renewed);
            assert_eq!(open(dir).unwrap(), another);
        }
    }
}
