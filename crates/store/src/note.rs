//! The note in the lock file: whether the store was closed well, and if not, what of its files may be in memory alone.
//!
//! After a sync that failed, Linux takes the pages that it could not write for clean: they are read as if they were on the disk,
//! and no later sync writes them. Nobody may be left to tell of it: a disk that hangs before it fails is what the watchdog kills
//! the daemon for. So the note is pessimistic. It says "in use" before anything is changed, and "clean" only when sled has closed
//! its files and every sync of the run has succeeded. A start that finds anything else writes again, as it is read, whatever may
//! have been written and not synced, and syncs it, before any of it is shown, answered or built upon:
//!
//! - of sled's `db` the blocks that were written to since the last checkpoint, which stand in the note; its other files as a whole;
//! - the segment that was written to, and the file that something was being erased from, which stands in the note as well;
//! - the files of the journal that sled does not cover ([`settle`](super::journal::settle));
//! - the small files, and the directories.
//!
//! After a failure that was seen, and where the note can't be understood, it is more than that.
//!
//! The note is never synced: it has to outlive the process, not the machine. What is in memory alone does not outlive it either.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::journal::sync_dir;
use super::segments::{FileId, Segments, lock};
use super::{Failure, epoch, migrate, syscalls, tables};
use crate::error::Error;

/// How the note begins. Versions before wrote `failed` and, for as long as the store was open and afterwards, `sound `.
const IN_USE: &[u8; STATE_BYTES] = b"in use\n";
const CLEAN: &[u8; STATE_BYTES] = b"clean \n";
const FAILED: &[u8; STATE_BYTES] = b"failed\n";
const STATE_BYTES: usize = 7;
/// Behind it: the file that something is being erased from, by kind and number.
const ERASING_BYTES: usize = "journal 0123456789abcdef\n".len();
/// Behind that: a bit for each block of sled's `db`, beginning again at the first where there are more.
const MAP_AT: usize = STATE_BYTES + ERASING_BYTES;
const MAP_BYTES: usize = 16 * 1024;
const BLOCKS: u64 = MAP_BYTES as u64 * 8;
const BLOCK_BYTES: u64 = 64 * 1024;
/// Blocks that are read and written at once.
const BLOCKS_AT_ONCE: u64 = 16;

/// How long sled's threads are given to let go of its files.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
const CLOSE_PAUSE: Duration = Duration::from_millis(5);

/// Blocks of a file: a bit each.
#[derive(Clone, Debug)]
pub(super) struct Blocks(Vec<u8>);

impl Blocks {
    fn none() -> Blocks {
        Blocks(vec![0; MAP_BYTES])
    }

    fn all() -> Blocks {
        Blocks(vec![u8::MAX; MAP_BYTES])
    }

    /// Where a block's bit is.
    fn spot(block: u64) -> (usize, u8) {
        let bit = block % BLOCKS;
        (usize::try_from(bit / 8).unwrap_or_default(), 1 << (bit % 8))
    }

    fn has(&self, block: u64) -> bool {
        let (at, bit) = Blocks::spot(block);
        self.0.get(at).is_some_and(|byte| byte & bit != 0)
    }

    fn add(&mut self, block: u64) {
        let (at, bit) = Blocks::spot(block);
        self.0.iter_mut().skip(at).take(1).for_each(|byte| *byte |= bit);
    }

    fn add_all(&mut self, other: &Blocks) {
        self.0.iter_mut().zip(&other.0).for_each(|(byte, more)| *byte |= more);
    }
}

/// What the run before has left.
#[derive(Debug)]
enum Left {
    /// Everything is on the disk.
    Clean,
    /// It did not close the store.
    Unclean { erasing: Option<FileId>, written: Blocks },
    /// A write or a sync has failed.
    Failed,
}

impl Left {
    fn of(note: &[u8]) -> Left {
        if note.starts_with(CLEAN) {
            return Left::Clean;
        }
        if note.starts_with(FAILED) {
            return Left::Failed;
        }
        // Of a version that did not note it, or cut short together with the power: nothing is known.
        let unknown = Left::Unclean { erasing: None, written: Blocks::all() };
        let Some(rest) = note.strip_prefix(IN_USE) else { return unknown };
        match (rest.get(..ERASING_BYTES), rest.get(ERASING_BYTES..ERASING_BYTES + MAP_BYTES)) {
            (Some(erasing), Some(map)) => Left::Unclean { erasing: parse_file(erasing), written: Blocks(map.to_vec()) },
            _ => unknown,
        }
    }
}

