//! What is stored, byte for byte: the commits of the journal and the values of sled's trees.
//!
//! Every record begins with its version. To change one: add a version, write only the new one, read both, and say in
//! the changelog from which release on the old one may be gone. Integers are little-endian; a text is a `u16` length and its
//! bytes, a body a `u32` length and its bytes.
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
//!         12 group   | room u64 | group | cursor u64 | timeout_ms u64: where it is there, only the timeout is set
//!         13 ungroup | room u64 | group
//!         14 done    | room u64 | group | seq u64 | floor u64
//!         11 redact  | room u64 | seq u64 | by u64
//!         10 access  | room u64 | person | 0 as everybody, 1 invited, 2 banned
//! chunk    1 | crc32 u32 of all that follows | first seq u64 | messages u32 | (time_ms u64 | kept_ms u64 | client | id | body) …;
//!          no longer written
//!          3 | the same, with a kind between id and body: 0, or 1 reply, 2 redaction, 3 redacted, and a seq u64
//! place    2 | 1 in the journal, 2 in a segment | file u64 | at u64 | bytes u32 | last seq u64 | oldest kept_ms u64
//!          | newest kept_ms u64 | 1 where a message has an id
//! room     1 | time_ms u64 | name | topic; no longer written
//!          2 | settings
//! settings time_ms u64 | name | topic | 1 where it is private | owner (empty: none) | keep_ms u64 | cap_bytes u64
//! last     1 | seq u64 | time_ms u64 | floor u64; no longer written
//!          2 | seq u64 | time_ms u64 | floor u64 | bytes u64
//! erasure  1 | kept_ms u64 | 0, or 1 | crc32 u32 | file's kind u8 | file u64 | at u64 | bytes u32
//! access   1 | 1 invited, 2 banned
//! cursor   1 | seq u64
//! group    2 | cursor u64 | timeout_ms u64 | runs u32 | (first u64 | last u64) …; under "=" and its name, where a member's cursor is
//! id       1 | seq u64
//! nick     1 | nick
//! reading  1 | covered u64 | boottime_ms u64 | kept_ms u64 | boot_id
//! ```

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::chunk::{self, Chunk, Parsed};
use crate::clock::Reading;
pub use crate::protocol::Kind;

pub(super) const VERSION: u8 = 1;
const SECOND_VERSION: u8 = 2;

/// A stored message. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the room.
    pub seq: u64,
    /// When it was taken, by the wall clock; never less than the message before it.
    pub time_ms: u64,
    /// When it was taken, by the [kept clock](crate::clock::KeptClock); its age is counted from here.
    pub kept_ms: u64,
    /// Who sent it, with the device.
    pub client: Arc<str>,
    /// The sender's message id.
    pub id: Option<Arc<str>>,
    /// What was sent.
    pub body: Bytes,
    /// Whether it is about another, or is no more.
    pub kind: Kind,
}

impl Stored {
    /// Takes the body away.
    pub fn redact(&mut self, by: u64) {
        self.body = Bytes::new();
        self.kind = Kind::Redacted(by);
    }
}

/// A change to the store. Rooms are numbered; a number is never used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new room.
    Room {
        /// Its number.
        room: u64,
        /// What it is.
        record: RoomRecord,
    },
    /// A room is not what it was; its name is.
    Change {
        /// Its number.
        room: u64,
        /// What it is now.
        record: RoomRecord,
    },
    /// What a person may in a room.
    Access {
        /// In this room.
        room: u64,
        /// The person, without a device.
        client: Arc<str>,
        /// None: as everybody.
        access: Option<Access>,
    },
    /// A new member, whose cursor is 0.
    Join {
        /// Of this room.
        room: u64,
        /// Who.
        client: Arc<str>,
    },
    /// A member gone, and its cursor.
    Leave {
        /// Of this room.
        room: u64,
        /// Who.
        client: Arc<str>,
    },
    /// A member's cursor, moved.
    Cursor {
        /// In this room.
        room: u64,
        /// Whose.
        client: Arc<str>,
        /// To here.
        seq: u64,
    },
    /// A message; its `kept_ms` is the commit's.
    Message {
        /// In this room.
        room: u64,
        /// The message.
        message: Stored,
    },
    /// What a client is shown as.
    Nick {
        /// Whose.
        client: Arc<str>,
        /// The nick.
        nick: Arc<str>,
    },
    /// A shared cursor: a new one, or another timeout.
    Group {
        /// In this room.
        room: u64,
        /// Its name.
        group: Arc<str>,
        /// Where it begins, if it is new.
        cursor: u64,
        /// How long a message that was taken is nobody else's.
        timeout_ms: u64,
    },
    /// A shared cursor gone.
    Ungroup {
        /// In this room.
        room: u64,
        /// Its name.
        group: Arc<str>,
    },
    /// A message that was taken is done.
    Done {
        /// In this room.
        room: u64,
        /// By this shared cursor.
        group: Arc<str>,
        /// Which.
        seq: u64,
        /// Up to here the room's messages are gone.
        floor: u64,
    },
    /// A message's body is gone.
    Redact {
        /// In this room.
        room: u64,
        /// Its seq.
        seq: u64,
        /// The seq of the message that says so.
        by: u64,
    },
}

