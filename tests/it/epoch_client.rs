//! The client library and the chat client when a daemon comes back with rooms restored from a backup.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::terminal::{Person, Said, Terminal};
use crate::common::{self, DEADLINE, Daemon, chat_binary, has_tool};
use dantok_client::{Client, Error, Feed, Follow, News, Options};
use dantok_protocol::{ErrorCode, Item, Seek};

fn options(daemon: &Daemon, client: &str) -> Options {
    Options { reconnect: Some(DEADLINE), ..Options::new(daemon.address().to_string(), client) }
}

async fn connect(daemon: &Daemon, client: &str) -> Client {
    Client::connect(options(daemon, client)).await.unwrap()
}

fn say(daemon: &Daemon, what: &str, seqs: std::ops::RangeInclusive<u64>) {
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    seqs.for_each(|n| alice.expect(&format!("SEND lobby {what} {n}"), &format!("OK {n}")));
}

/// The chat in a pipe, which follows the lobby; and what takes the texts that it prints, up to this one.
fn piped(daemon: &Daemon) -> (Child, impl FnMut(&str) -> Vec<String> + use<>) {
    let mut chat = Command::new(chat_binary())
        .args(["lobby", "--follow", "--as", "bob", "--retry-for", "1m", "--server", &daemon.address().to_string()])
        .env_remove("DANTOK_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(chat.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let take = move |last: &str| {
        let mut texts = Vec::new();
        while texts.last().is_none_or(|text| text != last) {
            texts.push(lines.next().unwrap().rsplit_once(": ").unwrap().1.to_owned());
        }
        texts
    };
    (chat, take)
}

fn said(lines: &[(&str, &str)]) -> Vec<Said> {
    lines.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// A daemon that has ended, a backup of it with one message, and a screen that has shown two more.
fn ahead_of_a_backup(minji: &Person, rooms: &str) -> (Daemon, PathBuf, Terminal) {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND lobby before 1", "OK 1");
    daemon.lines("minji").ask("JOIN lobby");
    let backup = daemon.back_up();
    let mut alice = daemon.lines("alice");
    alice.expect("SEND lobby lost 2", "OK 2");
    alice.expect("SEND lobby lost 3", "OK 3");
    let chat = minji.chat(&daemon.address().to_string(), rooms);
    chat.wait("all of it", |_| chat.said() == said(&[("alice", "before 1"), ("alice", "lost 2"), ("alice", "lost 3")]));
    daemon.terminate();
    chat.wait_for("no connection");
    (daemon, backup, chat)
}

fn nothing_waits(chat: &Terminal) {
    chat.keys(&["Escape"]);
    common::wait_until("nothing waits any more", || !chat.screen().contains("waiting"));
}

/// A backup with five messages, and five more behind it.
fn backed_up(daemon: &mut Daemon) -> PathBuf {
    say(daemon, "before", 1..=5);
    let mut bob = daemon.lines("bob");
    bob.ask("JOIN lobby");
    bob.expect("ACK lobby 4", "OK 4");
    drop(bob);
    let backup = daemon.back_up();
    say(daemon, "lost", 6..=10);
    backup
}

/// Takes the daemon back, and says eight other things.
fn go_back(daemon: &mut Daemon, backup: &std::path::Path) {
    daemon.go_back_to(backup, true);
    say(daemon, "after", 6..=13);
}

/// Says so many other things in a backup, where no client of the daemon is.
fn say_in(backup: &std::path::Path, count: u64) {
    let mut other = Daemon::start();
    other.go_back_to(backup, false);
    (6..=5 + count).for_each(|n| say(&other, "after", n..=n));
    assert!(other.terminate().success());
    std::fs::remove_dir_all(backup).unwrap();
    common::copy_dir(&other.data_dir(), backup);
}

fn text(item: Item) -> String {
    match item {
        Item::Message(message) => String::from_utf8(message.body.to_vec()).unwrap(),
        other => panic!("no message: {other:?}"),
    }
}

/// What is behind bob's cursor once the rooms are restored.
fn all_of_it() -> Vec<String> {
    ["before 5".to_owned()].into_iter().chain((6..=13).map(|n| format!("after {n}"))).collect()
}

async fn next(follow: &mut Follow) -> Result<Item, Error> {
    tokio::time::timeout(DEADLINE, follow.next()).await.unwrap().unwrap()
}

fn is_set_back<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::SetBack(refusal)) if refusal.code == ErrorCode::SetBack)
}

