//! Messages: those that a draft adds, and those that are looked up for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Draft;
use crate::committer::storage;
use crate::permission::{Author, Permission};
use crate::retention::cutoff_ms;
use dantok_protocol::name::person;
use dantok_protocol::{ErrorCode, Refusal, Reply};
use dantok_store::Error;
use dantok_store::commit::Op;
use dantok_store::record::{Kind, Stored};
use dantok_store::{chunk, key};

/// Who sends to which room.
pub(super) struct Sender {
    client: Arc<str>,
    name: Arc<str>,
    room: u64,
    cap_bytes: u64,
}

impl Draft<'_> {
    /// The same, of the last message alone: a room may have been made later than what is imported into it was sent.
    pub(in crate::committer) fn last_message(&self, room: u64) -> Result<(u64, u64), Refusal> {
        let (seq, active_ms) = self.last(room);
        if seq == 0 || self.lasts.has(&room) {
            return Ok((seq, if seq == 0 { 0 } else { active_ms }));
        }
        let found = self.store.message(room, seq, seq, 0).map_err(|error| self.unreadable(&error))?;
        Ok((seq, found.map_or(active_ms, |message| message.time_ms)))
    }

    /// The room of a member or hook that sends.
    fn sends_to(&mut self, author: &Author, name: &str) -> Result<&Sender, Refusal> {
        let client = &author.client;
        let same = |sender: &Sender| Arc::ptr_eq(&sender.client, client) && *sender.name == *name;
        if !self.sender.as_ref().is_some_and(same) {
            let room = self.permitted(author, name, Permission::Send)?;
            let cap_bytes = self.record(room).cap_bytes;
            self.sender = Some(Sender { client: client.clone(), name: name.into(), room, cap_bytes });
        }
        self.sender.as_ref().ok_or_else(|| Refusal::no_room(name))
    }

    /// Counts a message against what its room may hold.
    pub(in crate::committer) fn reserve(
        &mut self,
        name: &str,
        room: u64,
        cap_bytes: u64,
        message: &Stored,
    ) -> Result<(), Refusal> {
        let bytes = chunk::stored_bytes(message) as u64;
        let stored = self.stored_bytes(room);
        if stored + bytes > cap_bytes {
            let text = format!(
                "{name} holds {stored} of at most {cap_bytes} bytes; there is space again when some of them expire"
            );
            return Err(Refusal::new(ErrorCode::Limit, text));
        }
        self.stored_bytes.set(room, stored + bytes);
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        author: &Author,
        name: &str,
        id: Option<String>,
        body: Bytes,
        reply: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let client = &author.client;
        let kind = reply.map_or(Kind::Plain, Kind::Reply);
        let Sender { room, cap_bytes, .. } = *self.sends_to(author, name)?;
        let id_key = id.as_deref().map(|id| key::message_id(room, client, id));
        if let (Some(key), Some(id)) = (&id_key, &id)
            && let Some(first) = self.find(room, client, id, key)?
        {
            // What was redacted can't be compared any more.
            let is_redacted = matches!(first.kind, Kind::Redacted(_));
            if !is_redacted && (first.body != body || first.kind != kind) {
                let text = format!("this id was used for another message, {}; a new message needs a new id", first.seq);
                return Err(Refusal::new(ErrorCode::IdReused, text));
            }
            return Ok(Reply::Sent { seq: first.seq, dup: true });
        }
        let (last, _) = self.last(room);
        match reply {
            Some(0) => return Err(Refusal::new(ErrorCode::BadArgument, "there is no message 0 to reply to")),
            Some(answered) if answered > last => return Err(Refusal::set_back(name, answered, last)),
            _ => {}
        }
        let message = self.message(client, room, id, body, kind);
        if cap_bytes > 0 {
            self.reserve(name, room, cap_bytes, &message)?;
        }
        if let Some(key) = id_key {
            self.ids.set(key, self.ops.len());
        }
        Ok(Reply::Sent { seq: self.append(room, message), dup: false })
    }

    /// A room's next message.
    fn message(&self, client: &Arc<str>, room: u64, id: Option<String>, body: Bytes, kind: Kind) -> Stored {
        let (last_seq, last_ms) = self.last(room);
        let (seq, time_ms) = (last_seq + 1, self.now_ms.max(last_ms));
        Stored { seq, time_ms, kept_ms: self.kept_ms, client: client.clone(), id: id.map(Arc::from), body, kind }
    }

    pub(in crate::committer) fn append(&mut self, room: u64, message: Stored) -> u64 {
        let seq = message.seq;
        self.lasts.set(room, (seq, message.time_ms));
        self.ops.push(Op::Message { room, message });
        seq
    }

    pub(super) fn redact(&mut self, author: &Author, name: &str, seq: u64) -> Result<Reply, Refusal> {
        let room = self.permitted(author, name, Permission::Inspect)?;
        let (last, _) = self.last(room);
        if seq > last {
            return Err(Refusal::set_back(name, seq, last));
        }
        let bad = |why: &str| Err(Refusal::new(ErrorCode::BadArgument, format!("message {seq} {why}")));
        let Some((client, kind)) = self.what_is(room, seq)? else { return bad("is not stored") };
        match kind {
            Kind::Redacted(by) => return Ok(Reply::Sent { seq: by, dup: true }),
            Kind::Redaction(_) => return bad("has no text: it records a redaction"),
            Kind::Plain | Kind::Reply(_) => {}
        }
        if !author.admin && person(&client) != author.person() {
            return Err(Refusal::new(ErrorCode::Denied, "only the sender of a message, or an admin, may redact it"));
        }
        let message = self.message(&author.client, room, None, Bytes::new(), Kind::Redaction(seq));
        let by = self.append(room, message);
        self.redacted.set((room, seq), by);
        self.ops.push(Op::Redact { room, seq, by });
        Ok(Reply::Sent { seq: by, dup: false })
    }

    /// Who sent a message, and what it is; none where it is not stored.
    pub(in crate::committer) fn what_is(&self, room: u64, seq: u64) -> Result<Option<(Arc<str>, Kind)>, Refusal> {
        let found = self.ops.iter().find_map(|op| match op {
            Op::Message { room: of, message } if *of == room && message.seq == seq => Some(message.clone()),
            _ => None,
        });
        let found = match found {
            Some(message) => Some(message),
            None => {
                let cutoff_ms = cutoff_ms(self.store, self.retention_of(room));
                let last = self.rooms.by_id(room).map_or(0, |room| room.last_seq());
                match self.store.message(room, seq.min(last + 1), last, cutoff_ms) {
                    Ok(found) => found,
                    Err(error) => return Err(self.unreadable(&error)),
                }
            }
        };
        let by = self.redacted.changed(&(room, seq)).map(|by| Kind::Redacted(*by));
        Ok(found.map(|message| (message.client, by.unwrap_or(message.kind))))
    }

    fn retention_of(&self, room: u64) -> Duration {
        self.rooms.by_id(room).map_or(self.retention(), |room| room.retention(self.retention()))
    }

    /// Of one room's messages, or of all.
    fn unreadable(&self, error: &Error) -> Refusal {
        match error {
            Error::Damaged { .. } | Error::Io { .. } => {
                tracing::error!("{error}; can't tell what is stored already");
                let text = "the daemon can't read its disk to look for an earlier copy; its operator's log says why";
                Refusal::new(ErrorCode::Storage, text)
            }
            error => {
                self.store.failure().set(&error.to_string());
                storage(&error.to_string())
            }
        }
    }

    /// The message that this client sent with this id, stored or in this commit.
    pub(in crate::committer) fn find(
        &mut self,
        room: u64,
        client: &str,
        id: &str,
        key: &[u8],
    ) -> Result<Option<Stored>, Refusal> {
        if let Some(Op::Message { message, .. }) = self.ids.changed(key).and_then(|place| self.ops.get(*place)) {
            return Ok(Some(message.clone()));
        }
        let cutoff_ms = cutoff_ms(self.store, self.retention_of(room));
        self.store.find(room, client, id, cutoff_ms).map_err(|error| self.unreadable(&error))
    }
}
