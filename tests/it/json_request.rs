//! Requests in JSON: what the decoder makes of them, and what the daemon answers.

use std::collections::BTreeSet;

use bytes::BytesMut;
use dantok_protocol::limits::{ENVELOPE_BYTES, JSON_FACTOR};
use dantok_protocol::line::{LineDecoder, VERBS};
use dantok_protocol::{ErrorCode, Incoming, Tag};
use serde_json::{Value, json};
use tokio_util::codec::Decoder as _;

use crate::common::{Daemon, Lines};

const BODY_MAX: usize = 100;

fn decoded(pieces: &[&[u8]]) -> Vec<Incoming> {
    let (mut decoder, mut buffer, mut found) = (LineDecoder::new(BODY_MAX), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        found.extend(std::iter::from_fn(|| decoder.decode(&mut buffer).unwrap()));
    }
    found
}

/// What was found, in brief: `ok` for a request, or a refusal's code; `!` says that the connection ends there.
fn brief(found: &[Incoming]) -> Vec<String> {
    let one = |incoming: &Incoming| match incoming {
        Incoming::Request { .. } => "ok".to_owned(),
        Incoming::Refused { refusal, .. } => refusal.code.as_str().to_owned(),
        Incoming::Broken(refusal) => format!("{}!", refusal.code.as_str()),
        Incoming::Telnet(_) => "telnet".to_owned(),
    };
    found.iter().map(one).collect()
}

const HELLO: &str = r#"{"do":"hello","client":"a"}"#;

#[test]
fn a_connection_may_begin_in_json() {
    for (bytes, expected) in [
        (&b"{\"do\":\"ping\"}\n"[..], &["ok"][..]),
        (b"{\"do\":\"Help\"}\r\n", &["ok"]),
        (b"\r\n\n{\"do\":\"quit\"}\n", &["ok"]),
        (b"\xef\xbb\xbf{\"do\":\"format\",\"format\":\"text\"}\n", &["ok"]),
        // Only at the very start.
        (b"PING\n\xef\xbb\xbf{\"do\":\"ping\"}\n", &["ok", "bad-command"]),
        (b"\xff\xfd\x03{\"do\":\"ping\"}\n", &["telnet", "ok"]),
        (b"{\"do\":\"hello\"}\nJOIN r\n", &["bad-argument", "ok"]),
        (b"{\"do\":\"join\",\"room\":\"r\"}\nPING\n", &["hello-first", "ok"]),
        (b"{\"do\":\n{\"do\":\"ping\"}\n{\"do\":\"join\",\"room\":\"r\"}\n", &["bad-command", "ok", "ok"]),
        (b"{\"do\":\"x\"}\nnonsense\n{\nPING\n", &["hello-first", "hello-first", "bad-command!"]),
        (b"{\"do\":\"join\",\"do\":1}\n{}x\n{\"do\"}\nPING\n", &["bad-argument", "bad-command", "bad-command!"]),
        (b"{\"do\":\"hello\xff\"}\nPING\n", &["not-utf8", "ok"]),
        // Of another protocol: nothing that follows is read.
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"hello\"}\nHELLO a\n", &["hello-first!"]),
        (b"{}\nHELLO a\n", &["hello-first!"]),
        (b"{\"do\":7}\nHELLO a\n", &["hello-first!"]),
        (b"{\"do\":\"ping\"} / HTTP/1.1\r\nHELLO a\n", &["hello-first!"]),
        (b"{\"do\":\"ping\"\0}\nHELLO a\n", &["hello-first!"]),
        (b"[{\"do\":\"ping\"}]\nHELLO a\n", &["hello-first!"]),
        (b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n{\"do\":\"hello\",\"client\":\"a\"}\n", &["hello-first!"]),
        (b"POST /\n{\"do\":\"hello\",\"client\":\"a\"}\n", &["hello-first!"]),
        (b"nonsense\nHost: x\n{\"do\":\"hello\",\"client\":\"a\"}\n", &["hello-first", "hello-first!"]),
        // The tag is a member.
        (b"@1 {\"do\":\"ping\"}\nPING\n", &["hello-first", "ok"]),
    ] {
        for at in 0..=bytes.len() {
            let (one, two) = bytes.split_at(at);
            assert_eq!(brief(&decoded(&[one, two])), expected, "{}, cut at {at}", bytes.escape_ascii());
        }
    }
}

