//! What the daemon has done since its start, for STATS and for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dantok_protocol::ErrorCode;
use dantok_store::count::{Counter, Histogram};

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// The limit of connections was reached.
    Connections,
    /// The limit of connections from its address was reached.
    Address,
}

/// Upper bounds of the histogram of messages in a commit.
const COMMIT_MESSAGES: &[u64] = &[0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// Counters of everything but the store, which [has its own](dantok_store::Store).
#[derive(Debug)]
pub struct Figures {
    /// When the daemon started.
    pub started: Instant,
    /// Commits, each with an fdatasync.
    pub commits: Counter,
    /// Messages in each.
    pub commit_messages: Histogram,
    /// When the commit under way began, in milliseconds after `started`, plus one; 0 if none is.
    committing: AtomicU64,
    /// Messages stored.
    pub messages: Counter,
    /// Bytes of their bodies.
    pub bytes: Counter,
    /// Messages handed to clients.
    pub handed: Counter,
    /// Bytes of their bodies.
    pub handed_bytes: Counter,
    /// Bytes received; with TLS, those inside it.
    pub received_bytes: Counter,
    /// Bytes sent, counted likewise.
    pub sent_bytes: Counter,
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Accepted connections that have closed.
    pub closed: Counter,
    turned_away: [Counter; 2],
    errors: [Counter; ErrorCode::ALL.len()],
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            started: Instant::now(),
            commits: Counter::default(),
            commit_messages: Histogram::new(COMMIT_MESSAGES),
            committing: AtomicU64::new(0),
            messages: Counter::default(),
            bytes: Counter::default(),
            handed: Counter::default(),
            handed_bytes: Counter::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            accepted: Counter::default(),
            closed: Counter::default(),
            turned_away: Default::default(),
            errors: Default::default(),
        }
    }
}

impl Figures {
    /// Open connections.
    pub fn connections(&self) -> u64 {
        let closed = self.closed.get();
        self.accepted.get().saturating_sub(closed)
    }

    /// Counts an error that a client was answered with.
    pub fn refused(&self, code: ErrorCode) {
        if let Some(count) = self.errors.get(code as usize) {
            count.add(1);
        }
    }

    /// Every code, and how often a client was answered with it.
    pub fn errors(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        ErrorCode::ALL.into_iter().zip(&self.errors).map(|(code, count)| (code, count.get()))
    }

    /// Counts a connection that was turned away.
    pub fn turn_away(&self, why: TurnedAway) {
        if let Some(count) = self.turned_away.get(why as usize) {
            count.add(1);
        }
    }

    /// Each reason to turn connections away, as metrics name it, and how many were.
    pub fn turned_away(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["connections", "address"].into_iter().zip(&self.turned_away).map(|(why, count)| (why, count.get()))
    }

    /// Notes that a commit begins.
    pub fn begin_commit(&self, now: Instant) {
        let since = now.saturating_duration_since(self.started).as_millis();
        self.committing.store(u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1), Ordering::Relaxed);
    }

    /// Notes that the commit is over.
    pub fn end_commit(&self) {
        self.committing.store(0, Ordering::Relaxed);
    }

    /// How long the commit under way has taken so far; `None` if none is.
    pub fn committing(&self) -> Option<Duration> {
        let since = self.committing.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_millis(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_counts_for_itself() {
        let figures = Figures::default();
        for (number, code) in (1..).zip(ErrorCode::ALL) {
            (0..number).for_each(|_| figures.refused(code));
        }
        assert!(figures.errors().map(|(_, count)| count).eq(1..=ErrorCode::ALL.len() as u64));
        figures.turn_away(TurnedAway::Address);
        assert!(figures.turned_away().eq([("connections", 0), ("address", 1)]));
    }

    #[test]
    fn a_commit_is_under_way_until_it_is_over() {
        let figures = Figures::default();
        assert_eq!(figures.committing(), None);
        figures.begin_commit(figures.started);
        assert!(figures.committing().is_some());
        figures.end_commit();
        assert_eq!(figures.committing(), None);
    }
}
