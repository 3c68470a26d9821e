//! Erasing redacted messages from the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::retired::Retired;
use crate::error::Error;
use crate::files::FileId;
use crate::journal::{self, Begins};
use crate::shared::Shared;

/// The most to erase before commits get their turn: messages …
pub(super) const ERASURES_PER_TURN: usize = 4096;
/// … and the journal files that they are in.
const FILES_PER_TURN: usize = 4;
/// How often the writer is asked for another journal file, so that something can be erased from the current one.
const NEXT_FILE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Erasure {
    shared: Arc<Shared>,
    /// Segments of earlier runs, until the chunks were erased in them that a crash has left.
    earlier: Option<Vec<FileId>>,
    /// There is more to erase that need not wait for anything.
    pub(super) is_more: bool,
    /// When another journal file was last asked for.
    next_file_asked: Option<Instant>,
}

impl Erasure {
    pub(super) fn new(shared: Arc<Shared>, earlier: Vec<FileId>) -> Erasure {
        Erasure { shared, earlier: Some(earlier), is_more: false, next_file_asked: None }
    }

    /// Overwrites some of what was redacted, wherever it is in retired files. Returns whether sled has changed.
    pub(super) fn erase(&mut self, retired: &Retired) -> Result<bool, Error> {
        self.is_more = false;
        let tables = &self.shared.tables;
        let erasures = tables.erasures(ERASURES_PER_TURN)?;
        if erasures.is_empty() {
            return Ok(false);
        }
        if let Some(segments) = self.earlier.take() {
            tables.erase_orphans(&segments)?;
        }
        // A journal file that is still written to, or is not covered, is read by the next start.
        let is_read = |file: &FileId| matches!(file, FileId::Journal(_)) && !retired.files().contains(file);
        let begins = Begins::of(&self.shared.journal_dir())?;
        let mut by_file: BTreeMap<u64, BTreeSet<(u64, u64)>> = BTreeMap::new();
        let (mut now, mut is_left) = (Vec::new(), false);
        for erasure in erasures {
            let files = begins.written_at(erasure.kept_ms);
            let stood = erasure.stood.map(|(place, _)| place.file);
            let path_is_there = |file: &FileId| tables.segments().path(*file).exists();
            if files.iter().any(|number| is_read(&FileId::Journal(*number)))
                || stood.is_some_and(|file| is_read(&file) && path_is_there(&file))
            {
                is_left = true;
                continue;
            }
            if by_file.len() >= FILES_PER_TURN && files.iter().any(|number| !by_file.contains_key(number)) {
                self.is_more = true;
                continue;
            }
            for number in files {
                by_file.entry(number).or_default().insert((erasure.room, erasure.seq));
            }
            now.push(erasure);
        }
        tables.erase_where_it_stood(&now)?;
        for (number, redacted) in &by_file {
            if self.shared.failure.get().is_some() {
                return Ok(false);
            }
            tables.segments().erasing(FileId::Journal(*number))?;
            journal::erase(&self.shared.journal_dir(), *number, redacted)?;
        }
        for erasure in &now {
            tables.erased(erasure)?;
        }
        self.is_more |= !now.is_empty();
        if is_left && self.next_file_asked.is_none_or(|asked| asked.elapsed() >= NEXT_FILE_EVERY) {
            self.next_file_asked = Some(Instant::now());
            self.shared.wants_next_file.store(true, Ordering::Relaxed);
        }
        Ok(!now.is_empty())
    }
}
