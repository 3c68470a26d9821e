//! Systematic power cuts: around each sync, and after each change of a name or size, in a run that does everything
//! once.
//!
//! First the daemon runs on a disk that is [copied](crate::disk::Point) at each of these points: it starts on an empty
//! disk, commits, moves, is killed in the middle of a sync, begins new journal files while the disk is slow, makes
//! checkpoints, stops, and is backed up and restored. Then each copy becomes a disk after a power cut, once for each
//! variant of what unsynced data may survive, and a daemon on it is judged by what was known at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::power::mounted;
use super::{Need, Run, Schedule, audit};
use crate::daemon::{Daemon, Recipe};
use crate::disk::{Disk, KEEPS, Keeps, Kind, Mount, Point, Wait};
use crate::history::History;
use crate::load::{Bodies, Load, Shape};
use crate::web;

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "points",
    about: "Systematic power cuts, at each sync and name change of commits, moves, checkpoints, starts and backups",
    needs: &[Need::Fuse],
    cycles: 250,
    run,
};

/// How long to wait for something that the daemon does in the background.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the sync of a new journal file's header takes: longer than commits wait before they are moved.
const SLOW: Duration = Duration::from_millis(1500);
/// In a directory whose names only a backup syncs.
const KEPT: &str = "kept";
const BACKUPS: &str = "kept/backups";
const RESTORE: &str = "a restore";
const RESTORED: &str = "an incremental backup";

/// The backups made before the power is cut.
struct Made {
    /// What was known at the time of the backup.
    backed_up: Option<Arc<History>>,
    points: Vec<Vec<Point>>,
}

fn run(run: &mut Run) {
    let Some((mount, recipe)) = mounted(run, "disk", 1 << 40) else { return };
    let history = run.history.clone();
    mount.disk(|disk| disk.watch(&history, "the first start"));
    let backed_up = everything(run, &mount, &recipe);
    let made = Made { backed_up, points: mount.disk(Disk::points) };
    if !run.is_intact() {
        return;
    }
    let found = made.points.iter().map(Vec::len).sum::<usize>();
    *run.tried.entry("points at which the power may be cut".to_owned()).or_default() += found as u64;
    let mut mounts = vec![(mount, recipe)];
    mounts.extend(mounted(run, "other", 1 << 40));
    judge_all(run, &mounts, &made);
}

/// Does everything once. Returns what was known at the time of the backup.
fn everything(run: &mut Run, mount: &Mount, recipe: &Recipe) -> Option<Arc<History>> {
    let shape = |bodies| Shape {
        senders: 2,
        followers: 1,
        readers: 1,
        bodies,
        pause: Duration::from_millis(4),
        web: web::Shape::default(),
    };
    let small = Load::start(&run.history, &shape(Bodies::Mixed), &mut run.random);
    let large = Load::start(&run.history, &shape(Bodies::Large), &mut run.random);
    let known = phases(run, mount, recipe, &small, &large);
    for load in [small, large] {
        load.pause();
        load.stop(&run.history);
    }
    known
}

