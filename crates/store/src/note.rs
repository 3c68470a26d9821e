//! The note in the lock file: whether the store was closed cleanly, and if not, which parts of its files may be in memory alone.
//!
//! After a failed sync, Linux treats the pages that it could not write as clean: they are read as if they were on the disk, and
//! no later sync writes them. The process that saw it fail may not live to tell: if a disk hangs before it fails, the watchdog
//! kills the daemon. So the note is pessimistic. It says "in use" before anything is changed, and "clean" only when sled has
//! closed its files and every sync of the run has succeeded. A start that finds anything else writes again, as it is read,
//! everything that may have been written and not synced. It syncs that before any of it is shown, acknowledged or built upon:
//!
//! - the blocks of sled's `db` written since the last checkpoint, which are in the note, and sled's other files as a whole;
//! - the last segment, and the file that something was being erased from, which is in the note as well;
//! - the journal files that sled does not cover (`journal::settle`);
//! - the small files, and the directories.
//!
//! After a failure that was noted, or if the note can't be understood, it writes more than that.
//!
//! The note is never synced: it must outlive the process, not the machine. Nor does what is in memory alone outlive the machine.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::error::Error;
use crate::files::FileId;
use crate::mutex::lock;
use crate::rewrite::{BLOCK_BYTES, Blocks, MAP_BYTES};

/// The states with which the note begins. Earlier versions wrote `failed`, and `sound ` both while the store was open and after.
const IN_USE: &[u8; STATE_BYTES] = b"in use\n";
const CLEAN: &[u8; STATE_BYTES] = b"clean \n";
const FAILED: &[u8; STATE_BYTES] = b"failed\n";
const STATE_BYTES: usize = 7;
/// After the state: the file that something is being erased from, by kind and number.
const ERASING_BYTES: usize = "journal 0123456789abcdef\n".len();
/// After that: a bit for each block of sled's `db`.
const MAP_AT: usize = STATE_BYTES + ERASING_BYTES;
/// What the previous run has left.
#[derive(Debug)]
pub(crate) enum Left {
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
        // From a version without the map, or cut short by a power cut: nothing is known.
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

/// The note of an open store. It holds the lock.
#[derive(Debug)]
pub(crate) struct Note {
    lock: File,
    dir: PathBuf,
    map: Mutex<Map>,
}

/// What sled has written to its `db`.
#[derive(Debug)]
struct Map {
    /// Blocks written since the last full sync began.
    since: Blocks,
    /// Blocks written before that, until it has succeeded.
    before: Blocks,
    /// The writes that are going on, by first and last block.
    writing: Vec<(u64, u64)>,
    has_failed: bool,
}

impl Note {
    /// Notes that the store is in use. Everything that the previous run [has left](read) must have been written again by then.
    ///
    /// # Errors
    /// I/O errors. The note is then as it was.
    pub(crate) fn begin(lock: File, dir: &Path) -> Result<Arc<Note>, Error> {
        let length = lock.metadata().map_err(Error::io("measure the lock file in", dir))?.len();
        let map = Map { since: Blocks::none(), before: Blocks::none(), writing: Vec::new(), has_failed: false };
        let note = Note { lock, dir: dir.to_owned(), map: Mutex::new(map) };
        note.write_all(IN_USE)?;
        if length < (MAP_AT + MAP_BYTES) as u64 {
            // Its size, so that a power cut does not take it.
            note.lock.sync_all().map_err(note.failed())?;
        }
        Ok(Arc::new(note))
    }

