//! Sparse files, in which little is wanted: that is written once more, into a segment, so that they can be removed.
//!
//! Rooms keep their messages for different times, but share files. Without this, one message that its room keeps for a year would
//! keep the file for a year, with everything else that was sent while the file was written.

use std::collections::BTreeSet;

use super::Tables;
use crate::chunk::{self, Chunk, Parsed};
use crate::error::Error;
use crate::files::FileId;

/// A file is sparse if less than one byte in this many is wanted. So messages take at most this many times their size on disk,
/// and a message that will soon expire is seldom written again.
const SPARSE: u64 = 4;

impl Tables {
    /// The wanted bytes of a file, if it is sparse.
    pub(crate) fn sparse_bytes(&self, file: FileId) -> Option<u64> {
        let wanted = self.references().get(&file).map_or(0, |wanted| wanted.bytes);
        // A file that is gone needs no compaction.
        let length = self.segments.path(file).metadata().ok()?.len();
        (wanted * SPARSE < length).then_some(wanted)
    }

    /// Writes what is wanted in these files once more, and points the index there. Nothing must be written to the files any more.
    /// They may be removed after the next checkpoint. Returns the files in which something can't be read: they are left as they
    /// are.
    ///
    /// # Errors
    /// Errors of sled, or of a write; [`Error::Damaged`] if a record can't be decoded.
    pub(crate) fn compact(&self, files: &BTreeSet<FileId>) -> Result<BTreeSet<FileId>, Error> {
        let mut found = Vec::new();
        let mut unreadable = BTreeSet::new();
        for entry in &self.messages {
            let (key, value) = entry.map_err(self.failed("read where messages stand"))?;
            let place = chunk::place_of(&key, &value).ok_or_else(|| self.damaged("where messages stand"))?;
            let Some((place, chunk)) = place.filter(|(place, _)| files.contains(&place.file)) else { continue };
            let is_whole = |read: &bytes::Bytes| Parsed::beginning_with(chunk.first_seq, read.clone()).is_some();
            match self.segments.read(&place).ok().filter(is_whole) {
                Some(read) => found.push((place, chunk, read)),
                None => drop(unreadable.insert(place.file)),
            }
        }
        // Their files stay. A chunk that had been moved out of them and was redacted later would be erased in the new place only.
        found.retain(|(place, ..)| !unreadable.contains(&place.file));
        let (mut bytes, mut chunks, mut moved) = (Vec::new(), Vec::new(), Vec::new());
        for (place, chunk, read) in found {
            chunks.push(Chunk { at: bytes.len() as u64, ..chunk });
            bytes.extend_from_slice(&read);
            moved.push(place);
        }
        if chunks.is_empty() {
            return Ok(unreadable);
        }
        // Durable before the index leads to it: the index may be on the disk before its checkpoint.
        let (file, base) = self.segments.append(&bytes)?;
        let index: Vec<_> = chunks.into_iter().map(|chunk| (file, Chunk { at: base + chunk.at, ..chunk })).collect();
        self.index(&index)?;
        for place in moved {
            self.let_go(&place);
        }
        Ok(unreadable)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::limits::SEGMENT_BYTES;
    use crate::record::{Kind, Stored};
    use crate::segments::Segments;

    fn stored(seq: u64, kept_ms: u64, body: &[u8]) -> Stored {
        let (client, body) = ("alice".into(), Bytes::copy_from_slice(body));
        Stored { seq, time_ms: kept_ms, kept_ms, client, id: None, body, kind: Kind::Plain }
    }

    /// A segment with a little of room 1 and much of room 2.
    fn tables(dir: &std::path::Path) -> (Tables, FileId) {
        std::fs::create_dir(dir.join("segments")).unwrap();
        Tables::create(&dir.join("sled")).unwrap();
        let tables = Tables::open(&dir.join("sled"), Segments::of(dir)).unwrap();
        let mut bytes = Vec::new();
        let chunks = [
            chunk::encode(1, [stored(1, 10, b"keep"), stored(2, 20, b"this")].iter(), &mut bytes),
            chunk::encode(2, [stored(1, 10, &[b'x'; 1000])].iter(), &mut bytes),
            chunk::encode(1, [stored(3, 30, b"too")].iter(), &mut bytes),
        ];
        let (file, base) = tables.segments().append(&bytes).unwrap();
        tables.index(&chunks.map(|chunk| (file, Chunk { at: base + chunk.at, ..chunk }))).unwrap();
        (tables, file)
    }

    fn room_1(tables: &Tables) -> Vec<Stored> {
        let chunks = [1, 3].map(|seq| tables.chunk_at(1, seq).unwrap().unwrap().to_stored());
        chunks.concat()
    }

    #[test]
    fn what_is_wanted_stays_and_the_file_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (tables, file) = tables(dir.path());
        assert_eq!(tables.sparse_bytes(file), None, "all of it is wanted");
        tables.drop_before(2, 15, 1, |_, _, _| {}).unwrap();
        assert!(tables.is_wanted(file) && tables.sparse_bytes(file).is_some());
        // Nothing is written to it any more.
        tables.segments().append(&vec![0; SEGMENT_BYTES as usize]).unwrap();
        let before = room_1(&tables);
        assert_eq!(tables.compact(&BTreeSet::from([file])).unwrap(), BTreeSet::new());
        assert!(!tables.is_wanted(file));
        tables.count_references().unwrap();
        assert!(!tables.is_wanted(file));
        tables.segments().remove(file).unwrap();
        assert_eq!(room_1(&tables), before);
        // And it expires like any other.
        tables.drop_before(1, 100, 8, |_, _, _| {}).unwrap();
        assert!(tables.references().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (tables, file) = tables(dir.path());
        let path = tables.segments().path(file);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let before = tables.references()[&file].chunks;
        assert_eq!(tables.compact(&BTreeSet::from([file])).unwrap(), BTreeSet::from([file]));
        assert_eq!(tables.references()[&file].chunks, before, "nothing has been moved");
        assert!(tables.chunk_at(1, 1).is_err());
        assert_eq!(tables.chunk_at(1, 3).unwrap().unwrap().to_stored(), [stored(3, 30, b"too")]);
    }
}
