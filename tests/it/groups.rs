//! Groups on the real daemon: each message belongs to one worker until it is done or its timeout passes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::common::stall::Stall;
use crate::common::{Daemon, Lines, has_tool, wait_until};
use dantok::limits::GROUP_WINDOW;
use dantok_protocol::{Command, Item, Reply, commands};

/// A daemon with a room of so many messages, and a group in it.
fn filled(messages: u64, group: &str) -> (Daemon, Lines) {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN jobs", "OK cursor=0 last=0");
    for seq in 1..=messages {
        alice.send(&format!("SEND jobs job {seq}"));
    }
    for seq in 1..=messages {
        assert_eq!(alice.line().unwrap(), format!("OK {seq}"));
    }
    assert!(alice.ask(&format!("GROUP jobs {group}"))[0].starts_with("OK cursor=0 "));
    (daemon, alice)
}

/// The seqs that a TAKE hands over.
fn take(lines: &mut Lines, rest: &str) -> Vec<u64> {
    let mut answer = lines.ask(&format!("TAKE jobs {rest}"));
    let end = answer.pop().unwrap();
    let seqs: Vec<u64> = answer.iter().map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect();
    assert_eq!(end, format!("OK {}", seqs.len()));
    seqs
}

#[test]
fn each_message_goes_to_one_worker_and_is_handed_out_again_if_not_done() {
    let (daemon, mut alice) = filled(5, "w timeout=2s");
    let mut bob = daemon.lines("bob");
    bob.expect("TAKE jobs w", "ERR not-joined JOIN jobs first");
    bob.expect("JOIN jobs", "OK cursor=0 last=5");
    assert_eq!(take(&mut alice, "w 2"), [1, 2]);
    assert_eq!(take(&mut bob, "w 9"), [3, 4, 5]);
    assert_eq!(take(&mut alice, "w 9"), [0u64; 0]);
    alice.expect("DONE jobs w 2", "OK 0");
    alice.expect("DONE jobs w 2", "OK 0");
    bob.expect("DONE jobs w 5", "OK 0");
    assert!(bob.ask("DONE jobs w 6")[0].starts_with("ERR set-back 6 is past the last seq of jobs, 5:"));
    let pending = alice.ask("PENDING jobs w");
    let who: Vec<(String, String)> = pending[..pending.len() - 1]
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!((words[0], words[6]), ("PENDING", "1"));
            (words[3].to_owned(), words[4].to_owned())
        })
        .collect();
    let whose = |seq: &str, client: &str| (seq.to_owned(), client.to_owned());
    assert_eq!(who, [whose("1", "alice"), whose("3", "bob"), whose("4", "bob")]);
    assert_eq!(alice.ask("GROUPS jobs"), ["GROUP jobs w 0 3 0 2s", "OK 1"]);
    // It has moved nobody's cursor.
    alice.expect("ACK jobs", "OK 0");
    // A wait ends when the first of them may be taken again.
    let again = take(&mut bob, "w 9 wait=30s");
    assert_eq!(again[0], 1);
    if again.len() < 3 {
        wait_until("the others may be taken again", || take(&mut bob, "w 9").contains(&4));
    }
    assert!(alice.ask("PENDING jobs w").iter().any(|line| line.contains(" 4 bob ") && line.ends_with(" 2")));
    for seq in [1, 3] {
        bob.ask(&format!("DONE jobs w {seq}"));
    }
    bob.expect("DONE jobs w 4", "OK 5");
    assert_eq!(alice.ask("GROUPS jobs"), ["GROUP jobs w 5 0 0 2s", "OK 1"]);
}

