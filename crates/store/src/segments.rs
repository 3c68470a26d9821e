//! The files that messages are in: chunks in files that are only appended to, and removed when nothing in them is wanted any
//! more.
//!
//! A chunk that a commit has written in one piece, and that is large enough, stays in the journal. Others are
//! gathered by room and written once more, into segments: `segments/<number>.segment`, 16 hex digits. Both are the [same
//! bytes](crate::chunk::encode), with their own checksum. The index is in sled. A chunk is durable before the index leads to it,
//! and the index forgets it, durably, before its file is removed. What is left in a sparse file is written once more.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{IoSliceMut, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustix::io::ReadWriteFlags;

use crate::chunk::Parsed;
use crate::error::Error;
use crate::files::{FileId, Place, journal_path, numbered, segment_path, sync_dir, sync_erased, zero};
use crate::limits::{OPEN_FILES_MAX, SEGMENT_BYTES};
use crate::mutex::lock;
use crate::note::Note;

/// The segment that is written to.
#[derive(Debug)]
struct Current {
    number: u64,
    file: File,
    path: PathBuf,
    at: u64,
}

/// The files, to read from and to append to.
#[derive(Debug)]
pub struct Segments {
    dir: PathBuf,
    journal_dir: PathBuf,
    open: Mutex<HashMap<FileId, Arc<File>>>,
    current: Mutex<Option<Current>>,
    retired: Mutex<Vec<FileId>>,
    note: Option<Arc<Note>>,
}

