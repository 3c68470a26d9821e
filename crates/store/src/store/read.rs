//! Reading: from memory, and from the files that sled's index leads to.

use super::Store;
use crate::chunk::Parsed;
use crate::error::Error;
use crate::key;
use crate::limits::READ_AGAIN_AFTER;
use crate::messages::Messages;
use crate::record::Stored;

/// What to [read](Store::read).
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The room.
    pub room: u64,
    /// Messages after this seq …
    pub after: u64,
    /// … and up to this one, which is durable.
    pub through: u64,
    /// No messages from before this time of the kept clock.
    pub cutoff_ms: u64,
    /// At most this many messages.
    pub max_messages: usize,
    /// At most this many bytes of bodies, unless the first message alone has more.
    pub max_bytes: usize,
}

impl Store {
    /// Reads a page: a room's stored messages after `after` and up to `through` (which must be durable), oldest first, with
    /// consecutive seqs. It has none from before `cutoff_ms` on the kept clock, and is bounded by `max_messages` and `max_bytes` of
    /// bodies. If the first seq is not `after + 1`, the messages before it have expired; if the page is empty, all up to `through` have.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a message is not as it was written, or missing.
    pub fn read(&self, page: &Page) -> Result<Messages, Error> {
        let tail = &self.shared.tail;
        let mut after = page.after;
        loop {
            after = after.max(tail.floor(page.room));
            if after >= page.through {
                return Ok(Messages::default());
            }
            let mut messages = match tail.read(page.room, after, page.through, page.max_messages, page.max_bytes) {
                Some(messages) => messages.into(),
                None => self.read_tables(page, after, |room, seq| self.shared.tables.chunk_at(room, seq))?,
            };
            let first = messages.first().map_or(page.through + 1, |message| message.seq);
            if let Some(expired) = messages.drop_taken_before(page.cutoff_ms) {
                tail.raise_floor(page.room, expired, None);
            }
            if first != after + 1 && tail.floor(page.room) == after {
                let what = format!("room {} lacks its messages from seq {} on", page.room, after + 1);
                return Err(Error::damaged(&self.shared.dir, what));
            }
            if !messages.is_empty() && first == after + 1 {
                return Ok(messages);
            }
            // All of these have expired, or some did while they were read: the floor is higher now.
        }
    }

    /// As [`read`](Store::read), for callers who can wait: a read that fails and may succeed later is repeated, for
    /// [a while](READ_AGAIN_AFTER).
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub fn read_patiently(&self, page: &Page) -> Result<Messages, Error> {
        for pause in READ_AGAIN_AFTER {
            match self.read(page) {
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, again_in = ?pause, "can't read messages");
                    std::thread::sleep(pause);
                }
                read => return read,
            }
        }
        self.read(page)
    }

    /// A page's messages, chunk by chunk. After the first chunk only whole ones: a part would be read again for the next page.
    fn read_tables(
        &self,
        page: &Page,
        after: u64,
        chunk_at: impl FnMut(u64, u64) -> Result<Option<Parsed>, Error>,
    ) -> Result<Messages, Error> {
        // Before the files are read: the tail forgets a redaction only when the files have it.
        let redacted = self.shared.tail.redacted(page.room);
        let mut messages = self.read_chunks(page, after, chunk_at)?;
        if !redacted.is_empty() {
            messages.redact(&redacted);
        }
        Ok(messages)
    }

    fn read_chunks(
        &self,
        page: &Page,
        after: u64,
        mut chunk_at: impl FnMut(u64, u64) -> Result<Option<Parsed>, Error>,
    ) -> Result<Messages, Error> {
        let mut messages = Messages::default();
        let mut bytes = 0;
        let mut next = after + 1;
        while next <= page.through
            && messages.len() < page.max_messages
            && (messages.is_empty() || bytes < page.max_bytes)
        {
            let mut chunk = match chunk_at(page.room, next) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // It may have expired while its parts were read.
                Err(_) if self.shared.tail.floor(page.room) >= next => break,
                Err(error) => return Err(error),
            };
            let (Some(oldest), Some(newest)) = (chunk.first(), chunk.last()) else { break };
            if newest.seq < next || !messages.is_empty() && oldest.seq > next {
                break; // A gap inside a page: the next page begins with it, and says what it is.
            }
            let (newest_seq, skip) = (newest.seq, next.saturating_sub(oldest.seq));
            chunk.skip(usize::try_from(skip).unwrap_or(usize::MAX));
            let mut fits = 0;
            for message in chunk.iter() {
                let of_page = messages.is_empty() && fits == 0 || bytes + message.body.len() <= page.max_bytes;
                if !of_page || message.seq > page.through || messages.len() + fits >= page.max_messages {
                    break;
                }
                bytes += message.body.len();
                fits += 1;
            }
            if fits < chunk.len() {
                if messages.is_empty() {
                    chunk.truncate(fits);
                    messages.push(chunk);
                }
                return Ok(messages);
            }
            next = newest_seq + 1;
            messages.push(chunk);
        }
        Ok(messages)
    }

    /// The messages of a page if they are in memory, the store's own or the system's page cache. Does not wait for the disk, except
    /// for what sled has to read of its index, which is little.
    pub fn read_recent(&self, page: &Page) -> Option<Messages> {
        let after = page.after.max(self.floor(page.room));
        if after > page.after {
            return None;
        }
        let tail = &self.shared.tail;
        let found = tail.read(page.room, after, page.through, page.max_messages, page.max_bytes);
        let found = found.map(Messages::from).or_else(|| {
            let chunk_at = |room, seq| Ok(self.shared.tables.cached_chunk_at(room, seq));
            self.read_tables(page, after, chunk_at).ok()
        })?;
        let fresh = found.first().is_some_and(|oldest| oldest.kept_ms >= page.cutoff_ms && oldest.seq == after + 1);
        fresh.then_some(found)
    }

    /// The stored message that this client sent with this id, unless it is older than `cutoff_ms` on the kept clock.
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub fn find(&self, room: u64, client: &str, id: &str, cutoff_ms: u64) -> Result<Option<Stored>, Error> {
        let key = key::message_id(room, client, id);
        let found = match self.shared.tail.find_id(&key) {
            Some(seq) => Some(seq),
            // Between the two lookups it may have moved from the tail to the tables, never the other way.
            None => self.shared.tables.find_id(&key)?,
        };
        found.map_or(Ok(None), |seq| self.message(room, seq, seq, cutoff_ms))
    }

    /// One stored message, unless its seq is above `last` or it is older than `cutoff_ms` on the kept clock.
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub fn message(&self, room: u64, seq: u64, last: u64, cutoff_ms: u64) -> Result<Option<Stored>, Error> {
        let Some(after) = seq.checked_sub(1).filter(|_| seq <= last) else { return Ok(None) };
        let page = Page { room, after, through: seq, cutoff_ms, max_messages: 1, max_bytes: 0 };
        Ok(self.read(&page)?.to_stored().pop())
    }

    /// The time of a stored message on the kept clock, without reading it. If the message is not in memory, this is the time of the
    /// oldest message in its chunk. None if it is gone.
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub fn accepted_ms(&self, room: u64, seq: u64) -> Result<Option<u64>, Error> {
        match self.shared.tail.accepted_ms(room, seq) {
            Some(kept_ms) => Ok(Some(kept_ms)),
            None => self.shared.tables.accepted_ms(room, seq),
        }
    }
}
