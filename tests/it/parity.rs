//! The same script as lines, as JSON and in frames gives the same answers and the same log on disk.

use crate::common::{Daemon, Frames, Lines};
use bytes::{Bytes, BytesMut};
use dantok_protocol::line::{LineDecoder, encode_item, encode_reply, encode_request};
use dantok_protocol::{Begin, Command, Incoming, Item, Reply, Seek, Since, Tag, commands};
use dantok_protocol::{json, json_request};
use serde_json::Value;
use tokio_util::codec::Decoder;

/// Any bytes that a body may be made of.
const BODIES: [&[u8]; 6] =
    [b"plain", " 단톡  방 👩\u{200d}💻 ".as_bytes(), b"\x00\xff\n\r\n", b"", b"\\n\x1b[2J\t", b"trailing\r"];

fn script() -> Vec<Command> {
    let room = || "r".to_owned();
    let send = |id: Option<&str>, body: &'static [u8]| {
        Command::Send(commands::Send {
            room: room(),
            id: id.map(str::to_owned),
            body: Bytes::from_static(body),
            reply: None,
        })
    };
    let mut script = vec![
        Command::Hello(commands::Hello {
            version: 1,
            client: "alice/phone".to_owned(),
            token: None,
            epoch: Some("another".to_owned()),
        }),
        Command::Rooms(commands::Rooms::default()),
        Command::Hello(commands::Hello { version: 1, client: "alice/phone".to_owned(), token: None, epoch: None }),
        Command::Rooms(commands::Rooms::default()),
        Command::join("x=y"),
        Command::Send(commands::Send { room: room(), id: None, body: Bytes::from_static(b"too early"), reply: None }),
        Command::Create(commands::Create { room: room(), topic: "무슨 이야기든".to_owned(), private: false }),
        Command::Create(commands::Create { room: room(), topic: String::new(), private: true }),
        Command::Follow(commands::Follow { room: room(), after: None }),
        Command::join(room()),
        Command::Nick(commands::Nick { nick: "앨리스".to_owned() }),
        Command::Nick(commands::Nick { nick: "n".repeat(33) }),
        Command::Read(commands::Read { room: room(), max: None }),
    ];
    script.extend(BODIES.map(|body| send(None, body)));
    script.extend([
        send(Some("m1"), b"once"),
        send(Some("m1"), b"once"),
        send(Some("m1"), b"twice"),
        Command::Fetch(commands::Fetch { room: room(), after: None, max: None }),
        Command::Fetch(commands::Fetch { room: room(), after: Some(2), max: Some(2) }),
        Command::Fetch(commands::Fetch { room: room(), after: Some(99), max: None }),
        Command::Read(commands::Read { room: room(), max: Some(2) }),
        Command::Read(commands::Read { room: room(), max: Some(1) }),
        Command::Ack(commands::Ack { room: room(), seq: None }),
        Command::Ack(commands::Ack { room: room(), seq: Some(1) }),
        Command::Ack(commands::Ack { room: room(), seq: Some(99) }),
        Command::Rooms(commands::Rooms::default()),
        Command::Rooms(commands::Rooms { room: Some(room()) }),
        Command::Rooms(commands::Rooms { room: Some("nowhere".to_owned()) }),
        Command::Who(commands::Who { room: room() }),
        Command::Who(commands::Who { room: "nowhere".to_owned() }),
        Command::Topic(commands::Topic { room: room(), topic: Some("something else".to_owned()) }),
        Command::Topic(commands::Topic { room: room(), topic: None }),
        Command::Topic(commands::Topic { room: room(), topic: Some(String::new()) }),
        Command::Topic(commands::Topic { room: room(), topic: None }),
        Command::Topic(commands::Topic { room: "nowhere".to_owned(), topic: None }),
        Command::join("-r"),
        Command::Create(commands::Create { room: "secret".to_owned(), topic: String::new(), private: true }),
        Command::Invite(commands::Invite { room: "secret".to_owned(), client: "bob".to_owned() }),
        Command::join("secret"),
        Command::Invite(commands::Invite { room: "secret".to_owned(), client: "bob/phone".to_owned() }),
        Command::Invite(commands::Invite { room: "secret".to_owned(), client: "bob".to_owned() }),
        Command::Access(commands::Access { room: "secret".to_owned() }),
        Command::Kick(commands::Kick { room: "secret".to_owned(), client: "bob".to_owned() }),
        Command::Kick(commands::Kick { room: "secret".to_owned(), client: "bob".to_owned() }),
        Command::Ban(commands::Ban { room: "secret".to_owned(), client: "bob".to_owned() }),
        Command::Ban(commands::Ban { room: "secret".to_owned(), client: "alice".to_owned() }),
        Command::Unban(commands::Unban { room: "secret".to_owned(), client: "bob".to_owned() }),
        Command::Retain(commands::Retain { room: "secret".to_owned(), secs: None, cap_bytes: None }),
        Command::Retain(commands::Retain { room: "secret".to_owned(), secs: Some(200_000), cap_bytes: Some(1000) }),
        Command::Retain(commands::Retain { room: "secret".to_owned(), secs: None, cap_bytes: Some(2000) }),
        Command::Retain(commands::Retain { room: "secret".to_owned(), secs: Some(0), cap_bytes: None }),
        Command::Retain(commands::Retain { room: "secret".to_owned(), secs: Some(3600), cap_bytes: Some(0) }),
        Command::History(commands::History { room: room(), after: None, before: Some(4), since: None, max: Some(2) }),
        Command::History(commands::History {
            room: room(),
            after: None,
            before: None,
            since: Some(Since::Ago(3_600_000)),
            max: Some(2),
        }),
        Command::History(commands::History {
            room: room(),
            after: Some(1),
            before: Some(4),
            since: None,
            max: Some(1),
        }),
        Command::Seek(commands::Seek { room: room(), to: Seek::To(2) }),
        Command::Send(commands::Send {
            room: room(),
            id: None,
            body: Bytes::from_static(b"an answer"),
            reply: Some(99),
        }),
        Command::Redact(commands::Redact { room: room(), seq: 99 }),
        Command::Group(commands::Group {
            room: room(),
            group: "w".to_owned(),
            from: Begin::Start,
            timeout_ms: Some(5000),
        }),
        Command::Take(commands::Take { room: room(), group: "w".to_owned(), max: Some(3), wait_ms: 0 }),
        Command::Done(commands::Done { room: room(), group: "w".to_owned(), seq: 2 }),
        Command::Pending(commands::Pending { room: room(), group: "w".to_owned() }),
        Command::Groups(commands::Groups { room: room() }),
        Command::Ungroup(commands::Ungroup { room: room(), group: "w".to_owned() }),
        Command::Take(commands::Take { room: room(), group: "w".to_owned(), max: None, wait_ms: 0 }),
        Command::Events(commands::Events { on: true }),
        Command::Typing(commands::Typing { room: room() }),
        Command::Typing(commands::Typing { room: "nowhere".to_owned() }),
        Command::Events(commands::Events { on: false }),
        Command::Redact(commands::Redact { room: "nowhere".to_owned(), seq: 1 }),
        Command::Read(commands::Read { room: room(), max: Some(1) }),
        Command::Seek(commands::Seek { room: room(), to: Seek::To(99) }),
        Command::Seek(commands::Seek { room: room(), to: Seek::Now }),
        Command::Delete(commands::Delete { room: "nowhere".to_owned(), number: None }),
        Command::Delete(commands::Delete { room: "secret".to_owned(), number: Some(99) }),
        Command::Delete(commands::Delete { room: "secret".to_owned(), number: None }),
        Command::Retain(commands::Retain { room: "secret".to_owned(), secs: None, cap_bytes: None }),
        Command::join("secret"),
        Command::Help(commands::Help { verb: None }),
        Command::Help(commands::Help { verb: Some("nope".to_owned()) }),
        Command::Leave(commands::Leave { room: room() }),
        Command::Leave(commands::Leave { room: room() }),
        Command::Unfollow(commands::Unfollow { room: room() }),
        Command::Hello(commands::Hello { version: 1, client: "bob".to_owned(), token: None, epoch: None }),
        Command::Unwatch,
        Command::Ping,
        Command::Quit,
    ]);
    script
}