/// Whether a file still has a name.
fn is_there(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

impl Segments {
    /// The files of a data directory. This reads and creates nothing yet.
    pub fn of(data_dir: &Path) -> Segments {
        Segments {
            dir: data_dir.join("segments"),
            journal_dir: data_dir.join("journal"),
            open: Mutex::default(),
            current: Mutex::default(),
            retired: Mutex::default(),
            note: None,
        }
    }

    /// The same for an open store.
    pub(crate) fn noted(self, note: Arc<Note>) -> Segments {
        Segments { note: Some(note), ..self }
    }

    /// The note of what is not synced.
    pub(crate) fn note(&self) -> Option<&Note> {
        self.note.as_deref()
    }

    /// Notes that something is about to be erased from this file.
    ///
    /// # Errors
    /// I/O errors, after which nothing must be erased.
    pub(crate) fn erasing(&self, file: FileId) -> Result<(), Error> {
        self.note().map_or(Ok(()), |note| note.erasing(file))
    }

    /// A file's path.
    pub fn path(&self, file: FileId) -> PathBuf {
        match file {
            FileId::Journal(number) => journal_path(&self.journal_dir, number),
            FileId::Segment(number) => segment_path(&self.dir, number),
        }
    }

    /// The numbers of the segments, in order; none if their directory does not exist.
    ///
    /// # Errors
    /// I/O errors.
    pub fn numbers(&self) -> Result<Vec<u64>, Error> {
        if !self.dir.exists() {
            return Ok(Vec::new());
        }
        numbered(&self.dir, ".segment")
    }

    /// Appends chunks and makes them durable. Returns the file, and where in it they begin.
    ///
    /// # Errors
    /// I/O errors, after which nothing more may be written.
    pub fn append(&self, chunks: &[u8]) -> Result<(FileId, u64), Error> {
        let mut guard = lock(&self.current);
        let mut before = 0;
        if let Some(full) = guard.take_if(|current| current.at >= SEGMENT_BYTES) {
            before = full.number;
            lock(&self.retired).push(FileId::Segment(full.number));
        }
        let current = match guard.take() {
            Some(current) => guard.insert(current),
            None => guard.insert(self.begin(before)?),
        };
        current.file.write_all(chunks).map_err(Error::io("write the segment", &current.path))?;
        current.file.sync_data().map_err(Error::io("sync the segment", &current.path))?;
        let at = current.at;
        current.at += chunks.len() as u64;
        Ok((FileId::Segment(current.number), at))
    }

    /// Creates a segment with a number above `before` and all others, and makes its name durable.
    fn begin(&self, before: u64) -> Result<Current, Error> {
        let number = self.numbers()?.last().map_or(0, |last| *last).max(before) + 1;
        let path = self.path(FileId::Segment(number));
        let opened = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = opened.map_err(Error::io("create the segment", &path))?;
        sync_dir(&self.dir)?;
        Ok(Current { number, file, path, at: 0 })
    }

    /// Takes the list of segments that have become full.
    pub(crate) fn retired(&self) -> Vec<FileId> {
        std::mem::take(&mut lock(&self.retired))
    }

    /// A chunk's bytes, unchecked.
    ///
    /// # Errors
    /// I/O errors.
    pub fn read(&self, place: &Place) -> Result<Bytes, Error> {
        let mut bytes = vec![0; place.bytes as usize];
        let file = self.file(place.file)?;
        let read = file.read_exact_at(&mut bytes, place.at);
        read.map_err(|error| Error::io("read messages from", &self.path(place.file))(error))?;
        Ok(bytes.into())
    }

    /// A chunk's bytes if the system has them in memory; none if the read would have to wait for the disk, or the system can't
    /// tell.
    ///
    /// # Errors
    /// The file can't be opened.
    pub(crate) fn read_cached(&self, place: &Place) -> Result<Option<Bytes>, Error> {
        let mut bytes = vec![0; place.bytes as usize];
        let file = self.file(place.file)?;
        let pieces = &mut [IoSliceMut::new(&mut bytes)];
        let read = rustix::io::preadv2(&file, pieces, place.at, ReadWriteFlags::NOWAIT);
        Ok((read == Ok(place.bytes as usize)).then(|| bytes.into()))
    }

    fn open_to_erase(&self, file: FileId) -> Result<Option<(File, PathBuf)>, Error> {
        let path = self.path(file);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            opened => Ok(Some((opened.map_err(Error::io("open", &path))?, path))),
        }
    }

    /// Overwrites chunks of a file with zeros, durably, if chunks with these checksums are there: a file that is gone, or has
    /// been created again under the same name, is left alone.
    pub(crate) fn erase(&self, file: FileId, chunks: &[(Place, u32)]) -> Result<(), Error> {
        self.erasing(file)?;
        let Some((file, path)) = self.open_to_erase(file)? else { return Ok(()) };
        for (place, crc) in chunks {
            let mut bytes = vec![0; place.bytes as usize];
            if file.read_exact_at(&mut bytes, place.at).is_ok()
                && Parsed::of(bytes.into()).is_some_and(|chunk| chunk.crc() == *crc)
            {
                zero(&file, &path, place.at, place.bytes)?;
            }
        }
        sync_erased(&file, &path)
    }

    /// Overwrites with zeros, durably, everything in a file outside these parts, given by begin and end. They may lie beyond the
    /// end of a file that was cut short.
    pub(crate) fn erase_all_but(&self, file: FileId, mut wanted: Vec<(u64, u64)>) -> Result<(), Error> {
        self.erasing(file)?;
        let Some((file, path)) = self.open_to_erase(file)? else { return Ok(()) };
        let length = file.metadata().map_err(Error::io("measure", &path))?.len();
        wanted.sort_unstable();
        wanted.push((length, length));
        let (mut at, mut is_changed) = (0, false);
        let mut piece = vec![0; 64 * 1024];
        for (begin, end) in wanted {
            while at < begin.min(length) {
                let most = usize::try_from(begin.min(length) - at).unwrap_or(usize::MAX).min(piece.len());
                let part = piece.get_mut(..most).unwrap_or_default();
                // What can't be read isn't wanted either, and may contain text.
                if file.read_exact_at(part, at).is_err() || part.iter().any(|byte| *byte != 0) {
                    // A piece is far under 4 GiB.
                    zero(&file, &path, at, u32::try_from(most).unwrap_or(0))?;
                    is_changed = true;
                }
                at += most as u64;
            }
            at = at.max(end);
        }
        if is_changed { sync_erased(&file, &path) } else { Ok(()) }
    }

    fn file(&self, id: FileId) -> Result<Arc<File>, Error> {
        if let Some(file) = lock(&self.open).get(&id) {
            return Ok(file.clone());
        }
        let path = self.path(id);
        let file = Arc::new(File::open(&path).map_err(Error::io("open", &path))?);
        self.hold(id, &file);
        Ok(file)
    }

    /// Keeps a file open for the next reader.
    fn hold(&self, id: FileId, file: &Arc<File>) {
        let mut open = lock(&self.open);
        if open.len() >= OPEN_FILES_MAX
            && let Some(any) = open.keys().next().copied()
        {
            open.remove(&any);
        }
        // A file that was removed meanwhile must not be kept: its space would be free only when nobody has it open.
        if is_there(file) {
            open.insert(id, file.clone());
        }
    }

    /// Removes a file in which nothing is wanted any more. If it comes back after a crash, a start removes it again.
    ///
    /// # Errors
    /// I/O errors.
    pub fn remove(&self, file: FileId) -> Result<(), Error> {
        let path = self.path(file);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove the file", &path)(error));
            }
            _ => {}
        }
        // Afterwards: whoever opens a file checks that it exists before keeping it open.
        lock(&self.open).remove(&file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_removed_while_it_is_opened_is_not_held() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("segments")).unwrap();
        let segments = Segments::of(dir.path());
        let (id, _) = segments.append(&[7; 100]).unwrap();
        let opened = Arc::new(File::open(segments.path(id)).unwrap());
        segments.hold(id, &opened);
        assert_eq!(lock(&segments.open).len(), 1);
        segments.remove(id).unwrap();
        segments.hold(id, &opened);
        assert!(lock(&segments.open).is_empty());
    }

    #[test]
    fn what_is_wanted_is_kept_also_where_the_file_was_cut_short() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("segments")).unwrap();
        let segments = Segments::of(dir.path());
        let (file, at) = segments.append(&[7; 100]).unwrap();
        assert_eq!(at, 0);
        segments.erase_all_but(file, vec![(90, 110), (10, 20), (150, 160)]).unwrap();
        let left = std::fs::read(segments.path(file)).unwrap();
        let kept = |at: usize| (10..20).contains(&at) || at >= 90;
        let wanted: Vec<u8> = (0..100).map(|at| if kept(at) { 7 } else { 0 }).collect();
        assert_eq!(left, wanted);
    }
}
