//! Takes durable commits from the journal's front into sled, in bulk and off the acknowledged path.
//!
//! One thread, the only one that writes to sled and segments once the daemon serves. It gathers commits for a while, so that a room's
//! messages share a chunk; makes sled durable now and then; and only then removes files of the journal that it covers. It also
//! drops what has expired, in steps between which commits move on, and the files that nothing is wanted of any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::journal::Full;
use super::segments::FileId;
use super::tables::{Expired, Journaled};
use super::{Failure, Inner, disk, journal};
use crate::error::Error;

/// How long a commit waits for others before it moves.
const GATHER: Duration = Duration::from_millis(500);
/// How long the thread sleeps between looks at the queue while it gathers: to be woken for each commit would cost the committer and
/// the processor more than all else that is done with one here.
const NAP: Duration = Duration::from_millis(5);
/// Journal bytes after which the gathered commits move at once.
const GATHER_BYTES: usize = 4 * 1024 * 1024;
/// Journal bytes moved after which sled is made durable …
const CHECKPOINT_BYTES: usize = 16 * 1024 * 1024;
/// … and the time after which it is, however little has moved.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// Chunks of one room that expire before commits get their turn.
const EXPIRE_STEPS: usize = 16;
/// Jobs that may wait; a full queue makes the committer wait.
const QUEUE: usize = 4096;

/// How long to wait before a full queue is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(1);

pub(super) enum Job {
    /// A durable commit: its number, its bytes in the journal.
    Commit(u64, usize, Journaled),
    /// Drop what one room has from before this time of the kept clock.
    Expire { room: u64, cutoff_ms: u64 },
    /// Nothing: answer when all jobs before this one are done and durable.
    Settle(SyncSender<()>),
}

