//! What is on disk, and the promises about it: `durable`, `kept`, `honest failure`.
//!
//! A commit is durable in the [journal](mod@journal) when [`Writer::append`] returns. A mover takes it into
//! [sled](mod@tables) later, and small ones' messages into [segments](mod@segments); until then, and for a while after, reads are
//! served from [memory](mod@tail). Nothing outside this crate knows of any of them.
//!
//! What is assumed of the disk: that after a successful fdatasync (fsync for a directory) the bytes, and a file's name, survive a
//! power cut; that a write that was not synced may be there in any part, but changes no other byte than its own; and that bytes
//! at rest do not change — where they do, checksums find it and it is reported, never repaired by guessing. After a sync that
//! failed, what it should have written may be read and not be on the disk: so nothing is written any more, and the next start
//! writes it again, as does any start that does not find that the store was closed: whoever saw the sync fail may have
//! been killed. sled does not know of this, so its system calls are [ours](mod@syscalls).
//!
//! Blocking throughout: call it from threads that may block.
#![warn(clippy::disallowed_methods)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods
    )
)]

pub mod build;
pub mod check;
pub mod chunk;
pub mod clock;
pub mod commit;
pub mod count;
pub mod disk;
pub mod epoch;
pub mod error;
mod failure;
pub mod group;
pub mod journal;
pub mod key;
pub mod limits;
pub mod marks;
pub mod messages;
mod migrate;
mod mover;
mod note;
pub mod record;
pub mod replace;
mod running;
pub mod segments;
pub mod syscalls;
pub mod tables;
pub mod tail;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::clock::KeptClock;
use crate::count::{Counted, Counter, Histogram};
use dantok_supervise::Duty;

pub use crate::error::Error;
use crate::limits::{JOURNAL_FILE_BYTES, READ_AGAIN_AFTER};
use chunk::Parsed;
use commit::Commit;
pub use disk::look;
pub use failure::Failure;
use group::GroupRecord;
use journal::Journal;
use marks::Marks;
use messages::Messages;
use mover::{Job, Mover};
use note::{Closing, Note};
use record::{Access, Last, RoomRecord, Stored};
use segments::{FileId, Segments};
use tables::{Journaled, Tables};
use tail::Tail;

/// Takes what is committed into sled and segments.
pub const MOVER: Duty = Duty::ending_the_daemon("mover");
/// Fills the next journal file with zeros. Where it died the committer does it.
pub const JOURNAL: Duty = Duty::beginning_again("journal-prepare");

/// Whether a directory is a data directory, sound or not: whoever has one has a lock file in it.
pub fn is_data_dir(dir: &Path) -> bool {
    dir.join(disk::LOCK_FILE).is_file() && dir.join("FORMAT").is_file()
}

/// A room, as it was found at the start.
#[derive(Clone, Debug)]
pub struct RoomState {
    /// Its number.
    pub id: u64,
    /// What it is.
    pub record: RoomRecord,
    /// How far it is.
    pub last: Last,
    /// Its members and their cursors; [`record::NO_CURSOR`] for those that have none.
    pub members: HashMap<Arc<str>, u64>,
    /// Who is invited, or banned.
    pub access: HashMap<Arc<str>, Access>,
    /// Shared cursors.
    pub groups: HashMap<Arc<str>, GroupRecord>,
}

/// What was found at the start, but for the messages.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The rooms, by number.
    pub rooms: Vec<RoomState>,
    /// What clients are shown as.
    pub nicks: HashMap<Arc<str>, Arc<str>>,
    /// The highest number that a room has, or had that was deleted.
    pub highest_room: u64,
}

/// What the store's threads share.
#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    epoch: Arc<str>,
    tables: Arc<Tables>,
    tail: Tail,
    marks: Marks,
    clock: KeptClock,
    failure: Arc<Failure>,
    short_of_space: AtomicBool,
    /// The journal is to go on in another file, so that something can be erased from this one.
    wants_next_file: AtomicBool,
    /// How long commits' syncs take.
    syncs: Arc<Histogram>,
    expired_messages: Counter,
    expired_bytes: Counter,
    /// Dropped last: sled has closed its files then.
    _closing: Closing,
}

