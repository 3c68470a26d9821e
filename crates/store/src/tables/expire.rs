//! Removing messages past retention from the trees.

use super::Tables;
use crate::chunk::{self, Parsed};
use crate::error::Error;
use crate::key;

/// The result of some steps of expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// There may be more to drop.
    More,
    /// The oldest chunk expires when messages from this time of the kept clock do.
    Until(u64),
    /// Nothing is left.
    Empty,
}

impl Tables {
    /// Drops chunks whose newest message is from before `cutoff_ms` on the kept clock, at most `steps`. Before messages are
    /// dropped, `gone` is told the seq up to which they are, how many they are, and how many bytes they took.
    ///
    /// # Errors
    /// Errors of sled or I/O; [`Error::Damaged`] if a chunk that must be read is not whole.
    pub(crate) fn drop_before(
        &self,
        room: u64,
        cutoff_ms: u64,
        steps: usize,
        gone: impl Fn(u64, u64, u64),
    ) -> Result<Expired, Error> {
        if self.deleted_rooms().contains(&room) {
            return Ok(Expired::Empty); // It was asked for before that.
        }
        for _ in 0..steps {
            let Some((key, value)) = self.next_key(room, 0)? else { return Ok(Expired::Empty) };
            let first = key::parse_chunk(&key).ok_or_else(|| self.damaged("a key of the messages"))?.1;
            let place = chunk::place_of(&key, &value).flatten();
            // A chunk without ids can be dropped without reading it.
            let (newest_seq, bytes, whole) = match &place {
                Some((_, chunk)) if chunk.newest_kept_ms < cutoff_ms && !chunk.has_ids => {
                    (chunk.last_seq, chunk.stored_bytes(), None)
                }
                Some((_, chunk)) if chunk.oldest_kept_ms >= cutoff_ms => {
                    return Ok(Expired::Until(chunk.newest_kept_ms));
                }
                _ => {
                    let chunk = self.chunk(room, &key, &value)?;
                    let expired = chunk.accepted_before(cutoff_ms);
                    let Some(newest) = chunk.last() else { return Ok(Expired::Empty) };
                    if expired < chunk.len() {
                        if let Some(oldest) = expired.checked_sub(1).and_then(|place| chunk.get(place)) {
                            gone(oldest.seq, 0, 0);
                        }
                        return Ok(Expired::Until(newest.kept_ms));
                    }
                    (newest.seq, chunk.stored_bytes(), Some(chunk))
                }
            };
            // The floor first: a chunk must not go missing above the floor.
            let mut last = self.last().get(&room).copied().unwrap_or_default();
            // Not counted again if a kill came between the floor and the messages.
            let (messages, bytes) = if newest_seq > last.floor { (newest_seq + 1 - first, bytes) } else { (0, 0) };
            gone(newest_seq, messages, bytes);
            last.bytes = last.bytes.saturating_sub(bytes);
            last.floor = last.floor.max(newest_seq);
            self.write_last(room, last)?;
            // Before their messages: after a kill between the two, the messages are dropped again, and no ids are left that lead
            // to nothing.
            if let Some(whole) = whole {
                self.drop_ids(room, &whole)?;
            }
            let range = key::chunk(room, first, 0)..=key::chunk(room, first, u32::MAX);
            let mut batch = sled::Batch::default();
            for entry in self.messages.range(range) {
                batch.remove(entry.map_err(self.failed("read messages"))?.0);
            }
            self.messages.apply_batch(batch).map_err(self.failed("drop messages"))?;
            if let Some((place, _)) = place {
                self.let_go(&place);
            }
        }
        Ok(Expired::More)
    }

    fn drop_ids(&self, room: u64, chunk: &Parsed) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for message in chunk.iter() {
            let Some(id) = message.id else { continue };
            let key = key::message_id(room, message.client, id);
            // The id may have been used again since, for a newer message.
            if self.find_id(&key)? == Some(message.seq) {
                batch.remove(key);
            }
        }
        self.ids.apply_batch(batch).map_err(self.failed("drop message ids"))
    }
}