/// What comes after an error of `follow`, up to this.
async fn rest(follow: &mut Follow, last: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != last) {
        texts.push(text(next(follow).await.unwrap()));
    }
    texts
}

fn is_restored<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Restored { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_before_any_answer_with_a_seq_and_restarts_at_its_cursor() {
    let mut daemon = Daemon::start();
    let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
    let bob = connect(&daemon, "bob").await;
    let before = bob.epoch();
    assert_eq!(bob.fetch("lobby", None, None).await.unwrap().handed, 10);
    assert_eq!(bob.ack("lobby", Some(9)).await.unwrap(), 9);
    tokio::task::block_in_place(|| go_back(&mut daemon, &backup));
    // Whatever order it asks in: the first call that names a seq, and each, until it says that it knows.
    assert!(is_restored(bob.fetch("lobby", Some(9), None).await) && bob.is_restored());
    assert!(is_restored(bob.ack("lobby", Some(9)).await));
    assert!(is_restored(bob.ack("lobby", None).await));
    assert!(is_restored(bob.seek("lobby", Seek::To(9)).await));
    assert!(is_restored(bob.history("lobby", Some(9), None, None).await));
    assert!(is_restored(bob.redact("lobby", 9).await));
    assert!(is_restored(bob.done("lobby", "workers", 9).await));
    assert!(is_restored(bob.reply("lobby", 9, "an answer to what?").await));
    // What names none goes on.
    assert_eq!(bob.send("lobby", "after 14").await.unwrap().seq, 14);
    assert_eq!(bob.fetch("lobby", Some(0), None).await.unwrap().items.len(), 14);
    let Err(Error::Restored { epoch }) = bob.ack("lobby", None).await else { panic!("not told") };
    assert_ne!(epoch, before);
    bob.adopt(&epoch);
    assert!(!bob.is_restored() && bob.epoch() == epoch);
    // Nothing is remembered of before.
    assert_eq!(bob.ack("lobby", None).await.unwrap(), 4);
    let fetched = bob.fetch("lobby", None, None).await.unwrap();
    assert_eq!(fetched.items.into_iter().map(text).take(9).collect::<Vec<_>>(), all_of_it());
    assert_eq!(bob.ack("lobby", None).await.unwrap(), 14);
    assert_eq!(bob.reply("lobby", 9, "to after 9").await.unwrap().seq, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn unanswered_requests_are_resent_unless_they_name_a_seq() {
    let mut daemon = Daemon::start();
    let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
    let bob = std::sync::Arc::new(connect(&daemon, "bob").await);
    tokio::task::block_in_place(|| assert!(daemon.terminate().success()));
    let (one, other) = (bob.clone(), bob.clone());
    let ack = tokio::spawn(async move { one.ack("lobby", Some(10)).await });
    let sent = tokio::spawn(async move { other.send("lobby", "typed meanwhile").await });
    tokio::task::block_in_place(|| daemon.go_back_to(&backup, true));
    assert!(is_restored(ack.await.unwrap()));
    assert_eq!(sent.await.unwrap().unwrap().seq, 6);
    let fetched = bob.fetch("lobby", None, None).await.unwrap();
    let texts: Vec<String> = fetched.items.into_iter().map(text).collect();
    assert_eq!(texts, ["before 5", "typed meanwhile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_reports_the_restore_and_continues_from_the_cursor() {
    let mut daemon = Daemon::start();
    let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
    let bob = connect(&daemon, "bob").await;
    let mut follow = bob.follow("lobby");
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(text(next(&mut follow).await.unwrap()));
    }
    assert_eq!((&*seen[0], &*seen[5]), ("before 5", "lost 10"));
    tokio::task::block_in_place(|| go_back(&mut daemon, &backup));
    let Err(Error::Restored { epoch }) = next(&mut follow).await else { panic!("not told") };
    bob.adopt(&epoch);
    let mut seen = Vec::new();
    for _ in 0..9 {
        seen.push(text(next(&mut follow).await.unwrap()));
    }
    assert_eq!(seen, all_of_it());
    assert_eq!(bob.ack("lobby", Some(13)).await.unwrap(), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_reports_the_restore_and_forgets_earlier_seqs() {
    let mut daemon = Daemon::start();
    let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
    let bob = connect(&daemon, "bob").await;
    async fn until(feed: &mut Feed, mut found: impl FnMut(News) -> bool) {
        while !found(tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().unwrap().unwrap()) {}
    }
    let is_message = |news| matches!(news, News::Item(Item::Message(message)) if message.seq == 10);
    let (mut first, mut second) = (bob.feed(), bob.feed());
    first.follow("lobby", Some(7));
    until(&mut first, is_message).await;
    tokio::task::block_in_place(|| go_back(&mut daemon, &backup));
    // This one has not been told yet, and says where it is.
    second.follow("lobby", Some(10));
    for feed in [&mut first, &mut second] {
        let (mut told, mut texts) = (false, Vec::new());
        until(feed, |news| {
            match news {
                News::Restored(epoch) => {
                    assert!(!std::mem::replace(&mut told, true) && *epoch != *bob.epoch());
                    texts.clear();
                }
                News::Item(item @ Item::Message(_)) => texts.push(text(item)),
                _ => {}
            }
            texts.last().is_some_and(|text| text == "after 13")
        })
        .await;
        assert!(told);
        assert_eq!(texts, all_of_it());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_remembered_from_an_earlier_process_is_refused() {
    let mut daemon = Daemon::start();
    let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
    let bob = connect(&daemon, "bob").await;
    let remembers = |epoch: &str| Options { epoch: Some(epoch.to_owned()), ..options(&daemon, "bob") };
    let before = bob.epoch();
    let good = Client::connect(remembers(&before)).await.unwrap();
    let (options, again) = (remembers(&before), good.epoch());
    assert_eq!(again, before);
    tokio::task::block_in_place(|| go_back(&mut daemon, &backup));
    match Client::connect(options).await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, ErrorCode::Epoch),
        other => panic!("{other:?}"),
    }
    // The one that is there goes on.
    good.ping().await.unwrap();
    assert!(is_restored(good.ack("lobby", Some(9)).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_ahead_of_a_silently_restored_room_is_told_and_restarts_at_its_cursor() {
    let mut daemon = Daemon::start();
    let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
    let bob = connect(&daemon, "bob").await;
    assert_eq!(bob.fetch("lobby", None, None).await.unwrap().handed, 10);
    tokio::task::block_in_place(|| daemon.go_back_to(&backup, false));
    // What was fetched before is forgotten with the first of these.
    assert!(is_set_back(bob.ack("lobby", None).await));
    assert_eq!(bob.ack("lobby", None).await.unwrap(), 4);
    assert!(is_set_back(bob.fetch("lobby", Some(9), None).await));
    assert!(is_set_back(bob.ack("lobby", Some(9)).await));
    assert!(is_set_back(bob.seek("lobby", Seek::To(9)).await));
    assert!(is_set_back(bob.redact("lobby", 9).await));
    bob.group("lobby", "workers", dantok_protocol::Begin::Start, None).await.unwrap();
    assert!(is_set_back(bob.done("lobby", "workers", 9).await));
    assert!(is_set_back(bob.reply_with_id("lobby", "r", 9, "an answer").await));
    assert!(!bob.is_restored());
    let fetched = bob.fetch("lobby", None, None).await.unwrap();
    assert_eq!(fetched.items.into_iter().map(text).collect::<Vec<_>>(), ["before 5"]);
    assert_eq!(bob.ack("lobby", None).await.unwrap(), 5);
    // What was typed is stored, under the same id.
    assert_eq!(bob.send_with_id("lobby", "r", "an answer").await.unwrap().seq, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_of_a_restored_room_continues_from_the_cursor() {
    // When the feed is back the room is shorter than what it yielded; as long; longer.
    for others in [0, 5, 8] {
        let mut daemon = Daemon::start();
        let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
        let bob = connect(&daemon, "bob").await;
        let mut follow = bob.follow("lobby");
        assert_eq!(rest(&mut follow, "lost 10").await.len(), 6);
        tokio::task::block_in_place(|| {
            say_in(&backup, others);
            daemon.go_back_to(&backup, false);
        });
        assert!(is_set_back(next(&mut follow).await), "{others}");
        tokio::task::block_in_place(|| say(&daemon, "after", 6 + others..=13)); // Nothing if everything is sent.
        assert_eq!(rest(&mut follow, "after 13").await, all_of_it(), "{others}");
        assert_eq!(bob.ack("lobby", Some(13)).await.unwrap(), 13);
        // Where nothing was set back nothing is told, whatever became of the last message.
        let redacted = bob.send("lobby", "soon redacted").await.unwrap().seq;
        assert_eq!(text(next(&mut follow).await.unwrap()), "soon redacted");
        bob.redact("lobby", redacted).await.unwrap();
        next(&mut follow).await.unwrap();
        tokio::task::block_in_place(|| {
            daemon.kill();
            daemon.start_again();
            say(&daemon, "still", 16..=16);
        });
        assert_eq!(text(next(&mut follow).await.unwrap()), "still 16");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_reports_which_rooms_were_restored() {
    let mut daemon = Daemon::start();
    let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
    let bob = connect(&daemon, "bob").await;
    bob.join("quiet").await.unwrap();
    let (mut first, mut second) = (bob.feed(), bob.feed());
    first.follow("lobby", Some(7));
    loop {
        match tokio::time::timeout(DEADLINE, first.next()).await.unwrap().unwrap().unwrap() {
            News::Item(Item::Message(message)) if message.seq == 10 => break,
            _ => {}
        }
    }
    tokio::task::block_in_place(|| daemon.go_back_to(&backup, false));
    // This one goes by what its caller remembers.
    second.follow("lobby", Some(10));
    for (nth, feed) in [&mut first, &mut second].into_iter().enumerate() {
        let (mut told, mut texts) = (0, Vec::new());
        while texts.last().is_none_or(|text| text != "before 5") {
            match tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().unwrap().unwrap() {
                News::SetBack { room } => {
                    assert_eq!(&*room, "lobby");
                    told += 1;
                }
                News::Item(item @ Item::Message(_)) => texts.push(text(item)),
                _ => {}
            }
        }
        assert_eq!((told, &*texts), (1, &["before 5".to_owned()][..]), "{nth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_notices_a_restored_room_of_which_it_yielded_nothing() {
    let mut daemon = Daemon::start();
    let backup = tokio::task::block_in_place(|| backed_up(&mut daemon));
    let bob = connect(&daemon, "bob").await;
    assert_eq!(bob.ack("lobby", Some(10)).await.unwrap(), 10);
    bob.join("other").await.unwrap();
    bob.send("other", "the mark").await.unwrap();
    let mut feed = bob.feed();
    feed.follow("lobby", None);
    feed.follow("other", None);
    let (mut told, mut texts, mut is_back) = (false, Vec::new(), false);
    while texts.last().is_none_or(|text| text != "after 13") {
        match tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().unwrap().unwrap() {
            // By now the feed has dealt with the other.
            News::Item(Item::Message(message)) if &*message.room == "other" => {
                assert!(!std::mem::replace(&mut is_back, true));
                tokio::task::block_in_place(|| {
                    say_in(&backup, 8);
                    daemon.go_back_to(&backup, false);
                });
            }
            News::SetBack { .. } => told = true,
            News::Item(item @ Item::Message(_)) => texts.push(text(item)),
            _ => {}
        }
    }
    assert!(told);
    assert_eq!(texts, all_of_it());
}

#[test]
fn a_chat_in_a_pipe_continues_in_a_restored_room() {
    let mut daemon = Daemon::start();
    let backup = backed_up(&mut daemon);
    let (mut chat, mut take) = piped(&daemon);
    assert_eq!(take("lost 10").len(), 6);
    daemon.go_back_to(&backup, false);
    assert_eq!(take("before 5"), ["before 5"]);
    say(&daemon, "after", 6..=7);
    assert_eq!(take("after 7"), ["after 6", "after 7"]);
    chat.kill().unwrap();
    let said = String::from_utf8(chat.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("lobby was set back to an older state"), "{said}");
}

#[test]
fn the_full_screen_shows_a_silently_restored_room_and_sends_what_waited() {
    if !has_tool("tmux") {
        return;
    }
    let minji = Person::new("minji");
    let (mut daemon, backup, chat) = ahead_of_a_backup(&minji, "lobby");
    // An answer to what will be gone, and what was typed behind it.
    chat.line("/reply waited 1");
    chat.wait_for("1 message waiting");
    chat.line("waited 2");
    chat.wait_for("2 messages waiting");
    daemon.go_back_to(&backup, false);
    chat.wait_for("was set back to an older state");
    let mut alice = daemon.lines("alice");
    common::wait_until("what waited is stored", || alice.ask("FETCH lobby after=0").len() == 4);
    alice.expect("SEND lobby after 4", "OK 4");
    chat.wait("the room as it is", |_| {
        chat.said()
            == said(&[("alice", "before 1"), ("minji", "waited 1"), ("minji", "waited 2"), ("alice", "after 4")])
    });
    let fetched = alice.ask("FETCH lobby after=0");
    assert!(!fetched.iter().any(|line| line.contains("reply=")), "it replies to what nobody sent: {fetched:?}");
    nothing_waits(&chat);
}

#[test]
fn a_chat_in_a_pipe_prints_the_messages_of_a_restored_room() {
    let mut daemon = Daemon::start();
    let backup = backed_up(&mut daemon);
    let (mut chat, mut take) = piped(&daemon);
    assert_eq!(take("lost 10").len(), 6);
    go_back(&mut daemon, &backup);
    assert_eq!(take("after 13"), all_of_it());
    // And acknowledges it.
    let mut watching = daemon.lines("alice");
    common::wait_until("the cursor is there", || {
        watching.ask("WHO lobby").iter().any(|line| line.contains(" bob ") && line.contains(" 13 "))
    });
    chat.kill().unwrap();
    let said = String::from_utf8(chat.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("lobby was restored from a backup"), "{said}");
}

#[test]
fn the_full_screen_shows_the_restored_room_and_sends_what_waited() {
    if !has_tool("tmux") {
        return;
    }
    let minji = Person::new("minji");
    let (mut daemon, backup, chat) = ahead_of_a_backup(&minji, "lobby later");
    // An answer to what will be gone, and a line for a room that will be, too.
    chat.line("/reply waited 1");
    chat.wait_for("1 message waiting");
    chat.keys(&["Tab"]);
    chat.wait("the other room", |screen| screen.contains("│ later"));
    chat.line("waited 2");
    chat.wait_for("2 messages waiting");
    chat.keys(&["Tab"]);
    chat.wait("the room", |screen| screen.contains("│ lobby"));
    daemon.go_back_to(&backup, true);
    chat.wait_for("restored from a backup");
    let mut alice = daemon.lines("alice");
    common::wait_until("what waited is stored", || alice.ask("FETCH lobby after=0").len() == 3);
    alice.expect("SEND lobby after 3", "OK 3");
    chat.wait("the restored room", |_| {
        chat.said() == said(&[("alice", "before 1"), ("minji", "waited 1"), ("alice", "after 3")])
    });
    let fetched = alice.ask("FETCH lobby after=0");
    assert!(!fetched[1].contains("reply="), "it replies to what nobody sent: {fetched:?}");
    common::wait_until("the other room is there again", || {
        alice.ask("JOIN later");
        alice.ask("FETCH later after=0")[0].ends_with(" minji waited 2")
    });
    nothing_waits(&chat);
}
