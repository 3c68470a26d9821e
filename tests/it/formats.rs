//! Data directories of every format and released version, as their daemons left them: the current daemon opens each
//! with all its data. `tests/data/README.md` explains how they are made.

mod fill;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::fixture::{Fixture, current, dantok, data, files, format_of};
use crate::common::{Daemon, binary, copy_dir, has_tool};

/// Some are older than any retention, where they were made in the same boot of the machine.
const FLAGS: [&str; 2] = ["--retention", "3650days"];

#[test]
fn each_format_and_each_release_is_kept() {
    let kept = Fixture::all();
    for format in 1..=current() {
        assert!(
            kept.iter().any(|fixture| fixture.format == format),
            "no data directory of format {format} in tests/data"
        );
    }
    let changelog = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md")).unwrap();
    let releases = changelog.lines().filter_map(|line| Some(line.strip_prefix("## [")?.split_once(']')?.0));
    for release in releases.filter(|release| *release != "Unreleased") {
        assert!(
            kept.iter().any(|fixture| fixture.version == release),
            "no data directory of version {release} in tests/data; its README.md tells how one is made"
        );
    }
}

#[test]
fn each_directory_opens_with_all_its_data_and_stays_usable() {
    let newest = current();
    for fixture in Fixture::all() {
        let name = fixture.path.display();
        let dir = fixture.unpack();
        let data = dir.path().join("data");
        let before = files(&data);
        // Looked at first, as a careful operator does: nothing is damaged, and nothing is changed by it.
        let (code, printed) = dantok(&["check"], &data);
        assert_eq!(code, Some(0), "{name}: {printed}");
        let remark = format!("of format {}; a start upgrades it to {newest}", fixture.format);
        assert_eq!(printed.contains(&remark), fixture.format < newest, "{name}: {printed}");
        let mut after = files(&data);
        after.remove(Path::new("dantok.lock"));
        assert!(after == before, "{name}: a check changed it");

        let mut daemon = Daemon::start_in(dir, &FLAGS);
        assert_eq!(fill::answers_to(&daemon, &fixture.answers()), fixture.answers(), "{name}");
        assert_eq!(format_of(&data), newest);
        let kept = data.join(format!("before-format-{newest}"));
        assert_eq!(kept.exists(), fixture.format < newest, "{name}");
        if kept.exists() {
            // What the version before would find there.
            assert!(files(&kept) == before, "{name}: not all is kept");
            assert!(daemon.log().contains("before-format-") && daemon.log().contains("to go back"), "{name}");
        }
        goes_on(&mut daemon, &fixture);
        assert!(daemon.terminate().success());
        let (code, printed) = dantok(&["check"], &data);
        assert_eq!(code, Some(0), "{name}: {printed}");
        assert!(!data.join("MIGRATING").exists());
    }
}

