//! The state of all rooms, their readers and the store at one moment, for STATS and for monitoring. A survey looks at every room, so it
//! is repeated only as often as that is cheap.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::{PAGE_MAX_BYTES, PAGE_MAX_MESSAGES};
use crate::reader::Reader;
use crate::rooms::unread::is_to_read;
use crate::rooms::{Room, Rooms};
use dantok_protocol::name::person;
use dantok_store::Error;
use dantok_store::Page;

/// A survey is reused for this many times as long as it took, so surveys use at most a fiftieth of one core.
const SHOWN_FOR: u32 = 50;

/// How many messages of a room are searched for the oldest unread one, when all before it were sent by those who have not acknowledged
/// them.
const LOOKED_AT_MAX: usize = 100_000;
/// How many the first page of that search has. Usually the very first message is unread.
const FIRST_LOOK: usize = 16;

/// Followers with more messages than this still to be pushed are counted separately.
pub const BEHIND: [u64; 4] = [0, 100, 1_000, 10_000];

/// The state at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Rooms.
    pub rooms: u64,
    /// Memberships: a client counts once for each room.
    pub memberships: u64,
    /// Connected clients, each device on its own.
    pub clients: u64,
    /// Stored messages that have not expired.
    pub stored_messages: u64,
    /// Their size, as [`Store::stored_bytes`](dantok_store::Store::stored_bytes) counts it.
    pub stored_bytes: u64,
    /// Followers: a connection counts once for each room that it follows.
    pub followers: u64,
    /// Followers with more messages still to be pushed than each of [`BEHIND`].
    pub followers_behind: [u64; BEHIND.len()],
    /// The most messages that any follower has still to be pushed.
    pub lag: u64,
    /// The age of the oldest stored message.
    pub oldest: Duration,
    /// The age of the oldest message that some member has not read.
    pub oldest_unread: Option<Duration>,
    /// The age of the oldest message that some group has not done.
    pub oldest_undone: Option<Duration>,
    /// The size of the data directory on the disk.
    pub disk_bytes: u64,
}

/// The latest survey, and until when it is reused.
#[derive(Debug, Default)]
pub struct Surveyed(Mutex<Option<(Instant, Survey)>>);

impl Surveyed {
    /// The latest survey, or a new one if that is old. Blocks.
    pub fn get(&self, rooms: &Rooms, reader: &Reader) -> Survey {
        // A survey that panicked has left the one before it.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        if let Some((until, survey)) = &*last
            && start < *until
        {
            return survey.clone();
        }
        let survey = Survey::make(rooms, reader);
        let now = Instant::now();
        *last = Some((now + (now - start) * SHOWN_FOR, survey.clone()));
        survey
    }
}

/// When the oldest of some messages was taken, on the kept clock.
#[derive(Debug, Default)]
struct Oldest(Option<u64>);

impl Oldest {
    /// Considers a message, which may be gone by now.
    fn note(&mut self, reader: &Reader, room: u64, seq: u64) {
        let taken = reader.store().accepted_ms(room, seq).unwrap_or_else(|error: Error| {
            tracing::debug!(room, seq, %error, "can't tell a message's age");
            None
        });
        self.0 = self.0.into_iter().chain(taken).min();
    }

    fn age(&self, reader: &Reader) -> Option<Duration> {
        self.0.map(|accepted_ms| Duration::from_millis(reader.store().clock().now_ms().saturating_sub(accepted_ms)))
    }
}

/// The first message of a room that some member has not read; after a long search, the next candidate.
fn first_unread(reader: &Reader, room: &Room, floor: u64, last: u64) -> Option<u64> {
    let mut readers = room.readers_behind(last);
    readers.sort_unstable_by_key(|(_, cursor)| *cursor);
    let mut after = floor.max(readers.first()?.1);
    let mut looked_at = 0;
    while after < last && looked_at < LOOKED_AT_MAX {
        let page = Page {
            room: room.id,
            after,
            through: last,
            cutoff_ms: reader.cutoff_ms(room),
            max_messages: PAGE_MAX_MESSAGES.min(looked_at + FIRST_LOOK),
            max_bytes: PAGE_MAX_BYTES,
        };
        // A page that can't be read counts as unread.
        let Ok(messages) = reader.store().read(&page) else { break };
        let newest = messages.last()?.seq;
        let mut found = None;
        messages.each(|message| {
            let mut behind = readers.iter().take_while(|(_, cursor)| *cursor < message.seq);
            if found.is_none() && behind.any(|(reader, _)| is_to_read(message.client, message.kind, person(reader))) {
                found = Some(message.seq);
            }
        });
        if found.is_some() {
            return found;
        }
        looked_at += messages.len();
        after = newest;
    }
    (after < last).then_some(after + 1)
}

impl Survey {
    fn make(rooms: &Rooms, reader: &Reader) -> Survey {
        let mut survey =
            Survey { clients: rooms.connected() as u64, disk_bytes: reader.store().disk_bytes(), ..Survey::default() };
        let (mut stored, mut unread, mut undone) = (Oldest::default(), Oldest::default(), Oldest::default());
        for room in rooms.all() {
            survey.rooms += 1;
            survey.memberships += room.member_count() as u64;
            let (floor, last) = (reader.store().floor(room.id), room.last_seq());
            room.each_follower(|reached| {
                let lag = last.saturating_sub(floor.max(reached));
                survey.followers += 1;
                survey.lag = survey.lag.max(lag);
                for (count, behind) in survey.followers_behind.iter_mut().zip(BEHIND) {
                    *count += u64::from(lag > behind);
                }
            });
            if floor >= last {
                continue;
            }
            survey.stored_messages += last - floor;
            survey.stored_bytes += reader.store().stored_bytes(room.id);
            stored.note(reader, room.id, floor + 1);
            if let Some(seq) = first_unread(reader, &room, floor, last) {
                unread.note(reader, room.id, seq);
            }
            for (_, group) in room.groups() {
                let open = group.first_open(floor);
                if open <= last {
                    undone.note(reader, room.id, open);
                }
            }
        }
        survey.oldest = stored.age(reader).unwrap_or_default();
        survey.oldest_unread = unread.age(reader);
        survey.oldest_undone = undone.age(reader);
        survey
    }
}
