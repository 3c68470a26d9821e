//! What is stored, byte for byte: the commits in the journal and the values in sled's trees.
//!
//! Every record begins with its version. To change one, add a version, write only the new one, read both, and say in the
//! changelog from which release on the old one may be gone. Integers are little-endian. A text is a `u16` length and its bytes, a
//! body a `u32` length and its bytes.
//!
//! ```text
//! commit   1 | kept_ms u64 | ops u32 | op …
//! op       1 room    | room u64 | name | topic | time_ms u64; no longer written
//!          2 join    | room u64 | client
//!          3 leave   | room u64 | client
//!          4 cursor  | room u64 | client | seq u64
//!          5 message | room u64 | seq u64 | time_ms u64 | client | id (empty: none) | body; no longer written
//!          6 nick    | client | nick
//!          7 chunk   | room u64 | bytes u32 | chunk
//!          8 room    | room u64 | settings
//!          9 change  | room u64 | settings
//!         10 access  | room u64 | person | 0 like everybody, 1 invited, 2 banned
//!         11 redact  | room u64 | seq u64 | by u64
//!         12 group   | room u64 | group | cursor u64 | timeout_ms u64: if the group exists, only the timeout is set
//!         13 ungroup | room u64 | group
//!         14 done    | room u64 | group | seq u64 | floor u64
//!         15 delete  | room u64: nothing after it belongs to this room, whose number is never used again
//!         16 mark    | mark u64
//! chunk    1 | crc32 u32 of all that follows | first seq u64 | messages u32 | (time_ms u64 | kept_ms u64 | client | id | body) …;
//!          no longer written
//!          3 | the same, with a kind between id and body: 0, or 1 reply, 2 redaction, 3 redacted, and a seq u64
//! place    2 | 1 in the journal, 2 in a segment | file u64 | at u64 | bytes u32 | last seq u64 | oldest kept_ms u64
//!          | newest kept_ms u64 | 1 if a message has an id
//! room     1 | time_ms u64 | name | topic; no longer written
//!          2 | settings
//! settings time_ms u64 | name | topic | 1 if it is private | owner (empty: none) | keep_ms u64 | cap_bytes u64
//! last     1 | seq u64 | time_ms u64 | floor u64; no longer written
//!          2 | seq u64 | time_ms u64 | floor u64 | bytes u64
//! erasure  1 | kept_ms u64 | 0, or 1 | crc32 u32 | file's kind u8 | file u64 | at u64 | bytes u32
//! access   1 | 1 invited, 2 banned
//! cursor   1 | seq u64, or the largest u64 if the member has no cursor
//! group    2 | cursor u64 | timeout_ms u64 | runs u32 | (first u64 | last u64) …; among cursors, under "=" and its name
//! id       1 | seq u64
//! deleted  1: a room of which something may still be stored
//! highest  1 | the highest number that a deleted room had u64
//! nick     1 | nick
//! reading  1 | covered u64 | boottime_ms u64 | kept_ms u64 | timeline
//! marks    1 | mark u64 …, the newest last
//! ```

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::clock::Reading;

pub(crate) const VERSION: u8 = 1;
const SECOND_VERSION: u8 = 2;

/// What a message is, in relation to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A message of its own.
    #[default]
    Plain,
    /// A reply to the message with this seq.
    Reply(u64),
    /// The redaction of the message with this seq, by this one's sender. It has no body.
    Redaction(u64),
    /// A message redacted by the one with this seq. It has lost its body.
    Redacted(u64),
}

/// Stored as the cursor of a member that does not read.
pub const NO_CURSOR: u64 = u64::MAX;

/// Whether a member's cursor is past its room's last seq, which is an error.
pub fn is_past(cursor: u64, last_seq: u64) -> bool {
    cursor != NO_CURSOR && cursor > last_seq
}

/// A stored message. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number in the room.
    pub seq: u64,
    /// When it was accepted, by the wall clock; never earlier than the message before it.
    pub time_ms: u64,
    /// When it was accepted, by the [kept clock](crate::clock::KeptClock), which measures its age.
    pub kept_ms: u64,
    /// The sender, with the device.
    pub client: Arc<str>,
    /// The sender's message id.
    pub id: Option<Arc<str>>,
    /// The content.
    pub body: Bytes,
    /// Its relation to other messages.
    pub kind: Kind,
}

