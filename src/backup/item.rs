//! The items that a backup consists of. Their format is described in [`backup`](super).

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use dantok_store::chunk;
use dantok_store::group::GroupRecord;
use dantok_store::record::{Access, Last, Reader, RoomRecord, Stored, put_text};
use dantok_store::{RoomState, State};

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A room; precedes all other items about it.
    Room {
        /// The room's number.
        room: u64,
        /// Its last message.
        last: Last,
        /// Its record in the store.
        record: RoomRecord,
    },
    /// A member of a room.
    Member {
        /// The room.
        room: u64,
        /// The client.
        client: Arc<str>,
        /// The client's cursor.
        cursor: u64,
    },
    /// What a person may do in a room.
    Access {
        /// The room.
        room: u64,
        /// The person.
        client: Arc<str>,
        /// What they may do.
        access: Access,
    },
    /// A group, which shares a cursor.
    Group {
        /// The group's room.
        room: u64,
        /// Its name.
        group: Arc<str>,
        /// Its cursor, and what is done beyond that.
        record: GroupRecord,
    },
    /// The nick of a client.
    Nick {
        /// The client.
        client: Arc<str>,
        /// The nick.
        nick: Arc<str>,
    },
    /// The tokens file.
    Tokens(Bytes),
    /// The file of hooks.
    Hooks(Bytes),
    /// Messages of a room, with consecutive seqs.
    Messages {
        /// The room.
        room: u64,
        /// The messages.
        messages: Vec<Stored>,
    },
    /// Up to where messages of a room are gone; follows its messages.
    Floor {
        /// The room.
        room: u64,
        /// The seq of the last that is gone.
        seq: u64,
    },
}

/// The files beside the store that a backup has as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The tokens file. Empty if the store's tokens are elsewhere.
    pub tokens: Option<Bytes>,
    /// The file of hooks.
    pub hooks: Option<Bytes>,
}

