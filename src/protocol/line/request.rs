//! A request as a line: its verbs, and how each is read and written.

use std::time::SystemTime;

use bytes::Bytes;

use super::answer::{push, push_tag, time};
use crate::limits::TAG_MAX_BYTES;
use crate::protocol::text::is_unsafe;
use crate::protocol::{Begin, Command, ErrorCode, Keep, Refusal, Seek, Since, Tag, VERSION};
use crate::units;

/// Every verb: its usage, and what it is for.
pub const VERBS: &[(&str, &str, &str)] = &[
    ("HELLO", "HELLO <client>[/<device>] [<token>] [epoch=<epoch>]", "say who you are; needed before anything below"),
    ("NICK", "NICK <name>", "what you are shown as"),
    ("CREATE", "CREATE [--private] <room> [<topic>]", "make a room"),
    ("JOIN", "JOIN <room> [from=start|now|none]", "join for good (the room is made if it is missing)"),
    ("LEAVE", "LEAVE <room>", "forget the membership and the cursor"),
    ("SEND", "SEND [id=<id>] [reply=<seq>] <room> <text>", "append a message; OK <seq> once it is on disk"),
    (
        "SENDB",
        "SENDB [id=<id>] [reply=<seq>] <room> <bytes>",
        "the same with that many raw bytes and a line end behind it",
    ),
    ("REDACT", "REDACT <room> <seq>", "take the text of your message back; its place stays"),
    ("FETCH", "FETCH <room> [after=<seq>] [<max>]", "what came after your cursor (or seq); moves nothing"),
    ("READ", "READ <room> [<max>]", "acknowledge what the last READ handed over, then FETCH"),
    ("ACK", "ACK <room> [<seq>]", "read up to seq; without it, all that this connection was handed"),
    ("FOLLOW", "FOLLOW <room>", "FETCH that goes on live"),
    ("UNFOLLOW", "UNFOLLOW <room>", "end it"),
    ("HISTORY", "HISTORY <room> [before=<seq>] [since=<time>] [max=<n>]", "a part of the room again; moves nothing"),
    ("SEEK", "SEEK <room> <seq>|start|now", "move your cursor, back as well"),
    ("ROOMS", "ROOMS", "the rooms: name, members, last seq, unread, last activity, topic"),
    ("WATCH", "WATCH", "the rooms, live"),
    ("UNWATCH", "UNWATCH", "end it"),
    ("WHO", "WHO <room>", "members, which are connected, and how far they have read"),
    ("TOPIC", "TOPIC <room> [<topic>]", "say what the room is about"),
    ("INVITE", "INVITE <room> <client>", "let somebody join a private room"),
    ("KICK", "KICK <room> <client>", "end somebody's membership"),
    ("BAN", "BAN <room> <client>", "end it, and keep him out"),
    ("UNBAN", "UNBAN <room> <client>", "let him in again"),
    ("ACCESS", "ACCESS <room>", "who owns it, is invited, or banned"),
    ("RETAIN", "RETAIN <room> [<time>|default] [cap=<size>|cap=none]", "how long, and how much of, it is kept"),
    ("DELETE", "DELETE <room> [number=<n>]", "delete the room, with all that is in it; for its owner"),
    ("GROUP", "GROUP <room> <group> [from=start|now] [timeout=<time>]", "make a cursor that workers share"),
    ("UNGROUP", "UNGROUP <room> <group>", "end it"),
    ("GROUPS", "GROUPS <room>", "the room's groups: cursor, taken, waiting, timeout"),
    ("TAKE", "TAKE <room> <group> [<max>] [wait=<time>]", "messages that no other worker has"),
    ("DONE", "DONE <room> <group> <seq>", "one of them is dealt with"),
    ("PENDING", "PENDING <room> <group>", "what is taken and not done, by whom, since when"),
    ("EVENTS", "EVENTS on|off", "be told who comes, goes and types in the rooms that you FOLLOW"),
    ("TYPING", "TYPING <room>", "let the others know that you are typing"),
    ("FORMAT", "FORMAT json|text", "how you are answered: as JSON, an object a line, or as here"),
    ("STATS", "STATS", "the daemon's figures"),
    ("PING", "PING", "is anybody there"),
    ("HELP", "HELP [<verb>]", "this"),
    ("QUIT", "QUIT", "bye"),
];

/// The lines of a HELP; none where the verb is not one.
pub fn help(verb: Option<&str>) -> Option<Vec<String>> {
    let lines: Vec<String> = VERBS
        .iter()
        .filter(|(name, ..)| verb.is_none_or(|verb| name.eq_ignore_ascii_case(verb)))
        .map(|(_, usage, purpose)| format!("{usage} : {purpose}"))
        .collect();
    (!lines.is_empty()).then_some(lines)
}

