//! Observed with strace: a successful fdatasync of the journal precedes each OK, and precedes serving what a start has
//! recovered.

use std::process::{Command, Stdio};

use crate::common::{Daemon, has_tool, traced_start, wait_until};

/// Messages sent one after the other.
const MESSAGES: usize = 40;

#[test]
fn every_ok_comes_after_an_fdatasync_of_its_message() {
    if !has_tool("strace") {
        return;
    }
    let mut daemon = Daemon::start();
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let calls = "trace=pwrite64,fsync,fdatasync,sync_file_range,sendto,write,writev";
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-s", "600", "-e", calls, "-o"])
        .arg(&trace)
        .args(["-p", &daemon.pid().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // strace says "attached" of a thread once it sees all that the thread does.
    let mut attached = std::io::BufReader::new(strace.stderr.take().unwrap());
    let mut printed = String::new();
    while !printed.contains("attached") {
        if std::io::BufRead::read_line(&mut attached, &mut printed).unwrap() == 0 {
            strace.wait().unwrap();
            assert!(std::env::var_os("CI").is_none(), "strace can't attach: {printed}");
            eprintln!("SKIPPED: strace can't attach: {printed}");
            return;
        }
    }
    let mut alice = daemon.lines("alice");
    // The thread that serves may be attached last: what counts begins when the trace shows an answer.
    wait_until("strace sees the daemon's answers", || {
        alice.expect("PING", "OK pong");
        std::fs::read_to_string(&trace).unwrap().contains("\"OK pong\\n\"")
    });
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    for n in 1..=MESSAGES {
        alice.expect(&format!("SEND lobby this is message <{n}>"), &format!("OK {n}"));
    }
    // The way into sled, too.
    assert!(daemon.terminate().success());
    strace.wait().unwrap();

    let text = std::fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let position = |from: usize, what: &dyn Fn(&str) -> bool| {
        lines.iter().skip(from).position(|line| what(line)).map(|at| at + from)
    };
    for n in 1..=MESSAGES {
        let write = |line: &str| line.contains("pwrite64(") && line.contains(&format!("this is message <{n}>"));
        let written = position(0, &write).unwrap_or_else(|| panic!("message {n} was not written to a file"));
        let thread = lines[written].split_whitespace().next().unwrap();
        assert!(lines[written].contains(".journal>"), "{}", lines[written]);
        let of_thread = |line: &str| line.starts_with(&format!("{thread} "));
        let synced = |line: &str| of_thread(line) && line.contains("fdatasync") && line.ends_with("= 0");
        let synced = position(written + 1, &synced).unwrap_or_else(|| panic!("message {n} was not synced"));
        // Sockets are shown with what they are; other files hold no bare answer.
        let ok = |line: &str| line.contains("sendto(") && line.contains(&format!("\"OK {n}\\n\""));
        let ok = position(0, &ok).unwrap_or_else(|| panic!("no OK {n} in the trace"));
        assert!(synced < ok, "OK {n} before its fdatasync:\n{}\n{}", lines[ok], lines[synced]);
    }
    assert!(lines.iter().any(|line| line.contains("fdatasync(") && line.contains("/sled/db>")), "sled was not synced");
    assert!(!text.contains("sync_file_range("), "sled's own sync_file_range was not replaced");
}

#[test]
fn a_start_syncs_what_a_kill_left_in_the_journal() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND lobby hello", "OK 1");
    daemon.kill();
    // Whether the last commit's sync came before the kill can't be told from what is read.
    let Some(trace) = traced_start(&daemon) else { return };
    let synced = |line: &String| {
        line.contains("sync(") && line.contains("/journal/0000000000000001.journal>") && line.ends_with("= 0")
    };
    assert!(trace.iter().any(synced), "the journal that was recovered was not synced:\n{}", trace.join("\n"));
}
