//! The rooms as clients see them: durable changes only, published by the committer after each commit.
//!
//! A reader pulls: it knows the seq that it has reached, and is woken when the room's last seq passes it. What a wake-up
//! holds is which rooms changed, each once, so a slow reader costs nothing.

mod accesses;
mod deleted;
mod events;
mod group;
mod presence;
mod snapshot;
pub mod unread;
mod waker;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use crate::limits::DELETED_KEPT;
use accesses::Accesses;
use dantok_protocol::name::{composed, person};
use dantok_protocol::{Event, RoomInfo};
use dantok_store::commit::Op;
use dantok_store::group::GroupRecord;
use dantok_store::record::{Access, NO_CURSOR, RoomRecord};
use dantok_store::{RoomState, State};
use deleted::Deleted;
pub use deleted::Was;
use events::Events;
pub use events::Happened;
pub use group::{Group, Handed, Lease, Taken};
use presence::Here;
pub use presence::Presence;
pub use waker::{Changed, Waker};

/// How a client is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// It reads, and has acknowledged everything up to here.
    Reader(u64),
    /// It has no cursor: it writes, or works for groups.
    Writer,
}

impl Membership {
    /// As the store has it.
    pub fn of(stored: u64) -> Membership {
        if stored == NO_CURSOR { Membership::Writer } else { Membership::Reader(stored) }
    }

    /// For the store.
    pub fn stored(self) -> u64 {
        self.cursor().unwrap_or(NO_CURSOR)
    }

    /// Its cursor, if it has one.
    pub fn cursor(self) -> Option<u64> {
        match self {
            Membership::Reader(cursor) => Some(cursor),
            Membership::Writer => None,
        }
    }
}

/// A room.
#[derive(Debug)]
pub struct Room {
    /// Its number in the store.
    pub id: u64,
    /// Its name.
    pub name: Arc<str>,
    record: RwLock<Arc<RoomRecord>>,
    is_deleted: AtomicBool,
    last_seq: AtomicU64,
    active_ms: AtomicU64,
    redactions: AtomicU64,
    /// Counts of what there is to read.
    pub unread: unread::Blocks,
    /// Up to here, those who watch were told that messages have expired.
    told_floor: AtomicU64,
    members: RwLock<HashMap<Arc<str>, Membership>>,
    access: RwLock<Accesses>,
    groups: RwLock<HashMap<Arc<str>, Arc<Group>>>,
    followers: Mutex<Vec<Follower>>,
    /// None where nobody ever listened.
    events: Mutex<Option<Box<Events>>>,
}

