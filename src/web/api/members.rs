//! A room's members, and who is invited to it or banned from it.

use hyper::StatusCode;
use serde_json::json;

use super::caller::{Caller, Who};
use super::input::Query;
use super::respond::{List, done, object, respond, unexpected};
use super::{bad, refused};
use crate::web::answer::Response;
use crate::web::call::{Answered, Call};
use crate::web::problem::Problem;
use dantok_protocol::{Begin, Command, ErrorCode, Refusal, Reply, commands};

/// What stands for the client itself in the path. A client of this name is reached with any of its letters percent-encoded.
const ME: &str = "me";

/// `GET …/members`.
pub(in crate::web) fn list(call: Call) -> Answered {
    Box::pin(async move {
        let room = call.segment(0)?;
        let command = commands::Who { room: room.clone() };
        list_of(call, room, command.into(), "members").await
    })
}

/// `GET …/access`.
pub(in crate::web) fn access(call: Call) -> Answered {
    Box::pin(async move {
        let room = call.segment(0)?;
        let command = commands::Access { room: room.clone() };
        list_of(call, room, command.into(), "access").await
    })
}

async fn list_of(call: Call, room: String, command: Command, name: &'static str) -> Result<Response, Problem> {
    let mut query = Query::of(&call)?;
    let who = Who::of(&call, &mut query)?;
    query.end()?;
    let caller = Caller::of(&call, who).await?;
    let answered = respond(caller, call.kept, call.slot, List { command, name }).await;
    answered.map_err(|refusal| refused(refusal, &room))
}

/// Whether the path names the client itself.
fn is_me(call: &Call, caller: &Caller, client: &str) -> bool {
    call.segments.get(1).is_some_and(|segment| segment == ME) || *caller.welcome().client == *client
}

/// `PUT …/members/{client}`: joins the room, for oneself.
pub(in crate::web) fn join(call: Call) -> Answered {
    Box::pin(async move {
        let mut query = Query::of(&call)?;
        let who = Who::of(&call, &mut query)?;
        let from = match query.take("from").as_deref() {
            None | Some("start") => Begin::Start,
            Some("now") => Begin::Now,
            Some("none") => Begin::Nowhere,
            Some(_) => return Err(bad("from takes start, now or none")),
        };
        query.end()?;
        let (room, client) = (call.segment(0)?, call.segment(1)?);
        let mut caller = Caller::of(&call, who).await?;
        if !is_me(&call, &caller, &client) {
            let text = format!("only {client} can join as {client}; PUT .../invitations/{client} to invite");
            caller.leave_to(&call.kept);
            return Err(Refusal::denied(text).into());
        }
        let joined = caller.ask(commands::Join { room: room.clone(), from }).await;
        caller.leave_to(&call.kept);
        match joined.map_err(|refusal| refused(refusal, &room))? {
            Reply::Joined { cursor, last, number, created } => {
                let mut response = object(&json!({
                    "cursor": cursor, "last": last, "number": number, "created": created,
                }));
                if created {
                    *response.status_mut() = StatusCode::CREATED;
                }
                Ok(response)
            }
            _ => Err(unexpected().into()),
        }
    })
}

/// `DELETE …/members/{client}`: leaves the room, or ends the membership of others.
pub(in crate::web) fn remove(call: Call) -> Answered {
    Box::pin(async move {
        let (mut query, room, client) = (Query::of(&call)?, call.segment(0)?, call.segment(1)?);
        let who = Who::of(&call, &mut query)?;
        query.end()?;
        let mut caller = Caller::of(&call, who).await?;
        let command: Command = if is_me(&call, &caller, &client) {
            commands::Leave { room: room.clone() }.into()
        } else {
            commands::Kick { room: room.clone(), client: client.clone() }.into()
        };
        let left = caller.ask(command).await;
        caller.leave_to(&call.kept);
        left.map(|_| done()).map_err(|refusal| absent(refusal, &room))
    })
}

/// A refusal to end what is not there.
fn absent(refusal: Refusal, room: &str) -> Problem {
    match refusal.code {
        // Of the client itself for LEAVE, and of the other one for KICK.
        ErrorCode::NotJoined => {
            let text = refusal.text.replace(&format!("JOIN {room} first"), &format!("you are not a member of {room}"));
            Problem { status: StatusCode::NOT_FOUND, ..Problem::from(Refusal { text, ..refusal }) }
        }
        _ => refused(refusal, room),
    }
}

/// Has a command about a person in a room carried out.
fn about(call: Call, command: fn(String, String) -> Command) -> Answered {
    Box::pin(async move {
        let (mut query, room, client) = (Query::of(&call)?, call.segment(0)?, call.segment(1)?);
        let who = Who::of(&call, &mut query)?;
        query.end()?;
        let mut caller = Caller::of(&call, who).await?;
        let answered = caller.ask(command(room.clone(), client)).await;
        caller.leave_to(&call.kept);
        answered.map(|_| done()).map_err(|refusal| refused(refusal, &room))
    })
}

/// `PUT …/invitations/{client}`.
pub(in crate::web) fn invite(call: Call) -> Answered {
    about(call, |room, client| commands::Invite { room, client }.into())
}

/// `DELETE …/invitations/{client}`: ends the person's memberships as well.
pub(in crate::web) fn uninvite(call: Call) -> Answered {
    Box::pin(async move {
        let (mut query, room, client) = (Query::of(&call)?, call.segment(0)?, call.segment(1)?);
        let who = Who::of(&call, &mut query)?;
        query.end()?;
        let mut caller = Caller::of(&call, who).await?;
        let ended = caller.ask(commands::Kick { room: room.clone(), client }).await;
        caller.leave_to(&call.kept);
        ended.map(|_| done()).map_err(|refusal| absent(refusal, &room))
    })
}

/// `PUT …/bans/{client}`.
pub(in crate::web) fn ban(call: Call) -> Answered {
    about(call, |room, client| commands::Ban { room, client }.into())
}

/// `DELETE …/bans/{client}`.
pub(in crate::web) fn unban(call: Call) -> Answered {
    about(call, |room, client| commands::Unban { room, client }.into())
}
