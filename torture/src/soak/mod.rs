//! A week in minutes: the daemon under a steady load while its messages expire again and again, and whether what it takes levels off.
//!
//! Retention is seconds, so that minutes are as many windows of it as months are at 24 hours. Every second it is looked at what the daemon
//! takes: memory, disk, descriptors, threads, tasks, and how long a SEND takes. The first third of the run is for warming up; the
//! last third may not be above the second by more than the bounds below.

mod crowd;
mod floor;
mod frames;
mod gauge;
mod guests;
mod ledger;
mod level;
mod plot;
mod power;
mod readers;
mod senders;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::daemon::{Daemon, Recipe};
use crate::load::Load;
use crate::schedules::{Run, Schedule};
use crate::wire::Wire;
use crowd::{Times, World};
use floor::Floor;
use gauge::{Gauge, MIB, Sample};
use ledger::Ledger;
use level::{Bound, Level};
pub use power::POWER;

/// Without a restart: everything is to level off.
pub const STEADY: Schedule = Schedule {
    name: "soak",
    about: "A steady load over many windows of retention: memory, disk, descriptors, tasks and times level off",
    needs: &[],
    cycles: 60,
    run: |run| soak(run, None),
};

/// With restarts: what is on the disk is to level off all the same.
pub const RESTARTS: Schedule = Schedule {
    name: "soak-restarts",
    about: "The same with a SIGTERM or a SIGKILL every two windows: what is on the disk levels off",
    needs: &[],
    cycles: 30,
    run: |run| soak(run, Some(2)),
};

/// The daemon's retention, where nothing is said.
const RETENTION_S: u64 = 10;

/// What is said of soaks on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Of soaks: how long they go on, instead of --cycles windows of retention
    #[arg(long, conflicts_with = "cycles")]
    pub minutes: Option<f64>,
    /// Of soaks: the daemon's retention, in seconds
    #[arg(long, default_value_t = RETENTION_S)]
    pub retention: u64,
    /// Of soaks: judge no times, and the rest with wider bounds; for short ones, and machines that have other things to do
    #[arg(long)]
    pub loose: bool,
    /// Of soaks: write what was measured into this directory, as `<schedule>.csv` and `<schedule>.svg`
    #[arg(long)]
    pub write: Option<PathBuf>,
}

impl Options {
    /// How many windows a soak goes on for, where `--minutes` says.
    pub fn cycles(&self) -> Option<u64> {
        self.minutes.map(|minutes| (minutes * 60.0 / self.retention as f64).ceil() as u64)
    }

    /// What a run that is repeated has to be told as well.
    pub fn repeated(&self) -> String {
        let retention = format!(" --retention {}", self.retention);
        let loose = if self.loose { " --loose" } else { "" };
        if self.retention == RETENTION_S { loose.to_owned() } else { retention + loose }
    }
}

/// Makes a certificate for this machine, which signs itself, and its key; has the daemon use it. Returns how clients speak TLS then.
fn certify(recipe: &mut Recipe, dir: &Path) -> Arc<ClientConfig> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("the certificate can be written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("the key can be written");
    for (flag, value) in [("--tls-cert", cert), ("--tls-key", key)] {
        recipe.flags.extend([flag.to_owned(), value.display().to_string()]);
    }
    recipe.flags.extend(["--listen-tls", "127.0.0.1:0", "--metrics", "127.0.0.1:0"].map(str::to_owned));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert)).expect("a certificate that signs itself");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("versions that there are").with_root_certificates(roots).with_no_client_auth())
}

/// An address that the daemon has logged behind this.
fn logged(daemon: &Daemon, what: &str) -> Option<SocketAddr> {
    daemon.log().lines().find_map(|line| line.split_once(what)?.1.trim().parse().ok())
}

struct Soak<'a> {
    run: &'a mut Run,
    recipe: Recipe,
    world: Arc<World>,
    samples: Vec<Sample>,
    began: Instant,
}

