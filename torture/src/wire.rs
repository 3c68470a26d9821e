//! A small blocking client of the line protocol, of the harness's own: nothing of the daemon's code judges the daemon.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longer than any answer takes while the daemon runs; a client that waits longer has been forgotten.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(50);

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    /// Where the next line begins in `input`.
    at: usize,
}

/// What a wait for a line ended with.
#[derive(Debug)]
pub enum Got {
    /// A line, without its end.
    Line(String),
    /// None within the time given.
    Nothing,
}

impl Wire {
    /// Connects; says nothing.
    pub fn connect(address: SocketAddr) -> io::Result<Wire> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Wire { stream, input: Vec::new(), at: 0 })
    }

    /// Connects and says HELLO.
    pub fn hello(address: SocketAddr, client: &str) -> io::Result<Wire> {
        let mut wire = Wire::connect(address)?;
        let answer = wire.ask(&format!("HELLO {client}"))?;
        if answer.starts_with("OK ") { Ok(wire) } else { Err(io::Error::other(format!("HELLO {client}: {answer}"))) }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for a line for a while.
    pub fn line_within(&mut self, most: Duration) -> io::Result<Got> {
        let start = Instant::now();
        loop {
            if let Some(length) = self.input[self.at..].iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&self.input[self.at..self.at + length]).into_owned();
                self.at += length + 1;
                return Ok(Got::Line(line));
            }
            if self.at > 0 {
                self.input.drain(..self.at);
                self.at = 0;
            }
            let mut piece = [0; 64 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.input.extend_from_slice(&piece[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if start.elapsed() >= most {
                        return Ok(Got::Nothing);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next line.
    pub fn line(&mut self) -> io::Result<String> {
        match self.line_within(PATIENCE)? {
            Got::Line(line) => Ok(line),
            Got::Nothing => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no line within {PATIENCE:?}"))),
        }
    }

    /// Sends a command and takes its one line of answer.
    pub fn ask(&mut self, command: &str) -> io::Result<String> {
        self.send(format!("{command}\n").as_bytes())?;
        self.line()
    }

    /// Sends a FETCH or a READ; returns its lines but the last, and the last.
    pub fn fetch(&mut self, command: &str) -> io::Result<(Vec<Item>, String)> {
        self.send(format!("{command}\n").as_bytes())?;
        let mut items = Vec::new();
        loop {
            let line = self.line()?;
            match Item::parse(&line) {
                Some(item) => items.push(item),
                None => return Ok((items, line)),
            }
        }
    }
}

/// A line that hands something over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `MSG`.
    Message(Message),
    /// `GAP`: these seqs are gone.
    Gap {
        /// Of this room.
        room: String,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

/// A message, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of this room.
    pub room: String,
    /// Its place.
    pub seq: u64,
    /// When, as text that sorts.
    pub time: String,
    /// From whom.
    pub client: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Item {
    /// Reads a `MSG` or `GAP` line; none where it is another.
    pub fn parse(line: &str) -> Option<Item> {
        let (verb, rest) = line.split_once(' ')?;
        let mut words = rest.splitn(5, ' ');
        let room = words.next()?.to_owned();
        let number: u64 = words.next()?.parse().ok()?;
        match verb {
            "MSG" => {
                let (time, client) = (words.next()?.to_owned(), words.next()?.to_owned());
                let body = unescape(words.next().unwrap_or_default());
                Some(Item::Message(Message { room, seq: number, time, client, body }))
            }
            "GAP" => Some(Item::Gap { room, from: number, to: words.next()?.parse().ok()? }),
            _ => None,
        }
    }
}

/// The bytes that a shown text stands for, as protocol.md tells.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&kind, after)) = rest.split_first() else { break };
        rest = after;
        match kind {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'x' => {
                let digits = std::str::from_utf8(&rest[..rest.len().min(2)]).unwrap_or_default();
                out.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
                rest = &rest[rest.len().min(2)..];
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = "MSG 단톡 7 2026-11-21T00:30:00.000Z a/b x\\n\\x80\\\\y z";
        let Some(Item::Message(message)) = Item::parse(line) else { panic!() };
        assert_eq!((message.seq, message.client.as_str()), (7, "a/b"));
        assert_eq!(message.body, b"x\n\x80\\y z");
        let gap = Item::Gap { room: "r".to_owned(), from: 1, to: 4 };
        assert_eq!(Item::parse("GAP r 1 4 expired"), Some(gap));
        assert_eq!(Item::parse("END r 1 1 1"), None);
    }
}
