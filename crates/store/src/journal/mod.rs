//! The journal: where a commit becomes durable, with one sequential write and one fdatasync. A file of it is removed when sled
//! covers all its commits, and leads to no chunk in it.
//!
//! Files are `<number>.journal`, 16 hex digits. Each is filled with zeros and synced before its first use, so that a commit
//! changes no file size. Its header is synced before its first record. Integers are little-endian.
//!
//! ```text
//! header, 64 bytes   "dantokJ1" | number u64 | first commit u64 | salt u64 | file's bytes u64
//!                    | crc32 u32 of the 40 bytes before | zeros
//! record             "DTKR" | length u32 | commit u64 | crc32 u32 of salt, length, commit and payload | zero u32
//!                    | payload | zeros up to a multiple of 16
//! ```
//!
//! Commits are numbered without gaps over all files. The next one is written only after the one before it was synced, so a crash
//! can tear only the last one. A record that fails its checksum, with no good record after it, is such a torn tail, and is cut
//! off. If a good record follows, the broken one was acknowledged: that is damage, and is reported. The salt keeps a message that
//! looks like a record from being taken for one.

mod erase;
mod format;
mod full;
mod prepare;
mod recover;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

pub(crate) use erase::{Begins, erase};
pub use full::Full;
pub use recover::{Recovered, recover, settle};

use dantok_supervise::Duty;

use self::format::{HEADER_BYTES, Header, RECORD_HEADER_BYTES, RECORD_MAGIC, record_bytes, record_crc};
use self::full::FullFile;
use self::prepare::prepare;
use crate::count::Histogram;
use crate::error::Error;
use crate::files::{FileId, Spot, journal_path, numbered};

/// Fills the next journal file with zeros. If it has panicked, the committer does that.
pub const JOURNAL: Duty = Duty::restarted("journal-prepare");

/// The numbers of the journal's files, in order.
pub(crate) fn numbers(dir: &Path) -> Result<Vec<u64>, Error> {
    numbered(dir, ".journal")
}

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    file: File,
    path: PathBuf,
    header: Header,
    at: u64,
    file_bytes: u64,
    last_commit: u64,
    next_file: Option<JoinHandle<Result<File, Error>>>,
    full: Full,
    record: Vec<u8>,
    syncs: Arc<Histogram>,
}

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;
/// Buckets for the duration of a sync, in nanoseconds.
#[rustfmt::skip]
const SYNC_NS: &[u64] = &[
    50 * US, 100 * US, 250 * US, 500 * US, MS, 2_500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S,
    2_500 * MS, 5 * S, 10 * S,
];

impl Journal {
    /// Begins a new file after what was recovered and is covered by the store.
    ///
    /// # Errors
    /// I/O errors.
    pub fn begin(dir: &Path, recovered: Recovered, file_bytes: u64) -> Result<Journal, Error> {
        let number = recovered.last_number + 1;
        let file = prepare(dir, number, file_bytes)?;
        let mut journal = Journal {
            dir: dir.to_owned(),
            file,
            path: journal_path(dir, number),
            header: Header { number, first_commit: 0, salt: 0, file_bytes },
            at: 0,
            file_bytes,
            last_commit: recovered.last_commit,
            next_file: None,
            full: Full::default(),
            record: Vec::new(),
            syncs: Arc::new(Histogram::new(SYNC_NS)),
        };
        journal.write_header(number)?;
        // Only now, when no start reads that file any more: the part without commits need not be kept.
        if let Some((number, good)) = recovered.read {
            let path = journal_path(dir, number);
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(good));
            cut.map_err(Error::io("cut the journal file", &path))?;
        }
        Ok(journal)
    }

    /// The files that wait to be covered.
    pub fn full(&self) -> Full {
        self.full.clone()
    }

    /// The duration of each commit's fdatasync, in nanoseconds.
    pub fn syncs(&self) -> Arc<Histogram> {
        self.syncs.clone()
    }

    fn write_header(&mut self, number: u64) -> Result<(), Error> {
        let salt = getrandom::u64().map_err(|error| Error::Io {
            what: "get random bytes for the journal",
            path: self.path.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        self.header = Header { number, first_commit: self.last_commit + 1, salt, file_bytes: self.file_bytes };
        self.file.write_all_at(&self.header.encode(), 0).map_err(Error::io("write the journal", &self.path))?;
        self.sync()?;
        self.at = HEADER_BYTES as u64;
        Ok(())
    }

    /// Begins the next file, unless this one is empty.
    ///
    /// # Errors
    /// As [`append`](Journal::append).
    pub(crate) fn begin_next_file(&mut self) -> Result<(), Error> {
        if self.at > HEADER_BYTES as u64 { self.rotate() } else { Ok(()) }
    }

    fn rotate(&mut self) -> Result<(), Error> {
        let number = self.header.number + 1;
        let prepared = self.next_file.take().map(JoinHandle::join);
        let file = match prepared {
            Some(Ok(file)) => file?,
            // It was never prepared, or the thread panicked: do it now.
            Some(Err(_)) | None => prepare(&self.dir, number, self.file_bytes)?,
        };
        let (number_before, used_bytes) = (self.header.number, self.at);
        self.path = journal_path(&self.dir, number);
        self.file = file;
        self.write_header(number)?;
        // Only now will no start read it any more once it is covered.
        self.full.push(FullFile { number: number_before, last_commit: self.last_commit, used_bytes });
        Ok(())
    }

    /// Syncs what is already written.
    ///
    /// # Errors
    /// As [`append`](Journal::append): a failed sync may be the only sign that earlier data was lost.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io("sync the journal", &self.path))
    }

    /// Appends a commit; when this returns, it is on disk. Returns its number, and the place of its payload.
    ///
    /// # Errors
    /// I/O errors. A later [`recover`] may or may not find the commit. The journal must not be used any more: a sync is never
    /// repeated and then believed.
    pub fn append(&mut self, payload: &[u8]) -> Result<(u64, Spot), Error> {
        let bytes = record_bytes(payload.len());
        if self.at + bytes as u64 > self.file_bytes {
            self.rotate()?;
        }
        let commit = self.last_commit + 1;
        // Commits are bounded far under 4 GiB.
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.record.clear();
        self.record.extend_from_slice(&RECORD_MAGIC);
        self.record.extend_from_slice(&length.to_le_bytes());
        self.record.extend_from_slice(&commit.to_le_bytes());
        self.record.extend_from_slice(&record_crc(self.header.salt, length, commit, payload).to_le_bytes());
        self.record.extend_from_slice(&[0; 4]);
        self.record.extend_from_slice(payload);
        self.record.resize(bytes, 0);
        self.file.write_all_at(&self.record, self.at).map_err(Error::io("write the journal", &self.path))?;
        let start = Instant::now();
        self.sync()?;
        self.syncs.note(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let spot = Spot { file: FileId::Journal(self.header.number), at: self.at + RECORD_HEADER_BYTES as u64 };
        self.at += bytes as u64;
        self.last_commit = commit;
        if self.at > self.file_bytes / 4 && self.next_file.is_none() {
            let (dir, number, file_bytes) = (self.dir.clone(), self.header.number + 1, self.file_bytes);
            let prepare = move || {
                dantok_supervise::fail_point(JOURNAL.name);
                prepare(&dir, number, file_bytes)
            };
            // Without the thread, `rotate` does it.
            self.next_file = dantok_supervise::thread(JOURNAL.name, prepare).ok();
        }
        Ok((commit, spot))
    }
}
