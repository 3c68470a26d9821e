//! Commits into the trees.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Tables;
use crate::error::Error;
use crate::limits::SLED_VALUE_MAX_BYTES;
use crate::store::key;
use crate::store::record::{self, Commit, Last, Op, RoomRecord, Stored};

/// Bytes and records in one batch: bound the memory that sled takes for it. It frees what it replaces only behind a batch.
const BATCH_BYTES: usize = 1024 * 1024;
const BATCH_RECORDS: usize = 256;

/// Changes to one tree, applied a part at a time.
struct Batch<'a> {
    tree: &'a sled::Tree,
    batch: sled::Batch,
    bytes: usize,
    records: usize,
}

impl<'a> Batch<'a> {
    fn of(tree: &'a sled::Tree) -> Self {
        Batch { tree, batch: sled::Batch::default(), bytes: 0, records: 0 }
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), sled::Error> {
        self.batch.insert(key, value);
        self.took(key.len() + value.len())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), sled::Error> {
        self.batch.remove(key);
        self.took(key.len())
    }

    fn took(&mut self, bytes: usize) -> Result<(), sled::Error> {
        self.bytes += bytes;
        self.records += 1;
        if self.bytes >= BATCH_BYTES || self.records >= BATCH_RECORDS { self.apply() } else { Ok(()) }
    }

    fn apply(&mut self) -> Result<(), sled::Error> {
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

    /// Applies commits again that the journal holds past the checkpoint.
    ///
    /// # Errors
    /// As [`apply`](Tables::apply).
    pub fn replay(&self, commits: &[Arc<Commit>]) -> Result<(), Error> {
        let mut rooms: Vec<u64> = messages(commits).map(|(room, _)| room).collect();
        rooms.sort_unstable();
        rooms.dedup();
        for room in rooms {
            self.drop_unfinished(room)?;
        }
        self.apply(commits)
    }

    /// Applies commits, each room's messages in as few values as they fit in. Durable only after [`checkpoint`](Tables::checkpoint).
    ///
    /// # Errors
    /// What sled says; [`Error::Damaged`] where a room's messages do not follow each other.
    pub fn apply(&self, commits: &[Arc<Commit>]) -> Result<(), Error> {
        let ops = || commits.iter().flat_map(|commit| &commit.ops);
        // Messages first: a room's last seq never says more than is there.
        let lasts = self.apply_messages(ops())?;
        self.write_rest(ops(), &lasts).map_err(self.failed("write"))
    }

    /// Names before what is said of a room, and its last seq before its cursors: so that what a kill leaves still fits together.
    fn write_rest<'a>(
        &self,
        ops: impl Iterator<Item = &'a Op> + Clone,
        lasts: &[(u64, Last)],
    ) -> Result<(), sled::Error> {
        let mut rooms = Batch::of(&self.rooms);
        for op in ops.clone() {
            if let Op::Room { room, name, topic, time_ms } = op {
                let record = RoomRecord { time_ms: *time_ms, name: name.clone(), topic: topic.clone() };
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
        let mut ids = Batch::of(&self.ids);
        let mut nicks = Batch::of(&self.nicks);
        for op in ops {
            match op {
                Op::Room { .. } => {}
                Op::Join { room, client } => members.insert(&key::member(*room, client), &record::encode_seq(0))?,
                Op::Leave { room, client } => members.remove(&key::member(*room, client))?,
                Op::Cursor { room, client, seq } => {
                    members.insert(&key::member(*room, client), &record::encode_seq(*seq))?;
                }
                Op::Nick { client, nick } => nicks.insert(client.as_bytes(), &record::encode_nick(nick))?,
                Op::Message { room, message } => {
                    if let Some(id) = &message.id {
                        let key = key::message_id(*room, &message.client, id);
                        ids.insert(&key, &record::encode_seq(message.seq))?;
                    }
                }
            }
        }
        [members, ids, nicks].iter_mut().try_for_each(Batch::apply)
    }

    /// Returns how far the rooms are then.
    fn apply_messages<'a>(&self, ops: impl Iterator<Item = &'a Op>) -> Result<Vec<(u64, Last)>, Error> {
        let mut by_room: BTreeMap<u64, Vec<Stored>> = BTreeMap::new();
        for op in ops {
            if let Op::Message { room, message } = op {
                by_room.entry(*room).or_default().push(message.clone());
            }
        }
        let mut lasts = Vec::new();
        let mut batch = Batch::of(&self.messages);
        for (room, mut messages) in by_room {
            let mut last = self.last().get(&room).copied().unwrap_or_default();
            messages.retain(|message| message.seq > last.seq);
            let Some(newest) = messages.last() else { continue };
            if newest.seq != last.seq + messages.len() as u64 {
                return Err(
                    self.damaged(format!("room {room} has {} as its last seq, {} is to follow", last.seq, newest.seq))
                );
            }
            last = Last { seq: newest.seq, time_ms: newest.time_ms, floor: last.floor };
            for chunk in chunks(&messages) {
                let first = chunk.first().map_or(0, |message| message.seq);
                let bytes = record::encode_chunk(chunk);
                for (part, value) in (0u32..).zip(bytes.chunks(SLED_VALUE_MAX_BYTES)) {
                    let key = key::chunk(room, first, part);
                    batch.insert(&key, value).map_err(self.failed("write messages"))?;
                }
            }
            lasts.push((room, last));
        }
        batch.apply().map_err(self.failed("write messages"))?;
        self.last().extend(lasts.iter().copied());
        Ok(lasts)
    }
}

fn messages(commits: &[Arc<Commit>]) -> impl Iterator<Item = (u64, &Stored)> {
    commits.iter().flat_map(|commit| &commit.ops).filter_map(|op| match op {
        Op::Message { room, message } => Some((*room, message)),
        _ => None,
    })
}

/// Cuts messages into chunks of about one value each.
fn chunks(messages: &[Stored]) -> impl Iterator<Item = &[Stored]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|message| {
            // The numbers and lengths of a message take 24 bytes.
            bytes += 24 + message.client.len() + message.id.as_deref().map_or(0, str::len) + message.body.len();
            bytes + 32 <= SLED_VALUE_MAX_BYTES
        });
        let count = fits.count().max(1).min(rest.len());
        let (chunk, after) = rest.split_at_checked(count)?;
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}
