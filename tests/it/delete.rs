//! Deleted rooms: nothing in them is shown again or appears in a new room of the same name, their space is freed, and a
//! kill at any moment changes none of that.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common::{Daemon, Frames, Lines, backups, wait_until, wait_until_it_takes, without_numbers};
use dantok_protocol::{Command, ErrorCode, Item, Reply, commands};

const NO_ROOM: &str = "ERR no-room there is no room lobby; JOIN makes it";

/// The number that an answer tells.
fn number(answer: &str) -> u64 {
    let (_, number) = answer.split_once("number=").unwrap_or_else(|| panic!("no number in {answer}"));
    number.parse().unwrap()
}

fn check(daemon: &Daemon) {
    let printed = backups::run(&daemon.data_dir(), &["check"]);
    assert!(printed.contains("is intact"), "{printed}");
}

/// A room of alice's with one of everything.
fn furnish(daemon: &Daemon) -> Lines {
    let mut alice = daemon.lines("alice");
    alice.expect("CREATE --private lobby what is old", "OK created");
    for (line, answer) in [
        ("JOIN lobby", "OK cursor=0 last=0"),
        ("SEND id=m1 lobby one", "OK 1"),
        ("SEND id=m2 lobby two", "OK 2"),
        ("SEND lobby three", "OK 3"),
        ("REDACT lobby 2", "OK 4"),
        ("ACK lobby 3", "OK 3"),
        ("INVITE lobby bob", "OK"),
        ("INVITE lobby carol", "OK"),
        ("BAN lobby mallory", "OK"),
    ] {
        alice.expect(line, answer);
    }
    assert!(alice.ask("RETAIN lobby 48h cap=1000000")[0].starts_with("OK retention=172800s"));
    assert!(alice.ask("GROUP lobby w timeout=5s")[0].starts_with("OK cursor=0 last=4"));
    assert_eq!(alice.ask("TAKE lobby w").len(), 2);
    alice.expect("DONE lobby w 1", "OK 1");
    daemon.lines("bob").expect("JOIN lobby", "OK cursor=0 last=4");
    alice
}

#[test]
fn a_recreated_room_has_nothing_of_the_deleted_one() {
    let mut daemon = Daemon::start();
    let mut alice = furnish(&daemon);
    let mut bob = daemon.lines("bob");
    let old = number(&alice.ask("JOIN lobby")[0]);
    bob.expect("DELETE lobby", "ERR denied only the room's owner or an admin may do this; ACCESS says who owns it");
    daemon.lines("mallory").expect("DELETE lobby", NO_ROOM);
    alice.expect(
        &format!("DELETE lobby number={}", old + 1),
        &format!("ERR no-room lobby is another room by now: its number is {old}"),
    );
    alice.expect(&format!("DELETE lobby number={old}"), "OK");
    // At once, for everybody, whatever is asked.
    for lines in [&mut alice, &mut bob] {
        for line in [
            "FETCH lobby",
            "READ lobby",
            "FOLLOW lobby",
            "HISTORY lobby",
            "ACK lobby 3",
            "SEEK lobby 1",
            "SEND lobby x",
            "WHO lobby",
            "ACCESS lobby",
            "TOPIC lobby x",
            "RETAIN lobby",
            "REDACT lobby 1",
            "GROUPS lobby",
            "TAKE lobby w",
            "DONE lobby w 2",
            "PENDING lobby w",
            "TYPING lobby",
            "INVITE lobby x",
            "LEAVE lobby",
            "DELETE lobby",
        ] {
            assert_eq!(lines.ask(line), [NO_ROOM], "{line}");
        }
        lines.expect("ROOMS", "OK 0");
    }
    // Whoever was banned may take the name; that is another room, of which she is the owner, and nobody a member.
    let mut mallory = daemon.lines("mallory");
    let new = mallory.ask("CREATE --private lobby").remove(0);
    assert_eq!(without_numbers(&new, "OK created"), "OK created");
    assert!(number(&new) > old);
    for lines in [&mut alice, &mut bob, &mut daemon.lines("carol")] {
        lines.expect("JOIN lobby", "ERR denied lobby is private; a member can INVITE you");
        lines.expect("FETCH lobby after=0", NO_ROOM);
    }
    for round in 0..2 {
        mallory.expect("JOIN lobby", "OK cursor=0 last=0");
        mallory.expect("GROUPS lobby", "OK 0");
        mallory.expect("TAKE lobby w", "ERR no-group lobby has no group w; GROUP makes it");
        mallory.expect("RETAIN lobby", "OK retention=86400s cap=none stored=0");
        assert_eq!(mallory.ask("ACCESS lobby"), ["ACCESS lobby mallory owner", "OK 1"]);
        assert_eq!(mallory.ask("WHO lobby").len(), 2);
        let rooms = mallory.ask("ROOMS");
        assert!(rooms[0].starts_with("ROOM lobby 1 0 0 ") && rooms[0].ends_with(" private"), "{rooms:?}");
        if round == 0 {
            check_number(&mut mallory, number(&new));
            daemon.kill();
            check(&daemon);
            daemon.start_again();
            mallory = daemon.lines("mallory");
        }
    }
    // The same id of the same client is another message's.
    mallory.expect("INVITE lobby alice", "OK");
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("SEND id=m1 lobby of another room", "OK 1");
    alice.expect("SEND id=m1 lobby of another room", "OK 1 dup");
    let history = mallory.ask("HISTORY lobby");
    assert!(history.len() == 2 && history[0].ends_with(" alice of another room"), "{history:?}");
    assert!(daemon.terminate().success());
    check(&daemon);
}

