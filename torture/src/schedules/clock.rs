//! Steps of the wall clock: days forward and back, while the daemon runs and while it is down.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Need, Run, Schedule, fetch_all};
use crate::daemon::Recipe;
use crate::load::{Load, ROOMS, Shape, ok};
use crate::wire::{Item, Wire};

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "clock",
    about: "The wall clock steps by days, forward and back, while the daemon runs and while it is down",
    needs: &[Need::Faketime],
    cycles: 6,
    run,
};

pub(super) const REBOOT: Schedule = Schedule {
    name: "reboot",
    about: "The machine reboots: another boot id or time namespace, another uptime, an arbitrary wall clock",
    needs: &[Need::Faketime, Need::Namespaces],
    cycles: 6,
    run: reboot,
};

/// Where Debian and other distributions install the library.
const LIBRARIES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];

/// The path of libfaketime, if it is installed.
pub(super) fn library() -> Option<PathBuf> {
    LIBRARIES.iter().map(PathBuf::from).find(|path| path.exists())
}

const STEPS: [&str; 7] = ["+30d", "-30d", "+400d", "+25h", "-25h", "-1h", "+0d"];

/// A daemon whose wall clock a file sets.
fn faked(run: &Run, setting: &Path) -> Recipe {
    let library = library().unwrap_or_default();
    let mut recipe = run.recipe();
    recipe.env = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", setting.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    recipe
}

fn run(run: &mut Run) {
    let setting = run.dir.join("clock");
    let recipe = faked(run, &setting);
    set(&setting, "+0d");
    let shape = Shape { pause: Duration::from_millis(5), ..Shape::random(&mut run.random) };
    let load = Load::start(&run.history, &shape, &mut run.random);
    let mut up = None;
    for _ in 0..run.cycles {
        let step = STEPS[run.random.usize(..STEPS.len())];
        let (mut daemon, address) = match up.take() {
            Some(running) => {
                run.count(&format!("clock set to {step} while it runs"));
                set(&setting, step);
                running
            }
            None => {
                run.count(&format!("clock set to {step} while it is down"));
                set(&setting, step);
                match run.must_start(&recipe, "a step of the clock") {
                    Some(started) => started,
                    None => break,
                }
            }
        };
        run.audit(address);
        load.resume(address);
        std::thread::sleep(Duration::from_millis(run.random.u64(50..400)));
        load.pause();
        run.audit(address);
        if run.random.bool() {
            up = Some((daemon, address));
        } else if run.random.bool() {
            daemon.kill_and_wait();
        } else {
            run.must_end(daemon);
        }
        if !run.is_intact() {
            break;
        }
    }
    drop(up);
    // The last step is forward: a daemon that believed it would drop everything.
    set(&setting, "+800d");
    if let Some((daemon, address)) = run.must_start(&recipe, "a step of the clock") {
        run.audit(address);
        load.resume(address);
        std::thread::sleep(Duration::from_millis(100));
        load.pause();
        run.audit(address);
        if !shows_the_step(run, address).unwrap_or(false) {
            run.history
                .violation("no message shows the time that the clock was set to: libfaketime has no effect here");
        }
        run.must_end(daemon);
    }
    load.stop(&run.history);
    run.must_check(&recipe);
}

fn reboot(run: &mut Run) {
    let setting = run.dir.join("clock");
    let mut recipe = faked(run, &setting);
    let shape = Shape { pause: Duration::from_millis(5), ..Shape::random(&mut run.random) };
    let load = Load::start(&run.history, &shape, &mut run.random);
    for _ in 0..run.cycles {
        let step = STEPS[run.random.usize(..STEPS.len())];
        set(&setting, step);
        if run.random.bool() {
            recipe.wrapper = namespace(run);
            run.count("time namespaces days ahead in the same boot");
        } else {
            match boot(run) {
                Ok(wrapper) => recipe.wrapper = wrapper,
                Err(error) => {
                    run.history.violation(format!("can't simulate a boot: {error}"));
                    break;
                }
            }
            run.count(&format!("boots with the clock at {step}"));
        }
        let Some((mut daemon, address)) = run.must_start(&recipe, "a reboot") else { break };
        run.audit(address);
        load.resume(address);
        std::thread::sleep(Duration::from_millis(run.random.u64(50..400)));
        load.pause();
        run.audit(address);
        if run.random.bool() {
            daemon.kill_and_wait();
        } else {
            run.must_end(daemon);
        }
        if !run.is_intact() {
            break;
        }
    }
    load.stop(&run.history);
    recipe.wrapper.clear();
    run.must_check(&recipe);
}

/// A command that runs a program as on a machine started less than an hour ago.
fn boot(run: &mut Run) -> std::io::Result<Vec<String>> {
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
    let since = run.random.u64(20..3600) as i64;
    let mut digits = || (0..4).map(|_| run.random.char('0'..='9')).collect::<String>();
    let id = format!(
        "{}{}-{}-4{}-{}-{}{}{}",
        digits(),
        digits(),
        digits(),
        &digits()[1..],
        digits(),
        digits(),
        digits(),
        digits()
    );
    let boot_id = run.dir.join(format!("boot-{id}"));
    std::fs::write(&boot_id, format!("{id}\n"))?;
    let within = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let offset = format!("{}", since - uptime as i64);
    let words =
        ["unshare", "--time", "--boottime", &offset, "--mount", "sh", "-c", within, &boot_id.display().to_string()];
    Ok(words.map(str::to_owned).to_vec())
}

/// A command that runs a program as if the machine had been up for days longer.
fn namespace(run: &mut Run) -> Vec<String> {
    let ahead = run.random.u64(2 * 86_400..20 * 86_400).to_string();
    ["unshare", "--time", "--boottime", &ahead].map(str::to_owned).to_vec()
}

fn set(setting: &Path, step: &str) {
    // Replaced atomically, so that no partial file is read.
    let new = setting.with_extension("new");
    std::fs::write(&new, format!("{step}\n"))
        .and_then(|()| std::fs::rename(&new, setting))
        .expect("a file can be written");
}

/// Whether a new message has a later year than the real clock: the step was 800 days.
fn shows_the_step(run: &Run, address: std::net::SocketAddr) -> std::io::Result<bool> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let year = 1970 + now / 31_557_600;
    let number = run.history.begin(ROOMS[0], "audit", false, b"what time is it?");
    let body = run.history.sent(number).body;
    let mut wire = Wire::hello(address, "audit")?;
    let answer = wire.ask(&format!("SEND {} {}", ROOMS[0], String::from_utf8_lossy(&body)))?;
    let Some((seq, repeated)) = ok(&answer) else { return Err(std::io::Error::other(answer)) };
    run.history.acked(number, seq, repeated);
    let (items, _) = fetch_all(&mut wire, ROOMS[0])?;
    let shown = items.last().and_then(|item| match item {
        Item::Message(message) => message.time.get(..4)?.parse::<u64>().ok(),
        Item::Gap { .. } => None,
    });
    Ok(shown.is_some_and(|shown| shown > year + 1))
}
