//! One room: what is durable of it, and who waits for more.

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
    /// Counts of what there is to read.
    pub unread: unread::Blocks,
    /// Up to here, those who watch were told that messages have expired.
    pub(super) told_floor: AtomicU64,
    pub(super) members: RwLock<HashMap<Arc<str>, Membership>>,
    pub(super) access: RwLock<Accesses>,
    pub(super) groups: RwLock<HashMap<Arc<str>, Arc<Group>>>,
    followers: Mutex<Vec<Follower>>,
    /// None where nobody ever listened.
    pub(super) events: Mutex<Option<Box<Events>>>,
}

/// Who is woken when there is more, and up to which seq it was pushed what there is.
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
    pub fn events_since(&self, number: u64) -> (Vec<RoomEvent>, u64) {
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

    pub(super) fn wake_followers(&self) {
        read(&self.groups).values().for_each(|group| group.wake());
        lock(&self.followers).retain(|follower| {
            let Some(waker) = follower.waker.upgrade() else { return false };
            waker.wake(|changed| changed.followed.insert(self.id));
            true
        });
    }
}
