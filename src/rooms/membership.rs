//! How a client is a member of a room.

use dantok_store::record::NO_CURSOR;

/// A membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// The client reads, and has acknowledged everything up to this seq.
    Reader(u64),
    /// The client has no cursor: it only writes, or works for groups.
    Writer,
}

impl Membership {
    /// From the stored form.
    pub fn of(stored: u64) -> Membership {
        if stored == NO_CURSOR { Membership::Writer } else { Membership::Reader(stored) }
    }

    /// The stored form.
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