/// Has the daemon keep messages for seconds, and makes those who use it.
fn world(run: &Run, recipe: &mut Recipe, breaks: bool) -> Arc<World> {
    let retention = Duration::from_secs(run.soak.retention);
    let tls = certify(recipe, &run.dir);
    recipe.flags.extend(["--allow-short-retention".to_owned(), format!("--retention={}s", run.soak.retention)]);
    Arc::new(World {
        ledger: Ledger::new(retention, &run.history),
        history: run.history.clone(),
        retention,
        breaks,
        tls,
        tls_address: Mutex::default(),
        sends: Times::default(),
        fetches: Times::default(),
        visits: AtomicU64::default(),
        taken: AtomicU64::default(),
        done: Mutex::default(),
    })
}

/// Looks through the rooms that are looked through, while nobody sends.
fn audit(world: &World, address: SocketAddr) {
    let look = || -> std::io::Result<()> {
        let mut wire = Wire::hello(address, "auditor0")?;
        for room in crowd::audited() {
            crowd::expect(&mut wire, &format!("JOIN {room}"))?;
            readers::audit(world, &mut wire, "auditor0", &room)?;
        }
        Ok(())
    };
    if let Err(error) = look() {
        world.history.violation(format!("an audit ended with: {error}"));
    }
}

fn soak(run: &mut Run, restart_every: Option<u64>) {
    let mut recipe = run.recipe();
    let world = world(run, &mut recipe, restart_every.is_some());
    let mut soak = Soak { run, recipe, world, samples: Vec::new(), began: Instant::now() };
    soak.work(restart_every);
    soak.judge(restart_every.is_some());
}

impl Soak<'_> {
    fn start(&mut self, after: &str) -> Option<(Daemon, SocketAddr, Gauge)> {
        let (daemon, address) = self.run.must_start(&self.recipe, after)?;
        self.world.find_tls(&daemon);
        let gauge =
            logged(&daemon, "metrics address=").ok_or("it says nothing of --metrics".to_owned()).and_then(|metrics| {
                if self.samples.is_empty() {
                    self.world.prepare(address).map_err(|error| error.to_string())?;
                }
                Gauge::new(address, metrics, crowd::audited()).map_err(|error| error.to_string())
            });
        match gauge {
            Ok(gauge) => Some((daemon, address, gauge)),
            Err(error) => {
                self.run.history.violation(format!("nothing can be measured: {error}"));
                None
            }
        }
    }

    fn work(&mut self, restart_every: Option<u64>) {
        let retention = self.world.retention;
        let Some((mut daemon, mut address, mut gauge)) = self.start("nothing") else { return };
        let load = Load::of(self.world.works(), &self.run.history, &mut self.run.random);
        load.resume(address);
        let floor = Floor::start(&self.run.dir).expect("a socket and a file");
        self.began = Instant::now();
        let mut next = self.began;
        for window in 1..=self.run.cycles {
            let until = self.began + retention * u32::try_from(window).unwrap_or(u32::MAX);
            while Instant::now() < until && self.run.is_sound() {
                next += Duration::from_secs(1);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                self.sample(&daemon, &mut gauge, &floor);
            }
            self.run.count("windows of retention");
            if !self.run.is_sound() {
                break;
            }
            if restart_every.is_some_and(|every| window.is_multiple_of(every) && window < self.run.cycles) {
                let how = match (window / 2).is_multiple_of(2) {
                    true => {
                        self.run.must_end(daemon);
                        "SIGTERM under load"
                    }
                    false => {
                        daemon.kill_and_wait();
                        "SIGKILL under load"
                    }
                };
                self.run.count(how);
                load.pause();
                let Some(up) = self.start(how) else {
                    load.stop(&self.run.history);
                    return;
                };
                (daemon, address, gauge) = up;
                load.resume(address);
            }
        }
        load.pause();
        audit(&self.world, address);
        self.run.must_end(daemon);
        load.stop(&self.run.history);
        let recipe = self.recipe.clone();
        self.run.must_check(&recipe);
    }

    fn sample(&mut self, daemon: &Daemon, gauge: &mut Gauge, floor: &Floor) {
        match gauge.sample(daemon.pid(), &self.recipe.data_dir, self.began.elapsed()) {
            Ok(sample) => {
                let (sends_ms, fetches_ms) = (self.world.sends.take(), self.world.fetches.take());
                let floor_ms = floor.times.take();
                self.samples.push(Sample { sends_ms, fetches_ms, floor_ms, ..sample });
            }
            Err(error) => {
                self.run.history.violation(format!("the daemon can't be measured: {error}\n{}", daemon.log()))
            }
        }
    }

    /// Says what was measured, and that it is a violation if something has grown.
    fn judge(&mut self, is_restarted: bool) {
        let levels = levels(&self.samples, &self.run.soak, is_restarted);
        let (visits, taken) = (&self.world.visits, &self.world.taken);
        self.run.figures.push(format!(
            "{} visits by guests, {} messages taken by workers; {} remembered here at the end",
            visits.load(Ordering::Relaxed),
            taken.load(Ordering::Relaxed),
            self.world.ledger.remembered()
        ));
        for level in &levels {
            self.run.figures.push(level.to_string());
            if level.has_grown() {
                self.run.history.violation(format!("GROWS: {level}"));
            }
        }
        let Some(dir) = &self.run.soak.write else { return };
        let name = if is_restarted { RESTARTS.name } else { STEADY.name };
        let written = std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(dir.join(format!("{name}.csv")), gauge::csv(&self.samples)))
            .map_err(|error| error.to_string())
            .and_then(|()| {
                let path = dir.join(format!("{name}.svg"));
                plot::draw(&path, &self.samples, self.run.soak.retention).map_err(|error| error.to_string())
            });
        if let Err(error) = written {
            self.run.history.violation(format!("can't write into {}: {error}", dir.display()));
        }
    }
}

