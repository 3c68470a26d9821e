//! Counters that cost next to nothing: an addition to an atomic, once for a commit, a page, a read or a write, and never once for each
//! message. Whoever counts knows nothing of how it is shown.

use std::sync::atomic::{AtomicU64, Ordering};

/// What only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often something was how large.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds of the buckets, each with what is equal to it.
    bounds: &'static [u64],
    /// What fell into each bucket, and behind them what is above all bounds.
    counts: Box<[Counter]>,
    sum: Counter,
}

/// A [`Histogram`], as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The bounds, and how many were not above each.
    pub buckets: Vec<(u64, u64)>,
    /// How many there were.
    pub count: u64,
    /// What they come to.
    pub sum: u64,
}

impl Histogram {
    /// With these bounds, in order.
    pub fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Histogram { bounds, counts, sum: Counter::default() }
    }

    /// Counts one.
    pub fn note(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.add(1);
        }
        self.sum.add(value);
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        let mut below = 0;
        let counts = self.bounds.iter().zip(&self.counts).map(|(bound, count)| {
            below += count.get();
            (*bound, below)
        });
        let buckets = counts.collect();
        let above = self.counts.last().map_or(0, Counter::get);
        Counted { buckets, count: below + above, sum: self.sum.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_equals_a_bound_is_in_its_bucket() {
        let histogram = Histogram::new(&[0, 10, 100]);
        [0, 1, 10, 11, 100, 101].into_iter().for_each(|value| histogram.note(value));
        let counted = histogram.counted();
        assert_eq!(counted, Counted { buckets: vec![(0, 1), (10, 3), (100, 5)], count: 6, sum: 223 });
    }
}
