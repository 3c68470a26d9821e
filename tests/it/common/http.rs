//! HTTP, as little of it as the tests need.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::connect;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// Sends a request as it is; the answer ends with the connection.
pub fn ask(address: SocketAddr, request: &str) -> Answer {
    request_on(&mut connect(address), request)
}

/// The same on a connection that is there.
pub fn request_on(stream: &mut TcpStream, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    // What was sent and not read may make an error of the end.
    let _ = stream.read_to_end(&mut text);
    answer(&String::from_utf8(text).unwrap())
}

pub fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    let headers: BTreeMap<String, String> = lines.map(header).collect();
    // Prometheus's API answers in chunks where it likes to.
    let body = if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Answer { status, headers, body }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&after[..length]);
        rest = &after[(length + 2).min(after.len())..];
    }
    body
}

/// Whether the other side has closed a connection, on which nothing waits to be read.
#[cfg(feature = "web")]
pub fn is_over(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    matches!(peeked, Ok(0)) || peeked.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
}
