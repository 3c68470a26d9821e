//! What wakes a connection: which rooms have something for it, each once.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The changes since a connection last looked.
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
    /// Watched rooms that are not what they were.
    pub watched: BTreeSet<u64>,
    /// Rooms whose events are listened to, with new ones.
    pub events: BTreeSet<u64>,
    /// More has become of watched rooms than is noted.
    pub lost: bool,
    /// There may be something to take.
    pub taking: bool,
    /// The tokens are not what they were.
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

    /// Takes what has changed.
    pub fn take(&self) -> Changed {
        std::mem::take(&mut self.lock())
    }

    /// Waits for a change; cancel-safe.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}
