//! Redacted messages: removed from what the trees lead to, and then from the disk.
//!
//! A chunk with a redacted message is written anew without the body, and the index leads there. The old chunk stays until a
//! checkpoint has made that durable. Then it is overwritten with zeros, and so is the chunk that the commit had written to the
//! journal. Each erasure is noted in a tree of its own before the index changes, so no crash loses one.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use bytes::BufMut;

use super::Tables;
use crate::chunk::{self, Chunk};
use crate::commit::Op;
use crate::error::Error;
use crate::files::{FileId, Place};
use crate::key;
use crate::record::{Kind, Reader, Stored, VERSION};

/// A redacted message whose body may still be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The message's room.
    pub room: u64,
    /// The message's seq.
    pub seq: u64,
    /// When it was accepted, on the kept clock: this leads to the commit that wrote it.
    pub kept_ms: u64,
    /// The chunk that the index led to, and its checksum; none if that one is erased, or was in sled itself.
    pub stood: Option<(Place, u32)>,
}

impl Erasure {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64_le(self.kept_ms);
        match &self.stood {
            None => out.put_u8(0),
            Some((place, crc)) => {
                let (kind, number) = match place.file {
                    FileId::Journal(number) => (1, number),
                    FileId::Segment(number) => (2, number),
                };
                out.put_u8(1);
                out.put_u32_le(*crc);
                out.put_u8(kind);
                out.put_u64_le(number);
                out.put_u64_le(place.at);
                out.put_u32_le(place.bytes);
            }
        }
        out
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Erasure> {
        let (room, seq, _) = key::parse_chunk(key)?;
        let mut reader = Reader::versioned(value)?;
        let kept_ms = reader.u64()?;
        let stood = match reader.u8()? {
            0 => None,
            _ => {
                let crc = reader.u32()?;
                let (kind, number) = (reader.u8()?, reader.u64()?);
                let file = if kind == 1 { FileId::Journal(number) } else { FileId::Segment(number) };
                Some((Place { file, at: reader.u64()?, bytes: reader.u32()? }, crc))
            }
        };
        reader.end(Erasure { room, seq, kept_ms, stood })
    }
}

