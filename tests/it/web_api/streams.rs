//! Waiting for messages: long polls, and streams that go on.

use serde_json::{Value, json};

use super::client::Http;
use crate::common::web::{Web, listening};
use crate::common::{Lines, wait_until};

const MESSAGES: &str = "/api/v1/rooms/general/messages";

/// A web, and a member of its room.
fn general() -> (Web, Lines) {
    let web = Web::start();
    let mut alice = web.daemon.lines("alice");
    alice.expect("JOIN general", "OK cursor=0 last=0");
    (web, alice)
}

/// Follows the room from its end.
fn followed(web: &Web, query: &str) -> (Http, Value) {
    let mut http = Http::of(web.address, "alice");
    http.send(&format!("GET {MESSAGES}?format=ndjson{query}"), &[], None);
    let (status, headers) = http.head();
    assert_eq!((status, &*headers["content-type"]), (200, "application/x-ndjson"));
    assert_eq!(headers["x-accel-buffering"], "no");
    let begin = http.object().unwrap();
    assert_eq!(begin["type"], "begin", "{begin}");
    (http, begin)
}

fn wait_until_it_follows(alice: &mut Lines, count: u64) {
    let count = format!(" followers={count} ");
    wait_until("a follower", || alice.ask("STATS")[0].contains(&count));
}

#[test]
fn a_long_poll_ends_with_the_first_message() {
    let (web, mut alice) = general();
    alice.expect("SEND general one", "OK 1");
    let mut http = Http::of(web.address, "alice");
    // What is there is not waited for.
    assert_eq!(http.get(&format!("{MESSAGES}?after=0&wait=60s")).seqs(), [1]);
    http.send(&format!("GET {MESSAGES}?after=1&wait=60s"), &[], None);
    wait_until_it_follows(&mut alice, 1);
    alice.expect("SEND general two", "OK 2");
    let page = http.answer(false);
    assert_eq!(page.seqs(), [2]);
    let page = page.json();
    assert_eq!((&page["next"], &page["last"]), (&json!(2), &json!(2)));
    // Nothing of it remains, and the connection goes on.
    wait_until_it_follows(&mut alice, 0);
    let page = http.get(&format!("{MESSAGES}?after=2&wait=10ms"));
    assert_eq!((page.seqs(), &page.json()["next"]), (vec![], &json!(2)));
    assert_eq!(http.ask(&format!("HEAD {MESSAGES}?after=2&wait=60s"), &[], None).status, 200);
}

#[test]
fn a_long_poll_ends_with_its_peer_and_with_the_daemon() {
    let (mut web, mut alice) = general();
    // Half closed: the answer still arrives.
    let mut http = Http::of(web.address, "alice");
    http.send(&format!("GET {MESSAGES}?wait=60s"), &[], None);
    wait_until_it_follows(&mut alice, 1);
    http.half_close();
    assert_eq!(http.answer(false).seqs(), Vec::<u64>::new());
    // Behind another request.
    let mut http = Http::of(web.address, "alice");
    http.send(&format!("GET {MESSAGES}?wait=60s"), &[], None);
    http.send("GET /healthz", &[], None);
    wait_until_it_follows(&mut alice, 1);
    http.half_close();
    assert_eq!(http.answer(false).status, 200);
    assert_eq!(http.answer(false).status, 200);
    // Gone.
    let mut http = Http::of(web.address, "alice");
    http.send(&format!("GET {MESSAGES}?wait=60s"), &[], None);
    wait_until_it_follows(&mut alice, 1);
    drop(http);
    wait_until_it_follows(&mut alice, 0);
    let mut http = Http::of(web.address, "alice");
    http.send(&format!("GET {MESSAGES}?wait=60s"), &[], None);
    wait_until_it_follows(&mut alice, 1);
    drop(alice);
    assert!(web.daemon.terminate().success());
    assert_eq!(http.answer(false).seqs(), Vec::<u64>::new());
}

