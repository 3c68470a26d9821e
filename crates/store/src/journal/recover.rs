//! Reading the journal at a start.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::format::{ALIGN_BYTES, HEADER_BYTES, Header, RECORD_HEADER_BYTES, record_at, record_bytes};
use super::numbers;
use crate::error::Error;
use crate::files::{FileId, Spot, journal_path};
use crate::rewrite::{Parts, write_again};

/// What a journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last good commit, or the one that was covered.
    pub last_commit: u64,
    /// The highest file number in use.
    pub last_number: u64,
    /// Whether there is a torn tail, to be cut off.
    pub cut: bool,
    /// The newest file that was read, and how many of its bytes are good.
    pub read: Option<(u64, u64)>,
}

/// Called with each commit: its number, the place of its payload, and the payload.
type Replay<'a> = dyn FnMut(u64, Spot, Bytes) -> Result<(), Error> + 'a;

/// The files that may hold commits after `covered`: from the last file on whose first commit is covered, or is the next one.
fn not_covered(dir: &Path, numbers: Vec<u64>, covered: u64) -> Result<Vec<u64>, Error> {
    for (place, number) in numbers.iter().enumerate().rev() {
        let path = journal_path(dir, *number);
        let mut header = [0; HEADER_BYTES];
        let read = File::open(&path).and_then(|file| file.read_at(&mut header, 0));
        read.map_err(Error::io("read the journal", &path))?;
        if Header::decode(&header).is_some_and(|header| header.first_commit <= covered.saturating_add(1)) {
            return Ok(numbers.get(place..).unwrap_or_default().to_vec());
        }
    }
    Ok(numbers)
}

/// Makes the files durable that may hold commits after `covered`. A kill may have come between a commit's write and its sync: the
/// commit can be read, so it is recovered and shown, and a power cut must not take it then. If the store was not closed, the kill
/// may also have come after a failed sync, so that another sync would do nothing: then the files are written again.
///
/// # Errors
/// I/O errors.
pub fn settle(dir: &Path, covered: u64, is_unclean: bool) -> Result<(), Error> {
    for number in not_covered(dir, numbers(dir)?, covered)? {
        let path = journal_path(dir, number);
        if is_unclean {
            write_again(&path, &Parts::NotZero)?;
        } else {
            let synced = File::open(&path).and_then(|file| file.sync_data());
            synced.map_err(Error::io("sync the journal", &path))?;
        }
    }
    Ok(())
}

/// Reads every commit after `covered`, in order, and hands it to `replay`. Changes nothing. Covered files are not read.
///
/// # Errors
/// [`Error::Damaged`] if anything but the last commit is not as it was written; I/O errors; errors of `replay`.
pub fn recover(dir: &Path, covered: u64, replay: &mut Replay<'_>) -> Result<Recovered, Error> {
    let numbers = numbers(dir)?;
    let last_number = numbers.last().copied().unwrap_or(0);
    let recovered = Recovered { last_commit: covered, last_number, cut: false, read: None };
    let mut reading = Reading { covered, recovered, expected: None, ended: None };
    for number in not_covered(dir, numbers, covered)? {
        reading.read(number, journal_path(dir, number), replay)?;
    }
    Ok(reading.recovered)
}

/// How far the journal was read.
struct Reading {
    covered: u64,
    recovered: Recovered,
    /// The commit that the next good record must have; none before the first file with a header.
    expected: Option<u64>,
    /// The file with a torn tail, or without a header: nothing good may follow it.
    ended: Option<PathBuf>,
}

impl Reading {
    fn read(&mut self, number: u64, path: PathBuf, replay: &mut Replay<'_>) -> Result<(), Error> {
        let bytes = Bytes::from(std::fs::read(&path).map_err(Error::io("read the journal", &path))?);
        let Some(header) = Header::decode(&bytes) else {
            // The header is synced before the first record: without a good one, there is no record.
            if bytes.iter().skip(HEADER_BYTES).any(|&byte| byte != 0) {
                return Err(Error::damaged(&path, "its header fails its checksum, and records follow it"));
            }
            self.ended = Some(path);
            return Ok(());
        };
        self.expect(number, &path, &header, bytes.len() as u64)?;
        let (due, at) = self.records(number, &path, &header, &bytes, replay)?;
        self.recovered.read = Some((number, at as u64));
        let rest = bytes.get(at..).unwrap_or_default();
        let good = (0..rest.len()).step_by(ALIGN_BYTES).find_map(|place| record_at(rest, place, header.salt));
        if let Some((commit, _)) = good {
            let what = format!("commit {due} at byte {at} is broken, and commit {commit} follows it");
            return Err(Error::damaged(&path, what));
        }
        if rest.iter().any(|&byte| byte != 0) {
            if due <= self.covered {
                let what = format!("commit {due} at byte {at} is broken, and the store already has it");
                return Err(Error::damaged(&path, what));
            }
            self.recovered.cut = true;
            self.ended = Some(path);
        }
        self.expected = Some(due);
        Ok(())
    }

    /// Checks that a file continues the journal.
    fn expect(&mut self, number: u64, path: &Path, header: &Header, bytes: u64) -> Result<(), Error> {
        if let Some(ended) = &self.ended {
            return Err(Error::damaged(ended, format!("its end is missing, but {} follows it", path.display())));
        }
        let first = *self.expected.get_or_insert(header.first_commit);
        if bytes < header.file_bytes {
            // Its size was synced before its first use: no crash takes that back.
            return Err(Error::damaged(path, format!("it was cut to {bytes} of {} bytes", header.file_bytes)));
        }
        if header.number != number || header.first_commit != first {
            let what = format!("it begins with commit {}, where {first} is due", header.first_commit);
            return Err(Error::damaged(path, what));
        }
        if first > self.covered + 1 && self.recovered.last_commit == self.covered {
            let what = format!(
                "it begins with commit {first}, but the store ends with {}: \
                 a journal file before it is missing, or sled's files are damaged",
                self.covered
            );
            return Err(Error::damaged(path, what));
        }
        Ok(())
    }

    /// Hands the file's good records to `replay`. Returns the commit that is due after them, and where they end.
    fn records(
        &mut self,
        number: u64,
        path: &Path,
        header: &Header,
        bytes: &Bytes,
        replay: &mut Replay<'_>,
    ) -> Result<(u64, usize), Error> {
        let (mut due, mut at) = (header.first_commit, HEADER_BYTES);
        while let Some((commit, payload)) = record_at(bytes, at, header.salt) {
            if commit != due {
                return Err(Error::damaged(path, format!("commit {commit} at byte {at}, where {due} is due")));
            }
            if commit > self.covered {
                let spot = Spot { file: FileId::Journal(number), at: (at + RECORD_HEADER_BYTES) as u64 };
                replay(commit, spot, bytes.slice_ref(payload))?;
                self.recovered.last_commit = commit;
            }
            due += 1;
            at += record_bytes(payload.len());
        }
        Ok((due, at))
    }
}
