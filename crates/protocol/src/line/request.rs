//! Parses a line: its tag, its verb, and the verb's arguments.

use super::arguments::{Arguments, Words};
use super::hint::no_verb;
use super::verbs::verb;
use crate::limits::TAG_MAX_BYTES;
use crate::text::is_unsafe;
use crate::{Command, ErrorCode, Refusal, Tag};

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

/// Makes a command of a verb, in upper case, and its arguments.
pub(super) fn parse(name: &str, rest: Words<'_>) -> Result<Command, Refusal> {
    let Some(verb) = verb(name) else {
        return Err(Refusal::new(ErrorCode::BadCommand, no_verb(name)));
    };
    let made = Arguments::of(verb, rest.0).and_then(|arguments| (verb.read)(&arguments));
    made.map_err(|wrong| Refusal::new(ErrorCode::BadArgument, verb.wrong(wrong)))
}
