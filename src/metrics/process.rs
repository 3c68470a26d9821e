//! Metrics of the process, under the names that Prometheus clients use for them.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use super::page::Page;

/// A field of `/proc/self/stat`, counted from the first after the program's name, which may contain anything but ends in a parenthesis.
fn field(stat: &str, place: usize) -> f64 {
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split(' ').nth(place).and_then(|field| field.parse().ok()).unwrap_or(0.0)
}

/// Adds the metrics of the process.
pub(super) fn add(page: &mut Page, started: SystemTime) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page_bytes = rustix::param::page_size() as f64;
    // The descriptor that lists them is not counted.
    let fds = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
    let fds_max = getrlimit(Resource::Nofile).current;
    page.counter(
        "process_cpu_seconds_total",
        "CPU time of the process, in user and system mode.",
        (field(&stat, 11) + field(&stat, 12)) / ticks,
    );
    page.gauge("process_threads", "Threads of the process.", field(&stat, 17));
    page.gauge("process_virtual_memory_bytes", "Address space of the process.", field(&stat, 20));
    page.gauge("process_resident_memory_bytes", "Resident memory of the process.", field(&stat, 21) * page_bytes);
    page.gauge("process_open_fds", "Open file descriptors; a connection takes one.", fds as f64);
    page.gauge(
        "process_max_fds",
        "The limit of open file descriptors.",
        fds_max.map_or(f64::INFINITY, |most| most as f64),
    );
    page.gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970 UTC; changes at each restart.",
        started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a b) c) S 1 2 3";
        assert_eq!((super::field(stat, 1), super::field(stat, 3), super::field(stat, 9)), (1.0, 3.0, 0.0));
    }
}
