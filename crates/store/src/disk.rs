//! The disk under the store: who has it, is there room on it.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Inner;
use super::journal::sync_dir;
use crate::error::Error;
use crate::limits::{BALLAST_BYTES, FREE_SPACE_MIN_BYTES, MOVE_SPACE_MIN_BYTES};

/// Makes the data directory where it is missing, and those above it; and their names durable. A start that was killed may have
/// made some of them, so that the one above is synced each time.
pub(super) fn create_dir(dir: &Path) -> Result<(), Error> {
    // The one above `data` is here.
    let above = |dir: &Path| match dir.parent() {
        Some(above) if above.as_os_str().is_empty() => Some(PathBuf::from(".")),
        above => above.map(Path::to_owned),
    };
    let mut missing = Vec::new();
    let mut at = Some(dir.to_owned());
    while let Some(here) = at.filter(|here| !here.exists()) {
        at = above(&here);
        missing.push(here);
    }
    std::fs::create_dir_all(dir).map_err(Error::io("create the directory", dir))?;
    let made = missing.iter().map(PathBuf::as_path).chain([dir]);
    made.filter_map(above).try_for_each(|above| sync_dir(&above))
}

/// An error where there is no data directory of dantok.
pub fn expect_data_dir(dir: &Path) -> Result<(), Error> {
    let format = dir.join("FORMAT");
    match std::fs::metadata(&format) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(Error::NoStore { path: dir.to_owned(), hint: super::running::hint() })
        }
        Err(error) => Err(Error::io("find a data directory of dantok by the file", &format)(error)),
    }
}

/// The file that says who has the data directory.
pub(crate) const LOCK_FILE: &str = "dantok.lock";
/// What a restore makes is here until it is whole.
pub(super) const RESTORING_DIR: &str = "restoring";

/// Refuses what a restore has left that was cut off.
pub(super) fn expect_finished(dir: &Path) -> Result<(), Error> {
    if dir.join(RESTORING_DIR).exists() {
        return Err(Error::Unfinished { path: dir.to_owned() });
    }
    Ok(())
}

/// What of a start can be told without making or changing anything. Returns whether a daemon has the directory.
///
/// # Errors
/// What a start would say.
pub fn look(dir: &Path) -> Result<bool, Error> {
    use rustix::fs::{Access, access};
    let may = |path: &Path, what: &'static str| {
        access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| Error::io(what, path)(error.into()))
    };
    if std::fs::symlink_metadata(dir).is_err() {
        // It would be made.
        let above = dir.ancestors().skip(1).find(|above| above.exists()).filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new("."));
        if !above.is_dir() {
            return Err(Error::io("make a data directory in", above)(std::io::ErrorKind::NotADirectory.into()));
        }
        return may(above, "make a data directory in").map(|()| false);
    }
    std::fs::read_dir(dir).map_err(Error::io("list the directory", dir))?;
    for part in ["", "journal", "segments", "sled"].map(|part| dir.join(part)).iter().filter(|part| part.exists()) {
        may(part, "read and write in")?;
    }
    expect_finished(dir)?;
    super::migrate::format_of(dir)?;
    let path = dir.join(LOCK_FILE);
    let lock = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("open the lock file", &path)(error)),
    };
    // Let go at once: only a start at this very moment is told that another has it.
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}

/// Takes the data directory for this process; it is let go when the file is closed, also by a kill.
pub(super) fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK_FILE);
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let file = open.map_err(Error::io("open the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}

/// What the files under a directory take, as `of` measures a file.
pub(super) fn bytes_in(dir: &Path, of: &impl Fn(&Metadata) -> u64) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path(), of),
        Ok(metadata) => of(&metadata),
        Err(_) => 0, // Files come and go.
    });
    sizes.sum()
}

/// Lets the ballast go, so that the store can be opened on a full disk.
pub(super) fn drop_ballast(dir: &Path) -> Result<(), Error> {
    let path = dir.join("ballast");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
        _ => Ok(()),
    }
}

/// Takes the ballast again; where there is no room for it, the start goes on without, and writes are refused.
pub(super) fn take_ballast(dir: &Path) {
    let path = dir.join("ballast");
    let taken = File::create(&path).and_then(|file| {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST_BYTES)?;
        file.sync_all()
    });
    if let Err(error) = taken {
        tracing::warn!(path = %path.display(), %error, "can't reserve space for restarts on a full disk");
        let _ = std::fs::remove_file(&path);
    }
}

/// Free bytes for this process on the file system of `dir`.
pub fn free_bytes(dir: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Notes whether there is still room for writes; returns whether there is for the mover.
pub(super) fn watch_space(inner: &Inner) -> bool {
    let free = free_bytes(&inner.dir);
    let room = free.as_ref().map_or(true, |free| *free >= MOVE_SPACE_MIN_BYTES);
    match free {
        Ok(free) => {
            let short = free < FREE_SPACE_MIN_BYTES;
            if inner.short_of_space.swap(short, Ordering::Relaxed) != short {
                if short {
                    tracing::error!(path = %inner.dir.display(), free, needed = FREE_SPACE_MIN_BYTES, "disk nearly full: refusing writes until there is room");
                } else {
                    tracing::info!(path = %inner.dir.display(), free, "room on the disk again: taking writes");
                }
            }
        }
        Err(error) => tracing::warn!(path = %inner.dir.display(), %error, "can't tell the free space"),
    }
    room
}
