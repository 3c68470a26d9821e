//! Looking at a data directory without opening it.

use std::fs::{OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use crate::disk::expect_finished;
use crate::error::Error;
use crate::files::LOCK_FILE;
use crate::migrate;

/// Finds out what a start would find, without creating or changing anything. Returns whether the directory is in use.
///
/// # Errors
/// The errors of a start.
pub fn look(dir: &Path) -> Result<bool, Error> {
    use rustix::fs::{Access, access};
    let may = |path: &Path, what: &'static str| {
        access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| Error::io(what, path)(error.into()))
    };
    if std::fs::symlink_metadata(dir).is_err() {
        // A start would create it.
        let above = dir.ancestors().skip(1).find(|above| above.exists()).filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new("."));
        if !above.is_dir() {
            return Err(Error::io("create a data directory in", above)(ErrorKind::NotADirectory.into()));
        }
        return may(above, "create a data directory in").map(|()| false);
    }
    std::fs::read_dir(dir).map_err(Error::io("list the directory", dir))?;
    for part in ["", "journal", "segments", "sled"].map(|part| dir.join(part)).iter().filter(|part| part.exists()) {
        may(part, "read and write in")?;
    }
    expect_finished(dir)?;
    migrate::format_of(dir)?;
    let path = dir.join(LOCK_FILE);
    let lock = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("open the lock file", &path)(error)),
    };
    // Unlocked at once: only a start at this very moment is told that the directory is in use.
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}