fn name_of(file: FileId) -> String {
    match file {
        FileId::Journal(number) => format!("journal {number:016x}\n"),
        FileId::Segment(number) => format!("segment {number:016x}\n"),
    }
}

fn parse_file(name: &[u8]) -> Option<FileId> {
    let (kind, number) = std::str::from_utf8(name).ok()?.trim_end().split_once(' ')?;
    let number = u64::from_str_radix(number, 16).ok()?;
    match kind {
        "journal" => Some(FileId::Journal(number)),
        "segment" => Some(FileId::Segment(number)),
        _ => None,
    }
}

/// The note of a store that is open. It has the lock.
#[derive(Debug)]
pub(super) struct Note {
    lock: File,
    dir: PathBuf,
    map: Mutex<Map>,
}

/// What sled has written to its `db`.
#[derive(Debug)]
struct Map {
    /// Since the last sync of all of it began.
    since: Blocks,
    /// Before that, as long as it has not succeeded.
    before: Blocks,
    /// What is being written, by first and last block.
    writing: Vec<(u64, u64)>,
    has_failed: bool,
}

impl Note {
    /// Takes the note of a data directory that is locked: writes again what the run before may have left in memory alone, and
    /// notes that the store is in use. Returns whether there may be more of it in the journal.
    ///
    /// # Errors
    /// What the system says, with the file's name. The note is then as it was.
    pub(super) fn take(lock: File, dir: &Path) -> Result<(Arc<Note>, bool), Error> {
        let mut found = vec![0; MAP_AT + MAP_BYTES];
        let mut length = 0;
        loop {
            let rest = found.get_mut(length..).unwrap_or_default();
            match lock.read_at(rest, length as u64).map_err(Error::io("read the lock file in", dir))? {
                0 => break,
                read => length += read,
            }
        }
        found.truncate(length);
        let left = Left::of(&found);
        make_good(dir, &left)?;
        let map = Map { since: Blocks::none(), before: Blocks::none(), writing: Vec::new(), has_failed: false };
        let note = Note { lock, dir: dir.to_owned(), map: Mutex::new(map) };
        note.write_all(IN_USE)?;
        if length < MAP_AT + MAP_BYTES {
            // Its size, lest each power cut takes it.
            note.lock.sync_all().map_err(note.failed())?;
        }
        Ok((Arc::new(note), !matches!(left, Left::Clean)))
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> Error {
        Error::io("write the lock file in", &self.dir)
    }

    fn write_all(&self, state: &[u8; STATE_BYTES]) -> Result<(), Error> {
        let mut note = state.to_vec();
        note.resize(MAP_AT + MAP_BYTES, 0);
        self.write_at(&note, 0).map_err(self.failed())
    }

    /// Not by the C library's name, which [is ours](mod@super::syscalls) and would come back here.
    fn write_at(&self, mut bytes: &[u8], mut at: usize) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.lock, bytes, at as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    at += written;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Notes that a write or a sync has failed.
    pub(super) fn fail(&self) {
        lock(&self.map).has_failed = true;
        if let Err(error) = self.write_at(FAILED, 0) {
            // It stays "in use", then.
            tracing::error!(%error, "can't note the failure for the next start");
        }
    }

    /// Notes that something is about to be erased from this file: from one at a time, each synced before the next.
    ///
    /// # Errors
    /// What the system says; nothing must be erased then.
    pub(super) fn erasing(&self, file: FileId) -> Result<(), Error> {
        self.write_at(name_of(file).as_bytes(), STATE_BYTES).map_err(self.failed())
    }

    /// Notes blocks before they are written to.
    fn begin_write(&self, first: u64, last: u64) -> io::Result<()> {
        let mut map = lock(&self.map);
        if (first..=last).any(|block| !map.since.has(block)) {
            let mut since = map.since.clone();
            (first..=last).for_each(|block| since.add(block));
            let mut noted = since.clone();
            noted.add_all(&map.before);
            let mut spots: Vec<usize> = (first..=last).map(|block| Blocks::spot(block).0).collect();
            spots.dedup();
            for at in spots {
                self.write_at(noted.0.get(at..=at).unwrap_or_default(), MAP_AT + at)?;
            }
            map.since = since;
        }
        map.writing.push((first, last));
        Ok(())
    }

    fn end_write(&self, first: u64, last: u64) {
        let mut map = lock(&self.map);
        if let Some(at) = map.writing.iter().position(|writing| *writing == (first, last)) {
            map.writing.swap_remove(at);
        }
    }

    /// Before a flush and a sync of all that sled has.
    pub(super) fn begin_sync(&self) {
        let mut map = lock(&self.map);
        let since = std::mem::replace(&mut map.since, Blocks::none());
        map.before.add_all(&since);
        let Map { since, writing, .. } = &mut *map;
        writing.iter().flat_map(|(first, last)| *first..=*last).for_each(|block| since.add(block));
    }

    /// The sync has succeeded: what was written before it began is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn end_sync(&self) -> Result<(), Error> {
        let mut map = lock(&self.map);
        self.write_at(&map.since.0, MAP_AT).map_err(self.failed())?;
        map.before = Blocks::none();
        Ok(())
    }
}

