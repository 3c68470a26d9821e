//! Applying commits to the trees.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Tables;
use crate::chunk::{self, Chunk};
use crate::commit::{Commit, Op};
use crate::error::Error;
use crate::files::{FileId, Spot};
use crate::group::{self, GroupRecord};
use crate::key;
use crate::limits::CHUNK_IN_PLACE_MIN_BYTES;
use crate::marks;
use crate::record::{self, Last, Stored};

/// A durable commit, and its place in the journal.
#[derive(Clone, Debug)]
pub struct Journaled {
    /// The commit.
    pub commit: Arc<Commit>,
    /// The chunks in it, relative to `spot`; none from the first release.
    pub chunks: Vec<Chunk>,
    /// The place of its payload.
    pub spot: Spot,
}

/// The most bytes and records in one batch. They bound sled's memory: it frees what a batch replaces only after the batch.
const BATCH_BYTES: usize = 1024 * 1024;
const BATCH_RECORDS: usize = 256;

pub(super) struct Batch<'a> {
    tree: &'a sled::Tree,
    batch: sled::Batch,
    bytes: usize,
    records: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn of(tree: &'a sled::Tree) -> Self {
        Batch { tree, batch: sled::Batch::default(), bytes: 0, records: 0 }
    }

    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), sled::Error> {
        self.batch.insert(key, value);
        self.took(key.len() + value.len())
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Result<(), sled::Error> {
        self.batch.remove(key);
        self.took(key.len())
    }

    fn took(&mut self, bytes: usize) -> Result<(), sled::Error> {
        self.bytes += bytes;
        self.records += 1;
        if self.bytes >= BATCH_BYTES || self.records >= BATCH_RECORDS { self.apply() } else { Ok(()) }
    }

    pub(super) fn apply(&mut self) -> Result<(), sled::Error> {
        (self.bytes, self.records) = (0, 0);
        self.tree.apply_batch(std::mem::take(&mut self.batch))
    }
}

impl Tables {
    /// Drops a room's chunks past its last seq.
    fn drop_unfinished(&self, room: u64) -> Result<(), Error> {
        let next = self.last().get(&room).map_or(0, |last| last.seq) + 1;
        for entry in self.messages.range(key::chunk(room, next, 0)..=key::chunk(room, u64::MAX, u32::MAX)) {
            let (key, _) = entry.map_err(self.failed("read messages"))?;
            self.messages.remove(key).map_err(self.failed("drop messages"))?;
        }
        Ok(())
    }

    /// Applies again the commits that the journal has past the checkpoint.
    ///
    /// # Errors
    /// As [`apply`](Tables::apply).
    pub fn replay(&self, commits: &[Journaled]) -> Result<(), Error> {
        let mut rooms: Vec<u64> =
            commits.iter().flat_map(|journaled| journaled.commit.messages()).map(|(room, _)| room).collect();
        rooms.sort_unstable();
        rooms.dedup();
        for room in rooms {
            self.drop_unfinished(room)?;
        }
        self.apply_all(commits, true).map(drop)
    }

    /// Applies commits: large chunks stay in the journal, the others are gathered by room into a segment. Durable only after
    /// [`checkpoint`](Tables::checkpoint). Returns by how many bytes redactions have made rooms larger.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a room's messages are not consecutive.
    pub fn apply(&self, commits: &[Journaled]) -> Result<Vec<(u64, i64)>, Error> {
        self.apply_all(commits, false)
    }

    fn apply_all(&self, commits: &[Journaled], is_again: bool) -> Result<Vec<(u64, i64)>, Error> {
        self.mark(commits)?;
        let all = || commits.iter().flat_map(|journaled| &journaled.commit.ops);
        // Only a start finds any: what is gone of a deleted room does not come back.
        let deleted = self.deleted_rooms().clone();
        let ops = || all().filter(|op| !op.room().is_some_and(|room| deleted.contains(&room)));
        // Messages first: a room's last seq never claims more than is there.
        let lasts = self.apply_messages(commits, &deleted)?;
        self.write_rest(ops(), &lasts).map_err(self.failed("write"))?;
        let larger = self.redact(ops(), is_again)?;
        self.delete(ops())?;
        Ok(larger)
    }

