//! dantok (단톡): durable group chat over raw TCP. Rooms are ordered logs; a message is on disk before it is acknowledged, is kept
//! at least 24 hours, and reaches every member from the point where that member last read.
//!
//! ```text
//! socket → connection → protocol (line | frame) → session → committer → store … fdatasync → OK to the sender
//!                                                                      ↘ rooms: last seq moves → each follower reads on
//! ```
//!
//! The modules, in reading order:
//!
//! 1. [`protocol`]: what may be asked and answered, and its two framings. Pure. [`units`]: durations and sizes as people write them.
//! 2. [`limits`]: every bound, with its reason. [`settings`]: what of them, and else, may change while the daemon runs.
//! 3. [`server`]: accepts and stops connections. [`connection`]: a socket, its buffers and deadlines. `socket`: what a plain one
//!    and one inside TLS have in common. `tls`: certificates and keys.
//! 4. [`session`]: one client, one function a command. [`hub`]: what all sessions share. [`unread`]: how much somebody has to read. [`pushed`]: what one follower was told, for
//!    the others. [`person`]: what all connections of a person share.
//! 5. [`committer`]: the only writer; one sync serves many senders.
//! 6. [`rooms`]: durable rooms as clients see them, and who waits for what.
//! 7. [`store`]: the journal, the files that messages stay in, sled with what leads to them, and the newest in memory. [`clock`]: what ages are counted with.
//! 8. [`retention`]: drops what is past its time.
//! 9. [`tokens`]: who may be whom.
//! 10. [`error`]: what an operator reads. [`config`], [`cli`]: what an operator sets. [`daemon`]: the process, its signals and its
//!     service manager. [`liveness`]: whether it still does what it is for. [`count`], [`figures`], [`survey`]: what has happened and how
//!     everything is, and `metrics`, which shows it to what watches over the daemon.
//!     [`supervise`]: what runs all the time, and what follows where it dies.
//! 11. [`client`]: the client library. [`doctor`]: whether a machine can keep the promises.
//! 12. [`control`]: how commands reach a daemon that runs. [`backup`]: copies of everything, and back. [`export`], [`import`]: a
//!     room's messages as text, and back.
//!
//! The wire's contract is `protocol.md`; both are in the repository.
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
pub mod client;
pub mod clock;
pub mod committer;
pub mod config;
pub mod connection;
pub mod control;
pub mod count;
pub mod daemon;
pub mod doctor;
pub mod error;
pub mod export;
pub mod figures;
pub mod hub;
pub mod import;
pub mod limits;
pub mod liveness;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod person;
mod progress;
pub mod protocol;
pub mod pushed;
mod replace;
pub mod retention;
pub mod rooms;
pub mod server;
pub mod session;
pub mod settings;
mod socket;
pub mod store;
pub mod supervise;
pub mod survey;
#[cfg(feature = "tls")]
pub mod tls;
pub mod tokens;
pub mod units;
pub mod unread;
