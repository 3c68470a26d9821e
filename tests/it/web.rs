//! The web, through real sockets: HTTP's edge cases as raw bytes, and WebSockets by a client that somebody else made.

mod document;
mod http;
mod limits;
mod proxy;
mod serving;
mod websocket;
