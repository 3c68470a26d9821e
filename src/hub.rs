//! What every connection shares: the rooms, the store, the way to the committer, the settings and the figures.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::committer::Committer;
use crate::figures::Figures;
use crate::limits::{PAGE_MAX_BYTES, PAGE_MAX_MESSAGES};
use crate::person::People;
use crate::pushed::Pushed;
use crate::retention::cutoff_ms;
use crate::rooms::{Room, Rooms};
use crate::settings::Live;
use crate::survey::{Survey, Surveyed};
use crate::tokens::Tokens;
use dantok_store::Error;
use dantok_store::limits::READ_AGAIN_AFTER;
use dantok_store::messages::Messages;
use dantok_store::{Page, Store};

/// See the module.
#[derive(Debug)]
pub struct Hub {
    /// The rooms, and who is here.
    pub rooms: Arc<Rooms>,
    /// The store, to read.
    pub store: Arc<Store>,
    /// The only way to change anything.
    pub committer: Committer,
    /// Who is connected, with what each may ask for.
    pub people: People,
    /// Who may be whom.
    pub tokens: Arc<Tokens>,
    /// What an operator sets, and may set anew.
    pub settings: Arc<Live>,
    /// What has happened so far.
    pub figures: Arc<Figures>,
    /// Cancelled when the daemon stops: what waits is to wait no more.
    pub stopping: CancellationToken,
    /// What was pushed to one follower and may be to others.
    pub pushed: Pushed,
    /// How everything was a moment ago.
    pub surveyed: Surveyed,
}

/// A page that is being read.
#[derive(Debug)]
pub struct Reading {
    store: Arc<Store>,
    page: Page,
    from: From,
}

#[derive(Debug)]
enum From {
    Memory(Messages),
    Disk(JoinHandle<Result<Messages, Error>>),
}

impl Reading {
    fn from_disk(store: Arc<Store>, page: Page) -> Reading {
        let of_task = store.clone();
        let from = From::Disk(tokio::task::spawn_blocking(move || of_task.read(&page)));
        Reading { store, page, from }
    }

    /// The page; a read that fails and may succeed later is tried again, for [a while](READ_AGAIN_AFTER).
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read(self) -> Result<Messages, Error> {
        let (store, page) = (self.store.clone(), self.page);
        let mut read = self.read_once().await;
        for pause in READ_AGAIN_AFTER {
            match &read {
                Err(error) if error.is_passing() => tracing::warn!(%error, again_in = ?pause, "can't read messages"),
                _ => break,
            }
            tokio::time::sleep(pause).await;
            read = Reading::from_disk(store.clone(), page).read_once().await;
        }
        read
    }

    /// The page, or why it can't be read now.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_once(self) -> Result<Messages, Error> {
        match self.from {
            From::Memory(messages) => Ok(messages),
            From::Disk(read) => {
                read.await.map_err(|error| dantok_store::Error::Failed(format!("a read died: {error}")))?
            }
        }
    }
}

impl Hub {
    /// What of this room was taken before this on the kept clock is past retention.
    pub fn cutoff_ms(&self, room: &Room) -> u64 {
        cutoff_ms(&self.store, room.retention(self.settings.retention()))
    }

    /// The seq up to which a room's messages are gone, or past retention.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn floor(&self, room: &Room) -> Result<u64, Error> {
        let last = room.last_seq();
        // To read the oldest that is not past retention is to find out which are.
        while self.store.is_expiring(room.id, self.cutoff_ms(room)) && self.store.floor(room.id) < last {
            let floor = self.store.floor(room.id);
            let oldest = self.begin_read(room, floor, last, 1).read().await?;
            if oldest.first().is_none_or(|oldest| oldest.seq == self.store.floor(room.id) + 1) {
                break;
            }
        }
        Ok(self.store.floor(room.id))
    }

    /// The last seq, between `floor` and `through`, of a message from before this time; `floor` where there is none.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn last_before(&self, room: &Room, floor: u64, through: u64, time_ms: u64) -> Result<u64, Error> {
        // A room's times never go back.
        let (mut low, mut high) = (floor, through.max(floor));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let message = self.begin_read(room, middle - 1, middle, 1).read().await?;
            // One that has expired meanwhile is older than any that is asked for.
            if message.first().is_none_or(|message| message.time_ms < time_ms) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(low)
    }

    /// Begins to read a page of a room: what comes after `after` and up to `through`, at most `max` messages; see [`Store::read`].
    pub fn begin_read(&self, room: &Room, after: u64, through: u64, max: u64) -> Reading {
        let page = Page {
            room: room.id,
            after,
            through,
            cutoff_ms: self.cutoff_ms(room),
            max_messages: usize::try_from(max).unwrap_or(usize::MAX).min(PAGE_MAX_MESSAGES),
            max_bytes: PAGE_MAX_BYTES,
        };
        let store = self.store.clone();
        match store.read_recent(&page) {
            Some(messages) => Reading { store, page, from: From::Memory(messages) },
            None => Reading::from_disk(store, page),
        }
    }

    /// How everything is; see [`Surveyed::get`]. Blocks.
    pub fn survey(&self) -> Survey {
        self.surveyed.get(self)
    }

    /// STATS. Blocks.
    pub fn stats(&self) -> Vec<(String, u64)> {
        let (figures, survey, store) = (&self.figures, self.survey(), self.store.figures());
        let (queued, in_flight) = self.committer.waiting();
        let seconds = |age: Option<Duration>| age.unwrap_or_default().as_secs();
        [
            ("uptime", figures.started.elapsed().as_secs()),
            ("connections", figures.connections()),
            ("rooms", survey.rooms),
            ("commits", figures.commits.get()),
            ("messages", figures.messages.get()),
            ("bytes", figures.bytes.get()),
            ("handed", figures.handed.get()),
            ("journal-memory", store.unmoved_bytes),
            ("recent-memory", store.recent_bytes),
            ("store-disk", survey.disk_bytes),
            ("handed-bytes", figures.handed_bytes.get()),
            ("received", figures.received_bytes.get()),
            ("sent", figures.sent_bytes.get()),
            ("accepted", figures.accepted.get()),
            ("turned-away", figures.turned_away().map(|(_, count)| count).sum()),
            ("errors", figures.errors().map(|(_, count)| count).sum()),
            ("memberships", survey.memberships),
            ("followers", survey.followers),
            ("lag", survey.lag),
            ("stored", survey.stored_messages),
            ("stored-bytes", survey.stored_bytes),
            ("expired", store.expired_messages),
            ("oldest", survey.oldest.as_secs()),
            ("oldest-unread", seconds(survey.oldest_unread)),
            ("oldest-undone", seconds(survey.oldest_undone)),
            ("queued", queued),
            ("in-flight", in_flight),
            ("free-disk", store.free_bytes.unwrap_or(0)),
            ("refuses-writes", u64::from(store.is_short_of_space || store.has_failed)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}