fn phases(run: &mut Run, mount: &Mount, recipe: &Recipe, small: &Load, large: &Load) -> Option<Arc<History>> {
    let phase = |name| mount.disk(|disk| disk.set_phase(name));
    let done = |what: &'static str| move || mount.disk(|disk| disk.times(what));
    let (daemon, address) = run.must_start(recipe, "nothing")?;
    run.audit(address);
    phase("commits and moves");
    small.resume(address);
    wait(|| done("synced /data/segments/N.segment")() >= 10);
    killed_in_a_sync(run, mount, daemon, 1);
    small.pause();
    phase("a start after a kill");
    let (daemon, address) = run.must_start(recipe, "SIGKILL")?;
    run.audit(address);
    phase("new journal files");
    mount.wait_at(Wait {
        kind: Kind::Sync,
        path: "/journal/",
        of_beginning: true,
        at_least_bytes: 0,
        times: 1,
        takes: Some(SLOW),
    });
    large.resume(address);
    // The first one is slow; the next is begun while commits wait to be moved.
    wait(|| done("cut /data/journal/N.journal")() >= 2);
    // A commit so large that its messages stay in the journal.
    killed_in_a_sync(run, mount, daemon, 16 * 1024);
    large.pause();
    phase("a start after a kill with large commits");
    let (daemon, address) = run.must_start(recipe, "SIGKILL")?;
    run.audit(address);
    small.resume(address);
    std::thread::sleep(Duration::from_millis(200));
    small.pause();
    phase("a stop");
    run.must_end(daemon);
    phase("a start after a stop");
    let (daemon, address) = run.must_start(recipe, "SIGTERM")?;
    run.audit(address);
    // This disk can't hold sockets, so `dantok backup` opens the store itself.
    run.must_end(daemon);
    phase("backups");
    if let Err(error) = make_kept(mount.path()) {
        run.history.violation(format!("the harness can't create a directory: {error}"));
    }
    let backups = mount.path().join(BACKUPS);
    let must = |words: &[&Path]| {
        if let Err(error) = dantok(recipe, words) {
            run.history.violation(error);
        }
    };
    must(&["backup".as_ref(), "--data-dir".as_ref(), &recipe.data_dir, &backups]);
    let known = Arc::new(run.history.copy_for_restored());
    phase(RESTORE);
    let restored = mount.path().join("restored");
    must(&["restore".as_ref(), &backups, "--data-dir".as_ref(), &restored]);
    phase(RESTORED);
    must(&["backup".as_ref(), "--incremental".as_ref(), "--data-dir".as_ref(), &recipe.data_dir, &backups]);
    Some(known)
}

fn make_kept(disk: &Path) -> io::Result<()> {
    std::fs::create_dir(disk.join(KEPT))?;
    File::open(disk)?.sync_all()
}

/// SIGKILL between a commit's write and its sync.
fn killed_in_a_sync(run: &mut Run, mount: &Mount, mut daemon: Daemon, at_least_bytes: usize) {
    mount.let_go(true);
    mount.wait_at(Wait {
        kind: Kind::Sync,
        path: "/journal/",
        of_beginning: false,
        at_least_bytes,
        times: u32::MAX,
        takes: None,
    });
    let is_held = mount.wait_held(PATIENCE);
    run.count(if is_held { "SIGKILLs in the middle of a commit's sync" } else { "syncs that were not reached" });
    daemon.kill();
    mount.let_go(false);
    daemon.kill_and_wait();
}

fn wait(is_done: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_done() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a dantok command, which must succeed.
fn dantok(recipe: &Recipe, words: &[&Path]) -> Result<(), String> {
    let output = Command::new(&recipe.program).args(words).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        other => Err(format!("{words:?}: {other:?}")),
    }
}

/// A point, and how much unsynced data survives.
type Turn<'a> = (&'a Point, Keeps);

/// Points and variants in the order in which they are judged: the worst of each kind of operation first, taking the
/// phases in turn.
fn in_turn(points: &[Vec<Point>]) -> Vec<Turn<'_>> {
    let mut phases: Vec<(&str, Vec<Vec<Turn<'_>>>)> = Vec::new();
    for of_kind in points {
        let Some(first) = of_kind.first() else { continue };
        let of_kind = KEEPS.into_iter().flat_map(|keeps| of_kind.iter().map(move |point| (point, keeps))).collect();
        match phases.iter_mut().find(|(phase, _)| *phase == first.phase) {
            Some((_, kinds)) => kinds.push(of_kind),
            None => phases.push((first.phase, vec![of_kind])),
        }
    }
    for (_, kinds) in &mut phases {
        // Removals come before syncs, and those before new names that nothing refers to yet.
        kinds.sort_by_key(|kind| {
            match kind.first().map(|(point, _)| point.what.split(' ').next().unwrap_or_default()) {
                Some("cut" | "removed" | "renamed") => 0,
                Some("synced" | "about") => 1,
                _ => 2,
            }
        });
    }
    let phases = phases.into_iter().map(|(_, kinds)| alternating(kinds)).collect();
    alternating(phases)
}