/// The answers, as the line protocol has them and as JSON.
fn by_frames(daemon: &Daemon) -> Vec<(String, Vec<Value>)> {
    let mut frames = Frames::connect(daemon.address());
    let answers = script().into_iter().enumerate().map(|(n, command)| {
        let (items, reply) = frames.ask(command);
        shown(items, reply, &Tag::Id(n as u64))
    });
    answers.collect()
}

/// An answer as the line protocol has it, and as JSON with this tag, without the times and the epoch.
fn shown(items: Vec<Item>, mut reply: Reply, tag: &Tag) -> (String, Vec<Value>) {
    let (mut text, mut objects) = (Vec::new(), Vec::new());
    for mut item in items {
        match &mut item {
            Item::Message(message) => message.time_ms = 0,
            Item::Room(info) => info.active_ms = 0,
            Item::Member(info) => info.since_ms = None,
            Item::Pending { since_ms, .. } => *since_ms = 0,
            _ => {}
        }
        encode_item(&Tag::None, &item, &mut text);
        json::encode_item(tag, &item, &mut objects);
    }
    if let Reply::Welcome(welcome) = &mut reply {
        welcome.epoch = "any".into();
    }
    encode_reply(&Tag::None, &reply, &mut text);
    json::encode_reply(tag, &reply, &mut objects);
    let objects = std::str::from_utf8(&objects).unwrap().lines().map(timeless).collect();
    (String::from_utf8(text).unwrap(), objects)
}

