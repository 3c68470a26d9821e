//! A shared cursor at work: who has taken which message, and until when it is reserved for them. This is in memory only: after a restart
//! everything that is not done can be taken at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::waker::Waker;
use crate::limits::GROUP_WINDOW;
use dantok_protocol::units;
use dantok_store::clock::wall_ms;
use dantok_store::group::GroupRecord;

/// A message that a client has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The client.
    pub client: Arc<str>,
    /// When it was taken, by the wall clock.
    pub since_ms: u64,
    /// How often it has been taken since the start.
    pub deliveries: u64,
    /// When others may take it.
    until: Instant,
    /// Which of the group's takes it was.
    take: u64,
}

/// What a take has got.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The first and last seq of those that are gone and that nobody was handed.
    pub gone: Option<(u64, u64)>,
    /// The messages, in order.
    pub seqs: Vec<u64>,
    /// When the next message that is taken now becomes free, unless it is done before.
    pub next: Option<Instant>,
    /// Which of the group's takes this is.
    take: u64,
}

#[derive(Debug)]
struct Progress {
    record: GroupRecord,
    leases: BTreeMap<u64, Lease>,
    /// Messages that were taken and did not arrive, and how often they had been taken before.
    free: BTreeMap<u64, u64>,
    /// Seqs that were reported [gone](Taken::gone) in an answer that did not arrive.
    untold: Option<(u64, u64)>,
    /// Every message before this one has been taken or is done.
    fresh: u64,
    /// The number of takes so far.
    takes: u64,
    /// Messages up to this one may have been taken before the restart.
    taken_before: u64,
}

/// The smallest range that covers both.
fn both(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (one, other) {
        (Some((from, to)), Some((other_from, other_to))) => Some((from.min(other_from), to.max(other_to))),
        (one, other) => one.or(other),
    }
}

/// A shared cursor.
#[derive(Debug)]
pub struct Group {
    progress: Mutex<Progress>,
    /// Connections that wait for something to take.
    waiting: Mutex<Vec<Weak<Waker>>>,
}

