//! Parts of an answer, and what is told unasked: each with its fields, its line and its JSON.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ErrorCode;
use crate::form::{Form, Or, seconds};
use crate::line::time;
use crate::text::escape;

/// A part of an answer, or something told unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A message.
    Message(Message),
    /// Seqs that the client has not been handed and that are gone.
    Gap {
        /// Of this room.
        room: Arc<str>,
        /// The first seq that is gone.
        from: u64,
        /// The last.
        to: u64,
        /// Why.
        reason: GapReason,
    },
    /// A room, as it is now.
    Room(RoomInfo),
    /// A member of a room.
    Member(MemberInfo),
    /// A line of HELP.
    Help(String),
    /// What a person may in a room.
    Access {
        /// In this room.
        room: Arc<str>,
        /// The person.
        client: Arc<str>,
        /// What he may.
        access: Access,
    },
    /// A room that the client no longer sees, or is no longer a member of.
    Gone {
        /// Which.
        room: Arc<str>,
    },
    /// Something that went on in a room.
    Event {
        /// In which.
        room: Arc<str>,
        /// When, in milliseconds since 1970 UTC.
        time_ms: u64,
        /// Whom it is about.
        client: Arc<str>,
        /// What.
        event: Event,
    },
    /// A shared cursor.
    Group {
        /// In this room.
        room: Arc<str>,
        /// Its name.
        group: Arc<str>,
        /// Everything up to here is done.
        cursor: u64,
        /// How many messages are taken and not done.
        pending: u64,
        /// How many were not taken yet.
        waiting: u64,
        /// How long a message that was taken is nobody else's, in milliseconds.
        timeout_ms: u64,
    },
    /// A message that is taken and not done.
    Pending {
        /// In this room.
        room: Arc<str>,
        /// By this shared cursor.
        group: Arc<str>,
        /// Which.
        seq: u64,
        /// Who has it.
        client: Arc<str>,
        /// Since when, in milliseconds since 1970 UTC.
        since_ms: u64,
        /// How often it was taken, since the daemon started.
        deliveries: u64,
    },
    /// A FOLLOW that can't go on: nothing more of the room is told until it is followed again.
    Ended {
        /// Of this room.
        room: Arc<str>,
        /// Why.
        code: ErrorCode,
        /// The same, for people.
        text: String,
    },
}

impl Item {
    /// Writes it.
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

/// Something that goes on in a room, beside its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A client has become a member.
    Joined,
    /// A client is no member any more.
    Left,
    /// A member has connected, and was not before.
    Online,
    /// A member's last connection has ended.
    Offline,
    /// A person is shown as this now.
    Nick(Arc<str>),
    /// A member is typing.
    Typing,
}

impl Event {
    /// As a line has it, but for a nick.
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

/// What a person may in a room, beside what everybody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Everything; made it.
    Owner,
    /// Join it, though it is private.
    Invited,
    /// Nothing.
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
    /// They are past retention.
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
    /// Where it was sent.
    pub room: Arc<str>,
    /// Its place there: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When the daemon took it, in milliseconds since 1970 UTC; never less than the message before it.
    pub time_ms: u64,
    /// Who sent it, without the device.
    pub client: Arc<str>,
    /// What was sent.
    pub body: Bytes,
    /// Whether it is about another, or is no more.
    pub kind: Kind,
}

/// Whether a message is about another, or is no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Neither.
    #[default]
    Plain,
    /// It answers the message with this seq.
    Reply(u64),
    /// It says that the message with this seq was redacted, by who sent this; it has no body.
    Redaction(u64),
    /// It was redacted, as the message with this seq says; it has no body any more.
    Redacted(u64),
}

/// A [`Message`] on its way out, that nobody has to own.
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

/// A room in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// Its name.
    pub room: Arc<str>,
    /// How many members it has; each device counts.
    pub members: u64,
    /// Its last seq.
    pub last: u64,
    /// Messages past the asking client's cursor that are still to be read: stored, not redacted, and not by the same person. None
    /// where the client has no cursor.
    pub unread: Option<u64>,
    /// Time of the last message, or of the room's making; milliseconds since 1970 UTC.
    pub active_ms: u64,
    /// What it is about.
    pub topic: Arc<str>,
    /// Whether only those see it who are invited.
    pub private: bool,
    /// The asking client's cursor, if it has one. A line does not say it.
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
    /// Of this room.
    pub room: Arc<str>,
    /// The member, with its device.
    pub client: Arc<str>,
    /// Connections that it holds now; 0: away.
    pub connections: u64,
    /// How far it has acknowledged; none where it reads nothing.
    pub cursor: Option<u64>,
    /// What it is shown as; its name where it never said.
    pub nick: Arc<str>,
    /// Since when it is connected without a break, or away; milliseconds since 1970 UTC. None where it was away when the daemon
    /// started.
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
