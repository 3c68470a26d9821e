//! Messages as a stream: those that are stored, and then each as it is on disk.

use std::time::Duration;

use hyper::header::HeaderName;
use hyper::{HeaderMap, Method};
use tokio::time::Instant;

use super::bad;
use super::caller::Caller;
use super::input::{Query, header};
use super::items::Form;
use super::respond::{Job, unexpected};
use super::session::Over;
use crate::web::call::Call;
use crate::web::problem::Problem;
use dantok_protocol::{ErrorCode, Refusal, Reply, Since, commands};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// After so long without anything else, something is sent that means nothing: proxies give up on silence.
const BEAT_EVERY: Duration = Duration::from_secs(15);

/// Where a stream begins.
#[derive(Debug)]
enum Begin {
    /// After this seq.
    After(u64),
    /// After the event with this seq, which is of this epoch.
    Resumed(String, u64),
    /// At this time.
    Since(Since),
    /// With so many of the newest messages.
    Newest(u64),
}

/// A stream of a room's messages.
#[derive(Debug)]
pub(super) struct Stream {
    form: Form,
    room: String,
    begin: Begin,
    epoch: Option<String>,
    /// Only the response's head is wanted.
    is_head: bool,
}

impl Stream {
    /// Reads what is wanted of a room from a request.
    ///
    /// # Errors
    /// It can't be understood.
    pub(super) fn of(call: &Call, query: &mut Query, form: Form, room: String) -> Result<Stream, Problem> {
        let (after, since, newest) = (query.number("after")?, query.since("since")?, query.number("limit")?);
        let begin = match (resumed(call.headers())?, after, since, newest) {
            (Some((epoch, seq)), ..) => Begin::Resumed(epoch, seq),
            (None, Some(after), None, None) => Begin::After(after),
            (None, None, Some(since), None) => Begin::Since(since),
            (None, None, None, newest) => Begin::Newest(newest.unwrap_or(0)),
            _ => return Err(bad("a stream begins at one place: after, since or limit")),
        };
        let is_head = *call.request.method() == Method::HEAD;
        Ok(Stream { form, room, begin, epoch: query.take("epoch"), is_head })
    }
}

/// The epoch and the seq of the last event that a client has seen.
fn resumed(headers: &HeaderMap) -> Result<Option<(String, u64)>, Problem> {
    let Some(id) = header(headers, &LAST_EVENT_ID)?.filter(|id| !id.is_empty()) else { return Ok(None) };
    let seq = |text: &str| Some(text).filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))?.parse().ok();
    let parts = id.split_once(':').and_then(|(epoch, text)| Some((epoch.to_owned(), seq(text)?)));
    parts.map(Some).ok_or_else(|| bad("Last-Event-ID is the id of an event: an epoch, a colon, and a seq"))
}

impl Job for Stream {
    fn form(&self) -> Form {
        self.form
    }

    async fn run(self, caller: &mut Caller) -> Result<(), Refusal> {
        let Stream { room, begin, epoch, is_head, .. } = self;
        caller.check_epoch(epoch).await?;
        follow(caller, &room, begin).await?;
        while !is_head && !caller.items().has_ended() {
            let count = caller.items().count();
            match caller.pushed(count, Some(Instant::now() + BEAT_EVERY)).await? {
                Over::Pushed => {}
                Over::Time => caller.items().beat(),
                Over::End => break,
            }
        }
        // It follows the room, which nobody else wants.
        caller.end();
        Ok(())
    }
}

/// Begins to follow a room, and says where; and why that is not where the client left off, if it is not.
async fn follow(caller: &mut Caller, room: &str, begin: Begin) -> Result<(), Refusal> {
    let is_resumed = matches!(begin, Begin::Resumed(..));
    let (after, set_back) = match begin {
        Begin::After(after) => (after, None),
        Begin::Since(since) => (end(caller, room, Some(since)).await?.0, None),
        Begin::Newest(count) => {
            let (_, oldest, last) = end(caller, room, None).await?;
            (last.saturating_sub(count).max(oldest.saturating_sub(1)), None)
        }
        Begin::Resumed(epoch, seq) => match caller.check_epoch(Some(epoch)).await {
            Ok(()) => (seq, None),
            Err(refusal) if refusal.code == ErrorCode::Epoch => (0, Some(refusal)),
            Err(refusal) => return Err(refusal),
        },
    };
    let command = |after| commands::Follow { room: room.to_owned(), after: Some(after) };
    caller.items().open_with(set_back);
    match caller.ask(command(after)).await {
        // A browser would never ask again after an error.
        Err(refusal) if refusal.code == ErrorCode::SetBack && is_resumed => {
            caller.items().open_with(Some(refusal));
            caller.ask(command(0)).await.map(drop)
        }
        reply => reply.map(drop),
    }
}

/// The seq before the first message since then (or the last seq), the oldest seq, and the last one.
async fn end(caller: &mut Caller, room: &str, since: Option<Since>) -> Result<(u64, u64, u64), Refusal> {
    let history = commands::History { room: room.to_owned(), after: None, before: None, since, max: Some(0) };
    match caller.ask(history).await? {
        Reply::End { handed, oldest, last, .. } => Ok((handed, oldest, last)),
        _ => Err(unexpected()),
    }
}