impl Tables {
    /// Carries out redactions. Returns by how many bytes they have made rooms larger. A failed read is an error, so that the next
    /// start tries again. With `is_again`, a start, messages that are gone are skipped: nothing can show them either.
    pub(super) fn redact<'a>(
        &self,
        ops: impl Iterator<Item = &'a Op>,
        is_again: bool,
    ) -> Result<Vec<(u64, i64)>, Error> {
        let mut larger = Vec::new();
        let mut by_room: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
        for op in ops {
            if let Op::Redact { room, seq, by } = op {
                by_room.entry(*room).or_default().insert(*seq, *by);
            }
        }
        for (room, mut redacted) in by_room {
            while let Some((&seq, _)) = redacted.first_key_value() {
                match self.redact_chunk(room, seq, &redacted) {
                    Ok((through, bytes)) => {
                        larger.push((room, bytes));
                        redacted = redacted.split_off(&(through.max(seq) + 1));
                    }
                    // A damaged message can't be shown either. The other messages and rooms go on. Not so if a write has failed.
                    Err(error) if is_of_these_messages(&error, is_again) => {
                        tracing::error!("{error}; message {seq} of room number {room} can't be redacted in the store");
                        redacted.remove(&seq);
                    }
                    Err(error) => return Err(error),
                }
            }
            if is_again {
                self.count_again(room)?;
            }
        }
        Ok(larger)
    }

    /// Counts the bytes of the room's messages: a kill may have come between a redaction and the room's record.
    fn count_again(&self, room: u64) -> Result<(), Error> {
        let mut last = self.last().get(&room).copied().unwrap_or_default();
        last.bytes = 0;
        for entry in self.messages.range(key::chunk(room, 0, 0)..=key::chunk(room, u64::MAX, u32::MAX)) {
            let (key, value) = entry.map_err(self.failed("read messages"))?;
            let counted = match chunk::place_of(&key, &value).flatten() {
                Some((_, chunk)) => Some((chunk.last_seq, chunk.stored_bytes())),
                // One of the first release is counted at its first part.
                None if key::parse_chunk(&key).is_some_and(|(.., part)| part > 0) => None,
                None => match self.chunk(room, &key, &value) {
                    Ok(chunk) => chunk.last().map(|newest| (newest.seq, chunk.stored_bytes())),
                    // The damage was reported; the count stays as it was.
                    Err(error) if is_of_these_messages(&error, true) => return Ok(()),
                    Err(error) => return Err(error),
                },
            };
            // A kill may also have come between the floor and the messages below it.
            last.bytes += counted.map_or(0, |(newest, bytes)| if newest > last.floor { bytes } else { 0 });
        }
        self.write_last(room, last)
    }

    /// Writes the chunk that has `seq` anew, without the redacted bodies. Returns its last seq, and by how many bytes it became
    /// larger.
    fn redact_chunk(&self, room: u64, seq: u64, redacted: &BTreeMap<u64, u64>) -> Result<(u64, i64), Error> {
        let Some((key, value)) = self.find(room, seq)? else { return Ok((seq, 0)) };
        let parsed = self.chunk(room, &key, &value)?;
        let (Some(first), Some(last)) = (parsed.first().map(|first| first.seq), parsed.last().map(|last| last.seq))
        else {
            return Ok((seq, 0));
        };
        if first > seq {
            return Ok((seq, 0)); // It has expired.
        }
        let mut larger = 0;
        let stood = chunk::place_of(&key, &value).flatten().map(|(place, _)| (place, parsed.crc()));
        let mut messages = parsed.to_stored();
        let mut erasures = Vec::new();
        for message in &mut messages {
            // A start may do again what is done.
            if let Some(by) = redacted.get(&message.seq).filter(|_| !matches!(message.kind, Kind::Redacted(_))) {
                erasures.push(Erasure { room, seq: message.seq, kept_ms: message.kept_ms, stood });
                message.redact(*by);
            }
        }
        if !erasures.is_empty() {
            for erasure in &erasures {
                self.note_erasure(erasure)?;
            }
            larger = self.replace(room, first, parsed.stored_bytes(), &messages)?;
            if let Some((place, _)) = stood {
                self.let_go(&place);
            }
        }
        Ok((last, larger))
    }

    fn note_erasure(&self, erasure: &Erasure) -> Result<(), Error> {
        let key = key::chunk(erasure.room, erasure.seq, 0);
        self.erasures.insert(key, erasure.encode()).map_err(self.failed("note what is to be erased"))?;
        Ok(())
    }

    /// Replaces a chunk by these messages. Returns by how many bytes they are larger.
    fn replace(&self, room: u64, first: u64, bytes_before: u64, messages: &[Stored]) -> Result<i64, Error> {
        let mut bytes = Vec::new();
        let written = chunk::encode(room, messages.iter(), &mut bytes);
        let (file, base) = self.segments.append(&bytes)?;
        // A chunk of the first release has further parts.
        let mut parts = sled::Batch::default();
        for entry in self.messages.range(key::chunk(room, first, 1)..=key::chunk(room, first, u32::MAX)) {
            parts.remove(entry.map_err(self.failed("read messages"))?.0);
        }
        self.index(&[(file, Chunk { at: base + written.at, ..written })])?;
        self.messages.apply_batch(parts).map_err(self.failed("drop messages"))?;
        let mut last = self.last().get(&room).copied().unwrap_or_default();
        let larger = written.stored_bytes().cast_signed() - bytes_before.cast_signed();
        last.bytes = last.bytes.saturating_add_signed(larger);
        self.write_last(room, last)?;
        Ok(larger)
    }

    /// What is still to be erased, at most `max` messages.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a record can't be decoded.
    pub(crate) fn erasures(&self, max: usize) -> Result<Vec<Erasure>, Error> {
        let mut erasures = Vec::new();
        for entry in self.erasures.iter().take(max) {
            let (key, value) = entry.map_err(self.failed("read what is to be erased"))?;
            erasures.push(Erasure::decode(&key, &value).ok_or_else(|| self.damaged("what is to be erased"))?);
        }
        Ok(erasures)
    }

    /// Overwrites the chunks that the index led to, unless it still does, and notes that. Call this only after a checkpoint, and
    /// not for journal files that a start may read.
    pub(crate) fn erase_where_it_stood(&self, erasures: &[Erasure]) -> Result<(), Error> {
        let mut by_file: BTreeMap<FileId, Vec<(Place, u32)>> = BTreeMap::new();
        for erasure in erasures {
            let Some((place, crc)) = erasure.stood else { continue };
            let now =
                self.find(erasure.room, erasure.seq)?.and_then(|(key, value)| chunk::place_of(&key, &value).flatten());
            if now.is_none_or(|(now, _)| now != place) {
                by_file.entry(place.file).or_default().push((place, crc));
            }
        }
        for (file, mut chunks) in by_file {
            chunks.dedup();
            self.segments.erase(file, &chunks)?;
        }
        for erasure in erasures.iter().filter(|erasure| erasure.stood.is_some()) {
            self.note_erasure(&Erasure { stood: None, ..*erasure })?;
        }
        Ok(())
    }

    /// Overwrites everything in these segments that the index does not lead to: what a crash has left of a write that was
    /// repeated. Nothing must be written to them any more.
    pub(crate) fn erase_orphans(&self, segments: &[FileId]) -> Result<(), Error> {
        let mut wanted: BTreeMap<FileId, Vec<(u64, u64)>> = segments.iter().map(|file| (*file, Vec::new())).collect();
        for entry in &self.messages {
            let (key, value) = entry.map_err(self.failed("read where messages stand"))?;
            let place = chunk::place_of(&key, &value).ok_or_else(|| self.damaged("where messages stand"))?;
            let Some((place, _)) = place else { continue };
            if let Some(parts) = wanted.get_mut(&place.file) {
                parts.push((place.at, place.at + u64::from(place.bytes)));
            }
        }
        wanted.into_iter().try_for_each(|(file, parts)| self.segments.erase_all_but(file, parts))
    }

    /// Notes that nothing of this message is left to erase.
    ///
    /// # Errors
    /// Errors of sled.
    pub fn erased(&self, erasure: &Erasure) -> Result<(), Error> {
        let key = key::chunk(erasure.room, erasure.seq, 0);
        self.erasures.remove(key).map_err(self.failed("note what was erased")).map(drop)
    }
}

/// Whether an error says that messages are damaged, or gone. What can't be opened today may be tomorrow, with its text.
fn is_of_these_messages(error: &Error, is_again: bool) -> bool {
    match error {
        Error::Damaged { .. } => true,
        Error::Io { what: "open" | "read messages from", source, .. } => {
            is_again && matches!(source.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_comes_back() {
        let place = Place { file: FileId::Segment(3), at: 4, bytes: 5 };
        for stood in [None, Some((place, 6)), Some((Place { file: FileId::Journal(1 << 40), ..place }, u32::MAX))] {
            let erasure = Erasure { room: 1, seq: 2, kept_ms: 7, stood };
            assert_eq!(Erasure::decode(&key::chunk(1, 2, 0), &erasure.encode()), Some(erasure));
        }
    }
}
