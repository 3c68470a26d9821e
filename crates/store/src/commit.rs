//! A commit: what becomes durable together, as the journal has it. Byte for byte: [`record`](crate::record).

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::chunk::{self, Chunk, Parsed};
use crate::record::Kind;
use crate::record::{Access, Reader, RoomRecord, Stored, VERSION, put_text, put_u32_at};

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
        /// To here; [`NO_CURSOR`](crate::record::NO_CURSOR) where the member reads nothing.
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
    /// A room is no more, nor anything of it.
    Delete {
        /// Its number.
        room: u64,
    },
    /// The moment of a backup's cut; see [`marks`](crate::marks).
    Mark {
        /// A random number.
        mark: u64,
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

    /// The moments that it [marks](crate::marks).
    pub fn marks(&self) -> impl Iterator<Item = u64> {
        self.ops.iter().filter_map(|op| match op {
            Op::Mark { mark } => Some(*mark),
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

impl Op {
    /// The room that it is of; none where it is of none.
    pub fn room(&self) -> Option<u64> {
        match self {
            Op::Nick { .. } | Op::Mark { .. } => None,
            Op::Room { room, .. }
            | Op::Change { room, .. }
            | Op::Access { room, .. }
            | Op::Join { room, .. }
            | Op::Leave { room, .. }
            | Op::Cursor { room, .. }
            | Op::Message { room, .. }
            | Op::Group { room, .. }
            | Op::Ungroup { room, .. }
            | Op::Done { room, .. }
            | Op::Redact { room, .. }
            | Op::Delete { room } => Some(*room),
        }
    }

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
            Op::Delete { room } => {
                out.put_u8(15);
                out.put_u64_le(*room);
            }
            Op::Mark { mark } => {
                out.put_u8(16);
                out.put_u64_le(*mark);
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
            15 => Op::Delete { room: reader.u64()? },
            16 => Op::Mark { mark: reader.u64()? },
            _ => return None,
        })
    }
}

fn put_member(out: &mut Vec<u8>, kind: u8, room: u64, client: &str) {
    out.put_u8(kind);
    out.put_u64_le(room);
    put_text(out, client);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::FileId;
    use crate::record::{Last, put_body};

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
                Op::Delete { room: 2 },
                Op::Mark { mark: 0x0123_4567_89ab_cdef },
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
}
