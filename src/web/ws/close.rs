//! Why a WebSocket is closed.

use dantok_protocol::{ErrorCode, Refusal};

/// The codes of close frames that the daemon sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// The client has said QUIT, or nothing.
    Normal = 1000,
    /// The daemon stops.
    GoingAway = 1001,
    /// A frame is malformed.
    Protocol = 1002,
    /// A binary message.
    Unsupported = 1003,
    /// Text that is not UTF-8.
    Invalid = 1007,
    /// The connection is refused, or not allowed any more.
    Policy = 1008,
    /// A message is too long.
    TooBig = 1009,
    /// The daemon has made a mistake, or can't write.
    Internal = 1011,
    /// Too many connections now.
    TryAgain = 1013,
}

impl Code {
    /// The code for a connection that is closed for this reason.
    pub(super) fn of(refusal: &Refusal) -> Code {
        match refusal.code {
            ErrorCode::TooLong => Code::TooBig,
            ErrorCode::Storage => Code::Internal,
            ErrorCode::Stopping => Code::GoingAway,
            _ => Code::Policy,
        }
    }
}
