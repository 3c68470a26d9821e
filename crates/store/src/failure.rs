//! The first write or sync that failed, which is the end of writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::note::Note;

/// Set once, by the first write or sync that fails: from then on nothing is acknowledged, and nothing written.
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

    /// Notes a failure; the first one stays. The next start is told of it.
    pub fn set(&self, why: &str) {
        // Before it is said: the log may be on a disk that hangs.
        if !self.noted.swap(true, Ordering::AcqRel) {
            self.note.fail();
        }
        self.why.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                // Said before anybody acts on it.
                tracing::error!("{why}; nothing more is acknowledged");
                *failure = Some(why.into());
            }
            first
        });
    }

    /// Why the store failed; none while it did not.
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
