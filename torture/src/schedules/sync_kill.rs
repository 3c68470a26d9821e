//! SIGKILL while a sync fails, so that no process sees the failure.

use std::time::Duration;

use super::power::mounted;
use super::{Need, Run, Schedule};
use crate::daemon::{Daemon, NotUp, Recipe};
use crate::disk::{Disk, Fault, Kind, Mount};
use crate::load::{Load, Shape};

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "sync-kill",
    about: "SIGKILL at a failing sync, before it returns; then starts, some killed in the same way, and power cuts",
    needs: &[Need::Fuse],
    cycles: 8,
    run,
};

/// How long the load runs if the sync is not reached.
const PATIENCE: Duration = Duration::from_secs(4);

fn run(run: &mut Run) {
    let Some((mount, recipe)) = mounted(run, "disk", 1 << 40) else { return };
    let shape = Shape::random(&mut run.random);
    let load = Load::start(&run.history, &shape, &mut run.random);
    for _ in 0..run.cycles {
        let starting = run.random.u8(..3) == 0;
        let fault = fault(run, starting);
        if starting {
            mount.disk(|disk| disk.fail(fault.clone()));
        }
        let mut daemon = recipe.spawn();
        match daemon.wait_up(|| mount.disk(|disk| disk.is_hung())) {
            Ok(address) if mount.disk(Disk::heal_unless_hung) => {
                run.audit(address);
                mount.disk(|disk| disk.fail(fault));
                load.resume(address);
                let reached = mount.wait_hung(PATIENCE);
                run.count(if reached { "SIGKILLs at a sync under load" } else { "syncs that were not reached" });
            }
            Ok(_) | Err(NotUp::GivenUp) => run.count("SIGKILLs at a sync during start-up"),
            Err(NotUp::Hangs(log)) => run.history.violation(format!("the daemon hangs while it starts\n{log}")),
            Err(NotUp::Ended(status, log)) => {
                run.history.violation(format!("the daemon does not start after SIGKILL: {status}\n{log}"));
            }
        }
        if run.random.u8(..6) == 0 {
            run.cut_power(&mount, daemon);
            run.count("of these, with a power cut instead");
        } else {
            kill(&mount, daemon);
        }
        load.pause();
        if run.is_intact() && run.random.bool() {
            cut(run, &mount, &recipe, &load);
        }
        if !run.is_intact() {
            break;
        }
    }
    if run.is_intact()
        && let Some((daemon, address)) = run.must_start(&recipe, "SIGKILL at a sync")
    {
        run.audit(address);
        run.must_end(daemon);
        run.must_check(&recipe);
    }
    if !run.is_intact() {
        run.history.violation(format!("the injected errors were: {}", mount.disk(|disk| disk.given.join(", "))));
    }
    load.stop(&run.history);
}

/// From then on, whatever was written before the sync and did not reach the disk is in memory only.
fn fault(run: &mut Run, starting: bool) -> Fault {
    let random = &mut run.random;
    let path = ["", "/journal/", "/sled/", "/segments/"][random.usize(..4)];
    let most = if starting { [3, 12, 60] } else { [3, 40, 400] }[random.usize(..3)];
    let most = if path == "/segments/" { 4 } else { most };
    Fault { kind: Kind::Sync, path, nth: random.u64(1..=most), lasting: false, errno: libc::EIO, hangs: true }
}

/// The process is gone before the sync returns.
fn kill(mount: &Mount, mut daemon: Daemon) {
    daemon.kill();
    mount.release();
    daemon.kill_and_wait();
    mount.go_on();
}

/// A start, which shows what is there, and then a power cut, after which it must still be there. Or the power is cut
/// during the start.
fn cut(run: &mut Run, mount: &Mount, recipe: &Recipe, load: &Load) {
    if run.random.u8(..3) == 0 {
        let after = run.random.u64(1..=60);
        mount.disk(|disk| disk.cut_after(after));
    }
    let mut daemon = recipe.spawn();
    match daemon.wait_up(|| mount.disk(|disk| disk.is_cut())) {
        Ok(address) => {
            // A cut in the middle of an audit would only make the audit hang.
            mount.disk(|disk| disk.cut_after(u64::MAX / 2));
            run.audit(address);
            if run.random.bool() {
                load.resume(address);
                std::thread::sleep(Duration::from_micros(run.random.u64(5_000..300_000)));
            }
            run.count("power cuts after a start");
        }
        Err(NotUp::GivenUp) => run.count("power cuts during a start"),
        Err(NotUp::Hangs(log)) => run.history.violation(format!("the daemon hangs while it starts\n{log}")),
        Err(NotUp::Ended(status, log)) => {
            run.history.violation(format!("the daemon does not start after SIGKILL at a sync: {status}\n{log}"));
        }
    }
    run.cut_power(mount, daemon);
    load.pause();
}
