//! Publishes a commit: applies its changes to the rooms, and wakes whoever waits for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Group, Membership, Room, Rooms, lock, write};
use crate::limits::DELETED_KEPT;
use dantok_protocol::Event;
use dantok_store::RoomState;
use dantok_store::commit::Op;
use dantok_store::group::GroupRecord;
use dantok_store::record::{RoomRecord, Stored};

/// Whom a commit concerns.
#[derive(Default)]
struct Effects<'a> {
    /// Rooms whose followers are woken.
    followed: BTreeSet<u64>,
    /// Rooms that have changed for every watcher.
    watched: BTreeSet<u64>,
    /// Rooms that have changed for one client, since it has read on.
    read_on: Vec<(&'a Arc<str>, u64)>,
    /// The room of the previous message. Many in a row are of one room, which is noted once.
    messages_in: Option<u64>,
}

impl Effects<'_> {
    fn note_message(&mut self, room: u64) {
        if self.messages_in.replace(room) != Some(room) {
            self.followed.insert(room);
            self.watched.insert(room);
        }
    }
}

impl Rooms {
    /// Makes durable changes visible, and wakes whoever waits for them.
    pub fn publish(&self, ops: &[Op]) {
        let (mut effects, mut last_room) = (Effects::default(), None);
        for op in ops {
            self.apply(op, &mut last_room, &mut effects);
        }
        self.wake(&effects);
    }

    /// Applies one change. `last_room` is the room of the previous one, which is often the same.
    fn apply<'a>(&self, op: &'a Op, last_room: &mut Option<Arc<Room>>, effects: &mut Effects<'a>) {
        let id = op.room();
        if last_room.as_ref().map(|room| room.id) != id {
            *last_room = id.and_then(|id| self.by_id(id));
        }
        match (op, last_room) {
            (Op::Room { room, record }, _) => self.open(*room, record, effects),
            (Op::Delete { room }, last_room) => {
                *last_room = None;
                self.remove(*room);
                effects.watched.insert(*room);
            }
            (Op::Nick { client, nick }, _) => self.set_nick(client, nick),
            // Every other change is of a room, and the committer names only rooms that exist.
            (Op::Mark { .. }, _) | (_, None) => {}
            (Op::Message { message, .. }, Some(room)) => {
                room.note_message(message);
                effects.note_message(room.id);
            }
            (Op::Redact { seq, .. }, Some(room)) => {
                room.redactions.fetch_add(1, Ordering::Release);
                room.unread.forget(*seq);
            }
            (Op::Group { group, cursor, timeout_ms, .. }, Some(room)) => room.set_group(group, *cursor, *timeout_ms),
            (Op::Ungroup { group, .. }, Some(room)) => room.end_group(group),
            (Op::Done { group, seq, floor, .. }, Some(room)) => {
                if let Some(group) = room.group(group) {
                    group.set_done(*seq, *floor);
                }
            }
            (Op::Change { record, .. }, Some(room)) => {
                *write(&room.record) = Arc::new(record.clone());
                effects.watched.insert(room.id);
            }
            (Op::Access { client, access, .. }, Some(room)) => {
                write(&room.access).set(client, *access);
                effects.watched.insert(room.id);
            }
            (Op::Join { client, .. }, Some(room)) => self.join(room, client, effects),
            (Op::Leave { client, .. }, Some(room)) => self.leave(room, client, effects),
            (Op::Cursor { client, seq, .. }, Some(room)) => {
                write(&room.members).insert(client.clone(), Membership::of(*seq));
                effects.read_on.push((client, room.id));
            }
        }
    }

    fn open(&self, id: u64, record: &RoomRecord, effects: &mut Effects<'_>) {
        self.add(RoomState {
            id,
            record: record.clone(),
            last: Default::default(),
            members: HashMap::new(),
            access: HashMap::new(),
            groups: HashMap::new(),
        });
        effects.watched.insert(id);
    }

    fn set_nick(&self, client: &Arc<str>, nick: &Arc<str>) {
        write(&self.nicks).insert(client.clone(), nick.clone());
        let listened: Vec<Arc<Room>> = lock(&self.listened).values().cloned().collect();
        for room in listened.iter().filter(|room| !room.members_of(client).is_empty()) {
            room.tell(client, Event::Nick(nick.clone()));
        }
    }

    fn join(&self, room: &Room, client: &Arc<str>, effects: &mut Effects<'_>) {
        write(&room.members).insert(client.clone(), Membership::Reader(0));
        room.tell(client, Event::Joined);
        *write(&self.joined).entry(client.clone()).or_default() += 1;
        effects.watched.insert(room.id);
    }

    fn leave(&self, room: &Room, client: &Arc<str>, effects: &mut Effects<'_>) {
        write(&room.members).remove(client);
        room.tell(client, Event::Left);
        self.unjoin(client);
        // A follower that is no longer a member is told so.
        effects.followed.insert(room.id);
        effects.watched.insert(room.id);
    }

    fn wake(&self, effects: &Effects<'_>) {
        for room in effects.followed.iter().filter_map(|id| self.by_id(*id)) {
            room.wake_followers();
        }
        // Rooms can be deleted and created without end, so a slow watcher is not told of each of them.
        let noted_max = 2 * (self.count() + DELETED_KEPT);
        lock(&self.watchers).retain(|(client, watcher)| {
            let Some(waker) = watcher.upgrade() else { return false };
            // How much is unread concerns only the client itself.
            let own = effects.read_on.iter().filter(|(of, _)| *of == client).map(|(_, room)| room);
            waker.wake(|noted| {
                if noted.lost {
                    return false;
                }
                if noted.watched.len() > noted_max {
                    (noted.lost, noted.watched) = (true, BTreeSet::new());
                    return true;
                }
                let before = noted.watched.len();
                noted.watched.extend(effects.watched.iter().chain(own));
                noted.watched.len() > before
            });
            true
        });
    }
}

impl Room {
    fn note_message(&self, message: &Stored) {
        self.active_ms.store(message.time_ms, Ordering::Release);
        self.last_seq.store(message.seq, Ordering::Release);
    }

    fn set_group(&self, name: &Arc<str>, cursor: u64, timeout_ms: u64) {
        let record = GroupRecord { cursor, timeout_ms, done: Vec::new() };
        let mut groups = write(&self.groups);
        let group = groups.entry(name.clone()).or_insert_with(|| Arc::new(Group::new(record, 0)));
        group.set_timeout(timeout_ms);
    }

    fn end_group(&self, name: &Arc<str>) {
        if let Some(group) = write(&self.groups).remove(name) {
            group.wake();
        }
    }
}
