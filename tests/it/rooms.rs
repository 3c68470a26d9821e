//! Private rooms, permissions, unread counts, cursors, and what a room keeps, on the real daemon.

use crate::common::{Daemon, Lines, wait_until};

const NO_SECRET: &str = "ERR no-room there is no room secret; JOIN makes it";
const NOT_YOURS: &str = "ERR denied secret is private; a member can INVITE you";
const NOT_MASTER: &str = "ERR denied only the room's owner or an admin may do this; ACCESS says who owns it";

/// The names in an answer to ROOMS.
fn rooms(lines: &mut Lines) -> Vec<String> {
    let mut answer = lines.ask("ROOMS");
    answer.pop();
    answer.iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn only_invited_people_see_a_private_room() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice/desk");
    alice.expect("CREATE --private secret what nobody knows", "OK");
    alice.expect("JOIN secret", "OK cursor=0 last=0");
    alice.expect("SEND secret hush", "OK 1");
    let mut eve = daemon.lines("eve");
    let outside = |eve: &mut Lines| {
        assert_eq!(rooms(eve), [""; 0]);
        for command in
            ["WHO", "FETCH", "READ", "FOLLOW", "ACK", "HISTORY", "ACCESS", "TOPIC", "LEAVE", "RETAIN", "SEEK"]
        {
            let rest = if command == "SEEK" { " 0" } else { "" };
            eve.expect(&format!("{command} secret{rest}"), NO_SECRET);
        }
        for command in ["INVITE", "KICK", "BAN", "UNBAN"] {
            eve.expect(&format!("{command} secret eve"), NO_SECRET);
        }
        eve.expect("SEND secret hello?", NO_SECRET);
        eve.expect("JOIN secret", NOT_YOURS);
    };
    outside(&mut eve);
    let mut bob = daemon.lines("bob");
    alice.expect("INVITE secret bob", "OK");
    assert_eq!(rooms(&mut bob), ["secret"]);
    bob.expect("FETCH secret", "ERR not-joined JOIN secret first");
    bob.expect("JOIN secret", "OK cursor=0 last=1");
    let mut phone = daemon.lines("bob/phone");
    phone.expect("JOIN secret from=now", "OK cursor=1 last=1");
    assert_eq!(
        bob.ask("ACCESS secret"),
        ["ACCESS secret alice owner", "ACCESS secret bob invited", "OK 2"],
        "the owner comes first"
    );
    // A member may invite; only the owner may do the rest.
    bob.expect("INVITE secret carol", "OK");
    for command in ["KICK secret carol", "BAN secret carol", "UNBAN secret carol", "RETAIN secret 48h"] {
        bob.expect(command, NOT_MASTER);
    }
    alice.expect("KICK secret alice", "ERR denied the room is theirs");
    // It all outlives the daemon.
    daemon.start_again();
    let (mut alice, mut bob, mut eve) = (daemon.lines("alice/desk"), daemon.lines("bob"), daemon.lines("eve"));
    outside(&mut eve);
    assert_eq!(alice.ask("ACCESS secret").len(), 4);
    // All devices of a person go, and the invitation with them.
    alice.expect("KICK secret bob", "OK");
    bob.expect("FETCH secret", NO_SECRET);
    bob.expect("JOIN secret", NOT_YOURS);
    daemon.lines("bob/phone").expect("FETCH secret", NO_SECRET);
    alice.expect("KICK secret bob", "ERR not-joined bob is not a member of secret");
    assert_eq!(alice.ask("WHO secret").len(), 2);
}

#[test]
fn a_banned_person_stays_out_until_the_ban_is_lifted() {
    let mut daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    bob.expect("FOLLOW lobby", "OK after=0");
    alice.expect("BAN lobby bob", "OK");
    assert_eq!(bob.line().as_deref(), Some("GONE lobby"));
    bob.expect("SEND lobby still here?", "ERR not-joined JOIN lobby first");
    daemon.start_again();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    bob.expect("JOIN lobby", "ERR denied lobby is private; a member can INVITE you");
    alice.expect("UNBAN lobby bob", "OK");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect(
        "BAN lobby bob/phone",
        "ERR bad-argument the person is meant, with all devices; leave out the '/' and what follows",
    );
}

