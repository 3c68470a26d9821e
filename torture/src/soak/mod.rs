//! A week in minutes: the daemon under a steady load while messages keep expiring, and a check that its resource use
//! levels off.
//!
//! Retention is a few seconds, so minutes contain as many retention periods as months do at 24 hours. Every second the
//! daemon is measured: memory, disk, descriptors, threads, tasks and the latency of SENDs. The first third of the run
//! is for warming up; the last third may exceed the second only by the bounds below.

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

/// Without restarts: everything must level off.
pub const STEADY: Schedule = Schedule {
    name: "soak",
    about: "A steady load over many retention periods: memory, disk, descriptors, tasks and latencies level off",
    needs: &[],
    cycles: 60,
    run: |run| soak(run, None),
};

/// With restarts: disk usage must level off all the same.
pub const RESTARTS: Schedule = Schedule {
    name: "soak-restarts",
    about: "The same with a SIGTERM or SIGKILL every two retention periods: disk usage levels off",
    needs: &[],
    cycles: 30,
    run: |run| soak(run, Some(2)),
};

/// The daemon's default retention.
const RETENTION_S: u64 = 10;

/// Options of soaks on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Soaks: run for this long, instead of for --cycles retention periods
    #[arg(long, conflicts_with = "cycles")]
    pub minutes: Option<f64>,
    /// Soaks: the daemon's retention, in seconds
    #[arg(long, default_value_t = RETENTION_S)]
    pub retention: u64,
    /// Soaks: do not judge latencies, and use wider bounds for the rest; for short soaks and busy machines
    #[arg(long)]
    pub loose: bool,
    /// Soaks: write the measurements into this directory, as `<schedule>.csv` and `<schedule>.svg`
    #[arg(long)]
    pub write: Option<PathBuf>,
}

impl Options {
    /// The number of retention periods that `--minutes` amounts to.
    pub fn cycles(&self) -> Option<u64> {
        self.minutes.map(|minutes| (minutes * 60.0 / self.retention as f64).ceil() as u64)
    }

    /// The options needed to repeat a run.
    pub fn repeated(&self) -> String {
        let retention = format!(" --retention {}", self.retention);
        let loose = if self.loose { " --loose" } else { "" };
        if self.retention == RETENTION_S { loose.to_owned() } else { retention + loose }
    }
}

/// Makes a self-signed certificate for this machine and its key, and has the daemon use them. Returns the clients' TLS
/// configuration.
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
    roots.add(CertificateDer::from(made.cert)).expect("a self-signed certificate is a valid root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("the default versions are valid").with_root_certificates(roots).with_no_client_auth())
}

/// The address that the daemon logged after this text.
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

/// Configures a retention of seconds, and creates the clients.
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

/// Audits the rooms while nobody sends.
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
        world.history.violation(format!("an audit failed: {error}"));
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
        let gauge = logged(&daemon, "metrics address=")
            .ok_or("it has not logged the metrics address".to_owned())
            .and_then(|metrics| {
                if self.samples.is_empty() {
                    self.world.prepare(address).map_err(|error| error.to_string())?;
                }
                Gauge::new(address, metrics, crowd::audited()).map_err(|error| error.to_string())
            });
        match gauge {
            Ok(gauge) => Some((daemon, address, gauge)),
            Err(error) => {
                self.run.history.violation(format!("measuring is not possible: {error}"));
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
            while Instant::now() < until && self.run.is_intact() {
                next += Duration::from_secs(1);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                self.sample(&daemon, &mut gauge, &floor);
            }
            self.run.count("retention periods");
            if !self.run.is_intact() {
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

    /// Reports the measurements, and records a violation if something has grown.
    fn judge(&mut self, is_restarted: bool) {
        let levels = levels(&self.samples, &self.run.soak, is_restarted);
        let (visits, taken) = (&self.world.visits, &self.world.taken);
        self.run.figures.push(format!(
            "{} visits by guests, {} messages taken by workers; {} messages remembered by the harness at the end",
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

/// The measures that are judged, and their bounds.
fn levels(samples: &[Sample], options: &Options, is_restarted: bool) -> Vec<Level> {
    let each = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<f64>>();
    let times = |part, of: fn(&Sample) -> &[f64]| gauge::by_window(samples, options.retention as usize, part, of);
    let bound = |times, more| Some(Bound { times, more });
    let on_disk = |times, more| if options.loose { bound(1.25, 3.0 * more) } else { bound(times, more) };
    // A freshly started process uses less than it will later.
    let steady = |times, more| on_disk(times, more).filter(|_| !is_restarted);
    let sends = times(0.99, |sample| &sample.sends_ms);
    let floor = times(0.99, |sample| &sample.floor_ms);
    let to_floor: Vec<f64> = sends.iter().zip(&floor).map(|(sends, floor)| sends / floor.max(0.01)).collect();
    let timed = bound(1.5, 0.5).filter(|_| !options.loose && !is_restarted);
    vec![
        Level::of("memory", "MiB", &each(|sample| sample.rss_bytes as f64 / MIB), steady(1.05, 2.0)),
        // Files grow in steps of 16 MiB, sled's in steps of 8 MiB.
        Level::of("disk", "MiB", &each(|sample| sample.disk.all as f64 / MIB), on_disk(1.05, 16.0)),
        Level::of("disk: journal", "MiB", &each(|sample| sample.disk.journal as f64 / MIB), on_disk(1.05, 16.0)),
        Level::of("disk: segments", "MiB", &each(|sample| sample.disk.segments as f64 / MIB), on_disk(1.05, 16.0)),
        Level::of("disk: sled", "MiB", &each(|sample| sample.disk.sled as f64 / MIB), on_disk(1.05, 8.0)),
        // The amount sent varies a little.
        Level::of("stored", "MiB", &each(|sample| sample.stored_bytes as f64 / MIB), bound(1.2, 1.0)),
        Level::of("descriptors", "", &each(|sample| sample.fds as f64), steady(1.05, 4.0)),
        Level::of("threads", "", &each(|sample| sample.threads as f64), steady(1.05, 4.0)),
        Level::of("tasks", "", &each(|sample| sample.tasks as f64), steady(1.05, 4.0)),
        Level::of("connections", "", &each(|sample| sample.connections as f64), None),
        Level::of("SENDs a second", "", &each(|sample| sample.sends_ms.len() as f64), None),
        Level::of("SENDs, p50", "ms", &times(0.5, |sample| &sample.sends_ms), None),
        Level::of("SENDs, p99", "ms", &sends, None),
        Level::of("syncs of a plain file beside it, p99", "ms", &floor, None),
        // The ratio cancels out the effect of other programs.
        Level::of("ratio of the former to the latter", "", &to_floor, timed),
        Level::of("FETCHes, p99", "ms", &times(0.99, |sample| &sample.fetches_ms), None),
    ]
}
