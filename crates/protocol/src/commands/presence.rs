//! Presence: members, their nicks, and typing.

use serde::{Deserialize, Serialize};

use super::{Ask, Command, Names, Request, Work, Write};
use crate::Refusal;
use crate::line::{About, Line, Rest, Verb};
use crate::name::check_nick;

/// Sets the name under which the client is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nick {
    /// The nick: at most [`NICK_MAX_CHARS`](crate::limits::NICK_MAX_CHARS) characters.
    pub nick: String,
}

impl Request for Nick {
    const VERB: Verb = Verb {
        name: "NICK",
        usage: "NICK <name>",
        purpose: "set your display name",
        about: About::Presence,
        more: &["<name>     the rest of the line, 1 to 32 characters", "answer: OK"],
        options: &[],
        words: (0, 0),
        names: &["name"],
        rest: Rest::Text,
        read: |of| Ok(Command::Nick(Nick { nick: of.text().unwrap_or_default().to_owned() })),
    };

    fn write(&self, line: &mut Line) {
        line.text(&self.nick);
    }

    fn check(&self) -> Result<(), Refusal> {
        check_nick(&self.nick)
    }

    fn names(&mut self) -> Names<'_> {
        Names::default()
    }

    fn work(self) -> Work {
        Work::Write(Write::Nick(self))
    }
}

/// Lists a room's members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The room.
    pub room: String,
}

impl Request for Who {
    const VERB: Verb = Verb {
        name: "WHO",
        usage: "WHO <room>",
        purpose: "list members, with their connections and cursors",
        about: About::Presence,
        more: &[
            "answer: MEMBER <room> <client> <connections> <cursor> <since> <nick>",
            "for each, by name, then OK <how many>",
        ],
        options: &[],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Who(Who { room: of.name(0)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
    }

    named!(room);

    fn work(self) -> Work {
        Work::Ask(Ask::Who(self))
    }
}

/// Turns pushes of events in followed rooms, besides messages, on or off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Whether to push events.
    pub on: bool,
}

impl Request for Events {
    const VERB: Verb = Verb {
        name: "EVENTS",
        usage: "EVENTS on|off",
        purpose: "get joins, departures, nicks and typing as they happen",
        about: About::Presence,
        more: &["They are of the rooms that you FOLLOW.", "answer: OK"],
        options: &[],
        words: (1, 1),
        names: &["on"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Events(Events { on: of.either("on", "off")? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(if self.on { "on" } else { "off" });
    }

    named!();

    fn work(self) -> Work {
        Work::Ask(Ask::Events(self))
    }
}

/// Tells the others in a room that this client is typing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// The room.
    pub room: String,
}

impl Request for Typing {
    const VERB: Verb = Verb {
        name: "TYPING",
        usage: "TYPING <room>",
        purpose: "tell others that you are typing",
        about: About::Presence,
        more: &["answer: OK"],
        options: &[],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Typing(Typing { room: of.name(0)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
    }

    named!(room);

    fn work(self) -> Work {
        Work::Ask(Ask::Typing(self))
    }
}
