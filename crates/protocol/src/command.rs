//! What a client may ask.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::name::{check_client, check_group, check_id, check_nick, check_person, check_room, check_topic};
use super::{ErrorCode, Refusal};
use crate::limits::NAME_MAX_BYTES;

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Says who the client is; needed before anything but HELP, PING and QUIT.
    Hello {
        /// The highest version that the client speaks, from 1; a line says nothing of it and means this build's.
        version: u16,
        /// The client's name, with `/device` behind it if it has one.
        client: String,
        /// A secret; not looked at unless the daemon has tokens.
        token: Option<String>,
        /// The epoch of the seqs that the client remembers from earlier connections; refused where the rooms have another.
        epoch: Option<String>,
    },
    /// Sets what the client is shown as.
    Nick {
        /// At most [`NICK_MAX_CHARS`](crate::limits::NICK_MAX_CHARS) characters.
        nick: String,
    },
    /// Makes a room; an error if it is there.
    Create {
        /// Its name.
        room: String,
        /// What it is about; may be empty.
        topic: String,
        /// Whether only those see it who are invited.
        private: bool,
    },
    /// Joins a room for good; makes it if it is missing.
    Join {
        /// Which.
        room: String,
        /// Where to begin, the first time.
        from: Begin,
    },
    /// Forgets the membership and its cursor.
    Leave {
        /// Which room.
        room: String,
    },
    /// Appends a message (on a line: SEND or SENDB).
    Send {
        /// Where to.
        room: String,
        /// Makes a repetition safe: the same id from the same client gets the first one's seq.
        id: Option<String>,
        /// Any bytes.
        body: Bytes,
        /// The seq of the message that this one answers.
        reply: Option<u64>,
    },
    /// Hands over what came after the cursor; moves nothing.
    Fetch {
        /// Of which room.
        room: String,
        /// Begin after this seq instead of the cursor.
        after: Option<u64>,
        /// At most so many messages.
        max: Option<u64>,
    },
    /// Acknowledges what the last READ of this connection handed over, then fetches.
    Read {
        /// Of which room.
        room: String,
        /// At most so many messages.
        max: Option<u64>,
    },
    /// Moves the cursor up.
    Ack {
        /// Of which room.
        room: String,
        /// To here; without it, to what this connection was handed.
        seq: Option<u64>,
    },
    /// A FETCH that goes on live.
    Follow {
        /// Which room.
        room: String,
    },
    /// Ends a FOLLOW.
    Unfollow {
        /// Which room.
        room: String,
    },
    /// Lists the rooms.
    Rooms,
    /// Lists the rooms, and goes on live.
    Watch,
    /// Ends a WATCH.
    Unwatch,
    /// Lists a room's members.
    Who {
        /// Which room.
        room: String,
    },
    /// The daemon's figures.
    Stats,
    /// Is anybody there?
    Ping,
    /// What can be asked.
    Help {
        /// Of one verb only.
        verb: Option<String>,
    },
    /// Ends the connection after all answers.
    Quit,
    /// What a room is about.
    Topic {
        /// Which room.
        room: String,
        /// What to say that it is about, empty: nothing; none: only asks.
        topic: Option<String>,
    },
    /// Lets a person join a private room.
    Invite {
        /// Which room.
        room: String,
        /// The person, without a device.
        client: String,
    },
    /// Ends a person's memberships, with all devices, and the invitation.
    Kick {
        /// Of which room.
        room: String,
        /// The person, without a device.
        client: String,
    },
    /// A KICK that keeps the person out.
    Ban {
        /// Of which room.
        room: String,
        /// The person, without a device.
        client: String,
    },
    /// Ends a BAN.
    Unban {
        /// Of which room.
        room: String,
        /// The person, without a device.
        client: String,
    },
    /// Lists who owns a room, and who is invited to it or banned from it.
    Access {
        /// Which room.
        room: String,
    },
    /// How long a room's messages are kept, and how many bytes of them.
    Retain {
        /// Which room.
        room: String,
        /// How many seconds, 0: as long as the daemon's own retention; none: as before.
        secs: Option<u64>,
        /// How many bytes of stored messages, 0: no such bound; none: as before. With neither it only asks.
        cap_bytes: Option<u64>,
    },
    /// Hands over a part of a room again; moves nothing, and counts for nothing.
    History {
        /// Of which room.
        room: String,
        /// Only what came before this seq.
        before: Option<u64>,
        /// Only what came at this time or later.
        since: Option<Since>,
        /// At most so many messages: with `since` the oldest, otherwise the newest.
        max: Option<u64>,
    },
    /// Moves the cursor, back as well.
    Seek {
        /// Of which room.
        room: String,
        /// To where.
        to: Seek,
    },
    /// Takes a message's text back: its seq stays, and says so.
    Redact {
        /// In which room.
        room: String,
        /// Which message.
        seq: u64,
    },
    /// Wants to be told what goes on in followed rooms beside messages, or no more.
    Events {
        /// Which of the two.
        on: bool,
    },
    /// Lets others in a room know that something is being typed.
    Typing {
        /// Which room.
        room: String,
    },
    /// How the line protocol's answers are written; refused in a frame.
    Format {
        /// As JSON, or as text.
        json: bool,
    },
    /// Makes a shared cursor, of which each message is for one client; or sets how long one has for it.
    Group {
        /// In which room.
        room: String,
        /// Its name.
        group: String,
        /// Where to begin, the first time.
        from: Begin,
        /// How long a message that was taken is nobody else's, in milliseconds.
        timeout_ms: Option<u64>,
    },
    /// Ends a shared cursor.
    Ungroup {
        /// In which room.
        room: String,
        /// Its name.
        group: String,
    },
    /// Lists a room's shared cursors.
    Groups {
        /// Which room.
        room: String,
    },
    /// Takes messages that nobody else has.
    Take {
        /// Of which room.
        room: String,
        /// By which shared cursor.
        group: String,
        /// At most so many; 1 where it is not said.
        max: Option<u64>,
        /// How long to wait for the first, in milliseconds.
        wait_ms: u64,
    },
    /// A message that was taken is dealt with.
    Done {
        /// Of which room.
        room: String,
        /// By which shared cursor.
        group: String,
        /// Which.
        seq: u64,
    },
    /// Lists what is taken and not done.
    Pending {
        /// Of which room.
        room: String,
        /// By which shared cursor.
        group: String,
    },
    /// Deletes a room, with all that is in it and of it.
    Delete {
        /// Which.
        room: String,
        /// Only where it has this number: a request that is repeated deletes no other room of the name.
        number: Option<u64>,
    },
}

