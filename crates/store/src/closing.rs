//! Closing a store: when everything is on the disk, the note says so.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::failure::Failure;
use crate::files::sync_tree;
use crate::note::Note;
use crate::syscalls;

/// How long sled's threads may take to close its files.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
const CLOSE_PAUSE: Duration = Duration::from_millis(5);

/// Waits until sled has closed its files, and syncs them. False if sled keeps them open.
pub(crate) fn is_closed(sled: &Path) -> Result<bool, Error> {
    let path = sled.join("db");
    let db = File::open(&path).map_err(Error::io("open", &path))?;
    let began = Instant::now();
    // sled keeps this lock while any of its threads may write.
    while db.try_lock().is_err() {
        if began.elapsed() > CLOSE_PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(CLOSE_PAUSE);
    }
    sync_tree(sled)?;
    Ok(!syscalls::sync_failed())
}

/// Closes a store: drop it after everything that writes to the store. If nothing has failed, the note is "clean" then.
#[derive(Debug)]
pub(crate) struct Closing {
    note: Arc<Note>,
    failure: Arc<Failure>,
}

impl Closing {
    pub(crate) fn new(note: Arc<Note>, failure: Arc<Failure>) -> Closing {
        Closing { note, failure }
    }

    fn close(&self) -> Result<(), Error> {
        if self.failure.get().is_some() || syscalls::sync_failed() {
            return Ok(());
        }
        let is_closed = is_closed(&self.note.dir().join("sled"))?;
        // sled syncs once more when it closes.
        if is_closed && self.failure.get().is_none() {
            self.note.close()?;
        }
        Ok(())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!("{error}; the next start will write again what may not be on the disk");
        }
    }
}
