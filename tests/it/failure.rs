//! Honest failure: after a failed sync the daemon acknowledges nothing more, says why and exits.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{self, Daemon, has_tool, inject, inject_at, serve_tls, traced_start, wait_until};
use dantok_supervise::{Duty, OnPanic};

fn fails_honestly(fault: &str) {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND id=1 lobby one", "OK 1");
    let mut follower = daemon.lines("bob");
    follower.ask("JOIN lobby");
    follower.expect("FOLLOW lobby", "OK after=0");
    let Some(mut strace) = inject(&daemon, fault) else { return };
    // strace may not have seen the committer's thread yet: what is acknowledged until then counts.
    let mut acknowledged = 1;
    let refused = loop {
        let answer = alice.ask(&format!("SEND id={0} lobby message {0}", acknowledged + 1)).remove(0);
        if !answer.starts_with("OK ") {
            break answer;
        }
        acknowledged += 1;
    };
    assert!(refused.starts_with("ERR storage "), "{refused}");
    let of_last = format!(" message {acknowledged}");
    // Nobody is shown what is not durable.
    let shown = follower.rest();
    let last = shown.lines().last().unwrap();
    assert!(last.ends_with(if acknowledged == 1 { " one" } else { &of_last }), "{last}: {acknowledged} acknowledged");
    assert_eq!(daemon.wait().code(), Some(1));
    let _ = strace.kill();
    strace.wait().unwrap();
    let log = daemon.log();
    assert!(log.contains("ERROR") && log.contains(".journal: can't "), "{log}");

    daemon.start_again();
    let mut alice = daemon.lines("alice");
    let stored = alice.ask("FETCH lobby").len() - 1;
    // What was refused may be there or not, but once.
    assert!(stored == acknowledged || stored == acknowledged + 1, "{stored} stored, {acknowledged} acknowledged");
    let retry = format!("SEND id={0} lobby message {0}", acknowledged + 1);
    assert!(alice.ask(&retry)[0].starts_with(&format!("OK {}", acknowledged + 1)));
    assert_eq!(alice.ask("FETCH lobby").len() - 1, acknowledged + 1);
}

#[test]
fn a_failed_fdatasync_ends_acknowledging() {
    fails_honestly("fdatasync:error=EIO");
}

#[test]
fn a_full_disk_ends_acknowledging() {
    fails_honestly("pwrite64:error=ENOSPC");
}

#[test]
fn an_error_while_it_opens_the_store_leaves_the_store_as_it_was() {
    if !has_tool("strace") {
        return;
    }
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    for seq in 1..=20 {
        alice.expect(&format!("SEND lobby message {seq}"), &format!("OK {seq}"));
    }
    // Twice: then the messages are in the store alone.
    assert!(daemon.terminate().success());
    daemon.start_again();
    assert!(daemon.terminate().success());
    let db = daemon.data_dir().join("sled/db");
    let before = std::fs::read(&db).unwrap();
    let mut ended = 0;
    for fault in ["pread64:error=EIO:when=1", "pread64:error=EIO:when=3", "pwrite64:error=ENOSPC:when=1+"] {
        let calls = format!("trace={}", fault.split(':').next().unwrap());
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", &calls, "-e", &format!("inject={fault}"), "-P"]).arg(&db);
        strace.arg(env!("CARGO_BIN_EXE_dantok")).args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(daemon.data_dir());
        let output = strace.stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        if printed.contains("ptrace") {
            assert!(std::env::var_os("CI").is_none(), "strace can't trace: {printed}");
            eprintln!("SKIPPED: strace can't trace: {printed}");
            return;
        }
        assert_eq!(output.status.code(), Some(1), "{fault}: {printed}");
        assert!(printed.contains("ERROR") && printed.contains("/sled/db: can't "), "{fault}: {printed}");
        ended += 1;
        if fault.starts_with("pread64") {
            assert!(std::fs::read(&db).unwrap() == before, "{fault} changed the store");
        }
    }
    assert_eq!(ended, 3);
    daemon.start_again();
    daemon.lines("alice").expect("JOIN lobby", "OK cursor=0 last=20");
    assert_eq!(daemon.lines("alice").ask("FETCH lobby").len(), 21);
    assert!(daemon.log().contains("writing everything again"), "{}", daemon.log());
}

/// A panic is logged with the task's name, and the task is restarted: its work goes on, and so does everything else.
#[test]
fn a_task_that_panics_is_named_and_restarted() {
    if !cfg!(debug_assertions) {
        return eprintln!("skipped: a release build can't be told to panic");
    }
    // Most of it is waiting, each for its own daemon.
    std::thread::scope(|scope| {
        for duty in dantok::duties::DUTIES.iter().filter(|duty| duty.on_panic == OnPanic::Restart) {
            scope.spawn(|| dies_and_begins_again(duty));
        }
    });
}

