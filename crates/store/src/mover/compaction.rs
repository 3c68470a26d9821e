//! Moving what is left in sparse files into other files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::CHECKPOINT_EVERY;
use super::erasure::ERASURES_PER_TURN;
use super::retired::Retired;
use crate::error::Error;
use crate::files::FileId;
use crate::journal::Begins;
use crate::shared::Shared;

/// How often to look for sparse files: what is left in one that was sparse at two looks in a row is moved out of it …
const SPARSE_LOOK_EVERY: Duration = CHECKPOINT_EVERY;
/// … which may take at most one part in this many of the time, because it reads the whole index …
const SPARSE_PART: u32 = 50;
/// … and moves about this many bytes at a time, so that commits get their turn.
const SPARSE_BYTES: u64 = 4 * 1024 * 1024;

pub(super) struct Compaction {
    shared: Arc<Shared>,
    /// The files that were sparse at the last look.
    seen: BTreeSet<FileId>,
    /// Files in which something can't be read.
    unreadable: BTreeSet<FileId>,
    next_look: Instant,
}

impl Compaction {
    pub(super) fn new(shared: Arc<Shared>) -> Compaction {
        Compaction { shared, seen: BTreeSet::new(), unreadable: BTreeSet::new(), next_look: Instant::now() }
    }

    /// Moves what is left out of sparse files, so that they can be removed after the next checkpoint. Returns whether one is wanted,
    /// and another look after it.
    pub(super) fn compact(&mut self, retired: &Retired) -> Result<bool, Error> {
        let began = Instant::now();
        if began < self.next_look {
            return Ok(false);
        }
        self.next_look = began + SPARSE_LOOK_EVERY;
        let Some(passed_over) = self.passed_over()? else { return Ok(false) };
        let tables = &self.shared.tables;
        let files = retired.files().iter().filter(|file| !passed_over.contains(file));
        let sparse: BTreeMap<FileId, u64> =
            files.filter_map(|file| Some((*file, tables.sparse_bytes(*file)?))).collect();
        let (mut bytes, mut chosen) = (0, BTreeSet::new());
        for (file, wanted) in sparse.iter().filter(|(file, _)| self.seen.contains(file)) {
            if bytes < SPARSE_BYTES {
                bytes += wanted;
                chosen.insert(*file);
            }
        }
        if !chosen.is_empty() {
            let unreadable = tables.compact(&chosen)?;
            for file in &unreadable {
                let path = tables.segments().path(*file);
                tracing::error!("{}: something in it can't be read, so the whole file is kept", path.display());
            }
            tracing::debug!(files = chosen.len(), bytes, "compacted sparse files");
            self.unreadable.extend(unreadable);
            self.next_look = Instant::now() + (began.elapsed() * SPARSE_PART).max(SPARSE_LOOK_EVERY);
        }
        self.seen = sparse.into_keys().collect();
        Ok(!self.seen.is_empty())
    }

    /// The files to leave alone: what was redacted is first overwritten in place. None if so much is to be erased that any file
    /// may be among them.
    fn passed_over(&self) -> Result<Option<BTreeSet<FileId>>, Error> {
        let mut passed_over = self.unreadable.clone();
        let erasures = self.shared.tables.erasures(ERASURES_PER_TURN)?;
        if erasures.len() >= ERASURES_PER_TURN {
            return Ok(None);
        }
        if erasures.is_empty() {
            return Ok(Some(passed_over));
        }
        let begins = Begins::of(&self.shared.journal_dir())?;
        for erasure in &erasures {
            passed_over.extend(erasure.stood.map(|(place, _)| place.file));
            passed_over.extend(begins.written_at(erasure.kept_ms).into_iter().map(FileId::Journal));
        }
        Ok(Some(passed_over))
    }
}
