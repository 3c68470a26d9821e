//! Messages past retention are not served but reported as gone, and their seqs stay used; younger ones are kept.

use std::io::Read;

use crate::common::{Daemon, Lines, wait_until};
use dantok_protocol::{Command, Item, Reply, commands};

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
fn expired_messages_are_reported_as_a_gap_and_their_seqs_stay_used() {
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
fn an_expired_message_is_not_shown_from_a_page_pushed_to_others() {
    let daemon = Daemon::start_with(&SHORT);
    let mut followers = ["alice", "bob"].map(|client| {
        let mut lines = daemon.lines(client);
        lines.ask("JOIN lobby");
        lines.expect("FOLLOW lobby", "OK after=0");
        lines
    });
    let mut carol = daemon.lines("carol");
    carol.ask("JOIN lobby");
    carol.expect("SEND lobby old", "OK 1");
    for follower in &mut followers {
        assert!(follower.line().unwrap().ends_with(" carol old"));
    }
    wait_for_gap(&mut carol, "FETCH lobby", "GAP lobby 1 1 expired");
    carol.expect("FOLLOW lobby", "OK after=0");
    assert_eq!(carol.line().unwrap(), "GAP lobby 1 1 expired");
}

#[test]
fn the_unread_count_excludes_expired_messages() {
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

#[test]
fn the_disk_levels_off() {
    const WINDOWS: u64 = 12;
    const MESSAGES: u64 = 320;
    const BODY: usize = 64 * 1024;
    let daemon = Daemon::start_with(&SHORT);
    let mut alice = daemon.frames("alice");
    let room = || "lobby".to_owned();
    alice.ask(Command::join(room()));
    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    let mut seq = 0;
    let mut most = 0;
    for _ in 0..WINDOWS {
        for _ in 0..MESSAGES / 20 {
            // Bytes that no compression of a file system makes less of.
            let mut body = || {
                let mut body = vec![0; BODY];
                random.read_exact(&mut body).unwrap();
                body.into()
            };
            let sent: Vec<u64> = (0..20)
                .map(|_| {
                    alice.send(Command::Send(commands::Send { room: room(), id: None, body: body(), reply: None }))
                })
                .collect();
            for id in sent {
                seq += 1;
                assert_eq!(alice.try_answer(id).unwrap().1, Reply::Sent { seq, dup: false });
            }
        }
        wait_until("a window expires", || {
            let (items, _) = alice.ask(Command::Fetch(commands::Fetch { room: room(), after: None, max: Some(1) }));
            matches!(items.first(), Some(Item::Gap { to, .. }) if *to == seq)
        });
        let disk = std::fs::metadata(daemon.data_dir().join("sled/db")).unwrap().len();
        most = disk.max(most);
    }
    let sent = WINDOWS * MESSAGES * BODY as u64;
    assert!(most < sent / 2, "{most} bytes on disk, with {sent} sent and {} at most alive", sent / WINDOWS);
    assert_eq!(
        std::fs::read_dir(daemon.data_dir().join("sled/blobs")).unwrap().count(),
        0,
        "sled never syncs its blobs"
    );
}
