//! Events of GitLab.

use serde_json::Value;

use super::json::{array, at, first, line, number, scalar, text};
use super::{Said, quote};

/// Commits of a push that are listed.
const COMMITS_MAX: usize = 10;

/// What happened; or why that is nothing to show.
pub(super) fn read(payload: &Value) -> Said {
    let said = match first(payload, &["object_kind", "event_name"]) {
        kind @ ("push" | "tag_push") => push(kind, payload),
        "merge_request" => about("merge request", '!', payload),
        "issue" | "work_item" => about("issue", '#', payload),
        "note" => note(payload),
        "pipeline" => return pipeline(payload),
        "release" => release(payload),
        kind => other(kind, payload),
    };
    Said::Text(said)
}

fn scope(payload: &Value) -> String {
    let found = first(payload, &["project.path_with_namespace", "project.name", "group.full_path", "group_name"]);
    line(if found.is_empty() { "GitLab" } else { found })
}

fn sender(payload: &Value) -> String {
    let found = first(payload, &["user.username", "user_username", "user_name", "user.name"]);
    line(if found.is_empty() { "somebody" } else { found })
}

fn with_link(sentence: &str, url: &str) -> String {
    if url.is_empty() { sentence.to_owned() } else { format!("{sentence}\n{}", line(url)) }
}

fn push(kind: &str, payload: &Value) -> String {
    let (scope, who, git_ref) = (scope(payload), sender(payload), text(payload, "ref"));
    let name = git_ref.strip_prefix("refs/tags/").or_else(|| git_ref.strip_prefix("refs/heads/")).unwrap_or(git_ref);
    let (what, name) = (if kind == "tag_push" { "tag" } else { "branch" }, line(name));
    let is_nothing = |side| text(payload, side).bytes().all(|byte| byte == b'0');
    let commits = array(payload, "commits");
    if is_nothing("after") {
        return format!("{scope}: {who} deleted the {what} {name}");
    }
    let count = number(payload, "total_commits_count").max(commits.len() as u64);
    let mut lines = vec![match count {
        0 => format!("{scope}: {who} created the {what} {name}"),
        _ if kind == "tag_push" => format!("{scope}: {who} created the {what} {name}"),
        1 => format!("{scope}: {who} pushed 1 commit to {name}"),
        many => format!("{scope}: {who} pushed {many} commits to {name}"),
    }];
    for commit in commits.iter().take(COMMITS_MAX) {
        let id: String = text(commit, "id").chars().take(8).collect();
        let title = line(first(commit, &["title", "message"]));
        lines.push(format!("{id} {title} ({})", line(text(commit, "author.name"))));
    }
    let shown = commits.len().min(COMMITS_MAX) as u64;
    if count > shown {
        lines.push(format!("… and {} more", count - shown));
    }
    let url = text(payload, "project.web_url");
    let before_and_after = format!("{url}/-/compare/{}...{}", text(payload, "before"), text(payload, "after"));
    with_link(&lines.join("\n"), if url.is_empty() || is_nothing("before") { url } else { &before_and_after })
}

fn did(action: &str) -> String {
    match action {
        "open" => "opened".to_owned(),
        "close" => "closed".to_owned(),
        "reopen" => "reopened".to_owned(),
        "merge" => "merged".to_owned(),
        "update" => "updated".to_owned(),
        "create" => "created".to_owned(),
        "delete" => "deleted".to_owned(),
        "" => "changed".to_owned(),
        action => line(action),
    }
}

fn about(what: &str, sign: char, payload: &Value) -> String {
    let it = &payload["object_attributes"];
    let (scope, who, did) = (scope(payload), sender(payload), did(text(it, "action")));
    let sentence = format!("{scope}: {who} {did} {what} {sign}{}: {}", number(it, "iid"), line(text(it, "title")));
    with_link(&sentence, text(it, "url"))
}

fn note(payload: &Value) -> String {
    let it = &payload["object_attributes"];
    let on = |what: &str, sign: char, object: &Value| {
        format!("{what} {sign}{}: {}", number(object, "iid"), line(text(object, "title")))
    };
    let what = match text(it, "noteable_type") {
        "MergeRequest" => on("merge request", '!', &payload["merge_request"]),
        "Issue" => on("issue", '#', &payload["issue"]),
        "Commit" => format!("commit {}", text(payload, "commit.id").chars().take(8).collect::<String>()),
        other => line(if other.is_empty() { "something" } else { other }).to_lowercase(),
    };
    let sentence = format!("{}: {} commented on {what}", scope(payload), sender(payload));
    with_link(&(sentence + &quote(text(it, "note"))), text(it, "url"))
}

fn pipeline(payload: &Value) -> Said {
    let it = &payload["object_attributes"];
    let ended = match text(it, "status") {
        "success" => "succeeded",
        "failed" => "failed",
        "canceled" => "was cancelled",
        "skipped" => "was skipped",
        status => {
            let text = format!("a pipeline is shown when it has ended, and this one is {}", line(status));
            return Said::Nothing(text);
        }
    };
    let title = line(first(payload, &["commit.title", "merge_request.title"]));
    let title = if title.is_empty() { title } else { format!(": {title}") };
    let (id, of) = (scalar(at(it, "id")), line(text(it, "ref")));
    let sentence = format!("{}: pipeline {id} {ended} on {of}{title}", scope(payload));
    let url = match (text(it, "url"), text(payload, "project.web_url")) {
        ("", project) if !project.is_empty() && !id.is_empty() => format!("{project}/-/pipelines/{id}"),
        (url, _) => url.to_owned(),
    };
    Said::Text(with_link(&sentence, &url))
}

fn release(payload: &Value) -> String {
    let (tag, name) = (line(text(payload, "tag")), line(text(payload, "name")));
    let name = if name.is_empty() || name == tag { String::new() } else { format!(": {name}") };
    with_link(
        &format!("{}: release {tag} {}{name}", scope(payload), did(text(payload, "action"))),
        text(payload, "url"),
    )
}

/// An event that has no sentence of its own.
fn other(kind: &str, payload: &Value) -> String {
    let action = first(payload, &["object_attributes.action", "build_status", "status", "action"]);
    let kind = if kind.is_empty() { "event" } else { kind };
    let words = line(&format!("{kind} {action}")).replace('_', " ");
    let url = first(payload, &["object_attributes.url", "deployable_url", "url"]);
    with_link(&format!("{}: {words} ({})", scope(payload), sender(payload)), url)
}
