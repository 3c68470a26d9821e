//! SIGKILL at random moments, under load and while the daemon starts; now and then SIGTERM.

use std::time::Duration;

use super::{Run, Schedule};
use crate::load::{Load, Shape};

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "kill",
    about: "SIGKILL at random moments under load and during start-up",
    needs: &[],
    cycles: 10,
    run,
};

fn run(run: &mut Run) {
    let recipe = run.recipe().with_web();
    let shape = Shape::random(&mut run.random).with_web(&mut run.random);
    let load = Load::start(&run.history, &shape, &mut run.random);
    for _ in 0..run.cycles {
        if run.random.u8(..3) == 0 {
            let mut daemon = recipe.spawn();
            std::thread::sleep(Duration::from_micros(run.random.u64(..80_000)));
            daemon.kill_and_wait();
            run.count("SIGKILL during start-up");
            continue;
        }
        let Some((mut daemon, address)) = run.must_start(&recipe, "SIGKILL") else { break };
        run.audit(address);
        load.resume(daemon.addresses(address));
        std::thread::sleep(Duration::from_micros(run.random.u64(5_000..500_000)));
        if run.random.u8(..8) == 0 {
            run.must_end(daemon);
            run.count("SIGTERM under load");
        } else {
            daemon.kill_and_wait();
            run.count("SIGKILL under load");
        }
        load.pause();
        if !run.is_intact() {
            break;
        }
    }
    if let Some((daemon, address)) = run.must_start(&recipe, "SIGKILL") {
        run.audit(address);
        run.must_end(daemon);
    }
    load.stop(&run.history);
    run.must_check(&recipe);
}
