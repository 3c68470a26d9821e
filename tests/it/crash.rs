//! SIGKILL under load: every acknowledged message is stored exactly once, seqs have no gaps, and all readers see the
//! same order.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::common::{DEADLINE, Daemon, Frames, wait_until};
use bytes::Bytes;
use dantok_protocol::{Command, Item, Message, Reply, commands};

const SENDERS: usize = 16;
const MESSAGES: u64 = 1000;
const ROOMS: usize = 4;
const FOLLOWERS: usize = 8;
const KILLS: u64 = 5;
const PIPELINED: usize = 8;

fn room(n: usize) -> String {
    format!("room-{}", n % ROOMS)
}

/// Connects as a client until the daemon answers HELLO and JOIN.
fn join(address: std::net::SocketAddr, client: &str, room: &str) -> Frames {
    loop {
        let mut frames = Frames::connect(address);
        let hello = Command::Hello(commands::Hello { version: 1, client: client.to_owned(), token: None, epoch: None });
        let (hello, join) = (frames.try_send(hello), frames.try_send(Command::join(room)));
        if let (Some(hello), Some(join)) = (hello, join)
            && frames.try_answer(hello).is_some()
            && let Some((_, Reply::Joined { .. })) = frames.try_answer(join)
        {
            return frames;
        }
    }
}

/// Sends this sender's messages, several at once, repeating with the same ids what was not acknowledged.
fn send(
    address: std::net::SocketAddr,
    sender: usize,
    acknowledged: &Mutex<HashMap<String, u64>>,
    progress: &AtomicU64,
) {
    let client = format!("sender-{sender}");
    let room = room(sender);
    let mut next = 0;
    'connected: while next < MESSAGES {
        let mut frames = join(address, &client, &room);
        while next < MESSAGES {
            let batch: Vec<u64> = (next..MESSAGES).take(PIPELINED).collect();
            let mut ids = Vec::new();
            for n in &batch {
                let body = Bytes::from(format!("{client} {n}"));
                let Some(id) = frames.try_send(Command::Send(commands::Send {
                    room: room.clone(),
                    id: Some(n.to_string()),
                    body,
                    reply: None,
                })) else {
                    continue 'connected;
                };
                ids.push(id);
            }
            for (n, id) in batch.iter().zip(ids) {
                match frames.try_answer(id) {
                    Some((_, Reply::Sent { seq, .. })) => {
                        acknowledged.lock().unwrap().insert(format!("{client} {n}"), seq);
                        progress.fetch_add(1, Ordering::Relaxed);
                        next = n + 1;
                    }
                    _ => continue 'connected,
                }
            }
        }
    }
}

