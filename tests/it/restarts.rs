//! Restarts under load by a supervisor that keeps the sockets: no client is refused, and nothing is lost.
//!
//! The supervisor here speaks systemd's protocols (`LISTEN_FDS`, `NOTIFY_SOCKET`, `WATCHDOG_USEC`) and needs only
//! cargo; `tests/system/booted.rs` does the same under systemd itself.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::restarts::under_restarts;
use crate::common::stall::Stall;
use crate::common::{Lines, has_tool, wait_until};
use socket2::{Domain, Socket, Type};

const RESTARTS: usize = 200;
/// How long a daemon may be silent in the test that has it hang.
const WATCHDOG: Duration = Duration::from_secs(1);

/// What systemd is to the daemon.
struct Supervisor {
    socket: Socket,
    dir: tempfile::TempDir,
    /// What the daemons have told, a state a line, and when.
    told: Arc<Mutex<Vec<(Instant, String)>>>,
    watchdog: Duration,
    child: Child,
}

impl Supervisor {
    /// Listens, and starts a daemon, which has so long to show that it lives; 0 is for ever.
    fn start(watchdog: Duration) -> Supervisor {
        let dir = tempfile::tempdir().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(4096).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (notified, telling) = (UnixDatagram::bind(dir.path().join("notify")).unwrap(), told.clone());
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = notified.recv(&mut message) {
                let message = String::from_utf8_lossy(&message[..length]);
                telling.lock().unwrap().extend(message.lines().map(|line| (Instant::now(), line.to_owned())));
            }
        });
        let child = spawn(&dir, &socket, watchdog);
        Supervisor { socket, dir, told, watchdog, child }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }

    /// Another daemon on the same socket, once the last one has ended by this signal.
    fn restart(&mut self, signal: rustix::process::Signal) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        assert!(signal != rustix::process::Signal::TERM || status.success(), "{status}\n{}", self.log());
        self.child = spawn(&self.dir, &self.socket, self.watchdog);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// How often this was told.
    fn told(&self, state: &str) -> usize {
        self.told.lock().unwrap().iter().filter(|(_, told)| told == state).count()
    }

    /// How long it is since the daemon said that it lives.
    fn silence(&self) -> Duration {
        let told = self.told.lock().unwrap();
        told.iter().rev().find(|(_, told)| told == "WATCHDOG=1").map_or(Duration::MAX, |(when, _)| when.elapsed())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(10_000);
            eprintln!("the end of the daemons' log:\n{}", log.get(from..).unwrap_or(&log));
        }
    }
}

/// A daemon that has the socket as its third descriptor. A shell says whose that is: it is the process that becomes the daemon.
fn spawn(dir: &tempfile::TempDir, socket: &Socket, watchdog: Duration) -> Child {
    let log = File::options().create(true).append(true).open(dir.path().join("log")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0 0</dev/null; LISTEN_PID=$$ exec \"$0\" serve", env!("CARGO_BIN_EXE_dantok")]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DANTOK_")) {
        command.env_remove(name);
    }
    command
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "plain")
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .env("STATE_DIRECTORY", dir.path().join("data"))
        .env("WATCHDOG_USEC", watchdog.as_micros().to_string())
        .stdin(OwnedFd::from(socket.try_clone().unwrap()))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

#[test]
fn restarts_under_load_refuse_nobody_and_lose_nothing() {
    let mut supervisor = Supervisor::start(Duration::ZERO);
    let outcome = under_restarts(supervisor.address(), RESTARTS, |n| {
        supervisor.restart(if n % 2 == 0 { rustix::process::Signal::TERM } else { rustix::process::Signal::KILL });
    });
    eprintln!("{RESTARTS} restarts: {outcome}");
    wait_until("every daemon has said READY", || supervisor.told("READY=1") == RESTARTS + 1);
    wait_until("those that were asked to stop have said so", || supervisor.told("STOPPING=1") == RESTARTS / 2);
}

#[test]
fn a_daemon_whose_disk_hangs_does_not_notify_the_watchdog() {
    if !has_tool("strace") {
        return;
    }
    let mut supervisor = Supervisor::start(WATCHDOG);
    wait_until("the daemon lives", || supervisor.told("WATCHDOG=1") >= 2);
    let mut lines = Lines::connect(supervisor.address());
    lines.ask("HELLO alice");
    lines.ask("JOIN lobby");
    lines.expect("SEND lobby before", "OK 1");
    let mut stall = Stall::of(supervisor.child.id());
    wait_until("the daemon says what hangs", || {
        stall.check();
        supervisor.log().contains("no commit has completed")
    });
    let mut held = Lines::connect(supervisor.address());
    held.ask("HELLO alice");
    held.send("SEND id=held lobby behind");
    // The rest of the daemon goes on, but does not pretend.
    wait_until("it is silent for longer than it may be", || {
        assert_eq!(Lines::connect(supervisor.address()).ask("PING"), ["OK pong"]);
        supervisor.silence() > 3 * WATCHDOG
    });
    // What follows is systemd's part.
    let proofs = supervisor.told("WATCHDOG=1");
    supervisor.signal(rustix::process::Signal::ABORT);
    drop(stall);
    supervisor.restart(rustix::process::Signal::KILL);
    wait_until("the next one lives", || supervisor.told("WATCHDOG=1") > proofs);
    let mut lines = Lines::connect(supervisor.address());
    lines.ask("HELLO alice");
    let again = lines.ask("SEND id=held lobby behind");
    assert!(again[0].starts_with("OK 2"), "{again:?}");
}