/// Who is woken when there is more, and up to which seq it was pushed what there is.
#[derive(Debug)]
struct Follower {
    waker: Weak<Waker>,
    reached: Arc<AtomicU64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Room {
    fn new(state: RoomState) -> Room {
        let members = state.members.into_iter().map(|(client, stored)| (client, Membership::of(stored)));
        let last = state.last.seq;
        let groups = state.groups.into_iter().map(|(name, record)| (name, Arc::new(Group::new(record, last))));
        Room {
            id: state.id,
            name: state.record.name.clone(),
            last_seq: AtomicU64::new(state.last.seq),
            active_ms: AtomicU64::new(state.last.time_ms.max(state.record.time_ms)),
            record: RwLock::new(Arc::new(state.record)),
            is_deleted: AtomicBool::new(false),
            redactions: AtomicU64::new(0),
            unread: unread::Blocks::default(),
            told_floor: AtomicU64::new(state.last.floor),
            members: RwLock::new(members.collect()),
            access: RwLock::new(Accesses::of(state.access)),
            groups: RwLock::new(groups.collect()),
            followers: Mutex::default(),
            events: Mutex::default(),
        }
    }

    /// Whether it was deleted: then nobody sees it, whoever still has it at hand.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// The last durable seq.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }

    /// The time of the last message, or of the room's making; milliseconds since 1970 UTC.
    pub fn active_ms(&self) -> u64 {
        self.active_ms.load(Ordering::Acquire)
    }

    /// How many messages were redacted since the start: what was read before this changed may show one.
    pub fn redactions(&self) -> u64 {
        self.redactions.load(Ordering::Acquire)
    }

    /// What it is.
    pub fn record(&self) -> Arc<RoomRecord> {
        read(&self.record).clone()
    }

    /// How long its messages are kept, where the daemon keeps all for `retention`.
    pub fn retention(&self, retention: Duration) -> Duration {
        retention.max(Duration::from_millis(read(&self.record).keep_ms))
    }

    /// What a person may here; none: as everybody.
    pub fn access(&self, person: &str) -> Option<Access> {
        read(&self.access).get(person)
    }

    /// How many are invited, or how many banned.
    pub fn access_count(&self, access: Access) -> usize {
        read(&self.access).count(access)
    }

    /// Who may what here, by name; the owner first.
    pub fn accesses(&self) -> Vec<(Arc<str>, dantok_protocol::Access)> {
        let of = |access: &Access| match access {
            Access::Invited => dantok_protocol::Access::Invited,
            Access::Banned => dantok_protocol::Access::Banned,
        };
        let mut listed: Vec<_> =
            read(&self.access).all().iter().map(|(person, access)| (person.clone(), of(access))).collect();
        listed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let owner = self.record().owner.clone().map(|owner| (owner, dantok_protocol::Access::Owner));
        owner.into_iter().chain(listed).collect()
    }

    /// Whether a client sees that the room is there.
    pub fn is_seen_by(&self, client: &str) -> bool {
        let record = read(&self.record).clone();
        !self.is_deleted()
            && (!record.private
                || self.membership(client).is_some()
                || record.owner.as_deref() == Some(person(client))
                || self.access(person(client)) == Some(Access::Invited))
    }

    /// A shared cursor.
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        read(&self.groups).get(name).cloned()
    }

    /// The shared cursors, by name.
    pub fn groups(&self) -> Vec<(Arc<str>, Arc<Group>)> {
        let mut groups: Vec<_> = read(&self.groups).iter().map(|(name, group)| (name.clone(), group.clone())).collect();
        groups.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        groups
    }

    /// Who is a member.
    pub fn member_names(&self) -> Vec<Arc<str>> {
        read(&self.members).keys().cloned().collect()
    }

    /// The memberships of a person, with all devices.
    pub fn members_of(&self, who: &str) -> Vec<Arc<str>> {
        read(&self.members).keys().filter(|client| person(client) == who).cloned().collect()
    }

    /// How the client is a member; none where it is none.
    pub fn membership(&self, client: &str) -> Option<Membership> {
        read(&self.members).get(client).copied()
    }

    /// A member's cursor; none where the client is no member, or one without a cursor.
    pub fn cursor(&self, client: &str) -> Option<u64> {
        self.membership(client).and_then(Membership::cursor)
    }

    /// How many members there are.
    pub fn member_count(&self) -> usize {
        read(&self.members).len()
    }

    /// The members that have not acknowledged everything up to `last`, each with its cursor.
    pub fn readers_behind(&self, last: u64) -> Vec<(Arc<str>, u64)> {
        let members = read(&self.members);
        let readers = members.iter().filter_map(|(client, member)| Some((client.clone(), member.cursor()?)));
        readers.filter(|(_, cursor)| *cursor < last).collect()
    }

    /// Shows up to which seq each follower was pushed what there is.
    pub fn each_follower(&self, mut show: impl FnMut(u64)) {
        lock(&self.followers).iter().for_each(|follower| show(follower.reached.load(Ordering::Relaxed)));
    }

    /// The room as this client sees it in a list, who has so much to read in it.
    pub fn info(&self, client: &str, unread: Option<u64>) -> RoomInfo {
        let record = self.record();
        let members = read(&self.members);
        let last = self.last_seq();
        RoomInfo {
            room: self.name.clone(),
            members: members.len() as u64,
            last,
            unread,
            cursor: members.get(client).and_then(|member| member.cursor()),
            active_ms: self.active_ms(),
            topic: record.topic.clone(),
            private: record.private,
        }
    }

