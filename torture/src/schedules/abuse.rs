//! Peers that demand too much, or do nothing: memory stays bounded, and everyone else is served.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Need, Run, Schedule};
use crate::daemon::{DEADLINE, Daemon, Recipe};
use crate::load::ok;
use crate::text;
use crate::wire::Wire;

pub(super) const IDLE: Schedule = Schedule {
    name: "idle",
    about: "10,000 idle connections that follow a room",
    needs: &[Need::Descriptors],
    cycles: 10_000,
    run: |run| abuse(run, &[], idle),
};

pub(super) const SILENT: Schedule = Schedule {
    name: "silent",
    about: "2,000 connections that never say HELLO",
    needs: &[Need::Descriptors],
    cycles: 2_000,
    run: |run| abuse(run, &["--hello-timeout=5s"], silent),
};

pub(super) const LENGTHS: Schedule = Schedule {
    name: "lengths",
    about: "Connections that announce 16 MiB, lines that never end, and bodies that arrive only in part",
    needs: &[Need::Descriptors],
    cycles: 1_500,
    run: |run| abuse(run, &[], lengths),
};

pub(super) const SLOW: Schedule = Schedule {
    name: "slow",
    about: "A reader that reads a room with a million messages at 1 KB/s",
    needs: &[],
    cycles: 1_000_000,
    run: |run| abuse(run, &[], slow),
};

pub(super) const ROOMS: Schedule = Schedule {
    name: "rooms",
    about: "100,000 rooms, the refusal of one more, and a restart",
    needs: &[],
    cycles: 100_000,
    run: |run| {
        let most = format!("--max-rooms={}", run.cycles);
        abuse(run, &[&most, "--max-rooms-per-client=0"], rooms);
    },
};

const MIB: u64 = 1024 * 1024;
/// The most memory the daemon may use here: its caches, the commits under way, and 10,000 connections.
const MEMORY_MAX: u64 = 400 * MIB;

/// Another client that is served meanwhile, and the latency of each of its SENDs.
struct Served {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Duration>>>,
}

impl Served {
    fn start(address: SocketAddr) -> Served {
        let stop = Arc::new(AtomicBool::new(false));
        let of_thread = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut wire = Wire::hello(address, "served")?;
            wire.ask("JOIN served")?;
            let mut taken = Vec::new();
            while !of_thread.load(Ordering::Relaxed) {
                let start = Instant::now();
                let answer = wire.ask("SEND served is anybody there?")?;
                if ok(&answer).is_none() {
                    return Err(io::Error::other(answer));
                }
                taken.push(start.elapsed());
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(taken)
        });
        Served { stop, thread }
    }

    fn end(self) -> io::Result<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut taken = self.thread.join().map_err(|_| io::Error::other("its thread panicked"))??;
        taken.sort_unstable();
        let at = |part: f64| taken.get((taken.len() as f64 * part) as usize).copied().unwrap_or_default();
        let most = taken.last().copied().unwrap_or_default();
        Ok(format!(
            "{} SENDs of another client meanwhile: median {:.1?}, p99 {:.1?}, slowest {most:.1?}",
            taken.len(),
            at(0.5),
            at(0.99)
        ))
    }
}

fn abuse(run: &mut Run, flags: &[&str], what: fn(&mut Run, &Recipe, &Daemon, SocketAddr) -> io::Result<()>) {
    if let Err(error) = descriptors() {
        return run.history.violation(format!("can't raise the descriptor limit: {error}"));
    }
    let mut recipe = run.recipe();
    recipe.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
    let Some((daemon, address)) = run.must_start(&recipe, "nothing") else { return };
    let (before, _) = daemon.memory();
    let served = Served::start(address);
    let start = Instant::now();
    if let Err(error) = what(run, &recipe, &daemon, address) {
        run.history.violation(format!("after {:.1?}: {error}\n{}", start.elapsed(), daemon.log()));
    }
    match served.end() {
        Ok(figures) => run.figures.push(figures),
        Err(error) => run.history.violation(format!("another client was not served: {error}")),
    }
    let (_, most) = daemon.memory();
    run.figures.push(format!("daemon memory: {} before, {} at most", mib(before), mib(most)));
    if most > MEMORY_MAX {
        run.history.violation(format!("the daemon used {}; the bound is {}", mib(most), mib(MEMORY_MAX)));
    }
    run.must_end(daemon);
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB as f64)
}

/// As many descriptors as the system allows.
fn descriptors() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

