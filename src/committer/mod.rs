//! The only writer. It takes what has queued while the previous commit was syncing, gives each message its seq, makes all of it durable
//! with one sync, and only then answers and publishes.
//!
//! Requests are checked against the durable rooms and what earlier requests of the same commit change, so pipelined requests see each
//! other. After the first failed write nothing is acknowledged any more.

mod draft;
mod groups;
pub mod import;
mod manage;
mod mark;
mod queue;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use crate::figures::Figures;
use crate::limits::{IN_FLIGHT_MAX_BYTES, IN_FLIGHT_OF_ONE_MAX_BYTES};
use crate::permission::Author;
use crate::person::Person;
use crate::rooms::Rooms;
use crate::settings::Live;
use dantok_protocol::commands::Write;
use dantok_protocol::{ErrorCode, Refusal, Reply};
use dantok_store::commit::Commit;
use dantok_store::{Store, Writer};
use draft::{Draft, Drafted};
use queue::{InFlight, Queue, Submission, Task};

/// The memory that a request takes besides its body.
const REQUEST_BYTES: usize = 512;

/// The memory that a write takes while it waits.
pub fn bytes(write: &Write) -> usize {
    REQUEST_BYTES + write.body_bytes()
}

/// A longer commit means that the disk is slow; then only the thread waits for it.
const QUICK: Duration = Duration::from_millis(1);
/// After this many quick commits of one submission each, the submitter is taken to be alone. With others about, the thread commits, so that
/// they can go on meanwhile.
const ALONE: u32 = 4;

/// What the thread and the submitters share. Whoever takes from the queue holds the worker's lock, so whoever holds that and finds the
/// queue empty overtakes nobody.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    queued: Condvar,
    worker: Mutex<Worker>,
    bytes: Arc<Semaphore>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue is consistent between any two steps.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to the committer, whose thread ends when this is dropped.
#[derive(Debug)]
pub struct Committer(Arc<Shared>);

impl Drop for Committer {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.queued.notify_all();
    }
}

impl Committer {
    /// Starts the thread. It ends when the `Committer` is dropped and everything submitted is answered.
    ///
    /// # Errors
    /// I/O errors.
    pub fn start(
        writer: Writer,
        store: Arc<Store>,
        rooms: Arc<Rooms>,
        settings: Arc<Live>,
        figures: Arc<Figures>,
    ) -> std::io::Result<(Committer, JoinHandle<()>)> {
        let next_room = rooms.highest_id() + 1;
        let of_failure = store.clone();
        let worker = Worker { writer, store, rooms, settings, figures, next_room, alone: 0 };
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            queued: Condvar::new(),
            worker: Mutex::new(worker),
            bytes: Arc::new(Semaphore::new(IN_FLIGHT_MAX_BYTES)),
        });
        let of_thread = shared.clone();
        let thread = dantok_supervise::thread(crate::duties::COMMITTER.name, move || run(&of_thread, &of_failure))?;
        Ok((Committer(shared), thread))
    }

    /// Submits changes, waiting while too much is in flight. The answers come once all of them are durable, in the order of the calls.
    /// If nobody else has anything to commit and the disk is quick, the commit is made right here: waking a thread and being woken by
    /// it would take as long as the disk does.
    pub async fn submit(
        &self,
        author: Author,
        person: Arc<Person>,
        writes: Vec<Write>,
    ) -> oneshot::Receiver<Vec<Reply>> {
        let (answer, answered) = oneshot::channel();
        if let Some(in_flight) = self.admit(person, writes.iter().map(bytes).sum()).await
            && let Some(submission) = self.commit_now(Submission { author, writes, answer, in_flight })
        {
            let mut queue = self.0.queue();
            if !queue.ended {
                queue.push(submission);
                // The thread sleeps only on an empty queue.
                if queue.len() == 1 {
                    self.0.queued.notify_one();
                }
            }
        }
        answered
    }

    /// Waits until this many more bytes may be in flight, for this person and for all.
    async fn admit(&self, person: Arc<Person>, bytes: usize) -> Option<InFlight> {
        let bytes = u32::try_from(bytes.min(IN_FLIGHT_OF_ONE_MAX_BYTES)).unwrap_or(u32::MAX);
        // The semaphores are never closed.
        let own = person.in_flight.acquire_many(bytes).await.ok()?;
        let of_all = self.0.bytes.clone().acquire_many_owned(bytes).await.ok()?;
        own.forget();
        Some(InFlight { person, bytes, _permit: of_all })
    }

    /// Requests waiting for a commit, and bytes of all unanswered requests.
    pub fn waiting(&self) -> (u64, u64) {
        let requests = self.0.queue().requests() as u64;
        (requests, IN_FLIGHT_MAX_BYTES.saturating_sub(self.0.bytes.available_permits()) as u64)
    }

    /// Does the work that the store needs done between commits. Blocks during a commit.
    pub fn tend(&self) {
        if let Ok(mut worker) = self.0.worker.lock() {
            // A failure is the store's, which reports it.
            let _ = worker.writer.tend();
        }
    }

    /// Asks whether commits still complete. It is answered when everything queued before is done and the journal is synced, and dropped
    /// unanswered if the disk refuses or there are no more commits.
    pub fn probe(&self) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        self.queue_task(move |worker| {
            // If nobody waits for the answer, another sync is useless.
            if !answer.is_closed() && worker.writer.sync().is_ok() {
                let _ = answer.send(());
            }
        });
        answered
    }

    fn run_task<T: Send + 'static>(&self, what: impl FnOnce(&mut Worker) -> T + Send + 'static) -> Option<T> {
        let (done, result) = std::sync::mpsc::channel();
        self.queue_task(move |worker| {
            // Nobody may wait for the result.
            let _ = done.send(what(worker));
        });
        result.recv().ok()
    }

    /// Drops the task if the committer has ended.
    fn queue_task(&self, task: impl FnOnce(&mut Worker) + Send + 'static) {
        let mut queue = self.0.queue();
        if !queue.ended {
            queue.tasks.push(Task(Box::new(task)));
            self.0.queued.notify_one();
        }
    }

    /// Commits at once, or returns the submission if others may come first or the disk is slow.
    fn commit_now(&self, submission: Submission) -> Option<Submission> {
        let mut worker = match self.0.worker.try_lock() {
            Ok(worker) if worker.alone >= ALONE => worker,
            // The thread reports a panic in a commit.
            Ok(_) | Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return Some(submission),
        };
        if self.0.queue().len() > 0 {
            return Some(submission);
        }
        // A panic ends all commits; the thread must notice at once.
        let waker = OnPanic(&self.0);
        worker.commit(vec![submission]);
        drop(worker);
        drop(waker);
        None
    }
}

