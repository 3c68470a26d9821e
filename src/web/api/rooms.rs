//! Rooms, and the client's cursors in them.

use hyper::StatusCode;
use hyper::header::IF_NONE_MATCH;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::caller::{Caller, Who};
use super::input::{Query, header};
use super::respond::{List, done, object, respond, unexpected};
use super::{bad, body, refused};
use crate::web::answer::Response;
use crate::web::call::{Answered, Call};
use crate::web::problem::Problem;
use dantok_protocol::{Command, ErrorCode, Keep, Refusal, Reply, Seek, commands, units};

/// `GET …/rooms`.
pub(in crate::web) fn list(call: Call) -> Answered {
    Box::pin(async move {
        let mut query = Query::of(&call)?;
        let who = Who::of(&call, &mut query)?;
        query.end()?;
        let caller = Caller::of(&call, who).await?;
        let list = List { command: commands::Rooms::default().into(), name: "rooms" };
        Ok(respond(caller, call.kept, call.slot, list).await?)
    })
}

/// Reads who asks, and from a query that says nothing else.
async fn caller_of(call: &Call) -> Result<Box<Caller>, Problem> {
    let mut query = Query::of(call)?;
    let who = Who::of(call, &mut query)?;
    query.end()?;
    Caller::of(call, who).await
}

/// `GET …/rooms/{room}`.
pub(in crate::web) fn get(call: Call) -> Answered {
    Box::pin(async move {
        let room = call.segment(0)?;
        let mut caller = caller_of(&call).await?;
        let shown = show(&mut caller, &room).await;
        caller.leave_to(&call.kept);
        shown.map(|room| object(&Value::Object(room))).map_err(|refusal| refused(refusal, &room))
    })
}

/// A room's entry in the list of rooms.
async fn entry(caller: &mut Caller, room: &str) -> Result<Map<String, Value>, Refusal> {
    caller.clear();
    caller.ask(commands::Rooms { room: Some(room.to_owned()) }).await?;
    let Ok(Value::Object(shown)) = serde_json::from_slice(&caller.items().end()) else { return Err(unexpected()) };
    Ok(shown)
}

/// A room, with what only its members may know if the client is one.
async fn show(caller: &mut Caller, room: &str) -> Result<Map<String, Value>, Refusal> {
    let mut shown = entry(caller, room).await?;
    let ask = commands::Retain { room: room.to_owned(), secs: None, cap_bytes: None };
    match caller.ask(ask).await {
        Ok(Reply::Retained { keep: Keep { secs, cap_bytes }, stored_bytes }) => {
            shown.insert("retention_secs".to_owned(), secs.into());
            shown.insert("cap_bytes".to_owned(), Some(cap_bytes).filter(|bytes| *bytes > 0).into());
            shown.insert("stored_bytes".to_owned(), stored_bytes.into());
        }
        Err(Refusal { code: ErrorCode::NotJoined | ErrorCode::Denied, .. }) => {}
        Err(refusal) => return Err(refusal),
        Ok(_) => return Err(unexpected()),
    }
    Ok(shown)
}

/// What a room is to be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    topic: Option<String>,
    private: Option<bool>,
    retention: Option<String>,
    cap: Option<Size>,
}

/// A size: bytes, or text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl Wanted {
    /// How long and how much the room is to keep; none if it does not say.
    fn retain(&self, room: &str) -> Result<Option<commands::Retain>, Problem> {
        let secs = match self.retention.as_deref() {
            None => None,
            Some("default") => Some(0),
            // 0 would be the default.
            Some(text) => {
                let wrong = |wrong| bad(format!("retention {wrong}, or default"));
                Some(units::duration(text).map_err(wrong)?.as_secs().max(1))
            }
        };
        let cap_bytes = match &self.cap {
            None => None,
            Some(Size::Text(text)) if text == "none" => Some(0),
            Some(Size::Text(text)) => Some(units::size(text).map_err(|wrong| bad(format!("cap {wrong}, or none")))?),
            Some(Size::Bytes(bytes)) => Some(*bytes),
        };
        if cap_bytes == Some(0) && !matches!(&self.cap, Some(Size::Text(text)) if text == "none") {
            return Err(bad("cap takes a size of at least one byte, or none"));
        }
        let room = room.to_owned();
        Ok((secs, cap_bytes) != (None, None)).map(|says| says.then_some(commands::Retain { room, secs, cap_bytes }))
    }
}

/// `PUT …/rooms/{room}`: creates the room, or sets its topic and what it keeps.
pub(in crate::web) fn put(call: Call) -> Answered {
    Box::pin(async move { try_put(call).await })
}

