//! SIGHUP: which settings change while the daemon runs, and which do not.

use std::path::PathBuf;

use crate::common::{Daemon, Frames, Lines, wait_until};
use dantok_protocol::{Begin, Command, Reply, commands};

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
            ["SIGHUP: done", "everything stays as it was"].iter().any(|end| self.daemon.log()[before..].contains(end))
        });
        self.daemon.log()[before..].to_owned()
    }
}

#[test]
fn limits_and_retention_change_for_existing_connections() {
    let mut configured = Configured::start("max-rooms = 1\nmax-room-retention = \"30days\"");
    let mut alice = configured.daemon.lines("alice");
    alice.expect("JOIN one", "OK cursor=0 last=0");
    alice.expect("JOIN two", "ERR limit at most 1 rooms");
    let printed =
        configured.reload("max-rooms = 2\nmax-requests-per-second = 1000\nretention = \"48h\"\nmax-body = 1000");
    for change in ["max-rooms is now 2; it was 1", "max-requests-per-second is now 1000", "retention is now \"2days\""]
    {
        assert!(printed.contains(change), "{printed}");
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
fn the_log_filter_changes() {
    let mut configured = Configured::start("log = \"info\"");
    configured.daemon.lines("alice");
    assert!(!configured.daemon.log().contains("DEBUG"));
    configured.reload("log = \"debug\"");
    drop(configured.daemon.lines("alice"));
    wait_until("more is logged", || configured.daemon.log().contains("DEBUG"));
}

#[test]
fn an_invalid_configuration_changes_nothing() {
    let mut configured = Configured::start("max-rooms = 1");
    for wrong in
        ["max-rooms = 2\nmax-body = 0", "max-rooms = 2\nmax-room = 3", "max-rooms = 2\nretention = \"1h\"", "="]
    {
        let printed = configured.reload(wrong);
        assert!(printed.contains("ERROR") && printed.contains("everything stays as it was"), "{printed}");
    }
    let mut alice = configured.daemon.lines("alice");
    alice.expect("JOIN one", "OK cursor=0 last=0");
    alice.expect("JOIN two", "ERR limit at most 1 rooms");
}

#[test]
fn settings_that_need_a_restart_are_named() {
    let mut configured = Configured::start("");
    let printed = configured.reload("log-format = \"json\"\ntokens = \"elsewhere.toml\"\nmax-rooms = 5");
    assert!(printed.contains("log-format stays \"text\" until the daemon is restarted"), "{printed}");
    assert!(printed.contains("tokens stays") && printed.contains("max-rooms is now 5"), "{printed}");
    // And again, until it is.
    assert!(configured.reload("log-format = \"json\"").contains("log-format stays"));
    configured.daemon.lines("alice").expect("PING", "OK pong");
}

/// What those who are connected may do, in lines and frames.
struct Connected {
    lines: Lines,
    frames: Frames,
}

impl Connected {
    /// Asks the same in both, for rooms of their own; whether each was granted.
    fn are_granted(&mut self, ask: impl Fn(&'static str) -> (String, Command)) -> [bool; 2] {
        let answer = self.lines.ask(&ask("l").0);
        let by_lines = answer.last().is_some_and(|end| !end.starts_with("ERR "));
        let by_frames = !matches!(self.frames.ask(ask("f").1).1, Reply::Error(_));
        [by_lines, by_frames]
    }
}

/// Each limit, low, high and low again, for those who were there before.
#[test]
fn each_limit_changes_for_existing_connections_up_and_down() {
    let join = |name: &'static str| {
        move |of: &'static str| {
            let room = format!("{name}{of}");
            (format!("JOIN {room}"), Command::Join(commands::Join { room, from: Begin::Start }))
        }
    };
    let text = |bytes: usize| {
        move |of: &'static str| {
            let (room, body) = (format!("a{of}"), "x".repeat(bytes));
            let line = format!("SEND {room} {body}");
            (line, Command::Send(commands::Send { room, id: None, body: body.into(), reply: None }))
        }
    };
    let retain = |days: u64| {
        move |of: &'static str| {
            let room = format!("a{of}");
            let secs = Some(days * 86_400);
            (format!("RETAIN {room} {days}d"), Command::Retain(commands::Retain { room, secs, cap_bytes: None }))
        }
    };
    let mut configured = Configured::start("");
    let mut there = Connected { lines: configured.daemon.lines("l"), frames: configured.daemon.frames("f") };
    assert_eq!(there.are_granted(join("a")), [true, true]);
    for round in 0..2 {
        for (low, high, most) in [(1000, "max-body = \"1MiB\"", 1_000_000), (10, "", 60_000)] {
            configured.reload(&format!("max-body = {low}"));
            assert_eq!(there.are_granted(text(low + 1)), [false, false], "{low}");
            assert_eq!(there.are_granted(text(low)), [true, true], "{low}");
            configured.reload(high);
            assert_eq!(there.are_granted(text(most)), [true, true], "{high}");
        }
        configured.reload("max-room-retention = \"2days\"");
        assert_eq!(there.are_granted(retain(3)), [false, false]);
        configured.reload("");
        assert_eq!(there.are_granted(retain(3 + round)), [true, true]);
        let (first, second) = (["b", "d"], ["c", "e"]);
        let at = usize::try_from(round).unwrap();
        configured.reload("max-joined-rooms = 1");
        assert_eq!(there.are_granted(join(first[at])), [false, false]);
        configured.reload("");
        assert_eq!(there.are_granted(join(first[at])), [true, true]);
        configured.reload("max-rooms = 2");
        assert_eq!(there.are_granted(join(second[at])), [false, false]);
        configured.reload("");
        assert_eq!(there.are_granted(join(second[at])), [true, true]);
    }
}

/// Who is there counts, since when ever it is limited.
#[test]
fn existing_connections_count_towards_a_new_limit() {
    let mut configured = Configured::start("");
    let first = configured.daemon.lines("alice");
    let is_turned_away = |daemon: &Daemon| Lines::connect(daemon.address()).ask("PING")[0].starts_with("ERR limit ");
    for limit in ["max-connections-per-address = 1", "max-connections = 1"] {
        configured.reload(limit);
        assert!(is_turned_away(&configured.daemon), "{limit}");
        configured.reload("");
        assert!(!is_turned_away(&configured.daemon), "{limit}");
    }
    drop(first);
}

/// A filter that would log nothing leaves the one that there was.
#[test]
fn an_invalid_log_filter_leaves_the_old_one() {
    let mut configured = Configured::start("log = \"info\"");
    for wrong in ["warning", "verbose", "", "dantok=loud", "info,"] {
        let printed = configured.reload(&format!("log = \"{wrong}\""));
        assert!(
            printed.contains("line 1: log takes error, warn") && printed.contains("everything stays as it was"),
            "{printed}"
        );
    }
    assert!(configured.reload("log = \"info\"").contains("has not changed"));
}

/// Also before HELLO.
#[test]
fn a_new_connection_gets_the_current_limits() {
    let mut configured = Configured::start("");
    let mut stranger = Lines::connect(configured.daemon.address());
    stranger.expect("PING", "OK pong");
    configured.reload("max-requests-per-second = 10");
    stranger.send_bytes("PING\n".repeat(500).as_bytes());
    assert!((0..500).any(|_| stranger.answer()[0].starts_with("ERR limit ")));
}
