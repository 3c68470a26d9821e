//! A room has one order: every reader sees it, live or later, and it keeps each sender's own order.

use std::collections::{HashMap, HashSet};
use std::net::{Shutdown, SocketAddr};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use std::io::Write;

use crate::common::{Daemon, Frames, Lines, wait_until};
use dantok_protocol::{Command, Item, Reply, commands};

const SENDERS: usize = 8;
const MESSAGES: usize = 500;
const TOTAL: usize = SENDERS * MESSAGES;
const PIPELINED: usize = 25;

fn text(sender: usize, n: usize) -> String {
    format!("{sender}:{n}")
}

/// Sends with pipelining; returns which seq each of its messages got.
fn send_lines(mut lines: Lines, sender: usize, start: &Barrier) -> Vec<(u64, String)> {
    lines.ask("JOIN r");
    start.wait();
    let mut sent = Vec::new();
    for n in (0..MESSAGES).step_by(PIPELINED) {
        let batch: String = (n..n + PIPELINED).map(|n| format!("SEND r {}\n", text(sender, n))).collect();
        lines.send_bytes(batch.as_bytes());
        for n in n..n + PIPELINED {
            let answer = lines.line().unwrap();
            sent.push((answer.strip_prefix("OK ").unwrap().parse().unwrap(), text(sender, n)));
        }
    }
    sent
}

fn send_frames(mut frames: Frames, sender: usize, start: &Barrier) -> Vec<(u64, String)> {
    frames.ask(Command::join("r"));
    start.wait();
    let mut sent = Vec::new();
    for n in (0..MESSAGES).step_by(PIPELINED) {
        let ids: Vec<(u64, String)> = (n..n + PIPELINED)
            .map(|n| {
                let body = text(sender, n).into();
                (
                    frames.send(Command::Send(commands::Send { room: "r".to_owned(), id: None, body, reply: None })),
                    text(sender, n),
                )
            })
            .collect();
        for (id, text) in ids {
            match frames.try_answer(id) {
                Some((_, Reply::Sent { seq, dup: false })) => sent.push((seq, text)),
                other => panic!("{other:?}"),
            }
        }
    }
    sent
}

/// The seq, sender and text of a MSG line.
fn parsed(line: &str) -> (u64, String) {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, _, seq, _, client, text] = words[..] else { panic!("{line}") };
    assert!(line.starts_with("MSG r ") && text.starts_with(&client.replace("sender-", "")), "{line}");
    (seq.parse().unwrap(), text.to_owned())
}

fn message(item: Item) -> (u64, String) {
    match item {
        Item::Message(message) => (message.seq, String::from_utf8(message.body.to_vec()).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn follow_lines(address: SocketAddr, name: &str, start: &Barrier) -> Vec<(u64, String)> {
    let mut lines = Lines::connect(address);
    lines.send(&format!("HELLO {name}\nJOIN r\nFOLLOW r"));
    let greeted: Vec<String> = (0..3).map(|_| lines.line().unwrap()).collect();
    assert!(greeted.iter().all(|line| line.starts_with("OK ")), "{greeted:?}");
    start.wait();
    (0..TOTAL).map(|_| parsed(&lines.line().unwrap())).collect()
}

fn follow_frames(mut frames: Frames, start: &Barrier) -> Vec<(u64, String)> {
    frames.ask(Command::join("r"));
    assert_eq!(
        frames.ask(Command::Follow(commands::Follow { room: "r".to_owned(), after: None })).1,
        Reply::Following { after: 0, number: 1 }
    );
    start.wait();
    (0..TOTAL).map(|_| message(frames.push())).collect()
}

#[test]
fn all_readers_see_one_order_that_keeps_each_senders_order() {
    let daemon = Daemon::start();
    let start = &Barrier::new(SENDERS + 4);
    let (sent, followed): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let daemon = &daemon;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    let name = format!("sender-{sender}");
                    if sender % 2 == 0 {
                        send_lines(daemon.lines(&name), sender, start)
                    } else {
                        send_frames(daemon.frames(&name), sender, start)
                    }
                })
            })
            .collect();
        let followers: Vec<_> = (0..4)
            .map(|follower| {
                scope.spawn(move || {
                    let name = format!("follower-{follower}");
                    if follower % 2 == 0 {
                        follow_lines(daemon.address(), &name, start)
                    } else {
                        follow_frames(daemon.frames(&name), start)
                    }
                })
            })
            .collect();
        let sent = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        (sent, followers.into_iter().map(|follower| follower.join().unwrap()).collect())
    });

    let order = &followed[0];
    let seqs: Vec<u64> = order.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=TOTAL as u64).collect::<Vec<_>>());
    for (n, other) in followed.iter().enumerate() {
        assert!(order == other, "follower {n} saw another order");
    }
    let mut lines = daemon.lines("later");
    lines.ask("JOIN r");
    let mut fetched = lines.ask("FETCH r");
    assert_eq!(fetched.pop().unwrap(), format!("END r {TOTAL} 1 {TOTAL}"));
    let fetched: Vec<(u64, String)> = fetched.iter().map(|line| parsed(line)).collect();
    assert!(*order == fetched, "a later FETCH saw another order");

    // Each got the seq that it was told, and its own order.
    let by_seq: HashMap<u64, &String> = order.iter().map(|(seq, text)| (*seq, text)).collect();
    let mut overtaken = false;
    for sent in &sent {
        assert_eq!(sent.len(), MESSAGES);
        assert!(sent.is_sorted_by(|(first, _), (second, _)| first < second), "a sender's own order");
        assert!(sent.iter().all(|(seq, text)| by_seq[seq] == text), "another seq than was told");
        overtaken |= sent.last().unwrap().0 - sent[0].0 >= MESSAGES as u64;
    }
    assert!(overtaken, "they did not send at once: this showed nothing");
}

