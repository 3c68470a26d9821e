//! What a flood costs a quiet client.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::points::{Run, body};
use crate::report::{Goal, Section};
use crate::server::{Contestant, Program};
use crate::wire::{self, Scanner, Wire};

/// How often the quiet client sends, and the size of its messages.
const EVERY: Duration = Duration::from_millis(5);
const QUIET_BYTES: usize = 200;
/// Requests that a flooding connection writes at once, repeatedly.
const PIPELINED: usize = 1024;

const LIMITS: [&str; 4] = ["--max-requests-per-second", "1000", "--max-bytes-per-second", "1MiB"];

const ALONE: &str = "alone";
/// The floods beside the quiet client: the number of the flooder's connections, and the size of its bodies.
const FLOODS: [(&str, &str, usize, usize); 4] = [
    ("1 flooding connection, 200 B", "1 limited, 200 B", 1, 200),
    ("8 flooding connections, 200 B", "8 limited, 200 B", 8, 200),
    ("1 flooding connection, 64 KiB", "1 limited, 64 KiB", 1, 65_536),
    ("8 flooding connections, 64 KiB", "8 limited, 64 KiB", 8, 65_536),
];

/// A connection that has sent HELLO and joined its room.
struct Peer {
    stream: TcpStream,
    scanner: Scanner,
}

impl Peer {
    fn connect(wire: Wire, address: SocketAddr, client: &str, room: &str) -> io::Result<Peer> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut peer = Peer { stream, scanner: Scanner::new(wire) };
        let mut out = Vec::new();
        let answers = wire.hello(client, &mut out) + wire.join(room, &mut out);
        peer.stream.write_all(&out)?;
        peer.answers(answers)?;
        Ok(peer)
    }

    /// Waits for this many answers.
    fn answers(&mut self, mut left: u64) -> io::Result<()> {
        let (mut piece, mut rest) = ([0; 4096], Vec::new());
        while left > 0 {
            let read = self.stream.read(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            rest.extend_from_slice(&piece[..read]);
            let (taken, seen) = self.scanner.scan(&rest)?;
            rest.drain(..taken);
            left = left.saturating_sub(seen.answers);
        }
        Ok(())
    }
}

/// A flooder, which runs until it is dropped. It has its own threads, so that the quiet client waits only for the
/// daemon.
struct Flood(Vec<(TcpStream, [JoinHandle<()>; 2])>);

impl Flood {
    fn start(wire: Wire, address: SocketAddr, connections: usize, body_bytes: usize) -> io::Result<Flood> {
        // All connect before any of them floods, because they are one client with one limit.
        let connect = |_| Peer::connect(wire, address, "flooder", &wire::room(1));
        let peers: Vec<Peer> = (0..connections).map(connect).collect::<io::Result<_>>()?;
        let mut requests = Vec::new();
        for _ in 0..PIPELINED {
            wire.send("flooder", &wire::room(1), &body(body_bytes), &mut requests);
        }
        let requests: Arc<[u8]> = requests.into();
        let mut flood = Flood(Vec::new());
        for Peer { stream, .. } in peers {
            let (mut write, mut read, requests) = (stream.try_clone()?, stream.try_clone()?, requests.clone());
            // Both threads end with the connection. Answers are discarded, including refusals.
            let writing = std::thread::spawn(move || while write.write_all(&requests).is_ok() {});
            let reading = std::thread::spawn(move || {
                let mut piece = vec![0; 64 * 1024];
                while read.read(&mut piece).is_ok_and(|read| read > 0) {}
            });
            flood.0.push((stream, [writing, reading]));
        }
        Ok(flood)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        for (stream, _) in &self.0 {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in self.0.drain(..).flat_map(|(_, threads)| threads) {
            let _ = thread.join();
        }
    }
}

/// The number of messages that the daemon has stored.
fn stored(address: SocketAddr) -> io::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"HELLO counter\nSTATS\nQUIT\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let count = text.split_whitespace().find_map(|word| word.strip_prefix("messages=")?.parse().ok());
    count.ok_or_else(|| io::Error::other(format!("no count of messages in {text}")))
}

fn measure(
    run: &Run,
    section: &mut Section,
    contestant: &Contestant,
    point: &str,
    flood: Option<(usize, usize)>,
    flags: &[&str],
) -> io::Result<()> {
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let server = run.fresh(contestant, &flags)?;
    let mut quiet = Peer::connect(contestant.wire, server.address, "quiet", &wire::room(0))?;
    let mut request = Vec::new();
    contestant.wire.send("quiet", &wire::room(0), &body(QUIET_BYTES), &mut request);
    let flooding = flood
        .map(|(connections, bytes)| Flood::start(contestant.wire, server.address, connections, bytes))
        .transpose()?;
    let mut latency = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(io::Error::other)?;
    let time = if run.short { Duration::from_secs(3) } else { Duration::from_secs(5) };
    let start = Instant::now();
    // By then the flooder has used up its burst allowance.
    let warm = start + time / 5;
    let (mut before, mut cpu, mut counted_from) = (None, 0.0, start);
    while start.elapsed() < time {
        let asked = Instant::now();
        if before.is_none() && asked >= warm {
            (before, cpu, counted_from) = (Some(stored(server.address)?), server.cpu_seconds()?, Instant::now());
            continue;
        }
        quiet.stream.write_all(&request)?;
        quiet.answers(1)?;
        if asked >= warm {
            latency.saturating_record(asked.elapsed().as_micros() as u64);
        }
        std::thread::sleep(EVERY.saturating_sub(asked.elapsed()));
    }
    let seconds = counted_from.elapsed().as_secs_f64();
    let cpu = (server.cpu_seconds()? - cpu) / seconds;
    let others = stored(server.address)? - before.unwrap_or_default() - latency.len() as f64;
    drop(flooding);
    section.take(point, &contestant.name, latency.value_at_quantile(0.99) as f64);
    section.latency(point, &contestant.name, &latency);
    section.extra(point, &contestant.name, "flood, messages/s", others.max(0.0) / seconds);
    section.extra(point, &contestant.name, "server CPU, cores", cpu);
    Ok(())
}

/// A client that sends now and then, alone and beside one that sends as much as it can.
pub fn fairness(run: &Run) -> Section {
    let mut section = Section::new("fairness", "Fairness", "p99 of the quiet client, µs");
    let who = run.who(|contestant| matches!(contestant.program, Program::Dantok(_)));
    // Each round measures every point, so that points that are compared lie within minutes of each other: the disk has
    // noisy neighbours.
    let once = run.of_rounds(1);
    let mut point = |point: &'static str, flood: Option<(usize, usize)>, flags: &[&str]| {
        once.each(&mut section, point, &who, |section, contestant| {
            measure(run, section, contestant, point, flood, flags)
        });
    };
    for _ in 0..run.rounds {
        point(ALONE, None, &[]);
        for (free, limited, connections, bytes) in FLOODS {
            point(limited, Some((connections, bytes)), &LIMITS);
            point(free, Some((connections, bytes)), &[]);
        }
    }
    section.goals = FLOODS.map(|(_, limited, ..)| Goal::latency_together(limited, ALONE, 1.5)).to_vec();
    section
}
