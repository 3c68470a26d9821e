//! Encoded pages: what one follower of a room was pushed, the others are pushed as well.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::limits::PUSHED_MAX_PAGES;
use dantok_protocol::Encoding;

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageInfo {
    /// The last message's seq.
    pub through: u64,
    /// How many messages it has.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// When the oldest message was taken, on the kept clock.
    pub oldest_kept_ms: u64,
    /// How many of the room's messages had been redacted before they were read.
    pub redactions: u64,
}

/// The newest page of each room and encoding. A few are enough, since followers are woken together.
#[derive(Debug, Default)]
pub struct Pushed(Mutex<HashMap<Key, (PageInfo, Bytes)>>);

/// A room's number, and how its messages are encoded.
type Key = (u64, Encoding);

impl Pushed {
    fn pages(&self) -> MutexGuard<'_, HashMap<Key, (PageInfo, Bytes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page that starts after this seq, if it is kept.
    pub fn get(&self, room: u64, encoding: Encoding, after: u64) -> Option<(PageInfo, Bytes)> {
        let pages = self.pages();
        let (page, bytes) = pages.get(&(room, encoding))?;
        (page.through - page.messages == after).then(|| (*page, bytes.clone()))
    }

    /// Keeps a page instead of the room's older one. A page of a follower that is catching up is not kept.
    pub fn put(&self, room: u64, encoding: Encoding, page: PageInfo, bytes: &[u8]) {
        let mut pages = self.pages();
        let key = (room, encoding);
        if pages.get(&key).is_some_and(|(newer, _)| newer.through > page.through) {
            return;
        }
        if pages.len() >= PUSHED_MAX_PAGES && !pages.contains_key(&key) {
            pages.clear();
        }
        pages.insert(key, (page, Bytes::copy_from_slice(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(through: u64, messages: u64) -> PageInfo {
        PageInfo { through, messages, bytes: 0, oldest_kept_ms: 0, redactions: 0 }
    }

    fn found(pushed: &Pushed, room: u64, encoding: Encoding, after: u64) -> Option<Bytes> {
        pushed.get(room, encoding, after).map(|(_, bytes)| bytes)
    }

    #[test]
    fn a_page_is_found_by_what_comes_before_it() {
        let pushed = Pushed::default();
        pushed.put(1, Encoding::Lines, page(7, 3), b"five six seven");
        assert_eq!(found(&pushed, 1, Encoding::Lines, 4).unwrap(), "five six seven");
        for (room, encoding, after) in [
            (1, Encoding::Lines, 3),
            (1, Encoding::Lines, 5),
            (1, Encoding::Lines, 7),
            (1, Encoding::Frames, 4),
            (2, Encoding::Lines, 4),
        ] {
            assert_eq!(found(&pushed, room, encoding, after), None);
        }
    }

    #[test]
    fn the_newest_page_is_kept() {
        let pushed = Pushed::default();
        pushed.put(1, Encoding::Frames, page(7, 3), b"new");
        pushed.put(1, Encoding::Frames, page(2, 2), b"of one who catches up");
        assert_eq!(
            (found(&pushed, 1, Encoding::Frames, 0), found(&pushed, 1, Encoding::Frames, 4).unwrap()),
            (None, "new".into())
        );
        pushed.put(1, Encoding::Frames, page(8, 1), b"newer");
        assert_eq!(
            (found(&pushed, 1, Encoding::Frames, 4), found(&pushed, 1, Encoding::Frames, 7).unwrap()),
            (None, "newer".into())
        );
    }

    #[test]
    fn pages_are_bounded() {
        let pushed = Pushed::default();
        for room in 0..3 * PUSHED_MAX_PAGES as u64 {
            pushed.put(room, Encoding::Frames, page(1, 1), b"x");
            assert!(pushed.pages().len() <= PUSHED_MAX_PAGES);
            assert!(found(&pushed, room, Encoding::Frames, 0).is_some());
        }
    }
}