impl Stored {
    /// Removes the body.
    pub fn redact(&mut self, by: u64) {
        self.body = Bytes::new();
        self.kind = Kind::Redacted(by);
    }
}

/// A [`Stored`] message, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRef<'a> {
    /// As [`Stored::seq`].
    pub seq: u64,
    /// As [`Stored::time_ms`].
    pub time_ms: u64,
    /// As [`Stored::kept_ms`].
    pub kept_ms: u64,
    /// As [`Stored::client`].
    pub client: &'a str,
    /// As [`Stored::id`].
    pub id: Option<&'a str>,
    /// As [`Stored::body`].
    pub body: &'a [u8],
    /// As [`Stored::kind`].
    pub kind: Kind,
}

impl<'a> From<&'a Stored> for StoredRef<'a> {
    fn from(stored: &'a Stored) -> Self {
        let Stored { seq, time_ms, kept_ms, client, id, body, kind } = stored;
        let (seq, time_ms, kept_ms, id) = (*seq, *time_ms, *kept_ms, id.as_deref());
        StoredRef { seq, time_ms, kept_ms, client, id, body, kind: *kind }
    }
}

/// A room's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomRecord {
    /// When it was created, by the wall clock.
    pub time_ms: u64,
    /// Its name.
    pub name: Arc<str>,
    /// Its topic.
    pub topic: Arc<str>,
    /// Whether only people who are invited see it.
    pub private: bool,
    /// Its owner, without a device; none for rooms of the first release.
    pub owner: Option<Arc<str>>,
    /// How long its messages are kept, if that is longer than the daemon's retention.
    pub keep_ms: u64,
    /// The most bytes of stored messages that it may have; 0 for no limit.
    pub cap_bytes: u64,
}

/// A person's access to a room, if it is not everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// May join the room although it is private.
    Invited,
    /// May do nothing.
    Banned,
}

impl Access {
    pub(crate) fn number(access: Option<Access>) -> u8 {
        match access {
            None => 0,
            Some(Access::Invited) => 1,
            Some(Access::Banned) => 2,
        }
    }

    pub(crate) fn of(number: u8) -> Option<Option<Access>> {
        match number {
            0 => Some(None),
            1 => Some(Some(Access::Invited)),
            2 => Some(Some(Access::Banned)),
            _ => None,
        }
    }

    /// Encodes the record.
    pub fn encode(self) -> [u8; 2] {
        [VERSION, Access::number(Some(self))]
    }

    /// Decodes the record.
    pub fn decode(bytes: &[u8]) -> Option<Access> {
        let mut reader = Reader::versioned(bytes)?;
        let access = Access::of(reader.u8()?)??;
        reader.end(access)
    }
}

/// A room's counters; they stay when its messages are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// The last seq assigned.
    pub seq: u64,
    /// The last message's time; 0 if there was none.
    pub time_ms: u64,
    /// Messages up to this seq are gone.
    pub floor: u64,
    /// Bytes of the others in chunks, without the chunks' headers. In a store of the first release, messages from before the
    /// upgrade do not count.
    pub bytes: u64,
}

/// Appends a text after its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    // Limits keep every stored text far under 64 KiB.
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_body(out: &mut Vec<u8>, body: &[u8]) {
    out.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(body);
}

/// Reads a record; each method returns none if the record is too short for it.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn versioned(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        (reader.u8()? == VERSION).then_some(reader)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next `u32`.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next `u64`.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn text_bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        self.bytes(length)
    }

    /// The next text.
    pub fn str(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.text_bytes()?).ok()
    }

    /// The next text, owned.
    pub fn text(&mut self) -> Option<Arc<str>> {
        self.str().map(Arc::from)
    }

    pub(crate) fn optional(&mut self) -> Option<Option<Arc<str>>> {
        self.str().map(|text| (!text.is_empty()).then(|| Arc::from(text)))
    }

    pub(crate) fn body(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.bytes(length)
    }

    /// The value, if nothing is left to read.
    pub fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// Overwrites a number that was left open when its place was reserved.
