//! What is stored, byte for byte: the commits of the journal and the values of sled's trees.
//!
//! Every record begins with its version. To change one: add a version, write only the new one, read both, and say in
//! the changelog from which release on the old one may be gone. Integers are little-endian; a text is a `u16` length and its
//! bytes, a body a `u32` length and its bytes.
//!
//! ```text
//! commit   1 | kept_ms u64 | ops u32 | op …
//! op       1 room    | room u64 | name | topic | time_ms u64
//!          2 join    | room u64 | client
//!          3 leave   | room u64 | client
//!          4 cursor  | room u64 | client | seq u64
//!          5 message | room u64 | seq u64 | time_ms u64 | client | id (empty: none) | body
//!          6 nick    | client | nick
//! chunk    1 | crc32 u32 of all that follows | first seq u64 | messages u32 | (time_ms u64 | kept_ms u64 | client | id | body) …
//! room     1 | time_ms u64 | name | topic
//! last     1 | seq u64 | time_ms u64 | floor u64
//! cursor   1 | seq u64
//! id       1 | seq u64
//! nick     1 | nick
//! reading  1 | covered u64 | boottime_ms u64 | kept_ms u64 | boot_id
//! ```

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::clock::Reading;

const VERSION: u8 = 1;

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
}

/// A change to the store. Rooms are numbered; a number is never used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new room.
    Room {
        /// Its number.
        room: u64,
        /// Its name.
        name: Arc<str>,
        /// What it is about.
        topic: Arc<str>,
        /// When it was made, by the wall clock.
        time_ms: u64,
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
}

/// Changes that become durable together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Commit {
    /// The kept clock at the commit, in milliseconds.
    pub kept_ms: u64,
    /// The changes, in order.
    pub ops: Vec<Op>,
}

/// A room's record: what never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRecord {
    /// When it was made, by the wall clock.
    pub time_ms: u64,
    /// Its name.
    pub name: Arc<str>,
    /// What it is about.
    pub topic: Arc<str>,
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
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Limits keep every stored text far under 64 KiB.
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn put_body(out: &mut Vec<u8>, body: &[u8]) {
    out.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(body);
}

/// Reads a record; each method gives none when the record is too short for it.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn versioned(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        (reader.u8()? == VERSION).then_some(reader)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn str(&mut self) -> Option<&'a str> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    fn text(&mut self) -> Option<Arc<str>> {
        self.str().map(Arc::from)
    }

    fn optional(&mut self) -> Option<Option<Arc<str>>> {
        self.str().map(|text| (!text.is_empty()).then(|| Arc::from(text)))
    }

    fn body(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.bytes(length).map(Bytes::copy_from_slice)
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

impl Commit {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        out.put_u64_le(self.kept_ms);
        out.put_u32_le(u32::try_from(self.ops.len()).unwrap_or(u32::MAX));
        for op in &self.ops {
            op.encode(out);
        }
    }

    /// Reads the record; none where it is not one.
    pub fn decode(bytes: &[u8]) -> Option<Commit> {
        let mut reader = Reader::versioned(bytes)?;
        let kept_ms = reader.u64()?;
        let count = reader.u32()?;
        let mut ops = Vec::new();
        for _ in 0..count {
            ops.push(Op::decode(&mut reader, kept_ms)?);
        }
        reader.end(Commit { kept_ms, ops })
    }
}

impl Op {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Op::Room { room, name, topic, time_ms } => {
                out.put_u8(1);
                out.put_u64_le(*room);
                put_text(out, name);
                put_text(out, topic);
                out.put_u64_le(*time_ms);
            }
            Op::Join { room, client } => put_member(out, 2, *room, client),
            Op::Leave { room, client } => put_member(out, 3, *room, client),
            Op::Cursor { room, client, seq } => {
                put_member(out, 4, *room, client);
                out.put_u64_le(*seq);
            }
            Op::Message { room, message } => {
                out.put_u8(5);
                out.put_u64_le(*room);
                out.put_u64_le(message.seq);
                out.put_u64_le(message.time_ms);
                put_text(out, &message.client);
                put_text(out, message.id.as_deref().unwrap_or_default());
                put_body(out, &message.body);
            }
            Op::Nick { client, nick } => {
                out.put_u8(6);
                put_text(out, client);
                put_text(out, nick);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>, kept_ms: u64) -> Option<Op> {
        Some(match reader.u8()? {
            1 => Op::Room { room: reader.u64()?, name: reader.text()?, topic: reader.text()?, time_ms: reader.u64()? },
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
                    body: reader.body()?,
                },
            },
            6 => Op::Nick { client: reader.text()?, nick: reader.text()? },
            _ => return None,
        })
    }
}