#[test]
fn everything_sent_before_the_end_of_the_stream_is_carried_out() {
    const MESSAGES: usize = 5000;
    let daemon = Daemon::start();
    // On a busy machine, all that wait for their commit are answered before their connection gets its turn.
    let stop = AtomicBool::new(false);
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let stopped = Stop(&stop);
        for _ in 0..4 * std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let counts: Vec<usize> = (0..60)
            .map(|_| {
                let mut lines = daemon.lines("sender");
                lines.ask("JOIN lobby");
                let mut writing = lines.another();
                let sending = std::thread::spawn(move || {
                    let all: String = (0..MESSAGES).map(|n| format!("SEND lobby {n}\n")).collect();
                    writing.write_all(all.as_bytes()).unwrap();
                    writing.shutdown(Shutdown::Write).unwrap();
                });
                let answers = lines.rest().lines().filter(|line| line.starts_with("OK ")).count();
                sending.join().unwrap();
                answers
            })
            .collect();
        drop(stopped);
        assert_eq!(counts, [MESSAGES; 60]);
    });
}

#[test]
fn without_max_a_fetch_returns_everything_up_to_the_seq_in_end() {
    let daemon = Daemon::start();
    let ends = AtomicBool::new(false);
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        for sender in 0..2 {
            let (mut lines, ends) = (daemon.lines(&format!("sender-{sender}")), &ends);
            scope.spawn(move || {
                lines.ask("JOIN r");
                while !ends.load(Ordering::Relaxed) {
                    assert!(lines.ask("SEND r x")[0].starts_with("OK "));
                }
            });
        }
        let mut reader = daemon.lines("reader");
        reader.ask("JOIN r");
        for _ in 0..1000 {
            let joined = reader.ask("JOIN r").remove(0);
            let last = joined.split(' ').find_map(|word| word.strip_prefix("last=")).unwrap();
            for command in [format!("FETCH r after={last}"), "HISTORY r max=1".to_owned()] {
                let end = reader.ask(&command).pop().unwrap();
                let numbers: Vec<&str> = end.split(' ').collect();
                if numbers[2] != numbers[4] {
                    wrong.push(format!("{command}: {end}"));
                }
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
    assert_eq!(wrong, Vec::<String>::new());
}

/// What came first: the push of the client's own message, or its OK.
#[derive(Debug, PartialEq, Eq, Hash)]
enum First {
    Push,
    Ok,
}

/// Sends and follows on one connection, until either has come first.
fn until_both(mut send: impl FnMut() -> (First, u64)) {
    let (mut seen, mut sent) = (HashSet::new(), 0);
    wait_until("an own message's push has come before its OK, and behind it", || {
        for _ in 0..100 {
            let (first, seq) = send();
            sent += 1;
            assert_eq!(seq, sent, "each is pushed once, in its order");
            seen.insert(first);
        }
        seen.len() == 2
    });
}

#[test]
fn a_senders_own_message_is_pushed_before_or_after_its_ok() {
    let daemon = Daemon::start();
    let mut lines = daemon.lines("alice");
    lines.ask("JOIN l");
    lines.ask("FOLLOW l");
    until_both(|| {
        lines.send("@s SEND l x");
        let [one, other] = [0; 2].map(|_| lines.line().unwrap());
        let (first, ok, push) = if one.starts_with('@') { (First::Ok, one, other) } else { (First::Push, other, one) };
        let seq = ok.strip_prefix("@s OK ").unwrap();
        assert!(push.starts_with(&format!("MSG l {seq} ")), "{ok} / {push}");
        (first, seq.parse().unwrap())
    });
    let mut frames = daemon.frames("bob");
    frames.ask(Command::join("f"));
    frames.ask(Command::Follow(commands::Follow { room: "f".to_owned(), after: None }));
    until_both(|| {
        let (_, reply) = frames.ask(Command::send("f", None, "x"));
        let Reply::Sent { seq, dup: false } = reply else { panic!("{reply:?}") };
        let first = if frames.pushes.is_empty() { First::Ok } else { First::Push };
        assert_eq!(message(frames.push()).0, seq);
        (first, seq)
    });
}
