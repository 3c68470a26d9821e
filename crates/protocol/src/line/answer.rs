//! Answers and pushes, as lines.

use std::cell::Cell;
use std::fmt::Arguments;
use std::io::Write as _;

use serde::Serialize;

use crate::form::Form;
use crate::text::escape_into;
use crate::units::{self, TIME_LAST_MS};
use crate::{Item, Kind, MessageRef, Reply, Tag};

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

pub(super) fn push(out: &mut Vec<u8>, text: Arguments<'_>) {
    // Writing to a vector can't fail.
    let _ = out.write_fmt(text);
}

/// A time in the form of the line protocol: RFC 3339 in UTC, to the millisecond.
pub fn time(time_ms: u64) -> impl std::fmt::Display {
    units::time_ms(time_ms)
}

/// Writes a line.
struct Line<'a>(&'a mut Vec<u8>);

impl Form for Line<'_> {
    fn kind(&mut self, _: &str) {}

    fn line(&mut self, text: Arguments<'_>) {
        push(self.0, text);
    }

    fn field<T: Serialize + ?Sized>(&mut self, _: &str, _: &T) -> &mut Self {
        self
    }

    fn message(&mut self, message: MessageRef<'_>) {
        push_message(self.0, message);
    }
}

/// Appends the end of an answer.
pub fn encode_reply(tag: &Tag, reply: &Reply, out: &mut Vec<u8>) {
    push_tag(out, tag);
    reply.write(&mut Line(out));
    out.push(b'\n');
}

/// Appends a message: part of an answer or, without a tag, a push. Produces the same as [`encode_item`].
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
    // No client's name contains '=', so these can't be mistaken for one.
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

/// Produces the same as [`time`], but caches the second: millions of messages share few seconds.
fn push_time(out: &mut Vec<u8>, time_ms: u64) {
    thread_local! {
        /// A second, and its text without the milliseconds.
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

/// Appends part of an answer or, without a tag, a push.
pub fn encode_item(tag: &Tag, item: &Item, out: &mut Vec<u8>) {
    push_tag(out, tag);
    item.write(&mut Line(out));
    out.push(b'\n');
}
