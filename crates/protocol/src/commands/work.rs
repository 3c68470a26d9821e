//! Who carries a command out. Each has a type of its own, so that none can be handed what another has to do.

use super::{
    Access, Ban, Create, Delete, Done, Events, Fetch, Follow, Format, Group, Groups, Hello, Help, History, Invite,
    Join, Kick, Leave, Nick, Pending, Read, Redact, Retain, Seek, Send, Take, Typing, Unban, Unfollow, Ungroup, Who,
};

/// A command, by who carries it out.
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
        /// Of which room.
        room: String,
        /// To here.
        seq: u64,
    },
    /// SEEK.
    Seek(Seek),
    /// TOPIC that says one.
    Topic {
        /// Of which room.
        room: String,
        /// What it is about; empty: nothing.
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
    /// RETAIN, also where it only asks: what is in force is answered behind the changes that were asked for before it.
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

/// A command that only asks, or that changes only this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// HELLO.
    Hello(Hello),
    /// FETCH.
    Fetch(Fetch),
    /// READ. What it acknowledges, the session has the committer write.
    Read(Read),
    /// ACK of what was handed over: the session knows up to where that is.
    Ack {
        /// Of which room.
        room: String,
    },
    /// FOLLOW.
    Follow(Follow),
    /// UNFOLLOW.
    Unfollow(Unfollow),
    /// ROOMS.
    Rooms,
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
    /// TOPIC that asks.
    Topic {
        /// Of which room.
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
    /// TAKE: it may wait, while the connection goes on with everything else.
    Take(Take),
}
