//! The HTTP API: one more edge of the [pipeline](crate::pipeline). A request becomes commands, and their answers the response.
//!
//! Every connection has at most one session at a time, which the next request takes over if the same client sends it with the same
//! token. So limits, permissions and commits are those of all other connections.

mod about;
mod accept;
mod body;
mod by_hand;
mod caller;
mod input;
mod items;
mod members;
mod messages;
mod respond;
mod rooms;
mod session;
mod stream;

pub use caller::Kept;
pub(super) use session::Session;

use hyper::{Method, StatusCode};

use super::problem::Problem;
use super::routes::{Route, route};
use dantok_protocol::{ErrorCode, Refusal};

/// The routes of the API.
pub const ROUTES: &[Route] = &[
    route(Method::GET, "/api/v1/openapi.json", about::openapi),
    route(Method::GET, "/api/v1/health", about::health),
    route(Method::GET, "/api/v1/me", about::me),
    route(Method::GET, "/api/v1/rooms", rooms::list),
    route(Method::GET, "/api/v1/rooms/{room}", rooms::get),
    route(Method::PUT, "/api/v1/rooms/{room}", rooms::put),
    route(Method::DELETE, "/api/v1/rooms/{room}", rooms::delete),
    route(Method::GET, "/api/v1/rooms/{room}/messages", messages::list),
    route(Method::POST, "/api/v1/rooms/{room}/messages", messages::send),
    route(Method::GET, "/api/v1/rooms/{room}/messages/{seq}", messages::get),
    route(Method::DELETE, "/api/v1/rooms/{room}/messages/{seq}", messages::redact),
    route(Method::GET, "/api/v1/rooms/{room}/cursor", rooms::cursor),
    route(Method::PUT, "/api/v1/rooms/{room}/cursor", rooms::set_cursor),
    route(Method::GET, "/api/v1/rooms/{room}/members", members::list),
    route(Method::PUT, "/api/v1/rooms/{room}/members/{client}", members::join),
    route(Method::DELETE, "/api/v1/rooms/{room}/members/{client}", members::remove),
    route(Method::GET, "/api/v1/rooms/{room}/access", members::access),
    route(Method::PUT, "/api/v1/rooms/{room}/invitations/{client}", members::invite),
    route(Method::DELETE, "/api/v1/rooms/{room}/invitations/{client}", members::uninvite),
    route(Method::PUT, "/api/v1/rooms/{room}/bans/{client}", members::ban),
    route(Method::DELETE, "/api/v1/rooms/{room}/bans/{client}", members::unban),
    // By hand.
    route(Method::POST, "/r/{room}", by_hand::send),
    route(Method::GET, "/r/{room}/json", by_hand::json),
    route(Method::GET, "/r/{room}/sse", by_hand::sse),
    route(Method::GET, "/r/{room}/raw", by_hand::raw),
];

/// A request that can't be understood.
fn bad(text: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, ErrorCode::BadArgument, text)
}

/// A refusal about a room, in the API's words where those of the protocol name a command.
fn refused(refusal: Refusal, room: &str) -> Problem {
    let text = match refusal.code {
        ErrorCode::NotJoined if refusal.text.starts_with("JOIN ") => {
            format!("you are not a member of {room}; PUT .../rooms/{room}/members/me to join it")
        }
        ErrorCode::NoRoom => format!("there is no room {room}; PUT .../rooms/{room} to create it"),
        _ => refusal.text,
    };
    Problem::from(Refusal { text, ..refusal })
}
