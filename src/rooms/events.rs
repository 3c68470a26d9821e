//! Events in a room other than messages: told to whoever is listening, and never stored.
//!
//! While anybody listens to a room, its latest events are kept and numbered, and each listener reads on from its own position. A slow
//! listener costs nothing, and may miss some.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::waker::Waker;
use crate::limits::{EVENTS_MAX, TYPING_EVERY};
use dantok_protocol::Event;
use dantok_store::clock::wall_ms;

/// An event in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomEvent {
    /// When, in milliseconds since 1970 UTC.
    pub time_ms: u64,
    /// The client that it is about.
    pub client: Arc<str>,
    /// What happened.
    pub event: Event,
}

/// The events of one room.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The number of the first event kept.
    first: u64,
    kept: VecDeque<RoomEvent>,
    listeners: Vec<Weak<Waker>>,
    /// When each typing client was last reported.
    typed: HashMap<Arc<str>, Instant>,
}

impl Events {
    /// Wakes `waker` for each event from now on. Returns the number of the next event.
    pub(super) fn listen(&mut self, waker: &Arc<Waker>) -> u64 {
        self.listeners.push(Arc::downgrade(waker));
        self.next()
    }

    /// Undoes [`listen`](Events::listen). Returns whether nobody listens any more.
    pub(super) fn unlisten(&mut self, waker: &Arc<Waker>) -> bool {
        self.listeners.retain(|listener| !std::ptr::eq(listener.as_ptr(), Arc::as_ptr(waker)));
        if self.listeners.is_empty() {
            self.first = self.next();
            self.kept = VecDeque::new();
            self.typed = HashMap::new();
        }
        self.listeners.is_empty()
    }

    fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Tells all listeners of this room.
    pub(super) fn tell(&mut self, room: u64, client: &Arc<str>, event: Event) {
        if self.listeners.is_empty() {
            return;
        }
        if self.kept.len() >= EVENTS_MAX {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(RoomEvent { time_ms: wall_ms(), client: client.clone(), event });
        self.listeners.retain(|listener| {
            let Some(waker) = listener.upgrade() else { return false };
            waker.wake(|changed| changed.events.insert(room));
            true
        });
    }

    /// Tells that a client is typing, at most once in [`TYPING_EVERY`] for all its connections.
    pub(super) fn tell_typing(&mut self, room: u64, client: &Arc<str>) {
        if self.listeners.is_empty() {
            return;
        }
        self.typed.retain(|_, at| at.elapsed() < TYPING_EVERY);
        if !self.typed.contains_key(client) {
            self.typed.insert(client.clone(), Instant::now());
            self.tell(room, client, Event::Typing);
        }
    }

    /// The events kept from this number on, and the number of the next one.
    pub(super) fn since(&self, number: u64) -> (Vec<RoomEvent>, u64) {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (self.kept.iter().skip(skip).cloned().collect(), self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_listener_misses_the_oldest_and_none_of_the_others() {
        let (mut events, waker) = (Events::default(), Arc::default());
        let alice: Arc<str> = "alice".into();
        events.tell(1, &alice, Event::Joined);
        let from = events.listen(&waker);
        assert_eq!(events.since(from), (Vec::new(), from), "nothing is kept where nobody listens");
        for _ in 0..EVENTS_MAX + 3 {
            events.tell(1, &alice, Event::Typing);
        }
        events.tell(1, &alice, Event::Left);
        let (heard, next) = events.since(from);
        assert_eq!((heard.len(), heard.last().unwrap().event.clone()), (EVENTS_MAX, Event::Left));
        assert_eq!(events.since(next), (Vec::new(), next));
        assert!(waker.take().events.contains(&1));
        assert!(events.unlisten(&waker) && events.since(0).0.is_empty());
    }
}