#[test]
fn an_admin_may_do_what_members_may_not() {
    let daemon = Daemon::start();
    let tokens: Vec<String> = ["alice", "bob"].iter().map(|name| daemon.token(&["issue", name])).collect();
    let admins = daemon.token(&["issue", "root", "--admin"]);
    let mut alice = daemon.lines(&format!("alice {}", tokens[0]));
    alice.expect("CREATE --private secret", "OK");
    alice.expect("JOIN secret", "OK cursor=0 last=0");
    alice.expect("SEND secret hush", "OK 1");
    let mut root = daemon.lines(&format!("root {admins}"));
    assert_eq!(rooms(&mut root), ["secret"]);
    assert_eq!(root.ask("HISTORY secret").len(), 2);
    root.expect("INVITE secret bob", "OK");
    root.expect("TOPIC secret known to root", "OK");
    let mut bob = daemon.lines(&format!("bob {}", tokens[1]));
    bob.expect("JOIN secret", "OK cursor=0 last=1");
    root.expect("KICK secret bob", "OK");
    root.expect("KICK secret alice", "ERR denied the room is theirs");
    root.expect("JOIN secret", "OK cursor=0 last=1");
}

#[test]
fn the_list_is_in_the_order_of_activity_and_counts_what_is_unread() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    for room in ["one", "two", "three"] {
        alice.expect(&format!("JOIN {room}"), "OK cursor=0 last=0");
    }
    let mut bob = daemon.lines("bob");
    for room in ["two", "one"] {
        bob.expect(&format!("JOIN {room}"), "OK cursor=0 last=0");
        // Times are in milliseconds, so that two in one are in any order.
        let before = alice.ask("ROOMS");
        wait_until("the clock moves on", || {
            let seq = bob.ask(&format!("SEND {room} hi")).remove(0);
            assert!(seq.starts_with("OK"), "{seq}");
            alice.ask("ROOMS")[0].split(' ').nth(5) != before[0].split(' ').nth(5)
        });
    }
    assert_eq!(rooms(&mut alice), ["one", "two", "three"]);
    let unread = |lines: &mut Lines, room: &str| {
        let list = lines.ask("ROOMS");
        let line = list.iter().find(|line| line.starts_with(&format!("ROOM {room} "))).unwrap();
        line.split(' ').nth(4).unwrap().to_owned()
    };
    let last: u64 = bob.ask("SEND one more")[0][3..].parse().unwrap();
    assert_eq!(unread(&mut alice, "one"), last.to_string());
    alice.ask(&format!("ACK one {}", last - 1));
    assert_eq!((unread(&mut alice, "one"), unread(&mut bob, "three")), ("1".to_owned(), "-".to_owned()));
}