async fn try_put(mut call: Call) -> Result<Response, Problem> {
    let room = call.segment(0)?;
    let wanted: Wanted = body::json(&mut call).await?;
    let retain = wanted.retain(&room)?;
    let is_new = match header(call.headers(), &IF_NONE_MATCH)?.as_deref() {
        None => false,
        Some("*") => true,
        Some(_) => return Err(bad("If-None-Match takes * here, which only creates a room")),
    };
    let mut caller = caller_of(&call).await?;
    let put = create_or_set(&mut caller, &room, wanted, is_new, retain).await;
    caller.leave_to(&call.kept);
    match put {
        Ok((created, shown)) => {
            let mut response = object(&Value::Object(shown));
            if created {
                *response.status_mut() = StatusCode::CREATED;
            }
            Ok(response)
        }
        Err(refusal) if refusal.code == ErrorCode::RoomExists && is_new => {
            Err(Problem { status: StatusCode::PRECONDITION_FAILED, ..Problem::from(refusal) })
        }
        Err(refusal) => Err(refused(refusal, &room)),
    }
}

/// Does it; returns whether the room is new, and the room.
async fn create_or_set(
    caller: &mut Caller,
    room: &str,
    wanted: Wanted,
    is_new: bool,
    retain: Option<commands::Retain>,
) -> Result<(bool, Map<String, Value>), Refusal> {
    let Wanted { topic, private, .. } = wanted;
    let (of_room, of_new) = (room.to_owned(), topic.clone().unwrap_or_default());
    let create = commands::Create { room: of_room, topic: of_new, private: private.unwrap_or(false) };
    let created = match caller.ask(create).await {
        Ok(_) => true,
        Err(refusal) if refusal.code == ErrorCode::RoomExists && !is_new => {
            let is_private = entry(caller, room).await?.get("private").and_then(Value::as_bool);
            if private.is_some() && private != is_private {
                return Err(Refusal {
                    text: "whether a room is private is settled when it is created".to_owned(),
                    ..refusal
                });
            }
            if topic.is_some() {
                caller.ask(commands::Topic { room: room.to_owned(), topic }).await?;
            }
            false
        }
        Err(refusal) => return Err(refusal),
    };
    if let Some(retain) = retain {
        let kept = caller.ask(retain).await;
        kept.map_err(|refusal| match created {
            true => Refusal { text: format!("the room was created, but {}", refusal.text), ..refusal },
            false => refusal,
        })?;
    }
    Ok((created, show(caller, room).await?))
}

/// `DELETE …/rooms/{room}`.
pub(in crate::web) fn delete(call: Call) -> Answered {
    Box::pin(async move {
        let mut query = Query::of(&call)?;
        let (who, number) = (Who::of(&call, &mut query)?, query.number("number")?);
        query.end()?;
        let room = call.segment(0)?;
        let mut caller = Caller::of(&call, who).await?;
        let deleted = caller.ask(commands::Delete { room: room.clone(), number }).await;
        caller.leave_to(&call.kept);
        deleted.map(|_| done()).map_err(|refusal| refused(refusal, &room))
    })
}

/// `GET …/rooms/{room}/cursor`.
pub(in crate::web) fn cursor(call: Call) -> Answered {
    Box::pin(async move {
        let room = call.segment(0)?;
        let mut caller = caller_of(&call).await?;
        let shown = entry(&mut caller, &room).await;
        caller.leave_to(&call.kept);
        let shown = shown.map_err(|refusal| refused(refusal, &room))?;
        let of = |name: &str| shown.get(name).cloned().unwrap_or_default();
        Ok(object(&json!({"cursor": of("cursor"), "last": of("last"), "unread": of("unread")})))
    })
}

/// Where a cursor is to be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Moved {
    ack: Option<u64>,
    seek: Option<Place>,
}

/// A place in a room.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Place {
    Seq(u64),
    Word(String),
}

/// `PUT …/rooms/{room}/cursor`.
pub(in crate::web) fn set_cursor(mut call: Call) -> Answered {
    Box::pin(async move {
        let room = call.segment(0)?;
        let moved: Moved = body::json(&mut call).await?;
        let seek = |to| commands::Seek { room: room.clone(), to }.into();
        let command: Command = match (moved.ack, moved.seek) {
            (Some(seq), None) => commands::Ack { room: room.clone(), seq: Some(seq) }.into(),
            (None, Some(Place::Seq(seq))) => seek(Seek::To(seq)),
            (None, Some(Place::Word(word))) if word == "start" => seek(Seek::Start),
            (None, Some(Place::Word(word))) if word == "now" => seek(Seek::Now),
            (None, Some(_)) => return Err(bad("seek takes a seq, \"start\" or \"now\"")),
            _ => return Err(bad("a cursor is moved by either {\"ack\":n} or {\"seek\":n}")),
        };
        let mut caller = caller_of(&call).await?;
        let moved = caller.ask(command).await;
        caller.leave_to(&call.kept);
        match moved.map_err(|refusal| refused(refusal, &room))? {
            Reply::Acked { cursor } => Ok(object(&json!({"cursor": cursor}))),
            _ => Err(unexpected().into()),
        }
    })
}
