//! Chunks: many messages of a room in one piece, with a checksum, and the record that says where a chunk is. Byte for byte:
//! [`record`](crate::record).

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::files::{FileId, Place};
use crate::key;
use crate::limits::CHUNK_MAX_BYTES;
use crate::record::{Kind, Reader, Stored, StoredRef, VERSION, put_body, put_text, put_u32_at};

/// The version of a chunk whose messages have kinds; 2 is that of a place.
const WITH_KINDS_VERSION: u8 = 3;

/// The version of a place. Records of version 1 hold the chunk itself.
const PLACE_VERSION: u8 = 2;

/// A chunk as the index describes it: what it holds, and where it begins in what it was written into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The room.
    pub room: u64,
    /// The first seq.
    pub first_seq: u64,
    /// The last seq.
    pub last_seq: u64,
    /// When the oldest message was accepted, on the kept clock.
    pub oldest_kept_ms: u64,
    /// When the newest message was.
    pub newest_kept_ms: u64,
    /// Whether any message has an id.
    pub has_ids: bool,
    /// Where it begins.
    pub at: u64,
    /// Its length.
    pub bytes: u32,
}

/// Bytes of a message in a chunk, besides its client, id, body, and the seq it refers to.
const MESSAGE_BYTES: usize = 25;
/// Bytes of a chunk, besides its messages.
const HEADER_BYTES: usize = 17;

/// The seq that a message refers to.
fn about(kind: Kind) -> Option<u64> {
    match kind {
        Kind::Plain => None,
        Kind::Reply(seq) | Kind::Redaction(seq) | Kind::Redacted(seq) => Some(seq),
    }
}

fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Plain => 0,
        Kind::Reply(_) => 1,
        Kind::Redaction(_) => 2,
        Kind::Redacted(_) => 3,
    }
}

fn kind(number: u8, about: u64) -> Option<Kind> {
    Some(match number {
        0 => Kind::Plain,
        1 => Kind::Reply(about),
        2 => Kind::Redaction(about),
        3 => Kind::Redacted(about),
        _ => return None,
    })
}

/// Bytes that a message takes in a chunk.
pub fn stored_bytes(message: &Stored) -> usize {
    let about = if about(message.kind).is_some() { 8 } else { 0 };
    MESSAGE_BYTES + message.client.len() + message.id.as_deref().map_or(0, str::len) + message.body.len() + about
}

/// Cuts messages into groups that each make a chunk: as many as fit, but at least one.
pub fn groups<T>(messages: &[T], of: impl Fn(&T) -> &Stored) -> impl Iterator<Item = &[T]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = HEADER_BYTES;
        let fits = rest.iter().take_while(|item| {
            bytes += stored_bytes(of(item));
            bytes <= CHUNK_MAX_BYTES
        });
        let count = fits.count().max(1).min(rest.len());
        let (group, after) = rest.split_at_checked(count)?;
        rest = after;
        (!group.is_empty()).then_some(group)
    })
}

impl Chunk {
    /// Bytes of its messages, which are the same in whatever chunks they are.
    pub fn stored_bytes(&self) -> u64 {
        u64::from(self.bytes).saturating_sub(HEADER_BYTES as u64)
    }

    /// Describes a chunk of these messages, if there are any.
    pub(crate) fn of<'a>(
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

/// Appends a chunk of at least one message. They are oldest first, and their seqs consecutive.
pub fn encode<'a>(
    room: u64,
    messages: impl DoubleEndedIterator<Item = &'a Stored> + Clone,
    out: &mut Vec<u8>,
) -> Chunk {
    let start = out.len();
    out.put_u8(WITH_KINDS_VERSION);
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
        out.put_u8(number(message.kind));
        if let Some(seq) = about(message.kind) {
            out.put_u64_le(seq);
        }
        put_body(out, &message.body);
        count += 1;
    }
    put_u32_at(out, count_at, count);
    let crc = crc32fast::hash(out.get(start + 5..).unwrap_or_default());
    put_u32_at(out, start + 1, crc);
    // A chunk is far under 4 GiB.
    let bytes = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    Chunk::of(room, messages, start, bytes).unwrap_or(Chunk { room, at: start as u64, bytes, ..Chunk::default() })
}

/// A chunk's messages, in its bytes: parsed once, never copied.
#[derive(Clone, Debug)]
pub struct Parsed {
    bytes: Bytes,
    first_seq: u64,
    clients: Vec<Arc<str>>,
    marks: Vec<Mark>,
}

/// The place of a message.
#[derive(Clone, Copy, Debug)]
struct Mark {
    time_ms: u64,
    kept_ms: u64,
    /// The index of its client.
    client: u32,
    /// The length of its id, or 0. The id comes right before the kind, and that before the body's length.
    id_bytes: u16,
    /// The length of its kind: 1, or 9 if it refers to another message. 0 in chunks of the first release.
    kind_bytes: u8,
    body_at: u32,
    body_bytes: u32,
}

