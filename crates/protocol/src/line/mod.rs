//! The line protocol: one command per line, for `nc`, `telnet` and shell scripts. A pure codec without I/O.
//!
//! The grammar, every reply and every error are in `protocol.md`.

mod answer;
mod arguments;
mod hint;
mod opening;
mod request;
mod telnet;
mod verbs;
mod write;

use std::ops::ControlFlow::{self, Break, Continue};

use bytes::{Buf, Bytes, BytesMut};

pub use crate::commands::VERBS;
pub use answer::{encode_item, encode_message, encode_reply, time};
pub(crate) use arguments::{Arguments, Rest, Words, Wrong, bare, duration, number};
pub(crate) use hint::guess;
pub use hint::{NICK_FIRST, no_verb};
pub(crate) use opening::FIRST_VERBS;
pub(crate) use verbs::verb;
pub use verbs::{About, Verb, help};
pub(crate) use write::Line;
pub use write::encode_request;

use super::{Command, ErrorCode, Incoming, Refusal, Tag};
use crate::commands::{Send, sendb_line};
use crate::json_request::{self, Parsed};
use crate::limits::{ENVELOPE_BYTES, JSON_FACTOR};
use opening::WRONG_LINES_MAX;
use request::{ascii_tag, parse, split_tag};
use telnet::{Act, Found, IAC, Skipped, Telnet};

/// Parses a command as it is typed, without a tag. A SENDB has no body then.
///
/// # Errors
/// What is wrong with it.
pub fn read_request(line: &str) -> Result<Command, Refusal> {
    let mut words = Words(line);
    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
    parse(&verb, words)
}

/// A SENDB whose payload is still to come.
#[derive(Clone, Debug)]
struct Payload {
    tag: Tag,
    /// Without the body.
    send: Send,
    length: usize,
}

#[derive(Clone, Debug)]
enum State {
    /// At a line's start.
    Start,
    /// In a line whose first bytes, as many as this, contain no line feed.
    Line(usize),
    /// In a refused line: everything up to its line feed is dropped.
    SkipLine,
    /// In a SENDB's payload.
    Payload(Payload),
    /// In the payload of a refused SENDB: this many more bytes are dropped.
    SkipPayload(u64),
    /// After a payload: its line end is next.
    PayloadEnd(Option<(Tag, Send)>),
    /// Broken: nothing that follows can be trusted.
    Broken,
}

/// Decodes lines, for the daemon.
#[derive(Clone, Debug)]
pub struct LineDecoder {
    body_max: usize,
    line_max: usize,
    state: State,
    /// How many invalid lines came before the first valid one.
    opening: Option<u32>,
    /// The line so far, if it contained telnet commands; the rest of it is in the buffer.
    half: Vec<u8>,
    telnet: Telnet,
    /// The first line is a request in JSON, and nobody has asked yet.
    began_in_json: bool,
}

/// `Break`: what was found, or `None` if more bytes are needed. `Continue`: the decoder goes on.
type Step = ControlFlow<Option<Incoming>>;

/// The byte order mark that some editors put at the beginning of a file.
const MARK: &str = "\u{feff}";

/// How far ahead to look for an interrupt key: more than anybody types in the meantime.
const TYPED_AHEAD_BYTES: usize = 4096;

impl LineDecoder {
    /// A decoder that accepts bodies of at most `body_max` bytes.
    pub fn new(body_max: usize) -> Self {
        LineDecoder {
            body_max,
            line_max: body_max + ENVELOPE_BYTES,
            state: State::Start,
            opening: Some(0),
            half: Vec::new(),
            telnet: Telnet::default(),
            began_in_json: false,
        }
    }

    /// Changes the longest accepted body, from the next request on.
    pub fn set_body_max(&mut self, body_max: usize) {
        (self.body_max, self.line_max) = (body_max, body_max + ENVELOPE_BYTES);
    }

    fn broken(&mut self, code: ErrorCode, text: impl Into<String>) -> Option<Incoming> {
        self.state = State::Broken;
        Some(Incoming::Broken(Refusal::new(code, text)))
    }

