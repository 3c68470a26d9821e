//! Lists: rooms, their members, and who is invited or banned.

use std::io;
use std::sync::Arc;

use super::reading::unreadable;
use super::{Out, Session};
use crate::permission::Permission;
use crate::rooms::Room;
use dantok_protocol::{Item, Refusal, Reply, RoomInfo};

impl Session {
    /// Lists the rooms, the most recently active first; or only one.
    pub(super) async fn rooms(&mut self, only: Option<&str>, out: &mut impl Out) -> io::Result<Reply> {
        let mut rooms = match only.map(|name| self.permitted(name, Permission::See)).transpose() {
            Ok(Some(room)) => vec![room],
            Ok(None) => self.hub.rooms.all(),
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        rooms.retain(|room| self.sees(room));
        rooms.sort_by_key(|room| std::cmp::Reverse(room.active_ms()));
        let mut count = 0;
        for room in &rooms {
            let info = self.info(room).await;
            // It may have become invisible to this client meanwhile.
            if !self.sees(room) {
                continue;
            }
            count += 1;
            out.item(Item::Room(info));
            if out.is_full() {
                out.drain().await?;
            }
        }
        Ok(Reply::Count(count))
    }

    /// The topic of a room, for clients that see the room.
    pub(super) fn topic(&self, name: &str) -> Result<Reply, Refusal> {
        Ok(Reply::Topic(self.permitted(name, Permission::See)?.record().topic.clone()))
    }

    async fn info(&mut self, room: &Room) -> RoomInfo {
        let client = self.known().cloned().unwrap_or_default();
        let before = self.counted.get(&room.id).copied();
        let unread = match self.hub.reader.unread(room, &client, before).await {
            Ok(Some(counted)) => {
                // Only a WATCH asks for it repeatedly.
                if self.watching {
                    self.counted.insert(room.id, counted);
                }
                Some(counted.messages)
            }
            Ok(None) => {
                self.counted.remove(&room.id);
                None
            }
            Err(error) => {
                let _ = unreadable(&room.name, &error);
                let floor = self.hub.store.floor(room.id);
                room.cursor(&client).map(|cursor| room.last_seq().saturating_sub(floor.max(cursor)))
            }
        };
        room.info(&client, unread)
    }

    pub(super) fn watch(&mut self) -> Reply {
        if let (false, Ok(client)) = (self.watching, self.known().cloned()) {
            self.watching = true;
            self.hub.rooms.watch(client, &self.waker);
            self.changed = self.hub.rooms.all().iter().map(|room| room.id).collect();
        }
        Reply::Done
    }

    pub(super) fn unwatch(&mut self) -> Reply {
        self.watching = false;
        self.hub.rooms.unwatch(&self.waker);
        self.changed.clear();
        self.shown.clear();
        self.gone.clear();
        self.counted.clear();
        Reply::Done
    }

    /// Pushes the new state of a room to a WATCH.
    pub(super) async fn pump_list(&mut self, room: &Arc<Room>, out: &mut impl Out) {
        if self.sees(room) {
            let info = self.info(room).await;
            if info.private {
                self.shown.insert(room.id);
            }
            out.item(Item::Room(info));
        } else if self.shown.remove(&room.id) {
            out.item(Item::Gone { room: room.name.clone() });
        }
    }

    /// Reports a deleted room to a client that watches or follows it: once, and before any new room of that name.
    pub(super) fn pump_deleted(&mut self, id: u64, out: &mut impl Out) {
        let was_followed = self.positions.get(&id).and_then(|position| position.followed.clone());
        if let Some((room, _)) = &was_followed {
            self.forget(room);
        }
        self.counted.remove(&id);
        let was_shown = self.shown.remove(&id);
        if self.gone.remove(&id) {
            return;
        }
        let Some(was) = self.hub.rooms.deleted(id) else {
            self.is_lost = true;
            return;
        };
        if was_followed.is_some() || was_shown || !was.private {
            out.item(Item::Gone { room: was.name });
        }
    }

    pub(super) async fn who(&mut self, name: &str, out: &mut impl Out) -> io::Result<Reply> {
        let room = match self.permitted(name, Permission::See) {
            Ok(room) => room,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let members = self.hub.rooms.members(&room);
        list(members.into_iter().map(Item::Member), out).await
    }

    pub(super) async fn access(&mut self, name: &str, out: &mut impl Out) -> io::Result<Reply> {
        let room = match self.readable(name) {
            Ok((room, _)) => room,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let item = |(client, access)| Item::Access { room: room.name.clone(), client, access };
        list(room.accesses().into_iter().map(item), out).await
    }
}

/// Puts items and returns their count.
pub(super) async fn list(items: impl Iterator<Item = Item>, out: &mut impl Out) -> io::Result<Reply> {
    let mut count = 0;
    for item in items {
        out.item(item);
        count += 1;
        if out.is_full() {
            out.drain().await?;
        }
    }
    Ok(Reply::Count(count))
}