impl Inner {
    fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.failure.get().is_some() {
            self.tables.abandon();
        }
    }
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size of a journal file, in bytes; at least four times the largest commit.
    pub journal_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { journal_file_bytes: JOURNAL_FILE_BYTES }
    }
}

/// The store, to read and to expire; shared by all.
#[derive(Debug)]
pub struct Store {
    // Dropped first: its thread ends with everything moved and durable.
    mover: Mover,
    inner: Arc<Inner>,
}

/// The store's only way in; there is one.
#[derive(Debug)]
pub struct Writer {
    store: Arc<Store>,
    journal: Journal,
    payload: Vec<u8>,
}

impl Store {
    /// Opens the data directory, making it where it is missing; recovers what a crash left, durably, before it returns.
    ///
    /// # Errors
    /// Another daemon has the directory; it is of a newer format, or there is no room to take it to this one; something in it is [damaged](Error::Damaged);
    /// what the system or sled says. A read, write or sync that fails in sled's own hands [ends the process](mod@syscalls).
    pub fn open(dir: &Path, options: &Options) -> Result<(Arc<Store>, Writer, State), Error> {
        disk::create_dir(dir)?;
        disk::expect_finished(dir)?;
        let lock = disk::lock(dir)?;
        // Again: until just now a restore may have had it.
        disk::expect_finished(dir)?;
        for made in ["journal", "segments"].map(|name| dir.join(name)) {
            std::fs::create_dir_all(&made).map_err(Error::io("create the directory", &made))?;
        }
        // Before anything is changed.
        migrate::format_of(dir)?;
        disk::drop_ballast(dir)?;
        let (note, is_unclean) = Note::take(lock, dir)?;
        migrate::prepare(dir)?;
        let opened = Store::open_noted(dir, options, &note, is_unclean);
        // Damage is nothing that was written just now.
        opened.inspect_err(|error| {
            if !matches!(error, Error::Damaged { .. }) {
                note.fail()
            }
        })
    }

    fn open_noted(
        dir: &Path,
        options: &Options,
        note: &Arc<Note>,
        is_unclean: bool,
    ) -> Result<(Arc<Store>, Writer, State), Error> {
        migrate::run(dir)?;
        let _opening = syscalls::Opening::begin();
        let sled_dir = dir.join("sled");
        if !sled_dir.exists() {
            Tables::create(&sled_dir)?;
        }
        note::watch(note, &sled_dir.join("db"))?;
        let tables = Arc::new(Tables::open(&sled_dir, Segments::of(dir).noted(note.clone()))?);
        Store::recover(dir, options, note, is_unclean, tables.clone()).inspect_err(|_| tables.abandon())
    }