/// Wakes the thread if a commit panics elsewhere.
struct OnPanic<'a>(&'a Shared);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _queue = self.0.queue();
            self.0.queued.notify_one();
        }
    }
}

/// When the thread ends, even by a panic, drops what is queued unanswered, which tells submitters that the committer has ended.
struct Ended<'a>(&'a Shared, &'a Store);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.ended = true;
        queue.clear();
        if !queue.closed || std::thread::panicking() {
            self.1.failure().set("the committer panicked; this is a bug");
        }
    }
}

/// Runs the thread.
fn run(shared: &Shared, store: &Store) {
    let _ended = Ended(shared, store);
    loop {
        let mut queue = shared.queue();
        while queue.len() == 0 && queue.tasks.is_empty() && !shared.worker.is_poisoned() {
            if queue.closed {
                return;
            }
            queue = shared.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        drop(queue);
        let Ok(mut worker) = shared.worker.lock() else {
            return tracing::error!("a commit panicked; this is a bug");
        };
        let mut queue = shared.queue();
        let (batch, tasks) = (queue.next_batch(Instant::now()), std::mem::take(&mut queue.tasks));
        drop(queue);
        if !batch.is_empty() {
            worker.commit(batch);
        }
        for Task(task) in tasks {
            task(&mut worker);
        }
    }
}

/// The answer to what the committer dropped unanswered.
pub fn ended() -> Reply {
    Reply::Error(Refusal::new(ErrorCode::Stopping, "the daemon is stopping; connect again later and repeat this"))
}

#[derive(Debug)]
struct Worker {
    writer: Writer,
    store: Arc<Store>,
    rooms: Arc<Rooms>,
    settings: Arc<Live>,
    figures: Arc<Figures>,
    next_room: u64,
    /// The number of quick commits of one submission each in a row.
    alone: u32,
}

impl Worker {
    fn commit(&mut self, batch: Vec<Submission>) {
        dantok_supervise::fail_point(crate::duties::COMMITTER.name);
        let mut draft = Draft::new(self);
        let mut answers = Vec::with_capacity(batch.len());
        for Submission { author, writes, answer, in_flight } in batch {
            let replies = writes.into_iter().map(|write| draft.apply(&author, write).unwrap_or_else(Reply::Error));
            answers.push((answer, replies.collect::<Vec<Reply>>(), in_flight));
        }
        let drafted = draft.end();
        let failed = self.make_durable(drafted, answers.len() == 1);
        for (answer, mut replies, in_flight) in answers {
            if let Some(refusal) = &failed {
                replies.fill(Reply::Error(refusal.clone()));
            }
            // The connection may be gone; what it sent is stored all the same.
            let _ = answer.send(replies);
            drop(in_flight);
        }
    }

    /// Makes a draft durable and publishes it. Returns why, if that fails.
    fn make_durable(&mut self, drafted: Drafted, is_one: bool) -> Option<Refusal> {
        let Drafted { ops, next_room, kept_ms, refused } = drafted;
        let commit = Arc::new(Commit { kept_ms, ops });
        let failed = match refused {
            Some(refusal) => Some(refusal),
            None if commit.ops.is_empty() => self.store.failure().get().map(|why| storage(&why)),
            None => {
                let start = Instant::now();
                self.figures.begin_commit(start);
                let appended = self.writer.append(commit.clone());
                self.figures.end_commit();
                let is_alone = is_one && start.elapsed() < QUICK;
                self.alone = if is_alone { self.alone.saturating_add(1) } else { 0 };
                appended.err().map(|error| storage(&error.to_string()))
            }
        };
        if failed.is_none() && !commit.ops.is_empty() {
            self.next_room = next_room;
            self.count(&commit);
            self.rooms.publish(&commit.ops);
        }
        failed
    }

    fn count(&self, commit: &Commit) {
        let bodies = commit.messages().map(|(_, message)| message.body.len() as u64);
        let (messages, bytes) = bodies.fold((0, 0), |(messages, bytes), body| (messages + 1, bytes + body));
        self.figures.commits.add(1);
        self.figures.commit_messages.note(messages);
        self.figures.messages.add(messages);
        self.figures.bytes.add(bytes);
    }
}

fn storage(why: &str) -> Refusal {
    // The reason names files, so it goes to the operator's log and not to clients.
    tracing::debug!(why, "refused a write");
    Refusal::new(
        ErrorCode::Storage,
        "the daemon can't write to its disk and is stopping; repeat this with the same id later",
    )
}
