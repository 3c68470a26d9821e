//! Answers, and what is told unasked, as JSON: one object a line, for scripts that ask for it by FORMAT.
//!
//! What a line would show escaped is escaped here as well, in JSON's way: such a line is as safe on a terminal as any other.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::line::time;
use super::text::is_unsafe;
use super::{Event, GapReason, Item, Keep, Kind, MessageRef, Refusal, Reply, Tag};

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

/// An object that is being written.
struct Object<'a>(&'a mut Vec<u8>);

impl<'a> Object<'a> {
    fn of(kind: &str, tag: &Tag, out: &'a mut Vec<u8>) -> Object<'a> {
        out.extend_from_slice(b"{\"type\":");
        let mut object = Object(out);
        object.value(kind);
        match tag {
            Tag::None => {}
            Tag::Text(tag) => object.put("tag", &**tag),
            Tag::Id(id) => object.put("tag", id),
        }
        object
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Writing to a vector does not fail, and no value here is one that JSON has not.
        let _ = value.serialize(&mut Serializer::with_formatter(&mut *self.0, Safe));
    }

    fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.0.push(b',');
        self.value(name);
        self.0.push(b':');
        self.value(value);
    }

    fn time(&mut self, name: &str, time_ms: u64) {
        self.put(name, &time(time_ms).to_string());
    }

    fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }
}

/// Appends the end of an answer.
pub fn encode_reply(tag: &Tag, reply: &Reply, out: &mut Vec<u8>) {
    let kind = match reply {
        Reply::Error(_) => "error",
        Reply::End { .. } => "end",
        _ => "ok",
    };
    let mut object = Object::of(kind, tag, out);
    match reply {
        Reply::Done | Reply::Pong | Reply::Bye => {}
        Reply::Welcome(welcome) => {
            object.put("server", &welcome.server);
            object.put("version", &welcome.version);
            object.put("client", &welcome.client);
            object.put("max_body", &welcome.max_body);
            object.put("max_pipelined", &welcome.max_pipelined);
            object.put("max_joined", &welcome.max_joined);
            object.put("retention_secs", &welcome.retention_secs);
            object.put("admin", &welcome.admin);
            object.put("epoch", &*welcome.epoch);
        }
        Reply::Joined { cursor, last, number, created } => {
            object.put("cursor", cursor);
            object.put("last", last);
            object.put("created", created);
            object.put("number", number);
        }
        Reply::Created { number } => {
            object.put("created", &true);
            object.put("number", number);
        }
        Reply::Sent { seq, dup } => {
            object.put("seq", seq);
            object.put("dup", dup);
        }
        Reply::End { room, handed, oldest, last } => {
            object.put("room", room);
            object.put("handed", handed);
            object.put("oldest", oldest);
            object.put("last", last);
        }
        Reply::Acked { cursor } => object.put("cursor", cursor),
        Reply::Following { after, number } => {
            object.put("after", after);
            object.put("number", number);
        }
        Reply::Count(count) => object.put("count", count),
        Reply::Stats(figures) => {
            for (name, value) in figures {
                object.put(&name.replace('-', "_"), value);
            }
        }
        Reply::Retained { keep: Keep { secs, cap_bytes }, stored_bytes } => {
            object.put("retention_secs", secs);
            object.put("cap_bytes", &Some(cap_bytes).filter(|bytes| **bytes > 0));
            object.put("stored_bytes", stored_bytes);
        }
        Reply::Grouped { cursor, last, timeout_ms } => {
            object.put("cursor", cursor);
            object.put("last", last);
            object.put("timeout_ms", timeout_ms);
        }
        Reply::Topic(topic) => object.put("topic", &**topic),
        Reply::Error(Refusal { code, text, wait_ms }) => {
            object.put("code", code.as_str());
            if let Some(wait_ms) = wait_ms {
                object.put("wait_ms", wait_ms);
            }
            object.put("text", text);
        }
    }
    object.end();
}

/// Appends a message: a part of an answer, or (without a tag) a push.
pub fn encode_message(tag: &Tag, message: MessageRef<'_>, out: &mut Vec<u8>) {
    let mut object = Object::of("message", tag, out);
    put_message(&mut object, message);
    object.end();
}

/// Appends a message as it is exported: the same, with its id and what its client is shown as, where there is one.
pub fn encode_exported(message: MessageRef<'_>, id: Option<&str>, nick: Option<&str>, out: &mut Vec<u8>) {
    let mut object = Object::of("message", &Tag::None, out);
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

/// Appends a part of an answer, or (without a tag) something told unasked.
pub fn encode_item(tag: &Tag, item: &Item, out: &mut Vec<u8>) {
    let kind = match item {
        Item::Message(message) => return encode_message(tag, message.into(), out),
        Item::Gap { .. } => "gap",
        Item::Room(_) => "room",
        Item::Member(_) => "member",
        Item::Help(_) => "help",
        Item::Access { .. } => "access",
        Item::Gone { .. } => "gone",
        Item::Event { .. } => "event",
        Item::Group { .. } => "group",
        Item::Pending { .. } => "pending",
        Item::Ended { .. } => "ended",
    };
    let mut object = Object::of(kind, tag, out);
    match item {
        Item::Message(_) => {}
        Item::Gap { room, from, to, reason: GapReason::Expired } => {
            object.put("room", room);
            object.put("from", from);
            object.put("to", to);
            object.put("reason", "expired");
        }
        Item::Room(info) => {
            object.put("room", &info.room);
            object.put("members", &info.members);
            object.put("last", &info.last);
            object.put("unread", &info.unread);
            object.time("active", info.active_ms);
            object.put("topic", &info.topic);
            object.put("private", &info.private);
            object.put("cursor", &info.cursor);
        }
        Item::Member(info) => {
            object.put("room", &info.room);
            object.put("client", &info.client);
            object.put("connections", &info.connections);
            object.put("cursor", &info.cursor);
            object.put("nick", &info.nick);
            object.put("since", &info.since_ms.map(|since_ms| time(since_ms).to_string()));
        }
        Item::Help(text) => object.put("text", text),
        Item::Access { room, client, access } => {
            object.put("room", room);
            object.put("client", client);
            object.put("access", access.as_str());
        }
        Item::Gone { room } => object.put("room", room),
        Item::Ended { room, code, text } => {
            object.put("room", room);
            object.put("code", code.as_str());
            object.put("text", text);
        }
        Item::Group { room, group, cursor, pending, waiting, timeout_ms } => {
            object.put("room", room);
            object.put("group", group);
            object.put("cursor", cursor);
            object.put("pending", pending);
            object.put("waiting", waiting);
            object.put("timeout_ms", timeout_ms);
        }
        Item::Pending { room, group, seq, client, since_ms, deliveries } => {
            object.put("room", room);
            object.put("group", group);
            object.put("seq", seq);
            object.put("client", client);
            object.time("since", *since_ms);
            object.put("deliveries", deliveries);
        }
        Item::Event { room, time_ms, client, event } => {
            object.put("room", room);
            object.time("time", *time_ms);
            object.put("client", client);
            object.put("event", event.as_str());
            if let Event::Nick(nick) = event {
                object.put("nick", nick);
            }
        }
    }
    object.end();
}
