//! A shared cursor at work: who has taken what, and until when it is nobody else's. In memory only: after a start everything that is
//! not done may be taken at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::clock::wall_ms;
use crate::limits::GROUP_WINDOW;
use crate::store::group::GroupRecord;
use crate::units;

/// A message that somebody has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who.
    pub client: Arc<str>,
    /// When, by the wall clock.
    pub since_ms: u64,
    /// How often it was taken, since the start.
    pub deliveries: u64,
    /// From here on others may take it.
    until: Instant,
}

/// What was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Seqs that nobody was given and that are gone: the first and the last.
    pub gone: Option<(u64, u64)>,
    /// The messages, in order.
    pub seqs: Vec<u64>,
    /// Where nothing was: when something that others have may be taken, unless it is done before.
    pub next: Option<Instant>,
}

#[derive(Debug)]
struct State {
    record: GroupRecord,
    leases: BTreeMap<u64, Lease>,
    /// What comes before this was taken once, or is done.
    fresh: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Group {
    state: Mutex<State>,
    changed: Notify,
}

impl Group {
    pub(super) fn new(record: GroupRecord) -> Group {
        let fresh = record.cursor + 1;
        Group { state: Mutex::new(State { record, leases: BTreeMap::new(), fresh }), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is durable of it.
    pub fn record(&self) -> GroupRecord {
        self.state().record.clone()
    }

    /// The first message that is not done, where those up to `floor` are gone.
    pub fn first_open(&self, floor: u64) -> u64 {
        self.state().record.first_open(floor)
    }

    /// Wakes who waits for something to take.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Done when there may be something to take; to be [enabled](tokio::sync::futures::Notified::enable) before one looks.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Takes messages for a client: those whose time is over first, then new ones. `floor`: up to where the room's messages are
    /// gone; `last`: its last seq.
    pub fn take(&self, client: &Arc<str>, max: usize, floor: u64, last: u64) -> Taken {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut taken = Taken::default();
        if state.fresh <= floor {
            let first = (state.fresh..=floor).find(|seq| !state.record.is_done(*seq));
            taken.gone = first.map(|first| (first, floor));
            state.fresh = floor + 1;
        }
        state.leases.retain(|seq, _| *seq > floor);
        let now = Instant::now();
        // What is stored is bounded where it is asked for.
        let until = units::after(now, Duration::from_millis(state.record.timeout_ms));
        for (seq, lease) in state.leases.iter_mut().filter(|(_, lease)| lease.until <= now).take(max) {
            let deliveries = lease.deliveries + 1;
            *lease = Lease { client: client.clone(), since_ms: wall_ms(), deliveries, until };
            taken.seqs.push(*seq);
        }
        // What is done and what is taken beyond a message that nobody does is bounded.
        let end = last.min(state.record.cursor.max(floor).saturating_add(GROUP_WINDOW));
        while taken.seqs.len() < max && state.fresh <= end {
            if !state.record.is_done(state.fresh) {
                let lease = Lease { client: client.clone(), since_ms: wall_ms(), deliveries: 1, until };
                state.leases.insert(state.fresh, lease);
                taken.seqs.push(state.fresh);
            }
            state.fresh += 1;
        }
        taken.seqs.sort_unstable();
        taken.next = state.leases.values().map(|lease| lease.until).min();
        taken
    }

    /// What is taken and not done, by seq.
    pub fn pending(&self) -> Vec<(u64, Lease)> {
        self.state().leases.iter().map(|(seq, lease)| (*seq, lease.clone())).collect()
    }

    /// A message is done, durably.
    pub(super) fn set_done(&self, seq: u64, floor: u64) {
        let mut state = self.state();
        state.record.set_done(seq, floor);
        state.leases.remove(&seq);
        drop(state);
        self.wake();
    }

    pub(super) fn set_timeout(&self, timeout_ms: u64) {
        self.state().record.timeout_ms = timeout_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(timeout_ms: u64) -> Group {
        Group::new(GroupRecord { timeout_ms, ..GroupRecord::default() })
    }

    #[test]
    fn each_message_is_taken_once_until_its_time_is_over() {
        let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
        let slow = group(3_600_000);
        assert_eq!(slow.take(&alice, 2, 0, 5).seqs, [1, 2]);
        assert_eq!(slow.take(&bob, 9, 0, 5).seqs, [3, 4, 5]);
        let none = slow.take(&alice, 9, 0, 5);
        assert!(none.seqs.is_empty() && none.next.is_some());
        slow.set_done(1, 0);
        assert_eq!(slow.pending().iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3, 4, 5]);
        let quick = group(0);
        assert_eq!(quick.take(&alice, 2, 0, 2).seqs, [1, 2]);
        quick.set_done(1, 0);
        assert_eq!(quick.take(&bob, 2, 0, 3).seqs, [2, 3]);
        let (_, lease) = quick.pending().remove(0);
        assert_eq!((&*lease.client, lease.deliveries), ("bob", 2));
    }

    #[test]
    fn what_is_gone_is_said_once() {
        let alice: Arc<str> = "alice".into();
        let group = group(3_600_000);
        group.set_done(1, 0);
        let taken = group.take(&alice, 1, 4, 6);
        assert_eq!((taken.gone, taken.seqs), (Some((2, 4)), vec![5]));
        assert_eq!(group.take(&alice, 1, 4, 6).gone, None);
        assert_eq!(group.record().cursor, 1);
        group.set_done(5, 4);
        assert_eq!(group.record().cursor, 5);
    }

    #[test]
    fn what_nobody_does_holds_up_a_bounded_number() {
        let alice: Arc<str> = "alice".into();
        let group = group(3_600_000);
        let mut taken = 0;
        loop {
            let seqs = group.take(&alice, 100, 0, u64::MAX).seqs;
            if seqs.is_empty() {
                break;
            }
            taken += seqs.len() as u64;
            for seq in seqs.into_iter().filter(|seq| *seq != 1) {
                group.set_done(seq, 0);
            }
        }
        assert_eq!(taken, GROUP_WINDOW);
    }
}
