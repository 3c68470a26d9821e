//! The one vocabulary of the wire: what a client may ask, what it may be answered, and what it may be told unasked.
//!
//! Two framings carry it, [`line`](mod@line) for people and scripts and [`frame`] for programs; neither has a
//! command or an answer of its own. The contract for both is `protocol.md`.
//!
//! The order of the variants of every enum here is the framed protocol's numbering: variants are only ever added at the end.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub mod frame;
pub mod line;
pub mod name;
pub mod text;

/// The version of the vocabulary that this build speaks.
pub const VERSION: u16 = 1;

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Says who the client is; needed before anything but HELP, PING and QUIT.
    Hello {
        /// The highest version that the client speaks, from 1; a line says nothing of it and means this build's.
        version: u16,
        /// The client's name, with `/device` behind it if it has one.
        client: String,
        /// A secret; not looked at unless the daemon has tokens.
        token: Option<String>,
    },
    /// Sets what the client is shown as.
    Nick {
        /// At most [`NICK_MAX_CHARS`](crate::limits::NICK_MAX_CHARS) characters.
        nick: String,
    },
    /// Makes a room; an error if it is there.
    Create {
        /// Its name.
        room: String,
        /// What it is about; may be empty.
        topic: String,
    },
    /// Joins a room for good; makes it if it is missing.
    Join {
        /// Which.
        room: String,
    },
    /// Forgets the membership and its cursor.
    Leave {
        /// Which room.
        room: String,
    },
    /// Appends a message (on a line: SEND or SENDB).
    Send {
        /// Where to.
        room: String,
        /// Makes a repetition safe: the same id from the same client gets the first one's seq.
        id: Option<String>,
        /// Any bytes.
        body: Bytes,
    },
    /// Hands over what came after the cursor; moves nothing.
    Fetch {
        /// Of which room.
        room: String,
        /// Begin after this seq instead of the cursor.
        after: Option<u64>,
        /// At most so many messages.
        max: Option<u64>,
    },
    /// Acknowledges what the last READ of this connection handed over, then fetches.
    Read {
        /// Of which room.
        room: String,
        /// At most so many messages.
        max: Option<u64>,
    },
    /// Moves the cursor up.
    Ack {
        /// Of which room.
        room: String,
        /// To here; without it, to what this connection was handed.
        seq: Option<u64>,
    },
    /// A FETCH that goes on live.
    Follow {
        /// Which room.
        room: String,
    },
    /// Ends a FOLLOW.
    Unfollow {
        /// Which room.
        room: String,
    },
    /// Lists the rooms.
    Rooms,
    /// Lists the rooms, and goes on live.
    Watch,
    /// Ends a WATCH.
    Unwatch,
    /// Lists a room's members.
    Who {
        /// Which room.
        room: String,
    },
    /// The daemon's figures.
    Stats,
    /// Is anybody there?
    Ping,
    /// What can be asked.
    Help {
        /// Of one verb only.
        verb: Option<String>,
    },
    /// Ends the connection after all answers.
    Quit,
}

/// What ends the answer to a request. FETCH, READ, ROOMS, WHO and HELP are preceded by their [`Item`]s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, with nothing more to say.
    Done,
    /// HELLO: who the client is now, and what holds here.
    Welcome(Welcome),
    /// JOIN: where the client stands.
    Joined {
        /// The member's cursor; 0 the first time.
        cursor: u64,
        /// The room's last seq.
        last: u64,
    },
    /// SEND: the message is on disk.
    Sent {
        /// Its place in the room.
        seq: u64,
        /// This id had been sent before; nothing was added.
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
    },
    /// ROOMS, WHO, HELP: how many items came.
    Count(u64),
    /// STATS: names and values, in a fixed order.
    Stats(Vec<(String, u64)>),
    /// PING.
    Pong,
    /// QUIT.
    Bye,
    /// The request was refused.
    Error(Refusal),
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
}

impl<'a> From<&'a Message> for MessageRef<'a> {
    fn from(message: &'a Message) -> MessageRef<'a> {
        let Message { room, seq, time_ms, client, body } = message;
        MessageRef { room, seq: *seq, time_ms: *time_ms, client, body }
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
    /// Messages still stored past the asking client's cursor; none where it is no member.
    pub unread: Option<u64>,
    /// Time of the last message, or of the room's making; milliseconds since 1970 UTC.
    pub active_ms: u64,
    /// What it is about.
    pub topic: Arc<str>,
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
    /// How far it has acknowledged.
    pub cursor: u64,
    /// What it is shown as; its name where it never said.
    pub nick: Arc<str>,
}

/// What a refused client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {text}", code.as_str())]
pub struct Refusal {
    /// What a program acts on.
    pub code: ErrorCode,
    /// What a person acts on.
    pub text: String,
}

impl Refusal {
    /// A refusal with this code and sentence.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Refusal { code, text: text.into() }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorCode {
    /// No such verb.
    BadCommand,
    /// An argument is missing, malformed or out of range.
    BadArgument,
    /// A line, frame or body over its limit.
    TooLong,
    /// A line that is not UTF-8.
    NotUtf8,
    /// A frame that does not decode.
    BadFrame,
    /// Not before HELLO.
    HelloFirst,
    /// Not for this client, or not with this token.
    Denied,
    /// The client is no member of the room.
    NotJoined,
    /// There is no such room.
    NoRoom,
    /// There is such a room.
    RoomExists,
    /// The message id was used for another body.
    IdReused,
    /// Too many of something; the sentence says of what, and how many are allowed.
    Limit,
    /// The daemon can't write; what was sent may or may not be stored.
    Storage,
    /// The daemon is stopping.
    Stopping,
}

impl ErrorCode {
    /// Every code, in the framed protocol's order.
    pub const ALL: [ErrorCode; 14] = [
        ErrorCode::BadCommand,
        ErrorCode::BadArgument,
        ErrorCode::TooLong,
        ErrorCode::NotUtf8,
        ErrorCode::BadFrame,
        ErrorCode::HelloFirst,
        ErrorCode::Denied,
        ErrorCode::NotJoined,
        ErrorCode::NoRoom,
        ErrorCode::RoomExists,
        ErrorCode::IdReused,
        ErrorCode::Limit,
        ErrorCode::Storage,
        ErrorCode::Stopping,
    ];

    /// The code as a line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadCommand => "bad-command",
            ErrorCode::BadArgument => "bad-argument",
            ErrorCode::TooLong => "too-long",
            ErrorCode::NotUtf8 => "not-utf8",
            ErrorCode::BadFrame => "bad-frame",
            ErrorCode::HelloFirst => "hello-first",
            ErrorCode::Denied => "denied",
            ErrorCode::NotJoined => "not-joined",
            ErrorCode::NoRoom => "no-room",
            ErrorCode::RoomExists => "room-exists",
            ErrorCode::IdReused => "id-reused",
            ErrorCode::Limit => "limit",
            ErrorCode::Storage => "storage",
            ErrorCode::Stopping => "stopping",
        }
    }
}

/// How a request was named by its sender, so that the answer can carry the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A line without a tag.
    None,
    /// A line's `@tag`, without the `@`.
    Text(Box<str>),
    /// A frame's id.
    Id(u64),
}

/// What a decoder found in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A request.
    Request {
        /// Its name.
        tag: Tag,
        /// What is asked.
        command: Command,
    },
    /// Something that is no request; the stream goes on behind it.
    Refused {
        /// Its name, as far as it was understood.
        tag: Tag,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// Something after which nothing in the stream can be trusted: to be answered, then closed.
    Broken(Refusal),
}
