//! The rooms as clients see them: only durable changes, which the committer publishes after each commit.
//!
//! Readers pull. Each knows the seq that it has reached, and is woken when the room's last seq passes it. A wake-up only says which
//! rooms have changed, each of them once, so a slow reader costs nothing.

mod accesses;
mod deleted;
mod events;
mod group;
mod membership;
mod presence;
mod publish;
mod room;
mod snapshot;
pub mod unread;
mod waker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use dantok_protocol::name::{composed, person};
use dantok_store::{RoomState, State};
use deleted::Deleted;
pub use deleted::DeletedRoom;
pub use events::RoomEvent;
pub use group::{Group, Handed, Lease, Taken};
pub use membership::Membership;
use presence::Connected;
pub use presence::Presence;
pub use room::Room;
pub use waker::{Changed, Waker};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Decrements a count. Returns whether it has reached 0.
fn one_less(counts: &mut HashMap<Arc<str>, usize>, of: &Arc<str>) -> bool {
    let Some(count) = counts.get_mut(of) else { return false };
    *count = count.saturating_sub(1);
    let is_last = *count == 0;
    if is_last {
        counts.remove(of);
    }
    is_last
}

/// All rooms, and who is connected.
#[derive(Debug, Default)]
pub struct Rooms {
    by_name: RwLock<HashMap<Arc<str>, Arc<Room>>>,
    by_id: RwLock<HashMap<u64, Arc<Room>>>,
    joined: RwLock<HashMap<Arc<str>, usize>>,
    /// How many rooms a person owns.
    owned: RwLock<HashMap<Arc<str>, usize>>,
    nicks: RwLock<HashMap<Arc<str>, Arc<str>>>,
    connected: Mutex<HashMap<Arc<str>, Connected>>,
    /// When members who are offline left, by the wall clock; only since the start.
    left_ms: Mutex<HashMap<Arc<str>, u64>>,
    /// Rooms whose events anybody listens to.
    listened: Mutex<HashMap<u64, Arc<Room>>>,
    watchers: Mutex<Vec<(Arc<str>, Weak<Waker>)>>,
    deleted: Mutex<Deleted>,
    /// The highest number that any room has or had.
    highest_id: AtomicU64,
}

impl Rooms {
    /// The rooms that the store has at the start.
    pub fn new(state: State) -> Rooms {
        let highest_id = AtomicU64::new(state.highest_room);
        let rooms = Rooms { nicks: RwLock::new(state.nicks), highest_id, ..Rooms::default() };
        for room in state.rooms {
            for client in room.members.keys() {
                *write(&rooms.joined).entry(client.clone()).or_default() += 1;
            }
            rooms.add(room);
        }
        rooms
    }

    fn add(&self, state: RoomState) {
        if let Some(owner) = &state.record.owner {
            *write(&self.owned).entry(owner.clone()).or_default() += 1;
        }
        let room = Arc::new(Room::new(state));
        self.highest_id.fetch_max(room.id, Ordering::AcqRel);
        write(&self.by_id).insert(room.id, room.clone());
        write(&self.by_name).insert(room.name.clone(), room);
    }

    /// Removes a room with everything that belongs to it, and wakes its followers.
    fn remove(&self, id: u64) {
        let Some(room) = write(&self.by_id).remove(&id) else { return };
        let mut by_name = write(&self.by_name);
        if by_name.get(&room.name).is_some_and(|found| found.id == id) {
            by_name.remove(&room.name);
        }
        drop(by_name);
        let record = room.record();
        lock(&self.deleted).add(id, DeletedRoom { name: room.name.clone(), private: record.private });
        room.is_deleted.store(true, Ordering::Release);
        for client in std::mem::take(&mut *write(&room.members)).keys() {
            self.unjoin(client);
        }
        if let Some(owner) = &record.owner {
            one_less(&mut write(&self.owned), owner);
        }
        room.wake_followers();
        (*write(&room.access), *write(&room.groups)) = Default::default();
        lock(&self.listened).remove(&id);
    }

    /// Counts one membership less for a client.
    fn unjoin(&self, client: &Arc<str>) {
        let mut joined = write(&self.joined);
        if one_less(&mut joined, client) {
            lock(&self.left_ms).remove(client);
        }
    }

