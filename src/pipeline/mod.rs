//! Stands between a session and an edge: requests in, answers and pushes out, in order and bounded. Independent of sockets.
//!
//! Writes go to the committer as they arrive, in one batch if they arrived together. Any other command waits until those before it are
//! answered. So answers come in the order of the requests, as if each had been carried out before the next was read.
//!
//! An edge reads bytes as long as the pipeline [wants](Pipeline::wants) them, calls [`advance`](Pipeline::advance), and
//! [waits](Pipeline::wait) when there is nothing else to do.

mod patience;
mod taking;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::committer;
use crate::hub::Hub;
use crate::limits::{BATCH_MAX_BYTES, PIPELINE_MAX_REQUESTS, TAKING_INPUT_MAX_BYTES};
use crate::person::Pace;
use crate::rooms::{Handed, Waker};
use crate::session::{Action, Out, Run, Session, Take};
use dantok_protocol::commands::{Local, Write};
use dantok_protocol::{ErrorCode, Incoming, Refusal, Reply, Tag, commands};
use patience::Patience;

/// Where a pipeline's requests come from, and where its answers go.
pub trait Edge: Send {
    /// Where the items of answers and pushes go.
    type Items<'a>: Out
    where
        Self: 'a;

    /// The next request that has arrived.
    ///
    /// # Errors
    /// The edge is broken.
    fn next(&mut self) -> io::Result<Option<Incoming>>;

    /// Whether a key has arrived that interrupts a waiting command.
    fn is_interrupted(&self) -> bool;

    /// Sets the limit of bodies, from the next request on.
    fn set_body_max(&mut self, bytes: usize);

    /// Continues in JSON or in text.
    ///
    /// # Errors
    /// The framing has only one format.
    fn set_format(&mut self, json: bool) -> Result<(), Refusal>;

    /// Puts an answer.
    fn reply(&mut self, tag: &Tag, reply: Reply);

    /// Puts an answer to a telnet client's negotiation.
    fn telnet(&mut self, answer: [u8; 3]);

    /// Puts why the connection is closed.
    fn closing(&mut self, refusal: Refusal);

    /// Where the items of the answer to a request go or, without a tag, of pushes.
    fn items<'a>(&'a mut self, tag: Option<&'a Tag>) -> Self::Items<'a>;

    /// Whether so much waits to be written that it should be flushed before more is added.
    fn is_full(&self) -> bool;

    /// Writes what waits.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Tells whether the peer is still there while a request takes its time.
pub trait Peer: Sync {
    /// Completes when no answer can reach the peer any more.
    fn gone(&self) -> impl Future<Output = io::Error> + Send;

    /// Whether it has stopped sending, even if what it sent is not read yet.
    fn has_ended(&self) -> bool;

    /// From now on notices soon if the peer is gone, because messages handed to it are withheld from others.
    fn watch_closely(&self);
}

/// Does something that may take a while, unless the peer goes away meanwhile.
async fn unless_gone<T>(peer: &impl Peer, what: impl Future<Output = T>) -> io::Result<T> {
    tokio::select! {
        biased;
        done = what => Ok(done),
        error = peer.gone() => Err(error),
    }
}

/// What to do after a pipeline has advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It can advance again at once.
    Continue,
    /// It has to wait for something.
    Wait,
    /// It is done.
    Done,
}

/// Why a pipeline that waited can go on; for [`Pipeline::resume`].
#[derive(Debug)]
pub enum Woken {
    /// The oldest batch was answered; `None`: the committer has ended.
    Answered(Option<Vec<Reply>>),
    /// There was no HELLO in time.
    TooLate,
    /// A pause is over, and requests are read again.
    PauseOver,
    /// It is time to retry a TAKE or a failed read.
    Retry,
}

/// See the module.
pub struct Pipeline {
    hub: Arc<Hub>,
    session: Session,
    /// The version of the settings that is in effect here.
    changes: u64,
    /// The rate limits until HELLO, after which the person's apply.
    pace: Option<Arc<Pace>>,
    patience: Patience,
    /// The deadline for HELLO.
    hello_deadline: Option<Pin<Box<Sleep>>>,
    /// Writes of one client that go to the committer together, and their tags.
    batch: (Vec<Tag>, Vec<Write>),
    batch_bytes: usize,
    /// Batches with the committer, oldest first.
    pending: VecDeque<(Vec<Tag>, oneshot::Receiver<Vec<Reply>>)>,
    /// Requests in them.
    waiting: usize,
    /// A request that waits until they are answered.
    held: Option<Box<Next>>,
    /// A TAKE that waits for messages. Requests after it wait as well; pushes go on.
    taking: Option<Box<(Tag, Take)>>,
    /// The limit of waiting requests was reached, so more may have arrived.
    full: bool,
    end: End,
}

