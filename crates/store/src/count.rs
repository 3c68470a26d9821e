//! Counters that cost next to nothing: an addition to an atomic, once for each commit, page, read or write, and never for each
//! message. Whoever counts knows nothing of how it is shown.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram of sizes or durations.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds of the buckets, inclusive.
    bounds: &'static [u64],
    /// The count of each bucket, and then that of what is above all bounds.
    counts: Box<[Counter]>,
    sum: Counter,
}

/// A [`Histogram`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The bounds, and how many values were not above each.
    pub buckets: Vec<(u64, u64)>,
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

impl Histogram {
    /// A histogram with these bounds, in order.
    pub fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Histogram { bounds, counts, sum: Counter::default() }
    }

    /// Counts a value.
    pub fn note(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.add(1);
        }
        self.sum.add(value);
    }

    /// The counts so far.
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