/// Words separated by one or more spaces.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub(super) &'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches(' ');
        if rest.is_empty() {
            self.0 = rest;
            return None;
        }
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        self.0 = rest;
        Some(word)
    }
}

impl Words<'_> {
    /// All that is left, as one.
    fn rest(&mut self) -> String {
        std::mem::take(&mut self.0).trim().to_owned()
    }
}

pub(super) fn split_tag(line: &str) -> Result<(Tag, &str), Refusal> {
    let Some(rest) = line.strip_prefix('@') else { return Ok((Tag::None, line)) };
    let (tag, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if tag.is_empty() || tag.len() > TAG_MAX_BYTES || tag.chars().any(is_unsafe) {
        return Err(Refusal::new(
            ErrorCode::BadArgument,
            format!("a tag has 1 to {TAG_MAX_BYTES} bytes, no control characters among them"),
        ));
    }
    Ok((Tag::Text(tag.into()), rest))
}

pub(super) fn ascii_tag(line: &[u8]) -> Tag {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let head = line.get(..end).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or_default();
    split_tag(head).map_or(Tag::None, |(tag, _)| tag)
}

pub(super) fn usage(verb: &str) -> String {
    let found = VERBS.iter().find(|(name, ..)| *name == verb);
    found.map_or_else(|| "try HELP".to_owned(), |(_, usage, _)| format!("usage: {usage}"))
}

/// `[id=<id>] [reply=<seq>] <room>`, as SEND and SENDB begin.
pub(super) struct Target {
    pub(super) id: Option<String>,
    pub(super) reply: Option<u64>,
    pub(super) room: String,
}

pub(super) fn target(words: &mut Words<'_>) -> Option<Target> {
    let (mut id, mut reply) = (None, None);
    loop {
        let word = words.next()?;
        // No room's name has an '='.
        match word.split_once('=') {
            None => return Some(Target { id, reply, room: word.to_owned() }),
            Some(("id", value)) if id.is_none() => id = Some(value.to_owned()),
            Some(("reply", seq)) if reply.is_none() => reply = Some(seq.parse().ok()?),
            Some(_) => return None,
        }
    }
}

pub(super) fn parse(verb: &str, mut words: Words<'_>) -> Result<Command, Refusal> {
    if !VERBS.iter().any(|(name, ..)| *name == verb) {
        return Err(Refusal::new(ErrorCode::BadCommand, "no such verb; HELP lists them"));
    }
    let command = (|| {
        let command = match verb {
            "HELLO" => hello(&mut words)?,
            "NICK" => Command::Nick { nick: words.rest() },
            "CREATE" => {
                let mut room = words.next()?;
                let private = room == "--private";
                if private {
                    room = words.next()?;
                }
                Command::Create { room: room.to_owned(), topic: words.rest(), private }
            }
            "JOIN" => Command::Join { room: words.next()?.to_owned(), from: begin(&mut words)? },
            "LEAVE" => Command::Leave { room: words.next()?.to_owned() },
            "SEND" => {
                let Target { id, reply, room } = target(&mut words)?;
                let body = std::mem::take(&mut words.0);
                if body.is_empty() {
                    return None;
                }
                Command::Send { room, id, body: Bytes::copy_from_slice(body.as_bytes()), reply }
            }
            "FETCH" => {
                let room = words.next()?.to_owned();
                let (mut after, mut max) = (None, None);
                for word in words.by_ref() {
                    match word.strip_prefix("after=") {
                        Some(seq) if after.is_none() => after = Some(seq.parse().ok()?),
                        None if max.is_none() => max = Some(word.parse().ok()?),
                        _ => return None,
                    }
                }
                Command::Fetch { room, after, max }
            }
            "READ" => Command::Read { room: words.next()?.to_owned(), max: number(&mut words)? },
            "ACK" => Command::Ack { room: words.next()?.to_owned(), seq: number(&mut words)? },
            "FOLLOW" => Command::Follow { room: words.next()?.to_owned() },
            "UNFOLLOW" => Command::Unfollow { room: words.next()?.to_owned() },
            "ROOMS" => Command::Rooms,
            "WATCH" => Command::Watch,
            "UNWATCH" => Command::Unwatch,
            "WHO" => Command::Who { room: words.next()?.to_owned() },
            "TOPIC" => Command::Topic { room: words.next()?.to_owned(), topic: words.rest() },
            "INVITE" => Command::Invite { room: words.next()?.to_owned(), client: words.next()?.to_owned() },
            "KICK" => Command::Kick { room: words.next()?.to_owned(), client: words.next()?.to_owned() },
            "BAN" => Command::Ban { room: words.next()?.to_owned(), client: words.next()?.to_owned() },
            "UNBAN" => Command::Unban { room: words.next()?.to_owned(), client: words.next()?.to_owned() },
            "ACCESS" => Command::Access { room: words.next()?.to_owned() },
            "RETAIN" => Command::Retain { room: words.next()?.to_owned(), keep: keep(&mut words)? },
            "HISTORY" => history(&mut words)?,
            "SEEK" => Command::Seek { room: words.next()?.to_owned(), to: seek(words.next()?)? },
            "REDACT" => Command::Redact { room: words.next()?.to_owned(), seq: words.next()?.parse().ok()? },
            "DELETE" => delete(&mut words)?,
            "GROUP" => group(&mut words)?,
            "UNGROUP" => Command::Ungroup { room: words.next()?.to_owned(), group: words.next()?.to_owned() },
            "GROUPS" => Command::Groups { room: words.next()?.to_owned() },
            "TAKE" => take(&mut words)?,
            "DONE" => Command::Done {
                room: words.next()?.to_owned(),
                group: words.next()?.to_owned(),
                seq: words.next()?.parse().ok()?,
            },
            "PENDING" => Command::Pending { room: words.next()?.to_owned(), group: words.next()?.to_owned() },
            "EVENTS" => Command::Events { on: on_or_off(words.next()?)? },
            "TYPING" => Command::Typing { room: words.next()?.to_owned() },
            "FORMAT" => Command::Format { json: json_or_text(words.next()?)? },
            "STATS" => Command::Stats,
            "PING" => Command::Ping,
            "HELP" => Command::Help { verb: words.next().map(str::to_owned) },
            _ => Command::Quit,
        };
        words.next().is_none().then_some(command)
    })();
    command.ok_or_else(|| Refusal::new(ErrorCode::BadArgument, usage(verb)))
}

/// An optional number: `Some(None)` where there is none, `None` where it is no number.
fn number(words: &mut Words<'_>) -> Option<Option<u64>> {
    words.next().map_or(Some(None), |word| word.parse().ok().map(Some))
}

fn hello(words: &mut Words<'_>) -> Option<Command> {
    let client = words.next()?.to_owned();
    let (mut token, mut epoch) = (None, None);
    for word in words.by_ref() {
        match word.strip_prefix("epoch=") {
            Some(of) if epoch.is_none() => epoch = Some(of.to_owned()),
            None if token.is_none() => token = Some(word.to_owned()),
            _ => return None,
        }
    }
    Some(Command::Hello { version: VERSION, client, token, epoch })
}

/// `[from=start|now|none]`, as JOIN ends.
fn begin(words: &mut Words<'_>) -> Option<Begin> {
    match words.next() {
        None | Some("from=start") => Some(Begin::Start),
        Some("from=now") => Some(Begin::Now),
        Some("from=none") => Some(Begin::Nowhere),
        Some(_) => None,
    }
}

/// What a RETAIN sets; `Some(None)` where nothing is said.
fn keep(words: &mut Words<'_>) -> Option<Option<Keep>> {
    let mut keep = None;
    for (place, word) in words.by_ref().enumerate() {
        let set: &mut Keep = keep.get_or_insert(Keep { secs: 0, cap_bytes: 0 });
        match word.strip_prefix("cap=") {
            Some("none") => {}
            Some(size) => set.cap_bytes = units::size(size).ok()?.max(1),
            None if place > 0 => return None,
            None if word == "default" => {}
            None => set.secs = units::duration(word).ok()?.as_secs().max(1),
        }
    }
    Some(keep)
}

fn delete(words: &mut Words<'_>) -> Option<Command> {
    let room = words.next()?.to_owned();
    let number = match words.next() {
        Some(word) => Some(word.strip_prefix("number=")?.parse().ok()?),
        None => None,
    };
    Some(Command::Delete { room, number })
}

fn group(words: &mut Words<'_>) -> Option<Command> {
    let (room, group) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut from, mut timeout_ms) = (None, None);
    for word in words.by_ref() {
        match word.split_once('=')? {
            ("from", "start") if from.is_none() => from = Some(Begin::Start),
            ("from", "now") if from.is_none() => from = Some(Begin::Now),
            ("timeout", time) if timeout_ms.is_none() => timeout_ms = Some(parse_ms(time)?),
            _ => return None,
        }
    }
    Some(Command::Group { room, group, from: from.unwrap_or_default(), timeout_ms })
}

