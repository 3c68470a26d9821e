//! Reads rooms from the store: pages of messages, and what follows from them.

mod unread;

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::limits::{PAGE_MAX_BYTES, PAGE_MAX_MESSAGES};
use crate::retention::cutoff_ms;
use crate::rooms::Room;
use crate::settings::Live;
use dantok_store::limits::READ_AGAIN_AFTER;
use dantok_store::messages::Messages;
use dantok_store::{Error, Page, Store};
pub use unread::Unread;

/// Reads rooms, never showing what is past retention.
#[derive(Debug)]
pub struct Reader {
    store: Arc<Store>,
    settings: Arc<Live>,
}

impl Reader {
    /// Reads from this store. The settings say how long messages are kept.
    pub fn new(store: Arc<Store>, settings: Arc<Live>) -> Reader {
        Reader { store, settings }
    }

    /// The store that it reads from.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The time, on the kept clock, before which messages of this room are past retention.
    pub fn cutoff_ms(&self, room: &Room) -> u64 {
        cutoff_ms(&self.store, room.retention(self.settings.retention()))
    }

    /// The last seq of a room that is gone or past retention.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn floor(&self, room: &Room) -> Result<u64, Error> {
        let last = room.last_seq();
        // Reading the oldest message drops what is past retention.
        while self.store.is_expiring(room.id, self.cutoff_ms(room)) && self.store.floor(room.id) < last {
            let floor = self.store.floor(room.id);
            let oldest = self.page(room, floor, last, 1).read().await?;
            if oldest.first().is_none_or(|oldest| oldest.seq == self.store.floor(room.id) + 1) {
                break;
            }
        }
        Ok(self.store.floor(room.id))
    }

    /// The last seq between `floor` and `through` of a message sent before this time; `floor` if there is none.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn last_before(&self, room: &Room, floor: u64, through: u64, time_ms: u64) -> Result<u64, Error> {
        // A room's times never go back.
        let (mut low, mut high) = (floor, through.max(floor));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let message = self.page(room, middle - 1, middle, 1).read().await?;
            // A message that has expired meanwhile is older than any that are wanted.
            if message.first().is_none_or(|message| message.time_ms < time_ms) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(low)
    }

    /// Starts to read a page of a room: at most `max` messages after `after` and up to `through`; see [`Store::read`].
    pub fn page(&self, room: &Room, after: u64, through: u64, max: u64) -> PendingPage {
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
            Some(messages) => PendingPage { store, page, from: From::Memory(messages) },
            None => PendingPage::from_disk(store, page),
        }
    }
}

/// A page being read: already in memory, or on its way from the disk.
#[derive(Debug)]
pub struct PendingPage {
    store: Arc<Store>,
    page: Page,
    from: From,
}

#[derive(Debug)]
enum From {
    Memory(Messages),
    Disk(JoinHandle<Result<Messages, Error>>),
}

impl PendingPage {
    fn from_disk(store: Arc<Store>, page: Page) -> PendingPage {
        let of_task = store.clone();
        let from = From::Disk(tokio::task::spawn_blocking(move || of_task.read(&page)));
        PendingPage { store, page, from }
    }

    /// Waits for the page. A read that may succeed later is retried for [a while](READ_AGAIN_AFTER).
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
            read = PendingPage::from_disk(store.clone(), page).read_once().await;
        }
        read
    }

    /// Waits for the page, without retrying.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_once(self) -> Result<Messages, Error> {
        match self.from {
            From::Memory(messages) => Ok(messages),
            From::Disk(read) => {
                read.await.map_err(|error| dantok_store::Error::Failed(format!("a read panicked: {error}")))?
            }
        }
    }
}
