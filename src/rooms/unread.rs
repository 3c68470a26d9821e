//! How many of a room's messages somebody still has to read, counted once for all members, in blocks of seqs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use dantok_protocol::name::person;
use dantok_store::record::Kind;

/// The seqs of one block: what lies between two blocks' ends is read anew each time that it is counted.
pub const BLOCK_SEQS: u64 = 1024;

/// Whether a message is to be read by this person: what says that another was taken back is not, nor what was, nor what one wrote oneself.
pub fn is_to_read(client: &str, kind: Kind, reader: &str) -> bool {
    matches!(kind, Kind::Plain | Kind::Reply(_)) && person(client) != reader
}

/// What there is to read in a block, by whom it is.
#[derive(Debug, Default)]
pub struct Block {
    messages: u64,
    by: HashMap<Box<str>, u64>,
}

impl Block {
    /// Counts a message.
    pub fn add(&mut self, client: &str, kind: Kind) {
        // By nobody whose name is empty.
        if !is_to_read(client, kind, "") {
            return;
        }
        self.messages += 1;
        match self.by.get_mut(person(client)) {
            Some(count) => *count += 1,
            None => drop(self.by.insert(person(client).into(), 1)),
        }
    }

    /// What this person has to read in it.
    pub fn for_person(&self, reader: &str) -> u64 {
        self.messages - self.by.get(reader).copied().unwrap_or(0)
    }
}

/// The blocks that were counted, by number: block `n` has the seqs behind `n * BLOCK_SEQS` and up to the next one's.
#[derive(Debug, Default)]
pub struct Blocks {
    counted: Mutex<BTreeMap<u64, Arc<Block>>>,
    /// Held by who counts, so that others who need the same block wait for it.
    pub counting: tokio::sync::Mutex<()>,
}

impl Blocks {
    fn with<T>(&self, with: impl FnOnce(&mut BTreeMap<u64, Arc<Block>>) -> T) -> T {
        // The map is whole between any two calls.
        with(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A block, if it was counted.
    pub fn get(&self, number: u64) -> Option<Arc<Block>> {
        self.with(|counted| counted.get(&number).cloned())
    }

    /// Keeps a block, if `holds` still says so once nobody can [forget](Blocks::forget) it meanwhile.
    pub fn keep(&self, number: u64, block: Arc<Block>, holds: impl FnOnce() -> bool) {
        self.with(|counted| {
            if holds() {
                counted.insert(number, block);
            }
        });
    }

    /// Forgets the block with this seq, which has something else in it now.
    pub fn forget(&self, seq: u64) {
        self.with(|counted| counted.remove(&(seq.saturating_sub(1) / BLOCK_SEQS)));
    }

    /// Forgets the blocks whose seqs are all gone.
    pub fn forget_through(&self, floor: u64) {
        self.with(|counted| {
            while counted.first_key_value().is_some_and(|(number, _)| (number + 1) * BLOCK_SEQS <= floor) {
                counted.pop_first();
            }
        });
    }
}
