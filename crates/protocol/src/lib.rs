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

pub mod commands;
mod form;
pub mod frame;
pub mod framing;
pub mod item;
pub mod json;
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
