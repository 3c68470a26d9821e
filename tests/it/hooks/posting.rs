//! Where what is posted goes, who may post, and how often.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hook;
use crate::common::backups::run;
use crate::common::http::{self, Answer};
use crate::common::web::{Web, listening};
use crate::common::{Daemon, Lines, connect, wait_until};
use serde_json::{Value, json};

/// A daemon with a room and a hook for it, and the path of that.
pub fn with_hook(flags: &[&str]) -> (Web, String) {
    let web = Web::start_with(flags);
    web.daemon.lines("alice").expect("CREATE general", "OK");
    let path = hook(&web.daemon, &["add", "general", "--name", "ci"]);
    (web, path)
}

/// Posts a body, with these headers.
pub fn post(web: &Web, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    try_post(web.address, path, headers, body).expect("an answer")
}

/// The same where the daemon may end meanwhile.
fn try_post(address: std::net::SocketAddr, path: &str, headers: &[&str], body: &[u8]) -> Option<Answer> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(crate::common::DEADLINE)).unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    // It may be answered before all of it is read.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    text.contains("\r\n\r\n").then(|| http::answer(&text))
}

/// Posts a text that is taken.
fn say(web: &Web, path: &str, text: &str) {
    let answer = post(web, path, &["Content-Type: text/plain"], text.as_bytes());
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
}

/// The clients and texts of a room's messages.
pub fn messages(lines: &mut Lines, room: &str) -> Vec<(String, String)> {
    lines.ask(&format!("JOIN {room}"));
    lines.send(&format!("FORMAT json\nFETCH {room} after=0 max=1000\nFORMAT text"));
    let mut objects = std::iter::from_fn(|| lines.line()).map(|line| serde_json::from_str::<Value>(&line).unwrap());
    assert_eq!(objects.next().unwrap()["type"], "ok");
    let text = |object: &Value, name: &str| object[name].as_str().unwrap().to_owned();
    let found = objects.by_ref().take_while(|object| object["type"] == "message");
    let found = found.map(|object| (text(&object, "client"), text(&object, "text"))).collect();
    drop(objects);
    lines.expect("PING", "OK");
    assert_eq!(lines.line().as_deref(), Some("OK pong"));
    found
}

