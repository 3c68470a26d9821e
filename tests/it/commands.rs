//! Every command of the line protocol with its answer, and every error that a client can cause.

use std::time::{Duration, SystemTime};

use crate::common::{Daemon, Frames, Lines};
use dantok_protocol::{Begin, Command, ErrorCode, Reply, Seek, Since, commands};

/// The lines with the times of MSG and ROOM lines as `TIME`, once it is known that they are about now.
fn timeless(lines: Vec<String>) -> Vec<String> {
    let timeless = |line: String| {
        let mut words: Vec<&str> = line.split(' ').collect();
        let tagged = usize::from(words[0].starts_with('@'));
        let at = match words[tagged] {
            "MSG" => tagged + 3,
            "ROOM" | "MEMBER" => tagged + 5,
            _ => return line,
        };
        let time = humantime::parse_rfc3339(words[at]).unwrap();
        let age = SystemTime::now().duration_since(time).unwrap();
        assert!(age < Duration::from_secs(600) && words[at].len() == "2026-01-01T00:00:00.000Z".len(), "{line}");
        words[at] = "TIME";
        words.join(" ")
    };
    lines.into_iter().map(timeless).collect()
}

#[test]
fn hello_states_version_limits_retention_and_epoch() {
    let daemon = Daemon::start();
    let mut lines = Lines::connect(daemon.address());
    lines.expect("PING", "OK pong");
    let welcome = concat!("OK dantok/", env!("CARGO_PKG_VERSION"), " version=1 client=alice/phone");
    let welcome = format!("{welcome} max-body=65536 max-pipelined=1024 max-joined=10000 retention=86400s");
    let epoch = std::fs::read_to_string(daemon.data_dir().join("EPOCH")).unwrap();
    let welcome = format!("{welcome} epoch={}", epoch.trim_end());
    lines.expect("hello alice/phone", &welcome);
    lines.expect("HELLO alice/phone some-token", &welcome);
    lines.expect(&format!("HELLO alice/phone epoch={}", epoch.trim_end()), &welcome);
    lines.expect("HELLO", "ERR bad-argument usage: HELLO <client>[/<device>] [<token>] [epoch=<epoch>]");
    assert!(lines.ask("HELLO alice/phone epoch=")[0].starts_with("ERR epoch "));
    assert!(lines.ask("HELLO bob")[0].starts_with("ERR denied "));
    lines.expect("HELLO alice/phone", &welcome);
}

#[test]
fn rooms_are_created_joined_listed_and_left() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    let mut bob = daemon.lines("bob/desk");
    alice.expect("CREATE lobby 무슨 이야기든", "OK");
    assert!(alice.ask("CREATE lobby")[0].starts_with("ERR room-exists "));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("JOIN made", "OK cursor=0 last=0");
    alice.expect("NICK 앨리스 A", "OK");
    alice.expect("SEND lobby one", "OK 1");
    bob.expect("JOIN lobby", "OK cursor=0 last=1");
    alice.expect("ACK lobby 1", "OK 1");
    alice.expect("JOIN lobby", "OK cursor=1 last=1");
    assert_eq!(
        timeless(alice.ask("ROOMS")),
        ["ROOM lobby 2 1 0 TIME open 무슨 이야기든", "ROOM made 1 0 0 TIME open", "OK 2"]
    );
    assert_eq!(
        timeless(bob.ask("ROOMS")),
        ["ROOM lobby 2 1 1 TIME open 무슨 이야기든", "ROOM made 1 0 - TIME open", "OK 2"]
    );
    assert_eq!(
        timeless(bob.ask("WHO lobby")),
        ["MEMBER lobby alice 1 1 TIME 앨리스 A", "MEMBER lobby bob/desk 1 0 TIME bob", "OK 2"]
    );
    alice.expect("LEAVE lobby", "OK");
    assert_eq!(timeless(bob.ask("WHO lobby")), ["MEMBER lobby bob/desk 1 0 TIME bob", "OK 1"]);
    assert!(alice.ask("LEAVE lobby")[0].starts_with("ERR not-joined "));
    // The cursor is forgotten too.
    alice.expect("JOIN lobby", "OK cursor=0 last=1");
}

