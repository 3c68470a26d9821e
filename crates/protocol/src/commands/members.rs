//! Members: joining and leaving rooms, and access to them.

use serde::{Deserialize, Serialize};

use super::{Ask, Command, Request, Work, Write};
use crate::line::{About, Line, Rest, Verb};
use crate::{Begin, ErrorCode};

/// Joins a room permanently, creating it if it does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The room.
    pub room: String,
    /// Where a new member's cursor begins.
    pub from: Begin,
}

impl Request for Join {
    const VERB: Verb = Verb {
        name: "JOIN",
        usage: "JOIN <room> [from=start|now|none]",
        purpose: "join a room, creating it if it does not exist",
        about: About::Members,
        more: &[
            "from=      what to read: start: everything that is stored (the default);",
            "           now: what comes from now on; none: nothing, only write",
            "answer: OK cursor=<seq> last=<seq>, or ERR denied",
        ],
        options: &["from="],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| {
            let from = if of.option("from=") == Some("none") { Begin::Nowhere } else { of.begin()? };
            Ok(Command::Join(Join { room: of.name(0)?, from }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.option("from=", (self.from != Begin::Start).then(|| self.from.as_str()));
    }

    named!(room);

    fn work(self) -> Work {
        Work::Write(Write::Join(self))
    }
}

/// Ends the membership and deletes its cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The room.
    pub room: String,
}

impl Request for Leave {
    const VERB: Verb = Verb {
        name: "LEAVE",
        usage: "LEAVE <room>",
        purpose: "give up the membership and its cursor",
        about: About::Members,
        more: &["answer: OK; the room and its messages stay"],
        options: &[],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Leave(Leave { room: of.name(0)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
    }

    named!(room);

    fn refusal_means_done(&self, code: ErrorCode) -> bool {
        matches!(code, ErrorCode::NotJoined | ErrorCode::NoRoom)
    }

    fn work(self) -> Work {
        Work::Write(Write::Leave(self))
    }
}

/// Lets a person join a private room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The room.
    pub room: String,
    /// The person, without a device.
    pub client: String,
}

impl Request for Invite {
    const VERB: Verb = Verb {
        name: "INVITE",
        usage: "INVITE <room> <client>",
        purpose: "let a person join a private room",
        about: About::Members,
        more: &["answer: OK; any member may"],
        options: &[],
        words: (2, 2),
        names: &["room", "client"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Invite(Invite { room: of.name(0)?, client: of.name(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.client);
    }

    named!(room, client);

    fn introduces(&self) -> Option<&str> {
        Some(&self.client)
    }

    fn work(self) -> Work {
        Work::Write(Write::Invite(self))
    }
}

/// Ends a person's memberships on all devices, and their invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kick {
    /// The room.
    pub room: String,
    /// The person, without a device.
    pub client: String,
}

impl Request for Kick {
    const VERB: Verb = Verb {
        name: "KICK",
        usage: "KICK <room> <client>",
        purpose: "end a person's memberships and invitation",
        about: About::Members,
        more: &["answer: OK; only the room's owner and admins may"],
        options: &[],
        words: (2, 2),
        names: &["room", "client"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Kick(Kick { room: of.name(0)?, client: of.name(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.client);
    }

    named!(room, client);

    fn refusal_means_done(&self, code: ErrorCode) -> bool {
        // Whoever sends this need not be a member, so it is the other person who is not.
        code == ErrorCode::NotJoined
    }

    fn work(self) -> Work {
        Work::Write(Write::Kick(self))
    }
}

/// A KICK that keeps the person out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The room.
    pub room: String,
    /// The person, without a device.
    pub client: String,
}

impl Request for Ban {
    const VERB: Verb = Verb {
        name: "BAN",
        usage: "BAN <room> <client>",
        purpose: "remove a person and keep them out",
        about: About::Members,
        more: &["answer: OK; only the room's owner and admins may"],
        options: &[],
        words: (2, 2),
        names: &["room", "client"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Ban(Ban { room: of.name(0)?, client: of.name(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.client);
    }

    named!(room, client);

    fn introduces(&self) -> Option<&str> {
        Some(&self.client)
    }

    fn work(self) -> Work {
        Work::Write(Write::Ban(self))
    }
}

/// Ends a BAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unban {
    /// The room.
    pub room: String,
    /// The person, without a device.
    pub client: String,
}

impl Request for Unban {
    const VERB: Verb = Verb {
        name: "UNBAN",
        usage: "UNBAN <room> <client>",
        purpose: "lift a ban",
        about: About::Members,
        more: &["answer: OK; only the room's owner and admins may"],
        options: &[],
        words: (2, 2),
        names: &["room", "client"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Unban(Unban { room: of.name(0)?, client: of.name(1)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
        line.word(&self.client);
    }

    named!(room, client);

    fn work(self) -> Work {
        Work::Write(Write::Unban(self))
    }
}

/// Lists who owns a room, and who is invited to it or banned from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The room.
    pub room: String,
}

impl Request for Access {
    const VERB: Verb = Verb {
        name: "ACCESS",
        usage: "ACCESS <room>",
        purpose: "list the owner, and who is invited or banned",
        about: About::Members,
        more: &["answer: ACCESS <room> <client> owner|invited|banned, then OK <how many>"],
        options: &[],
        words: (1, 1),
        names: &["room"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Access(Access { room: of.name(0)? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.room);
    }

    named!(room);

    fn work(self) -> Work {
        Work::Ask(Ask::Access(self))
    }
}
