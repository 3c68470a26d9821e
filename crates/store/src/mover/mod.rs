//! Moves durable commits from the journal into sled and segments, in bulk, and does all other work on them behind the acknowledged
//! path.
//!
//! One thread, the only one that writes to sled and segments while the daemon serves. [`Worker`] runs its tasks in an order that it
//! states; each has a file of its own:
//!
//! - [`moving`] gathers commits for a while, so that a room's messages share a chunk, and takes them into sled.
//! - [`deletion`] drops what leads to the messages of deleted rooms.
//! - [`checkpoint`] makes sled durable, and lets go of the journal files that it covers.
//! - [`retired`] removes files in which nothing is wanted any more.
//! - [`erasure`] overwrites what was redacted.
//! - [`compaction`] moves what is left out of files in which little is wanted.
//! - [`expiry`] drops what is past retention, when asked.

mod checkpoint;
mod compaction;
mod deletion;
mod erasure;
mod expiry;
mod moving;
mod retired;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use dantok_supervise::Duty;

use self::worker::Worker;
use crate::error::Error;
use crate::failure::Failure;
use crate::files::FileId;
use crate::journal::Full;
use crate::shared::Shared;
use crate::tables::Journaled;

/// Takes commits into sled and segments.
pub const MOVER: Duty = Duty::vital("mover");

/// Jobs that may wait; when the queue is full, the committer waits.
const QUEUE: usize = 4096;
/// How long to wait before a full queue is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(1);

pub(crate) enum Job {
    /// A durable commit: its number, and its bytes in the journal.
    Commit(u64, usize, Journaled),
    /// Drop the messages of one room from before this time of the kept clock.
    Expire { room: u64, cutoff_ms: u64 },
    /// Answer when all jobs before this one are done and durable.
    Settle(SyncSender<()>),
}

/// The handle to the thread. When it is dropped, the thread moves what is left, makes it durable and ends.
#[derive(Debug)]
pub(crate) struct Mover {
    failure: Arc<Failure>,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// Starts the thread. `files` are those of earlier runs.
    pub(crate) fn start(shared: Arc<Shared>, full: Full, files: Vec<FileId>, covered: u64) -> Result<Mover, Error> {
        let (jobs, queue) = sync_channel(QUEUE);
        let path = shared.dir.clone();
        let failure = shared.failure.clone();
        let worker = Worker::new(shared, full, files, covered);
        let thread = dantok_supervise::thread(MOVER.name, move || worker.run(&queue));
        let thread = thread.map_err(Error::io("start a thread for", &path))?;
        Ok(Mover { failure, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands a job over; waits while the queue is full. False once the thread has ended, or the store has failed.
    pub(crate) fn hand(&self, job: Job) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        let mut job = job;
        while self.failure.get().is_none() {
            job = match jobs.try_send(job) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(job)) => job,
            };
            std::thread::sleep(FULL_PAUSE);
        }
        false
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.jobs = None;
        if self.failure.get().is_some() {
            // The thread may wait for sled for ever.
            return;
        }
        if let Some(thread) = self.thread.take() {
            // If it has panicked, its hook has reported that.
            let _ = thread.join();
        }
    }
}
