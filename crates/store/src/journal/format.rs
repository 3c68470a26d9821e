//! The bytes of a journal file.

pub(super) const FILE_MAGIC: [u8; 8] = *b"dantokJ1";
pub(super) const RECORD_MAGIC: [u8; 4] = *b"DTKR";
pub(super) const HEADER_BYTES: usize = 64;
/// What the header's checksum covers.
pub(super) const HEADER_BODY_BYTES: usize = 40;
pub(super) const RECORD_HEADER_BYTES: usize = 24;
pub(super) const ALIGN_BYTES: usize = 16;

pub(super) fn le_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A file's header, without its magic and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    pub(super) first_commit: u64,
    pub(super) salt: u64,
    pub(super) file_bytes: u64,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let fields = [u64::from_le_bytes(FILE_MAGIC), self.number, self.first_commit, self.salt, self.file_bytes];
        for (place, field) in out.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let (body, rest) = out.split_at_mut(HEADER_BODY_BYTES);
        if let Some(place) = rest.first_chunk_mut::<4>() {
            *place = crc32fast::hash(body).to_le_bytes();
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let body = bytes.get(..HEADER_BODY_BYTES)?;
        if !body.starts_with(&FILE_MAGIC) || le_u32(bytes, HEADER_BODY_BYTES)? != crc32fast::hash(body) {
            return None;
        }
        Some(Header {
            number: le_u64(body, 8)?,
            first_commit: le_u64(body, 16)?,
            salt: le_u64(body, 24)?,
            file_bytes: le_u64(body, 32)?,
        })
    }
}

pub(super) fn record_crc(salt: u64, length: u32, commit: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(&commit.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The commit and payload of the record at `at`; none if there is no good one.
pub(super) fn record_at(bytes: &[u8], at: usize, salt: u64) -> Option<(u64, &[u8])> {
    let record = bytes.get(at..)?;
    if !record.starts_with(&RECORD_MAGIC) {
        return None;
    }
    let length = le_u32(record, 4)?;
    let commit = le_u64(record, 8)?;
    let crc = le_u32(record, 16)?;
    let payload = record.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES.checked_add(usize::try_from(length).ok()?)?)?;
    (crc == record_crc(salt, length, commit, payload)).then_some((commit, payload))
}

pub(super) fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(ALIGN_BYTES)
}
