//! Rooms and who is in them: making, joining and leaving them, and what their owners and members may do.
//!
//! What was not answered before its connection broke is repeated on the next. A KICK or LEAVE that finds its work done then
//! is answered as the first would have been. A repeated TOPIC, INVITE, BAN, UNBAN or RETAIN says the same again: it wins over
//! what somebody else has said in between.

use std::sync::Arc;

use super::{Client, Error, Joined, Retained};
use dantok_protocol::{Access, Begin, Command, Item, Keep, Reply, commands};

impl Client {
    /// Makes an open room, which the person owns.
    ///
    /// # Errors
    /// `room-exists` where there is one, which after a broken connection may be the one that this call made; otherwise as
    /// every call: [`Error::Refused`], [`Error::Unreachable`], [`Error::Closed`], [`Error::Unexpected`].
    pub async fn create(&self, room: &str, topic: &str) -> Result<(), Error> {
        self.make(room, topic, false).await
    }

    async fn make(&self, room: &str, topic: &str, private: bool) -> Result<(), Error> {
        match self
            .ask(Command::Create(commands::Create { room: room.to_owned(), topic: topic.to_owned(), private }))
            .await?
            .1
        {
            Reply::Created { .. } => Ok(()),
            _ => Err(Error::Unexpected),
        }
    }

    /// Makes a room that only those see who are invited. Its maker is no member before a [`join`](Client::join).
    ///
    /// # Errors
    /// As [`create`](Client::create): after a `room-exists`, do not take the room that is there for this one.
    pub async fn create_private(&self, room: &str, topic: &str) -> Result<(), Error> {
        self.make(room, topic, true).await
    }

    /// Joins a room for good; makes it if it is missing. The first time the cursor is at 0: everything that is stored is
    /// still to be read.
    ///
    /// # Errors
    /// `denied` where the room is private and the person is not invited, or is banned; otherwise as every call; see
    /// [`Error`].
    pub async fn join(&self, room: &str) -> Result<Joined, Error> {
        self.join_from(room, Begin::Start).await
    }

    /// The same, but the first time the cursor is at the room's last seq: only what comes from then on is to be read. A
    /// membership that is there already keeps its cursor.
    ///
    /// # Errors
    /// As [`join`](Client::join).
    pub async fn join_from_now(&self, room: &str) -> Result<Joined, Error> {
        self.join_from(room, Begin::Now).await
    }

    async fn join_from(&self, room: &str, from: Begin) -> Result<Joined, Error> {
        let epoch = self.epoch();
        match self.ask(Command::Join(commands::Join { room: room.to_owned(), from })).await?.1 {
            Reply::Joined { cursor: Some(cursor), last, number, created } => {
                self.note_number(&epoch, room, number);
                self.note(&epoch, room, cursor);
                Ok(Joined { cursor, last, number, created })
            }
            _ => Err(Error::Unexpected),
        }
    }

    /// Notes which room has a name: what was read of another one of that name counts for nothing.
    fn note_number(&self, epoch: &Arc<str>, room: &str, number: u64) {
        self.memory(|memory| {
            if memory.epoch == *epoch && memory.numbers.insert(room.to_owned(), number) != Some(number) {
                memory.handed.remove(room);
            }
        });
    }

    /// The same, but without a cursor: for who writes into the room, or works for its groups, and does not read it. Nothing is unread for
    /// such a member, and it keeps nobody waiting who looks at what all have read. A membership that is there already stays as
    /// it is; any other join gives it a cursor.
    ///
    /// # Errors
    /// As [`join`](Client::join).
    pub async fn join_to_write(&self, room: &str) -> Result<(), Error> {
        let epoch = self.epoch();
        match self.ask(Command::Join(commands::Join { room: room.to_owned(), from: Begin::Nowhere })).await?.1 {
            Reply::Joined { number, .. } => {
                self.note_number(&epoch, room, number);
                Ok(())
            }
            _ => Err(Error::Unexpected),
        }
    }

