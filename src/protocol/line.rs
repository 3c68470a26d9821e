//! The line protocol: a command a line, for `nc`, `telnet` and shell scripts. A pure codec, no I/O.
//!
//! The grammar, every reply and every error are in `protocol.md`.

use std::cell::Cell;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes, BytesMut};

use super::text::{escape, escape_into};
use super::{Command, ErrorCode, GapReason, Incoming, Item, MessageRef, Refusal, Reply, Tag, VERSION};
use crate::limits::{ENVELOPE_BYTES, TAG_MAX_BYTES};

/// Every verb: its usage, and what it is for.
pub const VERBS: &[(&str, &str, &str)] = &[
    ("HELLO", "HELLO <client>[/<device>] [<token>]", "say who you are; needed before anything below"),
    ("NICK", "NICK <name>", "what you are shown as"),
    ("CREATE", "CREATE <room> [<topic>]", "make a room"),
    ("JOIN", "JOIN <room>", "join for good (the room is made if it is missing)"),
    ("LEAVE", "LEAVE <room>", "forget the membership and the cursor"),
    ("SEND", "SEND [id=<id>] <room> <text>", "append a message; OK <seq> once it is on disk"),
    ("SENDB", "SENDB [id=<id>] <room> <bytes>", "the same with that many raw bytes and a line end behind it"),
    ("FETCH", "FETCH <room> [after=<seq>] [<max>]", "what came after your cursor (or seq); moves nothing"),
    ("READ", "READ <room> [<max>]", "acknowledge what the last READ handed over, then FETCH"),
    ("ACK", "ACK <room> [<seq>]", "read up to seq; without it, all that this connection was handed"),
    ("FOLLOW", "FOLLOW <room>", "FETCH that goes on live"),
    ("UNFOLLOW", "UNFOLLOW <room>", "end it"),
    ("ROOMS", "ROOMS", "the rooms: name, members, last seq, unread, last activity, topic"),
    ("WATCH", "WATCH", "the rooms, live"),
    ("UNWATCH", "UNWATCH", "end it"),
    ("WHO", "WHO <room>", "members, which are connected, and how far they have read"),
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

/// The payload of a SENDB that is on its way.
#[derive(Clone, Debug)]
struct Payload {
    tag: Tag,
    room: String,
    id: Option<String>,
    length: usize,
}

#[derive(Clone, Debug)]
enum State {
    /// At a line's start.
    Start,
    /// In a line; the first so many bytes hold no line feed.
    Line(usize),
    /// In a line that was refused: nothing is kept until its line feed.
    SkipLine,
    /// In a SENDB's payload.
    Payload(Payload),
    /// In the payload of a SENDB that was refused: so many bytes more are dropped.
    SkipPayload(u64),
    /// Behind a payload: its line end is due.
    PayloadEnd(Option<(Tag, Command)>),
    /// In a telnet subnegotiation, until IAC SE.
    Telnet,
    /// Nothing that follows can be trusted.
    Broken,
}

/// Decodes lines, for the daemon.
#[derive(Clone, Debug)]
pub struct LineDecoder {
    body_max: usize,
    line_max: usize,
    state: State,
    first: bool,
}

const IAC: u8 = 0xff;
const SB: u8 = 250;
const SE: u8 = 240;

impl LineDecoder {
    /// A decoder that takes bodies of at most `body_max` bytes.
    pub fn new(body_max: usize) -> Self {
        LineDecoder { body_max, line_max: body_max + ENVELOPE_BYTES, state: State::Start, first: true }
    }

    fn broken(&mut self, code: ErrorCode, text: impl Into<String>) -> Option<Incoming> {
        self.state = State::Broken;
        Some(Incoming::Broken(Refusal::new(code, text)))
    }

    fn too_long(&self) -> Refusal {
        Refusal::new(
            ErrorCode::TooLong,
            format!("a message has at most {} bytes, a line {}", self.body_max, self.line_max),
        )
    }

    /// The next request, or none until more bytes are there.
    fn next(&mut self, buffer: &mut BytesMut) -> Option<Incoming> {
        loop {
            match std::mem::replace(&mut self.state, State::Broken) {
                State::Broken => {
                    buffer.clear();
                    return None;
                }
                State::Start => match (buffer.first(), buffer.get(1), buffer.get(2)) {
                    (Some(&IAC), Some(&SB), _) => {
                        buffer.advance(2);
                        self.state = State::Telnet;
                    }
                    // WILL, WONT, DO and DONT carry an option; the others stand alone.
                    (Some(&IAC), Some(251..=254), Some(_)) => buffer_skip(buffer, 3, &mut self.state),
                    (Some(&IAC), Some(251..=254), None) | (Some(&IAC), None, _) | (None, ..) => {
                        self.state = State::Start;
                        return None;
                    }
                    (Some(&IAC), Some(_), _) => buffer_skip(buffer, 2, &mut self.state),
                    _ => self.state = State::Line(0),
                },
                State::Telnet => {
                    let end = buffer.windows(2).position(|pair| pair == [IAC, SE]);
                    match end {
                        Some(at) => buffer_skip(buffer, at + 2, &mut self.state),
                        None => {
                            buffer.advance(buffer.len().saturating_sub(1));
                            self.state = State::Telnet;
                            return None;
                        }
                    }
                }
                State::Line(seen) => {
                    let found = buffer.iter().skip(seen).position(|&byte| byte == b'\n').map(|at| at + seen);
                    let length = found.unwrap_or(buffer.len());
                    if length > self.line_max {
                        self.state = if found.is_some() { State::Start } else { State::SkipLine };
                        buffer.advance(found.map_or(length, |at| at + 1));
                        if std::mem::take(&mut self.first) {
                            return self.broken(ErrorCode::TooLong, self.too_long().text);
                        }
                        return Some(Incoming::Refused { tag: Tag::None, refusal: self.too_long() });
                    }
                    if found.is_none() {
                        self.state = State::Line(length);
                        return None;
                    }
                    let line = buffer.split_to(length).freeze();
                    buffer.advance(1);
                    self.state = State::Start;
                    if let Some(incoming) = self.line(line) {
                        return Some(incoming);
                    }
                }
                State::SkipLine => match buffer.iter().position(|&byte| byte == b'\n') {
                    Some(at) => buffer_skip(buffer, at + 1, &mut self.state),
                    None => {
                        buffer.clear();
                        self.state = State::SkipLine;
                        return None;
                    }
                },
                State::Payload(payload) => {
                    if buffer.len() < payload.length {
                        self.state = State::Payload(payload);
                        return None;
                    }
                    // A body of its own: a view would keep the whole of a read alive for as long as the message is in memory.
                    let body = Bytes::copy_from_slice(&buffer.split_to(payload.length));
                    let command = Command::Send { room: payload.room, id: payload.id, body };
                    self.state = State::PayloadEnd(Some((payload.tag, command)));
                }
                State::SkipPayload(left) => {
                    let here = left.min(buffer.len() as u64);
                    buffer.advance(usize::try_from(here).unwrap_or(buffer.len()));
                    if here < left {
                        self.state = State::SkipPayload(left - here);
                        return None;
                    }
                    self.state = State::PayloadEnd(None);
                }
                State::PayloadEnd(request) => {
                    let end = match (buffer.first(), buffer.get(1)) {
                        (Some(b'\n'), _) => 1,
                        (Some(b'\r'), Some(b'\n')) => 2,
                        (None, _) | (Some(b'\r'), None) => {
                            self.state = State::PayloadEnd(request);
                            return None;
                        }
                        _ => {
                            return self.broken(
                                ErrorCode::BadArgument,
                                "a SENDB's bytes end with a line end; these did not, so its count was wrong",
                            );
                        }
                    };
                    buffer_skip(buffer, end, &mut self.state);
                    if let Some((tag, command)) = request {
                        return Some(Incoming::Request { tag, command });
                    }
                }
            }
        }
    }

    /// A whole line, without its line feed; none where it is blank.
    fn line(&mut self, line: Bytes) -> Option<Incoming> {
        let line = match line.last() {
            Some(b'\r') => line.slice(..line.len() - 1),
            _ => line,
        };
        if line.is_empty() {
            return None;
        }
        let first = std::mem::take(&mut self.first);
        let Ok(text) = std::str::from_utf8(&line) else {
            let refusal = Refusal::new(ErrorCode::NotUtf8, "a line is UTF-8; SENDB takes any bytes");
            if first {
                self.state = State::Broken;
                return Some(Incoming::Broken(refusal));
            }
            // The tag is only known where what stands before the broken byte is text.
            return Some(Incoming::Refused { tag: ascii_tag(&line), refusal });
        };
        let (tag, rest) = match split_tag(text) {
            Ok(split) => split,
            Err(refusal) if first => return self.broken(refusal.code, refusal.text),
            Err(refusal) => return Some(Incoming::Refused { tag: Tag::None, refusal }),
        };
        let mut words = Words(rest);
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        if first && !matches!(verb.as_str(), "HELLO" | "HELP" | "PING" | "QUIT") {
            // Whatever this is (a web browser's request, say), what follows it is not for us to run.
            return self.broken(ErrorCode::HelloFirst, "this is dantok; begin with HELLO <client>, or HELP");
        }
        if verb == "SENDB" {
            return self.sendb(tag, words);
        }
        Some(match parse(&verb, words) {
            Ok(Command::Send { body, .. }) if body.len() > self.body_max => {
                Incoming::Refused { tag, refusal: self.too_long() }
            }
            Ok(command) => Incoming::Request { tag, command },
            Err(refusal) => Incoming::Refused { tag, refusal },
        })
    }

    fn sendb(&mut self, tag: Tag, mut words: Words<'_>) -> Option<Incoming> {
        let parsed = (|| {
            let (id, room) = target(&mut words)?;
            let length = words.next()?.parse::<u64>().ok()?;
            words.0.trim().is_empty().then_some((id, room, length))
        })();
        let Some((id, room, length)) = parsed else {
            // Without the count, the payload can't be told from commands.
            return self.broken(ErrorCode::BadArgument, usage("SENDB"));
        };
        match usize::try_from(length) {
            Ok(length) if length <= self.body_max => {
                self.state = State::Payload(Payload { tag, room, id, length });
                None
            }
            _ => {
                self.state = State::SkipPayload(length);
                Some(Incoming::Refused { tag, refusal: self.too_long() })
            }
        }
    }
}

fn buffer_skip(buffer: &mut BytesMut, bytes: usize, state: &mut State) {
    buffer.advance(bytes);
    *state = State::Start;
}

impl tokio_util::codec::Decoder for LineDecoder {
    type Item = Incoming;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, std::io::Error> {
        Ok(self.next(buffer))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, std::io::Error> {
        // A line cut off in its middle is no command.
        Ok(self.next(buffer))
    }
}

/// Words separated by one or more spaces.
#[derive(Clone, Copy)]
struct Words<'a>(&'a str);

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

fn split_tag(line: &str) -> Result<(Tag, &str), Refusal> {
    let Some(rest) = line.strip_prefix('@') else { return Ok((Tag::None, line)) };
    let (tag, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if tag.is_empty() || tag.len() > TAG_MAX_BYTES || tag.chars().any(super::text::is_unsafe) {
        return Err(Refusal::new(
            ErrorCode::BadArgument,
            format!("a tag has 1 to {TAG_MAX_BYTES} bytes, no control characters among them"),
        ));
    }
    Ok((Tag::Text(tag.into()), rest))
}

fn ascii_tag(line: &[u8]) -> Tag {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let head = line.get(..end).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or_default();
    split_tag(head).map_or(Tag::None, |(tag, _)| tag)
}

fn usage(verb: &str) -> String {
    let found = VERBS.iter().find(|(name, ..)| *name == verb);
    found.map_or_else(|| "try HELP".to_owned(), |(_, usage, _)| format!("usage: {usage}"))
}

/// `[id=<id>] <room>`, as SEND and SENDB begin.
fn target(words: &mut Words<'_>) -> Option<(Option<String>, String)> {
    let mut word = words.next()?;
    let mut id = None;
    // No room's name has an '='.
    if let Some(value) = word.strip_prefix("id=") {
        id = Some(value.to_owned());
        word = words.next()?;
    }
    (!word.contains('=')).then(|| (id, word.to_owned()))
}

fn parse(verb: &str, mut words: Words<'_>) -> Result<Command, Refusal> {
    if !VERBS.iter().any(|(name, ..)| *name == verb) {
        return Err(Refusal::new(ErrorCode::BadCommand, "no such verb; HELP lists them"));
    }
    let command = (|| {
        let command = match verb {
            "HELLO" => Command::Hello {
                version: VERSION,
                client: words.next()?.to_owned(),
                token: words.next().map(str::to_owned),
            },
            "NICK" => Command::Nick { nick: std::mem::take(&mut words.0).trim().to_owned() },
            "CREATE" => Command::Create {
                room: words.next()?.to_owned(),
                topic: std::mem::take(&mut words.0).trim().to_owned(),
            },
            "JOIN" => Command::Join { room: words.next()?.to_owned() },
            "LEAVE" => Command::Leave { room: words.next()?.to_owned() },
            "SEND" => {
                let (id, room) = target(&mut words)?;
                let body = std::mem::take(&mut words.0);
                if body.is_empty() {
                    return None;
                }
                Command::Send { room, id, body: Bytes::copy_from_slice(body.as_bytes()) }
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

fn push_tag(out: &mut Vec<u8>, tag: &Tag) {
    match tag {
        Tag::None => {}
        Tag::Text(tag) => {
            out.push(b'@');
            out.extend_from_slice(tag.as_bytes());
            out.push(b' ');
        }
        Tag::Id(id) => push(out, format_args!("@{id} ")),
    }
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    let _ = out.write_fmt(text);
}

/// humantime ends with the year 9999; past it (a broken clock), that is shown.
const TIME_LAST_MS: u64 = 253_402_300_799_999;

/// A time as the line protocol has it: RFC 3339, milliseconds, UTC.
pub fn time(time_ms: u64) -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_millis(time_ms.min(TIME_LAST_MS)))
}

/// Appends the end of an answer.
pub fn encode_reply(tag: &Tag, reply: &Reply, out: &mut Vec<u8>) {
    push_tag(out, tag);
    match reply {
        Reply::Done => out.extend_from_slice(b"OK"),
        Reply::Welcome(welcome) => push(
            out,
            format_args!(
                "OK {} version={} client={} max-body={} max-pipelined={} max-joined={} retention={}s{}",
                welcome.server,
                welcome.version,
                welcome.client,
                welcome.max_body,
                welcome.max_pipelined,
                welcome.max_joined,
                welcome.retention_secs,
                if welcome.admin { " role=admin" } else { "" }
            ),
        ),
        Reply::Joined { cursor, last } => push(out, format_args!("OK cursor={cursor} last={last}")),
        Reply::Sent { seq, dup: false } => push(out, format_args!("OK {seq}")),
        Reply::Sent { seq, dup: true } => push(out, format_args!("OK {seq} dup")),
        Reply::End { room, handed, oldest, last } => push(out, format_args!("END {room} {handed} {oldest} {last}")),
        Reply::Acked { cursor } => push(out, format_args!("OK {cursor}")),
        Reply::Following { after } => push(out, format_args!("OK after={after}")),
        Reply::Count(count) => push(out, format_args!("OK {count}")),
        Reply::Stats(figures) => {
            out.extend_from_slice(b"OK");
            for (name, value) in figures {
                push(out, format_args!(" {name}={value}"));
            }
        }
        Reply::Pong => out.extend_from_slice(b"OK pong"),
        Reply::Bye => out.extend_from_slice(b"OK bye"),
        Reply::Error(Refusal { code, text }) => {
            push(out, format_args!("ERR {} {}", code.as_str(), escape(text.as_bytes())))
        }
    }
    out.push(b'\n');
}

/// Appends a message: a part of an answer, or (without a tag) a push. The same as [`encode_item`].
pub fn encode_message(tag: &Tag, message: MessageRef<'_>, out: &mut Vec<u8>) {
    push_tag(out, tag);
    push_message(out, message);
    out.push(b'\n');
}

fn push_message(out: &mut Vec<u8>, message: MessageRef<'_>) {
    let mut digits = itoa::Buffer::new();
    for part in ["MSG ", message.room, " ", digits.format(message.seq), " "] {
        out.extend_from_slice(part.as_bytes());
    }
    push_time(out, message.time_ms);
    for part in [" ", message.client, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    escape_into(out, message.body);
}

/// The same as [`time`]; messages by the million are of few different seconds.
fn push_time(out: &mut Vec<u8>, time_ms: u64) {
    thread_local! {
        /// A second, and how it begins: all but its milliseconds.
        static LAST: Cell<(u64, [u8; 20])> = const { Cell::new((u64::MAX, [0; 20])) };
    }
    let second = time_ms / 1000;
    let (mut last, mut begins) = LAST.get();
    if last != second || time_ms > TIME_LAST_MS {
        let shown = time(time_ms).to_string();
        let Some(found) = shown.as_bytes().first_chunk().filter(|_| time_ms <= TIME_LAST_MS) else {
            return out.extend_from_slice(shown.as_bytes());
        };
        (last, begins) = (second, *found);
        LAST.set((last, begins));
    }
    out.extend_from_slice(&begins);
    let ms = (time_ms % 1000) as u16;
    out.extend([ms / 100, ms / 10 % 10, ms % 10].map(|digit| b'0' + digit as u8));
    out.push(b'Z');
}

/// Appends a part of an answer, or (without a tag) something told unasked.
pub fn encode_item(tag: &Tag, item: &Item, out: &mut Vec<u8>) {
    push_tag(out, tag);
    match item {
        Item::Message(message) => push_message(out, message.into()),
        Item::Gap { room, from, to, reason: GapReason::Expired } => {
            push(out, format_args!("GAP {room} {from} {to} expired"));
        }
        Item::Room(info) => {
            push(out, format_args!("ROOM {} {} {} ", info.room, info.members, info.last));
            match info.unread {
                Some(unread) => push(out, format_args!("{unread} {}", time(info.active_ms))),
                None => push(out, format_args!("- {}", time(info.active_ms))),
            }
            if !info.topic.is_empty() {
                push(out, format_args!(" {}", escape(info.topic.as_bytes())));
            }
        }
        Item::Member(info) => push(
            out,
            format_args!(
                "MEMBER {} {} {} {} {}",
                info.room,
                info.client,
                info.connections,
                info.cursor,
                escape(info.nick.as_bytes())
            ),
        ),
        Item::Help(line) => push(out, format_args!("HELP {line}")),
    }
    out.push(b'\n');
}

/// Appends a request, for scripts in Rust and for tests: what it appends decodes to the same request.
/// A body with a line end or without a byte goes as SENDB, any other UTF-8 as SEND.
pub fn encode_request(tag: &Tag, command: &Command, out: &mut Vec<u8>) {
    push_tag(out, tag);
    match command {
        Command::Hello { client, token, .. } => {
            push(out, format_args!("HELLO {client}"));
            if let Some(token) = token {
                push(out, format_args!(" {token}"));
            }
        }
        Command::Nick { nick } => push(out, format_args!("NICK {nick}")),
        Command::Create { room, topic } => push(out, format_args!("CREATE {room} {topic}")),
        Command::Join { room } => push(out, format_args!("JOIN {room}")),
        Command::Leave { room } => push(out, format_args!("LEAVE {room}")),
        Command::Send { room, id, body } => encode_send(room, id.as_deref(), body, out),
        Command::Fetch { room, after, max } => {
            push(out, format_args!("FETCH {room}"));
            if let Some(after) = after {
                push(out, format_args!(" after={after}"));
            }
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
    }
    out.push(b'\n');
}

fn push_number(out: &mut Vec<u8>, number: Option<u64>) {
    if let Some(number) = number {
        push(out, format_args!(" {number}"));
    }
}

fn encode_send(room: &str, id: Option<&str>, body: &[u8], out: &mut Vec<u8>) {
    // A trailing carriage return would be taken for part of the line end.
    let as_text =
        !body.is_empty() && !body.contains(&b'\n') && body.last() != Some(&b'\r') && std::str::from_utf8(body).is_ok();
    out.extend_from_slice(if as_text { b"SEND " } else { b"SENDB " });
    if let Some(id) = id {
        push(out, format_args!("id={id} "));
    }
    if as_text {
        push(out, format_args!("{room} "));
    } else {
        push(out, format_args!("{room} {}\n", body.len()));
    }
    out.extend_from_slice(body);
}
