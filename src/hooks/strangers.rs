//! Addresses that ask for hooks which don't exist. A secret can't be guessed; this keeps whoever tries from being a nuisance.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::addresses::counted;

/// So many misses of one address …
const MISSES_MAX: u32 = 30;
/// … within this time are told that there is nothing; more of them, that they are too many.
const WITHIN: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;

/// Since when an address is counted, and how often it has missed since.
type Misses = HashMap<IpAddr, (Instant, u32)>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Misses>);

impl Strangers {
    /// Counts a miss. Returns for how long the address has had too many, if it has; `is_first` with the first of those.
    pub(super) fn missed(&self, address: IpAddr) -> Option<TooMany> {
        self.missed_at(address, Instant::now())
    }

    fn missed_at(&self, address: IpAddr, now: Instant) -> Option<TooMany> {
        // The map is consistent between any two steps.
        let mut misses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = counted(address);
        if misses.len() >= ADDRESSES_MAX && !misses.contains_key(&address) {
            misses.retain(|_, (since, _)| now - *since < WITHIN);
            if misses.len() >= ADDRESSES_MAX {
                // With so many addresses about, counting by address is of no use.
                return None;
            }
        }
        let (since, count) = misses.entry(address).or_insert((now, 0));
        if now - *since >= WITHIN {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        let wait = WITHIN.saturating_sub(now - *since);
        (*count > MISSES_MAX).then_some(TooMany { wait, is_first: *count == MISSES_MAX + 1 })
    }
}

/// An address has missed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// How long it has to wait.
    pub wait: Duration,
    /// Whether this is the first miss that was too many.
    pub is_first: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_miss_so_often_and_others_are_not_counted_with_it() {
        let (strangers, start) = (Strangers::default(), Instant::now());
        let missed = |address: &str, after: u64| {
            strangers.missed_at(address.parse().unwrap(), start + Duration::from_secs(after))
        };
        for _ in 0..MISSES_MAX {
            assert_eq!(missed("192.0.2.1", 0), None);
        }
        let too_many = |wait, is_first| Some(TooMany { wait: Duration::from_secs(wait), is_first });
        assert_eq!((missed("192.0.2.1", 1), missed("192.0.2.1", 20)), (too_many(59, true), too_many(40, false)));
        assert_eq!((missed("192.0.2.2", 20), missed("192.0.2.1", 60)), (None, None));
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let (strangers, start) = (Strangers::default(), Instant::now());
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..ADDRESSES_MAX as u32 + 10 {
            strangers.missed_at(address(number), start);
        }
        assert_eq!(strangers.0.lock().unwrap().len(), ADDRESSES_MAX);
        strangers.missed_at(address(u32::MAX), start + WITHIN);
        assert_eq!(strangers.0.lock().unwrap().len(), 1);
    }
}
