//! dantok (단톡): durable group chat over raw TCP. Rooms are ordered logs; a message is on disk before it is acknowledged, is kept
//! at least 24 hours, and reaches every member from the point where that member last read.
//!
//! ```text
//! socket → connection → protocol (line | frame) → session → committer → store … fdatasync → OK to the sender
//!                                                                      ↘ rooms: last seq moves → each follower reads on
//! ```
//!
//! The wire's vocabulary is in `dantok-protocol`, what is kept on disk in `dantok-store`; this crate is the daemon over both. Its
//! modules, in reading order:
//!
//! 1. [`limits`]: every bound, with its reason. [`settings`]: what of them, and else, may change while the daemon runs.
//! 2. [`server`]: accepts and stops connections. [`connection`]: a socket, its buffers and deadlines. `tls`: certificates and keys.
//! 3. [`session`]: one client, one function a command. [`hub`]: what all sessions share. [`reader`]: reads rooms for them.
//!    [`pushed`]: what one follower was told, for the others. [`person`]: what all connections of a person share. `message`: a stored
//!    message, as the wire has it.
//! 4. [`committer`]: the only writer; one sync serves many senders.
//! 5. [`rooms`]: durable rooms as clients see them, and who waits for what.
//! 6. [`retention`]: drops what is past its time.
//! 7. [`tokens`]: who may be whom.
//! 8. [`error`]: what an operator reads. [`config`], [`cli`]: what an operator sets. [`daemon`]: the process, its signals and its
//!    service manager. [`duties`]: what runs all the time. [`liveness`]: whether it still does what it is for. [`figures`],
//!    [`survey`]: what has happened and how everything is, and `metrics`, which shows it to what watches over the daemon.
//! 9. [`doctor`]: whether a machine can keep the promises.
//! 10. [`control`]: how commands reach a daemon that runs. [`backup`]: copies of everything, and back. [`export`], [`import`]: a
//!     room's messages as text, and back.
//!
//! The wire's contract is `protocol.md`, in the repository.
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

mod addresses;
pub mod backup;
pub mod cli;
pub mod committer;
pub mod config;
pub mod connection;
pub mod control;
pub mod daemon;
pub mod doctor;
pub mod duties;
pub mod error;
pub mod export;
pub mod figures;
pub mod hub;
pub mod import;
pub mod limits;
pub mod liveness;
mod message;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod person;
mod progress;
pub mod pushed;
pub mod reader;
pub mod retention;
pub mod rooms;
pub mod server;
pub mod session;
pub mod settings;
pub mod survey;
#[cfg(feature = "tls")]
pub mod tls;
pub mod tokens;
