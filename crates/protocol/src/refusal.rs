//! Why a request is refused: a code for programs, and a sentence for people.

use serde::{Deserialize, Serialize};

use crate::form::Form;
use crate::text::escape;

/// Why a request was refused, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {text}", code.as_str())]
pub struct Refusal {
    /// The code, for programs.
    pub code: ErrorCode,
    /// A sentence for people.
    pub text: String,
    /// If the request only came too soon, how many milliseconds to wait before it is accepted.
    pub wait_ms: Option<u64>,
}

impl Refusal {
    /// Writes the refusal in either form.
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

    /// [`NoRoom`](ErrorCode::NoRoom): the room does not exist, or the client must not learn that it does.
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

    /// [`SetBack`](ErrorCode::SetBack): the seq is past the room's last one, so what the client remembers does not fit this room.
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
    /// There is no such verb.
    BadCommand,
    /// An argument is missing, malformed or out of range.
    BadArgument,
    /// A line, frame or body is too long.
    TooLong,
    /// A line is not UTF-8.
    NotUtf8,
    /// A frame can't be decoded.
    BadFrame,
    /// The command needs a HELLO first.
    HelloFirst,
    /// The client may not do this, or its token is wrong.
    Denied,
    /// The client is not a member of the room.
    NotJoined,
    /// There is no such room.
    NoRoom,
    /// There already is such a room.
    RoomExists,
    /// The message id was already used for another body.
    IdReused,
    /// There are too many of something; the sentence says of what, and how many are allowed.
    Limit,
    /// The daemon can't read or write its storage. What was sent may or may not be stored.
    Storage,
    /// The daemon is stopping.
    Stopping,
    /// The room has no such group.
    NoGroup,
    /// What the client remembers is from another epoch.
    Epoch,
    /// The request names a seq past the room's last one.
    SetBack,
}

impl ErrorCode {
    /// All codes, in the framed protocol's order.
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

    /// The code as it appears in lines.
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
