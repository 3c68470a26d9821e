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
//!          5 message | room u64 | seq u64 | time_ms u64 | client | id (empty: none) | body; no longer written
//!          6 nick    | client | nick
//!          7 chunk   | room u64 | bytes u32 | chunk
//! chunk    1 | crc32 u32 of all that follows | first seq u64 | messages u32 | (time_ms u64 | kept_ms u64 | client | id | body) …
//! place    2 | 1 in the journal, 2 in a segment | file u64 | at u64 | bytes u32 | last seq u64 | oldest kept_ms u64
//!          | newest kept_ms u64 | 1 where a message has an id
//! room     1 | time_ms u64 | name | topic
//! last     1 | seq u64 | time_ms u64 | floor u64
//! cursor   1 | seq u64
//! id       1 | seq u64
//! nick     1 | nick
//! reading  1 | covered u64 | boottime_ms u64 | kept_ms u64 | boot_id
//! ```

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::segments::{FileId, Place};
use crate::clock::Reading;
use crate::limits::CHUNK_MAX_BYTES;

const VERSION: u8 = 1;
/// The version of a record that says where a chunk stands, where there was the chunk itself before.
const PLACE_VERSION: u8 = 2;

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

    fn body(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.bytes(length)
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// A chunk, as an index has it: what it holds, and where it begins in what it was written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its messages' room.
    pub room: u64,
    /// The first of them.
    pub first_seq: u64,
    /// The last.
    pub last_seq: u64,
    /// When the oldest was taken, on the kept clock.
    pub oldest_kept_ms: u64,
    /// When the newest was.
    pub newest_kept_ms: u64,
    /// Whether any has an id.
    pub has_ids: bool,
    /// Where it begins.
    pub at: u64,
    /// How long it is.
    pub bytes: u32,
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
            for group in groups(of_room, |(_, message)| message) {
                out.put_u8(7);
                out.put_u64_le(room);
                let length_at = out.len();
                out.put_u32_le(0);
                let chunk = encode_chunk(room, group.iter().map(|(_, message)| *message), out);
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
                    let messages = decode_chunk(&bytes.slice_ref(encoded))?;
                    chunks.push(Chunk::of(room, messages.iter(), at, length)?);
                    ops.extend(messages.into_iter().map(|message| Op::Message { room, message }));
                }
                kind => ops.push(Op::decode(kind, &mut reader, kept_ms)?),
            }
        }
        reader.end((Commit { kept_ms, ops }, chunks))
    }
}

/// Overwrites a number that was not known yet when its place was kept.
fn put_u32_at(out: &mut [u8], at: usize, number: u32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

impl Op {
    /// Messages are no ops on disk; they are in chunks.
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
            Op::Message { .. } => {}
            Op::Nick { client, nick } => {
                out.put_u8(6);
                put_text(out, client);
                put_text(out, nick);
            }
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>, kept_ms: u64) -> Option<Op> {
        Some(match kind {
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
                    body: reader.body().map(Bytes::copy_from_slice)?,
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

/// What a message takes in a chunk, besides its client, id and body.
const CHUNK_MESSAGE_BYTES: usize = 24;
/// What a chunk takes, besides its messages.
const CHUNK_HEADER_BYTES: usize = 17;

/// Cuts messages into groups that each make a chunk: as many as fit, and at least one.
pub fn groups<T>(messages: &[T], of: impl Fn(&T) -> &Stored) -> impl Iterator<Item = &[T]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = CHUNK_HEADER_BYTES;
        let fits = rest.iter().take_while(|item| {
            let message = of(item);
            let id = message.id.as_deref().map_or(0, str::len);
            bytes += CHUNK_MESSAGE_BYTES + message.client.len() + id + message.body.len();
            bytes <= CHUNK_MAX_BYTES
        });
        let count = fits.count().max(1).min(rest.len());
        let (group, after) = rest.split_at_checked(count)?;
        rest = after;
        (!group.is_empty()).then_some(group)
    })
}

impl Chunk {
    fn of<'a>(
        room: u64,
        messages: impl DoubleEndedIterator<Item = &'a Stored> + Clone,
        at: usize,
        bytes: u32,
    ) -> Option<Chunk> {
        let (oldest, newest) = (messages.clone().next()?, messages.clone().next_back()?);
        Some(Chunk {
            room,
            first_seq: oldest.seq,
            last_seq: newest.seq,
            oldest_kept_ms: oldest.kept_ms,
            newest_kept_ms: newest.kept_ms,
            has_ids: messages.clone().any(|message| message.id.is_some()),
            at: at as u64,
            bytes,
        })
    }
}

