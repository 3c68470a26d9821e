//! Rooms deleted recently, for those who WATCH: a slow connection learns later what they were called.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::limits::DELETED_KEPT;

/// What is remembered of a deleted room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRoom {
    /// Its name.
    pub name: Arc<str>,
    /// Whether only members and those invited could see it.
    pub private: bool,
}

/// The last [`DELETED_KEPT`] of them.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    was: HashMap<u64, DeletedRoom>,
    order: VecDeque<u64>,
}

impl Deleted {
    pub(super) fn add(&mut self, room: u64, was: DeletedRoom) {
        if self.order.len() >= DELETED_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.was.remove(&oldest);
        }
        self.order.push_back(room);
        self.was.insert(room, was);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.was.is_empty()
    }

    pub(super) fn get(&self, room: u64) -> Option<DeletedRoom> {
        self.was.get(&room).cloned()
    }
}
