//! A request as a line: how each command is read from its words, and written.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::arguments::{Arguments, Words, Wrong, number};
use super::hint::no_verb;
use super::verbs::verb;
use crate::limits::TAG_MAX_BYTES;
use crate::text::is_unsafe;
use crate::units;
use crate::{Begin, Command, ErrorCode, Refusal, Seek, Since, Tag, VERSION};

/// How a command is made of what stands behind its verb.
pub(super) type Read = fn(&Arguments<'_>) -> Made;
type Made = Result<Command, Wrong>;

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

/// The command that a verb, in upper case, and what stands behind it are.
pub(super) fn parse(name: &str, rest: Words<'_>) -> Result<Command, Refusal> {
    let Some(verb) = verb(name) else {
        return Err(Refusal::new(ErrorCode::BadCommand, no_verb(name)));
    };
    let made = Arguments::of(verb, rest.0).and_then(|arguments| (verb.read)(&arguments));
    made.map_err(|wrong| Refusal::new(ErrorCode::BadArgument, verb.wrong(wrong)))
}

/// What a SENDB's line says of what follows: everything but the body; and how long that is.
pub(super) fn sendb_line(rest: Words<'_>) -> Result<(Command, u64), Refusal> {
    let Some(verb) = verb("SENDB") else {
        return Err(Refusal::new(ErrorCode::BadCommand, no_verb("SENDB")));
    };
    let made = Arguments::of(verb, rest.0).and_then(|arguments| {
        Ok((sendb(&arguments)?, number("the count of bytes", arguments.word(1).unwrap_or_default())?))
    });
    made.map_err(|wrong| Refusal::new(ErrorCode::BadArgument, verb.wrong(wrong)))
}

pub(super) fn hello(of: &Arguments<'_>) -> Made {
    let (token, epoch) = (of.word(1).map(str::to_owned), of.option("epoch=").map(str::to_owned));
    Ok(Command::Hello { version: VERSION, client: of.name(0)?, token, epoch })
}

pub(super) fn nick(of: &Arguments<'_>) -> Made {
    Ok(Command::Nick { nick: of.text().to_owned() })
}

pub(super) fn create(of: &Arguments<'_>) -> Made {
    Ok(Command::Create { room: of.name(0)?, topic: of.text().to_owned(), private: of.has("--private") })
}

pub(super) fn join(of: &Arguments<'_>) -> Made {
    let from = if of.option("from=") == Some("none") { Begin::Nowhere } else { begin(of)? };
    Ok(Command::Join { room: of.name(0)?, from })
}

pub(super) fn leave(of: &Arguments<'_>) -> Made {
    Ok(Command::Leave { room: of.name(0)? })
}

pub(super) fn send(of: &Arguments<'_>) -> Made {
    let body = of.text();
    if body.is_empty() {
        return Err(Wrong::Usage);
    }
    let body = Bytes::copy_from_slice(body.as_bytes());
    Ok(Command::Send { room: of.name(0)?, id: id(of), body, reply: of.number("reply=")? })
}

/// A SENDB without its body, which comes behind the line.
pub(super) fn sendb(of: &Arguments<'_>) -> Made {
    Ok(Command::Send { room: of.name(0)?, id: id(of), body: Bytes::new(), reply: of.number("reply=")? })
}

fn id(of: &Arguments<'_>) -> Option<String> {
    of.option("id=").map(str::to_owned)
}

pub(super) fn redact(of: &Arguments<'_>) -> Made {
    Ok(Command::Redact { room: of.name(0)?, seq: seq(of, 1)? })
}

pub(super) fn fetch(of: &Arguments<'_>) -> Made {
    Ok(Command::Fetch { room: of.name(0)?, after: of.number("after=")?, max: of.max(1)? })
}

pub(super) fn read(of: &Arguments<'_>) -> Made {
    Ok(Command::Read { room: of.name(0)?, max: of.max(1)? })
}

pub(super) fn ack(of: &Arguments<'_>) -> Made {
    let seq = of.word(1).map(|word| number("<seq>", word)).transpose()?;
    Ok(Command::Ack { room: of.name(0)?, seq })
}

pub(super) fn follow(of: &Arguments<'_>) -> Made {
    Ok(Command::Follow { room: of.name(0)? })
}

pub(super) fn unfollow(of: &Arguments<'_>) -> Made {
    Ok(Command::Unfollow { room: of.name(0)? })
}

pub(super) fn history(of: &Arguments<'_>) -> Made {
    let since = of.option("since=").map(since).transpose()?;
    Ok(Command::History { room: of.name(0)?, before: of.number("before=")?, since, max: of.max(1)? })
}

pub(super) fn seek(of: &Arguments<'_>) -> Made {
    let to = match of.word(1).unwrap_or_default() {
        "start" => Seek::Start,
        "now" => Seek::Now,
        _ => Seek::To(seq(of, 1)?),
    };
    Ok(Command::Seek { room: of.name(0)?, to })
}

pub(super) fn rooms(_: &Arguments<'_>) -> Made {
    Ok(Command::Rooms)
}

pub(super) fn watch(_: &Arguments<'_>) -> Made {
    Ok(Command::Watch)
}

pub(super) fn unwatch(_: &Arguments<'_>) -> Made {
    Ok(Command::Unwatch)
}

pub(super) fn who(of: &Arguments<'_>) -> Made {
    Ok(Command::Who { room: of.name(0)? })
}

pub(super) fn topic(of: &Arguments<'_>) -> Made {
    let topic = match (of.text(), of.has("--clear")) {
        ("", clear) => clear.then(String::new),
        (topic, false) => Some(topic.to_owned()),
        (_, true) => return Err(Wrong::Because("a topic, or --clear".to_owned())),
    };
    Ok(Command::Topic { room: of.name(0)?, topic })
}

pub(super) fn invite(of: &Arguments<'_>) -> Made {
    Ok(Command::Invite { room: of.name(0)?, client: of.name(1)? })
}

pub(super) fn kick(of: &Arguments<'_>) -> Made {
    Ok(Command::Kick { room: of.name(0)?, client: of.name(1)? })
}

pub(super) fn ban(of: &Arguments<'_>) -> Made {
    Ok(Command::Ban { room: of.name(0)?, client: of.name(1)? })
}

pub(super) fn unban(of: &Arguments<'_>) -> Made {
    Ok(Command::Unban { room: of.name(0)?, client: of.name(1)? })
}

pub(super) fn access(of: &Arguments<'_>) -> Made {
    Ok(Command::Access { room: of.name(0)? })
}

pub(super) fn retain(of: &Arguments<'_>) -> Made {
    let secs = match of.word(1) {
        None => None,
        Some("default") => Some(0),
        // Less than a second is too short, and not "as long as the daemon's".
        Some(time) => Some(duration("<time>", time)?.as_secs().max(1)),
    };
    let cap_bytes = match of.option("cap=") {
        None => None,
        Some("none") => Some(0),
        Some(size) => Some(bytes("cap=", size)?),
    };
    Ok(Command::Retain { room: of.name(0)?, secs, cap_bytes })
}

pub(super) fn delete(of: &Arguments<'_>) -> Made {
    Ok(Command::Delete { room: of.name(0)?, number: of.number("number=")? })
}

pub(super) fn group(of: &Arguments<'_>) -> Made {
    Ok(Command::Group { room: of.name(0)?, group: of.name(1)?, from: begin(of)?, timeout_ms: ms(of, "timeout=")? })
}

pub(super) fn ungroup(of: &Arguments<'_>) -> Made {
    Ok(Command::Ungroup { room: of.name(0)?, group: of.name(1)? })
}

pub(super) fn groups(of: &Arguments<'_>) -> Made {
    Ok(Command::Groups { room: of.name(0)? })
}

pub(super) fn take(of: &Arguments<'_>) -> Made {
    let wait_ms = ms(of, "wait=")?.unwrap_or(0);
    Ok(Command::Take { room: of.name(0)?, group: of.name(1)?, max: of.max(2)?, wait_ms })
}

pub(super) fn done(of: &Arguments<'_>) -> Made {
    Ok(Command::Done { room: of.name(0)?, group: of.name(1)?, seq: seq(of, 2)? })
}

pub(super) fn pending(of: &Arguments<'_>) -> Made {
    Ok(Command::Pending { room: of.name(0)?, group: of.name(1)? })
}

pub(super) fn events(of: &Arguments<'_>) -> Made {
    Ok(Command::Events { on: either(of, "on", "off")? })
}

pub(super) fn typing(of: &Arguments<'_>) -> Made {
    Ok(Command::Typing { room: of.name(0)? })
}

pub(super) fn format(of: &Arguments<'_>) -> Made {
    Ok(Command::Format { json: either(of, "json", "text")? })
}

pub(super) fn stats(_: &Arguments<'_>) -> Made {
    Ok(Command::Stats)
}

pub(super) fn ping(_: &Arguments<'_>) -> Made {
    Ok(Command::Ping)
}

pub(super) fn help_of(of: &Arguments<'_>) -> Made {
    Ok(Command::Help { verb: of.word(0).map(str::to_owned) })
}

pub(super) fn quit(_: &Arguments<'_>) -> Made {
    Ok(Command::Quit)
}

/// A seq that has to be there.
fn seq(of: &Arguments<'_>, place: usize) -> Result<u64, Wrong> {
    number("<seq>", of.word(place).unwrap_or_default())
}

/// Which of two words the first is.
fn either(of: &Arguments<'_>, yes: &str, no: &str) -> Result<bool, Wrong> {
    match of.word(0) {
        Some(word) if word == yes => Ok(true),
        Some(word) if word == no => Ok(false),
        _ => Err(Wrong::Usage),
    }
}

/// `from=start|now`.
fn begin(of: &Arguments<'_>) -> Result<Begin, Wrong> {
    match of.option("from=") {
        None | Some("start") => Ok(Begin::Start),
        Some("now") => Ok(Begin::Now),
        Some(_) => Err(Wrong::Because("from= takes start or now".to_owned())),
    }
}

fn duration(what: &str, text: &str) -> Result<Duration, Wrong> {
    units::duration(text).map_err(|wrong| Wrong::Because(format!("{what} {wrong}")))
}

/// An option's value that is a time like `30s`, in milliseconds.
fn ms(of: &Arguments<'_>, option: &str) -> Result<Option<u64>, Wrong> {
    let Some(value) = of.option(option) else { return Ok(None) };
    duration(option, value).map(units::ms).map(Some)
}

/// A size that is one.
fn bytes(what: &str, text: &str) -> Result<u64, Wrong> {
    match units::size(text) {
        Ok(0) => Err(Wrong::Because(format!("{what} takes a size of at least one byte, or none"))),
        size => size.map_err(|wrong| Wrong::Because(format!("{what} {wrong}, or none"))),
    }
}

/// A time as `MSG` shows it, or how long ago: `90m`.
fn since(text: &str) -> Result<Since, Wrong> {
    if let Ok(at) = humantime::parse_rfc3339(text) {
        // Before 1970 there is nothing.
        return Ok(Since::At(at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, units::ms)));
    }
    units::duration(text).map(units::ms).map(Since::Ago).map_err(|_| {
        Wrong::Because("since= takes a time like 2026-11-21T09:30:00Z, or how long ago, like 90m".to_owned())
    })
}
