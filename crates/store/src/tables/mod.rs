//! sled: it has rooms, members, cursors and ids, and the [file](mod@crate::segments) that each message is in. Nothing outside
//! this directory names sled's types.
//!
//! One thread writes here (the mover's, or the start's). Every write ends the same when it is done again, because a start replays
//! what the journal has past the last checkpoint.

mod apply;
mod build;
mod compact;
mod delete;
mod erase;
mod expire;
mod load;
mod read;
mod references;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

pub use apply::Journaled;
pub use expire::Expired;
pub use read::Tree;

use self::references::Wanted;
use crate::clock::Reading;
use crate::error::Error;
use crate::files::{FileId, sync_dir, sync_tree};
use crate::limits::{SLED_CACHE_BYTES, SLED_SEGMENT_BYTES};
use crate::mutex::lock;
use crate::note::Note;
use crate::record::{self, Last};
use crate::segments::Segments;
use crate::{key, marks, syscalls};

/// How often, and after which pause, to try sled's own lock again.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
const CHECKPOINT_KEY: &[u8] = b"checkpoint";
const MARKS_KEY: &[u8] = b"marks";

/// The trees.
#[derive(Debug)]
pub struct Tables {
    dir: PathBuf,
    db: sled::Db,
    messages: sled::Tree,
    rooms: sled::Tree,
    lasts: sled::Tree,
    members: sled::Tree,
    access: sled::Tree,
    erasures: sled::Tree,
    deleted: sled::Tree,
    ids: sled::Tree,
    nicks: sled::Tree,
    meta: sled::Tree,
    /// The tree `lasts`, in memory.
    last: Mutex<HashMap<u64, Last>>,
    /// The tree `deleted`, in memory.
    deleting: Mutex<BTreeSet<u64>>,
    /// The deleted rooms that may still have messages or ids.
    to_drop: Mutex<BTreeSet<u64>>,
    /// The files that the tree `messages` leads to.
    segments: Segments,
    /// How much of each file it leads to.
    references: Mutex<HashMap<FileId, Wanted>>,
}

