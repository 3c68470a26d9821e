//! What one follower of a room was pushed, encoded, for the others: who follows a room is told the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::limits::PUSHED_MAX_PAGES;
use crate::session::Told;

/// Pages by room, framing and the seq before them. Few, and the newest: followers are woken together.
#[derive(Debug, Default)]
pub struct Pushed(Mutex<HashMap<Key, (Told, Bytes)>>);

/// The room's number, and whether this is of the framed protocol.
type Key = (u64, bool);

impl Pushed {
    fn pages(&self) -> MutexGuard<'_, HashMap<Key, (Told, Bytes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page that begins after this seq, if it is there.
    pub fn get(&self, room: u64, is_framed: bool, after: u64) -> Option<(Told, Bytes)> {
        let pages = self.pages();
        let (told, bytes) = pages.get(&(room, is_framed))?;
        (told.through - told.messages == after).then(|| (*told, bytes.clone()))
    }

    /// Keeps a page in the place of the room's older one. One that goes back is not kept: it is of somebody who catches up.
    pub fn put(&self, room: u64, is_framed: bool, told: Told, bytes: &[u8]) {
        let mut pages = self.pages();
        let key = (room, is_framed);
        if pages.get(&key).is_some_and(|(newer, _)| newer.through > told.through) {
            return;
        }
        if pages.len() >= PUSHED_MAX_PAGES && !pages.contains_key(&key) {
            pages.clear();
        }
        pages.insert(key, (told, Bytes::copy_from_slice(bytes)));
    }
}
