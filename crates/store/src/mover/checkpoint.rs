//! Checkpoints of sled.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::retired::Retired;
use crate::error::Error;
use crate::journal::Full;
use crate::shared::Shared;

/// Journal bytes moved after which sled is made durable …
const CHECKPOINT_BYTES: usize = 16 * 1024 * 1024;
/// … and the time after which it is, however little has changed.
pub(super) const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Checkpoint {
    shared: Arc<Shared>,
    full: Full,
    /// The last commit that is in sled.
    covered: u64,
    /// Journal bytes moved since the last checkpoint.
    bytes: usize,
    /// When the last checkpoint was made, or tried.
    at: Instant,
    /// Sled has changed, or another look is wanted at what only a checkpoint leads to.
    pub(super) is_wanted: bool,
}

impl Checkpoint {
    pub(super) fn new(shared: Arc<Shared>, full: Full, covered: u64) -> Checkpoint {
        Checkpoint { shared, full, covered, bytes: 0, at: Instant::now(), is_wanted: false }
    }

    pub(super) fn moved(&mut self, covered: u64, bytes: usize) {
        self.covered = covered;
        self.bytes += bytes;
        self.is_wanted = true;
    }

    pub(super) fn is_due(&self) -> bool {
        self.bytes >= CHECKPOINT_BYTES
            || self.full.any()
            || self.shared.tables.is_to_forget()
            || (self.is_wanted && self.at.elapsed() >= CHECKPOINT_EVERY)
    }

    /// Makes sled durable if it has changed, and retires the journal files that it covers. False on a full disk, where nothing is done.
    pub(super) fn make(&mut self, retired: &mut Retired) -> Result<bool, Error> {
        self.at = Instant::now();
        if !self.shared.watch_space() {
            return Ok(false);
        }
        if self.is_wanted {
            self.is_wanted = false;
            self.shared.tables.checkpoint(self.covered, &self.shared.clock.reading())?;
            self.bytes = 0;
            self.shared.tables.forget_that_deleted()?;
        }
        for (file, used_bytes) in self.full.covered(self.covered) {
            // No start reads it any more, so the part without commits need not be kept.
            let path = self.shared.tables.segments().path(file);
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(used_bytes));
            cut.map_err(Error::io("cut the journal file", &path))?;
            retired.add(file);
        }
        Ok(true)
    }
}
