//! Who is connected, since when, and telling others of it.

use std::sync::{Arc, Weak};

use super::waker::Waker;
use super::{Membership, Room, Rooms, lock, read};
use dantok_protocol::name::person;
use dantok_protocol::{Event, MemberInfo};
use dantok_store::clock::wall_ms;

/// A connected client.
#[derive(Debug)]
pub(super) struct Connected {
    /// Since when it has been connected without a break, by the wall clock.
    since_ms: u64,
    connections: Vec<Weak<Waker>>,
}

impl Rooms {
    /// The members of a room, by name.
    pub fn members(&self, room: &Room) -> Vec<MemberInfo> {
        let mut members: Vec<(Arc<str>, Membership)> =
            read(&room.members).iter().map(|(client, member)| (client.clone(), *member)).collect();
        members.sort_unstable();
        let (connected, left_ms) = (lock(&self.connected), lock(&self.left_ms));
        let member = |(client, membership): (Arc<str>, Membership)| {
            let found = connected.get(&client);
            MemberInfo {
                room: room.name.clone(),
                connections: found.map_or(0, |found| found.connections.len() as u64),
                cursor: membership.cursor(),
                nick: self.nick(&client).unwrap_or_else(|| person(&client).into()),
                since_ms: found.map(|found| found.since_ms).or_else(|| left_ms.get(&client).copied()),
                client,
            }
        };
        members.into_iter().map(member).collect()
    }

    /// Counts a client's connection until the returned value is dropped.
    pub fn connect(self: &Arc<Self>, client: Arc<str>, waker: &Arc<Waker>) -> Presence {
        let waker = Arc::downgrade(waker);
        let mut connected = lock(&self.connected);
        let found = connected
            .entry(client.clone())
            .or_insert_with(|| Connected { since_ms: wall_ms(), connections: Vec::new() });
        found.connections.push(waker.clone());
        // With the lock held, so that the last event told is the true one.
        if found.connections.len() == 1 {
            lock(&self.left_ms).remove(&client);
            self.tell_of(&client, Event::Online);
        }
        drop(connected);
        Presence { rooms: self.clone(), client, waker }
    }

    /// Tells an event of a client in every room that it is a member of.
    fn tell_of(&self, client: &Arc<str>, event: Event) {
        let listened: Vec<Arc<Room>> = lock(&self.listened).values().cloned().collect();
        for room in listened.iter().filter(|room| room.membership(client).is_some()) {
            room.tell(client, event.clone());
        }
    }

    /// Has every connection check its token again.
    pub fn recheck(&self) {
        let connected = lock(&self.connected);
        for waker in connected.values().flat_map(|found| &found.connections).filter_map(Weak::upgrade) {
            waker.wake(|changed| !std::mem::replace(&mut changed.recheck, true));
        }
    }
}

/// Keeps a client connected, as others see it.
#[derive(Debug)]
pub struct Presence {
    rooms: Arc<Rooms>,
    client: Arc<str>,
    waker: Weak<Waker>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut connected = lock(&self.rooms.connected);
        let Some(found) = connected.get_mut(&self.client) else { return };
        found.connections.retain(|waker| !waker.ptr_eq(&self.waker));
        if !found.connections.is_empty() {
            return;
        }
        connected.remove(&self.client);
        // Only for members, whose number is bounded.
        if self.rooms.joined(&self.client) > 0 {
            lock(&self.rooms.left_ms).insert(self.client.clone(), wall_ms());
        }
        self.rooms.tell_of(&self.client, Event::Offline);
    }
}
