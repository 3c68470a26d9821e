//! What was redacted, out of files of the journal that no start reads any more.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::Path;

use bytes::Bytes;

use super::{HEADER_BYTES, Header, RECORD_HEADER_BYTES, RECORD_MAGIC, le_u32, path_of, record_bytes};
use crate::commit::chunks_in;
use crate::error::Error;
use crate::messages::StoredRef;
use crate::record::Kind;
use crate::segments::{synced, zero};

/// When the first commit of a file was made, on the kept clock; none where there is no such file, or no commit in it.
///
/// # Errors
/// What the system says, with the file's name.
pub fn begins(dir: &Path, number: u64) -> Result<Option<u64>, Error> {
    use std::os::unix::fs::FileExt;
    let path = path_of(dir, number);
    let mut bytes = [0; HEADER_BYTES + RECORD_HEADER_BYTES + 9];
    let read = std::fs::File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, 0));
    match read {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof) => {
            Ok(None)
        }
        Err(error) => Err(Error::io("read the journal", &path)(error)),
        Ok(()) => {
            let record = bytes.get(HEADER_BYTES..).unwrap_or_default();
            // Behind the record's version.
            let kept_ms = super::le_u64(record, RECORD_HEADER_BYTES + 1);
            Ok(kept_ms.filter(|_| Header::decode(&bytes).is_some() && record.starts_with(&RECORD_MAGIC)))
        }
    }
}

/// Overwrites, durably, every chunk of a file that holds the body of one of these messages, by room and seq, which are redacted.
///
/// The file must be one that is covered: the record that the chunk is in fails its checksum then.
///
/// # Errors
/// What the system says, with the file's name.
pub fn erase(dir: &Path, number: u64, redacted: &BTreeSet<(u64, u64)>) -> Result<(), Error> {
    let path = path_of(dir, number);
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(Error::io("open the journal", &path))?,
    };
    let bytes = Bytes::from(std::fs::read(&path).map_err(Error::io("read the journal", &path))?);
    let (mut at, mut is_changed) = (HEADER_BYTES, false);
    // By their lengths alone: what has been erased before fails its checksum.
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
    if is_changed { synced(&file, &path) } else { Ok(()) }
}