    /// Whether the first line was just found to be a request in JSON.
    pub(crate) fn take_began_in_json(&mut self) -> bool {
        std::mem::take(&mut self.began_in_json)
    }

    /// The length limit of the line that begins with the half line and these bytes.
    fn line_max(&self, bytes: &[u8]) -> usize {
        let mut begin = self.half.iter().chain(bytes).copied();
        let is_marked = self.opening == Some(0) && begin.clone().take(MARK.len()).eq(MARK.bytes());
        let first = if is_marked { begin.nth(MARK.len()) } else { begin.next() };
        if first == Some(b'{') { self.line_max.saturating_mul(JSON_FACTOR) } else { self.line_max }
    }

    fn too_long(&self) -> Refusal {
        Refusal::new(
            ErrorCode::TooLong,
            format!("a message has at most {} bytes, a line {}", self.body_max, self.line_max),
        )
    }

    /// Whether these bytes, which come next, contain a telnet client's interrupt key.
    pub fn is_interrupted(&self, bytes: &[u8]) -> bool {
        if bytes.len() > TYPED_AHEAD_BYTES || !bytes.contains(&IAC) {
            return false;
        }
        let (mut ahead, mut bytes) = (self.clone(), BytesMut::from(bytes));
        while ahead.next(&mut bytes).is_some() {}
        ahead.telnet.interrupts != self.telnet.interrupts
    }

    /// The next request; `None` until there are more bytes.
    fn next(&mut self, buffer: &mut BytesMut) -> Option<Incoming> {
        loop {
            let step = if self.telnet.is_within() { self.in_subnegotiation(buffer) } else { self.step(buffer) };
            if let Break(found) = step {
                return found;
            }
        }
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Step {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Broken => {
                buffer.clear();
                return Break(None);
            }
            State::Start => self.state = State::Line(0),
            State::Line(seen) => return self.in_line(seen, buffer),
            State::SkipLine => return self.skip_line(buffer),
            State::Payload(payload) => {
                if buffer.len() < payload.length {
                    self.state = State::Payload(payload);
                    return Break(None);
                }
                // Copy the body: a view would keep the whole read buffer alive for as long as the message is in memory.
                let body = Bytes::copy_from_slice(&buffer.split_to(payload.length));
                let Payload { tag, send, .. } = payload;
                self.state = State::PayloadEnd(Some((tag, Send { body, ..send })));
            }
            State::SkipPayload(left) => {
                let here = left.min(buffer.len() as u64);
                buffer.advance(usize::try_from(here).unwrap_or(buffer.len()));
                if here < left {
                    self.state = State::SkipPayload(left - here);
                    return Break(None);
                }
                self.state = State::PayloadEnd(None);
            }
            State::PayloadEnd(request) => return self.payload_end(request, buffer),
        }
        Continue(())
    }

    /// Continues in a refused line.
    fn skip_line(&mut self, buffer: &mut BytesMut) -> Step {
        let found = buffer.iter().position(|&byte| matches!(byte, b'\n' | IAC));
        buffer.advance(found.unwrap_or(buffer.len()));
        self.state = State::SkipLine;
        match buffer.first() {
            None => return Break(None),
            Some(&IAC) => match self.telnet.read(buffer, false) {
                Found::More => return Break(None),
                Found::Text(length) => buffer.advance(length),
                Found::Command(length, act) => {
                    buffer.advance(length);
                    return self.act(act);
                }
            },
            Some(_) => buffer_skip(buffer, 1, &mut self.state),
        }
        Continue(())
    }

