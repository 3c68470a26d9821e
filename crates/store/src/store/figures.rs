//! Figures of an open store.

use std::os::unix::fs::MetadataExt;

use super::Store;
use crate::count::Counted;
use crate::disk;

/// The state of a store in figures, for monitoring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of messages that are in memory and, on disk, in the journal, but not in sled yet.
    pub unmoved_bytes: u64,
    /// Bytes of messages in memory that are in sled too, and stay for readers.
    pub recent_bytes: u64,
    /// Free bytes on the data directory's file system, for this process; none if the system does not say.
    pub free_bytes: Option<u64>,
    /// Whether the disk is so full that writes are refused.
    pub is_short_of_space: bool,
    /// Whether a write or a sync has failed, after which nothing more is written.
    pub has_failed: bool,
    /// How long the syncs of commits have taken since the start, in nanoseconds.
    pub syncs: Counted,
    /// Messages dropped since the start because they were past retention.
    pub expired_messages: u64,
    /// The bytes they took, counted as [`Store::stored_bytes`] does.
    pub expired_bytes: u64,
}

impl Store {
    /// The store's figures.
    pub fn figures(&self) -> Figures {
        let (unmoved, recent) = self.shared.tail.bytes();
        Figures {
            unmoved_bytes: unmoved as u64,
            recent_bytes: recent as u64,
            free_bytes: disk::free_bytes(&self.shared.dir).ok(),
            is_short_of_space: self.is_short_of_space(),
            has_failed: self.failure().get().is_some(),
            syncs: self.shared.syncs.counted(),
            expired_messages: self.shared.expired_messages.get(),
            expired_bytes: self.shared.expired_bytes.get(),
        }
    }

    /// Bytes that the data directory takes on disk. Looks at each of its files.
    pub fn disk_bytes(&self) -> u64 {
        disk::bytes_in(&self.shared.dir, &|metadata| metadata.blocks() * 512)
    }

    /// Bytes of a room's stored messages, with the overhead of each. Messages past retention count until they are dropped.
    pub fn stored_bytes(&self, room: u64) -> u64 {
        self.shared.tail.stored_bytes(room)
    }
}