fn take(words: &mut Words<'_>) -> Option<Command> {
    let (room, group) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut max, mut wait_ms) = (None, None);
    for word in words.by_ref() {
        match word.strip_prefix("wait=") {
            Some(time) if wait_ms.is_none() => wait_ms = Some(parse_ms(time)?),
            None if max.is_none() => max = Some(word.parse().ok()?),
            _ => return None,
        }
    }
    Some(Command::Take { room, group, max, wait_ms: wait_ms.unwrap_or(0) })
}

/// A time like `30s`, in milliseconds.
fn parse_ms(text: &str) -> Option<u64> {
    units::duration(text).ok().map(units::ms)
}

fn on_or_off(word: &str) -> Option<bool> {
    match word {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn json_or_text(word: &str) -> Option<bool> {
    match word {
        "json" => Some(true),
        "text" => Some(false),
        _ => None,
    }
}

fn seek(word: &str) -> Option<Seek> {
    Some(match word {
        "start" => Seek::Start,
        "now" => Seek::Now,
        seq => Seek::To(seq.parse().ok()?),
    })
}

fn history(words: &mut Words<'_>) -> Option<Command> {
    let room = words.next()?.to_owned();
    let (mut before, mut since, mut max) = (None, None, None);
    for word in words.by_ref() {
        match word.split_once('=')? {
            ("before", seq) if before.is_none() => before = Some(seq.parse().ok()?),
            ("since", time) if since.is_none() => since = Some(parse_since(time)?),
            ("max", count) if max.is_none() => max = Some(count.parse().ok()?),
            _ => return None,
        }
    }
    Some(Command::History { room, before, since, max })
}

/// A time as `MSG` shows it, or how long ago: `90m`.
fn parse_since(text: &str) -> Option<Since> {
    if let Some(ago) = parse_ms(text) {
        return Some(Since::Ago(ago));
    }
    let at = humantime::parse_rfc3339(text).ok()?;
    // Before 1970 there is nothing.
    Some(Since::At(at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, units::ms)))
}

/// Appends a request, for scripts in Rust and for tests: what it appends decodes to the same request.
/// A body with a line end or without a byte goes as SENDB, any other UTF-8 as SEND.
pub fn encode_request(tag: &Tag, command: &Command, out: &mut Vec<u8>) {
    push_tag(out, tag);
    match command {
        Command::Hello { client, token, epoch, .. } => {
            push(out, format_args!("HELLO {client}"));
            if let Some(token) = token {
                push(out, format_args!(" {token}"));
            }
            if let Some(epoch) = epoch {
                push(out, format_args!(" epoch={epoch}"));
            }
        }
        Command::Nick { nick } => push(out, format_args!("NICK {nick}")),
        Command::Create { room, topic, private: false } => push(out, format_args!("CREATE {room} {topic}")),
        Command::Create { room, topic, private: true } => push(out, format_args!("CREATE --private {room} {topic}")),
        Command::Join { room, from: Begin::Start } => push(out, format_args!("JOIN {room}")),
        Command::Join { room, from } => push(out, format_args!("JOIN {room} from={}", from.as_str())),
        Command::Leave { room } => push(out, format_args!("LEAVE {room}")),
        Command::Send { room, id, body, reply } => encode_send(room, id.as_deref(), *reply, body, out),
        Command::Fetch { room, after, max } => {
            push(out, format_args!("FETCH {room}"));
            push_named(out, "after", *after);
            push_number(out, *max);
        }
        Command::Read { room, max } => {
            push(out, format_args!("READ {room}"));
            push_number(out, *max);
        }
        Command::Ack { room, seq } => {
            push(out, format_args!("ACK {room}"));
            push_number(out, *seq);
        }
        Command::Follow { room } => push(out, format_args!("FOLLOW {room}")),
        Command::Unfollow { room } => push(out, format_args!("UNFOLLOW {room}")),
        Command::Rooms => out.extend_from_slice(b"ROOMS"),
        Command::Watch => out.extend_from_slice(b"WATCH"),
        Command::Unwatch => out.extend_from_slice(b"UNWATCH"),
        Command::Who { room } => push(out, format_args!("WHO {room}")),
        Command::Stats => out.extend_from_slice(b"STATS"),
        Command::Ping => out.extend_from_slice(b"PING"),
        Command::Help { verb } => {
            out.extend_from_slice(b"HELP");
            if let Some(verb) = verb {
                push(out, format_args!(" {verb}"));
            }
        }
        Command::Quit => out.extend_from_slice(b"QUIT"),
        Command::Topic { room, topic } => push(out, format_args!("TOPIC {room} {topic}")),
        Command::Invite { room, client } => push(out, format_args!("INVITE {room} {client}")),
        Command::Kick { room, client } => push(out, format_args!("KICK {room} {client}")),
        Command::Ban { room, client } => push(out, format_args!("BAN {room} {client}")),
        Command::Unban { room, client } => push(out, format_args!("UNBAN {room} {client}")),
        Command::Access { room } => push(out, format_args!("ACCESS {room}")),
        Command::Retain { room, keep } => {
            push(out, format_args!("RETAIN {room}"));
            match keep {
                None => {}
                Some(Keep { secs: 0, .. }) => out.extend_from_slice(b" default"),
                Some(Keep { secs, .. }) => push(out, format_args!(" {secs}s")),
            }
            match keep {
                None | Some(Keep { cap_bytes: 0, .. }) => {}
                Some(Keep { cap_bytes, .. }) => push(out, format_args!(" cap={cap_bytes}")),
            }
        }
        Command::History { room, before, since, max } => {
            push(out, format_args!("HISTORY {room}"));
            push_named(out, "before", *before);
            match since {
                None => {}
                Some(Since::At(ms)) => push(out, format_args!(" since={}", time(*ms))),
                Some(Since::Ago(ms)) => push(out, format_args!(" since={ms}ms")),
            }
            push_named(out, "max", *max);
        }
        Command::Events { on } => push(out, format_args!("EVENTS {}", if *on { "on" } else { "off" })),
        Command::Group { room, group, from, timeout_ms } => {
            push(out, format_args!("GROUP {room} {group}"));
            if *from == Begin::Now {
                out.extend_from_slice(b" from=now");
            }
            if let Some(timeout_ms) = timeout_ms {
                push(out, format_args!(" timeout={timeout_ms}ms"));
            }
        }
        Command::Ungroup { room, group } => push(out, format_args!("UNGROUP {room} {group}")),
        Command::Groups { room } => push(out, format_args!("GROUPS {room}")),
        Command::Take { room, group, max, wait_ms } => {
            push(out, format_args!("TAKE {room} {group}"));
            push_number(out, *max);
            if *wait_ms > 0 {
                push(out, format_args!(" wait={wait_ms}ms"));
            }
        }
        Command::Done { room, group, seq } => push(out, format_args!("DONE {room} {group} {seq}")),
        Command::Pending { room, group } => push(out, format_args!("PENDING {room} {group}")),
        Command::Format { json } => push(out, format_args!("FORMAT {}", if *json { "json" } else { "text" })),
        Command::Typing { room } => push(out, format_args!("TYPING {room}")),
        Command::Delete { room, number } => {
            push(out, format_args!("DELETE {room}"));
            push_named(out, "number", *number);
        }
        Command::Redact { room, seq } => push(out, format_args!("REDACT {room} {seq}")),
        Command::Seek { room, to } => {
            push(out, format_args!("SEEK {room} "));
            match to {
                Seek::To(seq) => push(out, format_args!("{seq}")),
                Seek::Start => out.extend_from_slice(b"start"),
                Seek::Now => out.extend_from_slice(b"now"),
            }
        }
    }
    out.push(b'\n');
}

fn push_number(out: &mut Vec<u8>, number: Option<u64>) {
    if let Some(number) = number {
        push(out, format_args!(" {number}"));
    }
}

fn push_named(out: &mut Vec<u8>, name: &str, number: Option<u64>) {
    if let Some(number) = number {
        push(out, format_args!(" {name}={number}"));
    }
}

fn encode_send(room: &str, id: Option<&str>, reply: Option<u64>, body: &[u8], out: &mut Vec<u8>) {
    // A trailing carriage return would be taken for part of the line end.
    let as_text =
        !body.is_empty() && !body.contains(&b'\n') && body.last() != Some(&b'\r') && std::str::from_utf8(body).is_ok();
    out.extend_from_slice(if as_text { b"SEND " } else { b"SENDB " });
    if let Some(id) = id {
        push(out, format_args!("id={id} "));
    }
    if let Some(reply) = reply {
        push(out, format_args!("reply={reply} "));
    }
    if as_text {
        push(out, format_args!("{room} "));
    } else {
        push(out, format_args!("{room} {}\n", body.len()));
    }
    out.extend_from_slice(body);
}
