//! Groups: cursors that workers share.

use serde::{Deserialize, Serialize};

use super::{Ask, Command, Local, Request, Work, Write};
use crate::Begin;
use crate::line::{About, Line, Rest, Verb};

/// Creates a group, which gives each message to one client; or sets the timeout of an existing group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The room.
    pub room: String,
    /// Its name.
    pub group: String,
    /// Where a new group begins.
    pub from: Begin,
    /// How long a taken message is reserved, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl Request for Group {
    const VERB: Verb = Verb {
        name: "GROUP",
        usage: "GROUP <room> <group> [from=start|now] [timeout=<time>]",
        purpose: "create a cursor that workers share",
        about: About::Groups,
        more: &[
            "from=      where a new group begins: start, or now",
            "timeout=   how long a worker may keep a message; 30s by default",
            "answer: OK cursor=<seq> last=<seq> timeout=<seconds>s",
        ],
        options: &["from=", "timeout="],
        words: (2, 2),
        names: &["room", "group"],
        rest: Rest::Nothing,
        read: |of| {
            Ok(Command::Group(Group {
                room: of.name(0)?,
                group: of.name(1)?,
                from: of.begin()?,
                timeout_ms: of.ms("timeout=")?,
            }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.group);
        line.option("from=", (self.from == Begin::Now).then_some("now"));
        line.option("timeout=", self.timeout_ms.map(|ms| format!("{ms}ms")));
    }

    named!(room, group);

    fn work(self) -> Work {
        Work::Write(Write::Group(self))
    }
}

/// Deletes a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ungroup {
    /// The room.
    pub room: String,
    /// Its name.
    pub group: String,
}

impl Request for Ungroup {
    const VERB: Verb = Verb {
        name: "UNGROUP",
        usage: "UNGROUP <room> <group>",
        purpose: "delete a group",
        about: About::Groups,
        more: &["answer: OK"],
        options: &[],
        words: (2, 2),
        names: &["room", "group"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Ungroup(Ungroup { room: of.name(0)?, group: of.name(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.group);
    }

    named!(room, group);

    fn work(self) -> Work {
        Work::Write(Write::Ungroup(self))
    }
}

/// Takes messages that nobody else has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// The room.
    pub room: String,
    /// The group.
    pub group: String,
    /// The most messages to take; `None`: 1.
    pub max: Option<u64>,
    /// How long to wait for the first, in milliseconds.
    pub wait_ms: u64,
}

impl Request for Take {
    const VERB: Verb = Verb {
        name: "TAKE",
        usage: "TAKE <room> <group> [max=<n>] [wait=<time>]",
        purpose: "take messages that no other worker has",
        about: About::Groups,
        more: &[
            "max=       at most this many, 1 by default; a bare number means the same",
            "wait=      how long to wait for the first message, at most 60s",
            "answer: MSG and GAP lines, then OK <how many>",
        ],
        options: &["max=", "wait="],
        words: (2, 3),
        names: &["room", "group"],
        rest: Rest::Nothing,
        read: |of| {
            let wait_ms = of.ms("wait=")?.unwrap_or(0);
            Ok(Command::Take(Take { room: of.name(0)?, group: of.name(1)?, max: of.max(2)?, wait_ms }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.group);
        line.option("max=", self.max);
        line.option("wait=", (self.wait_ms > 0).then(|| format!("{}ms", self.wait_ms)));
    }

    named!(room, group);

    fn work(self) -> Work {
        Work::Local(Local::Take(self))
    }
}

/// Marks a taken message as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The room.
    pub room: String,
    /// The group.
    pub group: String,
    /// The message's seq.
    pub seq: u64,
}

impl Request for Done {
    const VERB: Verb = Verb {
        name: "DONE",
        usage: "DONE <room> <group> <seq>",
        purpose: "finish a message that was taken",
        about: About::Groups,
        more: &["answer: OK <seq>: all messages up to this one are done"],
        options: &[],
        words: (3, 3),
        names: &["room", "group", "seq"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Done(Done { room: of.name(0)?, group: of.name(1)?, seq: of.seq(2)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.group);
        line.word(self.seq);
    }

    named!(room, group);

    fn names_a_seq(&self) -> bool {
        true
    }

    fn work(self) -> Work {
        Work::Write(Write::Done(self))
    }
}

/// Lists the messages that are taken but not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The room.
    pub room: String,
    /// The group.
    pub group: String,
}

impl Request for Pending {
    const VERB: Verb = Verb {
        name: "PENDING",
        usage: "PENDING <room> <group>",
        purpose: "list what is taken and not done",
        about: About::Groups,
        more: &["answer: PENDING <room> <group> <seq> <client> <time> <deliveries>", "for each, then OK <how many>"],
        options: &[],
        words: (2, 2),
        names: &["room", "group"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Pending(Pending { room: of.name(0)?, group: of.name(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.group);
    }

    named!(room, group);

    fn work(self) -> Work {
        Work::Ask(Ask::Pending(self))
    }
}

/// Lists a room's groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// The room.
    pub room: String,
}

impl Request for Groups {
    const VERB: Verb = Verb {
        name: "GROUPS",
        usage: "GROUPS <room>",
        purpose: "list a room's groups",
        about: About::Groups,
        more: &["answer: GROUP <room> <group> <cursor> <pending> <waiting> <timeout>", "for each, then OK <how many>"],
        options: &[],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Groups(Groups { room: of.name(0)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
    }

    named!(room);

    fn work(self) -> Work {
        Work::Ask(Ask::Groups(self))
    }
}
