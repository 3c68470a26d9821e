//! The behaviour that users and operators see, tested on the real programs: one module per subject, with shared code in
//! `common`. All are one binary, so that it is linked once; `cargo test --test it reload::` runs the tests of one
//! module.
//!
//! Tests that need systemd or root are in `tests/system`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "../../examples/support/irc.rs"]
mod irc;

mod backup;
mod backup_faults;
mod chat;
mod chat_live;
mod chat_screen;
mod check;
mod client;
mod codec;
mod command_line;
mod commands;
mod crash;
#[cfg(all(feature = "metrics", feature = "tls"))]
mod dashboard;
mod delete;
mod doctor;
mod documents;
mod drain;
mod durable;
mod epoch;
mod epoch_client;
mod example_client;
mod export;
mod failure;
mod fairness;
mod formats;
mod groups;
mod hooks;
mod json;
mod json_request;
mod limits;
#[cfg(feature = "metrics")]
mod metrics;
mod minimal_py;
mod names;
mod netcat;
mod notify;
mod order;
mod paging;
mod parity;
mod presence;
mod protocol_doc;
mod redact;
mod reload;
mod replay;
mod restarts;
mod retention;
mod rooms;
mod startup;
mod store_model;
mod streams;
#[cfg(feature = "tls")]
mod tls;
mod tokens;
mod walls;
#[cfg(feature = "web")]
mod web;
#[cfg(feature = "web")]
mod web_api;
