//! Disk errors: at a write, a sync or a read, and at any of them while the daemon starts.

use std::time::{Duration, Instant};

use super::power::mounted;
use super::{Need, Run, Schedule, fetch_all};
use crate::daemon::{Daemon, NotUp, Recipe};
use crate::disk::{Fault, Kind, Mount};
use crate::load::{Load, ROOMS, Shape};
use crate::wire::Wire;

pub(super) const WRITE: Schedule = Schedule {
    name: "write-error",
    about: "EIO, ENOSPC or EDQUOT at a write, then a restart or a power cut",
    needs: &[Need::Fuse],
    cycles: 4,
    run: |run| under_load(run, Kind::Write),
};

pub(super) const SYNC: Schedule = Schedule {
    name: "sync-error",
    about: "EIO at a sync, which loses the data that it should have written; then a restart or a power cut",
    needs: &[Need::Fuse],
    cycles: 4,
    run: |run| under_load(run, Kind::Sync),
};

pub(super) const READ: Schedule = Schedule {
    name: "read-error",
    about: "EIO at reads while readers need data that is only on the disk",
    needs: &[Need::Fuse],
    cycles: 4,
    run: |run| under_load(run, Kind::Read),
};

pub(super) const START: Schedule = Schedule {
    name: "start-error",
    about: "EIO or ENOSPC at a read, write, sync or name change while the daemon starts",
    needs: &[Need::Fuse],
    cycles: 12,
    run: at_start,
};

/// How long to wait for a fault and for its consequence.
const PATIENCE: Duration = Duration::from_secs(2);

fn under_load(run: &mut Run, kind: Kind) {
    let Some((mount, recipe)) = mounted(run, "disk", 1 << 40) else { return };
    let shape = Shape::random(&mut run.random);
    let load = Load::start(&run.history, &shape, &mut run.random);
    for _ in 0..run.cycles {
        let Some((mut daemon, address)) = run.must_start(&recipe, "a disk error") else { break };
        run.audit(address);
        let fault = fault(run, kind);
        let given = mount.disk(|disk| {
            disk.fail(fault);
            disk.counts.errors
        });
        load.resume(address);
        let start = Instant::now();
        while daemon.ended().is_none() && start.elapsed() < PATIENCE {
            if kind == Kind::Read {
                // Its answer is an END or an error; what precedes it is judged either way.
                read_old(run, address);
            }
            std::thread::sleep(Duration::from_millis(if kind == Kind::Read { 100 } else { 5 }));
            if kind != Kind::Read && mount.disk(|disk| disk.counts.errors) > given {
                daemon.wait_end(PATIENCE);
                break;
            }
        }
        let given = mount.disk(|disk| disk.counts.errors) > given;
        match (given, daemon.ended()) {
            (false, None) => run.count("faults that were not reached"),
            (true, None) => run.count("errors that the daemon survived"),
            (true, Some(_)) => {
                run.count("errors after which the daemon exited");
                must_have_failed(run, &mut daemon);
            }
            (false, Some(status)) => {
                run.history.violation(format!("the daemon exited with {status} for no reason\n{}", daemon.log()));
            }
        }
        end(run, &mount, daemon);
        load.pause();
        if !run.is_intact() {
            break;
        }
    }
    last_look(run, &mount, &recipe);
    load.stop(&run.history);
}

fn fault(run: &mut Run, kind: Kind) -> Fault {
    let random = &mut run.random;
    let errno = match kind {
        Kind::Write => [libc::EIO, libc::ENOSPC, libc::EDQUOT][random.usize(..3)],
        _ => libc::EIO,
    };
    let path = ["", "/journal/", "/sled/"][random.usize(..3)];
    let most = [3, 40, 400][random.usize(..3)];
    Fault { kind, path, nth: random.u64(1..=most), lasting: random.bool(), errno, hangs: false }
}

/// Reads a room from its beginning, which is usually not in memory.
fn read_old(run: &Run, address: std::net::SocketAddr) {
    let Ok(mut wire) = Wire::hello(address, "audit") else { return };
    for room in ROOMS {
        let Ok((items, _)) = fetch_all(&mut wire, room) else { return };
        let mut after = 0;
        for item in &items {
            after = run.history.handed("audit", after, item);
        }
    }
}

/// Expects an honest failure: the daemon says why, naming a file, and exits with 1.
fn must_have_failed(run: &Run, daemon: &mut Daemon) {
    let log = daemon.log();
    let named = log.contains("ERROR") && (log.contains("/disk") || log.contains("of the store failed"));
    if daemon.ended().and_then(|status| status.code()) != Some(1) || !named {
        let status = daemon.ended();
        run.history.violation(format!("not an honest failure: {status:?}\n{log}"));
    }
}

/// Ends a daemon that may have exited already: by a power cut, which loses what a failed sync did not write, or by
/// SIGKILL.
fn end(run: &mut Run, mount: &Mount, mut daemon: Daemon) {
    if run.random.bool() {
        run.cut_power(mount, daemon);
        run.count("power cuts afterwards");
    } else {
        daemon.kill_and_wait();
        mount.disk(|disk| disk.heal());
        run.count("restarts afterwards");
    }
}

fn last_look(run: &mut Run, mount: &Mount, recipe: &Recipe) {
    mount.disk(|disk| disk.heal());
    if run.is_intact()
        && let Some((daemon, address)) = run.must_start(recipe, "a disk error")
    {
        run.audit(address);
        run.must_end(daemon);
        run.must_check(recipe);
    }
    if !run.is_intact() {
        run.history.violation(format!("the injected errors were: {}", mount.disk(|disk| disk.given.join(", "))));
    }
    let given = mount.disk(|disk| disk.counts.errors);
    *run.tried.entry("errors given".to_owned()).or_default() += given;
}

fn at_start(run: &mut Run) {
    let Some((mount, recipe)) = mounted(run, "disk", 1 << 40) else { return };
    let shape = Shape { senders: 2, followers: 1, readers: 1, ..Shape::random(&mut run.random) };
    let load = Load::start(&run.history, &shape, &mut run.random);
    for _ in 0..run.cycles {
        let kind = [Kind::Write, Kind::Sync, Kind::Read, Kind::Name][run.random.usize(..4)];
        let mut fault = fault(run, kind);
        fault.path = "";
        let most = [8, 60, 300][run.random.usize(..3)];
        fault.nth = run.random.u64(1..=most);
        mount.disk(|disk| disk.fail(fault));
        let mut daemon = recipe.spawn();
        match daemon.wait_up(|| false) {
            Ok(address) => {
                mount.disk(|disk| disk.heal());
                // The error may have occurred once it was up.
                if run.try_audit(address) {
                    load.resume(address);
                }
                if daemon.wait_end(Duration::from_millis(run.random.u64(20..200))).is_some() {
                    run.count("starts that failed just after they had completed");
                    must_have_failed(run, &mut daemon);
                } else {
                    run.count("starts that succeeded nevertheless");
                    load.pause();
                    run.audit(address);
                }
            }
            Err(NotUp::Ended(..)) => {
                run.count("starts refused");
                must_have_failed(run, &mut daemon);
            }
            Err(NotUp::Hangs(log)) => {
                let pid = daemon.pid();
                run.history.violation(format!("the daemon (process {pid}) hangs while it starts\n{log}"));
            }
            Err(NotUp::GivenUp) => {}
        }
        end(run, &mount, daemon);
        load.pause();
        if !run.is_intact() {
            break;
        }
    }
    last_look(run, &mount, &recipe);
    load.stop(&run.history);
}
