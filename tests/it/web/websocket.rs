//! Sessions over a WebSocket.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_websockets::Message;

use super::document::close_codes;
use crate::common::web::{Closed, PROTOCOL, Socket, Web};
use crate::common::{connect, wait_until};

/// The mask of every raw frame.
const MASK: [u8; 4] = [1, 2, 3, 4];

/// A masked frame, for what a sound client does not send.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..126) => bytes.push(0x80 | short as u8),
        Ok(medium) => {
            bytes.push(0x80 | 126);
            bytes.extend(medium.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The head of a request for a WebSocket.
pub fn handshake(web: &Web) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n",
        web.address
    )
}

/// Sends a handshake and raw frames in one piece; returns the payloads of the frames that come back, each behind its first byte.
fn raw(web: &Web, frames: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut stream = connect(web.address);
    stream.write_all(&[handshake(web).as_bytes(), frames].concat()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(bytes.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&bytes));
    let mut rest = &bytes[head..];
    let mut frames = Vec::new();
    while let [first, length, behind @ ..] = rest {
        let (length, behind) = match length {
            127 => (u64::from_be_bytes(behind[..8].try_into().unwrap()) as usize, &behind[8..]),
            126 => (usize::from(u16::from_be_bytes(behind[..2].try_into().unwrap())), &behind[2..]),
            short => (usize::from(*short), behind),
        };
        frames.push((*first, behind[..length].to_vec()));
        rest = &behind[length..];
    }
    frames
}

/// The code of a close frame, which protocol.md has.
fn code(frame: &(u8, Vec<u8>)) -> Option<u16> {
    let code = (frame.0 == 0x88).then(|| u16::from_be_bytes(frame.1[..2].try_into().unwrap()))?;
    assert!(close_codes().contains(&code), "{code} is in no row of protocol.md");
    Some(code)
}

fn objects(frames: &[(u8, Vec<u8>)]) -> Vec<Value> {
    let texts = frames.iter().filter(|frame| frame.0 == 0x81).map(|frame| std::str::from_utf8(&frame.1).unwrap());
    texts.flat_map(|text| text.split('\n')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_session_from_hello_to_quit() {
    let web = Web::start();
    let mut alice = web.hello("alice/web");
    assert_eq!(alice.ask(json!({"do": "join", "room": "lobby"}))["type"], "ok");
    let sent = alice.ask(json!({"do": "send", "room": "lobby", "text": "안녕\nhello", "id": "1"}));
    assert_eq!((&sent["seq"], &sent["dup"]), (&json!(1), &json!(false)));
    let again = alice.ask(json!({"do": "send", "room": "lobby", "text": "안녕\nhello", "id": "1"}));
    assert_eq!((&again["seq"], &again["dup"]), (&json!(1), &json!(true)));
    // A client for lines sees the same.
    let mut bob = web.daemon.lines("bob");
    bob.ask("JOIN lobby");
    let fetched = bob.ask("FETCH lobby");
    assert!(fetched[0].ends_with(r" alice 안녕\nhello"), "{fetched:?}");
    alice.ask(json!({"do": "follow", "room": "lobby"}));
    assert_eq!(alice.push()["text"], "안녕\nhello");
    bob.expect("SEND lobby to all", "OK 2");
    let pushed = alice.push();
    assert_eq!((&pushed["type"], &pushed["seq"], &pushed["text"]), (&json!("message"), &json!(2), &json!("to all")));
    let refused = alice.ask(json!({"do": "format", "format": "text"}));
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("bad-argument")));
    assert_eq!(alice.ask(json!({"do": "quit"}))["type"], "ok");
    assert_eq!(alice.rest().1, Some(Closed { code: 1000, reason: String::new() }));
}

