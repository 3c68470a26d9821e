//! Connections that send messages, whatever they speak. Here are those that speak lines.

use std::io;
use std::net::SocketAddr;

use crate::history::Sent;
use crate::load::{ROOMS, ok};
use crate::wire::Wire;

/// A connection that sends messages.
pub trait Link {
    /// Sends messages, or begins to.
    fn send(&mut self, batch: &[Sent], random: &mut fastrand::Rng) -> io::Result<()>;

    /// The answer to the first of them that has none yet.
    fn answer(&mut self) -> io::Result<Answer>;

    /// Creates a room; returns whether it exists now.
    fn create(&mut self, room: &str, topic: &str) -> io::Result<bool>;
}

/// The answer to a message.
#[derive(Debug)]
pub enum Answer {
    /// It is stored.
    Ok {
        /// Its seq.
        seq: u64,
        /// Whether that was answered before.
        repeated: bool,
    },
    /// An error.
    Refused,
    /// What the daemon may not answer.
    Other(String),
}

impl Link for Wire {
    fn send(&mut self, batch: &[Sent], random: &mut fastrand::Rng) -> io::Result<()> {
        let mut bytes = Vec::new();
        for sent in batch {
            encode(sent, random, &mut bytes);
        }
        Wire::send(self, &bytes)
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let answer = self.line()?;
        Ok(match ok(&answer) {
            Some((seq, repeated)) => Answer::Ok { seq, repeated },
            None if answer.starts_with("ERR ") => Answer::Refused,
            None => Answer::Other(answer),
        })
    }

    fn create(&mut self, room: &str, topic: &str) -> io::Result<bool> {
        let answer = self.ask(&format!("CREATE {room} {topic}"))?;
        Ok(answer.starts_with("OK") || answer.starts_with("ERR room-exists "))
    }
}

/// Connects by lines and joins all rooms.
pub fn joined(address: SocketAddr, name: &str) -> io::Result<Wire> {
    let mut wire = Wire::hello(address, name)?;
    for room in ROOMS {
        let answer = wire.ask(&format!("JOIN {room}"))?;
        if !answer.starts_with("OK ") {
            return Err(io::Error::other(answer));
        }
    }
    Ok(wire)
}

/// A SEND, or a SENDB if the body needs it, and sometimes at random.
pub fn encode(sent: &Sent, random: &mut fastrand::Rng, out: &mut Vec<u8>) {
    let id = sent.id.as_ref().map(|id| format!("id={id} ")).unwrap_or_default();
    let text = std::str::from_utf8(&sent.body).is_ok() && !sent.body.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    if text && random.u8(..8) > 0 {
        out.extend_from_slice(format!("SEND {id}{} ", sent.room).as_bytes());
    } else {
        out.extend_from_slice(format!("SENDB {id}{} {}\n", sent.room, sent.body.len()).as_bytes());
    }
    out.extend_from_slice(&sent.body);
    out.push(b'\n');
}
