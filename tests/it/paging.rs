//! Reading from any seq: HISTORY and FOLLOW with `after=`, for those who keep their place themselves and need no cursor.

use crate::common::{Daemon, Lines, wait_until};

fn messages(lines: &[String]) -> Vec<u64> {
    let of_messages = lines.iter().filter_map(|line| line.strip_prefix("MSG lobby "));
    of_messages.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

fn pushed(lines: &mut Lines, count: usize) -> Vec<u64> {
    let lines: Vec<String> = (0..count).map(|_| lines.line().unwrap()).collect();
    messages(&lines)
}

#[test]
fn a_member_without_a_cursor_reads_and_follows_from_any_seq() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    for seq in 1..=5 {
        alice.expect(&format!("SEND lobby {seq}"), &format!("OK {seq}"));
    }
    let mut worker = daemon.lines("worker");
    for command in ["HISTORY lobby after=0", "FOLLOW lobby after=0"] {
        assert!(worker.ask(command)[0].starts_with("ERR not-joined "), "{command}");
    }
    worker.expect("JOIN lobby from=none", "OK cursor=- last=5");
    for (command, seqs, end) in [
        ("HISTORY lobby after=2 max=2", vec![3, 4], "END lobby 4 1 5"),
        ("HISTORY lobby after=2", vec![3, 4, 5], "END lobby 5 1 5"),
        ("HISTORY lobby after=1 before=4", vec![2, 3], "END lobby 3 1 5"),
        ("HISTORY lobby after=1 since=1h max=1", vec![2], "END lobby 2 1 5"),
        ("HISTORY lobby after=5", vec![], "END lobby 5 1 5"),
        ("HISTORY lobby max=0", vec![], "END lobby 5 1 5"),
    ] {
        let answer = worker.ask(command);
        assert_eq!((messages(&answer), answer.last().unwrap().as_str()), (seqs, end), "{command}");
    }
    for command in ["HISTORY lobby after=6", "FOLLOW lobby after=6"] {
        assert!(worker.ask(command)[0].starts_with("ERR set-back "), "{command}");
    }
    assert!(worker.ask("FOLLOW lobby")[0].starts_with("ERR not-joined "));
    worker.expect("FOLLOW lobby after=4", "OK after=4");
    assert_eq!(pushed(&mut worker, 1), [5]);
    alice.expect("SEND lobby 6", "OK 6");
    assert_eq!(pushed(&mut worker, 1), [6]);
    // It goes on elsewhere, and where it is.
    worker.expect("FOLLOW lobby after=3", "OK after=3");
    assert_eq!(pushed(&mut worker, 3), [4, 5, 6]);
    let who = alice.ask("WHO lobby");
    assert!(who.iter().any(|line| line.starts_with("MEMBER lobby worker 1 - ")), "{who:?}");
    alice.expect("KICK lobby worker", "OK");
    assert_eq!(worker.line().unwrap(), "GONE lobby");
}

#[test]
fn a_reader_elsewhere_keeps_its_cursor() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    for seq in 1..=4 {
        alice.expect(&format!("SEND lobby {seq}"), &format!("OK {seq}"));
    }
    alice.expect("ACK lobby 1", "OK 1");
    alice.expect("FOLLOW lobby after=2", "OK after=2");
    assert_eq!(pushed(&mut alice, 2), [3, 4]);
    // 2 was skipped.
    alice.expect("ACK lobby", "OK 1");
    alice.expect("UNFOLLOW lobby", "OK");
    alice.expect("FOLLOW lobby", "OK after=1");
    assert_eq!(pushed(&mut alice, 3), [2, 3, 4]);
    alice.expect("ACK lobby", "OK 4");
}

#[test]
fn what_expired_after_the_seq_is_a_gap() {
    let daemon = Daemon::start_with(&["--retention", "1s", "--allow-short-retention"]);
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    for seq in 1..=3 {
        alice.expect(&format!("SEND lobby {seq}"), &format!("OK {seq}"));
    }
    let mut answer = Vec::new();
    wait_until("a gap", || {
        answer = alice.ask("HISTORY lobby after=1");
        answer[0] == "GAP lobby 2 3 expired"
    });
    assert_eq!(answer[1..], ["END lobby 3 4 3"]);
    assert_eq!(alice.ask("HISTORY lobby"), ["END lobby 3 4 3"]);
    alice.expect("FOLLOW lobby after=2", "OK after=2");
    assert_eq!(alice.line().unwrap(), "GAP lobby 3 3 expired");
}