/// Writes, over restarts and kills.
fn goes_on(daemon: &mut Daemon, fixture: &Fixture) {
    let name = fixture.path.display();
    let mut alice = daemon.lines("alice");
    let joined = alice.ask("JOIN lobby").remove(0);
    let last = joined.split(' ').find_map(|word| word.strip_prefix("last=")).unwrap();
    let last: u64 = last.parse().unwrap();
    for n in 1..=20 {
        alice.expect(&format!("SEND id=new-{n} lobby new {n}"), &format!("OK {}", last + n));
    }
    // Of the old ones, too.
    alice.expect("REDACT lobby 5", &format!("OK {}", last + 21));
    alice.expect("ACK lobby 14", "OK 14");
    let told = alice.ask("FETCH lobby after=0");
    assert!(told[4].contains(&format!(" redacted={} ", last + 21)), "{name}: {}", told[4]);
    for stop in [false, true] {
        if stop {
            assert!(daemon.terminate().success());
        } else {
            daemon.kill();
        }
        daemon.start_again();
        let mut alice = daemon.lines("alice");
        assert_eq!(alice.ask("FETCH lobby after=0"), told, "{name}");
        alice.expect("SEND id=new-7 lobby new 7", &format!("OK {} dup", last + 7));
        alice.expect("JOIN lobby", &format!("OK cursor=14 last={}", last + 21));
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let mut daemon = Daemon::start();
    assert!(daemon.terminate().success());
    let data = daemon.data_dir();
    std::fs::write(data.join("FORMAT"), "99\n").unwrap();
    let before = files(&data);
    let (status, printed) = daemon.try_start();
    assert_eq!(status.code(), Some(2));
    assert!(printed.contains("has format \"99\"") && printed.contains("use the version that wrote it"), "{printed}");
    assert!(printed.contains("before-format-99"), "{printed}");
    assert!(files(&data) == before);
    assert_eq!(dantok(&["check"], &data).0, Some(1));
}

/// Starts a daemon that is killed at the nth of a system call; false where it got as far as being ready.
fn killed_at(call: &str, nth: u32, data_dir: &Path) -> bool {
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={call}:signal=KILL:when={nth}"),
        ])
        .arg(binary())
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir)
        .args(FLAGS)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = std::io::BufReader::new(strace.stderr.take().unwrap());
    // The pipe ends with the process.
    let ready = std::io::BufRead::lines(log).any(|line| line.unwrap().contains("ready"));
    if ready {
        // The daemon dies with the last that traces it no more, or by its own signal.
        let _ = strace.kill();
    }
    let status = strace.wait().unwrap();
    assert!(ready || status.signal() == Some(9) || status.code() == Some(137), "{call} {nth}: {status:?}");
    !ready
}

#[test]
fn an_upgrade_that_is_killed_anywhere_leaves_the_old_or_the_new() {
    if !has_tool("strace") {
        return;
    }
    let newest = current();
    let fixture = Fixture::all().remove(0);
    assert!(fixture.format < newest);
    let original = fixture.unpack();
    let before = files(&original.path().join("data"));
    let mut kills = 0;
    for call in ["mkdir", "copy_file_range", "fsync", "rename", "unlink"] {
        for nth in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let data = dir.path().join("data");
            copy_dir(&original.path().join("data"), &data);
            if !killed_at(call, nth, &data) {
                break;
            }
            kills += 1;
            let is_new = format_of(&data) == newest;
            if !is_new {
                // No byte that the previous version reads has changed.
                let after = files(&data);
                before
                    .iter()
                    .for_each(|(path, bytes)| assert!(after[path] == *bytes, "{call} {nth}: {}", path.display()));
            }
            let daemon = Daemon::start_in(dir, &FLAGS);
            assert_eq!(fill::answers_to(&daemon, &fixture.answers()), fixture.answers(), "{call} {nth}");
            assert!(files(&data.join(format!("before-format-{newest}"))) == before, "{call} {nth}");
            if is_new {
                // After the upgrade, it is a normal start.
                break;
            }
        }
    }
    eprintln!("{kills} kills");
    assert!(kills > 10, "{kills}");
}

/// Makes the fixture of this version; see `tests/data/README.md`.
#[test]
#[ignore = "for a release"]
fn make() {
    let mut daemon = Daemon::start();
    fill::first(&daemon);
    assert!(daemon.terminate().success());
    daemon.start_again();
    fill::second(&daemon);
    let answers = fill::answers(&daemon);
    daemon.kill();
    let data_dir = daemon.data_dir();
    let version = std::env::var("DANTOK_FIXTURE_VERSION").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned());
    let name = format!("format-{}-{version}", format_of(&data_dir));
    // All of these are made again by any start, and the ballast is only air. Not every version has each.
    for file in ["dantok.lock", "ballast", "control.sock"] {
        let _ = std::fs::remove_file(data_dir.join(file));
    }
    let file = std::fs::File::create(data().join(format!("{name}.tar.gz"))).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::best()));
    archive.mode(tar::HeaderMode::Deterministic);
    archive.append_dir_all("data", &data_dir).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    std::fs::write(data().join(format!("{name}.answers")), &answers).unwrap();
    eprintln!("made {name} in tests/data; look at {name}.answers, and add both to git");
}
