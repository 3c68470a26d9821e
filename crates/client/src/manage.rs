//! Rooms and their members: creating, joining and leaving rooms, and managing them.
//!
//! A request that was not answered before its connection broke is repeated on the next. If a repeated KICK or LEAVE finds that it was
//! already carried out, it succeeds as the first would have. A repeated TOPIC, INVITE, BAN, UNBAN or RETAIN is applied again and
//! overrides what others have set in between.

use std::sync::Arc;

use super::{Client, Error, Joined, Retained};
use dantok_protocol::{Access, Begin, Command, Item, Keep, Reply, commands};

impl Client {
    /// Creates an open room, owned by this person.
    ///
    /// # Errors
    /// `room-exists` if there is one already, which after a broken connection may be the one that this call created; otherwise as
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

    /// Creates a room that only its owner and invited people see. Its creator is not a member before [joining](Client::join).
    ///
    /// # Errors
    /// As [`create`](Client::create). After `room-exists`, do not assume that the existing room is this one.
    pub async fn create_private(&self, room: &str, topic: &str) -> Result<(), Error> {
        self.make(room, topic, true).await
    }

    /// Joins a room permanently, creating it if it does not exist. The first time the cursor is 0: everything stored is unread.
    ///
    /// # Errors
    /// `denied` if the room is private and the person is not invited, or if they are banned; otherwise as every call; see [`Error`].
    pub async fn join(&self, room: &str) -> Result<Joined, Error> {
        self.join_from(room, Begin::Start).await
    }

    /// Like [`join`](Client::join), but the first time the cursor is the room's last seq: only later messages are unread. An existing
    /// membership keeps its cursor.
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

    /// Notes which room has a name: what was read of an earlier room of that name no longer counts.
    fn note_number(&self, epoch: &Arc<str>, room: &str, number: u64) {
        self.memory(|memory| {
            if memory.epoch == *epoch && memory.numbers.insert(room.to_owned(), number) != Some(number) {
                memory.handed.remove(room);
            }
        });
    }

    /// Like [`join`](Client::join), but without a cursor: for clients that write to the room or work for its groups, and do not read it.
    /// Nothing is unread for such a member, and others do not count it among those who have yet to read. An existing membership stays
    /// as it is. Any other join gives the member a cursor.
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

    /// Ends the membership and deletes its cursor.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn leave(&self, room: &str) -> Result<(), Error> {
        // Before the request: whatever becomes of it, what was read before it no longer counts after it.
        self.memory(|memory| memory.handed.remove(room));
        let left = self.ask_done(Command::Leave(commands::Leave { room: room.to_owned() })).await;
        self.memory(|memory| memory.handed.remove(room));
        left
    }

    /// Deletes a room with its messages, cursors, groups and everything else in it. Only its owner and admins may. The name can be used
    /// again: `number`, which [`join`](Client::join) returns, keeps a call that is repeated after a broken connection from deleting a new
    /// room of the same name.
    ///
    /// # Errors
    /// `no-room`, also if the room of this name has another number; `denied`; otherwise as every call; see [`Error`].
    pub async fn delete(&self, room: &str, number: Option<u64>) -> Result<(), Error> {
        let deleted = self.ask_done(Command::Delete(commands::Delete { room: room.to_owned(), number })).await;
        if deleted.is_ok() {
            self.memory(|memory| memory.handed.remove(room));
        }
        deleted
    }

    /// Sets a room's topic; an empty one clears it.
    ///
    /// # Errors
    /// `no-room`, `not-joined`; otherwise as every call; see [`Error`].
    pub async fn topic(&self, room: &str, topic: &str) -> Result<(), Error> {
        self.ask_done(Command::Topic(commands::Topic { room: room.to_owned(), topic: Some(topic.to_owned()) })).await
    }

    /// A room's topic; empty if it has none.
    ///
    /// # Errors
    /// `no-room`; otherwise as every call; see [`Error`].
    pub async fn topic_of(&self, room: &str) -> Result<Arc<str>, Error> {
        match self.ask(Command::Topic(commands::Topic { room: room.to_owned(), topic: None })).await?.1 {
            Reply::Topic(topic) => Ok(topic),
            _ => Err(Error::Unexpected),
        }
    }

    /// Lets a person see and join a private room. `client` is a name without a device. Every member may invite.
    ///
    /// # Errors
    /// `no-room`, `not-joined`; `denied` if the person is banned; otherwise as every call; see [`Error`].
    pub async fn invite(&self, room: &str, client: &str) -> Result<(), Error> {
        self.ask_done(Command::Invite(commands::Invite { room: room.to_owned(), client: client.to_owned() })).await
    }

    /// Ends a person's memberships on all devices, and their invitation. Only the room's owner and admins may.
    ///
    /// # Errors
    /// `not-joined` if the person is neither a member nor invited; `denied`, `no-room`; otherwise as every call; see [`Error`].
    pub async fn kick(&self, room: &str, client: &str) -> Result<(), Error> {
        self.ask_done(Command::Kick(commands::Kick { room: room.to_owned(), client: client.to_owned() })).await
    }

    /// Like [`kick`](Client::kick), and keeps the person out, even of an open room.
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

    /// A room's owner, and who is invited or banned; the owner comes first.
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

    /// Sets how long and how much of a room is kept, or with `None` only asks. Returns what is in effect.
    ///
    /// # Errors
    /// `bad-argument` for an invalid time; `denied` if somebody other than the owner or an admin sets it; `no-room`, `not-joined`;
    /// otherwise as every call; see [`Error`].
    pub async fn retain(&self, room: &str, keep: Option<Keep>) -> Result<Retained, Error> {
        self.retain_in(room, keep.map(|keep| keep.secs), keep.map(|keep| keep.cap_bytes)).await
    }

    /// Sets how many seconds a room's messages are kept; 0: as long as the daemon's own retention. Does not change the cap.
    ///
    /// # Errors
    /// As [`retain`](Client::retain).
    pub async fn keep_for(&self, room: &str, secs: u64) -> Result<Retained, Error> {
        self.retain_in(room, Some(secs), None).await
    }

    /// Sets how many bytes of stored messages a room may hold; 0: unlimited. Does not change the time.
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