/// Changes that become durable together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Commit {
    /// The kept clock at the commit, in milliseconds.
    pub kept_ms: u64,
    /// The changes, in order.
    pub ops: Vec<Op>,
}

/// A room's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomRecord {
    /// When it was made, by the wall clock.
    pub time_ms: u64,
    /// Its name.
    pub name: Arc<str>,
    /// What it is about.
    pub topic: Arc<str>,
    /// Whether only those see it who are invited.
    pub private: bool,
    /// Who made it, without a device; none for rooms of the first release.
    pub owner: Option<Arc<str>>,
    /// How long its messages are kept, where that is longer than the daemon's retention.
    pub keep_ms: u64,
    /// Bytes of stored messages past which no more are taken; 0: no such bound.
    pub cap_bytes: u64,
}

/// What a person may in a room, beside what everybody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Join it, though it is private.
    Invited,
    /// Nothing.
    Banned,
}

impl Access {
    fn number(access: Option<Access>) -> u8 {
        match access {
            None => 0,
            Some(Access::Invited) => 1,
            Some(Access::Banned) => 2,
        }
    }

    fn of(number: u8) -> Option<Option<Access>> {
        match number {
            0 => Some(None),
            1 => Some(Some(Access::Invited)),
            2 => Some(Some(Access::Banned)),
            _ => None,
        }
    }

    /// The record.
    pub fn encode(self) -> [u8; 2] {
        [VERSION, Access::number(Some(self))]
    }

    /// Reads the record; none where it is not one.
    pub fn decode(bytes: &[u8]) -> Option<Access> {
        let mut reader = Reader::versioned(bytes)?;
        let access = Access::of(reader.u8()?)??;
        reader.end(access)
    }
}

/// How far a room is; stays when its messages are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// The last seq that was given.
    pub seq: u64,
    /// The last message's time; 0 where there was none.
    pub time_ms: u64,
    /// Messages up to this seq are gone.
    pub floor: u64,
    /// What those that are not take in chunks, but for the chunks' heads; of a store of the first release, those since.
    pub bytes: u64,
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    // Limits keep every stored text far under 64 KiB.
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_body(out: &mut Vec<u8>, body: &[u8]) {
    out.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(body);
}

/// Reads a record; each method gives none when the record is too short for it.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn versioned(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        (reader.u8()? == VERSION).then_some(reader)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn text_bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        self.bytes(length)
    }

    pub(super) fn str(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.text_bytes()?).ok()
    }

    pub(super) fn text(&mut self) -> Option<Arc<str>> {
        self.str().map(Arc::from)
    }

    pub(super) fn optional(&mut self) -> Option<Option<Arc<str>>> {
        self.str().map(|text| (!text.is_empty()).then(|| Arc::from(text)))
    }

    pub(super) fn body(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.bytes(length)
    }

    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

