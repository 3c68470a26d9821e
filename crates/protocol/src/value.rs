//! Values in commands besides rooms, clients and seqs: where to begin, since when, where to move, how long to keep.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::units;

/// Where the cursor of a new member or group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begin {
    /// With everything that is still stored.
    #[default]
    Start,
    /// With messages from now on.
    Now,
    /// Nowhere: the member gets no cursor, because it only writes or works for groups, and does not read. Not valid for groups.
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

/// The time from which to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// A time in milliseconds since 1970 UTC.
    At(u64),
    /// This many milliseconds ago.
    Ago(u64),
}

impl Since {
    /// A time in the form that `MSG` shows, or how long ago: `90m`.
    pub fn parse(text: &str) -> Option<Since> {
        if let Ok(at) = humantime::parse_rfc3339(text) {
            // There is nothing before 1970.
            return Some(Since::At(at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, units::ms)));
        }
        units::duration(text).map(units::ms).map(Since::Ago).ok()
    }
}

/// Where to move a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seek {
    /// To this seq: the next message to read is the one after it.
    To(u64),
    /// Before everything that is still stored.
    Start,
    /// To the room's last seq.
    Now,
}

/// How long and how much of a room is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Seconds to keep messages, not less than the daemon's own retention; 0: the same as that.
    pub secs: u64,
    /// Bytes of stored messages past which new ones are refused; 0: unlimited.
    pub cap_bytes: u64,
}
