//! What programs send, as they really send it. `tests/data/hooks` has requests (headers and a body) and the texts that they become.

use std::path::{Path, PathBuf};

use super::posting::{messages, post, with_hook};
use serde_json::{Value, json};

/// A request: its name, its headers, its body, and the text that it becomes; empty if it is not shown.
struct Fixture {
    name: String,
    headers: Vec<String>,
    body: String,
    text: String,
}

fn fixtures() -> Vec<Fixture> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hooks");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let requests = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "http"));
    let fixtures = requests.map(|path| {
        let request = std::fs::read_to_string(path).unwrap();
        let (head, body) = request.split_once("\n\n").unwrap();
        let text = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        Fixture {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            headers: head.lines().map(str::to_owned).collect(),
            body: body.to_owned(),
            text: text.trim_end().to_owned(),
        }
    });
    fixtures.collect()
}

#[test]
fn each_becomes_the_message_that_it_should_and_is_answered_as_its_sender_expects() {
    let (web, path) = with_hook(&[]);
    let fixtures = fixtures();
    for prefix in ["github-", "gitlab-", "alertmanager", "grafana", "slack-", "text"] {
        assert!(fixtures.iter().any(|fixture| fixture.name.starts_with(prefix)), "{prefix}");
    }
    let mut alice = web.daemon.lines("alice");
    let mut expected = Vec::new();
    for Fixture { name, headers, body, text } in &fixtures {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = post(&web, &path, &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let is_plain = name.starts_with("slack") || name.starts_with("text");
        let media = if is_plain { "text/plain; charset=utf-8" } else { "application/json" };
        assert_eq!(answer.headers["content-type"], media, "{name}");
        if !text.is_empty() {
            expected.push(("hook/ci".to_owned(), text.clone()));
        }
        assert_eq!(messages(&mut alice, "general").last(), expected.last(), "{name}");
        if is_plain {
            assert_eq!(answer.body, "ok", "{name}");
            continue;
        }
        let object: Value = serde_json::from_str(&answer.body).unwrap();
        if text.is_empty() {
            assert!(object["ignored"].is_string(), "{name}: {object}");
            continue;
        }
        assert_eq!(object, json!({"seq": expected.len(), "dup": false}), "{name}");
        // Sent again, it is the same.
        let answer = post(&web, &path, &headers, body.as_bytes());
        let object: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, object), (200, json!({"seq": expected.len(), "dup": true})), "{name}");
    }
    assert_eq!(messages(&mut alice, "general"), expected);
}

#[test]
fn an_alert_that_changes_is_another_message() {
    let (web, path) = with_hook(&[]);
    let group = fixtures().into_iter().find(|fixture| fixture.name == "alertmanager").unwrap();
    let group: Value = serde_json::from_str(&group.body).unwrap();
    let is_dup = |group: &Value| {
        let answer = post(&web, &path, &["Content-Type: application/json"], group.to_string().as_bytes());
        let object: Value = serde_json::from_str(&answer.body).unwrap();
        object["dup"].as_bool().unwrap()
    };
    assert!(!is_dup(&group) && is_dup(&group));
    let changes: [&dyn Fn(&mut Value); 5] = [
        &|group| group["groupKey"] = json!("another"),
        &|group| group["alerts"][0]["startsAt"] = json!("2026-11-22T00:30:00Z"),
        &|group| group["alerts"][1]["endsAt"] = json!("2026-11-22T00:30:00Z"),
        &|group| group["alerts"][0]["annotations"]["summary"] = json!("worse"),
        &|group| drop(group["alerts"].as_array_mut().unwrap().pop()),
    ];
    for change in changes {
        let mut changed = group.clone();
        change(&mut changed);
        assert!(!is_dup(&changed), "{changed}");
        assert!(is_dup(&changed), "{changed}");
    }
    // The end of one that fires is a guess, and its order in JSON says nothing.
    let mut same = group.clone();
    same["alerts"][0]["endsAt"] = json!("2026-11-22T00:35:00Z");
    assert!(is_dup(&same));
}
