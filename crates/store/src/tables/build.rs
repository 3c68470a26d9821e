//! Filling a new store with state that does not come from commits.

use std::collections::HashMap;

use super::Tables;
use super::apply::Batch;
use crate::error::Error;
use crate::record::{self, Last};
use crate::state::{RoomState, State};
use crate::{group, key};

impl Tables {
    /// Writes everything but messages, of which those up to `floor` are gone in each room. The others are to be
    /// [applied](Tables::apply) after this. Durable only after [`checkpoint`](Tables::checkpoint).
    ///
    /// # Errors
    /// Errors of sled.
    pub fn fill(&self, state: &State, floor: impl Fn(&RoomState) -> u64) -> Result<(), Error> {
        self.write_state(state, floor).map_err(self.failed("write"))
    }

    /// The counters of rooms.
    pub fn lasts(&self) -> HashMap<u64, Last> {
        self.last().clone()
    }

    fn write_state(&self, state: &State, floor: impl Fn(&RoomState) -> u64) -> Result<(), sled::Error> {
        let mut rooms = Batch::of(&self.rooms);
        let mut lasts = Batch::of(&self.lasts);
        let mut members = Batch::of(&self.members);
        let mut accesses = Batch::of(&self.access);
        let mut nicks = Batch::of(&self.nicks);
        for room in &state.rooms {
            rooms.insert(&key::room(room.id), &room.record.encode())?;
            let floor = floor(room).min(room.last.seq);
            // If the last message is gone, nothing that follows says its time.
            let last = Last { seq: floor, time_ms: room.last.time_ms, floor, bytes: 0 };
            if room.last.seq > 0 {
                lasts.insert(&key::room(room.id), &last.encode())?;
                self.last().insert(room.id, last);
            }
            for (client, cursor) in &room.members {
                members.insert(&key::member(room.id, client), &record::encode_seq(*cursor))?;
            }
            for (group, record) in &room.groups {
                members.insert(&key::member(room.id, &group::member_name(group)), &record.encode())?;
            }
            for (client, access) in &room.access {
                accesses.insert(&key::member(room.id, client), &access.encode())?;
            }
        }
        for (client, nick) in &state.nicks {
            nicks.insert(client.as_bytes(), &record::encode_nick(nick))?;
        }
        [rooms, lasts, members, accesses, nicks].iter_mut().try_for_each(Batch::apply)
    }
}
