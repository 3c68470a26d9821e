//! The web: the chat page, WebSockets and the HTTP API, on listeners of their own.
//!
//! Every connection runs in one task, like any other connection of the daemon, and counts in the same limits. HTTP requests pass, in this
//! order: the Host check, the check of which page they come from, the [table of routes](routes), and the limits; whatever answers, the
//! response gets the same security headers. A WebSocket leaves HTTP behind and becomes an edge of the
//! [pipeline](crate::pipeline).

pub mod answer;
pub mod api;
mod assets;
pub mod body;
pub mod call;
mod forwarded;
mod guard;
mod health;
mod hooks;
pub mod problem;
pub mod routes;
mod serve;
mod socket;
mod ws;

use std::sync::Arc;

use crate::config;
use crate::http::Watched;
pub use serve::{Visitor, refuse, serve};

/// What all connections of the web share.
#[derive(Debug)]
pub struct Site {
    /// The settings.
    pub settings: config::Web,
    /// For health checks.
    pub watched: Arc<Watched>,
}
