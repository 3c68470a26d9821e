//! What watches over a daemon asks it over HTTP: figures at `/metrics`, in Prometheus's text format, and at `/healthz` and `/readyz`
//! whether it does what it is for.
//!
//! Nothing below knows of this: the figures are [counted](crate::figures) where things happen, and a [survey](crate::survey) looks at
//! the rest, when it is asked for. No answer names a client or a room, or has anything of a message in it.

mod http;
mod page;
mod process;
mod state;

pub use http::serve;
pub use state::Watched;
