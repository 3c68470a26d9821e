//! Requests as JSON: one object each, the third way to write a request. On a connection for lines, a line that begins with `{` is
//! one; where messages have bounds of their own, so is each message.
//!
//! `do` is the verb, `tag` the tag. The other members are the verb's arguments, named as in its usage, and become the same
//! `Arguments` that a line does, so that each command has one reader for both.

mod members;
mod object;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use members::{Member, Takes, members, usage};
pub use write::encode_request;

use crate::limits::TAG_MAX_BYTES;
use crate::line::{Arguments, Verb, Wrong, bare, guess, verb};
use crate::text::{is_unsafe, shortened};
use crate::{Command, ErrorCode, Incoming, Refusal, Tag};
use members::Goes;
use object::{Object, Value};

/// The highest number that a tag may be: all JSON parsers read it as it is.
pub const TAG_NUMBER_MAX: u64 = (1 << 53) - 1;

/// Parses one request with a body of at most `body_max` bytes. It is never [`Incoming::Broken`].
pub fn parse(text: &str, body_max: usize) -> Incoming {
    let Parsed { tag, command, .. } = read(text, body_max);
    match command {
        Ok(command) => Incoming::Request { tag, command },
        Err(refusal) => Incoming::Refused { tag, refusal },
    }
}

/// What an object says.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) tag: Tag,
    /// Its verb, in upper case, if it has one.
    pub(crate) verb: Option<String>,
    /// Whether it is an object without a verb, as other protocols have them.
    pub(crate) is_foreign: bool,
    pub(crate) command: Result<Command, Refusal>,
}

/// Parses one request.
pub(crate) fn read(text: &str, body_max: usize) -> Parsed {
    let (object, wrong) = Object::read(text);
    let (tag, bad_tag) = match tag(object.get("tag")) {
        Ok(tag) => (tag, None),
        Err(refusal) => (Tag::None, Some(refusal)),
    };
    let name = match (wrong, name(object.get("do"))) {
        (Some(wrong), _) => return Parsed { tag, verb: None, is_foreign: false, command: Err(wrong) },
        (None, Err(wrong)) => return Parsed { tag, verb: None, is_foreign: true, command: Err(wrong) },
        (None, Ok(name)) => name,
    };
    let command = match bad_tag {
        Some(refusal) => Err(refusal),
        None => command(&name, object, body_max),
    };
    Parsed { tag, verb: Some(name), is_foreign: false, command }
}

fn tag(value: Option<&Value<'_>>) -> Result<Tag, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(Tag::None),
        Some(Value::Number(number)) if *number <= TAG_NUMBER_MAX => Ok(Tag::Id(*number)),
        Some(Value::Text(tag))
            if (1..=TAG_MAX_BYTES).contains(&tag.len()) && !tag.chars().any(|c| c == ' ' || is_unsafe(c)) =>
        {
            Ok(Tag::Text((&**tag).into()))
        }
        Some(_) => Err(Refusal::bad_argument(format!(
            "tag takes a string of 1 to {TAG_MAX_BYTES} bytes, without spaces and control characters, or a whole number \
             up to {TAG_NUMBER_MAX}"
        ))),
    }
}

fn name(value: Option<&Value<'_>>) -> Result<String, Refusal> {
    let why = match value {
        Some(Value::Text(name)) => return Ok(name.to_ascii_uppercase()),
        None | Some(Value::Null) => "do is missing: it names the command, as in {\"do\":\"ping\"}".to_owned(),
        Some(other) => format!("do takes a string, not {}", other.kind()),
    };
    Err(Refusal::new(ErrorCode::BadCommand, why))
}

