//! Monitoring over HTTP: `/metrics` has figures in Prometheus's text format, and `/healthz` and `/readyz` say whether the daemon is alive
//! and ready.
//!
//! No lower layer knows about this: figures are [counted](crate::figures) where things happen, and a [survey](crate::survey) collects the
//! rest on request. No response names a client or a room, or contains any part of a message.

mod http;
mod page;
mod process;

pub use crate::http::Watched;
pub use http::serve;
