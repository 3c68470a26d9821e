//! Rooms, members, cursors, who may do what, and who the client is.

use serde_json::{Value, json};

use super::client::Http;
use crate::common::web::Web;

const GENERAL: &str = "/api/v1/rooms/general";

fn put(http: &mut Http, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let body = Some(body.as_bytes()).filter(|body| *body != b"null");
    let answer = http.ask(&format!("PUT {path}"), &["Content-Type: application/json"], body);
    (answer.status, answer.json())
}

fn status(http: &mut Http, request: &str) -> u16 {
    http.ask(request, &[], None).status
}

#[test]
fn a_room_from_its_creation_to_its_end() {
    let web = Web::start();
    let (mut alice, mut bob) = (Http::of(web.address, "alice"), Http::of(web.address, "bob"));
    assert_eq!(status(&mut alice, &format!("GET {GENERAL}")), 404);
    let wanted = json!({"topic": "무엇이든", "retention": "30d", "cap": "1MiB"});
    let (created, room) = put(&mut alice, GENERAL, &wanted);
    assert_eq!((created, &room["topic"], &room["private"]), (201, &json!("무엇이든"), &json!(false)), "{room}");
    assert_eq!((&room["retention_secs"], &room["cap_bytes"]), (&json!(2_592_000), &json!(1 << 20)), "{room}");
    // What is left out stays.
    let (changed, room) = put(&mut alice, GENERAL, &json!({"cap": "none"}));
    assert_eq!((changed, &room["retention_secs"], &room["cap_bytes"]), (200, &json!(2_592_000), &json!(null)));
    assert_eq!(put(&mut alice, GENERAL, &json!({"retention": "default", "cap": 4096})).1["cap_bytes"], 4096);
    let (_, same) = put(&mut alice, GENERAL, &Value::Null);
    assert_eq!((&same["topic"], &same["cap_bytes"]), (&json!("무엇이든"), &json!(4096)));
    assert_eq!(put(&mut alice, GENERAL, &json!({"topic": ""})).1["topic"], "");
    let listed = alice.get("/api/v1/rooms").json();
    assert_eq!(listed["rooms"][0]["room"], "general");
    // Only what may be known, and only by those who may.
    assert_eq!(bob.get(GENERAL).json().get("stored_bytes"), None);
    assert_eq!(put(&mut bob, GENERAL, &json!({"topic": "bob's"})).0, 403);
    assert_eq!(put(&mut bob, GENERAL, &json!({"retention": "1y"})).0, 403);
    let only_new = bob.ask(&format!("PUT {GENERAL}"), &["If-None-Match: *"], None);
    assert_eq!((only_new.status, &*only_new.code()), (412, "room-exists"));
    assert_eq!(bob.ask("PUT /api/v1/rooms/new", &["If-None-Match: *"], None).status, 201);
    for (body, status) in [
        (json!({"private": true}), 409),
        (json!({"retention": "1h"}), 400),
        (json!({"retention": "soon"}), 400),
        (json!({"cap": 0}), 400),
        (json!({"cap": "much"}), 400),
        (json!({"topic": "a\nb"}), 400),
        (json!({"topics": "a"}), 400),
        (json!([]), 400),
    ] {
        assert_eq!(put(&mut alice, GENERAL, &body).0, status, "{body}");
    }
    assert_eq!(alice.ask(&format!("PUT {GENERAL}"), &["Content-Type: text/plain"], Some(b"{}")).status, 415);
    assert_eq!(put(&mut alice, "/api/v1/rooms/short", &json!({"retention": "1h"})).0, 400);
    // It goes for good, once.
    assert_eq!(status(&mut bob, &format!("DELETE {GENERAL}")), 403);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}?number=99")), 404);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}?number=1")), 204);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}")), 404);
}

#[test]
fn members_join_leave_and_are_removed() {
    let web = Web::start();
    let (mut alice, mut bob) = (Http::of(web.address, "alice"), Http::of(web.address, "bob/phone"));
    let joined = alice.ask(&format!("PUT {GENERAL}/members/me"), &[], None);
    assert_eq!((joined.status, joined.json()), (201, json!({"cursor": 0, "last": 0, "number": 1, "created": true})));
    alice.post(&format!("{GENERAL}/messages"), &[], b"one");
    for (query, cursor) in [("?from=none", json!(null)), ("?from=now", json!(1)), ("", json!(1))] {
        let joined = bob.ask(&format!("PUT {GENERAL}/members/bob%2Fphone{query}"), &[], None);
        assert_eq!((joined.status, &joined.json()["cursor"]), (200, &cursor), "{query}");
    }
    assert_eq!(status(&mut bob, &format!("PUT {GENERAL}/members/me?from=x")), 400);
    assert_eq!(status(&mut bob, &format!("PUT {GENERAL}/members/alice")), 403);
    let members = alice.get(&format!("{GENERAL}/members")).json();
    let names: Vec<_> =
        members["members"].as_array().unwrap().iter().map(|of| (&of["client"], &of["connections"])).collect();
    assert_eq!(names, [(&json!("alice"), &json!(1)), (&json!("bob/phone"), &json!(1))]);
    assert_eq!(status(&mut bob, &format!("DELETE {GENERAL}/members/alice")), 403);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}/members/bob")), 204);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}/members/bob")), 404);
    assert_eq!(status(&mut bob, &format!("DELETE {GENERAL}/members/me")), 404);
    // `me` stands for the client; whoever is called that is written otherwise.
    let mut me = Http::of(web.address, "me");
    assert_eq!(status(&mut me, &format!("PUT {GENERAL}/members/%6De")), 200);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}/members/m%65")), 204);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}/members/me")), 204);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}/members/me")), 404);
    assert_eq!(status(&mut alice, "DELETE /api/v1/rooms/nowhere/members/me"), 404);
}

