//! A short run of each schedule on fixed seeds. docs/reliability.md describes the full runs.
//!
//! A schedule that lacks something it needs says so and is skipped. With CI=true, a missing program is a failure
//! instead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../tests/it/common/build.rs"]
mod build;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The daemon, built from the current sources.
fn daemon() -> &'static Path {
    static DAEMON: OnceLock<PathBuf> = OnceLock::new();
    DAEMON.get_or_init(|| {
        let dir = Path::new(env!("CARGO_BIN_EXE_dantok-torture")).parent().expect("an executable is in a directory");
        build::build("dantok", &Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), dir);
        dir.join("dantok")
    })
}

#[track_caller]
fn passes(schedule: &str, seed: u64, runs: u64, cycles: u64) {
    sound_with(&[], schedule, seed, runs, cycles);
}

/// The same, with clients on the web that did send.
#[track_caller]
fn passes_with_web(schedule: &str, seed: u64, runs: u64, cycles: u64) {
    let printed = sound_with(&[], schedule, seed, runs, cycles);
    if printed.contains("SKIPPED") {
        return;
    }
    for what in ["of them over a WebSocket", "of them over HTTP"] {
        let count = printed.lines().find_map(|line| line.strip_suffix(what)?.trim().parse().ok());
        assert!(count.is_some_and(|count: u64| count > 0), "{schedule}: {count:?} {what}");
    }
}

#[track_caller]
fn sound_with(more: &[&str], schedule: &str, seed: u64, runs: u64, cycles: u64) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok-torture"));
    command.arg("--dantok").arg(daemon()).args(more);
    for (name, value) in [("--seed", seed), ("--runs", runs), ("--cycles", cycles)] {
        command.args([name, &value.to_string()]);
    }
    let output = command.arg("--stop").arg(schedule).output().expect("dantok-torture can be run");
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    println!("{printed}");
    assert!(output.status.success(), "{schedule}: {}", output.status);
    printed
}

#[test]
fn kill() {
    passes_with_web("kill", 1, 3, 8);
}

#[test]
fn power() {
    passes_with_web("power", 1, 4, 6);
}

#[test]
fn points() {
    passes("points", 1, 1, 20);
}

#[test]
fn races() {
    passes("races", 1, 1, 4);
}

#[test]
fn write_error() {
    passes("write-error", 1, 2, 3);
}

#[test]
fn sync_error() {
    passes("sync-error", 1, 3, 3);
}

#[test]
fn sync_kill() {
    passes("sync-kill", 1, 3, 4);
}

#[test]
fn read_error() {
    passes("read-error", 1, 1, 3);
}

#[test]
fn start_error() {
    passes("start-error", 1, 3, 8);
}

#[test]
fn full() {
    passes("full", 1, 2, 2);
}

#[test]
fn rest() {
    passes("rest", 1, 2, 6);
}

#[test]
fn upgrade() {
    passes("upgrade", 1, 1, 2);
}

#[test]
fn clock() {
    passes("clock", 1, 2, 4);
}

#[test]
fn reboot() {
    passes("reboot", 4, 1, 6);
}

#[test]
fn network() {
    passes_with_web("network", 1, 1, 4);
}

#[test]
fn idle() {
    passes("idle", 1, 1, 1000);
}

#[test]
fn silent() {
    passes("silent", 1, 1, 300);
}

#[test]
fn lengths() {
    passes("lengths", 1, 1, 300);
}

#[test]
fn slow() {
    passes("slow", 1, 1, 100_000);
}

#[test]
fn rooms() {
    passes("rooms", 1, 1, 10_000);
}

#[test]
fn soak() {
    sound_with(&["--retention", "2", "--loose"], "soak", 1, 1, 20);
}

#[test]
fn soak_restarts() {
    sound_with(&["--retention", "2", "--loose"], "soak-restarts", 1, 1, 8);
}

#[test]
fn soak_power() {
    sound_with(&["--retention", "2"], "soak-power", 1, 1, 2);
}
