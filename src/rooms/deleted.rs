//! The rooms that were deleted last, for those who WATCH: a connection that is slow learns later what their names were.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::limits::DELETED_KEPT;

/// What is known of a deleted room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRoom {
    /// Its name.
    pub name: Arc<str>,
    /// Whether only those saw it who were invited.
    pub private: bool,
}

/// See the module.
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