pub(crate) fn put_u32_at(out: &mut [u8], at: usize, number: u32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

impl RoomRecord {
    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![SECOND_VERSION];
        self.put(&mut out);
        out
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.time_ms);
        put_text(out, &self.name);
        put_text(out, &self.topic);
        out.put_u8(u8::from(self.private));
        put_text(out, self.owner.as_deref().unwrap_or_default());
        out.put_u64_le(self.keep_ms);
        out.put_u64_le(self.cap_bytes);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<RoomRecord> {
        Some(RoomRecord {
            time_ms: reader.u64()?,
            name: reader.text()?,
            topic: reader.text()?,
            private: reader.u8()? != 0,
            owner: reader.optional()?,
            keep_ms: reader.u64()?,
            cap_bytes: reader.u64()?,
        })
    }

    /// Decodes the record.
    pub fn decode(bytes: &[u8]) -> Option<RoomRecord> {
        let mut reader = Reader(bytes);
        let record = match reader.u8()? {
            VERSION => {
                let (time_ms, name, topic) = (reader.u64()?, reader.text()?, reader.text()?);
                RoomRecord { time_ms, name, topic, ..RoomRecord::default() }
            }
            SECOND_VERSION => RoomRecord::read(&mut reader)?,
            _ => return None,
        };
        reader.end(record)
    }
}

impl Last {
    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![SECOND_VERSION];
        for field in [self.seq, self.time_ms, self.floor, self.bytes] {
            out.put_u64_le(field);
        }
        out
    }

    /// Decodes the record.
    pub fn decode(bytes: &[u8]) -> Option<Last> {
        let mut reader = Reader(bytes);
        let version = reader.u8()?;
        let (seq, time_ms, floor) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let bytes = match version {
            VERSION => 0,
            SECOND_VERSION => reader.u64()?,
            _ => return None,
        };
        reader.end(Last { seq, time_ms, floor, bytes })
    }
}

pub(crate) fn encode_seq(seq: u64) -> [u8; 9] {
    let mut out = [VERSION; 9];
    out[1..].copy_from_slice(&seq.to_le_bytes());
    out
}

pub(crate) fn decode_seq(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::versioned(bytes)?;
    let seq = reader.u64()?;
    reader.end(seq)
}

pub(crate) fn encode_nick(nick: &str) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_text(&mut out, nick);
    out
}

pub(crate) fn decode_nick(bytes: &[u8]) -> Option<Arc<str>> {
    let mut reader = Reader::versioned(bytes)?;
    let nick = reader.text()?;
    reader.end(nick)
}

/// Encodes a checkpoint: the last commit that sled covers, and the kept clock.
pub(crate) fn encode_reading(covered: u64, reading: &Reading) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.put_u64_le(covered);
    out.put_u64_le(reading.boottime_ms);
    out.put_u64_le(reading.kept_ms);
    put_text(&mut out, &reading.timeline);
    out
}

pub(crate) fn decode_reading(bytes: &[u8]) -> Option<(u64, Reading)> {
    let mut reader = Reader::versioned(bytes)?;
    let covered = reader.u64()?;
    let reading = Reading { boottime_ms: reader.u64()?, kept_ms: reader.u64()?, timeline: reader.str()?.to_owned() };
    reader.end((covered, reading))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomRecord {
        RoomRecord {
            time_ms: 4,
            name: "단톡".into(),
            topic: "t".into(),
            private: true,
            owner: Some("alice".into()),
            keep_ms: 5,
            cap_bytes: 6,
        }
    }

    #[test]
    fn small_records_come_back() {
        assert_eq!(RoomRecord::decode(&room().encode()), Some(room()));
        let last = Last { seq: 9, time_ms: 4, floor: 2, bytes: 77 };
        assert_eq!(Last::decode(&last.encode()), Some(last));
        assert_eq!(Access::decode(&Access::Banned.encode()), Some(Access::Banned));
        assert_eq!(decode_seq(&encode_seq(77)), Some(77));
        assert_eq!(decode_nick(&encode_nick("Al")).as_deref(), Some("Al"));
        let reading = Reading { timeline: "b".into(), boottime_ms: 1, kept_ms: 2 };
        assert_eq!(decode_reading(&encode_reading(3, &reading)), Some((3, reading)));
    }
}
