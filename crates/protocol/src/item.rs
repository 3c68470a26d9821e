//! Parts of answers, and pushes: each with its fields, its line and its JSON.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ErrorCode;
use crate::form::{Form, Or, seconds};
use crate::line::time;
use crate::text::escape;

/// Part of an answer, or a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A message.
    Message(Message),
    /// Seqs that are gone before the client was handed them.
    Gap {
        /// The room.
        room: Arc<str>,
        /// The first seq that is gone.
        from: u64,
        /// The last seq that is gone.
        to: u64,
        /// Why they are gone.
        reason: GapReason,
    },
    /// The current state of a room.
    Room(RoomInfo),
    /// A member of a room.
    Member(MemberInfo),
    /// A line of HELP.
    Help(String),
    /// A person's access to a room.
    Access {
        /// The room.
        room: Arc<str>,
        /// The person.
        client: Arc<str>,
        /// What they may do.
        access: Access,
    },
    /// A room that the client no longer sees, or is no longer a member of.
    Gone {
        /// The room.
        room: Arc<str>,
    },
    /// Something that happened in a room besides messages.
    Event {
        /// The room.
        room: Arc<str>,
        /// The time, in milliseconds since 1970 UTC.
        time_ms: u64,
        /// The client it concerns.
        client: Arc<str>,
        /// What happened.
        event: Event,
    },
    /// A group.
    Group {
        /// The room.
        room: Arc<str>,
        /// Its name.
        group: Arc<str>,
        /// Everything up to here is done.
        cursor: u64,
        /// How many messages are taken but not done.
        pending: u64,
        /// How many messages were not taken yet.
        waiting: u64,
        /// How long a taken message is reserved, in milliseconds.
        timeout_ms: u64,
    },
    /// A message that is taken but not done.
    Pending {
        /// The room.
        room: Arc<str>,
        /// The group.
        group: Arc<str>,
        /// The message's seq.
        seq: u64,
        /// The client that took it.
        client: Arc<str>,
        /// When it was taken, in milliseconds since 1970 UTC.
        since_ms: u64,
        /// How often it has been taken since the daemon started.
        deliveries: u64,
    },
    /// A FOLLOW can't continue: nothing more of the room is pushed until it is followed again.
    Ended {
        /// The room.
        room: Arc<str>,
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        text: String,
    },
}

impl Item {
    /// Writes the item in either form.
    pub(crate) fn write(&self, form: &mut impl Form) {
        match self {
            Item::Message(message) => form.message(message.into()),
            Item::Gap { room, from, to, reason } => {
                let reason = reason.as_str();
                form.kind("gap");
                form.line(format_args!("GAP {room} {from} {to} {reason}"));
                form.field("room", room).field("from", from).field("to", to).field("reason", reason);
            }
            Item::Room(info) => info.write(form),
            Item::Member(info) => info.write(form),
            Item::Help(text) => {
                form.kind("help");
                form.line(format_args!("HELP {text}"));
                form.field("text", text);
            }
            Item::Access { room, client, access } => {
                let access = access.as_str();
                form.kind("access");
                form.line(format_args!("ACCESS {room} {client} {access}"));
                form.field("room", room).field("client", client).field("access", access);
            }
            Item::Gone { room } => {
                form.kind("gone");
                form.line(format_args!("GONE {room}"));
                form.field("room", room);
            }
            Item::Event { room, time_ms, client, event } => {
                let (time, what) = (time(*time_ms).to_string(), event.as_str());
                form.kind("event");
                form.line(format_args!("EVENT {room} {time} {client} {what}"));
                form.field("room", room).field("time", &time).field("client", client).field("event", what);
                if let Event::Nick(nick) = event {
                    form.line(format_args!(" {}", escape(nick.as_bytes())));
                    form.field("nick", nick);
                }
            }
            Item::Group { room, group, cursor, pending, waiting, timeout_ms } => {
                let timeout = seconds(*timeout_ms);
                form.kind("group");
                form.line(format_args!("GROUP {room} {group} {cursor} {pending} {waiting} {timeout}"));
                form.field("room", room).field("group", group).field("cursor", cursor);
                form.field("pending", pending).field("waiting", waiting).field("timeout_ms", timeout_ms);
            }
            Item::Pending { room, group, seq, client, since_ms, deliveries } => {
                let since = time(*since_ms).to_string();
                form.kind("pending");
                form.line(format_args!("PENDING {room} {group} {seq} {client} {since} {deliveries}"));
                form.field("room", room).field("group", group).field("seq", seq);
                form.field("client", client).field("since", &since).field("deliveries", deliveries);
            }
            Item::Ended { room, code, text } => {
                let code = code.as_str();
                form.kind("ended");
                form.line(format_args!("ENDED {room} {code} {}", escape(text.as_bytes())));
                form.field("room", room).field("code", code).field("text", text);
            }
        }
    }
}

/// Something that happens in a room besides messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A client became a member.
    Joined,
    /// A client is no longer a member.
    Left,
    /// A member's first connection began.
    Online,
    /// A member's last connection ended.
    Offline,
    /// A person set this nick.
    Nick(Arc<str>),
    /// A member is typing.
    Typing,
}