/// The way to the thread; when it is dropped, the thread moves what is left, makes it durable and ends.
#[derive(Debug)]
pub(super) struct Mover {
    failure: Arc<Failure>,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// `files` are those of earlier runs.
    pub(super) fn start(inner: Arc<Inner>, full: Full, files: Vec<FileId>, covered: u64) -> Result<Mover, Error> {
        let (jobs, queue) = sync_channel(QUEUE);
        let path = inner.dir.clone();
        let failure = inner.failure.clone();
        let worker = Worker {
            inner,
            full,
            files,
            gathered: Vec::new(),
            gathered_bytes: 0,
            gathered_through: covered,
            covered,
            uncovered_bytes: 0,
            dirty: false,
            checkpointed: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("mover".to_owned()).spawn(move || worker.run(&queue));
        let thread = thread.map_err(Error::io("start a thread for", &path))?;
        Ok(Mover { failure, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands a job over; waits while the queue is full. False once the thread has ended, or the store has failed.
    pub(super) fn hand(&self, job: Job) -> bool {
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
            // sled may have it wait for ever.
            return;
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook.
            let _ = thread.join();
        }
    }
}

/// The next job; a timeout where what was gathered has waited long enough, or nothing has come for long.
fn next(queue: &Receiver<Job>, gathering_since: Option<Instant>) -> Result<Job, RecvTimeoutError> {
    let Some(since) = gathering_since else { return queue.recv_timeout(CHECKPOINT_EVERY / 10) };
    loop {
        match queue.try_recv() {
            Ok(job) => return Ok(job),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if since.elapsed() >= GATHER => return Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Empty) => std::thread::sleep(NAP),
        }
    }
}

struct Worker {
    inner: Arc<Inner>,
    full: Full,
    /// Files that nothing is written into any more, and that go when nothing is wanted of them.
    files: Vec<FileId>,
    gathered: Vec<Journaled>,
    gathered_bytes: usize,
    /// The last commit that is in `gathered`.
    gathered_through: u64,
    /// The last commit that is in sled.
    covered: u64,
    uncovered_bytes: usize,
    dirty: bool,
    checkpointed: Instant,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Job>) {
        // If this thread ends in any way but the last line, nothing must be acknowledged any more.
        struct OnPanic(Arc<Inner>);
        impl Drop for OnPanic {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.failure.set("the store's thread died; this is a bug");
                }
            }
        }
        let _guard = OnPanic(self.inner.clone());
        if let Err(error) = self.work(queue) {
            self.inner.failure.set(&error.to_string());
        }
    }

    fn work(&mut self, queue: &Receiver<Job>) -> Result<(), Error> {
        // Here, and not before the daemon serves: it takes a look at every chunk's place.
        self.inner.tables.count_references()?;
        self.remove_unwanted()?;
        self.erase()?;
        let mut gathering_since = None;
        loop {
            if self.inner.failure.get().is_some() {
                // Nothing is written behind a write that failed: it might become durable, and that one not.
                return Ok(());
            }
            match next(queue, gathering_since) {
                Ok(Job::Commit(number, bytes, commit)) => {
                    self.gathered_through = number;
                    self.gathered.push(commit);
                    self.gathered_bytes += bytes;
                    gathering_since.get_or_insert_with(Instant::now);
                    if self.gathered_bytes < GATHER_BYTES {
                        continue;
                    }
                }
                Ok(Job::Expire { room, cutoff_ms }) => {
                    self.expire(room, cutoff_ms)?;
                    continue;
                }
                Ok(Job::Settle(done)) => {
                    self.move_gathered()?;
                    self.checkpoint()?;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.inner.failure.get().is_some() => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    self.move_gathered()?;
                    return self.checkpoint();
                }
            }
            gathering_since = None;
            self.move_gathered()?;
            if self.uncovered_bytes >= CHECKPOINT_BYTES
                || self.full.any()
                || (self.dirty && self.checkpointed.elapsed() >= CHECKPOINT_EVERY)
            {
                self.checkpoint()?;
            }
        }
    }

    /// Where the disk is full everything waits: what is not moved is in the journal, and in memory for readers.
    fn move_gathered(&mut self) -> Result<(), Error> {
        if !disk::watch_space(&self.inner) || self.gathered.is_empty() {
            return Ok(());
        }
        let redacted = self.inner.tables.apply(&self.gathered)?;
        self.covered = self.gathered_through;
        for journaled in self.gathered.drain(..) {
            self.inner.tail.moved(&journaled.commit.ops);
        }
        for (room, bytes) in redacted {
            self.inner.tail.add_bytes(room, bytes);
        }
        self.uncovered_bytes += std::mem::take(&mut self.gathered_bytes);
        self.dirty = true;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Error> {
        self.checkpointed = Instant::now();
        if !disk::watch_space(&self.inner) {
            return Ok(());
        }
        if self.dirty {
            self.dirty = false;
            self.inner.tables.checkpoint(self.covered, &self.inner.clock.reading())?;
            self.uncovered_bytes = 0;
        }
        self.files.extend(self.full.covered(self.covered));
        self.remove_unwanted()?;
        self.erase()
    }

    /// Overwrites what was redacted, wherever it stands in files that nothing is written into any more.
    fn erase(&mut self) -> Result<(), Error> {
        let tables = &self.inner.tables;
        for erasure in tables.erasures()? {
            // A file of the journal that is still written to, or is not covered, is read by the next start.
            let mut is_left = match erasure.stood {
                Some((place, _)) if matches!(place.file, FileId::Journal(_)) && !self.files.contains(&place.file) => {
                    tables.segments().path(place.file).exists()
                }
                _ => {
                    tables.erase_where_it_stood(&erasure)?;
                    false
                }
            };
            for number in self.journal_of(erasure.kept_ms)? {
                if self.files.contains(&FileId::Journal(number)) {
                    journal::erase(&self.inner.journal_dir(), number, erasure.room, erasure.seq)?;
                } else {
                    is_left = true;
                }
            }
            if is_left {
                self.inner.wants_next_file.store(true, Ordering::Relaxed);
            } else {
                tables.erased(&erasure)?;
                self.dirty = true;
            }
        }
        Ok(())
    }

    /// The files of the journal that a commit of this time of the kept clock may be in.
    fn journal_of(&self, kept_ms: u64) -> Result<Vec<u64>, Error> {
        let dir = self.inner.journal_dir();
        let mut found = Vec::new();
        let mut next = None;
        for number in journal::numbers(&dir)?.into_iter().rev() {
            let Some(begins) = journal::begins(&dir, number)? else { continue };
            if begins <= kept_ms && next.is_none_or(|next| next >= kept_ms) {
                found.push(number);
            }
            next = Some(begins);
        }
        Ok(found)
    }

    /// Removes files of which sled knows nothing any more, durably: only behind a checkpoint, that is.
    fn remove_unwanted(&mut self) -> Result<(), Error> {
        let tables = &self.inner.tables;
        self.files.extend(tables.segments().retired());
        for file in self.files.extract_if(.., |file| !tables.is_wanted(*file)) {
            tables.segments().remove(file)?;
        }
        Ok(())
    }

    fn expire(&mut self, room: u64, cutoff_ms: u64) -> Result<(), Error> {
        if !disk::watch_space(&self.inner) {
            return Ok(()); // It is asked for again.
        }
        let tail = &self.inner.tail;
        let gone = |seq, bytes| {
            tail.raise_floor(room, seq, None);
            tail.freed(room, bytes);
        };
        let until = |kept_ms| tail.raise_floor(room, tail.floor(room), Some(kept_ms));
        match self.inner.tables.drop_before(room, cutoff_ms, EXPIRE_STEPS, gone) {
            Ok(Expired::More) => {}
            Ok(Expired::Until(kept_ms)) => until(kept_ms),
            Ok(Expired::Empty) => tail.set_empty(room),
            // A write that failed has failed the store. What can't be read is in one room: the others go on.
            Err(error) if self.inner.failure.get().is_none() => {
                tracing::error!("{error}; nothing that is past retention is dropped from room number {room}");
                until(u64::MAX);
            }
            Err(error) => return Err(error),
        }
        self.dirty = true;
        Ok(())
    }
}
