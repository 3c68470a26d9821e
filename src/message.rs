//! Converts a stored message to the protocol's form.

use dantok_protocol::{Kind, MessageRef};
use dantok_store::record;
use dantok_store::record::StoredRef;

/// A stored message of the room of this name.
pub fn shown<'a>(room: &'a str, message: StoredRef<'a>) -> MessageRef<'a> {
    let StoredRef { seq, time_ms, client, body, .. } = message;
    MessageRef { room, seq, time_ms, client, body, kind: kind(message.kind) }
}

fn kind(kind: record::Kind) -> Kind {
    match kind {
        record::Kind::Plain => Kind::Plain,
        record::Kind::Reply(seq) => Kind::Reply(seq),
        record::Kind::Redaction(seq) => Kind::Redaction(seq),
        record::Kind::Redacted(seq) => Kind::Redacted(seq),
    }
}
