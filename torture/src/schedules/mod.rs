//! The fault schedules and what they share.

mod abuse;
mod clock;
mod errors;
mod full;
mod kill;
mod need;
mod network;
mod points;
mod power;
mod races;
mod rest;
mod sync_kill;
mod upgrade;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::daemon::{Daemon, NotUp, Recipe};
use crate::disk::Mount;
use crate::history::History;
use crate::load::{ROOMS, field, word};
use crate::soak;
use crate::wire::{Item, Wire};
pub use need::{Missing, Need};
pub use power::mounted;

/// A fault schedule.
#[derive(Debug)]
pub struct Schedule {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    /// Faults in a run, unless `--cycles` is given.
    pub cycles: u64,
    /// Runs it.
    pub run: fn(&mut Run),
}

/// All schedules.
pub const SCHEDULES: &[Schedule] = &[
    kill::SCHEDULE,
    power::SCHEDULE,
    points::SCHEDULE,
    errors::WRITE,
    errors::SYNC,
    sync_kill::SCHEDULE,
    errors::READ,
    errors::START,
    full::SCHEDULE,
    rest::SCHEDULE,
    upgrade::SCHEDULE,
    clock::SCHEDULE,
    clock::REBOOT,
    network::SCHEDULE,
    races::SCHEDULE,
    abuse::IDLE,
    abuse::SILENT,
    abuse::LENGTHS,
    abuse::SLOW,
    abuse::ROOMS,
    soak::STEADY,
    soak::RESTARTS,
    soak::POWER,
];

/// One run of one schedule, with one seed.
#[derive(Debug)]
pub struct Run {
    /// Its name, for progress output.
    label: String,
    /// The source of all randomness in this run.
    pub random: fastrand::Rng,
    /// The number of faults to inject.
    pub cycles: u64,
    /// The daemon's program.
    pub program: PathBuf,
    /// The directory for all its files.
    pub dir: PathBuf,
    /// What was sent and seen.
    pub history: Arc<History>,
    /// What was tried, with counts.
    pub tried: BTreeMap<String, u64>,
    /// What was measured.
    pub figures: Vec<String>,
    /// Options of soaks.
    pub soak: soak::Options,
    audits: u64,
}

impl Run {
    /// A run in an empty directory.
    pub fn new(label: String, seed: u64, cycles: u64, program: &Path, dir: &Path) -> Run {
        Run {
            label,
            random: fastrand::Rng::with_seed(seed),
            cycles,
            program: program.to_owned(),
            dir: dir.to_owned(),
            history: Arc::default(),
            tried: BTreeMap::new(),
            figures: Vec::new(),
            soak: soak::Options::default(),
            audits: 0,
        }
    }

    pub fn recipe(&self) -> Recipe {
        Recipe::new(&self.program, &self.dir)
    }

    /// Counts one thing that was tried.
    pub fn count(&mut self, what: &str) {
        *self.tried.entry(what.to_owned()).or_default() += 1;
        self.progress();
    }

    /// Shows the progress of the run: continuously on a terminal, otherwise once.
    pub fn progress(&self) {
        let figures = self.history.figures();
        let faults: u64 = self.tried.values().sum();
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[K{}: {faults} things tried, {} answered OK", self.label, figures.acked);
        } else if faults == 0 {
            eprintln!("{}: begins", self.label);
        }
    }

    /// Clears the progress line before the report.
    pub fn end_progress(&self) {
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }

    /// Whether nothing was violated so far.
    pub fn is_intact(&self) -> bool {
        self.history.violations().is_empty()
    }

    /// Starts a daemon, and records a violation if it does not come up.
    pub fn must_start(&self, recipe: &Recipe, after: &str) -> Option<(Daemon, SocketAddr)> {
        match recipe.start() {
            Ok(up) => Some(up),
            Err(NotUp::GivenUp) => None,
            Err(NotUp::Hangs(log)) => {
                self.history.violation(format!("the daemon hangs while it starts after {after}\n{log}"));
                None
            }
            Err(NotUp::Ended(status, log)) => {
                self.history.violation(format!("the daemon does not start after {after}: {status}\n{log}"));
                None
            }
        }
    }

