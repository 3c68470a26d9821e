//! Names on the real daemon: a lookalike of another name can't be created, different spellings of a name are the same
//! name, and earlier lookalike names stay reachable.

use std::path::Path;
use std::sync::Arc;

use crate::common::backups::{dantok, fail, printed, run};
use crate::common::{Daemon, Frames, Lines, open_store, wait_until_closed};
use bytes::Bytes;
use dantok_client::{Client, Options as Connecting};
use dantok_protocol::{Begin, Command, ErrorCode, Item, Reply, commands};
use dantok_store::Options;
use dantok_store::commit::{Commit, Op};
use dantok_store::record::{Kind, RoomRecord, Stored};

const LOOK_ALIKE: [(&str, &str); 14] = [
    ("gen\u{200b}eral", "U+200B"),
    ("\u{feff}general", "U+FEFF"),
    ("general\u{200d}", "U+200D"),
    ("gen\u{ad}eral", "U+00AD"),
    ("gen\u{2063}eral", "U+2063"),
    ("gen\u{34f}eral", "U+034F"),
    ("general\u{fe0f}", "U+FE0F"),
    ("\u{3164}", "U+3164"),
    ("\u{115f}\u{1160}", "U+115F"),
    ("a\u{ffa0}", "U+FFA0"),
    ("\u{2800}", "U+2800"),
    ("gener\u{430}l", "U+0430"),
    ("ｇeneral", "U+FF47"),
    ("\u{301}general", "U+0301"),
];

fn refused(answer: &[String], says: &str) {
    assert!(matches!(answer, [line] if line.contains("bad-argument") && line.contains(says)), "{says}: {answer:?}");
}

#[test]
fn a_name_that_looks_like_another_is_refused_in_every_framing() {
    let daemon = Daemon::start();
    let (mut alice, mut json) = (daemon.lines("alice"), daemon.lines("alice/json"));
    let mut frames = daemon.frames("alice/frames");
    alice.expect("CREATE --private plans", "OK");
    json.ask("JOIN plans");
    json.send("FORMAT json");
    json.line().unwrap();
    alice.ask("JOIN plans");
    for (name, says) in LOOK_ALIKE {
        for command in [
            format!("JOIN {name}"),
            format!("CREATE {name}"),
            format!("GROUP plans {name}"),
            format!("INVITE plans {name}"),
        ] {
            refused(&alice.ask(&command), says);
            json.send(&command);
            refused(&[json.line().unwrap()], says);
        }
        refused(&alice.ask(&format!("BAN plans {name}")), says);
        for client in [name.to_owned(), format!("{name}/phone"), format!("bob/{name}")] {
            refused(&Lines::connect(daemon.address()).ask(&format!("HELLO {client}")), says);
            let hello = Command::Hello(commands::Hello { version: 1, client, token: None, epoch: None });
            let (_, reply) = Frames::connect(daemon.address()).ask(hello);
            assert!(matches!(&reply, Reply::Error(refusal) if refusal.text.contains(says)), "{reply:?}");
        }
        let (_, reply) = frames.ask(Command::join(name));
        let is_named = |text: &str| text.contains(says);
        assert!(
            matches!(&reply, Reply::Error(refusal) if refusal.code == ErrorCode::BadArgument && is_named(&refusal.text))
        );
        assert!(fail(&daemon.data_dir(), &["token", "issue", name]).contains(says));
    }
    assert_eq!(alice.ask("ROOMS").len(), 2);
    assert_eq!(alice.ask("ACCESS plans"), ["ACCESS plans alice owner", "OK 1"]);
    assert_eq!(alice.ask("GROUPS plans"), ["OK 0"]);
    assert!(!daemon.data_dir().join("tokens.toml").exists());
    for (name, made) in
        [("단톡", "단톡"), ("#ubuntu", "#ubuntu"), ("🏳\u{fe0f}\u{200d}🌈", "🏳\u{200d}🌈"), ("❤\u{fe0f}", "❤")]
    {
        assert!(alice.ask(&format!("JOIN {name}"))[0].starts_with("OK cursor=0"), "{name}");
        assert!(alice.ask("ROOMS").iter().any(|line| line.split(' ').nth(1) == Some(made)), "{made}");
    }
}

