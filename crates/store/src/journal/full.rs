//! Journal files that are full.

use std::sync::{Arc, Mutex};

use crate::files::FileId;
use crate::mutex::lock;

/// A file that is not written to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FullFile {
    pub(super) number: u64,
    pub(super) last_commit: u64,
    pub(super) used_bytes: u64,
}

/// The full files, shared with whoever removes them.
#[derive(Clone, Debug, Default)]
pub struct Full(Arc<Mutex<Vec<FullFile>>>);

impl Full {
    pub(super) fn push(&self, file: FullFile) {
        lock(&self.0).push(file);
    }

    /// Whether any file waits to be covered.
    pub fn any(&self) -> bool {
        !lock(&self.0).is_empty()
    }

    /// Takes the files whose commits are all covered, each with the number of bytes used.
    pub fn covered(&self, covered: u64) -> Vec<(FileId, u64)> {
        let mut files = lock(&self.0);
        let files = files.extract_if(.., |file| file.last_commit <= covered);
        files.map(|file| (FileId::Journal(file.number), file.used_bytes)).collect()
    }
}