/// What of all that was measured is judged, and how.
fn levels(samples: &[Sample], options: &Options, is_restarted: bool) -> Vec<Level> {
    let each = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<f64>>();
    let times = |part, of: fn(&Sample) -> &[f64]| gauge::by_window(samples, options.retention as usize, part, of);
    let bound = |times, more| Some(Bound { times, more });
    let on_disk = |times, more| if options.loose { bound(1.25, 3.0 * more) } else { bound(times, more) };
    // A process that has just been started takes less than it will.
    let steady = |times, more| on_disk(times, more).filter(|_| !is_restarted);
    let sends = times(0.99, |sample| &sample.sends_ms);
    let floor = times(0.99, |sample| &sample.floor_ms);
    let to_floor: Vec<f64> = sends.iter().zip(&floor).map(|(sends, floor)| sends / floor.max(0.01)).collect();
    let timed = bound(1.5, 0.5).filter(|_| !options.loose && !is_restarted);
    vec![
        Level::of("memory", "MiB", &each(|sample| sample.rss_bytes as f64 / MIB), steady(1.05, 2.0)),
        // Files come in steps of 16 MiB, sled's in 8.
        Level::of("disk", "MiB", &each(|sample| sample.disk.all as f64 / MIB), on_disk(1.05, 16.0)),
        Level::of("disk: journal", "MiB", &each(|sample| sample.disk.journal as f64 / MIB), on_disk(1.05, 16.0)),
        Level::of("disk: segments", "MiB", &each(|sample| sample.disk.segments as f64 / MIB), on_disk(1.05, 16.0)),
        Level::of("disk: sled", "MiB", &each(|sample| sample.disk.sled as f64 / MIB), on_disk(1.05, 8.0)),
        // How much is sent goes up and down a little.
        Level::of("stored", "MiB", &each(|sample| sample.stored_bytes as f64 / MIB), bound(1.2, 1.0)),
        Level::of("descriptors", "", &each(|sample| sample.fds as f64), steady(1.05, 4.0)),
        Level::of("threads", "", &each(|sample| sample.threads as f64), steady(1.05, 4.0)),
        Level::of("tasks", "", &each(|sample| sample.tasks as f64), steady(1.05, 4.0)),
        Level::of("connections", "", &each(|sample| sample.connections as f64), None),
        Level::of("SENDs a second", "", &each(|sample| sample.sends_ms.len() as f64), None),
        Level::of("half of the SENDs within", "ms", &times(0.5, |sample| &sample.sends_ms), None),
        Level::of("99 in 100 SENDs within", "ms", &sends, None),
        Level::of("99 in 100 syncs of a plain file beside it within", "ms", &floor, None),
        // What other programs take from both is not the daemon's.
        Level::of("the former to the latter", "", &to_floor, timed),
        Level::of("99 in 100 FETCHes within", "ms", &times(0.99, |sample| &sample.fetches_ms), None),
    ]
}