    /// Stops a daemon with SIGTERM, and records a violation if it does not exit cleanly.
    pub fn must_end(&self, mut daemon: Daemon) {
        match daemon.terminate() {
            Some(status) if status.success() => {}
            Some(status) => {
                self.history.violation(format!("the daemon exited with {status} at SIGTERM\n{}", daemon.log()));
            }
            None => self.history.violation("the daemon does not exit at SIGTERM"),
        }
    }

    /// Cuts the power of a disk, unless it is off already, which ends the daemon in the middle of whatever it does;
    /// then turns the power back on.
    pub fn cut_power(&mut self, mount: &Mount, mut daemon: Daemon) {
        mount.disk(|disk| disk.cut_after(0));
        daemon.kill();
        mount.release();
        daemon.kill_and_wait();
        let left = mount.power_on();
        self.count(&format!("power cuts that left {left}"));
    }

    /// Audits everything while nobody sends.
    fn audit(&mut self, address: SocketAddr) {
        self.audits += 1;
        let fresh = self.audits.is_multiple_of(4).then(|| format!("newcomer{}", self.audits));
        if let Err(error) = audit(&self.history, address, fresh.as_deref()) {
            self.history.violation(format!("an audit failed: {error}"));
        }
    }

    /// The same for a daemon that may exit meanwhile; returns false if it does.
    fn try_audit(&mut self, address: SocketAddr) -> bool {
        audit(&self.history, address, None).is_ok()
    }

    /// Runs `dantok check` on a directory that no daemon uses; it must find nothing.
    pub fn must_check(&mut self, recipe: &Recipe) {
        self.count("offline checks");
        let (status, printed) = recipe.run("check");
        if !status.success() {
            self.history.violation(format!("dantok check exited with {status}:\n{printed}"));
        }
    }
}

fn audit(history: &History, address: SocketAddr, fresh: Option<&str>) -> io::Result<()> {
    for wrong in history.amends().audit(address)?.into_iter().chain(history.reborn().audit(address)?) {
        history.violation(wrong);
    }
    let mut wire = Wire::hello(address, "audit")?;
    let hello = wire.ask("HELLO audit")?;
    history.epoch_is(word(&hello, "epoch").ok_or_else(|| io::Error::other(hello.clone()))?);
    history.listed(&rooms(&mut wire)?);
    for room in ROOMS {
        let last = last_seq(&mut wire, room)?;
        let (items, end) = wire.fetch(&format!("FETCH {room} after=0"))?;
        if !end.starts_with("END ") {
            return Err(io::Error::other(end));
        }
        history.audit("audit", room, &items, last);
    }
    if let Some(name) = fresh {
        let mut wire = Wire::hello(address, name)?;
        for room in ROOMS {
            let last = last_seq(&mut wire, room)?;
            let (items, _) = wire.fetch(&format!("FETCH {room}"))?;
            history.audit(name, room, &items, last);
        }
    }
    for (client, room) in history.cursors() {
        let mut wire = Wire::hello(address, &client)?;
        let answer = wire.ask(&format!("JOIN {room}"))?;
        let cursor = field(&answer, "cursor").ok_or_else(|| io::Error::other(answer))?;
        history.cursor_is(&client, &room, cursor);
    }
    Ok(())
}

fn last_seq(wire: &mut Wire, room: &str) -> io::Result<u64> {
    let answer = wire.ask(&format!("JOIN {room}"))?;
    field(&answer, "last").ok_or_else(|| io::Error::other(answer))
}

/// The rooms and their topics.
fn rooms(wire: &mut Wire) -> io::Result<HashMap<String, String>> {
    wire.send(b"ROOMS\n")?;
    let mut rooms = HashMap::new();
    loop {
        let line = wire.line()?;
        let Some(rest) = line.strip_prefix("ROOM ") else {
            return if line.starts_with("OK") { Ok(rooms) } else { Err(io::Error::other(line)) };
        };
        let mut words = rest.splitn(7, ' ');
        let room = words.next().unwrap_or_default();
        rooms.insert(room.to_owned(), words.nth(5).unwrap_or_default().to_owned());
    }
}

/// Everything stored in a room and the last line of the answer, for schedules that expect an error.
pub fn fetch_all(wire: &mut Wire, room: &str) -> io::Result<(Vec<Item>, String)> {
    wire.ask(&format!("JOIN {room}"))?;
    wire.fetch(&format!("FETCH {room} after=0"))
}
