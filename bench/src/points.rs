//! The measurements, section by section.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::field::{self, Field};
use crate::floor;
use crate::report::{Goal, Section};
use crate::server::{Contestant, Program, Server};
use crate::wire::{self, Seen, Wire};

/// The settings of a run.
#[derive(Debug)]
pub struct Run {
    /// All contestants.
    pub contestants: Vec<Contestant>,
    /// How often each point is measured; the contestants take turns.
    pub rounds: usize,
    /// Whether this is the short form.
    pub short: bool,
    /// Only points whose names begin with this.
    pub point: String,
    /// The directory for the contestants' files.
    pub dir: PathBuf,
}

/// Longer than any wait here takes.
const DEADLINE: Duration = Duration::from_secs(600);

/// A chat line of `bytes` bytes, the same for all contestants.
pub fn body(bytes: usize) -> Vec<u8> {
    let line = "did anyone manage to mount the second drive after the upgrade, mine still asks for a password every time and \
                the wiki says nothing about it except that one should edit fstab by hand, which I did, twice, to no avail; ";
    line.bytes().cycle().take(bytes).collect()
}

/// CPU time used by the load so far, in seconds.
fn own_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn rooms(count: usize) -> Vec<String> {
    (0..count).map(wire::room).collect()
}

impl Run {
    /// The contestants of a section.
    pub fn who(&self, wanted: impl Fn(&Contestant) -> bool) -> Vec<Contestant> {
        self.contestants.iter().filter(|contestant| wanted(contestant)).cloned().collect()
    }

    /// Starts a contestant with an empty directory.
    pub fn fresh(&self, contestant: &Contestant, flags: &[String]) -> io::Result<Server> {
        let dir = self.dir.join("run");
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        contestant.start(&dir, flags)
    }

    fn wants(&self, point: &str) -> bool {
        point.starts_with(&self.point)
    }

    /// The same run with another number of rounds.
    pub fn of_rounds(&self, rounds: usize) -> Run {
        Run { rounds, contestants: Vec::new(), short: self.short, point: self.point.clone(), dir: self.dir.clone() }
    }

    fn time(&self) -> Duration {
        Duration::from_millis(if self.short { 1000 } else { 2000 })
    }

    /// Measures a point for each round and contestant.
    pub fn each(
        &self,
        section: &mut Section,
        point: &str,
        who: &[Contestant],
        mut measure: impl FnMut(&mut Section, &Contestant) -> io::Result<()>,
    ) {
        for round in 0..if self.wants(point) { self.rounds } else { 0 } {
            // Each round begins with another contestant, so that none always follows the same one's files and dirty
            // pages.
            let turns = who.iter().cycle().skip(round % who.len().max(1)).take(who.len());
            for contestant in turns {
                eprintln!("{point}, round {} of {}: {}", round + 1, self.rounds, contestant.name);
                if let Err(error) = measure(section, contestant) {
                    section.notes.push(format!("{point}: {} in round {}: {error}", contestant.name, round + 1));
                    eprintln!("  {error}");
                }
            }
        }
    }
}

/// Makes NATS create its stream; the others need no preparation.
fn prepare(field: &mut Field) -> io::Result<()> {
    if field.wire == Wire::JetStream {
        field.connect(1, &[])?;
        let stream = "{\"name\":\"chat\",\"subjects\":[\"room.*\"],\"storage\":\"file\",\"retention\":\"limits\"}";
        field.ask(0, |client, out| {
            let create = format!("PUB $JS.API.STREAM.CREATE.chat _INBOX.{client} {}\r\n{stream}\r\n", stream.len());
            out.extend_from_slice(create.as_bytes());
            1
        })?;
        field.settle()?;
    }
    Ok(())
}

struct Point {
    name: &'static str,
    clients: usize,
    window: usize,
    rooms: usize,
    body: usize,
    in_short: bool,
}

const fn point(
    name: &'static str,
    (clients, window, rooms, body): (usize, usize, usize, usize),
    in_short: bool,
) -> Point {
    Point { name, clients, window, rooms, body, in_short }
}

