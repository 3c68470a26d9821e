//! Power cuts under load and while the daemon starts.

use std::time::Duration;

use super::{Need, Run, Schedule};
use crate::daemon::{NotUp, Recipe};
use crate::disk::{Disk, Mount};
use crate::load::{Load, Shape};

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "power",
    about: "Power cuts: what was synced stays; of the rest, any sectors, sizes and names are lost",
    needs: &[Need::Fuse],
    cycles: 10,
    run,
};

/// The longest time that the load runs if the operation for the cut is not reached.
const PATIENCE: Duration = Duration::from_secs(4);

fn run(run: &mut Run) {
    let Some((mount, recipe)) = mounted(run, "disk", 1 << 40) else { return };
    let recipe = recipe.with_web();
    let shape = Shape::random(&mut run.random).with_web(&mut run.random);
    let load = Load::start(&run.history, &shape, &mut run.random);
    for _ in 0..run.cycles {
        mount.set_slow(Duration::from_micros([0, 500, 4000][run.random.usize(..3)]));
        let starting = run.random.u8(..4) == 0;
        let after = run.random.u64(1..=if starting { 1000 } else { 4000 });
        if starting {
            mount.disk(|disk| disk.cut_after(after));
        }
        let mut daemon = recipe.spawn();
        match daemon.wait_up(|| mount.disk(|disk| disk.is_cut())) {
            Ok(address) => {
                // A cut in the middle of an audit would only make the audit hang.
                mount.disk(|disk| disk.cut_after(u64::MAX / 2));
                run.audit(address);
                load.resume(daemon.addresses(address));
                if run.random.u8(..3) == 0 {
                    // What it wrote but did not sync is there for the next start, and may be lost by the cut.
                    std::thread::sleep(Duration::from_micros(run.random.u64(5_000..200_000)));
                    daemon.kill_and_wait();
                    load.pause();
                    let Some((started, _)) = run.must_start(&recipe, "SIGKILL") else { break };
                    daemon = started;
                    run.count("power cuts right after a SIGKILL and a start");
                } else {
                    mount.disk(|disk| disk.cut_after(after));
                    mount.wait_cut(PATIENCE);
                    run.count("power cuts under load");
                }
            }
            Err(NotUp::Hangs(log)) => run.history.violation(format!("the daemon hangs while it starts\n{log}")),
            Err(NotUp::GivenUp) => run.count("power cuts during start-up"),
            Err(NotUp::Ended(status, log)) => {
                run.history.violation(format!("the daemon does not start after a power cut: {status}\n{log}"));
            }
        }
        run.cut_power(&mount, daemon);
        load.pause();
        if !run.is_intact() {
            break;
        }
    }
    mount.set_slow(Duration::ZERO);
    if run.is_intact()
        && let Some((daemon, address)) = run.must_start(&recipe, "a power cut")
    {
        run.audit(address);
        run.must_end(daemon);
        run.must_check(&recipe);
    }
    load.stop(&run.history);
    let counts = mount.disk(|disk| disk.counts);
    *run.tried.entry("syncs".to_owned()).or_default() += counts.syncs;
    *run.tried.entry("writes lost in cuts, in whole or in part".to_owned()).or_default() += counts.lost_writes;
    *run.tried.entry("name changes lost in cuts".to_owned()).or_default() += counts.lost_names;
}

/// Mounts a disk of this size; returns it, and how to start a daemon on it.
pub fn mounted(run: &mut Run, name: &str, capacity: u64) -> Option<(Mount, Recipe)> {
    let at = run.dir.join(name);
    let disk = Disk::new(run.random.u64(..), capacity);
    let made = std::fs::create_dir(&at).and_then(|()| Mount::new(disk, &at, run.random.u64(..)));
    match made {
        Ok(mount) => {
            let mut recipe = run.recipe();
            recipe.data_dir = mount.path().join("data");
            recipe.log = run.dir.join(format!("{name}.log"));
            Some((mount, recipe))
        }
        Err(error) => {
            run.history.violation(format!("can't mount the disk at {}: {error}", at.display()));
            None
        }
    }
}