    /// From now on, notes in `waker` that the room has new messages. `reached` is kept at what they were pushed up to.
    pub fn follow(&self, waker: &Arc<Waker>, reached: Arc<AtomicU64>) {
        lock(&self.followers).push(Follower { waker: Arc::downgrade(waker), reached });
    }

    /// Ends a [`follow`](Room::follow).
    pub fn unfollow(&self, waker: &Arc<Waker>) {
        lock(&self.followers).retain(|follower| !std::ptr::eq(follower.waker.as_ptr(), Arc::as_ptr(waker)));
    }

    /// The events from this number on that are still kept, and the number of the next.
    pub fn events_since(&self, number: u64) -> (Vec<Happened>, u64) {
        lock(&self.events).as_ref().map_or((Vec::new(), number), |events| events.since(number))
    }

    /// Tells those who listen.
    pub fn tell(&self, client: &Arc<str>, event: Event) {
        if let Some(events) = lock(&self.events).as_mut() {
            events.tell(self.id, client, event);
        }
    }

    /// Tells those who listen that a client is typing.
    pub fn tell_typing(&self, client: &Arc<str>) {
        if let Some(events) = lock(&self.events).as_mut() {
            events.tell_typing(self.id, client);
        }
    }

    /// Whether more than one connection follows it.
    pub fn has_followers(&self) -> bool {
        lock(&self.followers).len() > 1
    }

    fn wake_followers(&self) {
        read(&self.groups).values().for_each(|group| group.wake());
        lock(&self.followers).retain(|follower| {
            let Some(waker) = follower.waker.upgrade() else { return false };
            waker.wake(|changed| changed.followed.insert(self.id));
            true
        });
    }
}

/// Counts one less of these; true where that was the last.
fn one_less(counts: &mut HashMap<Arc<str>, usize>, of: &Arc<str>) -> bool {
    let Some(count) = counts.get_mut(of) else { return false };
    *count = count.saturating_sub(1);
    let is_last = *count == 0;
    if is_last {
        counts.remove(of);
    }
    is_last
}

/// Every room, and who is here.
#[derive(Debug, Default)]
pub struct Rooms {
    by_name: RwLock<HashMap<Arc<str>, Arc<Room>>>,
    by_id: RwLock<HashMap<u64, Arc<Room>>>,
    joined: RwLock<HashMap<Arc<str>, usize>>,
    /// How many rooms a person owns.
    owned: RwLock<HashMap<Arc<str>, usize>>,
    nicks: RwLock<HashMap<Arc<str>, Arc<str>>>,
    connected: Mutex<HashMap<Arc<str>, Here>>,
    /// When members who are away went, by the wall clock; only since the start.
    left_ms: Mutex<HashMap<Arc<str>, u64>>,
    /// Rooms whose events anybody listens to.
    listened: Mutex<HashMap<u64, Arc<Room>>>,
    watchers: Mutex<Vec<(Arc<str>, Weak<Waker>)>>,
    deleted: Mutex<Deleted>,
    /// The highest number that a room has, or had.
    highest_id: AtomicU64,
}

impl Rooms {
    /// The rooms that the store had at the start.
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

    /// Takes a room out, with all that is of it, and wakes who waits for more of it.
    fn remove(&self, id: u64) {
        let Some(room) = write(&self.by_id).remove(&id) else { return };
        let mut by_name = write(&self.by_name);
        if by_name.get(&room.name).is_some_and(|found| found.id == id) {
            by_name.remove(&room.name);
        }
        drop(by_name);
        let record = room.record();
        lock(&self.deleted).add(id, Was { name: room.name.clone(), private: record.private });
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

    /// A client is a member of one room less.
    fn unjoin(&self, client: &Arc<str>) {
        let mut joined = write(&self.joined);
        if one_less(&mut joined, client) {
            lock(&self.left_ms).remove(client);
        }
    }

    /// Whether any room was deleted since the start.
    pub fn has_deleted(&self) -> bool {
        !lock(&self.deleted).is_empty()
    }

    /// What a room was that is deleted; none where it is not, or that is forgotten.
    pub fn deleted(&self, id: u64) -> Option<Was> {
        lock(&self.deleted).get(id)
    }

    /// The room of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Room>> {
        read(&self.by_name).get(name).cloned()
    }