impl Tables {
    /// Creates the trees in `dir`, which does not exist: in a directory beside it, and durably, before that gets its name. A
    /// crash while sled creates its files leaves some that it can't open.
    ///
    /// # Errors
    /// Errors of sled or I/O.
    pub fn create(dir: &Path) -> Result<(), Error> {
        let new = dir.with_extension("new");
        match std::fs::remove_dir_all(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove the unfinished store", &new)(error));
            }
            _ => {}
        }
        std::fs::create_dir(&new).map_err(Error::io("create the directory", &new))?;
        let tables = Tables::open(&new, Segments::of(&new))?;
        tables.checkpoint(0, &Reading::default()).inspect_err(|_| tables.abandon())?;
        drop(tables); // sled keeps paths, so it is opened anew under the other name.
        std::fs::rename(&new, dir).map_err(Error::io("rename the store", &new))?;
        dir.parent().map_or(Ok(()), sync_dir)
    }

    /// Opens the trees in `dir`, which exists. A read, write or sync that fails meanwhile [ends the process](mod@syscalls).
    ///
    /// # Errors
    /// Errors of sled or I/O.
    pub fn open(dir: &Path, segments: Segments) -> Result<Tables, Error> {
        // A half-written snapshot, left by a kill, keeps sled from opening. Without it, sled makes another.
        for entry in std::fs::read_dir(dir).map_err(Error::io("list the store", dir))? {
            let path = entry.map_err(Error::io("list the store", dir))?.path();
            if path.extension().is_some_and(|extension| extension == "generating") {
                std::fs::remove_file(&path).map_err(Error::io("remove the unfinished snapshot", &path))?;
            }
        }
        let config = sled::Config::new()
            .path(dir)
            .segment_size(SLED_SEGMENT_BYTES)
            .cache_capacity(SLED_CACHE_BYTES)
            // sled's own thread ignores the errors of its flushes; the mover flushes, and sees them.
            .flush_every_ms(None);
        let failed = |source| Error::Store { what: "open", path: dir.to_owned(), source };
        let _opening = syscalls::Opening::begin();
        let mut attempts = LOCK_ATTEMPTS;
        let db = loop {
            let opened = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()));
            match opened.map_err(|_| Error::damaged(dir, "sled can't read its files"))? {
                Ok(db) => break db,
                // The data directory is locked by this process, so a thread of a store that it has just closed has sled's lock.
                Err(error) if attempts > 0 && error.to_string().contains("acquire lock") => {
                    attempts -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(failed(error)),
            }
        };
        let tree = |name: &str| db.open_tree(name).map_err(failed).inspect_err(|_| std::mem::forget(db.clone()));
        Ok(Tables {
            dir: dir.to_owned(),
            messages: tree("messages")?,
            rooms: tree("rooms")?,
            lasts: tree("lasts")?,
            members: tree("members")?,
            access: tree("access")?,
            erasures: tree("erasures")?,
            deleted: tree("deleted")?,
            ids: tree("ids")?,
            nicks: tree("nicks")?,
            meta: tree("meta")?,
            last: Mutex::default(),
            deleting: Mutex::default(),
            to_drop: Mutex::default(),
            segments,
            references: Mutex::default(),
            db,
        })
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(sled::Error) -> Error {
        move |source| Error::Store { what, path: self.dir.clone(), source }
    }

    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(&self.dir, what)
    }

    fn last(&self) -> MutexGuard<'_, HashMap<u64, Last>> {
        lock(&self.last)
    }

    fn write_last(&self, room: u64, last: Last) -> Result<(), Error> {
        self.lasts.insert(key::room(room), last.encode()).map_err(self.failed("write the room"))?;
        self.last().insert(room, last);
        Ok(())
    }

    /// The files that messages are in.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The last commit covered by the last checkpoint, and the kept clock at that time.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a record can't be decoded.
    pub fn checkpointed(&self) -> Result<(u64, Reading), Error> {
        match self.meta.get(CHECKPOINT_KEY).map_err(self.failed("read the checkpoint"))? {
            None => Ok((0, Reading::default())),
            Some(bytes) => record::decode_reading(&bytes).ok_or_else(|| self.damaged("the checkpoint's record")),
        }
    }

    /// The store's marks, oldest first.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a record can't be decoded.
    pub fn marks(&self) -> Result<Vec<u64>, Error> {
        match self.meta.get(MARKS_KEY).map_err(self.failed("read the marks"))? {
            None => Ok(Vec::new()),
            Some(bytes) => marks::decode(&bytes).ok_or_else(|| self.damaged("the marks' record")),
        }
    }

    /// Makes durable everything that was applied, and that it covers the journal up to `covered`.
    ///
    /// # Errors
    /// Errors of sled or I/O, after which the daemon must stop.
    pub fn checkpoint(&self, covered: u64, reading: &Reading) -> Result<(), Error> {
        let note = self.segments.note();
        // Before the flush, which waits for the writes that are going on.
        note.inspect(|note| note.begin_sync());
        self.meta
            .insert(CHECKPOINT_KEY, record::encode_reading(covered, reading))
            .map_err(self.failed("write the checkpoint"))?;
        self.db.flush().map_err(self.failed("flush"))?;
        if syscalls::sync_failed() {
            let what =
                format!("{}: an fdatasync of the store failed; see the system's log for the disk", self.dir.display());
            return Err(Error::Failed(what));
        }
        sync_tree(&self.dir)?;
        note.map_or(Ok(()), Note::end_sync)
    }

    /// For use after a failure: sled would write when it is dropped, so it never is.
    pub(crate) fn abandon(&self) {
        std::mem::forget(self.db.clone());
        let trees = [&self.messages, &self.rooms, &self.lasts, &self.members, &self.access];
        std::mem::forget(trees.map(sled::Tree::clone));
        let trees = [&self.erasures, &self.deleted, &self.ids, &self.nicks, &self.meta];
        std::mem::forget(trees.map(sled::Tree::clone));
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// Errors of sled.
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        self.db.size_on_disk().map_err(self.failed("measure"))
    }
}
