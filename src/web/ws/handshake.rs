//! How a WebSocket begins: an HTTP request that asks for one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use hyper::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use sha1::{Digest, Sha1};

use crate::addresses::AddressSlot;
use crate::web::answer::{Response, full, value};
use crate::web::call::{Answered, Call};
use crate::web::problem::Problem;
use dantok_protocol::ErrorCode;

/// The only subprotocol: requests, answers and pushes in JSON.
const PROTOCOL: &str = "dantok.json.v1";
const VERSION: &str = "13";
/// What a key is hashed with.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Marks the response after which the connection is a WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// Behind a trusted proxy, what counts the connection in the limit of its address.
    pub(crate) _slot: Option<std::sync::Arc<AddressSlot>>,
}

/// `/ws`: opens a WebSocket.
pub(crate) fn open(call: Call) -> Answered {
    let opened = handshake(&call.request).map(|mut response| {
        response.extensions_mut().insert(Opened { _slot: call.slot.map(std::sync::Arc::new) });
        response
    });
    Box::pin(std::future::ready(opened))
}

/// The response to a request for a WebSocket.
///
/// # Errors
/// It is not one, or for another version or subprotocol.
pub(crate) fn handshake<B: hyper::body::Body>(request: &Request<B>) -> Result<Response, Problem> {
    let headers = request.headers();
    let asks = has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket");
    if !asks
        || *request.method() != Method::GET
        || request.version() != Version::HTTP_11
        || !has_token(headers, &SEC_WEBSOCKET_VERSION, VERSION)
    {
        let text = format!("this is a WebSocket, version {VERSION}, with the subprotocol {PROTOCOL}");
        let mut problem = Problem::new(StatusCode::UPGRADE_REQUIRED, ErrorCode::BadCommand, text);
        problem.headers = vec![
            (UPGRADE, value("websocket")),
            (CONNECTION, value("upgrade")),
            (SEC_WEBSOCKET_VERSION, value(VERSION)),
        ];
        return Err(problem);
    }
    let bad = |text: &str| Err(Problem::new(StatusCode::BAD_REQUEST, ErrorCode::BadArgument, text));
    if !has_token(headers, &SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return bad("the only subprotocol of this WebSocket is dantok.json.v1");
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return bad("a request for a WebSocket has one Sec-WebSocket-Key");
    };
    if STANDARD.decode(key.as_bytes()).map(|key| key.len()) != Ok(16) {
        return bad("a Sec-WebSocket-Key is 16 bytes in base64");
    }
    if !request.body().is_end_stream() {
        return bad("a request for a WebSocket has no body");
    }
    let mut response = full("");
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let set = response.headers_mut();
    set.insert(UPGRADE, value("websocket"));
    set.insert(CONNECTION, value("upgrade"));
    set.insert(SEC_WEBSOCKET_PROTOCOL, value(PROTOCOL));
    // Base64 is a header's value.
    if let Ok(accept) = HeaderValue::from_str(&accept(key.as_bytes())) {
        set.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(response)
}

/// The answer to a key.
fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Whether a header that is a list, and may be repeated, has this word. Case matters in none of those that are asked for.
fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_is_answered_as_in_the_rfc() {
        assert_eq!(super::accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
