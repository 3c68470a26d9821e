//! Replies, which end answers: each with its fields, its line and its JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::form::{Form, Or, seconds};
use crate::text::escape;
use crate::{Keep, Refusal};

/// Ends the answer to a request. The [`Item`](crate::Item)s of FETCH, READ, ROOMS, WHO and HELP come before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The request was carried out; there is nothing else to report.
    Done,
    /// HELLO: who the client is, and the daemon's limits.
    Welcome(Welcome),
    /// JOIN: where the client stands.
    Joined {
        /// The member's cursor; 0 for a new member. `None` if it has none: see [`Begin::Nowhere`](super::Begin::Nowhere).
        cursor: Option<u64>,
        /// The room's last seq.
        last: u64,
        /// The room's number. No other room ever has it, not even a later one of the same name.
        number: u64,
        /// Whether this JOIN created the room.
        created: bool,
    },
    /// SEND, REDACT: the message is on disk.
    Sent {
        /// Its place in the room.
        seq: u64,
        /// It was already stored, under the same id or as a redaction of the same message, and nothing was added.
        dup: bool,
    },
    /// FETCH and READ: the end of what is handed over.
    End {
        /// The room.
        room: Arc<str>,
        /// The last seq that was handed over or reported as gone.
        handed: u64,
        /// The oldest seq still stored; `last` + 1 if none is.
        oldest: u64,
        /// The room's last seq when the answer began.
        last: u64,
    },
    /// ACK: the cursor is on disk.
    Acked {
        /// Where it is now.
        cursor: u64,
    },
    /// FOLLOW: pushes begin.
    Following {
        /// The seq after which the pushes begin.
        after: u64,
        /// The room's number, as in the answer to JOIN.
        number: u64,
    },
    /// ROOMS, WHO, HELP and other lists: the number of items. TAKE: the number of messages.
    Count(u64),
    /// STATS: names and values, in a fixed order.
    Stats(Vec<(String, u64)>),
    /// The answer to PING.
    Pong,
    /// The answer to QUIT.
    Bye,
    /// The request was refused.
    Error(Refusal),
    /// RETAIN: the limits in effect, and how much the room holds.
    Retained {
        /// How long and how much is kept; `secs` is never 0.
        keep: Keep,
        /// Bytes of stored messages, including the overhead of each.
        stored_bytes: u64,
    },
    /// GROUP: the state of the group.
    Grouped {
        /// Everything up to here is done.
        cursor: u64,
        /// The room's last seq.
        last: u64,
        /// How long a taken message is reserved, in milliseconds.
        timeout_ms: u64,
    },
    /// CREATE: the room was created.
    Created {
        /// Its number, as in the answer to JOIN.
        number: u64,
    },
    /// TOPIC: the room's topic; may be empty.
    Topic(Arc<str>),
}

impl Reply {
    /// Writes the reply in either form.
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

/// The answer to HELLO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version for this connection.
    pub version: u16,
    /// The daemon's name and version.
    pub server: String,
    /// The client, with its device.
    pub client: Arc<str>,
    /// The longest message body, in bytes.
    pub max_body: u64,
    /// How many commands may await their answers; the daemon reads further ones only as it answers earlier ones.
    pub max_pipelined: u64,
    /// How many rooms the client may be a member of.
    pub max_joined: u64,
    /// How long messages are kept, in seconds.
    pub retention_secs: u64,
    /// Whether the client is an admin.
    pub admin: bool,
    /// Identifies the history of the daemon's rooms. Remember it with every seq that you keep beyond the connection.
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
