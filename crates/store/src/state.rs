//! What a start finds, but for the messages.

use std::collections::HashMap;
use std::sync::Arc;

use crate::group::GroupRecord;
use crate::record::{Access, Last, RoomRecord};

/// A room, as it was found at the start.
#[derive(Clone, Debug)]
pub struct RoomState {
    /// Its number.
    pub id: u64,
    /// What it is.
    pub record: RoomRecord,
    /// How far it is.
    pub last: Last,
    /// Its members and their cursors; [`NO_CURSOR`](crate::record::NO_CURSOR) for those that have none.
    pub members: HashMap<Arc<str>, u64>,
    /// Who is invited, or banned.
    pub access: HashMap<Arc<str>, Access>,
    /// Shared cursors.
    pub groups: HashMap<Arc<str>, GroupRecord>,
}

/// What was found at the start, but for the messages.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The rooms, by number.
    pub rooms: Vec<RoomState>,
    /// What clients are shown as.
    pub nicks: HashMap<Arc<str>, Arc<str>>,
    /// The highest number that a room has, or had that was deleted.
    pub highest_room: u64,
}
