//! A stream that can't continue says so, and its client resumes from where it was: on the real daemon, with unreadable
//! files.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{DEADLINE, Daemon, Frames, Lines, wait_until};
use dantok_client::{Client, Error, News, Options};
use dantok_protocol::{Command as Request, ErrorCode, Item, Reply, commands};

const MESSAGES: u64 = 20;

/// A daemon whose room `lobby` is in a file of its own that was not opened since the start; and a room `other`.
fn stored() -> Daemon {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    for room in ["lobby", "other"] {
        alice.expect(&format!("JOIN {room}"), "OK cursor=0 last=0");
    }
    for seq in 1..=MESSAGES {
        alice.expect(&format!("SEND lobby message {seq}"), &format!("OK {seq}"));
    }
    assert!(daemon.terminate().success());
    daemon.start_again();
    daemon
}

/// The files of messages, where nobody finds them until this is dropped.
struct Away(Vec<(PathBuf, PathBuf)>);

impl Away {
    /// What opens one of them is told of a loop of links: an error that may pass.
    fn all(daemon: &Daemon) -> Away {
        let segments = std::fs::read_dir(daemon.data_dir().join("segments")).unwrap();
        let moved = segments.map(|entry| {
            let from = entry.unwrap().path();
            let to = daemon.data_dir().parent().unwrap().join(from.file_name().unwrap());
            std::fs::rename(&from, &to).unwrap();
            std::os::unix::fs::symlink(&from, &from).unwrap();
            (from, to)
        });
        let moved = Away(moved.collect());
        assert!(!moved.0.is_empty());
        moved
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        for (from, to) in &self.0 {
            std::fs::rename(to, from).unwrap();
        }
    }
}

/// Changes every byte of the messages' files, and again, which is back.
fn damage(daemon: &Daemon) {
    for entry in std::fs::read_dir(daemon.data_dir().join("segments")).unwrap() {
        let path = entry.unwrap().path();
        let bytes: Vec<u8> = std::fs::read(&path).unwrap().iter().map(|byte| byte ^ 0x55).collect();
        use std::os::unix::fs::FileExt as _;
        std::fs::File::options().write(true).open(&path).unwrap().write_all_at(&bytes, 0).unwrap();
    }
}

const ENDED: &str = "ENDED lobby storage the daemon can't read this room from its disk; its operator's log says why";

fn expect_all(lines: &mut Lines) {
    for seq in 1..=MESSAGES {
        let line = lines.line().unwrap();
        assert!(line.starts_with(&format!("MSG lobby {seq} ")), "{line}");
    }
}

#[test]
fn an_unreadable_follow_ends_with_an_error_in_every_framing_and_can_be_restarted() {
    for damaged in [false, true] {
        let daemon = stored();
        let mut lines = daemon.lines("alice");
        let mut json = daemon.lines("alice");
        json.send("FORMAT json");
        json.line();
        let mut frames = daemon.frames("alice");
        let away = (!damaged).then(|| Away::all(&daemon));
        if damaged {
            damage(&daemon);
        }
        lines.expect("FOLLOW other", "OK after=0");
        lines.expect("@1 FOLLOW lobby", "@1 OK after=0 number=1");
        // Meanwhile the session and the other room go on.
        let mut bob = daemon.lines("alice/2");
        bob.ask("JOIN other");
        bob.expect("SEND other there?", "OK 1");
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.push(lines.line().unwrap());
        }
        seen.sort();
        assert!(seen[0] == ENDED && seen[1].ends_with(" alice there?"), "{seen:?}");
        json.send("FOLLOW lobby");
        assert!(json.line().unwrap().starts_with(r#"{"type":"ok","after":0,"#));
        let ended: serde_json::Value = serde_json::from_str(&json.line().unwrap()).unwrap();
        assert_eq!(
            (&ended["type"], &ended["room"], &ended["code"], &ended["tag"]),
            (&"ended".into(), &"lobby".into(), &"storage".into(), &serde_json::Value::Null)
        );
        frames.ask(Request::Follow(commands::Follow { room: "lobby".to_owned(), after: None }));
        let Item::Ended { room, code, .. } = frames.push() else { panic!("not ended") };
        assert_eq!((&*room, code), ("lobby", ErrorCode::Storage));
        // What is asked for is refused, and may be asked for again.
        assert!(lines.ask("FETCH lobby")[0].starts_with("ERR storage "));
        assert!(lines.ask("HISTORY lobby")[0].starts_with("ERR storage "));
        drop(away);
        if damaged {
            damage(&daemon);
        }
        lines.expect("FOLLOW lobby", "OK after=0");
        expect_all(&mut lines);
        frames.ask(Request::Follow(commands::Follow { room: "lobby".to_owned(), after: None }));
        assert!(matches!(frames.push(), Item::Message(message) if message.seq == 1));
        lines.expect("ACK lobby", &format!("OK {MESSAGES}"));
        // They are live again.
        bob.ask("JOIN lobby");
        bob.expect("SEND lobby more", &format!("OK {}", MESSAGES + 1));
        assert!(lines.line().unwrap().ends_with(" alice more"));
    }
}

/// Does something while the room can't be read, for as long as it takes the daemon to find that out once. Repeats it if the
/// machine was so slow that the daemon gave up meanwhile.
fn while_it_passes(mut read: impl FnMut(&Daemon) -> Box<dyn FnOnce() -> bool>) {
    for _ in 0..5 {
        let daemon = stored();
        let away = Away::all(&daemon);
        let has_all = read(&daemon);
        wait_until("a read fails", || daemon.log().contains("again_in="));
        drop(away);
        if has_all() {
            return;
        }
    }
    panic!("an error that passes ends what reads");
}

#[test]
fn a_passing_error_ends_nothing() {
    // Most of it is waiting, each for its own daemon.
    std::thread::scope(|scope| {
        scope.spawn(|| while_it_passes(a_follow));
        for command in ["FETCH lobby", "READ lobby", "HISTORY lobby", "TAKE lobby w 256"] {
            scope.spawn(move || while_it_passes(|daemon| an_answer(daemon, command)));
        }
        scope.spawn(|| while_it_passes(a_follow_that_sends_no_more));
    });
}

fn a_follow(daemon: &Daemon) -> Box<dyn FnOnce() -> bool> {
    let mut lines = daemon.lines("alice");
    lines.expect("FOLLOW lobby", "OK after=0");
    Box::new(move || {
        let first = lines.line().unwrap();
        if first == ENDED {
            return false;
        }
        assert!(first.starts_with("MSG lobby 1 "), "{first}");
        (2..=MESSAGES).for_each(|seq| assert!(lines.line().unwrap().starts_with(&format!("MSG lobby {seq} "))));
        true
    })
}

fn an_answer(daemon: &Daemon, command: &'static str) -> Box<dyn FnOnce() -> bool> {
    let mut lines = daemon.lines("alice");
    lines.ask("GROUP lobby w");
    lines.send(command);
    Box::new(move || lines.answer().len() as u64 == MESSAGES + 1)
}

fn a_follow_that_sends_no_more(daemon: &Daemon) -> Box<dyn FnOnce() -> bool> {
    let mut lines = daemon.lines("alice");
    lines.expect("FOLLOW lobby", "OK after=0");
    lines.done();
    Box::new(move || lines.rest().lines().count() as u64 == MESSAGES)
}

fn dantok(arguments: &[&str], dir: &Path) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.args(arguments).arg("--data-dir").arg(dir);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
}

