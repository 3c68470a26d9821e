//! Answers, and what is told unasked, as lines.

use std::cell::Cell;
use std::fmt;
use std::io::Write as _;

use crate::text::{escape, escape_into};
use crate::units::{self, TIME_LAST_MS};
use crate::{Event, GapReason, Item, Keep, Kind, MessageRef, Refusal, Reply, Tag};

pub(super) fn push_tag(out: &mut Vec<u8>, tag: &Tag) {
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

/// A value, or a dash where there is none.
struct OrDash<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

pub(super) fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    let _ = out.write_fmt(text);
}

/// A time as the line protocol has it: RFC 3339, milliseconds, UTC.
pub fn time(time_ms: u64) -> impl std::fmt::Display {
    units::time_ms(time_ms)
}

/// A span of time as the line protocol has it: seconds, with what is left of the milliseconds.
fn seconds(ms: u64) -> impl std::fmt::Display {
    struct Seconds(u64);
    impl std::fmt::Display for Seconds {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self.0 % 1000 {
                0 => write!(f, "{}s", self.0 / 1000),
                ms => write!(f, "{}.{ms:03}s", self.0 / 1000),
            }
        }
    }
    Seconds(ms)
}

/// Appends the end of an answer.
pub fn encode_reply(tag: &Tag, reply: &Reply, out: &mut Vec<u8>) {
    push_tag(out, tag);
    match reply {
        Reply::Done => out.extend_from_slice(b"OK"),
        Reply::Welcome(welcome) => push(
            out,
            format_args!(
                "OK {} version={} client={} max-body={} max-pipelined={} max-joined={} retention={}s epoch={}{}",
                welcome.server,
                welcome.version,
                welcome.client,
                welcome.max_body,
                welcome.max_pipelined,
                welcome.max_joined,
                welcome.retention_secs,
                welcome.epoch,
                if welcome.admin { " role=admin" } else { "" }
            ),
        ),
        Reply::Joined { cursor, last, number, created } => {
            let created = if *created { " created" } else { "" };
            let cursor = OrDash(*cursor);
            push(out, format_args!("OK cursor={cursor} last={last}{created} number={number}"));
        }
        Reply::Created { number } => push(out, format_args!("OK created number={number}")),
        Reply::Sent { seq, dup: false } => push(out, format_args!("OK {seq}")),
        Reply::Sent { seq, dup: true } => push(out, format_args!("OK {seq} dup")),
        Reply::End { room, handed, oldest, last } => push(out, format_args!("END {room} {handed} {oldest} {last}")),
        Reply::Acked { cursor } => push(out, format_args!("OK {cursor}")),
        Reply::Following { after, number } => push(out, format_args!("OK after={after} number={number}")),
        Reply::Count(count) => push(out, format_args!("OK {count}")),
        Reply::Stats(figures) => {
            out.extend_from_slice(b"OK");
            for (name, value) in figures {
                push(out, format_args!(" {name}={value}"));
            }
        }
        Reply::Retained { keep: Keep { secs, cap_bytes }, stored_bytes } => {
            push(out, format_args!("OK retention={secs}s cap="));
            match cap_bytes {
                0 => out.extend_from_slice(b"none"),
                bytes => push(out, format_args!("{bytes}")),
            }
            push(out, format_args!(" stored={stored_bytes}"));
        }
        Reply::Grouped { cursor, last, timeout_ms } => {
            push(out, format_args!("OK cursor={cursor} last={last} timeout={}", seconds(*timeout_ms)));
        }
        Reply::Topic(topic) if topic.is_empty() => out.extend_from_slice(b"OK"),
        Reply::Topic(topic) => push(out, format_args!("OK {}", escape(topic.as_bytes()))),
        Reply::Pong => out.extend_from_slice(b"OK pong"),
        Reply::Bye => out.extend_from_slice(b"OK bye"),
        Reply::Error(Refusal { code, text, wait_ms }) => {
            push(out, format_args!("ERR {} ", code.as_str()));
            if let Some(wait_ms) = wait_ms {
                push(out, format_args!("wait={wait_ms}ms "));
            }
            push(out, format_args!("{}", escape(text.as_bytes())));
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
    // No client's name has an '=', so that these can't be taken for one.
    match message.kind {
        Kind::Plain => {}
        Kind::Reply(seq) => push(out, format_args!(" reply={seq}")),
        Kind::Redaction(seq) => push(out, format_args!(" redacts={seq}")),
        Kind::Redacted(seq) => push(out, format_args!(" redacted={seq}")),
    }
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
            let (unread, active) = (OrDash(info.unread), time(info.active_ms));
            push(out, format_args!("ROOM {} {} {} {unread} {active}", info.room, info.members, info.last));
            out.extend_from_slice(if info.private { b" private" } else { b" open" });
            if !info.topic.is_empty() {
                push(out, format_args!(" {}", escape(info.topic.as_bytes())));
            }
        }
        Item::Member(info) => {
            let (cursor, since) = (OrDash(info.cursor), OrDash(info.since_ms.map(time)));
            push(out, format_args!("MEMBER {} {} {} {cursor} {since} ", info.room, info.client, info.connections));
            push(out, format_args!("{}", escape(info.nick.as_bytes())));
        }
        Item::Help(line) => push(out, format_args!("HELP {line}")),
        Item::Access { room, client, access } => push(out, format_args!("ACCESS {room} {client} {}", access.as_str())),
        Item::Event { room, time_ms, client, event } => {
            push(out, format_args!("EVENT {room} {} {client} {}", time(*time_ms), event.as_str()));
            if let Event::Nick(nick) = event {
                push(out, format_args!(" {}", escape(nick.as_bytes())));
            }
        }
        Item::Group { room, group, cursor, pending, waiting, timeout_ms } => {
            push(out, format_args!("GROUP {room} {group} {cursor} {pending} {waiting} {}", seconds(*timeout_ms)))
        }
        Item::Pending { room, group, seq, client, since_ms, deliveries } => {
            push(out, format_args!("PENDING {room} {group} {seq} {client} {} {deliveries}", time(*since_ms)))
        }
        Item::Gone { room } => push(out, format_args!("GONE {room}")),
        Item::Ended { room, code, text } => {
            push(out, format_args!("ENDED {room} {} {}", code.as_str(), escape(text.as_bytes())));
        }
    }
    out.push(b'\n');
}