#[tokio::test]
async fn a_name_is_the_same_however_it_is_written() {
    let daemon = Daemon::start();
    // 22 syllables: 66 bytes; 21 of them are a name, and have more than 64 bytes when they are taken apart.
    let syllable = "\u{1112}\u{1161}\u{11ab}";
    for (apart, whole) in [("cafe\u{301}".to_owned(), "café".to_owned()), (syllable.repeat(21), "한".repeat(21))] {
        let mut mac = daemon.lines(&apart);
        let mut other = daemon.lines("other");
        let hello = Lines::connect(daemon.address()).ask(&format!("HELLO {apart}"));
        assert!(hello[0].contains(&format!(" client={whole} ")), "{hello:?}");
        let made = mac.ask(&format!("JOIN {apart}"));
        assert!(made[0].starts_with("OK cursor=0 last=0"), "{made:?}");
        other.expect(&format!("JOIN {whole}"), "OK cursor=0 last=0");
        mac.expect(&format!("SEND {apart} hi"), "OK 1");
        let read = other.ask(&format!("FETCH {apart}"));
        assert!(
            read[0].starts_with(&format!("MSG {whole} 1 ")) && read[0].ends_with(&format!(" {whole} hi")),
            "{read:?}"
        );
        assert!(mac.ask(&format!("GROUP {whole} {apart}"))[0].starts_with("OK cursor=0"));
        assert!(other.ask(&format!("TAKE {apart} {whole}"))[0].starts_with("MSG"));
        mac.expect(&format!("KICK {whole} {apart}"), "ERR denied the room is theirs");
        let mut frames = daemon.frames(&format!("frames/{apart}"));
        assert!(matches!(frames.ask(Command::join(&*apart)).1, Reply::Joined { created: false, .. }));
        // The library follows it by the name that it was given.
        let client = Client::connect(Connecting::new(daemon.address().to_string(), "library")).await.unwrap();
        let mut follow = client.follow(&apart);
        let item = follow.next().await.unwrap().unwrap();
        assert!(matches!(&item, Item::Message(message) if *message.room == *whole && message.seq == 1), "{item:?}");
        let exported = run(&daemon.data_dir(), &["export", &apart]);
        assert_eq!(exported.lines().count(), 1, "{exported}");
    }
    assert_eq!(daemon.lines("other").ask("ROOMS").len(), 3);
    let token = daemon.token(&["issue", "zoe\u{308}"]);
    let hello = Lines::connect(daemon.address()).ask(&format!("HELLO zoë {token}"));
    assert!(hello[0].contains(" client=zoë "), "{hello:?}");
    assert!(daemon.token(&["revoke", "zoe\u{308}"]).contains("of zoë is revoked"));
}

/// A store from before there were such rules.
fn old_store(dir: &Path, rooms: &[&str], client: &str) {
    let (store, mut writer, _) = open_store(dir, &Options::default());
    let kept_ms = store.clock().now_ms();
    let who: Arc<str> = client.into();
    for (room, name) in (1..).zip(rooms) {
        let owner = Some(dantok_protocol::name::person(client).into());
        let record = RoomRecord { name: (*name).into(), owner, ..RoomRecord::default() };
        let (client, body) = (who.clone(), Bytes::from_static(b"old"));
        let message = Stored { seq: 1, time_ms: 1, kept_ms, client, id: None, body, kind: Kind::Plain };
        let ops = vec![
            Op::Room { room, record },
            Op::Join { room, client: who.clone() },
            Op::Join { room, client: "bob\u{ad}".into() },
            Op::Message { room, message },
            Op::Group { room, group: "g\u{3164}".into(), cursor: 0, timeout_ms: 60_000 },
        ];
        writer.append(Arc::new(Commit { kept_ms, ops })).unwrap();
    }
    drop((writer, store));
    wait_until_closed(dir);
}