const SENDS: &[Point] = &[
    point("1 client", (1, 1, 1, 200), true),
    point("50 clients", (50, 1, 1, 200), true),
    point("200 clients", (200, 1, 1, 200), true),
    point("50 x 16 pipelined", (50, 16, 1, 200), true),
    point("50 x 16, 50 rooms", (50, 16, 50, 200), false),
    point("50 x 16, 1,000 rooms", (50, 16, 1000, 200), false),
    point("50 clients, 4 KiB", (50, 1, 1, 4096), false),
    point("50 clients, 64 KiB", (50, 1, 1, 65_536), true),
];

/// Durable SENDs.
pub fn send(run: &Run) -> Section {
    let mut section = Section::new("send", "Durable SEND", "messages/s");
    let who = run.who(|contestant| contestant.wire != Wire::NatsCore);
    for point in SENDS.iter().filter(|point| (point.in_short || !run.short) && run.wants(point.name)) {
        run.each(&mut section, point.name, &who, |section, contestant| {
            let server = run.fresh(contestant, &[])?;
            let mut field = Field::new(contestant.wire, server.address)?;
            prepare(&mut field)?;
            let rooms = rooms(point.rooms);
            // The floor has no rooms.
            let joined: &[String] = if contestant.program == Program::Floor { &[] } else { &rooms };
            field.connect(point.clients - field.peers.len(), joined)?;
            let (before, own) = (server.cpu_seconds()?, own_cpu_seconds());
            let sends = field::sends(&mut field, point.window, &rooms, &body(point.body), run.time())?;
            let (cpu, own) = (server.cpu_seconds()? - before, own_cpu_seconds() - own);
            let all = sends.count as f64 * 10.0 / 9.0;
            section.take(point.name, &contestant.name, sends.count as f64 / sends.seconds);
            section.latency(point.name, &contestant.name, &sends.latency);
            section.extra(point.name, &contestant.name, "server CPU, µs/message", cpu * 1e6 / all);
            section.extra(point.name, &contestant.name, "load CPU, µs/message", own * 1e6 / all);
            Ok(())
        });
        let disk = "the disk alone".to_owned();
        for _ in 0..run.rounds {
            let path = run.dir.join("disk");
            let (batch, time) = (point.clients * point.window, run.time() / 4);
            match floor::disk(&path, &body(point.body), batch, time) {
                Ok(rate) => section.take(point.name, &disk, rate),
                Err(error) => section.notes.push(error.to_string()),
            }
        }
    }
    section.goals = vec![
        Goal::at_least("1 client", "redis", 1.3),
        Goal::latency_at_most("1 client", "floor", 1.5),
        Goal::at_least("50 clients", "redis", 2.0),
        Goal::at_least("200 clients", "redis", 2.0),
        Goal::at_least("50 x 16 pipelined", "redis", 2.0),
        Goal::at_least("50 clients, 64 KiB", "floor", 0.7),
    ];
    section
}

/// Fills a room.
fn fill(contestant: &Contestant, server: &Server, messages: u64, body: &[u8]) -> io::Result<()> {
    let mut field = Field::new(contestant.wire, server.address)?;
    prepare(&mut field)?;
    let rooms = rooms(1);
    field.connect(4 - field.peers.len(), &rooms)?;
    let wire = field.wire;
    let mut left = messages;
    let mut send = |peer: &mut field::Peer, count: u64| {
        let count = count.min(left);
        left -= count;
        for _ in 0..count {
            wire.send(&peer.client, &rooms[0], body, &mut peer.out);
        }
        peer.asked.extend(std::iter::repeat_n(Instant::now(), count as usize));
    };
    for number in 0..4 {
        field.ask(number, |_, _| 0)?;
        send(&mut field.peers[number], 512);
        field.ask(number, |_, _| 0)?;
    }
    while field.peers.iter().any(|peer| !peer.asked.is_empty()) {
        field.turn(&mut |_, peer, seen| {
            let answered = (seen.answers as usize).min(peer.asked.len());
            peer.asked.drain(..answered);
            send(peer, answered as u64);
        })?;
    }
    Ok(())
}

