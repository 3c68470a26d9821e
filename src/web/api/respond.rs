//! Responses that are made while they are sent: a peer that does not read them is not read for, and takes bounded memory.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_TYPE, HeaderName};
use tokio::sync::mpsc;

use super::caller::{Caller, Kept};
use super::items::Form;
use crate::addresses::AddressSlot;
use crate::web::answer::{Response, full, value};
use dantok_protocol::{Command, ErrorCode, Refusal};

const NOT_BUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What makes a response.
pub(super) trait Job: Send + 'static {
    /// The response's form.
    fn form(&self) -> Form;

    /// Makes it. What was refused before anything was handed on is the response.
    fn run(self, caller: &mut Caller) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// How a job has ended, and what was not handed on by then.
struct Done {
    rest: Bytes,
    result: Result<(), Refusal>,
}

type Running = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Runs a job. A response that is short is whole; otherwise it is sent in parts while the job goes on.
///
/// # Errors
/// The job was refused.
pub(super) async fn respond(
    mut caller: Box<Caller>,
    kept: Arc<Kept>,
    slot: Option<AddressSlot>,
    job: impl Job,
) -> Result<Response, Refusal> {
    let form = job.form();
    let (sender, mut parts) = mpsc::channel(1);
    caller.items().begin(form, sender);
    let mut running: Running = Box::pin(async move {
        let result = job.run(&mut caller).await;
        let items = caller.items();
        // A response that has begun says why it ends early, if its form can.
        let result = result.or_else(|refusal| if items.fail(&refusal) { Ok(()) } else { Err(refusal) });
        let rest = items.end();
        caller.leave_to(&kept);
        drop(slot);
        Done { rest, result }
    });
    let first = std::future::poll_fn(|context| {
        if let Poll::Ready(done) = running.as_mut().poll(context) {
            return Poll::Ready(Err(done));
        }
        match parts.poll_recv(context) {
            Poll::Ready(Some(part)) => Poll::Ready(Ok(part)),
            _ => Poll::Pending,
        }
    });
    let mut response = match first.await {
        Err(Done { rest, result }) => {
            result?;
            match parts.try_recv() {
                Ok(first) => live(first, parts, None, Some(rest)),
                Err(_) => full(rest),
            }
        }
        Ok(first) => live(first, parts, Some(running), None),
    };
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        value(match form {
            Form::Object => "application/json",
            Form::Lines => "application/x-ndjson",
            Form::Events => "text/event-stream",
            Form::Text => "text/plain; charset=utf-8",
        }),
    );
    if form != Form::Object {
        headers.insert(NOT_BUFFERED, value("no"));
    }
    Ok(response)
}

fn live(first: Bytes, parts: mpsc::Receiver<Bytes>, running: Option<Running>, rest: Option<Bytes>) -> Response {
    hyper::Response::new(Live { first: Some(first), parts, running, rest }.boxed_unsync())
}

/// A body that a job is still making.
struct Live {
    first: Option<Bytes>,
    parts: mpsc::Receiver<Bytes>,
    running: Option<Running>,
    rest: Option<Bytes>,
}

impl Body for Live {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let live = self.get_mut();
        let part = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        if let Some(first) = live.first.take() {
            return part(first);
        }
        if let Poll::Ready(Some(bytes)) = live.parts.poll_recv(context) {
            return part(bytes);
        }
        if let Some(running) = &mut live.running {
            let Poll::Ready(Done { rest, result }) = running.as_mut().poll(context) else {
                return match live.parts.poll_recv(context) {
                    Poll::Ready(Some(bytes)) => part(bytes),
                    _ => Poll::Pending,
                };
            };
            live.running = None;
            if let Err(refusal) = result {
                // Cut off, so that nobody takes it for whole.
                return Poll::Ready(Some(Err(io::Error::other(refusal))));
            }
            live.rest = Some(rest);
        }
        if let Poll::Ready(Some(bytes)) = live.parts.poll_recv(context) {
            return part(bytes);
        }
        match live.rest.take().filter(|rest| !rest.is_empty()) {
            Some(rest) => part(rest),
            None => Poll::Ready(None),
        }
    }
}

/// A list: the items of a command's answer, in an object.
pub(super) struct List {
    pub(super) command: Command,
    /// The name of the list in the object.
    pub(super) name: &'static str,
}

impl Job for List {
    fn form(&self) -> Form {
        Form::Object
    }

    async fn run(self, caller: &mut Caller) -> Result<(), Refusal> {
        caller.items().put(&format!("{{\"{}\":[\n", self.name));
        caller.ask(self.command).await?;
        caller.items().put("]}\n");
        Ok(())
    }
}

/// A response that has nothing to say but that it is done.
pub(super) fn done() -> Response {
    let mut response = full("");
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A response of one JSON object.
pub(super) fn object(object: &serde_json::Value) -> Response {
    let mut response = full(format!("{object}\n"));
    response.headers_mut().insert(CONTENT_TYPE, value("application/json"));
    response
}

/// For an answer that no command gives.
pub(super) fn unexpected() -> Refusal {
    Refusal::new(ErrorCode::Storage, "the daemon has answered something else; this is a bug")
}
