//! What is malformed, too much, or meant to do harm.

use super::posting::{messages, post, with_hook};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json";

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    let (web, path) = with_hook(&[]);
    let nested = |levels: usize| format!("{{\"text\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let form = "Content-Type: application/x-www-form-urlencoded";
    for (headers, body, status, why) in [
        (&[JSON][..], "", 400, "not JSON"),
        (&[JSON], "{", 400, "not JSON"),
        (&[JSON], "{\"text\":\"a\"} x", 400, "not JSON"),
        (&[JSON], "{\"text\":\"\\ud800\"}", 400, "not JSON"),
        (&[JSON], "null", 400, "none of those"),
        (&[JSON], "[{\"text\":\"a\"}]", 400, "none of those"),
        (&[JSON], "{\"content\":\"a\"}", 400, "none of those"),
        (&[JSON], "{\"text\":7}", 400, "no text"),
        (&[JSON], "{\"text\":\"\"}", 400, "no text"),
        (&[JSON], "{\"blocks\":[{\"type\":\"divider\"}]}", 400, "no text"),
        (&[JSON], &nested(63), 400, "no text"),
        (&[JSON], &nested(64), 400, "nested deeper"),
        (&[JSON], &nested(500_000), 400, "nested deeper"),
        (&[JSON], &"[".repeat(1_000_000), 400, "nested deeper"),
        (&[JSON], &format!("[{}0]", "{},".repeat(200_000)), 413, "more than 65536 values"),
        (&[JSON], &format!("[{}0]", "0,".repeat(400_000)), 413, "more than 65536 values"),
        (&[JSON], &format!("{{\"text\":\"{}\"}}", "x".repeat(1 << 20)), 413, "at most 1048576 bytes"),
        (&[form], "payload=", 400, "not JSON"),
        (&[form], "payload=%7b", 400, "not JSON"),
        (&[], "", 400, "no text"),
        (&[], " \r\n", 400, "no text"),
        (&["Content-Type: image/png"], "x", 415, "a hook takes"),
        (&["Content-Type: multipart/form-data; boundary=x"], "x", 415, "a hook takes"),
        (&["X-GitHub-Event: push"], "text", 400, "an event is JSON"),
        (&["X-Gitlab-Event: Push Hook"], "text", 400, "an event is JSON"),
    ] {
        let answer = post(&web, &path, headers, body.as_bytes());
        let shown = format!("{headers:?} {body:.60}: {answer:?}");
        assert_eq!(answer.status, status, "{shown}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{shown}");
        assert!(answer.body.contains(why), "{shown}");
    }
    for (headers, body) in [(&[JSON][..], &b"{\"text\":\"\xff\"}"[..]), (&[], b"\xff"), (&["Content-Type: é"], b"x")] {
        let answer = post(&web, &path, headers, body);
        assert!(matches!(answer.status, 400 | 415), "{headers:?}: {answer:?}");
    }
    assert_eq!(messages(&mut web.daemon.lines("alice"), "general"), []);
}

#[test]
fn members_of_any_type_leave_gaps_and_harm_nothing() {
    let (web, path) = with_hook(&[]);
    let odd = [
        json!(null),
        json!(-7.5),
        json!(true),
        json!(""),
        json!([]),
        json!({}),
        json!([[null]]),
        json!("\u{0}\u{202e}\n\u{1b}[2J"),
    ];
    let github =
        ["ping", "push", "pull_request", "issues", "issue_comment", "release", "workflow_run", "star", "\u{1}?", ""];
    for value in &odd {
        for event in github {
            let payload = json!({
                "action": value, "ref": value, "commits": [value], "repository": value, "sender": {"login": value},
                "pull_request": value, "issue": value, "comment": {"body": value}, "release": value, "workflow_run": value,
            });
            let event = format!("X-GitHub-Event: {event}");
            let answer = post(&web, &path, &[JSON, &event], payload.to_string().as_bytes());
            assert!(matches!(answer.status, 200 | 400), "{event} {value}: {answer:?}");
        }
        for kind in ["push", "tag_push", "merge_request", "issue", "note", "pipeline", "release", "x"] {
            let payload =
                json!({"object_kind": kind, "object_attributes": value, "commits": [value], "project": value});
            let answer = post(&web, &path, &[JSON, "X-Gitlab-Event: x"], payload.to_string().as_bytes());
            assert_eq!(answer.status, 200, "{kind} {value}: {answer:?}");
        }
        for alerts in [json!([value]), json!([{"labels": value, "annotations": value, "status": value}])] {
            for more in [
                json!({}),
                json!({"title": "t", "message": value}),
                json!({"truncatedAlerts": value, "commonLabels": value}),
            ] {
                let mut payload = json!({"status": "firing", "groupKey": value, "alerts": alerts});
                payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let answer = post(&web, &path, &[JSON], payload.to_string().as_bytes());
                assert_eq!(answer.status, 200, "{payload}: {answer:?}");
            }
        }
    }
    // Each is one message, on one line of the protocol.
    let mut alice = web.daemon.lines("alice");
    alice.ask("JOIN general");
    let lines = alice.ask("FETCH general after=0 max=1000");
    assert!(lines.iter().all(|line| line.starts_with("MSG general ") || line.starts_with("END ")), "{lines:?}");
    assert!(lines[..lines.len() - 1].iter().all(|line| line.contains(" hook/ci ")), "{lines:?}");
}

#[test]
fn a_payload_is_no_command_and_names_no_room() {
    let (web, path) = with_hook(&[]);
    web.daemon.lines("alice").expect("CREATE other", "OK");
    for (headers, body) in [
        (
            &[JSON][..],
            json!({"text": "a\nDELETE general\r\nSEND other x", "channel": "#other", "room": "other", "username": "alice"}),
        ),
        (&[JSON], json!({"text": "b", "id": "x", "reply": 1, "do": "delete"})),
    ] {
        assert_eq!(post(&web, &path, headers, body.to_string().as_bytes()).status, 200);
    }
    let query = format!("{path}?room=other&client=alice");
    assert_eq!(post(&web, &query, &["Dantok-Client: alice", "Authorization: Bearer x"], b"c").status, 200);
    assert_eq!(post(&web, &format!("{path}/other"), &[], b"d").status, 404);
    let mut alice = web.daemon.lines("alice");
    let found = messages(&mut alice, "general");
    let expected = ["a\nDELETE general\nSEND other x", "b", "c"].map(|text| ("hook/ci".to_owned(), text.to_owned()));
    assert_eq!((found, messages(&mut alice, "other")), (expected.to_vec(), vec![]));
}

#[test]
fn pages_of_other_origins_can_not_post() {
    let (web, path) = with_hook(&[]);
    let answer = post(&web, &path, &["Origin: https://evil.example"], b"from a page");
    assert_eq!(answer.status, 403, "{answer:?}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["code"], "denied");
}
