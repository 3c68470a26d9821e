//! Takes durable commits from the journal's front into sled, in bulk and off the acknowledged path.
//!
//! One thread, the only one that writes to sled and segments once the daemon serves. It gathers commits for a while, so that a room's
//! messages share a chunk; makes sled durable now and then; and only then removes files of the journal that it covers. It also
//! drops what has expired, in steps between which commits move on, and the files that nothing is wanted of any more; and moves what is left
//! in files of which little is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
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
/// What is erased before commits get their turn: messages, and files of the journal that are looked through for them.
const ERASURES_PER_TURN: usize = 4096;
const FILES_PER_TURN: usize = 4;
/// How long deleted rooms are dropped before commits get their turn.
const DELETE_FOR: Duration = Duration::from_millis(50);
/// How often the journal is asked to go on in another file, so that something can be erased from the one before.
const NEXT_FILE_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked for files of which little is wanted: what is left of one at two looks in a row moves out of it …
const SPARSE_LOOK_EVERY: Duration = CHECKPOINT_EVERY;
/// … which takes no more than one part in so many of the time: it goes through the whole index …
const SPARSE_PART: u32 = 50;
/// … and moves so much at a time, so that commits get their turn.
const SPARSE_BYTES: u64 = 4 * 1024 * 1024;
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
        let earlier = files.iter().copied().filter(|file| matches!(file, FileId::Segment(_))).collect();
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
            earlier: Some(earlier),
            is_erasing: false,
            next_file_asked: None,
            sparse: Sparse { seen: BTreeSet::new(), unreadable: BTreeSet::new(), next_look: Instant::now() },
        };
        let thread = dantok_supervise::thread(crate::MOVER.name, move || worker.run(&queue));
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

/// The next job; a timeout where what was gathered has waited long enough, or nothing has come for `idle`.
fn next(queue: &Receiver<Job>, gathering_since: Option<Instant>, idle: Duration) -> Result<Job, RecvTimeoutError> {
    let Some(since) = gathering_since else { return queue.recv_timeout(idle) };
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
    /// Segments of earlier runs, until it was looked what a crash has left in them.
    earlier: Option<Vec<FileId>>,
    /// There is more to erase, and nothing to wait for.
    is_erasing: bool,
    /// When the journal was last asked to go on in another file.
    next_file_asked: Option<Instant>,
    sparse: Sparse,
}