#[test]
fn done_messages_stay_done_after_a_kill_and_the_rest_are_handed_out_again() {
    let (mut daemon, mut alice) = filled(9, "w timeout=1h");
    assert_eq!(take(&mut alice, "w 9"), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for seq in [2, 3, 1, 7] {
        alice.expect(&format!("DONE jobs w {seq}"), &format!("OK {}", if seq == 1 || seq == 7 { 3 } else { 0 }));
    }
    for kill in [true, false] {
        if kill {
            daemon.kill();
        } else {
            daemon.terminate();
        }
        daemon.start_again();
        let mut alice = daemon.lines("alice");
        assert_eq!(alice.ask("GROUPS jobs"), ["GROUP jobs w 3 0 5 3600s", "OK 1"]);
        assert_eq!(take(&mut alice, "w 9"), [4, 5, 6, 8, 9]);
        // It may be done by who took it before.
        alice.expect("DONE jobs w 7", "OK 3");
    }
    let mut alice = daemon.lines("alice");
    alice.expect("UNGROUP jobs w", "OK");
    alice.expect("TAKE jobs w", "ERR no-group jobs has no group w; GROUP makes it");
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    alice.expect("GROUPS jobs", "OK 0");
    alice.expect("GROUP jobs w from=now", "OK cursor=9 last=9 timeout=30s");
    alice.expect("GROUP jobs w timeout=1500ms", "OK cursor=9 last=9 timeout=1.500s");
}

#[test]
fn a_take_waits_for_new_messages() {
    let (mut daemon, mut alice) = filled(1, "w");
    assert_eq!(take(&mut alice, "w"), [1]);
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN jobs", "OK cursor=0 last=1");
    bob.send("TAKE jobs w 5 wait=60s");
    alice.expect("SEND jobs job 2", "OK 2");
    assert!(bob.answer()[0].ends_with(" alice job 2"));
    // A wait ends with the group, with the membership, and with the daemon.
    for (end, answer) in [
        ("UNGROUP jobs w", "ERR no-group jobs has no group w; GROUP makes it"),
        ("KICK jobs bob", "ERR not-joined JOIN jobs first"),
    ] {
        alice.ask("GROUP jobs w from=now");
        bob.send("TAKE jobs w wait=60s");
        alice.expect(end, "OK");
        assert_eq!(bob.answer(), [answer]);
    }
    bob.expect("JOIN jobs", "OK cursor=0 last=2");
    alice.ask("GROUP jobs w from=now");
    bob.send("TAKE jobs w wait=60s");
    bob.send("PING");
    assert!(daemon.terminate().success());
    assert_eq!(bob.line().as_deref(), Some("OK 0"));
    assert_eq!(bob.line().as_deref(), Some("OK pong"));
}

#[test]
fn many_workers_do_each_job_once() {
    const JOBS: u64 = 3000;
    let (daemon, mut alice) = filled(JOBS, "w timeout=1h");
    let done: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (daemon, done) = (&daemon, done.clone());
            scope.spawn(move || {
                let mut frames = daemon.frames(&format!("worker{worker}"));
                frames.ask(Command::join("jobs"));
                loop {
                    let (room, group) = ("jobs".to_owned(), "w".to_owned());
                    let (items, reply) =
                        frames.ask(Command::Take(commands::Take { room, group, max: Some(7), wait_ms: 0 }));
                    let Reply::Count(count) = reply else { panic!("{reply:?}") };
                    assert_eq!(count, items.len() as u64);
                    if items.is_empty() {
                        return;
                    }
                    for item in items {
                        let Item::Message(message) = item else { panic!("{item:?}") };
                        *done.lock().unwrap().entry(message.seq).or_default() += 1;
                        let (room, group) = ("jobs".to_owned(), "w".to_owned());
                        let reply = frames.ask(Command::Done(commands::Done { room, group, seq: message.seq })).1;
                        assert!(matches!(reply, Reply::Acked { .. }), "{reply:?}");
                    }
                }
            });
        }
    });
    let done = done.lock().unwrap();
    assert_eq!(done.len() as u64, JOBS);
    assert!(done.values().all(|times| *times == 1));
    assert_eq!(alice.ask("GROUPS jobs"), [format!("GROUP jobs w {JOBS} 0 0 3600s"), "OK 1".to_owned()]);
}

#[test]
fn expired_messages_are_reported_and_delay_nobody() {
    let daemon = Daemon::start_with(&["--allow-short-retention", "--retention", "2s"]);
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN jobs", "OK cursor=0 last=0");
    alice.expect("GROUP jobs w", "OK cursor=0 last=0 timeout=30s");
    for seq in 1..=3 {
        alice.expect("SEND jobs old", &format!("OK {seq}"));
    }
    assert_eq!(take(&mut alice, "w"), [1]);
    wait_until("they expire", || alice.ask("HISTORY jobs") == ["END jobs 3 4 3"]);
    alice.expect("SEND jobs new", "OK 4");
    assert_eq!(alice.ask("TAKE jobs w 5")[..1], ["GAP jobs 2 3 expired"]);
    let pending = alice.ask("PENDING jobs w");
    assert!(pending.len() == 2 && pending[0].starts_with("PENDING jobs w 4 alice "), "{pending:?}");
    alice.expect("DONE jobs w 4", "OK 4");
}

