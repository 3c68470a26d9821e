//! Erasing what was redacted from journal files that no start reads any more.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::format::{HEADER_BYTES, Header, RECORD_HEADER_BYTES, RECORD_MAGIC, le_u32, le_u64, record_bytes};
use super::numbers;
use crate::commit::chunks_in;
use crate::error::Error;
use crate::files::{journal_path, sync_erased, zero};
use crate::record::{Kind, StoredRef};

/// The files of the journal, in order, each with the time of its first commit on the kept clock.
pub(crate) struct Begins(Vec<(u64, u64)>);

impl Begins {
    /// Reads them.
    pub(crate) fn of(dir: &Path) -> Result<Begins, Error> {
        let mut found = Vec::new();
        for number in numbers(dir)? {
            found.extend(begins(dir, number)?.map(|begins| (number, begins)));
        }
        Ok(Begins(found))
    }

    /// The files that may hold a commit of this time.
    pub(crate) fn written_at(&self, kept_ms: u64) -> Vec<u64> {
        let next = self.0.iter().skip(1).map(|(_, begins)| *begins).chain([u64::MAX]);
        let of = self.0.iter().zip(next).filter(|((_, begins), next)| *begins <= kept_ms && kept_ms <= *next);
        of.map(|((number, _), _)| *number).collect()
    }
}

/// The time of a file's first commit on the kept clock; none if there is no such file, or no commit in it.
fn begins(dir: &Path, number: u64) -> Result<Option<u64>, Error> {
    let path = journal_path(dir, number);
    let mut bytes = [0; HEADER_BYTES + RECORD_HEADER_BYTES + 9];
    let read = File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, 0));
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(None),
        Err(error) => Err(Error::io("read the journal", &path)(error)),
        Ok(()) => {
            let record = bytes.get(HEADER_BYTES..).unwrap_or_default();
            // Behind the record's version.
            let kept_ms = le_u64(record, RECORD_HEADER_BYTES + 1);
            Ok(kept_ms.filter(|_| Header::decode(&bytes).is_some() && record.starts_with(&RECORD_MAGIC)))
        }
    }
}

/// Overwrites, durably, every chunk of a file that has the body of one of these messages (room, seq), which are redacted.
///
/// The file must be covered: the record around the chunk then fails its checksum.
pub(crate) fn erase(dir: &Path, number: u64, redacted: &BTreeSet<(u64, u64)>) -> Result<(), Error> {
    let path = journal_path(dir, number);
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(Error::io("open the journal", &path))?,
    };
    let bytes = Bytes::from(std::fs::read(&path).map_err(Error::io("read the journal", &path))?);
    let (mut at, mut is_changed) = (HEADER_BYTES, false);
    // By lengths alone: a record in which something was erased fails its checksum.
    while let Some(record) = bytes.get(at..).filter(|record| record.starts_with(&RECORD_MAGIC)) {
        let Some(length) = le_u32(record, 4).map(|length| length as usize) else { break };
        let payload_at = at + RECORD_HEADER_BYTES;
        let Some(payload) = bytes.get(payload_at..).and_then(|rest| rest.get(..length)) else { break };
        for (chunk, messages) in chunks_in(&bytes.slice_ref(payload)) {
            let is_redacted = |message: StoredRef<'_>| {
                redacted.contains(&(chunk.room, message.seq)) && !matches!(message.kind, Kind::Redacted(_))
            };
            if messages.iter().any(is_redacted) {
                zero(&file, &path, payload_at as u64 + chunk.at, chunk.bytes)?;
                is_changed = true;
            }
        }
        at += record_bytes(length);
    }
    if is_changed { sync_erased(&file, &path) } else { Ok(()) }
}