fn read_kind(bytes: &[u8]) -> Option<Kind> {
    let (number, about) = bytes.split_first()?;
    kind(*number, about.first_chunk().map_or(0, |about| u64::from_le_bytes(*about)))
}

/// How many of the newest clients to search for a name.
const SHARED_CLIENTS: usize = 8;

impl Parsed {
    /// As [`of`](Parsed::of), for the chunk that begins with this seq according to the index; none if another is there.
    pub(crate) fn beginning_with(first_seq: u64, bytes: Bytes) -> Option<Parsed> {
        Parsed::of(bytes).filter(|chunk| chunk.first().is_some_and(|oldest| oldest.seq == first_seq))
    }

    /// Parses a chunk; `None` if it is not one, or its checksum fails.
    pub fn of(bytes: Bytes) -> Option<Parsed> {
        let mut reader = Reader(&bytes);
        let with_kinds = match reader.u8()? {
            VERSION => false,
            WITH_KINDS_VERSION => true,
            _ => return None,
        };
        if reader.u32()? != crc32fast::hash(reader.0) {
            return None;
        }
        let first_seq = reader.u64()?;
        let count = reader.u32()?;
        first_seq.checked_add(u64::from(count))?;
        // Each message takes more than a byte, so a forged count does not take more memory than the chunk.
        let mut marks = Vec::with_capacity((count as usize).min(reader.0.len()));
        // Few clients share a chunk, so each name is allocated once.
        let mut clients: Vec<Arc<str>> = Vec::new();
        for _ in 0..count {
            let (time_ms, kept_ms) = (reader.u64()?, reader.u64()?);
            let name = reader.text_bytes()?;
            let known = clients.iter().rev().take(SHARED_CLIENTS).position(|client| client.as_bytes() == name);
            let client = match known {
                Some(back) => clients.len() - 1 - back,
                None => {
                    clients.push(std::str::from_utf8(name).ok()?.into());
                    clients.len() - 1
                }
            };
            let id_bytes = reader.str()?.len();
            let mut kind_bytes = 0;
            if with_kinds {
                let number = reader.u8()?;
                kind(number, 0)?;
                kind_bytes = 1;
                if number > 0 {
                    reader.u64()?;
                    kind_bytes = 9;
                }
            }
            let body = reader.body()?;
            marks.push(Mark {
                time_ms,
                kept_ms,
                client: u32::try_from(client).ok()?,
                id_bytes: u16::try_from(id_bytes).ok()?,
                kind_bytes,
                body_at: u32::try_from(bytes.len() - reader.0.len() - body.len()).ok()?,
                body_bytes: u32::try_from(body.len()).ok()?,
            });
        }
        reader.end(())?;
        Some(Parsed { bytes, first_seq, clients, marks })
    }

    /// Its checksum.
    pub fn crc(&self) -> u32 {
        self.bytes.get(1..5).and_then(|crc| crc.first_chunk()).map_or(0, |crc| u32::from_le_bytes(*crc))
    }

    /// As [`Chunk::stored_bytes`], for the whole chunk.
    pub fn stored_bytes(&self) -> u64 {
        (self.bytes.len() as u64).saturating_sub(HEADER_BYTES as u64)
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// A message, by its index.
    pub fn get(&self, place: usize) -> Option<StoredRef<'_>> {
        let mark = self.marks.get(place)?;
        let body_at = mark.body_at as usize;
        // The body's length, four bytes, is between them.
        let kind_end = body_at - 4;
        let id_end = kind_end - usize::from(mark.kind_bytes);
        let id = self.bytes.get(id_end - usize::from(mark.id_bytes)..id_end).filter(|id| !id.is_empty());
        Some(StoredRef {
            seq: self.first_seq + place as u64,
            time_ms: mark.time_ms,
            kept_ms: mark.kept_ms,
            client: self.clients.get(mark.client as usize)?,
            id: id.and_then(|id| std::str::from_utf8(id).ok()),
            body: self.bytes.get(body_at..body_at + mark.body_bytes as usize)?,
            kind: self.bytes.get(id_end..kind_end).and_then(read_kind).unwrap_or_default(),
        })
    }

