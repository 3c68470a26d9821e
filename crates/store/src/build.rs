//! Builds a store from a backup, without a daemon and without a journal.
//!
//! Everything is built in `restoring/` inside the data directory, and moved out of it when it is durable. While that directory
//! exists, nothing opens the data directory: what a power cut has left of a restore looks neither like a store, nor like a place
//! for a new one. A store built like this opens as after a clean stop, with an empty journal. It counts as one from another
//! machine, so the kept clock continues from where it is told to.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Reading;
use crate::closing::is_closed;
use crate::commit::{Commit, Op};
use crate::error::Error;
use crate::files::{FileId, LOCK_FILE, RESTORING_DIR, Spot, sync_dir};
use crate::limits::{BALLAST_BYTES, FREE_SPACE_MIN_BYTES};
use crate::record::{Last, Stored};
use crate::segments::Segments;
use crate::state::{RoomState, State};
use crate::tables::{Journaled, Tables};
use crate::{chunk, disk, migrate, note, syscalls};

/// Bytes of messages that are written together.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// What a data directory may contain and still count as empty.
const NOTHING: [&str; 3] = [LOCK_FILE, RESTORING_DIR, "lost+found"];

/// A data directory that is to become a store. If that fails, it is left as empty as it was found.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    is_made: bool,
    is_done: bool,
    lock: File,
}

impl Site {
    /// Takes a directory that is empty or missing. What an interrupted restore has left in it is removed.
    ///
    /// # Errors
    /// It is not empty; a daemon uses it; I/O errors.
    pub fn claim(dir: &Path) -> Result<Site, Error> {
        let is_made = !dir.exists();
        if !is_made {
            // Nothing is written into a directory that is not empty, not even a lock file.
            expect_empty(dir)?;
        }
        disk::create_dir(dir)?;
        let lock = disk::lock(dir)?;
        // Again: a daemon or another restore may have had it until now.
        let is_unfinished = expect_empty(dir)?;
        let site = Site { dir: dir.to_owned(), is_made, is_done: false, lock };
        if is_unfinished {
            site.clear()?;
        }
        let building = site.building();
        std::fs::create_dir(&building).map_err(Error::io("create the directory", &building))?;
        sync_dir(dir)?;
        Ok(site)
    }

    /// The directory to build in.
    pub fn building(&self) -> PathBuf {
        self.dir.join(RESTORING_DIR)
    }

