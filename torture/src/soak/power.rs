//! Power cuts while longer-kept messages are moved out of files whose other messages have expired.

use std::time::{Duration, Instant};

use super::{audit, world};
use crate::daemon::Daemon;
use crate::load::Load;
use crate::schedules::{Need, Run, Schedule, mounted};

/// With power cuts.
pub const POWER: Schedule = Schedule {
    name: "soak-power",
    about: "Power cuts while messages that some rooms keep for longer are moved",
    needs: &[Need::Fuse],
    cycles: 10,
    run,
};

/// The daemon's log message after such a move.
const MOVED: &str = "compacted sparse files";
/// The longest time to wait for it: the daemon looks every ten seconds, and moves what it has seen twice.
const MOVES_WITHIN: Duration = Duration::from_secs(40);
/// The longest time that the load runs if the operation for the cut is not reached.
const PATIENCE: Duration = Duration::from_secs(4);

fn run(run: &mut Run) {
    let Some((mount, mut recipe)) = mounted(run, "disk", 1 << 40) else { return };
    recipe.flags.extend(["--log", "info,dantok_store::mover=debug"].map(str::to_owned));
    let world = world(run, &mut recipe, true);
    let mut load = None;
    for cycle in 0..run.cycles {
        let Some((daemon, address)) = run.must_start(&recipe, "a power cut") else { break };
        world.find_tls(&daemon);
        let load = match &load {
            Some(load) => {
                audit(&world, address);
                load
            }
            None => {
                if let Err(error) = world.prepare(address) {
                    run.history.violation(format!("the rooms can't be created: {error}"));
                }
                load.insert(Load::of(world.works(), &run.history, &mut run.random))
            }
        };
        if !run.is_intact() {
            break;
        }
        load.resume(address);
        // Usually shortly after a move: what it wrote, and the removals that follow, are not durable for a while.
        let waits = match run.random.u8(..4) {
            // Otherwise the only candidates for a move are in files that are still written to.
            _ if cycle == 0 => world.retention * 2,
            0 => MOVES_WITHIN.mul_f64(run.random.f64()),
            _ => MOVES_WITHIN,
        };
        let has_moved = wait_moved(&daemon, waits);
        let soon = 1 << run.random.u8(..10);
        mount.disk(|disk| disk.cut_after(run.random.u64(1..=soon)));
        mount.wait_cut(PATIENCE);
        run.count(if has_moved { "power cuts after a move" } else { "power cuts before any move" });
        run.cut_power(&mount, daemon);
        load.pause();
    }
    if run.is_intact()
        && let Some((daemon, address)) = run.must_start(&recipe, "a power cut")
    {
        audit(&world, address);
        run.must_end(daemon);
        run.must_check(&recipe);
    }
    if let Some(load) = load {
        load.stop(&run.history);
    }
}

fn wait_moved(daemon: &Daemon, most: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < most {
        if daemon.log().contains(MOVED) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
