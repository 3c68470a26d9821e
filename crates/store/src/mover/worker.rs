//! The mover's loop.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::checkpoint::{CHECKPOINT_EVERY, Checkpoint};
use super::compaction::Compaction;
use super::deletion::Deletion;
use super::erasure::Erasure;
use super::expiry::Expiry;
use super::moving::Moving;
use super::retired::Retired;
use super::{Job, MOVER};
use crate::error::Error;
use crate::files::FileId;
use crate::journal::Full;
use crate::shared::Shared;

/// How long the thread sleeps between looks at the queue while it gathers: waking up for each commit would cost the committer and the
/// processor more than all other work on one here.
const NAP: Duration = Duration::from_millis(5);

/// The next job, or a timeout: when what was gathered is due, or nothing has come for `idle`.
fn next(queue: &Receiver<Job>, moving: &Moving, idle: Duration) -> Result<Job, RecvTimeoutError> {
    if !moving.is_gathering() {
        return queue.recv_timeout(idle);
    }
    loop {
        match queue.try_recv() {
            Ok(job) => return Ok(job),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if moving.is_due() => return Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Empty) => std::thread::sleep(NAP),
        }
    }
}

/// Runs the tasks, in this order:
///
/// 1. Commits are moved first: readers and the committer wait for memory that only this frees. Every other task does a bounded part
///    of its work, and then commits move on.
/// 2. Deleted rooms are dropped before a checkpoint, so that one checkpoint makes both durable, and can forget the deletion.
/// 3. The checkpoint comes before all that destroys data: what a file holds is redundant only when sled says so durably.
/// 4. Then files are removed in which nothing is wanted, before any work is done on what they hold.
/// 5. Erasure comes before compaction, which leaves alone the files that have something to erase: a copy made of what was redacted
///    would have to be found and erased too.
///
/// What tasks 4 and 5 change in sled is durable with the next checkpoint.
pub(super) struct Worker {
    shared: Arc<Shared>,
    moving: Moving,
    deletion: Deletion,
    checkpoint: Checkpoint,
    retired: Retired,
    erasure: Erasure,
    compaction: Compaction,
    expiry: Expiry,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, full: Full, files: Vec<FileId>, covered: u64) -> Worker {
        let earlier = files.iter().copied().filter(|file| matches!(file, FileId::Segment(_))).collect();
        Worker {
            moving: Moving::new(shared.clone(), covered),
            deletion: Deletion::new(shared.clone()),
            checkpoint: Checkpoint::new(shared.clone(), full, covered),
            retired: Retired::new(shared.clone(), files),
            erasure: Erasure::new(shared.clone(), earlier),
            compaction: Compaction::new(shared.clone()),
            expiry: Expiry::new(shared.clone()),
            shared,
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        // If this thread ends in any way but the last line, nothing must be acknowledged any more.
        struct OnPanic(Arc<Shared>);
        impl Drop for OnPanic {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.failure.set("the store's thread panicked; this is a bug");
                }
            }
        }
        let _guard = OnPanic(self.shared.clone());
        dantok_supervise::fail_point(MOVER.name);
        if let Err(error) = self.work(queue) {
            self.shared.failure.set(&error.to_string());
        }
    }

    fn work(&mut self, queue: &Receiver<Job>) -> Result<(), Error> {
        // Not before the daemon serves: this reads the place of every chunk.
        self.shared.tables.count_references()?;
        self.retired.remove_unwanted()?;
        self.erase()?;
        loop {
            if self.shared.failure.get().is_some() {
                // After a failed write, nothing more is written: it might become durable, and the failed one not.
                return Ok(());
            }
            let idle = if self.shared.tables.is_deleting() { NAP } else { CHECKPOINT_EVERY / 10 };
            match next(queue, &self.moving, idle) {
                Ok(Job::Commit(number, bytes, commit)) => {
                    self.moving.gather(number, bytes, commit);
                    if !self.moving.is_full() {
                        continue;
                    }
                }
                Ok(Job::Expire { room, cutoff_ms }) => {
                    self.checkpoint.is_wanted |= self.expiry.expire(room, cutoff_ms)?;
                    continue;
                }
                Ok(Job::Settle(done)) => {
                    self.move_gathered()?;
                    self.checkpoint()?;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.shared.failure.get().is_some() => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    self.move_gathered()?;
                    return self.checkpoint();
                }
            }
            self.move_gathered()?;
            self.checkpoint.is_wanted |= self.deletion.drop_some()?;
            if self.checkpoint.is_due() || self.erasure.is_more {
                self.checkpoint()?;
            }
        }
    }

    fn move_gathered(&mut self) -> Result<(), Error> {
        if let Some((covered, bytes)) = self.moving.move_gathered()? {
            self.checkpoint.moved(covered, bytes);
        }
        Ok(())
    }

    /// A checkpoint, and what is allowed only after one.
    fn checkpoint(&mut self) -> Result<(), Error> {
        if !self.checkpoint.make(&mut self.retired)? {
            return Ok(());
        }
        self.retired.remove_unwanted()?;
        self.erase()?;
        self.checkpoint.is_wanted |= self.compaction.compact(&self.retired)?;
        Ok(())
    }

    fn erase(&mut self) -> Result<(), Error> {
        self.checkpoint.is_wanted |= self.erasure.erase(&self.retired)?;
        Ok(())
    }
}
