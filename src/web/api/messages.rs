//! A room's messages: sending, reading, redacting.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::caller::{Caller, Who};
use super::input::{Query, encoded, header};
use super::items::Form;
use super::respond::{Job, object, respond, unexpected};
use super::stream::Stream;
use super::{accept, bad, body, refused};
use crate::limits::TAKE_WAIT_MAX;
use crate::web::answer::Response;
use crate::web::call::{Answered, Call};
use crate::web::problem::Problem;
use dantok_protocol::{ErrorCode, Refusal, Reply, commands};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Messages of a page, unless the request says how many.
const LIMIT_DEFAULT: u64 = 100;
/// Messages of a page at most.
const LIMIT_MAX: u64 = 1000;

/// A message as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    text: Option<String>,
    base64: Option<String>,
    reply: Option<u64>,
}

/// `POST …/messages`: sends a message.
pub(in crate::web) fn send(call: Call) -> Answered {
    Box::pin(async move { try_send(call).await })
}

async fn try_send(mut call: Call) -> Result<Response, Problem> {
    let mut query = Query::of(&call)?;
    let who = Who::of(&call, &mut query)?;
    let reply = query.number("reply")?;
    query.end()?;
    let (room, id) = (call.segment(0)?, message_id(&call)?);
    let (body, reply) = message(&mut call, reply).await?;
    let mut caller = Caller::of(&call, who).await?;
    let sent = caller.ask(commands::Send { room: room.clone(), id, body, reply }).await;
    caller.leave_to(&call.kept);
    sent_response(&call, &room, sent.map_err(|refusal| refused(refusal, &room))?)
}

/// The message's id: `Idempotency-Key`, as a string with or without its quotes.
pub(super) fn message_id(call: &Call) -> Result<Option<String>, Problem> {
    let Some(key) = header(call.headers(), &IDEMPOTENCY_KEY)? else { return Ok(None) };
    let quoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    Ok(Some(quoted.unwrap_or(&key).to_owned()))
}

/// The message in a request's body, and what it replies to.
async fn message(call: &mut Call, reply: Option<u64>) -> Result<(Bytes, Option<u64>), Problem> {
    let max = call.hub.settings.get().limits.body_max_bytes;
    let media = body::media_type(call)?;
    let (essence, charset) = media.as_ref().map_or(("", None), |(essence, charset)| (&**essence, charset.as_deref()));
    if charset.is_some_and(|charset| !matches!(charset, "utf-8" | "us-ascii")) {
        return Err(unsupported("text is in UTF-8 here"));
    }
    match essence {
        "application/json" => {
            // Every byte may be written as \u00XX, and there are the braces.
            let bytes = body::read(call, 6 * max + 1024).await?;
            from_json(&bytes, reply, max)
        }
        "" | "application/octet-stream" | "text/plain" => {
            let bytes = body::read(call, max).await?;
            if bytes.is_empty() {
                return Err(bad(
                    "the body is the message, and it is empty; {\"text\":\"\"} as application/json sends an empty one",
                ));
            }
            if essence == "text/plain" && std::str::from_utf8(&bytes).is_err() {
                let text = "this text is not UTF-8; send any bytes as application/octet-stream";
                return Err(Problem::new(StatusCode::BAD_REQUEST, ErrorCode::NotUtf8, text));
            }
            Ok((bytes, reply))
        }
        _ => Err(unsupported("a message is text/plain, application/octet-stream or application/json")),
    }
}

fn unsupported(text: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::BadArgument, text)
}