    /// Removes what a restore has made. The directory that marks it as unfinished goes last.
    fn clear(&self) -> Result<(), Error> {
        for name in PARTS.into_iter().chain([RESTORING_DIR]) {
            let path = self.dir.join(name);
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove the rest of a restore", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Fails if the disk has no room.
    ///
    /// # Errors
    /// There is less room than this many bytes of messages and their index take, or the system does not say.
    pub fn expect_room_for(&self, bytes: u64) -> Result<(), Error> {
        let free = disk::free_bytes(&self.dir).map_err(Error::io("measure the free space at", &self.dir))?;
        let needed = bytes + bytes / 4 + BALLAST_BYTES + FREE_SPACE_MIN_BYTES;
        if free >= needed {
            return Ok(());
        }
        let why = std::io::Error::new(
            std::io::ErrorKind::StorageFull,
            format!("it takes about {needed} bytes, but {free} are free"),
        );
        Err(Error::io("restore into", &self.dir)(why))
    }

    /// Moves what was built into place. The directory is a store then.
    ///
    /// # Errors
    /// I/O errors.
    pub fn finish(mut self) -> Result<(), Error> {
        let building = self.building();
        give_to_owner_of(&self.dir, &building)?;
        for part in PARTS {
            let (from, to) = (building.join(part), self.dir.join(part));
            if from.exists() {
                std::fs::rename(&from, &to).map_err(Error::io("put in its place", &from))?;
            }
        }
        sync_dir(&self.dir)?;
        std::fs::remove_dir(&building).map_err(Error::io("remove", &building))?;
        self.is_done = true;
        sync_dir(&self.dir)?;
        // If sled still has its files open, the first start writes them again.
        if is_closed(&self.dir.join("sled"))? { note::note_made(&self.lock, &self.dir) } else { Ok(()) }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        if let Err(error) = self.clear() {
            tracing::error!("{error}");
        } else if self.is_made {
            // As it was: missing.
            let _ = std::fs::remove_file(self.dir.join(LOCK_FILE));
            let _ = std::fs::remove_dir(&self.dir);
        }
    }
}

/// What a restore makes in a data directory, in the order in which it is moved there.
const PARTS: [&str; 7] = ["TOKENS-WANTED", "tokens.toml", "hooks.toml", "segments", "journal", "sled", "FORMAT"];

/// Fails if a directory is not empty. Returns whether an interrupted restore has left something in it.
fn expect_empty(dir: &Path) -> Result<bool, Error> {
    let is_unfinished = dir.join(RESTORING_DIR).exists();
    // A daemon's other files are never in a directory that a restore has left.
    let parts = if is_unfinished { &PARTS[..] } else { &[] };
    for entry in std::fs::read_dir(dir).map_err(Error::io("list the directory", dir))? {
        let name = entry.map_err(Error::io("list the directory", dir))?.file_name();
        if !NOTHING.iter().chain(parts).any(|nothing| name == *nothing) {
            return Err(Error::NotEmpty { path: dir.to_owned(), found: name.to_string_lossy().into_owned() });
        }
    }
    Ok(is_unfinished)
}

/// The user who restores may not be the daemon's, who owns the directory.
fn give_to_owner_of(dir: &Path, made: &Path) -> Result<(), Error> {
    let of_dir = std::fs::metadata(dir).map_err(Error::io("look at", dir))?;
    if !rustix::process::geteuid().is_root() || of_dir.uid() == 0 {
        return Ok(());
    }
    std::os::unix::fs::lchown(dir.join(LOCK_FILE), Some(of_dir.uid()), Some(of_dir.gid()))
        .map_err(Error::io("give its owner to", dir))?;
    let mut left = vec![made.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(Error::io("list the directory", &path))? {
                left.push(entry.map_err(Error::io("list the directory", &path))?.path());
            }
        }
        std::os::unix::fs::lchown(&path, Some(of_dir.uid()), Some(of_dir.gid()))
            .map_err(Error::io("give its owner to", &path))?;
    }
    Ok(())
}

/// A store that is being built.
#[derive(Debug)]
pub struct Builder {
    dir: PathBuf,
    tables: Tables,
    ops: Vec<Op>,
    bytes: usize,
    /// sled misreads some errors, so any failure ends the process, before anything is moved into place.
    _opening: syscalls::Opening,
}

impl Builder {
    /// Begins a store in an empty directory, with everything but messages. Those up to `floor` are gone.
    ///
    /// # Errors
    /// Errors of sled or I/O.
    pub fn begin(dir: &Path, state: &State, floor: impl Fn(&RoomState) -> u64) -> Result<Builder, Error> {
        for made in ["journal", "segments"].map(|name| dir.join(name)) {
            std::fs::create_dir(&made).map_err(Error::io("create the directory", &made))?;
        }
        let opening = syscalls::Opening::begin();
        let sled = dir.join("sled");
        Tables::create(&sled)?;
        let tables = Tables::open(&sled, Segments::of(dir))?;
        tables.fill(state, floor)?;
        Ok(Builder { dir: dir.to_owned(), tables, ops: Vec::new(), bytes: 0, _opening: opening })
    }

    /// Adds messages of a room, which must follow those that it has.
    ///
    /// # Errors
    /// As [`begin`](Builder::begin); [`Error::Damaged`] if they do not follow.
    pub fn add(&mut self, room: u64, messages: Vec<Stored>) -> Result<(), Error> {
        self.bytes += messages.iter().map(chunk::stored_bytes).sum::<usize>();
        self.ops.extend(messages.into_iter().map(|message| Op::Message { room, message }));
        if self.bytes < GROUP_BYTES { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let commit = Arc::new(Commit { kept_ms: 0, ops: std::mem::take(&mut self.ops) });
        // There is no journal: everything goes into segments.
        let spot = Spot { file: FileId::Journal(0), at: 0 };
        self.tables.apply(&[Journaled { commit, chunks: Vec::new(), spot }]).map(drop)
    }

    /// Makes everything durable. The kept clock continues from `kept_ms`. Returns each room's counters.
    ///
    /// # Errors
    /// As [`begin`](Builder::begin).
    pub fn finish(mut self, kept_ms: u64) -> Result<HashMap<u64, Last>, Error> {
        self.write()?;
        self.tables.checkpoint(0, &Reading { kept_ms, ..Reading::default() })?;
        let lasts = self.tables.lasts();
        for part in ["journal", "segments"] {
            sync_dir(&self.dir.join(part))?;
        }
        migrate::write_format(&self.dir, migrate::FORMAT)?;
        Ok(lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn a_store_that_was_made_a_moment_ago_is_left_alone() {
        for _ in 0..300 {
            let dir = tempfile::tempdir().unwrap();
            let both = Barrier::new(2);
            let taken = std::thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    // A daemon, or another restore, that has the directory for no longer than that.
                    if let Ok(_lock) = disk::lock(dir.path())
                        && !dir.path().join(RESTORING_DIR).exists()
                    {
                        std::fs::write(dir.path().join("FORMAT"), "2\n").unwrap();
                    }
                });
                both.wait();
                Site::claim(dir.path())
            });
            // It may have come first, or last, but not both at once.
            let is_store = dir.path().join("FORMAT").exists();
            drop(taken.inspect(|_| assert!(!is_store, "a store was taken for nothing")));
            assert_eq!(dir.path().join("FORMAT").exists(), is_store);
        }
    }
}
