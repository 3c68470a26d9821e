//! Messages as they are read: those in memory are shared, those of chunks stay in the bytes that were read. Giving each message
//! of a chunk an allocation of its own would cost a reader of millions more than all other work on one.

use std::collections::BTreeMap;

use crate::chunk::Parsed;
use crate::record::{Stored, StoredRef};

/// Messages of one room, oldest first, with consecutive seqs.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    parts: Vec<Part>,
    count: usize,
}

/// Never empty.
#[derive(Clone, Debug)]
enum Part {
    Memory(Vec<Stored>),
    Chunk(Parsed),
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Part::Memory(stored) => stored.len(),
            Part::Chunk(chunk) => chunk.len(),
        }
    }

    fn first(&self) -> Option<StoredRef<'_>> {
        match self {
            Part::Memory(stored) => stored.first().map(StoredRef::from),
            Part::Chunk(chunk) => chunk.first(),
        }
    }

    fn last(&self) -> Option<StoredRef<'_>> {
        match self {
            Part::Memory(stored) => stored.last().map(StoredRef::from),
            Part::Chunk(chunk) => chunk.last(),
        }
    }

    fn to_stored(&self) -> Vec<Stored> {
        match self {
            Part::Memory(stored) => stored.clone(),
            Part::Chunk(chunk) => chunk.to_stored(),
        }
    }

    fn accepted_before(&self, kept_ms: u64) -> usize {
        match self {
            Part::Memory(stored) => stored.partition_point(|message| message.kept_ms < kept_ms),
            Part::Chunk(chunk) => chunk.accepted_before(kept_ms),
        }
    }

    fn skip(&mut self, count: usize) {
        match self {
            Part::Memory(stored) => drop(stored.drain(..count.min(stored.len()))),
            Part::Chunk(chunk) => chunk.skip(count),
        }
    }
}

impl From<Vec<Stored>> for Messages {
    fn from(stored: Vec<Stored>) -> Self {
        let mut messages = Messages::default();
        messages.add(Part::Memory(stored));
        messages
    }
}

impl Messages {
    fn add(&mut self, part: Part) {
        if part.len() > 0 {
            self.count += part.len();
            self.parts.push(part);
        }
    }

    /// Appends the messages of a chunk.
    pub fn push(&mut self, chunk: Parsed) {
        self.add(Part::Chunk(chunk));
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The oldest.
    pub fn first(&self) -> Option<StoredRef<'_>> {
        self.parts.first()?.first()
    }

    /// The newest.
    pub fn last(&self) -> Option<StoredRef<'_>> {
        self.parts.last()?.last()
    }

    /// Drops the messages from before this time of the kept clock. Returns the last one's seq, if there were any.
    pub(crate) fn drop_taken_before(&mut self, kept_ms: u64) -> Option<u64> {
        let mut dropped = None;
        while let Some(part) = self.parts.first_mut() {
            let old = part.accepted_before(kept_ms);
            if old == 0 {
                break;
            }
            dropped = part.first().map(|first| first.seq + old as u64 - 1);
            self.count -= old;
            if old < part.len() {
                part.skip(old);
                break;
            }
            self.parts.remove(0);
        }
        dropped
    }

    /// Removes the bodies of the messages with these seqs; each comes with the seq that redacts it.
    pub fn redact(&mut self, redacted: &BTreeMap<u64, u64>) {
        for part in &mut self.parts {
            let (Some(first), Some(last)) = (part.first().map(|first| first.seq), part.last().map(|last| last.seq))
            else {
                continue;
            };
            if redacted.range(first..=last).next().is_none() {
                continue;
            }
            let mut stored = part.to_stored();
            for message in &mut stored {
                if let Some(by) = redacted.get(&message.seq) {
                    message.redact(*by);
                }
            }
            *part = Part::Memory(stored);
        }
    }

    /// Calls `show` with each message.
    pub fn each(&self, mut show: impl FnMut(StoredRef<'_>)) {
        for part in &self.parts {
            match part {
                Part::Memory(stored) => stored.iter().for_each(|message| show(message.into())),
                Part::Chunk(chunk) => chunk.iter().for_each(&mut show),
            }
        }
    }

    /// The messages, owned.
    pub fn to_stored(&self) -> Vec<Stored> {
        self.parts.iter().flat_map(Part::to_stored).collect()
    }
}
