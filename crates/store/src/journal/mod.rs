//! The journal: where a commit becomes durable, with one sequential write and one fdatasync. A file of it goes when sled covers
//! all its commits and [knows of no chunk](mod@crate::segments) in it.
//!
//! Files `<number>.journal`, 16 hex digits, each written with zeros and synced before its first use, so that a commit changes no
//! file size. A file's header is synced before its first record. Integers are little-endian.
//!
//! ```text
//! header, 64 bytes   "dantokJ1" | number u64 | first commit u64 | salt u64 | file's bytes u64
//!                    | crc32 u32 of the 40 bytes before | zeros
//! record             "DTKR" | length u32 | commit u64 | crc32 u32 of salt, length, commit and payload | zero u32
//!                    | payload | zeros up to a multiple of 16
//! ```
//!
//! Commits are numbered without gaps, over all files. The next one is written only after the one before it was synced; so in
//! what a crash leaves, only the last commit can be torn. A record that fails its checksum with no good record behind it is
//! such a tail, and is cut. With a good record behind it, it was acknowledged: that is damage, and is reported. The salt
//! keeps a message that looks like a record from being taken for one.

mod erase;
mod recover;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

pub(crate) use erase::{Begins, erase};
pub use recover::{Recovered, recover, settle};

use dantok_supervise::Duty;

use crate::count::Histogram;
use crate::error::Error;
use crate::files::{FileId, Spot, journal_path, numbered, sync_dir};
use crate::mutex::lock;

/// Fills the next journal file with zeros. If it has died, the committer does that.
pub const JOURNAL: Duty = Duty::beginning_again("journal-prepare");

const FILE_MAGIC: [u8; 8] = *b"dantokJ1";
const RECORD_MAGIC: [u8; 4] = *b"DTKR";
const HEADER_BYTES: usize = 64;
/// What the header's checksum covers.
const HEADER_BODY_BYTES: usize = 40;
const RECORD_HEADER_BYTES: usize = 24;
const ALIGN_BYTES: usize = 16;

fn le_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A file's header, without its magic and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    number: u64,
    first_commit: u64,
    salt: u64,
    file_bytes: u64,
}

