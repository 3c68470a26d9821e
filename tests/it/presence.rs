//! Presence on the real daemon: WHO, events, typing and keepalive.

use crate::common::{Daemon, Lines, asked_in, wait_until, wait_until_it_takes};
use dantok::limits::{EVENTS_MAX, KEEPALIVE, KEEPALIVE_TAKING, TYPING_EVERY};
use dantok_protocol::{Command, Event, Item, commands};

/// The words of the only member's line of an answer to WHO, who is this client.
fn member(lines: &mut Lines, client: &str) -> Vec<String> {
    let who = lines.ask("WHO lobby");
    let line = who.iter().find(|line| line.starts_with(&format!("MEMBER lobby {client} "))).unwrap();
    line.split(' ').map(str::to_owned).collect()
}

/// The next line, which is an event; without its time.
fn event(lines: &mut Lines) -> String {
    let line = lines.line().unwrap();
    let mut words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "EVENT", "{line}");
    words.remove(2);
    words[1..].join(" ")
}

/// alice, who follows the lobby and wants to know what goes on.
fn listener(daemon: &Daemon) -> Lines {
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("FOLLOW lobby", "OK after=0");
    alice.expect("EVENTS on", "OK");
    alice
}

#[test]
fn who_shows_since_when_a_member_is_connected() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    let since = member(&mut alice, "bob")[5].clone();
    assert!(since.ends_with('Z'));
    // A second connection changes nothing about it, and neither does its end.
    let second = daemon.lines("bob");
    assert_eq!(member(&mut alice, "bob")[3..6], ["2", "0", since.as_str()]);
    drop(second);
    wait_until("one connection ends", || member(&mut alice, "bob")[3] == "1");
    assert_eq!(member(&mut alice, "bob")[5], since);
    drop(bob);
    wait_until("bob is away", || member(&mut alice, "bob")[3] == "0");
    let left = member(&mut alice, "bob")[5].clone();
    assert!(left >= since, "{left} {since}");
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    assert_eq!(member(&mut alice, "bob")[3..6], ["0", "0", "-"]);
}

#[test]
fn followers_with_events_on_get_events() {
    let daemon = Daemon::start();
    let mut alice = listener(&daemon);
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    assert_eq!(event(&mut alice), "lobby bob joined");
    let desk = daemon.lines("bob/desk"); // No member.
    bob.expect("NICK 밥", "OK");
    assert_eq!(event(&mut alice), "lobby bob nick 밥");
    bob.expect("TYPING lobby", "OK");
    assert_eq!(event(&mut alice), "lobby bob typing");
    // Sooner than it is told again.
    bob.expect("TYPING lobby", "OK");
    bob.expect("SEND lobby hello", "OK 1");
    assert!(alice.line().unwrap().ends_with(" bob hello"));
    drop(desk);
    drop(bob);
    assert_eq!(event(&mut alice), "lobby bob offline");
    let mut bob = daemon.lines("bob");
    assert_eq!(event(&mut alice), "lobby bob online");
    bob.expect("LEAVE lobby", "OK");
    assert_eq!(event(&mut alice), "lobby bob left");
    bob.expect("TYPING lobby", "ERR not-joined JOIN lobby first");
    alice.expect("EVENTS off", "OK");
    bob.expect("JOIN lobby", "OK cursor=0 last=1");
    alice.expect("PING", "OK pong");
    alice.expect("EVENTS maybe", "ERR bad-argument usage: EVENTS on|off");
}

#[test]
fn events_go_only_to_followers_and_never_to_their_cause() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("EVENTS on", "OK");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("FOLLOW lobby", "OK after=0");
    alice.expect("TYPING lobby", "OK");
    alice.expect("NICK Al", "OK");
    bob.expect("TYPING lobby", "OK");
    assert_eq!(event(&mut alice), "lobby bob typing");
    alice.expect("UNFOLLOW lobby", "OK");
    drop(bob);
    wait_until("bob is away", || member(&mut alice, "bob")[3] == "0");
    alice.expect("PING", "OK pong");
}