    fn mark(&self, commits: &[Journaled]) -> Result<(), Error> {
        let mut new = commits.iter().flat_map(|journaled| journaled.commit.marks()).peekable();
        if new.peek().is_none() {
            return Ok(());
        }
        let mut marks = self.marks()?;
        new.for_each(|mark| marks::push(&mut marks, mark));
        self.meta.insert(super::MARKS_KEY, marks::encode(&marks)).map_err(self.failed("write the marks"))?;
        Ok(())
    }

    /// Settings before what belongs to a room, and its last seq before its cursors, so that what a kill leaves is consistent.
    fn write_rest<'a>(
        &self,
        ops: impl Iterator<Item = &'a Op> + Clone,
        lasts: &[(u64, Last)],
    ) -> Result<(), sled::Error> {
        let mut rooms = Batch::of(&self.rooms);
        for op in ops.clone() {
            if let Op::Room { room, record } | Op::Change { room, record } = op {
                rooms.insert(&key::room(*room), &record.encode())?;
            }
        }
        rooms.apply()?;
        let mut records = Batch::of(&self.lasts);
        for (room, last) in lasts {
            records.insert(&key::room(*room), &last.encode())?;
        }
        records.apply()?;
        let mut members = Batch::of(&self.members);
        let mut accesses = Batch::of(&self.access);
        let mut ids = Batch::of(&self.ids);
        // Each is written once, however often it has changed.
        let mut groups: HashMap<Vec<u8>, Option<GroupRecord>> = HashMap::new();
        let mut nicks = Batch::of(&self.nicks);
        for op in ops {
            match op {
                // Marks are done before this, redactions and then deletions after it.
                Op::Room { .. } | Op::Change { .. } | Op::Redact { .. } | Op::Delete { .. } | Op::Mark { .. } => {}
                Op::Group { room, group, .. } | Op::Ungroup { room, group } | Op::Done { room, group, .. } => {
                    let key = key::member(*room, &group::member_name(group));
                    let record = match groups.remove(&key) {
                        Some(record) => record,
                        // One that can't be decoded can't have been loaded, so no running daemon has it.
                        None => self.members.get(&key)?.and_then(|value| GroupRecord::decode(&value)),
                    };
                    groups.insert(key, grouped(record, op));
                }
                Op::Access { room, client, access: Some(access) } => {
                    accesses.insert(&key::member(*room, client), &access.encode())?;
                }
                Op::Access { room, client, access: None } => accesses.remove(&key::member(*room, client))?,
                Op::Join { room, client } => members.insert(&key::member(*room, client), &record::encode_seq(0))?,
                Op::Leave { room, client } => members.remove(&key::member(*room, client))?,
                Op::Cursor { room, client, seq } => {
                    members.insert(&key::member(*room, client), &record::encode_seq(*seq))?;
                }
                Op::Nick { client, nick } => nicks.insert(client.as_bytes(), &record::encode_nick(nick))?,
                Op::Message { room, message } => {
                    // What a start applies again may have expired.
                    let floor = || self.last().get(room).map_or(0, |last| last.floor);
                    if let Some(id) = &message.id
                        && message.seq > floor()
                    {
                        let key = key::message_id(*room, &message.client, id);
                        ids.insert(&key, &record::encode_seq(message.seq))?;
                    }
                }
            }
        }
        for (key, record) in &groups {
            match record {
                Some(record) => members.insert(key, &record.encode())?,
                None => members.remove(key)?,
            }
        }
        [members, accesses, ids, nicks].iter_mut().try_for_each(Batch::apply)
    }

    /// Returns the counters of the rooms that have changed.
    fn apply_messages(&self, commits: &[Journaled], deleted: &BTreeSet<u64>) -> Result<Vec<(u64, Last)>, Error> {
        let mut by_room: BTreeMap<u64, OfRoom<'_>> = BTreeMap::new();
        for Journaled { commit, chunks, spot } in commits {
            for (room, message) in commit.messages().filter(|(room, _)| !deleted.contains(room)) {
                by_room.entry(room).or_default().messages.push(message);
            }
            let in_place = |chunk: &&Chunk| chunk.bytes >= CHUNK_IN_PLACE_MIN_BYTES && !deleted.contains(&chunk.room);
            for chunk in chunks.iter().filter(in_place) {
                let in_file = Chunk { at: spot.at + chunk.at, ..*chunk };
                by_room.entry(chunk.room).or_default().in_place.push((spot.file, in_file));
            }
        }
        let mut lasts = Vec::new();
        let (mut gathered, mut bytes) = (Vec::new(), Vec::new());
        let mut index = Vec::new();
        for (room, OfRoom { mut messages, in_place }) in by_room {
            let mut last = self.last().get(&room).copied().unwrap_or_default();
            messages.retain(|message| message.seq > last.seq);
            let Some(newest) = messages.last() else { continue };
            if newest.seq != last.seq + messages.len() as u64 {
                return Err(
                    self.damaged(format!("room {room} has {} as its last seq, {} is to follow", last.seq, newest.seq))
                );
            }
            let mut rest = messages.as_slice();
            let mut gather = |messages: &[&Stored]| {
                for group in chunk::groups(messages, |message| message) {
                    gathered.push(chunk::encode(room, group.iter().copied(), &mut bytes));
                }
            };
            for (file, chunk) in in_place.into_iter().filter(|(_, chunk)| chunk.first_seq > last.seq) {
                let (before, from) = rest.split_at(rest.partition_point(|message| message.seq < chunk.first_seq));
                gather(before);
                index.push((file, chunk));
                rest = from.split_at(from.partition_point(|message| message.seq <= chunk.last_seq)).1;
            }
            gather(rest);
            let bytes: usize = messages.iter().map(|message| chunk::stored_bytes(message)).sum();
            let (seq, time_ms) = (newest.seq, newest.time_ms);
            last = Last { seq, time_ms, floor: last.floor, bytes: last.bytes + bytes as u64 };
            lasts.push((room, last));
        }
        if !gathered.is_empty() {
            // Durable before the index leads to it: the index may be on the disk before its checkpoint.
            let (file, base) = self.segments.append(&bytes)?;
            index.extend(gathered.into_iter().map(|chunk| (file, Chunk { at: base + chunk.at, ..chunk })));
        }
        self.index(&index)?;
        self.last().extend(lasts.iter().copied());
        Ok(lasts)
    }

    pub(super) fn index(&self, chunks: &[(FileId, Chunk)]) -> Result<(), Error> {
        let mut batch = Batch::of(&self.messages);
        for (file, chunk) in chunks {
            let key = key::chunk(chunk.room, chunk.first_seq, 0);
            batch.insert(&key, &chunk::encode_place(*file, chunk)).map_err(self.failed("write messages"))?;
            self.references().entry(*file).or_default().add(chunk.bytes);
        }
        batch.apply().map_err(self.failed("write messages"))
    }
}

/// A group's record after an op.
fn grouped(record: Option<GroupRecord>, op: &Op) -> Option<GroupRecord> {
    match op {
        Op::Group { cursor, timeout_ms, .. } => {
            let new = || GroupRecord { cursor: *cursor, ..GroupRecord::default() };
            Some(GroupRecord { timeout_ms: *timeout_ms, ..record.unwrap_or_else(new) })
        }
        Op::Done { seq, floor, .. } => {
            let mut record = record?;
            record.set_done(*seq, *floor);
            Some(record)
        }
        _ => None,
    }
}

/// What commits have for one room, in order.
#[derive(Default)]
struct OfRoom<'a> {
    messages: Vec<&'a Stored>,
    in_place: Vec<(FileId, Chunk)>,
}