    fn recover(
        dir: &Path,
        options: &Options,
        note: &Arc<Note>,
        is_unclean: bool,
        tables: Arc<Tables>,
    ) -> Result<(Arc<Store>, Writer, State), Error> {
        let epoch = epoch::open(dir)?;
        let journal_dir = dir.join("journal");
        tables.load_lasts()?;
        let (covered, reading) = tables.checkpointed()?;
        // Not the segment that the replay begins: it is written to from here on.
        let before = files_in(&journal_dir, tables.segments())?;
        journal::settle(&journal_dir, covered, is_unclean)?;
        let mut last_commit_ms = 0;
        let mut replay = Replay { tables: &tables, commits: Vec::new(), bytes: 0 };
        let recovered = journal::recover(&journal_dir, covered, &mut |number, spot, payload| {
            let decoded = Commit::decode(&payload);
            let no_record = || Error::damaged(&journal_dir, format!("commit {number} is no record"));
            let (commit, chunks) = decoded.ok_or_else(no_record)?;
            last_commit_ms = commit.kept_ms;
            replay.take(Journaled { commit: Arc::new(commit), chunks, spot }, payload.len())
        })?;
        replay.flush()?;
        tables.forget_deleted()?;
        let clock = KeptClock::resume(&reading, last_commit_ms);
        tables.checkpoint(recovered.last_commit, &clock.reading())?;
        if !syscalls::are_ours() {
            return Err(Error::NotInterposed);
        }
        let state = tables.load()?;
        tracing::info!(
            path = %dir.display(),
            rooms = state.rooms.len(),
            recovered = recovered.last_commit - covered,
            torn_tail_cut = recovered.cut,
            "store open"
        );
        let journal = Journal::begin(&journal_dir, recovered, options.journal_file_bytes)?;
        disk::take_ballast(dir);
        journal::sync_dir(dir)?;
        let tail = Tail::default();
        for room in &state.rooms {
            tail.begin(room.id, &room.last);
        }
        let marks = Marks::of(tables.marks()?);
        let failure = Arc::new(Failure::new(note.clone()));
        syscalls::tell(&failure);
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            epoch,
            tables,
            tail,
            marks,
            clock,
            failure: failure.clone(),
            short_of_space: AtomicBool::new(false),
            wants_next_file: AtomicBool::new(false),
            syncs: journal.syncs(),
            expired_messages: Counter::default(),
            expired_bytes: Counter::default(),
            _closing: Closing::new(note.clone(), failure),
        });
        disk::watch_space(&inner);
        let mover = Mover::start(inner.clone(), journal.full(), before, recovered.last_commit)?;
        let store = Arc::new(Store { mover, inner });
        let writer = Writer { store: store.clone(), journal, payload: Vec::new() };
        Ok((store, writer, state))
    }

    /// Stored messages of a room, oldest first, with consecutive seqs: those after `after` and up to `through` (which must be
    /// durable), but for those taken before `cutoff_ms` on the kept clock, and no more than a page: `max_messages`, and
    /// `max_bytes` of bodies unless the first alone is more. Where the first one's seq is not `after + 1`, those before it
    /// have expired; where there is none, all up to `through` have.
    ///
    /// # Errors
    /// What sled says; [`Error::Damaged`] where a message is not as it was written, or missing.
    pub fn read(&self, page: &Page) -> Result<Messages, Error> {
        let tail = &self.inner.tail;
        let mut after = page.after;
        loop {
            after = after.max(tail.floor(page.room));
            if after >= page.through {
                return Ok(Messages::default());
            }
            let mut messages = match tail.read(page.room, after, page.through, page.max_messages, page.max_bytes) {
                Some(messages) => messages.into(),
                None => self.read_tables(page, after, |room, seq| self.inner.tables.chunk_at(room, seq))?,
            };
            let first = messages.first().map_or(page.through + 1, |message| message.seq);
            if let Some(expired) = messages.drop_taken_before(page.cutoff_ms) {
                tail.raise_floor(page.room, expired, None);
            }
            if first != after + 1 && tail.floor(page.room) == after {
                let what = format!("room {} lacks its messages from seq {} on", page.room, after + 1);
                return Err(Error::damaged(&self.inner.dir, what));
            }
            if !messages.is_empty() && first == after + 1 {
                return Ok(messages);
            }
            // All of these have expired, or some did while they were read: the floor is higher now.
        }
    }

    /// The same, for who can wait: a read that fails and may succeed later is tried again, for [a while](READ_AGAIN_AFTER).
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub fn read_patiently(&self, page: &Page) -> Result<Messages, Error> {
        for pause in READ_AGAIN_AFTER {
            match self.read(page) {
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, again_in = ?pause, "can't read messages");
                    std::thread::sleep(pause);
                }
                read => return read,
            }
        }
        self.read(page)
    }

    /// A page's messages, chunk by chunk. Behind the first chunk only whole ones: a part would be read again for the next page.
    fn read_tables(
        &self,
        page: &Page,
        after: u64,
        chunk_at: impl FnMut(u64, u64) -> Result<Option<Parsed>, Error>,
    ) -> Result<Messages, Error> {
        // Before the files are looked at: a redaction is forgotten here only when it is in them.
        let redacted = self.inner.tail.redacted(page.room);
        let mut messages = self.read_chunks(page, after, chunk_at)?;
        if !redacted.is_empty() {
            messages.redact(&redacted);
        }
        Ok(messages)
    }

    fn read_chunks(
        &self,
        page: &Page,
        after: u64,
        mut chunk_at: impl FnMut(u64, u64) -> Result<Option<Parsed>, Error>,
    ) -> Result<Messages, Error> {
        let mut messages = Messages::default();
        let mut bytes = 0;
        let mut next = after + 1;
        while next <= page.through
            && messages.len() < page.max_messages
            && (messages.is_empty() || bytes < page.max_bytes)
        {
            let mut chunk = match chunk_at(page.room, next) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // It may have expired between the reading of its parts.
                Err(_) if self.inner.tail.floor(page.room) >= next => break,
                Err(error) => return Err(error),
            };
            let (Some(oldest), Some(newest)) = (chunk.first(), chunk.last()) else { break };
            if newest.seq < next || !messages.is_empty() && oldest.seq > next {
                break; // A gap inside a page: the next page begins with it, and says what it is.
            }
            let (newest_seq, skip) = (newest.seq, next.saturating_sub(oldest.seq));
            chunk.skip(usize::try_from(skip).unwrap_or(usize::MAX));
            let mut fits = 0;
            for message in chunk.iter() {
                let of_page = messages.is_empty() && fits == 0 || bytes + message.body.len() <= page.max_bytes;
                if !of_page || message.seq > page.through || messages.len() + fits >= page.max_messages {
                    break;
                }
                bytes += message.body.len();
                fits += 1;
            }
            if fits < chunk.len() {
                if messages.is_empty() {
                    chunk.truncate(fits);
                    messages.push(chunk);
                }
                return Ok(messages);
            }
            next = newest_seq + 1;
            messages.push(chunk);
        }
        Ok(messages)
    }

    /// The messages of a page, where they are in memory, our own or the system's: does not wait for the disk, but for what sled has
    /// to read of its index, which is small.
    pub fn read_recent(&self, page: &Page) -> Option<Messages> {
        let after = page.after.max(self.floor(page.room));
        if after > page.after {
            return None;
        }
        let tail = &self.inner.tail;
        let found = tail.read(page.room, after, page.through, page.max_messages, page.max_bytes);
        let found = found.map(Messages::from).or_else(|| {
            let chunk_at = |room, seq| Ok(self.inner.tables.cached_chunk_at(room, seq));
            self.read_tables(page, after, chunk_at).ok()
        })?;
        let fresh = found.first().is_some_and(|oldest| oldest.kept_ms >= page.cutoff_ms && oldest.seq == after + 1);
        fresh.then_some(found)
    }

    /// The stored message that this client sent with this id, unless it was taken before `cutoff_ms` on the kept clock.
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub fn find(&self, room: u64, client: &str, id: &str, cutoff_ms: u64) -> Result<Option<Stored>, Error> {
        let key = key::message_id(room, client, id);
        let found = match self.inner.tail.find_id(&key) {
            Some(seq) => Some(seq),
            // Between the two looks it may have moved from the one to the other, never the other way.
            None => self.inner.tables.find_id(&key)?,
        };
        found.map_or(Ok(None), |seq| self.message(room, seq, seq, cutoff_ms))
    }

    /// One stored message, of seqs up to `last`, unless it was taken before `cutoff_ms` on the kept clock.
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub fn message(&self, room: u64, seq: u64, last: u64, cutoff_ms: u64) -> Result<Option<Stored>, Error> {
        let Some(after) = seq.checked_sub(1).filter(|_| seq <= last) else { return Ok(None) };
        let page = Page { room, after, through: seq, cutoff_ms, max_messages: 1, max_bytes: 0 };
        Ok(self.read(&page)?.to_stored().pop())
    }

    /// The seq up to which a room's messages are gone; past any seq where the room is.
    pub fn floor(&self, room: u64) -> u64 {
        self.inner.tail.floor(room)
    }

    /// Whether a room is there, and was not deleted.
    pub fn has(&self, room: u64) -> bool {
        self.inner.tail.has(room)
    }

    /// Rooms that may hold messages from before their `cutoff_ms` on the kept clock.
    pub fn expiring(&self, cutoff_ms: impl Fn(u64) -> u64) -> Vec<u64> {
        self.inner.tail.expiring(cutoff_ms)
    }

    /// Whether a room may hold messages from before `cutoff_ms` on the kept clock, or may not know of it.
    pub fn is_expiring(&self, room: u64, cutoff_ms: u64) -> bool {
        self.inner.tail.is_expiring(room, cutoff_ms)
    }

    /// Bytes of a room's stored messages, with what each takes beside its body. What is past retention counts until it is dropped.
    pub fn stored_bytes(&self, room: u64) -> u64 {
        self.inner.tail.stored_bytes(room)
    }

    /// Has some of a room's messages from before `cutoff_ms` on the kept clock dropped; to be asked again until
    /// [`expiring`](Store::expiring) no longer names the room.
    pub fn expire(&self, room: u64, cutoff_ms: u64) {
        // A mover that has ended has said why in `failure`.
        let _ = self.hand(Job::Expire { room, cutoff_ms });
    }

    fn hand(&self, job: Job) -> bool {
        self.mover.hand(job)
    }

    /// Waits until everything handed over is in sled and durable there.
    pub fn settle(&self) {
        let (done, settled) = sync_channel(1);
        if self.hand(Job::Settle(done)) {
            // An error here is the mover's end, of which `failure` tells.
            while matches!(settled.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout)) {
                if self.failure().get().is_some() {
                    return;
                }
            }
        }
    }

    /// Which history of its rooms this is: 16 hex digits, the same for as long as the data directory goes on, and others in a
    /// store that was restored from a backup, where seqs that a client remembers may be those of other messages.
    pub fn epoch(&self) -> &Arc<str> {
        &self.inner.epoch
    }

    /// The newest moments of its past that this store can [prove](mod@marks) to go on from.
    pub fn marks(&self) -> &Marks {
        &self.inner.marks
    }

    /// The clock that ages are counted on.
    pub fn clock(&self) -> &KeptClock {
        &self.inner.clock
    }

    /// Whether, and why, the store has failed.
    pub fn failure(&self) -> &Failure {
        &self.inner.failure
    }

    /// Whether [`Writer::tend`] has something to do.
    pub fn wants_tending(&self) -> bool {
        self.inner.wants_next_file.load(Ordering::Relaxed) && !self.is_short_of_space()
    }

    /// Whether the disk is so full that writes are to be refused.
    pub fn is_short_of_space(&self) -> bool {
        self.inner.short_of_space.load(Ordering::Relaxed)
    }

    /// What the data directory takes on the disk, in bytes. Looks at each of its files.
    pub fn disk_bytes(&self) -> u64 {
        disk::bytes_in(&self.inner.dir, &|metadata| metadata.blocks() * 512)
    }

    /// How the store is.
    pub fn figures(&self) -> Figures {
        let (unmoved, recent) = self.inner.tail.bytes();
        Figures {
            unmoved_bytes: unmoved as u64,
            recent_bytes: recent as u64,
            free_bytes: disk::free_bytes(&self.inner.dir).ok(),
            is_short_of_space: self.is_short_of_space(),
            has_failed: self.failure().get().is_some(),
            syncs: self.inner.syncs.counted(),
            expired_messages: self.inner.expired_messages.get(),
            expired_bytes: self.inner.expired_bytes.get(),
        }
    }

    /// When a stored message was taken, on the kept clock: where it is not in memory, when the oldest was of those that it was
    /// gathered with on its way into the store. Does not read it. None where it is gone.
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub fn taken_ms(&self, room: u64, seq: u64) -> Result<Option<u64>, Error> {
        match self.inner.tail.taken_ms(room, seq) {
            Some(kept_ms) => Ok(Some(kept_ms)),
            None => self.inner.tables.taken_ms(room, seq),
        }
    }
}