/// Files of which little is wanted.
struct Sparse {
    /// Those that were so at the last look.
    seen: BTreeSet<FileId>,
    /// Those in which something can't be read.
    unreadable: BTreeSet<FileId>,
    next_look: Instant,
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
        dantok_supervise::fail_point(crate::MOVER.name);
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
            let idle = if self.inner.tables.is_deleting() { NAP } else { CHECKPOINT_EVERY / 10 };
            match next(queue, gathering_since, idle) {
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
            self.drop_deleted()?;
            if self.uncovered_bytes >= CHECKPOINT_BYTES
                || self.full.any()
                || self.is_erasing
                || self.inner.tables.is_to_forget()
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
            self.inner.tables.forget_that_deleted()?;
        }
        for (file, used_bytes) in self.full.covered(self.covered) {
            // No start reads it any more: what no commit was written into is not kept.
            let path = self.inner.tables.segments().path(file);
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(used_bytes));
            cut.map_err(Error::io("cut the journal file", &path))?;
            self.files.push(file);
        }
        self.remove_unwanted()?;
        self.erase()?;
        self.compact()
    }

    /// Drops what leads to the messages of deleted rooms, for a while.
    fn drop_deleted(&mut self) -> Result<(), Error> {
        let until = Instant::now() + DELETE_FOR;
        while self.inner.tables.is_deleting() && Instant::now() < until && disk::watch_space(&self.inner) {
            self.inner.tables.drop_deleted()?;
            self.dirty = true;
        }
        Ok(())
    }

    /// Moves what is left out of files of which little is wanted, so that they go behind the next checkpoint.
    fn compact(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        if began < self.sparse.next_look {
            return Ok(());
        }
        self.sparse.next_look = began + SPARSE_LOOK_EVERY;
        // First what was redacted is overwritten, where it stands.
        let erasures = self.inner.tables.erasures(ERASURES_PER_TURN)?;
        if erasures.len() >= ERASURES_PER_TURN {
            return Ok(());
        }
        let begins = if erasures.is_empty() { Vec::new() } else { self.journal_begins()? };
        let mut passed_over = self.sparse.unreadable.clone();
        for erasure in &erasures {
            passed_over.extend(erasure.stood.map(|(place, _)| place.file));
            passed_over.extend(written_at(&begins, erasure.kept_ms).into_iter().map(FileId::Journal));
        }
        let tables = &self.inner.tables;
        let files = self.files.iter().filter(|file| !passed_over.contains(file));
        let sparse: BTreeMap<FileId, u64> =
            files.filter_map(|file| Some((*file, tables.sparse_bytes(*file)?))).collect();
        let (mut bytes, mut chosen) = (0, BTreeSet::new());
        for (file, wanted) in sparse.iter().filter(|(file, _)| self.sparse.seen.contains(file)) {
            if bytes < SPARSE_BYTES {
                bytes += wanted;
                chosen.insert(*file);
            }
        }
        if !chosen.is_empty() {
            let unreadable = tables.compact(&chosen)?;
            for file in &unreadable {
                let path = tables.segments().path(*file);
                tracing::error!("{}: something can't be read; what else is in it is kept with it", path.display());
            }
            tracing::debug!(files = chosen.len(), bytes, "moved out of files of which little is wanted");
            self.sparse.unreadable.extend(unreadable);
            self.sparse.next_look = Instant::now() + (began.elapsed() * SPARSE_PART).max(SPARSE_LOOK_EVERY);
        }
        // There is to be another look, and a checkpoint.
        self.dirty |= !sparse.is_empty();
        self.sparse.seen = sparse.into_keys().collect();
        Ok(())
    }

    /// Overwrites what was redacted, wherever it stands in files that nothing is written into any more: some of it, so that commits
    /// get their turn.
    fn erase(&mut self) -> Result<(), Error> {
        self.is_erasing = false;
        let erasures = self.inner.tables.erasures(ERASURES_PER_TURN)?;
        if erasures.is_empty() {
            return Ok(());
        }
        if let Some(segments) = self.earlier.take() {
            self.inner.tables.erase_orphans(&segments)?;
        }
        // A file of the journal that is still written to, or is not covered, is read by the next start.
        let is_read = |file: &FileId| matches!(file, FileId::Journal(_)) && !self.files.contains(file);
        let begins = self.journal_begins()?;
        let mut by_file: BTreeMap<u64, BTreeSet<(u64, u64)>> = BTreeMap::new();
        let (mut now, mut is_left) = (Vec::new(), false);
        for erasure in erasures {
            let files = written_at(&begins, erasure.kept_ms);
            let stood = erasure.stood.map(|(place, _)| place.file);
            let path_is_there = |file: &FileId| self.inner.tables.segments().path(*file).exists();
            if files.iter().any(|number| is_read(&FileId::Journal(*number)))
                || stood.is_some_and(|file| is_read(&file) && path_is_there(&file))
            {
                is_left = true;
                continue;
            }
            if by_file.len() >= FILES_PER_TURN && files.iter().any(|number| !by_file.contains_key(number)) {
                self.is_erasing = true;
                continue;
            }
            for number in files {
                by_file.entry(number).or_default().insert((erasure.room, erasure.seq));
            }
            now.push(erasure);
        }
        self.inner.tables.erase_where_it_stood(&now)?;
        for (number, redacted) in &by_file {
            if self.inner.failure.get().is_some() {
                return Ok(());
            }
            self.inner.tables.segments().erasing(FileId::Journal(*number))?;
            journal::erase(&self.inner.journal_dir(), *number, redacted)?;
        }
        for erasure in &now {
            self.inner.tables.erased(erasure)?;
        }
        self.is_erasing |= !now.is_empty();
        self.dirty |= !now.is_empty();
        if is_left && self.next_file_asked.is_none_or(|asked| asked.elapsed() >= NEXT_FILE_EVERY) {
            self.next_file_asked = Some(Instant::now());
            self.inner.wants_next_file.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The files of the journal, in order, and when the first commit of each was made.
    fn journal_begins(&self) -> Result<Vec<(u64, u64)>, Error> {
        let dir = self.inner.journal_dir();
        let mut found = Vec::new();
        for number in journal::numbers(&dir)? {
            found.extend(journal::begins(&dir, number)?.map(|begins| (number, begins)));
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
        let gone = |seq, messages, bytes| {
            tail.raise_floor(room, seq, None);
            tail.freed(room, bytes);
            self.inner.expired_messages.add(messages);
            self.inner.expired_bytes.add(bytes);
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

/// Of files and when each begins: those that a commit of this time may be in.
fn written_at(begins: &[(u64, u64)], kept_ms: u64) -> Vec<u64> {
    let next = begins.iter().skip(1).map(|(_, begins)| *begins).chain([u64::MAX]);
    let of = begins.iter().zip(next).filter(|((_, begins), next)| *begins <= kept_ms && kept_ms <= *next);
    of.map(|((number, _), _)| *number).collect()
}
