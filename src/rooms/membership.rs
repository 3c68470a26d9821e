//! How a client is a member of a room.

use dantok_store::record::NO_CURSOR;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// It reads, and has acknowledged everything up to here.
    Reader(u64),
    /// It has no cursor: it writes, or works for groups.
    Writer,
}

impl Membership {
    /// As the store has it.
    pub fn of(stored: u64) -> Membership {
        if stored == NO_CURSOR { Membership::Writer } else { Membership::Reader(stored) }
    }

    /// For the store.
    pub fn stored(self) -> u64 {
        self.cursor().unwrap_or(NO_CURSOR)
    }

    /// Its cursor, if it has one.
    pub fn cursor(self) -> Option<u64> {
        match self {
            Membership::Reader(cursor) => Some(cursor),
            Membership::Writer => None,
        }
    }
}
