//! Imports messages, with the clients and times that they had at their source.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::draft::Draft;
use super::{Committer, Worker};
use dantok_protocol::limits::BODY_MAX_BYTES;
use dantok_protocol::name::composed;
use dantok_protocol::{ErrorCode, Refusal};
use dantok_store::commit::Op;
use dantok_store::key;
use dantok_store::record::{Kind, RoomRecord, Stored};

/// A message to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its seq at the source, by which other messages refer to it.
    pub seq: Option<u64>,
    /// When it was sent there; none: now.
    pub time_ms: Option<u64>,
    /// Who sent it.
    pub client: Arc<str>,
    /// Identifies it if it is imported again.
    pub id: String,
    /// Its body.
    pub body: Bytes,
    /// The message that it refers to, by its seq at the source.
    pub about: About,
}

/// How an imported message refers to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// It does not.
    Nothing,
    /// It replies to it.
    Reply(u64),
    /// It redacts it.
    Redaction(u64),
}

/// An import under way.
#[derive(Debug, Default)]
pub struct Import {
    /// The room that the messages go to. If it does not exist, it is created without an owner.
    pub room: Arc<str>,
    /// Messages stored.
    pub stored: u64,
    /// Messages that were there already.
    pub repeated: u64,
    /// Redactions left out, because what they redact was not imported or is a redaction.
    pub left_out: u64,
    seqs: Seqs,
}

/// The new seqs of imported messages. Each entry is a run of them: the first one's seq at the source, its seq here, and the run's length.
#[derive(Debug, Default)]
struct Seqs(BTreeMap<u64, (u64, u64)>);

impl Seqs {
    fn note(&mut self, there: u64, here: u64) {
        if let Some((first, (first_here, count))) = self.0.range_mut(..=there).next_back()
            && there - first == *count
            && *first_here + *count == here
        {
            *count += 1;
            return;
        }
        self.0.insert(there, (here, 1));
    }

    fn here(&self, there: u64) -> Option<u64> {
        let (first, (here, count)) = self.0.range(..=there).next_back()?;
        (there - first < *count).then(|| here + (there - first))
    }
}

impl Import {
    /// Starts an import into this room.
    pub fn into(room: &str) -> Import {
        Import { room: room.into(), ..Import::default() }
    }
}

/// Why no message of a batch was stored: the index of the invalid message, and what is wrong with it.
#[derive(Debug)]
pub struct Refused(pub usize, pub Refusal);

impl Committer {
    /// Imports messages in one commit; they are durable when this returns. None if the committer has ended. Blocks.
    ///
    /// # Errors
    /// Why none of them is stored.
    pub fn import(&self, import: Import, messages: Vec<Imported>) -> Option<Result<Import, Refused>> {
        self.run_task(move |worker| worker.import(import, messages))
    }
}

impl Worker {
    fn import(&mut self, mut import: Import, messages: Vec<Imported>) -> Result<Import, Refused> {
        let mut draft = Draft::new(self);
        for (place, message) in messages.into_iter().enumerate() {
            draft.import(&mut import, message).map_err(|refusal| Refused(place, refusal))?;
        }
        let drafted = draft.end();
        match self.make_durable(drafted, false) {
            Some(refusal) => Err(Refused(0, refusal)),
            None => Ok(import),
        }
    }
}

impl Draft<'_> {
    fn import(&mut self, import: &mut Import, message: Imported) -> Result<(), Refusal> {
        let Imported { seq, time_ms, client, id, body, about } = message;
        if body.len() > BODY_MAX_BYTES {
            return Err(Refusal::new(ErrorCode::TooLong, format!("a message has at most {BODY_MAX_BYTES} bytes")));
        }
        if self.room(&import.room).is_none() {
            import.room = composed(&import.room).into();
        }
        let room = match self.room(&import.room) {
            Some(room) => room,
            None => self.make_for_import(&import.room)?,
        };
        let id_key = key::message_id(room, &client, &id);
        let known = self.find(room, &client, &id, &id_key)?;
        let here = match known {
            Some(first) => {
                let is_text = |body: &Bytes| !body.is_empty();
                // A message redacted here or at the source has no text to compare.
                if is_text(&first.body) && is_text(&body) && first.body != body {
                    let text = format!(
                        "it has the seq, time, client and id of what was imported as {}, and another text; with a `room` of its \
                         own it is another message",
                        first.seq
                    );
                    return Err(Refusal::new(ErrorCode::IdReused, text));
                }
                import.repeated += 1;
                first.seq
            }
            None => {
                let kind = match about {
                    About::Nothing => Kind::Plain,
                    // If what it replies to is not here, it becomes a plain message.
                    About::Reply(there) => import.seqs.here(there).map_or(Kind::Plain, Kind::Reply),
                    About::Redaction(there) => match self.to_redact(room, import.seqs.here(there))? {
                        Some(here) => Kind::Redaction(here),
                        None => {
                            import.left_out += 1;
                            return Ok(());
                        }
                    },
                };
                import.stored += 1;
                self.ids.set(id_key, self.ops.len());
                self.store_imported(&import.room, room, time_ms, client, &id, body, kind)?
            }
        };
        if let Some(there) = seq {
            import.seqs.note(there, here);
        }
        Ok(())
    }

    /// The message to redact, if it is here and is not itself a redaction: that must not be undone.
    fn to_redact(&self, room: u64, here: Option<u64>) -> Result<Option<u64>, Refusal> {
        let Some(here) = here else { return Ok(None) };
        let is_redaction = matches!(self.what_is(room, here)?, Some((_, Kind::Redaction(_))));
        Ok((!is_redaction).then_some(here))
    }

    #[expect(clippy::too_many_arguments, reason = "it is a message, in parts")]
    fn store_imported(
        &mut self,
        name: &str,
        room: u64,
        time_ms: Option<u64>,
        client: Arc<str>,
        id: &str,
        body: Bytes,
        kind: Kind,
    ) -> Result<u64, Refusal> {
        let (last_seq, last_ms) = self.last_message(room)?;
        // A room's times never go back, and a time in the future would distort all that follow.
        let time_ms = time_ms.unwrap_or(self.now_ms).min(self.now_ms).max(last_ms);
        let (seq, kept_ms) = (last_seq + 1, self.kept_ms);
        let message = Stored { seq, time_ms, kept_ms, client, id: Some(id.into()), body, kind };
        let cap_bytes = self.record(room).cap_bytes;
        if cap_bytes > 0 {
            self.reserve(name, room, cap_bytes, &message)?;
        }
        let by = self.append(room, message);
        if let Kind::Redaction(seq) = kind {
            self.redacted.set((room, seq), by);
            self.ops.push(Op::Redact { room, seq, by });
        }
        Ok(by)
    }

    fn make_for_import(&mut self, name: &Arc<str>) -> Result<u64, Refusal> {
        self.may_make(name)?;
        // No newer than any message that may follow.
        Ok(self.add_room(RoomRecord { time_ms: 0, name: name.clone(), ..RoomRecord::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seqs_are_found_by_those_that_they_had() {
        let mut seqs = Seqs::default();
        for (there, here) in [(5, 1), (6, 2), (7, 3), (9, 4), (10, 9), (3, 10)] {
            seqs.note(there, here);
        }
        let found: Vec<Option<u64>> = (2..=11).map(|there| seqs.here(there)).collect();
        let expected = [None, Some(10), None, Some(1), Some(2), Some(3), None, Some(4), Some(9), None];
        assert_eq!(found, expected);
        assert_eq!(seqs.0.len(), 4);
    }
}
