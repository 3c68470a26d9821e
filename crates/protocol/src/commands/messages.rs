//! Sending and redacting messages.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Command, Names, Request, Work, Write};
use crate::line::{About, Arguments, Line, Rest, Verb, Words, Wrong, number};
use crate::name::{check_id, check_room};
use crate::{ErrorCode, Refusal};

/// Appends a message (as a line: SEND or SENDB).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    /// The room.
    pub room: String,
    /// Makes it safe to repeat: the same id from the same client returns the seq of the first.
    pub id: Option<String>,
    /// The body: any bytes.
    pub body: Bytes,
    /// The seq of the message that this one replies to.
    pub reply: Option<u64>,
}

impl Send {
    /// The body, if SEND can express it: it is the rest of a line, without the line end.
    fn text(&self) -> Option<&str> {
        let body = &self.body;
        // A trailing carriage return would be read as part of the line end.
        let as_text = !body.is_empty() && !body.contains(&b'\n') && body.last() != Some(&b'\r');
        std::str::from_utf8(body).ok().filter(|_| as_text)
    }
}

impl Request for Send {
    const VERB: Verb = Verb {
        name: "SEND",
        usage: "SEND [id=<id>] [reply=<seq>] <room> <text>",
        purpose: "send a message; OK means that it is on disk",
        about: About::Messages,
        more: &[
            "<text>     everything after the room and one space, unchanged",
            "id=        an id that you choose, so that a repeated SEND is stored once",
            "reply=     the seq of the message that this one replies to",
            "Options stand before the room: everything after it is text.",
            "answer: OK <seq>, or OK <seq> dup if it was already stored",
        ],
        options: &["id=", "reply="],
        words: (1, 1),
        names: &["room", "text"],
        rest: Rest::Body,
        read: |of| {
            let id = of.option("id=").map(str::to_owned);
            let body = of.body().ok_or(Wrong::Usage)?;
            Ok(Command::Send(Send { room: of.name(0)?, id, body, reply: of.number("reply=")? }))
        },
    };

    fn verb(&self) -> &'static Verb {
        if self.text().is_some() { &Self::VERB } else { &SENDB }
    }

    fn write(&self, line: &mut Line) {
        line.option("id=", self.id.as_ref());
        line.option("reply=", self.reply);
        line.word(&self.room);
        match self.text() {
            Some(text) => line.text(text),
            None => {
                line.word(self.body.len());
                line.set_payload(&self.body);
            }
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        check_room(&self.room).and_then(|()| self.id.as_deref().map_or(Ok(()), check_id))
    }

    fn names(&mut self) -> Names<'_> {
        Names { room: Some(&mut self.room), ..Names::default() }
    }

    fn names_a_seq(&self) -> bool {
        self.reply.is_some()
    }

    fn work(self) -> Work {
        Work::Write(Write::Send(self))
    }
}

/// The other form of SEND.
pub(super) const SENDB: Verb = Verb {
    name: "SENDB",
    usage: "SENDB [id=<id>] [reply=<seq>] <room> <bytes>",
    purpose: "send a message of any bytes",
    about: About::Messages,
    more: &["<bytes>    how many bytes follow this line, before a line end", "answer: as for SEND"],
    options: &["id=", "reply="],
    words: (2, 2),
    names: &["room"],
    rest: Rest::Nothing,
    read: |of| sendb(of).map(Command::Send),
};

/// A SENDB without its body, which follows the line.
fn sendb(of: &Arguments<'_>) -> Result<Send, Wrong> {
    let id = of.option("id=").map(str::to_owned);
    Ok(Send { room: of.name(0)?, id, body: Bytes::new(), reply: of.number("reply=")? })
}

/// What a SENDB's line contains: everything but the body, and the body's length.
pub(crate) fn sendb_line(rest: Words<'_>) -> Result<(Send, u64), Refusal> {
    let made = Arguments::of(&SENDB, rest.0).and_then(|arguments| {
        Ok((sendb(&arguments)?, number("the count of bytes", arguments.word(1).unwrap_or_default())?))
    });
    made.map_err(|wrong| Refusal::new(ErrorCode::BadArgument, SENDB.wrong(wrong)))
}

/// Removes a message's text. Its seq stays, marked as redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redact {
    /// The room.
    pub room: String,
    /// The message.
    pub seq: u64,
}

impl Request for Redact {
    const VERB: Verb = Verb {
        name: "REDACT",
        usage: "REDACT <room> <seq>",
        purpose: "erase a message's text",
        about: About::Messages,
        more: &["answer: OK <seq>: the message that records the redaction"],
        options: &[],
        words: (2, 2),
        names: &["room", "seq"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Redact(Redact { room: of.name(0)?, seq: of.seq(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(self.seq);
    }

    named!(room);

    fn names_a_seq(&self) -> bool {
        true
    }

    fn work(self) -> Work {
        Work::Write(Write::Redact(self))
    }
}
