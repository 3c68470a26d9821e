//! The open store: [`Store`] to read and to expire, [`Writer`] to write.

mod figures;
mod look;
mod open;
mod read;
mod write;
mod write_again;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::clock::KeptClock;
use crate::failure::Failure;
use crate::limits::JOURNAL_FILE_BYTES;
use crate::marks::Marks;
use crate::mover::{Job, Mover};
use crate::shared::Shared;

pub use figures::Figures;
pub use look::look;
pub use read::Page;
pub use write::Writer;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size of a journal file, in bytes; at least four times the largest commit.
    pub journal_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { journal_file_bytes: JOURNAL_FILE_BYTES }
    }
}

/// An open store, shared by everybody who reads or expires messages.
#[derive(Debug)]
pub struct Store {
    // Dropped first: its thread ends with everything moved and durable.
    mover: Mover,
    shared: Arc<Shared>,
}

impl Store {
    /// The seq up to which a room's messages are gone; higher than any seq if the room does not exist.
    pub fn floor(&self, room: u64) -> u64 {
        self.shared.tail.floor(room)
    }

    /// Whether a room exists.
    pub fn has(&self, room: u64) -> bool {
        self.shared.tail.has(room)
    }

    /// The rooms that may have messages older than their `cutoff_ms` on the kept clock.
    pub fn expiring(&self, cutoff_ms: impl Fn(u64) -> u64) -> Vec<u64> {
        self.shared.tail.expiring(cutoff_ms)
    }

    /// Whether a room may have messages older than `cutoff_ms` on the kept clock. True as well while that is not known.
    pub fn is_expiring(&self, room: u64, cutoff_ms: u64) -> bool {
        self.shared.tail.is_expiring(room, cutoff_ms)
    }

    /// Drops some of a room's messages that are older than `cutoff_ms` on the kept clock, in the mover's thread. Call it again until
    /// [`expiring`](Store::expiring) no longer names the room.
    pub fn expire(&self, room: u64, cutoff_ms: u64) {
        // If the mover has ended, `failure` says why.
        let _ = self.hand(Job::Expire { room, cutoff_ms });
    }

    fn hand(&self, job: Job) -> bool {
        self.mover.hand(job)
    }

    /// Waits until everything committed so far is in sled, and durable there.
    pub fn settle(&self) {
        let (done, settled) = sync_channel(1);
        if self.hand(Job::Settle(done)) {
            // An error here means that the mover has ended, and `failure` says why.
            while matches!(settled.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout)) {
                if self.failure().get().is_some() {
                    return;
                }
            }
        }
    }

    /// Which history of its rooms this store has: 16 hex digits. They stay the same for as long as the data directory is used. A store
    /// restored from a backup has others, because a seq that a client remembers may be that of another message there.
    pub fn epoch(&self) -> &Arc<str> {
        &self.shared.epoch
    }

    /// The newest moments of its past that this store can [prove](mod@crate::marks) to continue from.
    pub fn marks(&self) -> &Marks {
        &self.shared.marks
    }

    /// The clock that measures the age of messages.
    pub fn clock(&self) -> &KeptClock {
        &self.shared.clock
    }

    /// Whether, and why, the store has failed.
    pub fn failure(&self) -> &Failure {
        &self.shared.failure
    }

    /// Whether [`Writer::tend`] has something to do.
    pub fn wants_tending(&self) -> bool {
        self.shared.wants_next_file.load(Ordering::Relaxed) && !self.is_short_of_space()
    }

    /// Whether the disk is so full that writes are to be refused.
    pub fn is_short_of_space(&self) -> bool {
        self.shared.short_of_space.load(Ordering::Relaxed)
    }
}
