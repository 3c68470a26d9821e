//! What programs send to a hook, as one message of plain text. Pure: headers and a body in, a message out.
//!
//! The sender is known by its headers or by the members of its JSON. What is read is bounded before memory is taken for it, and then read
//! leniently: a member that is missing or has another type leaves a gap in the text, and nothing else.

mod alerts;
mod form;
mod github;
mod gitlab;
mod json;
mod signature;
mod slack;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::secrets::hex;
use dantok_protocol::name::check_id;
use dantok_protocol::{ErrorCode, Refusal};
pub use signature::is_signed;

/// Lines and characters of what somebody wrote that are quoted.
const QUOTED_MAX_LINES: usize = 5;
const QUOTED_MAX_CHARS: usize = 500;

/// What the headers of a request say about its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `X-GitHub-Event`.
    pub github_event: Option<&'a str>,
    /// `X-GitHub-Delivery`.
    pub github_delivery: Option<&'a str>,
    /// `X-Gitlab-Event`.
    pub gitlab_event: Option<&'a str>,
    /// `X-Gitlab-Event-UUID`.
    pub gitlab_delivery: Option<&'a str>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
}

/// Who has sent a request, or whose form it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Somebody with plain text.
    Text,
    /// A program that posts to Slack.
    Slack,
    /// GitHub.
    GitHub,
    /// GitLab.
    GitLab,
    /// Alertmanager.
    Alertmanager,
    /// Grafana.
    Grafana,
}

/// What a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A text.
    Text(String),
    /// Nothing that is to be shown, for this reason.
    Nothing(String),
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who has sent it.
    pub sender: Sender,
    /// What is the same if it is sent again.
    pub id: Option<String>,
    /// Its text.
    pub said: Said,
}

/// The media type of a body, in small letters.
fn essence(head: &Head<'_>) -> String {
    let essence = head.content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Whether bodies of this type are read at all.
pub fn is_supported(head: &Head<'_>) -> bool {
    let essence = essence(head);
    essence.is_empty() || essence == FORM || is_json(&essence) || essence.starts_with("text/")
}

/// Reads a request.
///
/// # Errors
/// `bad-argument`, `not-utf8` or `too-long`, with what is wrong for whoever set the sender up.
pub fn read(head: &Head<'_>, body: &[u8]) -> Result<Message, Refusal> {
    let value = value(head, body)?;
    let message = match (&value, head.github_event, head.gitlab_event) {
        (Some(value), Some(event), _) => {
            let id = head.github_delivery.map(id);
            Message { sender: Sender::GitHub, id, said: github::read(event, value) }
        }
        (Some(value), None, Some(_)) => {
            let id = head.idempotency_key.or(head.gitlab_delivery).map(id);
            Message { sender: Sender::GitLab, id, said: gitlab::read(value) }
        }
        (Some(value), None, None) => from_json(head, value)?,
        (None, None, None) => {
            let text =
                std::str::from_utf8(body).map_err(|_| Refusal::new(ErrorCode::NotUtf8, "text is in UTF-8 here"))?;
            let id = head.idempotency_key.map(id);
            Message { sender: Sender::Text, id, said: Said::Text(text.to_owned()) }
        }
        (None, ..) => return Err(bad("an event is JSON, or a form with JSON in `payload`")),
    };
    let Message { sender, id, said } = message;
    let said = match said {
        Said::Text(text) => Said::Text(tidy(&text)?),
        nothing => nothing,
    };
    Ok(Message { sender, id, said })
}

fn bad(text: &str) -> Refusal {
    Refusal::new(ErrorCode::BadArgument, text)
}

/// The JSON in a body; none if it is text.
fn value(head: &Head<'_>, body: &[u8]) -> Result<Option<Value>, Refusal> {
    let essence = essence(head);
    if is_json(&essence) {
        return json::parse(body).map(Some);
    }
    if essence != FORM {
        return Ok(None);
    }
    if let Some(payload) = form::field(body, "payload") {
        return json::parse(&payload).map(Some);
    }
    // What curl sends with -d and no other option is called a form, and is whatever was typed.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    Ok(if is_object { json::parse(body).ok() } else { None })
}

/// A message whose form only its members tell.
fn from_json(head: &Head<'_>, value: &Value) -> Result<Message, Refusal> {
    let given = head.idempotency_key.map(id);
    if alerts::is_of_grafana(value) || alerts::is_group(value) {
        let sender = if alerts::is_of_grafana(value) { Sender::Grafana } else { Sender::Alertmanager };
        let text = alerts::read(value);
        let id = given.unwrap_or_else(|| alerts::id(value, &text));
        return Ok(Message { sender, id: Some(id), said: Said::Text(text) });
    }
    if slack::is_one(value) {
        return Ok(Message { sender: Sender::Slack, id: given, said: Said::Text(slack::read(value)) });
    }
    Err(bad(
        "the JSON is none of those that are understood: Slack's `text`, `blocks` or `attachments`, or alerts of Alertmanager or Grafana",
    ))
}

/// A message id, from what a sender calls its delivery.
fn id(delivery: &str) -> String {
    let delivery = delivery.trim();
    let quoted = delivery.strip_prefix('"').and_then(|delivery| delivery.strip_suffix('"'));
    let delivery = quoted.unwrap_or(delivery);
    match check_id(delivery) {
        Ok(()) => delivery.to_owned(),
        Err(_) => hex(&Sha256::digest(delivery)),
    }
}

/// Text as it is stored: with line feeds only, and nothing blank at its end.
fn tidy(text: &str) -> Result<String, Refusal> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim_end();
    if text.trim_start().is_empty() {
        return Err(bad("there is no text in this message"));
    }
    Ok(text.to_owned())
}

