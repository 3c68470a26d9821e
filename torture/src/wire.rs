//! The harness's own small blocking client for the line protocol: none of the daemon's code judges the daemon.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Longer than any answer takes while the daemon runs; a client left waiting longer has been forgotten.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(50);

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    input: Vec<u8>,
    /// The offset of the next line in `input`.
    at: usize,
}

/// A socket, with or without TLS.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(piece),
            Stream::Tls(stream) => stream.read(piece),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// The outcome of waiting for a line.
#[derive(Debug)]
pub enum Got {
    /// A line, without its line ending.
    Line(String),
    /// No line within the given time.
    Nothing,
}

impl Wire {
    /// Connects without sending anything.
    pub fn connect(address: SocketAddr) -> io::Result<Wire> {
        Ok(Wire { stream: Stream::Plain(socket(address)?), input: Vec::new(), at: 0 })
    }

    /// The same with TLS.
    pub fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Wire> {
        let name = ServerName::IpAddress(address.ip().into());
        let mut tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let mut socket = socket(address)?;
        // Until the handshake is complete, its writes also read.
        socket.set_read_timeout(Some(PATIENCE))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        socket.set_read_timeout(Some(TICK))?;
        let stream = Stream::Tls(Box::new(StreamOwned::new(tls, socket)));
        Ok(Wire { stream, input: Vec::new(), at: 0 })
    }

    /// Connects and sends HELLO.
    pub fn hello(address: SocketAddr, client: &str) -> io::Result<Wire> {
        let mut wire = Wire::connect(address)?;
        let answer = wire.ask(&format!("HELLO {client}"))?;
        if answer.starts_with("OK ") { Ok(wire) } else { Err(io::Error::other(format!("HELLO {client}: {answer}"))) }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for a line for a limited time.
    pub fn line_within(&mut self, most: Duration) -> io::Result<Got> {
        let line = self.piece_within(most, whole_line)?;
        let line = line.map(|line| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned());
        Ok(line.map_or(Got::Nothing, Got::Line))
    }

    /// Waits for a frame for a limited time; returns it without its length.
    pub fn frame_within(&mut self, most: Duration) -> io::Result<Option<Vec<u8>>> {
        let whole = |input: &[u8]| {
            let length = u32::from_be_bytes(*input.first_chunk()?) as usize + 4;
            (input.len() >= length).then_some(length)
        };
        Ok(self.piece_within(most, whole)?.map(|frame| frame[4..].to_vec()))
    }

    /// Waits until the input begins with a complete item, whose length `whole` returns, and takes it.
    pub fn piece_within(
        &mut self,
        most: Duration,
        whole: impl Fn(&[u8]) -> Option<usize>,
    ) -> io::Result<Option<Vec<u8>>> {
        let start = Instant::now();
        loop {
            if let Some(length) = whole(&self.input[self.at..]) {
                let piece = self.input[self.at..self.at + length].to_vec();
                self.at += length;
                return Ok(Some(piece));
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
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for such an item as long as for any answer.
    pub fn piece(&mut self, whole: impl Fn(&[u8]) -> Option<usize>) -> io::Result<Vec<u8>> {
        let piece = self.piece_within(PATIENCE, whole)?;
        piece.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}")))
    }

    /// The next line.
    pub fn line(&mut self) -> io::Result<String> {
        match self.line_within(PATIENCE)? {
            Got::Line(line) => Ok(line),
            Got::Nothing => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no line within {PATIENCE:?}"))),
        }
    }

    /// Sends a command and reads its one-line answer.
    pub fn ask(&mut self, command: &str) -> io::Result<String> {
        self.send(format!("{command}\n").as_bytes())?;
        self.line()
    }

    /// Sends a FETCH or READ; returns the lines of its answer except the last, and the last.
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

/// The length of the first line, including its line ending.
fn whole_line(mut input: &[u8]) -> Option<usize> {
    let whole = input;
    let length = input.skip_until(b'\n').ok()?;
    whole[..length].ends_with(b"\n").then_some(length)
}

fn socket(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A line that hands over a message or reports a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `MSG`.
    Message(Message),
    /// `GAP`: these seqs are gone.
    Gap {
        /// The room.
        room: String,
        /// The first seq.
        from: u64,
        /// The last seq.
        to: u64,
    },
}

/// A message, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The room.
    pub room: String,
    /// Its seq.
    pub seq: u64,
    /// Its time, as text that sorts chronologically.
    pub time: String,
    /// What it refers to, such as `reply=7`; otherwise empty.
    pub about: String,
    /// Its sender.
    pub client: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Item {
    /// Parses a `MSG` or `GAP` line; returns `None` for any other.
    pub fn parse(line: &str) -> Option<Item> {
        let (verb, rest) = line.split_once(' ')?;
        let mut words = rest.splitn(5, ' ');
        let room = words.next()?.to_owned();
        let number: u64 = words.next()?.parse().ok()?;
        match verb {
            "MSG" => {
                let (time, next) = (words.next()?.to_owned(), words.next()?);
                // No client name contains `=`.
                let (about, rest) = match next.contains('=') {
                    true => (next, words.next()?.split_once(' ')?),
                    false => ("", (next, words.next().unwrap_or_default())),
                };
                let (client, body) = (rest.0.to_owned(), unescape(rest.1));
                Some(Item::Message(Message { room, seq: number, time, about: about.to_owned(), client, body }))
            }
            "GAP" => Some(Item::Gap { room, from: number, to: words.next()?.parse().ok()? }),
            _ => None,
        }
    }
}

/// Decodes the escapes in a message text, as protocol.md describes them.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while rest.read_until(b'\\', &mut out).is_ok_and(|read| read > 0) {
        if !out.ends_with(b"\\") {
            break;
        }
        out.pop();
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
        let line = "MSG r 8 2026-11-21T00:30:00.000Z reply=7 a x y";
        let Some(Item::Message(message)) = Item::parse(line) else { panic!() };
        assert_eq!((message.about.as_str(), message.client.as_str(), &message.body[..]), ("reply=7", "a", &b"x y"[..]));
        let gap = Item::Gap { room: "r".to_owned(), from: 1, to: 4 };
        assert_eq!(Item::parse("GAP r 1 4 expired"), Some(gap));
        assert_eq!(Item::parse("END r 1 1 1"), None);
    }
}
