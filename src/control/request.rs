//! Requests of commands.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A backup of everything, or of each room only the messages after a seq.
    Backup {
        /// Rooms by number; a room that is not named is sent from its beginning.
        after: HashMap<u64, u64>,
        /// The mark of the backup that this one goes on from; none: a full one.
        base: Option<u64>,
    },
    /// An export of a room's messages, as lines.
    Export(Export),
    /// An import into a room, from lines that follow.
    Import {
        /// Its name.
        room: String,
    },
    /// The number of a room.
    Room {
        /// Its name.
        name: String,
    },
}

/// Which messages to export, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The room's name.
    pub room: String,
    /// What a line looks like.
    pub format: ExportFormat,
    /// Only messages after this seq.
    pub after: u64,
    /// Only messages sent at this time or later, in milliseconds since 1970 UTC.
    pub since_ms: u64,
}

/// What an exported line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportFormat {
    /// A JSON object, with everything.
    Jsonl,
    /// Time, client and text, with control characters escaped.
    Text,
}
