//! What is asked of the daemon and of the disk, and what comes of it.

use dantok_client::{Error, Fetched, Joined};
use dantok_protocol::{Item, MemberInfo, Refusal, RoomInfo};

use dantok_client::outbox::Waiting;

/// Something for the daemon, or for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A page of messages after a seq.
    Page(String, u64),
    /// A page of messages before a seq.
    Older(String, u64),
    /// The cursor is to be moved.
    Ack(String, u64),
    /// The members.
    Who(String),
    /// The list.
    Rooms,
    /// Membership.
    Join(String),
    /// The end of it.
    Leave(String),
    /// What the person is shown as.
    Nick(String),
    /// The others are to know that something is being typed.
    Typing(String),
    /// What needs no more than to be done.
    Deed(Deed),
    /// Messages are to be pushed, after this seq.
    Follow(String, u64),
    /// They are not, any more.
    Unfollow(String),
    /// A text is to be kept and sent; and which message it answers.
    Send(String, String, Option<u64>),
    /// Messages are stored, or refused for good.
    Done(String),
}

/// What is done to a room, or to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A room is made.
    Create {
        /// Its name.
        room: String,
        /// What it is about.
        topic: String,
        /// Only those see it who are invited.
        private: bool,
    },
    /// A room is about something else.
    Topic(String, String),
    /// A person may join it.
    Invite(String, String),
    /// A person is no member any more.
    Kick(String, String),
    /// A room is no more.
    Delete(String),
    /// A person may not be one.
    Ban(String, String),
    /// A person may be one again.
    Unban(String, String),
    /// A message's text is taken back.
    Redact(String, u64),
}

impl Deed {
    /// What one reads when it is done.
    pub fn done(&self) -> String {
        match self {
            Deed::Create { room, .. } => format!("{room} is made"),
            Deed::Topic(..) => "the topic is set".to_owned(),
            Deed::Invite(room, who) => format!("{who} is invited to {room}"),
            Deed::Kick(room, who) => format!("{who} is no member of {room} any more"),
            Deed::Ban(room, who) => format!("{who} is banned from {room}"),
            Deed::Unban(room, who) => format!("{who} is not banned from {room} any more"),
            Deed::Delete(room) => format!("{room} is deleted"),
            Deed::Redact(_, seq) => format!("message {seq} is redacted"),
        }
    }
}

/// What came of it.
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
    /// Of [`Ask::Deed`].
    Deed(Deed, Result<(), Error>),
    /// Of a message that was sent: its seq, or why it will never have one.
    Sent(Waiting, Result<u64, Refusal>),
}
