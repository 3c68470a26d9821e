//! A commit: what becomes durable together, as the journal stores it. Byte for byte: [`record`](crate::record).

mod op;

use bytes::{BufMut, Bytes};

pub use op::Op;

use crate::chunk::{self, Chunk, Parsed};
use crate::record::{Reader, Stored, VERSION, put_u32_at};

/// Changes that become durable together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Commit {
    /// The kept clock at the commit, in milliseconds.
    pub kept_ms: u64,
    /// The changes, in order.
    pub ops: Vec<Op>,
}

impl Commit {
    /// Appends the record: rooms, then messages, then the rest, each in order. Returns the chunks in it.
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

    /// Decodes the record. Returns the chunks in it as well.
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

/// The chunks of a commit that are whole, and where they are in it, even if the rest is damaged.
pub(crate) fn chunks_in(commit: &Bytes) -> Vec<(Chunk, Parsed)> {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::files::FileId;
    use crate::record::{Access, Kind, Last, RoomRecord, put_body, put_text};

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
