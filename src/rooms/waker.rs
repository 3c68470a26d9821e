//! Wakes a connection, and notes which rooms have something for it, each of them once.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Collects the changes since a connection last looked.
#[derive(Debug, Default)]
pub struct Waker {
    changed: Mutex<Changed>,
    notify: Notify,
}

/// Rooms that changed, by number.
#[derive(Debug, Default)]
pub struct Changed {
    /// Followed rooms with new messages.
    pub followed: BTreeSet<u64>,
    /// Watched rooms that have changed.
    pub watched: BTreeSet<u64>,
    /// Rooms with new events.
    pub events: BTreeSet<u64>,
    /// Too much has changed in watched rooms to be noted.
    pub lost: bool,
    /// There may be something to take.
    pub taking: bool,
    /// The tokens have changed.
    pub recheck: bool,
}

impl Waker {
    fn lock(&self) -> MutexGuard<'_, Changed> {
        // Nothing panics while it is held.
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self, note: impl FnOnce(&mut Changed) -> bool) {
        if note(&mut self.lock()) {
            self.notify.notify_one();
        }
    }

    /// Takes all changes.
    pub fn take(&self) -> Changed {
        std::mem::take(&mut self.lock())
    }

    /// Waits for a change; cancel-safe.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}
