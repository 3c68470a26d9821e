//! A small blocking HTTP client with one connection, which it keeps.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::history::Sent;
use crate::link::{Answer, Link};
use crate::wire::Wire;

/// The head of a response.
#[derive(Debug)]
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Its headers, with names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads the head of a response.
    pub fn read(wire: &mut Wire) -> io::Result<Head> {
        let end = |input: &[u8]| Some(input.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4);
        let head = String::from_utf8_lossy(&wire.piece(end)?).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = lines.filter_map(header).collect();
        Ok(Head { status: status.unwrap_or_default(), headers })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| &**value)
    }
}

/// A connection.
#[derive(Debug)]
pub struct Http {
    wire: Wire,
    address: SocketAddr,
    client: String,
    /// Requests that are sent only after the answers to those before.
    waiting: VecDeque<Vec<u8>>,
}

impl Http {
    /// Connects; all requests are this client's.
    pub fn connect(address: SocketAddr, client: &str) -> io::Result<Http> {
        Ok(Http { wire: Wire::connect(address)?, address, client: client.to_owned(), waiting: VecDeque::new() })
    }

    /// Sends a GET and reads its response; a body that is not JSON is returned as a string.
    pub fn get(&mut self, path: &str) -> io::Result<(u16, Value)> {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nDantok-Client: {}\r\n\r\n", self.address, self.client);
        self.wire.send(request.as_bytes())?;
        self.response()
    }

    fn response(&mut self) -> io::Result<(u16, Value)> {
        let head = Head::read(&mut self.wire)?;
        let body = if head.header("transfer-encoding") == Some("chunked") {
            self.chunks()?
        } else {
            let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            self.exactly(length)?
        };
        let value = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
        Ok((head.status, value))
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.wire.piece(|input| (input.len() >= length).then_some(length))
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.wire.line()?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            let chunk = self.exactly(size + 2)?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn post(&self, sent: &Sent, random: &mut fastrand::Rng) -> Vec<u8> {
        let text = std::str::from_utf8(&sent.body).ok();
        let (media, body) = match (text, random.u8(..4)) {
            (Some(_), 0) => ("text/plain; charset=utf-8", sent.body.to_vec()),
            (Some(text), 1) => ("application/json", json!({"text": text}).to_string().into_bytes()),
            (_, 2) => ("application/json", json!({"base64": STANDARD.encode(&sent.body)}).to_string().into_bytes()),
            _ => ("application/octet-stream", sent.body.to_vec()),
        };
        let key = sent.id.as_ref().map(|id| match random.bool() {
            true => format!("Idempotency-Key: \"{id}\"\r\n"),
            false => format!("Idempotency-Key: {id}\r\n"),
        });
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nDantok-Client: {}\r\n{}Content-Type: {media}\r\nContent-Length: {}\r\n\r\n",
            messages(&sent.room),
            self.address,
            self.client,
            key.unwrap_or_default(),
            body.len(),
        );
        [head.into_bytes(), body].concat()
    }
}

impl Link for Http {
    fn send(&mut self, batch: &[Sent], random: &mut fastrand::Rng) -> io::Result<()> {
        for sent in batch {
            let request = self.post(sent, random);
            self.waiting.push_back(request);
        }
        // Usually each waits for the answer to the one before; sometimes they are pipelined.
        if random.u8(..4) == 0 {
            let all: Vec<u8> = self.waiting.drain(..).flatten().collect();
            self.wire.send(&all)?;
        }
        Ok(())
    }

    fn answer(&mut self) -> io::Result<Answer> {
        if let Some(request) = self.waiting.pop_front() {
            self.wire.send(&request)?;
        }
        let (status, body) = self.response()?;
        Ok(match (status, body["seq"].as_u64(), body["dup"].as_bool()) {
            (201, Some(seq), Some(false)) => Answer::Ok { seq, repeated: false },
            (200, Some(seq), Some(true)) => Answer::Ok { seq, repeated: true },
            (400.., ..) if body["code"].is_string() => Answer::Refused,
            _ => Answer::Other(format!("{status} {body}")),
        })
    }

    fn create(&mut self, _: &str, _: &str) -> io::Result<bool> {
        // The API has no rooms to create.
        Ok(false)
    }
}

/// The path of a room's messages.
pub fn messages(room: &str) -> String {
    let room: String = room.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/api/v1/rooms/{room}/messages")
}
