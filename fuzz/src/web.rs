//! The web of the daemon: HTTP as bytes, and a WebSocket's frames.

use std::sync::Arc;

use dantok::config::Web;
use dantok::connection::Speaks;
use dantok::server::{Listener, Serves};
use dantok::web::Site;

/// What begins a WebSocket.
const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: dantok.json.v1\r\n\r\n";

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A listener for the web.
pub(super) fn listener(socket: tokio::net::TcpListener) -> Listener {
    let site = Site { settings: Web::default(), watched: Arc::default() };
    Listener { socket, speaks: Speaks::Plain, serves: Serves::Web(Arc::new(site)), is_passed: false }
}

/// A connection for HTTP: it ends, and what is answered is HTTP, with headers that keep other pages out, or nothing.
pub fn http(bytes: &[u8]) {
    let answers = super::exchange(super::daemon().web, bytes);
    let Some((head, rest)) = head(&answers) else { return assert!(answers.is_empty(), "half a head: {answers:?}") };
    let status = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).expect("a status");
    assert!(head.starts_with("HTTP/1.") && (100..600).contains(&status), "{head}");
    // What is no HTTP at all is answered before anything is known of it.
    let is_unread = matches!(status, 100 | 400 | 414 | 431);
    assert!(is_unread || head.contains("\r\ncontent-security-policy: default-src 'none';"), "{head}");
    if status == 101 {
        frames(rest);
    }
}

/// A WebSocket: it ends with one close frame, and what comes before is pongs and JSON.
pub fn websocket(bytes: &[u8]) {
    let answers = super::exchange(super::daemon().web, &[HANDSHAKE.as_bytes(), bytes].concat());
    let (head, rest) = head(&answers).expect("a handshake");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    frames(rest);
}

/// The first head of a response, and what is behind it.
fn head(answers: &[u8]) -> Option<(&str, &[u8])> {
    let end = answers.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answers[..end]).expect("a head in ASCII"), &answers[end + 4..]))
}

/// The frames of the daemon.
fn frames(mut rest: &[u8]) {
    let mut is_closed = false;
    while let [first, length, behind @ ..] = rest {
        assert!(!is_closed, "something follows the close frame: {rest:?}");
        let (length, behind) = match length {
            127 => (u64::from_be_bytes(behind[..8].try_into().unwrap()) as usize, &behind[8..]),
            126 => (usize::from(u16::from_be_bytes(behind[..2].try_into().unwrap())), &behind[2..]),
            short => (usize::from(*short), behind),
        };
        let payload = &behind[..length];
        match *first {
            TEXT => {
                let text = std::str::from_utf8(payload).expect("text");
                let is_object = |line: &str| line.starts_with("{\"type\":\"") && line.ends_with('}');
                assert!(text.split('\n').all(is_object), "{text}");
            }
            CLOSE => is_closed = true,
            PING | PONG => assert!(length <= 125),
            other => panic!("a frame begins with {other:x}"),
        }
        rest = &behind[length..];
    }
    assert!(is_closed && rest.is_empty(), "it ends with {rest:?}");
}
