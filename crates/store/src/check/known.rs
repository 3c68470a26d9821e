//! What the trees say, and whether the changes in the journal follow from it.

use std::collections::{BTreeMap, HashSet};

use crate::commit::Op;
use crate::record::{self, Last};

/// What the trees say, for comparison.
#[derive(Default)]
pub(super) struct Known {
    pub(super) names: BTreeMap<u64, String>,
    pub(super) lasts: BTreeMap<u64, Last>,
    /// Deleted rooms of which something may still be there.
    pub(super) deleted: HashSet<u64>,
    /// Ids in commits that sled does not cover: a kill may have come when sled had their messages, but not the ids.
    pub(super) unmoved_ids: HashSet<Vec<u8>>,
}

impl Known {
    pub(super) fn room(&self, room: u64) -> String {
        self.names.get(&room).cloned().unwrap_or_else(|| format!("number {room}"))
    }

    pub(super) fn last(&self, room: u64) -> Last {
        self.lasts.get(&room).copied().unwrap_or_default()
    }

    /// Applies a change from the journal, or says why it does not follow. A change may be applied twice, as a start does.
    pub(super) fn follow(&mut self, op: &Op) -> Result<(), (u64, String)> {
        if op.room().is_some_and(|room| self.deleted.contains(&room)) {
            return Ok(());
        }
        match op {
            Op::Delete { room } => {
                self.names.remove(room);
                self.lasts.remove(room);
                self.deleted.insert(*room);
            }
            Op::Room { room, record } => drop(self.names.insert(*room, record.name.to_string())),
            Op::Group { .. }
            | Op::Ungroup { .. }
            | Op::Done { .. }
            | Op::Redact { .. }
            | Op::Change { .. }
            | Op::Access { .. }
            | Op::Join { .. }
            | Op::Leave { .. }
            | Op::Nick { .. }
            | Op::Mark { .. } => {}
            Op::Cursor { room, client, seq } => {
                let last = self.last(*room).seq;
                if record::is_past(*seq, last) {
                    let name = self.room(*room);
                    return Err((
                        *room,
                        format!("the cursor of {client} in room {name} is {seq}, the last seq is {last}"),
                    ));
                }
            }
            Op::Message { room, message } => {
                let last = self.last(*room);
                if !self.names.contains_key(room) {
                    return Err((*room, format!("seq {} is in room {room}, which has no name", message.seq)));
                }
                if message.seq > last.seq + 1 {
                    let (name, seq) = (self.room(*room), last.seq);
                    return Err((*room, format!("room {name}: seq {seq} is followed by {}", message.seq)));
                }
                if message.seq > last.seq {
                    self.lasts.insert(*room, Last { seq: message.seq, ..last });
                }
            }
        }
        Ok(())
    }
}
