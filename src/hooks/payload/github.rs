//! Events of GitHub.

use serde_json::Value;

use super::json::{array, at, first, line, number, shorten, text};
use super::{Said, quote};

/// Commits of a push that are listed.
const COMMITS_MAX: usize = 10;

/// What happened; or why that is nothing to show.
pub(super) fn read(event: &str, payload: &Value) -> Said {
    let said = match event {
        "ping" => ping(payload),
        "push" => push(payload),
        "pull_request" => about(payload, "pull request", &payload["pull_request"]),
        "issues" => about(payload, "issue", &payload["issue"]),
        "issue_comment" => comment(payload),
        "release" => release(payload),
        "star" => star(payload),
        "workflow_run" => return workflow_run(payload),
        event => other(event, payload),
    };
    Said::Text(said)
}

/// What an event is about: the repository or, if there is none, the organization.
fn scope(payload: &Value) -> String {
    let found = first(payload, &["repository.full_name", "organization.login", "enterprise.slug"]);
    line(if found.is_empty() { "GitHub" } else { found })
}

fn sender(payload: &Value) -> String {
    let found = first(payload, &["sender.login", "pusher.name"]);
    line(if found.is_empty() { "somebody" } else { found })
}

/// A sentence, and a link in a line below it.
fn with_link(sentence: &str, url: &str) -> String {
    if url.is_empty() { sentence.to_owned() } else { format!("{sentence}\n{}", line(url)) }
}

fn ping(payload: &Value) -> String {
    let sentence = format!("{}: this webhook of GitHub posts here from now on", scope(payload));
    match line(text(payload, "zen")) {
        zen if zen.is_empty() => sentence,
        zen => format!("{sentence}\n{zen}"),
    }
}

fn push(payload: &Value) -> String {
    let (scope, who, git_ref) = (scope(payload), sender(payload), text(payload, "ref"));
    let is_true = |name| at(payload, name).as_bool() == Some(true);
    let (what, name) = match git_ref.strip_prefix("refs/tags/") {
        Some(tag) => ("tag", tag),
        None => ("branch", git_ref.strip_prefix("refs/heads/").unwrap_or(git_ref)),
    };
    let (name, commits) = (line(name), array(payload, "commits"));
    if is_true("deleted") {
        return format!("{scope}: {who} deleted the {what} {name}");
    }
    let pushed = if is_true("forced") { "force-pushed" } else { "pushed" };
    let sentence = match (commits.len(), is_true("created")) {
        (0, true) => format!("{scope}: {who} created the {what} {name}"),
        (0, false) => format!("{scope}: {who} {pushed} to {name}"),
        (1, _) => format!("{scope}: {who} {pushed} 1 commit to {name}"),
        (many, _) => format!("{scope}: {who} {pushed} {many} commits to {name}"),
    };
    let mut lines = vec![sentence];
    for commit in commits.iter().take(COMMITS_MAX) {
        let author = first(commit, &["author.username", "author.name"]);
        let author = if author.is_empty() { String::new() } else { format!(" ({})", line(author)) };
        let id: String = text(commit, "id").chars().take(7).collect();
        lines.push(format!("{id} {}{author}", line(text(commit, "message"))));
    }
    if commits.len() > COMMITS_MAX {
        lines.push(format!("… and {} more", commits.len() - COMMITS_MAX));
    }
    with_link(&lines.join("\n"), text(payload, "compare"))
}

/// What is done, from an action such as `review_requested`.
fn did(action: &str) -> String {
    match action {
        "synchronize" => "updated".to_owned(),
        "ready_for_review" => "marked as ready for review".to_owned(),
        "review_requested" => "requested a review of".to_owned(),
        "" => "changed".to_owned(),
        action => line(&action.replace('_', " ")),
    }
}

/// Something with a number and a title.
fn about(payload: &Value, what: &str, it: &Value) -> String {
    let did = match text(payload, "action") {
        "closed" if at(it, "merged").as_bool() == Some(true) => "merged".to_owned(),
        action => did(action),
    };
    let (scope, who, number) = (scope(payload), sender(payload), number(it, "number"));
    let sentence = format!("{scope}: {who} {did} {what} #{number}: {}", line(text(it, "title")));
    with_link(&sentence, text(it, "html_url"))
}

fn comment(payload: &Value) -> String {
    let issue = &payload["issue"];
    let what = if issue.get("pull_request").is_some() { "pull request" } else { "issue" };
    let did = match text(payload, "action") {
        "created" => "commented on".to_owned(),
        action => format!("{} a comment on", did(action)),
    };
    let (scope, who, number) = (scope(payload), sender(payload), number(issue, "number"));
    let mut said = format!("{scope}: {who} {did} {what} #{number}: {}", line(text(issue, "title")));
    if text(payload, "action") != "deleted" {
        said += &quote(text(payload, "comment.body"));
    }
    with_link(&said, text(payload, "comment.html_url"))
}

fn release(payload: &Value) -> String {
    let (scope, who, did) = (scope(payload), sender(payload), did(text(payload, "action")));
    let (tag, name) = (line(text(payload, "release.tag_name")), line(text(payload, "release.name")));
    let name = if name.is_empty() || name == tag { String::new() } else { format!(": {name}") };
    with_link(&format!("{scope}: {who} {did} release {tag}{name}"), text(payload, "release.html_url"))
}

fn star(payload: &Value) -> String {
    let did = if text(payload, "action") == "deleted" { "took the star from" } else { "starred" };
    let stars = number(payload, "repository.stargazers_count");
    format!("{} {did} {} (stars: {stars})", sender(payload), scope(payload))
}

fn workflow_run(payload: &Value) -> Said {
    let run = &payload["workflow_run"];
    let action = text(payload, "action");
    if action != "completed" {
        return Said::Nothing(format!(
            "a workflow run is shown when it is completed, and this one is {}",
            line(action)
        ));
    }
    let ended = match text(run, "conclusion") {
        "success" => "succeeded",
        "failure" => "failed",
        "cancelled" => "was cancelled",
        "timed_out" => "timed out",
        "skipped" => "was skipped",
        "action_required" => "needs approval",
        "startup_failure" => "could not start",
        _ => "ended",
    };
    let (scope, name, number) = (scope(payload), first(run, &["name", "path"]), number(run, "run_number"));
    let (branch, title) = (line(text(run, "head_branch")), line(text(run, "display_title")));
    let title = if title.is_empty() { title } else { format!(": {title}") };
    let sentence = format!("{scope}: {} #{number} {ended} on {branch}{title}", line(name));
    Said::Text(with_link(&sentence, text(run, "html_url")))
}

/// An event that has no sentence of its own.
fn other(event: &str, payload: &Value) -> String {
    let (action, url) = (text(payload, "action"), text(&payload[event], "html_url"));
    let words = shorten(&line(&format!("{event} {action}")).replace('_', " "), 100);
    with_link(&format!("{}: {} ({})", scope(payload), words, sender(payload)), url)
}