/// Waits until a daemon has moved everything out of its journal.
fn settled(server: &Server) -> io::Result<()> {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = BufReader::new(std::net::TcpStream::connect(server.address)?);
    stream.get_mut().write_all(b"HELLO settled\n")?;
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        stream.get_mut().write_all(b"STATS\n")?;
        let mut line = String::new();
        while !line.contains("journal-memory") {
            line.clear();
            stream.read_line(&mut line)?;
        }
        if line.split_whitespace().any(|word| word == "journal-memory=0") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the journal does not empty"))
}

/// Entries requested from Redis at once; larger requests were not faster.
const XRANGE_COUNT: usize = 1000;

/// Reading what is stored.
pub fn catch_up(run: &Run) -> Section {
    let mut section = Section::new("catch-up", "Catch-up", "messages/s");
    let who = run.who(|contestant| contestant.program != Program::Floor && contestant.wire != Wire::NatsCore);
    let (one, many) = if run.short { (200_000, 20_000) } else { (1_000_000, 100_000) };
    let first = if run.short { "1 reader, 200 k messages" } else { "1 reader, 1 M messages" };
    let second = if run.short { "50 readers, 20 k messages each" } else { "50 readers, 100 k messages each" };
    for (point, messages, readers) in [(first, one, 1), (second, many, 50)] {
        run.each(&mut section, point, &who, |section, contestant| {
            let server = run.fresh(contestant, &[])?;
            fill(contestant, &server, messages, &body(200))?;
            if matches!(contestant.program, Program::Dantok(_)) {
                settled(&server)?;
            }
            let mut field = Field::new(contestant.wire, server.address)?;
            field.connect(readers, &rooms(1))?;
            let before = server.cpu_seconds()?;
            let start = Instant::now();
            let (room, wire) = (wire::room(0), field.wire);
            for number in 0..readers {
                field.ask(number, |_, out| {
                    let after = if wire == Wire::JetStream { number.to_string() } else { String::new() };
                    wire.fetch(&room, &after, XRANGE_COUNT, out);
                    0
                })?;
            }
            let all = messages * readers as u64;
            let mut read = 0;
            while read < all && start.elapsed() < DEADLINE {
                field.turn(&mut |_, peer, seen| {
                    read += seen.deliveries;
                    if wire == Wire::Redis && seen.answers > 0 {
                        wire.fetch(&room, &peer.scanner.last_entry, XRANGE_COUNT, &mut peer.out);
                    }
                })?;
            }
            let seconds = start.elapsed().as_secs_f64();
            if read < all {
                return Err(io::Error::other(format!("{read} of {all} messages came")));
            }
            section.take(point, &contestant.name, all as f64 / seconds);
            let cpu = server.cpu_seconds()? - before;
            section.extra(point, &contestant.name, "server CPU, µs/message", cpu * 1e6 / all as f64);
            Ok(())
        });
    }
    section.goals = vec![
        Goal::at_least_of("dantok, frames", first, "redis", 2.0),
        Goal::at_least_of("dantok, lines", first, "redis", 1.0),
    ];
    section
}

