//! The files of a data directory: names, places in them, and operations that all of them share.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The lock file: whoever uses the data directory holds its lock.
pub(crate) const LOCK_FILE: &str = "dantok.lock";
/// The directory in which a restore works until it is complete.
pub(crate) const RESTORING_DIR: &str = "restoring";

/// A file that holds chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileId {
    /// A journal file.
    Journal(u64),
    /// A segment.
    Segment(u64),
}

/// The place of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In this file.
    pub file: FileId,
    /// It begins here.
    pub at: u64,
    /// Its length.
    pub bytes: u32,
}

/// The place of a commit's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// In this file.
    pub file: FileId,
    /// It begins here.
    pub at: u64,
}

pub(crate) fn journal_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.journal"))
}

pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.segment"))
}

/// The numbers of a directory's files with this ending, in order.
pub(crate) fn numbered(dir: &Path, ending: &str) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list the directory", dir))? {
        let name = entry.map_err(Error::io("list the directory", dir))?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(ending));
        numbers.extend(stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes a directory's entries durable.
///
/// # Errors
/// I/O errors.
pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync the directory", dir))
}

/// Syncs each file in a directory, and the directories: sled's flush promises less.
pub(crate) fn sync_tree(dir: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(dir).map_err(Error::io("list the store", dir))? {
        let path = entry.map_err(Error::io("list the store", dir))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
            continue;
        }
        match File::open(&path).and_then(|file| file.sync_data()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {} // an old snapshot, replaced
            synced => synced.map_err(Error::io("sync the store", &path))?,
        }
    }
    sync_dir(dir)
}

/// Overwrites part of a file with zeros.
pub(crate) fn zero(file: &File, path: &Path, at: u64, bytes: u32) -> Result<(), Error> {
    file.write_all_at(&vec![0; bytes as usize], at).map_err(Error::io("erase what was redacted from", path))
}

/// Makes durable what [`zero`] has overwritten.
pub(crate) fn sync_erased(file: &File, path: &Path) -> Result<(), Error> {
    file.sync_data().map_err(Error::io("sync what was erased from", path))
}
