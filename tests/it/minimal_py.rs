//! The Python example, written from protocol.md alone, against the real daemon.

use std::process::Command;

use crate::common::{Daemon, has_tool};

fn run(daemon: &Daemon, arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/minimal.py");
    let output =
        Command::new("python3").arg(script).arg(daemon.address().to_string()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn python_joins_sends_fetches_and_acknowledges() {
    if !has_tool("python3") {
        return;
    }
    let daemon = Daemon::start();
    assert_eq!(run(&daemon, &["alice", "단톡", "hello", "안녕"]), "1 alice hello\n2 alice 안녕\n");
    assert_eq!(run(&daemon, &["alice", "단톡", "third"]), "3 alice third\n");
    assert_eq!(run(&daemon, &["bob/py", "단톡"]), "1 alice hello\n2 alice 안녕\n3 alice third\n");
    assert_eq!(run(&daemon, &["bob/py", "단톡"]), "");
}