/// The files that messages may stand in, before a start makes new ones.
fn files_in(journal_dir: &Path, segments: &Segments) -> Result<Vec<FileId>, Error> {
    let journal = journal::numbers(journal_dir)?.into_iter().map(FileId::Journal);
    Ok(journal.chain(segments.numbers()?.into_iter().map(FileId::Segment)).collect())
}

/// How the store is, for whoever watches over it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of messages in memory that are on disk in the journal, and not in sled yet.
    pub unmoved_bytes: u64,
    /// Bytes of messages in memory that are, kept for readers.
    pub recent_bytes: u64,
    /// What is free on the data directory's file system, for this process; none where the system does not say.
    pub free_bytes: Option<u64>,
    /// Whether the disk is so full that writes are refused.
    pub is_short_of_space: bool,
    /// Whether a write or a sync has failed, which is the end.
    pub has_failed: bool,
    /// How long commits' syncs took since the start, in nanoseconds.
    pub syncs: Counted,
    /// Messages that were dropped since the start because they were past retention.
    pub expired_messages: u64,
    /// Bytes that they took, as [`Store::stored_bytes`] counts.
    pub expired_bytes: u64,
}

/// What to [read](Store::read).
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Of this room.
    pub room: u64,
    /// What comes after this seq …
    pub after: u64,
    /// … up to this one, which is durable.
    pub through: u64,
    /// Nothing that was taken before this time of the kept clock.
    pub cutoff_ms: u64,
    /// At most so many messages.
    pub max_messages: usize,
    /// At most so many bytes of bodies, unless the first alone has more.
    pub max_bytes: usize,
}

