//! Who carries out a command. Each of them has its own type, so that none can be given another's work.

use super::{
    Access, Ban, Create, Delete, Done, Events, Fetch, Follow, Format, Group, Groups, Hello, Help, History, Invite,
    Join, Kick, Leave, Nick, Pending, Read, Redact, Retain, Rooms, Seek, Send, Take, Typing, Unban, Unfollow, Ungroup,
    Who,
};

/// A command, sorted by who carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// The committer.
    Write(Write),
    /// The session.
    Ask(Ask),
    /// The connection itself.
    Local(Local),
}

/// A command that changes what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// NICK.
    Nick(Nick),
    /// CREATE.
    Create(Create),
    /// JOIN.
    Join(Join),
    /// LEAVE.
    Leave(Leave),
    /// SEND and SENDB.
    Send(Send),
    /// ACK, up to a seq.
    Ack {
        /// The room.
        room: String,
        /// The new cursor.
        seq: u64,
    },
    /// SEEK.
    Seek(Seek),
    /// TOPIC that sets or clears the topic.
    Topic {
        /// The room.
        room: String,
        /// The topic; empty: none.
        topic: String,
    },
    /// INVITE.
    Invite(Invite),
    /// KICK.
    Kick(Kick),
    /// BAN.
    Ban(Ban),
    /// UNBAN.
    Unban(Unban),
    /// RETAIN, even if it only asks, so that the answer includes changes requested before it.
    Retain(Retain),
    /// REDACT.
    Redact(Redact),
    /// GROUP.
    Group(Group),
    /// UNGROUP.
    Ungroup(Ungroup),
    /// DONE.
    Done(Done),
    /// DELETE.
    Delete(Delete),
}

impl Write {
    /// How many bytes of a message it carries.
    pub fn body_bytes(&self) -> usize {
        if let Write::Send(Send { body, .. }) = self { body.len() } else { 0 }
    }
}

/// A command that only reads, or changes only this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// HELLO.
    Hello(Hello),
    /// FETCH.
    Fetch(Fetch),
    /// READ. The session has the committer write what it acknowledges.
    Read(Read),
    /// ACK without a seq: the session knows up to where messages were handed over.
    Ack {
        /// The room.
        room: String,
    },
    /// FOLLOW.
    Follow(Follow),
    /// UNFOLLOW.
    Unfollow(Unfollow),
    /// ROOMS.
    Rooms(Rooms),
    /// WATCH.
    Watch,
    /// UNWATCH.
    Unwatch,
    /// WHO.
    Who(Who),
    /// STATS.
    Stats,
    /// PING.
    Ping,
    /// HELP.
    Help(Help),
    /// TOPIC that only asks.
    Topic {
        /// The room.
        room: String,
    },
    /// ACCESS.
    Access(Access),
    /// HISTORY.
    History(History),
    /// EVENTS.
    Events(Events),
    /// TYPING.
    Typing(Typing),
    /// GROUPS.
    Groups(Groups),
    /// PENDING.
    Pending(Pending),
}

/// A command that the connection carries out itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// QUIT.
    Quit,
    /// FORMAT.
    Format(Format),
    /// TAKE: it may wait while the connection continues with everything else.
    Take(Take),
}