#[test]
fn typing_is_announced_again_after_a_while_and_never_stored() {
    let mut daemon = Daemon::start();
    let mut alice = listener(&daemon);
    let mut bob = daemon.frames("bob");
    bob.ask(Command::join("lobby"));
    assert_eq!(event(&mut alice), "lobby bob joined");
    let commits = |lines: &mut Lines| {
        let stats = lines.ask("STATS").remove(0);
        stats.split(' ').find(|figure| figure.starts_with("commits=")).unwrap().to_owned()
    };
    let before = commits(&mut alice);
    for _ in 0..2 {
        bob.ask(Command::Typing(commands::Typing { room: "lobby".to_owned() }));
        assert_eq!(event(&mut alice), "lobby bob typing");
        let told = std::time::Instant::now();
        wait_until("it may be told again", || told.elapsed() > TYPING_EVERY);
    }
    assert_eq!(commits(&mut alice), before);
    daemon.start_again();
    let mut frames = daemon.frames("bob");
    frames.ask(Command::Events(commands::Events { on: true }));
    frames.ask(Command::Follow(commands::Follow { room: "lobby".to_owned(), after: None }));
    let mut alice = daemon.lines("alice");
    let Item::Event { client, event, .. } = frames.push() else { panic!("no event") };
    assert_eq!((&*client, event), ("alice", Event::Online));
    alice.expect("TYPING lobby", "OK");
    let Item::Event { event, .. } = frames.push() else { panic!("no event") };
    assert_eq!(event, Event::Typing);
}

#[test]
fn a_client_that_does_not_read_events_misses_some_and_uses_no_memory() {
    let daemon = Daemon::start();
    let mut alice = listener(&daemon);
    let mut bob = daemon.lines("bob");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    // More than any buffer holds.
    let nick = "x".repeat(30);
    for _ in 0..200 * EVENTS_MAX {
        bob.send(&format!("NICK {nick}"));
    }
    for _ in 0..200 * EVENTS_MAX {
        assert_eq!(bob.line().as_deref(), Some("OK"));
    }
    bob.expect("NICK last", "OK");
    while event(&mut alice) != "lobby bob nick last" {}
}

#[test]
fn typing_is_announced_once_a_second_per_client() {
    let daemon = Daemon::start();
    let mut alice = listener(&daemon);
    let mut bobs = [daemon.lines("bob"), daemon.lines("bob")];
    for lines in &mut bobs {
        lines.ask("JOIN lobby");
        lines.ask("JOIN other");
    }
    // The first TYPING and the last lie apart by much less than what is told again, on any machine that is not stopped meanwhile.
    let began = std::time::Instant::now();
    for _ in 0..10 {
        for lines in &mut bobs {
            lines.expect("TYPING lobby", "OK");
            lines.expect("TYPING other", "OK");
        }
    }
    let again = began.elapsed().as_millis() / TYPING_EVERY.as_millis();
    bobs[0].expect("SEND lobby done", "OK 1");
    let mut typing = 0;
    loop {
        let line = alice.line().unwrap();
        typing += u128::from(line.ends_with(" bob typing"));
        if line.starts_with("MSG ") {
            break;
        }
    }
    assert!((1..=1 + again).contains(&typing), "{typing}");
}

#[test]
fn unfollow_does_not_reveal_which_rooms_exist() {
    let daemon = Daemon::start();
    daemon.lines("alice").expect("CREATE --private secret", "OK");
    let mut bob = daemon.lines("bob");
    for room in ["secret", "nowhere"] {
        let text = format!("ERR no-room there is no room {room}; JOIN makes it");
        bob.expect(&format!("UNFOLLOW {room}"), &text);
    }
}

#[test]
fn the_kernel_probes_silent_clients_by_keepalive() {
    let daemon = Daemon::start();
    // As often as a connection says, and not as often as the other.
    wait_until("a connection's keepalive", || {
        let idle = Lines::connect(daemon.address());
        let asked = asked_in(&daemon, &idle.another());
        asked.is_some_and(|asked| asked > KEEPALIVE_TAKING.idle && asked <= KEEPALIVE.idle)
    });
    let mut worker = daemon.lines("worker");
    worker.expect("JOIN jobs", "OK cursor=0 last=0");
    worker.expect("GROUP jobs all", "OK cursor=0 last=0 timeout=30s");
    worker.send("TAKE jobs all wait=60s");
    wait_until_it_takes(&daemon, &worker);
}
