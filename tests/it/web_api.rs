//! The HTTP API, on the real daemon through real sockets.

mod client;
mod description;
mod messages;
mod rooms;
mod streams;
