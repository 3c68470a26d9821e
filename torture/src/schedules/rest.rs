//! Damage at rest: flipped bits, zeroed sectors and truncated files, while no daemon runs.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Run, Schedule, fetch_all};
use crate::daemon::{NotUp, Recipe};
use crate::load::{Load, ROOMS, Shape, field};
use crate::wire::Wire;

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "rest",
    about: "Bits flip, sectors are zeroed and files are truncated while the daemon is down",
    needs: &[],
    cycles: 6,
    run,
};

fn run(run: &mut Run) {
    let recipe = run.recipe();
    let shape = Shape::random(&mut run.random);
    let load = Load::start(&run.history, &shape, &mut run.random);
    // Some of it is in sled only, some in the journal as well.
    for _ in 0..run.random.u8(1..=3) {
        let Some((daemon, address)) = run.must_start(&recipe, "SIGTERM") else { break };
        run.audit(address);
        load.resume(address);
        std::thread::sleep(Duration::from_millis(run.random.u64(50..400)));
        load.pause();
        run.must_end(daemon);
    }
    if let Some((mut daemon, address)) = run.must_start(&recipe, "SIGTERM") {
        run.audit(address);
        if run.random.bool() {
            load.resume(address);
            std::thread::sleep(Duration::from_millis(run.random.u64(50..400)));
            load.pause();
            // Damage to the last commit can't be told from a power cut that tore it, so the loss of this message is
            // excused.
            let number = run.history.begin(ROOMS[0], "last", false, b"");
            run.history.excuse(number);
            let body = run.history.sent(number).body;
            let sent = Wire::hello(address, "last").and_then(|mut wire| {
                wire.ask(&format!("JOIN {}", ROOMS[0]))?;
                wire.ask(&format!("SEND {} {}", ROOMS[0], String::from_utf8_lossy(&body)))
            });
            if let Err(error) = sent {
                run.history.violation(format!("the last SEND: {error}"));
            }
            daemon.kill_and_wait();
        } else {
            run.must_end(daemon);
        }
    }
    load.stop(&run.history);
    for n in 0..run.cycles {
        let dir = run.dir.join(format!("damaged{n}"));
        if let Err(error) = copy(&recipe.data_dir, &dir.join("data")) {
            return run.history.violation(format!("can't copy the data directory: {error}"));
        }
        let mut damaged = Recipe::new(&run.program, &dir);
        damaged.log = dir.join("log");
        match damage(run, &damaged.data_dir) {
            Ok(what) => trial(run, &damaged, &what),
            Err(error) => run.history.violation(format!("can't damage a file: {error}")),
        }
        if !run.is_intact() {
            break;
        }
        let _ = std::fs::remove_dir_all(&dir);
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else if name != "ballast" && entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
            found.push(path);
        }
    }
}

/// Damages one file; returns which and how.
fn damage(run: &mut Run, dir: &Path) -> std::io::Result<String> {
    let mut all = Vec::new();
    files(dir, &mut all);
    let random = &mut run.random;
    // Half of the damage hits the files with messages.
    let db = dir.join("sled/db");
    let path = if random.bool() && db.exists() { db } else { all[random.usize(..all.len())].clone() };
    let bytes = std::fs::read(&path)?;
    let name = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
    // Zeros are mostly unused space.
    let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    let mut place = || {
        if used.is_empty() || random.u8(..5) == 0 {
            random.usize(..bytes.len())
        } else {
            used[random.usize(..used.len())]
        }
    };
    let file = File::options().write(true).open(&path)?;
    let at = place();
    let what = match random.u8(..4) {
        0 => {
            let end = (at + 512).min(bytes.len());
            file.write_all_at(&vec![0; end - at], at as u64)?;
            "zeroed sectors"
        }
        1 => {
            file.set_len(at as u64)?;
            "files truncated"
        }
        2 => {
            let garbage: Vec<u8> = (0..random.usize(1..64)).map(|_| random.u8(..)).collect();
            file.write_all_at(&garbage[..garbage.len().min(bytes.len() - at)], at as u64)?;
            "bytes overwritten"
        }
        _ => {
            file.write_all_at(&[bytes[at] ^ (1 << random.u8(..8))], at as u64)?;
            "flipped bits"
        }
    };
    let kind = if name.starts_with("journal") {
        "journal"
    } else if name == "sled/db" {
        "sled/db"
    } else {
        "others"
    };
    run.count(&format!("{what} in {kind}"));
    Ok(format!("{what} in {name} at byte {at}"))
}

fn trial(run: &mut Run, recipe: &Recipe, what: &str) {
    let (status, printed) = recipe.run("check");
    let is_intact = match status.code() {
        Some(0) => true,
        Some(1) => false,
        _ => return run.history.violation(format!("{what}: dantok check exited with {status}:\n{printed}")),
    };
    match recipe.start() {
        Ok((daemon, address)) => {
            let refused = look(run, address);
            match (refused, is_intact) {
                (Err(error), _) => run.history.violation(format!("{what}: {error}")),
                (Ok(Some(answer)), true) => {
                    run.history.violation(format!(
                        "{what}: a read was refused ({answer}), but a check found nothing:\n{printed}"
                    ));
                }
                (Ok(Some(_)), false) => run.count("damage refused at a read and reported by a check"),
                (Ok(None), true) => run.count("harmless damage"),
                (Ok(None), false) => run.count("damage reported by a check, with all messages intact"),
            }
            if !run.is_intact() {
                run.history
                    .violation(format!("with {what}; the check printed:\n{printed}\nthe daemon:\n{}", daemon.log()));
            }
        }
        Err(NotUp::Ended(status, log)) => {
            let path = recipe.data_dir.display().to_string();
            if !matches!(status.code(), Some(1 | 2)) || !log.contains(&path) {
                run.history.violation(format!(
                    "{what}: the daemon did not say which file when it failed to start: {status}\n{log}"
                ));
            } else if is_intact {
                run.history.violation(format!("{what}: a check found nothing, but the start did:\n{printed}\n{log}"));
            } else {
                run.count("damage refused at start and reported by a check");
            }
        }
        Err(NotUp::Hangs(log)) => run.history.violation(format!("the daemon hangs while it starts\n{log}")),
        Err(NotUp::GivenUp) => {}
    }
}

/// Checks that everything is as it was, or that a read is refused; returns the refusal.
fn look(run: &mut Run, address: SocketAddr) -> std::io::Result<Option<String>> {
    let mut wire = Wire::hello(address, "audit")?;
    for room in ROOMS {
        let answer = wire.ask(&format!("JOIN {room}"))?;
        let Some(last) = field(&answer, "last") else { return Ok(Some(answer)) };
        let (items, end) = fetch_all(&mut wire, room)?;
        if end.starts_with("ERR storage ") {
            return Ok(Some(end));
        }
        run.history.audit("audit", room, &items, last);
    }
    for (client, room) in run.history.cursors() {
        let mut wire = Wire::hello(address, &client)?;
        let answer = wire.ask(&format!("JOIN {room}"))?;
        match field(&answer, "cursor") {
            Some(cursor) => run.history.cursor_is(&client, &room, cursor),
            None => return Ok(Some(answer)),
        }
    }
    Ok(None)
}
