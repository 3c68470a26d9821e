//! Load on a daemon that restarts again and again on sockets that stay open, and what must be true of it at the end.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dantok_protocol::{Command, Item, Reply, commands};

use super::{DEADLINE, Frames, Lines, wait_until};

const SENDERS: usize = 8;
const ROOMS: usize = 4;
/// Messages that a sender has under way at once.
const PIPELINED: u64 = 4;
/// Clients that come, ask one thing and go.
const CALLERS: usize = 2;
/// What has to be acknowledged between two restarts: the daemon was there, and was busy.
const PROGRESS: u64 = 50;

fn room(sender: usize) -> String {
    format!("room-{}", sender % ROOMS)
}

/// What the clients of one run have seen.
struct Load {
    address: SocketAddr,
    is_over: AtomicBool,
    /// Connections that were tried, and why the first one that was not made was not.
    connects: AtomicU64,
    refused: Mutex<Option<String>>,
    /// What was acknowledged with which seq, by text.
    acknowledged: Mutex<HashMap<String, u64>>,
    /// Connections that ended before their answers.
    broken: AtomicU64,
}

impl Load {
    /// A connection at the first try.
    fn connect(&self) -> Option<TcpStream> {
        self.connects.fetch_add(1, Ordering::Relaxed);
        match TcpStream::connect_timeout(&self.address, DEADLINE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.set_nodelay(true).unwrap();
                Some(stream)
            }
            Err(error) => {
                self.refused.lock().unwrap().get_or_insert(error.to_string());
                None
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap().clone()
    }

    fn count(&self) -> u64 {
        self.acknowledged.lock().unwrap().len() as u64
    }

    /// Sends HELLO and JOIN; `None` if a restart came in between.
    fn join(&self, client: &str, room: &str) -> Option<Frames> {
        let mut frames = Frames::over(self.connect()?);
        let hello = Command::Hello(commands::Hello { version: 1, client: client.to_owned(), token: None, epoch: None });
        let (hello, join) = (frames.try_send(hello)?, frames.try_send(Command::join(room))?);
        frames.try_answer(hello)?;
        matches!(frames.try_answer(join)?, (_, Reply::Joined { .. })).then_some(frames)
    }

    /// Sends until it is over, and repeats with the same ids what was not answered.
    fn send(&self, sender: usize) {
        let (client, room) = (format!("sender-{sender}"), room(sender));
        let mut next = 0;
        while !self.is_over() || !u64::is_multiple_of(next, PIPELINED) {
            if let Some(frames) = self.join(&client, &room) {
                self.send_on(frames, &client, &room, &mut next);
                self.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The same, on one connection; ends where that breaks.
    fn send_on(&self, mut frames: Frames, client: &str, room: &str, next: &mut u64) -> Option<()> {
        while !self.is_over() || !next.is_multiple_of(PIPELINED) {
            // Whatever is unanswered of the last few is sent again, whoever has answered it.
            let of_few = *next - *next % PIPELINED + PIPELINED;
            let mut ids = Vec::new();
            for n in *next..of_few {
                let body = Bytes::from(format!("{client} {n}"));
                let send =
                    Command::Send(commands::Send { room: room.to_owned(), id: Some(n.to_string()), body, reply: None });
                ids.push(frames.try_send(send)?);
            }
            for id in ids {
                let (_, Reply::Sent { seq, .. }) = frames.try_answer(id)? else { return None };
                let known = self.acknowledged.lock().unwrap().insert(format!("{client} {next}"), seq);
                assert_eq!(known, None);
                *next += 1;
            }
        }
        Some(())
    }

    /// Comes and goes.
    fn call(&self) {
        while !self.is_over() {
            let Some(stream) = self.connect() else { continue };
            let mut frames = Frames::over(stream);
            let hello =
                Command::Hello(commands::Hello { version: 1, client: "caller".to_owned(), token: None, epoch: None });
            if frames.try_send(hello).and_then(|id| frames.try_answer(id)).is_none() {
                self.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Reads everything, and compares.
    fn audit(&self) {
        let acknowledged = self.acknowledged.lock().unwrap();
        let mut found = 0;
        for n in 0..ROOMS {
            let mut frames = self.join("auditor", &room(n)).expect("a daemon that stays");
            let mut newest: HashMap<String, u64> = HashMap::new();
            let mut seq = 0;
            loop {
                let fetch = Command::Fetch(commands::Fetch { room: room(n), after: Some(seq), max: Some(10_000) });
                let (items, _) = frames.ask(fetch);
                if items.is_empty() {
                    break;
                }
                for item in items {
                    let Item::Message(message) = item else { panic!("{item:?}") };
                    seq += 1;
                    assert_eq!(message.seq, seq, "a gap in {}", room(n));
                    let text = String::from_utf8(message.body.to_vec()).unwrap();
                    assert_eq!(
                        acknowledged.get(&text),
                        Some(&seq),
                        "{text} was acknowledged otherwise, or is there twice"
                    );
                    let (sender, number) = text.split_once(' ').unwrap();
                    let before = newest.insert(sender.to_owned(), number.parse().unwrap());
                    assert_eq!(before.map_or(0, |before| before + 1), newest[sender], "{sender}'s own order");
                    found += 1;
                }
            }
        }
        assert_eq!(found, acknowledged.len(), "messages that were acknowledged are lost");
    }
}

/// Sends and calls while `restart` is called so often, each time after some progress, with the number of the restart. At the end
/// no connection was refused, and what was acknowledged is there once, in order. Returns the figures.
pub fn under_restarts(address: SocketAddr, restarts: usize, mut restart: impl FnMut(usize)) -> String {
    let load = Arc::new(Load {
        address,
        is_over: AtomicBool::new(false),
        connects: AtomicU64::new(0),
        refused: Mutex::default(),
        acknowledged: Mutex::default(),
        broken: AtomicU64::new(0),
    });
    // What fails here ends the threads, too.
    let end = End(load.clone());
    let mut clients = Vec::new();
    for sender in 0..SENDERS {
        let load = load.clone();
        clients.push(std::thread::spawn(move || load.send(sender)));
    }
    for _ in 0..CALLERS {
        let load = load.clone();
        clients.push(std::thread::spawn(move || load.call()));
    }
    for n in 0..restarts {
        let before = load.count();
        wait_until("the senders get on", || load.count() >= before + PROGRESS);
        restart(n);
        assert_eq!(load.refused(), None, "in restart {n}");
    }
    let before = load.count();
    wait_until("the senders get on", || load.count() >= before + PROGRESS);
    drop(end);
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(load.refused(), None);
    load.audit();
    assert_eq!(Lines::connect(address).ask("PING"), ["OK pong"]);
    format!(
        "{} messages acknowledged, {} connections made, {} of them broken by a restart",
        load.count(),
        load.connects.load(Ordering::Relaxed),
        load.broken.load(Ordering::Relaxed)
    )
}

struct End(Arc<Load>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}