fn check_number(lines: &mut Lines, expected: u64) {
    assert_eq!(number(&lines.ask("JOIN lobby")[0]), expected);
}

#[test]
fn followers_watchers_and_waiting_takes_learn_of_a_deletion_before_anything_of_the_next_room() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("GROUP lobby w", "OK cursor=0 last=0 timeout=30s");
    let mut both = daemon.lines("both");
    let mut followers = [daemon.lines("bob"), daemon.lines("bob/phone")];
    for lines in followers.iter_mut().chain([&mut both]) {
        lines.expect("JOIN lobby", "OK cursor=0 last=0");
        lines.expect("FOLLOW lobby", "OK after=0");
    }
    both.expect("WATCH", "OK");
    assert!(both.line().unwrap().starts_with("ROOM lobby "));
    let mut watcher = daemon.lines("carol");
    watcher.expect("WATCH", "OK");
    assert!(watcher.line().unwrap().starts_with("ROOM lobby "));
    let mut waits = daemon.lines("dora");
    waits.expect("JOIN lobby", "OK cursor=0 last=0");
    waits.send("TAKE lobby w wait=50s\nPING");
    wait_until_it_takes(&daemon, &waits);
    for lines in [&mut both, &mut watcher] {
        assert!(lines.line().unwrap().starts_with("ROOM lobby 5 "));
    }
    // One commit, and another room with the same name, the same group and the same members in it.
    alice.send("DELETE lobby\nCREATE lobby\nJOIN lobby\nGROUP lobby w\nSEND lobby of another room");
    let answers: Vec<String> = (0..5).map(|_| without_numbers(&alice.line().unwrap(), "OK created")).collect();
    assert_eq!(answers, ["OK", "OK created", "OK cursor=0 last=0", "OK cursor=0 last=0 timeout=30s", "OK 1"]);
    assert_eq!(waits.line().as_deref(), Some(NO_ROOM));
    assert_eq!(waits.line().as_deref(), Some("OK pong"));
    for lines in &mut followers {
        assert_eq!(lines.line().as_deref(), Some("GONE lobby"));
        lines.expect("PING", "OK pong");
    }
    for lines in [&mut both, &mut watcher] {
        assert_eq!(lines.line().as_deref(), Some("GONE lobby"));
        // In as many steps as there were commits.
        loop {
            let line = lines.line().unwrap();
            assert!(line.starts_with("ROOM lobby "), "{line}");
            if line.starts_with("ROOM lobby 1 1 - ") {
                break;
            }
        }
        lines.expect("PING", "OK pong");
    }
    // Who is told may join the other one, and follows that from its beginning.
    let [bob, _] = &mut followers;
    bob.expect("JOIN lobby", "OK cursor=0 last=1");
    bob.expect("FOLLOW lobby", "OK after=0");
    assert!(bob.line().unwrap().ends_with(" alice of another room"));
}

