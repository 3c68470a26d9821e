//! The durable state of all rooms, except their messages, at one point.

use super::{Room, Rooms, read};
use dantok_store::record::Last;
use dantok_store::{RoomState, State};

impl Room {
    fn state(&self) -> RoomState {
        let (seq, active_ms) = (self.last_seq(), self.active_ms());
        // The store itself knows how much is stored and what is gone.
        let last = Last { seq, time_ms: if seq > 0 { active_ms } else { 0 }, ..Last::default() };
        RoomState {
            id: self.id,
            record: self.record().as_ref().clone(),
            last,
            members: read(&self.members).iter().map(|(client, member)| (client.clone(), member.stored())).collect(),
            access: read(&self.access).all().clone(),
            groups: read(&self.groups).iter().map(|(name, group)| (name.clone(), group.record())).collect(),
        }
    }
}

impl Rooms {
    /// The rooms and nicks as a restart would find them. Between commits only: otherwise it is a mixture of two states.
    pub fn snapshot(&self) -> State {
        State {
            rooms: self.all().iter().map(|room| room.state()).collect(),
            nicks: read(&self.nicks).clone(),
            highest_room: self.highest_id(),
        }
    }
}