#[test]
fn a_writer_need_not_be_a_reader() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    let mut cron = daemon.lines("cron");
    cron.expect("JOIN lobby from=none", "OK cursor=- last=0");
    cron.expect("SEND lobby it is noon", "OK 1");
    // It works for groups, too, and may look back.
    cron.expect("GROUP lobby jobs", "OK cursor=0 last=1 timeout=30s");
    assert_eq!(cron.ask("TAKE lobby jobs").len(), 2);
    cron.expect("DONE lobby jobs 1", "OK 1");
    assert_eq!(cron.ask("HISTORY lobby").len(), 2);
    const NO_CURSOR: &str =
        "ERR not-joined you joined lobby from=none, to write; JOIN lobby again to read from its start, or from=now";
    let without = |daemon: &Daemon| {
        let mut cron = daemon.lines("cron");
        for reading in ["FETCH lobby", "READ lobby", "FOLLOW lobby", "ACK lobby", "ACK lobby 1"] {
            cron.expect(reading, NO_CURSOR);
        }
        let who = cron.ask("WHO lobby");
        assert_eq!(who[1].split(' ').nth(2), Some("cron"), "{who:?}");
        assert_eq!(who[1].split(' ').nth(4), Some("-"), "{who:?}");
        let rooms = cron.ask("ROOMS");
        assert_eq!(rooms[0].split(' ').nth(4), Some("-"), "{rooms:?}");
    };
    without(&daemon);
    let backup = daemon.back_up();
    without(&daemon);
    daemon.kill();
    daemon.start_again();
    without(&daemon);
    daemon.go_back_to(&backup, true);
    without(&daemon);
    // It does not become a member twice, and a reader keeps its cursor.
    let (mut alice, mut cron) = (daemon.lines("alice"), daemon.lines("cron"));
    alice.expect("JOIN lobby from=none", "OK cursor=0 last=1");
    cron.expect("JOIN lobby from=none", "OK cursor=- last=1");
    // Whoever wants to read after all, does.
    cron.expect("JOIN lobby", "OK cursor=0 last=1");
    assert_eq!(cron.ask("FETCH lobby").len(), 2);
    cron.expect("JOIN lobby from=none", "OK cursor=0 last=1");
    let mut other = daemon.lines("other");
    for (again, cursor) in [("JOIN lobby from=now", "OK cursor=1 last=1"), ("SEEK lobby 1", "OK 1")] {
        other.expect("JOIN lobby from=none", "OK cursor=- last=1");
        other.expect(again, cursor);
        other.expect("SEEK lobby start", "OK 0");
        other.expect("LEAVE lobby", "OK");
    }
    cron.expect(
        "GROUP lobby more from=none",
        "ERR bad-argument from= takes start or now; usage: GROUP <room> <group> [from=start|now] [timeout=<time>]",
    );
}

/// What is unread for a client in the room at the top of its list.
fn unread(lines: &mut Lines) -> u64 {
    lines.ask("ROOMS")[0].split(' ').nth(4).unwrap().parse().unwrap()
}

#[test]
fn expired_messages_are_not_unread() {
    let daemon = Daemon::start_with(&["--allow-short-retention", "--retention", "2s"]);
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    for seq in 1..=3 {
        bob.expect("SEND lobby old", &format!("OK {seq}"));
    }
    assert_eq!(unread(&mut alice), 3);
    wait_until("the messages expire", || unread(&mut alice) == 0);
    // As many as FETCH hands over, at any moment.
    for seq in 4..=200 {
        bob.expect("SEND lobby new", &format!("OK {seq}"));
    }
    let fetched = alice.ask("FETCH lobby").iter().filter(|line| line.starts_with("MSG")).count();
    assert!(unread(&mut alice) <= fetched as u64);
}

#[test]
fn a_watch_reports_when_unread_messages_expire() {
    let daemon = Daemon::start_with(&["--allow-short-retention", "--retention", "2s"]);
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    let mut reader = daemon.lines("reader");
    for lines in [&mut alice, &mut bob, &mut reader] {
        lines.expect("JOIN lobby", "OK cursor=0 last=0");
    }
    for seq in 1..=3 {
        bob.expect("SEND lobby old", &format!("OK {seq}"));
    }
    reader.expect("ACK lobby 3", "OK 3");
    reader.expect("WATCH", "OK");
    assert!(reader.line().unwrap().starts_with("ROOM lobby 3 3 0 "));
    alice.expect("WATCH", "OK");
    assert!(alice.line().unwrap().starts_with("ROOM lobby 3 3 3 "));
    // Nothing else happens, and a client that has read everything gets no push.
    let mut told = String::new();
    wait_until("the watch tells that they are gone", || {
        told = alice.line().unwrap();
        told.starts_with("ROOM lobby 3 3 0 ")
    });
    bob.expect("SEND lobby new", "OK 4");
    assert!(reader.line().unwrap().starts_with("ROOM lobby 3 4 1 "));
}

#[test]
fn neither_redacted_messages_nor_redactions_are_unread() {
    let mut daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("WATCH", "OK");
    let told = |alice: &mut Lines, last: u64, unread: u64| {
        let mut line = String::new();
        wait_until("the watch tells it", || {
            line = alice.line().unwrap();
            line.starts_with(&format!("ROOM lobby 2 {last} "))
        });
        assert!(line.starts_with(&format!("ROOM lobby 2 {last} {unread} ")), "{line}");
    };
    for seq in 1..=5 {
        bob.expect(&format!("SEND lobby slip {seq}"), &format!("OK {seq}"));
    }
    told(&mut alice, 5, 5);
    for seq in 1..=5 {
        bob.expect(&format!("REDACT lobby {seq}"), &format!("OK {}", seq + 5));
        told(&mut alice, seq + 5, 5 - seq);
    }
    drop(alice);
    assert_eq!(unread(&mut daemon.lines("alice")), 0);
    daemon.start_again();
    assert_eq!(unread(&mut daemon.lines("alice")), 0);
}