impl Commit {
    /// Appends the record: rooms, then messages, then the rest, each in order. Returns the chunks that it holds.
    pub fn encode(&self, out: &mut Vec<u8>) -> Vec<Chunk> {
        let start = out.len();
        out.put_u8(VERSION);
        out.put_u64_le(self.kept_ms);
        out.put_u32_le(0);
        let mut count = 0;
        for op in self.ops.iter().filter(|op| matches!(op, Op::Room { .. })) {
            op.encode(out);
            count += 1;
        }
        let mut messages: Vec<(u64, &Stored)> = self.messages().collect();
        messages.sort_by_key(|(room, _)| *room);
        let mut chunks = Vec::new();
        for of_room in messages.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(&(room, _)) = of_room.first() else { continue };
            for group in chunk::groups(of_room, |(_, message)| message) {
                out.put_u8(7);
                out.put_u64_le(room);
                let length_at = out.len();
                out.put_u32_le(0);
                let chunk = chunk::encode(room, group.iter().map(|(_, message)| *message), out);
                put_u32_at(out, length_at, chunk.bytes);
                chunks.push(Chunk { at: chunk.at - start as u64, ..chunk });
                count += 1;
            }
        }
        for op in self.ops.iter().filter(|op| !matches!(op, Op::Room { .. } | Op::Message { .. })) {
            op.encode(out);
            count += 1;
        }
        put_u32_at(out, start + 9, count);
        chunks
    }

    /// The messages, each with its room.
    pub fn messages(&self) -> impl Iterator<Item = (u64, &Stored)> {
        self.ops.iter().filter_map(|op| match op {
            Op::Message { room, message } => Some((*room, message)),
            _ => None,
        })
    }

    /// Reads the record, and where it has chunks; none where it is not one.
    pub fn decode(bytes: &Bytes) -> Option<(Commit, Vec<Chunk>)> {
        let mut reader = Reader::versioned(bytes)?;
        let kept_ms = reader.u64()?;
        let count = reader.u32()?;
        let (mut ops, mut chunks) = (Vec::new(), Vec::new());
        for _ in 0..count {
            match reader.u8()? {
                7 => {
                    let room = reader.u64()?;
                    let length = reader.u32()?;
                    let at = bytes.len() - reader.0.len();
                    let encoded = reader.bytes(usize::try_from(length).ok()?)?;
                    let messages = chunk::decode(&bytes.slice_ref(encoded))?;
                    chunks.push(Chunk::of(room, messages.iter(), at, length)?);
                    ops.extend(messages.into_iter().map(|message| Op::Message { room, message }));
                }
                kind => ops.push(Op::decode(kind, &mut reader, kept_ms)?),
            }
        }
        reader.end((Commit { kept_ms, ops }, chunks))
    }
}

/// The chunks of a commit that are whole, where they are in it, whatever the rest is.
pub fn chunks_in(commit: &Bytes) -> Vec<(Chunk, Parsed)> {
    let mut found = Vec::new();
    let _ = (|| {
        let mut reader = Reader::versioned(commit)?;
        let kept_ms = reader.u64()?;
        for _ in 0..reader.u32()? {
            let kind = reader.u8()?;
            if kind != 7 {
                Op::decode(kind, &mut reader, kept_ms)?;
                continue;
            }
            let (room, length) = (reader.u64()?, reader.u32()?);
            let at = (commit.len() - reader.0.len()) as u64;
            let encoded = reader.bytes(usize::try_from(length).ok()?)?;
            if let Some(parsed) = Parsed::of(commit.slice_ref(encoded)) {
                found.push((Chunk { room, at, bytes: length, ..Chunk::default() }, parsed));
            }
        }
        Some(())
    })();
    found
}

/// Overwrites a number that was not known yet when its place was kept.
pub(super) fn put_u32_at(out: &mut [u8], at: usize, number: u32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

impl Op {
    /// Messages are no ops on disk; they are in chunks.
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Op::Room { room, record } => {
                out.put_u8(8);
                out.put_u64_le(*room);
                record.put(out);
            }
            Op::Change { room, record } => {
                out.put_u8(9);
                out.put_u64_le(*room);
                record.put(out);
            }
            Op::Access { room, client, access } => {
                put_member(out, 10, *room, client);
                out.put_u8(Access::number(*access));
            }
            Op::Join { room, client } => put_member(out, 2, *room, client),
            Op::Leave { room, client } => put_member(out, 3, *room, client),
            Op::Cursor { room, client, seq } => {
                put_member(out, 4, *room, client);
                out.put_u64_le(*seq);
            }
            Op::Message { .. } => {}
            Op::Group { room, group, cursor, timeout_ms } => {
                put_member(out, 12, *room, group);
                out.put_u64_le(*cursor);
                out.put_u64_le(*timeout_ms);
            }
            Op::Ungroup { room, group } => put_member(out, 13, *room, group),
            Op::Done { room, group, seq, floor } => {
                put_member(out, 14, *room, group);
                out.put_u64_le(*seq);
                out.put_u64_le(*floor);
            }
            Op::Redact { room, seq, by } => {
                out.put_u8(11);
                for number in [room, seq, by] {
                    out.put_u64_le(*number);
                }
            }
            Op::Nick { client, nick } => {
                out.put_u8(6);
                put_text(out, client);
                put_text(out, nick);
            }
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>, kept_ms: u64) -> Option<Op> {
        Some(match kind {
            1 => {
                let (room, name, topic, time_ms) = (reader.u64()?, reader.text()?, reader.text()?, reader.u64()?);
                Op::Room { room, record: RoomRecord { time_ms, name, topic, ..RoomRecord::default() } }
            }
            2 => Op::Join { room: reader.u64()?, client: reader.text()? },
            3 => Op::Leave { room: reader.u64()?, client: reader.text()? },
            4 => Op::Cursor { room: reader.u64()?, client: reader.text()?, seq: reader.u64()? },
            5 => Op::Message {
                room: reader.u64()?,
                message: Stored {
                    seq: reader.u64()?,
                    time_ms: reader.u64()?,
                    kept_ms,
                    client: reader.text()?,
                    id: reader.optional()?,
                    body: reader.body().map(Bytes::copy_from_slice)?,
                    kind: Kind::Plain,
                },
            },
            6 => Op::Nick { client: reader.text()?, nick: reader.text()? },
            8 => Op::Room { room: reader.u64()?, record: RoomRecord::read(reader)? },
            9 => Op::Change { room: reader.u64()?, record: RoomRecord::read(reader)? },
            10 => {
                let (room, client) = (reader.u64()?, reader.text()?);
                Op::Access { room, client, access: Access::of(reader.u8()?)? }
            }
            12 => {
                let (room, group) = (reader.u64()?, reader.text()?);
                Op::Group { room, group, cursor: reader.u64()?, timeout_ms: reader.u64()? }
            }
            13 => Op::Ungroup { room: reader.u64()?, group: reader.text()? },
            14 => {
                let (room, group) = (reader.u64()?, reader.text()?);
                Op::Done { room, group, seq: reader.u64()?, floor: reader.u64()? }
            }
            11 => Op::Redact { room: reader.u64()?, seq: reader.u64()?, by: reader.u64()? },
            _ => return None,
        })
    }
}

