//! What the tests of `dantok backup` and `dantok restore` share.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{DEADLINE, Daemon};

/// `dantok` on a data directory, to be run.
pub fn dantok(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.args(args).arg("--data-dir").arg(data).env_clear().stdin(Stdio::null());
    command
}

/// What a command printed.
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command that succeeds, and returns what it printed.
pub fn run(data: &Path, args: &[&str]) -> String {
    let output = dantok(data, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", printed(&output));
    printed(&output)
}

/// Runs a command that fails, and returns what it printed.
pub fn fail(data: &Path, args: &[&str]) -> String {
    let mut child = dantok(data, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A daemon that should not start might otherwise serve for ever.
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > DEADLINE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    // 2 if only the operator can fix it: a daemon distinguishes the two.
    assert!(matches!(output.status.code(), Some(1 | 2)), "{args:?}: {}", printed(&output));
    printed(&output)
}

/// A path, as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The files in a directory, in order.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Restores into a new data directory, which `dantok check` finds intact, and starts a daemon on it.
pub fn restored(from: &Path) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    run(&data, &["restore", text(from)]);
    let checked = run(&data, &["check"]);
    assert!(checked.contains("is intact"), "{checked}");
    Daemon::start_in(dir, &[])
}

/// A daemon with one of everything.
pub fn furnished() -> Daemon {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice/phone");
    for (line, answer) in [
        ("CREATE lobby what is new", "OK"),
        ("JOIN lobby", "OK cursor=0 last=0"),
        ("NICK Alice", "OK"),
        ("SEND id=m1 lobby uno", "OK 1"),
        ("SEND reply=1 lobby two", "OK 2"),
        ("SEND lobby taken back", "OK 3"),
        ("REDACT lobby 3", "OK 4"),
        ("ACK lobby 2", "OK 2"),
        ("GROUP lobby w timeout=5s", "OK cursor=0 last=4 timeout=5s"),
        ("CREATE --private cellar", "OK"),
        ("JOIN cellar", "OK cursor=0 last=0"),
        ("INVITE cellar bob", "OK"),
        ("BAN lobby mallory", "OK"),
        ("RETAIN lobby 48h", "OK retention=172800s cap=none"),
    ] {
        let found = alice.ask(line).remove(0);
        assert!(found.starts_with(answer), "{line}: {found}");
    }
    assert!(alice.ask("TAKE lobby w 1")[0].starts_with("MSG lobby 1 "));
    alice.expect("DONE lobby w 1", "OK 1");
    daemon
}

/// What clients see of such a daemon.
pub fn seen(daemon: &Daemon) -> Vec<String> {
    let mut alice = daemon.lines("alice/phone");
    let asked = [
        "ROOMS",
        "JOIN lobby",
        "FETCH lobby after=0",
        "ACCESS lobby",
        "ACCESS cellar",
        "RETAIN lobby",
        "GROUP lobby w",
    ];
    let mut seen: Vec<String> = asked.iter().flat_map(|line| alice.ask(line)).collect();
    // How much is stored changes when what was redacted is erased, some time later.
    seen.iter_mut().for_each(|line| line.truncate(line.find(" stored=").unwrap_or(line.len())));
    seen.push(alice.ask("WHO lobby")[0].rsplit(' ').next().unwrap().to_owned());
    seen
}

/// Changes a bit of a byte.
pub fn flip(path: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}
