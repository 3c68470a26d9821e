//! The real `dantok check` on directories that are intact, in use, torn or damaged.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::common::{Daemon, wait_until};
use dantok_store::commit::Commit;
use dantok_store::journal::recover;
use dantok_store::limits::SLED_SEGMENT_BYTES;
use dantok_store::segments::Segments;
use dantok_store::tables::{Journaled, Tables};

/// Its exit code, and what it printed.
fn check(dir: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dantok")).arg("check").arg("--data-dir").arg(dir).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

/// A daemon that has stored something of everything.
fn filled() -> Daemon {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    for seq in 1..=50 {
        alice.expect(&format!("SEND id=m{seq} lobby message {seq}"), &format!("OK {seq}"));
    }
    alice.expect("ACK lobby 20", "OK 20");
    alice.expect("NICK Al", "OK");
    daemon
}

fn flip(path: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// The journal file that has records.
fn journal(dir: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| std::fs::read(path).unwrap()[64] != 0).unwrap()
}

#[test]
fn a_directory_in_use_is_refused_and_a_sound_one_passes() {
    let mut daemon = filled();
    let (code, printed) = check(&daemon.data_dir());
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("another dantok is running"), "{printed}");
    daemon.kill();
    let (code, printed) = check(&daemon.data_dir());
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("journal    intact: 1 files, 53 commits past the store"), "{printed}");
    daemon.start_again();
    assert!(daemon.terminate().success());
    let (code, printed) = check(&daemon.data_dir());
    assert_eq!(code, Some(0), "{printed}");
    for part in [
        "rooms      intact: 1",
        "messages   intact: 50, ",
        "ids        intact: 50",
        "cursors    intact: 1",
        "is intact",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    daemon.start_again();
    // A check changes nothing.
    daemon.lines("alice").expect("JOIN lobby", "OK cursor=20 last=50");
}

#[test]
fn check_does_not_create_a_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (code, printed) = check(dir.path());
    assert_eq!(code, Some(1));
    assert!(printed.contains("FORMAT"), "{printed}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_broken_commit_in_the_journal_is_named() {
    let mut daemon = filled();
    daemon.kill();
    let journal = journal(&daemon.data_dir());
    flip(&journal, 64 + 24 + 3);
    let (code, printed) = check(&daemon.data_dir());
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains(&format!("{}: damaged: commit 1 at byte 64 is broken", journal.display())), "{printed}");
    assert!(printed.contains("rooms      intact"), "undamaged parts are listed as well: {printed}");
    assert!(printed.contains("is DAMAGED"), "{printed}");
}

#[test]
fn a_torn_last_commit_is_not_damage() {
    let mut daemon = filled();
    daemon.kill();
    let journal = journal(&daemon.data_dir());
    let bytes = std::fs::read(&journal).unwrap();
    let last = bytes.windows(4).rposition(|window| window == b"DTKR").unwrap();
    flip(&journal, last as u64 + 24);
    let (code, printed) = check(&daemon.data_dir());
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("note: ") && printed.contains("the last commit is torn"), "{printed}");
}

#[test]
fn a_bit_flipped_in_stored_messages_is_found_with_its_room() {
    let mut daemon = filled();
    // Two starts and stops: the journal that holds it as well is freed.
    assert!(daemon.terminate().success());
    daemon.start_again();
    assert!(daemon.terminate().success());
    let segment = std::fs::read_dir(daemon.data_dir().join("segments")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&segment).unwrap();
    let place = bytes.windows(10).position(|window| window == b"message 17").unwrap();
    flip(&segment, place as u64);
    let damaged = std::fs::read(&segment).unwrap();
    let (code, printed) = check(&daemon.data_dir());
    assert!(std::fs::read(&segment).unwrap() == damaged, "a check changes nothing");
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains("room lobby: the messages from seq ") && printed.contains("fail their checksum"),
        "{printed}"
    );
    assert!(printed.contains("store      intact") && printed.contains("is DAMAGED"), "{printed}");
    assert!(printed.contains(".segment"), "{printed}");
    // A daemon goes on beside it.
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    let unreadable = alice.ask("SEND id=m17 lobby message 17").remove(0);
    assert!(unreadable.starts_with("ERR storage the daemon can't read"), "{unreadable}");
    assert!(alice.ask("FETCH lobby")[0].starts_with("ERR storage "));
    alice.expect("SEND id=m51 lobby message 51", "OK 51");
    alice.expect("JOIN other", "OK cursor=0 last=0");
    alice.expect("SEND id=m17 other message 17", "OK 1");
}

#[test]
fn ids_still_in_the_journal_are_not_reported_missing() {
    let mut daemon = filled();
    daemon.kill();
    let dir = daemon.data_dir();
    {
        // The messages are in the store, and nothing says yet that it covers the journal.
        let tables = Tables::open(&dir.join("sled"), Segments::of(&dir)).unwrap();
        tables.load_lasts().unwrap();
        let mut commits = Vec::new();
        recover(&dir.join("journal"), 0, &mut |_, spot, payload| {
            let (commit, chunks) = Commit::decode(&payload).unwrap();
            commits.push(Journaled { commit: Arc::new(commit), chunks, spot });
            Ok(())
        })
        .unwrap();
        tables.apply(&commits).unwrap();
    }
    let without_ids = || {
        let config = sled::Config::new().path(dir.join("sled")).segment_size(SLED_SEGMENT_BYTES);
        wait_until("sled lets its files go", || config.open().is_ok());
        config.open().unwrap().open_tree("ids").unwrap().clear().unwrap();
    };
    without_ids();
    let (code, printed) = check(&dir);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("messages   intact: 50, ") && printed.contains("53 commits past the store"), "{printed}");
    // Without the journal they are missed.
    daemon.start_again();
    assert!(daemon.terminate().success());
    without_ids();
    let (code, printed) = check(&dir);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("the id m1 of seq 1 is unknown"), "{printed}");
}

#[test]
fn a_swapped_segment_is_damage_and_shows_no_wrong_messages() {
    let mut daemon = Daemon::start();
    for text in ["one", "two"] {
        let mut alice = daemon.lines("alice");
        alice.ask("JOIN lobby");
        alice.ask(&format!("SEND lobby {text}"));
        // Each run has a segment of its own.
        assert!(daemon.terminate().success());
        daemon.start_again();
    }
    assert!(daemon.terminate().success());
    let segments = daemon.data_dir().join("segments");
    let segment = |number: u64| segments.join(format!("{number:016}.segment"));
    std::fs::copy(segment(1), segment(2)).unwrap();
    daemon.start_again();
    let answer = daemon.lines("alice").ask("FETCH lobby");
    assert!(answer[0].ends_with(" alice one") && answer[1].starts_with("ERR storage "), "{answer:?}");
    daemon.terminate();
    let (status, printed) = check(&daemon.data_dir());
    assert_eq!(status, Some(1));
    assert!(printed.contains("room lobby: messages are missing from seq 2 to 2"), "{printed}");
}