/// What sled writes to this file from here on is noted.
///
/// # Errors
/// What the system says.
pub(super) fn watch(note: &Arc<Note>, db: &Path) -> Result<(), Error> {
    let metadata = db.metadata().map_err(Error::io("look at", db))?;
    let mut watched = lock(&WATCHED);
    watched.retain(|watched| watched.note.strong_count() > 0);
    watched.push(Watched { device: metadata.dev(), inode: metadata.ino(), note: Arc::downgrade(note) });
    WATCHED_FILES.store(watched.len(), Ordering::Release);
    Ok(())
}

struct Watched {
    device: u64,
    inode: u64,
    note: Weak<Note>,
}

static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());
static WATCHED_FILES: AtomicUsize = AtomicUsize::new(0);

/// A write that is noted for as long as it lasts, and until it is synced.
pub(super) struct Writing {
    note: Arc<Note>,
    first: u64,
    last: u64,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.note.end_write(self.first, self.last);
    }
}

/// Notes a write before it is made, where the file is one that is [watched](watch).
///
/// # Errors
/// What the system says; nothing must be written then.
pub(super) fn writing(fd: BorrowedFd<'_>, at: u64, bytes: usize) -> io::Result<Option<Writing>> {
    if WATCHED_FILES.load(Ordering::Acquire) == 0 || bytes == 0 {
        return Ok(None);
    }
    let stat = rustix::fs::fstat(fd)?;
    let is_it = |watched: &&Watched| watched.inode == stat.st_ino && watched.device == stat.st_dev;
    let note = lock(&WATCHED).iter().filter(is_it).find_map(|watched| watched.note.upgrade());
    let Some(note) = note else { return Ok(None) };
    let (first, last) = (at / BLOCK_BYTES, (at + bytes as u64 - 1) / BLOCK_BYTES);
    note.begin_write(first, last)?;
    Ok(Some(Writing { note, first, last }))
}

/// Notes a failure for all stores that are open or being opened.
pub(super) fn fail_all() {
    let notes: Vec<_> = lock(&WATCHED).iter().filter_map(|watched| watched.note.upgrade()).collect();
    notes.iter().for_each(|note| note.fail());
}

/// Writes again what the run before may have left in memory alone, but for the journal.
fn make_good(dir: &Path, left: &Left) -> Result<(), Error> {
    let began = Instant::now();
    let [journal, segments, sled] = ["journal", "segments", "sled"].map(|name| dir.join(name));
    let mut bytes = 0;
    match left {
        Left::Clean => return Ok(()),
        Left::Failed => {
            let kept = migrate::all_kept(dir);
            for part in [&journal, &segments, &sled].into_iter().chain(&kept).filter(|part| part.exists()) {
                tracing::warn!(path = %part.display(), "a write or a sync has failed: writing everything again");
                bytes += write_dir_again(part, &|_| Parts::All)?;
            }
        }
        Left::Unclean { erasing, written } => {
            if sled.exists() {
                let db = sled.join("db");
                let parts = |path: &Path| if path == db { Parts::Blocks(written) } else { Parts::All };
                bytes += write_dir_again(&sled, &parts)?;
            }
            let files = Segments::of(dir);
            let newest = files.numbers()?.last().copied().map(FileId::Segment);
            for file in newest.into_iter().chain(*erasing).map(|file| files.path(file)).filter(|path| path.exists()) {
                bytes += write_again(&file, &Parts::All)?;
            }
        }
    }
    migrate::write_again(dir)?;
    epoch::write_again(dir)?;
    [journal.as_path(), &segments, dir].into_iter().filter(|dir| dir.exists()).try_for_each(sync_dir)?;
    if bytes > 0 {
        let ms = began.elapsed().as_millis();
        tracing::info!(path = %dir.display(), bytes, ms, "the store was not closed: wrote again what may not be on the disk");
    }
    Ok(())
}