#[test]
fn invitations_and_bans() {
    let web = Web::start();
    let (mut alice, mut bob) = (Http::of(web.address, "alice"), Http::of(web.address, "bob"));
    let plans = "/api/v1/rooms/plans";
    assert_eq!(put(&mut alice, plans, &json!({"private": true})).0, 201);
    for request in
        ["GET", "GET /members", "GET /messages", "GET /cursor", "GET /access", "DELETE", "DELETE /messages/1"]
    {
        let (method, path) = request.split_once(' ').unwrap_or((request, ""));
        let answer = bob.ask(&format!("{method} {plans}{path}"), &[], None);
        assert_eq!((answer.status, &*answer.code()), (404, "no-room"), "{request}");
    }
    assert_eq!(status(&mut bob, &format!("PUT {plans}/members/me")), 403);
    assert_eq!(put(&mut bob, plans, &json!({"topic": "?"})).0, 404);
    assert_eq!(status(&mut bob, &format!("PUT {plans}/invitations/bob")), 404);
    assert_eq!(status(&mut alice, &format!("PUT {plans}/invitations/bob%2Fphone")), 400);
    assert_eq!(status(&mut alice, &format!("PUT {plans}/invitations/bob")), 204);
    assert_eq!(status(&mut bob, &format!("PUT {plans}/members/me")), 200);
    assert_eq!(status(&mut alice, &format!("PUT {plans}/bans/eve")), 204);
    assert_eq!(status(&mut bob, &format!("PUT {plans}/bans/alice")), 403);
    let access = bob.get(&format!("{plans}/access")).json();
    let listed: Vec<_> = access["access"].as_array().unwrap().iter().map(|of| (&of["client"], &of["access"])).collect();
    let (owner, invited, banned) = (json!("owner"), json!("invited"), json!("banned"));
    assert_eq!(listed, [(&json!("alice"), &owner), (&json!("bob"), &invited), (&json!("eve"), &banned)]);
    assert_eq!(status(&mut alice, &format!("DELETE {plans}/bans/eve")), 204);
    assert_eq!(status(&mut alice, &format!("DELETE {plans}/invitations/bob")), 204);
    assert_eq!(status(&mut alice, &format!("DELETE {plans}/invitations/bob")), 404);
    assert_eq!(status(&mut bob, &format!("GET {plans}")), 404);
}

#[test]
fn a_cursor_moves_up_by_ack_and_anywhere_by_seek() {
    let web = Web::start();
    let mut alice = Http::of(web.address, "alice");
    let mut bob = Http::of(web.address, "bob");
    let cursor = format!("{GENERAL}/cursor");
    assert_eq!(status(&mut alice, &format!("GET {cursor}")), 404);
    alice.ask(&format!("PUT {GENERAL}/members/me"), &[], None);
    bob.ask(&format!("PUT {GENERAL}/members/me"), &[], None);
    for _ in 0..3 {
        alice.post(&format!("{GENERAL}/messages"), &[], b"x");
    }
    assert_eq!(bob.get(&cursor).json(), json!({"cursor": 0, "last": 3, "unread": 3}));
    for (body, answer) in [
        (json!({"ack": 2}), json!({"cursor": 2})),
        (json!({"ack": 1}), json!({"cursor": 2})),
        (json!({"seek": 1}), json!({"cursor": 1})),
        (json!({"seek": "now"}), json!({"cursor": 3})),
        (json!({"seek": "start"}), json!({"cursor": 0})),
    ] {
        assert_eq!(put(&mut bob, &cursor, &body), (200, answer), "{body}");
    }
    for (body, status) in [
        (json!({"ack": 4}), 409),
        (json!({"seek": 4}), 409),
        (json!({"seek": "end"}), 400),
        (json!({"ack": 1, "seek": 1}), 400),
        (json!({}), 400),
        (json!({"ack": "1"}), 400),
    ] {
        assert_eq!(put(&mut bob, &cursor, &body).0, status, "{body}");
    }
    assert_eq!(bob.get(&cursor).json()["cursor"], 0);
    let mut eve = Http::of(web.address, "eve");
    assert_eq!(put(&mut eve, &cursor, &json!({"ack": 1})).0, 403);
    assert_eq!(eve.get(&cursor).json(), json!({"cursor": null, "last": 3, "unread": null}));
}

#[test]
fn a_message_is_redacted_once() {
    let web = Web::start();
    let (mut alice, mut bob) = (Http::of(web.address, "alice"), Http::of(web.address, "bob"));
    for http in [&mut alice, &mut bob] {
        http.ask(&format!("PUT {GENERAL}/members/me"), &[], None);
    }
    alice.post(&format!("{GENERAL}/messages"), &[], b"1234");
    let message = format!("{GENERAL}/messages/1");
    assert_eq!(status(&mut bob, &format!("DELETE {message}")), 403);
    for dup in [false, true] {
        let redacted = alice.ask(&format!("DELETE {message}"), &[], None);
        assert_eq!((redacted.status, redacted.json()), (200, json!({"seq": 2, "dup": dup})));
    }
    let shown = alice.get(&message).json();
    assert_eq!((&shown["redacted"], &shown["text"]), (&json!(2), &json!("")));
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}/messages/9")), 404);
    assert_eq!(status(&mut alice, &format!("DELETE {GENERAL}/messages/2")), 400);
}
