//! Dropping expired messages from sled.

use std::sync::Arc;

use crate::error::Error;
use crate::shared::Shared;
use crate::tables::Expired;

/// Chunks of one room that expire before commits get their turn.
const EXPIRE_STEPS: usize = 16;

pub(super) struct Expiry {
    shared: Arc<Shared>,
}

impl Expiry {
    pub(super) fn new(shared: Arc<Shared>) -> Expiry {
        Expiry { shared }
    }

    /// Drops some of a room's messages from before this time of the kept clock. Returns whether sled may have changed.
    pub(super) fn expire(&self, room: u64, cutoff_ms: u64) -> Result<bool, Error> {
        if !self.shared.watch_space() {
            return Ok(false); // Retention will ask again.
        }
        let tail = &self.shared.tail;
        let gone = |seq, messages, bytes| {
            tail.raise_floor(room, seq, None);
            tail.freed(room, bytes);
            self.shared.expired_messages.add(messages);
            self.shared.expired_bytes.add(bytes);
        };
        let until = |kept_ms| tail.raise_floor(room, tail.floor(room), Some(kept_ms));
        match self.shared.tables.drop_before(room, cutoff_ms, EXPIRE_STEPS, gone) {
            Ok(Expired::More) => {}
            Ok(Expired::Until(kept_ms)) => until(kept_ms),
            Ok(Expired::Empty) => tail.set_empty(room),
            // A failed write has failed the store. A failed read concerns one room: the others go on.
            Err(error) if self.shared.failure.get().is_none() => {
                tracing::error!("{error}; messages past retention are not dropped from room number {room}");
                until(u64::MAX);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}
