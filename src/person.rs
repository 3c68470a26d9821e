//! What all connections of a person share, on all devices: rate limits, and how much may wait for a commit.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota};
use tokio::sync::Semaphore;

use crate::limits::{IN_FLIGHT_OF_ONE_MAX_BYTES, Limits};
use dantok_protocol::{ErrorCode, Refusal};

/// A rate is counted in at most this many cells a second, so that the time of one is precise enough in nanoseconds.
const CELLS_PER_SECOND_MAX: u64 = 1_000_000;
/// How long a person's buckets are remembered at most after the last connection.
const REMEMBERED_MAX: Duration = Duration::from_secs(60);

/// A token bucket, full at first.
#[derive(Debug)]
struct Bucket {
    limiter: DefaultDirectRateLimiter,
    per_second: u64,
    /// How many units make a cell.
    cell: u64,
    /// Cells in a full bucket.
    burst: NonZeroU32,
    /// The time in which an empty bucket fills.
    refill: Duration,
}

impl Bucket {
    /// A bucket that holds a second's worth and at least `burst`; none if there is no limit.
    fn new(per_second: u64, burst: u64) -> Option<Bucket> {
        let cell = per_second.div_ceil(CELLS_PER_SECOND_MAX).max(1);
        let period = Duration::from_nanos((1_000_000_000 * cell).checked_div(per_second)?);
        let burst = NonZeroU32::new(u32::try_from(per_second.max(burst).div_ceil(cell)).unwrap_or(u32::MAX))?;
        let quota = Quota::with_period(period)?.allow_burst(burst);
        let refill = period.saturating_mul(burst.get());
        Some(Bucket { limiter: DefaultDirectRateLimiter::direct(quota), per_second, cell, burst, refill })
    }