#[test]
fn lines_go_on_with_each_message() {
    let (web, mut alice) = general();
    for n in 1..=3 {
        alice.expect(&format!("SEND general {n}"), &format!("OK {n}"));
    }
    for (query, after) in [("", 3), ("&after=1", 1), ("&limit=2", 1), ("&since=1h", 0)] {
        let (_, begin) = followed(&web, query);
        assert_eq!((&begin["after"], &begin["room"], &begin["number"]), (&json!(after), &json!("general"), &json!(1)));
    }
    let (mut http, _) = followed(&web, "&after=2");
    assert_eq!(http.object().unwrap()["seq"], 3);
    alice.expect("SEND general 4", "OK 4");
    let message = http.object().unwrap();
    assert_eq!((&message["seq"], &message["text"]), (&json!(4), &json!("4")));
    // A room that is gone ends it.
    alice.expect("DELETE general", "OK");
    assert_eq!(http.object().unwrap(), json!({"type": "gone", "room": "general"}));
    assert_eq!(http.object(), None);
    let bad = Http::of(web.address, "alice").get(&format!("{MESSAGES}?format=ndjson&after=1&limit=1"));
    assert_eq!((bad.status, &*bad.code()), (400, "bad-argument"));
}

#[test]
fn lines_without_following_end_with_where_to_go_on() {
    let (web, mut alice) = general();
    for n in 1..=3 {
        alice.expect(&format!("SEND general {n}"), &format!("OK {n}"));
    }
    let mut http = Http::of(web.address, "alice");
    http.send(&format!("GET {MESSAGES}?format=ndjson&follow=false&after=1&limit=1"), &[], None);
    assert_eq!(http.head().0, 200);
    assert_eq!(http.object().unwrap()["seq"], 2);
    assert_eq!(http.object().unwrap(), json!({"type": "end", "room": "general", "handed": 2, "oldest": 1, "last": 3}));
    assert_eq!(http.object(), None);
}

#[test]
fn a_stream_ends_with_its_peer_its_token_and_the_daemon() {
    let (mut web, mut alice) = general();
    let (mut http, _) = followed(&web, "");
    http.half_close();
    assert_eq!(http.object(), None);
    wait_until_it_follows(&mut alice, 0);
    let (http, _) = followed(&web, "");
    drop(http);
    wait_until_it_follows(&mut alice, 0);
    let (mut http, _) = followed(&web, "");
    drop(alice);
    assert!(web.daemon.terminate().success());
    assert_eq!(http.object(), None);
}

#[test]
fn events_resume_after_the_last_one_over_a_restart() {
    let (mut web, mut alice) = general();
    let epoch = Http::of(web.address, "alice").get(MESSAGES).json()["epoch"].as_str().unwrap().to_owned();
    let events = |address, last: &str| {
        let mut http = Http::of(address, "alice");
        http.send(&format!("GET {MESSAGES}"), &["Accept: text/event-stream", &format!("Last-Event-ID: {last}")], None);
        let (status, headers) = http.head();
        assert_eq!((status, &*headers["content-type"]), (200, "text/event-stream"));
        http
    };
    let mut http = events(web.address, "");
    let (name, id, begin) = http.event().unwrap();
    assert_eq!((&*name, id, &begin["after"]), ("begin", format!("{epoch}:0"), &json!(0)));
    alice.expect("SEND general one", "OK 1");
    alice.expect("SEND general two\\n", "OK 2");
    let (name, id, message) = http.event().unwrap();
    assert_eq!((&*name, &*id, &message["text"]), ("", &*format!("{epoch}:1"), &json!("one")));
    drop((http, alice));
    assert!(web.daemon.terminate().success());
    web.daemon.start_again();
    let address = listening(&web.daemon.log(), "the web").unwrap();
    let mut http = events(address, &id);
    assert_eq!(http.event().unwrap().0, "begin");
    let (_, last, message) = http.event().unwrap();
    assert_eq!((&*last, &message["text"]), (&*format!("{epoch}:2"), &json!("two\\n")));
    // Of another epoch, or past the end: told, and from the beginning.
    for (last, code) in [("0123456789abcdef:2".to_owned(), "epoch"), (format!("{epoch}:3"), "set-back")] {
        let mut http = events(address, &last);
        let (name, _, told) = http.event().unwrap();
        assert_eq!((&*name, &told["code"]), ("set-back", &json!(code)));
        let (name, id, _) = http.event().unwrap();
        assert_eq!((&*name, id), ("begin", format!("{epoch}:0")));
        assert_eq!(http.event().unwrap().2["seq"], 1);
    }
    for last in ["x", "x:y", ":-1", "1"] {
        let answer = Http::of(address, "alice").ask(
            &format!("GET {MESSAGES}"),
            &["Accept: text/event-stream", &format!("Last-Event-ID: {last}")],
            None,
        );
        assert_eq!((answer.status, &*answer.code()), (400, "bad-argument"), "{last}");
    }
}