    /// Consumes the line end after a payload.
    fn payload_end(&mut self, request: Option<(Tag, Send)>, buffer: &mut BytesMut) -> Step {
        let end = match (buffer.first(), buffer.get(1)) {
            (Some(b'\n'), _) => 1,
            (Some(b'\r'), Some(b'\n')) => 2,
            (None, _) | (Some(b'\r'), None) => {
                self.state = State::PayloadEnd(request);
                return Break(None);
            }
            (Some(&IAC), _) if self.telnet.is_spoken() => match self.telnet.read(buffer, false) {
                Found::More => {
                    self.state = State::PayloadEnd(request);
                    return Break(None);
                }
                Found::Text(_) => return Break(self.wrong_count()),
                Found::Command(length, act) => {
                    self.state = State::PayloadEnd(request);
                    buffer.advance(length);
                    return self.act(act);
                }
            },
            _ => return Break(self.wrong_count()),
        };
        buffer_skip(buffer, end, &mut self.state);
        if let Some((tag, send)) = request {
            return Break(Some(Incoming::Request { tag, command: Command::Send(send) }));
        }
        Continue(())
    }

    /// Continues in a line that contains no line feed and no IAC before `seen`.
    fn in_line(&mut self, seen: usize, buffer: &mut BytesMut) -> Step {
        let found = buffer.iter().skip(seen).position(|&byte| matches!(byte, b'\n' | IAC)).map(|at| at + seen);
        let length = found.unwrap_or(buffer.len());
        if self.half.len() + length > self.line_max(buffer) {
            buffer.advance(length);
            self.half = Vec::new();
            self.state = State::SkipLine;
            if self.opening.is_some() {
                return Break(self.broken(ErrorCode::TooLong, self.too_long().text));
            }
            return Break(Some(Incoming::Refused { tag: Tag::None, refusal: self.too_long() }));
        }
        self.state = State::Line(length);
        match buffer.get(length) {
            None => return Break(None),
            Some(&IAC) => {
                let is_line_start = length == 0 && self.half.is_empty();
                match self.telnet.read(buffer.get(length..).unwrap_or_default(), is_line_start) {
                    Found::More => return Break(None),
                    Found::Text(1) => self.state = State::Line(length + 1),
                    Found::Text(bytes) => {
                        self.half.extend_from_slice(&buffer.split_to(length + 1));
                        buffer.advance(bytes - 1);
                        self.state = State::Line(0);
                    }
                    Found::Command(bytes, act) => {
                        self.half.extend_from_slice(&buffer.split_to(length));
                        buffer.advance(bytes);
                        self.state = State::Line(0);
                        return self.act(act);
                    }
                }
            }
            Some(_) => {
                let mut line = buffer.split_to(length).freeze();
                buffer.advance(1);
                if !self.half.is_empty() {
                    let mut whole = std::mem::take(&mut self.half);
                    whole.extend_from_slice(&line);
                    line = whole.into();
                }
                self.state = State::Start;
                if let Some(incoming) = self.line(line) {
                    return Break(Some(incoming));
                }
            }
        }
        Continue(())
    }

    fn in_subnegotiation(&mut self, buffer: &mut BytesMut) -> Step {
        let (bytes, skipped) = self.telnet.skip(buffer, self.line_max);
        buffer.advance(bytes);
        match skipped {
            Skipped::More => Break(None),
            Skipped::Done => Continue(()),
            Skipped::TooLong => {
                self.telnet = Telnet::default();
                let text = format!("a telnet subnegotiation has at most {} bytes, and ends with IAC SE", self.line_max);
                Break(self.broken(ErrorCode::TooLong, text))
            }
        }
    }