fn texts(daemon: &Daemon, room: &str) -> Vec<String> {
    messages(&mut daemon.lines("reader"), room).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn a_hook_writes_into_its_room_and_is_no_member_of_it() {
    let (web, path) = with_hook(&[]);
    let mut alice = web.daemon.lines("alice");
    alice.expect("JOIN general", "OK cursor=0 last=0");
    alice.expect("FOLLOW general", "OK after=0");
    say(&web, &path, "build 7 failed");
    let pushed = alice.line().unwrap();
    assert!(pushed.starts_with("MSG general 1 ") && pushed.ends_with(" hook/ci build 7 failed"), "{pushed}");
    let who = alice.ask("WHO general");
    assert!(who.len() == 2 && who[0].contains(" alice "), "{who:?}");
    // Only an admin redacts it: nobody else is its sender.
    assert!(alice.ask("REDACT general 1")[0].starts_with("ERR denied "));
    // It may be answered like any other message.
    web.daemon.lines("alice").expect("SEND general reply=1 I'll look", "OK 2");
}

#[test]
fn a_hook_needs_no_token_and_no_invitation() {
    let web = Web::start();
    web.daemon.lines("alice").expect("CREATE secret --private", "OK");
    let path = hook(&web.daemon, &["add", "secret", "--name", "ci"]);
    let token = web.daemon.token(&["issue", "alice"]);
    say(&web, &path, "for those who are inside");
    let mut alice = web.daemon.lines(&format!("alice {token}"));
    assert_eq!(messages(&mut alice, "secret"), [("hook/ci".to_owned(), "for those who are inside".to_owned())]);
}

#[test]
fn a_room_that_is_made_again_is_another_room() {
    let (web, path) = with_hook(&[]);
    let unbound = hook(&web.daemon, &["add", "later", "--name", "early"]);
    let answer = post(&web, &unbound, &[], b"too early");
    assert!(answer.status == 404 && answer.body.contains("there is no room later yet"), "{answer:?}");
    let mut alice = web.daemon.lines("alice");
    alice.expect("CREATE later", "OK");
    say(&web, &unbound, "in time");
    assert!(hook(&web.daemon, &["list"]).contains("early  later  number 2  "));
    say(&web, &path, "first");
    for room in ["general", "later"] {
        alice.expect(&format!("DELETE {room}"), "OK");
    }
    for _ in 0..2 {
        for path in [&path, &unbound] {
            let answer = post(&web, path, &[], b"to nobody");
            assert!(answer.status == 410 && answer.body.contains("\"no-room\""), "{answer:?}");
        }
        for room in ["general", "later"] {
            alice.ask(&format!("CREATE {room}"));
        }
    }
    assert_eq!((texts(&web.daemon, "general"), texts(&web.daemon, "later")), (vec![], vec![]));
}

#[test]
fn a_hook_that_is_removed_is_worthless_at_once() {
    let (mut web, path) = with_hook(&[]);
    say(&web, &path, "first");
    hook(&web.daemon, &["remove", "ci"]);
    assert_eq!(post(&web, &path, &[], b"late").status, 404);
    let again = hook(&web.daemon, &["add", "general", "--name", "ci"]);
    assert_eq!(post(&web, &path, &[], b"late").status, 404);
    say(&web, &again, "second");
    // And it stays so.
    web.daemon.start_again();
    web.address = listening(&web.daemon.log(), "the web").unwrap();
    assert_eq!(post(&web, &path, &[], b"late").status, 404);
    say(&web, &again, "third");
    assert_eq!(texts(&web.daemon, "general"), ["first", "second", "third"]);
}

#[test]
fn an_owner_keeps_hooks_out() {
    let (web, path) = with_hook(&[]);
    let mut alice = web.daemon.lines("alice");
    alice.expect("BAN general hook", "OK");
    let answer = post(&web, &path, &[], b"spam");
    assert!(answer.status == 403 && answer.body.contains("\"denied\""), "{answer:?}");
    alice.expect("UNBAN general hook", "OK");
    say(&web, &path, "welcome");
    assert_eq!(texts(&web.daemon, "general"), ["welcome"]);
}

#[test]
fn an_unknown_secret_tells_nothing_and_is_counted() {
    let (web, path) = with_hook(&[]);
    let wrong = format!("/hook/{}", "0".repeat(40));
    let nothing = post(&web, "/nothing", &[], b"");
    let unknown = post(&web, &wrong, &["Content-Type: image/png"], b"x");
    assert_eq!((nothing.status, &nothing.body), (404, &unknown.body));
    assert_eq!(unknown.status, 404);
    assert_eq!(post(&web, &path.to_uppercase(), &[], b"x").status, 404);
    let counted: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..60).map(|_| scope.spawn(|| post(&web, &wrong, &[], b"x"))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let too_many: Vec<&Answer> = counted.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(too_many.len(), 60 + 1 - 30, "{counted:?}");
    assert!(too_many.iter().all(|answer| answer.headers.contains_key("retry-after")), "{too_many:?}");
    assert_eq!(web.daemon.log().matches("keeps asking for hooks that don't exist").count(), 1);
    // Others may use the same address.
    say(&web, &path, "still here");
    let answer = web.get(&path);
    assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "POST"));
}