fn idle(run: &mut Run, _: &Recipe, daemon: &Daemon, address: SocketAddr) -> io::Result<()> {
    let (before, _) = daemon.memory();
    let mut peers = Vec::new();
    for n in 0..run.cycles {
        let mut stream = TcpStream::connect(address)?;
        // Answers are read by the hundred, because there are many.
        io::Write::write_all(&mut stream, format!("HELLO peer{}\nJOIN idle\nFOLLOW idle\n", n % 100).as_bytes())?;
        peers.push(stream);
    }
    for peer in &mut peers {
        answers(peer, 3)?;
    }
    let (after, _) = daemon.memory();
    let each = after.saturating_sub(before) / run.cycles.max(1);
    run.figures.push(format!("{} idle connections: {} in all, {each} bytes each", peers.len(), mib(after)));
    // One message reaches all of them.
    let mut wire = Wire::hello(address, "speaker")?;
    wire.ask("JOIN idle")?;
    let start = Instant::now();
    wire.ask("SEND idle hello, everybody")?;
    for peer in &mut peers {
        answers(peer, 1)?;
    }
    run.figures.push(format!("one message reached all of them within {:.1?}", start.elapsed()));
    run.count("messages to all followers");
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}

/// Reads this many lines.
fn answers(stream: &mut TcpStream, lines: usize) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut found = 0;
    let mut piece = [0; 1024];
    while found < lines {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        found += piece[..read].iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(())
}

