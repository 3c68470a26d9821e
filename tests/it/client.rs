//! The client library against the real daemon.

use std::time::{Duration, Instant};

use crate::common::proxy::Proxy;
use crate::common::{DEADLINE, Daemon, wait_until};
use dantok_client::{Client, Error, Feed, Follow, News, Options};
use dantok_protocol::{Access, Begin, ErrorCode, Event, Item, Keep, Kind, Seek, Since};

async fn connect(daemon: &Daemon, client: &str) -> Client {
    Client::connect(options(daemon, client)).await.unwrap()
}

fn options(daemon: &Daemon, client: &str) -> Options {
    Options { reconnect: Some(DEADLINE), ..Options::new(daemon.address().to_string(), client) }
}

fn code(error: Error) -> ErrorCode {
    match error {
        Error::Refused(refusal) | Error::SetBack(refusal) => refusal.code,
        other => panic!("{other}"),
    }
}

fn text(item: Item) -> String {
    match item {
        Item::Message(message) => String::from_utf8(message.body.to_vec()).unwrap(),
        other => panic!("no message: {other:?}"),
    }
}

async fn take(follow: &mut Follow, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let item = tokio::time::timeout(DEADLINE, follow.next()).await.unwrap();
        texts.push(text(item.unwrap().unwrap()));
    }
    texts
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_sends_over_kills_are_stored_once_in_order() {
    const MESSAGES: usize = 6000;
    let mut daemon = Daemon::start();
    let client = connect(&daemon, "alice").await;
    let mut follow = connect(&daemon, "bob").await.follow("lobby");
    client.join("lobby").await.unwrap();
    let sending = tokio::spawn(async move {
        let mut receipts = Vec::new();
        for n in 0..MESSAGES {
            receipts.push(client.queue("lobby", n.to_string()).await.unwrap());
            if n % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        for (n, receipt) in receipts.into_iter().enumerate() {
            assert_eq!(receipt.await.unwrap().seq, n as u64 + 1);
        }
        client
    });
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.extend(take(&mut follow, 800).await);
        tokio::task::block_in_place(|| daemon.start_again());
    }
    let client = tokio::time::timeout(DEADLINE, sending).await.unwrap().unwrap();
    seen.extend(take(&mut follow, MESSAGES - seen.len()).await);
    assert_eq!(seen, numbered(0..MESSAGES));
    let stored = client.fetch("lobby", None, None).await.unwrap();
    assert_eq!((stored.handed, stored.last), (MESSAGES as u64, MESSAGES as u64));
    assert_eq!(stored.items.into_iter().map(text).collect::<Vec<_>>(), numbered(0..MESSAGES));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_goes_on_after_restarts_even_past_a_moved_cursor() {
    let mut daemon = Daemon::start();
    let client = connect(&daemon, "alice").await;
    client.join("lobby").await.unwrap();
    let mut follow = client.follow("lobby");
    let mut seen = Vec::new();
    for round in 0..3 {
        for n in 0..10 {
            client.send("lobby", (round * 10 + n).to_string()).await.unwrap();
        }
        seen.extend(take(&mut follow, 5).await);
        // Ahead of what was taken: the follow goes on where it was all the same.
        assert_eq!(client.ack("lobby", Some(round * 10 + 8)).await.unwrap(), round * 10 + 8);
        if round == 1 {
            assert!(tokio::task::block_in_place(|| daemon.terminate()).success());
        }
        tokio::task::block_in_place(|| daemon.start_again());
    }
    seen.extend(take(&mut follow, 15).await);
    assert_eq!(seen, numbered(0..30));
    let nothing = tokio::time::timeout(Duration::from_millis(100), follow.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

/// What a feed tells until the condition holds of it: the texts of each room, and the list.
#[derive(Default)]
struct Told {
    texts: std::collections::BTreeMap<String, Vec<String>>,
    unread: std::collections::BTreeMap<String, Option<u64>>,
    connected: usize,
    refused: Vec<(String, ErrorCode)>,
}

impl Told {
    async fn until(&mut self, feed: &mut Feed, condition: impl Fn(&Told) -> bool) {
        while !condition(self) {
            match tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().unwrap().unwrap() {
                News::Connected(_) => self.connected += 1,
                News::Disconnected(_) | News::Restored(_) | News::Item(Item::Event { .. }) => {}
                News::Item(Item::Room(room)) => drop(self.unread.insert(room.room.to_string(), room.unread)),
                News::Item(Item::Message(message)) => {
                    let room = message.room.to_string();
                    self.texts.entry(room).or_default().push(text(Item::Message(message)));
                }
                News::Refused { room, refusal } => self.refused.push((room, refusal.code)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn count(&self, room: &str) -> usize {
        self.texts.get(room).map_or(0, Vec::len)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_follows_many_rooms_over_restarts_and_keeps_the_list() {
    const ROOMS: [&str; 3] = ["lobby", "단톡", "quiet"];
    let mut daemon = Daemon::start();
    let (client, other) = (connect(&daemon, "alice").await, connect(&daemon, "bob").await);
    for room in ROOMS {
        client.join(room).await.unwrap();
        other.join(room).await.unwrap();
    }
    other.create("elsewhere", "").await.unwrap();
    let mut feed = client.feed();
    let mut told = Told::default();
    feed.follow("lobby", None);
    feed.follow("단톡", None);
    feed.follow("elsewhere", None);
    for round in 0..4 {
        for n in 0..10 {
            for room in ROOMS {
                other.send(room, (round * 10 + n).to_string()).await.unwrap();
            }
        }
        let so_far = round as usize * 10;
        told.until(&mut feed, |told| ROOMS[..2].iter().all(|room| told.count(room) >= so_far + 5)).await;
        // Ahead of what was taken; where it was is gone on from all the same.
        assert_eq!(client.ack("단톡", Some(round * 10 + 8)).await.unwrap(), round * 10 + 8);
        if round == 1 {
            assert!(tokio::task::block_in_place(|| daemon.terminate()).success());
        }
        if round < 3 {
            tokio::task::block_in_place(|| daemon.start_again());
        }
    }
    told.until(&mut feed, |told| ROOMS[..2].iter().all(|room| told.count(room) == 40) && told.connected == 4).await;
    assert_eq!((&told.texts["lobby"], &told.texts["단톡"]), (&numbered(0..40), &numbered(0..40)));
    assert_eq!(told.refused, [("elsewhere".to_owned(), ErrorCode::NotJoined)]);
    told.until(&mut feed, |told| told.unread.get("quiet") == Some(&Some(40)) && told.unread.len() == 4).await;
    assert_eq!(told.unread["elsewhere"], None);

    // From a seq on; then not any more; and what is not followed is in the list only.
    feed.unfollow("lobby");
    feed.follow("quiet", Some(30));
    told.until(&mut feed, |told| told.count("quiet") == 10).await;
    assert_eq!(told.texts["quiet"], numbered(30..40));
    other.send("lobby", "unheard").await.unwrap();
    other.send("quiet", "heard").await.unwrap();
    told.until(&mut feed, |told| told.count("quiet") == 11 && told.unread["lobby"] == Some(41)).await;
    assert_eq!((told.count("lobby"), told.count("단톡")), (40, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_moved_ahead_of_a_slow_feed_hides_nothing_from_it() {
    // More than the buffers between the daemon and the feed hold together.
    const MESSAGES: usize = 600;
    let mut daemon = Daemon::start();
    let client = connect(&daemon, "alice").await;
    client.join("lobby").await.unwrap();
    let mut feed = client.feed();
    feed.follow("lobby", None);
    let mut told = Told::default();
    told.until(&mut feed, |told| told.connected == 1).await;
    client.send("lobby", "first").await.unwrap();
    told.until(&mut feed, |told| told.count("lobby") == 1).await;
    // From here on nobody reads the feed.
    let filler = "x".repeat(60_000);
    for n in 0..MESSAGES {
        client.send("lobby", format!("{n} {filler}")).await.unwrap();
    }
    let last = MESSAGES as u64 + 1;
    assert_eq!(client.ack("lobby", Some(last)).await.unwrap(), last);
    tokio::task::block_in_place(|| daemon.start_again());
    told.until(&mut feed, |told| told.count("lobby") == MESSAGES + 1 && told.connected == 2).await;
    let numbers = told.texts["lobby"][1..].iter().map(|text| text.split(' ').next().unwrap().to_owned());
    assert_eq!(numbers.collect::<Vec<_>>(), numbered(0..MESSAGES));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_without_a_seq_covers_exactly_what_was_fetched() {
    let mut daemon = Daemon::start();
    let client = connect(&daemon, "alice").await;
    assert_eq!(client.join("lobby").await.unwrap().cursor, 0);
    for n in 0..10 {
        client.send("lobby", n.to_string()).await.unwrap();
    }
    assert_eq!(client.ack("lobby", None).await.unwrap(), 0);
    client.fetch("lobby", Some(5), None).await.unwrap();
    assert_eq!(client.ack("lobby", None).await.unwrap(), 0);
    let first = client.fetch("lobby", None, Some(4)).await.unwrap();
    assert_eq!((first.items.len(), first.handed, first.oldest, first.last), (4, 4, 1, 10));
    client.fetch("lobby", Some(first.handed), Some(2)).await.unwrap();
    tokio::task::block_in_place(|| daemon.start_again());
    assert_eq!(client.ack("lobby", None).await.unwrap(), 6);
    client.leave("lobby").await.unwrap();
    assert_eq!(client.join("lobby").await.unwrap().cursor, 0);
    assert_eq!(client.ack("lobby", None).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_answered_and_refusals_are_returned() {
    let daemon = Daemon::start();
    let client = connect(&daemon, "alice").await;
    assert_eq!(&*client.welcome().client, "alice");
    client.ping().await.unwrap();
    client.nick("앨리스").await.unwrap();
    client.create("lobby", "all and sundry").await.unwrap();
    client.join("lobby").await.unwrap();
    assert_eq!(client.rooms().await.unwrap()[0].topic.as_ref(), "all and sundry");
    assert_eq!(client.who("lobby").await.unwrap()[0].nick.as_ref(), "앨리스");
    assert!(!client.stats().await.unwrap().is_empty());
    let first = client.send_with_id("lobby", "one", "x").await.unwrap();
    let again = client.send_with_id("lobby", "one", "x").await.unwrap();
    assert_eq!((first.seq, first.dup, again.seq, again.dup), (1, false, 1, true));
    assert_eq!(code(client.send_with_id("lobby", "one", "y").await.unwrap_err()), ErrorCode::IdReused);
    assert_eq!(code(client.create("lobby", "").await.unwrap_err()), ErrorCode::RoomExists);
    assert_eq!(code(client.send("nowhere", "x").await.unwrap_err()), ErrorCode::NoRoom);
    let long = vec![0; client.welcome().max_body as usize + 1];
    assert_eq!(code(client.send("lobby", long).await.unwrap_err()), ErrorCode::TooLong);
    // So long that the daemon closes the connection over it; the calls around it are answered all the same.
    let topic = "x".repeat(1 << 20);
    let (before, refused, after) =
        tokio::join!(client.send("lobby", "before"), client.create("other", &topic), client.send("lobby", "after"));
    assert_eq!((before.unwrap().seq, code(refused.unwrap_err()), after.unwrap().seq), (2, ErrorCode::TooLong, 3));
    let bad = Client::connect(options(&daemon, "not a name")).await.unwrap_err();
    assert_eq!(code(bad), ErrorCode::BadArgument);
    let refused = client.follow("not a room").next().await.unwrap().unwrap_err();
    assert_eq!(code(refused), ErrorCode::BadArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_private_room_decides_who_may_enter() {
    let daemon = Daemon::start();
    let (alice, bob) = (connect(&daemon, "alice").await, connect(&daemon, "bob").await);
    alice.create_private("plans", "쉿").await.unwrap();
    alice.join("plans").await.unwrap();
    assert!(bob.rooms().await.unwrap().is_empty() && alice.rooms().await.unwrap()[0].private);
    assert_eq!(code(bob.join("plans").await.unwrap_err()), ErrorCode::Denied);
    assert_eq!(code(bob.create_private("plans", "").await.unwrap_err()), ErrorCode::RoomExists);
    alice.invite("plans", "bob").await.unwrap();
    alice.send("plans", "before he came").await.unwrap();
    let joined = bob.join_from_now("plans").await.unwrap();
    assert_eq!((joined.cursor, joined.last), (1, 1));
    assert_eq!(bob.join_from_now("plans").await.unwrap(), joined);
    bob.topic("plans", "점심").await.unwrap();
    assert_eq!(alice.rooms().await.unwrap()[0].topic.as_ref(), "점심");
    assert_eq!(code(bob.kick("plans", "alice").await.unwrap_err()), ErrorCode::Denied);
    let access = alice.access("plans").await.unwrap();
    assert_eq!(access, [("alice".into(), Access::Owner), ("bob".into(), Access::Invited)]);
    alice.ban("plans", "bob").await.unwrap();
    assert_eq!(code(bob.access("plans").await.unwrap_err()), ErrorCode::NoRoom);
    alice.unban("plans", "bob").await.unwrap();
    assert_eq!(alice.access("plans").await.unwrap(), [("alice".into(), Access::Owner)]);
    assert_eq!(code(alice.kick("plans", "bob").await.unwrap_err()), ErrorCode::NotJoined);
    alice.invite("plans", "bob").await.unwrap();
    alice.kick("plans", "bob").await.unwrap();
    assert_eq!(code(bob.join("plans").await.unwrap_err()), ErrorCode::Denied);
    let asked = alice.retain("plans", None).await.unwrap();
    assert!(asked.keep == Keep { secs: 86400, cap_bytes: 0 } && asked.stored_bytes > 0, "{asked:?}");
    let keep = Keep { secs: 30 * 86400, cap_bytes: 1024 };
    assert_eq!(alice.retain("plans", Some(keep)).await.unwrap().keep, keep);
    let short = Keep { secs: 1, cap_bytes: 0 };
    assert_eq!(code(alice.retain("plans", Some(short)).await.unwrap_err()), ErrorCode::BadArgument);
}

fn seqs(items: &[Item]) -> Vec<u64> {
    let seq = |item: &Item| match item {
        Item::Message(message) => message.seq,
        other => panic!("no message: {other:?}"),
    };
    items.iter().map(seq).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_leaves_the_cursor_and_seek_moves_it() {
    let daemon = Daemon::start();
    let client = connect(&daemon, "alice").await;
    client.join("lobby").await.unwrap();
    for n in 0..10 {
        client.send("lobby", n.to_string()).await.unwrap();
    }
    let last = client.history("lobby", None, None, Some(3)).await.unwrap();
    assert_eq!((seqs(&last.items), last.handed, last.oldest, last.last), (vec![8, 9, 10], 10, 1, 10));
    let page = client.history("lobby", Some(8), None, Some(3)).await.unwrap();
    assert_eq!(seqs(&page.items), [5, 6, 7]);
    let since = client.history("lobby", None, Some(Since::Ago(3_600_000)), Some(2)).await.unwrap();
    assert_eq!(seqs(&since.items), [1, 2]);
    // None of it was read: an ACK without a seq covers what fetches handed over.
    assert_eq!(client.ack("lobby", None).await.unwrap(), 0);
    client.fetch("lobby", None, Some(6)).await.unwrap();
    assert_eq!(client.ack("lobby", None).await.unwrap(), 6);
    assert_eq!(code(client.seek("lobby", Seek::To(11)).await.unwrap_err()), ErrorCode::SetBack);
    assert_eq!(client.ack("lobby", None).await.unwrap(), 6);
    assert_eq!(client.seek("lobby", Seek::To(2)).await.unwrap(), 2);
    // What was read before the SEEK does not count either.
    assert_eq!(client.ack("lobby", None).await.unwrap(), 2);
    assert_eq!(seqs(&client.fetch("lobby", None, Some(2)).await.unwrap().items), [3, 4]);
    assert_eq!(client.ack("lobby", None).await.unwrap(), 4);
    assert_eq!(client.seek("lobby", Seek::Start).await.unwrap(), 0);
    assert_eq!(client.seek("lobby", Seek::Now).await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_and_redactions_reach_a_feed_and_so_does_typing() {
    let daemon = Daemon::start();
    let (alice, bob) = (connect(&daemon, "alice").await, connect(&daemon, "bob").await);
    for client in [&alice, &bob] {
        client.join("lobby").await.unwrap();
    }
    assert_eq!(alice.send("lobby", "오늘 3시?").await.unwrap().seq, 1);
    assert_eq!(bob.reply("lobby", 1, "yes").await.unwrap().seq, 2);
    let first = bob.reply_with_id("lobby", "r", 1, "really").await.unwrap();
    let again = bob.reply_with_id("lobby", "r", 1, "really").await.unwrap();
    assert_eq!((first.seq, first.dup, again.seq, again.dup), (3, false, 3, true));
    assert_eq!(code(bob.reply_with_id("lobby", "r", 2, "really").await.unwrap_err()), ErrorCode::IdReused);
    assert_eq!(code(bob.reply("lobby", 9, "?").await.unwrap_err()), ErrorCode::SetBack);
    assert_eq!(code(bob.redact("lobby", 1).await.unwrap_err()), ErrorCode::Denied);
    assert_eq!(code(bob.redact("lobby", 9).await.unwrap_err()), ErrorCode::SetBack);
    let redacted = alice.redact("lobby", 1).await.unwrap();
    let again = alice.redact("lobby", 1).await.unwrap();
    assert_eq!((redacted.seq, redacted.dup, again.seq, again.dup), (4, false, 4, true));
    let mut feed = bob.feed();
    feed.follow("lobby", Some(0));
    let (mut kinds, mut typing) = (Vec::new(), false);
    let deadline = Instant::now() + DEADLINE;
    while !typing {
        assert!(Instant::now() < deadline, "nobody types: {kinds:?}");
        // Repeated, because the room may not be followed yet.
        let Ok(news) = tokio::time::timeout(Duration::from_millis(300), feed.next()).await else {
            alice.typing("lobby").await.unwrap();
            continue;
        };
        match news.unwrap().unwrap() {
            News::Item(Item::Message(message)) => {
                assert_eq!(message.body.is_empty(), matches!(message.kind, Kind::Redacted(_) | Kind::Redaction(_)));
                kinds.push(message.kind);
            }
            News::Item(Item::Event { client, event, .. }) => typing = &*client == "alice" && event == Event::Typing,
            _ => {}
        }
    }
    assert_eq!(kinds, [Kind::Redacted(4), Kind::Reply(1), Kind::Reply(1), Kind::Redaction(1)]);
    assert_eq!(code(alice.typing("nowhere").await.unwrap_err()), ErrorCode::NoRoom);
}

/// Makes a call whose answer is lost, and which is repeated on another connection: `done` sees that it was carried out.
async fn repeated<T>(network: &Proxy, call: impl Future<Output = T>, done: impl FnMut() -> bool) -> T {
    network.deafen();
    let lost = async {
        tokio::task::block_in_place(|| wait_until("it is carried out", done));
        network.cut();
        network.restore();
    };
    tokio::join!(call, lost).0
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_repeated_after_a_broken_connection_take_effect_once() {
    let daemon = Daemon::start();
    let network = Proxy::start(daemon.address());
    let through = Options { address: network.address(), ..options(&daemon, "alice") };
    let alice = Client::connect(through).await.unwrap();
    let (mut other, mut bob) = (daemon.lines("alice"), daemon.lines("bob"));
    alice.join("lobby").await.unwrap();
    bob.ask("JOIN lobby");
    bob.ask("EVENTS on");
    bob.ask("FOLLOW lobby");

    // Nothing is typed any more when the connection is there again.
    repeated(&network, alice.typing("lobby"), || bob.line().unwrap().ends_with(" alice typing")).await.unwrap();
    assert_eq!(alice.send("lobby", "later").await.unwrap().seq, 1);
    loop {
        let line = bob.line().unwrap();
        assert!(!line.ends_with(" typing"), "{line}");
        if line.ends_with(" later") {
            break;
        }
    }
    let redacted = repeated(&network, alice.redact("lobby", 1), || {
        other.ask("FETCH lobby after=0").iter().any(|line| line.contains(" redacts=1 "))
    });
    let redacted = redacted.await.unwrap();
    assert_eq!((redacted.seq, redacted.dup), (2, true));
    // Whose room it is can't be told: it is not taken for the own.
    let made = repeated(&network, alice.create_private("plans", ""), || other.ask("ROOMS").len() == 3).await;
    assert_eq!(code(made.unwrap_err()), ErrorCode::RoomExists);
    let kicked = repeated(&network, alice.kick("lobby", "bob"), || other.ask("WHO lobby").len() == 2).await;
    kicked.unwrap();
    // Not what was refused the first time.
    assert_eq!(code(alice.kick("lobby", "bob").await.unwrap_err()), ErrorCode::NotJoined);
    let banned = || other.ask("ACCESS lobby").iter().any(|line| line.ends_with(" bob banned"));
    repeated(&network, alice.ban("lobby", "bob"), banned).await.unwrap();
    repeated(&network, alice.leave("lobby"), || other.ask("WHO lobby").len() == 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_gives_up_on_a_missing_daemon_in_time() {
    let mut daemon = Daemon::start();
    let options = Options { reconnect: Some(Duration::from_millis(300)), ..options(&daemon, "alice") };
    let client = Client::connect(options.clone()).await.unwrap();
    daemon.kill();
    let start = Instant::now();
    assert!(matches!(Client::connect(options).await, Err(Error::Unreachable { .. })));
    assert!(matches!(client.ping().await, Err(Error::Unreachable { .. } | Error::Closed)));
    assert!(matches!(client.follow("lobby").next().await, Some(Err(Error::Unreachable { .. }))));
    assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_messages_of_a_group() {
    let daemon = Daemon::start();
    let boss = Client::connect(options(&daemon, "boss")).await.unwrap();
    boss.join("jobs").await.unwrap();
    boss.group("jobs", "w", Begin::Start, Some(Duration::from_secs(60))).await.unwrap();
    let worker = Client::connect(options(&daemon, "worker")).await.unwrap();
    worker.join("jobs").await.unwrap();
    let (taken, sent) = tokio::join!(worker.take("jobs", "w", 5, Duration::from_secs(60)), boss.send("jobs", "one"));
    let (taken, sent) = (taken.unwrap(), sent.unwrap());
    assert!(matches!(&taken[..], [Item::Message(message)] if message.seq == sent.seq), "{taken:?}");
    assert!(boss.take("jobs", "w", 5, Duration::ZERO).await.unwrap().is_empty());
    let pending = boss.pending("jobs", "w").await.unwrap();
    assert_eq!((pending[0].seq, &*pending[0].client, pending[0].deliveries), (1, "worker", 1));
    assert_eq!(worker.done("jobs", "w", 1).await.unwrap(), 1);
    let groups = boss.groups("jobs").await.unwrap();
    assert_eq!((groups[0].cursor, groups[0].pending, groups[0].timeout), (1, 0, Duration::from_secs(60)));
    boss.ungroup("jobs", "w").await.unwrap();
    assert!(boss.groups("jobs").await.unwrap().is_empty());
}

/// The error that a follow ends with.
async fn ended(follow: &mut Follow) -> ErrorCode {
    let item = tokio::time::timeout(DEADLINE, follow.next()).await.unwrap();
    let code = code(item.unwrap().unwrap_err());
    assert!(follow.next().await.is_none());
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_room_ends_its_followers_and_they_do_not_recreate_it() {
    let daemon = Daemon::start();
    let network = Proxy::start(daemon.address());
    let alice = connect(&daemon, "alice").await;
    let bob = Client::connect(Options { address: network.address(), ..options(&daemon, "bob") }).await.unwrap();
    let rooms = ["live", "away", "again"];
    let mut follows = Vec::new();
    for room in rooms {
        let made = alice.join(room).await.unwrap();
        assert!(made.created && !alice.join(room).await.unwrap().created);
        for n in 0..3 {
            alice.send(room, n.to_string()).await.unwrap();
        }
        let mut follow = bob.follow(room);
        assert_eq!(take(&mut follow, 3).await, numbered(0..3));
        assert_eq!(bob.join(room).await.unwrap().number, made.number);
        follows.push(follow);
    }
    let [live, away, again] = &mut follows[..] else { panic!() };
    alice.delete("live", None).await.unwrap();
    assert_eq!(ended(live).await, ErrorCode::NotJoined);
    // While the connection is broken, one is deleted, and one is made anew as well; another connection of the same client is in that.
    network.cut();
    alice.delete("away", None).await.unwrap();
    alice.delete("again", None).await.unwrap();
    alice.join("again").await.unwrap();
    let mut elsewhere = daemon.lines("bob");
    elsewhere.expect("JOIN again", "OK cursor=0 last=0");
    for n in 10..20 {
        alice.send("again", n.to_string()).await.unwrap();
    }
    network.restore();
    assert_eq!(ended(away).await, ErrorCode::NoRoom);
    assert_eq!(ended(again).await, ErrorCode::NotJoined, "and nothing of the other room as if it went on");
    let listed: Vec<_> = alice.rooms().await.unwrap().into_iter().map(|info| info.room.to_string()).collect();
    assert_eq!(listed, ["again"]);
    // What was read of the one acknowledges nothing of the other.
    let mut anew = bob.follow("again");
    assert_eq!(take(&mut anew, 10).await, numbered(10..20));
    bob.join("again").await.unwrap();
    assert_eq!(bob.ack("again", None).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_delete_deletes_no_other_room() {
    let daemon = Daemon::start();
    let network = Proxy::start(daemon.address());
    let alice = Client::connect(Options { address: network.address(), ..options(&daemon, "alice") }).await.unwrap();
    let mut other = daemon.lines("alice");
    let number = alice.join("lobby").await.unwrap().number;
    repeated(&network, alice.delete("lobby", Some(number)), || other.ask("ROOMS").len() == 1).await.unwrap();
    alice.join("lobby").await.unwrap();
    let number = alice.join("lobby").await.unwrap().number;
    let made_anew = || {
        // Before the DELETE comes once more.
        other.ask("ROOMS").len() == 1 && other.ask("JOIN lobby")[0].contains(" created ")
    };
    repeated(&network, alice.delete("lobby", Some(number)), made_anew).await.unwrap();
    other.expect("FETCH lobby", "END lobby 0 1 0");
    assert_eq!(code(alice.delete("lobby", Some(number)).await.unwrap_err()), ErrorCode::NoRoom);
}
