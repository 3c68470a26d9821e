//! The HTTP API, on the real daemon through real sockets.

mod client;
mod messages;
mod streams;