#[test]
fn messages_are_sent_fetched_and_acknowledged() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice/phone");
    alice.expect("JOIN r", "OK cursor=0 last=0");
    alice.expect("SEND r 안녕  하세요 ", "OK 1");
    alice.expect("SEND id=m2 r two", "OK 2");
    alice.expect("SEND id=m2 r two", "OK 2 dup");
    assert!(alice.ask("SEND id=m2 r another")[0].starts_with("ERR id-reused "));
    // Nine bytes, the carriage return the last of them.
    alice.send_bytes(b"@b SENDB id=m3 r 9\n\x00\n\xff\\\x1b[2J\r\n");
    assert_eq!(alice.answer(), ["@b OK 3"]);
    alice.expect("SENDB r 0\n", "OK 4");
    let all = [
        "MSG r 1 TIME alice 안녕  하세요 ",
        "MSG r 2 TIME alice two",
        r"MSG r 3 TIME alice \x00\n\xff\\\x1b[2J\r",
        "MSG r 4 TIME alice ",
        "END r 4 1 4",
    ];
    assert_eq!(timeless(alice.ask("FETCH r")), all);
    assert_eq!(timeless(alice.ask("FETCH r")), all, "a FETCH moves nothing");
    assert_eq!(timeless(alice.ask("FETCH r 1")), [all[0], "END r 1 1 4"]);
    assert_eq!(timeless(alice.ask("FETCH r after=1 2")), [all[1], all[2], "END r 3 1 4"]);
    assert_eq!(timeless(alice.ask("FETCH r after=4")), ["END r 4 1 4"]);
    assert_eq!(timeless(alice.ask("@9 FETCH r 1")), ["@9 MSG r 1 TIME alice 안녕  하세요 ", "@9 END r 1 1 4"]);
    assert!(alice.ask("FETCH r after=5")[0].starts_with("ERR set-back "));

    alice.expect("ACK r 2", "OK 2");
    alice.expect("ACK r 1", "OK 2");
    assert!(alice.ask("ACK r 5")[0].starts_with("ERR set-back "));
    assert_eq!(timeless(alice.ask("FETCH r")), [all[2], all[3], "END r 4 1 4"]);
    alice.expect("ACK r", "OK 4");
    assert_eq!(alice.ask("FETCH r"), ["END r 4 1 4"]);

    // Another device has a cursor of its own.
    let mut desk = daemon.lines("alice/desk");
    desk.expect("JOIN r", "OK cursor=0 last=4");
    assert_eq!(timeless(desk.ask("FETCH r")), all);
}

#[test]
fn an_ack_without_a_seq_covers_exactly_what_was_handed_over() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN r");
    for n in 1..=5 {
        alice.expect(&format!("SEND r {n}"), &format!("OK {n}"));
    }
    alice.expect("ACK r", "OK 0");
    assert_eq!(alice.ask("FETCH r after=3").len(), 3);
    alice.expect("ACK r", "OK 0");
    assert_eq!(alice.ask("FETCH r 2").len(), 3);
    alice.expect("ACK r", "OK 2");
}

#[test]
fn read_acknowledges_the_previous_page_and_fetches_the_next() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN r");
    for n in 1..=3 {
        alice.expect(&format!("SEND r {n}"), &format!("OK {n}"));
    }
    assert_eq!(timeless(alice.ask("READ r max=2")), ["MSG r 1 TIME alice 1", "MSG r 2 TIME alice 2", "END r 2 1 3"]);
    // Another connection still gets them: nobody has confirmed yet that they arrived.
    assert_eq!(daemon.lines("alice").ask("READ r").len(), 4);
    assert_eq!(timeless(alice.ask("READ r max=2")), ["MSG r 3 TIME alice 3", "END r 3 1 3"]);
    assert_eq!(alice.ask("READ r"), ["END r 3 1 3"]);
    assert_eq!(daemon.lines("alice").ask("READ r"), ["END r 3 1 3"]);
}

#[test]
fn follow_pushes_the_backlog_and_then_live_messages() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.ask("JOIN r");
    bob.ask("JOIN r");
    alice.expect("SEND r old", "OK 1");
    bob.expect("FOLLOW r", "OK after=0");
    let next = |lines: &mut Lines| timeless(vec![lines.line().unwrap()]).remove(0);
    assert_eq!(next(&mut bob), "MSG r 1 TIME alice old");
    alice.expect("SEND r new", "OK 2");
    assert_eq!(next(&mut bob), "MSG r 2 TIME alice new");
    bob.expect("ACK r", "OK 2");
    bob.expect("UNFOLLOW r", "OK");
    alice.expect("SEND r unseen", "OK 3");
    // Had it been pushed, it would come before the answer.
    bob.expect("PING", "OK pong");
    bob.expect("FOLLOW r", "OK after=2");
    assert_eq!(next(&mut bob), "MSG r 3 TIME alice unseen");
}

#[test]
fn watch_reports_rooms_that_appear_and_change() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.expect("CREATE a first", "OK");
    bob.expect("WATCH", "OK");
    // A change may be told more than once, and two changes at once; what counts is what is reported last.
    let until = |lines: &mut Lines, wanted: &str| {
        while timeless(vec![lines.line().unwrap()]) != [wanted] {}
    };
    until(&mut bob, "ROOM a 0 0 - TIME open first");
    alice.expect("CREATE b", "OK");
    until(&mut bob, "ROOM b 0 0 - TIME open");
    alice.expect("JOIN b", "OK cursor=0 last=0");
    until(&mut bob, "ROOM b 1 0 - TIME open");
    alice.expect("SEND b x", "OK 1");
    until(&mut bob, "ROOM b 1 1 - TIME open");
    bob.expect("UNWATCH", "OK");
    alice.expect("CREATE c", "OK");
    bob.expect("PING", "OK pong");
}

