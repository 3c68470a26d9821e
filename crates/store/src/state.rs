//! The state that a start loads: everything but the messages.

use std::collections::HashMap;
use std::sync::Arc;

use crate::group::GroupRecord;
use crate::record::{Access, Last, RoomRecord};

/// A room.
#[derive(Clone, Debug)]
pub struct RoomState {
    /// Its number.
    pub id: u64,
    /// Its settings.
    pub record: RoomRecord,
    /// Its counters.
    pub last: Last,
    /// Its members and their cursors; [`NO_CURSOR`](crate::record::NO_CURSOR) for those that do not read.
    pub members: HashMap<Arc<str>, u64>,
    /// Who is invited or banned.
    pub access: HashMap<Arc<str>, Access>,
    /// Its shared cursors.
    pub groups: HashMap<Arc<str>, GroupRecord>,
}

/// Everything that is stored but the messages.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The rooms, by number.
    pub rooms: Vec<RoomState>,
    /// The nicks of clients.
    pub nicks: HashMap<Arc<str>, Arc<str>>,
    /// The highest number of any room, also of deleted ones.
    pub highest_room: u64,
}