impl Header {
    fn encode(self) -> [u8; HEADER_BYTES] {
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

    fn decode(bytes: &[u8]) -> Option<Header> {
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

fn record_crc(salt: u64, length: u32, commit: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(&commit.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The commit and payload of the record at `at`; none where there is no good one.
fn record_at(bytes: &[u8], at: usize, salt: u64) -> Option<(u64, &[u8])> {
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

fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(ALIGN_BYTES)
}

/// The numbers of the journal's files, in order.
///
/// # Errors
/// What the system says, with the directory's name.
pub(crate) fn numbers(dir: &Path) -> Result<Vec<u64>, Error> {
    numbered(dir, ".journal")
}

/// A file that is not written to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FullFile {
    number: u64,
    last_commit: u64,
    used_bytes: u64,
}

/// Files that are full; shared with whoever removes them.
#[derive(Clone, Debug, Default)]
pub struct Full(Arc<Mutex<Vec<FullFile>>>);

impl Full {
    fn push(&self, file: FullFile) {
        lock(&self.0).push(file);
    }

    /// Whether any file waits to be covered.
    pub fn any(&self) -> bool {
        !lock(&self.0).is_empty()
    }

    /// Takes the files whose commits are all covered, each with the bytes of it that are used.
    pub fn covered(&self, covered: u64) -> Vec<(FileId, u64)> {
        let mut files = lock(&self.0);
        let files = files.extract_if(.., |file| file.last_commit <= covered);
        files.map(|file| (FileId::Journal(file.number), file.used_bytes)).collect()
    }
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
/// How long a sync takes, in nanoseconds, as buckets have it.
#[rustfmt::skip]
const SYNC_NS: &[u64] = &[
    50 * US, 100 * US, 250 * US, 500 * US, MS, 2_500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S,
    2_500 * MS, 5 * S, 10 * S,
];

impl Journal {
    /// Begins a journal behind what was recovered and is covered by the store, with a new file.
    ///
    /// # Errors
    /// What the system says, with the file's name.
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
        // Only now, when no start reads it any more: what a commit was never written into is not kept.
        if let Some((number, good)) = recovered.read {
            let path = journal_path(dir, number);
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(good));
            cut.map_err(Error::io("cut the journal file", &path))?;
        }
        Ok(journal)
    }

    /// The files that wait to be freed.
    pub fn full(&self) -> Full {
        self.full.clone()
    }

    /// How long each commit's fdatasync took, in nanoseconds.
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

    /// Goes on in the next file, where there is anything in this one.
    ///
    /// # Errors
    /// As [`append`](Journal::append).
    pub fn begin_next_file(&mut self) -> Result<(), Error> {
        if self.at > HEADER_BYTES as u64 { self.rotate() } else { Ok(()) }
    }

    fn rotate(&mut self) -> Result<(), Error> {
        let number = self.header.number + 1;
        let prepared = self.next_file.take().map(JoinHandle::join);
        let file = match prepared {
            Some(Ok(file)) => file?,
            // Never prepared, or the thread died: here and now, then.
            Some(Err(_)) | None => prepare(&self.dir, number, self.file_bytes)?,
        };
        let (number_before, used_bytes) = (self.header.number, self.at);
        self.path = journal_path(&self.dir, number);
        self.file = file;
        self.write_header(number)?;
        // Only now is no start going to read it any more, once it is covered.
        self.full.push(FullFile { number: number_before, last_commit: self.last_commit, used_bytes });
        Ok(())
    }

    /// Syncs what is there already.
    ///
    /// # Errors
    /// As [`append`](Journal::append): a sync that fails may be the only word of what was lost before it.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io("sync the journal", &self.path))
    }

    /// Appends a commit; when this returns, it is on disk. Returns its number, and where its payload stands.
    ///
    /// # Errors
    /// What the system says, with the file's name. The commit may or may not be found by a later [`recover`]; the journal is
    /// not to be used any more: a sync is never tried again and then believed.
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

/// How much of a new file is written before it is synced.
const PREPARE_SYNC_BYTES: u64 = 512 * 1024;

/// Makes a file of zeros, and it and its name durable.
fn prepare(dir: &Path, number: u64, file_bytes: u64) -> Result<File, Error> {
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
        file.write_all(piece).map_err(Error::io("write the journal file beforehand", &path))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const FILE_BYTES: u64 = 4096;

    fn written(dir: &Path, commits: usize) -> Journal {
        let mut journal = Journal::begin(dir, Recovered::default(), FILE_BYTES).unwrap();
        for n in 1..=commits {
            let (commit, spot) = journal.append(&[n as u8; 100]).unwrap();
            assert_eq!(commit, n as u64);
            let FileId::Journal(number) = spot.file else { panic!("{spot:?}") };
            let at = spot.at as usize;
            assert_eq!(std::fs::read(journal_path(dir, number)).unwrap()[at..at + 100], [n as u8; 100]);
        }
        journal
    }

    fn read(dir: &Path, covered: u64) -> Result<(Recovered, Vec<u64>), Error> {
        let mut commits = Vec::new();
        let recovered = recover(dir, covered, &mut |commit, spot, payload| {
            assert_eq!(payload, vec![commit as u8; 100]);
            let FileId::Journal(number) = spot.file else { panic!("{spot:?}") };
            let at = spot.at as usize;
            assert_eq!(std::fs::read(journal_path(dir, number)).unwrap()[at..at + 100], payload);
            commits.push(commit);
            Ok(())
        })?;
        Ok((recovered, commits))
    }

    /// Changes byte `at` of the newest file that has a record, or of the oldest.
    fn damage(dir: &Path, newest: bool, at: usize) {
        let mut numbers = numbers(dir).unwrap();
        numbers.retain(|&number| std::fs::read(journal_path(dir, number)).unwrap()[HEADER_BYTES] != 0);
        let number = if newest { numbers.last() } else { numbers.first() };
        let path = journal_path(dir, *number.unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
    }

    #[test]
    fn every_commit_comes_back_over_many_files() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 100));
        let (recovered, commits) = read(dir.path(), 0).unwrap();
        assert_eq!(commits, (1..=100).collect::<Vec<_>>());
        assert!(!recovered.cut);
        assert_eq!(read(dir.path(), 90).unwrap().1, (91..=100).collect::<Vec<_>>());
        assert_eq!(read(dir.path(), 100).unwrap().1, Vec::<u64>::new());
    }

    #[test]
    fn covered_files_may_go_and_others_may_not() {
        let dir = tempfile::tempdir().unwrap();
        let journal = written(dir.path(), 100);
        for (file, _) in journal.full().covered(60) {
            let FileId::Journal(number) = file else { panic!("{file:?}") };
            std::fs::remove_file(journal_path(dir.path(), number)).unwrap();
        }
        drop(journal);
        assert_eq!(read(dir.path(), 60).unwrap().1, (61..=100).collect::<Vec<_>>());
        let error = read(dir.path(), 5).unwrap_err();
        assert!(error.to_string().contains("a journal file before it is missing"), "{error}");
    }

    #[test]
    fn what_is_covered_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 100));
        damage(dir.path(), false, HEADER_BYTES + 40);
        assert!(matches!(read(dir.path(), 0), Err(Error::Damaged { .. })));
        assert_eq!(read(dir.path(), 60).unwrap().1, (61..=100).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_tail_is_gone_once_the_journal_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 3));
        let path = journal_path(dir.path(), 1);
        let mut torn = std::fs::read(&path).unwrap();
        torn[HEADER_BYTES + 2 * record_bytes(100) + 50] ^= 1;
        std::fs::write(&path, torn).unwrap();
        let (recovered, _) = read(dir.path(), 0).unwrap();
        assert_eq!((recovered.last_commit, recovered.cut), (2, true));
        let mut journal = Journal::begin(dir.path(), recovered, FILE_BYTES).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, HEADER_BYTES + 2 * record_bytes(100));
        assert_eq!(journal.append(&[3; 100]).unwrap().0, 3);
        drop(journal);
        assert_eq!(read(dir.path(), 2).unwrap().1, [3]);
    }

    #[test]
    fn a_torn_tail_is_cut_at_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 3));
        let path = journal_path(dir.path(), 1);
        let whole = std::fs::read(&path).unwrap();
        let last = HEADER_BYTES + 2 * record_bytes(100);
        for kept in last..last + RECORD_HEADER_BYTES + 100 {
            let mut torn = whole.clone();
            torn[kept..].fill(0);
            std::fs::write(&path, torn).unwrap();
            let (recovered, commits) = read(dir.path(), 0).unwrap();
            assert_eq!((recovered.last_commit, commits), (2, vec![1, 2]));
            assert_eq!(recovered.cut, kept > last);
        }
    }

    #[test]
    fn damage_before_the_last_commit_is_reported() {
        let record = record_bytes(100);
        for at in [HEADER_BYTES, HEADER_BYTES + 5, HEADER_BYTES + 30, HEADER_BYTES + record + 60, 9, 33] {
            let dir = tempfile::tempdir().unwrap();
            drop(written(dir.path(), 100));
            damage(dir.path(), false, at);
            let error = read(dir.path(), 0).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
        }
    }

    #[test]
    fn a_broken_header_with_records_behind_it_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 100));
        damage(dir.path(), true, 20);
        assert!(matches!(read(dir.path(), 0), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_file_cut_short_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 3));
        File::options().write(true).open(journal_path(dir.path(), 1)).unwrap().set_len(300).unwrap();
        let error = read(dir.path(), 0).unwrap_err();
        assert!(error.to_string().contains("cut to 300 of 4096 bytes"), "{error}");
    }

    #[test]
    fn a_broken_end_that_the_store_has_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 3));
        damage(dir.path(), true, HEADER_BYTES + 2 * record_bytes(100) + 50);
        assert!(read(dir.path(), 2).unwrap().0.cut);
        assert!(matches!(read(dir.path(), 3), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_full_file_whose_end_is_gone_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 100));
        let path = journal_path(dir.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = (FILE_BYTES as usize - HEADER_BYTES) / record_bytes(100) - 1;
        bytes[HEADER_BYTES + last * record_bytes(100) + 40] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(read(dir.path(), 0), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_message_that_looks_like_a_record_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(dir.path(), Recovered::default(), FILE_BYTES).unwrap();
        let mut forged = vec![0; 8];
        forged.extend_from_slice(&RECORD_MAGIC);
        forged.extend_from_slice(&0u32.to_le_bytes());
        forged.extend_from_slice(&9u64.to_le_bytes());
        forged.extend_from_slice(&record_crc(0, 0, 9, &[]).to_le_bytes());
        forged.resize(100, 0);
        journal.append(&forged).unwrap();
        drop(journal);
        let path = journal_path(dir.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER_BYTES + 17] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let recovered = recover(dir.path(), 0, &mut |_, _, _| Ok(())).unwrap();
        assert!(recovered.cut);
        assert_eq!(recovered.last_commit, 0);
    }
}
