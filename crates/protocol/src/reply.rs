//! What a client is answered, and told unasked.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ErrorCode, Keep, Refusal};

/// What ends the answer to a request. FETCH, READ, ROOMS, WHO and HELP are preceded by their [`Item`]s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, with nothing more to say.
    Done,
    /// HELLO: who the client is now, and what holds here.
    Welcome(Welcome),
    /// JOIN: where the client stands.
    Joined {
        /// The member's cursor; 0 the first time. None where it has none: see [`Begin::Nowhere`](super::Begin::Nowhere).
        cursor: Option<u64>,
        /// The room's last seq.
        last: u64,
        /// The room's number, which no other has, or will have: not even one of the same name, once this is deleted.
        number: u64,
        /// Whether the room was made by this.
        created: bool,
    },
    /// SEND, REDACT: the message is on disk.
    Sent {
        /// Its place in the room.
        seq: u64,
        /// It had been stored before, by its id, or as what redacts the same message; nothing was added.
        dup: bool,
    },
    /// FETCH and READ: the end of what was handed over.
    End {
        /// Of this room.
        room: Arc<str>,
        /// The last seq that was handed over or said to be gone.
        handed: u64,
        /// The oldest seq still stored; one more than `last` where nothing is.
        oldest: u64,
        /// The room's last seq when the answer began.
        last: u64,
    },
    /// ACK: the cursor is on disk.
    Acked {
        /// Where it is now.
        cursor: u64,
    },
    /// FOLLOW: pushes come, beginning after this seq.
    Following {
        /// The seq after which the pushes begin.
        after: u64,
        /// The room's number, as JOIN tells it.
        number: u64,
    },
    /// ROOMS, WHO, HELP and other lists: how many items came. TAKE: how many messages.
    Count(u64),
    /// STATS: names and values, in a fixed order.
    Stats(Vec<(String, u64)>),
    /// PING.
    Pong,
    /// QUIT.
    Bye,
    /// The request was refused.
    Error(Refusal),
    /// RETAIN: what is in force, and what the room holds.
    Retained {
        /// How long and how much; `secs` is never 0.
        keep: Keep,
        /// Bytes of stored messages, with what each takes beside its body.
        stored_bytes: u64,
    },
    /// GROUP: where it stands.
    Grouped {
        /// Everything up to here is done.
        cursor: u64,
        /// The room's last seq.
        last: u64,
        /// How long a message that was taken is nobody else's, in milliseconds.
        timeout_ms: u64,
    },
    /// CREATE: the room was made by this.
    Created {
        /// Its number, as JOIN tells it.
        number: u64,
    },
    /// TOPIC: what the room is about; may be empty.
    Topic(Arc<str>),
}

/// HELLO's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// Name and version of the daemon.
    pub server: String,
    /// The client, with its device.
    pub client: Arc<str>,
    /// Longest message body, in bytes.
    pub max_body: u64,
    /// Commands that may wait for their answers; further ones are read when earlier ones are answered.
    pub max_pipelined: u64,
    /// Rooms that the client may be a member of.
    pub max_joined: u64,
    /// How long a message is kept, in seconds.
    pub retention_secs: u64,
    /// Whether the client may do what members may not.
    pub admin: bool,
    /// Which history of its rooms the daemon has: to be remembered with every seq that is to outlive the connection.
    pub epoch: Arc<str>,
}

/// A part of an answer, or something told unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A message.
    Message(Message),
    /// Seqs that the client has not been handed and that are gone.
    Gap {
        /// Of this room.
        room: Arc<str>,
        /// The first seq that is gone.
        from: u64,
        /// The last.
        to: u64,
        /// Why.
        reason: GapReason,
    },
    /// A room, as it is now.
    Room(RoomInfo),
    /// A member of a room.
    Member(MemberInfo),
    /// A line of HELP.
    Help(String),
    /// What a person may in a room.
    Access {
        /// In this room.
        room: Arc<str>,
        /// The person.
        client: Arc<str>,
        /// What he may.
        access: Access,
    },
    /// A room that the client no longer sees, or is no longer a member of.
    Gone {
        /// Which.
        room: Arc<str>,
    },
    /// Something that went on in a room.
    Event {
        /// In which.
        room: Arc<str>,
        /// When, in milliseconds since 1970 UTC.
        time_ms: u64,
        /// Whom it is about.
        client: Arc<str>,
        /// What.
        event: Event,
    },
    /// A shared cursor.
    Group {
        /// In this room.
        room: Arc<str>,
        /// Its name.
        group: Arc<str>,
        /// Everything up to here is done.
        cursor: u64,
        /// How many messages are taken and not done.
        pending: u64,
        /// How many were not taken yet.
        waiting: u64,
        /// How long a message that was taken is nobody else's, in milliseconds.
        timeout_ms: u64,
    },
    /// A message that is taken and not done.
    Pending {
        /// In this room.
        room: Arc<str>,
        /// By this shared cursor.
        group: Arc<str>,
        /// Which.
        seq: u64,
        /// Who has it.
        client: Arc<str>,
        /// Since when, in milliseconds since 1970 UTC.
        since_ms: u64,
        /// How often it was taken, since the daemon started.
        deliveries: u64,
    },
    /// A FOLLOW that can't go on: nothing more of the room is told until it is followed again.
    Ended {
        /// Of this room.
        room: Arc<str>,
        /// Why.
        code: ErrorCode,
        /// The same, for people.
        text: String,
    },
}

