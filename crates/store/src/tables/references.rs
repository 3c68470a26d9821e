//! Which files the tree `messages` leads to, and how much of each is wanted.

use std::collections::HashMap;
use std::sync::MutexGuard;

use super::Tables;
use crate::chunk;
use crate::error::Error;
use crate::files::{FileId, Place};
use crate::mutex::lock;

/// What is wanted of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) chunks: u64,
    pub(super) bytes: u64,
}

impl Wanted {
    pub(super) fn add(&mut self, bytes: u32) {
        self.chunks += 1;
        self.bytes += u64::from(bytes);
    }
}

impl Tables {
    pub(super) fn references(&self) -> MutexGuard<'_, HashMap<FileId, Wanted>> {
        lock(&self.references)
    }

    /// Notes that the index no longer leads to this place.
    pub(super) fn let_go(&self, place: &Place) {
        let mut references = self.references();
        if let Some(wanted) = references.get_mut(&place.file) {
            // Until everything is counted, a start knows only what it has indexed itself.
            wanted.chunks = wanted.chunks.saturating_sub(1);
            wanted.bytes = wanted.bytes.saturating_sub(u64::from(place.bytes));
            if wanted.chunks == 0 {
                references.remove(&place.file);
            }
        }
    }

    /// Counts how many chunks of which file are wanted, which [`is_wanted`](Tables::is_wanted) relies on.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a record can't be decoded.
    pub(crate) fn count_references(&self) -> Result<(), Error> {
        let mut counted: HashMap<FileId, Wanted> = HashMap::new();
        for entry in &self.messages {
            let (key, value) = entry.map_err(self.failed("read where messages stand"))?;
            let place = chunk::place_of(&key, &value).ok_or_else(|| self.damaged("where messages stand"))?;
            if let Some((place, _)) = place {
                counted.entry(place.file).or_default().add(place.bytes);
            }
        }
        *self.references() = counted;
        Ok(())
    }

    /// Whether the index leads to this file.
    pub fn is_wanted(&self, file: FileId) -> bool {
        self.references().contains_key(&file)
    }
}