#[test]
fn it_has_a_length_of_its_own_and_its_body_the_same_as_ever() {
    let line_max = JSON_FACTOR * (BODY_MAX + ENVELOPE_BYTES);
    let send = |text: &str| format!(r#"{{"do":"send","tag":1,"room":"r","text":"{text}"}}"#);
    let after = |line: &str| brief(&decoded(&[HELLO.as_bytes(), b"\n", line.as_bytes(), b"\nPING\n"])[1..]);
    assert_eq!(after(&send(&"x".repeat(BODY_MAX))), ["ok", "ok"]);
    assert_eq!(after(&send(&"\\u0000".repeat(BODY_MAX))), ["ok", "ok"]);
    assert_eq!(after(&send(&"x".repeat(BODY_MAX + 1))), ["too-long", "ok"]);
    assert_eq!(after(&send(&"\\u0000".repeat(BODY_MAX + 1))), ["too-long", "ok"]);
    // The refusal of a body has its tag, that of a line has none.
    let found = decoded(&[HELLO.as_bytes(), b"\n", send(&"x".repeat(BODY_MAX + 1)).as_bytes(), b"\n"]);
    assert!(matches!(&found[1], Incoming::Refused { tag: Tag::Id(1), .. }), "{found:?}");

    let padded = |length: usize| format!("{{{}\"do\":\"ping\"}}", " ".repeat(length - r#"{"do":"ping"}"#.len()));
    assert_eq!(after(&padded(line_max)), ["ok", "ok"]);
    assert_eq!(after(&padded(line_max + 1)), ["too-long", "ok"]);
    // The first line, behind a byte order mark, is no shorter for that.
    let marked = format!("\u{feff}{}\n", padded(line_max - 3));
    assert_eq!(brief(&decoded(&[marked.as_bytes()])), ["ok"]);
    // Refused as soon as it is too long, and skipped up to its end.
    let mut half = padded(2 * line_max).into_bytes();
    half.truncate(line_max + 1);
    assert_eq!(brief(&decoded(&[HELLO.as_bytes(), b"\n", &half])), ["ok", "too-long"]);
    assert_eq!(brief(&decoded(&[&half])), ["too-long!"]);
    // Other lines have no longer limit for that.
    let line = format!("SEND r {{{}", "x".repeat(BODY_MAX + ENVELOPE_BYTES));
    assert_eq!(after(&line), ["too-long", "ok"]);
    assert_eq!(after(&format!(" {}", padded(BODY_MAX + ENVELOPE_BYTES))), ["too-long", "ok"]);
}

#[test]
fn hostile_json_is_refused_and_the_next_line_is_read() {
    let deep = |open: &str, shut: &str| {
        let depth = 500;
        format!(r#"{{"do":"ping","tag":{}1{}}}"#, open.repeat(depth), shut.repeat(depth))
    };
    let members: String = (0..80).map(|n| format!(",\"m{n}\":null")).collect();
    for bytes in [
        deep("[", "]").as_bytes(),
        deep(r#"{"a":"#, "}").as_bytes(),
        "{".repeat(1000).as_bytes(),
        format!(r#"{{"do":"ping"{members}}}"#).as_bytes(),
        format!(r#"{{"do":"ping","{}":1}}"#, "x".repeat(1000)).as_bytes(),
        format!(r#"{{"do":"{}"}}"#, "x".repeat(1000)).as_bytes(),
        format!(r#"{{"do":"fetch","room":"r","max":"{}"}}"#, "9".repeat(1000)).as_bytes(),
        format!(r#"{{"do":"fetch","room":"r","max":{}}}"#, "9".repeat(1000)).as_bytes(),
        format!(r#"{{"do":"fetch","room":"r","max":1e{}}}"#, "9".repeat(100)).as_bytes(),
        br#"{"do":"send","room":"r","text":"\ud800"}"#,
        br#"{"do":"send","room":"r","text":"\ud800\u0041"}"#,
        br#"{"do":"send","room":"r","text":"\udc00\ud800"}"#,
        br#"{"do":"send","room":"r","text":"\x41"}"#,
        b"{\"do\":\"send\",\"room\":\"r\",\"text\":\"\xed\xa0\x80\"}",
        b"{\"do\":\"send\",\"room\":\"r\",\"text\":\"\xc0\x80\"}",
        b"{\"do\":\"send\",\"room\":\"r\",\"text\":\"a\0b\"}",
        b"{\"do\":\"send\",\"room\":\"r\",\"text\":\"a\rb\"}",
        br#"{"do":"send","room":"r","text":"a"}{"do":"quit"}"#,
        br#"{"do":"send","room":"r","text":"a"} QUIT"#,
        br#"{"do":"ping",}"#,
        br#"{'do':'ping'}"#,
        br#"{"do":"ping"/**/}"#,
        br#"{"do":NaN}"#,
        b"{\"do\":\"pi\xcc\x88ng\"}",
        "{\"do\":\"ping\u{2028}\"}".as_bytes(),
    ] {
        let found = decoded(&[HELLO.as_bytes(), b"\n", bytes, b"\r\nPING\n"]);
        let shown = bytes.escape_ascii();
        assert!(matches!(&found[..], [_, Incoming::Refused { .. }, Incoming::Request { .. }]), "{shown}: {found:?}");
        let Incoming::Refused { refusal, .. } = &found[1] else { unreachable!() };
        assert!(refusal.text.len() < 400, "{shown}: {refusal}");
    }
}

/// The next line, without what differs from run to run.
fn next(lines: &mut Lines) -> Value {
    let line = lines.line().unwrap();
    let mut value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    for name in ["time", "active", "since", "epoch", "server"] {
        value.as_object_mut().unwrap().remove(name);
    }
    value
}

/// Sends a request, and takes the lines of its answer.
fn ask(lines: &mut Lines, request: &Value) -> Vec<Value> {
    lines.send(&request.to_string());
    let mut answer = Vec::new();
    loop {
        let line = next(lines);
        let kind = line["type"].clone();
        answer.push(line);
        if [json!("ok"), json!("error"), json!("end")].contains(&kind) {
            return answer;
        }
    }
}

#[test]
fn every_command_is_carried_out() {
    let daemon = Daemon::start();
    let mut alice = Lines::connect(daemon.address());
    let mut done = BTreeSet::from(["SENDB"]);
    let message = |seq: u64, text: &str| json!({"type": "message", "tag": 7, "room": "r", "seq": seq, "client": "alice", "text": text});
    let end = |last: u64| json!({"type": "end", "tag": 7, "room": "r", "handed": last, "oldest": 1, "last": last});
    let ok = |more: Value| {
        let mut ok = json!({"type": "ok", "tag": 7});
        ok.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ok
    };
    // `None`: only the last line is looked at, and that it is OK.
    for (request, expected) in [
        (json!({"do": "ping"}), Some(vec![ok(json!({}))])),
        (json!({"do": "hello", "client": "alice/web", "token": null}), None),
        (json!({"do": "nick", "name": "앨리스"}), Some(vec![ok(json!({}))])),
        (
            json!({"do": "create", "room": "r", "topic": "a topic"}),
            Some(vec![ok(json!({"created": true, "number": 1}))]),
        ),
        (json!({"do": "create", "room": "s", "private": true}), Some(vec![ok(json!({"created": true, "number": 2}))])),
        (
            json!({"do": "join", "room": "r", "from": "start"}),
            Some(vec![ok(json!({"cursor": 0, "last": 0, "created": false, "number": 1}))]),
        ),
        (
            json!({"do": "send", "room": "r", "text": "안\n녕\u{0}", "id": "x"}),
            Some(vec![ok(json!({"seq": 1, "dup": false}))]),
        ),
        (
            json!({"do": "send", "room": "r", "text": "안\n녕\u{0}", "id": "x"}),
            Some(vec![ok(json!({"seq": 1, "dup": true}))]),
        ),
        (json!({"do": "send", "room": "r", "base64": "aGk="}), Some(vec![ok(json!({"seq": 2, "dup": false}))])),
        (json!({"do": "fetch", "room": "r"}), Some(vec![message(1, "안\n녕\u{0}"), message(2, "hi"), end(2)])),
        (json!({"do": "read", "room": "r", "max": "1"}), None),
        (json!({"do": "ack", "room": "r", "seq": 1}), Some(vec![ok(json!({"cursor": 1}))])),
        (json!({"do": "history", "room": "r", "before": 2, "since": "1h", "max": 5}), None),
        (json!({"do": "seek", "room": "r", "seq": "start"}), Some(vec![ok(json!({"cursor": 0}))])),
        (json!({"do": "seek", "room": "r", "seq": 2}), Some(vec![ok(json!({"cursor": 2}))])),
        (json!({"do": "topic", "room": "r"}), Some(vec![ok(json!({"topic": "a topic"}))])),
        (json!({"do": "topic", "room": "r", "topic": "--clear"}), Some(vec![ok(json!({}))])),
        (json!({"do": "topic", "room": "r", "clear": true}), Some(vec![ok(json!({}))])),
        (json!({"do": "join", "room": "s", "from": "none"}), None),
        (json!({"do": "invite", "room": "s", "client": "bob"}), None),
        (json!({"do": "kick", "room": "s", "client": "bob"}), None),
        (json!({"do": "ban", "room": "s", "client": "bob"}), None),
        (json!({"do": "access", "room": "s"}), None),
        (json!({"do": "unban", "room": "s", "client": "bob"}), None),
        (
            json!({"do": "retain", "room": "s", "retention": "2d", "cap": 1024}),
            Some(vec![ok(json!({"retention_secs": 172_800, "cap_bytes": 1024, "stored_bytes": 0}))]),
        ),
        (json!({"do": "group", "room": "r", "group": "g", "timeout": "5s"}), None),
        (
            json!({"do": "take", "room": "r", "group": "g", "max": 1, "wait": "5s"}),
            Some(vec![message(1, "안\n녕\u{0}"), ok(json!({"count": 1}))]),
        ),
        (json!({"do": "pending", "room": "r", "group": "g"}), None),
        (json!({"do": "groups", "room": "r"}), None),
        (json!({"do": "done", "room": "r", "group": "g", "seq": 1}), Some(vec![ok(json!({"cursor": 1}))])),
        (json!({"do": "ungroup", "room": "r", "group": "g"}), None),
        (json!({"do": "redact", "room": "r", "seq": 2}), Some(vec![ok(json!({"seq": 3, "dup": false}))])),
        (json!({"do": "events", "on": true}), None),
        (json!({"do": "typing", "room": "r"}), None),
        (json!({"do": "who", "room": "r"}), None),
        (json!({"do": "rooms"}), None),
        (json!({"do": "stats"}), None),
        (json!({"do": "help", "verb": "send"}), None),
        (json!({"do": "watch"}), None),
        (json!({"do": "unwatch"}), None),
        (json!({"do": "seek", "room": "r", "seq": "now"}), Some(vec![ok(json!({"cursor": 3}))])),
        (json!({"do": "follow", "room": "r"}), Some(vec![ok(json!({"after": 3, "number": 1}))])),
        (json!({"do": "unfollow", "room": "r"}), None),
        (json!({"do": "leave", "room": "r"}), None),
        (json!({"do": "delete", "room": "s", "number": 2}), None),
        (json!({"do": "format", "format": "json"}), Some(vec![ok(json!({}))])),
        (json!({"do": "QUIT"}), Some(vec![ok(json!({}))])),
    ] {
        let mut tagged = request.clone();
        tagged["tag"] = json!(7);
        let mut answer = ask(&mut alice, &tagged);
        // What WATCH and EVENTS push has no tag.
        answer.retain(|line| line.get("tag").is_some());
        match expected {
            Some(expected) => assert_eq!(answer, expected, "{request}"),
            None => assert_ne!(answer.last().unwrap()["type"], "error", "{request}: {answer:?}"),
        }
        assert!(answer.iter().all(|line| line["tag"] == 7), "{answer:?}");
        done.extend(
            VERBS
                .iter()
                .map(|verb| verb.name)
                .filter(|name| request["do"].as_str().unwrap().eq_ignore_ascii_case(name)),
        );
    }
    assert_eq!(alice.line(), None, "QUIT ends it");
    assert_eq!(done, VERBS.iter().map(|verb| verb.name).collect());
}

#[test]
fn the_first_line_chooses_the_form_of_answers_and_the_rest_may_be_mixed() {
    let daemon = Daemon::start();
    let mut json = Lines::connect(daemon.address());
    json.send(r#"{"do":"hello","tag":"a","client":"alice"}"#);
    let welcome = next(&mut json);
    assert_eq!((&welcome["type"], &welcome["tag"], &welcome["client"]), (&json!("ok"), &json!("a"), &json!("alice")));
    json.send("@b JOIN r");
    assert_eq!(next(&mut json)["tag"], "b");
    json.send_bytes(b"SENDB r 2\n{}\n{\"do\":\"ping\"}\n");
    assert_eq!(next(&mut json), json!({"type": "ok", "seq": 1, "dup": false}));
    assert_eq!(next(&mut json), json!({"type": "ok"}));
    json.send("{");
    let error = next(&mut json);
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("bad-command")));
    json.send(r#"{"do":"format","format":"text","tag":5}"#);
    assert_eq!(json.line().unwrap(), "@5 OK");
    json.expect(r#"{"do":"ack","tag":5,"room":"r","seq":1}"#, "@5 OK 1");

    // Behind a byte order mark, an empty line, and a telnet client's first bytes.
    for begin in [&b"\xef\xbb\xbf"[..], b"\r\n\n", b"\xff\xfd\x06"] {
        let mut lines = Lines::connect(daemon.address());
        lines.send_bytes(&[begin, b"{\"do\":\"ping\",\"tag\":9007199254740991}\nPING\n"].concat());
        if begin[0] == 0xff {
            lines.read_exact(&mut [0; 3]);
        }
        assert_eq!(next(&mut lines), json!({"type": "ok", "tag": 9_007_199_254_740_991_u64}));
        assert_eq!(next(&mut lines), json!({"type": "ok"}));
    }
    // A first line in text is answered in text, whatever follows.
    let mut text = daemon.lines("bob");
    text.expect(r#"{"do":"ping","tag":1}"#, "@1 OK pong");
    text.expect(r#"{"do":"nick"}"#, r#"ERR bad-argument name is missing; usage: {"do":"nick","name":"…"}"#);
    // Whoever begins in JSON is told so in JSON, even where it goes no further.
    let mut foreign = Lines::connect(daemon.address());
    foreign.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":1}\n{\"do\":\"hello\",\"client\":\"eve\"}\n");
    let rest = foreign.rest();
    assert_eq!(rest.lines().count(), 1, "{rest}");
    assert!(
        rest.starts_with(r#"{"type":"error","code":"hello-first","text":"this is dantok; begin with {\"do\":"#),
        "{rest}"
    );
}

#[test]
fn names_from_json_are_checked_like_all_others() {
    let daemon = Daemon::start();
    let mut lines = Lines::connect(daemon.address());
    for bad in ["a b", "", "a\u{0}b", "a\nb", "a\u{202e}b", "a=b", &"x".repeat(65), "-a"] {
        let hello = json!({"do": "hello", "client": bad});
        assert_eq!(ask(&mut lines, &hello)[0]["code"], ErrorCode::BadArgument.as_str(), "{bad:?}");
    }
    assert_eq!(ask(&mut lines, &json!({"do": "hello", "client": "alice"}))[0]["type"], "ok");
    for bad in ["a b", "", "a\u{0}b", "a\nb\nQUIT", "a\u{1b}[2J", "--private"] {
        for request in [
            json!({"do": "join", "room": bad}),
            json!({"do": "create", "room": bad}),
            json!({"do": "group", "room": "r", "group": bad}),
            json!({"do": "invite", "room": "r", "client": bad}),
            json!({"do": "nick", "name": if bad == "a b" || bad == "--private" { "" } else { bad }}),
        ] {
            let answer = ask(&mut lines, &request);
            let code = answer[0]["code"].as_str().unwrap_or("none").to_owned();
            assert!(["bad-argument", "no-room"].contains(&&*code), "{request}: {answer:?}");
        }
    }
    assert_eq!(ask(&mut lines, &json!({"do": "rooms"})), [json!({"type": "ok", "count": 0})]);
    // A body may be anything.
    ask(&mut lines, &json!({"do": "join", "room": "r"}));
    let text = "\u{0}\u{1b}[2J\r\n\u{202e}{\"do\":\"quit\"}\nQUIT\n";
    ask(&mut lines, &json!({"do": "send", "room": "r", "text": text}));
    assert_eq!(ask(&mut lines, &json!({"do": "fetch", "room": "r"}))[0]["text"], text);
}