/// An object without what differs from run to run.
fn timeless(line: &str) -> Value {
    let mut value: Value = serde_json::from_str(line).unwrap();
    for name in ["time", "active", "since", "epoch"] {
        value.as_object_mut().unwrap().remove(name);
    }
    value
}

fn by_json(daemon: &Daemon) -> Vec<Vec<Value>> {
    let mut lines = Lines::connect(daemon.address());
    let answers = script().into_iter().enumerate().map(|(n, command)| {
        let mut request = Vec::new();
        json_request::encode_request(&Tag::Id(n as u64), &command, &mut request);
        lines.send_bytes(&request);
        let mut answer = Vec::new();
        loop {
            let value = timeless(&lines.line().unwrap());
            let is_last = ["ok", "error", "end"].contains(&value["type"].as_str().unwrap());
            answer.push(value);
            if is_last {
                return answer;
            }
        }
    });
    answers.collect()
}

fn by_lines(daemon: &Daemon) -> Vec<String> {
    let mut lines = Lines::connect(daemon.address());
    let answers = script().into_iter().map(|command| {
        let mut bytes = Vec::new();
        encode_request(&Tag::None, &command, &mut bytes);
        lines.send_bytes(&bytes);
        let answer = lines.answer().into_iter().map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "OK" => {
                    let epoch = words.iter_mut().filter(|word| word.starts_with("epoch="));
                    epoch.for_each(|epoch| *epoch = "epoch=any");
                }
                "MSG" => words[3] = "1970-01-01T00:00:00.000Z",
                "ROOM" => words[5] = "1970-01-01T00:00:00.000Z",
                "MEMBER" => words[5] = "-",
                "PENDING" => words[5] = "1970-01-01T00:00:00.000Z",
                _ => {}
            }
            words.join(" ") + "\n"
        });
        answer.collect()
    });
    answers.collect()
}

/// What is stored, as a program sees it.
fn stored(daemon: &Daemon) -> Vec<(u64, String, Bytes)> {
    let mut auditor = daemon.frames("auditor");
    auditor.ask(Command::join("r"));
    let (items, _) = auditor.ask(Command::Fetch(commands::Fetch { room: "r".to_owned(), after: None, max: None }));
    let message = |item| match item {
        Item::Message(message) => (message.seq, message.client.to_string(), message.body),
        other => panic!("{other:?}"),
    };
    items.into_iter().map(message).collect()
}

#[test]
fn all_forms_answer_and_store_the_same() {
    // The script means the same in all, to begin with.
    let mut bytes = BytesMut::new();
    for command in script() {
        let mut line = Vec::new();
        encode_request(&Tag::None, &command, &mut line);
        json_request::encode_request(&Tag::None, &command, &mut line);
        bytes.extend_from_slice(&line);
    }
    let mut decoder = LineDecoder::new(65_536);
    for command in script() {
        for _ in ["a line", "JSON"] {
            let decoded = decoder.decode(&mut bytes).unwrap();
            assert_eq!(decoded, Some(Incoming::Request { tag: Tag::None, command: command.clone() }));
        }
    }

    let (mut first, mut second, third) = (Daemon::start(), Daemon::start(), Daemon::start());
    let (frames, lines, objects) = (by_frames(&first), by_lines(&second), by_json(&third));
    for (((command, frames), lines), objects) in script().iter().zip(&frames).zip(&lines).zip(&objects) {
        assert_eq!(frames, &(lines.clone(), objects.clone()), "{command:?}");
    }
    assert_eq!((frames.len(), frames.len()), (lines.len(), objects.len()));
    let expected: Vec<(u64, String, Bytes)> = BODIES
        .into_iter()
        .chain([&b"once"[..]])
        .enumerate()
        .map(|(n, body)| (n as u64 + 1, "alice".to_owned(), Bytes::from_static(body)))
        .collect();
    assert_eq!(stored(&first), expected);
    assert_eq!(stored(&second), expected);
    assert_eq!(stored(&third), expected);
    // And after a crash, each read in the framing that did not write it.
    first.start_again();
    second.start_again();
    assert_eq!(stored(&second), expected);
    let mut reader = first.lines("reader");
    reader.ask("JOIN r");
    let fetched = reader.ask("FETCH r");
    for (line, (seq, _, body)) in fetched.iter().zip(&expected) {
        let text = line.splitn(6, ' ').nth(5).unwrap();
        assert_eq!(dantok_protocol::text::unescape(text).as_deref(), Some(&body[..]), "{seq}");
    }
    assert_eq!(fetched.len(), expected.len() + 1);
}
