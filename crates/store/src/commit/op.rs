//! A change to the store.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::record::{Access, Kind, Reader, RoomRecord, Stored, put_text};

/// A change to the store. Rooms are known by numbers, which are never used again.
///
/// The committer drafts ops (`draft`; an import drafts those of its rooms and messages the same way), and [`Writer::append`] writes
/// them to the journal: rooms, then messages as chunks, then the rest. Then four places act on each op, and on no other form of it:
///
/// | op | `tables`: the mover's thread, or a start | `tail`: messages in memory | `check`: the journal past sled | the daemon's `rooms` |
/// | --- | --- | --- | --- | --- |
/// | `Room` | writes its record | begins a room | names the room | adds the room |
/// | `Change` | writes its record | | | replaces the record |
/// | `Access` | writes or removes the record | | | sets it |
/// | `Join` | adds a member with cursor 0 | | | adds the member |
/// | `Leave` | removes the member | | | removes the member, wakes followers |
/// | `Cursor` | writes the cursor | | must not be past the last seq | sets the cursor |
/// | `Message` | leads to its chunk, which it may write; adds the id | adds it and its id, until moved or longer | seq must follow, room must exist | moves the last seq, wakes followers |
/// | `Nick` | writes it | | | sets it |
/// | `Group` | adds the group, or sets its timeout | | | the same |
/// | `Ungroup` | removes the group | | | the same |
/// | `Done` | adds to what the group has done | | | the same |
/// | `Redact` | writes the chunk anew, notes the erasure | removes the body; masks it in reads until moved | | counts it |
/// | `Delete` | notes it, forgets the room, drops the rest later | forgets the room | ignores the room from here on | removes the room |
/// | `Mark` | adds it to the marks | | | |
///
/// `tables` carries ops out in an order of its own, so that what a kill leaves of it fits together: marks, messages, rooms, last seqs,
/// the rest, redactions, deletions. A start replays ops that sled may have already, so each must end the same when it is done again.
/// [`Store::marks`](crate::Store::marks) gets a mark from [`Writer::append`] itself.
///
/// A backup has no ops: it copies the state of `rooms` at a `Mark`, and reads messages. A restore builds a store of that state, and of
/// `Message` ops that it hands to `tables`.
///
/// [`Writer::append`]: crate::Writer::append
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new room.
    Room {
        /// Its number.
        room: u64,
        /// Its settings.
        record: RoomRecord,
    },
    /// A room's settings have changed, but not its name.
    Change {
        /// The room.
        room: u64,
        /// Its new settings.
        record: RoomRecord,
    },
    /// What a person may do in a room.
    Access {
        /// The room.
        room: u64,
        /// The person, without a device.
        client: Arc<str>,
        /// None: what everybody may.
        access: Option<Access>,
    },
    /// A new member, with cursor 0.
    Join {
        /// The room.
        room: u64,
        /// The member.
        client: Arc<str>,
    },
    /// A member has left; its cursor is gone.
    Leave {
        /// The room.
        room: u64,
        /// The member.
        client: Arc<str>,
    },
    /// A member's cursor has moved.
    Cursor {
        /// The room.
        room: u64,
        /// The member.
        client: Arc<str>,
        /// The new cursor; [`NO_CURSOR`](crate::record::NO_CURSOR) for a member that does not read.
        seq: u64,
    },
    /// A message; its `kept_ms` is the commit's.
    Message {
        /// The room.
        room: u64,
        /// The message.
        message: Stored,
    },
    /// A client's display name.
    Nick {
        /// The client.
        client: Arc<str>,
        /// The nick.
        nick: Arc<str>,
    },
    /// A new shared cursor, or another timeout of one.
    Group {
        /// The room.
        room: u64,
        /// The shared cursor's name.
        group: Arc<str>,
        /// Its position, if it is new.
        cursor: u64,
        /// How long a message that a worker has taken is reserved for that worker.
        timeout_ms: u64,
    },
    /// A shared cursor is gone.
    Ungroup {
        /// The room.
        room: u64,
        /// The shared cursor's name.
        group: Arc<str>,
    },
    /// A message that a worker has taken is done.
    Done {
        /// The room.
        room: u64,
        /// The shared cursor's name.
        group: Arc<str>,
        /// The message's seq.
        seq: u64,
        /// The room's messages up to this seq are gone.
        floor: u64,
    },
    /// A message has lost its body.
    Redact {
        /// The room.
        room: u64,
        /// The message's seq.
        seq: u64,
        /// The seq of the message that redacts it.
        by: u64,
    },
    /// A room is deleted, with everything in it.
    Delete {
        /// The room.
        room: u64,
    },
    /// The moment of a backup's cut; see [`marks`](crate::marks).
    Mark {
        /// A random number.
        mark: u64,
    },
}

impl Op {
    /// The room that it changes, if any.
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

    /// Messages are not encoded: on disk, they are in chunks.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
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

    pub(super) fn decode(kind: u8, reader: &mut Reader<'_>, kept_ms: u64) -> Option<Op> {
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
    #[test]
    fn the_table_has_each_op_once() {
        let source = include_str!("op.rs");
        let code = source.split("pub enum Op {").nth(1).unwrap().split("\n}\n").next().unwrap();
        let ops: Vec<&str> = code.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" {")).collect();
        let rows = source.lines().filter_map(|line| line.strip_prefix("/// | `")?.split_once("` | "));
        assert_eq!(ops, rows.map(|(op, _)| op).collect::<Vec<_>>());
    }
}
