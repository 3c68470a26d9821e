//! The client library over restarts of the daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Daemon, wait_until};
use dantok::client::{Client, Error, Options};
use dantok::protocol::{ErrorCode, Item};

fn options(daemon: &Daemon, client: &str) -> Options {
    Options::new(daemon.address().to_string(), client)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn text(item: Item) -> (u64, String) {
    let Item::Message(message) = item else { panic!("{item:?}") };
    (message.seq, String::from_utf8(message.body.to_vec()).unwrap())
}

#[test]
fn every_call_does_what_it_says() {
    let daemon = Daemon::start();
    runtime().block_on(async {
        let alice = Client::connect(options(&daemon, "alice/desk")).await.unwrap();
        assert_eq!(&*alice.welcome().client, "alice/desk");
        alice.ping().await.unwrap();
        alice.create("lobby", "greetings").await.unwrap();
        assert_eq!(alice.join("lobby").await.unwrap(), (0, 0));
        alice.nick("Al").await.unwrap();
        for n in 1..=3 {
            assert_eq!(alice.send("lobby", format!("{n}")).await.unwrap().seq, n);
        }
        let again = alice.send_with_id("lobby", "x", "4").await.unwrap();
        assert!(!again.dup && alice.send_with_id("lobby", "x", "4").await.unwrap().dup);
        let fetched = alice.fetch("lobby", None, Some(2)).await.unwrap();
        assert_eq!((fetched.items.len(), fetched.handed, fetched.oldest, fetched.last), (2, 2, 1, 4));
        assert_eq!(alice.ack("lobby", None).await.unwrap(), 2);
        alice.fetch("lobby", Some(3), None).await.unwrap();
        assert_eq!(alice.ack("lobby", None).await.unwrap(), 2, "3 was not fetched");
        assert_eq!(alice.rooms().await.unwrap()[0].unread, Some(2));
        assert_eq!(&*alice.who("lobby").await.unwrap()[0].nick, "Al");
        assert!(alice.stats().await.unwrap().contains(&("messages".to_owned(), 4)));
        alice.leave("lobby").await.unwrap();
        let refused = alice.send("lobby", "x").await.unwrap_err();
        assert!(matches!(refused, Error::Refused(refusal) if refusal.code == ErrorCode::NotJoined));
        let refused = Client::connect(options(&daemon, "no name")).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(refusal) if refusal.code == ErrorCode::BadArgument));
    });
}

#[test]
fn sends_and_a_follow_go_on_over_restarts() {
    const MESSAGES: u64 = 3000;
    let mut daemon = Daemon::start();
    let (sender, reader) = (options(&daemon, "sender"), options(&daemon, "reader"));
    let runtime = runtime();
    let sending = runtime.spawn(async move {
        let client = Client::connect(sender).await.unwrap();
        client.join("lobby").await.unwrap();
        let mut waiting = Vec::new();
        for n in 1..=MESSAGES {
            waiting.push(client.send_later("lobby", Bytes::from(format!("{n}"))).await.unwrap());
            if n % 100 == 0 {
                for (sent, seq) in waiting.drain(..).zip(n - 99..) {
                    assert_eq!(sent.await.unwrap().seq, seq);
                }
            }
        }
    });
    let (progress, reached) = tokio::sync::watch::channel(0);
    let following = runtime.spawn(async move {
        let client = Client::connect(reader).await.unwrap();
        let mut follow = client.follow("lobby");
        for n in 1..=MESSAGES {
            let item = follow.next().await.unwrap().unwrap();
            assert_eq!(text(item), (n, n.to_string()));
            if n % 500 == 0 {
                client.ack("lobby", Some(n)).await.unwrap();
            }
            progress.send(n).unwrap();
        }
    });
    for restart in 1..=3 {
        wait_until("messages come", || *reached.borrow() >= restart * MESSAGES / 4 || following.is_finished());
        daemon.start_again();
    }
    runtime.block_on(sending).unwrap();
    runtime.block_on(following).unwrap();
    runtime.block_on(async {
        let auditor = Client::connect(options(&daemon, "auditor")).await.unwrap();
        auditor.join("lobby").await.unwrap();
        let fetched = auditor.fetch("lobby", None, None).await.unwrap();
        assert_eq!(fetched.items.len() as u64, MESSAGES);
    });
}

#[test]
fn patience_has_an_end() {
    let mut daemon = Daemon::start();
    let mut options = options(&daemon, "alice");
    options.patience = Some(Duration::from_millis(200));
    runtime().block_on(async {
        let client = Client::connect(options.clone()).await.unwrap();
        client.join("lobby").await.unwrap();
        daemon.kill();
        // Closed, where the break was noticed and given up before the call.
        assert!(matches!(client.send("lobby", "x").await, Err(Error::Unreachable { .. } | Error::Closed)));
        assert!(matches!(client.ping().await, Err(Error::Closed)));
        assert!(matches!(Client::connect(options).await, Err(Error::Unreachable { .. })));
    });
}