fn put_member(out: &mut Vec<u8>, kind: u8, room: u64, client: &str) {
    out.put_u8(kind);
    out.put_u64_le(room);
    put_text(out, client);
}

impl RoomRecord {
    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![SECOND_VERSION];
        self.put(&mut out);
        out
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.time_ms);
        put_text(out, &self.name);
        put_text(out, &self.topic);
        out.put_u8(u8::from(self.private));
        put_text(out, self.owner.as_deref().unwrap_or_default());
        out.put_u64_le(self.keep_ms);
        out.put_u64_le(self.cap_bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Option<RoomRecord> {
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

    /// Reads the record; none where it is not one.
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
    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![SECOND_VERSION];
        for field in [self.seq, self.time_ms, self.floor, self.bytes] {
            out.put_u64_le(field);
        }
        out
    }

    /// Reads the record; none where it is not one.
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

/// A cursor's or an id's record.
pub fn encode_seq(seq: u64) -> [u8; 9] {
    let mut out = [VERSION; 9];
    out[1..].copy_from_slice(&seq.to_le_bytes());
    out
}

/// Reads it; none where it is not one.
pub fn decode_seq(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::versioned(bytes)?;
    let seq = reader.u64()?;
    reader.end(seq)
}

/// A nick's record.
pub fn encode_nick(nick: &str) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_text(&mut out, nick);
    out
}

/// Reads it; none where it is not one.
pub fn decode_nick(bytes: &[u8]) -> Option<Arc<str>> {
    let mut reader = Reader::versioned(bytes)?;
    let nick = reader.text()?;
    reader.end(nick)
}

/// How far sled covers the journal, and the kept clock then.
pub fn encode_reading(covered: u64, reading: &Reading) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.put_u64_le(covered);
    out.put_u64_le(reading.boottime_ms);
    out.put_u64_le(reading.kept_ms);
    put_text(&mut out, &reading.boot_id);
    out
}

