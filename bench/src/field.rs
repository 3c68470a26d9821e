//! Connections to one contestant, driven by one thread.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::wire::{Scanner, Seen, Wire};

/// Longer than any answer takes.
const DEADLINE: Duration = Duration::from_secs(120);
const READ_BYTES: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    /// The client's name.
    pub client: String,
    /// Bytes still to be written.
    pub out: Vec<u8>,
    written: usize,
    rest: Vec<u8>,
    /// Counts the answers.
    pub scanner: Scanner,
    /// When each unanswered request was made.
    pub asked: VecDeque<Instant>,
}

impl Peer {
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    fn read(&mut self, piece: &mut [u8]) -> io::Result<Seen> {
        let mut seen = Seen::default();
        loop {
            match self.stream.read(piece) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a contestant closed a connection")),
                Ok(read) => {
                    let came = &piece[..read];
                    let found = if self.rest.is_empty() {
                        let (taken, found) = self.scanner.scan(came)?;
                        self.rest.extend_from_slice(&came[taken..]);
                        found
                    } else {
                        self.rest.extend_from_slice(came);
                        let (taken, found) = self.scanner.scan(&self.rest)?;
                        self.rest.drain(..taken);
                        found
                    };
                    seen.answers += found.answers;
                    seen.deliveries += found.deliveries;
                    if read < piece.len() {
                        return Ok(seen);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(seen),
                Err(error) => return Err(error),
            }
        }
    }
}

/// All connections.
pub struct Field {
    /// Their protocol.
    pub wire: Wire,
    address: SocketAddr,
    poll: Poll,
    events: Events,
    piece: Vec<u8>,
    /// The connections.
    pub peers: Vec<Peer>,
}

impl Field {
    /// A field without connections.
    ///
    /// # Errors
    /// I/O errors.
    pub fn new(wire: Wire, address: SocketAddr) -> io::Result<Field> {
        Ok(Field {
            wire,
            address,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            piece: vec![0; READ_BYTES],
            peers: Vec::new(),
        })
    }

    /// Connects more clients, which say hello and join the rooms; waits for the answers.
    ///
    /// # Errors
    /// Socket errors, or an error from the contestant.
    pub fn connect(&mut self, clients: usize, rooms: &[String]) -> io::Result<()> {
        let first = self.peers.len();
        for number in first..first + clients {
            // Blocking, because connecting all at once would overrun the backlog.
            let stream = std::net::TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            self.poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
            let client = format!("client-{number}");
            let scanner = Scanner::new(self.wire);
            let (out, rest) = (Vec::new(), Vec::new());
            self.peers.push(Peer { stream, client, out, written: 0, rest, scanner, asked: VecDeque::new() });
            let wire = self.wire;
            self.ask(number, |client, out| {
                wire.hello(client, out) + rooms.iter().map(|room| wire.join(room, out)).sum::<u64>()
            })?;
            if number % 100 == 99 {
                self.settle()?;
            }
        }
        self.settle()
    }

    /// Makes one client send what `say` writes; `say` returns the number of answers to expect.
    ///
    /// # Errors
    /// Socket errors.
    pub fn ask(&mut self, peer: usize, say: impl FnOnce(&str, &mut Vec<u8>) -> u64) -> io::Result<()> {
        let peer = &mut self.peers[peer];
        let answers = say(&peer.client, &mut peer.out);
        peer.asked.extend(std::iter::repeat_n(Instant::now(), answers as usize));
        peer.write()
    }

    /// Waits until everything is answered.
    ///
    /// # Errors
    /// As [`turn`](Field::turn).
    pub fn settle(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while self.peers.iter().any(|peer| !peer.asked.is_empty()) {
            self.turn(&mut |_, peer, seen| {
                peer.asked.drain(..(seen.answers as usize).min(peer.asked.len()));
            })?;
            if start.elapsed() > DEADLINE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "a contestant does not answer"));
            }
        }
        Ok(())
    }

    /// Waits for input and passes it to `took`; writes what `took` leaves in a peer's `out`.
    ///
    /// # Errors
    /// Socket errors, or an error from the contestant.
    pub fn turn(&mut self, took: &mut impl FnMut(usize, &mut Peer, Seen)) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(Duration::from_millis(100))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let number = event.token().0;
            let peer = &mut self.peers[number];
            if event.is_readable() {
                let seen = peer.read(&mut self.piece)?;
                if seen != Seen::default() {
                    took(number, peer, seen);
                }
            }
            if !peer.out.is_empty() {
                peer.write()?;
            }
        }
        Ok(())
    }
}

/// The result of a closed loop of SENDs.
#[derive(Clone, Debug)]
pub struct Sends {
    /// Messages answered, without the warm-up.
    pub count: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// Time from writing a request to reading its answer, in microseconds.
    pub latency: Histogram<u64>,
}

/// Every client keeps `window` messages in flight: it sends one when one is answered. The first tenth of the time is
/// not counted.
///
/// # Errors
/// As [`Field::turn`].
pub fn sends(field: &mut Field, window: usize, rooms: &[String], body: &[u8], time: Duration) -> io::Result<Sends> {
    let wire = field.wire;
    let start = Instant::now();
    let (warm, end) = (start + time / 10, start + time);
    let mut next_room = 0;
    let mut counted = Sends {
        count: 0,
        seconds: 0.0,
        latency: Histogram::new_with_bounds(1, 60_000_000, 3).map_err(io::Error::other)?,
    };
    let mut send = |peer: &mut Peer, count: usize, now: Instant| {
        for _ in 0..count {
            next_room = (next_room + 1) % rooms.len();
            wire.send(&peer.client, &rooms[next_room], body, &mut peer.out);
            peer.asked.push_back(now);
        }
    };
    for peer in &mut field.peers {
        send(peer, window, Instant::now());
        peer.write()?;
    }
    while Instant::now() < end {
        field.turn(&mut |_, peer, seen| {
            let now = Instant::now();
            for asked in peer.asked.drain(..(seen.answers as usize).min(peer.asked.len())) {
                if asked >= warm {
                    counted.latency.saturating_record((now - asked).as_micros() as u64);
                }
            }
            if now >= warm && now < end {
                counted.count += seen.answers;
            }
            if now < end {
                send(peer, seen.answers as usize, now);
            }
        })?;
    }
    counted.seconds = (end - warm).as_secs_f64();
    field.settle()?;
    Ok(counted)
}
