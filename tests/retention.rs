//! What is past retention is not served, is said to be gone, and leaves its seqs; what is not is kept.

mod common;

use common::{Daemon, Lines, wait_until};

const SHORT: [&str; 3] = ["--retention", "1s", "--allow-short-retention"];

/// Fetches until the answer's first line is this one.
fn wait_for_gap(lines: &mut Lines, fetch: &str, gap: &str) -> Vec<String> {
    let mut answer = Vec::new();
    wait_until(gap, || {
        answer = lines.ask(fetch);
        answer[0] == gap
    });
    answer
}

#[test]
fn what_expired_is_said_in_a_gap_and_its_seqs_stay() {
    let mut daemon = Daemon::start_with(&SHORT);
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    for n in 1..=3 {
        alice.expect(&format!("SEND id={n} lobby old {n}"), &format!("OK {n}"));
    }
    alice.expect("ACK lobby 1", "OK 1");
    let answer = wait_for_gap(&mut alice, "FETCH lobby", "GAP lobby 2 3 expired");
    assert_eq!(answer[1..], ["END lobby 3 4 3"]);
    // The same id is a new message now, and the seqs go on.
    alice.expect("SEND id=3 lobby new 3", "OK 4");
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN lobby", "OK cursor=0 last=4");
    let answer = bob.ask("FETCH lobby");
    assert_eq!(answer[0], "GAP lobby 1 3 expired");
    wait_for_gap(&mut bob, "FETCH lobby", "GAP lobby 1 4 expired");
    daemon.start_again();
    let mut bob = daemon.lines("bob");
    assert_eq!(bob.ask("FETCH lobby"), ["GAP lobby 1 4 expired", "END lobby 4 5 4"]);
    bob.expect("ACK lobby", "OK 4");
    bob.expect("SEND lobby five", "OK 5");
    assert!(bob.ask("FETCH lobby")[0].starts_with("MSG lobby 5 "));
}

#[test]
fn a_follower_is_told_of_a_gap() {
    let daemon = Daemon::start_with(&SHORT);
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND lobby old", "OK 1");
    wait_for_gap(&mut alice, "FETCH lobby", "GAP lobby 1 1 expired");
    alice.expect("FOLLOW lobby", "OK after=0");
    assert_eq!(alice.line().unwrap(), "GAP lobby 1 1 expired");
    let mut bob = daemon.lines("bob");
    bob.ask("JOIN lobby");
    bob.expect("SEND lobby new", "OK 2");
    let line = alice.line().unwrap();
    assert!(line.starts_with("MSG lobby 2 ") && line.ends_with(" bob new"), "{line}");
}

#[test]
fn the_unread_count_leaves_out_what_expired() {
    let daemon = Daemon::start_with(&SHORT);
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND lobby old", "OK 1");
    wait_until("the message expires", || alice.ask("ROOMS")[0].starts_with("ROOM lobby 1 1 0 "));
}

#[test]
fn nothing_is_dropped_before_its_time() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND lobby young", "OK 1");
    daemon.terminate();
    daemon.start_again();
    let answer = daemon.lines("alice").ask("FETCH lobby");
    assert!(answer[0].ends_with(" alice young"), "{answer:?}");
    assert_eq!(answer[1], "END lobby 1 1 1");
}