impl Command {
    /// A JOIN that begins with everything that is stored.
    pub fn join(room: impl Into<String>) -> Command {
        Command::Join { room: room.into(), from: Begin::Start }
    }

    /// A SEND of a message that answers none.
    pub fn send(room: impl Into<String>, id: Option<&str>, body: impl Into<Bytes>) -> Command {
        Command::Send { room: room.into(), id: id.map(str::to_owned), body: body.into(), reply: None }
    }

    /// Whether it changes what is stored.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Command::Nick { .. }
                | Command::Create { .. }
                | Command::Join { .. }
                | Command::Leave { .. }
                | Command::Send { .. }
                | Command::Ack { .. }
                | Command::Seek { .. }
                | Command::Topic { topic: Some(_), .. }
                | Command::Invite { .. }
                | Command::Kick { .. }
                | Command::Ban { .. }
                | Command::Unban { .. }
                | Command::Retain { .. }
                | Command::Redact { .. }
                | Command::Group { .. }
                | Command::Ungroup { .. }
                | Command::Done { .. }
                | Command::Delete { .. }
        )
    }

    /// Whether it names a seq, or a room's number, that its client remembers: in another epoch it would be about another.
    pub fn names_a_seq(&self) -> bool {
        match self {
            Command::Send { reply, .. } => reply.is_some(),
            // What is after 0 is everything, in every epoch.
            Command::Fetch { after, .. } => after.is_some_and(|after| after > 0),
            Command::Ack { seq, .. } => seq.is_some(),
            Command::History { before, .. } => before.is_some(),
            Command::Seek { to, .. } => matches!(to, Seek::To(1..)),
            Command::Delete { number, .. } => number.is_some(),
            Command::Redact { .. } | Command::Done { .. } => true,
            _ => false,
        }
    }

    /// How many bytes of a message it carries.
    pub fn body_bytes(&self) -> usize {
        if let Command::Send { body, .. } = self { body.len() } else { 0 }
    }

    /// The room that it names, and the group in it.
    pub fn room_mut(&mut self) -> Option<(&mut String, Option<&mut String>)> {
        match self {
            Command::Create { room, .. }
            | Command::Topic { room, .. }
            | Command::Send { room, .. }
            | Command::Invite { room, .. }
            | Command::Kick { room, .. }
            | Command::Ban { room, .. }
            | Command::Unban { room, .. }
            | Command::Join { room, .. }
            | Command::Leave { room }
            | Command::Fetch { room, .. }
            | Command::Read { room, .. }
            | Command::Ack { room, .. }
            | Command::Follow { room }
            | Command::Unfollow { room }
            | Command::Who { room }
            | Command::Access { room }
            | Command::Retain { room, .. }
            | Command::History { room, .. }
            | Command::Seek { room, .. }
            | Command::Redact { room, .. }
            | Command::Typing { room }
            | Command::Delete { room, .. }
            | Command::Groups { room } => Some((room, None)),
            Command::Group { room, group, .. }
            | Command::Ungroup { room, group }
            | Command::Take { room, group, .. }
            | Command::Done { room, group, .. }
            | Command::Pending { room, group } => Some((room, Some(group))),
            Command::Hello { .. }
            | Command::Nick { .. }
            | Command::Rooms
            | Command::Watch
            | Command::Unwatch
            | Command::Events { .. }
            | Command::Format { .. }
            | Command::Stats
            | Command::Ping
            | Command::Help { .. }
            | Command::Quit => None,
        }
    }

    /// Checks the names in it.
    ///
    /// # Errors
    /// `bad-argument`, with a sentence that says what is wrong.
    pub fn check_names(&self) -> Result<(), Refusal> {
        match self {
            Command::Hello { client, .. } => check_client(client),
            Command::Nick { nick } => check_nick(nick),
            Command::Create { room, topic, .. } | Command::Topic { room, topic: Some(topic) } => {
                check_room(room).and_then(|()| check_topic(topic))
            }
            Command::Send { room, id, .. } => check_room(room).and_then(|()| id.as_deref().map_or(Ok(()), check_id)),
            Command::Invite { room, client }
            | Command::Kick { room, client }
            | Command::Ban { room, client }
            | Command::Unban { room, client } => check_room(room).and_then(|()| check_person(client)),
            Command::Join { room, .. }
            | Command::Leave { room }
            | Command::Fetch { room, .. }
            | Command::Read { room, .. }
            | Command::Ack { room, .. }
            | Command::Follow { room }
            | Command::Unfollow { room }
            | Command::Who { room }
            | Command::Access { room }
            | Command::Topic { room, topic: None }
            | Command::Retain { room, .. }
            | Command::History { room, .. }
            | Command::Seek { room, .. }
            | Command::Redact { room, .. }
            | Command::Typing { room }
            | Command::Delete { room, .. }
            | Command::Groups { room } => check_room(room),
            Command::Group { room, group, .. }
            | Command::Ungroup { room, group }
            | Command::Take { room, group, .. }
            | Command::Done { room, group, .. }
            | Command::Pending { room, group } => check_room(room).and_then(|()| check_group(group)),
            Command::Help { verb: Some(verb) } if verb.len() > NAME_MAX_BYTES => {
                Err(Refusal::new(ErrorCode::BadArgument, "no such verb; HELP lists them"))
            }
            Command::Rooms
            | Command::Watch
            | Command::Unwatch
            | Command::Events { .. }
            | Command::Format { .. }
            | Command::Stats
            | Command::Ping
            | Command::Help { .. }
            | Command::Quit => Ok(()),
        }
    }
}

/// Where a first JOIN begins, or a new group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begin {
    /// With everything that is still stored.
    #[default]
    Start,
    /// With what comes from now on.
    Now,
    /// Nowhere: the client gets no cursor, since it is going to write, or to work for groups, and not to read. No group begins so.
    Nowhere,
}

impl Begin {
    /// As a line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Begin::Start => "start",
            Begin::Now => "now",
            Begin::Nowhere => "none",
        }
    }
}

/// A time, to look from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// In milliseconds since 1970 UTC.
    At(u64),
    /// So many milliseconds ago.
    Ago(u64),
}

/// Where to move a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seek {
    /// To this seq: what is read next comes behind it.
    To(u64),
    /// Before everything that is still stored.
    Start,
    /// To the room's last seq.
    Now,
}

/// How long, and how much of, a room is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// In seconds; at least the daemon's own retention. 0: as long as that.
    pub secs: u64,
    /// Bytes of stored messages past which new ones are refused; 0: no such bound.
    pub cap_bytes: u64,
}