/// The first of each, the second of each, …
fn alternating<T: Copy>(lists: Vec<Vec<T>>) -> Vec<T> {
    let most = lists.iter().map(Vec::len).max().unwrap_or(0);
    (0..most).flat_map(|nth| lists.iter().filter_map(move |list| list.get(nth).copied())).collect()
}

/// Judges cuts until there have been enough, or one violates a rule.
fn judge_all(run: &mut Run, mounts: &[(Mount, Recipe)], made: &Made) {
    let mut seen = BTreeSet::new();
    let mut turns = in_turn(&made.points);
    turns.retain(|(point, keeps)| {
        // Many points leave the same state.
        seen.len() < run.cycles as usize && seen.insert((point.disk.mark(&point.kept(*keeps)), point.known.mark()))
    });
    let next = AtomicUsize::new(0);
    let tried = Mutex::new(BTreeMap::<&str, u64>::new());
    std::thread::scope(|scope| {
        for (mount, recipe) in mounts {
            let (turns, next, tried, run) = (&turns, &next, &tried, &*run);
            scope.spawn(move || {
                while let Some((point, keeps)) = turns.get(next.fetch_add(1, Ordering::Relaxed))
                    && run.is_intact()
                {
                    judge(run, mount, recipe, made, point, *keeps);
                    *tried.lock().expect("no thread panicked while holding it").entry(point.phase).or_default() += 1;
                }
            });
        }
    });
    for (phase, times) in tried.into_inner().expect("no thread panicked while holding it") {
        *run.tried.entry(format!("power cuts in {phase}")).or_default() += times;
    }
}

fn judge(run: &Run, mount: &Mount, recipe: &Recipe, made: &Made, point: &Point, keeps: Keeps) {
    let known = point.known.copy();
    mount.put(point.disk.after_cut(&point.kept(keeps)));
    started(recipe, &known);
    if let Some(at_backup) = &made.backed_up {
        judge_backup(mount, recipe, &at_backup.copy(), point, &known);
    }
    for violation in known.violations() {
        run.history.violation(format!("in {}, {}, left {keeps:?}: {violation}", point.phase, point.what));
    }
}

/// A completed backup is there. A restore that was cut off is refused, and one that looks complete has everything.
fn judge_backup(mount: &Mount, recipe: &Recipe, at_backup: &History, point: &Point, known: &History) {
    if ![RESTORE, RESTORED].contains(&point.phase) {
        return;
    }
    let restored = Recipe { data_dir: mount.path().join("restored"), ..recipe.clone() };
    let (is_store, is_unfinished) = (restored.data_dir.join("FORMAT"), restored.data_dir.join("restoring"));
    if point.phase == RESTORED || is_store.exists() && !is_unfinished.exists() {
        started(&restored, at_backup);
        at_backup.violations().into_iter().for_each(|violation| known.violation(format!("restored: {violation}")));
    } else if let Err(error) = dantok(recipe, &["restore".as_ref(), "--dry-run".as_ref(), &mount.path().join(BACKUPS)])
    {
        known.violation(format!("the backup: {error}"));
    }
}

/// Starts a daemon, which must come up and show everything that is known.
fn started(recipe: &Recipe, known: &History) {
    match recipe.start() {
        Ok((mut daemon, address)) => {
            if let Err(error) = audit(known, address, None) {
                known.violation(format!("an audit failed: {error}\n{}", daemon.log()));
            }
            daemon.kill_and_wait();
        }
        Err(error) => known.violation(format!("the daemon does not start after a power cut: {error:?}")),
    }
}
