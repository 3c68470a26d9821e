//! dantok (단톡): durable group chat over raw TCP. Rooms are ordered logs; a message is on disk before it is acknowledged, is kept
//! at least 24 hours, and reaches every member from the point where that member last read.
//!
//! ```text
//! socket → connection (lines | frames) → pipeline → session → committer → store … fdatasync → OK to the sender
//!                                                                      ↘ rooms: last seq moves → each follower reads on
//! ```
//!
//! The wire's vocabulary is in `dantok-protocol`, what is kept on disk in `dantok-store`; this crate is the daemon over both. Its
//! modules are in layers. A module uses those of its own layer and of lower ones, without circles; a test holds them to it:
//!
//! ```text
//! process    cli daemon doctor
//! edge       server jobs backup export import lookup control metrics web http liveness connection
//! pipeline   pipeline
//! session    session
//! hub        hub
//! committer  committer
//! readers    survey reader retention permission
//! state      rooms person pushed tokens hooks settings message
//! base       config tls limits figures duties addresses progress secrets error
//! ```
//!
//! - **process**: [`cli`], the command line; [`daemon`], the process with its signals and its service manager; [`doctor`], whether a
//!   machine can keep the promises.
//! - **edge**: [`server`] accepts and stops connections; a [`connection`] is a socket with its buffers and deadlines. [`control`] is how
//!   commands reach a running daemon, and [`jobs`] what they ask of it: [`backup`], and [`export`] and [`import`] of a room's
//!   messages, and a [`lookup`] of its number. [`liveness`] says whether commits still complete, and `metrics` shows everything to Prometheus. `web` serves browsers
//!   and HTTP clients, over the same `http` as metrics.
//! - **pipeline**: a [`pipeline`] stands between a session and an edge: requests in, answers and pushes out, in order and bounded.
//! - **session**: [`session`] is one client, with one function a command.
//! - **hub**: [`hub`] is what all sessions share.
//! - **committer**: [`committer`] is the only writer; one sync serves many senders.
//! - **readers**: [`reader`] reads rooms, [`retention`] drops what is past its time, and a [`survey`] counts
//!   everything; [`permission`] decides who may do what in a room.
//! - **state**: [`rooms`] as clients see them, and who waits for what; what all connections of a [`person`] share; pages that were
//!   [`pushed`]; [`tokens`]; incoming [`hooks`]; the [`settings`] in effect; and a stored `message` as the wire has it.
//! - **base**: what an operator sets ([`config`]) and reads ([`error`], `progress`); `tls`, what files of `secrets` have in common, [`limits`] with their reasons, [`figures`],
//!   the tasks that run all the time ([`duties`]), and the connections of each of the `addresses`.
//!
//! The wire's contract is `protocol.md`, in the repository.
#![warn(clippy::disallowed_methods, clippy::too_many_lines)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods,
        clippy::too_many_lines
    )
)]

pub mod addresses;
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
pub mod hooks;
#[cfg(any(feature = "metrics", feature = "web"))]
pub mod http;
pub mod hub;
pub mod import;
pub mod jobs;
pub mod limits;
pub mod liveness;
pub mod lookup;
mod message;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod permission;
pub mod person;
pub mod pipeline;
mod progress;
pub mod pushed;
pub mod reader;
pub mod retention;
pub mod rooms;
mod secrets;
pub mod server;
pub mod session;
pub mod settings;
pub mod survey;
#[cfg(feature = "tls")]
pub mod tls;
pub mod tokens;
#[cfg(feature = "web")]
pub mod web;
