//! Whether the daemon still does what it is for: what watches over it is told by this, and by no timer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::hub::Hub;

/// What the daemon's watchers ask. Each has its own.
#[derive(Debug)]
pub struct Liveness {
    hub: Weak<Hub>,
    /// Commits when it was last asked.
    commits: AtomicU64,
}

impl Liveness {
    /// Of this daemon, which it does not keep from ending.
    pub fn new(hub: &Arc<Hub>) -> Liveness {
        Liveness { hub: Arc::downgrade(hub), commits: AtomicU64::new(0) }
    }

    /// Done where something was committed since this was last done, or else as soon as a commit of nothing has gone the same way, to
    /// the disk and back. Where the disk hangs it is not done: how long is too long is the caller's to say.
    ///
    /// # Errors
    /// Why nothing will be committed any more.
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
        // Nobody who waits for the disk keeps the daemon from ending.
        drop(hub);
        probe.await.map_err(|_| store.failure().get().unwrap_or_else(|| "there are no more commits".into()))
    }
}