    /// The room of this name as it is written; or, where there is none, as names are kept.
    pub fn find(&self, name: &str) -> Option<Arc<Room>> {
        self.get(name).or_else(|| self.get(&composed(name)))
    }

    /// The room of this number.
    pub fn by_id(&self, id: u64) -> Option<Arc<Room>> {
        read(&self.by_id).get(&id).cloned()
    }

    /// All rooms, in the order of their making.
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

    /// The highest number that a room has, or had; 0 where there was none.
    pub fn highest_id(&self) -> u64 {
        self.highest_id.load(Ordering::Acquire)
    }

    /// Rooms that this client is a member of.
    pub fn joined(&self, client: &str) -> usize {
        read(&self.joined).get(client).copied().unwrap_or(0)
    }

    /// Rooms that this person owns.
    pub fn owned(&self, person: &str) -> usize {
        read(&self.owned).get(person).copied().unwrap_or(0)
    }

    /// Whether a person owns, has joined or may enter a room, or has a nick. Looks at everything where that is not so.
    pub fn knows(&self, who: &str) -> bool {
        self.owned(who) > 0
            || read(&self.nicks).contains_key(who)
            || read(&self.joined).keys().any(|client| person(client) == who)
            || read(&self.by_id).values().any(|room| room.access(who).is_some())
    }

    /// What this client is shown as.
    pub fn nick(&self, client: &str) -> Option<Arc<str>> {
        read(&self.nicks).get(person(client)).cloned()
    }

    /// From now on, notes in `waker` what goes on in a room. Returns the number of the next event.
    pub fn listen(&self, room: &Arc<Room>, waker: &Arc<Waker>) -> u64 {
        // The list first, so that a room in which anybody listens is always in it.
        let mut listened = lock(&self.listened);
        listened.insert(room.id, room.clone());
        lock(&room.events).get_or_insert_default().listen(waker)
    }

    /// Ends a [`listen`](Rooms::listen).
    pub fn unlisten(&self, room: &Room, waker: &Arc<Waker>) {
        let mut listened = lock(&self.listened);
        if lock(&room.events).as_mut().is_some_and(|events| events.unlisten(waker)) {
            listened.remove(&room.id);
        }
    }

    /// From now on, notes in `waker` every room that changes, for this client.
    pub fn watch(&self, client: Arc<str>, waker: &Arc<Waker>) {
        lock(&self.watchers).push((client, Arc::downgrade(waker)));
    }

    /// Ends a [`watch`](Rooms::watch).
    pub fn unwatch(&self, waker: &Arc<Waker>) {
        lock(&self.watchers).retain(|(_, watcher)| !std::ptr::eq(watcher.as_ptr(), Arc::as_ptr(waker)));
    }

    /// Notes that a room's messages up to `floor` are gone; tells those who watch, and had not read them.
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

