//! A small blocking WebSocket client, and what it sends: requests in JSON.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::http::Head;
use crate::history::Sent;
use crate::link::{Answer, Link};
use crate::load::ROOMS;
use crate::wire::{PATIENCE, Wire};

/// The key of RFC 6455's example, and the answer to it.
const KEY: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;
/// The most messages of a connection that are sent in two frames: the daemon takes 256 small fragments in 10 s.
const IN_TWO_MAX: u32 = 100;

/// A WebSocket after HELLO.
#[derive(Debug)]
pub struct Socket {
    wire: Wire,
    /// Objects that have arrived, a line each.
    lines: VecDeque<String>,
    /// The beginning of a message whose other frames have not arrived.
    message: Vec<u8>,
    /// How many messages were sent in two frames.
    in_two: u32,
    /// The tag of the last request.
    tag: u64,
    /// The tags of messages whose answers have not arrived.
    asked: VecDeque<u64>,
}

impl Socket {
    /// Asks for a WebSocket, without HELLO.
    pub fn open(address: SocketAddr) -> io::Result<Socket> {
        let mut wire = Wire::connect(address)?;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: dantok.json.v1\r\n\r\n",
            KEY.0
        );
        wire.send(request.as_bytes())?;
        let head = Head::read(&mut wire)?;
        let is_open = head.status == 101
            && head.header("sec-websocket-accept") == Some(KEY.1)
            && head.header("sec-websocket-protocol") == Some("dantok.json.v1");
        if !is_open {
            return Err(io::Error::other(format!("no WebSocket: {head:?}")));
        }
        Ok(Socket { wire, lines: VecDeque::new(), message: Vec::new(), in_two: 0, tag: 0, asked: VecDeque::new() })
    }

    /// The same with HELLO.
    pub fn hello(address: SocketAddr, client: &str) -> io::Result<Socket> {
        let mut socket = Socket::open(address)?;
        let answer = socket.ask(json!({"do": "hello", "client": client}))?;
        if answer["type"] == "ok" { Ok(socket) } else { Err(io::Error::other(answer.to_string())) }
    }

    /// The same, and joins all rooms.
    pub fn joined(address: SocketAddr, client: &str) -> io::Result<Socket> {
        let mut socket = Socket::hello(address, client)?;
        for room in ROOMS {
            let answer = socket.ask(json!({"do": "join", "room": room}))?;
            if answer["type"] != "ok" {
                return Err(io::Error::other(answer.to_string()));
            }
        }
        Ok(socket)
    }

    /// The connection, to misbehave on.
    pub fn into_wire(self) -> Wire {
        self.wire
    }

    /// Gives a request a tag, which it returns, and encodes it; sometimes in two frames.
    fn encode(&mut self, mut request: Value, in_two: bool, out: &mut Vec<u8>) -> u64 {
        self.tag += 1;
        request["tag"] = self.tag.into();
        let text = request.to_string();
        if in_two {
            let (first, rest) = text.as_bytes().split_at(text.len() / 2);
            frame(TEXT, first, out);
            frame(FIN | CONTINUATION, rest, out);
        } else {
            frame(FIN | TEXT, text.as_bytes(), out);
        }
        self.tag
    }

    /// Sends a request; returns its tag.
    pub fn request(&mut self, request: Value) -> io::Result<u64> {
        let mut bytes = Vec::new();
        let tag = self.encode(request, false, &mut bytes);
        self.wire.send(&bytes)?;
        Ok(tag)
    }

    /// Waits for an object for a limited time. What is not JSON is returned as a string.
    pub fn object_within(&mut self, most: Duration) -> io::Result<Option<Value>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(serde_json::from_str(&line).unwrap_or(Value::String(line))));
            }
            let Some(bytes) = self.wire.piece_within(most, whole_frame)? else { return Ok(None) };
            let (head, payload) = (bytes[0], &bytes[bytes.len() - length(&bytes).map_or(0, |(_, length)| length)..]);
            match head & 0x0f {
                PING => {
                    let mut pong = Vec::new();
                    frame(FIN | PONG, payload, &mut pong);
                    self.wire.send(&pong)?;
                }
                CLOSE => return Err(io::ErrorKind::ConnectionAborted.into()),
                TEXT | CONTINUATION => {
                    self.message.extend_from_slice(payload);
                    if head & FIN != 0 {
                        let message = String::from_utf8_lossy(&std::mem::take(&mut self.message)).into_owned();
                        self.lines.extend(message.lines().map(str::to_owned));
                    }
                }
                _ => return Ok(Some(Value::String(format!("a frame that begins with {head:#04x}")))),
            }
        }
    }

    /// The next object.
    fn object(&mut self) -> io::Result<Value> {
        let object = self.object_within(PATIENCE)?;
        object.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}")))
    }

    /// Sends a request and reads its answer of one object.
    pub fn ask(&mut self, request: Value) -> io::Result<Value> {
        self.request(request)?;
        self.object()
    }
}

impl Link for Socket {
    fn send(&mut self, batch: &[Sent], random: &mut fastrand::Rng) -> io::Result<()> {
        let mut bytes = Vec::new();
        for sent in batch {
            let mut request = json!({"do": "send", "room": sent.room, "id": sent.id});
            match std::str::from_utf8(&sent.body) {
                Ok(text) if random.u8(..8) > 0 => request["text"] = text.into(),
                _ => request["base64"] = STANDARD.encode(&sent.body).into(),
            }
            let in_two = self.in_two < IN_TWO_MAX && random.u8(..8) == 0;
            self.in_two += u32::from(in_two);
            let tag = self.encode(request, in_two, &mut bytes);
            self.asked.push_back(tag);
        }
        self.wire.send(&bytes)
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let object = self.object()?;
        let is_stop = object["code"] == "stopping" && object["tag"].is_null();
        if is_stop {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let is_next = object["tag"].as_u64() == self.asked.pop_front();
        Ok(match (&object["type"], object["seq"].as_u64(), object["dup"].as_bool()) {
            (kind, Some(seq), Some(repeated)) if is_next && kind == "ok" => Answer::Ok { seq, repeated },
            (kind, ..) if is_next && kind == "error" => Answer::Refused,
            _ => Answer::Other(object.to_string()),
        })
    }

    fn create(&mut self, room: &str, topic: &str) -> io::Result<bool> {
        let answer = self.ask(json!({"do": "create", "room": room, "topic": topic}))?;
        Ok(answer["type"] == "ok" || answer["code"] == "room-exists")
    }
}

/// Encodes a client's frame. The mask is always the same: it protects proxies, and there are none here that look inside.
pub fn frame(head: u8, payload: &[u8], out: &mut Vec<u8>) {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    out.push(head);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        medium @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// The lengths of a frame's head and of its payload. The daemon masks nothing.
fn length(input: &[u8]) -> Option<(usize, usize)> {
    match *input.get(1)? {
        126 => Some((4, u16::from_be_bytes(*input.get(2..)?.first_chunk()?) as usize)),
        127 => Some((10, u64::from_be_bytes(*input.get(2..)?.first_chunk()?) as usize)),
        short => Some((2, short as usize)),
    }
}

fn whole_frame(input: &[u8]) -> Option<usize> {
    let (head, payload) = length(input)?;
    (input.len() >= head + payload).then_some(head + payload)
}
