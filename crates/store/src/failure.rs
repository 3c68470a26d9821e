//! The first write or sync that fails, after which nothing more is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::note::Note;

/// Set once, by the first write or sync that fails. From then on, nothing is acknowledged and nothing written.
#[derive(Debug)]
pub struct Failure {
    why: tokio::sync::watch::Sender<Option<Arc<str>>>,
    noted: AtomicBool,
    note: Arc<Note>,
}

impl Failure {
    pub(crate) fn new(note: Arc<Note>) -> Failure {
        Failure { why: tokio::sync::watch::Sender::new(None), noted: AtomicBool::new(false), note }
    }

    /// Sets the failure; the first one stays. It is noted for the next start.
    pub fn set(&self, why: &str) {
        // Before it is logged: the log may be on a disk that hangs.
        if !self.noted.swap(true, Ordering::AcqRel) {
            self.note.fail();
        }
        self.why.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                // Logged before anybody acts on it.
                tracing::error!("{why}; nothing more is acknowledged");
                *failure = Some(why.into());
            }
            first
        });
    }

    /// Why the store has failed, if it has.
    pub fn get(&self) -> Option<Arc<str>> {
        self.why.borrow().clone()
    }

    /// Waits for a failure.
    pub async fn wait(&self) -> Arc<str> {
        let mut failure = self.why.subscribe();
        // The sender lives as long as `self`.
        let found = failure.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        found.unwrap_or_else(|| "unknown".into())
    }
}
