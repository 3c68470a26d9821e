//! Journal files, filled with zeros before their first use.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::error::Error;
use crate::files::{journal_path, sync_dir};

/// How much of a new file is written before it is synced.
const PREPARE_SYNC_BYTES: u64 = 512 * 1024;

/// Creates a file of zeros, and makes it and its name durable.
pub(super) fn prepare(dir: &Path, number: u64, file_bytes: u64) -> Result<File, Error> {
    static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];
    let path = journal_path(dir, number);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(Error::io("create the journal file", &path))?;
    let mut left = file_bytes;
    while left > 0 {
        let piece = PIECE.get(..usize::try_from(left).unwrap_or(PIECE.len())).unwrap_or(&PIECE);
        file.write_all(piece).map_err(Error::io("fill the journal file", &path))?;
        left -= piece.len() as u64;
        // Not all at once: commits sync on the same disk meanwhile.
        if left.is_multiple_of(PREPARE_SYNC_BYTES) {
            file.sync_data().map_err(Error::io("sync the journal file", &path))?;
        }
    }
    file.sync_all().map_err(Error::io("sync the journal file", &path))?;
    sync_dir(dir)?;
    Ok(file)
}