#[test]
fn help_stats_ping_and_quit() {
    let daemon = Daemon::start();
    let mut lines = Lines::connect(daemon.address());
    let help = lines.ask("HELP");
    assert_eq!(*help.last().unwrap(), format!("OK {}", help.len() - 1));
    for verb in ["HELLO", "SENDB", "UNWATCH", "QUIT"] {
        assert!(help.iter().any(|line| line.split(' ').any(|word| word == verb)), "{verb}");
    }
    let one = lines.ask("HELP send");
    assert!(one[0].starts_with("HELP SEND ") && one.iter().any(|line| line.contains("id=")), "{one:?}");
    assert!(lines.ask("HELP me")[0].starts_with("ERR bad-argument "));
    lines.ask("HELLO a");
    lines.ask("JOIN r");
    lines.expect("SEND r x", "OK 1");
    let stats = lines.ask("STATS").remove(0);
    let figures: Vec<(&str, u64)> = stats
        .strip_prefix("OK ")
        .unwrap()
        .split(' ')
        .map(|figure| {
            let (name, value) = figure.split_once('=').unwrap();
            (name, value.parse().unwrap())
        })
        .collect();
    assert!(figures.contains(&("connections", 1)), "{stats}");
    assert!(figures.contains(&("messages", 1)) && figures.contains(&("errors", 1)), "{stats}");
    let doc = std::fs::read_to_string("protocol.md").unwrap();
    let (_, doc) = doc.split_once("### STATS").unwrap();
    for (name, _) in figures {
        let row = |line: &&str| line.starts_with("| `") && line.contains(&format!("`{name}`"));
        assert!(doc.lines().take(50).any(|line| row(&line)), "{name} has no row in protocol.md");
    }
    lines.send("@q QUIT\nPING");
    assert_eq!(lines.rest(), "@q OK bye\n");
}

#[test]
fn every_error_has_its_code_and_the_connection_stays_usable() {
    let daemon = Daemon::start();
    let mut lines = Lines::connect(daemon.address());
    lines.expect("PING", "OK pong");
    let long_name = "n".repeat(65);
    let commands = ["NICK x", "CREATE r", "JOIN r", "LEAVE r", "SEND r x", "FETCH r", "READ r", "ACK r", "FOLLOW r"];
    for command in commands.iter().chain(&["UNFOLLOW r", "ROOMS", "WATCH", "UNWATCH", "WHO r", "STATS"]) {
        assert!(lines.ask(command)[0].starts_with("ERR hello-first "), "{command}");
    }
    for hello in ["HELLO", "HELLO a b c", "HELLO a=b", "HELLO /x", "HELLO a/", &format!("HELLO {long_name}")] {
        assert!(lines.ask(hello)[0].starts_with("ERR bad-argument "), "{hello}");
    }
    assert!(lines.ask("HELLO a")[0].starts_with("OK "));
    lines.ask("JOIN mine");
    daemon.lines("other").ask("JOIN theirs");
    for (command, code) in [
        ("NOPE", "bad-command"),
        ("GET / HTTP/1.1", "bad-command"),
        ("JOIN", "bad-argument"),
        ("JOIN a=b", "bad-argument"),
        ("JOIN \u{202e}x", "bad-argument"),
        ("JOIN \x07", "bad-argument"),
        (&format!("JOIN {long_name}"), "bad-argument"),
        ("CREATE r \x1b[2J", "bad-argument"),
        (&format!("CREATE r {}", "t".repeat(513)), "bad-argument"),
        (&format!("NICK {}", "가".repeat(33)), "bad-argument"),
        ("SEND mine", "bad-argument"),
        (&format!("SEND id={long_name} mine x"), "bad-argument"),
        ("SEND id= mine x", "bad-argument"),
        ("ACK mine 1", "set-back"),
        (&format!("SEND mine {}", "x".repeat(65_537)), "too-long"),
        ("SEND theirs x", "not-joined"),
        ("FETCH theirs", "not-joined"),
        ("READ theirs", "not-joined"),
        ("ACK theirs", "not-joined"),
        ("FOLLOW theirs", "not-joined"),
        ("LEAVE theirs", "not-joined"),
        ("SEND nowhere x", "no-room"),
        ("FETCH nowhere", "no-room"),
        ("READ nowhere", "no-room"),
        ("ACK nowhere", "no-room"),
        ("FOLLOW nowhere", "no-room"),
        ("UNFOLLOW nowhere", "no-room"),
        ("LEAVE nowhere", "no-room"),
        ("WHO nowhere", "no-room"),
        ("CREATE mine", "room-exists"),
        ("HELLO b", "denied"),
    ] {
        let answer = lines.ask(&format!("@t {command}"));
        let text = answer[0].strip_prefix(&format!("@t ERR {code} "));
        assert!(text.is_some_and(|text| text.len() > 5), "{command:.40}: {answer:?}");
    }
    lines.send_bytes(b"SEND mine \xff\n");
    let answer = lines.answer();
    assert!(answer[0].starts_with("ERR not-utf8 ") && answer[0].contains("SENDB"), "{answer:?}");
    lines.send_bytes(&[b"SENDB mine 70000\n", &[b'\n'; 70_000][..], b"\n"].concat());
    assert!(lines.answer()[0].starts_with("ERR too-long "));
    // Nothing of all that was stored.
    assert_eq!(lines.ask("FETCH mine"), ["END mine 0 1 0"]);
}

