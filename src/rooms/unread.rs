//! Counts of unread messages, made once for all members of a room, in blocks of seqs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use dantok_protocol::name::person;
use dantok_store::record::Kind;

/// The number of seqs in a block. A part of a block is read again each time it is counted.
pub const BLOCK_SEQS: u64 = 1024;

/// Whether a message counts as unread for this person: redactions, redacted messages and the person's own do not.
pub fn is_to_read(client: &str, kind: Kind, reader: &str) -> bool {
    matches!(kind, Kind::Plain | Kind::Reply(_)) && person(client) != reader
}

/// How many messages a block has, and how many of them each person sent.
#[derive(Debug, Default)]
pub struct Block {
    messages: u64,
    by: HashMap<Box<str>, u64>,
}

impl Block {
    /// Counts a message.
    pub fn add(&mut self, client: &str, kind: Kind) {
        // No person has an empty name.
        if !is_to_read(client, kind, "") {
            return;
        }
        self.messages += 1;
        match self.by.get_mut(person(client)) {
            Some(count) => *count += 1,
            None => drop(self.by.insert(person(client).into(), 1)),
        }
    }

    /// How many messages in it this person has to read.
    pub fn for_person(&self, reader: &str) -> u64 {
        self.messages - self.by.get(reader).copied().unwrap_or(0)
    }
}

/// The counted blocks by number. Block `n` has the [`BLOCK_SEQS`] seqs after `n * BLOCK_SEQS`.
#[derive(Debug, Default)]
pub struct Blocks {
    counted: Mutex<BTreeMap<u64, Arc<Block>>>,
    /// Held while a block is counted, so that others who need it wait.
    pub counting: tokio::sync::Mutex<()>,
}

impl Blocks {
    fn with<T>(&self, with: impl FnOnce(&mut BTreeMap<u64, Arc<Block>>) -> T) -> T {
        // The map is consistent between any two calls.
        with(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A block, if it has been counted.
    pub fn get(&self, number: u64) -> Option<Arc<Block>> {
        self.with(|counted| counted.get(&number).cloned())
    }

    /// Keeps a block if `holds`, which is asked while nobody can [forget](Blocks::forget) it.
    pub fn keep(&self, number: u64, block: Arc<Block>, holds: impl FnOnce() -> bool) {
        self.with(|counted| {
            if holds() {
                counted.insert(number, block);
            }
        });
    }

    /// Forgets the block with this seq, which has changed.
    pub fn forget(&self, seq: u64) {
        self.with(|counted| counted.remove(&(seq.saturating_sub(1) / BLOCK_SEQS)));
    }

    /// Forgets blocks whose messages are all gone.
    pub fn forget_through(&self, floor: u64) {
        self.with(|counted| {
            while counted.first_key_value().is_some_and(|(number, _)| (number + 1) * BLOCK_SEQS <= floor) {
                counted.pop_first();
            }
        });
    }
}