    /// Makes durable changes visible, and wakes who waits for them.
    pub fn publish(&self, ops: &[Op]) {
        let mut to_wake = BTreeSet::new();
        let mut read_on = Vec::new();
        let mut changed = BTreeSet::new();
        let mut at: Option<Arc<Room>> = None;
        let mut noted = None;
        for op in ops {
            let id = match op {
                Op::Room { room, record } => {
                    self.add(RoomState {
                        id: *room,
                        record: record.clone(),
                        last: Default::default(),
                        members: HashMap::new(),
                        access: HashMap::new(),
                        groups: HashMap::new(),
                    });
                    changed.insert(*room);
                    continue;
                }
                Op::Nick { client, nick } => {
                    write(&self.nicks).insert(client.clone(), nick.clone());
                    let listened: Vec<Arc<Room>> = lock(&self.listened).values().cloned().collect();
                    for room in listened.iter().filter(|room| !room.members_of(client).is_empty()) {
                        room.tell(client, Event::Nick(nick.clone()));
                    }
                    continue;
                }
                Op::Delete { room } => {
                    self.remove(*room);
                    at = None;
                    changed.insert(*room);
                    continue;
                }
                op => match op.room() {
                    Some(room) => room,
                    None => continue,
                },
            };
            // Many in a row are of one room.
            if at.as_ref().is_none_or(|room| room.id != id) {
                at = self.by_id(id);
            }
            // The committer names only rooms that it made or was given.
            let Some(room) = &at else { continue };
            match op {
                Op::Message { message, .. } => {
                    room.active_ms.store(message.time_ms, Ordering::Release);
                    room.last_seq.store(message.seq, Ordering::Release);
                    if noted == Some(id) {
                        continue;
                    }
                    noted = Some(id);
                    to_wake.insert(id);
                }
                Op::Redact { seq, .. } => {
                    room.redactions.fetch_add(1, Ordering::Release);
                    room.unread.forget(*seq);
                    continue;
                }
                Op::Group { group, cursor, timeout_ms, .. } => {
                    let record = GroupRecord { cursor: *cursor, timeout_ms: *timeout_ms, done: Vec::new() };
                    let mut groups = write(&room.groups);
                    let group = groups.entry(group.clone()).or_insert_with(|| Arc::new(Group::new(record, 0)));
                    group.set_timeout(*timeout_ms);
                    continue;
                }
                Op::Ungroup { group, .. } => {
                    if let Some(group) = write(&room.groups).remove(group) {
                        group.wake();
                    }
                    continue;
                }
                Op::Done { group, seq, floor, .. } => {
                    if let Some(group) = room.group(group) {
                        group.set_done(*seq, *floor);
                    }
                    continue;
                }
                Op::Change { record, .. } => *write(&room.record) = Arc::new(record.clone()),
                Op::Access { client, access, .. } => write(&room.access).set(client, *access),
                Op::Join { client, .. } => {
                    write(&room.members).insert(client.clone(), Membership::Reader(0));
                    room.tell(client, Event::Joined);
                    *write(&self.joined).entry(client.clone()).or_default() += 1;
                }
                Op::Leave { client, .. } => {
                    // Whoever follows it and is no member any more is told so.
                    to_wake.insert(id);
                    write(&room.members).remove(client);
                    room.tell(client, Event::Left);
                    self.unjoin(client);
                }
                Op::Cursor { client, seq, .. } => {
                    write(&room.members).insert(client.clone(), Membership::of(*seq));
                    read_on.push((client, id));
                    continue;
                }
                Op::Room { .. } | Op::Nick { .. } | Op::Delete { .. } | Op::Mark { .. } => {}
            }
            changed.insert(id);
        }
        for room in to_wake.iter().filter_map(|id| self.by_id(*id)) {
            room.wake_followers();
        }
        // Rooms that are deleted and made anew come to no end: who is slow is not told of each of them.
        let noted_max = 2 * (self.count() + DELETED_KEPT);
        lock(&self.watchers).retain(|watcher| {
            let (client, watcher) = watcher;
            let Some(waker) = watcher.upgrade() else { return false };
            // What is unread for a client is so for no other.
            let own = read_on.iter().filter(|(of, _)| *of == client).map(|(_, room)| room);
            waker.wake(|noted| {
                if noted.lost {
                    return false;
                }
                if noted.watched.len() > noted_max {
                    (noted.lost, noted.watched) = (true, BTreeSet::new());
                    return true;
                }
                let before = noted.watched.len();
                noted.watched.extend(changed.iter().chain(own));
                noted.watched.len() > before
            });
            true
        });
    }
}