/// One room with many followers.
pub fn fan_out(run: &Run) -> Section {
    let mut section = Section::new("fan-out", "Fan-out", "deliveries/s");
    let who = run.who(|contestant| contestant.program != Program::Floor && contestant.wire != Wire::JetStream);
    for (point, senders, followers) in [("1 sender, 1,000 followers", 1, 1000), ("50 senders, 50 followers", 50, 50)] {
        run.each(&mut section, point, &who, |section, contestant| {
            let server = run.fresh(contestant, &[])?;
            let mut field = Field::new(contestant.wire, server.address)?;
            let (room, wire, body) = (wire::room(0), field.wire, body(200));
            field.connect(senders + followers, std::slice::from_ref(&room))?;
            for follower in senders..senders + followers {
                field.ask(follower, |_, out| wire.follow(&room, out))?;
            }
            field.settle()?;
            if wire == Wire::Redis {
                // Readers that wait at "$" must be waiting before anything is sent.
                std::thread::sleep(Duration::from_millis(300));
            }
            // The same for all contestants: this many messages have not reached all followers yet.
            const WINDOW: u64 = 64;
            let (start, before) = (Instant::now(), server.cpu_seconds()?);
            let (warm, end) = (start + run.time() / 10, start + run.time());
            let (mut sent, mut delivered, mut counted, mut turn) = (0, 0, 0, 0);
            while Instant::now() < end || delivered < sent * followers as u64 {
                while Instant::now() < end && sent < delivered / followers as u64 + WINDOW {
                    sent += 1;
                    turn += 1;
                    field.ask(turn % senders, |client, out| {
                        wire.send(client, &room, &body, out);
                        0
                    })?;
                }
                field.turn(&mut |_, peer, seen: Seen| {
                    delivered += seen.deliveries;
                    let now = Instant::now();
                    if now >= warm && now < end {
                        counted += seen.deliveries;
                    }
                    if wire == Wire::Redis && seen.deliveries > 0 {
                        wire.read_on(&room, &peer.scanner.last_entry, &mut peer.out);
                    }
                })?;
                if start.elapsed() > DEADLINE / 10 {
                    return Err(io::Error::other(format!(
                        "{delivered} of {} deliveries came",
                        sent * followers as u64
                    )));
                }
            }
            let cpu = server.cpu_seconds()? - before;
            section.take(point, &contestant.name, counted as f64 / (end - warm).as_secs_f64());
            section.extra(point, &contestant.name, "server CPU, µs/delivery", cpu * 1e6 / delivered as f64);
            Ok(())
        });
    }
    section.goals = vec![Goal::at_least("1 sender, 1,000 followers", "nats core", 1.0)];
    section
}

/// Connections that only follow.
pub fn idle(run: &Run) -> Section {
    let mut section = Section::new("idle", "Idle connections", "RSS, bytes per connection");
    let (point, count) = ("10,000 followers", 10_000);
    let who = run.who(|contestant| contestant.program != Program::Floor && contestant.wire != Wire::JetStream);
    let once = run.of_rounds(if run.short { 1 } else { run.rounds.min(3) });
    once.each(&mut section, point, &who, |section, contestant| {
        let server = run.fresh(contestant, &[])?;
        let mut field = Field::new(contestant.wire, server.address)?;
        let (room, wire) = (wire::room(0), field.wire);
        field.connect(16, std::slice::from_ref(&room))?;
        let before = server.memory_bytes()?;
        field.connect(count, std::slice::from_ref(&room))?;
        for follower in 16..16 + count {
            field.ask(follower, |_, out| wire.follow(&room, out))?;
        }
        field.settle()?;
        std::thread::sleep(Duration::from_secs(2));
        section.take(point, &contestant.name, (server.memory_bytes()? - before) as f64 / count as f64);
        Ok(())
    });
    section.goals = vec![Goal::value_at_most(point, 6.0 * 1024.0)];
    section
}

/// From a kill to the first answer.
pub fn start(run: &Run) -> Section {
    let mut section = Section::new("start", "Start with stored messages", "seconds to the first answer");
    let (point, messages) = if run.short { ("500 k messages", 500_000) } else { ("10 M messages", 10_000_000) };
    let who = run.who(|contestant| contestant.wire == Wire::Frames || contestant.wire == Wire::Redis);
    for contestant in who {
        eprintln!("start, {point}: {}", contestant.name);
        let measured = (|| {
            let mut server = run.fresh(&contestant, &[])?;
            fill(&contestant, &server, messages, &body(200))?;
            for _ in 0..if run.short { 2 } else { 3 } {
                server.kill()?;
                let start = Instant::now();
                server = contestant.start(&run.dir.join("run"), &[])?;
                section.take(point, &contestant.name, start.elapsed().as_secs_f64());
                section.extra(
                    point,
                    &contestant.name,
                    "RSS after the start, MiB",
                    server.memory_bytes()? as f64 / 1048576.0,
                );
                // The next start must not find only what this one has just put in order.
                fill(&contestant, &server, 20_000, &body(200))?;
            }
            io::Result::Ok(())
        })();
        if let Err(error) = measured {
            section.notes.push(format!("{}: {error}", contestant.name));
        }
    }
    section.goals = vec![Goal::value_at_most_of("dantok, frames", point, 1.0)];
    section
}

