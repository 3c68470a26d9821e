//! The data directory and the disk it is on: creating and locking the directory, and free space.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files::{LOCK_FILE, RESTORING_DIR, sync_dir};
use crate::limits::BALLAST_BYTES;
use crate::running;

/// Whether a directory is a data directory, intact or damaged: each has a lock file.
pub fn is_data_dir(dir: &Path) -> bool {
    dir.join(LOCK_FILE).is_file() && dir.join("FORMAT").is_file()
}

/// Creates the data directory and its parents where they are missing, and makes their names durable. An earlier start may have
/// been killed after creating some of them, so the parent is synced each time.
pub(crate) fn create_dir(dir: &Path) -> Result<(), Error> {
    // The parent of `data` is the current directory.
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

/// Fails if this is not a data directory.
pub fn expect_data_dir(dir: &Path) -> Result<(), Error> {
    let format = dir.join("FORMAT");
    match std::fs::metadata(&format) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(Error::NoStore { path: dir.to_owned(), hint: running::hint() })
        }
        Err(error) => Err(Error::io("look for a data directory by the file", &format)(error)),
    }
}

/// Fails if a restore into the directory has not finished.
pub(crate) fn expect_finished(dir: &Path) -> Result<(), Error> {
    if dir.join(RESTORING_DIR).exists() {
        return Err(Error::Unfinished { path: dir.to_owned() });
    }
    Ok(())
}

/// Locks the data directory for this process, until the file is closed or the process ends.
pub(crate) fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK_FILE);
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let file = open.map_err(Error::io("open the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}

/// The sum of the files under a directory, each measured by `of`.
pub(crate) fn bytes_in(dir: &Path, of: &impl Fn(&Metadata) -> u64) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path(), of),
        Ok(metadata) => of(&metadata),
        Err(_) => 0, // Files come and go.
    });
    sizes.sum()
}

/// Removes the ballast, so that the store can be opened on a full disk.
pub(crate) fn drop_ballast(dir: &Path) -> Result<(), Error> {
    let path = dir.join("ballast");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
        _ => Ok(()),
    }
}

/// Creates the ballast again. If there is no room for it, the start continues without, and writes are refused.
pub(crate) fn restore_ballast(dir: &Path) {
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
