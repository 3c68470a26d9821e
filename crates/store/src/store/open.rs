//! Opening a data directory, and recovering what a crash has left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::write_again::make_good;
use super::{Options, Store, Writer};
use crate::clock::KeptClock;
use crate::closing::Closing;
use crate::commit::Commit;
use crate::count::Counter;
use crate::error::Error;
use crate::failure::Failure;
use crate::files::{FileId, sync_dir};
use crate::journal::{self, Journal, Recovered};
use crate::marks::Marks;
use crate::mover::Mover;
use crate::note::{self, Left, Note};
use crate::segments::Segments;
use crate::shared::Shared;
use crate::state::State;
use crate::tables::{Journaled, Tables};
use crate::tail::Tail;
use crate::{disk, epoch, migrate, syscalls};

/// A data directory whose note says that it is in use.
struct Taken<'a> {
    dir: &'a Path,
    options: &'a Options,
    note: Arc<Note>,
    /// The run before may not have closed the store.
    is_unclean: bool,
}

/// What a start has replayed.
struct Replayed {
    journal: Recovered,
    clock: KeptClock,
    /// The files that messages may be in, and that are not written to any more.
    files: Vec<FileId>,
    /// How many commits were replayed.
    commits: u64,
}

impl Store {
    /// Opens a data directory, and creates it if it is missing. What a crash has left is recovered, durably, before this returns.
    ///
    /// # Errors
    /// Another daemon uses the directory; its format is newer, or the disk has no room to upgrade it; something in it is
    /// [damaged](Error::Damaged); errors of sled or I/O. A read, write or sync of sled's that fails [ends the process](mod@syscalls).
    pub fn open(dir: &Path, options: &Options) -> Result<(Arc<Store>, Writer, State), Error> {
        disk::create_dir(dir)?;
        disk::expect_finished(dir)?;
        let lock = disk::lock(dir)?;
        // Again: a restore may have had the directory until now.
        disk::expect_finished(dir)?;
        for made in ["journal", "segments"].map(|name| dir.join(name)) {
            std::fs::create_dir_all(&made).map_err(Error::io("create the directory", &made))?;
        }
        // Before anything is changed.
        migrate::format_of(dir)?;
        disk::drop_ballast(dir)?;
        let left = note::read(&lock, dir)?;
        make_good(dir, &left)?;
        let note = Note::begin(lock, dir)?;
        migrate::prepare(dir)?;
        let taken = Taken { dir, options, note, is_unclean: !matches!(left, Left::Clean) };
        let opened = taken.open();
        // Damage is not something that this start has written.
        opened.inspect_err(|error| {
            if !matches!(error, Error::Damaged { .. }) {
                taken.note.fail()
            }
        })
    }
}

impl Taken<'_> {
    fn open(&self) -> Result<(Arc<Store>, Writer, State), Error> {
        migrate::run(self.dir)?;
        let _opening = syscalls::Opening::begin();
        let sled_dir = self.dir.join("sled");
        if !sled_dir.exists() {
            Tables::create(&sled_dir)?;
        }
        note::watch(&self.note, &sled_dir.join("db"))?;
        let tables = Arc::new(Tables::open(&sled_dir, Segments::of(self.dir).noted(self.note.clone()))?);
        self.recover(tables.clone()).inspect_err(|_| tables.abandon())
    }

    fn recover(&self, tables: Arc<Tables>) -> Result<(Arc<Store>, Writer, State), Error> {
        let epoch = epoch::open(self.dir)?;
        let replayed = self.replay(&tables)?;
        if !syscalls::are_ours() {
            return Err(Error::NotInterposed);
        }
        let state = tables.load()?;
        tracing::info!(
            path = %self.dir.display(),
            rooms = state.rooms.len(),
            recovered = replayed.commits,
            torn_tail_cut = replayed.journal.cut,
            "store open"
        );
        let journal = Journal::begin(&self.dir.join("journal"), replayed.journal, self.options.journal_file_bytes)?;
        disk::restore_ballast(self.dir);
        sync_dir(self.dir)?;
        let tail = Tail::default();
        for room in &state.rooms {
            tail.begin(room.id, &room.last);
        }
        let marks = Marks::of(tables.marks()?);
        let failure = Arc::new(Failure::new(self.note.clone()));
        syscalls::register_failure(&failure);
        let shared = Arc::new(Shared {
            dir: self.dir.to_owned(),
            epoch,
            tables,
            tail,
            marks,
            clock: replayed.clock,
            failure: failure.clone(),
            short_of_space: AtomicBool::new(false),
            wants_next_file: AtomicBool::new(false),
            syncs: journal.syncs(),
            expired_messages: Counter::default(),
            expired_bytes: Counter::default(),
            _closing: Closing::new(self.note.clone(), failure),
        });
        shared.watch_space();
        let mover = Mover::start(shared.clone(), journal.full(), replayed.files, replayed.journal.last_commit)?;
        let store = Arc::new(Store { mover, shared });
        let writer = Writer { store: store.clone(), journal, payload: Vec::new() };
        Ok((store, writer, state))
    }

    /// Applies, durably, the commits of the journal that sled does not cover.
    fn replay(&self, tables: &Tables) -> Result<Replayed, Error> {
        let journal_dir = self.dir.join("journal");
        tables.load_lasts()?;
        let (covered, reading) = tables.checkpointed()?;
        // Without the segment that the replay begins: that one is written to from now on.
        let files = files_in(&journal_dir, tables.segments())?;
        journal::settle(&journal_dir, covered, self.is_unclean)?;
        let mut last_commit_ms = 0;
        let mut replay = Replay { tables, commits: Vec::new(), bytes: 0 };
        let journal = journal::recover(&journal_dir, covered, &mut |number, spot, payload| {
            let decoded = Commit::decode(&payload);
            let no_record = || Error::damaged(&journal_dir, format!("commit {number} can't be decoded"));
            let (commit, chunks) = decoded.ok_or_else(no_record)?;
            last_commit_ms = commit.kept_ms;
            replay.take(Journaled { commit: Arc::new(commit), chunks, spot }, payload.len())
        })?;
        replay.flush()?;
        tables.forget_deleted()?;
        let clock = KeptClock::resume(&reading, last_commit_ms);
        tables.checkpoint(journal.last_commit, &clock.reading())?;
        Ok(Replayed { journal, clock, files, commits: journal.last_commit - covered })
    }
}

/// The files that messages may be in.
fn files_in(journal_dir: &Path, segments: &Segments) -> Result<Vec<FileId>, Error> {
    let journal = journal::numbers(journal_dir)?.into_iter().map(FileId::Journal);
    Ok(journal.chain(segments.numbers()?.into_iter().map(FileId::Segment)).collect())
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