#[test]
fn pipelined_deletions_are_carried_out_in_order() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    (1..=3).for_each(|seq| alice.expect(&format!("SEND id={seq} lobby old"), &format!("OK {seq}")));
    assert_eq!(alice.ask("FETCH lobby").len(), 4);
    let asked = [
        ("SEND id=4 lobby old", "OK 4"),
        ("GROUP lobby w", "OK cursor=0 last=4 timeout=30s"),
        ("DELETE lobby", "OK"),
        ("SEND lobby nowhere", NO_ROOM),
        ("DELETE lobby", NO_ROOM),
        ("CREATE lobby", "OK created"),
        ("SEND lobby nowhere", "ERR not-joined JOIN lobby first"),
        ("JOIN lobby", "OK cursor=0 last=0"),
        ("SEND id=1 lobby new", "OK 1"),
        ("SEND id=2 lobby new", "OK 2"),
        // Nothing of it was handed over, whatever was of the other one.
        ("ACK lobby", "OK 0"),
        ("GROUP lobby w", "OK cursor=0 last=2 timeout=30s"),
        ("DONE lobby w 2", "ERR bad-argument 2 was not taken yet"),
        ("DELETE lobby", "OK"),
        ("JOIN lobby", "OK cursor=0 last=0 created"),
        ("SEND id=1 lobby newest", "OK 1"),
    ];
    alice.send(&asked.map(|(line, _)| line).join("\n"));
    for (line, answer) in asked {
        assert_eq!(without_numbers(&alice.line().unwrap(), answer), answer, "{line}");
    }
    let found = alice.ask("FETCH lobby");
    assert!(found.len() == 2 && found[0].ends_with(" alice newest"), "{found:?}");
}

#[test]
fn a_deleted_room_counts_for_nobody() {
    let daemon = Daemon::start_with(&["--max-rooms", "2", "--max-rooms-per-client", "1", "--max-joined-rooms", "1"]);
    let mut alice = daemon.lines("alice");
    for _ in 0..3 {
        alice.send("JOIN a\nJOIN b\nDELETE a\nJOIN b\nDELETE b");
        let answers: Vec<String> = (0..5).map(|_| without_numbers(&alice.line().unwrap(), "")).collect();
        let joined = "ERR limit at most 1 joined rooms of one client";
        assert_eq!(answers, ["OK cursor=0 last=0", joined, "OK", "OK cursor=0 last=0", "OK"]);
        alice.expect("CREATE a", "OK created");
        alice.expect("CREATE b", "ERR limit at most 1 rooms of one person");
        alice.expect("DELETE a", "OK");
    }
}

/// Bytes on the disk of the files that messages stand in.
fn disk_bytes(data: &Path) -> u64 {
    let files = ["journal", "segments"].iter().flat_map(|dir| std::fs::read_dir(data.join(dir)).unwrap());
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.blocks() * 512)).sum()
}

#[test]
fn deleting_a_room_frees_its_space_and_nothing_else() {
    const MIB: u64 = 1024 * 1024;
    let mut daemon = Daemon::start();
    let mut alice = daemon.frames("alice");
    for room in ["large", "small"] {
        alice.ask(Command::join(room));
    }
    let body = |n: u64| (0..60_000u64).map(|at| ((at * at + n * 31) >> 3) as u8).collect::<Vec<_>>();
    // Some is large and stays where it was written, some is gathered from many commits; with ids and without.
    let mut sent = Vec::new();
    for n in 0..850 {
        let id = (n % 2 == 0).then(|| n.to_string());
        sent.push(alice.send(Command::Send(commands::Send {
            room: "large".into(),
            id,
            body: body(n).into(),
            reply: None,
        })));
    }
    for n in 0..200 {
        sent.push(alice.send(Command::send("large", Some(&format!("s{n}")), format!("short {n}"))));
        sent.push(alice.send(Command::send("small", None, format!("stays {n}"))));
    }
    for id in sent {
        assert!(matches!(alice.try_answer(id).unwrap().1, Reply::Sent { dup: false, .. }));
    }
    let before = disk_bytes(&daemon.data_dir());
    assert!(before > 48 * MIB, "{before}");
    assert_eq!(alice.ask(Command::Delete(commands::Delete { room: "large".into(), number: None })).1, Reply::Done);
    // A kill right behind the answer: what is left to do is done by the next run.
    daemon.kill();
    check(&daemon);
    daemon.start_again();
    let mut alice = daemon.frames("alice");
    let refused = alice.ask(Command::Fetch(commands::Fetch { room: "large".into(), after: Some(0), max: None })).1;
    assert!(matches!(refused, Reply::Error(refusal) if refusal.code == ErrorCode::NoRoom));
    // A file that is written to stays, one of the journal and one segment; and so does an empty one for later.
    wait_until("the space is free", || {
        disk_bytes(&daemon.data_dir()) < 40 * MIB && disk_bytes(&daemon.data_dir()) + 32 * MIB < before + 16 * MIB
    });
    let (items, _) = alice.ask(Command::Fetch(commands::Fetch { room: "small".into(), after: Some(0), max: None }));
    assert_eq!(items.len(), 200);
    assert!(daemon.terminate().success());
    let printed = backups::run(&daemon.data_dir(), &["check"]);
    assert!(printed.contains("is intact") && printed.contains("ids        intact: 0"), "{printed}");
}

