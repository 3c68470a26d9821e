//! Two clocks: the time that a message shows, and the time that measures its age.
//!
//! The wall clock can be set to anything at any moment. So ages are measured on the *kept clock*: milliseconds that have provably
//! passed for this data directory. It follows CLOCK_BOOTTIME, which nobody can set and which counts while the machine sleeps.
//! Across a reboot, or on another machine, no time is known to have passed: what passed before the daemon started does not count,
//! so messages are kept longer, never shorter.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 UTC on the wall clock; 0 before that.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn boottime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanos / 1_000_000
}

/// The id of the machine's current boot; empty if the system does not say.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The timeline of CLOCK_BOOTTIME: a boot, and how far a time namespace (time_namespaces(7)) shifts the clock in it. Empty if the
/// system does not say.
fn timeline() -> String {
    let boot_id = boot_id();
    // Kernels before 5.6 have no such file.
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    let moved = offsets.lines().find_map(|line| line.strip_prefix("boottime")).map(str::trim);
    match moved.filter(|moved| moved.split_whitespace().any(|number| number != "0")) {
        Some(moved) if !boot_id.is_empty() => format!("{boot_id} {moved}"),
        _ => boot_id,
    }
}

/// A reading of the kept clock, from which a later start continues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The timeline in which it was taken.
    pub timeline: String,
    /// CLOCK_BOOTTIME at that moment, in milliseconds.
    pub boottime_ms: u64,
    /// The kept clock at that moment, in milliseconds.
    pub kept_ms: u64,
}

/// The kept clock.
#[derive(Clone, Debug)]
pub struct KeptClock {
    timeline: String,
    /// The kept time when CLOCK_BOOTTIME was `base_boottime_ms`.
    base_kept_ms: u64,
    base_boottime_ms: u64,
}

impl KeptClock {
    /// Continues from the last reading or the kept time of the last commit, whichever is later.
    pub fn resume(last: &Reading, last_commit_ms: u64) -> Self {
        Self::resume_at(last, last_commit_ms, timeline(), boottime_ms())
    }

    fn resume_at(last: &Reading, last_commit_ms: u64, timeline: String, boottime_ms: u64) -> Self {
        // In another boot, which may be another machine's, or in an unknown one, no time is known to have passed.
        let is_same = !timeline.is_empty() && timeline == last.timeline;
        let passed = if is_same { boottime_ms.saturating_sub(last.boottime_ms) } else { 0 };
        let resumed = last.kept_ms.saturating_add(passed).max(last_commit_ms);
        KeptClock { timeline, base_kept_ms: resumed, base_boottime_ms: boottime_ms }
    }

    /// The kept time now, in milliseconds; never goes back.
    pub fn now_ms(&self) -> u64 {
        self.at(boottime_ms())
    }

    fn at(&self, boottime_ms: u64) -> u64 {
        self.base_kept_ms.saturating_add(boottime_ms.saturating_sub(self.base_boottime_ms))
    }

    /// A reading, from which the next start continues.
    pub fn reading(&self) -> Reading {
        let boottime_ms = boottime_ms();
        Reading { timeline: self.timeline.clone(), boottime_ms, kept_ms: self.at(boottime_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(timeline: &str, boottime_ms: u64, kept_ms: u64) -> Reading {
        Reading { timeline: timeline.to_owned(), boottime_ms, kept_ms }
    }

    #[test]
    fn a_restart_of_the_daemon_counts_in_full() {
        let clock = KeptClock::resume_at(&reading("a", 1_000, 500), 0, "a".to_owned(), 61_000);
        assert_eq!(clock.at(61_000), 60_500);
        assert_eq!(clock.at(62_000), 61_500);
    }

    #[test]
    fn another_boot_counts_from_the_start_of_the_daemon_on() {
        // Days, if the data directory was taken to another machine.
        let clock = KeptClock::resume_at(&reading("a", 900_000, 500), 400, "b".to_owned(), 900_000_000);
        assert_eq!(clock.at(900_000_000), 500);
        assert_eq!(clock.at(900_003_000), 3_500);
    }

    #[test]
    fn an_unknown_boot_counts_nothing_and_no_commit_is_in_the_future() {
        let clock = KeptClock::resume_at(&reading("", 0, 500), 800, String::new(), 9_000);
        assert_eq!(clock.at(9_000), 800);
        assert_eq!(clock.at(9_100), 900);
    }
}