#[test]
fn exports_and_backups_survive_passing_errors_and_report_lasting_ones() {
    while_it_passes(|daemon| {
        let export = dantok(&["export", "lobby"], &daemon.data_dir());
        Box::new(move || {
            let output = export.wait_with_output().unwrap();
            output.status.success() && output.stdout.split(|byte| *byte == b'\n').count() as u64 == MESSAGES + 1
        })
    });
    while_it_passes(|daemon| {
        let backup = dantok(&["backup", "-"], &daemon.data_dir());
        Box::new(move || backup.wait_with_output().unwrap().status.success())
    });
    let daemon = stored();
    damage(&daemon);
    for arguments in [&["export", "lobby"][..], &["backup", "-"]] {
        let output = dantok(arguments, &daemon.data_dir()).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("damaged"));
    }
}

async fn connect(daemon: &Daemon) -> Client {
    let options = Options { reconnect: Some(DEADLINE), ..Options::new(daemon.address().to_string(), "alice") };
    Client::connect(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_continues_where_it_was() {
    let daemon = stored();
    let client = connect(&daemon).await;
    damage(&daemon);
    let (mut follow, mut feed) = (client.follow("lobby"), client.feed());
    feed.follow("lobby", Some(5));
    feed.follow("other", Some(0));
    assert!(matches!(follow.next().await, Some(Ok(Item::Ended { code: ErrorCode::Storage, .. }))));
    let mut next = async || loop {
        match feed.next().await.unwrap().unwrap() {
            News::Item(item @ (Item::Message(_) | Item::Ended { .. })) => return item,
            News::Disconnected(why) => panic!("one room's trouble is all of them's: {why}"),
            _ => {}
        }
    };
    assert!(matches!(next().await, Item::Ended { room, .. } if &*room == "lobby"));
    // A call about the room is answered, and holds up none about others.
    let refused = client.fetch("lobby", None, None).await;
    assert!(matches!(&refused, Err(Error::Refused(refusal)) if refusal.code == ErrorCode::Storage), "{refused:?}");
    client.send("other", "there?").await.unwrap();
    assert!(matches!(next().await, Item::Message(message) if &*message.room == "other"));
    client.send("lobby", "more").await.unwrap();
    damage(&daemon);
    for seq in 6..=MESSAGES + 1 {
        let item = next().await;
        assert!(matches!(&item, Item::Message(message) if message.seq == seq), "{seq}: {item:?}");
    }
    for seq in 1..=MESSAGES + 1 {
        let item = follow.next().await;
        assert!(matches!(&item, Some(Ok(Item::Message(message))) if message.seq == seq), "{seq}: {item:?}");
    }
    client.send("lobby", "live").await.unwrap();
    assert!(matches!(next().await, Item::Message(message) if message.seq == MESSAGES + 2));
    assert!(matches!(follow.next().await, Some(Ok(Item::Message(message))) if message.seq == MESSAGES + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_finally_gives_up_on_a_room() {
    let daemon = stored();
    damage(&daemon);
    let options = Options::new(daemon.address().to_string(), "alice");
    let client =
        Client::connect(Options { reconnect: Some(std::time::Duration::from_secs(1)), ..options }).await.unwrap();
    let mut follow = client.follow("lobby");
    assert!(matches!(follow.next().await, Some(Ok(Item::Ended { .. }))));
    let end = follow.next().await;
    assert!(matches!(&end, Some(Err(Error::Refused(refusal))) if refusal.code == ErrorCode::Storage), "{end:?}");
    assert!(follow.next().await.is_none());
}

#[test]
fn frames_report_a_read_error_after_the_messages_before_it() {
    let daemon = stored();
    let mut frames: Frames = daemon.frames("alice");
    damage(&daemon);
    let (items, reply) =
        frames.ask(Request::Fetch(commands::Fetch { room: "lobby".to_owned(), after: None, max: None }));
    assert!(items.is_empty() && matches!(reply, Reply::Error(refusal) if refusal.code == ErrorCode::Storage));
}
