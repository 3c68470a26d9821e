//! How the rooms, their readers and the store are at a moment: for STATS, and for what watches over the daemon. It takes a look at
//! every room, so it is taken anew only where that costs little.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::{PAGE_MAX_BYTES, PAGE_MAX_MESSAGES};
use crate::reader::Reader;
use crate::rooms::unread::is_to_read;
use crate::rooms::{Room, Rooms};
use dantok_protocol::name::person;
use dantok_store::Error;
use dantok_store::Page;

/// A survey is shown again for so many times the time that it took: however often it is asked for, it costs a fiftieth of one core.
const SHOWN_FOR: u32 = 50;

/// So many messages of a room are looked at for the first that somebody has still to read, where those before it are all of who has not
/// acknowledged them.
const LOOKED_AT_MAX: usize = 100_000;
/// So many at first: mostly it is the very next.
const FIRST_LOOK: usize = 16;

/// Followers to which more messages than so many of a room were not pushed yet are counted by themselves.
pub const BEHIND: [u64; 4] = [0, 100, 1_000, 10_000];

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Rooms.
    pub rooms: u64,
    /// Members of rooms, each as often as it is one.
    pub memberships: u64,
    /// Clients and devices that are connected.
    pub clients: u64,
    /// Messages stored and not expired.
    pub stored_messages: u64,
    /// Bytes that they take, as [`Store::stored_bytes`](dantok_store::Store::stored_bytes) counts.
    pub stored_bytes: u64,
    /// FOLLOWs: a connection counts as often as it follows a room.
    pub followers: u64,
    /// Of these, those to which more messages than this were not pushed yet; for each of [`BEHIND`].
    pub followers_behind: [u64; BEHIND.len()],
    /// Messages of a room that were not pushed yet to the follower that has most of them.
    pub lag: u64,
    /// The age of the oldest stored message.
    pub oldest: Duration,
    /// The age of the oldest that some member has still to read; none where there is none.
    pub oldest_unread: Option<Duration>,
    /// The age of the oldest that some group has not done; none where there is none.
    pub oldest_undone: Option<Duration>,
    /// What the data directory takes on the disk.
    pub disk_bytes: u64,
}

/// The last survey.
#[derive(Debug, Default)]
pub struct Surveyed(Mutex<Option<(Instant, Survey)>>);

impl Surveyed {
    /// A survey that is as new as its price allows. Blocks.
    pub fn get(&self, rooms: &Rooms, reader: &Reader) -> Survey {
        // What panicked has left the one before.
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

/// The oldest of some messages: when it was taken, on the kept clock.
#[derive(Debug, Default)]
struct Oldest(Option<u64>);

impl Oldest {
    /// Looks at a message that may be gone by now.
    fn note(&mut self, reader: &Reader, room: u64, seq: u64) {
        let taken = reader.store().taken_ms(room, seq).unwrap_or_else(|error: Error| {
            tracing::debug!(room, seq, %error, "can't tell a message's age");
            None
        });
        self.0 = self.0.into_iter().chain(taken).min();
    }

    fn age(&self, reader: &Reader) -> Option<Duration> {
        self.0.map(|taken_ms| Duration::from_millis(reader.store().clock().now_ms().saturating_sub(taken_ms)))
    }
}

/// The first message of a room that some member has still to read; after a long look, the next that may be it.
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
        // What can't be read is still to be read.
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
