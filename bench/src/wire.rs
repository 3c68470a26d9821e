//! The requests to each contestant, and how its answers are counted. It uses no client library.

use std::io;

use dantok_protocol::Command;
use dantok_protocol::commands::{Fetch, Follow, Hello};
use dantok_protocol::frame::{self, RequestFrame};

/// A contestant's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// dantok's line protocol.
    Lines,
    /// dantok's framed protocol.
    Frames,
    /// Redis: RESP.
    Redis,
    /// NATS: its text protocol; a SEND is a JetStream publish with an acknowledgement.
    JetStream,
    /// NATS without a store: a message goes to whoever is subscribed.
    NatsCore,
}

/// What a piece of input contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests answered.
    pub answers: u64,
    /// Messages handed over.
    pub deliveries: u64,
}

/// The NATS subscription that receives acknowledgements.
const ACKS: &[u8] = b"1";

/// A room's name, the same for all contestants.
pub fn room(number: usize) -> String {
    format!("room.{number}")
}

/// Appends a frame. Answers come in order, so any id will do.
fn frame(out: &mut Vec<u8>, command: impl Into<Command>) {
    let fits = frame::encode_request(&RequestFrame { id: 1, command: command.into() }, out);
    fits.expect("a short command fits into a frame");
}

/// Appends the frame of a SEND, without the allocations of a [`Command`].
fn send_frame(out: &mut Vec<u8>, room: &str, body: &[u8]) {
    let length = 8 + 4 + (8 + room.len()) + 1 + (8 + body.len()) + 1;
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(&1u64.to_le_bytes());
    // SEND's number, the room, no id, the body, no reply.
    out.extend_from_slice(&5u32.to_le_bytes());
    for field in
        [&(room.len() as u64).to_le_bytes(), room.as_bytes(), &[0], &(body.len() as u64).to_le_bytes(), body, &[0]]
    {
        out.extend_from_slice(field);
    }
}