#[test]
fn other_protocols_are_answered_with_an_error_and_closed() {
    let daemon = Daemon::start();
    for (bytes, code) in [
        (&b"GET / HTTP/1.1\r\nHELLO a\r\nJOIN r\r\n\r\n"[..], "hello-first"),
        (b"GET / HTTP/1.1\r\nHELLO a\nJOIN r\n", "hello-first"),
        // A verb of ours as a method, from a page that may choose it.
        (b"HELLO / HTTP/1.1\r\n\r\nHELLO a\nJOIN r\n", "hello-first"),
        (b"PING /x http/1.1\r\n\r\nHELLO a\nJOIN r\n", "hello-first"),
        (b"POST /\nHELLO a\nJOIN r\n", "hello-first"),
        (b"post http://x/\nHELLO a\nJOIN r\n", "hello-first"),
        (b"OPTIONS *\nHELLO a\nJOIN r\n", "hello-first"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nHELLO a\nJOIN r\n", "hello-first"),
        (b"HTTP/1.1 200 OK\nHELLO a\nJOIN r\n", "hello-first"),
        (b"CONNECT db:5432 HTTP/1.0\nHELLO a\nJOIN r\n", "hello-first"),
        (b"connect 10.0.0.1:22\nHELLO a\nJOIN r\n", "hello-first"),
        (b"INVITE sip:a@b SIP/2.0\nHELLO a\nJOIN r\n", "hello-first"),
        (b"DESCRIBE rtsp://x RTSP/1.0\nHELLO a\nJOIN r\n", "hello-first"),
        (b"Host: localhost\nHELLO a\nJOIN r\n", "hello-first"),
        (b"wrong\nX-Forwarded-For: x\nHELLO a\nJOIN r\n", "hello-first"),
        (b"wrong\nPUT /x HTTP/1.1\nHELLO a\nJOIN r\n", "hello-first"),
        (b"wrong\n{\"method\":\"HELLO\"}\nHELLO a\nJOIN r\n", "hello-first"),
        (b"EHLO x\nHELLO a\nJOIN r\n", "hello-first"),
        (b"HELO mail.example.org\nHELLO a\nJOIN r\n", "hello-first"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nHELLO a\nJOIN r\n", "hello-first"),
        (b"PROXY UNKNOWN\r\nHELLO a\nJOIN r\n", "hello-first"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0cHELLO a\nJOIN r\n", "hello-first"),
        (b"SSH-2.0-OpenSSH_9.9\r\nHELLO a\nJOIN r\n", "hello-first"),
        // Its payload would be read as commands.
        (b"SENDB r 15\nHELLO a\nJOIN r\n\n", "hello-first"),
        (b"one\ntwo\nthree\nHELLO a\nJOIN r\n", "hello-first"),
        (b"@1 one\n@2 \xff\n@\nHELLO a\nJOIN r\n", "bad-argument"),
        (b"*1\r\n$4\r\nPING\r\nHELLO a\n", "bad-command"),
        (b"<?xml?>\nHELLO a\n", "bad-command"),
        (b"\x16\x03\x01\x02\x00", "bad-command"),
        (b"\x80hello", "bad-command"),
        (b"7\n", "bad-command"),
        (b"HELLO a\nJOIN r\nSENDB r many\n", "bad-argument"),
    ] {
        let mut lines = Lines::connect(daemon.address());
        lines.send_bytes(bytes);
        let rest = lines.rest();
        let last = rest.lines().last().unwrap();
        assert!(last.starts_with(&format!("ERR {code} ")), "{}: {rest}", bytes.escape_ascii());
        // Nothing after a foreign line, or after a third wrong line, was read as a command.
        let wrong = if bytes.starts_with(b"wrong") { 2 } else { 1 };
        let wrong = if bytes.starts_with(b"one") || bytes.starts_with(b"@") { 3 } else { wrong };
        assert_eq!(rest.matches("ERR ").count(), wrong, "{rest}");
        assert_eq!(rest.contains("OK "), bytes.starts_with(b"HELLO a"), "{}: {rest}", bytes.escape_ascii());
    }
    let mut frames = Frames::connect(daemon.address());
    frames.send_bytes(&[0, 0, 0, 3, 1, 2, 3]);
    assert_eq!(frames.closing().code, ErrorCode::BadFrame);
    assert!(frames.frame().is_none());
    let mut frames = Frames::connect(daemon.address());
    let (_, reply) = frames.ask(Command::Rooms(commands::Rooms::default()));
    assert!(matches!(reply, Reply::Error(refusal) if refusal.code == ErrorCode::HelloFirst));
}

/// Durations and sizes on which a parser could trip: each is answered, and so is what came before and what comes behind.
#[test]
fn no_duration_or_size_ends_a_connection() {
    let daemon = Daemon::start();
    let texts = [
        "18446744073709551615s1000000000ns",
        "18446744073709551615s",
        "18446744073709551615y",
        "18446744073709551616s",
        "99999999999999999999999999999999999999999999999999d",
        "584942417355y",
        "36501d",
        "0.1ns",
        "-1s",
        "1e400s",
        "inf",
        "16EiB",
        "18446744073709551616",
        "99999999999999999999999999999999999999999999EiB",
        "µ",
        "5",
        "",
    ];
    let commands = texts.iter().flat_map(|text| {
        [
            format!("RETAIN g {text}x"),
            format!("RETAIN g {text}"),
            format!("RETAIN g cap={text}"),
            format!("RETAIN g 30d cap={text}"),
            format!("HISTORY g since={text}"),
            format!("HISTORY g since={text}Z"),
            format!("GROUP g workers timeout={text}"),
            format!("TAKE g workers wait={text}"),
            format!("TAKE g workers {text} wait=1s"),
        ]
    });
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN g");
    for command in commands {
        // Input from strangers is parsed as well.
        for lines in [&mut Lines::connect(daemon.address()), &mut alice] {
            lines.send_bytes(format!("@1 PING\n@2 {command}\n").as_bytes());
            assert_eq!(lines.answer(), ["@1 OK pong"], "{command}");
            assert!(lines.answer().last().is_some_and(|end| end.starts_with("@2 ")), "{command}");
        }
        alice.expect("PING", "OK pong");
    }
    assert!(!daemon.log().contains("a bug"), "{}", daemon.log());
}

/// The same numbers where nothing parses them.
#[test]
fn no_number_in_a_frame_ends_a_connection() {
    let daemon = Daemon::start();
    let mut frames = daemon.frames("alice");
    frames.ask(Command::Join(commands::Join { room: "g".into(), from: Begin::Start }));
    frames.ask(Command::Group(commands::Group {
        room: "g".into(),
        group: "w".into(),
        from: Begin::Start,
        timeout_ms: None,
    }));
    for most in [u64::MAX, u64::MAX / 1000 + 1, i64::MAX as u64] {
        let (room, group) = (|| "g".to_owned(), || "w".to_owned());
        for command in [
            Command::Retain(commands::Retain { room: room(), secs: Some(most), cap_bytes: Some(most) }),
            Command::Retain(commands::Retain { room: room(), secs: None, cap_bytes: Some(most) }),
            Command::History(commands::History {
                room: room(),
                after: Some(most),
                before: Some(most),
                since: Some(Since::Ago(most)),
                max: Some(most),
            }),
            Command::History(commands::History {
                room: room(),
                after: None,
                before: None,
                since: Some(Since::At(most)),
                max: None,
            }),
            Command::Group(commands::Group {
                room: room(),
                group: "v".into(),
                from: Begin::Now,
                timeout_ms: Some(most),
            }),
            Command::Take(commands::Take { room: room(), group: group(), max: Some(most), wait_ms: most }),
            Command::Take(commands::Take { room: room(), group: group(), max: None, wait_ms: most }),
            Command::Done(commands::Done { room: room(), group: group(), seq: most }),
            Command::Fetch(commands::Fetch { room: room(), after: Some(most), max: Some(most) }),
            Command::Read(commands::Read { room: room(), max: Some(most) }),
            Command::Ack(commands::Ack { room: room(), seq: Some(most) }),
            Command::Seek(commands::Seek { room: room(), to: Seek::To(most) }),
            Command::Redact(commands::Redact { room: room(), seq: most }),
        ] {
            frames.ask(command);
            assert!(matches!(frames.ask(Command::Ping).1, Reply::Pong));
        }
    }
    assert!(!daemon.log().contains("a bug"), "{}", daemon.log());
}

/// What a room is, as its owner is shown it.
fn access_of(alice: &mut Lines, room: &str) -> String {
    let rooms = alice.ask("ROOMS");
    let of_room = rooms.iter().find(|line| line.starts_with(&format!("ROOM {room} ")));
    of_room.map_or("none", |line| line.split(' ').nth(6).unwrap()).to_owned()
}

#[test]
fn an_option_means_the_same_wherever_it_stands() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    for (n, create) in [
        "CREATE --private ROOM",
        "CREATE ROOM --private",
        "CREATE --private ROOM a topic",
        "CREATE ROOM --private a topic",
        "CREATE ROOM a --private topic",
        "CREATE ROOM a topic --private",
        "create  ROOM   --private  ",
    ]
    .into_iter()
    .enumerate()
    {
        let room = format!("plans{n}");
        let made = alice.ask(&create.replace("ROOM", &room));
        assert!(made[0].starts_with("OK"), "{create}: {made:?}");
        assert_eq!(access_of(&mut alice, &room), "private", "{create}");
        assert!(bob.ask(&format!("JOIN {room}"))[0].starts_with("ERR denied "), "{create}");
        let topic = if create.contains("topic") { "OK a topic" } else { "OK" };
        alice.expect(&format!("TOPIC {room}"), topic);
    }
    alice.ask("JOIN r");
    for n in 1..=3 {
        alice.expect(&format!("SEND r {n}"), &format!("OK {n}"));
    }
    alice.ask("GROUP from=now r g");
    alice.ask("GROUP timeout=9s r from=start w");
    for (fetch, count) in [
        ("FETCH after=1 r", 2),
        ("FETCH r after=1", 2),
        ("FETCH after=1 max=1 r", 1),
        ("FETCH max=1 r after=1", 1),
        ("FETCH r 1 after=1", 1),
        ("READ max=2 r", 2),
        ("HISTORY max=1 r", 1),
        ("HISTORY before=3 r max=2", 2),
        ("HISTORY r 2", 2),
        ("TAKE max=2 r wait=1ms w", 2),
    ] {
        assert_eq!(alice.ask(fetch).len(), count + 1, "{fetch}");
    }
    alice.expect("SEND reply=1 r id=b --private --x max=3", "OK 4");
    assert!(alice.ask("FETCH r after=3")[0].ends_with(" reply=1 alice id=b --private --x max=3"));
    alice.send_bytes(b"SENDB r 2 id=c\n\xff-\n");
    assert_eq!(alice.answer(), ["OK 5"]);
    alice.send_bytes(b"SENDB r id=c 2\n\xff-\n");
    assert_eq!(alice.answer(), ["OK 5 dup"]);
}

#[test]
fn words_that_look_like_unknown_options_are_refused() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN r");
    let before = alice.ask("ROOMS");
    for wrong in [
        "CREATE --privat x",
        "CREATE x --privat",
        "CREATE x a topic --privat",
        "CREATE x --PRIVATE",
        "CREATE x -private",
        "CREATE x \u{2014}private",
        "CREATE x \u{2013}private a topic",
        "CREATE \u{2014}private x",
        "CREATE x private=yes",
        "CREATE x --private=yes",
        "CREATE x --private --private",
        "CREATE -x",
        "CREATE -- -x",
        "JOIN --x",
        "JOIN -x",
        "JOIN x --x",
        "JOIN x max=3",
        "JOIN x from=",
        "JOIN x from=now from=now",
        "JOIN x from=never",
        "TOPIC r --x",
        "TOPIC r a --clear",
        "TOPIC r a clear=1",
        "NICK --x",
        "NICK a -x b",
        "SEND --x r text",
        "SEND id=1 k=v r text",
        "READ r min=3",
        "READ r max=+3",
        "READ r max=1 2",
        "READ r -3",
        "FETCH --max=3 r",
        "FETCH r after=-1",
        "SEEK r +1",
        "SEEK r -1",
        "ACK r +1",
        "REDACT r +1",
        "GROUP r -g",
        "GROUP r g --x",
        "TAKE r g max=",
        "INVITE r --x",
        "INVITE -- r -x",
        "GROUP -- r -g",
        "HELLO -- -x",
        "HELLO -- alice/-x",
        "ROOMS --all",
        "PING --x",
        "RETAIN r --cap=1",
        "RETAIN r cap=0",
        "RETAIN r cap=0.1",
        "RETAIN r cap=-1",
        "RETAIN r cap=",
        "RETAIN r 30d 30d",
        "HELP --x",
        "UNFOLLOW -x",
        "WHO --x",
        "DELETE r --force",
        "DELETE r number=+1",
        "STATS x=y",
        "HISTORY r since=",
        "DONE r g +1",
    ] {
        let answer = alice.ask(wrong);
        assert!(answer[0].starts_with("ERR bad-argument "), "{wrong}: {answer:?}");
        assert!(answer[0].is_ascii() || !wrong.is_ascii(), "{answer:?}");
    }
    assert!(alice.ask("CREATE x --privat")[0].contains("did you mean --private"));
    assert!(alice.ask("READ r --max=3")[0].contains("did you mean max="));
    assert!(alice.ask("JOIN my room")[0].contains("a name has no spaces"));
    assert_eq!(alice.ask("ROOMS"), before);
    // Where nothing is an option any more, or never was one.
    assert!(alice.ask("CREATE a -- --private -x k=v")[0].starts_with("OK"));
    alice.expect("TOPIC a", "OK --private -x k=v");
    assert_eq!(access_of(&mut alice, "a"), "open");
    assert!(alice.ask("CREATE b -5 \u{b0}C -- and a=b --> c - d")[0].starts_with("OK"));
    alice.expect("TOPIC b", "OK -5 \u{b0}C -- and a=b --> c - d");
    alice.expect("NICK -- --x", "OK");
    alice.expect("SEND -- r x", "OK 1");
}

#[test]
fn a_topic_is_cleared_only_with_the_clear_option() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.ask("CREATE r 점심\u{a0}is at noon");
    alice.ask("CREATE --private secret sh");
    for topic in ["TOPIC r", "TOPIC r ", "topic  r", "TOPIC r --", "TOPIC -- r"] {
        alice.expect(topic, "OK 점심\u{a0}is at noon");
        bob.expect(topic, "OK 점심\u{a0}is at noon");
    }
    assert!(bob.ask("TOPIC secret")[0].starts_with("ERR no-room "));
    assert!(bob.ask("TOPIC nowhere")[0].starts_with("ERR no-room "));
    assert!(bob.ask("TOPIC r --clear")[0].starts_with("ERR not-joined "));
    let mut frames = daemon.frames("alice");
    let ask =
        |topic: Option<&str>| Command::Topic(commands::Topic { room: "r".into(), topic: topic.map(str::to_owned) });
    assert_eq!(frames.ask(ask(None)).1, Reply::Topic("점심\u{a0}is at noon".into()));
    alice.send("FORMAT json\nTOPIC r\nFORMAT text");
    assert_eq!(alice.line().unwrap(), "{\"type\":\"ok\"}");
    assert_eq!(alice.line().unwrap(), "{\"type\":\"ok\",\"topic\":\"점심\u{a0}is at noon\"}");
    assert_eq!(alice.answer(), ["OK"]);
    alice.expect("TOPIC r --clear", "OK");
    alice.expect("TOPIC r", "OK");
    assert_eq!(frames.ask(ask(Some("b"))).1, Reply::Done);
    alice.expect("TOPIC r", "OK b");
    assert_eq!(frames.ask(ask(Some(""))).1, Reply::Done);
    alice.expect("TOPIC r", "OK");
}