#[test]
fn a_message_that_is_never_done_blocks_a_bounded_number() {
    let (_daemon, mut alice) = filled(GROUP_WINDOW + 100, "w timeout=1h");
    let mut taken = 0;
    loop {
        let seqs = take(&mut alice, "w 256");
        if seqs.is_empty() {
            break;
        }
        taken += seqs.len() as u64;
        // Every other: as long a record as may be.
        for seq in seqs.iter().filter(|seq| **seq % 2 == 0) {
            alice.send(&format!("DONE jobs w {seq}"));
        }
        for _ in seqs.iter().filter(|seq| **seq % 2 == 0) {
            assert_eq!(alice.line().as_deref(), Some("OK 0"));
        }
    }
    assert_eq!(taken, GROUP_WINDOW);
    let beyond = GROUP_WINDOW + 1;
    alice.expect(&format!("DONE jobs w {beyond}"), &format!("ERR bad-argument {beyond} was not taken yet"));
    alice.expect("DONE jobs w 1", "OK 2");
    assert_eq!(take(&mut alice, "w 256"), [GROUP_WINDOW + 1, GROUP_WINDOW + 2]);
}

#[test]
fn impossible_requests_are_refused() {
    let (_daemon, mut alice) = filled(1, "w");
    for (line, answer) in [
        (
            "GROUP jobs a=b",
            "ERR bad-argument GROUP has no option a=b; usage: GROUP <room> <group> [from=start|now] [timeout=<time>]",
        ),
        (
            "GROUP jobs v until=1s",
            "ERR bad-argument GROUP has no option until=1s; usage: GROUP <room> <group> [from=start|now] [timeout=<time>]",
        ),
        ("GROUP jobs v timeout=1ms", "ERR bad-argument a timeout is 1 s to 86400 s"),
        ("GROUP nowhere v", "ERR no-room there is no room nowhere; JOIN makes it"),
        ("TAKE jobs w 0", "ERR bad-argument a TAKE gets 1 to 256 messages and waits for at most 60 s"),
        ("TAKE jobs w wait=2h", "ERR bad-argument a TAKE gets 1 to 256 messages and waits for at most 60 s"),
        ("DONE jobs w 0", "ERR bad-argument 0 was not taken yet"),
        ("PENDING jobs v", "ERR no-group jobs has no group v; GROUP makes it"),
    ] {
        alice.expect(line, answer);
    }
}

/// How a worker's connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// As that of a program that ends, or is killed, with nothing unread.
    Close,
    /// As that of one that ends with something unread.
    Reset,
}