    /// Forgets the membership and its cursor.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn leave(&self, room: &str) -> Result<(), Error> {
        // Before the request: whatever happens to it, what was read before it counts for nothing after it.
        self.memory(|memory| memory.handed.remove(room));
        let left = self.ask_done(Command::Leave(commands::Leave { room: room.to_owned() })).await;
        self.memory(|memory| memory.handed.remove(room));
        left
    }

    /// Deletes a room, with its messages, cursors, groups and all else of it. For its owner and for admins. Its name may be used again;
    /// `number`, as [`join`](Client::join) tells it, keeps a call that is repeated after a broken connection from deleting that other
    /// room.
    ///
    /// # Errors
    /// `no-room`, also where the room of this name has another number; `denied`; otherwise as every call; see [`Error`].
    pub async fn delete(&self, room: &str, number: Option<u64>) -> Result<(), Error> {
        let deleted = self.ask_done(Command::Delete(commands::Delete { room: room.to_owned(), number })).await;
        if deleted.is_ok() {
            self.memory(|memory| memory.handed.remove(room));
        }
        deleted
    }

    /// Says what a room is about; an empty topic: nothing.
    ///
    /// # Errors
    /// `no-room`, `not-joined`; otherwise as every call; see [`Error`].
    pub async fn topic(&self, room: &str, topic: &str) -> Result<(), Error> {
        self.ask_done(Command::Topic(commands::Topic { room: room.to_owned(), topic: Some(topic.to_owned()) })).await
    }

    /// What a room is about; empty where nothing was said.
    ///
    /// # Errors
    /// `no-room`; otherwise as every call; see [`Error`].
    pub async fn topic_of(&self, room: &str) -> Result<Arc<str>, Error> {
        match self.ask(Command::Topic(commands::Topic { room: room.to_owned(), topic: None })).await?.1 {
            Reply::Topic(topic) => Ok(topic),
            _ => Err(Error::Unexpected),
        }
    }

    /// Lets a person, without a device, see and join a private room. Each of its members may.
    ///
    /// # Errors
    /// `no-room`, `not-joined`; `denied` where the person is banned; otherwise as every call; see [`Error`].
    pub async fn invite(&self, room: &str, client: &str) -> Result<(), Error> {
        self.ask_done(Command::Invite(commands::Invite { room: room.to_owned(), client: client.to_owned() })).await
    }

    /// Ends a person's memberships, on all devices, and the invitation. For the room's owner and for admins.
    ///
    /// # Errors
    /// `not-joined` where the person is no member and not invited; `denied`, `no-room`; otherwise as every call; see [`Error`].
    pub async fn kick(&self, room: &str, client: &str) -> Result<(), Error> {
        self.ask_done(Command::Kick(commands::Kick { room: room.to_owned(), client: client.to_owned() })).await
    }

    /// A [`kick`](Client::kick) that keeps the person out, of an open room too.
    ///
    /// # Errors
    /// `denied`, `no-room`; otherwise as every call; see [`Error`].
    pub async fn ban(&self, room: &str, client: &str) -> Result<(), Error> {
        self.ask_done(Command::Ban(commands::Ban { room: room.to_owned(), client: client.to_owned() })).await
    }

    /// Ends a [`ban`](Client::ban).
    ///
    /// # Errors
    /// `denied`, `no-room`; otherwise as every call; see [`Error`].
    pub async fn unban(&self, room: &str, client: &str) -> Result<(), Error> {
        self.ask_done(Command::Unban(commands::Unban { room: room.to_owned(), client: client.to_owned() })).await
    }

    /// Who owns a room, and who is invited to it or banned from it; the owner first.
    ///
    /// # Errors
    /// `no-room`, `not-joined`; otherwise as every call; see [`Error`].
    pub async fn access(&self, room: &str) -> Result<Vec<(Arc<str>, Access)>, Error> {
        let (items, _) = self.ask(Command::Access(commands::Access { room: room.to_owned() })).await?;
        let accesses = items.into_iter().map(|item| match item {
            Item::Access { client, access, .. } => Ok((client, access)),
            _ => Err(Error::Unexpected),
        });
        accesses.collect()
    }

    /// Says how long, and how much of, a room is kept; without that, asks. Returns what is in force.
    ///
    /// # Errors
    /// `bad-argument`: a time that can't be; `denied`: setting is for the room's owner and for admins; `no-room`,
    /// `not-joined`; otherwise as every call; see [`Error`].
    pub async fn retain(&self, room: &str, keep: Option<Keep>) -> Result<Retained, Error> {
        self.retain_in(room, keep.map(|keep| keep.secs), keep.map(|keep| keep.cap_bytes)).await
    }

    /// Says how long a room is kept, in seconds, 0: as long as the daemon keeps messages; leaves its cap as it is.
    ///
    /// # Errors
    /// As [`retain`](Client::retain).
    pub async fn keep_for(&self, room: &str, secs: u64) -> Result<Retained, Error> {
        self.retain_in(room, Some(secs), None).await
    }

    /// Says how many bytes of stored messages a room may hold, 0: as many as come; leaves its time as it is.
    ///
    /// # Errors
    /// As [`retain`](Client::retain).
    pub async fn cap(&self, room: &str, bytes: u64) -> Result<Retained, Error> {
        self.retain_in(room, None, Some(bytes)).await
    }

    async fn retain_in(&self, room: &str, secs: Option<u64>, cap_bytes: Option<u64>) -> Result<Retained, Error> {
        match self.ask(Command::Retain(commands::Retain { room: room.to_owned(), secs, cap_bytes })).await?.1 {
            Reply::Retained { keep, stored_bytes } => Ok(Retained { keep, stored_bytes }),
            _ => Err(Error::Unexpected),
        }
    }
}