/// A request that is carried out when everything before it has been answered.
#[derive(Debug)]
enum Next {
    /// By the session.
    Run(Tag, Run),
    /// By the pipeline.
    Local(Tag, Local),
    /// Not at all.
    Refuse(Tag, Refusal),
    /// An answer to a telnet negotiation.
    Telnet([u8; 3]),
    /// The input can't be decoded any more.
    Close(Refusal),
}

/// Which steps towards its end a pipeline has taken.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// No more requests arrive.
    ended: bool,
    /// The daemon stops, although the peer may not be done.
    stopped: bool,
    /// Nothing more is carried out.
    closing: bool,
}

impl Pipeline {
    /// A pipeline with a new session, which has to send HELLO before the deadline.
    pub fn new(hub: Arc<Hub>, deadline: Instant) -> Pipeline {
        let pace = Pace::new(&hub.settings.get().limits).map(Arc::new);
        let hello_deadline = Some(Box::pin(sleep_until(deadline)));
        Pipeline { pace, hello_deadline, ..Pipeline::over(Session::new(hub.clone()), hub) }
    }

    /// A pipeline with a session that needs no HELLO.
    pub fn over(session: Session, hub: Arc<Hub>) -> Pipeline {
        let changes = hub.settings.changes();
        Pipeline {
            session,
            hub,
            changes,
            pace: None,
            patience: Patience::default(),
            hello_deadline: None,
            batch: Default::default(),
            batch_bytes: 0,
            pending: VecDeque::new(),
            waiting: 0,
            held: None,
            taking: None,
            full: false,
            end: End::default(),
        }
    }

    /// Wakes when rooms have something for the session: then call [`advance`](Pipeline::advance).
    pub fn waker(&self) -> Arc<Waker> {
        self.session.waker()
    }

    /// Whether to read more, with this many bytes not decoded yet.
    pub fn wants(&self, undecoded: usize) -> bool {
        !(self.end.ended || self.end.closing || self.held.is_some() || self.patience.is_exhausted())
            && self.waiting < PIPELINE_MAX_REQUESTS
            && (self.taking.is_none() || undecoded < TAKING_INPUT_MAX_BYTES)
    }

    /// Notes that nothing more arrives.
    pub fn end(&mut self) {
        self.end.ended = true;
    }

    /// The daemon stops: what has arrived is still carried out, and no more.
    pub fn stop(&mut self) {
        self.patience.end_pause();
        self.end.ended = true;
        self.end.stopped = true;
    }

    /// Whether nothing more arrives.
    pub fn has_ended(&self) -> bool {
        self.end.ended
    }

    /// Whether the daemon has told it to stop.
    pub fn has_stopped(&self) -> bool {
        self.end.stopped
    }

    /// Whether it is unknown if messages that TAKE handed over have arrived.
    pub fn is_handing(&self) -> bool {
        self.session.is_handing()
    }

    /// Takes out the messages that TAKE handed over and that may not have arrived.
    pub fn take_handed(&mut self) -> Vec<Handed> {
        self.session.take_handed()
    }

    /// Advances as far as possible without waiting for an answer or another request.
    ///
    /// # Errors
    /// The edge is broken.
    pub async fn advance<E: Edge>(&mut self, edge: &mut E, peer: &impl Peer) -> io::Result<Step> {
        if self.session.is_known() {
            dantok_supervise::fail_point("connection");
        }
        self.take_requests(edge, peer).await?;
        if self.retry_take(edge, peer).await? {
            return Ok(Step::Continue);
        }
        if self.take_answers(edge) && !self.end.closing {
            return Ok(Step::Continue); // The held request, or more that has arrived, can be carried out now.
        }
        if !self.end.closing && self.session.has_news() {
            if self.session.end_reason().is_some() {
                self.end.closing = true;
                self.held = None;
                return Ok(Step::Continue);
            }
            unless_gone(peer, self.session.pump(&mut edge.items(None))).await?;
        }
        if self.pending.is_empty()
            && self.taking.is_none()
            && let Some(refusal) = self.session.end_reason()
        {
            // After the answers to all earlier requests.
            edge.closing(refusal);
            edge.flush().await?;
            return Ok(Step::Done);
        }
        let more = edge.is_full();
        edge.flush().await?;
        if more {
            return Ok(Step::Continue);
        }
        let all_told = self.end.closing || self.end.ended && self.session.retry_at().is_none();
        let is_idle = self.pending.is_empty() && self.held.is_none() && self.taking.is_none();
        Ok(if is_idle && all_told { Step::Done } else { Step::Wait })
    }