fn dies_and_begins_again(duty: &Duty) {
    let certificate = tempfile::tempdir().unwrap();
    let mut flags = ["--metrics", "127.0.0.1:0", "--retention", "24h"].map(str::to_owned).to_vec();
    if duty.name == "certificates" {
        if !cfg!(feature = "tls") {
            return;
        }
        flags.extend(serve_tls(certificate.path()));
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let env = [("DANTOK_TEST_PANIC", duty.name), ("WATCHDOG_USEC", "60000000")];
    let mut daemon = Daemon::start_as(tempfile::tempdir().unwrap(), &flags, &env);
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN r", "OK cursor=0 last=0");
    match duty.name {
        "reload" => daemon.signal("HUP"),
        "journal-prepare" => {
            // Until the next file is wanted, and taken.
            let text = "x".repeat(60_000);
            for seq in 1..400 {
                alice.expect(&format!("SEND r {text}"), &format!("OK {seq}"));
            }
        }
        _ => {}
    }
    let panicked = format!("panicked: {} was told to", duty.name);
    wait_until(duty.name, || daemon.log().contains(&panicked));
    if duty.name != "journal-prepare" {
        wait_until(duty.name, || daemon.log().contains(&format!("{} panicked: ", duty.name)));
    }
    let before = daemon.log().len();
    daemon.signal("HUP");
    wait_until("it goes on", || daemon.log()[before..].contains("SIGHUP: done"));
    alice.expect("PING", "OK pong");
    assert!(daemon.terminate().success(), "{}: {}", duty.name, daemon.log());
}

/// A panic of a vital task ends the daemon, which says why.
#[test]
fn a_panic_without_a_restart_ends_the_daemon() {
    if !cfg!(debug_assertions) {
        return eprintln!("skipped: a release build can't be told to panic");
    }
    for duty in dantok::duties::DUTIES.iter().filter(|duty| duty.on_panic == OnPanic::EndDaemon) {
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = std::process::Command::new(common::binary());
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("data")).env_clear();
        let mut child = command.env("DANTOK_TEST_PANIC", duty.name).stderr(log).spawn().unwrap();
        let printed = || std::fs::read_to_string(dir.path().join("log")).unwrap();
        wait_until("it serves, or has ended", || printed().contains("ready") || child.try_wait().unwrap().is_some());
        if duty.name == "committer" {
            let log = printed();
            let address = log.lines().find_map(|line| line.split_once("listening address=")).unwrap().1;
            let mut lines = common::Lines::connect(address.trim().parse().unwrap());
            lines.ask("HELLO alice");
            // It is not done, and not reported as done.
            assert!(lines.ask("CREATE r")[0].starts_with("ERR "));
        }
        let mut status = None;
        wait_until(duty.name, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(1), "{}: {}", duty.name, printed());
        assert!(printed().contains(&format!("panicked: {} was told to", duty.name)), "{}", printed());
        assert!(printed().lines().last().unwrap().contains("panicked"), "{}: {}", duty.name, printed());
    }
}

/// A connection that panics says so, in either framing, and affects no other.
#[test]
fn a_connection_that_panics_is_logged() {
    if !cfg!(debug_assertions) {
        return eprintln!("skipped: a release build can't be told to panic");
    }
    for is_framed in [false, true] {
        let env = [("DANTOK_TEST_PANIC", "connection")];
        let mut daemon = Daemon::start_as(tempfile::tempdir().unwrap(), &[], &env);
        if is_framed {
            let mut frames = daemon.frames("alice");
            frames.send(dantok_protocol::Command::Ping);
            assert!(frames.closing().text.contains("internal error"));
        } else {
            let mut lines = daemon.lines("alice");
            lines.send("PING");
            assert!(lines.rest().starts_with("ERR storage internal error"));
        }
        assert!(daemon.log().contains("a connection panicked: connection was told to"), "{}", daemon.log());
        daemon.lines("alice").expect("PING", "OK pong");
        assert!(daemon.terminate().success());
    }
}

/// SIGKILL at an fdatasync that fails, before it returns. False where strace can't do that.
fn kill_at_sync(daemon: &mut Daemon, file: Option<&Path>, cause: impl FnOnce(&Daemon)) -> bool {
    let kill = "fdatasync:error=EIO:signal=SIGKILL:when=1";
    let Some(mut strace) = inject_at(daemon, kill, file) else { return false };
    cause(daemon);
    assert_eq!(daemon.wait().code(), None, "{}", daemon.log());
    strace.wait().unwrap();
    true
}