#[test]
fn a_persons_own_messages_are_unread_for_others_only() {
    let daemon = Daemon::start();
    let (mut alice, mut phone, mut bob) = (daemon.lines("alice"), daemon.lines("alice/phone"), daemon.lines("bob"));
    for lines in [&mut alice, &mut phone, &mut bob] {
        lines.expect("JOIN lobby", "OK cursor=0 last=0");
    }
    alice.expect("SEND lobby mine", "OK 1");
    bob.expect("SEND lobby his", "OK 2");
    phone.expect("SEND reply=2 lobby mine, too", "OK 3");
    assert_eq!((unread(&mut alice), unread(&mut phone), unread(&mut bob)), (1, 1, 2));
    alice.expect("ACK lobby 2", "OK 2");
    assert_eq!((unread(&mut alice), unread(&mut phone), unread(&mut bob)), (0, 1, 2));
    // A cursor that goes back finds them again.
    alice.expect("SEEK lobby start", "OK 0");
    assert_eq!(unread(&mut alice), 1);
}

/// By what FETCH hands over.
#[test]
fn the_unread_count_is_exact_however_large_it_is() {
    const ROUNDS: u64 = 1700;
    let mut daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    for round in 0..ROUNDS {
        alice.send("SEND lobby hers");
        bob.send("SEND lobby his");
        assert!(alice.line().unwrap().starts_with("OK ") && bob.line().unwrap().starts_with("OK "), "{round}");
    }
    let matches = |daemon: &Daemon, cursor: u64| {
        let mut alice = daemon.lines("alice");
        alice.ask(&format!("SEEK lobby {cursor}"));
        let handed = alice.ask("FETCH lobby");
        let others = handed.iter().filter(|line| line.starts_with("MSG") && line.ends_with(" bob his")).count();
        assert_eq!(unread(&mut alice), others as u64, "behind {cursor}");
        others
    };
    let all = |daemon: &Daemon| {
        [0, 1, 5, 1023, 1024, 1025, 2047, 2048, 2500, 3072, 2 * ROUNDS - 1, 2 * ROUNDS]
            .map(|cursor| matches(daemon, cursor))
    };
    let before = all(&daemon);
    // In a block that was counted, and at its ends.
    let handed = alice.ask("FETCH lobby after=0");
    let his: Vec<&str> =
        handed.iter().filter(|line| line.ends_with(" bob his")).map(|line| line.split(' ').nth(2).unwrap()).collect();
    let place = |seq: u64| his.iter().position(|his| his.parse::<u64>().unwrap() >= seq).unwrap();
    for at in [0, place(1000), place(1020), place(1025), place(3000)] {
        assert!(bob.ask(&format!("REDACT lobby {}", his[at]))[0].starts_with("OK "));
    }
    let after = all(&daemon);
    assert_eq!(before[0] - after[0], 5);
    daemon.start_again();
    assert_eq!(all(&daemon), after);
}