/// Reads it; none where it is not one.
pub fn decode_reading(bytes: &[u8]) -> Option<(u64, Reading)> {
    let mut reader = Reader::versioned(bytes)?;
    let covered = reader.u64()?;
    let reading = Reading { boottime_ms: reader.u64()?, kept_ms: reader.u64()?, boot_id: reader.str()?.to_owned() };
    reader.end((covered, reading))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::segments::FileId;

    fn stored(seq: u64, id: Option<&str>) -> Stored {
        Stored {
            seq,
            time_ms: 11,
            kept_ms: 5,
            client: "alice/phone".into(),
            id: id.map(Arc::from),
            body: Bytes::from_static(b"\0hi\xff"),
            kind: Kind::Plain,
        }
    }

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
    fn a_commit_comes_back() {
        let commit = Commit {
            kept_ms: 5,
            ops: vec![
                Op::Room { room: 1, record: room() },
                Op::Message { room: 1, message: stored(1, Some("x")) },
                Op::Message { room: 1, message: stored(2, None) },
                Op::Message { room: 2, message: Stored { kind: Kind::Reply(6), ..stored(7, None) } },
                Op::Redact { room: 2, seq: 6, by: 7 },
                Op::Group { room: 2, group: "w".into(), cursor: 3, timeout_ms: 4 },
                Op::Done { room: 2, group: "w".into(), seq: 5, floor: 1 },
                Op::Ungroup { room: 2, group: "w".into() },
                Op::Join { room: 1, client: "alice".into() },
                Op::Cursor { room: 1, client: "alice".into(), seq: 1 },
                Op::Leave { room: 1, client: "alice".into() },
                Op::Nick { client: "alice".into(), nick: "Al".into() },
                Op::Change { room: 1, record: RoomRecord { topic: "new".into(), ..room() } },
                Op::Access { room: 1, client: "bob".into(), access: Some(Access::Banned) },
                Op::Access { room: 1, client: "bob".into(), access: None },
            ],
        };
        let mut bytes = Vec::new();
        let chunks = commit.encode(&mut bytes);
        let bytes = Bytes::from(bytes);
        assert_eq!(Commit::decode(&bytes), Some((commit, chunks.clone())));
        for short in 0..bytes.len() {
            assert_eq!(Commit::decode(&bytes.slice(..short)), None);
        }
        let first: Vec<(u64, u64, u64)> =
            chunks.iter().map(|chunk| (chunk.room, chunk.first_seq, chunk.last_seq)).collect();
        assert_eq!(first, [(1, 1, 2), (2, 7, 7)]);
        for chunk in chunks {
            let at = chunk.at as usize;
            let alone = chunk::decode(&bytes.slice(at..at + chunk.bytes as usize)).unwrap();
            assert_eq!((alone[0].seq, chunk.has_ids), (chunk.first_seq, chunk.room == 1));
            let place = chunk::encode_place(FileId::Segment(3), &chunk);
            let (found, again) = chunk::decode_place(chunk.room, chunk.first_seq, &place).unwrap();
            assert_eq!((found.file, found.at, found.bytes, again), (FileId::Segment(3), chunk.at, chunk.bytes, chunk));
        }
    }

    #[test]
    fn a_commit_of_the_first_release_is_read() {
        // Ops: a message "hi" of alice's in room 1, and nothing else.
        let mut bytes = vec![1];
        bytes.put_u64_le(5);
        bytes.put_u32_le(1);
        bytes.put_u8(5);
        for number in [1, 9, 11] {
            bytes.put_u64_le(number);
        }
        put_text(&mut bytes, "alice/phone");
        put_text(&mut bytes, "x");
        put_body(&mut bytes, b"\0hi\xff");
        let message = Op::Message { room: 1, message: stored(9, Some("x")) };
        assert_eq!(Commit::decode(&bytes.into()), Some((Commit { kept_ms: 5, ops: vec![message] }, Vec::new())));
    }

    #[test]
    fn records_of_the_first_release_are_read() {
        let mut op = vec![1];
        op.put_u64_le(5);
        op.put_u32_le(1);
        op.put_u8(1);
        op.put_u64_le(7);
        let mut bytes = vec![1];
        bytes.put_u64_le(4);
        for out in [&mut op, &mut bytes] {
            put_text(out, "r");
            put_text(out, "t");
        }
        op.put_u64_le(4);
        let record = RoomRecord { time_ms: 4, name: "r".into(), topic: "t".into(), ..RoomRecord::default() };
        assert_eq!(RoomRecord::decode(&bytes), Some(record.clone()));
        let ops = vec![Op::Room { room: 7, record }];
        assert_eq!(Commit::decode(&op.into()), Some((Commit { kept_ms: 5, ops }, Vec::new())));
        let mut last = vec![1];
        for number in [9, 4, 2] {
            last.put_u64_le(number);
        }
        assert_eq!(Last::decode(&last), Some(Last { seq: 9, time_ms: 4, floor: 2, bytes: 0 }));
    }

    #[test]
    fn small_records_come_back() {
        assert_eq!(RoomRecord::decode(&room().encode()), Some(room()));
        let last = Last { seq: 9, time_ms: 4, floor: 2, bytes: 77 };
        assert_eq!(Last::decode(&last.encode()), Some(last));
        assert_eq!(Access::decode(&Access::Banned.encode()), Some(Access::Banned));
        assert_eq!(decode_seq(&encode_seq(77)), Some(77));
        assert_eq!(decode_nick(&encode_nick("Al")).as_deref(), Some("Al"));
        let reading = Reading { boot_id: "b".into(), boottime_ms: 1, kept_ms: 2 };
        assert_eq!(decode_reading(&encode_reading(3, &reading)), Some((3, reading)));
    }
}