#[test]
fn each_hook_has_rate_limits_of_its_own() {
    let (web, path) = with_hook(&["--max-requests-per-second", "1"]);
    let other = hook(&web.daemon, &["add", "general", "--name", "other"]);
    let alerts = json!({"status": "firing", "alerts": [], "receiver": "r"}).to_string();
    let (mut slow_down, mut later) = (None, None);
    // The answers come faster than the limit lets them.
    wait_until("the limit is reached", || {
        let answer = post(&web, &path, &[], b"again");
        slow_down = (answer.status != 200).then_some(answer);
        slow_down.is_some()
    });
    let slow_down = slow_down.unwrap();
    assert_eq!((slow_down.status, slow_down.headers["retry-after"].as_str()), (429, "1"), "{slow_down:?}");
    say(&web, &other, "not slowed down");
    // Alertmanager does not repeat what is answered 429.
    wait_until("the limit is reached", || {
        let answer = post(&web, &path, &["Content-Type: application/json"], alerts.as_bytes());
        later = (answer.status != 200).then_some(answer);
        later.is_some()
    });
    assert_eq!(later.unwrap().status, 503);
}

#[test]
fn a_text_that_is_too_long_is_cut_and_says_so() {
    let (web, path) = with_hook(&["--max-body", "1KiB"]);
    say(&web, &path, &"단".repeat(1000));
    let text = texts(&web.daemon, "general").remove(0);
    let (kept, mark) = text.split_once('\n').unwrap();
    assert!(kept.len() > 900 && text.len() <= 1024, "{text}");
    assert_eq!(mark, format!("[{} more bytes were cut off]", 3000 - kept.len()));
}

#[test]
fn only_what_github_has_signed_is_taken_where_there_is_a_secret() {
    let (web, _) = with_hook(&[]);
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "It's a Secret to Everybody\n").unwrap();
    let file = key.path().to_str().unwrap();
    let path = hook(&web.daemon, &["add", "general", "--name", "gh", "--github-secret-file", file]);
    assert!(hook(&web.daemon, &["list"]).ends_with("  signed by GitHub"));
    // GitHub's own example of a signature is that of a text.
    let good = "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    for (headers, body) in [
        (&[][..], &b"Hello, World!"[..]),
        (&[good], b"Hello, World"),
        (&[good], b"{}"),
        (&["X-Hub-Signature-256: sha256="], b"Hello, World!"),
        (
            &["X-Hub-Signature: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"],
            b"Hello, World!",
        ),
        (&["Content-Type: application/json", "X-GitHub-Event: ping"], b"{}"),
        (&["Content-Type: application/json"], b"{\"text\":\"from Slack\"}"),
    ] {
        let answer = post(&web, &path, headers, body);
        assert!(answer.status == 403 && answer.body.contains("X-Hub-Signature-256"), "{headers:?}: {answer:?}");
    }
    let answer = post(&web, &path, &[good], b"Hello, World!");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(texts(&web.daemon, "general"), ["Hello, World!"]);
    assert!(!web.daemon.log().contains("Secret to Everybody"));
}

#[test]
fn what_has_a_key_is_stored_once() {
    let (web, path) = with_hook(&[]);
    for _ in 0..3 {
        assert_eq!(post(&web, &path, &["Idempotency-Key: 7"], b"once").status, 200);
        assert_eq!(post(&web, &path, &[], b"each time").status, 200);
    }
    let answer = post(&web, &path, &["Idempotency-Key: 7"], b"something else");
    assert!(answer.status == 409 && answer.body.contains("\"id-reused\""), "{answer:?}");
    assert_eq!(texts(&web.daemon, "general"), ["once", "each time", "each time", "each time"]);
}

/// A ping of GitHub with a number, and its headers.
fn delivery(number: usize) -> ([String; 3], String) {
    let delivery = format!("X-GitHub-Delivery: 72d3162e-{number}");
    let headers = [delivery, "X-GitHub-Event: ping".to_owned(), "Content-Type: application/json".to_owned()];
    (headers, json!({"zen": format!("delivery {number}"), "repository": {"full_name": "a/b"}}).to_string())
}