#[test]
fn a_watch_reports_rooms_that_appear_change_and_vanish() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    bob.expect("WATCH", "OK");
    alice.expect("CREATE --private secret", "OK");
    alice.expect("CREATE lobby", "OK");
    let next = |bob: &mut Lines| {
        let line = bob.line().unwrap();
        let mut words: Vec<&str> = line.split(' ').collect();
        if words[0] == "ROOM" {
            words.remove(5);
        }
        words.join(" ")
    };
    // Not told of the private one.
    assert_eq!(next(&mut bob), "ROOM lobby 0 0 - open");
    alice.expect("TOPIC lobby 무엇이든", "OK");
    assert_eq!(next(&mut bob), "ROOM lobby 0 0 - open 무엇이든");
    alice.expect("INVITE secret bob", "OK");
    assert_eq!(next(&mut bob), "ROOM secret 0 0 - private");
    let mut elsewhere = daemon.lines("bob");
    elsewhere.expect("JOIN secret", "OK cursor=0 last=0");
    assert_eq!(next(&mut bob), "ROOM secret 1 0 0 private");
    alice.expect("JOIN secret", "OK cursor=0 last=0");
    assert_eq!(next(&mut bob), "ROOM secret 2 0 0 private");
    alice.expect("SEND secret psst", "OK 1");
    assert_eq!(next(&mut bob), "ROOM secret 2 1 1 private");
    // What is read on another connection of the same client is no longer unread.
    elsewhere.expect("ACK secret 1", "OK 1");
    assert_eq!(next(&mut bob), "ROOM secret 2 1 0 private");
    alice.expect("KICK secret bob", "OK");
    assert_eq!(next(&mut bob), "GONE secret");
}

#[test]
fn history_returns_a_part_and_leaves_the_cursor() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    for seq in 1..=50 {
        alice.expect(&format!("SEND lobby {seq}"), &format!("OK {seq}"));
    }
    let seqs = |alice: &mut Lines, rest: &str| -> Vec<u64> {
        let mut answer = alice.ask(&format!("HISTORY lobby{rest}"));
        let end = answer.pop().unwrap();
        let seqs: Vec<u64> = answer.iter().map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect();
        assert_eq!(end, format!("END lobby {} 1 50", seqs.last().map_or_else(|| end_of(&end), |last| *last)));
        seqs
    };
    assert_eq!(seqs(&mut alice, ""), (1..=50).collect::<Vec<_>>());
    assert_eq!(seqs(&mut alice, " max=3"), [48, 49, 50]);
    assert_eq!(seqs(&mut alice, " before=48 max=3"), [45, 46, 47]);
    assert_eq!(seqs(&mut alice, " before=2 max=3"), [1]);
    assert_eq!(seqs(&mut alice, " before=1"), [0u64; 0]);
    let listed = alice.ask("HISTORY lobby");
    let time = |seq: usize| listed[seq - 1].split(' ').nth(3).unwrap().to_owned();
    let since = time(30);
    let first = (1..=50).find(|seq| time(*seq) == since).unwrap() as u64;
    assert_eq!(seqs(&mut alice, &format!(" since={since} max=2")), [first, first + 1]);
    assert_eq!(seqs(&mut alice, &format!(" since={since}")), (first..=50).collect::<Vec<_>>());
    assert_eq!(seqs(&mut alice, &format!(" since={since} before=45")), (first..45).collect::<Vec<_>>());
    assert_eq!(seqs(&mut alice, " since=1h max=1"), [1]);
    assert_eq!(seqs(&mut alice, " since=2999-01-01T00:00:00Z"), [0u64; 0]);
    // It moved nothing, and counts for no ACK.
    alice.expect("ACK lobby", "OK 0");
    assert_eq!(alice.ask("FETCH lobby").len(), 51);
    for bad in ["since=yesterday", "before=x", "max", "max=1 max=2"] {
        assert!(alice.ask(&format!("HISTORY lobby {bad}"))[0].starts_with("ERR bad-argument "));
    }
}

fn end_of(end: &str) -> u64 {
    end.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn seek_moves_the_cursor_anywhere() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    for seq in 1..=5 {
        alice.expect(&format!("SEND lobby {seq}"), &format!("OK {seq}"));
    }
    assert_eq!(alice.ask("READ lobby").len(), 6);
    alice.expect("SEEK lobby 3", "OK 3");
    // Nothing that was handed over before counts.
    alice.expect("ACK lobby", "OK 3");
    assert_eq!(alice.ask("READ lobby").len(), 3);
    alice.expect("SEEK lobby start", "OK 0");
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    alice.expect("FOLLOW lobby", "OK after=0");
    for seq in 1..=5 {
        assert!(alice.line().unwrap().ends_with(&format!(" alice {seq}")));
    }
    alice.expect("SEEK lobby 4", "OK 4");
    assert!(alice.line().unwrap().ends_with(" alice 5"), "a FOLLOW goes on from there");
    alice.expect("SEEK lobby now", "OK 5");
    assert_eq!(alice.ask("FETCH lobby").len(), 1);
    assert!(alice.ask("SEEK lobby 6")[0].starts_with("ERR set-back 6 is past the last seq of lobby, 5:"));
}

