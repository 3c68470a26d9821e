//! One room: its durable state, and who follows it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::time::Duration;

use super::accesses::Accesses;
use super::events::{Events, RoomEvent};
use super::{Group, Membership, Waker, lock, read, unread};
use dantok_protocol::name::person;
use dantok_protocol::{Event, RoomInfo};
use dantok_store::RoomState;
use dantok_store::record::{Access, RoomRecord};

/// A room.
#[derive(Debug)]
pub struct Room {
    /// Its number in the store.
    pub id: u64,
    /// Its name.
    pub name: Arc<str>,
    pub(super) record: RwLock<Arc<RoomRecord>>,
    pub(super) is_deleted: AtomicBool,
    pub(super) last_seq: AtomicU64,
    pub(super) active_ms: AtomicU64,
    pub(super) redactions: AtomicU64,
    /// Counts of unread messages.
    pub unread: unread::Blocks,
    /// Watchers know that messages up to here have expired.
    pub(super) told_floor: AtomicU64,
    pub(super) members: RwLock<HashMap<Arc<str>, Membership>>,
    pub(super) access: RwLock<Accesses>,
    pub(super) groups: RwLock<HashMap<Arc<str>, Arc<Group>>>,
    followers: Mutex<Vec<Follower>>,
    /// None until somebody listens.
    pub(super) events: Mutex<Option<Box<Events>>>,
}

/// A connection that is woken for new messages, and the seq that it was pushed up to.
#[derive(Debug)]
struct Follower {
    waker: Weak<Waker>,
    reached: Arc<AtomicU64>,
}

impl Room {
    pub(super) fn new(state: RoomState) -> Room {
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

    /// Whether it was deleted. Nobody may see it then, even if they still hold it.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// The last durable seq.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }

    /// When the last message was sent or, without one, the room was created, in milliseconds since 1970 UTC.
    pub fn active_ms(&self) -> u64 {
        self.active_ms.load(Ordering::Acquire)
    }

    /// How many messages have been redacted since the start. A page read before this changed may show a redacted text.
    pub fn redactions(&self) -> u64 {
        self.redactions.load(Ordering::Acquire)
    }

    /// Its record.
    pub fn record(&self) -> Arc<RoomRecord> {
        read(&self.record).clone()
    }

    /// How long its messages are kept, if all rooms keep theirs for `retention`.
    pub fn retention(&self, retention: Duration) -> Duration {
        retention.max(Duration::from_millis(read(&self.record).keep_ms))
    }

    /// Whether a person is invited or banned; none: neither.
    pub fn access(&self, person: &str) -> Option<Access> {
        read(&self.access).get(person)
    }

    /// How many people are invited or banned.
    pub fn access_count(&self, access: Access) -> usize {
        read(&self.access).count(access)
    }

    /// Its owner, then everybody who is invited or banned, by name.
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

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        read(&self.groups).get(name).cloned()
    }

    /// All groups, by name.
    pub fn groups(&self) -> Vec<(Arc<str>, Arc<Group>)> {
        let mut groups: Vec<_> = read(&self.groups).iter().map(|(name, group)| (name.clone(), group.clone())).collect();
        groups.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        groups
    }

    /// The names of all members.
    pub fn member_names(&self) -> Vec<Arc<str>> {
        read(&self.members).keys().cloned().collect()
    }

    /// A person's devices that are members.
    pub fn members_of(&self, who: &str) -> Vec<Arc<str>> {
        read(&self.members).keys().filter(|client| person(client) == who).cloned().collect()
    }

    /// A client's membership; none if it is not a member.
    pub fn membership(&self, client: &str) -> Option<Membership> {
        read(&self.members).get(client).copied()
    }

    /// A client's cursor; none if it is not a member, or has no cursor.
    pub fn cursor(&self, client: &str) -> Option<u64> {
        self.membership(client).and_then(Membership::cursor)
    }

    /// How many members there are.
    pub fn member_count(&self) -> usize {
        read(&self.members).len()
    }

    /// Members that have not acknowledged everything up to `last`, with their cursors.
    pub fn readers_behind(&self, last: u64) -> Vec<(Arc<str>, u64)> {
        let members = read(&self.members);
        let readers = members.iter().filter_map(|(client, member)| Some((client.clone(), member.cursor()?)));
        readers.filter(|(_, cursor)| *cursor < last).collect()
    }

    /// Calls `show` with the seq that each follower was pushed up to.
    pub fn each_follower(&self, mut show: impl FnMut(u64)) {
        lock(&self.followers).iter().for_each(|follower| show(follower.reached.load(Ordering::Relaxed)));
    }

    /// The room as ROOMS shows it to this client, which has `unread` messages to read.
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

    /// Wakes `waker` for new messages from now on. The caller keeps `reached` at the seq that was pushed last.
    pub fn follow(&self, waker: &Arc<Waker>, reached: Arc<AtomicU64>) {
        lock(&self.followers).push(Follower { waker: Arc::downgrade(waker), reached });
    }

    /// Undoes [`follow`](Room::follow).
    pub fn unfollow(&self, waker: &Arc<Waker>) {
        lock(&self.followers).retain(|follower| !std::ptr::eq(follower.waker.as_ptr(), Arc::as_ptr(waker)));
    }

    /// The events kept from this number on, and the number of the next one.
    pub fn events_since(&self, number: u64) -> (Vec<RoomEvent>, u64) {
        lock(&self.events).as_ref().map_or((Vec::new(), number), |events| events.since(number))
    }

    /// Tells all listeners of an event.
    pub fn tell(&self, client: &Arc<str>, event: Event) {
        if let Some(events) = lock(&self.events).as_mut() {
            events.tell(self.id, client, event);
        }
    }

    /// Tells all listeners that a client is typing.
    pub fn tell_typing(&self, client: &Arc<str>) {
        if let Some(events) = lock(&self.events).as_mut() {
            events.tell_typing(self.id, client);
        }
    }

    /// Whether more than one connection follows it.
    pub fn has_followers(&self) -> bool {
        lock(&self.followers).len() > 1
    }

    pub(super) fn wake_followers(&self) {
        read(&self.groups).values().for_each(|group| group.wake());
        lock(&self.followers).retain(|follower| {
            let Some(waker) = follower.waker.upgrade() else { return false };
            waker.wake(|changed| changed.followed.insert(self.id));
            true
        });
    }
}
