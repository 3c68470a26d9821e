//! Sending and reading messages.

use serde_json::json;

use super::client::Http;
use crate::common::wait_until;
use crate::common::web::Web;

const MESSAGES: &str = "/api/v1/rooms/general/messages";

/// A web with a room of alice's, who is a member.
fn general() -> (Web, Http) {
    let web = Web::start();
    web.daemon.lines("alice").expect("JOIN general", "OK cursor=0 last=0");
    let alice = Http::of(web.address, "alice");
    (web, alice)
}

#[test]
fn a_message_is_sent_once_and_is_where_its_location_says() {
    let (mut web, mut alice) = general();
    let sent = alice.post(MESSAGES, &["Content-Type: text/plain; charset=UTF-8"], "안녕\nhi".as_bytes());
    assert_eq!((sent.status, sent.json()), (201, json!({"seq": 1, "dup": false})));
    let location = sent.headers["location"].clone();
    let message = alice.get(&location).json();
    assert_eq!((&message["text"], &message["seq"]), (&json!("안녕\nhi"), &json!(1)), "{message}");
    // The same id is the same message, also after a crash, and with quotes.
    let key = "Idempotency-Key: \"8e03978e-40d5-43dd-bc93-6894a57f9324\"";
    let sent = alice.post(MESSAGES, &[key], b"once");
    assert_eq!((sent.status, sent.json()), (201, json!({"seq": 2, "dup": false})));
    web.daemon.kill();
    web.daemon.start_again();
    let address = crate::common::web::listening(&web.daemon.log(), "the web").unwrap();
    let mut alice = Http::of(address, "alice");
    for key in [key, "Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324"] {
        let sent = alice.post(MESSAGES, &[key], b"once");
        assert_eq!((sent.status, sent.json()), (200, json!({"seq": 2, "dup": true})));
    }
    let reused = alice.post(MESSAGES, &[key], b"another");
    assert_eq!((reused.status, reused.code()), (409, "id-reused".to_owned()));
}

