//! The newest messages of every room, in memory: all that sled does not have yet, and some that it has.
//!
//! What sled does not have yet is bounded by making the writer wait ([`Tail::wait_for_room`]); the rest by forgetting the oldest.
//! The tail also knows how far each room's messages have expired.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::commit::Op;
use crate::limits::{RECENT_MAX_BYTES, UNMOVED_MAX_BYTES};
use crate::mutex::lock;
use crate::record::{Last, Stored};
use crate::{chunk, key};

/// Higher than any seq: the floor of a room that does not exist.
const PAST_ALL: u64 = u64::MAX / 2;

/// The memory of a message, besides its body.
const OVERHEAD_BYTES: usize = 160;

fn cost(message: &Stored) -> usize {
    message.body.len() + OVERHEAD_BYTES
}

fn room_of(op: &Op) -> Option<u64> {
    if let Op::Message { room, .. } = op { Some(*room) } else { None }
}

fn message_of(op: &Op) -> Option<&Stored> {
    if let Op::Message { message, .. } = op { Some(message) } else { None }
}

#[derive(Debug, Default)]
struct Room {
    /// Consecutive seqs, up to the room's last.
    messages: VecDeque<Stored>,
    /// Messages up to this seq are gone: expired, and not to be served.
    floor: u64,
    /// The time of the oldest stored message, on the kept clock; none if it is not known.
    oldest_kept_ms: Option<u64>,
    /// Bytes of its stored messages, as [`chunk::stored_bytes`] counts.
    stored_bytes: u64,
}

impl Room {
    fn is_expiring(&self, cutoff_ms: u64) -> bool {
        self.oldest_kept_ms.is_none_or(|kept_ms| kept_ms < cutoff_ms)
    }
}

#[derive(Debug, Default)]
struct Inner {
    rooms: HashMap<u64, Room>,
    /// Redactions that the files do not have yet, by room: the message's seq, and that of the message that redacts it.
    redacted: HashMap<u64, BTreeMap<u64, u64>>,
    /// Message ids that sled does not have yet.
    ids: HashMap<Vec<u8>, u64>,
    unmoved_bytes: usize,
    /// Moved messages that are still in memory, in the order in which they were moved: room, last seq, bytes.
    moved: VecDeque<(u64, u64, usize)>,
    moved_bytes: usize,
}

/// The newest messages in memory.
#[derive(Debug, Default)]
pub struct Tail {
    inner: Mutex<Inner>,
    moved: Condvar,
}

impl Inner {
    fn redact(&mut self, room: u64, seq: u64, by: u64) {
        self.redacted.entry(room).or_default().insert(seq, by);
        let Some(tail) = self.rooms.get_mut(&room) else { return };
        let first = tail.messages.front().map_or(0, |oldest| oldest.seq);
        let place = seq.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(message) = place.and_then(|place| tail.messages.get_mut(place)) {
            message.redact(by);
        }
    }
}

impl Tail {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Adds a room that a start has loaded.
    pub fn begin(&self, room: u64, last: &Last) {
        let tail = Room { floor: last.floor, stored_bytes: last.bytes, ..Room::default() };
        self.lock().rooms.insert(room, tail);
    }

    /// Whether a room exists.
    pub fn has(&self, room: u64) -> bool {
        self.lock().rooms.contains_key(&room)
    }

    /// Bytes of the room's stored messages.
    pub fn stored_bytes(&self, room: u64) -> u64 {
        self.lock().rooms.get(&room).map_or(0, |tail| tail.stored_bytes)
    }

    /// Notes that this many bytes of a room were dropped.
    pub fn freed(&self, room: u64, bytes: u64) {
        if let Some(tail) = self.lock().rooms.get_mut(&room) {
            tail.stored_bytes = tail.stored_bytes.saturating_sub(bytes);
        }
    }

    /// Notes that redactions have made a room larger or smaller.
    pub(crate) fn add_bytes(&self, room: u64, bytes: i64) {
        if let Some(tail) = self.lock().rooms.get_mut(&room) {
            tail.stored_bytes = tail.stored_bytes.saturating_add_signed(bytes);
        }
    }

    /// Whether the room may have messages from before `cutoff_ms`.
    pub fn is_expiring(&self, room: u64, cutoff_ms: u64) -> bool {
        self.lock().rooms.get(&room).is_some_and(|tail| tail.is_expiring(cutoff_ms))
    }

