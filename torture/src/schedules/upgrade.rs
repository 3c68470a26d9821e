//! Power cuts while a data directory is upgraded from format 1 to the daemon's own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::power::mounted;
use super::{Need, Run, Schedule};
use crate::daemon::{NotUp, Recipe};
use crate::disk::Mount;
use crate::wire::Wire;

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "upgrade",
    about: "Power cuts while a data directory is upgraded from format 1 to the daemon's own",
    needs: &[Need::Fuse],
    cycles: 10,
    run,
};

/// A data directory as a daemon of format 1 left it, and what that daemon answered.
const OLD: &[u8] = include_bytes!("../../../tests/data/format-1-unreleased.tar.gz");
const ANSWERS: &str = include_str!("../../../tests/data/format-1-unreleased.answers");
/// Questions that are still answered in the same words.
const SAME: [&str; 2] = ["FETCH ", "JOIN "];
/// Disk operations during the upgrade; most of them are the copy.
const OPERATIONS: u64 = 600;
/// The interesting part starts here: the copy is about to be marked complete.
const NEARLY_DONE: &str = "before-format-2/FORMAT.new";

fn run(run: &mut Run) {
    for n in 0..run.cycles {
        if let Err(error) = cycle(run) {
            run.history.violation(format!("upgrade {n}: {error}"));
        }
        let _ = std::fs::remove_dir_all(run.dir.join("disk"));
        if !run.is_intact() {
            break;
        }
    }
}

fn cycle(run: &mut Run) -> io::Result<()> {
    let Some((mount, mut recipe)) = mounted(run, "disk", 1 << 40) else { return Ok(()) };
    // The messages are older than any retention.
    recipe.flags.extend(["--retention", "3650days"].map(str::to_owned));
    let data = recipe.data_dir.clone();
    let archive = flate2::read::GzDecoder::new(OLD);
    tar::Archive::new(archive).unpack(mount.path())?;
    sync(mount.path())?;
    let before = files(&data)?;
    // Once, or again while the upgrade resumes.
    for _ in 0..run.random.u8(1..=3) {
        cut(run, &mount, &recipe);
        judge(run, &data, &before)?;
    }
    mount.set_slow(Duration::ZERO);
    let Some((daemon, address)) = run.must_start(&recipe, "a power cut in an upgrade") else { return Ok(()) };
    let wrong = ask(address)?;
    if let Some(wrong) = wrong {
        run.history.violation(format!("after an upgrade interrupted by a power cut: {wrong}"));
    }
    if files(&data.join("before-format-2"))? != before {
        run.history.violation("the state before the upgrade was not kept completely");
    }
    run.must_end(daemon);
    run.must_check(&recipe);
    Ok(())
}

/// Starts a daemon and cuts its power.
fn cut(run: &mut Run, mount: &Mount, recipe: &Recipe) {
    mount.set_slow(Duration::from_micros([500, 4000][run.random.usize(..2)]));
    let late = run.random.u8(..3) > 0;
    let after = run.random.u64(1..=if late { 25 } else { OPERATIONS });
    if !late {
        mount.disk(|disk| disk.cut_after(after));
    }
    let mut daemon = recipe.spawn();
    let start = Instant::now();
    while late && start.elapsed() < Duration::from_secs(10) {
        let is_new = || std::fs::read_to_string(recipe.data_dir.join("FORMAT")).is_ok_and(|format| format != "1\n");
        if recipe.data_dir.join(NEARLY_DONE).exists() || is_new() {
            mount.disk(|disk| disk.cut_after(after));
            break;
        }
    }
    match daemon.wait_up(|| mount.disk(|disk| disk.is_cut())) {
        Err(NotUp::GivenUp) => run.count("power cuts during an upgrade"),
        Ok(_) => run.count("power cuts right after an upgrade"),
        Err(NotUp::Hangs(log)) => run.history.violation(format!("the daemon hangs while it upgrades\n{log}")),
        Err(NotUp::Ended(status, log)) => run.history.violation(format!("the upgrade exited with {status}\n{log}")),
    }
    run.cut_power(mount, daemon);
}

/// The directory is as the old version left it, or it is upgraded and has the old state beside it.
fn judge(run: &mut Run, data: &Path, before: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    let (format, kept) = (std::fs::read_to_string(data.join("FORMAT"))?, data.join("before-format-2"));
    match &*format {
        "1\n" => {
            let now = files(data)?;
            if let Some((path, _)) = before.iter().find(|(path, bytes)| now.get(*path) != Some(bytes)) {
                run.history.violation(format!("{} is not as the old version left it", path.display()));
            }
            run.count("directories left as the old version had them");
        }
        "2\n" => run.count("left upgraded"),
        other => run.history.violation(format!("the format is {other:?}")),
    }
    if format != "1\n" || kept.join("FORMAT").exists() {
        let mut copy = files(&kept)?;
        // The next start removes it.
        copy.remove(Path::new("COPYING"));
        if copy != *before {
            run.history.violation("the state before the upgrade was not kept completely");
        }
    }
    Ok(())
}

/// The first answer that differs from the old daemon's.
fn ask(address: std::net::SocketAddr) -> io::Result<Option<String>> {
    let mut lines = ANSWERS.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((client, question)) = line.split_once(": ").filter(|_| !line.starts_with(' ')) else { continue };
        if !SAME.iter().any(|verb| question.starts_with(verb)) {
            continue;
        }
        let mut wire = Wire::hello(address, client)?;
        wire.send(format!("{question}\n").as_bytes())?;
        while let Some(expected) = lines.next_if(|line| line.starts_with(' ')) {
            let (answer, expected) = (wire.line()?, expected.trim_start());
            // The sentence of an error may differ, and an OK may have more words by now.
            let is_longer = answer.strip_prefix(expected).is_some_and(|more| more.starts_with(' '));
            let same = answer == expected
                || expected.starts_with("ERR ") && answer.starts_with(expected)
                || expected.starts_with("OK ") && is_longer;
            if !same {
                return Ok(Some(format!("{client} asked {question} and was answered {answer} instead of {expected}")));
            }
        }
    }
    Ok(None)
}

/// The files below a directory and their contents.
fn files(dir: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        for entry in std::fs::read_dir(&at)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            } else if entry.file_type()?.is_file() {
                let path = entry.path();
                found.insert(path.strip_prefix(dir).unwrap_or(&path).to_owned(), std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// Syncs a directory and everything below it.
fn sync(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { sync(&path)? } else { std::fs::File::open(&path)?.sync_all()? }
    }
    std::fs::File::open(dir)?.sync_all()
}
