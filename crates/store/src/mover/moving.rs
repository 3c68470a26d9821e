//! Moving commits into sled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::shared::Shared;
use crate::tables::Journaled;

/// How long a commit waits for others before it moves.
const GATHER: Duration = Duration::from_millis(500);
/// Journal bytes after which the gathered commits move at once.
const GATHER_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Moving {
    shared: Arc<Shared>,
    gathered: Vec<Journaled>,
    bytes: usize,
    /// The last commit in `gathered`.
    through: u64,
    /// When the first commit came after those that were last due.
    since: Option<Instant>,
}

impl Moving {
    pub(super) fn new(shared: Arc<Shared>, covered: u64) -> Moving {
        Moving { shared, gathered: Vec::new(), bytes: 0, through: covered, since: None }
    }

    pub(super) fn gather(&mut self, number: u64, bytes: usize, commit: Journaled) {
        self.through = number;
        self.gathered.push(commit);
        self.bytes += bytes;
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn is_gathering(&self) -> bool {
        self.since.is_some()
    }

    /// Whether what was gathered has waited long enough.
    pub(super) fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= GATHER)
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= GATHER_BYTES
    }

    /// Moves what was gathered. Returns the last commit that is in sled now, and how many bytes were moved; none if none were. On a full
    /// disk everything waits: what is not moved is in the journal and, for readers, in memory.
    pub(super) fn move_gathered(&mut self) -> Result<Option<(u64, usize)>, Error> {
        self.since = None;
        if !self.shared.watch_space() || self.gathered.is_empty() {
            return Ok(None);
        }
        let redacted = self.shared.tables.apply(&self.gathered)?;
        for journaled in self.gathered.drain(..) {
            self.shared.tail.moved(&journaled.commit.ops);
        }
        for (room, bytes) in redacted {
            self.shared.tail.add_bytes(room, bytes);
        }
        Ok(Some((self.through, std::mem::take(&mut self.bytes))))
    }
}
