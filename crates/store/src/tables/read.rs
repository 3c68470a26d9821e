//! Lookups in the trees, and the messages that they lead to.

use super::Tables;
use crate::chunk::{self, Parsed};
use crate::error::Error;
use crate::{key, record};

/// A tree, to visit [each](Tables::each) of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// The places of chunks of messages; from the first release, parts of the chunks themselves.
    Messages,
    /// The counters of rooms.
    Lasts,
    /// The settings of rooms.
    Rooms,
    /// Members and their cursors.
    Members,
    /// Who is invited to rooms, or banned from them.
    Access,
    /// Message ids.
    Ids,
    /// Nicks.
    Nicks,
    /// Deleted rooms of which something may still be there.
    Deleted,
}

impl Tables {
    /// The seq of the message with an id.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a record can't be decoded.
    pub(crate) fn find_id(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        let Some(value) = self.ids.get(key).map_err(self.failed("read a message id"))? else { return Ok(None) };
        record::decode_seq(&value).map(Some).ok_or_else(|| self.damaged("a message id's record"))
    }

    /// The chunk that has `seq`, or else the next one, if there is any.
    ///
    /// # Errors
    /// Errors of sled or I/O; [`Error::Damaged`] if the chunk is not whole.
    pub(crate) fn chunk_at(&self, room: u64, seq: u64) -> Result<Option<Parsed>, Error> {
        let Some((mut key, mut value)) = self.find(room, seq)? else { return Ok(None) };
        let messages = loop {
            match self.chunk(room, &key, &value) {
                Ok(messages) => break messages,
                Err(error) => {
                    // A chunk that was redacted meanwhile is elsewhere now, and zeros are in its place.
                    let Some(again) = self.find(room, seq)? else { return Ok(None) };
                    if again == (key, value) {
                        return Err(error);
                    }
                    (key, value) = again;
                }
            }
        };
        if messages.last().is_none_or(|newest| newest.seq >= seq) {
            return Ok(Some(messages));
        }
        // The record of one from the first release does not say where it ends.
        match self.next_key(room, seq)? {
            Some((key, value)) => self.chunk(room, &key, &value).map(Some),
            None => Ok(None),
        }
    }

    /// As [`chunk_at`](Tables::chunk_at), but only if the system has the chunk in memory, and nothing is wrong with it.
    pub(crate) fn cached_chunk_at(&self, room: u64, seq: u64) -> Option<Parsed> {
        let (key, value) = self.find(room, seq).ok()??;
        let (place, chunk) = chunk::place_of(&key, &value)??;
        let messages = Parsed::beginning_with(chunk.first_seq, self.segments.read_cached(&place).ok()??)?;
        (messages.last()?.seq == chunk.last_seq && chunk.last_seq >= seq).then_some(messages)
    }

    /// The time of the oldest message, on the kept clock, in the chunk that has `seq`.
    ///
    /// # Errors
    /// As [`chunk_at`](Tables::chunk_at).
    pub(crate) fn accepted_ms(&self, room: u64, seq: u64) -> Result<Option<u64>, Error> {
        let Some((key, value)) = self.find(room, seq)? else { return Ok(None) };
        match chunk::place_of(&key, &value).flatten() {
            Some((_, chunk)) => Ok((chunk.first_seq <= seq).then_some(chunk.oldest_kept_ms)),
            // That of one from the first release does not say.
            None => Ok(self.chunk_at(room, seq)?.and_then(|chunk| chunk.first().map(|oldest| oldest.kept_ms))),
        }
    }

    /// The record of the chunk that has `seq`, or may have it, or else of the next one.
    pub(super) fn find(&self, room: u64, seq: u64) -> Result<Option<(sled::IVec, sled::IVec)>, Error> {
        let before = self.messages.range(key::chunk(room, 0, 0)..=key::chunk(room, seq, u32::MAX)).next_back();
        if let Some((key, value)) = before.transpose().map_err(self.failed("read messages"))?
            && chunk::place_of(&key, &value).flatten().is_none_or(|(_, chunk)| chunk.last_seq >= seq)
        {
            return Ok(Some((key, value)));
        }
        self.next_key(room, seq)
    }

    /// The first record of a room's messages from `seq` on.
    pub(super) fn next_key(&self, room: u64, seq: u64) -> Result<Option<(sled::IVec, sled::IVec)>, Error> {
        let after = self.messages.range(key::chunk(room, seq, 0)..=key::chunk(room, u64::MAX, u32::MAX)).next();
        after.transpose().map_err(self.failed("read messages"))
    }

    /// The chunk that a record leads to, or is part of.
    pub(super) fn chunk(&self, room: u64, key: &[u8], value: &[u8]) -> Result<Parsed, Error> {
        let damaged = || self.damaged("where messages stand");
        let (_, first, _) = key::parse_chunk(key).ok_or_else(damaged)?;
        let place = chunk::place_of(key, value).ok_or_else(damaged)?.map(|(place, _)| place);
        let bytes = match &place {
            Some(place) => self.segments.read(place)?,
            None => {
                let mut bytes = Vec::new();
                for entry in self.messages.range(key::chunk(room, first, 0)..=key::chunk(room, first, u32::MAX)) {
                    let (_, value) = entry.map_err(self.failed("read messages"))?;
                    bytes.extend_from_slice(&value);
                }
                bytes.into()
            }
        };
        Parsed::beginning_with(first, bytes).ok_or_else(|| {
            let what = format!("the messages of room {room} from seq {first} on fail their checksum");
            match &place {
                Some(place) => Error::damaged(&self.segments.path(place.file), format!("{what}, at byte {}", place.at)),
                None => self.damaged(what),
            }
        })
    }

    /// Visits every record of a tree, key and value, in the order of the keys.
    ///
    /// # Errors
    /// Errors of sled, after which the rest of the tree can't be read.
    pub fn each(&self, tree: Tree, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), Error> {
        let records = match tree {
            Tree::Messages => &self.messages,
            Tree::Lasts => &self.lasts,
            Tree::Rooms => &self.rooms,
            Tree::Members => &self.members,
            Tree::Access => &self.access,
            Tree::Ids => &self.ids,
            Tree::Nicks => &self.nicks,
            Tree::Deleted => &self.deleted,
        };
        for entry in records {
            let (key, value) = entry.map_err(self.failed("read"))?;
            visit(&key, &value);
        }
        Ok(())
    }
}
