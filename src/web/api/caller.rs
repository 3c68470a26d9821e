//! Who sends a request, and their session: an edge of the pipeline whose requests are made here.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderName;
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::bad;
use super::input::{Query, header};
use super::items::{Collect, Items};
use crate::hub::Hub;
use crate::pipeline::{Edge, Pipeline, Step};
use crate::web::call::Call;
use crate::web::problem::Problem;
use crate::web::socket::Line;
use dantok_protocol::{Command, ErrorCode, Incoming, Refusal, Reply, Tag, VERSION, commands};

const CLIENT: HeaderName = HeaderName::from_static("dantok-client");

/// The client of requests that name none, where no tokens are used.
const NOBODY: &str = "http";

/// How long a session may take to begin. It begins at once.
const HELLO_WITHIN: Duration = Duration::from_secs(30);

/// What requests on a connection leave for the next one.
#[derive(Default)]
pub struct Kept {
    session: Mutex<Option<Box<Caller>>>,
    line: OnceLock<Line>,
}

impl Kept {
    /// Notes how to find out whether the peer is still there.
    pub(in crate::web) fn set_line(&self, line: Line) {
        // Only the first call counts.
        let _ = self.line.set(line);
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Option<Box<Caller>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who a request says that its sender is.
#[derive(Debug)]
pub(super) struct Who {
    client: Option<String>,
    token: Option<String>,
}

impl Who {
    /// Reads the headers, and `client` in the query.
    ///
    /// # Errors
    /// They are malformed, or name different clients.
    pub(super) fn of(call: &Call, query: &mut Query) -> Result<Who, Problem> {
        let token = call.token()?;
        let client = match (header(call.headers(), &CLIENT)?, query.take("client")) {
            (Some(header), Some(query)) if header != query => {
                return Err(bad("Dantok-Client and client= name different clients"));
            }
            (header, query) => header.or(query),
        };
        Ok(Who { client, token })
    }

    fn is_same(&self, other: &Who) -> bool {
        // Behind a proxy, others may share the connection.
        let bytes = |token: &Option<String>| token.clone().unwrap_or_default();
        self.client == other.client
            && self.token.is_some() == other.token.is_some()
            && bool::from(bytes(&self.token).as_bytes().ct_eq(bytes(&other.token).as_bytes()))
    }

    /// The client's name: that of the token, if the request does not say.
    fn name(&self, hub: &Hub) -> String {
        let of_token = || {
            hub.tokens.refresh();
            hub.tokens.client_of(self.token.as_deref()?)
        };
        self.client.clone().or_else(of_token).unwrap_or_else(|| NOBODY.to_owned())
    }
}

/// The edge: what the pipeline is to carry out, and what it has answered.
pub(super) struct Wire {
    next: Option<Incoming>,
    reply: Option<Reply>,
    closing: Option<Refusal>,
    pub(super) items: Items,
    pub(super) hub: Arc<Hub>,
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

/// A client with a session.
pub struct Caller {
    who: Who,
    name: Arc<str>,
    pipeline: Pipeline,
    pub(super) wire: Wire,
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
fn ended() -> Refusal {
    Refusal::new(ErrorCode::Stopping, "the connection ends; what was sent may or may not be stored")
}

impl Caller {
    /// The session of a request: that of the request before it on the same connection, if it may be.
    ///
    /// # Errors
    /// The client may not connect.
    pub(super) async fn of(call: &Call, who: Who) -> Result<Box<Caller>, Problem> {
        let kept = call.kept.session().take();
        if let Some(mut caller) = kept.filter(|caller| caller.who.is_same(&who))
            && caller.is_good().await
        {
            return Ok(caller);
        }
        let Some(line) = call.kept.line.get().cloned() else { return Err(Problem::from(ended())) };
        let client = who.name(&call.hub);
        let hello = commands::Hello { version: VERSION, client, token: who.token.clone(), epoch: None };
        let hub = call.hub.clone();
        let pipeline = Pipeline::new(hub.clone(), Instant::now() + HELLO_WITHIN);
        let items = Items::new(hub.store.epoch().clone());
        let wire = Wire { next: None, reply: None, closing: None, items, hub };
        let mut caller = Box::new(Caller { who, name: "".into(), pipeline, wire, line, stop: call.stop.clone() });
        match caller.ask(hello).await {
            Ok(reply) => {
                if let Reply::Welcome(welcome) = reply {
                    caller.name = welcome.client;
                }
                Ok(caller)
            }
            Err(refusal) => {
                let is_denied = refusal.code == ErrorCode::Denied;
                let mut problem = Problem::from(refusal);
                if is_denied {
                    problem.status = StatusCode::UNAUTHORIZED;
                }
                Err(problem)
            }
        }
    }

    /// Whether its token is still valid.
    async fn is_good(&mut self) -> bool {
        self.wire.items = Items::new(self.wire.hub.store.epoch().clone());
        let step = self.pipeline.advance(&mut self.wire, &self.line).await;
        matches!(step, Ok(Step::Wait)) && self.wire.closing.is_none()
    }

    /// Leaves the session to the next request on the connection.
    pub(super) fn leave_to(self: Box<Caller>, kept: &Kept) {
        if self.wire.closing.is_none() && !self.pipeline.has_ended() {
            *kept.session() = Some(self);
        }
    }

    /// Has a command carried out. Its items are put beside each other with those before.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn ask(&mut self, command: impl Into<Command>) -> Result<Reply, Refusal> {
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

impl Caller {
    /// Checks whether seqs of this epoch still mean the same.
    ///
    /// # Errors
    /// They don't.
    pub(super) async fn check_epoch(&mut self, epoch: Option<String>) -> Result<(), Refusal> {
        if epoch.is_some() {
            let (client, token) = (self.name.to_string(), self.who.token.clone());
            self.ask(commands::Hello { version: VERSION, client, token, epoch }).await?;
        }
        Ok(())
    }

    /// Has no other request use the session.
    pub(super) fn end(&mut self) {
        self.pipeline.end();
    }

    /// Ends a FOLLOW; the session, if that is not possible now.
    pub(super) async fn stop_following(&mut self, room: &str) {
        // What is pushed meanwhile is not for this response.
        self.wire.items.limit(0);
        if self.ask(commands::Unfollow { room: room.to_owned() }).await.is_err() {
            self.pipeline.end();
        }
    }
}
