//! Notifications to a service manager and its watchdog.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::common::{DEADLINE, Daemon, inject};

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    _dir: tempfile::TempDir,
}

impl Manager {
    /// With a daemon whose watchdog is to be told of life in less than this time.
    fn start(watchdog: Duration) -> (Manager, Daemon) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let usec = watchdog.as_micros().to_string();
        let daemon = Daemon::start_as(
            tempfile::tempdir().unwrap(),
            &[],
            &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", &usec)],
        );
        (Manager { socket, _dir: dir }, daemon)
    }

    /// What it is told next, within a time.
    fn told(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    /// Waits for a line; returns all that came before it, with it.
    fn wait_for(&self, line: &str) -> String {
        let (start, mut all) = (Instant::now(), String::new());
        while !all.lines().any(|told| told == line) {
            assert!(start.elapsed() < DEADLINE, "never told {line}, but {all}");
            all += &self.told(DEADLINE).unwrap_or_default();
        }
        all
    }
}

#[test]
fn the_service_manager_is_notified_of_start_reload_and_stop() {
    let (manager, mut daemon) = Manager::start(Duration::from_secs(3600));
    let opening = manager.wait_for("READY=1");
    assert!(opening.contains("STATUS=opening the store\nEXTEND_TIMEOUT_USEC="), "{opening}");
    daemon.signal("HUP");
    let reload = manager.wait_for("READY=1");
    assert!(reload.contains("RELOADING=1\nMONOTONIC_USEC="), "{reload}");
    daemon.signal("TERM");
    manager.wait_for("STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn the_watchdog_is_notified_as_long_as_the_disk_responds() {
    let (manager, mut daemon) = Manager::start(Duration::from_secs(1));
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN r");
    // While there is nothing to commit, and while there is.
    for n in 1..=4 {
        manager.wait_for("WATCHDOG=1");
        if n > 2 {
            alice.expect(&format!("SEND r {n}"), &format!("OK {}", n - 2));
        }
    }
    // From here each fdatasync takes longer than the test.
    let Some(mut strace) = inject(&daemon, "fdatasync:delay_enter=600000000") else { return };
    let start = Instant::now();
    // One that was on its way may still come; with nobody sending it is the self-probe that hangs.
    while manager.told(Duration::from_secs(5)).is_some() {
        assert!(start.elapsed() < DEADLINE, "the watchdog is told of life while the disk hangs");
    }
    // All but the disk is well.
    alice.expect("PING", "OK pong");
    assert!(daemon.log().contains("no commit has completed for 500ms"), "{}", daemon.log());
    // Who is traced is not at its end before the tracer has let go of it.
    let _ = strace.kill();
    let _ = strace.wait();
    daemon.kill();
}