fn short_retention(time: Duration) -> Vec<String> {
    vec!["--allow-short-retention".to_owned(), "--retention".to_owned(), format!("{}s", time.as_secs())]
}

/// What expiry costs senders.
pub fn expiry(run: &Run) -> Section {
    let mut section = Section::new("expiry", "Expiry", "SENDs/s with 50 clients");
    let messages = if run.short { 200_000 } else { 1_000_000 };
    let retention = Duration::from_secs(if run.short { 6 } else { 10 });
    let who = run.who(|contestant| contestant.wire == Wire::Frames);
    let expiring = if run.short { "while 200 k messages expire" } else { "while 1 M messages expire" };
    for (point, flags) in [("without expiry", Vec::new()), (expiring, short_retention(retention))] {
        run.each(&mut section, point, &who, |section, contestant| {
            let server = run.fresh(contestant, &flags)?;
            let filled = Instant::now();
            fill(contestant, &server, messages, &body(200))?;
            settled(&server)?;
            std::thread::sleep(retention.saturating_sub(filled.elapsed()));
            let mut field = Field::new(contestant.wire, server.address)?;
            field.connect(50, &rooms(1))?;
            let sends = field::sends(&mut field, 1, &rooms(1), &body(200), retention / 2)?;
            section.take(point, &contestant.name, sends.count as f64 / sends.seconds);
            section.latency(point, &contestant.name, &sends.latency);
            Ok(())
        });
    }
    section.goals = vec![Goal::latency_between(expiring, "without expiry", 1.5)];
    section
}

/// Disk space per message.
pub fn disk(run: &Run) -> Section {
    let mut section = Section::new("disk", "Disk", "bytes on disk per live byte");
    let messages = if run.short { 200_000 } else { 1_000_000 };
    let who = run.who(|contestant| {
        contestant.wire == Wire::Frames || contestant.wire == Wire::Redis || contestant.wire == Wire::JetStream
    });
    // The bytes of the messages' bodies.
    let live = |messages: u64| messages as f64 * 200.0;
    let once = run.of_rounds(1);
    once.each(&mut section, "fresh", &who, |section, contestant| {
        let server = run.fresh(contestant, &[])?;
        fill(contestant, &server, messages, &body(200))?;
        if contestant.wire == Wire::Frames {
            settled(&server)?;
        }
        std::thread::sleep(Duration::from_secs(1));
        section.take("fresh", &contestant.name, server.disk_bytes()? as f64 / live(messages));
        Ok(())
    });
    // Steady traffic through ten retention periods.
    let window = Duration::from_secs(if run.short { 2 } else { 6 });
    let who = run.who(|contestant| contestant.wire == Wire::Frames);
    once.each(&mut section, "after ten retention periods", &who, |section, contestant| {
        let server = run.fresh(contestant, &short_retention(window))?;
        let each = messages / 10;
        let mut taken = Vec::new();
        let start = Instant::now();
        for step in 1..=110u64 {
            fill(contestant, &server, each, &body(200))?;
            let due = window * step as u32 / 10;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            if step > 100 {
                taken.push(server.disk_bytes()? as f64 / live(messages));
            }
        }
        for taken in taken {
            section.take("after ten retention periods", &contestant.name, taken);
        }
        Ok(())
    });
    section.goals = vec![Goal::value_at_most_of("dantok, frames", "after ten retention periods", 2.0)];
    section
}