    /// Waits until it can go on without new input and without being woken by rooms. Cancel-safe.
    pub async fn wait(&mut self) -> Woken {
        self.hello_deadline.take_if(|_| self.session.is_known());
        let taking = self.taking.as_ref().map(|taking| taking.1.look_at);
        let look_at = [self.session.retry_at(), taking].into_iter().flatten().min();
        let mut look_at = look_at.map(|at| Box::pin(sleep_until(at)));
        tokio::select! {
            biased;
            replies = next_answer(&mut self.pending) => Woken::Answered(replies),
            () = passed(&mut self.hello_deadline) => Woken::TooLate,
            () = passed(self.patience.pause()) => Woken::PauseOver,
            () = passed(&mut look_at) => Woken::Retry,
        }
    }

    /// Handles what [`wait`](Pipeline::wait) returned.
    pub fn resume(&mut self, woken: Woken, edge: &mut impl Edge) {
        match woken {
            Woken::Answered(replies) => self.answer(replies, edge),
            Woken::TooLate => {
                self.end.closing = true;
                let seconds = self.hub.settings.get().limits.hello_timeout.as_secs_f64();
                edge.closing(Refusal::new(ErrorCode::HelloFirst, format!("no HELLO within {seconds} s")));
            }
            Woken::PauseOver => self.patience.end_pause(),
            Woken::Retry => {}
        }
    }

    /// Applies settings that a SIGHUP has changed.
    fn follow_settings(&mut self, edge: &mut impl Edge) {
        let changes = self.hub.settings.changes();
        if self.changes == changes {
            return;
        }
        self.changes = changes;
        let settings = self.hub.settings.get();
        edge.set_body_max(settings.limits.body_max_bytes);
        if !self.session.is_known() {
            self.pace = Pace::new(&settings.limits).map(Arc::new);
        }
    }

    /// Carries out what has arrived, as far as possible now.
    async fn take_requests<E: Edge>(&mut self, edge: &mut E, peer: &impl Peer) -> io::Result<()> {
        while !self.end.closing && self.taking.is_none() && self.waiting < PIPELINE_MAX_REQUESTS {
            self.follow_settings(edge);
            let next = self.next_request(edge)?;
            let is_more = self.batch_bytes >= BATCH_MAX_BYTES;
            self.submit(peer).await?;
            match next {
                None if is_more => {}
                None => break,
                Some(next) if !self.pending.is_empty() => {
                    self.held = Some(next);
                    break;
                }
                Some(next) => {
                    // Boxed, because most connections are idle most of the time and would reserve memory for it.
                    Box::pin(self.finish(*next, edge, peer)).await?;
                    if edge.is_full() {
                        edge.flush().await?;
                    }
                }
            }
        }
        self.full = self.waiting >= PIPELINE_MAX_REQUESTS;
        Ok(())
    }