#[test]
fn retain_keeps_values_that_are_not_given() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN r");
    for (retain, time, cap) in [
        ("30d", 30, "none"),
        ("cap=1GiB", 30, "1073741824"),
        ("", 30, "1073741824"),
        ("60d", 60, "1073741824"),
        ("cap=none", 60, "none"),
        ("cap=1", 60, "1"),
        ("default", 1, "1"),
        ("default cap=none", 1, "none"),
        ("1y", 365, "none"),
        ("365d", 365, "none"),
        ("cap=2MB 2w", 14, "2000000"),
        ("12month", 360, "2000000"),
        ("default", 1, "2000000"),
    ] {
        let (answer, secs) = (alice.ask(&format!("RETAIN r {retain}")), time * 86_400);
        assert_eq!(answer, [format!("OK retention={secs}s cap={cap} stored=0")], "{retain}");
    }
    for wrong in [
        "366d",
        "1y1s",
        "1h",
        "0s",
        "1ms",
        "10y",
        "cap=0",
        "cap=0KiB",
        "30d cap=0",
        "99999999999999999999y",
        "cap=99EiB",
    ] {
        assert!(alice.ask(&format!("RETAIN r {wrong}"))[0].starts_with("ERR bad-argument "), "{wrong}");
    }
    alice.expect("RETAIN r 2h", "ERR bad-argument a room is kept for 1day to 365days, or by default");
    alice.expect("RETAIN r", "OK retention=86400s cap=2000000 stored=0");
    // What a shorter time would have dropped at once is there.
    alice.expect("RETAIN r 30d cap=none", "OK retention=2592000s cap=none stored=0");
    alice.expect("SEND r kept", "OK 1");
    assert!(alice.ask("RETAIN r cap=1MiB")[0].starts_with("OK retention=2592000s cap=1048576 stored="));
    let mut frames = daemon.frames("alice");
    let retain = |secs, cap_bytes| Command::Retain(commands::Retain { room: "r".into(), secs, cap_bytes });
    for (secs, cap_bytes, then) in
        [(None, Some(0), (2_592_000, 0)), (Some(0), None, (86_400, 0)), (None, None, (86_400, 0))]
    {
        let Reply::Retained { keep, .. } = frames.ask(retain(secs, cap_bytes)).1 else {
            panic!("{secs:?} {cap_bytes:?}")
        };
        assert_eq!((keep.secs, keep.cap_bytes), then);
    }
}

