//! What every connection shares: the rooms, the store, the way to the committer, the settings and the figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::committer::Committer;
use crate::error::Error;
use crate::limits::{PAGE_MAX_BYTES, PAGE_MAX_MESSAGES};
use crate::person::People;
use crate::pushed::Pushed;
use crate::rooms::{Room, Rooms};
use crate::settings::Live;
use crate::store::messages::Messages;
use crate::store::{Page, Store};
use crate::tokens::Tokens;

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
}

/// Counters since the start.
#[derive(Debug)]
pub struct Figures {
    /// When that was.
    pub started: Instant,
    /// Commits, each with an fdatasync.
    pub commits: AtomicU64,
    /// Messages stored.
    pub messages: AtomicU64,
    /// Bytes of their bodies.
    pub bytes: AtomicU64,
    /// Messages handed to clients.
    pub handed: AtomicU64,
    /// Open connections.
    pub connections: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            started: Instant::now(),
            commits: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            handed: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }
}

/// What was taken before this on the kept clock is past retention.
pub fn cutoff_ms(store: &Store, retention: Duration) -> u64 {
    store.clock().now_ms().saturating_sub(u64::try_from(retention.as_millis()).unwrap_or(u64::MAX))
}

/// A page that is being read.
#[derive(Debug)]
pub struct Reading {
    from: From,
    figures: Arc<Figures>,
}

#[derive(Debug)]
enum From {
    Memory(Messages),
    Disk(JoinHandle<Result<Messages, Error>>),
}

impl Reading {
    /// The page.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read(self) -> Result<Messages, Error> {
        let figures = self.figures.clone();
        let messages = self.page().await?;
        figures.handed.fetch_add(messages.len() as u64, Ordering::Relaxed);
        Ok(messages)
    }

    /// The page, for the daemon itself: it counts for nothing.
    async fn page(self) -> Result<Messages, Error> {
        match self.from {
            From::Memory(messages) => Ok(messages),
            From::Disk(read) => read.await.map_err(|error| Error::Failed(format!("a read died: {error}")))?,
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
            let oldest = self.begin_read(room, floor, last, 1).page().await?;
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
            let message = self.begin_read(room, middle - 1, middle, 1).page().await?;
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
        let from = match self.store.read_recent(&page) {
            Some(messages) => From::Memory(messages),
            None => {
                let store = self.store.clone();
                From::Disk(tokio::task::spawn_blocking(move || store.read(&page)))
            }
        };
        Reading { from, figures: self.figures.clone() }
    }

    /// STATS.
    pub async fn stats(&self) -> Vec<(String, u64)> {
        let store = self.store.clone();
        let (unmoved, recent, disk) = tokio::task::spawn_blocking(move || store.figures()).await.unwrap_or_default();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("uptime", self.figures.started.elapsed().as_secs()),
            ("connections", count(&self.figures.connections)),
            ("rooms", self.rooms.count() as u64),
            ("commits", count(&self.figures.commits)),
            ("messages", count(&self.figures.messages)),
            ("bytes", count(&self.figures.bytes)),
            ("handed", count(&self.figures.handed)),
            ("journal-memory", unmoved),
            ("recent-memory", recent),
            ("store-disk", disk),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}