    /// The oldest message.
    pub fn first(&self) -> Option<StoredRef<'_>> {
        self.get(0)
    }

    /// The newest message.
    pub fn last(&self) -> Option<StoredRef<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = StoredRef<'_>> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// How many messages are from before this time of the kept clock.
    pub fn accepted_before(&self, kept_ms: u64) -> usize {
        self.marks.partition_point(|mark| mark.kept_ms < kept_ms)
    }

    /// Drops the `count` oldest messages.
    pub fn skip(&mut self, count: usize) {
        let count = count.min(self.len());
        self.marks.drain(..count);
        self.first_seq += count as u64;
    }

    /// Keeps only the `count` oldest messages.
    pub fn truncate(&mut self, count: usize) {
        self.marks.truncate(count);
    }

    /// The messages, owned; their bodies share the chunk's memory.
    pub fn to_stored(&self) -> Vec<Stored> {
        let stored = |(place, mark): (usize, &Mark)| {
            let message = self.get(place)?;
            Some(Stored {
                seq: message.seq,
                time_ms: message.time_ms,
                kept_ms: message.kept_ms,
                client: self.clients.get(mark.client as usize)?.clone(),
                id: message.id.map(Arc::from),
                body: self.bytes.slice_ref(message.body),
                kind: message.kind,
            })
        };
        self.marks.iter().enumerate().filter_map(stored).collect()
    }
}

/// The messages of a chunk; `None` if it is not one, or its checksum fails. Their bodies share its memory.
pub fn decode(bytes: &Bytes) -> Option<Vec<Stored>> {
    Some(Parsed::of(bytes.clone())?.to_stored())
}

/// Encodes the place of a chunk, as the index has it.
pub(crate) fn encode_place(file: FileId, chunk: &Chunk) -> Vec<u8> {
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

pub(crate) fn decode_place(room: u64, first_seq: u64, bytes: &[u8]) -> Option<(Place, Chunk)> {
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

/// Decodes a record of the index: a place, or (inside) none for part of a chunk itself, as the first release stored it. None
/// (outside) if it can't be decoded.
pub(crate) fn place_of(key: &[u8], value: &[u8]) -> Option<Option<(Place, Chunk)>> {
    let (room, first_seq, part) = key::parse_chunk(key)?;
    // A later part may begin with any byte.
    if part > 0 || value.first() != Some(&PLACE_VERSION) {
        return Some(None);
    }
    decode_place(room, first_seq, value).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(seq: u64, id: Option<&str>) -> Stored {
        let (client, body) = ("alice/phone".into(), Bytes::from_static(b"\0hi\xff"));
        Stored { seq, time_ms: 11, kept_ms: 5 * seq, client, id: id.map(Arc::from), body, kind: Kind::Plain }
    }

    #[test]
    fn a_chunk_comes_back_and_no_flipped_bit_does() {
        let mut chunk = vec![stored(7, None), stored(8, Some("x"))];
        for (place, kind) in [Kind::Reply(3), Kind::Redaction(1 << 40), Kind::Redacted(9)].into_iter().enumerate() {
            let id = if place == 1 { Some("y") } else { None };
            chunk.push(Stored { kind, ..stored(9 + place as u64, id) });
        }
        let mut bytes = Vec::new();
        let written = encode(1, chunk.iter(), &mut bytes);
        assert_eq!(written.stored_bytes(), chunk.iter().map(|message| stored_bytes(message) as u64).sum::<u64>());
        assert_eq!(decode(&bytes.clone().into()).as_ref(), Some(&chunk));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped.into()), None);
        }
    }

    #[test]
    fn a_chunk_of_the_first_release_is_read() {
        let mut bytes = vec![1, 0, 0, 0, 0];
        bytes.put_u64_le(7);
        bytes.put_u32_le(2);
        for id in ["", "x"] {
            bytes.put_u64_le(11);
            bytes.put_u64_le(35);
            put_text(&mut bytes, "alice/phone");
            put_text(&mut bytes, id);
            put_body(&mut bytes, b"\0hi\xff");
        }
        let crc = crc32fast::hash(&bytes[5..]);
        put_u32_at(&mut bytes, 1, crc);
        let expected = vec![stored(7, None), Stored { kept_ms: 35, ..stored(8, Some("x")) }];
        assert_eq!(decode(&bytes.into()), Some(expected));
    }

    #[test]
    fn a_part_of_a_chunk_is_what_it_is_in_the_whole() {
        let chunk = [stored(7, None), stored(8, Some("x")), Stored { client: "bob".into(), ..stored(9, None) }];
        let mut bytes = Vec::new();
        encode(1, chunk.iter(), &mut bytes);
        let mut parsed = Parsed::of(bytes.into()).unwrap();
        assert_eq!((parsed.accepted_before(35), parsed.accepted_before(36), parsed.accepted_before(46)), (0, 1, 3));
        assert_eq!((parsed.first().unwrap().seq, parsed.last().unwrap().client), (7, "bob"));
        parsed.skip(1);
        assert_eq!(parsed.to_stored(), chunk[1..]);
        parsed.truncate(1);
        assert_eq!(parsed.to_stored(), chunk[1..2]);
        parsed.skip(5);
        assert!(parsed.is_empty() && parsed.last().is_none());
    }
}