fn silent(run: &mut Run, _: &Recipe, daemon: &Daemon, address: SocketAddr) -> io::Result<()> {
    let start = Instant::now();
    let peers: io::Result<Vec<TcpStream>> = (0..run.cycles).map(|_| TcpStream::connect(address)).collect();
    let mut peers = peers?;
    // Half of them send one byte a second, but never HELLO.
    let mut closed = vec![false; peers.len()];
    while closed.iter().any(|closed| !closed) {
        if start.elapsed() > DEADLINE {
            return Err(io::Error::other("connections that never say HELLO are not closed"));
        }
        for (n, (peer, closed)) in peers.iter_mut().zip(&mut closed).enumerate() {
            peer.set_nonblocking(true)?;
            let mut piece = [0; 1024];
            *closed |= match peer.read(&mut piece) {
                Ok(0) => true,
                Ok(_) => false,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            };
            if n % 2 == 0 && !*closed {
                let _ = io::Write::write(peer, b"H");
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    run.figures.push(format!(
        "{} silent connections: all closed after {:.1?}, at 5 s each",
        peers.len(),
        start.elapsed()
    ));
    run.figures.push(format!("memory afterwards: {}", mib(daemon.memory().0)));
    run.count("rounds of silent connections");
    Ok(())
}

fn lengths(run: &mut Run, _: &Recipe, daemon: &Daemon, address: SocketAddr) -> io::Result<()> {
    let mut peers = Vec::new();
    for n in 0..run.cycles {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        let partial = match n % 3 {
            0 => vec![0, 0xff, 0xff, 0xff],
            // As much of a line as the daemon accepts.
            1 => vec![b'x'; 256 * 1024],
            _ => [&b"HELLO greedy\nJOIN r\nSENDB r 65536\n"[..], &[b'x'; 60_000]].concat(),
        };
        // What the daemon does not read stays in our socket.
        let _ = io::Write::write(&mut stream, &partial);
        peers.push(stream);
    }
    std::thread::sleep(Duration::from_secs(5));
    run.figures.push(format!("{} of them: {}", peers.len(), mib(daemon.memory().0)));
    let mut closed = 0;
    for peer in peers.iter_mut().step_by(3) {
        // The refusal, and then the end of the stream.
        let mut piece = [0; 4096];
        let told = peer.read(&mut piece).is_ok_and(|read| read > 0);
        let ended = matches!(peer.read(&mut piece), Ok(0)) || peer.take_error().ok().flatten().is_some();
        closed += u64::from(told && ended);
    }
    let announced = run.cycles.div_ceil(3);
    if closed < announced {
        return Err(io::Error::other(format!(
            "{announced} connections announced 16 MiB, but only {closed} were refused and closed"
        )));
    }
    run.count("rounds of large lengths");
    Ok(())
}

/// SENDs that a sender pipelines.
const SLOW_BATCH: u64 = 1000;
/// Threads that fill the room.
const SLOW_SENDERS: u64 = 4;

fn slow(run: &mut Run, _: &Recipe, daemon: &Daemon, address: SocketAddr) -> io::Result<()> {
    let start = Instant::now();
    fill_room(run, address)?;
    run.figures.push(format!(
        "{} messages stored in {:.1?}; memory afterwards {}",
        run.cycles,
        start.elapsed(),
        mib(daemon.memory().0)
    ));
    let slow = read_slowly(run, daemon, address)?;
    run.count("slow readers");
    // A fast reader gets all of it while the slow one is still connected.
    let start = Instant::now();
    let messages = read_fast(address)?;
    run.figures.push(format!("a fast reader at the same time: {messages} messages in {:.1?}", start.elapsed()));
    if messages != run.cycles / SLOW_BATCH / SLOW_SENDERS * SLOW_SENDERS * SLOW_BATCH {
        return Err(io::Error::other(format!("{messages} messages were read")));
    }
    drop(slow);
    Ok(())
}

/// Sends the room's messages, over several connections at once.
fn fill_room(run: &mut Run, address: SocketAddr) -> io::Result<()> {
    let senders: Vec<JoinHandle<io::Result<()>>> = (0..SLOW_SENDERS)
        .map(|n| {
            let (batches, mut random) = (run.cycles / SLOW_BATCH / SLOW_SENDERS, run.random.fork());
            std::thread::spawn(move || {
                let mut wire = Wire::hello(address, &format!("sender{n}"))?;
                wire.ask("JOIN million")?;
                for _ in 0..batches {
                    let mut bytes = Vec::new();
                    for _ in 0..SLOW_BATCH {
                        bytes.extend_from_slice(b"SEND million ");
                        bytes.extend_from_slice(&text::content(crate::load::Bodies::Lines, &mut random));
                        bytes.push(b'\n');
                    }
                    wire.send(&bytes)?;
                    for _ in 0..SLOW_BATCH {
                        let answer = wire.line()?;
                        ok(&answer).ok_or_else(|| io::Error::other(answer))?;
                    }
                }
                Ok(())
            })
        })
        .collect();
    for sender in senders {
        sender.join().map_err(|_| io::Error::other("a sender panicked"))??;
    }
    Ok(())
}

/// Reads 1 KB/s of the room for a while, and reports the daemon's memory before and afterwards. Returns the connection.
fn read_slowly(run: &mut Run, daemon: &Daemon, address: SocketAddr) -> io::Result<Wire> {
    let slow = Wire::hello(address, "slow")?;
    socket2::SockRef::from(slow.stream()).set_recv_buffer_size(4096)?;
    let mut slow = slow;
    slow.send(b"JOIN million\nFETCH million after=0\n")?;
    let (before, _) = daemon.memory();
    let mut stream = slow.stream();
    let start = Instant::now();
    let mut piece = [0; 1024];
    let mut taken = 0;
    while start.elapsed() < Duration::from_secs(15) {
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::Error::other("the slow reader was disconnected")),
            Ok(read) => taken += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let (after, _) = daemon.memory();
    run.figures.push(format!(
        "a reader that took {taken} bytes in 15 s: memory {} before, {} afterwards",
        mib(before),
        mib(after)
    ));
    Ok(slow)
}

/// Reads the whole room; returns the number of messages.
fn read_fast(address: SocketAddr) -> io::Result<u64> {
    let mut fast = Wire::hello(address, "fast")?;
    fast.ask("JOIN million")?;
    fast.send(b"FETCH million after=0\n")?;
    let mut messages = 0;
    loop {
        let line = fast.line()?;
        if line.starts_with("END ") {
            return Ok(messages);
        }
        messages += u64::from(line.starts_with("MSG "));
    }
}

fn rooms(run: &mut Run, recipe: &Recipe, daemon: &Daemon, address: SocketAddr) -> io::Result<()> {
    const BATCH: u64 = 500;
    let start = Instant::now();
    let mut wire = Wire::hello(address, "maker")?;
    // One room exists already: the client that is served meanwhile has created it.
    let wanted = run.cycles - 1;
    for first in (0..wanted).step_by(BATCH as usize) {
        let last = (first + BATCH).min(wanted);
        let commands: String = (first..last).map(|n| format!("CREATE room-{n} topic of room {n}\n")).collect();
        wire.send(commands.as_bytes())?;
        for _ in first..last {
            let answer = wire.line()?;
            if !answer.starts_with("OK") {
                return Err(io::Error::other(answer));
            }
        }
    }
    run.figures.push(format!(
        "{} rooms created in {:.1?}; memory afterwards {}",
        run.cycles,
        start.elapsed(),
        mib(daemon.memory().0)
    ));
    let answer = wire.ask("CREATE one-more")?;
    if !answer.starts_with("ERR limit ") {
        return Err(io::Error::other(format!("creating one more room was answered: {answer}")));
    }
    let start = Instant::now();
    let listed = super::rooms(&mut wire)?.len() as u64;
    run.figures.push(format!("ROOMS lists {listed} in {:.1?}", start.elapsed()));
    let mut again = recipe.clone();
    again.data_dir = recipe.data_dir.with_extension("copy");
    let status = std::process::Command::new("cp").arg("-r").arg(&recipe.data_dir).arg(&again.data_dir).status()?;
    if !status.success() || listed != run.cycles {
        return Err(io::Error::other(format!("{listed} rooms are listed; the copy: {status}")));
    }
    // As after a kill, from what is on the disk now.
    let start = Instant::now();
    if let Some((copy, of_copy)) = run.must_start(&again, "a kill") {
        let took = start.elapsed();
        let listed = super::rooms(&mut Wire::hello(of_copy, "reader")?)?.len() as u64;
        run.figures.push(format!("a start with {listed} rooms: {took:.1?}, memory {}", mib(copy.memory().0)));
        if listed < run.cycles {
            return Err(io::Error::other("rooms are missing after a start"));
        }
        run.must_end(copy);
    }
    run.count("starts with many rooms");
    Ok(())
}