#[test]
fn a_first_join_starts_where_from_says() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.expect("JOIN lobby from=now", "OK cursor=0 last=0");
    alice.expect("SEND lobby before", "OK 1");
    bob.expect("JOIN lobby from=now", "OK cursor=1 last=1");
    bob.expect("JOIN lobby from=start", "OK cursor=1 last=1");
    alice.expect("SEND lobby after", "OK 2");
    let fetched = bob.ask("FETCH lobby");
    assert!(fetched.len() == 2 && fetched[0].ends_with(" alice after"), "{fetched:?}");
}

#[test]
fn a_room_may_be_kept_longer_than_the_default_but_not_shorter() {
    let flags = ["--allow-short-retention", "--retention", "2s"];
    let mut daemon = Daemon::start_with(&flags);
    let mut alice = daemon.lines("alice");
    for room in ["short", "long"] {
        alice.expect(&format!("JOIN {room}"), "OK cursor=0 last=0");
    }
    alice.expect("RETAIN long", "OK retention=2s cap=none stored=0");
    alice.expect("RETAIN long 1s", "ERR bad-argument a room is kept for 2s to 365days, or by default");
    alice.expect("RETAIN long 1h", "OK retention=3600s cap=none stored=0");
    for room in ["short", "long"] {
        alice.expect(&format!("SEND id=1 {room} keep me"), "OK 1");
    }
    wait_until("the other room's message expires", || {
        alice.ask("FETCH short").len() == 2 && alice.ask("FETCH short")[0].starts_with("GAP")
    });
    let has_it = |alice: &mut Lines| alice.ask("FETCH long")[0].ends_with(" alice keep me");
    assert!(has_it(&mut alice));
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    assert!(has_it(&mut alice));
    alice.expect("SEND id=1 long keep me", "OK 1 dup");
    alice.expect("RETAIN long default", &alice_retained(&daemon));
    wait_until("it expires", || alice.ask("FETCH long")[0].starts_with("GAP"));
}

/// What RETAIN says of a room that is kept by default.
fn alice_retained(daemon: &Daemon) -> String {
    let stored = daemon.lines("alice").ask("RETAIN long")[0].rsplit_once('=').unwrap().1.to_owned();
    format!("OK retention=2s cap=none stored={stored}")
}

#[test]
fn a_full_room_refuses_and_drops_nothing() {
    let mut daemon = Daemon::start_with(&["--allow-short-retention", "--retention", "4s"]);
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("RETAIN lobby default cap=1000", "OK retention=4s cap=1000 stored=0");
    let body = "x".repeat(100);
    let mut sent = 0;
    let refused = loop {
        let answer = alice.ask(&format!("SEND id={sent} lobby {body}")).remove(0);
        if answer.starts_with("ERR") {
            break answer;
        }
        sent += 1;
    };
    assert!(refused.starts_with("ERR limit lobby holds ") && refused.contains("at most 1000 bytes"), "{refused}");
    assert!((5..10).contains(&sent));
    // A repeated message is not a new one, and there is space for a small one.
    alice.expect(&format!("SEND id=0 lobby {body}"), "OK 1 dup");
    let stored =
        |alice: &mut Lines| -> u64 { alice.ask("RETAIN lobby")[0].rsplit_once('=').unwrap().1.parse().unwrap() };
    let before = stored(&mut alice);
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    assert_eq!(stored(&mut alice), before, "the same after a crash");
    assert!(alice.ask(&format!("SEND lobby {body}"))[0].starts_with("ERR limit"));
    assert_eq!(alice.ask("FETCH lobby").len(), sent + 1);
    wait_until("some expire", || alice.ask(&format!("SEND lobby {body}"))[0].starts_with("OK"));
    wait_until("all expire", || stored(&mut alice) == 0);
}

