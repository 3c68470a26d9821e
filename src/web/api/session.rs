//! A session of the API: an edge of the pipeline whose requests are made here, one after another.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::items::{Collect, Items};
use crate::hub::Hub;
use crate::pipeline::{Edge, Pipeline, Step};
use crate::session;
use crate::web::call::Call;
use crate::web::socket::Line;
use dantok_protocol::{Command, ErrorCode, Incoming, Refusal, Reply, Tag};

/// How long a session may take to begin. It begins at once.
const HELLO_WITHIN: Duration = Duration::from_secs(30);

/// The edge: what the pipeline is to carry out, and what it has answered.
struct Wire {
    next: Option<Incoming>,
    reply: Option<Reply>,
    closing: Option<Refusal>,
    items: Items,
    hub: Arc<Hub>,
}

impl Edge for Wire {
    type Items<'a> = Collect<'a>;

    fn next(&mut self) -> io::Result<Option<Incoming>> {
        Ok(self.next.take())
    }

    fn is_interrupted(&self) -> bool {
        false
    }

    fn set_body_max(&mut self, _: usize) {
        // Bodies are read before they become requests.
    }

    fn set_format(&mut self, _: bool) -> Result<(), Refusal> {
        Err(Refusal::bad_argument("a response has the format that its request asks for"))
    }

    fn reply(&mut self, _: &Tag, reply: Reply) {
        // Before what is pushed, which may be in the same turn.
        if let Reply::Following { after, number } = &reply
            && let Some(room) = self.hub.rooms.by_id(*number)
        {
            self.items.followed(&room.name, *number, *after);
        }
        self.reply = Some(reply);
    }

    fn telnet(&mut self, _: [u8; 3]) {
        // HTTP has no such thing.
    }

    fn closing(&mut self, refusal: Refusal) {
        self.closing = Some(refusal);
    }

    fn items<'a>(&'a mut self, _: Option<&'a Tag>) -> Collect<'a> {
        Collect::new(&mut self.items, &self.hub.pushed)
    }

    fn is_full(&self) -> bool {
        self.items.is_full()
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.items.flush().await
    }
}

/// A session.
pub struct Session {
    pipeline: Pipeline,
    wire: Wire,
    line: Line,
    stop: watch::Receiver<bool>,
}

/// Why waiting is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Something was pushed.
    Pushed,
    /// The time is over.
    Time,
    /// The peer has stopped sending, or the daemon stops.
    End,
}

/// For a request whose connection ends before its answer.
pub(super) fn ended() -> Refusal {
    Refusal::new(ErrorCode::Stopping, "the connection ends; what was sent may or may not be stored")
}

impl Session {
    pub(super) fn new(hub: Arc<Hub>, line: Line, stop: watch::Receiver<bool>) -> Session {
        let pipeline = Pipeline::new(hub.clone(), Instant::now() + HELLO_WITHIN);
        Session::over(pipeline, hub, line, stop)
    }

    /// The session of an incoming hook, which sends to the room of this number and does nothing else.
    ///
    /// # Errors
    /// The connection ends.
    pub(in crate::web) fn of_hook(call: &Call, client: Arc<str>, room: u64) -> Result<Session, Refusal> {
        let (hub, line) = (call.hub.clone(), call.kept.line().ok_or_else(ended)?);
        let pipeline = Pipeline::over(session::Session::of_hook(hub.clone(), client, room), hub.clone());
        Ok(Session::over(pipeline, hub, line, call.stop.clone()))
    }

    fn over(pipeline: Pipeline, hub: Arc<Hub>, line: Line, stop: watch::Receiver<bool>) -> Session {
        let items = Items::new(hub.store.epoch().clone());
        let wire = Wire { next: None, reply: None, closing: None, items, hub };
        Session { pipeline, wire, line, stop }
    }

    /// What was collected.
    pub(super) fn items(&mut self) -> &mut Items {
        &mut self.wire.items
    }

    /// Begins another response.
    pub(super) fn clear(&mut self) {
        self.wire.items = Items::new(self.wire.hub.store.epoch().clone());
    }

    /// Whether its token is still valid.
    pub(super) async fn is_good(&mut self) -> bool {
        let step = self.pipeline.advance(&mut self.wire, &self.line).await;
        matches!(step, Ok(Step::Wait)) && !self.has_ended()
    }

    /// Whether it is of no use for another request.
    pub(super) fn has_ended(&self) -> bool {
        self.wire.closing.is_some() || self.pipeline.has_ended()
    }

    /// Has no other request use it.
    pub(super) fn end(&mut self) {
        self.pipeline.end();
    }

    /// Has a command carried out. Its items are put beside each other with those before.
    ///
    /// # Errors
    /// It was refused.
    pub(in crate::web) async fn ask(&mut self, command: impl Into<Command>) -> Result<Reply, Refusal> {
        self.wire.next = Some(Incoming::Request { tag: Tag::None, command: command.into() });
        loop {
            match self.turn(None, None).await? {
                _ if self.wire.reply.is_some() => {}
                Some(Over::End) => return Err(ended()),
                _ => continue,
            }
            return match self.wire.reply.take() {
                Some(Reply::Error(refusal)) => Err(refusal),
                Some(reply) => Ok(reply),
                None => Err(ended()),
            };
        }
    }

    /// Waits until there are more than so many items.
    ///
    /// # Errors
    /// The session has ended.
    pub(super) async fn pushed(&mut self, before: u64, deadline: Option<Instant>) -> Result<Over, Refusal> {
        while self.wire.items.count() <= before {
            if let Some(over) = self.turn(deadline, Some(before)).await? {
                return Ok(over);
            }
        }
        Ok(Over::Pushed)
    }

    /// Has the pipeline advance, and waits until it can go on: without `before`, unless there is an answer; otherwise unless there are more
    /// than so many items. Whoever waits for others to act, and not for an answer, does so only as long as the peer has not stopped
    /// sending.
    async fn turn(&mut self, deadline: Option<Instant>, before: Option<u64>) -> Result<Option<Over>, Refusal> {
        let step = self.pipeline.advance(&mut self.wire, &self.line).await.map_err(|_| ended())?;
        if let Some(refusal) = self.wire.closing.clone() {
            return Err(refusal);
        }
        match step {
            Step::Done => return Ok(Some(Over::End)),
            Step::Continue => return Ok(None),
            Step::Wait if self.wire.reply.is_some() => return Ok(None),
            Step::Wait if before.is_some_and(|before| self.wire.items.count() > before) => return Ok(None),
            Step::Wait => {}
        }
        let waker = self.pipeline.waker();
        let time = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            woken = self.pipeline.wait() => self.pipeline.resume(woken, &mut self.wire),
            () = waker.changed() => {}
            () = time => return Ok(Some(Over::Time)),
            _ = self.stop.wait_for(|stop| *stop), if !self.pipeline.has_stopped() => self.pipeline.stop(),
            () = self.line.ended(), if before.is_some() && !self.pipeline.has_ended() => self.pipeline.end(),
        }
        Ok(None)
    }
}
