//! The ends of answers: each with its fields, its line and its JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::form::{Form, Or, seconds};
use crate::text::escape;
use crate::{Keep, Refusal};

/// What ends the answer to a request. FETCH, READ, ROOMS, WHO and HELP are preceded by their [`Item`](crate::Item)s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, with nothing more to say.
    Done,
    /// HELLO: who the client is now, and what holds here.
    Welcome(Welcome),
    /// JOIN: where the client stands.
    Joined {
        /// The member's cursor; 0 the first time. None where it has none: see [`Begin::Nowhere`](super::Begin::Nowhere).
        cursor: Option<u64>,
        /// The room's last seq.
        last: u64,
        /// The room's number, which no other has, or will have: not even one of the same name, once this is deleted.
        number: u64,
        /// Whether the room was made by this.
        created: bool,
    },
    /// SEND, REDACT: the message is on disk.
    Sent {
        /// Its place in the room.
        seq: u64,
        /// It had been stored before, by its id, or as what redacts the same message; nothing was added.
        dup: bool,
    },
    /// FETCH and READ: the end of what was handed over.
    End {
        /// Of this room.
        room: Arc<str>,
        /// The last seq that was handed over or said to be gone.
        handed: u64,
        /// The oldest seq still stored; one more than `last` where nothing is.
        oldest: u64,
        /// The room's last seq when the answer began.
        last: u64,
    },
    /// ACK: the cursor is on disk.
    Acked {
        /// Where it is now.
        cursor: u64,
    },
    /// FOLLOW: pushes come, beginning after this seq.
    Following {
        /// The seq after which the pushes begin.
        after: u64,
        /// The room's number, as JOIN tells it.
        number: u64,
    },
    /// ROOMS, WHO, HELP and other lists: how many items came. TAKE: how many messages.
    Count(u64),
    /// STATS: names and values, in a fixed order.
    Stats(Vec<(String, u64)>),
    /// PING.
    Pong,
    /// QUIT.
    Bye,
    /// The request was refused.
    Error(Refusal),
    /// RETAIN: what is in force, and what the room holds.
    Retained {
        /// How long and how much; `secs` is never 0.
        keep: Keep,
        /// Bytes of stored messages, with what each takes beside its body.
        stored_bytes: u64,
    },
    /// GROUP: where it stands.
    Grouped {
        /// Everything up to here is done.
        cursor: u64,
        /// The room's last seq.
        last: u64,
        /// How long a message that was taken is nobody else's, in milliseconds.
        timeout_ms: u64,
    },
    /// CREATE: the room was made by this.
    Created {
        /// Its number, as JOIN tells it.
        number: u64,
    },
    /// TOPIC: what the room is about; may be empty.
    Topic(Arc<str>),
}

impl Reply {
    /// Writes it.
    pub(crate) fn write(&self, form: &mut impl Form) {
        match self {
            Reply::Done => form.ok(format_args!("")),
            Reply::Pong => form.ok(format_args!(" pong")),
            Reply::Bye => form.ok(format_args!(" bye")),
            Reply::Welcome(welcome) => welcome.write(form),
            Reply::Joined { cursor, last, number, created } => {
                let told = if *created { " created" } else { "" };
                form.ok(format_args!(" cursor={} last={last}{told} number={number}", Or(*cursor, "-")));
                form.field("cursor", cursor).field("last", last).field("created", created).field("number", number);
            }
            Reply::Created { number } => {
                form.ok(format_args!(" created number={number}"));
                form.field("created", &true).field("number", number);
            }
            Reply::Sent { seq, dup } => {
                form.ok(format_args!(" {seq}{}", if *dup { " dup" } else { "" }));
                form.field("seq", seq).field("dup", dup);
            }
            Reply::End { room, handed, oldest, last } => {
                form.kind("end");
                form.line(format_args!("END {room} {handed} {oldest} {last}"));
                form.field("room", room).field("handed", handed).field("oldest", oldest).field("last", last);
            }
            Reply::Acked { cursor } => {
                form.ok(format_args!(" {cursor}"));
                form.field("cursor", cursor);
            }
            Reply::Following { after, number } => {
                form.ok(format_args!(" after={after} number={number}"));
                form.field("after", after).field("number", number);
            }
            Reply::Count(count) => {
                form.ok(format_args!(" {count}"));
                form.field("count", count);
            }
            Reply::Stats(figures) => {
                form.ok(format_args!(""));
                for (name, value) in figures {
                    form.line(format_args!(" {name}={value}"));
                    form.field(&name.replace('-', "_"), value);
                }
            }
            Reply::Retained { keep: Keep { secs, cap_bytes }, stored_bytes } => {
                let cap = Some(*cap_bytes).filter(|bytes| *bytes > 0);
                form.ok(format_args!(" retention={secs}s cap={} stored={stored_bytes}", Or(cap, "none")));
                form.field("retention_secs", secs).field("cap_bytes", &cap).field("stored_bytes", stored_bytes);
            }
            Reply::Grouped { cursor, last, timeout_ms } => {
                form.ok(format_args!(" cursor={cursor} last={last} timeout={}", seconds(*timeout_ms)));
                form.field("cursor", cursor).field("last", last).field("timeout_ms", timeout_ms);
            }
            Reply::Topic(topic) => {
                form.ok(format_args!("{}{}", if topic.is_empty() { "" } else { " " }, escape(topic.as_bytes())));
                form.field("topic", topic);
            }
            Reply::Error(refusal) => refusal.write(form),
        }
    }
}

/// HELLO's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// Name and version of the daemon.
    pub server: String,
    /// The client, with its device.
    pub client: Arc<str>,
    /// Longest message body, in bytes.
    pub max_body: u64,
    /// Commands that may wait for their answers; further ones are read when earlier ones are answered.
    pub max_pipelined: u64,
    /// Rooms that the client may be a member of.
    pub max_joined: u64,
    /// How long a message is kept, in seconds.
    pub retention_secs: u64,
    /// Whether the client may do what members may not.
    pub admin: bool,
    /// Which history of its rooms the daemon has: to be remembered with every seq that is to outlive the connection.
    pub epoch: Arc<str>,
}

impl Welcome {
    fn write(&self, form: &mut impl Form) {
        let Welcome { version, server, client, max_body, max_pipelined, max_joined, retention_secs, admin, epoch } =
            self;
        form.ok(format_args!(" {server} version={version} client={client} max-body={max_body}"));
        form.line(format_args!(" max-pipelined={max_pipelined} max-joined={max_joined} retention={retention_secs}s"));
        form.line(format_args!(" epoch={epoch}{}", if *admin { " role=admin" } else { "" }));
        form.field("server", server).field("version", version).field("client", client).field("max_body", max_body);
        form.field("max_pipelined", max_pipelined).field("max_joined", max_joined);
        form.field("retention_secs", retention_secs).field("admin", admin).field("epoch", epoch);
    }
}