fn put_member(out: &mut Vec<u8>, kind: u8, room: u64, client: &str) {
    out.put_u8(kind);
    out.put_u64_le(room);
    put_text(out, client);
}

/// A chunk: messages with seqs that follow each other, oldest first.
pub fn encode_chunk(messages: &[Stored]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u8(VERSION);
    out.put_u32_le(0);
    out.put_u64_le(messages.first().map_or(0, |message| message.seq));
    out.put_u32_le(u32::try_from(messages.len()).unwrap_or(u32::MAX));
    for message in messages {
        out.put_u64_le(message.time_ms);
        out.put_u64_le(message.kept_ms);
        put_text(&mut out, &message.client);
        put_text(&mut out, message.id.as_deref().unwrap_or_default());
        put_body(&mut out, &message.body);
    }
    let crc = crc32fast::hash(out.get(5..).unwrap_or_default());
    if let Some(place) = out.get_mut(1..5) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    out
}

/// The messages of a chunk; none where it is not one or its checksum fails.
pub fn decode_chunk(bytes: &[u8]) -> Option<Vec<Stored>> {
    let mut reader = Reader::versioned(bytes)?;
    if reader.u32()? != crc32fast::hash(reader.0) {
        return None;
    }
    let first = reader.u64()?;
    let count = reader.u32()?;
    let mut messages = Vec::new();
    for place in 0..u64::from(count) {
        messages.push(Stored {
            seq: first.checked_add(place)?,
            time_ms: reader.u64()?,
            kept_ms: reader.u64()?,
            client: reader.text()?,
            id: reader.optional()?,
            body: reader.body()?,
        });
    }
    reader.end(messages)
}

impl RoomRecord {
    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64_le(self.time_ms);
        put_text(&mut out, &self.name);
        put_text(&mut out, &self.topic);
        out
    }

    /// Reads the record; none where it is not one.
    pub fn decode(bytes: &[u8]) -> Option<RoomRecord> {
        let mut reader = Reader::versioned(bytes)?;
        let record = RoomRecord { time_ms: reader.u64()?, name: reader.text()?, topic: reader.text()? };
        reader.end(record)
    }
}

impl Last {
    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for field in [self.seq, self.time_ms, self.floor] {
            out.put_u64_le(field);
        }
        out
    }

    /// Reads the record; none where it is not one.
    pub fn decode(bytes: &[u8]) -> Option<Last> {
        let mut reader = Reader::versioned(bytes)?;
        let last = Last { seq: reader.u64()?, time_ms: reader.u64()?, floor: reader.u64()? };
        reader.end(last)
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

    fn stored(seq: u64, id: Option<&str>) -> Stored {
        Stored {
            seq,
            time_ms: 11,
            kept_ms: 5,
            client: "alice/phone".into(),
            id: id.map(Arc::from),
            body: Bytes::from_static(b"\0hi\xff"),
        }
    }

    #[test]
    fn a_commit_comes_back() {
        let commit = Commit {
            kept_ms: 5,
            ops: vec![
                Op::Room { room: 1, name: "단톡".into(), topic: "".into(), time_ms: 3 },
                Op::Join { room: 1, client: "alice".into() },
                Op::Message { room: 1, message: stored(1, Some("x")) },
                Op::Cursor { room: 1, client: "alice".into(), seq: 1 },
                Op::Leave { room: 1, client: "alice".into() },
                Op::Nick { client: "alice".into(), nick: "Al".into() },
            ],
        };
        let mut bytes = Vec::new();
        commit.encode(&mut bytes);
        assert_eq!(Commit::decode(&bytes), Some(commit));
        for short in 0..bytes.len() {
            assert_eq!(Commit::decode(&bytes[..short]), None);
        }
    }

    #[test]
    fn a_chunk_comes_back_and_no_flipped_bit_does() {
        let chunk = vec![stored(7, None), stored(8, Some("x"))];
        let bytes = encode_chunk(&chunk);
        assert_eq!(decode_chunk(&bytes).as_ref(), Some(&chunk));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_chunk(&flipped), None);
        }
    }

    #[test]
    fn small_records_come_back() {
        let room = RoomRecord { time_ms: 4, name: "r".into(), topic: "t".into() };
        assert_eq!(RoomRecord::decode(&room.encode()), Some(room));
        let last = Last { seq: 9, time_ms: 4, floor: 2 };
        assert_eq!(Last::decode(&last.encode()), Some(last));
        assert_eq!(decode_seq(&encode_seq(77)), Some(77));
        assert_eq!(decode_nick(&encode_nick("Al")).as_deref(), Some("Al"));
        let reading = Reading { boot_id: "b".into(), boottime_ms: 1, kept_ms: 2 };
        assert_eq!(decode_reading(&encode_reading(3, &reading)), Some((3, reading)));
    }
}