/// What somebody wrote, in lines below a sentence.
fn quote(text: &str) -> String {
    let text = json::shorten(text.trim(), QUOTED_MAX_CHARS);
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.len() > QUOTED_MAX_LINES {
        lines.truncate(QUOTED_MAX_LINES);
        lines.push("…");
    }
    lines.iter().map(|line| format!("\n> {line}")).collect()
}

/// A text of at most so many bytes: if it is longer, it ends with how much of it is missing.
pub fn cut(text: String, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text;
    }
    let mark = |missing: usize| format!("\n[{missing} more bytes were cut off]");
    // The number that is missing has no more digits than that of all.
    let mut kept = max_bytes.saturating_sub(mark(text.len()).len());
    while !text.is_char_boundary(kept) {
        kept -= 1;
    }
    let marked = format!("{}{}", text.get(..kept).unwrap_or_default(), mark(text.len() - kept));
    if marked.len() <= max_bytes {
        return marked;
    }
    // Not even the mark fits.
    let mut kept = max_bytes;
    while !text.is_char_boundary(kept) {
        kept -= 1;
    }
    text.get(..kept).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("단톡".to_owned(), 6), "단톡");
        assert_eq!(cut("단톡".to_owned(), 5), "단");
        assert_eq!(cut("x".repeat(100), 0), "");
        let long = "단".repeat(100);
        for max in 0..=301 {
            let short = cut(long.clone(), max);
            assert!(short.len() <= max && (max >= 300) == (short == long), "{max}: {short}");
            if max > 40 && max < 300 {
                let (kept, mark) = short.split_once('\n').unwrap();
                assert_eq!(mark, format!("[{} more bytes were cut off]", 300 - kept.len()));
            }
        }
    }

    #[test]
    fn a_delivery_becomes_an_id() {
        assert_eq!(id("72d3162e-cc78-11e3-81ab-4c9367dc0958"), "72d3162e-cc78-11e3-81ab-4c9367dc0958");
        assert_eq!((id("\"a\""), id("a b").len(), id("").len(), id(&"x".repeat(65)).len()), ("a".into(), 64, 64, 64));
    }

    #[test]
    fn the_type_of_a_body_tells_what_it_is() {
        let said = |content_type: Option<&str>, body: &str| {
            let head = Head { content_type, ..Head::default() };
            assert!(is_supported(&head), "{content_type:?}");
            read(&head, body.as_bytes()).map(|message| (message.sender, message.said)).map_err(|refusal| refusal.code)
        };
        let text = |text: &str| Ok((Sender::Text, Said::Text(text.to_owned())));
        let slack = |text: &str| Ok((Sender::Slack, Said::Text(text.to_owned())));
        for (content_type, body, expected) in [
            (None, "hi", text("hi")),
            (None, "{\"text\":\"hi\"}", text("{\"text\":\"hi\"}")),
            (Some("text/plain; charset=utf-8"), "a\r\nb\r\n\n", text("a\nb")),
            (Some("application/json"), "{\"text\":\"hi\"}", slack("hi")),
            (Some("Application/JSON;charset=UTF-8"), "{\"text\":\"hi\"}", slack("hi")),
            (Some("application/vnd.x+json"), "{\"text\":\"hi\"}", slack("hi")),
            (Some(FORM), "payload=%7B%22text%22%3A%22hi%22%7D", slack("hi")),
            (Some(FORM), "{\"text\":\"hi\"}", slack("hi")),
            (Some(FORM), "{not json", text("{not json")),
            (Some(FORM), "build=7 & more", text("build=7 & more")),
            (Some(FORM), "payload=7", Err(ErrorCode::BadArgument)),
            (Some("application/json"), "hi", Err(ErrorCode::BadArgument)),
            (Some("application/json"), "{\"a\":1}", Err(ErrorCode::BadArgument)),
            (Some("application/json"), "{\"text\":\" \"}", Err(ErrorCode::BadArgument)),
            (Some("application/json"), "[]", Err(ErrorCode::BadArgument)),
            (None, " \n", Err(ErrorCode::BadArgument)),
        ] {
            assert_eq!(said(content_type, body), expected, "{content_type:?} {body}");
        }
        for content_type in ["multipart/form-data; boundary=x", "image/png", "application/octet-stream", "?"] {
            assert!(!is_supported(&Head { content_type: Some(content_type), ..Head::default() }), "{content_type}");
        }
    }
}