#[test]
fn a_restored_room_is_told_to_those_who_resume() {
    let (mut web, mut alice) = general();
    alice.expect("SEND general kept", "OK 1");
    drop(alice);
    let backup = web.daemon.back_up();
    let mut alice = web.daemon.lines("alice");
    alice.expect("SEND general lost", "OK 2");
    drop(alice);
    let address = |web: &Web| listening(&web.daemon.log(), "the web").unwrap();
    let epoch = Http::of(address(&web), "alice").get(MESSAGES).json()["epoch"].as_str().unwrap().to_owned();
    web.daemon.go_back_to(&backup, true);
    let mut alice = web.daemon.lines("alice");
    alice.expect("SEND general new", "OK 2");
    let mut http = Http::of(address(&web), "alice");
    let told = http.get(&format!("{MESSAGES}?after=2&epoch={epoch}"));
    assert_eq!((told.status, &*told.code()), (409, "epoch"));
    http.send(&format!("GET {MESSAGES}?format=sse"), &[&format!("Last-Event-ID: {epoch}:2")], None);
    assert_eq!(http.head().0, 200);
    let names: Vec<String> = (0..2).map(|_| http.event().unwrap().0).collect();
    assert_eq!(names, ["set-back", "begin"]);
    let texts: Vec<Value> = (0..2).map(|_| http.event().unwrap().2["text"].clone()).collect();
    assert_eq!(texts, ["kept", "new"]);
}

#[test]
fn by_hand_a_room_is_joined_by_writing_and_followed_in_three_forms() {
    let web = Web::start();
    let mut http = Http::to(web.address);
    let form = "Content-Type: application/x-www-form-urlencoded";
    assert_eq!(http.get("/r/general/json").status, 404);
    let sent = http.post("/r/general", &[form], "안녕 & hi=\n\x1b[2J".as_bytes());
    assert_eq!((sent.status, sent.json()), (201, json!({"seq": 1, "dup": false})));
    assert_eq!(sent.headers["location"], "/api/v1/rooms/general/messages/1");
    assert_eq!(http.post("/r/general", &[form], b"").status, 400);
    for (path, content, shown) in [
        ("/r/general/json?after=0", "application/x-ndjson", r#""text":"안녕 & hi=\n\u001b[2J""#),
        ("/r/general/sse?after=0", "text/event-stream", r#""client":"http""#),
        ("/r/general/raw?after=0", "text/plain; charset=utf-8", r"안녕 & hi=\n\x1b[2J"),
    ] {
        let mut http = Http::to(web.address);
        http.send(&format!("GET {path}"), &[], None);
        let (status, headers) = http.head();
        assert_eq!((status, &*headers["content-type"]), (200, content));
        while !http.line().unwrap().contains(shown) {}
    }
    // As somebody else, and not where one may not.
    let mut alice = web.daemon.lines("alice");
    alice.expect("CREATE --private secret", "OK created");
    assert_eq!(http.post("/r/secret", &[], b"x").status, 403);
    assert_eq!(http.post("/r/general?client=bob", &["Idempotency-Key: 1"], b"of bob").status, 201);
    assert_eq!(http.post("/r/general", &["Dantok-Client: bob", "Idempotency-Key: 1"], b"of bob").status, 200);
    let answer = http.post("/r/general?client=bob", &["Dantok-Client: alice"], b"x");
    assert_eq!((answer.status, &*answer.code()), (400, "bad-argument"));
}