#[test]
fn requests_that_arrive_together_are_answered_in_order() {
    let web = Web::start();
    let mut alice = web.hello("alice");
    alice.ask(json!({"do": "join", "room": "lobby"}));
    let sends: Vec<u64> = (0..2000)
        .map(|number| alice.request(json!({"do": "send", "room": "lobby", "text": format!("message {number}")})))
        .collect();
    for (number, tag) in (1..).zip(sends) {
        assert_eq!(alice.answer(tag), [json!({"type": "ok", "tag": tag, "seq": number, "dup": false})]);
    }
    assert!(alice.pushes.is_empty());
    // A body of which every byte is an escape.
    let text = "\u{1}".repeat(65536);
    assert_eq!(alice.ask(json!({"do": "send", "room": "lobby", "text": text}))["seq"], 2001);
    let tag = alice.request(json!({"do": "fetch", "room": "lobby", "after": 2000}));
    assert_eq!(alice.answer(tag)[0]["text"], text);
    let refused = alice.ask(json!({"do": "send", "room": "lobby", "text": "x".repeat(65537)}));
    assert_eq!(refused["code"], "too-long");
}

#[test]
fn frames_that_come_with_the_handshake_count() {
    let web = Web::start();
    let hello = frame(0x81, br#"{"do":"hello","tag":"a","client":"alice"}"#);
    let quit = frame(0x81, br#"{"do":"quit","tag":"b"}"#);
    let frames = raw(&web, &[hello, quit].concat());
    let tags: Vec<Value> = objects(&frames).iter().map(|object| object["tag"].clone()).collect();
    assert_eq!(tags, ["a", "b"]);
    assert_eq!(code(frames.last().unwrap()), Some(1000));
}

#[test]
fn what_breaks_the_rules_is_told_after_the_answers_to_what_was_right() {
    let web = Web::start();
    let hello = frame(0x81, br#"{"do":"hello","tag":1,"client":"alice"}"#);
    let unmasked = b"\x81\x02{}".to_vec();
    let huge = [vec![0x81, 0xff], (1_u64 << 40).to_be_bytes().to_vec(), MASK.to_vec()].concat();
    for (wrong, closed, error) in [
        (frame(0x82, b"x"), 1003, "bad-frame"),
        (unmasked, 1002, "bad-frame"),
        (frame(0xc1, b"{}"), 1002, "bad-frame"),
        (frame(0x80, b"{}"), 1002, "bad-frame"),
        (frame(0x09, b""), 1002, "bad-frame"),
        (frame(0x81, b"\xff"), 1007, "not-utf8"),
        (huge, 1009, "too-long"),
        (frame(0x89, b"").repeat(300), 1008, "limit"),
        ([frame(0x01, b"{"), frame(0x00, b"").repeat(300)].concat(), 1008, "limit"),
    ] {
        let after = frame(0x81, br#"{"do":"ping","tag":2}"#);
        let frames = raw(&web, &[hello.clone(), wrong.clone(), after].concat());
        let objects = objects(&frames);
        assert_eq!(objects.len(), 2, "{wrong:x?}: {objects:?}");
        assert_eq!((&objects[0]["type"], &objects[0]["tag"]), (&json!("ok"), &json!(1)));
        assert_eq!((&objects[1]["type"], &objects[1]["code"]), (&json!("error"), &json!(error)), "{objects:?}");
        assert_eq!(code(frames.last().unwrap()), Some(closed), "{wrong:x?}");
    }
    // All the while, it serves.
    web.hello("alice").ask(json!({"do": "ping"}));
}

#[test]
fn requests_may_come_in_fragments_and_pings_between_them() {
    let web = Web::start();
    let frames = raw(
        &web,
        &[
            frame(0x01, br#"{"do":"hello","#),
            frame(0x89, b"first"),
            frame(0x00, br#""tag":1,"client":"al"#),
            frame(0x89, b"second"),
            frame(0x80, br#"ice"}"#),
            frame(0x88, b""),
        ]
        .concat(),
    );
    assert_eq!(objects(&frames)[0]["client"], "alice");
    let pongs: Vec<&[u8]> = frames.iter().filter(|frame| frame.0 == 0x8a).map(|frame| &*frame.1).collect();
    // The last ping's is enough.
    assert_eq!(pongs, [b"second"]);
    // A close without a code is answered in kind.
    assert_eq!(frames.last().unwrap(), &(0x88, Vec::new()));
}

#[test]
fn a_message_that_is_no_request_is_refused_and_the_next_one_is_not() {
    let web = Web::start();
    let mut alice = web.hello("alice");
    for (message, code) in [
        ("", "bad-command"),
        ("PING", "bad-command"),
        ("{\"do\":\"ping\"", "bad-command"),
        ("{\"do\":\"ping\"}\n{\"do\":\"ping\"}", "bad-command"),
        ("{\"do\":\"nothing\"}", "bad-command"),
        ("{\"do\":\"join\"}", "bad-argument"),
    ] {
        alice.send(Message::text(message.to_owned()));
        let refused = alice.next().unwrap();
        assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!(code)), "{message}: {refused}");
    }
    assert_eq!(alice.ask(json!({"do": "ping"}))["type"], "ok");
}

#[test]
fn without_hello_it_is_closed_in_time() {
    let web = Web::start_with(&["--hello-timeout", "300ms"]);
    let mut socket = web.socket();
    assert_eq!(socket.ask(json!({"do": "rooms"}))["code"], "hello-first");
    let (last, closed) = socket.rest();
    assert_eq!(last.unwrap()["code"], "hello-first");
    assert_eq!(closed.unwrap().code, 1008);
    // Who has said it stays.
    let mut alice = web.hello("alice");
    assert!(alice.is_quiet_for(Duration::from_millis(600)));
    assert_eq!(alice.ask(json!({"do": "ping"}))["type"], "ok");
}

#[test]
fn a_revoked_token_is_told_and_closes_it() {
    let web = Web::start();
    let token = web.daemon.token(&["issue", "alice"]);
    let mut stranger = web.socket();
    assert_eq!(stranger.ask(json!({"do": "hello", "client": "alice"}))["code"], "denied");
    let mut alice = web.socket();
    assert_eq!(alice.ask(json!({"do": "hello", "client": "alice", "token": token}))["type"], "ok");
    web.daemon.token(&["revoke", "alice"]);
    let (last, closed) = alice.rest();
    assert_eq!(last.unwrap()["code"], "denied");
    assert_eq!(closed.unwrap().code, 1008);
}

#[test]
fn who_is_gone_leaves_who_and_gives_back_what_it_took() {
    let web = Web::start();
    let mut bob = web.daemon.lines("bob");
    bob.ask("JOIN jobs");
    bob.ask("GROUP jobs workers from=start");
    bob.expect("SEND jobs work", "OK 1");
    let mut alice = web.hello("alice");
    alice.ask(json!({"do": "join", "room": "jobs"}));
    let tag = alice.request(json!({"do": "take", "room": "jobs", "group": "workers"}));
    assert_eq!(alice.answer(tag)[0]["text"], "work");
    let online = |bob: &mut crate::common::Lines| {
        // The number is that of its connections.
        bob.ask("WHO jobs").iter().any(|line| line.starts_with("MEMBER jobs alice 1 "))
    };
    assert!(online(&mut bob), "{:?}", bob.ask("WHO jobs"));
    assert_eq!(bob.ask("TAKE jobs workers"), ["OK 0"]);
    // Broken without a word, having sent nothing since.
    drop(alice);
    wait_until("alice is gone", || !online(&mut bob));
    wait_until("the message is free again", || bob.ask("TAKE jobs workers").len() == 2);
}

#[test]
fn a_take_waits_while_pings_are_answered_and_pushes_go_on() {
    let web = Web::start();
    let mut alice = web.hello("alice");
    for request in [
        json!({"do": "join", "room": "jobs"}),
        json!({"do": "group", "room": "jobs", "group": "workers", "from": "start"}),
        json!({"do": "follow", "room": "jobs"}),
    ] {
        assert_eq!(alice.ask(request)["type"], "ok");
    }
    let tag = alice.request(json!({"do": "take", "room": "jobs", "group": "workers", "wait": "60s"}));
    alice.send(Message::ping(&b"there?"[..]));
    let mut bob = web.daemon.lines("bob");
    bob.ask("JOIN jobs");
    bob.expect("SEND jobs work", "OK 1");
    assert_eq!(alice.answer(tag)[0]["text"], "work");
    assert_eq!(alice.push()["text"], "work");
}

#[test]
fn a_reader_that_stops_is_not_read_from_and_takes_little_memory() {
    let web = Web::start_with(&["--max-body", "1MiB"]);
    let mut writer = web.daemon.lines("writer");
    writer.ask("JOIN r");
    let body = "x".repeat(1 << 20);
    for seq in 1..=64 {
        writer.expect(&format!("SEND r {body}"), &format!("OK {seq}"));
    }
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", web.daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    };
    let before = resident();
    let mut stuck: Vec<Socket> = (0..8).map(|number| web.hello(&format!("stuck{number}"))).collect();
    for socket in &mut stuck {
        socket.ask(json!({"do": "join", "room": "r"}));
        // Answers of 64 MiB each that nobody reads, and requests until the daemon takes no more of them.
        let fetch = Message::text(json!({"do": "fetch", "room": "r", "after": 0}).to_string());
        for _ in 0..20 {
            socket.send(fetch.clone());
        }
    }
    // The daemon serves everybody else meanwhile.
    for seq in 65..=80 {
        writer.expect(&format!("SEND r {body}"), &format!("OK {seq}"));
    }
    let mut reader = web.hello("reader");
    reader.ask(json!({"do": "join", "room": "r"}));
    let tag = reader.request(json!({"do": "fetch", "room": "r", "after": 79}));
    assert_eq!(reader.answer(tag)[0]["seq"], 80);
    let after = resident();
    assert!(after < before + 200, "{before} MiB before and {after} MiB after: 8 readers wait for 10 GiB");
}

#[test]
fn a_stop_answers_what_has_arrived_and_says_why() {
    let mut web = Web::start();
    let mut alice = web.hello("alice");
    alice.ask(json!({"do": "join", "room": "lobby"}));
    let mut idle = web.socket();
    let tag = alice.request(json!({"do": "send", "room": "lobby", "text": "last"}));
    web.daemon.signal("TERM");
    assert_eq!(alice.answer(tag)[0]["seq"], 1);
    for socket in [&mut alice, &mut idle] {
        let (last, closed) = socket.rest();
        assert_eq!(last.unwrap()["code"], "stopping");
        assert_eq!(closed.unwrap().code, 1001);
    }
    assert_eq!(web.daemon.wait().code(), Some(0));
}

#[test]
fn a_close_is_answered_after_what_came_before() {
    let web = Web::start();
    let mut alice = web.hello("alice");
    alice.ask(json!({"do": "join", "room": "lobby"}));
    let tag = alice.request(json!({"do": "send", "room": "lobby", "text": "last words"}));
    alice.close();
    assert_eq!(alice.answer(tag)[0]["seq"], 1);
    assert_eq!(alice.rest().1, Some(Closed { code: 1000, reason: String::new() }));
    // A connection that ends without a close frame has said what it has said.
    let mut bob = connect(web.address);
    let hello = frame(0x81, br#"{"do":"hello","client":"bob"}"#);
    let send = frame(0x81, br#"{"do":"join","room":"lobby"}"#);
    bob.write_all(&[handshake(&web).as_bytes(), &hello, &send].concat()).unwrap();
    bob.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = Vec::new();
    bob.read_to_end(&mut text).unwrap();
    assert_eq!(String::from_utf8_lossy(&text).matches("\"type\":\"ok\"").count(), 2);
}