impl Event {
    /// The word in a line; a nick follows it separately.
    pub fn as_str(&self) -> &'static str {
        match self {
            Event::Joined => "joined",
            Event::Left => "left",
            Event::Online => "online",
            Event::Offline => "offline",
            Event::Nick(_) => "nick",
            Event::Typing => "typing",
        }
    }
}

/// A person's access to a room, beyond everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// May do everything; created the room.
    Owner,
    /// May join it although it is private.
    Invited,
    /// May do nothing.
    Banned,
}

impl Access {
    /// As a line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Owner => "owner",
            Access::Invited => "invited",
            Access::Banned => "banned",
        }
    }
}

/// Why seqs are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GapReason {
    /// They are past their retention.
    Expired,
}

impl GapReason {
    /// As a line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::Expired => "expired",
        }
    }
}

/// A stored message. Cheap to clone: names and body are shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The room it was sent to.
    pub room: Arc<str>,
    /// Its seq there: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When the daemon received it, in milliseconds since 1970 UTC; never earlier than the message before it.
    pub time_ms: u64,
    /// The sender, without the device.
    pub client: Arc<str>,
    /// The body: any bytes.
    pub body: Bytes,
    /// Whether it refers to another message, or was redacted.
    pub kind: Kind,
}

/// Whether a message refers to another, or was redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Neither.
    #[default]
    Plain,
    /// It replies to the message with this seq.
    Reply(u64),
    /// It reports that its sender redacted the message with this seq; it has no body.
    Redaction(u64),
    /// It was redacted, as the message with this seq reports; its body is gone.
    Redacted(u64),
}

/// A borrowed [`Message`], for encoding.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    /// As [`Message::room`].
    pub room: &'a str,
    /// As [`Message::seq`].
    pub seq: u64,
    /// As [`Message::time_ms`].
    pub time_ms: u64,
    /// As [`Message::client`].
    pub client: &'a str,
    /// As [`Message::body`].
    pub body: &'a [u8],
    /// As [`Message::kind`].
    pub kind: Kind,
}

impl<'a> From<&'a Message> for MessageRef<'a> {
    fn from(message: &'a Message) -> MessageRef<'a> {
        let Message { room, seq, time_ms, client, body, kind } = message;
        MessageRef { room, seq: *seq, time_ms: *time_ms, client, body, kind: *kind }
    }
}

/// A room's entry in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// Its name.
    pub room: Arc<str>,
    /// How many members it has, counting each device.
    pub members: u64,
    /// Its last seq.
    pub last: u64,
    /// Unread messages past the asking client's cursor: stored, not redacted, and not by the same person. `None` if the client has no
    /// cursor.
    pub unread: Option<u64>,
    /// Time of the last message, or of the room's creation, in milliseconds since 1970 UTC.
    pub active_ms: u64,
    /// Its topic.
    pub topic: Arc<str>,
    /// Whether only invited people see it.
    pub private: bool,
    /// The asking client's cursor, if it has one. Lines do not show it.
    pub cursor: Option<u64>,
}

impl RoomInfo {
    fn write(&self, form: &mut impl Form) {
        let RoomInfo { room, members, last, unread, active_ms, topic, private, cursor } = self;
        let active = time(*active_ms).to_string();
        form.kind("room");
        form.line(format_args!("ROOM {room} {members} {last} {} {active}", Or(*unread, "-")));
        form.line(format_args!(" {}", if *private { "private" } else { "open" }));
        if !topic.is_empty() {
            form.line(format_args!(" {}", escape(topic.as_bytes())));
        }
        form.field("room", room).field("members", members).field("last", last).field("unread", unread);
        form.field("active", &active).field("topic", topic).field("private", private).field("cursor", cursor);
    }
}

/// A member of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// The room.
    pub room: Arc<str>,
    /// The member's name, with its device.
    pub client: Arc<str>,
    /// How many connections it has now; 0: away.
    pub connections: u64,
    /// Its cursor; `None` if it does not read.
    pub cursor: Option<u64>,
    /// Its nick; its name if it never set one.
    pub nick: Arc<str>,
    /// Since when it has been connected without a break, or away, in milliseconds since 1970 UTC. `None` if it has been away since the
    /// daemon started.
    pub since_ms: Option<u64>,
}

impl MemberInfo {
    fn write(&self, form: &mut impl Form) {
        let MemberInfo { room, client, connections, cursor, nick, since_ms } = self;
        let since = since_ms.map(|since_ms| time(since_ms).to_string());
        form.kind("member");
        form.line(format_args!("MEMBER {room} {client} {connections} {} ", Or(*cursor, "-")));
        form.line(format_args!("{} {}", Or(since.as_ref(), "-"), escape(nick.as_bytes())));
        form.field("room", room).field("client", client).field("connections", connections);
        form.field("cursor", cursor).field("nick", nick).field("since", &since);
    }
}