/// A file is written again from this byte on, and synced, before what comes then.
#[track_caller]
fn written_again(trace: &[String], file: &str, at: &str, before: &str) {
    let found = |from: usize, what: &dyn Fn(&str) -> bool| {
        trace.iter().skip(from).position(|line| what(line)).map(|place| place + from)
    };
    let is_write = |line: &str| line.contains("pwrite64(") && line.contains(file) && line.contains(at);
    let written = found(0, &is_write).unwrap_or_else(|| panic!("{file} is not written again:\n{}", trace.join("\n")));
    let is_sync = |line: &str| line.contains("sync(") && line.contains(file) && line.ends_with("= 0");
    let synced = found(written, &is_sync).unwrap_or_else(|| panic!("{file} is not synced:\n{}", trace.join("\n")));
    let then = found(0, &|line| line.contains(before)).unwrap();
    assert!(synced < then, "{file} is written again behind {before}:\n{}", trace.join("\n"));
}

#[test]
fn a_start_rewrites_what_a_killed_daemons_failed_sync_left_in_memory() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    let send = format!("SEND id=1 lobby {}", "x".repeat(12_000));
    let killed = kill_at_sync(&mut daemon, None, |_| alice.send(&send));
    if !killed {
        return;
    }
    let Some(trace) = traced_start(&daemon) else { return };
    // Before anything is built upon it, or answered.
    written_again(&trace, "/journal/0000000000000001.journal>", "1048576, 0)", "/journal/0000000000000002.journal>");
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    assert!(alice.ask(&send)[0].starts_with("OK 1"));
    // Once it was closed well, nothing is in doubt.
    let before = daemon.log().matches("wrote again").count();
    assert_eq!(before, 1, "{}", daemon.log());
    assert!(daemon.terminate().success());
    daemon.start_again();
    assert_eq!(daemon.log().matches("wrote again").count(), before, "{}", daemon.log());
    assert_eq!(daemon.lines("alice").ask("FETCH lobby").len(), 2);
}

#[test]
fn a_start_rewrites_what_a_failed_sync_of_sled_left_in_memory() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    for seq in 1..=20 {
        alice.expect(&format!("SEND id={seq} lobby message {seq}"), &format!("OK {seq}"));
    }
    let db = daemon.data_dir().join("sled/db");
    // At its end it has everything moved into sled.
    if !kill_at_sync(&mut daemon, Some(&db), |daemon| daemon.signal("TERM")) {
        return;
    }
    let Some(trace) = traced_start(&daemon) else { return };
    written_again(&trace, "/sled/db>", "", "wrote again what may not have been on the disk");
    daemon.start_again();
    assert_eq!(daemon.lines("alice").ask("FETCH lobby").len(), 21);
}

#[test]
fn an_empty_note_makes_a_start_rewrite_all_of_sled() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND lobby hello", "OK 1");
    let lock = daemon.data_dir().join("dantok.lock");
    let whole_note = || std::fs::read(&lock).unwrap();
    // What earlier versions wrote, what a power cut may leave of it, and none at all.
    let notes: [&dyn Fn() -> Vec<u8>; 6] = [
        &|| b"sound \n".to_vec(),
        &|| b"failed\n".to_vec(),
        &Vec::new,
        &|| b"in use\n".to_vec(),
        &|| whole_note()[..1000].to_vec(),
        &|| vec![0; whole_note().len()],
    ];
    for note in notes {
        assert!(daemon.terminate().success());
        assert!(whole_note().starts_with(b"clean \n"), "{:?}", whole_note());
        let mut note = note();
        if note.starts_with(b"clean") {
            note[..7].copy_from_slice(b"in use\n");
        }
        std::fs::write(&lock, &note).unwrap();
        let (bytes, before) = (std::fs::metadata(daemon.data_dir().join("sled/db")).unwrap().len(), daemon.log().len());
        daemon.start_again();
        let log = daemon.log()[before..].to_owned();
        let written = log.lines().find_map(|line| line.split_once("bytes=")?.1.split(' ').next()?.parse::<u64>().ok());
        assert!(
            written.is_some_and(|written| written >= bytes),
            "{:?}: {log}",
            String::from_utf8_lossy(&note[..note.len().min(7)])
        );
        assert_eq!(log.contains("writing everything again"), note.starts_with(b"failed"), "{log}");
        assert!(whole_note().starts_with(b"in use\n"));
        assert_eq!(daemon.lines("alice").ask("FETCH lobby").len(), 2);
    }
}
