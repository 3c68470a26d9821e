//! The Python examples, written from protocol.md alone, against the real daemon.

use std::path::Path;
use std::process::Command;

use crate::common::{Daemon, has_tool};

fn run(script: &str, daemon: &Daemon, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(script);
    let output =
        Command::new("python3").arg(script).arg(daemon.address().to_string()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn joins_sends_fetches_and_acknowledges(script: &str) {
    if !has_tool("python3") {
        return;
    }
    let daemon = Daemon::start();
    let run = |arguments: &[&str]| run(script, &daemon, arguments);
    assert_eq!(run(&["alice", "단톡", "hello", "안녕"]), "1 alice hello\n2 alice 안녕\n");
    assert_eq!(run(&["alice", "단톡", "a\n\"b\""]), "3 alice a\\n\"b\"\n");
    assert_eq!(run(&["bob/py", "단톡"]), "1 alice hello\n2 alice 안녕\n3 alice a\\n\"b\"\n");
    assert_eq!(run(&["bob/py", "단톡"]), "");
}

#[test]
fn python_speaks_frames() {
    joins_sends_fetches_and_acknowledges("minimal.py");
}

#[test]
fn python_speaks_json() {
    joins_sends_fetches_and_acknowledges("minimal_json.py");
}