impl Writer {
    /// Does what the store needs done between commits; where none comes, it is to be called now and then.
    ///
    /// # Errors
    /// As [`append`](Writer::append).
    pub fn tend(&mut self) -> Result<(), Error> {
        let may = self.store.failure().get().is_none() && !self.store.is_short_of_space();
        if may && self.store.inner.wants_next_file.swap(false, Ordering::Relaxed) {
            self.journal.begin_next_file().inspect_err(|error| self.store.failure().set(&error.to_string()))?;
        }
        Ok(())
    }

    /// Syncs the journal, where nothing waits for it: to see whether the disk still does that.
    ///
    /// # Errors
    /// As [`append`](Writer::append).
    pub fn sync(&mut self) -> Result<(), Error> {
        if let Some(why) = self.store.failure().get() {
            return Err(Error::Failed(why.to_string()));
        }
        self.journal.sync().inspect_err(|error| self.store.failure().set(&error.to_string()))
    }

    /// Makes changes durable: when this returns, they are on disk and [`Store::read`] finds them.
    /// The messages' seqs follow each other in every room.
    ///
    /// # Errors
    /// What the system says. The changes may or may not be found after a restart, and nothing more can be written.
    pub fn append(&mut self, commit: Arc<Commit>) -> Result<(), Error> {
        if let Some(why) = self.store.failure().get() {
            return Err(Error::Failed(why.to_string()));
        }
        // A mover that hangs is one that waits for the disk: no commit is taken meanwhile.
        while !self.store.inner.tail.wait_for_room(Duration::from_secs(1)) {
            if let Some(why) = self.store.failure().get() {
                return Err(Error::Failed(why.to_string()));
            }
            if self.store.is_short_of_space() {
                // What the mover waits for may never come.
                return Err(Error::Failed("the disk is nearly full".to_owned()));
            }
        }
        self.tend()?;
        self.payload.clear();
        let chunks = commit.encode(&mut self.payload);
        let (number, spot) = self.journal.append(&self.payload).inspect_err(|error| {
            self.store.failure().set(&error.to_string());
        })?;
        self.store.inner.tail.add(&commit.ops);
        commit.marks().for_each(|mark| self.store.inner.marks.add(mark));
        if !self.store.hand(Job::Commit(number, self.payload.len(), Journaled { commit, chunks, spot })) {
            // It is durable, and will be found at the next start; the mover has said why it ended.
            self.store.failure().set("the store's thread has ended");
        }
        Ok(())
    }
}

/// Applies recovered commits in groups.
struct Replay<'a> {
    tables: &'a Tables,
    commits: Vec<Journaled>,
    bytes: usize,
}

impl Replay<'_> {
    const GROUP_BYTES: usize = 4 * 1024 * 1024;

    fn take(&mut self, commit: Journaled, bytes: usize) -> Result<(), Error> {
        self.commits.push(commit);
        self.bytes += bytes;
        if self.bytes < Self::GROUP_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.tables.replay(&self.commits)?;
        self.commits.clear();
        self.bytes = 0;
        Ok(())
    }
}
