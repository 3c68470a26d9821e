//! All that is durable of the rooms, but for their messages, at one point.

use super::{Room, Rooms, read};
use dantok_store::record::Last;
use dantok_store::{RoomState, State};

impl Room {
    fn state(&self) -> RoomState {
        let (seq, active_ms) = (self.last_seq(), self.active_ms());
        // How much is stored, and what is gone, the store itself says.
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
    /// The rooms and the nicks, as a start would find them. To be asked for between commits, or parts of it are of different ones.
    pub fn snapshot(&self) -> State {
        State {
            rooms: self.all().iter().map(|room| room.state()).collect(),
            nicks: read(&self.nicks).clone(),
            highest_room: self.highest_id(),
        }
    }
}