/// Appends a chunk: messages of a room with seqs that follow each other, oldest first; at least one.
pub fn encode_chunk<'a>(
    room: u64,
    messages: impl DoubleEndedIterator<Item = &'a Stored> + Clone,
    out: &mut Vec<u8>,
) -> Chunk {
    let start = out.len();
    out.put_u8(VERSION);
    out.put_u32_le(0);
    out.put_u64_le(messages.clone().next().map_or(0, |message| message.seq));
    let count_at = out.len();
    out.put_u32_le(0);
    let mut count = 0;
    for message in messages.clone() {
        out.put_u64_le(message.time_ms);
        out.put_u64_le(message.kept_ms);
        put_text(out, &message.client);
        put_text(out, message.id.as_deref().unwrap_or_default());
        put_body(out, &message.body);
        count += 1;
    }
    put_u32_at(out, count_at, count);
    let crc = crc32fast::hash(out.get(start + 5..).unwrap_or_default());
    put_u32_at(out, start + 1, crc);
    // A chunk is far under 4 GiB.
    let bytes = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    let empty = Chunk {
        room,
        first_seq: 0,
        last_seq: 0,
        oldest_kept_ms: 0,
        newest_kept_ms: 0,
        has_ids: false,
        at: start as u64,
        bytes,
    };
    Chunk::of(room, messages, start, bytes).unwrap_or(empty)
}

/// The messages of a chunk; none where it is not one or its checksum fails. Their bodies share its memory.
pub fn decode_chunk(bytes: &Bytes) -> Option<Vec<Stored>> {
    let mut reader = Reader::versioned(bytes)?;
    if reader.u32()? != crc32fast::hash(reader.0) {
        return None;
    }
    let first = reader.u64()?;
    let count = reader.u32()?;
    // Each message takes more than a byte.
    let mut messages: Vec<Stored> = Vec::with_capacity((count as usize).min(reader.0.len()));
    // Few clients share a chunk: one name for all of a client's messages.
    let mut clients: Vec<Arc<str>> = Vec::new();
    for place in 0..u64::from(count) {
        let (time_ms, kept_ms) = (reader.u64()?, reader.u64()?);
        let name = reader.str()?;
        let client = match clients.iter().rev().take(SHARED_CLIENTS).find(|client| ***client == *name) {
            Some(client) => client.clone(),
            None => {
                clients.push(name.into());
                clients.last()?.clone()
            }
        };
        let id = reader.optional()?;
        let body = bytes.slice_ref(reader.body()?);
        messages.push(Stored { seq: first.checked_add(place)?, time_ms, kept_ms, client, id, body });
    }
    reader.end(messages)
}

/// Names that are looked through for one that is known.
const SHARED_CLIENTS: usize = 8;

/// Where a chunk stands: the value of an index.
pub fn encode_place(file: FileId, chunk: &Chunk) -> Vec<u8> {
    let mut out = vec![PLACE_VERSION];
    let (kind, number) = match file {
        FileId::Journal(number) => (1, number),
        FileId::Segment(number) => (2, number),
    };
    out.put_u8(kind);
    out.put_u64_le(number);
    out.put_u64_le(chunk.at);
    out.put_u32_le(chunk.bytes);
    out.put_u64_le(chunk.last_seq);
    out.put_u64_le(chunk.oldest_kept_ms);
    out.put_u64_le(chunk.newest_kept_ms);
    out.put_u8(u8::from(chunk.has_ids));
    out
}

/// Reads it; none where it is not one. A chunk itself, as it was stored before, is none either.
pub fn decode_place(room: u64, first_seq: u64, bytes: &[u8]) -> Option<(Place, Chunk)> {
    let mut reader = Reader(bytes);
    if reader.u8()? != PLACE_VERSION {
        return None;
    }
    let (kind, number) = (reader.u8()?, reader.u64()?);
    let file = match kind {
        1 => FileId::Journal(number),
        2 => FileId::Segment(number),
        _ => return None,
    };
    let (at, bytes) = (reader.u64()?, reader.u32()?);
    let (last_seq, oldest_kept_ms, newest_kept_ms) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let has_ids = reader.u8()? != 0;
    let chunk = Chunk { room, first_seq, last_seq, oldest_kept_ms, newest_kept_ms, has_ids, at, bytes };
    reader.end((Place { file, at, bytes }, chunk))
}

/// Whether an index's value says where a chunk stands, and is not the chunk.
pub fn is_place(bytes: &[u8]) -> bool {
    bytes.first() == Some(&PLACE_VERSION)
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
                Op::Message { room: 1, message: stored(1, Some("x")) },
                Op::Message { room: 1, message: stored(2, None) },
                Op::Message { room: 2, message: stored(7, None) },
                Op::Join { room: 1, client: "alice".into() },
                Op::Cursor { room: 1, client: "alice".into(), seq: 1 },
                Op::Leave { room: 1, client: "alice".into() },
                Op::Nick { client: "alice".into(), nick: "Al".into() },
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
            let alone = decode_chunk(&bytes.slice(at..at + chunk.bytes as usize)).unwrap();
            assert_eq!((alone[0].seq, chunk.has_ids), (chunk.first_seq, chunk.room == 1));
            let place = encode_place(FileId::Segment(3), &chunk);
            let (found, again) = decode_place(chunk.room, chunk.first_seq, &place).unwrap();
            assert_eq!((found.file, found.at, found.bytes, again), (FileId::Segment(3), chunk.at, chunk.bytes, chunk));
        }
    }

    #[test]
    fn a_chunk_comes_back_and_no_flipped_bit_does() {
        let chunk = vec![stored(7, None), stored(8, Some("x"))];
        let mut bytes = Vec::new();
        encode_chunk(1, chunk.iter(), &mut bytes);
        assert_eq!(decode_chunk(&bytes.clone().into()).as_ref(), Some(&chunk));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_chunk(&flipped.into()), None);
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
