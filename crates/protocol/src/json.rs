//! Answers and pushes as JSON, one object per line, for scripts that ask for it with FORMAT.
//!
//! Whatever a text line escapes is escaped here too, in JSON's way, so that such a line is as safe on a terminal as any other.

use std::fmt::Arguments;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::line::time;
use super::text::is_unsafe;
use super::{Item, Kind, MessageRef, Reply, Tag};
use crate::form::Form;

/// JSON without any [unsafe](is_unsafe) character.
struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, bad)) = rest.char_indices().find(|(_, c)| is_unsafe(*c)) {
            let (plain, from) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut units = [0; 2];
            for unit in bad.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = from.split_at(bad.len_utf8()).1;
        }
        out.write_all(rest.as_bytes())
    }
}

/// Writes an object.
pub(crate) struct Object<'a>(&'a mut Vec<u8>);

impl<'a> Object<'a> {
    /// Begins an object with its first member and its tag.
    pub(crate) fn of(name: &str, value: &str, tag: &Tag, out: &'a mut Vec<u8>) -> Object<'a> {
        let mut object = Object(out);
        object.begin(name, value, tag);
        object
    }

    fn begin(&mut self, name: &str, value: &str, tag: &Tag) {
        self.0.push(b'{');
        self.value(name);
        self.0.push(b':');
        self.value(value);
        match tag {
            Tag::None => {}
            Tag::Text(tag) => self.put("tag", &**tag),
            Tag::Id(id) => self.put("tag", id),
        }
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Writing to a vector can't fail, and JSON can express every value here.
        let _ = value.serialize(&mut Serializer::with_formatter(&mut *self.0, Safe));
    }

    /// Adds a member.
    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.0.push(b',');
        self.value(name);
        self.0.push(b':');
        self.value(value);
    }

    fn time(&mut self, name: &str, time_ms: u64) {
        self.put(name, &time(time_ms).to_string());
    }

    /// Ends the object, and its line.
    pub(crate) fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }
}

/// Writes an answer as an object.
struct Json<'a> {
    tag: &'a Tag,
    object: Object<'a>,
}

impl Form for Json<'_> {
    fn kind(&mut self, kind: &str) {
        self.object.begin("type", kind, self.tag);
    }

    fn line(&mut self, _: Arguments<'_>) {}

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> &mut Self {
        self.object.put(name, value);
        self
    }

    fn message(&mut self, message: MessageRef<'_>) {
        self.kind("message");
        put_message(&mut self.object, message);
    }
}

/// Appends the end of an answer.
pub fn encode_reply(tag: &Tag, reply: &Reply, out: &mut Vec<u8>) {
    let mut json = Json { tag, object: Object(out) };
    reply.write(&mut json);
    json.object.end();
}

/// Appends a message: part of an answer or, without a tag, a push.
pub fn encode_message(tag: &Tag, message: MessageRef<'_>, out: &mut Vec<u8>) {
    let mut object = Object::of("type", "message", tag, out);
    put_message(&mut object, message);
    object.end();
}

/// Appends a message for an export: with its id and its sender's nick, if there are any.
pub fn encode_exported(message: MessageRef<'_>, id: Option<&str>, nick: Option<&str>, out: &mut Vec<u8>) {
    let mut object = Object::of("type", "message", &Tag::None, out);
    put_message(&mut object, message);
    for (name, value) in [("id", id), ("nick", nick)] {
        if let Some(value) = value {
            object.put(name, value);
        }
    }
    object.end();
}

fn put_message(object: &mut Object<'_>, message: MessageRef<'_>) {
    object.put("room", message.room);
    object.put("seq", &message.seq);
    object.time("time", message.time_ms);
    object.put("client", message.client);
    match message.kind {
        Kind::Plain => {}
        Kind::Reply(seq) => object.put("reply", &seq),
        Kind::Redaction(seq) => object.put("redacts", &seq),
        Kind::Redacted(seq) => object.put("redacted", &seq),
    }
    match std::str::from_utf8(message.body) {
        Ok(text) => object.put("text", text),
        Err(_) => object.put("base64", &STANDARD.encode(message.body)),
    }
}

/// Appends part of an answer or, without a tag, a push.
pub fn encode_item(tag: &Tag, item: &Item, out: &mut Vec<u8>) {
    let mut json = Json { tag, object: Object(out) };
    item.write(&mut json);
    json.object.end();
}
