//! The one vocabulary of the wire: what a client may ask, what it may be answered, and what it may be told unasked.
//!
//! Two framings carry it, [`line`](mod@line) for people and scripts and [`frame`] for programs; neither has a
//! command or an answer of its own. The answers of the first may come as [`json`]. The contract for both is `protocol.md`.
//!
//! The order of the variants of every enum here is the framed protocol's numbering: variants are only ever added at the end.
#![warn(clippy::disallowed_methods)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods
    )
)]

use serde::{Deserialize, Serialize};

pub mod command;
pub mod frame;
pub mod json;
pub mod limits;
pub mod line;
pub mod name;
pub mod reply;
pub mod text;
pub mod units;

pub use command::{Begin, Command, Keep, Seek, Since};
pub use reply::{Access, Event, GapReason, Item, Kind, MemberInfo, Message, MessageRef, Reply, RoomInfo, Welcome};

/// The version of the vocabulary that this build speaks.
pub const VERSION: u16 = 1;

/// What a refused client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {text}", code.as_str())]
pub struct Refusal {
    /// What a program acts on.
    pub code: ErrorCode,
    /// What a person acts on.
    pub text: String,
    /// For what only came too soon: how long to wait, in milliseconds; asked again then, it is taken.
    pub wait_ms: Option<u64>,
}

impl Refusal {
    /// A refusal with this code and sentence.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Refusal { code, text: text.into(), wait_ms: None }
    }

    /// Of a request that names a seq which its room has not come to: what the client remembers is no state of this room.
    pub fn set_back(room: &str, seq: u64, last: u64) -> Self {
        let text = format!(
            "{seq} is past the last seq of {room}, {last}: the room was set back to an older state, or the seq is of another \
             room; forget the seqs that you remember of {room}, and go on from your cursor or from 0"
        );
        Refusal::new(ErrorCode::SetBack, text)
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
    /// The room has no such group.
    NoGroup,
    /// What the client remembers is of another epoch.
    Epoch,
    /// A seq that the client names is past the room's last.
    SetBack,
}

impl ErrorCode {
    /// Every code, in the framed protocol's order.
    pub const ALL: [ErrorCode; 17] = [
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
        ErrorCode::NoGroup,
        ErrorCode::Epoch,
        ErrorCode::SetBack,
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
            ErrorCode::NoGroup => "no-group",
            ErrorCode::Epoch => "epoch",
            ErrorCode::SetBack => "set-back",
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
    /// What a telnet client's negotiation is answered with: to be written as it is, in its place among the answers.
    Telnet([u8; 3]),
}