#[test]
fn a_kicked_client_gets_nothing_more_however_slowly_it_reads() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.expect("CREATE --private secret", "OK");
    alice.expect("INVITE secret bob", "OK");
    for lines in [&mut alice, &mut bob] {
        lines.expect("JOIN secret", "OK cursor=0 last=0");
    }
    bob.expect("EVENTS on", "OK");
    bob.expect("FOLLOW secret", "OK after=0");
    bob.expect("UNFOLLOW secret", "OK");
    // More than the sockets hold.
    let body = "x".repeat(60_000);
    for seq in 1..=600 {
        alice.expect(&format!("SEND secret {body}"), &format!("OK {seq}"));
    }
    bob.send("FETCH secret");
    bob.send("FOLLOW secret");
    assert!(bob.line().unwrap().contains(" secret 1 "));
    alice.expect("KICK secret bob", "OK");
    alice.expect("TYPING secret", "OK");
    let answer = bob.answer();
    assert_eq!(answer.last().unwrap(), "ERR no-room there is no room secret; JOIN makes it");
    assert!(answer.len() < 590, "{}", answer.len());
    assert_eq!(bob.answer(), ["ERR no-room there is no room secret; JOIN makes it"]);
    bob.expect("PING", "OK pong");
}

#[test]
fn a_kicked_follower_is_told_and_gets_nothing_after_that() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    for lines in [&mut alice, &mut bob] {
        lines.expect("JOIN lobby", "OK cursor=0 last=0");
    }
    bob.expect("EVENTS on", "OK");
    bob.expect("FOLLOW lobby", "OK after=0");
    // All in one commit, so that bob finds it all at once.
    alice.send_bytes(b"KICK lobby bob\nNICK secret\nSEND lobby and now without him\n");
    for answer in ["OK", "OK", "OK 1"] {
        assert_eq!(alice.line().as_deref(), Some(answer));
    }
    assert_eq!(bob.line().as_deref(), Some("GONE lobby"));
    bob.expect("PING", "OK pong");
}

/// Applies a verb to this many people, and checks that each answer is OK.
fn of_many(lines: &mut Lines, verb: &str, persons: std::ops::Range<usize>) {
    let printed: String = persons.clone().map(|n| format!("{verb} lobby p{n}\n")).collect();
    lines.send_bytes(printed.as_bytes());
    for n in persons {
        assert_eq!(lines.line().as_deref(), Some("OK"), "{verb} of {n}");
    }
}

#[test]
fn members_can_not_exhaust_limits_that_the_owner_needs() {
    use dantok::limits::{BANNED_MAX, INVITED_BY_OWNER_MAX, INVITED_MAX};
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    let mut mallory = daemon.lines("mallory");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    mallory.expect("JOIN lobby", "OK cursor=0 last=0");
    of_many(&mut mallory, "INVITE", 0..INVITED_MAX);
    let full = "ERR limit at most 10000 people invited to one room by its members";
    mallory.expect("INVITE lobby one-more", full);
    mallory.expect("INVITE lobby p7", "OK");
    // The owner bans and invites all the same, and after a start too.
    alice.expect("BAN lobby stranger", "OK");
    alice.expect("INVITE lobby friend", "OK");
    daemon.kill();
    daemon.start_again();
    let (mut alice, mut mallory) = (daemon.lines("alice"), daemon.lines("mallory"));
    mallory.expect("INVITE lobby one-more", full);
    of_many(&mut alice, "INVITE", INVITED_MAX..INVITED_BY_OWNER_MAX - 1);
    alice.expect("INVITE lobby one-more", "ERR limit at most 11000 people invited to one room");
    // A ban replaces an invitation and vice versa: each change frees a place.
    of_many(&mut alice, "BAN", 0..BANNED_MAX - 1);
    let full = "ERR limit at most 10000 people banned from one room; UNBAN lifts a ban";
    alice.expect("BAN lobby mallory", full);
    mallory.expect("INVITE lobby one-more", "OK");
    alice.expect("UNBAN lobby p7", "OK");
    alice.expect("BAN lobby mallory", "OK");
    alice.expect("BAN lobby p7", full);
    alice.expect("INVITE lobby p8", "OK");
    alice.expect("BAN lobby p7", "OK");
}
