//! Whether the daemon still commits: watchdogs and health checks are answered by this, not by a timer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::hub::Hub;

/// Proves that commits complete. Each watcher has its own.
#[derive(Debug)]
pub struct Liveness {
    hub: Weak<Hub>,
    /// The number of commits when it was last asked.
    commits: AtomicU64,
}

impl Liveness {
    /// Watches this daemon, without keeping it running.
    pub fn new(hub: &Arc<Hub>) -> Liveness {
        Liveness { hub: Arc::downgrade(hub), commits: AtomicU64::new(0) }
    }

    /// Completes at once if there was a commit since the last call; otherwise when an empty commit has been synced. If the disk hangs it
    /// does not complete, and the caller decides how long is too long.
    ///
    /// # Errors
    /// Why nothing will be committed again.
    pub async fn proven(&self) -> Result<(), Arc<str>> {
        let Some(hub) = self.hub.upgrade() else { return Err("the daemon has stopped".into()) };
        let failure = || hub.store.failure().get();
        if let Some(why) = failure() {
            return Err(why);
        }
        let commits = hub.figures.commits.get();
        if self.commits.swap(commits, Ordering::Relaxed) != commits {
            return Ok(());
        }
        let probe = hub.committer.probe();
        let store = hub.store.clone();
        // Waiting for the disk must not keep the daemon from ending.
        drop(hub);
        probe.await.map_err(|_| store.failure().get().unwrap_or_else(|| "there are no more commits".into()))
    }
}
