//! The client library against the real daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{DEADLINE, Daemon};
use dantok::client::{Client, Error, Follow, Options};
use dantok::protocol::{ErrorCode, Item};

async fn connect(daemon: &Daemon, client: &str) -> Client {
    Client::connect(options(daemon, client)).await.unwrap()
}

fn options(daemon: &Daemon, client: &str) -> Options {
    Options { reconnect: Some(DEADLINE), ..Options::new(daemon.address().to_string(), client) }
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

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_without_a_seq_covers_what_was_fetched_and_nothing_skipped() {
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
    let code = |error: Error| match error {
        Error::Refused(refusal) => refusal.code,
        other => panic!("{other}"),
    };
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
async fn a_daemon_that_is_not_there_is_given_up_in_time() {
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
