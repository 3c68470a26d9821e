//! What a commit will change: requests checked one after the other, against what is durable and what those before them in the same
//! commit will have changed.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Worker, Write, limit, no_room, not_joined, storage};
use crate::clock::wall_ms;
use crate::error::Error;
use crate::hub::cutoff_ms;
use crate::limits::Limits;
use crate::protocol::{ErrorCode, Refusal, Reply};
use crate::rooms::Rooms;
use crate::store::record::{Op, Stored};
use crate::store::{Store, key};

/// What one commit will change, on top of what is published.
pub(super) struct Draft<'a> {
    store: &'a Store,
    rooms: &'a Rooms,
    limits: &'a Limits,
    pub(super) kept_ms: u64,
    cutoff_ms: u64,
    now_ms: u64,
    pub(super) next_room: u64,
    pub(super) ops: Vec<Op>,
    made: HashMap<Arc<str>, u64>,
    /// Last seq and time of the rooms that get messages.
    lasts: HashMap<u64, (u64, u64)>,
    /// Cursors that change; none: no member any more.
    cursors: HashMap<(u64, Arc<str>), Option<u64>>,
    joined: HashMap<Arc<str>, usize>,
    /// Where in `ops` a message id stands.
    ids: HashMap<Vec<u8>, usize>,
    /// The disk refuses: so does everything in this commit.
    pub(super) refused: Option<Refusal>,
    /// Who sent last, to which room, its number: who sends on to it need not be looked up again.
    sender: Option<(Arc<str>, Arc<str>, u64)>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(worker: &'a Worker) -> Self {
        let short = worker.store.is_short_of_space();
        Draft {
            store: &worker.store,
            rooms: &worker.rooms,
            limits: &worker.limits,
            kept_ms: worker.store.clock().now_ms(),
            cutoff_ms: cutoff_ms(&worker.store, worker.retention),
            now_ms: wall_ms(),
            next_room: worker.next_room,
            ops: Vec::new(),
            made: HashMap::new(),
            lasts: HashMap::new(),
            cursors: HashMap::new(),
            joined: HashMap::new(),
            ids: HashMap::new(),
            sender: None,
            refused: short.then(|| {
                Refusal::new(
                    ErrorCode::Storage,
                    "the disk is nearly full; nothing was stored, try again when there is room",
                )
            }),
        }
    }

    pub(super) fn take(&mut self, client: &Arc<str>, write: Write) -> Result<Reply, Refusal> {
        match write {
            Write::Create { room, topic } => self.create(&room, &topic),
            Write::Join { room } => self.join(client, &room),
            Write::Leave { room } => self.leave(client, &room),
            Write::Send { room, id, body } => self.send(client, &room, id, body),
            Write::Ack { room, seq } => self.ack(client, &room, seq),
            Write::Nick { nick } => {
                let person = crate::protocol::name::person(client).into();
                self.ops.push(Op::Nick { client: person, nick: nick.into() });
                Ok(Reply::Done)
            }
        }
    }

    fn room(&self, name: &str) -> Option<u64> {
        self.made.get(name).copied().or_else(|| self.rooms.get(name).map(|room| room.id))
    }

    fn cursor(&self, room: u64, client: &Arc<str>) -> Option<u64> {
        match self.cursors.get(&(room, client.clone())) {
            Some(cursor) => *cursor,
            None => self.rooms.by_id(room).and_then(|room| room.cursor(client)),
        }
    }

    /// A room's last seq and time, with what this commit adds.
    fn last(&self, room: u64) -> (u64, u64) {
        let published = || self.rooms.by_id(room).map_or((0, 0), |room| (room.last_seq(), room.active_ms()));
        self.lasts.get(&room).copied().unwrap_or_else(published)
    }

    /// A room that the client is a member of, and its cursor.
    fn member(&self, client: &Arc<str>, name: &str) -> Result<(u64, u64), Refusal> {
        let room = self.room(name).ok_or_else(|| no_room(name))?;
        let cursor = self.cursor(room, client).ok_or_else(|| not_joined(name))?;
        Ok((room, cursor))
    }

    /// The room of a member that sends.
    fn sends_to(&mut self, client: &Arc<str>, name: &str) -> Result<u64, Refusal> {
        if let Some((sender, to, room)) = &self.sender
            && Arc::ptr_eq(sender, client)
            && **to == *name
        {
            return Ok(*room);
        }
        let (room, _) = self.member(client, name)?;
        self.sender = Some((client.clone(), name.into(), room));
        Ok(room)
    }

    fn make(&mut self, name: &str, topic: &str) -> Result<u64, Refusal> {
        if self.rooms.count() + self.made.len() >= self.limits.rooms_max {
            return Err(limit("rooms", self.limits.rooms_max));
        }
        let room = self.next_room;
        self.next_room += 1;
        let name: Arc<str> = name.into();
        self.made.insert(name.clone(), room);
        self.ops.push(Op::Room { room, name, topic: topic.into(), time_ms: self.now_ms });
        Ok(room)
    }

    fn create(&mut self, name: &str, topic: &str) -> Result<Reply, Refusal> {
        if self.room(name).is_some() {
            return Err(Refusal::new(ErrorCode::RoomExists, "there is such a room; JOIN it"));
        }
        self.make(name, topic)?;
        Ok(Reply::Done)
    }

    fn joined(&self, client: &Arc<str>) -> usize {
        self.joined.get(client).copied().unwrap_or_else(|| self.rooms.joined(client))
    }

    fn join(&mut self, client: &Arc<str>, name: &str) -> Result<Reply, Refusal> {
        let found = self.room(name);
        if let Some(room) = found
            && let Some(cursor) = self.cursor(room, client)
        {
            return Ok(Reply::Joined { cursor, last: self.last(room).0 });
        }
        let joined = self.joined(client);
        if joined >= self.limits.joined_rooms_max {
            return Err(limit("joined rooms of one client", self.limits.joined_rooms_max));
        }
        let room = match found {
            Some(room) => room,
            None => self.make(name, "")?,
        };
        self.joined.insert(client.clone(), joined + 1);
        self.cursors.insert((room, client.clone()), Some(0));
        self.ops.push(Op::Join { room, client: client.clone() });
        Ok(Reply::Joined { cursor: 0, last: self.last(room).0 })
    }

    fn leave(&mut self, client: &Arc<str>, name: &str) -> Result<Reply, Refusal> {
        let (room, _) = self.member(client, name)?;
        self.sender = None;
        self.joined.insert(client.clone(), self.joined(client).saturating_sub(1));
        self.cursors.insert((room, client.clone()), None);
        self.ops.push(Op::Leave { room, client: client.clone() });
        Ok(Reply::Done)
    }

    fn ack(&mut self, client: &Arc<str>, name: &str, seq: u64) -> Result<Reply, Refusal> {
        let (room, cursor) = self.member(client, name)?;
        let (last, _) = self.last(room);
        if seq > last {
            return Err(Refusal::new(ErrorCode::BadArgument, format!("{seq} is past the room's last seq, {last}")));
        }
        if seq > cursor {
            self.cursors.insert((room, client.clone()), Some(seq));
            self.ops.push(Op::Cursor { room, client: client.clone(), seq });
        }
        Ok(Reply::Acked { cursor: cursor.max(seq) })
    }

    fn send(&mut self, client: &Arc<str>, name: &str, id: Option<String>, body: Bytes) -> Result<Reply, Refusal> {
        let room = self.sends_to(client, name)?;
        let id_key = id.as_deref().map(|id| key::message_id(room, client, id));
        if let (Some(key), Some(id)) = (&id_key, &id)
            && let Some(first) = self.find(room, client, id, key)?
        {
            if first.body != body {
                let text = format!("this id was used for another message, {}; a new message wants a new id", first.seq);
                return Err(Refusal::new(ErrorCode::IdReused, text));
            }
            return Ok(Reply::Sent { seq: first.seq, dup: true });
        }
        let (last_seq, last_ms) = self.last(room);
        let seq = last_seq + 1;
        let time_ms = self.now_ms.max(last_ms);
        self.lasts.insert(room, (seq, time_ms));
        if let Some(key) = id_key {
            self.ids.insert(key, self.ops.len());
        }
        let message =
            Stored { seq, time_ms, kept_ms: self.kept_ms, client: client.clone(), id: id.map(Arc::from), body };
        self.ops.push(Op::Message { room, message });
        Ok(Reply::Sent { seq, dup: false })
    }

    /// The message that this client sent with this id, stored or in this commit.
    fn find(&mut self, room: u64, client: &str, id: &str, key: &[u8]) -> Result<Option<Stored>, Refusal> {
        if let Some(Op::Message { message, .. }) = self.ids.get(key).and_then(|place| self.ops.get(*place)) {
            return Ok(Some(message.clone()));
        }
        self.store.find(room, client, id, self.cutoff_ms).map_err(|error| match error {
            // Of one room's messages; the others go on.
            Error::Damaged { .. } | Error::Io { .. } => {
                tracing::error!("{error}; can't tell whether a message with this id is stored already");
                let text =
                    "the daemon can't read from its disk whether it has this already; its operator's log says why";
                Refusal::new(ErrorCode::Storage, text)
            }
            error => {
                self.store.failure().set(&error.to_string());
                storage(&error.to_string())
            }
        })
    }
}
