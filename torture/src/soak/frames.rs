//! The part of the framed protocol that the soak uses, implemented independently from protocol.md.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::wire::{Item, Message, PATIENCE, Wire};

/// A connection with the framed protocol.
#[derive(Debug)]
pub struct Frames {
    wire: Wire,
    next_id: u64,
}

/// A frame from the daemon.
#[derive(Debug)]
pub enum Told {
    /// The answer to the request with this id.
    Answer(u64, Answer),
    /// An item, in an answer or pushed.
    Item(Item),
    /// The daemon closes the connection after this, and why.
    Closing(String),
    /// Any other frame.
    Other,
}

/// An answer, or the end of one.
#[derive(Debug)]
pub enum Answer {
    /// A message is stored.
    Sent(u64, bool),
    /// The client's cursor.
    Joined(u64),
    /// An error, with its sentence.
    Error(String),
    /// Any other answer that is not an error.
    Done,
}

/// A request: its number, and then its fields.
#[derive(Debug)]
pub struct Request(Vec<u8>);

impl Request {
    fn new(number: u32) -> Request {
        Request(number.to_le_bytes().to_vec())
    }

    fn bytes(mut self, bytes: &[u8]) -> Request {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Request {
        self.0.extend_from_slice(bytes);
        self
    }

    fn option(self, value: Option<u64>) -> Request {
        match value {
            None => self.raw(&[0]),
            Some(value) => self.raw(&[1]).raw(&value.to_le_bytes()),
        }
    }

    fn hello(client: &str) -> Request {
        Request::new(0).raw(&1u16.to_le_bytes()).bytes(client.as_bytes()).raw(&[0, 0])
    }

    /// JOIN, starting with everything that is stored.
    pub fn join(room: &str) -> Request {
        Request::new(3).bytes(room.as_bytes()).raw(&0u32.to_le_bytes())
    }

    /// LEAVE.
    pub fn leave(room: &str) -> Request {
        Request::new(4).bytes(room.as_bytes())
    }

    /// SEND.
    pub fn send(room: &str, id: Option<&str>, body: &[u8]) -> Request {
        let request = Request::new(5).bytes(room.as_bytes());
        let request = match id {
            None => request.raw(&[0]),
            Some(id) => request.raw(&[1]).bytes(id.as_bytes()),
        };
        request.bytes(body).raw(&[0])
    }

    /// FETCH.
    pub fn fetch(room: &str, after: Option<u64>, max: Option<u64>) -> Request {
        Request::new(6).bytes(room.as_bytes()).option(after).option(max)
    }

    /// ACK.
    pub fn ack(room: &str, seq: u64) -> Request {
        Request::new(8).bytes(room.as_bytes()).option(Some(seq))
    }

    /// FOLLOW.
    pub fn follow(room: &str) -> Request {
        Request::new(9).bytes(room.as_bytes())
    }
}

impl Frames {
    /// Sends HELLO on a connection.
    pub fn hello(wire: Wire, client: &str) -> io::Result<Frames> {
        let mut frames = Frames { wire, next_id: 1 };
        match frames.ask(Request::hello(client))? {
            Answer::Error(text) => Err(io::Error::other(format!("HELLO {client}: {text}"))),
            _ => Ok(frames),
        }
    }

    /// Connects and sends HELLO.
    pub fn connect(address: SocketAddr, client: &str) -> io::Result<Frames> {
        Frames::hello(Wire::connect(address)?, client)
    }

    /// Sends a request; returns its id.
    pub fn send(&mut self, request: Request) -> io::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let length = (request.0.len() + 8) as u32;
        self.wire.send(&[&length.to_be_bytes()[..], &id.to_le_bytes(), &request.0].concat())?;
        Ok(id)
    }

    /// Waits for the next frame.
    pub fn told_within(&mut self, most: Duration) -> io::Result<Option<Told>> {
        let Some(frame) = self.wire.frame_within(most)? else { return Ok(None) };
        match Reader(&frame).told() {
            Some(Told::Closing(text)) => Err(io::Error::other(text)),
            Some(told) => Ok(Some(told)),
            None => Err(io::Error::other(format!("a frame that is not in protocol.md: {frame:x?}"))),
        }
    }

    /// Sends a request on a connection that follows nothing, and returns its answer without the items.
    pub fn ask(&mut self, request: Request) -> io::Result<Answer> {
        Ok(self.fetch(request)?.1)
    }

    /// The same with the items.
    pub fn fetch(&mut self, request: Request) -> io::Result<(Vec<Item>, Answer)> {
        let id = self.send(request)?;
        let mut items = Vec::new();
        loop {
            match self.told_within(PATIENCE)? {
                Some(Told::Answer(of, answer)) if of == id => return Ok((items, answer)),
                Some(Told::Item(item)) => items.push(item),
                Some(_) => {}
                None => return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}"))),
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn variant(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.number()? as usize;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken.to_vec())
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn told(&mut self) -> Option<Told> {
        match self.variant()? {
            0 => Some(Told::Answer(self.number()?, self.answer()?)),
            1 => {
                self.number()?;
                self.item()
            }
            2 => self.item(),
            3 => {
                self.variant()?;
                Some(Told::Closing(self.text()?))
            }
            _ => None,
        }
    }

    fn answer(&mut self) -> Option<Answer> {
        Some(match self.variant()? {
            // The cursor is optional; none of the harness's clients goes without.
            2 if self.take::<1>()? == [1] => Answer::Joined(self.number()?),
            3 => Answer::Sent(self.number()?, self.take::<1>()? == [1]),
            11 => {
                self.variant()?;
                Answer::Error(self.text()?)
            }
            _ => Answer::Done,
        })
    }

    fn item(&mut self) -> Option<Told> {
        Some(match self.variant()? {
            0 => {
                let (room, seq, time) = (self.text()?, self.number()?, self.number()?.to_string());
                let (client, body) = (self.text()?, self.bytes()?);
                let about = match self.variant()? {
                    0 => String::new(),
                    kind => {
                        let name = *["reply", "redacts", "redacted"].get(kind as usize - 1)?;
                        format!("{name}={}", self.number()?)
                    }
                };
                Told::Item(Item::Message(Message { room, seq, time, about, client, body }))
            }
            1 => Told::Item(Item::Gap { room: self.text()?, from: self.number()?, to: self.number()? }),
            _ => Told::Other,
        })
    }
}
