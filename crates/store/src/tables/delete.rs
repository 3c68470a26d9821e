//! Deleted rooms: first what a start loads of them is removed from the trees, and then, part by part, what leads to their
//! messages.
//!
//! A deleted room is noted in a tree of its own before anything of it is removed. The note stays until all of it is gone, and a
//! checkpoint covers that and the commit that deleted it. So a start that finds half of a room knows why, and does not apply its
//! ops again. Everything of a room is stored under its number, which is never used again.

use std::collections::BTreeSet;
use std::sync::MutexGuard;

use super::Tables;
use super::apply::Batch;
use crate::commit::Op;
use crate::error::Error;
use crate::mutex::lock;
use crate::record::{self, VERSION};
use crate::{chunk, key};

const HIGHEST_KEY: &[u8] = b"highest";
/// Records that are removed before commits get their turn.
const STEP_RECORDS: usize = 1024;

impl Tables {
    /// The deleted rooms of which something may still be there.
    pub(super) fn deleted_rooms(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        lock(&self.deleting)
    }

    fn to_drop(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        lock(&self.to_drop)
    }

    /// Whether something of a deleted room is left to drop.
    pub fn is_deleting(&self) -> bool {
        !self.to_drop().is_empty()
    }

    /// The deleted rooms of which only the note is left.
    fn gone(&self) -> Vec<u64> {
        let deleted = self.deleted_rooms();
        deleted.difference(&self.to_drop()).copied().collect()
    }

    /// Whether [`forget_that_deleted`](Tables::forget_that_deleted), after a checkpoint, would forget all deleted rooms.
    pub(crate) fn is_to_forget(&self) -> bool {
        !self.is_deleting() && !self.deleted_rooms().is_empty()
    }

    pub(super) fn load_deleted(&self) -> Result<(), Error> {
        for entry in &self.deleted {
            let (room, _) = entry.map_err(self.failed("read which rooms are deleted"))?;
            let room = room.as_ref().try_into().map(u64::from_be_bytes);
            let room = room.map_err(|_| self.damaged("the key of a deleted room"))?;
            self.deleted_rooms().insert(room);
            self.to_drop().insert(room);
        }
        Ok(())
    }

    /// The highest number that a deleted room had.
    pub(super) fn highest_deleted(&self) -> Result<u64, Error> {
        let found = self.meta.get(HIGHEST_KEY).map_err(self.failed("read the highest room's number"))?;
        found.map_or(Ok(0), |value| record::decode_seq(&value).ok_or_else(|| self.damaged("the highest room's number")))
    }

    /// Carries out deletions, after everything else that the ops do: what was redacted before is still erased.
    pub(super) fn delete<'a>(&self, ops: impl Iterator<Item = &'a Op>) -> Result<(), Error> {
        let rooms: Vec<u64> =
            ops.filter_map(|op| if let Op::Delete { room } = op { Some(*room) } else { None }).collect();
        let Some(highest) = rooms.iter().max() else { return Ok(()) };
        let highest = self.highest_deleted()?.max(*highest);
        let failed = || self.failed("delete a room");
        self.meta.insert(HIGHEST_KEY, &record::encode_seq(highest)).map_err(failed())?;
        for room in &rooms {
            self.deleted.insert(key::room(*room), &[VERSION]).map_err(failed())?;
            self.deleted_rooms().insert(*room);
            self.to_drop().insert(*room);
        }
        rooms.into_iter().try_for_each(|room| self.forget(room))
    }

    /// Forgets again what a start loads of deleted rooms: a kill may have interrupted that.
    pub(crate) fn forget_deleted(&self) -> Result<(), Error> {
        let rooms = self.deleted_rooms().clone();
        rooms.into_iter().try_for_each(|room| self.forget(room))
    }

    /// Removes what a start loads of a room, its settings last.
    fn forget(&self, room: u64) -> Result<(), Error> {
        for tree in [&self.members, &self.access] {
            while self.drop_some(tree, room)? {}
        }
        self.last().remove(&room);
        self.lasts.remove(key::room(room)).map_err(self.failed("delete a room"))?;
        self.rooms.remove(key::room(room)).map_err(self.failed("delete a room"))?;
        Ok(())
    }

    /// Drops some of a room's records in a tree; false if there were none.
    fn drop_some(&self, tree: &sled::Tree, room: u64) -> Result<bool, Error> {
        let mut batch = Batch::of(tree);
        let mut records = 0;
        for entry in tree.scan_prefix(key::room(room)).keys().take(STEP_RECORDS) {
            let key = entry.map_err(self.failed("read what is of a deleted room"))?;
            batch.remove(&key).map_err(self.failed("delete a room"))?;
            records += 1;
        }
        batch.apply().map_err(self.failed("delete a room"))?;
        Ok(records > 0)
    }

    /// Drops some of what leads to the messages of deleted rooms. Their files are removed when nothing else in them is wanted.
    pub(crate) fn drop_deleted(&self) -> Result<(), Error> {
        let Some(room) = self.to_drop().first().copied() else { return Ok(()) };
        let (mut batch, mut places, mut records) = (Batch::of(&self.messages), Vec::new(), 0);
        for entry in self.messages.scan_prefix(key::room(room)).take(STEP_RECORDS) {
            let (key, value) = entry.map_err(self.failed("read messages"))?;
            places.extend(chunk::place_of(&key, &value).flatten().map(|(place, _)| place));
            batch.remove(&key).map_err(self.failed("drop messages"))?;
            records += 1;
        }
        batch.apply().map_err(self.failed("drop messages"))?;
        for place in &places {
            self.let_go(place);
        }
        let is_more = records > 0 || self.drop_some(&self.ids, room)?;
        if !is_more {
            self.to_drop().remove(&room);
        }
        Ok(())
    }

    /// Removes the notes of deleted rooms of which nothing else is left. Call this after a checkpoint that covers that, and the
    /// commits that deleted them: then no start finds anything of them.
    pub(crate) fn forget_that_deleted(&self) -> Result<(), Error> {
        for room in self.gone() {
            self.deleted.remove(key::room(room)).map_err(self.failed("delete a room"))?;
            self.deleted_rooms().remove(&room);
        }
        Ok(())
    }
}
