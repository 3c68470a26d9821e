//! Honest failure: after a sync that fails nothing is acknowledged any more, and the daemon says why and ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::process::{Command, Stdio};

use common::{Daemon, has_tool, inject};

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
    // Twice: what was said is in the store alone then.
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
        let said = String::from_utf8(output.stderr).unwrap();
        if said.contains("ptrace") {
            assert!(std::env::var_os("CI").is_none(), "strace can't trace: {said}");
            eprintln!("SKIPPED: strace can't trace: {said}");
            return;
        }
        assert_eq!(output.status.code(), Some(1), "{fault}: {said}");
        assert!(said.contains("ERROR") && said.contains("/sled/db: can't "), "{fault}: {said}");
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