    /// Whether any room has been deleted since the start.
    pub fn has_deleted(&self) -> bool {
        !lock(&self.deleted).is_empty()
    }

    /// What is remembered of a deleted room; none if it is not deleted, or forgotten.
    pub fn deleted(&self, id: u64) -> Option<DeletedRoom> {
        lock(&self.deleted).get(id)
    }

    /// The room of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Room>> {
        read(&self.by_name).get(name).cloned()
    }

    /// The room of exactly this name or, if there is none, of its composed form.
    pub fn find(&self, name: &str) -> Option<Arc<Room>> {
        self.get(name).or_else(|| self.get(&composed(name)))
    }

    /// The room of this number.
    pub fn by_id(&self, id: u64) -> Option<Arc<Room>> {
        read(&self.by_id).get(&id).cloned()
    }

    /// All rooms, oldest first.
    pub fn all(&self) -> Vec<Arc<Room>> {
        let mut rooms: Vec<_> = read(&self.by_id).values().cloned().collect();
        rooms.sort_unstable_by_key(|room| room.id);
        rooms
    }

    /// How many rooms there are.
    pub fn count(&self) -> usize {
        read(&self.by_id).len()
    }

    /// How many clients and devices are connected.
    pub fn connected(&self) -> usize {
        lock(&self.connected).len()
    }

    /// The highest number that any room has or had; 0 if there never was a room.
    pub fn highest_id(&self) -> u64 {
        self.highest_id.load(Ordering::Acquire)
    }

    /// How many rooms this client is a member of.
    pub fn joined(&self, client: &str) -> usize {
        read(&self.joined).get(client).copied().unwrap_or(0)
    }

    /// How many rooms this person owns.
    pub fn owned(&self, person: &str) -> usize {
        read(&self.owned).get(person).copied().unwrap_or(0)
    }

    /// Whether a person owns or has joined a room, is invited or banned, or has a nick. For an unknown person this looks at every room.
    pub fn knows(&self, who: &str) -> bool {
        self.owned(who) > 0
            || read(&self.nicks).contains_key(who)
            || read(&self.joined).keys().any(|client| person(client) == who)
            || read(&self.by_id).values().any(|room| room.access(who).is_some())
    }

    /// The nick of this client's person.
    pub fn nick(&self, client: &str) -> Option<Arc<str>> {
        read(&self.nicks).get(person(client)).cloned()
    }

    /// Wakes `waker` for each event in a room from now on. Returns the number of the next event.
    pub fn listen(&self, room: &Arc<Room>, waker: &Arc<Waker>) -> u64 {
        // The list first: it always has every room that anybody listens to.
        let mut listened = lock(&self.listened);
        listened.insert(room.id, room.clone());
        lock(&room.events).get_or_insert_default().listen(waker)
    }

    /// Undoes [`listen`](Rooms::listen).
    pub fn unlisten(&self, room: &Room, waker: &Arc<Waker>) {
        let mut listened = lock(&self.listened);
        if lock(&room.events).as_mut().is_some_and(|events| events.unlisten(waker)) {
            listened.remove(&room.id);
        }
    }

    /// Wakes `waker` for each room that changes for this client from now on.
    pub fn watch(&self, client: Arc<str>, waker: &Arc<Waker>) {
        lock(&self.watchers).push((client, Arc::downgrade(waker)));
    }

    /// Undoes [`watch`](Rooms::watch).
    pub fn unwatch(&self, waker: &Arc<Waker>) {
        lock(&self.watchers).retain(|(_, watcher)| !std::ptr::eq(watcher.as_ptr(), Arc::as_ptr(waker)));
    }

    /// Notes that a room's messages up to `floor` are gone, and wakes watchers who had not read them.
    pub fn expired(&self, room: &Room, floor: u64) {
        if room.told_floor.fetch_max(floor, Ordering::AcqRel) >= floor {
            return;
        }
        room.unread.forget_through(floor);
        lock(&self.watchers).retain(|(client, watcher)| {
            let Some(waker) = watcher.upgrade() else { return false };
            if room.cursor(client).is_some_and(|cursor| cursor < floor) {
                waker.wake(|noted| noted.watched.insert(room.id));
            }
            true
        });
    }
}
