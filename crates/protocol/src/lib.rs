//! The vocabulary of the wire: what a client may request, what the daemon may answer, and what it may push.
//!
//! Two framings carry it: [`line`](mod@line) for people and scripts, and [`frame`] for programs. Neither has a command or an answer
//! of its own. A line can also be a [request in JSON](json_request), and its answer [`json`]. The contract for all is `protocol.md`.
//!
//! In every enum here, the order of the variants is the framed protocol's numbering: add variants only at the end.
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

pub mod commands;
mod form;
pub mod frame;
pub mod framing;
pub mod item;
pub mod json;
pub mod json_request;
pub mod limits;
pub mod line;
pub mod name;
pub mod refusal;
pub mod reply;
pub mod text;
pub mod units;
mod value;

pub use commands::Command;
pub use framing::{Encoding, Framing};
pub use item::{Access, Event, GapReason, Item, Kind, MemberInfo, Message, MessageRef, RoomInfo};
pub use refusal::{ErrorCode, Refusal};
pub use reply::{Reply, Welcome};
pub use value::{Begin, Keep, Seek, Since};

/// The version of the vocabulary that this build speaks.
pub const VERSION: u16 = 1;

/// The name that the sender gave a request; the answer carries the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A line without a tag.
    None,
    /// A line's `@tag`, without the `@`.
    Text(Box<str>),
    /// A frame's id.
    Id(u64),
}

/// What a decoder finds in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A request.
    Request {
        /// Its name.
        tag: Tag,
        /// The command.
        command: Command,
    },
    /// Something that is not a valid request; the stream continues after it.
    Refused {
        /// Its name, as far as it was understood.
        tag: Tag,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// Something after which nothing in the stream can be trusted: answer it, then close the connection.
    Broken(Refusal),
    /// The answer to a telnet client's negotiation: write it as it is, in its place among the answers.
    Telnet([u8; 3]),
}