fn command(name: &str, object: Object<'_>, body_max: usize) -> Result<Command, Refusal> {
    let Some(verb) = verb(name) else {
        let hint = guess(name).map(|verb| format!("did you mean {}? ", usage(verb))).unwrap_or_default();
        return Err(Refusal::new(ErrorCode::BadCommand, format!("no such verb; {hint}HELP lists them")));
    };
    if !verb.is_in_json() {
        let why = format!("{name} is for lines; in JSON, SEND takes any bytes as base64");
        return Err(Refusal::new(ErrorCode::BadCommand, why));
    }
    let arguments = arguments(verb, object, body_max)?;
    (verb.read)(&arguments).map_err(|wrong| match wrong {
        Wrong::Usage => Refusal::bad_argument(format!("usage: {}", usage(verb))),
        Wrong::Because(why) => bad(verb, &why),
        Wrong::Value(of, why) => bad(verb, &format!("{} {why}", bare(of).trim_matches(['<', '>']))),
    })
}

fn bad(verb: &Verb, why: &str) -> Refusal {
    Refusal::bad_argument(format!("{why}; usage: {}", usage(verb)))
}

fn arguments<'a>(verb: &Verb, object: Object<'a>, body_max: usize) -> Result<Arguments<'a>, Refusal> {
    let mut arguments = Arguments::default();
    let mut missing: Vec<Member> = members(verb).filter(|member| member.is_required).collect();
    for (name, value) in object.into_members() {
        if matches!(&*name, "do" | "tag") || value == Value::Null {
            continue;
        }
        let Some(member) = members(verb).find(|member| member.name == name) else {
            return Err(no_member(verb, &name));
        };
        put(&mut arguments, verb, member, value, body_max)?;
        missing.retain(|of| of.name != member.name);
    }
    // One of text and base64 is enough.
    if arguments.has_text() {
        missing.retain(|of| !matches!(of.goes, Goes::Text | Goes::Bytes));
    }
    match missing.first() {
        Some(member) => Err(bad(verb, &format!("{} is missing", member.name))),
        None => Ok(arguments),
    }
}

fn put<'a>(
    arguments: &mut Arguments<'a>,
    verb: &Verb,
    member: Member,
    value: Value<'a>,
    body_max: usize,
) -> Result<(), Refusal> {
    let value: Cow<'a, str> = match (member.takes, value) {
        (Takes::Text | Takes::Number, Value::Text(text)) => text,
        (Takes::Number, Value::Number(number)) => number.to_string().into(),
        (Takes::Bool, Value::Bool(truth)) => match (member.goes, truth) {
            (Goes::Option(_), false) => return Ok(()),
            (Goes::Option(_), true) => "".into(),
            (_, truth) => if truth { "on" } else { "off" }.into(),
        },
        (takes, value) => {
            let takes = match takes {
                Takes::Text => "a string",
                Takes::Number => "a whole number",
                Takes::Bool => "true or false",
            };
            return Err(bad(verb, &format!("{} takes {takes}, not {}", member.name, value.kind())));
        }
    };
    match member.goes {
        Goes::Word(place) => arguments.put_word(place, value),
        Goes::Option(option) => arguments.put_option(option, value),
        Goes::Text | Goes::Bytes if arguments.has_text() => {
            return Err(bad(verb, "text and base64 exclude each other"));
        }
        Goes::Text if value.len() > body_max => return Err(too_long(body_max)),
        Goes::Text => arguments.put_text(value),
        // Four characters are three bytes, or up to two fewer at the end.
        Goes::Bytes if value.len() / 4 * 3 > body_max.saturating_add(2) => return Err(too_long(body_max)),
        Goes::Bytes => match STANDARD.decode(&*value) {
            Ok(bytes) if bytes.len() > body_max => return Err(too_long(body_max)),
            Ok(bytes) => arguments.put_bytes(bytes.into()),
            Err(error) => return Err(bad(verb, &format!("base64 takes base64 with padding: {error}"))),
        },
    }
    Ok(())
}

fn too_long(body_max: usize) -> Refusal {
    Refusal::new(ErrorCode::TooLong, format!("a message has at most {body_max} bytes"))
}

fn no_member(verb: &Verb, name: &str) -> Refusal {
    let name = shortened(name);
    let near = members(verb).find(|member| strsim::osa_distance(member.name, &name) <= name.chars().count() / 3);
    let hint = near.map(|member| format!("; did you mean {}?", member.name)).unwrap_or_default();
    bad(verb, &format!("{} has no member {name}{hint}", verb.name))
}