/// What of a file is written again.
#[derive(Debug)]
pub(super) enum Parts<'a> {
    /// All of it.
    All,
    /// What is not zero: the zeros were synced before anything was written into them.
    NotZero,
    /// Some blocks.
    Blocks(&'a Blocks),
}

impl Parts<'_> {
    fn has(&self, block: u64) -> bool {
        if let Parts::Blocks(blocks) = self { blocks.has(block) } else { true }
    }
}

fn write_dir_again<'a>(dir: &Path, parts: &impl Fn(&Path) -> Parts<'a>) -> Result<u64, Error> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(Error::io("list the directory", dir))? {
        let path = entry.map_err(Error::io("list the directory", dir))?.path();
        bytes += if path.is_dir() { write_dir_again(&path, parts)? } else { write_again(&path, &parts(&path))? };
    }
    sync_dir(dir)?;
    Ok(bytes)
}

/// Writes a file again, as it is read, and syncs it; returns how many bytes of it were written. Where that is cut off, it can be
/// done again: every byte is on the disk as it was, or as it is read.
///
/// # Errors
/// What the system says, with the file's name.
pub(super) fn write_again(path: &Path, parts: &Parts<'_>) -> Result<u64, Error> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("measure", path))?.len();
    let mut piece = vec![0; usize::try_from(BLOCK_BYTES * BLOCKS_AT_ONCE).unwrap_or_default()];
    let blocks = length.div_ceil(BLOCK_BYTES);
    let (mut block, mut written) = (0, 0);
    while block < blocks {
        let run = (block..blocks).take_while(|block| parts.has(*block)).take(BLOCKS_AT_ONCE as usize).count() as u64;
        let at = block * BLOCK_BYTES;
        let bytes = (run * BLOCK_BYTES).min(length - at);
        block += run.max(1);
        let piece = piece.get_mut(..usize::try_from(bytes).unwrap_or_default()).unwrap_or_default();
        file.read_exact_at(piece, at).map_err(Error::io("read", path))?;
        if matches!(parts, Parts::NotZero) && piece.iter().all(|byte| *byte == 0) {
            continue;
        }
        file.write_all_at(piece, at).map_err(Error::io("write again", path))?;
        written += bytes;
    }
    // Its size as well.
    let synced = file.set_len(length).and_then(|()| file.sync_all());
    synced.map_err(Error::io("sync", path))?;
    Ok(written)
}

/// Waits until sled has closed its files, and makes sure that they are on the disk; false where it goes on having them.
///
/// # Errors
/// What the system says, with the file's name.
pub(super) fn is_closed(sled: &Path) -> Result<bool, Error> {
    let path = sled.join("db");
    let db = File::open(&path).map_err(Error::io("open", &path))?;
    let began = Instant::now();
    // sled locks it for as long as any of its threads may write.
    while db.try_lock().is_err() {
        if began.elapsed() > CLOSE_PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(CLOSE_PAUSE);
    }
    tables::sync_files(sled)?;
    Ok(!syscalls::sync_failed())
}

/// The end of a store: to be dropped when all that writes to it has gone. Where nothing has failed, the note is "clean" then.
#[derive(Debug)]
pub(super) struct Closing {
    note: Arc<Note>,
    failure: Arc<Failure>,
}

impl Closing {
    pub(super) fn new(note: Arc<Note>, failure: Arc<Failure>) -> Closing {
        Closing { note, failure }
    }