fn body(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

/// Follows a room over all restarts; acknowledges now and then. Returns what it saw, by seq.
fn follow(address: std::net::SocketAddr, follower: usize) -> Vec<(u64, String)> {
    let start = Instant::now();
    let client = format!("follower-{follower}");
    let room = room(follower);
    let mut seen: Vec<(u64, String)> = Vec::new();
    loop {
        let mut frames = join(address, &client, &room);
        if frames
            .try_send(Command::Follow(commands::Follow { room: room.clone(), after: None }))
            .and_then(|id| frames.try_answer(id))
            .is_none()
        {
            continue;
        }
        frames.set_timeout_ms(200);
        loop {
            let next = if frames.pushes.is_empty() { frames.try_push() } else { Some(frames.pushes.remove(0)) };
            match next {
                Some(Item::Message(message)) => {
                    let last = seen.last().map_or(0, |(seq, _)| *seq);
                    if message.seq <= last {
                        // Handed over again, since it was not acknowledged: it must be what it was.
                        let (seq, text) = &seen[message.seq as usize - 1];
                        assert_eq!((message.seq, &body(&message)), (*seq, text), "what was seen has changed");
                        continue;
                    }
                    assert_eq!(message.seq, last + 1, "a gap");
                    seen.push((message.seq, body(&message)));
                    if message.seq % 100 == 0 {
                        let ack =
                            frames.try_send(Command::Ack(commands::Ack { room: room.clone(), seq: Some(message.seq) }));
                        if ack.and_then(|id| frames.try_answer(id)).is_none() {
                            break;
                        }
                    }
                }
                Some(other) => panic!("{other:?}"),
                None if seen.len() as u64 == MESSAGES * (SENDERS / ROOMS) as u64 => return seen,
                None => {
                    assert!(start.elapsed() < 3 * DEADLINE, "{client} saw {} messages only", seen.len());
                    break;
                }
            }
        }
    }
}

#[test]
fn sigkill_under_load_loses_and_doubles_nothing() {
    let mut daemon = Daemon::start();
    let address = daemon.address();
    let acknowledged = Arc::new(Mutex::new(HashMap::new()));
    let progress = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| {
            let (acknowledged, progress) = (acknowledged.clone(), progress.clone());
            std::thread::spawn(move || send(address, n, &acknowledged, &progress))
        })
        .collect();
    let followers: Vec<_> = (0..FOLLOWERS).map(|n| std::thread::spawn(move || follow(address, n))).collect();
    let total = SENDERS as u64 * MESSAGES;
    for kill in 1..=KILLS {
        wait_until("the senders get on", || progress.load(Ordering::Relaxed) >= kill * total / (KILLS + 1));
        daemon.start_again();
    }
    for sender in senders {
        sender.join().unwrap();
    }
    let mut orders: HashMap<String, Vec<(u64, String)>> = HashMap::new();
    for (n, follower) in followers.into_iter().enumerate() {
        let seen = follower.join().unwrap();
        let first = orders.entry(room(n)).or_insert_with(|| seen.clone());
        assert_eq!(*first, seen, "two followers of {} saw different orders", room(n));
    }

    // A fresh client, after one more kill, finds the same.
    daemon.start_again();
    let acknowledged = acknowledged.lock().unwrap();
    assert_eq!(acknowledged.len() as u64, total);
    let mut found = HashSet::new();
    for n in 0..ROOMS {
        let mut frames = daemon.frames("auditor");
        frames.ask(Command::join(room(n)));
        let (items, _) = frames.ask(Command::Fetch(commands::Fetch { room: room(n), after: None, max: None }));
        let mut order = Vec::new();
        for item in items {
            let Item::Message(message) = item else { panic!("{item:?}") };
            assert_eq!(message.seq, order.len() as u64 + 1);
            let text = body(&message);
            assert_eq!(acknowledged.get(&text), Some(&message.seq), "{text}");
            assert!(found.insert(text.clone()), "{text} is there twice");
            order.push((message.seq, text));
        }
        assert_eq!(orders[&room(n)], order, "the followers of {} saw another order", room(n));
        for sender in (n..SENDERS).step_by(ROOMS) {
            let own = order.iter().filter(|(_, text)| text.starts_with(&format!("sender-{sender} ")));
            let numbers: Vec<u64> = own.map(|(_, text)| text.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
            assert!(numbers.is_sorted(), "sender-{sender}'s own order");
        }
    }
    assert_eq!(found.len() as u64, total);
}

#[test]
fn memberships_and_cursors_survive_a_kill() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice/phone");
    alice.expect("CREATE lobby what is new", "OK");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("NICK Alice", "OK");
    for n in 1..=5 {
        alice.expect(&format!("SEND id=m{n} lobby message {n}"), &format!("OK {n}"));
    }
    alice.expect("ACK lobby 3", "OK 3");
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN lobby", "OK cursor=0 last=5");
    bob.expect("LEAVE lobby", "OK");
    daemon.start_again();
    let mut alice = daemon.lines("alice/phone");
    let fetched = alice.ask("FETCH lobby");
    assert_eq!(fetched.len(), 3, "{fetched:?}");
    assert!(fetched[0].ends_with(" alice message 4"));
    assert_eq!(fetched[2], "END lobby 5 1 5");
    assert!(alice.ask("ROOMS")[0].ends_with(" what is new"));
    let who = alice.ask("WHO lobby").remove(0);
    assert!(who.starts_with("MEMBER lobby alice/phone 1 3 ") && who.ends_with(" Alice"), "{who}");
    alice.expect("SEND id=m5 lobby message 5", "OK 5 dup");
    alice.expect("SEND lobby message 6", "OK 6");
    assert_eq!(daemon.lines("bob").ask("FETCH lobby")[0], "ERR not-joined JOIN lobby first");
}
