//! Rooms: creating, listing and deleting them, their topic and their retention.

use serde::{Deserialize, Serialize};

use super::{Ask, Command, Names, Request, Work, Write};
use crate::line::{About, Line, Rest, Verb, Wrong, duration};
use crate::name::{check_room, check_topic};
use crate::{ErrorCode, Refusal, units};

/// Creates a room; an error if it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// Its name.
    pub room: String,
    /// Its topic; may be empty.
    pub topic: String,
    /// Whether only invited people see it.
    pub private: bool,
}

impl Request for Create {
    const VERB: Verb = Verb {
        name: "CREATE",
        usage: "CREATE [--private] <room> [<topic>]",
        purpose: "create a room",
        about: About::Rooms,
        more: &[
            "<room>     its name, one word",
            "<topic>    what the room is about: the rest of the line",
            "--private  only people who are invited see it and may JOIN",
            "answer: OK created number=<n>, or ERR room-exists",
        ],
        options: &["--private"],
        words: (1, 1),
        names: &["room", "topic"],
        rest: Rest::Text,
        read: |of| {
            Ok(Command::Create(Create {
                room: of.name(0)?,
                topic: of.text().unwrap_or_default().to_owned(),
                private: of.has("--private"),
            }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.flag("--private", self.private);
        line.word(&self.room);
        line.text(&self.topic);
    }

    fn check(&self) -> Result<(), Refusal> {
        check_room(&self.room).and_then(|()| check_topic(&self.topic))
    }

    fn names(&mut self) -> Names<'_> {
        Names { room: Some(&mut self.room), ..Names::default() }
    }

    fn work(self) -> Work {
        Work::Write(Write::Create(self))
    }
}

/// Lists the rooms, or one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rooms {
    /// Only this one.
    pub room: Option<String>,
}

impl Request for Rooms {
    const VERB: Verb = Verb {
        name: "ROOMS",
        usage: "ROOMS [<room>]",
        purpose: "list the rooms, or one of them",
        about: About::Rooms,
        more: &[
            "answer: ROOM <room> <members> <last> <unread> <time> <access> [<topic>]",
            "for each, most recently active first, then OK <how many>",
        ],
        options: &[],
        words: (0, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Rooms(Rooms { room: of.word(0).map(str::to_owned) })),
    };

    fn write(&self, line: &mut Line) {
        if let Some(room) = &self.room {
            line.word(room);
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        self.room.as_deref().map_or(Ok(()), check_room)
    }

    fn names(&mut self) -> Names<'_> {
        Names { room: self.room.as_mut(), ..Names::default() }
    }

    fn work(self) -> Work {
        Work::Ask(Ask::Rooms(self))
    }
}

/// Returns or sets a room's topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// The room.
    pub room: String,
    /// The new topic, empty to clear it; `None` only asks.
    pub topic: Option<String>,
}

impl Request for Topic {
    const VERB: Verb = Verb {
        name: "TOPIC",
        usage: "TOPIC <room> [<topic>|--clear]",
        purpose: "show, set or clear a room's topic",
        about: About::Rooms,
        more: &[
            "<topic>    the rest of the line",
            "--clear    remove the topic",
            "answer: OK <topic>, or OK if there is none",
        ],
        options: &["--clear"],
        words: (1, 1),
        names: &["room", "topic"],
        rest: Rest::Text,
        read: |of| {
            let topic = match (of.text(), of.has("--clear")) {
                (None, clear) => clear.then(String::new),
                (Some(topic), false) => Some(topic.to_owned()),
                (Some(_), true) => return Err(Wrong::Value("--clear", "and a topic exclude each other".to_owned())),
            };
            Ok(Command::Topic(Topic { room: of.name(0)?, topic }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.flag("--clear", self.topic.as_deref() == Some(""));
        if let Some(topic) = self.topic.as_deref().filter(|topic| !topic.is_empty()) {
            line.text(topic);
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        check_room(&self.room).and_then(|()| self.topic.as_deref().map_or(Ok(()), check_topic))
    }

    fn names(&mut self) -> Names<'_> {
        Names { room: Some(&mut self.room), ..Names::default() }
    }

    fn work(self) -> Work {
        let Topic { room, topic } = self;
        match topic {
            Some(topic) => Work::Write(Write::Topic { room, topic }),
            None => Work::Ask(Ask::Topic { room }),
        }
    }
}

/// Sets or returns how long a room's messages are kept, and how many bytes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retain {
    /// The room.
    pub room: String,
    /// How many seconds, 0: the daemon's own retention; `None`: no change.
    pub secs: Option<u64>,
    /// How many bytes of stored messages, 0: unlimited; `None`: no change. With neither it only asks.
    pub cap_bytes: Option<u64>,
}

impl Request for Retain {
    const VERB: Verb = Verb {
        name: "RETAIN",
        usage: "RETAIN <room> [<retention>|default] [cap=<size>|cap=none]",
        purpose: "show or set how long, and how much, a room keeps",
        about: About::Rooms,
        more: &[
            "<retention>  such as 30d; default: as long as the daemon keeps messages",
            "cap=         such as 1GiB; a SEND beyond it is refused; none: no limit",
            "What you omit stays as it is.",
            "answer: OK retention=<seconds>s cap=<bytes>|none stored=<bytes>",
        ],
        options: &["cap="],
        words: (1, 2),
        names: &["room", "retention"],
        rest: Rest::Nothing,
        read: |of| {
            let secs = match of.word(1) {
                None => None,
                Some("default") => Some(0),
                // Less than a second is too short; it must not become 0, which means the daemon's own retention.
                Some(time) => Some(duration("<retention>", time)?.as_secs().max(1)),
            };
            let cap_bytes = match of.option("cap=") {
                None => None,
                Some("none") => Some(0),
                Some(size) => Some(bytes("cap=", size)?),
            };
            Ok(Command::Retain(Retain { room: of.name(0)?, secs, cap_bytes }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        if let Some(secs) = self.secs {
            line.word(if secs == 0 { "default".to_owned() } else { format!("{secs}s") });
        }
        let cap = |bytes| if bytes == 0 { "none".to_owned() } else { format!("{bytes}") };
        line.option("cap=", self.cap_bytes.map(cap));
    }

    named!(room);

    fn work(self) -> Work {
        Work::Write(Write::Retain(self))
    }
}

/// Deletes a room and everything in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// The room.
    pub room: String,
    /// Delete it only if it has this number, so that a repeated request does not delete another room of the same name.
    pub number: Option<u64>,
}

impl Request for Delete {
    const VERB: Verb = Verb {
        name: "DELETE",
        usage: "DELETE <room> [number=<n>]",
        purpose: "delete a room and everything in it",
        about: About::Rooms,
        more: &[
            "number=    only if the room has this number, which JOIN shows",
            "answer: OK; only the room's owner and admins may",
        ],
        options: &["number="],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Delete(Delete { room: of.name(0)?, number: of.number("number=")? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.option("number=", self.number);
    }

    named!(room);

    fn names_a_seq(&self) -> bool {
        self.number.is_some()
    }

    fn refusal_means_done(&self, code: ErrorCode) -> bool {
        code == ErrorCode::NoRoom
    }

    fn work(self) -> Work {
        Work::Write(Write::Delete(self))
    }
}

/// A size of at least one byte.
fn bytes(what: &'static str, text: &str) -> Result<u64, Wrong> {
    match units::size(text) {
        Ok(0) => Err(Wrong::Value(what, "takes a size of at least one byte, or none".to_owned())),
        size => size.map_err(|wrong| Wrong::Value(what, format!("{wrong}, or none"))),
    }
}