    /// Carries out a telnet command.
    fn act(&mut self, act: Act) -> Step {
        match act {
            Act::Nothing => {}
            Act::Answer(bytes) => return Break(Some(Incoming::Telnet(bytes))),
            Act::Show => return Break(Some(Incoming::Request { tag: Tag::None, command: Command::Ping })),
            Act::EraseCharacter => {
                // Remove the whole character: its first byte and the continuation bytes.
                while self.half.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            Act::EraseLine => {
                self.half.clear();
                if matches!(self.state, State::SkipLine) {
                    self.state = State::Start;
                }
            }
        }
        Continue(())
    }

    fn wrong_count(&mut self) -> Option<Incoming> {
        let text = "a SENDB's bytes end with a line end; these did not, so its count was wrong";
        self.broken(ErrorCode::BadArgument, text)
    }

    /// Handles a whole line without its line feed; `None` if it is blank.
    fn line(&mut self, line: Bytes) -> Option<Incoming> {
        let line = match line.last() {
            Some(b'\r') => line.slice(..line.len() - 1),
            _ => line,
        };
        if line.is_empty() {
            return None;
        }
        let Ok(text) = std::str::from_utf8(&line) else {
            let takes = if line.starts_with(b"{") { "SEND takes any bytes as base64" } else { "SENDB takes any bytes" };
            let refusal = Refusal::new(ErrorCode::NotUtf8, format!("a line is UTF-8; {takes}"));
            // The tag is known only if it comes before the invalid byte.
            return Some(self.wrong(ascii_tag(&line), refusal));
        };
        let text = text.strip_prefix(MARK).filter(|_| self.opening == Some(0)).unwrap_or(text);
        if text.starts_with('{') {
            return Some(self.object(text));
        }
        let (tag, rest) = match split_tag(text) {
            Ok(split) => split,
            Err(refusal) => return Some(self.wrong(Tag::None, refusal)),
        };
        let mut words = Words(rest);
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        if self.opening.is_some() {
            // What follows a request of another protocol, or is the payload of a SENDB, must not run as commands.
            if opening::is_foreign(rest) || verb == "SENDB" {
                return self.broken(ErrorCode::HelloFirst, hint::BEGIN);
            }
            if let Some(text) = opening::wrong(&verb) {
                return Some(self.wrong(tag, Refusal::new(ErrorCode::HelloFirst, text)));
            }
            self.opening = None;
        }
        if verb == "SENDB" {
            return self.sendb(tag, words);
        }
        Some(match parse(&verb, words) {
            Ok(command) if command.body_bytes() > self.body_max => Incoming::Refused { tag, refusal: self.too_long() },
            Ok(command) => Incoming::Request { tag, command },
            Err(refusal) => Incoming::Refused { tag, refusal },
        })
    }

    /// Handles a line that is a request in JSON.
    fn object(&mut self, text: &str) -> Incoming {
        self.began_in_json |= self.opening == Some(0);
        let Parsed { tag, verb, is_foreign, command } = json_request::read(text, self.body_max);
        if self.opening.is_some() {
            // What follows a request of another protocol must not run as commands.
            if is_foreign || opening::is_foreign(text) {
                self.state = State::Broken;
                return Incoming::Broken(Refusal::new(ErrorCode::HelloFirst, hint::BEGIN_IN_JSON));
            }
            match (verb, &command) {
                (Some(verb), _) if FIRST_VERBS.contains(&&*verb) => self.opening = None,
                (None, Err(refusal)) => return self.wrong(tag, refusal.clone()),
                _ => return self.wrong(tag, Refusal::new(ErrorCode::HelloFirst, hint::BEGIN_IN_JSON)),
            }
        }
        match command {
            Ok(command) => Incoming::Request { tag, command },
            Err(refusal) => Incoming::Refused { tag, refusal },
        }
    }

    /// Handles a line that is not a command: somebody who has just connected gets another try or two.
    fn wrong(&mut self, tag: Tag, refusal: Refusal) -> Incoming {
        if let Some(wrong) = &mut self.opening {
            *wrong += 1;
            if *wrong >= WRONG_LINES_MAX {
                self.state = State::Broken;
                return Incoming::Broken(refusal);
            }
        }
        Incoming::Refused { tag, refusal }
    }

    fn sendb(&mut self, tag: Tag, words: Words<'_>) -> Option<Incoming> {
        let (send, length) = match sendb_line(words) {
            Ok(parsed) => parsed,
            // Without the byte count, the payload can't be told apart from commands.
            Err(refusal) => return self.broken(refusal.code, refusal.text),
        };
        match usize::try_from(length) {
            Ok(length) if length <= self.body_max => {
                self.state = State::Payload(Payload { tag, send, length });
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
        // An incomplete line at the end is not a command.
        Ok(self.next(buffer))
    }
}
