//! Why a request is refused: a code for programs, and a sentence for people.

use serde::{Deserialize, Serialize};

use crate::form::Form;
use crate::text::escape;

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
    /// Writes it.
    pub(crate) fn write(&self, form: &mut impl Form) {
        let Refusal { code, text, wait_ms } = self;
        let code = code.as_str();
        form.kind("error");
        form.line(format_args!("ERR {code} "));
        form.field("code", code);
        if let Some(wait_ms) = wait_ms {
            form.line(format_args!("wait={wait_ms}ms "));
            form.field("wait_ms", wait_ms);
        }
        form.line(format_args!("{}", escape(text.as_bytes())));
        form.field("text", text);
    }

    /// A refusal with this code and sentence.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Refusal { code, text: text.into(), wait_ms: None }
    }

    /// [`NoRoom`](ErrorCode::NoRoom): the room does not exist, or the client must not know that it does.
    pub fn no_room(room: &str) -> Self {
        Refusal::new(ErrorCode::NoRoom, format!("there is no room {room}; JOIN makes it"))
    }

    /// [`NotJoined`](ErrorCode::NotJoined): only members may do this.
    pub fn not_joined(room: &str) -> Self {
        Refusal::new(ErrorCode::NotJoined, format!("JOIN {room} first"))
    }

    /// [`NotJoined`](ErrorCode::NotJoined): the member has no cursor to read from.
    pub fn no_cursor(room: &str) -> Self {
        let text =
            format!("you joined {room} from=none, to write; JOIN {room} again to read from its start, or from=now");
        Refusal::new(ErrorCode::NotJoined, text)
    }

    /// [`NoGroup`](ErrorCode::NoGroup): the room has no group of this name.
    pub fn no_group(room: &str, group: &str) -> Self {
        Refusal::new(ErrorCode::NoGroup, format!("{room} has no group {group}; GROUP makes it"))
    }

    /// [`Denied`](ErrorCode::Denied): the client lacks the permission.
    pub fn denied(why: impl Into<String>) -> Self {
        Refusal::new(ErrorCode::Denied, why)
    }

    /// [`BadArgument`](ErrorCode::BadArgument): an argument is out of range, or does not fit the others.
    pub fn bad_argument(why: impl Into<String>) -> Self {
        Refusal::new(ErrorCode::BadArgument, why)
    }

    /// [`Limit`](ErrorCode::Limit): there may be at most `max` of `what`.
    pub fn limit(what: &str, max: usize) -> Self {
        Refusal::new(ErrorCode::Limit, format!("at most {max} {what}"))
    }

    /// [`SetBack`](ErrorCode::SetBack): the seq is past the room's last, so what the client remembers is not a state of this room.
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
