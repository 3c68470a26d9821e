//! Events: what happens in followed rooms apart from messages.

use std::sync::Arc;

use super::{Out, Session};
use crate::rooms::Room;
use dantok_protocol::{Item, Refusal, Reply};

impl Session {
    pub(super) fn want_events(&mut self, on: bool) -> Reply {
        self.events = on;
        for position in self.positions.values_mut() {
            let Some((room, _)) = &position.followed else { continue };
            match (on, position.heard) {
                (true, None) => position.heard = Some(self.hub.rooms.listen(room, &self.waker)),
                (false, Some(_)) => {
                    self.hub.rooms.unlisten(room, &self.waker);
                    position.heard = None;
                }
                _ => {}
            }
        }
        Reply::Done
    }

    pub(super) fn typing(&mut self, name: &str) -> Result<Reply, Refusal> {
        let (room, ..) = self.member(name)?;
        let client = self.known()?.clone();
        room.tell_typing(&client);
        Ok(Reply::Done)
    }

    /// Pushes the events of a room, except those that the client caused.
    pub(super) fn pump_events(&mut self, id: u64, out: &mut impl Out) {
        let own = self.known().cloned().unwrap_or_default();
        let Some(position) = self.positions.get_mut(&id) else { return };
        let (Some((room, _)), Some(heard)) = (&position.followed, &mut position.heard) else { return };
        let room: &Arc<Room> = room;
        let (happened, next) = room.events_since(*heard);
        *heard = next;
        // Checked after the events were read: a client that is no longer a member is told only that.
        if room.membership(&own).is_none() {
            return;
        }
        for happened in happened.into_iter().filter(|happened| happened.client != own) {
            let (time_ms, client, event) = (happened.time_ms, happened.client, happened.event);
            out.item(Item::Event { room: room.name.clone(), time_ms, client, event });
        }
    }
}
