//! Writes requests as JSON, for clients and for tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::members::{Goes, Takes, members};
use crate::json::Object;
use crate::line::{Line, verb};
use crate::{Command, Tag};

/// Appends a request as an object that [`parse`](super::parse) reads as the same request, and a line end. A tag that is a
/// number is at most [`TAG_NUMBER_MAX`](super::TAG_NUMBER_MAX).
pub fn encode_request(tag: &Tag, command: &Command, out: &mut Vec<u8>) {
    let mut line = Line::default();
    command.write(&mut line);
    // SENDB is SEND here.
    let verb = if line.payload().is_some() { verb("SEND").unwrap_or_else(|| command.verb()) } else { command.verb() };
    let mut object = Object::of("do", &verb.name.to_ascii_lowercase(), tag, out);
    for member in members(verb) {
        let Some(value) = value(member.goes, &line) else { continue };
        match member.takes {
            Takes::Bool => object.put(member.name, &(value != "off")),
            Takes::Number => match value.parse::<u64>() {
                Ok(number) => object.put(member.name, &number),
                Err(_) => object.put(member.name, &value),
            },
            Takes::Text => object.put(member.name, &value),
        }
    }
    object.end();
}

/// The value that a command's arguments have for a member.
fn value(goes: Goes, line: &Line) -> Option<String> {
    match goes {
        Goes::Word(place) => line.word_at(place).map(str::to_owned),
        Goes::Option(option) => line.option_of(option).map(str::to_owned),
        Goes::Text => match line.payload() {
            Some(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
            None => line.text_of().map(str::to_owned),
        },
        Goes::Bytes => {
            line.payload().filter(|bytes| std::str::from_utf8(bytes).is_err()).map(|bytes| STANDARD.encode(bytes))
        }
    }
}
