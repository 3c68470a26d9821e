//! The only writer: takes what has queued while the last commit was syncing, gives every message its seq, makes
//! all of it durable with one sync, and only then answers and publishes.
//!
//! Requests are checked here against the durable rooms and what the same commit changes before them, so that
//! pipelined requests see each other. After the first failed write nothing is acknowledged any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::wall_ms;
use crate::hub::{Figures, cutoff_ms};
use crate::limits::{COMMIT_MAX_BYTES, COMMIT_MAX_REQUESTS, IN_FLIGHT_MAX_BYTES, Limits};
use crate::protocol::{ErrorCode, Refusal, Reply};
use crate::rooms::Rooms;
use crate::store::record::{Commit, Op, Stored};
use crate::store::{Store, Writer, key};

/// What a request holds in memory besides its body.
const REQUEST_BYTES: usize = 512;

/// A change that a client asks for. Names were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Make a room.
    Create {
        /// Its name.
        room: String,
        /// What it is about.
        topic: String,
    },
    /// Make the client a member, and the room if it is missing.
    Join {
        /// Which room.
        room: String,
    },
    /// Forget the client's membership.
    Leave {
        /// Of which room.
        room: String,
    },
    /// Append a message.
    Send {
        /// Where to.
        room: String,
        /// The client's id for it.
        id: Option<String>,
        /// What.
        body: Bytes,
    },
    /// Move the client's cursor up; a lower seq than it has moves nothing.
    Ack {
        /// In which room.
        room: String,
        /// To here.
        seq: u64,
    },
    /// Set what the client is shown as.
    Nick {
        /// The nick.
        nick: String,
    },
}

#[derive(Debug)]
struct Submission {
    client: Arc<str>,
    write: Write,
    answer: oneshot::Sender<Reply>,
    // Held until the answer is given: it bounds the bytes in flight.
    permit: OwnedSemaphorePermit,
}

/// The way to the committer.
#[derive(Clone, Debug)]
pub struct Committer {
    queue: mpsc::Sender<Submission>,
    bytes: Arc<Semaphore>,
}

impl Committer {
    /// Starts the thread. It ends when every `Committer` is gone and what they submitted is answered.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(
        writer: Writer,
        store: Arc<Store>,
        rooms: Arc<Rooms>,
        limits: Limits,
        retention: Duration,
        figures: Arc<Figures>,
    ) -> std::io::Result<(Committer, JoinHandle<()>)> {
        let (queue, submissions) = mpsc::channel(COMMIT_MAX_REQUESTS);
        let next_room = rooms.highest_id() + 1;
        let worker = Worker { writer, store, rooms, limits, retention, figures, next_room };
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(move || worker.run(submissions))?;
        Ok((Committer { queue, bytes: Arc::new(Semaphore::new(IN_FLIGHT_MAX_BYTES)) }, thread))
    }

    /// Queues a change; waits while too much is in flight. The answer comes when the change is durable, in the order of the calls.
    pub async fn submit(&self, client: Arc<str>, write: Write) -> oneshot::Receiver<Reply> {
        let (answer, answered) = oneshot::channel();
        let bytes = REQUEST_BYTES + if let Write::Send { body, .. } = &write { body.len() } else { 0 };
        let permits = u32::try_from(bytes.min(IN_FLIGHT_MAX_BYTES)).unwrap_or(u32::MAX);
        // The semaphore is never closed; a closed queue drops `answer`, which says that the committer has ended.
        if let Ok(permit) = self.bytes.clone().acquire_many_owned(permits).await {
            let _ = self.queue.send(Submission { client, write, answer, permit }).await;
        }
        answered
    }
}

/// The answer when the committer has ended without one.
pub fn ended() -> Reply {
    Reply::Error(Refusal::new(ErrorCode::Stopping, "the daemon is stopping; connect again later and repeat this"))
}

struct Worker {
    writer: Writer,
    store: Arc<Store>,
    rooms: Arc<Rooms>,
    limits: Limits,
    retention: Duration,
    figures: Arc<Figures>,
    next_room: u64,
}