    /// Takes writes into the batch, up to its limits or to a request that is not a write, which it returns.
    fn next_request(&mut self, edge: &mut impl Edge) -> io::Result<Option<Box<Next>>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while self.waiting + self.batch.0.len() < PIPELINE_MAX_REQUESTS
            && self.batch_bytes < BATCH_MAX_BYTES
            && !self.patience.is_exhausted()
        {
            let Some(incoming) = edge.next()? else { break };
            if let Some(next) = self.start(incoming) {
                return Ok(Some(Box::new(next)));
            }
        }
        Ok(None)
    }

    /// Refuses a request that exceeds the rate limit. Every request that gets an answer counts.
    fn rate_limit(&mut self, incoming: Incoming) -> Incoming {
        let pace = match self.session.person() {
            Some(person) => person.pace(),
            None => self.pace.clone(),
        };
        let Some(pace) = pace else { return incoming };
        let body_bytes = match &incoming {
            Incoming::Request { command, .. } => command.body_bytes(),
            Incoming::Refused { .. } => 0,
            Incoming::Broken(_) | Incoming::Telnet(_) => return incoming,
        };
        match (pace.charge(body_bytes), incoming) {
            (Err(refusal), Incoming::Request { tag, .. } | Incoming::Refused { tag, .. }) => {
                // During shutdown nobody is slowed down any more.
                if !self.end.stopped {
                    self.patience.refused(&refusal, body_bytes);
                }
                Incoming::Refused { tag, refusal }
            }
            (_, incoming) => {
                self.patience.granted();
                incoming
            }
        }
    }

    /// Takes a write into the batch; returns anything else.
    fn start(&mut self, incoming: Incoming) -> Option<Next> {
        let (tag, command) = match self.rate_limit(incoming) {
            Incoming::Request { tag, command } => (tag, command),
            Incoming::Refused { tag, refusal } => return Some(Next::Refuse(tag, refusal)),
            Incoming::Telnet(bytes) => return Some(Next::Telnet(bytes)),
            Incoming::Broken(refusal) => return Some(Next::Close(refusal)),
        };
        match self.session.action(command) {
            Action::Write(write) => {
                self.batch_bytes += committer::bytes(&write);
                self.batch.0.push(tag);
                self.batch.1.push(write);
                None
            }
            Action::Run(run) => Some(Next::Run(tag, run)),
            Action::Local(local) => Some(Next::Local(tag, local)),
            Action::Refuse(refusal) => Some(Next::Refuse(tag, refusal)),
        }
    }

    /// Hands the batch to the committer.
    async fn submit(&mut self, peer: &impl Peer) -> io::Result<()> {
        let (tags, writes) = std::mem::take(&mut self.batch);
        // Only clients that have sent HELLO have writes.
        if !writes.is_empty()
            && let (Some(author), Some(person)) = (self.session.author(), self.session.person())
        {
            self.batch_bytes = 0;
            self.waiting += tags.len();
            // Boxed, because it is over soon and an idle connection would reserve memory for it.
            let submitting = Box::pin(self.hub.committer.submit(author, person.clone(), writes));
            let answered = unless_gone(peer, submitting).await?;
            self.pending.push_back((tags, answered));
        }
        Ok(())
    }

    /// Answers a request that is not a write, when everything before it has been answered.
    async fn finish<E: Edge>(&mut self, next: Next, edge: &mut E, peer: &impl Peer) -> io::Result<()> {
        match next {
            Next::Run(tag, run) => {
                let reply = unless_gone(peer, self.session.run(run, &mut edge.items(Some(&tag)))).await??;
                edge.reply(&tag, reply);
                self.pace.take_if(|_| self.session.is_known());
            }
            Next::Local(tag, local) => self.finish_local(tag, local, edge, peer),
            Next::Refuse(tag, refusal) => edge.reply(&tag, Reply::Error(refusal)),
            Next::Telnet(bytes) => edge.telnet(bytes),
            Next::Close(refusal) => {
                self.end.closing = true;
                edge.closing(refusal);
            }
        }
        Ok(())
    }

    fn finish_local(&mut self, tag: Tag, local: Local, edge: &mut impl Edge, peer: &impl Peer) {
        match local {
            Local::Quit => {
                self.end.closing = true;
                edge.reply(&tag, Reply::Bye);
            }
            Local::Format(commands::Format { json }) => {
                let reply = edge.set_format(json).map_or_else(Reply::Error, |()| Reply::Done);
                edge.reply(&tag, reply);
            }
            Local::Take(commands::Take { room, group, max, wait_ms }) => {
                let asked = self.hub.rooms.get(&room);
                self.start_take(tag, Take::new(room, group, max, wait_ms, asked), edge, peer);
            }
        }
    }

    /// Answers the oldest batch; without `replies` the committer has ended, which is the answer.
    fn answer(&mut self, replies: Option<Vec<Reply>>, edge: &mut impl Edge) {
        let Some((tags, _)) = self.pending.pop_front() else { return };
        self.waiting -= tags.len();
        let replies = replies.unwrap_or_else(|| tags.iter().map(|_| committer::ended()).collect());
        for (tag, reply) in tags.iter().zip(replies) {
            edge.reply(tag, reply);
        }
    }

    /// Writes the answers that are ready; true if something was waiting for them.
    fn take_answers(&mut self, edge: &mut impl Edge) -> bool {
        while let Some((_, answered)) = self.pending.front_mut() {
            match answered.try_recv() {
                Ok(replies) => self.answer(Some(replies), edge),
                Err(oneshot::error::TryRecvError::Closed) => self.answer(None, edge),
                Err(oneshot::error::TryRecvError::Empty) => break,
            }
        }
        let held_goes_on = self.held.is_some() && self.pending.is_empty();
        held_goes_on || (self.full && self.waiting < PIPELINE_MAX_REQUESTS)
    }
}

async fn next_answer(pending: &mut VecDeque<(Vec<Tag>, oneshot::Receiver<Vec<Reply>>)>) -> Option<Vec<Reply>> {
    match pending.front_mut() {
        Some((_, answered)) => answered.await.ok(),
        None => std::future::pending().await,
    }
}

async fn passed(deadline: &mut Option<Pin<Box<Sleep>>>) {
    match deadline {
        Some(deadline) => deadline.await,
        None => std::future::pending().await,
    }
}