#[test]
fn a_delivery_whose_answer_was_lost_in_a_crash_is_the_same_again() {
    let (mut web, path) = with_hook(&[]);
    let (headers, body) = delivery(1);
    let mut stream = connect(web.address);
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
    stream.write_all(format!("{head}{}\r\n\r\n{body}", headers.join("\r\n")).as_bytes()).unwrap();
    let mut reader = web.daemon.lines("reader");
    wait_until("it is stored", || messages(&mut reader, "general").len() == 1);
    web.daemon.kill();
    web.daemon.start_again();
    web.address = listening(&web.daemon.log(), "the web").unwrap();
    let answer = post(&web, &path, &headers.each_ref().map(String::as_str), body.as_bytes());
    assert_eq!(answer.body, "{\"dup\":true,\"seq\":1}\n");
    assert_eq!(texts(&web.daemon, "general").len(), 1);
}

#[test]
fn deliveries_that_are_repeated_over_crashes_are_stored_once_each() {
    const POSTERS: usize = 3;
    const DELIVERIES: usize = 30;
    let (mut web, path) = with_hook(&[]);
    let log = web.daemon.data_dir().parent().unwrap().join("log");
    let taken = AtomicUsize::new(0);
    let post_all = &|first: usize| {
        for number in first..first + DELIVERIES {
            let (headers, body) = delivery(number);
            let headers = headers.each_ref().map(String::as_str);
            // Until it is answered, as a person does who redelivers.
            wait_until("a delivery is taken", || {
                let answer = address_in(&log).and_then(|address| try_post(address, &path, &headers, body.as_bytes()));
                answer.is_some_and(|answer| answer.status == 200)
            });
            taken.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let posters: Vec<_> = (0..POSTERS).map(|poster| scope.spawn(move || post_all(poster * DELIVERIES))).collect();
        let is_done = || posters.iter().all(|poster| poster.is_finished());
        while !is_done() {
            let before = taken.load(Ordering::Relaxed);
            wait_until("some are taken", || is_done() || taken.load(Ordering::Relaxed) >= before + 10);
            web.daemon.kill();
            web.daemon.start_again();
        }
    });
    let mut counts = BTreeMap::new();
    for text in texts(&web.daemon, "general") {
        *counts.entry(text).or_insert(0) += 1;
    }
    assert!(counts.len() == POSTERS * DELIVERIES && counts.values().all(|count| *count == 1), "{counts:?}");
}

fn address_in(log: &Path) -> Option<std::net::SocketAddr> {
    listening(&std::fs::read_to_string(log).unwrap(), "the web")
}

#[test]
fn a_restored_daemon_has_its_hooks() {
    let (web, path) = with_hook(&[]);
    say(&web, &path, "before");
    let backups = tempfile::tempdir().unwrap();
    run(&web.daemon.data_dir(), &["backup", backups.path().to_str().unwrap()]);
    let copy = tempfile::tempdir().unwrap();
    run(&copy.path().join("data"), &["restore", backups.path().to_str().unwrap()]);
    let daemon = Daemon::start_in(copy, &["--web", "127.0.0.1:0"]);
    let address = listening(&daemon.log(), "the web").unwrap();
    let copy = Web { daemon, address };
    say(&copy, &path, "after");
    assert_eq!(texts(&copy.daemon, "general"), ["before", "after"]);
    assert_eq!(texts(&web.daemon, "general"), ["before"]);
}

#[test]
fn hooks_are_below_the_path_of_the_web() {
    let web = Web::start_with(&["--web-path", "/chat"]);
    web.daemon.lines("alice").expect("CREATE general", "OK");
    let path = hook(&web.daemon, &["add", "general", "--name", "ci", "--web-path", "/chat"]);
    assert!(path.starts_with("/chat/hook/"), "{path}");
    say(&web, &path, "below");
    assert_eq!(post(&web, path.strip_prefix("/chat").unwrap(), &[], b"x").status, 404);
}

#[test]
fn a_body_may_come_in_chunks_and_must_come_to_its_end() {
    let (web, path) = with_hook(&["--hello-timeout", "1s"]);
    let address = web.address;
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let answer = http::ask(address, &format!("{head}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut stream = connect(address);
    stream.write_all(format!("{head}5\r\nhello\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(http::answer(&text).status, 408, "{text}");
    assert_eq!(texts(&web.daemon, "general"), ["hello world"]);
}