/// Appends an item.
fn put(out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let length_at = out.len();
    out.put_u32_le(0);
    fill(out);
    // A page of messages is far under 4 GiB.
    let length = u32::try_from(out.len() - length_at - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Appends messages of a room: consecutive seqs, at least one.
pub fn put_messages(out: &mut Vec<u8>, room: u64, messages: &[Stored]) {
    put(out, 7, |out| {
        out.put_u64_le(room);
        out.put_u32_le(u32::try_from(messages.len()).unwrap_or(u32::MAX));
        chunk::encode(room, messages.iter(), out);
    });
}

/// Appends up to where a room's messages are gone.
pub fn put_floor(out: &mut Vec<u8>, room: u64, seq: u64) {
    put(out, 8, |out| {
        out.put_u64_le(room);
        out.put_u64_le(seq);
    });
}

/// Appends everything but messages and floors, and calls `full` after each item.
///
/// # Errors
/// As `full`.
pub fn put_state<E>(
    out: &mut Vec<u8>,
    state: &State,
    files: &Files,
    mut full: impl FnMut(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(tokens) = &files.tokens {
        put(out, 6, |out| out.extend_from_slice(tokens));
    }
    if let Some(hooks) = &files.hooks {
        put(out, 9, |out| out.extend_from_slice(hooks));
    }
    for room in &state.rooms {
        put(out, 1, |out| {
            for number in [room.id, room.last.seq, room.last.time_ms] {
                out.put_u64_le(number);
            }
            out.extend_from_slice(&room.record.encode());
        });
        full(out)?;
        put_people(out, room, &mut full)?;
    }
    for (client, nick) in &state.nicks {
        put(out, 5, |out| {
            put_text(out, client);
            put_text(out, nick);
        });
        full(out)?;
    }
    Ok(())
}

fn put_people<E>(
    out: &mut Vec<u8>,
    room: &RoomState,
    full: &mut impl FnMut(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let of_room = |out: &mut Vec<u8>, name: &str| {
        out.put_u64_le(room.id);
        put_text(out, name);
    };
    for (client, cursor) in &room.members {
        put(out, 2, |out| {
            of_room(out, client);
            out.put_u64_le(*cursor);
        });
        full(out)?;
    }
    for (client, access) in &room.access {
        put(out, 3, |out| {
            of_room(out, client);
            out.extend_from_slice(&access.encode());
        });
        full(out)?;
    }
    for (group, record) in &room.groups {
        put(out, 4, |out| {
            of_room(out, group);
            out.extend_from_slice(&record.encode());
        });
        full(out)?;
    }
    Ok(())
}

/// Splits items into their kinds and contents; ends with `None` at something that is not an item.
fn split(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    std::iter::from_fn(move || {
        let (kind, rest) = bytes.split_first()?;
        let item = (|| {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
        })();
        let (item, rest) = item.unzip();
        bytes = rest.unwrap_or_default();
        Some(item.map(|item| (*kind, item)))
    })
}

/// How many messages are in these items.
pub fn count_messages(bytes: &[u8]) -> u64 {
    let of_item = |item: Option<(u8, &[u8])>| match item {
        Some((7, item)) => item.get(8..12)?.first_chunk().map(|count| u64::from(u32::from_le_bytes(*count))),
        _ => None,
    };
    split(bytes).filter_map(of_item).sum()
}

/// Decodes items; yields `None` for what is not an item.
pub fn read(bytes: &Bytes) -> impl Iterator<Item = Option<Item>> {
    split(bytes).map(|item| item.and_then(|(kind, item)| decode(kind, bytes.slice_ref(item))))
}

fn decode(kind: u8, bytes: Bytes) -> Option<Item> {
    if kind == 6 {
        return Some(Item::Tokens(bytes));
    }
    if kind == 9 {
        return Some(Item::Hooks(bytes));
    }
    let mut reader = Reader(&bytes);
    if kind == 5 {
        let (client, nick) = (reader.text()?, reader.text()?);
        return reader.end(Item::Nick { client, nick });
    }
    let room = reader.u64()?;
    match kind {
        1 => {
            let last = Last { seq: reader.u64()?, time_ms: reader.u64()?, ..Last::default() };
            Some(Item::Room { room, last, record: RoomRecord::decode(reader.0)? })
        }
        2 => {
            let (client, cursor) = (reader.text()?, reader.u64()?);
            reader.end(Item::Member { room, client, cursor })
        }
        3 => Some(Item::Access { room, client: reader.text()?, access: Access::decode(reader.0)? }),
        4 => Some(Item::Group { room, group: reader.text()?, record: GroupRecord::decode(reader.0)? }),
        7 => {
            let count = reader.u32()?;
            let messages = chunk::decode(&bytes.slice_ref(reader.0))?;
            (messages.len() == count as usize && count > 0).then_some(Item::Messages { room, messages })
        }
        8 => {
            let seq = reader.u64()?;
            reader.end(Item::Floor { room, seq })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use dantok_store::record::Kind;

    #[test]
    fn what_is_put_comes_back() {
        let room = RoomState {
            id: 7,
            record: RoomRecord { name: "단톡".into(), topic: "t".into(), keep_ms: 9, ..RoomRecord::default() },
            last: Last { seq: 5, time_ms: 6, ..Last::default() },
            members: HashMap::from([("alice/phone".into(), 3)]),
            access: HashMap::from([("bob".into(), Access::Banned)]),
            groups: HashMap::from([("w".into(), GroupRecord { cursor: 1, timeout_ms: 2, done: vec![(4, 5)] })]),
        };
        let state =
            State { rooms: vec![room.clone()], nicks: HashMap::from([("alice".into(), "Al".into())]), highest_room: 7 };
        let message = Stored {
            seq: 5,
            time_ms: 6,
            kept_ms: 7,
            client: "alice".into(),
            id: Some("x".into()),
            body: Bytes::from_static(b"\0hi\xff"),
            kind: Kind::Reply(4),
        };
        let mut out = Vec::new();
        let (tokens, hooks) = (Bytes::from_static(b"tokens"), Bytes::from_static(b"hooks"));
        let files = Files { tokens: Some(tokens.clone()), hooks: Some(hooks.clone()) };
        put_state(&mut out, &state, &files, |_| Ok::<(), ()>(())).unwrap();
        put_messages(&mut out, 7, std::slice::from_ref(&message));
        put_floor(&mut out, 7, 4);
        assert_eq!(count_messages(&out), 1);
        let bytes = Bytes::from(out);
        let items: Option<Vec<Item>> = read(&bytes).collect();
        let (client, access) = ("bob".into(), Access::Banned);
        let expected = [
            Item::Tokens(tokens),
            Item::Hooks(hooks),
            Item::Room { room: 7, last: room.last, record: room.record },
            Item::Member { room: 7, client: "alice/phone".into(), cursor: 3 },
            Item::Access { room: 7, client, access },
            Item::Group { room: 7, group: "w".into(), record: room.groups["w"].clone() },
            Item::Nick { client: "alice".into(), nick: "Al".into() },
            Item::Messages { room: 7, messages: vec![message] },
            Item::Floor { room: 7, seq: 4 },
        ];
        assert_eq!(items.unwrap(), expected);
        // Cut short anywhere, only whole items are read.
        for short in 1..bytes.len() {
            let found: Vec<Option<Item>> = read(&bytes.slice(..short)).collect();
            let whole = found.iter().flatten().count();
            assert!(whole < expected.len() && found.iter().flatten().eq(&expected[..whole]));
        }
    }
}