#[test]
fn a_body_is_text_bytes_or_json() {
    let (_web, mut alice) = general();
    let json_type = "Content-Type: application/json";
    let bytes = [0, 0xff, b'\n', 0x1b];
    for (query, headers, body) in [
        ("", vec!["Content-Type: text/plain"], &b"text"[..]),
        ("", vec![], &bytes),
        ("?reply=1", vec!["Content-Type: application/octet-stream"], b"{\"text\":1}"),
        ("", vec![json_type], br#"{"text":"\u0000\ud83d\ude00","reply":2}"#),
        ("?reply=2", vec![json_type], br#"{"base64":"/wA=","reply":null}"#),
        ("", vec![json_type], br#"{"text":""}"#),
    ] {
        let sent = alice.post(&format!("{MESSAGES}{query}"), &headers, body);
        assert_eq!(sent.status, 201, "{sent:?}");
    }
    let page = alice.get(MESSAGES).json();
    let shown: Vec<_> = page["messages"].as_array().unwrap().iter().collect();
    let bodies: Vec<_> =
        shown.iter().map(|message| (&message["text"], &message["base64"], &message["reply"])).collect();
    let none = json!(null);
    assert_eq!(
        bodies,
        [
            (&json!("text"), &none, &none),
            (&none, &json!("AP8KGw=="), &none),
            (&json!("{\"text\":1}"), &none, &json!(1)),
            (&json!("\0😀"), &none, &json!(2)),
            (&none, &json!("/wA="), &json!(2)),
            (&json!(""), &none, &none),
        ]
    );
}

#[test]
fn what_is_no_message_is_refused() {
    let (_web, mut alice) = general();
    let (json_type, long) = ("Content-Type: application/json", vec![b'x'; 64 * 1024 + 1]);
    let escaped = format!("{{\"text\":\"{}\"}}", "\\u0061".repeat(64 * 1024 + 1));
    for (path, headers, body, status, code) in [
        ("", vec![], &b""[..], 400, "bad-argument"),
        ("", vec!["Content-Type: text/plain"], b"\xff", 400, "not-utf8"),
        ("", vec!["Content-Type: text/plain; charset=euc-kr"], b"x", 415, "bad-argument"),
        ("", vec!["Content-Type: text/html"], b"x", 415, "bad-argument"),
        ("", vec!["Content-Type: text/plain", "Content-Type: text/plain"], b"x", 400, "bad-argument"),
        ("", vec!["Idempotency-Key: a b"], b"x", 400, "bad-argument"),
        ("", vec!["Idempotency-Key: a", "Idempotency-Key: a"], b"x", 400, "bad-argument"),
        ("", vec!["Idempotency-Key: "], b"x", 400, "bad-argument"),
        ("?reply=9", vec![], b"x", 409, "set-back"),
        ("?reply=x", vec![], b"x", 400, "bad-argument"),
        ("?reply=1&reply=1", vec![], b"x", 400, "bad-argument"),
        ("?nonsense", vec![], b"x", 400, "bad-argument"),
        ("", vec![json_type], b"{}", 400, "bad-argument"),
        ("", vec![json_type], b"[]", 400, "bad-argument"),
        ("", vec![json_type], br#"{"text":"x","base64":"eA=="}"#, 400, "bad-argument"),
        ("", vec![json_type], br#"{"text":"x","txt":"x"}"#, 400, "bad-argument"),
        ("", vec![json_type], br#"{"text":"x","text":"x"}"#, 400, "bad-argument"),
        ("", vec![json_type], br#"{"base64":"_w=="}"#, 400, "bad-argument"),
        ("?reply=1", vec![json_type], br#"{"text":"x","reply":1}"#, 400, "bad-argument"),
        ("", vec![json_type], br#"{"text":"x","reply":-1}"#, 400, "bad-argument"),
        ("", vec![json_type], escaped.as_bytes(), 413, "too-long"),
    ] {
        let answer = alice.post(&format!("{MESSAGES}{path}"), &headers, body);
        assert_eq!((answer.status, &*answer.code()), (status, code), "{path} {headers:?} {answer:?}");
    }
    let longest = alice.post(MESSAGES, &[], &long[1..]);
    assert_eq!(longest.status, 201);
    let answer = alice.post(MESSAGES, &[], &long);
    assert_eq!((answer.status, &*answer.code()), (413, "too-long"));
}

#[test]
fn pages_lead_from_one_to_the_next_in_both_directions() {
    let (_web, mut alice) = general();
    assert_eq!(alice.get(MESSAGES).seqs(), Vec::<u64>::new());
    for n in 1..=10 {
        alice.post(MESSAGES, &[], format!("message {n}").as_bytes());
    }
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let page = alice.get(&format!("{MESSAGES}?after={after}&limit=4"));
        pages.push(page.seqs());
        let page = page.json();
        assert_eq!((&page["room"], &page["oldest"], &page["last"]), (&json!("general"), &json!(1), &json!(10)));
        assert_eq!(page["epoch"].as_str().unwrap().len(), 16, "{page}");
        after = page["next"].as_u64().unwrap();
        if page["next"] == page["last"] {
            break;
        }
    }
    assert_eq!(pages, [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]]);
    for (query, seqs) in [
        ("limit=3", vec![8, 9, 10]),
        ("before=8&limit=3", vec![5, 6, 7]),
        ("before=2", vec![1]),
        ("before=1", vec![]),
        ("since=1h&limit=2", vec![1, 2]),
        ("since=2100-01-01T00:00:00Z", vec![]),
        ("after=10", vec![]),
        ("limit=0", vec![]),
        ("after=4&before=7", vec![5, 6]),
    ] {
        assert_eq!(alice.get(&format!("{MESSAGES}?{query}")).seqs(), seqs, "{query}");
    }
    for (query, status, code) in [
        ("after=11", 409, "set-back"),
        ("after=-1", 400, "bad-argument"),
        ("after=", 400, "bad-argument"),
        ("after=18446744073709551616", 400, "bad-argument"),
        ("limit=1001", 400, "bad-argument"),
        ("since=yesterday", 400, "bad-argument"),
        ("wait=61s", 400, "bad-argument"),
        ("wait=x", 400, "bad-argument"),
        ("epoch=0000000000000000", 409, "epoch"),
        ("format=xml", 400, "bad-argument"),
        ("follow=true", 400, "bad-argument"),
        ("room=general", 400, "bad-argument"),
        ("a=%ff", 400, "bad-argument"),
    ] {
        let answer = alice.get(&format!("{MESSAGES}?{query}"));
        assert_eq!((answer.status, &*answer.code()), (status, code), "{query}");
    }
    let answer = alice.ask(&format!("GET {MESSAGES}"), &["Accept: text/html"], None);
    assert_eq!(answer.status, 406);
}

#[test]
fn one_message_is_there_or_was_or_never_was() {
    let web = Web::start_with(&["--retention", "1s", "--allow-short-retention"]);
    web.daemon.lines("alice").expect("JOIN general", "OK cursor=0 last=0");
    let mut alice = Http::of(web.address, "alice");
    alice.post(MESSAGES, &[], b"one");
    for (seq, status) in [("2", 404), ("0", 400), ("x", 400), ("18446744073709551615", 404)] {
        assert_eq!(alice.get(&format!("{MESSAGES}/{seq}")).status, status, "{seq}");
    }
    wait_until("expiry", || alice.get(&format!("{MESSAGES}/1")).status == 410);
    let page = alice.get(&format!("{MESSAGES}?after=0")).json();
    assert_eq!(page["messages"], json!([{"type": "gap", "room": "general", "from": 1, "to": 1, "reason": "expired"}]));
    assert_eq!((&page["next"], &page["oldest"]), (&json!(1), &json!(2)));
}

#[test]
fn only_members_read_and_write() {
    let (web, _) = general();
    let mut alice = web.daemon.lines("alice");
    alice.expect("CREATE --private secret", "OK created");
    let mut eve = Http::of(web.address, "eve");
    for (room, status, code) in [("general", 403, "not-joined"), ("secret", 404, "no-room"), ("none", 404, "no-room")] {
        for path in ["messages", "messages/1", "messages?format=sse", "messages?format=ndjson&after=0"] {
            let answer = eve.get(&format!("/api/v1/rooms/{room}/{path}"));
            assert_eq!((answer.status, &*answer.code()), (status, code), "{room} {path}");
        }
        let answer = eve.post(&format!("/api/v1/rooms/{room}/messages"), &[], b"x");
        assert_eq!((answer.status, &*answer.code()), (status, code), "{room}");
    }
    // Nothing has come of it.
    let who = alice.ask("WHO general");
    assert_eq!(who.len(), 2, "{who:?}");
    assert!(!alice.ask("ROOMS").iter().any(|line| line.contains("none")));
}

#[test]
fn a_large_page_comes_in_parts_and_whole() {
    let (_web, mut alice) = general();
    let body = vec![0xff; 60_000];
    for _ in 0..20 {
        assert_eq!(alice.post(MESSAGES, &[], &body).status, 201);
    }
    let page = alice.get(&format!("{MESSAGES}?after=0"));
    assert_eq!(page.headers.get("transfer-encoding").map(String::as_str), Some("chunked"));
    assert_eq!(page.seqs(), (1..=20).collect::<Vec<_>>());
    // The connection goes on.
    assert_eq!(alice.get(&format!("{MESSAGES}?limit=1")).seqs(), [20]);
}
