//! `/r/ROOM`: the short way for whoever types: the body is the message, and the last part of the address is the form.

use super::caller::{Caller, Who};
use super::input::Query;
use super::items::Form;
use super::messages::{message_id, read, sent_response};
use super::{bad, body, refused};
use crate::web::answer::Response;
use crate::web::call::{Answered, Call};
use crate::web::problem::Problem;
use dantok_protocol::{Begin, ErrorCode, Refusal, Reply, commands};

/// `POST /r/ROOM`: sends the body as it is, whatever its type, to a room that is joined if need be.
pub(in crate::web) fn send(call: Call) -> Answered {
    Box::pin(async move { try_send(call).await })
}

async fn try_send(mut call: Call) -> Result<Response, Problem> {
    let mut query = Query::of(&call)?;
    let who = Who::of(&call, &mut query)?;
    let reply = query.number("reply")?;
    query.end()?;
    let (room, id) = (call.segment(0)?, message_id(&call)?);
    let max = call.hub.settings.get().limits.body_max_bytes;
    let body = body::read(&mut call, max).await?;
    if body.is_empty() {
        return Err(bad("the body is the message, and it is empty"));
    }
    let mut caller = Caller::of(&call, who).await?;
    let sent = send_or_join(&mut caller, commands::Send { room: room.clone(), id, body, reply }).await;
    caller.leave_to(&call.kept);
    sent_response(&call, &room, sent.map_err(|refusal| refused(refusal, &room))?)
}

async fn send_or_join(caller: &mut Caller, send: commands::Send) -> Result<Reply, Refusal> {
    match caller.ask(send.clone()).await {
        Err(refusal) if matches!(refusal.code, ErrorCode::NotJoined | ErrorCode::NoRoom) => {
            // To write. Whoever wants to read from a cursor joins for that.
            caller.ask(commands::Join { room: send.room.clone(), from: Begin::Nowhere }).await?;
            caller.ask(send).await
        }
        answered => answered,
    }
}

/// `GET /r/ROOM/json`.
pub(in crate::web) fn json(call: Call) -> Answered {
    Box::pin(read(call, Some(Form::Lines)))
}

/// `GET /r/ROOM/sse`.
pub(in crate::web) fn sse(call: Call) -> Answered {
    Box::pin(read(call, Some(Form::Events)))
}

/// `GET /r/ROOM/raw`.
pub(in crate::web) fn raw(call: Call) -> Answered {
    Box::pin(read(call, Some(Form::Text)))
}