/// What people type who know other programs or type only the beginning, and the verb that is suggested.
const TYPED: [(&str, &str); 58] = [
    ("/join r", "JOIN <room>, without the slash"),
    ("/JOIN", "JOIN <room>, without the slash"),
    ("\\join r", "JOIN <room>, without the slash"),
    ("/msg r hi", "SEND <room> <text>, without the slash"),
    ("/me waves", "SEND <room> <text>"),
    ("/quit", "QUIT, without the slash"),
    ("/nosuch", "HELP"),
    (":q", "QUIT"),
    ("!help", "HELP"),
    ("--help", "HELP"),
    ("-h", "HELP"),
    ("\"JOIN\" r", "JOIN <room>"),
    ("'help'", "HELP"),
    ("#general", "HELP lists"),
    ("PRIVMSG r :hi", "SEND <room> <text>"),
    ("msg r hi", "SEND <room> <text>"),
    ("NOTICE r hi", "SEND <room> <text>"),
    ("say hi", "SEND <room> <text>"),
    ("LIST", "ROOMS"),
    ("ls", "ROOMS"),
    ("NAMES r", "WHO <room>"),
    ("users", "WHO <room>"),
    ("PART r", "LEAVE <room>"),
    ("USER alice 0 * :Alice", "HELLO <client>"),
    ("PASS secret", "HELLO <client>"),
    ("CAP LS 302", "HELLO <client>"),
    ("login alice", "HELLO <client>"),
    ("connect alice", "HELLO <client>"),
    ("helo alice", "HELLO <client>"),
    ("hi", "HELLO <client>"),
    ("exit", "QUIT"),
    ("bye", "QUIT"),
    ("logout", "QUIT"),
    ("?", "HELP"),
    ("???", "HELP"),
    ("？", "HELP"),
    ("help!", "HELP"),
    ("man", "HELP"),
    ("SUBSCRIBE r", "FOLLOW <room>"),
    ("tail -f r", "FOLLOW <room>"),
    ("PUBLISH r hi", "SEND <room> <text>"),
    ("JION r", "JOIN <room>"),
    ("jojn r", "JOIN <room>"),
    ("HLEP", "HELP"),
    ("SEDN r x", "SEND <room> <text>"),
    ("fecth r", "FETCH <room>"),
    ("hist r", "HISTORY <room>"),
    ("FOLOW r", "FOLLOW <room>"),
    ("helllo alice", "HELLO <client>"),
    ("도움말", "HELP"),
    ("안녕하세요", "HELLO <client>"),
    ("종료", "QUIT"),
    ("방 목록", "ROOMS"),
    ("ㅗ디ㅣㅐ alice", "HELLO <client>"),
    ("ㅗ디ㅔ", "HELP"),
    ("ㅓㅐㅑㅜ r", "JOIN <room>"),
    ("ehdnaakf", "HELP"),
    ("qkd", "ROOMS"),
];

