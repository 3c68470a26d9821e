//! SIGHUP: what of the configuration changes while the daemon runs, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::PathBuf;

use common::{Daemon, wait_until};

struct Configured {
    daemon: Daemon,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Configured {
    fn start(text: &str) -> Configured {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dantok.toml");
        std::fs::write(&file, text).unwrap();
        let daemon = Daemon::start_with(&["--config", file.to_str().unwrap()]);
        Configured { daemon, file, _dir: dir }
    }

    /// Has another configuration read; returns what was said of it.
    fn reload(&mut self, text: &str) -> String {
        std::fs::write(&self.file, text).unwrap();
        let before = self.daemon.log().len();
        self.daemon.signal("HUP");
        wait_until("it is read", || {
            ["SIGHUP: done", "all goes on as it was"].iter().any(|end| self.daemon.log()[before..].contains(end))
        });
        self.daemon.log()[before..].to_owned()
    }
}

#[test]
fn limits_and_retention_change_for_those_who_are_there() {
    let mut configured = Configured::start("max-rooms = 1\nmax-room-retention = \"30days\"");
    let mut alice = configured.daemon.lines("alice");
    alice.expect("JOIN one", "OK cursor=0 last=0");
    alice.expect("JOIN two", "ERR limit at most 1 rooms");
    let said = configured.reload("max-rooms = 2\nmax-requests-per-second = 1000\nretention = \"48h\"\nmax-body = 1000");
    for change in ["max-rooms is now 2; it was 1", "max-requests-per-second is now 1000", "retention is now \"2days\""]
    {
        assert!(said.contains(change), "{said}");
    }
    alice.expect("JOIN two", "OK cursor=0 last=0");
    assert_eq!(alice.ask("RETAIN one")[0].split(' ').nth(1), Some("retention=172800s"));
    let welcome = configured.daemon.lines("bob").ask("HELLO bob").remove(0);
    assert!(welcome.contains("max-body=1000 ") && welcome.contains("retention=172800"), "{welcome}");
    // A flood finds the limit that came after its connection.
    let requests = "PING\n".repeat(5000);
    alice.send_bytes(requests.as_bytes());
    let refused = (0..5000).filter(|_| alice.answer()[0].starts_with("ERR limit wait=")).count();
    assert!(refused > 0, "5000 requests at once, of 1000 a second");
    configured.reload("max-rooms = 2");
    alice.send_bytes(requests.as_bytes());
    let refused = (0..5000).filter(|_| alice.answer()[0] != "OK pong").count();
    assert_eq!(refused, 0);
}

#[test]
fn what_is_logged_changes() {
    let mut configured = Configured::start("log = \"info\"");
    configured.daemon.lines("alice");
    assert!(!configured.daemon.log().contains("DEBUG"));
    configured.reload("log = \"debug\"");
    drop(configured.daemon.lines("alice"));
    wait_until("more is logged", || configured.daemon.log().contains("DEBUG"));
}

#[test]
fn a_configuration_that_is_none_changes_nothing() {
    let mut configured = Configured::start("max-rooms = 1");
    for wrong in
        ["max-rooms = 2\nmax-body = 0", "max-rooms = 2\nmax-room = 3", "max-rooms = 2\nretention = \"1h\"", "="]
    {
        let said = configured.reload(wrong);
        assert!(said.contains("ERROR") && said.contains("all goes on as it was"), "{said}");
    }
    let mut alice = configured.daemon.lines("alice");
    alice.expect("JOIN one", "OK cursor=0 last=0");
    alice.expect("JOIN two", "ERR limit at most 1 rooms");
}

#[test]
fn what_needs_a_start_is_named() {
    let mut configured = Configured::start("");
    let said = configured.reload("log-format = \"json\"\ntokens = \"elsewhere.toml\"\nmax-rooms = 5");
    assert!(said.contains("log-format stays \"text\" until the daemon is started again"), "{said}");
    assert!(said.contains("tokens stays") && said.contains("max-rooms is now 5"), "{said}");
    // And again, until it is.
    assert!(configured.reload("log-format = \"json\"").contains("log-format stays"));
    configured.daemon.lines("alice").expect("PING", "OK pong");
}
