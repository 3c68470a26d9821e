//! Reading a room's messages, and moving the cursor.

use serde::{Deserialize, Serialize};

use super::{Ask, Command, Request, Work, Write};
use crate::line::{About, Line, Rest, Verb, Wrong, number, time};
use crate::{Since, value};

/// Returns messages after the cursor, without moving it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The room.
    pub room: String,
    /// Begin after this seq instead of the cursor.
    pub after: Option<u64>,
    /// The most messages to return.
    pub max: Option<u64>,
}

impl Request for Fetch {
    const VERB: Verb = Verb {
        name: "FETCH",
        usage: "FETCH <room> [after=<seq>] [max=<n>]",
        purpose: "get what comes after the cursor",
        about: About::Reading,
        more: &[
            "after=     begin after this seq instead; 0 is the beginning",
            "max=       at most this many messages; a bare number means the same",
            "answer: MSG and GAP lines, then END <room> <handed> <oldest> <last>",
        ],
        options: &["after=", "max="],
        words: (1, 2),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Fetch(Fetch { room: of.name(0)?, after: of.number("after=")?, max: of.max(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.option("after=", self.after);
        line.option("max=", self.max);
    }

    named!(room);

    fn names_a_seq(&self) -> bool {
        // After 0 comes everything, in every epoch.
        self.after.is_some_and(|after| after > 0)
    }

    fn work(self) -> Work {
        Work::Ask(Ask::Fetch(self))
    }
}

/// Moves the cursor up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The room.
    pub room: String,
    /// The new cursor; `None`: the end of what this connection was handed.
    pub seq: Option<u64>,
}

impl Request for Ack {
    const VERB: Verb = Verb {
        name: "ACK",
        usage: "ACK <room> [<seq>]",
        purpose: "move the cursor up",
        about: About::Reading,
        more: &[
            "<seq>      the new cursor; if omitted, the last that this connection got",
            "answer: OK <seq>: your cursor now",
        ],
        options: &[],
        words: (1, 2),
        names: &["room", "seq"],
        rest: Rest::Nothing,
        read: |of| {
            let seq = of.word(1).map(|word| number("<seq>", word)).transpose()?;
            Ok(Command::Ack(Ack { room: of.name(0)?, seq }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        if let Some(seq) = self.seq {
            line.word(seq);
        }
    }

    named!(room);

    fn names_a_seq(&self) -> bool {
        self.seq.is_some()
    }

    fn work(self) -> Work {
        let Ack { room, seq } = self;
        match seq {
            Some(seq) => Work::Write(Write::Ack { room, seq }),
            None => Work::Ask(Ask::Ack { room }),
        }
    }
}

/// Acknowledges what this connection's last READ returned, then fetches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The room.
    pub room: String,
    /// The most messages to return.
    pub max: Option<u64>,
}

impl Request for Read {
    const VERB: Verb = Verb {
        name: "READ",
        usage: "READ <room> [max=<n>]",
        purpose: "get what is new, acknowledging the last READ",
        about: About::Reading,
        more: &["max=       at most this many messages; a bare number means the same", "answer: as for FETCH"],
        options: &["max="],
        words: (1, 2),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Read(Read { room: of.name(0)?, max: of.max(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.option("max=", self.max);
    }

    named!(room);

    fn work(self) -> Work {
        Work::Ask(Ask::Read(self))
    }
}

/// Returns a part of a room again. Does not move the cursor, and an ACK does not cover it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The room.
    pub room: String,
    /// Only messages before this seq.
    pub before: Option<u64>,
    /// Only messages at or after this time.
    pub since: Option<Since>,
    /// The most messages to return: with `after` or `since` the oldest, otherwise the newest.
    pub max: Option<u64>,
    /// Only messages after this seq; seqs that are gone are then reported.
    pub after: Option<u64>,
}

impl Request for History {
    const VERB: Verb = Verb {
        name: "HISTORY",
        usage: "HISTORY <room> [after=<seq>] [before=<seq>] [since=<time>] [max=<n>]",
        purpose: "page through a room without moving the cursor",
        about: About::Reading,
        more: &[
            "after=     only messages after this seq",
            "before=    only messages before this seq",
            "since=     only messages since then: 90m, or 2026-11-21T09:30:00Z",
            "max=       at most this many messages; a bare number means the same",
            "answer: as for FETCH",
        ],
        options: &["after=", "before=", "since=", "max="],
        words: (1, 2),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| {
            let since = of.option("since=").map(since).transpose()?;
            let (after, before) = (of.number("after=")?, of.number("before=")?);
            Ok(Command::History(History { room: of.name(0)?, after, before, since, max: of.max(1)? }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.option("after=", self.after);
        line.option("before=", self.before);
        let since = self.since.map(|since| match since {
            Since::At(ms) => time(ms).to_string(),
            Since::Ago(ms) => format!("{ms}ms"),
        });
        line.option("since=", since);
        line.option("max=", self.max);
    }

    named!(room);

    fn names_a_seq(&self) -> bool {
        self.after.or(self.before).is_some()
    }

    fn work(self) -> Work {
        Work::Ask(Ask::History(self))
    }
}

/// Moves the cursor forwards or backwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seek {
    /// The room.
    pub room: String,
    /// Where to move it.
    pub to: value::Seek,
}

impl Request for Seek {
    const VERB: Verb = Verb {
        name: "SEEK",
        usage: "SEEK <room> <seq>|start|now",
        purpose: "move the cursor anywhere, including back",
        about: About::Reading,
        more: &["answer: OK <seq>: your cursor now"],
        options: &[],
        words: (2, 2),
        names: &["room", "seq"],
        rest: Rest::Nothing,
        read: |of| {
            let to = match of.word(1).unwrap_or_default() {
                "start" => value::Seek::Start,
                "now" => value::Seek::Now,
                _ => value::Seek::To(of.seq(1)?),
            };
            Ok(Command::Seek(Seek { room: of.name(0)?, to }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        match self.to {
            value::Seek::To(seq) => line.word(seq),
            value::Seek::Start => line.word("start"),
            value::Seek::Now => line.word("now"),
        }
    }

    named!(room);

    fn names_a_seq(&self) -> bool {
        matches!(self.to, value::Seek::To(1..))
    }

    fn work(self) -> Work {
        Work::Write(Write::Seek(self))
    }
}

fn since(text: &str) -> Result<Since, Wrong> {
    Since::parse(text).ok_or_else(|| {
        Wrong::Value("since=", "takes a time like 2026-11-21T09:30:00Z, or how long ago, like 90m".to_owned())
    })
}
