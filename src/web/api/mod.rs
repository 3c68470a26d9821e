//! The HTTP API: one more edge of the [pipeline](crate::pipeline). A request becomes commands, and their answers the response.
//!
//! Every connection has at most one session at a time, which the next request takes over if the same client sends it with the same
//! token. So limits, permissions and commits are those of all other connections.

mod accept;
mod body;
mod by_hand;
mod caller;
mod input;
mod items;
mod messages;
mod respond;
mod stream;

pub(super) use by_hand::{
    json as follow_as_json, raw as follow_as_text, send as send_by_hand, sse as follow_as_events,
};
pub use caller::Kept;
pub(super) use messages::{get as get_message, list as list_messages, send as send_message};

use hyper::StatusCode;

use super::problem::Problem;
use dantok_protocol::{ErrorCode, Refusal};

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