#[test]
fn incremental_backups_cover_a_room_that_was_deleted_and_recreated() {
    let mut daemon = Daemon::start();
    let to = tempfile::tempdir().unwrap();
    let mut alice = furnish(&daemon);
    alice.expect("JOIN stays", "OK cursor=0 last=0");
    alice.expect("SEND stays one", "OK 1");
    let back_up = |daemon: &Daemon, args: &[&str]| {
        backups::run(&daemon.data_dir(), &[&["backup"], args, &[backups::text(to.path())]].concat())
    };
    back_up(&daemon, &[]);
    alice.send("DELETE lobby\nCREATE lobby\nJOIN lobby\nSEND id=m1 lobby new one\nSEND stays two\nJOIN passing\nSEND passing x");
    (0..7).for_each(|_| assert!(alice.line().unwrap().starts_with("OK")));
    back_up(&daemon, &["--incremental"]);
    assert_eq!(backups::files(to.path()).len(), 2);
    alice.expect("DELETE passing", "OK");
    // Over a start, too.
    daemon.kill();
    daemon.start_again();
    daemon.lines("alice").expect("SEND lobby new two", "OK 2");
    back_up(&daemon, &["--incremental"]);
    assert_eq!(backups::files(to.path()).len(), 3);
    let restored = backups::restored(to.path());
    let mut alice = restored.lines("alice");
    let history = alice.ask("HISTORY lobby");
    assert!(history.len() == 3 && history[0].ends_with(" new one") && history[1].ends_with(" new two"), "{history:?}");
    alice.expect("SEND id=m1 lobby new one", "OK 1 dup");
    alice.expect("SEND id=m2 lobby another", "OK 3");
    assert_eq!(alice.ask("ACCESS lobby"), ["ACCESS lobby alice owner", "OK 1"]);
    assert_eq!(alice.ask("HISTORY stays").len(), 3);
    assert_eq!(alice.ask("ROOMS").len(), 3);
}

/// What a worker knows of its room.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Its number, and the messages that were acknowledged; none: there is no such room.
    room: Option<(u64, Vec<String>)>,
    /// The last thing that was asked, whose answer has not come: what it may have done.
    may: May,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum May {
    #[default]
    Nothing,
    BeMade,
    HaveMore(String),
    BeGone,
}

/// Connects, and compares what is there with what is known.
fn resume(daemon: &Mutex<Daemon>, name: &str, known: &mut Known) -> Option<Frames> {
    let address = daemon.lock().unwrap().address();
    let mut frames = Frames::connect(address);
    let hello = Command::Hello(commands::Hello { version: 1, client: name.to_owned(), token: None, epoch: None });
    let hello = frames.try_send(hello)?;
    frames.try_answer(hello)?;
    let fetch =
        frames.try_send(Command::Fetch(commands::Fetch { room: name.to_owned(), after: Some(0), max: None }))?;
    let (items, reply) = frames.try_answer(fetch)?;
    if let Reply::Error(refusal) = reply {
        assert_eq!(refusal.code, ErrorCode::NoRoom, "{name}: {refusal:?}");
        assert!(known.room.is_none() || known.may == May::BeGone, "{name} is gone: {known:?}");
        *known = Known::default();
        return Some(frames);
    }
    let join = frames.try_send(Command::join(name))?;
    let (_, joined) = frames.try_answer(join)?;
    let Reply::Joined { number, created: false, .. } = joined else { panic!("{name}: {joined:?}") };
    let bodies: Vec<String> = items
        .iter()
        .map(|item| match item {
            Item::Message(message) => String::from_utf8(message.body.to_vec()).unwrap(),
            other => panic!("{name}: {other:?}"),
        })
        .collect();
    let (expected, mut acknowledged) = match known.room.clone() {
        Some(room) => room,
        None => {
            assert_eq!(known.may, May::BeMade, "{name} is there again: {bodies:?}");
            (number, Vec::new())
        }
    };
    assert_eq!(number, expected, "{name} is another room: {known:?}");
    if let May::HaveMore(more) = &known.may
        && bodies.len() > acknowledged.len()
    {
        acknowledged.push(more.clone());
    }
    assert_eq!(bodies, acknowledged, "{name}: {known:?}");
    *known = Known { room: Some((number, acknowledged)), may: May::Nothing };
    Some(frames)
}

