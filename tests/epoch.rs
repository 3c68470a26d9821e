//! A store that goes back to a backup has another epoch, and who remembers a seq from before is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{Daemon, Frames};
use dantok::protocol::{Command as Request, ErrorCode, Reply};

fn epoch(arguments: &[&str], data_dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.arg("epoch").args(arguments).arg("--data-dir").arg(data_dir).output().unwrap()
}

fn epoch_of(data_dir: &Path) -> String {
    String::from_utf8(epoch(&[], data_dir).stdout).unwrap().trim_end().to_owned()
}

/// A daemon that was taken back, files and all, from ten messages to the first five, and has eight others by now. bob had read
/// nine of the ten, and remembers that. Returns the epoch from before as well.
fn taken_back(renew: bool) -> (Daemon, String) {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    daemon.lines("bob").expect("JOIN lobby", "OK cursor=0 last=0");
    (1..=5).for_each(|n| alice.expect(&format!("SEND id=b-{n} lobby before {n}"), &format!("OK {n}")));
    daemon.lines("bob").expect("ACK lobby 4", "OK 4");
    let backup = daemon.back_up();
    let mut alice = daemon.lines("alice");
    (6..=10).for_each(|n| alice.expect(&format!("SEND id=l-{n} lobby lost {n}"), &format!("OK {n}")));
    daemon.lines("bob").expect("ACK lobby 9", "OK 9");
    let before = epoch_of(&daemon.data_dir());
    daemon.go_back_to(&backup, renew);
    let mut alice = daemon.lines("alice");
    (6..=13).for_each(|n| alice.expect(&format!("SEND lobby after {n}"), &format!("OK {n}")));
    (daemon, before)
}

#[test]
fn the_epoch_stays_through_restarts_and_kills_and_is_told() {
    let mut daemon = Daemon::start();
    let data = daemon.data_dir();
    let told = |daemon: &Daemon| {
        let mut frames = Frames::connect(daemon.address());
        let hello = Request::Hello { version: 1, client: "a".to_owned(), token: None, epoch: None };
        match frames.ask(hello).1 {
            Reply::Welcome(welcome) => welcome.epoch.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let first = told(&daemon);
    assert_eq!(first, epoch_of(&data));
    assert!(first.len() == 16 && first.bytes().all(|byte| byte.is_ascii_hexdigit()));
    daemon.kill();
    daemon.start_again();
    assert_eq!(told(&daemon), first);
    // Nobody takes it from under a daemon.
    let output = epoch(&["--renew"], &data);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("another dantok is running"));
    assert!(daemon.terminate().success());
    assert_eq!(epoch_of(&data), first);
    daemon.start_again();
    assert_eq!(told(&daemon), first);
    // Where it is lost, those who remember something begin again: the safe side.
    daemon.kill();
    std::fs::remove_file(data.join("EPOCH")).unwrap();
    assert!(!epoch(&[], &data).status.success());
    daemon.start_again();
    assert_ne!(told(&daemon), first);
    assert_ne!(told(&Daemon::start()), first);
}

#[test]
fn an_epoch_is_not_renewed_where_no_data_is() {
    let dir = tempfile::tempdir().unwrap();
    let output = epoch(&["--renew"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("FORMAT"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn who_remembers_a_seq_from_before_is_told_and_misses_nothing() {
    let (daemon, before) = taken_back(true);
    let now = epoch_of(&daemon.data_dir());
    assert_ne!(now, before);
    // By lines, all at once, as a script does it: nothing behind the HELLO is carried out.
    let mut bob = common::Lines::connect(daemon.address());
    bob.send(&format!("HELLO bob epoch={before}\nFETCH lobby after=9\nACK lobby 9\nSEEK lobby 9\nFETCH lobby"));
    let refused = bob.answer().remove(0);
    assert!(refused.starts_with("ERR epoch ") && refused.contains("restored from a backup"), "{refused}");
    (0..4).for_each(|_| assert!(bob.answer()[0].starts_with("ERR hello-first ")));
    let welcome = bob.ask("HELLO bob").remove(0);
    assert!(welcome.ends_with(&format!(" epoch={now}")), "{welcome}");
    // His cursor is the backup's, and all that came after it is there.
    let fetched = bob.ask("FETCH lobby");
    assert_eq!(fetched.len(), 10);
    assert!(fetched[0].ends_with(" alice before 5") && fetched[1].ends_with(" alice after 6"), "{fetched:?}");
    assert_eq!(fetched[9], "END lobby 13 1 13");
    // By frames.
    let mut frames = Frames::connect(daemon.address());
    let hello = |epoch: &str| {
        let (client, epoch) = ("bob".to_owned(), Some(epoch.to_owned()));
        Request::Hello { version: 1, client, token: None, epoch }
    };
    assert!(matches!(frames.ask(hello(&before)).1, Reply::Error(refusal) if refusal.code == ErrorCode::Epoch));
    let fetch = || Request::Fetch { room: "lobby".to_owned(), after: Some(9), max: None };
    assert!(matches!(frames.ask(fetch()).1, Reply::Error(refusal) if refusal.code == ErrorCode::HelloFirst));
    assert!(matches!(frames.ask(hello(&now)).1, Reply::Welcome(_)));
    assert_eq!(frames.ask(fetch()).0.len(), 4);
}

#[test]
fn without_the_epoch_messages_would_be_missed_and_nothing_would_tell() {
    // The same without the renewal: what the epoch is for.
    let (daemon, before) = taken_back(false);
    let mut bob = common::Lines::connect(daemon.address());
    assert!(bob.ask(&format!("HELLO bob epoch={before}"))[0].starts_with("OK "));
    let fetched = bob.ask("FETCH lobby after=9");
    assert!(fetched[0].ends_with(" alice after 10"), "after 6 to 9 are skipped: {fetched:?}");
}

#[test]
fn a_seq_past_the_last_is_told_without_it() {
    let (daemon, _) = taken_back(true);
    let mut bob = daemon.lines("bob");
    for command in ["FETCH lobby after=14", "ACK lobby 14", "SEEK lobby 14"] {
        bob.expect(command, "ERR bad-argument 14 is past the room's last seq, 13");
    }
}

#[test]
fn what_was_lost_is_stored_when_it_is_sent_again_and_nothing_twice() {
    let (daemon, _) = taken_back(true);
    let mut alice = daemon.lines("alice");
    alice.expect("SEND id=b-5 lobby before 5", "OK 5 dup");
    alice.expect("SEND id=l-8 lobby lost 8", "OK 14");
    alice.expect("SEND id=l-8 lobby lost 8", "OK 14 dup");
}
