//! What the threads of an open store share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::KeptClock;
use crate::closing::Closing;
use crate::count::{Counter, Histogram};
use crate::disk::free_bytes;
use crate::failure::Failure;
use crate::limits::{FREE_SPACE_MIN_BYTES, MOVE_SPACE_MIN_BYTES};
use crate::marks::Marks;
use crate::tables::Tables;
use crate::tail::Tail;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) epoch: Arc<str>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) tail: Tail,
    pub(crate) marks: Marks,
    pub(crate) clock: KeptClock,
    pub(crate) failure: Arc<Failure>,
    /// The disk is so full that writes are refused.
    pub(crate) short_of_space: AtomicBool,
    /// Asks the writer to begin another journal file, so that something can be erased from the current one.
    pub(crate) wants_next_file: AtomicBool,
    /// The duration of each commit's sync.
    pub(crate) syncs: Arc<Histogram>,
    pub(crate) expired_messages: Counter,
    pub(crate) expired_bytes: Counter,
    /// Dropped last, when sled has closed its files.
    pub(crate) _closing: Closing,
}

impl Shared {
    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// Checks the free space: notes whether writes are to be refused, and returns whether the mover may write.
    pub(crate) fn watch_space(&self) -> bool {
        let free = match free_bytes(&self.dir) {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(path = %self.dir.display(), %error, "can't measure the free space");
                return true;
            }
        };
        let short = free < FREE_SPACE_MIN_BYTES;
        if self.short_of_space.swap(short, Ordering::Relaxed) != short {
            if short {
                tracing::error!(path = %self.dir.display(), free, needed = FREE_SPACE_MIN_BYTES, "disk nearly full: refusing writes until there is room");
            } else {
                tracing::info!(path = %self.dir.display(), free, "room on the disk again: accepting writes");
            }
        }
        free >= MOVE_SPACE_MIN_BYTES
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.failure.get().is_some() {
            self.tables.abandon();
        }
    }
}
