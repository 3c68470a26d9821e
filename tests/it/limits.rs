//! The limits that operators set, and those that protect memory.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{self, DEADLINE, Daemon, Frames, Lines, wait_until};
use dantok_protocol::{Command, ErrorCode, Reply, commands};
use socket2::{Domain, Socket, Type};

fn refused(reply: &Reply) -> Option<(ErrorCode, &str)> {
    match reply {
        Reply::Error(refusal) => Some((refusal.code, &refusal.text)),
        _ => None,
    }
}

#[test]
fn one_connection_too_many_is_told_so_in_its_own_framing() {
    let daemon = Daemon::start_with(&["--max-connections", "2"]);
    // The one that asked whether the daemon is ready may still be on its way out.
    let mut held = Vec::new();
    wait_until("two connections are there", || {
        let mut lines = Lines::connect(daemon.address());
        if lines.ask("PING")[0] == "OK pong" {
            held.push(lines);
        }
        held.len() == 2
    });
    let mut lines = Lines::connect(daemon.address());
    lines.send("HELLO late");
    assert_eq!(lines.rest(), "ERR limit at most 2 connections\n");
    let mut json = Lines::connect(daemon.address());
    json.send(r#"{"do":"hello","client":"late"}"#);
    assert_eq!(json.rest(), "{\"type\":\"error\",\"code\":\"limit\",\"text\":\"at most 2 connections\"}\n");
    let mut frames = Frames::connect(daemon.address());
    frames.send(Command::Ping);
    let refusal = frames.closing();
    assert_eq!((refusal.code, &*refusal.text), (ErrorCode::Limit, "at most 2 connections"));
    assert!(frames.frame().is_none());
    // Those that are there go on, and a place that is given up is taken.
    assert!(held[0].ask("HELLO early")[0].starts_with("OK "));
    held[1].send("QUIT");
    assert_eq!(held[1].rest(), "OK bye\n");
    wait_until("the place is free", || Lines::connect(daemon.address()).ask("PING")[0] == "OK pong");
    held[0].expect("PING", "OK pong");
}

/// A connection from another of this machine's addresses.
fn connect_from(source: [u8; 4], daemon: &Daemon) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&daemon.address().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn connections_from_one_address_are_bounded() {
    let daemon = Daemon::start_with(&["--max-connections-per-address", "2"]);
    let other = [127, 0, 0, 2];
    let mut held: Vec<Lines> = (0..2).map(|_| Lines::over(connect_from(other, &daemon))).collect();
    held.iter_mut().for_each(|lines| lines.expect("PING", "OK pong"));
    let refusal = "at most 2 connections from one address";
    let mut lines = Lines::over(connect_from(other, &daemon));
    lines.send("HELLO late");
    assert_eq!(lines.rest(), format!("ERR limit {refusal}\n"));
    let mut frames = Frames::over(connect_from(other, &daemon));
    frames.send(Command::Ping);
    let closing = frames.closing();
    assert_eq!((closing.code, &*closing.text, closing.wait_ms), (ErrorCode::Limit, refusal, None));
    // Another address has places of its own, and a place that is given up is taken.
    daemon.lines("other").expect("PING", "OK pong");
    held.pop();
    wait_until("the place is free", || {
        let mut lines = Lines::over(connect_from(other, &daemon));
        lines.ask("PING")[0] == "OK pong"
    });
    held[0].expect("PING", "OK pong");
}

#[test]
fn a_connection_that_says_no_hello_is_closed() {
    let daemon = Daemon::start_with(&["--hello-timeout", "300ms"]);
    let mut silent = Lines::connect(daemon.address());
    assert_eq!(silent.rest(), "");
    // Commands that need no HELLO do not buy time.
    let mut idle = Lines::connect(daemon.address());
    idle.expect("PING", "OK pong");
    assert!(idle.rest().starts_with("ERR hello-first "));

    for first in [&b"H"[..], b"\x00\x00\x04\x00"] {
        let mut slow = Lines::connect(daemon.address());
        let mut drip = slow.another();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                use std::io::Write;
                let mut bytes = first.iter().chain(std::iter::repeat(&b'\0'));
                // Ends with the connection, or when the other side has seen its end.
                while !done.load(Ordering::Relaxed) && drip.write_all(&[*bytes.next().unwrap()]).is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let rest = slow.rest_bytes();
            done.store(true, Ordering::Relaxed);
            let text = String::from_utf8_lossy(&rest);
            assert!(text.contains("no HELLO within 0.3 s"), "{text}");
        });
    }

    // One that said it stays: a second one's end is later than its own would have been.
    let mut known = daemon.lines("known");
    assert_eq!(Lines::connect(daemon.address()).rest(), "");
    known.expect("PING", "OK pong");
}

