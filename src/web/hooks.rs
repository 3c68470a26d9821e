//! `/hook/SECRET`: incoming hooks. What a program sends becomes a message of the [hook](crate::hooks), which takes the same way as
//! anybody's, and the answer is what that program expects.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::answer::{Response, full, text, value};
use super::api::Session;
use super::body;
use super::call::{Answered, Call};
use super::problem::Problem;
use crate::hooks::payload::{self, Head, Message, Said, Sender};
use crate::hooks::{Hook, Key};
use crate::limits::DENIED_AFTER;
use crate::rooms::Room;
use dantok_protocol::{ErrorCode, Refusal, Reply, commands};

/// The longest body. GitHub sends up to 25 MB, of which a message would show next to nothing.
const BODY_MAX_BYTES: usize = 1024 * 1024;

const GITHUB_EVENT: HeaderName = HeaderName::from_static("x-github-event");
const GITHUB_DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
const GITHUB_SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const GITLAB_EVENT: HeaderName = HeaderName::from_static("x-gitlab-event");
const GITLAB_DELIVERY: HeaderName = HeaderName::from_static("x-gitlab-event-uuid");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Takes a request.
pub(super) fn post(call: Call) -> Answered {
    Box::pin(async move {
        let figures = call.hub.figures.clone();
        let taken = take(call).await;
        if let Err(problem) = &taken {
            figures.refused(problem.refusal.code);
        }
        taken
    })
}

async fn take(mut call: Call) -> Result<Response, Problem> {
    let deny_at = Instant::now() + DENIED_AFTER;
    let secret = call.segments.first().map(String::as_str).unwrap_or_default();
    // Nothing of a request is read before it is known to be for a hook.
    let Some(hook) = call.hub.hooks.find(secret) else { return Err(unknown(&call, deny_at).await) };
    if !payload::is_supported(&head(&call)) {
        let text = "a hook takes application/json, application/x-www-form-urlencoded and text";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::BadArgument, text));
    }
    let room = room(&call, &hook).await?;
    let pause = call.hub.settings.get().limits.hello_timeout;
    let body = body::read(call.request.body_mut(), BODY_MAX_BYTES, pause).await?;
    if let Some(key) = &hook.github_secret {
        check_signature(&call, key, &body)?;
    }
    let Message { sender, id, said } = payload::read(&head(&call), &body)?;
    let shown = match said {
        Said::Text(shown) => payload::cut(shown, call.hub.settings.get().limits.body_max_bytes),
        Said::Nothing(why) => return Ok(object(&json!({"ignored": why}))),
    };
    let mut session = Session::of_hook(&call, hook.client().into(), room.id)?;
    let send = commands::Send { room: room.name.to_string(), id, body: shown.into(), reply: None };
    match session.ask(send).await {
        Ok(Reply::Sent { seq, dup }) => Ok(taken(sender, seq, dup)),
        Ok(_) => Err(Refusal::new(ErrorCode::Storage, "SEND was answered by something else; this is a bug").into()),
        Err(refusal) if refusal.code == ErrorCode::NoRoom => Err(gone(&hook)),
        Err(refusal) => Err(failed(refusal, sender)),
    }
}

/// The answer for a secret that no hook has, at the same time after any such request.
async fn unknown(call: &Call, deny_at: Instant) -> Problem {
    if let Some(too_many) = call.hub.hooks.missed(call.address) {
        if too_many.is_first {
            tracing::warn!(address = %call.address, "an address keeps asking for hooks that don't exist");
        }
        let text = "this address has asked for too many hooks that don't exist";
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::Limit, text);
        problem.headers.push((RETRY_AFTER, too_many.wait.as_secs().max(1).into()));
        return problem;
    }
    sleep_until(deny_at).await;
    call.not_found()
}

fn header<'a>(call: &'a Call, name: &HeaderName) -> Option<&'a str> {
    call.headers().get(name)?.to_str().ok()
}

fn head(call: &Call) -> Head<'_> {
    Head {
        content_type: call.headers().get(CONTENT_TYPE).map(|_| header(call, &CONTENT_TYPE).unwrap_or("?")),
        github_event: header(call, &GITHUB_EVENT),
        github_delivery: header(call, &GITHUB_DELIVERY),
        gitlab_event: header(call, &GITLAB_EVENT),
        gitlab_delivery: header(call, &GITLAB_DELIVERY),
        idempotency_key: header(call, &IDEMPOTENCY_KEY),
    }
}

/// The room that a hook writes into. The first message of a hook that is older than its room binds it to that.
async fn room(call: &Call, hook: &Hook) -> Result<Arc<Room>, Problem> {
    let number = match hook.number {
        Some(number) => number,
        None => {
            let none = || Refusal::new(ErrorCode::NoRoom, format!("there is no room {} yet", hook.room));
            let room = call.hub.rooms.get(&hook.room).ok_or_else(none)?;
            bind(call, hook, room.id).await?
        }
    };
    call.hub.rooms.by_id(number).ok_or_else(|| gone(hook))
}

async fn bind(call: &Call, hook: &Hook, number: u64) -> Result<u64, Problem> {
    let (hooks, unbound) = (call.hub.hooks.clone(), hook.clone());
    match dantok_supervise::blocking(move || hooks.bind(&unbound, number)).await {
        Ok(Some(bound)) => Ok(bound.number.unwrap_or(number)),
        // Removed at this moment.
        Ok(None) => Err(call.not_found()),
        Err(error) => {
            tracing::error!("{error}; the hook {} can't be bound to its room", hook.name);
            let text = "the daemon can't note which room this hook is for; its log says why";
            Err(Refusal::new(ErrorCode::Storage, text).into())
        }
    }
}

fn gone(hook: &Hook) -> Problem {
    let text = format!("the room {} that this hook was for is deleted; one made again is another room", hook.room);
    Problem::new(StatusCode::GONE, ErrorCode::NoRoom, text)
}

fn check_signature(call: &Call, key: &Key, body: &[u8]) -> Result<(), Problem> {
    let signature = header(call, &GITHUB_SIGNATURE).unwrap_or_default();
    if payload::is_signed(&key.0, body, signature) {
        return Ok(());
    }
    let text = if signature.is_empty() {
        "this hook takes only what GitHub has signed, and there is no X-Hub-Signature-256"
    } else {
        "X-Hub-Signature-256 does not fit: the webhook at GitHub has another secret than this hook"
    };
    Err(Problem::new(StatusCode::FORBIDDEN, ErrorCode::Denied, text))
}

/// A refusal as a status that has the sender try again if that may help.
fn failed(refusal: Refusal, sender: Sender) -> Problem {
    let is_passing = refusal.wait_ms.is_some();
    let mut problem = Problem::from(refusal);
    // These retry after a 5xx only.
    if is_passing && matches!(sender, Sender::Alertmanager | Sender::Grafana) {
        problem.status = StatusCode::SERVICE_UNAVAILABLE;
    }
    problem
}

fn taken(sender: Sender, seq: u64, dup: bool) -> Response {
    match sender {
        // That is what Slack says.
        Sender::Slack | Sender::Text => text("ok".to_owned()),
        _ => object(&json!({"seq": seq, "dup": dup})),
    }
}

fn object(object: &Value) -> Response {
    let mut response = full(format!("{object}\n"));
    response.headers_mut().insert(CONTENT_TYPE, value("application/json"));
    response
}