#[test]
fn names_from_before_stay_reachable() {
    let dir = tempfile::tempdir().unwrap();
    let rooms = ["a\u{200b}b", "cafe\u{301}", "gener\u{430}l", "\u{3164}", "ｗide", "\u{feff}b"];
    let old = "ali\u{200d}ce/pho\u{200c}ne";
    old_store(&dir.path().join("data"), &rooms, old);
    let mut daemon = Daemon::start_in(dir, &[]);
    for _ in 0..2 {
        let mut alice = daemon.lines(old);
        // The person is known, and may have another device, which is new.
        daemon.lines("ali\u{200d}ce/desk");
        refused(&Lines::connect(daemon.address()).ask("HELLO ali\u{200d}ce/de\u{200b}sk"), "U+200B");
        let mut frames = daemon.frames("bob\u{ad}");
        for room in rooms {
            let printed = alice.ask(&format!("SEND {room} new"));
            assert!(printed[0].starts_with("OK "), "{room:?} {printed:?}");
            let read = alice.ask(&format!("FETCH {room} after=0 max=1"));
            assert!(read[0].starts_with(&format!("MSG {room} 1 ")) && read[0].ends_with("old"), "{read:?}");
            let (items, reply) =
                frames.ask(Command::Fetch(commands::Fetch { room: room.into(), after: Some(0), max: Some(1) }));
            assert!(
                matches!((&items[..], &reply), ([Item::Message(message)], Reply::End { .. }) if *message.room == *room)
            );
            let joined = frames.ask(Command::Join(commands::Join { room: room.into(), from: Begin::Start })).1;
            assert!(matches!(joined, Reply::Joined { created: false, .. }), "{joined:?}");
            for command in ["TOPIC", "ACCESS", "RETAIN", "FOLLOW", "UNFOLLOW", "ACK", "JOIN"] {
                let answer = alice.ask(&format!("{command} {room}"));
                assert!(answer.iter().all(|line| !line.starts_with("ERR")), "{command} {room:?} {answer:?}");
            }
            let taken = alice.ask(&format!("TAKE {room} g\u{3164} max=9"));
            assert!(taken.last().unwrap().starts_with("OK"), "{taken:?}");
            alice.expect(&format!("INVITE {room} bob\u{ad}"), "OK");
            let exported = run(&daemon.data_dir(), &["export", room]);
            assert!(exported.contains("\"old\""), "{exported}");
        }
        // Written another way it is another name, which is not there.
        alice.expect("FETCH ab", "ERR no-room there is no room ab; JOIN makes it");
        refused(&alice.ask("JOIN a\u{200b}\u{200b}b"), "U+200B");
        alice.done();
        assert!(daemon.terminate().success());
        daemon.start_again();
    }
    let mut alice = daemon.lines(old);
    alice.expect(&format!("KICK {} bob\u{ad}", rooms[0]), "OK");
    alice.expect(&format!("BAN {} bob\u{ad}", rooms[0]), "OK");
    alice.expect(&format!("UNBAN {} bob\u{ad}", rooms[0]), "OK");
    alice.expect(&format!("UNGROUP {} g\u{3164}", rooms[1]), "OK");
    refused(&alice.ask(&format!("GROUP {} g\u{3164}", rooms[1])), "U+3164");
    alice.expect(&format!("LEAVE {}", rooms[1]), "OK");
    alice.expect(&format!("DELETE {}", rooms[0]), "OK");
    // What is gone is not created again.
    refused(&alice.ask(&format!("JOIN {}", rooms[0])), "U+200B");
    // Nor if both come at once.
    alice.send(&format!("DELETE {}\r\nJOIN {}", rooms[3], rooms[3]));
    assert_eq!(alice.answer(), ["OK"]);
    refused(&alice.answer(), "U+3164");
    // --as-is allows a token for it.
    assert!(fail(&daemon.data_dir(), &["token", "issue", old]).contains("--as-is"));
    let token = daemon.token(&["issue", "--as-is", old]);
    let hello = Lines::connect(daemon.address()).ask(&format!("HELLO {old} {token}"));
    assert!(hello[0].starts_with("OK "), "{hello:?}");
    daemon.token(&["issue", old]);
    daemon.token(&["revoke", old]);
}

#[test]
fn an_import_creates_no_lookalike_room_but_finds_an_existing_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    old_store(&data, &["a\u{200b}b"], "alice");
    let file = dir.path().join("lines");
    std::fs::write(&file, "{\"client\":\"c\u{200b}\",\"text\":\"imported\"}\n").unwrap();
    let file = file.to_str().unwrap();
    assert!(fail(&data, &["import", "b\u{200b}", file]).contains("U+200B"));
    for (room, has) in [("a\u{200b}b", 2), ("cafe\u{301}", 1), ("café", 1)] {
        let output = dantok(&data, &["import", room, file]).output().unwrap();
        assert!(output.status.success(), "{}", printed(&output));
        assert_eq!(run(&data, &["export", room]).lines().count(), has, "{room:?}");
    }
}
