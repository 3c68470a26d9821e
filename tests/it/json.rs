//! FORMAT json: each answer and each push is an object on a separate line.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{Daemon, Lines, has_tool};
use dantok_protocol::text::is_unsafe;
use serde_json::{Value, json};

/// The next line, which is an object; times are checked and taken out.
fn next(lines: &mut Lines) -> Value {
    let line = lines.line().unwrap();
    assert!(!line.chars().any(is_unsafe), "{line}");
    let mut value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    for name in ["time", "active", "since"] {
        if let Some(Value::String(time)) = value.as_object_mut().unwrap().remove(name) {
            humantime::parse_rfc3339(&time).unwrap();
        }
    }
    value
}

fn ask(lines: &mut Lines, line: &str) -> Value {
    lines.send(line);
    next(lines)
}

#[test]
fn every_answer_and_every_push_is_an_object() {
    let daemon = Daemon::start();
    let mut alice = Lines::connect(daemon.address());
    // As the very first line too.
    assert_eq!(ask(&mut alice, "FORMAT json"), json!({"type": "ok"}));
    let welcome = ask(&mut alice, "@1 HELLO alice/desk");
    assert_eq!(
        (&welcome["tag"], &welcome["client"], &welcome["admin"]),
        (&json!("1"), &json!("alice/desk"), &json!(false))
    );
    assert_eq!(
        ask(&mut alice, "JOIN lobby"),
        json!({"type": "ok", "cursor": 0, "last": 0, "created": true, "number": 1})
    );
    assert_eq!(ask(&mut alice, "SEND id=x lobby 안녕 \"하세요\""), json!({"type": "ok", "seq": 1, "dup": false}));
    alice.send_bytes(b"SENDB reply=1 lobby 3\n\x00\xff\n\n");
    assert_eq!(next(&mut alice), json!({"type": "ok", "seq": 2, "dup": false}));
    alice.send_bytes("SENDB lobby 14\n\u{1b}[2J \u{9b} \u{202e} \u{7f}\nX\n".as_bytes());
    assert_eq!(next(&mut alice)["code"], "bad-argument", "the count was wrong");
    let mut alice = daemon.lines("alice/phone");
    alice.expect("JOIN lobby", "OK cursor=0 last=2");
    assert_eq!(ask(&mut alice, "FORMAT json"), json!({"type": "ok"}));
    let text = "\u{1b}[2J \u{9b} \u{202e} \u{7f}\n\\";
    alice.send(&format!("SENDB lobby {}\n{text}", text.len()));
    assert_eq!(next(&mut alice), json!({"type": "ok", "seq": 3, "dup": false}));
    alice.send("@f FETCH lobby");
    let message = |seq: u64, more: Value| {
        let mut message = json!({"type": "message", "tag": "f", "room": "lobby", "seq": seq, "client": "alice"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    assert_eq!(next(&mut alice), message(1, json!({"text": "안녕 \"하세요\""})));
    assert_eq!(next(&mut alice), message(2, json!({"base64": "AP8K", "reply": 1})));
    assert_eq!(next(&mut alice), message(3, json!({"text": text})));
    assert_eq!(
        next(&mut alice),
        json!({"type": "end", "tag": "f", "room": "lobby", "handed": 3, "oldest": 1, "last": 3})
    );
    assert_eq!(ask(&mut alice, "ACK lobby"), json!({"type": "ok", "cursor": 3}));
    alice.send("ROOMS");
    assert_eq!(
        next(&mut alice),
        json!({"type": "room", "room": "lobby", "members": 2, "last": 3, "unread": 0, "topic": "", "private": false, "cursor": 3})
    );
    assert_eq!(next(&mut alice), json!({"type": "ok", "count": 1}));
    alice.send("WHO lobby");
    let member = json!({
        "type": "member", "room": "lobby", "client": "alice/phone", "connections": 1, "cursor": 3, "nick": "alice"
    });
    assert_eq!(next(&mut alice)["client"], "alice/desk");
    assert_eq!(next(&mut alice), member);
    assert_eq!(next(&mut alice), json!({"type": "ok", "count": 2}));
    let error = ask(&mut alice, "JOIN a=b");
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("bad-argument")));
    let group = json!({"type": "ok", "cursor": 0, "last": 3, "timeout_ms": 30_000});
    assert_eq!(ask(&mut alice, "GROUP lobby w"), group);
    alice.send("GROUPS lobby");
    let group = json!({"type": "group", "room": "lobby", "group": "w", "cursor": 0, "pending": 0, "waiting": 3, "timeout_ms": 30_000});
    assert_eq!(next(&mut alice), group);
    assert_eq!(next(&mut alice), json!({"type": "ok", "count": 1}));
    assert!(ask(&mut alice, "STATS")["commits"].as_u64().unwrap() > 0);
    // Pushes.
    assert_eq!(ask(&mut alice, "FOLLOW lobby"), json!({"type": "ok", "after": 3, "number": 1}));
    assert_eq!(ask(&mut alice, "EVENTS on"), json!({"type": "ok"}));
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN lobby from=now", "OK cursor=3 last=3");
    assert_eq!(next(&mut alice), json!({"type": "event", "room": "lobby", "client": "bob", "event": "joined"}));
    bob.expect("SEND lobby hi", "OK 4");
    assert_eq!(next(&mut alice), json!({"type": "message", "room": "lobby", "seq": 4, "client": "bob", "text": "hi"}));
    assert_eq!(ask(&mut alice, "FORMAT yaml")["code"], "bad-argument");
    alice.expect("FORMAT text", "OK");
    alice.expect("PING", "OK pong");
}

#[test]
fn followers_get_the_same_in_every_format() {
    let daemon = Daemon::start();
    let mut plain = [daemon.lines("a"), daemon.lines("b")];
    let mut json = [daemon.lines("c"), daemon.lines("d")];
    for lines in plain.iter_mut().chain(&mut json) {
        lines.ask("JOIN lobby");
        lines.ask("FOLLOW lobby");
    }
    for lines in &mut json {
        ask(lines, "FORMAT json");
    }
    let mut sender = daemon.lines("e");
    sender.ask("JOIN lobby");
    for seq in 1..=50 {
        sender.expect(&format!("SEND lobby {seq}"), &format!("OK {seq}"));
    }
    for seq in 1..=50u64 {
        for lines in &mut plain {
            assert!(lines.line().unwrap().ends_with(&format!(" e {seq}")));
        }
        for lines in &mut json {
            assert_eq!(next(lines)["text"], seq.to_string());
        }
    }
}

#[test]
fn netcat_and_jq_work_together() {
    if !has_tool("nc") || !has_tool("jq") {
        return;
    }
    let daemon = Daemon::start();
    let script = format!(
        "printf 'FORMAT json\\nHELLO alice\\nJOIN lobby\\nSEND lobby 안녕\\nFETCH lobby\\n' | nc -N 127.0.0.1 {} \
         | jq -r 'select(.type == \"message\") | \"\\(.seq) \\(.client): \\(.text)\"'",
        daemon.address().port()
    );
    let mut shell = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1 alice: 안녕\n");
}