fn resp(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

impl Wire {
    /// Opens a session. Returns the number of answers to expect.
    pub fn hello(self, client: &str, out: &mut Vec<u8>) -> u64 {
        match self {
            Wire::Lines => out.extend_from_slice(format!("HELLO {client}\n").as_bytes()),
            Wire::Frames => frame(out, Hello { version: 1, client: client.to_owned(), token: None, epoch: None }),
            Wire::Redis => resp(out, &[b"PING"]),
            Wire::JetStream | Wire::NatsCore => {
                let hello = format!("CONNECT {{\"verbose\":false}}\r\nSUB _INBOX.{client} 1\r\nPING\r\n");
                out.extend_from_slice(hello.as_bytes());
            }
        }
        1
    }

    /// Makes a client a member of a room. Returns the number of answers to expect.
    pub fn join(self, room: &str, out: &mut Vec<u8>) -> u64 {
        match self {
            Wire::Lines => out.extend_from_slice(format!("JOIN {room}\n").as_bytes()),
            Wire::Frames => frame(out, Command::join(room)),
            // A stream exists as soon as it has an entry.
            Wire::Redis | Wire::JetStream | Wire::NatsCore => return 0,
        }
        1
    }

    /// Sends a message. It is answered once it is stored, except by NATS without a store, which does not answer.
    pub fn send(self, client: &str, room: &str, body: &[u8], out: &mut Vec<u8>) {
        match self {
            Wire::Lines => {
                for part in [b"SEND ", room.as_bytes(), b" ", body, b"\n"] {
                    out.extend_from_slice(part);
                }
            }
            Wire::Frames => send_frame(out, room, body),
            Wire::Redis => resp(out, &[b"XADD", room.as_bytes(), b"*", b"m", body]),
            Wire::JetStream => {
                out.extend_from_slice(format!("PUB {room} _INBOX.{client} {}\r\n", body.len()).as_bytes());
                out.extend_from_slice(body);
                out.extend_from_slice(b"\r\n");
            }
            Wire::NatsCore => {
                out.extend_from_slice(format!("PUB {room} {}\r\n", body.len()).as_bytes());
                out.extend_from_slice(body);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Subscribes to a room's new messages. Returns the number of answers to expect.
    pub fn follow(self, room: &str, out: &mut Vec<u8>) -> u64 {
        match self {
            Wire::Lines => out.extend_from_slice(format!("FOLLOW {room}\n").as_bytes()),
            Wire::Frames => frame(out, Follow { room: room.to_owned(), after: None }),
            Wire::Redis => {
                self.read_on(room, "$", out);
                return 0;
            }
            Wire::JetStream | Wire::NatsCore => {
                out.extend_from_slice(format!("SUB {room} 2\r\nPING\r\n").as_bytes());
            }
        }
        1
    }

    /// Redis: waits for entries after this one; must be repeated after each answer.
    pub fn read_on(self, room: &str, after: &str, out: &mut Vec<u8>) {
        resp(out, &[b"XREAD", b"BLOCK", b"0", b"STREAMS", room.as_bytes(), after.as_bytes()]);
    }

    /// Requests everything in a room; from Redis, `batch` entries after this one.
    pub fn fetch(self, room: &str, after: &str, batch: usize, out: &mut Vec<u8>) {
        match self {
            Wire::Lines => out.extend_from_slice(format!("FETCH {room}\n").as_bytes()),
            Wire::Frames => frame(out, Fetch { room: room.to_owned(), after: None, max: None }),
            Wire::Redis => {
                let start = format!("({after}");
                let start: &[u8] = if after.is_empty() { b"-" } else { start.as_bytes() };
                resp(out, &[b"XRANGE", room.as_bytes(), start, b"+", b"COUNT", batch.to_string().as_bytes()]);
            }
            // A separate consumer that is pushed everything and acknowledges nothing.
            Wire::JetStream | Wire::NatsCore => {
                let subject = format!("read.{after}");
                let consumer = format!(
                    "{{\"stream_name\":\"chat\",\"config\":{{\"deliver_subject\":\"{subject}\",\"deliver_policy\":\"all\",\
                     \"ack_policy\":\"none\",\"filter_subject\":\"{room}\"}}}}"
                );
                let create =
                    format!("SUB {subject} 2\r\nPUB $JS.API.CONSUMER.CREATE.chat {}\r\n{consumer}\r\n", consumer.len());
                out.extend_from_slice(create.as_bytes());
            }
        }
    }
}

/// Counts the answers and deliveries on one connection.
#[derive(Debug)]
pub struct Scanner {
    wire: Wire,
    /// Remaining bytes of a body to skip.
    skip: usize,
    /// Redis: elements still expected at each level of nesting.
    open: Vec<u64>,
    /// Redis: the id of the last entry.
    pub last_entry: String,
}

/// Redis: the length of the name of an entry's only field; nothing else is as short.
const FIELD_BYTES: usize = 1;

impl Scanner {
    /// A scanner for one connection.
    pub fn new(wire: Wire) -> Scanner {
        Scanner { wire, skip: 0, open: Vec::new(), last_entry: String::new() }
    }

    /// Consumes complete answers; returns their length and what they contained.
    ///
    /// # Errors
    /// The contestant has answered with an error.
    pub fn scan(&mut self, input: &[u8]) -> io::Result<(usize, Seen)> {
        let at = self.skip.min(input.len());
        self.skip -= at;
        if self.skip > 0 {
            return Ok((at, Seen::default()));
        }
        match self.wire {
            Wire::Lines => lines(input, at),
            Wire::Frames => frames(input, at),
            Wire::Redis => self.redis(input, at),
            Wire::JetStream | Wire::NatsCore => self.nats(input, at),
        }
    }

    fn redis(&mut self, input: &[u8], mut at: usize) -> io::Result<(usize, Seen)> {
        let mut seen = Seen::default();
        while let Some(end) = line(input, at) {
            let (kind, rest) = (input[at], &input[at + 1..end - 2]);
            let length = || std::str::from_utf8(rest).ok().and_then(|rest| rest.parse().ok()).unwrap_or(0usize);
            match kind {
                b'-' => return Err(refused(rest)),
                b'*' if length() > 0 => {
                    self.open.push(length() as u64);
                    at = end;
                    continue;
                }
                b'$' => {
                    let Some(bulk) = input.get(end..end + length() + 2) else { break };
                    seen.deliveries += u64::from(length() == FIELD_BYTES);
                    if self.open.len() > 1 && bulk.first().is_some_and(u8::is_ascii_digit) && bulk.contains(&b'-') {
                        self.last_entry = String::from_utf8_lossy(&bulk[..length()]).into_owned();
                    }
                    at = end + length() + 2;
                }
                _ => at = end,
            }
            while let Some(left) = self.open.last_mut() {
                *left -= 1;
                if *left > 0 {
                    break;
                }
                self.open.pop();
            }
            seen.answers += u64::from(self.open.is_empty());
        }
        Ok((at, seen))
    }

    fn nats(&mut self, input: &[u8], mut at: usize) -> io::Result<(usize, Seen)> {
        let mut seen = Seen::default();
        while let Some(end) = line(input, at) {
            let words: Vec<&[u8]> = input[at..end - 2].split(|byte| *byte == b' ').collect();
            match words[..] {
                [b"MSG", _, subscription, .., length] => {
                    let length: usize = std::str::from_utf8(length).unwrap_or("0").parse().unwrap_or(0);
                    if subscription == ACKS {
                        let Some(ack) = input.get(end..end + length) else { break };
                        if memchr::memmem::find(ack, b"\"error\"").is_some() {
                            return Err(refused(ack));
                        }
                        seen.answers += 1;
                    } else {
                        seen.deliveries += 1;
                    }
                    at = end + length + 2;
                    if at > input.len() {
                        self.skip = at - input.len();
                        return Ok((input.len(), seen));
                    }
                }
                [b"-ERR", ..] => return Err(refused(&input[at..end])),
                // +OK, INFO and PONG. PONG answers a hello or a subscription.
                [first, ..] => {
                    seen.answers += u64::from(first == b"PONG");
                    at = end;
                }
                [] => at = end,
            }
        }
        Ok((at, seen))
    }
}

fn lines(input: &[u8], at: usize) -> io::Result<(usize, Seen)> {
    let mut seen = Seen::default();
    let mut start = at;
    for end in memchr::memchr_iter(b'\n', &input[at..]).map(|place| at + place + 1) {
        match &input[start..(start + 2).min(end)] {
            b"MS" => seen.deliveries += 1,
            b"OK" | b"EN" => seen.answers += 1,
            _ => return Err(refused(&input[start..end])),
        }
        start = end;
    }
    Ok((start, seen))
}

fn frames(input: &[u8], mut at: usize) -> io::Result<(usize, Seen)> {
    let mut seen = Seen::default();
    while let Some(prefix) = input[at..].first_chunk::<4>() {
        let end = at + 4 + u32::from_be_bytes(*prefix) as usize;
        let Some(frame) = input.get(at + 4..end) else { break };
        let number = |place: usize| frame.get(place..place + 4).map(|number| number[0]);
        match (number(0), number(12), number(4)) {
            (Some(0), Some(reply), _) if reply != 11 => seen.answers += 1,
            (Some(1), Some(0), _) | (Some(2), _, Some(0)) => seen.deliveries += 1,
            _ => return Err(refused(frame)),
        }
        at = end;
    }
    Ok((at, seen))
}

/// The end of the line that begins here, including its line ending.
fn line(input: &[u8], at: usize) -> Option<usize> {
    memchr::memchr(b'\n', input.get(at..)?).map(|place| at + place + 1)
}

fn refused(answer: &[u8]) -> io::Error {
    let shown = &answer[..answer.len().min(200)];
    io::Error::other(format!("a contestant answered with an error: {}", String::from_utf8_lossy(shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_written_by_hand_is_what_the_protocol_writes() {
        let (mut by_hand, mut encoded) = (Vec::new(), Vec::new());
        Wire::Frames.send("alice", "room.1", b"hello", &mut by_hand);
        frame(&mut encoded, Command::send("room.1", None, b"hello".as_slice()));
        assert_eq!(by_hand, encoded);
    }
}