impl Worker {
    fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        while let Some(first) = queue.blocking_recv() {
            let mut bytes = body_bytes(&first.write);
            let mut batch = vec![first];
            while batch.len() < COMMIT_MAX_REQUESTS && bytes < COMMIT_MAX_BYTES {
                let Ok(next) = queue.try_recv() else { break };
                bytes += body_bytes(&next.write);
                batch.push(next);
            }
            self.commit(batch);
        }
    }

    fn commit(&mut self, batch: Vec<Submission>) {
        let mut draft = Draft::new(self);
        let mut answers = Vec::with_capacity(batch.len());
        for Submission { client, write, answer, permit } in batch {
            let reply = draft.take(&client, write).unwrap_or_else(Reply::Error);
            answers.push((answer, reply, permit));
        }
        let (ops, next_room) = (std::mem::take(&mut draft.ops), draft.next_room);
        let refused = draft.refused.take();
        let commit = Arc::new(Commit { kept_ms: draft.kept_ms, ops });
        let failed = match refused {
            Some(refusal) => Some(refusal),
            None if commit.ops.is_empty() => self.store.failure().get().map(|why| storage(&why)),
            None => self.writer.append(commit.clone()).err().map(|error| storage(&error.to_string())),
        };
        if failed.is_none() && !commit.ops.is_empty() {
            self.next_room = next_room;
            self.count(&commit);
            self.rooms.publish(&commit.ops);
        }
        for (answer, reply, permit) in answers {
            let reply = match &failed {
                Some(refusal) => Reply::Error(refusal.clone()),
                None => reply,
            };
            // The connection may be gone; what it sent stays.
            let _ = answer.send(reply);
            drop(permit);
        }
    }

    fn count(&self, commit: &Commit) {
        let bodies = commit.ops.iter().filter_map(|op| match op {
            Op::Message { message, .. } => Some(message.body.len() as u64),
            _ => None,
        });
        let (messages, bytes) = bodies.fold((0, 0), |(messages, bytes), body| (messages + 1, bytes + body));
        self.figures.commits.fetch_add(1, Ordering::Relaxed);
        self.figures.messages.fetch_add(messages, Ordering::Relaxed);
        self.figures.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn body_bytes(write: &Write) -> usize {
    if let Write::Send { body, .. } = write { body.len() } else { 0 }
}

fn storage(why: &str) -> Refusal {
    // The reason names files; it is for the operator's log, not for clients.
    tracing::debug!(why, "refused a write");
    Refusal::new(
        ErrorCode::Storage,
        "the daemon can't write to its disk and is stopping; repeat this with the same id later",
    )
}

/// What one commit will change, on top of what is published.
struct Draft<'a> {
    store: &'a Store,
    rooms: &'a Rooms,
    limits: &'a Limits,
    kept_ms: u64,
    cutoff_ms: u64,
    now_ms: u64,
    next_room: u64,
    ops: Vec<Op>,
    made: HashMap<Arc<str>, u64>,
    /// Last seq and time of the rooms that get messages.
    lasts: HashMap<u64, (u64, u64)>,
    /// Cursors that change; none: no member any more.
    cursors: HashMap<(u64, Arc<str>), Option<u64>>,
    joined: HashMap<Arc<str>, usize>,
    /// Where in `ops` a message id stands.
    ids: HashMap<Vec<u8>, usize>,
    /// The disk refuses: so does everything in this commit.
    refused: Option<Refusal>,
}

impl<'a> Draft<'a> {
    fn new(worker: &'a Worker) -> Self {
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
            refused: short.then(|| {
                Refusal::new(
                    ErrorCode::Storage,
                    "the disk is nearly full; nothing was stored, try again when there is room",
                )
            }),
        }
    }

    fn take(&mut self, client: &Arc<str>, write: Write) -> Result<Reply, Refusal> {
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
        let (room, _) = self.member(client, name)?;
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
        self.store.find(room, client, id, self.cutoff_ms).map_err(|error| {
            self.store.failure().set(&error.to_string());
            storage(&error.to_string())
        })
    }
}

/// `no-room`.
pub fn no_room(name: &str) -> Refusal {
    Refusal::new(ErrorCode::NoRoom, format!("there is no room {name}; JOIN makes it"))
}

/// `not-joined`.
pub fn not_joined(name: &str) -> Refusal {
    Refusal::new(ErrorCode::NotJoined, format!("JOIN {name} first"))
}

/// `limit`.
pub fn limit(what: &str, max: usize) -> Refusal {
    Refusal::new(ErrorCode::Limit, format!("at most {max} {what}"))
}
