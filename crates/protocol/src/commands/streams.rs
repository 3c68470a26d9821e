//! Live updates: the messages of a room, and the list of rooms.

use serde::{Deserialize, Serialize};

use super::{Ask, Command, Request, Work};
use crate::line::{About, Line, Rest, Verb};

/// A FETCH that continues live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// The room.
    pub room: String,
    /// Where to begin: after this seq; `None`: after the cursor.
    pub after: Option<u64>,
}

impl Request for Follow {
    const VERB: Verb = Verb {
        name: "FOLLOW",
        usage: "FOLLOW <room> [after=<seq>]",
        purpose: "get a room's messages as they arrive",
        about: About::Streams,
        more: &[
            "It begins after your cursor; ACK acknowledges.",
            "after=     begin after this seq instead",
            "answer: OK after=<seq>, then MSG and GAP lines as they come",
        ],
        options: &["after="],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Follow(Follow { room: of.name(0)?, after: of.number("after=")? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.option("after=", self.after);
    }

    named!(room);

    fn names_a_seq(&self) -> bool {
        self.after.is_some()
    }

    fn work(self) -> Work {
        Work::Ask(Ask::Follow(self))
    }
}

/// Ends a FOLLOW.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfollow {
    /// The room.
    pub room: String,
}

impl Request for Unfollow {
    const VERB: Verb = Verb {
        name: "UNFOLLOW",
        usage: "UNFOLLOW <room>",
        purpose: "end a FOLLOW",
        about: About::Streams,
        more: &["answer: OK"],
        options: &[],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Unfollow(Unfollow { room: of.name(0)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
    }

    named!(room);

    fn work(self) -> Work {
        Work::Ask(Ask::Unfollow(self))
    }
}

/// Lists the rooms, and continues live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch;

impl Request for Watch {
    const VERB: Verb = Verb {
        name: "WATCH",
        usage: "WATCH",
        purpose: "get the list of rooms, and every change to it",
        about: About::Streams,
        more: &["answer: OK, then a ROOM line for each room, and whenever one changes"],
        options: &[],
        words: (0, 0),
        names: &[],
        rest: Rest::Nothing,
        read: |_| Ok(Command::Watch),
    };

    fn write(&self, _: &mut Line) {}

    named!();

    fn work(self) -> Work {
        Work::Ask(Ask::Watch)
    }
}

/// Ends a WATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwatch;

impl Request for Unwatch {
    const VERB: Verb = Verb {
        name: "UNWATCH",
        usage: "UNWATCH",
        purpose: "end a WATCH",
        about: About::Streams,
        more: &["answer: OK"],
        options: &[],
        words: (0, 0),
        names: &[],
        rest: Rest::Nothing,
        read: |_| Ok(Command::Unwatch),
    };

    fn write(&self, _: &mut Line) {}

    named!();

    fn work(self) -> Work {
        Work::Ask(Ask::Unwatch)
    }
}