    fn close(&self) -> Result<(), Error> {
        if self.failure.get().is_some() || syscalls::sync_failed() {
            return Ok(());
        }
        let is_closed = is_closed(&self.note.dir.join("sled"))?;
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
            tracing::error!("{error}; the next start writes again what may not be on the disk");
        }
    }
}

impl Note {
    fn close(&self) -> Result<(), Error> {
        let map = lock(&self.map);
        if map.has_failed || !map.writing.is_empty() { Ok(()) } else { self.write_all(CLEAN) }
    }
}

/// Notes that a store was made which nobody has opened yet, and which is all on the disk.
///
/// # Errors
/// What the system says.
pub(super) fn note_made(lock: &File, dir: &Path) -> Result<(), Error> {
    lock.write_all_at(CLEAN, 0).map_err(Error::io("write the lock file in", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(dir: &Path) -> Left {
        Left::of(&std::fs::read(dir.join("lock")).unwrap())
    }

    fn take(dir: &Path) -> (Arc<Note>, bool) {
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(dir.join("lock"));
        Note::take(lock.unwrap(), dir).unwrap()
    }

    /// The blocks that the next start would write again.
    fn written(dir: &Path) -> Vec<u64> {
        let Left::Unclean { written, .. } = found(dir) else { panic!("{:?}", found(dir)) };
        (0..BLOCKS).filter(|block| written.has(*block)).collect()
    }

    #[test]
    fn a_block_is_noted_from_before_it_is_written_until_it_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (note, is_unclean) = take(dir);
        assert!(is_unclean, "nothing is known of a directory without a note");
        assert_eq!(written(dir), [0; 0]);
        note.begin_write(3, 9).unwrap();
        assert_eq!(written(dir), [3, 4, 5, 6, 7, 8, 9]);
        note.end_write(3, 9);
        note.begin_write(20, 20).unwrap();
        // What is being written while a sync begins may not be covered by it.
        note.begin_sync();
        note.begin_write(8, 8).unwrap();
        note.end_write(8, 8);
        assert_eq!(written(dir), [3, 4, 5, 6, 7, 8, 9, 20]);
        note.end_sync().unwrap();
        assert_eq!(written(dir), [8, 20]);
        // A sync that did not succeed takes nothing off.
        note.begin_sync();
        note.begin_write(BLOCKS + 1, BLOCKS + 1).unwrap();
        note.end_write(BLOCKS + 1, BLOCKS + 1);
        assert_eq!(written(dir), [1, 8, 20]);
        note.end_write(20, 20);
        note.begin_sync();
        note.end_sync().unwrap();
        assert_eq!(written(dir), [0; 0]);
    }

    #[test]
    fn it_is_clean_only_when_nothing_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        take(dir).0.close().unwrap();
        assert!(matches!(found(dir), Left::Clean));
        let (note, is_unclean) = take(dir);
        assert!(!is_unclean);
        note.begin_write(7, 7).unwrap();
        note.close().unwrap();
        assert_eq!(written(dir), [7]);
        note.end_write(7, 7);
        note.fail();
        note.close().unwrap();
        assert!(matches!(found(dir), Left::Failed));
        let (note, is_unclean) = take(dir);
        assert!(is_unclean);
        for file in [FileId::Journal(0xab), FileId::Segment(u64::MAX)] {
            note.erasing(file).unwrap();
            assert!(matches!(found(dir), Left::Unclean { erasing: Some(found), .. } if found == file));
        }
    }

    #[test]
    fn what_is_written_again_is_what_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // Of several runs of blocks, the last of which is not whole.
        let length = BLOCK_BYTES * (BLOCKS_AT_ONCE * 2 + 3) + 100;
        let bytes: Vec<u8> = (0..length).map(|at| if at / BLOCK_BYTES % 20 < 17 { 0 } else { at as u8 | 1 }).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut some = Blocks::none();
        [0, 5, 34, 35].into_iter().for_each(|block| some.add(block));
        let again = |parts: Parts<'_>| {
            let written = write_again(&path, &parts).unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes);
            written
        };
        assert_eq!(again(Parts::All), length);
        assert_eq!(again(Parts::Blocks(&some)), 3 * BLOCK_BYTES + 100);
        assert_eq!(again(Parts::Blocks(&Blocks::none())), 0);
        assert_eq!(again(Parts::NotZero), BLOCK_BYTES * BLOCKS_AT_ONCE);
    }
}