#[test]
fn mistyped_commands_are_answered_with_suggestions() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    for (typed, hint) in TYPED {
        let answer = alice.ask(typed).remove(0);
        assert!(answer.starts_with("ERR bad-command no such verb; ") && answer.contains(hint), "{typed}: {answer}");
        // It is no worse as the first line, and the second may be right.
        let mut stranger = Lines::connect(daemon.address());
        let answer = stranger.ask(typed).remove(0);
        assert!(answer.starts_with("ERR hello-first ") && answer.contains("HELLO <client>"), "{typed}: {answer}");
        let hint = hint.trim_end_matches(", without the slash").trim_end_matches(" lists");
        assert!(answer.contains(hint), "{typed}: {answer}");
        stranger.expect("PING", "OK pong");
        assert!(stranger.ask("HELLO bob")[0].starts_with("OK "), "{typed}");
    }
    for (typed, hint) in [
        ("JOIN my room", "my-room"),
        ("FETCH my room", "not room"),
        ("CREATE", "usage: CREATE"),
        ("HELP me", "SEND <room> <text>"),
        ("HELP me please", "one word too many"),
        ("HELP joni", "JOIN <room>"),
        ("HELLO alice smith", "no spaces"),
        ("HELLO alice van smith", "alice-van-smith"),
        ("HELLO 앨리스 김", "no spaces"),
    ] {
        let mut lines = if typed.starts_with("HEL") { Lines::connect(daemon.address()) } else { daemon.lines("alice") };
        let answer = lines.ask(typed).remove(0);
        assert!(answer.starts_with("ERR bad-argument ") && answer.contains(hint), "{typed}: {answer}");
        lines.expect("PING", "OK pong");
    }
    // A word too long to be typed is not compared with anything.
    alice.expect(&"x".repeat(60_000), "ERR bad-command no such verb; HELP lists them");
}