    /// Applies a durable commit: adds rooms and messages, redacts, and forgets deleted rooms.
    pub fn add(&self, ops: &[Op]) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        // Runs of messages of one room are common.
        for of_room in ops.chunk_by(|one, other| room_of(one).is_some() && room_of(one) == room_of(other)) {
            match of_room.first() {
                Some(Op::Redact { room, seq, by }) => inner.redact(*room, *seq, *by),
                Some(Op::Room { room, .. }) => drop(inner.rooms.entry(*room).or_default()),
                // Its messages that have not moved yet count until they have.
                Some(Op::Delete { room }) => drop(inner.rooms.remove(room)),
                _ => {}
            }
            let Some(room) = of_room.first().and_then(room_of) else { continue };
            let tail = inner.rooms.entry(room).or_default();
            for message in of_room.iter().filter_map(message_of) {
                // Only if nothing else is stored: what is below the floor may still have to be dropped.
                if tail.oldest_kept_ms == Some(u64::MAX) {
                    tail.oldest_kept_ms = Some(message.kept_ms);
                }
                tail.messages.push_back(message.clone());
                tail.stored_bytes += chunk::stored_bytes(message) as u64;
                inner.unmoved_bytes += cost(message);
                if let Some(id) = &message.id {
                    inner.ids.insert(key::message_id(room, &message.client, id), message.seq);
                }
            }
        }
    }

    /// Notes that sled has these ops now. Forgets what belongs to them, but not what a newer commit has put in its place.
    pub fn moved(&self, ops: &[Op]) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        for op in ops {
            if let Op::Redact { room, seq, by } = op
                && let Some(redacted) = inner.redacted.get_mut(room)
            {
                if redacted.get(seq) == Some(by) {
                    redacted.remove(seq);
                }
                if redacted.is_empty() {
                    inner.redacted.remove(room);
                }
            }
            let Op::Message { room, message } = op else { continue };
            let bytes = cost(message);
            inner.unmoved_bytes = inner.unmoved_bytes.saturating_sub(bytes);
            inner.moved_bytes += bytes;
            match inner.moved.back_mut() {
                Some((last_room, seq, total)) if last_room == room => {
                    *seq = message.seq;
                    *total += bytes;
                }
                _ => inner.moved.push_back((*room, message.seq, bytes)),
            }
            if let Some(id) = &message.id {
                let key = key::message_id(*room, &message.client, id);
                // The first message with this id may have expired before it moved, and another may have the id since.
                if inner.ids.get(&key) == Some(&message.seq) {
                    inner.ids.remove(&key);
                }
            }
        }
        while inner.moved_bytes > RECENT_MAX_BYTES {
            let Some((room, seq, bytes)) = inner.moved.pop_front() else { break };
            inner.moved_bytes -= bytes;
            if let Some(tail) = inner.rooms.get_mut(&room) {
                while tail.messages.front().is_some_and(|message| message.seq <= seq) {
                    tail.messages.pop_front();
                }
                tail.messages.shrink_to(tail.messages.len() * 2);
            }
        }
        self.moved.notify_all();
    }

    /// Waits while sled is too far behind; false if it still is after `timeout`.
    pub(crate) fn wait_for_room(&self, timeout: Duration) -> bool {
        let behind = |inner: &mut Inner| inner.unmoved_bytes > UNMOVED_MAX_BYTES;
        let waited = self.moved.wait_timeout_while(self.lock(), timeout, behind);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The messages after `after` and up to `through`, as many as fit a page; none if the first of them is not in memory.
    pub fn read(
        &self,
        room: u64,
        after: u64,
        through: u64,
        max_messages: usize,
        max_bytes: usize,
    ) -> Option<Vec<Stored>> {
        let inner = self.lock();
        let messages = &inner.rooms.get(&room)?.messages;
        let first = messages.front()?.seq;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let page = messages.iter().skip(skip).take_while(|message| {
            let fits = bytes == 0 || bytes + message.body.len() <= max_bytes;
            bytes += message.body.len().max(1);
            fits && message.seq <= through
        });
        Some(page.take(max_messages).cloned().collect())
    }

    /// The redactions of a room that the files do not have yet. Ask for them before reading the files.
    pub fn redacted(&self, room: u64) -> BTreeMap<u64, u64> {
        self.lock().redacted.get(&room).cloned().unwrap_or_default()
    }

    /// The seq of the message with an id, if sled does not have it yet.
    pub(crate) fn find_id(&self, key: &[u8]) -> Option<u64> {
        self.lock().ids.get(key).copied()
    }

    /// The time of a message on the kept clock, if it is in memory.
    pub fn accepted_ms(&self, room: u64, seq: u64) -> Option<u64> {
        let inner = self.lock();
        let messages = &inner.rooms.get(&room)?.messages;
        let place = usize::try_from(seq.checked_sub(messages.front()?.seq)?).ok()?;
        messages.get(place).map(|message| message.kept_ms)
    }

    /// The seq up to which the room's messages are gone.
    pub fn floor(&self, room: u64) -> u64 {
        self.lock().rooms.get(&room).map_or(PAST_ALL, |tail| tail.floor)
    }

    /// Raises the room's floor. `oldest_kept_ms` is the time of the oldest message above it, if known.
    pub(crate) fn raise_floor(&self, room: u64, floor: u64, oldest_kept_ms: Option<u64>) {
        let mut inner = self.lock();
        let Some(tail) = inner.rooms.get_mut(&room) else { return };
        if floor > tail.floor {
            tail.floor = floor;
            tail.oldest_kept_ms = oldest_kept_ms;
        } else if floor == tail.floor && oldest_kept_ms.is_some() {
            tail.oldest_kept_ms = oldest_kept_ms;
        }
    }

    /// Rooms whose oldest message is from before the room's cutoff, or not known.
    pub fn expiring(&self, cutoff_ms: impl Fn(u64) -> u64) -> Vec<u64> {
        let inner = self.lock();
        let old = |(room, tail): &(&u64, &Room)| tail.is_expiring(cutoff_ms(**room));
        inner.rooms.iter().filter(old).map(|(room, _)| *room).collect()
    }

    /// Notes that sled has no messages of the room: it is not expiring again before a message comes.
    pub(crate) fn set_empty(&self, room: u64) {
        if let Some(tail) = self.lock().rooms.get_mut(&room)
            && tail.messages.back().is_none_or(|newest| newest.seq <= tail.floor)
        {
            tail.oldest_kept_ms = Some(u64::MAX);
        }
    }

    /// Bytes in memory: those not yet in sled, and those kept for readers.
    pub fn bytes(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.unmoved_bytes, inner.moved_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::record::Kind;

    const ROOM: u64 = 1;

    fn message(seq: u64, id: &str) -> Op {
        let (client, id) = ("alice".into(), Some(Arc::from(id)));
        let body = Bytes::from_static(b"hi");
        Op::Message {
            room: ROOM,
            message: Stored { seq, time_ms: 1, kept_ms: seq, client, id, body, kind: Kind::Plain },
        }
    }

    fn found(tail: &Tail, id: &str) -> Option<u64> {
        tail.find_id(&key::message_id(ROOM, "alice", id))
    }

    #[test]
    fn what_moves_takes_only_its_own_ids_along() {
        let tail = Tail::default();
        // The first has expired before the third is sent, and before either is moved.
        let commits = [vec![message(1, "x"), message(2, "y")], vec![message(3, "x")], vec![message(4, "z")]];
        for commit in &commits {
            tail.add(commit);
        }
        tail.moved(&commits[0]);
        assert_eq!([found(&tail, "x"), found(&tail, "y"), found(&tail, "z")], [Some(3), None, Some(4)]);
        tail.moved(&commits[1]);
        tail.moved(&commits[2]);
        assert_eq!([found(&tail, "x"), found(&tail, "z")], [None, None]);
    }

    #[test]
    fn what_moves_takes_only_its_own_redactions_along() {
        let tail = Tail::default();
        let redact = |seq, by| vec![Op::Redact { room: ROOM, seq, by }];
        for commit in [redact(1, 3), redact(2, 4), redact(1, 5)] {
            tail.add(&commit);
        }
        tail.moved(&redact(1, 3));
        assert_eq!(tail.redacted(ROOM), BTreeMap::from([(1, 5), (2, 4)]));
        tail.moved(&redact(2, 4));
        tail.moved(&redact(1, 5));
        assert!(tail.redacted(ROOM).is_empty() && tail.lock().redacted.is_empty());
    }
}
