//! A restored store has a new epoch, and clients that remember a seq from before are told.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::{self, Daemon, Frames};
use dantok_protocol::{Command as Request, ErrorCode, Reply, Seek, commands};

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
fn the_epoch_survives_restarts_and_kills_and_hello_reports_it() {
    let mut daemon = Daemon::start();
    let data = daemon.data_dir();
    let told = |daemon: &Daemon| {
        let mut frames = Frames::connect(daemon.address());
        let hello = Request::Hello(commands::Hello { version: 1, client: "a".to_owned(), token: None, epoch: None });
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
fn a_directory_without_data_gets_no_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let output = epoch(&["--renew"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("FORMAT"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_client_with_a_seq_from_before_a_restore_is_told_and_misses_nothing() {
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
    // The cursor is the backup's, and everything after it is there.
    let fetched = bob.ask("FETCH lobby");
    assert_eq!(fetched.len(), 10);
    assert!(fetched[0].ends_with(" alice before 5") && fetched[1].ends_with(" alice after 6"), "{fetched:?}");
    assert_eq!(fetched[9], "END lobby 13 1 13");
    // By frames.
    let mut frames = Frames::connect(daemon.address());
    let hello = |epoch: &str| {
        let (client, epoch) = ("bob".to_owned(), Some(epoch.to_owned()));
        Request::Hello(commands::Hello { version: 1, client, token: None, epoch })
    };
    assert!(matches!(frames.ask(hello(&before)).1, Reply::Error(refusal) if refusal.code == ErrorCode::Epoch));
    let fetch = || Request::Fetch(commands::Fetch { room: "lobby".to_owned(), after: Some(9), max: None });
    assert!(matches!(frames.ask(fetch()).1, Reply::Error(refusal) if refusal.code == ErrorCode::HelloFirst));
    assert!(matches!(frames.ask(hello(&now)).1, Reply::Welcome(_)));
    assert_eq!(frames.ask(fetch()).0.len(), 4);
}

#[test]
fn without_the_epoch_messages_would_be_missed_silently() {
    // The same without the renewal: what the epoch is for.
    let (daemon, before) = taken_back(false);
    let mut bob = common::Lines::connect(daemon.address());
    assert!(bob.ask(&format!("HELLO bob epoch={before}"))[0].starts_with("OK "));
    let fetched = bob.ask("FETCH lobby after=9");
    assert!(fetched[0].ends_with(" alice after 10"), "after 6 to 9 are skipped: {fetched:?}");
}

/// A daemon with five messages, the fifth of them unread by bob, that was set back from ten under the same epoch.
fn set_back() -> Daemon {
    let mut daemon = Daemon::start();
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    bob.expect("GROUP lobby w", "OK cursor=0 last=0 timeout=30s");
    (1..=5).for_each(|n| bob.expect(&format!("SEND id=b-{n} lobby before {n}"), &format!("OK {n}")));
    bob.expect("ACK lobby 4", "OK 4");
    let backup = daemon.back_up();
    let mut bob = daemon.lines("bob");
    (6..=10).for_each(|n| bob.expect(&format!("SEND id=l-{n} lobby lost {n}"), &format!("OK {n}")));
    bob.expect("ACK lobby 9", "OK 9");
    daemon.go_back_to(&backup, false);
    daemon
}

#[test]
fn a_client_ahead_of_a_room_is_told_that_it_was_restored() {
    let daemon = set_back();
    let mut bob = daemon.lines("bob");
    for seq in [6, 9, u64::MAX] {
        let told =
            format!("ERR set-back {seq} is past the last seq of lobby, 5: the room was set back to an older state");
        let commands = [
            format!("FETCH lobby after={seq}"),
            format!("ACK lobby {seq}"),
            format!("SEEK lobby {seq}"),
            format!("REDACT lobby {seq}"),
            format!("DONE lobby w {seq}"),
            format!("SEND id=r-1 reply={seq} lobby an answer"),
            format!("SENDB id=r-2 reply={seq} lobby 2\nhi"),
        ];
        for command in commands {
            let answer = bob.ask(&command).remove(0);
            assert!(answer.starts_with(&told), "{command}: {answer}");
        }
    }
    // Its own seqs are no such thing, nor what no room ever has.
    for command in ["REDACT lobby 0", "DONE lobby w 0", "SEND reply=0 lobby to what?"] {
        assert!(bob.ask(command)[0].starts_with("ERR bad-argument "), "{command}");
    }
    bob.send("FORMAT json\nACK lobby 9");
    bob.line().unwrap();
    assert!(bob.line().unwrap().contains(r#""code":"set-back""#));
    // Nothing came of it: all is there from the cursor on, and what was sent is stored under its id.
    let mut bob = daemon.lines("bob");
    let fetched = bob.ask("FETCH lobby");
    assert!(fetched[0].ends_with(" bob before 5") && fetched[1] == "END lobby 5 1 5", "{fetched:?}");
    bob.expect("FETCH lobby after=5", "END lobby 5 1 5");
    bob.expect(
        "SEND id=b-5 reply=9 lobby before 5",
        "ERR id-reused this id was used for another message, 5; a new message needs a new id",
    );
    bob.expect("SEND id=r-1 lobby an answer", "OK 6");
    bob.expect("SEND id=l-9 lobby lost 9", "OK 7");
    bob.expect("ACK lobby 7", "OK 7");
}

#[test]
fn frames_report_the_epoch_too() {
    let daemon = set_back();
    let mut frames = Frames::connect(daemon.address());
    let hello = Request::Hello(commands::Hello {
        version: 1,
        client: "bob".to_owned(),
        token: None,
        epoch: Some(epoch_of(&daemon.data_dir())),
    });
    assert!(matches!(frames.ask(hello).1, Reply::Welcome(_)));
    let room = || "lobby".to_owned();
    let (seq, id, body) = (9, Some("r".to_owned()), "an answer".into());
    let commands = [
        Request::Fetch(commands::Fetch { room: room(), after: Some(seq), max: None }),
        Request::Ack(commands::Ack { room: room(), seq: Some(seq) }),
        Request::Seek(commands::Seek { room: room(), to: Seek::To(seq) }),
        Request::Redact(commands::Redact { room: room(), seq }),
        Request::Done(commands::Done { room: room(), group: "w".to_owned(), seq }),
        Request::Send(commands::Send { room: room(), id, body, reply: Some(seq) }),
    ];
    for command in commands {
        let told = format!("{command:?}");
        match frames.ask(command).1 {
            Reply::Error(refusal) => assert_eq!(refusal.code, ErrorCode::SetBack, "{told}"),
            other => panic!("{told}: {other:?}"),
        }
    }
}

#[test]
fn resent_messages_that_a_restore_lost_are_stored_once() {
    let (daemon, _) = taken_back(true);
    let mut alice = daemon.lines("alice");
    alice.expect("SEND id=b-5 lobby before 5", "OK 5 dup");
    alice.expect("SEND id=l-8 lobby lost 8", "OK 14");
    alice.expect("SEND id=l-8 lobby lost 8", "OK 14 dup");
}