    /// Notes that everything is on the disk, unless something has failed or is being written.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let map = lock(&self.map);
        if map.has_failed || !map.writing.is_empty() { Ok(()) } else { self.write_all(CLEAN) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> Error {
        Error::io("write the lock file in", &self.dir)
    }

    fn write_all(&self, state: &[u8; STATE_BYTES]) -> Result<(), Error> {
        let mut note = state.to_vec();
        note.resize(MAP_AT + MAP_BYTES, 0);
        self.write_at(&note, 0).map_err(self.failed())
    }

    /// Not by the C library's function, which [is ours](mod@crate::syscalls) and would call this.
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
    pub(crate) fn fail(&self) {
        lock(&self.map).has_failed = true;
        if let Err(error) = self.write_at(FAILED, 0) {
            // It stays "in use" then.
            tracing::error!(%error, "can't note the failure for the next start");
        }
    }

    /// Notes that something is about to be erased from this file.
    ///
    /// # Errors
    /// I/O errors, after which nothing must be erased.
    pub(crate) fn erasing(&self, file: FileId) -> Result<(), Error> {
        self.write_at(name_of(file).as_bytes(), STATE_BYTES).map_err(self.failed())
    }

    /// Notes blocks before they are written.
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

    /// To be called before all of sled's files are flushed and synced.
    pub(crate) fn begin_sync(&self) {
        let mut map = lock(&self.map);
        let since = std::mem::replace(&mut map.since, Blocks::none());
        map.before.add_all(&since);
        let Map { since, writing, .. } = &mut *map;
        writing.iter().flat_map(|(first, last)| *first..=*last).for_each(|block| since.add(block));
    }

    /// Notes that the sync has succeeded: what was written before it began is on the disk.
    pub(crate) fn end_sync(&self) -> Result<(), Error> {
        let mut map = lock(&self.map);
        self.write_at(&map.since.0, MAP_AT).map_err(self.failed())?;
        map.before = Blocks::none();
        Ok(())
    }
}

/// Reads what the previous run has left, in a data directory that is locked.
pub(crate) fn read(lock: &File, dir: &Path) -> Result<Left, Error> {
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
    Ok(Left::of(&found))
}

/// From now on, notes what sled writes to this file.
pub(crate) fn watch(note: &Arc<Note>, db: &Path) -> Result<(), Error> {
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

/// A write that is going on. Its blocks stay noted until they are synced.
pub(crate) struct Writing {
    note: Arc<Note>,
    first: u64,
    last: u64,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.note.end_write(self.first, self.last);
    }
}

/// Notes a write before it is made, if the file is [watched](watch).
///
/// # Errors
/// I/O errors, after which nothing must be written.
pub(crate) fn writing(fd: BorrowedFd<'_>, at: u64, bytes: usize) -> io::Result<Option<Writing>> {
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
pub(crate) fn fail_all() {
    let notes: Vec<_> = lock(&WATCHED).iter().filter_map(|watched| watched.note.upgrade()).collect();
    notes.iter().for_each(|note| note.fail());
}

/// Notes that a new store, which nobody has opened yet, is on the disk.
pub(crate) fn note_made(lock: &File, dir: &Path) -> Result<(), Error> {
    lock.write_all_at(CLEAN, 0).map_err(Error::io("write the lock file in", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::BLOCKS;

    fn found(dir: &Path) -> Left {
        Left::of(&std::fs::read(dir.join("lock")).unwrap())
    }

    fn open_note(dir: &Path) -> (Arc<Note>, bool) {
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(dir.join("lock"));
        let lock = lock.unwrap();
        let is_unclean = !matches!(read(&lock, dir).unwrap(), Left::Clean);
        (Note::begin(lock, dir).unwrap(), is_unclean)
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
        let (note, is_unclean) = open_note(dir);
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
        open_note(dir).0.close().unwrap();
        assert!(matches!(found(dir), Left::Clean));
        let (note, is_unclean) = open_note(dir);
        assert!(!is_unclean);
        note.begin_write(7, 7).unwrap();
        note.close().unwrap();
        assert_eq!(written(dir), [7]);
        note.end_write(7, 7);
        note.fail();
        note.close().unwrap();
        assert!(matches!(found(dir), Left::Failed));
        let (note, is_unclean) = open_note(dir);
        assert!(is_unclean);
        for file in [FileId::Journal(0xab), FileId::Segment(u64::MAX)] {
            note.erasing(file).unwrap();
            assert!(matches!(found(dir), Left::Unclean { erasing: Some(found), .. } if found == file));
        }
    }
}
