//! Dropping deleted rooms from sled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::shared::Shared;

/// How long deleted rooms are dropped before commits get their turn.
const DELETE_FOR: Duration = Duration::from_millis(50);

pub(super) struct Deletion {
    shared: Arc<Shared>,
}

impl Deletion {
    pub(super) fn new(shared: Arc<Shared>) -> Deletion {
        Deletion { shared }
    }

    /// Drops what leads to the messages of deleted rooms, for a while. Returns whether anything was dropped.
    pub(super) fn drop_some(&self) -> Result<bool, Error> {
        let until = Instant::now() + DELETE_FOR;
        let mut is_changed = false;
        while self.shared.tables.is_deleting() && Instant::now() < until && self.shared.watch_space() {
            self.shared.tables.drop_deleted()?;
            is_changed = true;
        }
        Ok(is_changed)
    }
}
