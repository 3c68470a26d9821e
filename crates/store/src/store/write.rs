//! Writing: commits into the journal, and on to memory and the mover.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Store;
use crate::commit::Commit;
use crate::error::Error;
use crate::journal::Journal;
use crate::mover::Job;
use crate::tables::Journaled;

/// The only way to write to a store; there is one for each.
#[derive(Debug)]
pub struct Writer {
    pub(super) store: Arc<Store>,
    pub(super) journal: Journal,
    pub(super) payload: Vec<u8>,
}

impl Writer {
    /// Does what the store needs between commits. If no commit comes, call it now and then.
    ///
    /// # Errors
    /// As [`append`](Writer::append).
    pub fn tend(&mut self) -> Result<(), Error> {
        let may = self.store.failure().get().is_none() && !self.store.is_short_of_space();
        if may && self.store.shared.wants_next_file.swap(false, Ordering::Relaxed) {
            self.journal.begin_next_file().inspect_err(|error| self.store.failure().set(&error.to_string()))?;
        }
        Ok(())
    }

    /// Syncs the journal although nothing waits for it: to find out whether the disk still does that.
    ///
    /// # Errors
    /// As [`append`](Writer::append).
    pub fn sync(&mut self) -> Result<(), Error> {
        if let Some(why) = self.store.failure().get() {
            return Err(Error::Failed(why.to_string()));
        }
        self.journal.sync().inspect_err(|error| self.store.failure().set(&error.to_string()))
    }

    /// Makes changes durable: when this returns, they are on disk and [`Store::read`] finds them.
    /// The seqs of a room's messages must be consecutive.
    ///
    /// # Errors
    /// I/O errors. The changes may or may not be found after a restart, and nothing more can be written.
    pub fn append(&mut self, commit: Arc<Commit>) -> Result<(), Error> {
        if let Some(why) = self.store.failure().get() {
            return Err(Error::Failed(why.to_string()));
        }
        // A mover that hangs is waiting for the disk: no commit is accepted meanwhile.
        while !self.store.shared.tail.wait_for_room(Duration::from_secs(1)) {
            if let Some(why) = self.store.failure().get() {
                return Err(Error::Failed(why.to_string()));
            }
            if self.store.is_short_of_space() {
                // The mover waits for free space, which may never come.
                return Err(Error::Failed("the disk is nearly full".to_owned()));
            }
        }
        self.tend()?;
        self.payload.clear();
        let chunks = commit.encode(&mut self.payload);
        let (number, spot) = self.journal.append(&self.payload).inspect_err(|error| {
            self.store.failure().set(&error.to_string());
        })?;
        self.store.shared.tail.add(&commit.ops);
        commit.marks().for_each(|mark| self.store.shared.marks.add(mark));
        if !self.store.hand(Job::Commit(number, self.payload.len(), Journaled { commit, chunks, spot })) {
            // It is durable, and the next start will find it; the mover has reported why it ended.
            self.store.failure().set("the store's thread has ended");
        }
        Ok(())
    }
}
