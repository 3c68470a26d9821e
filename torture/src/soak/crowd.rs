//! Who uses the daemon in a soak, and what they share.
//!
//! What the daemon keeps for ever by design does not grow in number here: rooms, memberships and cursors until a LEAVE, nicks, the groups
//! of a room. Everything else comes and goes all the time: messages and their ids, connections, devices that join and leave, groups,
//! redactions, events.

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

/// The rooms where most is said.
pub const MAIN: [&str; 4] = ["lobby", "단톡", "ops", JOBS];
/// One that workers share out.
pub const JOBS: &str = "jobs";
/// One that keeps its messages for longer, by RETAIN.
pub const KEPT: &str = "kept";
/// So many times as long.
pub const KEPT_TIMES: u32 = 3;
/// One where little is said, and that keeps all of it for longer than any soak goes on.
pub const ARCHIVE: &str = "archive";
/// So many times as long.
const ARCHIVE_TIMES: u32 = 5_000;
/// One that holds no more than so many bytes, by RETAIN.
pub const CAPPED: &str = "capped";
const CAP_BYTES: u64 = 256 * 1024;
/// Rooms where little is said, and which guests come to.
pub const SIDES: usize = 48;

/// Messages a second that a sender sends, about.
const PER_SECOND: f64 = 40.0;

/// How long requests took, in milliseconds.
#[derive(Debug, Default)]
pub struct Times(Mutex<Vec<f64>>);

impl Times {
    /// One more that began then.
    pub fn note(&self, began: Instant) {
        let took = began.elapsed().as_secs_f64() * 1000.0;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }

    /// Those since the last time.
    pub fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the threads share.
#[derive(Debug)]
pub struct World {
    /// What was sent and shown.
    pub ledger: Ledger,
    /// Where violations go.
    pub history: Arc<History>,
    /// The daemon's.
    pub retention: Duration,
    /// Whether connections may break, because the daemon is restarted.
    pub breaks: bool,
    /// How TLS is spoken.
    pub tls: Arc<ClientConfig>,
    /// Where.
    pub tls_address: Mutex<Option<SocketAddr>>,
    /// Of SENDs.
    pub sends: Times,
    /// Of FETCHes.
    pub fetches: Times,
    /// Connections that guests made.
    pub visits: AtomicU64,
    /// Messages that workers took.
    pub taken: AtomicU64,
    /// What they were done with, and when that was answered.
    pub done: Mutex<BTreeMap<u64, Instant>>,
}

/// The name of a side room.
pub fn side(number: usize) -> String {
    format!("side-{number}")
}

/// The rooms that are looked through.
pub fn audited() -> Vec<String> {
    let named = MAIN.iter().chain(&[KEPT, ARCHIVE, CAPPED]).map(|room| (*room).to_owned());
    named.chain((0..SIDES).step_by(12).map(side)).collect()
}

/// All rooms.
pub fn everywhere() -> impl Iterator<Item = String> {
    MAIN.iter().chain(&[KEPT, ARCHIVE, CAPPED]).map(|room| (*room).to_owned()).chain((0..SIDES).map(side))
}

impl World {
    /// Makes the rooms, once, by whom they then belong to.
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

    /// Takes where TLS is spoken out of the log of a daemon that is up.
    pub fn find_tls(&self, daemon: &Daemon) {
        let address = super::logged(daemon, "listening for TLS address=");
        *self.tls_address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// A connection with TLS.
    pub fn connect_tls(&self) -> io::Result<Wire> {
        let address = *self.tls_address.lock().unwrap_or_else(PoisonError::into_inner);
        Wire::connect_tls(address.ok_or(io::ErrorKind::NotConnected)?, &self.tls)
    }

    /// Everybody.
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

    /// What workers were done with.
    pub fn done(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a thread does with one connection after the other: called anew whenever it returns.
pub type Job = Box<dyn FnMut(&World, SocketAddr, &Control, &mut fastrand::Rng) -> io::Result<()> + Send>;

/// Asks for something that must be answered OK.
pub fn expect(wire: &mut Wire, command: &str) -> io::Result<String> {
    let answer = wire.ask(command)?;
    if answer.starts_with("OK") { Ok(answer) } else { Err(io::Error::other(format!("{command}: {answer}"))) }
}

/// When something that goes on at a steady rate is due next.
#[derive(Debug)]
pub struct Pace {
    next: Instant,
    period: Duration,
}

impl Pace {
    /// So many a second.
    pub fn new(per_second: f64) -> Pace {
        Pace { next: Instant::now(), period: Duration::from_secs_f64(1.0 / per_second) }
    }

    /// Waits until it is due, some sooner and some later. What was missed is not made up for.
    pub fn wait(&mut self, random: &mut fastrand::Rng) {
        let now = Instant::now();
        self.next =
            (self.next + self.period.mul_f64(2.0 * random.f64())).max(now.checked_sub(self.period).unwrap_or(now));
        std::thread::sleep(self.next.saturating_duration_since(now));
    }
}