    /// Removes this many units, or says how long to wait for them.
    fn charge(&self, count: u64) -> Result<(), Duration> {
        let cells = u32::try_from(count.div_ceil(self.cell)).unwrap_or(u32::MAX);
        let Some(cells) = NonZeroU32::new(cells) else { return Ok(()) };
        match self.limiter.check_n(cells.min(self.burst)) {
            Ok(Err(not_yet)) => Err(not_yet.wait_time_from(self.limiter.clock().now())),
            // Never more than the bucket holds.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

/// The rate limits of a person or connection.
#[derive(Debug)]
pub struct Pace {
    requests: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Pace {
    /// None if there is no limit.
    pub fn new(limits: &Limits) -> Option<Pace> {
        let requests = Bucket::new(limits.requests_per_second.into(), 1);
        // The longest body must fit, even if it can't be sent every second.
        let bytes = Bucket::new(limits.bytes_per_second, limits.body_max_bytes as u64);
        (requests.is_some() || bytes.is_some()).then_some(Pace { requests, bytes })
    }

    /// Charges a request with a body of this many bytes.
    ///
    /// # Errors
    /// `limit`, with how long to wait. Nothing is charged then, except the request itself if only its bytes are too many.
    pub fn charge(&self, body_bytes: usize) -> Result<(), Refusal> {
        if let Some(requests) = &self.requests {
            requests.charge(1).map_err(|wait| too_soon(wait, "requests", requests.per_second))?;
        }
        let Some(bytes) = &self.bytes else { return Ok(()) };
        bytes.charge(body_bytes as u64).map_err(|wait| {
            // The request itself was charged, so the next may take as long as one request does.
            let next =
                self.requests.as_ref().map(|requests| Duration::from_secs(1).div_f64(requests.per_second as f64));
            too_soon(wait.max(next.unwrap_or_default()), "bytes of messages", bytes.per_second)
        })
    }

    /// The time after which nothing charged matters any more.
    fn refill(&self) -> Duration {
        let refills = [&self.requests, &self.bytes].into_iter().flatten().map(|bucket| bucket.refill);
        refills.max().unwrap_or_default().min(REMEMBERED_MAX)
    }
}

fn too_soon(wait: Duration, what: &str, per_second: u64) -> Refusal {
    let wait_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1);
    let refusal = Refusal::new(ErrorCode::Limit, format!("at most {per_second} {what} a second"));
    Refusal { wait_ms: Some(wait_ms), ..refusal }
}

/// A person's share of the daemon.
#[derive(Debug)]
pub struct Person {
    pace: RwLock<Option<Arc<Pace>>>,
    /// Bytes that may still be handed to the committer.
    pub in_flight: Semaphore,
}

impl Person {
    fn new(limits: &Limits) -> Person {
        let pace = RwLock::new(Pace::new(limits).map(Arc::new));
        Person { pace, in_flight: Semaphore::new(IN_FLIGHT_OF_ONE_MAX_BYTES) }
    }

    /// The rate limits in effect, if any.
    pub fn pace(&self) -> Option<Arc<Pace>> {
        self.pace.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Person {
    fn default() -> Person {
        Person { pace: RwLock::default(), in_flight: Semaphore::new(IN_FLIGHT_OF_ONE_MAX_BYTES) }
    }
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<Box<str>, Weak<Person>>,
    /// People without a connection, and when their buckets are full, oldest first. Connecting again does not fill them.
    left: VecDeque<(Instant, Arc<Person>)>,
    /// The number of entries at which those of people who are gone are removed.
    swept_at: usize,
}

/// Everybody who is connected.
#[derive(Debug, Default)]
pub struct People(Mutex<Known>);

impl People {
    /// The person of this name.
    pub fn get(&self, name: &str, limits: &Limits) -> Arc<Person> {
        let mut known = self.known();
        if let Some(person) = known.by_name.get(name).and_then(Weak::upgrade) {
            return person;
        }
        if known.by_name.len() >= known.swept_at {
            known.by_name.retain(|_, person| person.strong_count() > 0);
            let twice = known.by_name.len() * 2;
            known.by_name.shrink_to(twice);
            known.swept_at = twice + 16;
        }
        let person = Arc::new(Person::new(limits));
        known.by_name.insert(name.into(), Arc::downgrade(&person));
        person
    }

    /// Notes that a connection of this person ends.
    pub fn leave(&self, person: Arc<Person>) {
        if let Some(refill) = person.pace().map(|pace| pace.refill()) {
            self.known().left.push_back((Instant::now() + refill, person));
        }
    }

    /// Puts new limits into effect for everybody, with full buckets.
    pub fn pace(&self, limits: &Limits) {
        for person in self.known().by_name.values().filter_map(Weak::upgrade) {
            *person.pace.write().unwrap_or_else(PoisonError::into_inner) = Pace::new(limits).map(Arc::new);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // The map is consistent between any two steps.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while known.left.front().is_some_and(|(full, _)| *full <= now) {
            known.left.pop_front();
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests_per_second: u32, bytes_per_second: u64) -> Limits {
        Limits { requests_per_second, bytes_per_second, body_max_bytes: 1000, ..Limits::default() }
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_limited() {
        assert!(Pace::new(&limits(0, 0)).is_none());
    }

    #[test]
    fn a_bucket_of_any_rate_holds_a_second_of_it() {
        for rate in [1, 3, 1000, 1_000_000, 1 << 20, 100_000_007, 10 << 30, u64::MAX >> 34] {
            let bucket = Bucket::new(rate, 1).unwrap();
            let seconds = bucket.refill.as_secs_f64();
            assert!((0.99..1.01).contains(&seconds), "{rate}: {seconds}");
            assert_eq!(bucket.charge(rate), Ok(()));
            assert!(bucket.charge(rate).unwrap_err() > Duration::from_millis(900), "{rate}");
        }
    }

    #[test]
    fn the_longest_body_can_be_sent_however_low_the_rate() {
        let pace = Pace::new(&limits(0, 10)).unwrap();
        assert_eq!(pace.charge(1000), Ok(()));
        let wait_ms = pace.charge(1000).unwrap_err().wait_ms.unwrap();
        assert!((99_000..=100_000).contains(&wait_ms), "{wait_ms}");
        assert_eq!(pace.charge(0), Ok(()));
    }

    #[test]
    fn those_who_are_gone_are_forgotten_when_their_buckets_are_full() {
        let (people, none, some) = (People::default(), limits(0, 0), limits(1000, 0));
        for number in 0..1000 {
            people.leave(people.get(&number.to_string(), &none));
        }
        assert!(people.known().by_name.len() < 20);
        let first = people.get("a", &some);
        let address = Arc::as_ptr(&first);
        people.leave(first);
        assert_eq!(Arc::as_ptr(&people.get("a", &some)), address);
        people.known().left.iter_mut().for_each(|(full, _)| *full = Instant::now());
        assert!(people.known().left.is_empty());
        assert!(people.known().by_name.values().filter_map(Weak::upgrade).next().is_none());
    }
}
