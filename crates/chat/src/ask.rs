//! Requests of the screen to the daemon and the outbox, and their results.

use dantok_client::{Error, Fetched, Joined};
use dantok_protocol::{Item, MemberInfo, Refusal, RoomInfo};

use dantok_client::outbox::Waiting;

/// A request to the daemon or the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A page of messages after a seq.
    Page(String, u64),
    /// A page of messages before a seq.
    Older(String, u64),
    /// Move the cursor up to a seq.
    Ack(String, u64),
    /// The members of a room.
    Who(String),
    /// The list of rooms.
    Rooms,
    /// Join a room.
    Join(String),
    /// Leave a room.
    Leave(String),
    /// Set the person's nick.
    Nick(String),
    /// Tell the others that this person is typing.
    Typing(String),
    /// Something whose only result is that it was done.
    Change(Change),
    /// Push a room's messages after this seq.
    Follow(String, u64),
    /// Stop pushing a room's messages.
    Unfollow(String),
    /// Keep a text in the outbox and send it: the room, the text, and the seq that it replies to.
    Send(String, String, Option<u64>),
    /// Remove a message from the outbox: it is stored, or was refused for good.
    Done(String),
}

/// A change to a room or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Create a room.
    Create {
        /// Its name.
        room: String,
        /// Its topic; may be empty.
        topic: String,
        /// Whether only invited people see it.
        private: bool,
    },
    /// Set or clear a room's topic.
    Topic(String, String),
    /// Invite a person to a room.
    Invite(String, String),
    /// End a person's membership in a room.
    Kick(String, String),
    /// Delete a room.
    Delete(String),
    /// Remove a person from a room and keep them out.
    Ban(String, String),
    /// Let a banned person join again.
    Unban(String, String),
    /// Redact the message with this seq.
    Redact(String, u64),
}

impl Change {
    /// The notice shown when it is done.
    pub fn done(&self) -> String {
        match self {
            Change::Create { room, .. } => format!("{room} was created"),
            Change::Topic(..) => "the topic was set".to_owned(),
            Change::Invite(room, who) => format!("{who} was invited to {room}"),
            Change::Kick(room, who) => format!("{who} is no longer a member of {room}"),
            Change::Ban(room, who) => format!("{who} was banned from {room}"),
            Change::Unban(room, who) => format!("{who} is no longer banned from {room}"),
            Change::Delete(room) => format!("{room} was deleted"),
            Change::Redact(_, seq) => format!("message {seq} was redacted"),
        }
    }
}

/// The result of an [`Ask`].
#[derive(Debug)]
pub enum Told {
    /// Of [`Ask::Page`].
    Page(String, Result<Fetched, Error>),
    /// Of [`Ask::Older`].
    Older(String, Result<Vec<Item>, Error>),
    /// Of [`Ask::Ack`].
    Acked(String, Result<u64, Error>),
    /// Of [`Ask::Who`].
    Who(String, Result<Vec<MemberInfo>, Error>),
    /// Of [`Ask::Rooms`].
    Rooms(Result<Vec<RoomInfo>, Error>),
    /// Of [`Ask::Join`].
    Joined(String, Result<Joined, Error>),
    /// Of [`Ask::Leave`].
    Left(String, Result<(), Error>),
    /// Of [`Ask::Nick`].
    Nicked(Result<(), Error>),
    /// Of [`Ask::Change`].
    Change(Change, Result<(), Error>),
    /// Of [`Ask::Send`]: the message's seq, or why it was refused for good.
    Sent(Waiting, Result<u64, Refusal>),
}
