//! Files that nothing is written to any more.

use std::sync::Arc;

use crate::error::Error;
use crate::files::FileId;
use crate::shared::Shared;

/// Files that nothing is written to and no start reads, and that are removed when nothing in them is wanted.
pub(super) struct Retired {
    shared: Arc<Shared>,
    files: Vec<FileId>,
}

impl Retired {
    pub(super) fn new(shared: Arc<Shared>, files: Vec<FileId>) -> Retired {
        Retired { shared, files }
    }

    pub(super) fn add(&mut self, file: FileId) {
        self.files.push(file);
    }

    pub(super) fn files(&self) -> &[FileId] {
        &self.files
    }

    /// Removes the files that sled does not lead to. That must be durable: call this only after a checkpoint.
    pub(super) fn remove_unwanted(&mut self) -> Result<(), Error> {
        let tables = &self.shared.tables;
        self.files.extend(tables.segments().retired());
        for file in self.files.extract_if(.., |file| !tables.is_wanted(*file)) {
            tables.segments().remove(file)?;
        }
        Ok(())
    }
}