#[test]
fn a_wrong_first_line_may_be_retried() {
    let daemon = Daemon::start();
    for (first, code, hint) in [
        ("NICK alice", "hello-first", "HELLO <client> first: it identifies you"),
        ("JOIN r", "hello-first", "HELLO <client> first, and then JOIN"),
        ("@", "bad-argument", "tag"),
        (" hola", "hello-first", "HELLO <client>"),
        ("\thello", "hello-first", "HELLO <client>"),
        ("\x1b[A", "hello-first", "HELLO <client>"),
        ("\x7f\x7fhello alice", "hello-first", "HELLO <client>"),
    ] {
        let mut lines = Lines::connect(daemon.address());
        for _ in 0..2 {
            let answer = lines.ask(first).remove(0);
            assert!(answer.starts_with(&format!("ERR {code} ")) && answer.contains(hint), "{first}: {answer}");
        }
        assert!(lines.ask("HELLO alice")[0].starts_with("OK "), "{first}");
        // From here on every line may be wrong.
        (0..9).for_each(|_| assert!(lines.ask("nonsense")[0].starts_with("ERR bad-command ")));
    }
    // A file that begins with a byte order mark; a terminal with another encoding.
    let mut lines = Lines::connect(daemon.address());
    assert!(lines.ask("\u{feff}HELLO alice")[0].starts_with("OK "));
    let mut lines = Lines::connect(daemon.address());
    lines.send_bytes(b"\xc7\xef\xc0\xcc\n");
    assert!(lines.answer()[0].starts_with("ERR not-utf8 "));
    assert!(lines.ask("HELLO alice")[0].starts_with("OK "));
}
