//! What commands name beside rooms, clients and seqs: where to begin, from when, to where, how long.

use serde::{Deserialize, Serialize};

/// Where a first JOIN begins, or a new group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begin {
    /// With everything that is still stored.
    #[default]
    Start,
    /// With what comes from now on.
    Now,
    /// Nowhere: the client gets no cursor, since it is going to write, or to work for groups, and not to read. No group begins so.
    Nowhere,
}

impl Begin {
    /// As a line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Begin::Start => "start",
            Begin::Now => "now",
            Begin::Nowhere => "none",
        }
    }
}

/// A time, to look from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// In milliseconds since 1970 UTC.
    At(u64),
    /// So many milliseconds ago.
    Ago(u64),
}

/// Where to move a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seek {
    /// To this seq: what is read next comes behind it.
    To(u64),
    /// Before everything that is still stored.
    Start,
    /// To the room's last seq.
    Now,
}

/// How long, and how much of, a room is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// In seconds; at least the daemon's own retention. 0: as long as that.
    pub secs: u64,
    /// Bytes of stored messages past which new ones are refused; 0: no such bound.
    pub cap_bytes: u64,
}
