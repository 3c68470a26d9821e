//! The clients of a soak and the state that they share.
//!
//! Things that the daemon keeps indefinitely by design do not grow in number here: rooms, memberships and cursors
//! (until a LEAVE), nicks, the groups of a room. Everything else comes and goes all the time: messages and their ids,
//! connections, devices that join and leave, groups, redactions, events.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::ledger::Ledger;
use super::{guests, readers, senders};
use crate::daemon::Daemon;
use crate::history::History;
use crate::load::{Control, Work};
use crate::wire::Wire;

/// The busiest rooms.
pub const MAIN: [&str; 4] = ["lobby", "단톡", "ops", JOBS];
/// A room whose messages workers take through a group.
pub const JOBS: &str = "jobs";
/// A room that keeps its messages for longer, by RETAIN.
pub const KEPT: &str = "kept";
/// So many times as long.
pub const KEPT_TIMES: u32 = 3;
/// A quiet room that keeps all its messages for longer than any soak runs.
pub const ARCHIVE: &str = "archive";
/// So many times as long.
const ARCHIVE_TIMES: u32 = 5_000;
/// A room that holds at most this many bytes, by RETAIN.
pub const CAPPED: &str = "capped";
const CAP_BYTES: u64 = 256 * 1024;
/// Quiet rooms that guests visit.
pub const SIDES: usize = 48;

/// The approximate rate of a sender, in messages per second.
const PER_SECOND: f64 = 40.0;

/// Latencies of requests, in milliseconds.
#[derive(Debug, Default)]
pub struct Times(Mutex<Vec<f64>>);

impl Times {
    /// Adds a request that began at this time.
    pub fn note(&self, began: Instant) {
        let took = began.elapsed().as_secs_f64() * 1000.0;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }

    /// The latencies since the last call.
    pub fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// State shared by the threads.
#[derive(Debug)]
pub struct World {
    /// What was sent and shown.
    pub ledger: Ledger,
    /// Collects violations.
    pub history: Arc<History>,
    /// The daemon's retention.
    pub retention: Duration,
    /// Whether connections may break, because the daemon is restarted.
    pub breaks: bool,
    /// The clients' TLS configuration.
    pub tls: Arc<ClientConfig>,
    /// The TLS address.
    pub tls_address: Mutex<Option<SocketAddr>>,
    /// Of SENDs.
    pub sends: Times,
    /// Of FETCHes.
    pub fetches: Times,
    /// Number of visits by guests.
    pub visits: AtomicU64,
    /// Number of messages that workers took.
    pub taken: AtomicU64,
    /// What workers finished, and when DONE was answered.
    pub done: Mutex<BTreeMap<u64, Instant>>,
}

/// The name of a side room.
pub fn side(number: usize) -> String {
    format!("side-{number}")
}

/// The rooms that are audited.
pub fn audited() -> Vec<String> {
    let named = MAIN.iter().chain(&[KEPT, ARCHIVE, CAPPED]).map(|room| (*room).to_owned());
    named.chain((0..SIDES).step_by(12).map(side)).collect()
}

/// All rooms.
pub fn everywhere() -> impl Iterator<Item = String> {
    MAIN.iter().chain(&[KEPT, ARCHIVE, CAPPED]).map(|room| (*room).to_owned()).chain((0..SIDES).map(side))
}

impl World {
    /// Creates the rooms, once, as the client who will own them.
    pub fn prepare(&self, address: SocketAddr) -> io::Result<()> {
        let mut boss = Wire::hello(address, "boss")?;
        for room in everywhere() {
            expect(&mut boss, &format!("CREATE {room} what is said in {room}"))?;
            expect(&mut boss, &format!("JOIN {room}"))?;
        }
        for (room, times) in [(KEPT, KEPT_TIMES), (ARCHIVE, ARCHIVE_TIMES)] {
            let kept = self.retention * times;
            expect(&mut boss, &format!("RETAIN {room} {}ms", kept.as_millis()))?;
            self.ledger.keeps(room, kept);
        }
        expect(&mut boss, &format!("RETAIN {CAPPED} cap={CAP_BYTES}B"))?;
        Ok(())
    }

    /// Reads the TLS address from the log of a running daemon.
    pub fn find_tls(&self, daemon: &Daemon) {
        let address = super::logged(daemon, "listening for TLS address=");
        *self.tls_address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Opens a connection with TLS.
    pub fn connect_tls(&self) -> io::Result<Wire> {
        let address = *self.tls_address.lock().unwrap_or_else(PoisonError::into_inner);
        Wire::connect_tls(address.ok_or(io::ErrorKind::NotConnected)?, &self.tls)
    }

    /// All clients.
    pub fn works(self: &Arc<World>) -> Vec<(String, Work)> {
        let mut works: Vec<(String, Work)> = Vec::new();
        let mut several = |count: usize, kind: &'static str, make: &dyn Fn(String) -> Job| {
            for name in (0..count).map(|number| format!("{kind}{number}")) {
                let (world, mut job) = (self.clone(), make(name.clone()));
                let work: Work = Box::new(move |control, _, mut random| {
                    control.while_up(|address| {
                        let done = job(&world, address, control, &mut random);
                        if let Err(error) = done.as_ref().map_err(ToString::to_string)
                            && !world.breaks
                        {
                            world.history.violation(format!("{name}: {error}"));
                        }
                        done
                    });
                });
                works.push((format!("{kind}{}", works.len()), work));
            }
        };
        several(6, "sender", &|name| senders::sender(name, PER_SECOND));
        several(1, "robot", &|name| senders::robot(name, PER_SECOND));
        several(3, "follower", &readers::follower);
        several(2, "reader", &readers::reader);
        several(3, "worker", &readers::worker);
        several(1, "auditor", &readers::auditor);
        several(1, "watcher", &readers::watcher);
        several(1, "sluggard", &readers::sluggard);
        several(4, "guests", &|_| guests::guests());
        works
    }

    /// What workers finished.
    pub fn done(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread's work on one connection after another: called again whenever it returns.
pub type Job = Box<dyn FnMut(&World, SocketAddr, &Control, &mut fastrand::Rng) -> io::Result<()> + Send>;

/// Sends a command that must be answered OK.
pub fn expect(wire: &mut Wire, command: &str) -> io::Result<String> {
    let answer = wire.ask(command)?;
    if answer.starts_with("OK") { Ok(answer) } else { Err(io::Error::other(format!("{command}: {answer}"))) }
}

/// A steady rate: when the next event is due.
#[derive(Debug)]
pub struct Pace {
    next: Instant,
    period: Duration,
}

impl Pace {
    /// This many per second.
    pub fn new(per_second: f64) -> Pace {
        Pace { next: Instant::now(), period: Duration::from_secs_f64(1.0 / per_second) }
    }

    /// Waits until the next event is due, with some jitter. Missed events are not made up for.
    pub fn wait(&mut self, random: &mut fastrand::Rng) {
        let now = Instant::now();
        self.next =
            (self.next + self.period.mul_f64(2.0 * random.f64())).max(now.checked_sub(self.period).unwrap_or(now));
        std::thread::sleep(self.next.saturating_duration_since(now));
    }
}
