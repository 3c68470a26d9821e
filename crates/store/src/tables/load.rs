//! What a start loads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Tables;
use crate::error::Error;
use crate::group::{self, GroupRecord};
use crate::key;
use crate::record::{self, Access, Last, RoomRecord};
use crate::state::{RoomState, State};

impl Tables {
    /// Loads each room's counters, and which rooms are deleted. Every other method relies on this.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a record can't be decoded.
    pub fn load_lasts(&self) -> Result<(), Error> {
        self.load_deleted()?;
        let mut last = self.last();
        for entry in &self.lasts {
            let (room, value) = entry.map_err(self.failed("read the rooms"))?;
            let parsed = (|| Some((u64::from_be_bytes(room.as_ref().try_into().ok()?), Last::decode(&value)?)))();
            let (room, value) = parsed.ok_or_else(|| self.damaged("a room's last seq"))?;
            last.insert(room, value);
        }
        Ok(())
    }

    /// Loads everything but the messages.
    ///
    /// # Errors
    /// Errors of sled; [`Error::Damaged`] if a record can't be decoded.
    pub fn load(&self) -> Result<State, Error> {
        let mut rooms = BTreeMap::new();
        let last = self.last();
        for entry in &self.rooms {
            let (key, value) = entry.map_err(self.failed("read the rooms"))?;
            let parsed = (|| Some((u64::from_be_bytes(key.as_ref().try_into().ok()?), RoomRecord::decode(&value)?)))();
            let (id, record) = parsed.ok_or_else(|| self.damaged("a room's record"))?;
            let last = last.get(&id).copied().unwrap_or_default();
            rooms.insert(
                id,
                RoomState { id, record, last, members: HashMap::new(), access: HashMap::new(), groups: HashMap::new() },
            );
        }
        if let Some(stray) = last.keys().find(|room| !rooms.contains_key(room)) {
            return Err(self.damaged(format!("room {stray} has messages but no name")));
        }
        // A client may be in many rooms, so each name is allocated once.
        let mut clients: HashMap<Arc<str>, ()> = HashMap::new();
        for entry in &self.members {
            let (key, value) = entry.map_err(self.failed("read the members"))?;
            let (room, client) = key::parse_member(&key).ok_or_else(|| self.damaged("a member's key"))?;
            if let Some(group) = group::of_member(client) {
                let record = GroupRecord::decode(&value).ok_or_else(|| self.damaged("a group's record"))?;
                let room = rooms.get_mut(&room).ok_or_else(|| self.damaged(format!("{group} is in no known room")))?;
                room.groups.insert(group.into(), record);
                continue;
            }
            let cursor = record::decode_seq(&value).ok_or_else(|| self.damaged("a member's record"))?;
            let room = rooms.get_mut(&room).ok_or_else(|| self.damaged(format!("{client} is in no known room")))?;
            if record::is_past(cursor, room.last.seq) {
                return Err(self.damaged(format!("{client}'s cursor in {} is past its last seq", room.record.name)));
            }
            let client = match clients.get_key_value(client) {
                Some((shared, ())) => shared.clone(),
                None => {
                    let shared: Arc<str> = client.into();
                    clients.insert(shared.clone(), ());
                    shared
                }
            };
            room.members.insert(client, cursor);
        }
        for entry in &self.access {
            let (key, value) = entry.map_err(self.failed("read who is invited"))?;
            let parsed = (|| Some((key::parse_member(&key)?, Access::decode(&value)?)))();
            let ((room, client), access) = parsed.ok_or_else(|| self.damaged("an invitation's record"))?;
            let room = rooms.get_mut(&room).ok_or_else(|| self.damaged(format!("{client} is of no known room")))?;
            room.access.insert(client.into(), access);
        }
        let mut nicks = HashMap::new();
        for entry in &self.nicks {
            let (key, value) = entry.map_err(self.failed("read the nicks"))?;
            let parsed = (|| Some((Arc::from(std::str::from_utf8(&key).ok()?), record::decode_nick(&value)?)))();
            let (client, nick) = parsed.ok_or_else(|| self.damaged("a nick's record"))?;
            nicks.insert(client, nick);
        }
        let highest_room = rooms.keys().next_back().copied().unwrap_or(0).max(self.highest_deleted()?);
        Ok(State { rooms: rooms.into_values().collect(), nicks, highest_room })
    }
}