/// Something that goes on in a room, beside its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A client has become a member.
    Joined,
    /// A client is no member any more.
    Left,
    /// A member has connected, and was not before.
    Online,
    /// A member's last connection has ended.
    Offline,
    /// A person is shown as this now.
    Nick(Arc<str>),
    /// A member is typing.
    Typing,
}

impl Event {
    /// As a line has it, but for a nick.
    pub fn as_str(&self) -> &'static str {
        match self {
            Event::Joined => "joined",
            Event::Left => "left",
            Event::Online => "online",
            Event::Offline => "offline",
            Event::Nick(_) => "nick",
            Event::Typing => "typing",
        }
    }
}

/// What a person may in a room, beside what everybody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Everything; made it.
    Owner,
    /// Join it, though it is private.
    Invited,
    /// Nothing.
    Banned,
}

impl Access {
    /// As a line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Owner => "owner",
            Access::Invited => "invited",
            Access::Banned => "banned",
        }
    }
}

/// Why seqs are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GapReason {
    /// They are past retention.
    Expired,
}

/// A stored message. Cheap to clone: names and body are shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Where it was sent.
    pub room: Arc<str>,
    /// Its place there: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When the daemon took it, in milliseconds since 1970 UTC; never less than the message before it.
    pub time_ms: u64,
    /// Who sent it, without the device.
    pub client: Arc<str>,
    /// What was sent.
    pub body: Bytes,
    /// Whether it is about another, or is no more.
    pub kind: Kind,
}

/// Whether a message is about another, or is no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Neither.
    #[default]
    Plain,
    /// It answers the message with this seq.
    Reply(u64),
    /// It says that the message with this seq was redacted, by who sent this; it has no body.
    Redaction(u64),
    /// It was redacted, as the message with this seq says; it has no body any more.
    Redacted(u64),
}

/// A [`Message`] on its way out, that nobody has to own.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    /// As [`Message::room`].
    pub room: &'a str,
    /// As [`Message::seq`].
    pub seq: u64,
    /// As [`Message::time_ms`].
    pub time_ms: u64,
    /// As [`Message::client`].
    pub client: &'a str,
    /// As [`Message::body`].
    pub body: &'a [u8],
    /// As [`Message::kind`].
    pub kind: Kind,
}

impl<'a> From<&'a Message> for MessageRef<'a> {
    fn from(message: &'a Message) -> MessageRef<'a> {
        let Message { room, seq, time_ms, client, body, kind } = message;
        MessageRef { room, seq: *seq, time_ms: *time_ms, client, body, kind: *kind }
    }
}

/// A room in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// Its name.
    pub room: Arc<str>,
    /// How many members it has; each device counts.
    pub members: u64,
    /// Its last seq.
    pub last: u64,
    /// Messages past the asking client's cursor that are still to be read: stored, not redacted, and not by the same person. None
    /// where the client has no cursor.
    pub unread: Option<u64>,
    /// Time of the last message, or of the room's making; milliseconds since 1970 UTC.
    pub active_ms: u64,
    /// What it is about.
    pub topic: Arc<str>,
    /// Whether only those see it who are invited.
    pub private: bool,
    /// The asking client's cursor, if it has one. A line does not say it.
    pub cursor: Option<u64>,
}

/// A member of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Of this room.
    pub room: Arc<str>,
    /// The member, with its device.
    pub client: Arc<str>,
    /// Connections that it holds now; 0: away.
    pub connections: u64,
    /// How far it has acknowledged; none where it reads nothing.
    pub cursor: Option<u64>,
    /// What it is shown as; its name where it never said.
    pub nick: Arc<str>,
    /// Since when it is connected without a break, or away; milliseconds since 1970 UTC. None where it was away when the daemon
    /// started.
    pub since_ms: Option<u64>,
}