impl Group {
    /// A stored group. Its messages up to `taken_before` may have been taken before the restart.
    pub(super) fn new(record: GroupRecord, taken_before: u64) -> Group {
        let fresh = record.cursor + 1;
        let (leases, free) = (BTreeMap::new(), BTreeMap::new());
        let progress = Progress { record, leases, free, untold: None, fresh, takes: 0, taken_before };
        Group { progress: Mutex::new(progress), waiting: Mutex::default() }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics between two changes that belong together.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its durable part.
    pub fn record(&self) -> GroupRecord {
        self.progress().record.clone()
    }

    /// The first message that is neither done nor gone; those up to `floor` are gone.
    pub fn first_open(&self, floor: u64) -> u64 {
        self.progress().record.first_open(floor)
    }

    /// Wakes the connections that wait for something to take.
    pub(super) fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        for waker in waiting.iter().filter_map(Weak::upgrade) {
            waker.wake(|changed| !std::mem::replace(&mut changed.taking, true));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Weak<Waker>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes `waker` once when there may be something to take. To be called before looking.
    pub fn wait(&self, waker: &Arc<Waker>) {
        let mut waiting = self.waiting();
        let is_other =
            |other: &Weak<Waker>| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(waker));
        waiting.retain(is_other);
        waiting.push(Arc::downgrade(waker));
    }

    /// Takes messages for a client: first those whose reservation has ended, then new ones. The room's messages up to `floor` are gone,
    /// and `last` is its last seq.
    pub fn take(&self, client: &Arc<str>, max: usize, floor: u64, last: u64) -> Taken {
        let mut guard = self.progress();
        let progress = &mut *guard;
        progress.takes += 1;
        let take = progress.takes;
        let mut taken = Taken { gone: progress.untold.take(), take, ..Taken::default() };
        if progress.fresh <= floor {
            let first = (progress.fresh..=floor).find(|seq| !progress.record.is_done(*seq));
            taken.gone = both(taken.gone, first.map(|first| (first, floor)));
            progress.fresh = floor + 1;
        }
        progress.leases.retain(|seq, _| *seq > floor);
        let free = progress.free.split_off(&(floor + 1));
        let unread = std::mem::replace(&mut progress.free, free).into_iter().filter(|(_, deliveries)| *deliveries == 0);
        taken.gone = unread.fold(taken.gone, |gone, (seq, _)| both(gone, Some((seq, seq))));
        let now = Instant::now();
        // GROUP bounds the timeout.
        let until = units::after(now, Duration::from_millis(progress.record.timeout_ms));
        let since_ms = wall_ms();
        let leased = |deliveries| Lease { client: client.clone(), since_ms, deliveries, until, take };
        for (seq, lease) in progress.leases.iter_mut().filter(|(_, lease)| lease.until <= now).take(max) {
            *lease = leased(lease.deliveries + 1);
            taken.seqs.push(*seq);
        }
        while taken.seqs.len() < max
            && let Some((seq, deliveries)) = progress.free.pop_first()
        {
            progress.leases.insert(seq, leased(deliveries + 1));
            taken.seqs.push(seq);
        }
        // A message that is never done must not let the record grow without bound.
        let end = last.min(progress.record.cursor.max(floor).saturating_add(GROUP_WINDOW));
        while taken.seqs.len() < max && progress.fresh <= end {
            if !progress.record.is_done(progress.fresh) {
                progress.leases.insert(progress.fresh, leased(1));
                taken.seqs.push(progress.fresh);
            }
            progress.fresh += 1;
        }
        taken.seqs.sort_unstable();
        taken.next = progress.leases.values().map(|lease| lease.until).min();
        taken
    }

    /// Undoes a take that did not arrive.
    fn give_back(&self, take: u64, seqs: &[u64], gone: Option<(u64, u64)>) {
        let mut progress = self.progress();
        progress.untold = both(progress.untold, gone);
        for seq in seqs {
            // Unless it is done, or taken by another client by now.
            if let Some(lease) = progress.leases.get(seq).filter(|lease| lease.take == take) {
                let deliveries = lease.deliveries - 1;
                progress.leases.remove(seq);
                progress.free.insert(*seq, deliveries);
            }
        }
        drop(progress);
        self.wake();
    }

    /// Whether a message has been taken, or may have been before the restart.
    pub fn may_have_been_taken(&self, seq: u64) -> bool {
        let progress = self.progress();
        seq < progress.fresh || seq <= progress.taken_before
    }

    /// Messages that are taken and not done, by seq.
    pub fn pending(&self) -> Vec<(u64, Lease)> {
        self.progress().leases.iter().map(|(seq, lease)| (*seq, lease.clone())).collect()
    }

    /// Notes that a message is durably done.
    pub(super) fn set_done(&self, seq: u64, floor: u64) {
        let mut progress = self.progress();
        progress.record.set_done(seq, floor);
        progress.leases.remove(&seq);
        progress.free.remove(&seq);
        drop(progress);
        self.wake();
    }

    pub(super) fn set_timeout(&self, timeout_ms: u64) {
        self.progress().record.timeout_ms = timeout_ms;
    }
}

/// Messages on their way to the client that took them. Dropping this undoes the take, unless it has [arrived](Handed::arrived).
#[derive(Debug)]
pub struct Handed {
    group: Arc<Group>,
    take: u64,
    seqs: Vec<u64>,
    gone: Option<(u64, u64)>,
    since: Instant,
}

impl Handed {
    /// Starts on its way.
    pub fn of(group: Arc<Group>, taken: &Taken) -> Handed {
        let Taken { gone, seqs, take, .. } = taken;
        Handed { group, take: *take, seqs: seqs.clone(), gone: *gone, since: Instant::now() }
    }

    /// Gives back everything after this seq, which is not handed over.
    pub fn cut(&mut self, after: u64) {
        let rest = self.seqs.split_off(self.seqs.partition_point(|seq| *seq <= after));
        self.group.give_back(self.take, &rest, None);
    }

    /// How long it has been on its way.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Notes that it has arrived.
    pub fn arrived(mut self) {
        self.seqs.clear();
        self.gone = None;
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if !self.seqs.is_empty() || self.gone.is_some() {
            self.group.give_back(self.take, &self.seqs, self.gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_arrive_is_as_if_it_had_not_been_taken() {
        let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
        let group = Arc::new(group(3_600_000));
        let taken = group.take(&alice, 3, 1, 5);
        assert_eq!((taken.gone, &*taken.seqs), (Some((1, 1)), &[2, 3, 4][..]));
        group.set_done(3, 1);
        drop(Handed::of(group.clone(), &taken));
        assert!(group.pending().is_empty());
        let taken = group.take(&bob, 1, 1, 5);
        assert_eq!((taken.gone, &*taken.seqs), (Some((1, 1)), &[2][..]));
        Handed::of(group.clone(), &taken).arrived();
        let (_, lease) = group.pending().remove(0);
        assert_eq!((&*lease.client, lease.deliveries), ("bob", 1));
        let taken = group.take(&alice, 9, 1, 5);
        assert_eq!(taken.seqs, [4, 5]);
        let mut handed = Handed::of(group.clone(), &taken);
        handed.cut(4);
        handed.arrived();
        // A message that expired before anybody was given it is reported as gone.
        assert_eq!(group.take(&bob, 9, 5, 5).gone, Some((5, 5)));
        assert!(group.take(&bob, 9, 5, 5) == Taken { take: 5, ..Taken::default() });
    }

    fn group(timeout_ms: u64) -> Group {
        Group::new(GroupRecord { timeout_ms, ..GroupRecord::default() }, 0)
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
    fn what_is_gone_is_reported_once() {
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