/// One step: makes the room, says something in it, or deletes it.
fn step(frames: &mut Frames, name: &str, known: &mut Known, n: u64) -> Option<()> {
    let delete = n % 7 == 6;
    match &mut known.room {
        None => {
            known.may = May::BeMade;
            let join = frames.try_send(Command::join(name))?;
            let (_, Reply::Joined { number, created: true, last: 0, .. }) = frames.try_answer(join)? else {
                panic!("{name} was there")
            };
            known.room = Some((number, Vec::new()));
        }
        Some((number, _)) if delete => {
            let number = Some(*number);
            known.may = May::BeGone;
            let asked = frames.try_send(Command::Delete(commands::Delete { room: name.to_owned(), number }))?;
            assert_eq!(frames.try_answer(asked)?.1, Reply::Done, "{name}");
            known.room = None;
        }
        Some((_, acknowledged)) => {
            let size = [10, 200, 9000][(n % 3) as usize];
            let body = format!("{name} {n} {}", "x".repeat(size));
            known.may = May::HaveMore(body.clone());
            // Ids come again in each room of the name.
            let id = format!("m{}", acknowledged.len());
            let asked = frames.try_send(Command::send(name, Some(&id), body.clone()))?;
            let seq = acknowledged.len() as u64 + 1;
            assert_eq!(frames.try_answer(asked)?.1, Reply::Sent { seq, dup: false }, "{name}");
            acknowledged.push(body);
        }
    }
    known.may = May::Nothing;
    Some(())
}

#[test]
fn deleted_and_recreated_rooms_survive_kills() {
    const KILLS: u64 = 8;
    let daemon = Mutex::new(Daemon::start());
    let (progress, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (daemon, progress, over) = (&daemon, &progress, &over);
                scope.spawn(move || {
                    let (name, mut known, mut n) = (format!("room-{worker}"), Known::default(), worker);
                    while !over.load(Ordering::Relaxed) {
                        let Some(mut frames) = resume(daemon, &name, &mut known) else { continue };
                        while !over.load(Ordering::Relaxed) && step(&mut frames, &name, &mut known, n).is_some() {
                            n += 1;
                            progress.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    resume(daemon, &name, &mut known).unwrap();
                    known.room
                })
            })
            .collect();
        for kill in 1..=KILLS {
            wait_until("the workers go on", || {
                progress.load(Ordering::Relaxed) > kill * 150 || workers.iter().any(|worker| worker.is_finished())
            });
            let mut daemon = daemon.lock().unwrap();
            daemon.kill();
            if kill % 4 == 0 {
                check(&daemon);
            }
            daemon.start_again();
        }
        over.store(true, Ordering::Relaxed);
        let numbers: Vec<u64> =
            workers.into_iter().filter_map(|worker| worker.join().unwrap()).map(|(number, _)| number).collect();
        let mut daemon = daemon.lock().unwrap();
        // A number is never given again, not even that of the last room that was made.
        let mut alice = daemon.lines("alice");
        let last = number(&alice.ask("CREATE last")[0]);
        assert!(numbers.iter().all(|number| *number < last));
        alice.expect("DELETE last", "OK");
        for _ in 0..2 {
            assert!(daemon.terminate().success());
            check(&daemon);
            daemon.start_again();
        }
        assert!(number(&daemon.lines("alice").ask("CREATE last")[0]) > last);
    });
}
