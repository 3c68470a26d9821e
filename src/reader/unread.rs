//! How many messages a client has to read in a room: those past its cursor that are neither redacted nor sent by the same person. They
//! are counted from the messages themselves, which say who sent them; each full block is counted once, for everybody.

use std::sync::Arc;

use super::Reader;
use crate::rooms::Room;
use crate::rooms::unread::{BLOCK_SEQS, Block, is_to_read};
use dantok_protocol::name::person;
use dantok_store::Error;
use dantok_store::messages::Messages;

/// A count of unread messages, and the seqs that it covers.
#[derive(Clone, Copy, Debug)]
pub struct Unread {
    /// After this seq …
    after: u64,
    /// … up to this one.
    through: u64,
    /// How many of the room's messages had been redacted by then.
    redactions: u64,
    /// How many are unread.
    pub messages: u64,
}

impl Reader {
    /// Counts what a client has to read in a room; none if it has no cursor there. An earlier count for the same client, `before`,
    /// saves most of the work.
    ///
    /// # Errors
    /// As [`Store::read`](dantok_store::Store::read).
    pub async fn unread(&self, room: &Room, client: &str, before: Option<Unread>) -> Result<Option<Unread>, Error> {
        // In this order, so that the cursor is never past the last seq.
        let Some(cursor) = room.cursor(client) else { return Ok(None) };
        let (through, redactions) = (room.last_seq(), room.redactions());
        // Whoever has read everything misses nothing that is gone.
        let after = if cursor < through { cursor.max(self.floor(room).await?) } else { cursor };
        let same =
            |before: &Unread| before.after == after && before.redactions == redactions && before.through <= through;
        let (from, counted) = before.filter(same).map_or((after, 0), |before| (before.through, before.messages));
        let messages = counted + self.to_read(room, person(client), from, through).await?;
        Ok(Some(Unread { after, through, redactions, messages }))
    }

    /// Counts what this person has to read in a part of a room.
    async fn to_read(&self, room: &Room, reader: &str, after: u64, through: u64) -> Result<u64, Error> {
        let (mut at, mut count) = (after, 0);
        while at < through {
            let number = at / BLOCK_SEQS;
            let end = (number + 1) * BLOCK_SEQS;
            if at == number * BLOCK_SEQS && end <= through {
                count += self.block(room, number).await?.for_person(reader);
            } else {
                self.each_page(room, at, end.min(through), |messages| {
                    messages.each(|message| count += u64::from(is_to_read(message.client, message.kind, reader)));
                })
                .await?;
            }
            at = end.min(through);
        }
        Ok(count)
    }

    async fn block(&self, room: &Room, number: u64) -> Result<Arc<Block>, Error> {
        if let Some(block) = room.unread.get(number) {
            return Ok(block);
        }
        let _counting = room.unread.counting.lock().await;
        if let Some(block) = room.unread.get(number) {
            return Ok(block);
        }
        // Before the read, so that a redaction after it is noticed.
        let redactions = room.redactions();
        let mut block = Block::default();
        let after = number * BLOCK_SEQS;
        self.each_page(room, after, after + BLOCK_SEQS, |messages| {
            messages.each(|message| block.add(message.client, message.kind));
        })
        .await?;
        let block = Arc::new(block);
        room.unread.keep(number, block.clone(), || room.redactions() == redactions);
        Ok(block)
    }

    async fn each_page(
        &self,
        room: &Room,
        after: u64,
        through: u64,
        mut take: impl FnMut(&Messages),
    ) -> Result<(), Error> {
        let mut at = after;
        while at < through {
            let messages = self.page(room, at, through, through - at).read().await?;
            take(&messages);
            at = messages.last().map_or(through, |newest| newest.seq);
        }
        Ok(())
    }
}
