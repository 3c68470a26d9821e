//! The daemon's resource use, read from /proc, its data directory and its own figures.

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::level::quantile;
use crate::load::field;
use crate::wire::{PATIENCE, Wire};

/// Bytes in a MiB, for display.
pub const MIB: f64 = 1_048_576.0;

/// What was measured in one second.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Seconds since the start of the run.
    pub at_s: f64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// The part of it that is not backed by files.
    pub anon_bytes: u64,
    /// Disk usage of the data directory and its parts, in bytes.
    pub disk: Disk,
    /// Size of the messages that have not expired, as the daemon counts them.
    pub stored_bytes: u64,
    /// Descriptors.
    pub fds: u64,
    /// Threads.
    pub threads: u64,
    /// tokio's tasks.
    pub tasks: u64,
    /// Connections, as the daemon counts them.
    pub connections: u64,
    /// Recent messages that the daemon holds for readers, in bytes.
    pub recent_bytes: u64,
    /// Messages not yet moved out of the journal, in bytes.
    pub journal_memory_bytes: u64,
    /// Latencies of SENDs, in milliseconds.
    pub sends_ms: Vec<f64>,
    /// Latencies of FETCHes, in milliseconds.
    pub fetches_ms: Vec<f64>,
    /// Latencies of the plain file, in milliseconds; see [`floor`](super::floor).
    pub floor_ms: Vec<f64>,
}

/// Disk usage of the data directory, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    /// All of it.
    pub all: u64,
    /// `journal/`.
    pub journal: u64,
    /// `segments/`.
    pub segments: u64,
    /// `sled/`.
    pub sled: u64,
}

/// Disk usage of a directory, in bytes. Files may appear and vanish meanwhile.
fn blocks(dir: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { blocks(&entry.path()) } else { metadata.blocks() * 512 };
    }
    bytes
}

impl Disk {
    /// Of a data directory.
    pub fn of(dir: &Path) -> Disk {
        let part = |name: &str| blocks(&dir.join(name));
        Disk { all: blocks(dir), journal: part("journal"), segments: part("segments"), sled: part("sled") }
    }
}

/// A connection for STATS, and the metrics address.
#[derive(Debug)]
pub struct Gauge {
    wire: Wire,
    rooms: Vec<String>,
    metrics: SocketAddr,
}

impl Gauge {
    /// Connects, and joins the rooms whose bytes are to be added up.
    pub fn new(address: SocketAddr, metrics: SocketAddr, rooms: Vec<String>) -> io::Result<Gauge> {
        let mut wire = Wire::hello(address, "gauge")?;
        for room in &rooms {
            wire.ask(&format!("JOIN {room}"))?;
        }
        Ok(Gauge { wire, rooms, metrics })
    }

    /// Measures everything except latencies.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub fn sample(&mut self, pid: u32, data_dir: &Path, at: Duration) -> io::Result<Sample> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
        };
        let stats = self.wire.ask("STATS")?;
        let stat = |name: &str| field(&stats, name).ok_or_else(|| io::Error::other(stats.clone()));
        let mut stored_bytes = 0;
        for room in &self.rooms {
            let answer = self.wire.ask(&format!("RETAIN {room}"))?;
            stored_bytes += field(&answer, "stored").ok_or_else(|| io::Error::other(answer.clone()))?;
        }
        Ok(Sample {
            at_s: at.as_secs_f64(),
            rss_bytes: of("VmRSS:") * 1024,
            anon_bytes: of("RssAnon:") * 1024,
            disk: Disk::of(data_dir),
            stored_bytes,
            fds: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
            threads: of("Threads:"),
            tasks: metric(self.metrics, "dantok_tokio_tasks")?,
            connections: stat("connections")?,
            recent_bytes: stat("recent-memory")?,
            journal_memory_bytes: stat("journal-memory")?,
            sends_ms: Vec::new(),
            fetches_ms: Vec::new(),
            floor_ms: Vec::new(),
        })
    }
}

/// A metric without labels.
fn metric(address: SocketAddr, name: &str) -> io::Result<u64> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: dantok\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<f64>().ok());
    value.map(|value| value as u64).ok_or_else(|| io::Error::other(format!("no {name} in: {page:.200}")))
}

/// A quantile (of 1) of the latencies in each window of this many samples.
pub fn by_window(samples: &[Sample], window: usize, part: f64, of: fn(&Sample) -> &[f64]) -> Vec<f64> {
    let windows = samples.chunks(window.max(1)).map(|window| {
        let mut times: Vec<f64> = window.iter().flat_map(of).copied().collect();
        quantile(&mut times, part)
    });
    windows.collect()
}

/// All samples as CSV.
pub fn csv(samples: &[Sample]) -> String {
    let mut out =
        "second,rss,anon,disk,journal,segments,sled,stored,fds,threads,tasks,connections,recent,journal-memory,\
                   sends,send-p50-ms,send-p99-ms,fetches,fetch-p50-ms,fetch-p99-ms,floors,floor-p50-ms,floor-p99-ms\n"
            .to_owned();
    for sample in samples {
        let Disk { all, journal, segments, sled } = sample.disk;
        let Sample { at_s, rss_bytes, anon_bytes, stored_bytes, fds, threads, tasks, connections, .. } = sample;
        let (recent, unmoved) = (sample.recent_bytes, sample.journal_memory_bytes);
        let _ = write!(out, "{at_s:.1},{rss_bytes},{anon_bytes},{all},{journal},{segments},{sled},{stored_bytes},");
        let _ = write!(out, "{fds},{threads},{tasks},{connections},{recent},{unmoved}");
        for times in [&sample.sends_ms, &sample.fetches_ms, &sample.floor_ms] {
            let mut times = times.clone();
            let mut at = |part| quantile(&mut times, part);
            let (p50, p99) = (at(0.5), at(0.99));
            let _ = write!(out, ",{},{p50:.3},{p99:.3}", times.len());
        }
        out.push('\n');
    }
    out
}
