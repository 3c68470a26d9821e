//! What a start finds in the journal.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{ALIGN_BYTES, HEADER_BYTES, Header, RECORD_HEADER_BYTES, numbers, record_at, record_bytes};
use crate::error::Error;
use crate::files::{FileId, Spot, journal_path};
use crate::rewrite::{Parts, write_again};

/// What a journal held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last good commit, or the one that was covered.
    pub last_commit: u64,
    /// The highest file number in use.
    pub last_number: u64,
    /// Whether a torn tail was cut.
    pub cut: bool,
    /// The newest file that was read, and how many of its bytes are good.
    pub read: Option<(u64, u64)>,
}

/// Commits on their way back: the number, where the payload stands, the payload.
type Replay<'a> = dyn FnMut(u64, Spot, Bytes) -> Result<(), Error> + 'a;

/// The files that may hold commits after `covered`: those from the last one on that begins with a commit that is covered, or is next.
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

/// Makes durable what the files hold that may have commits after `covered`. A kill may have come between a commit's write and its
/// sync: it is recovered as it can be read, shown, and stays where it stands; a power cut must not take it then. Where the store was
/// not closed it may also have come while the sync failed, so that another one would do nothing.
///
/// # Errors
/// What the system says, with the file's name.
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

/// Reads every commit after `covered`, in order, and hands its payload to `replay`. Changes nothing. Files that are covered are
/// not read.
///
/// # Errors
/// [`Error::Damaged`], where anything but the last commit does not stand as it was written; what the system or `replay` says.
pub fn recover(dir: &Path, covered: u64, replay: &mut Replay<'_>) -> Result<Recovered, Error> {
    let numbers = numbers(dir)?;
    let last_number = numbers.last().copied().unwrap_or(0);
    let mut recovered = Recovered { last_commit: covered, last_number, cut: false, read: None };
    // The commit that the next good record must have; none while no file with a header was seen.
    let mut expected: Option<u64> = None;
    // A tail was cut, or a file was never begun: nothing good may follow.
    let mut ended: Option<PathBuf> = None;
    for number in not_covered(dir, numbers, covered)? {
        let path = journal_path(dir, number);
        let bytes = Bytes::from(std::fs::read(&path).map_err(Error::io("read the journal", &path))?);
        let Some(header) = Header::decode(&bytes) else {
            // The header is synced before the first record: without a good one, there is no record.
            if bytes.iter().skip(HEADER_BYTES).any(|&byte| byte != 0) {
                return Err(Error::damaged(&path, "its header fails its checksum, and there are records behind it"));
            }
            ended = Some(path);
            continue;
        };
        if let Some(ended) = ended {
            return Err(Error::damaged(
                &ended,
                format!("its end is missing, but {} goes on behind it", path.display()),
            ));
        }
        let first = *expected.get_or_insert(header.first_commit);
        if (bytes.len() as u64) < header.file_bytes {
            // Its size was synced before its first use: no crash takes that back.
            return Err(Error::damaged(&path, format!("it was cut to {} of {} bytes", bytes.len(), header.file_bytes)));
        }
        if header.number != number || header.first_commit != first {
            return Err(Error::damaged(
                &path,
                format!("it begins with commit {}, where {first} is due", header.first_commit),
            ));
        }
        if first > covered + 1 && recovered.last_commit == covered {
            return Err(Error::damaged(
                &path,
                format!(
                    "it begins with commit {first}, but the store ends with {covered}: \
                     a journal file before it is missing, or sled's files are damaged"
                ),
            ));
        }
        let mut due = first;
        let mut at = HEADER_BYTES;
        while let Some((commit, payload)) = record_at(&bytes, at, header.salt) {
            if commit != due {
                return Err(Error::damaged(&path, format!("commit {commit} at byte {at}, where {due} is due")));
            }
            if commit > covered {
                let spot = Spot { file: FileId::Journal(number), at: (at + RECORD_HEADER_BYTES) as u64 };
                replay(commit, spot, bytes.slice_ref(payload))?;
                recovered.last_commit = commit;
            }
            due += 1;
            at += record_bytes(payload.len());
        }
        recovered.read = Some((number, at as u64));
        let rest = bytes.get(at..).unwrap_or_default();
        let good = (0..rest.len()).step_by(ALIGN_BYTES).find_map(|place| record_at(rest, place, header.salt));
        if let Some((commit, _)) = good {
            return Err(Error::damaged(
                &path,
                format!("commit {due} at byte {at} is broken, and commit {commit} stands behind it"),
            ));
        }
        if rest.iter().any(|&byte| byte != 0) {
            if due <= covered {
                return Err(Error::damaged(
                    &path,
                    format!("commit {due} at byte {at} is broken, and the store has it already"),
                ));
            }
            recovered.cut = true;
            ended = Some(path);
        }
        expected = Some(due);
    }
    Ok(recovered)
}