fn end(mut worker: Lines, how: End) {
    if let End::Reset = how {
        socket2::SockRef::from(&*worker.stream()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

fn is_away(lines: &mut Lines, client: &str) -> bool {
    lines.ask("WHO jobs").iter().any(|line| line.starts_with(&format!("MEMBER jobs {client} 0 ")))
}

/// A member of the room on a connection of its own.
fn worker(daemon: &Daemon, client: &str) -> Lines {
    let mut lines = daemon.lines(client);
    assert!(lines.ask("JOIN jobs")[0].starts_with("OK "));
    lines
}

#[test]
fn a_worker_that_disconnects_while_waiting_is_handed_nothing() {
    let (daemon, mut alice) = filled(0, "w timeout=1h");
    let behind = "PING\n".repeat(20_000);
    let mut seq = 0;
    for how in [End::Close, End::Reset] {
        for behind in ["", "PING\n", &behind] {
            let mut bob = worker(&daemon, "bob");
            bob.send_bytes(format!("TAKE jobs w wait=60s\n{behind}").as_bytes());
            end(bob, how);
            wait_until("the worker is away", || is_away(&mut alice, "bob"));
            seq += 1;
            alice.expect("SEND jobs job", &format!("OK {seq}"));
            assert_eq!(take(&mut alice, "w"), [seq], "{how:?}");
            alice.expect(&format!("DONE jobs w {seq}"), &format!("OK {seq}"));
        }
    }
}

#[test]
fn a_worker_that_disconnects_frees_its_place() {
    let daemon = Daemon::start_with(&["--max-connections-per-address", "1"]);
    for how in [End::Close, End::Reset] {
        let mut served = None;
        wait_until("there is a place", || {
            let mut bob = Lines::connect(daemon.address());
            bob.send("HELLO bob");
            served = bob.line().filter(|line| line.starts_with("OK ")).map(|_| bob);
            served.is_some()
        });
        let mut bob = served.unwrap();
        bob.ask("JOIN jobs");
        bob.ask("GROUP jobs w");
        bob.send("TAKE jobs w wait=60s");
        end(bob, how);
    }
    wait_until("there is a place", || {
        let mut bob = Lines::connect(daemon.address());
        bob.send("PING");
        bob.line().as_deref() == Some("OK pong")
    });
}

#[test]
fn messages_that_do_not_reach_a_worker_stay_available() {
    let (daemon, mut alice) = filled(4, "w timeout=1h");
    // Handed over, and not read.
    let mut bob = worker(&daemon, "bob");
    bob.send("TAKE jobs w 2 wait=60s");
    wait_until("they are handed over", || alice.ask("PENDING jobs w").len() == 3);
    end(bob, End::Reset);
    wait_until("they are free", || alice.ask("GROUPS jobs") == ["GROUP jobs w 0 0 4 3600s", "OK 1"]);
    assert_eq!(take(&mut alice, "w 2"), [1, 2]);
    assert!(alice.ask("PENDING jobs w")[0].ends_with(" 1"));
    // Gone before there is an answer, which can't be told from a half-closed one that reads; again and again, as it is a race.
    for round in 0..20 {
        let mut bob = worker(&daemon, "bob");
        bob.send("TAKE jobs w 2");
        end(bob, if round % 2 == 0 { End::Close } else { End::Reset });
        wait_until("they are free", || {
            is_away(&mut alice, "bob") && alice.ask("GROUPS jobs") == ["GROUP jobs w 0 2 2 3600s", "OK 1"]
        });
    }
    assert_eq!(take(&mut alice, "w 2"), [3, 4]);
}

#[test]
fn messages_that_reached_a_worker_stay_with_it() {
    let (daemon, mut alice) = filled(3, "w timeout=1h");
    // Closed, or half-closed, in order.
    let mut bob = worker(&daemon, "bob");
    assert_eq!(take(&mut bob, "w"), [1]);
    drop(bob);
    let mut bob = worker(&daemon, "bob");
    bob.send("TAKE jobs w wait=60s");
    bob.done();
    assert!(bob.rest().ends_with(" alice job 2\nOK 1\n"));
    // Reset, but after another word.
    let mut bob = worker(&daemon, "bob");
    assert_eq!(take(&mut bob, "w"), [3]);
    bob.expect("PING", "OK pong");
    end(bob, End::Reset);
    wait_until("the worker is away", || is_away(&mut alice, "bob"));
    assert_eq!(take(&mut alice, "w 9"), [0u64; 0]);
    assert_eq!(alice.ask("GROUPS jobs"), ["GROUP jobs w 0 3 0 3600s", "OK 1"]);
    let mut bob = worker(&daemon, "bob");
    bob.expect("DONE jobs w 1", "OK 1");
}

#[test]
fn a_half_closed_take_does_not_wait() {
    let (daemon, _alice) = filled(0, "w");
    for before in [true, false] {
        let mut bob = worker(&daemon, "bob");
        if before {
            bob.send_bytes(b"@1 TAKE jobs w wait=60s\n@2 PING\n");
        } else {
            bob.send("@1 TAKE jobs w wait=60s");
            bob.send("@2 PING");
        }
        bob.done();
        assert_eq!(bob.rest(), "@1 OK 0\n@2 OK pong\n");
    }
}

#[test]
fn pushes_do_not_wait_behind_a_take() {
    let (daemon, mut alice) = filled(0, "w");
    alice.ask("JOIN talk");
    let mut bob = worker(&daemon, "bob");
    bob.ask("JOIN talk");
    bob.expect("EVENTS on", "OK");
    bob.expect("FOLLOW talk", "OK after=0");
    bob.send_bytes(b"@1 TAKE jobs w wait=60s\n@2 PING\n");
    for seq in 1..=3 {
        alice.expect("SEND talk hello", &format!("OK {seq}"));
        let line = bob.line().unwrap();
        assert!(line.starts_with(&format!("MSG talk {seq} ")), "{line}");
    }
    alice.expect("TYPING talk", "OK");
    assert!(bob.line().unwrap().ends_with(" alice typing"));
    alice.expect("SEND jobs job", "OK 1");
    let line = bob.line().unwrap();
    assert!(line.starts_with("@1 MSG jobs 1 "), "{line}");
    assert_eq!(bob.line().unwrap(), "@1 OK 1");
    assert_eq!(bob.line().unwrap(), "@2 OK pong");

    let mut carol = daemon.frames("carol");
    for room in ["jobs", "talk"] {
        carol.ask(Command::join(room));
    }
    carol.ask(Command::Watch);
    let (room, group) = ("jobs".to_owned(), "w".to_owned());
    let id = carol.send(Command::Take(commands::Take { room, group, max: None, wait_ms: 60_000 }));
    alice.expect("SEND talk hello", "OK 4");
    while !matches!(carol.push(), Item::Room(info) if &*info.room == "talk" && info.last == 4) {}
    alice.expect("SEND jobs job", "OK 2");
    let (items, reply) = carol.try_answer(id).unwrap();
    assert!(matches!(&items[..], [Item::Message(message)] if message.seq == 2));
    assert_eq!(reply, Reply::Count(1));
}

#[test]
fn a_reset_connection_is_gone_even_while_a_commit_waits_for_the_disk() {
    if !has_tool("strace") {
        return;
    }
    for waits in ["SEND jobs one\nFETCH jobs\n", "LEAVE jobs\n", "SEEK jobs start\nPING\n"] {
        // So few commits that the next is made by the committer's thread, and holds up no connection.
        let daemon = Daemon::start();
        let (mut alice, mut bob) = (worker(&daemon, "alice"), worker(&daemon, "bob"));
        let mut stall = Stall::of(daemon.pid());
        wait_until("strace has all threads", || {
            stall.check();
            let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
            threads.flatten().all(|thread| {
                let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        });
        bob.send_bytes(waits.as_bytes());
        assert!(!is_away(&mut alice, "bob"));
        end(bob, End::Reset);
        wait_until("the client is away", || is_away(&mut alice, "bob"));
    }
}

#[test]
fn a_message_not_yet_handed_out_can_not_be_done() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN jobs", "OK cursor=0 last=0");
    alice.ask("GROUP jobs w");
    for seq in 1..=4 {
        alice.expect(&format!("SEND jobs {seq}"), &format!("OK {seq}"));
    }
    const NOT_TAKEN: &str = "ERR bad-argument 3 was not taken yet";
    assert_eq!(alice.ask("TAKE jobs w max=2").len(), 3);
    alice.expect("DONE jobs w 3", NOT_TAKEN);
    alice.expect("DONE jobs w 2", "OK 0");
    // Who has taken what is not known over a restart: what was there before it may have been taken.
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    alice.expect("DONE jobs w 3", "OK 0");
    alice.expect("SEND jobs 5", "OK 5");
    alice.expect("DONE jobs w 5", "ERR bad-argument 5 was not taken yet");
    // A group that is made in the same breath has handed over nothing.
    alice.send_bytes(b"GROUP jobs fresh\nDONE jobs fresh 1\n");
    assert!(alice.line().unwrap().starts_with("OK cursor=0 "));
    assert_eq!(alice.line().as_deref(), Some("ERR bad-argument 1 was not taken yet"));
}

#[test]
fn a_member_ends_no_group_from_which_others_have_taken() {
    let daemon = Daemon::start();
    let (mut owner, mut alice, mut bob) = (daemon.lines("owner"), daemon.lines("alice"), daemon.lines("bob"));
    for lines in [&mut owner, &mut alice, &mut bob] {
        lines.expect("JOIN jobs", "OK cursor=0 last=0");
    }
    alice.ask("GROUP jobs w");
    owner.expect("SEND jobs one", "OK 1");
    assert_eq!(alice.ask("TAKE jobs w").len(), 2);
    bob.expect(
        "UNGROUP jobs w",
        "ERR denied others have taken messages of w that are not DONE; the room's owner may delete it",
    );
    // A worker's own messages are not anybody else's.
    alice.expect("UNGROUP jobs w", "OK");
    alice.ask("GROUP jobs w");
    assert_eq!(alice.ask("TAKE jobs w").len(), 2);
    owner.expect("UNGROUP jobs w", "OK");
    alice.ask("GROUP jobs w");
    bob.expect("UNGROUP jobs w", "OK");
}
