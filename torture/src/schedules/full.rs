//! A disk that fills up and then has space again: a tmpfs, or ext4 on a loop device.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Need, Run, Schedule, fetch_all};
use crate::daemon::{DEADLINE, Daemon};
use crate::load::{Bodies, Load, ROOMS, Shape, ok};
use crate::wire::Wire;

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "full",
    about: "The disk fills up under load, completely or nearly; restarts; then space is freed",
    needs: &[Need::Mount],
    cycles: 3,
    run,
};

const DISK_MIB: u64 = 320;
const MIB: u64 = 1024 * 1024;

/// A small file system; unmounted on drop.
struct Small(PathBuf);

impl Small {
    fn new(run: &mut Run) -> Result<Small, String> {
        let at = run.dir.join("disk");
        std::fs::create_dir(&at).map_err(|error| error.to_string())?;
        if run.random.bool() && Small::ext4(&run.dir.join("image"), &at).is_ok() {
            run.count("runs on ext4");
        } else {
            // Not every machine that allows mounting has loop devices.
            run.count("runs on tmpfs");
            sh("mount", &["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "dantok-torture"], &at)?;
        }
        Ok(Small(at))
    }

    fn ext4(image: &Path, at: &Path) -> Result<(), String> {
        File::create(image).and_then(|file| file.set_len(DISK_MIB * MIB)).map_err(|error| error.to_string())?;
        sh("mkfs.ext4", &["-q", "-F"], image)?;
        sh("mount", &["-o", "loop", &image.display().to_string()], at)
    }

    fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.0).map_or(0, |stat| stat.f_bavail * stat.f_frsize)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Fills it until at most this much is free.
    fn fill(&self, left: u64) {
        let Ok(mut filler) = File::options().create(true).append(true).open(self.filler()) else { return };
        let piece = vec![7; MIB as usize / 4];
        while self.free() > left + piece.len() as u64 || left == 0 {
            // Down to the last byte.
            if filler.write_all(&piece).is_err() {
                return;
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = sh("umount", &["-l"], &self.0);
    }
}

fn sh(program: &str, arguments: &[&str], path: &Path) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).arg(path).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn run(run: &mut Run) {
    let small = match Small::new(run) {
        Ok(small) => small,
        Err(error) => return run.history.violation(format!("can't create a small disk: {error}")),
    };
    let mut recipe = run.recipe();
    recipe.data_dir = small.0.join("data");
    let shape = Shape { bodies: Bodies::Mixed, pause: Duration::from_millis(5), ..Shape::random(&mut run.random) };
    let load = Load::start(&run.history, &shape, &mut run.random);
    for _ in 0..run.cycles {
        let Some((mut daemon, mut address)) = run.must_start(&recipe, "a full disk") else { break };
        run.audit(address);
        load.resume(address);
        std::thread::sleep(Duration::from_millis(run.random.u64(..300)));
        let left = [0, 0, 20, 47][run.random.usize(..4)] * MIB;
        small.fill(left);
        if !wait(|| daemon.ended().is_some() || refuses(address)) {
            run.history.violation("the disk is full, but writes are not refused");
        }
        load.pause();
        let read = if daemon.log().contains("dantok::server: stopping") {
            Err("it is stopping".to_owned())
        } else {
            run.count("full disks on which writes were refused");
            read_all(run, address)
        };
        if let Err(error) = &read {
            run.count("full disks after which the daemon exited");
            fails_honestly(run, &mut daemon, error);
        }
        if read.is_err() || run.random.bool() {
            run.count("restarts on the full disk");
            daemon.kill_and_wait();
            match run.must_start(&recipe, "a restart on a full disk") {
                Some(up) => (daemon, address) = up,
                None => break,
            }
            if let Err(error) = read_all(run, address) {
                run.history.violation(format!("after a restart on the full disk: {error}"));
            }
        }
        if std::fs::remove_file(small.filler()).is_err() {
            run.history.violation("can't free the space again");
        }
        if !wait(|| daemon.ended().is_some() || !refuses(address)) {
            run.history.violation("space was freed, but writes are still refused");
        }
        // A write from before the space was freed may fail only now, even behind a probe that was accepted.
        if run.try_audit(address) {
            run.count("recoveries without a restart");
        } else {
            run.count("recoveries with a restart");
            fails_honestly(run, &mut daemon, "an audit failed");
            match run.must_start(&recipe, "a restart with space again") {
                Some(up) => (daemon, address) = up,
                None => break,
            }
            run.audit(address);
        }
        end(run, daemon);
        if !run.is_intact() {
            break;
        }
    }
    if run.is_intact()
        && let Some((daemon, address)) = run.must_start(&recipe, "a full disk")
    {
        run.audit(address);
        run.must_end(daemon);
        run.must_check(&recipe);
    }
    load.stop(&run.history);
}

/// A daemon that can't write exits by itself, with the status of a failure. `seen` is what told that it can't.
fn fails_honestly(run: &Run, daemon: &mut Daemon, seen: &str) {
    if daemon.wait_end(DEADLINE).and_then(|status| status.code()) != Some(1) {
        run.history.violation(format!("{seen}, not an honest failure: {:?}\n{}", daemon.ended(), daemon.log()));
    }
}

fn end(run: &mut Run, mut daemon: Daemon) {
    if run.random.bool() {
        daemon.kill_and_wait();
    } else {
        daemon.terminate();
    }
}

fn wait(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > DEADLINE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Whether a write is refused.
fn refuses(address: SocketAddr) -> bool {
    let asked = Wire::hello(address, "probe").and_then(|mut wire| {
        let joined = wire.ask("JOIN probe")?;
        if joined.starts_with("ERR storage ") { Ok(joined) } else { wire.ask("SEND probe is there room?") }
    });
    asked.is_ok_and(|answer| ok(&answer).is_none())
}

/// Reads what is stored, which works on a full disk too.
fn read_all(run: &Run, address: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::hello(address, "audit").map_err(|error| format!("no connection: {error}"))?;
    for room in ROOMS {
        let wrong = |error: &dyn std::fmt::Display| format!("{room} can't be read: {error}");
        let (items, end) = fetch_all(&mut wire, room).map_err(|error| wrong(&error))?;
        if !end.starts_with("END ") {
            return Err(wrong(&end));
        }
        let mut after = 0;
        for item in &items {
            after = run.history.handed("audit", after, item);
        }
    }
    Ok(())
}