#[test]
fn a_large_length_is_refused_before_its_bytes_arrive() {
    let daemon = Daemon::start();
    let mut frames = Frames::connect(daemon.address());
    frames.send_bytes(&[0x00, 0xff, 0xff, 0xff]);
    assert_eq!(frames.closing().code, ErrorCode::TooLong);
    assert!(frames.frame().is_none());
    // A body just over the limit is refused on its own.
    let mut frames = daemon.frames("a");
    frames.ask(Command::join("r"));
    let send = |length| {
        Command::Send(commands::Send { room: "r".to_owned(), id: None, body: vec![0; length].into(), reply: None })
    };
    assert_eq!(refused(&frames.ask(send(65_537)).1).unwrap().0, ErrorCode::TooLong);
    assert_eq!(frames.ask(send(65_536)).1, Reply::Sent { seq: 1, dup: false });
}

#[test]
fn a_line_of_two_mebibytes_is_refused_and_the_next_one_is_not() {
    let daemon = Daemon::start();
    let mut lines = daemon.lines("a");
    lines.expect("JOIN r", "OK cursor=0 last=0");
    let long = "x".repeat(2 * 1024 * 1024);
    let answer = lines.ask(&format!("SEND r {long}"));
    assert!(answer[0].starts_with("ERR too-long ") && answer[0].contains("65536"), "{answer:?}");
    lines.send_bytes(&[format!("@1 SENDB r {}\n", long.len()).as_bytes(), long.as_bytes(), b"\n"].concat());
    assert!(lines.answer()[0].starts_with("@1 ERR too-long "));
    lines.expect("SEND r short", "OK 1");
    lines.expect(&format!("SEND r {}", &long[..65_536]), "OK 2");
}

#[test]
fn rooms_and_joined_rooms_are_bounded() {
    let daemon = Daemon::start_with(&["--max-rooms", "3", "--max-joined-rooms", "2"]);
    let mut alice = daemon.lines("alice");
    // Pipelined, so that some of it may come in one commit.
    alice.send("JOIN a\nJOIN b\nJOIN c\nJOIN a\nCREATE c\nCREATE d\nLEAVE a\nJOIN c\nJOIN d");
    let new = "OK cursor=0 last=0";
    let answers: Vec<String> = (0..9).map(|_| common::without_numbers(&alice.line().unwrap(), new)).collect();
    let full = "ERR limit at most 3 rooms";
    let joined = "ERR limit at most 2 joined rooms of one client";
    assert_eq!(answers, [new, new, joined, new, "OK", full, "OK", new, joined]);
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN d", full);
    bob.expect("JOIN a", new);
    let mut desk = daemon.lines("alice/desk");
    desk.expect("JOIN a", new);
}

#[test]
fn each_person_may_own_a_bounded_number_of_rooms() {
    let mut daemon = Daemon::start_with(&["--max-rooms", "10", "--max-rooms-per-client", "3"]);
    let mut mallory = daemon.lines("mallory");
    let answers = |lines: &mut common::Lines, count: usize| -> Vec<String> {
        (0..count).map(|_| common::without_numbers(&lines.line().unwrap(), "OK created")).collect()
    };
    // Pipelined, so that some of it may come in one commit; by all devices together, and by JOIN as by CREATE.
    let full = "ERR limit at most 3 rooms of one person";
    mallory.send("CREATE a\nJOIN b\nCREATE --private c\nCREATE d\nJOIN e\nJOIN a");
    let made = "OK cursor=0 last=0 created";
    assert_eq!(answers(&mut mallory, 6), ["OK created", made, "OK created", full, full, "OK cursor=0 last=0"]);
    daemon.lines("mallory/phone").expect("CREATE d", full);
    daemon.lines("alice").expect("CREATE d", "OK created");
    // It is counted after a start, too.
    daemon.kill();
    daemon.start_again();
    daemon.lines("mallory").expect("CREATE f", full);
    daemon.lines("alice").expect("JOIN f", made);
    // To be nobody in particular is to be another for each room: the bound of all holds then.
    (0..5).for_each(|n| daemon.lines(&format!("s{n}")).expect(&format!("CREATE s{n}"), "OK created"));
    daemon.lines("s9").expect("CREATE s9", "ERR limit at most 10 rooms");
}

#[test]
fn an_admin_may_own_any_number_of_rooms() {
    let daemon = Daemon::start_with(&["--max-rooms-per-client", "1"]);
    let root = daemon.token(&["issue", "root", "--admin"]);
    let alice = daemon.token(&["issue", "alice"]);
    let mut root = daemon.lines(&format!("root {root}"));
    (0..3).for_each(|n| root.expect(&format!("CREATE r{n}"), "OK created"));
    let mut alice = daemon.lines(&format!("alice {alice}"));
    alice.expect("CREATE a", "OK created");
    alice.expect("CREATE b", "ERR limit at most 1 rooms of one person");
}

#[test]
fn a_request_that_waits_in_the_pipeline_counts_once() {
    let daemon = Daemon::start_with(&["--max-requests-per-second", "41"]);
    let mut lines = daemon.lines("a");
    lines.send(&["JOIN r"].into_iter().chain(["SEND r hello", "PING"].repeat(19)).collect::<Vec<_>>().join("\n"));
    let answers: Vec<String> = (0..39).map(|_| lines.line().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.starts_with("OK ")), "{answers:?}");
}