fn from_json(bytes: &[u8], reply: Option<u64>, max: usize) -> Result<(Bytes, Option<u64>), Problem> {
    let sent: Sent =
        serde_json::from_slice(bytes).map_err(|error| bad(format!("this is no message in JSON: {error}")))?;
    let body: Bytes = match (sent.text, sent.base64) {
        (Some(text), None) => text.into(),
        (None, Some(encoded)) => {
            STANDARD.decode(encoded).map_err(|_| bad("base64 takes base64 with its padding"))?.into()
        }
        _ => return Err(bad("a message in JSON has either text or base64")),
    };
    if body.len() > max {
        let text = format!("a message has at most {max} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLong, text));
    }
    match (sent.reply, reply) {
        (Some(_), Some(_)) => Err(bad("reply is given in the query and in the body")),
        (of_body, of_query) => Ok((body, of_body.or(of_query))),
    }
}

/// The response to a message that is on disk.
pub(super) fn sent_response(call: &Call, room: &str, reply: Reply) -> Result<Response, Problem> {
    let Reply::Sent { seq, dup } = reply else { return Err(unexpected().into()) };
    let mut response = object(&json!({"seq": seq, "dup": dup}));
    *response.status_mut() = if dup { StatusCode::OK } else { StatusCode::CREATED };
    let path = format!("{}/api/v1/rooms/{}/messages/{seq}", call.site.settings.path, encoded(room));
    if let Ok(location) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `GET …/messages`: a page of messages.
pub(in crate::web) fn list(call: Call) -> Answered {
    Box::pin(read(call, None))
}

/// Reads a room's messages, in a form that is given or that the request asks for.
pub(super) async fn read(call: Call, form: Option<Form>) -> Result<Response, Problem> {
    let mut query = Query::of(&call)?;
    let who = Who::of(&call, &mut query)?;
    let room = call.segment(0)?;
    let form = form.map_or_else(|| accept::form(&call, &mut query), Ok)?;
    let follow = query.take("follow");
    let is_stream = match follow.as_deref() {
        None => form != Form::Object,
        Some("true") if form != Form::Object => true,
        Some("false") => false,
        Some(_) => return Err(bad("follow takes true or false, and true not for json")),
    };
    if is_stream {
        let stream = Stream::of(&call, &mut query, form, room.clone())?;
        query.end()?;
        let caller = Caller::of(&call, who).await?;
        let answered = respond(caller, call.kept, call.slot, stream).await;
        return answered.map_err(|refusal| refused(refusal, &room));
    }
    let limit = query.number("limit")?.unwrap_or(LIMIT_DEFAULT);
    if limit > LIMIT_MAX {
        return Err(bad(format!("limit takes at most {LIMIT_MAX}")));
    }
    let history = commands::History {
        room: room.clone(),
        after: query.number("after")?,
        before: query.number("before")?,
        since: query.since("since")?,
        max: Some(limit),
    };
    let wait = query.duration("wait", TAKE_WAIT_MAX)?.unwrap_or_default();
    let epoch = query.take("epoch");
    query.end()?;
    // Whoever asks only for the head does not wait for more.
    let wait = if *call.request.method() == Method::HEAD || history.before.is_some() { Duration::ZERO } else { wait };
    let caller = Caller::of(&call, who).await?;
    let answered = respond(caller, call.kept, call.slot, Page { form, history, wait, epoch }).await;
    answered.map_err(|refusal| refused(refusal, &room))
}

/// `GET …/messages/{seq}`: one message.
pub(in crate::web) fn get(call: Call) -> Answered {
    Box::pin(async move { try_get(call).await })
}

async fn try_get(call: Call) -> Result<Response, Problem> {
    let mut query = Query::of(&call)?;
    let who = Who::of(&call, &mut query)?;
    query.end()?;
    let (room, seq) = (call.segment(0)?, seq(&call)?);
    let caller = Caller::of(&call, who).await?;
    let answered = respond(caller, call.kept, call.slot, One { room: room.clone(), seq }).await;
    answered.map_err(|refusal| match refusal.code {
        ErrorCode::SetBack => Problem { status: StatusCode::NOT_FOUND, ..Problem::from(refusal) },
        ErrorCode::BadArgument => Problem { status: StatusCode::GONE, ..Problem::from(refusal) },
        _ => refused(refusal, &room),
    })
}

/// The seq in the path.
fn seq(call: &Call) -> Result<u64, Problem> {
    let text = call.segment(1)?;
    let seq = Some(&text).filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
    seq.and_then(|digits| digits.parse().ok()).filter(|seq| *seq > 0).ok_or_else(|| bad("a seq is a number from 1"))
}

/// `DELETE …/messages/{seq}`: erases a message's text.
pub(in crate::web) fn redact(call: Call) -> Answered {
    Box::pin(async move {
        let mut query = Query::of(&call)?;
        let who = Who::of(&call, &mut query)?;
        query.end()?;
        let (room, seq) = (call.segment(0)?, seq(&call)?);
        let mut caller = Caller::of(&call, who).await?;
        let redacted = caller.ask(commands::Redact { room: room.clone(), seq }).await;
        caller.leave_to(&call.kept);
        match redacted {
            Ok(Reply::Sent { seq, dup }) => Ok(object(&json!({"seq": seq, "dup": dup}))),
            Ok(_) => Err(unexpected().into()),
            Err(refusal) if refusal.code == ErrorCode::SetBack => {
                Err(Problem { status: StatusCode::NOT_FOUND, ..Problem::from(refusal) })
            }
            Err(refusal) => Err(refused(refusal, &room)),
        }
    })
}

/// A page of messages.
struct Page {
    form: Form,
    history: commands::History,
    wait: Duration,
    epoch: Option<String>,
}

impl Job for Page {
    fn form(&self) -> Form {
        self.form
    }

    async fn run(self, caller: &mut Caller) -> Result<(), Refusal> {
        caller.check_epoch(self.epoch).await?;
        let limit = self.history.max.unwrap_or(LIMIT_MAX);
        let is_object = self.form == Form::Object;
        if is_object {
            caller.items().put("{\"messages\":[\n");
        }
        let Reply::End { room, handed, oldest, last } = caller.ask(self.history).await? else {
            return Err(unexpected());
        };
        let (mut next, mut last) = (handed, last);
        if caller.items().count() == 0 && !self.wait.is_zero() && limit > 0 {
            let deadline = Instant::now() + self.wait;
            caller.items().limit(limit);
            caller.ask(commands::Follow { room: room.to_string(), after: Some(handed) }).await?;
            caller.pushed(0, Some(deadline)).await?;
            caller.stop_following(&room).await;
            next = next.max(caller.items().reached());
            last = last.max(next);
        }
        let items = caller.items();
        if !is_object {
            let end = json!({"type": "end", "room": room, "handed": next, "oldest": oldest, "last": last});
            items.object("end", None, &end);
            return Ok(());
        }
        let end =
            json!({"room": room, "epoch": items.epoch(), "next": next, "oldest": oldest, "last": last}).to_string();
        items.put("],");
        items.put(end.strip_prefix('{').unwrap_or_default());
        items.put("\n");
        Ok(())
    }
}

/// One message.
struct One {
    room: String,
    seq: u64,
}

impl Job for One {
    fn form(&self) -> Form {
        Form::Object
    }

    async fn run(self, caller: &mut Caller) -> Result<(), Refusal> {
        let One { room, seq } = self;
        let set_back = |last| Refusal::set_back(&room, seq, last);
        let history = commands::History {
            room: room.clone(),
            after: None,
            before: Some(seq.saturating_add(1)),
            since: None,
            max: Some(1),
        };
        match caller.ask(history).await? {
            Reply::End { last, .. } if last < seq => Err(set_back(last)),
            Reply::End { .. } if caller.items().count() == 0 => Err(Refusal::bad_argument("this message has expired")),
            _ => Ok(()),
        }
    }
}
