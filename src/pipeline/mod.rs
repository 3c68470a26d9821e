//! Between a session and an edge: requests in, answers and pushes out, in order and bounded. It knows no socket.
//!
//! Writes are handed to the committer as they come, those that came together at once; any other command waits until those before it
//! are answered. So answers come in the order of the requests, as if each had been carried out before the next was read.
//!
//! An edge reads bytes as long as the pipeline [wants](Pipeline::wants) them, has it [advance](Pipeline::advance), and
//! [waits](Pipeline::wait) when there is nothing to do but wait.

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

/// What a pipeline stands on: where requests come from, and where answers go.
pub trait Edge: Send {
    /// Where parts of answers and pushes go.
    type Items<'a>: Out
    where
        Self: 'a;

    /// The next request that has arrived.
    ///
    /// # Errors
    /// The edge is broken.
    fn next(&mut self) -> io::Result<Option<Incoming>>;

    /// Whether what has arrived contains a key that ends a command which waits.
    fn is_interrupted(&self) -> bool;

    /// Takes longer bodies, or only shorter ones, from the next request on.
    fn set_body_max(&mut self, bytes: usize);

    /// Goes on in JSON, or in text.
    ///
    /// # Errors
    /// It has one format only.
    fn set_format(&mut self, json: bool) -> Result<(), Refusal>;

    /// Puts an answer.
    fn reply(&mut self, tag: &Tag, reply: Reply);

    /// Puts what a telnet client's negotiation is answered with.
    fn telnet(&mut self, answer: [u8; 3]);

    /// Puts why the connection is closed.
    fn closing(&mut self, refusal: Refusal);

    /// Where the parts of the answer to a request go or, without a tag, pushes.
    fn items<'a>(&'a mut self, tag: Option<&'a Tag>) -> Self::Items<'a>;

    /// Whether enough waits to be written that it should be, before there is more.
    fn is_full(&self) -> bool;

    /// Writes what waits.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Whether somebody is still there, while what was asked takes its time.
pub trait Peer: Sync {
    /// Ends when nothing that is answered can arrive any more.
    fn gone(&self) -> impl Future<Output = io::Error> + Send;

    /// Whether it sends nothing any more, even if what it sent is not read yet.
    fn has_ended(&self) -> bool;

    /// What it is handed is kept from others from now on: if it goes, that is to be noticed soon.
    fn watch_closely(&self);
}

/// Does something that may take its time, unless the peer goes meanwhile.
async fn unless_gone<T>(peer: &impl Peer, what: impl Future<Output = T>) -> io::Result<T> {
    tokio::select! {
        biased;
        done = what => Ok(done),
        error = peer.gone() => Err(error),
    }
}

/// What follows after a pipeline has advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It can go on at once.
    Again,
    /// It has to wait for something.
    Wait,
    /// It is done.
    Over,
}

/// Why a pipeline that waited can go on; for [`Pipeline::resume`].
#[derive(Debug)]
pub enum Woken {
    /// The oldest batch is answered; none: the committer has ended.
    Answered(Option<Vec<Reply>>),
    /// There was no HELLO in time.
    TooLate,
    /// Requests are taken again after a pause.
    Rested,
    /// It is time to look again.
    Look,
}

/// See the module.
pub struct Pipeline {
    hub: Arc<Hub>,
    session: Session,
    /// The changes of the settings that are in effect here.
    changes: u64,
    /// Until HELLO says whose pace it is.
    pace: Option<Arc<Pace>>,
    patience: Patience,
    /// Until HELLO.
    too_late: Option<Pin<Box<Sleep>>>,
    /// Writes of one client that go to the committer together, and their tags.
    batch: (Vec<Tag>, Vec<Write>),
    batch_bytes: usize,
    /// Batches with the committer, oldest first.
    pending: VecDeque<(Vec<Tag>, oneshot::Receiver<Vec<Reply>>)>,
    /// Requests in them.
    waiting: usize,
    /// What waits until they are answered.
    held: Option<Box<Next>>,
    /// A TAKE that waits for messages. What comes behind it waits as well; pushes go on.
    taking: Option<Box<(Tag, Take)>>,
    /// There were as many requests as may be, so more may have arrived.
    full: bool,
    end: End,
}

/// What is carried out when everything before it is answered.
#[derive(Debug)]
enum Next {
    /// By the session.
    Run(Tag, Run),
    /// Here.
    Local(Tag, Local),
    /// Not at all.
    Refuse(Tag, Refusal),
    /// What telnet is answered with.
    Telnet([u8; 3]),
    /// The stream can't be understood any more.
    Close(Refusal),
}

/// How far a pipeline is with its end.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// No more requests arrive.
    ended: bool,
    /// The daemon stops; the peer may not be done.
    stopped: bool,
    /// Nothing more is carried out.
    closing: bool,
}

impl Pipeline {
    /// Of a new session, which has to say HELLO before the deadline.
    pub fn new(hub: Arc<Hub>, deadline: Instant) -> Pipeline {
        let changes = hub.settings.changes();
        let pace = Pace::new(&hub.settings.get().limits).map(Arc::new);
        Pipeline {
            session: Session::new(hub.clone()),
            hub,
            changes,
            pace,
            patience: Patience::default(),
            too_late: Some(Box::pin(sleep_until(deadline))),
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

    /// What wakes it when rooms have something for it: then it is to [advance](Pipeline::advance).
    pub fn waker(&self) -> Arc<Waker> {
        self.session.waker()
    }

    /// Whether more is to be read, with so many bytes not decoded yet.
    pub fn wants(&self, undecoded: usize) -> bool {
        !(self.end.ended || self.end.closing || self.held.is_some() || self.patience.is_over())
            && self.waiting < PIPELINE_MAX_REQUESTS
            && (self.taking.is_none() || undecoded < TAKING_INPUT_MAX_BYTES)
    }

    /// Nothing more arrives.
    pub fn end(&mut self) {
        self.end.ended = true;
    }

    /// The daemon stops: what has arrived is still carried out, and no more.
    pub fn stop(&mut self) {
        self.patience.restore();
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

    /// Whether it is not known yet if what a TAKE handed over has arrived.
    pub fn is_handing(&self) -> bool {
        self.session.is_handing()
    }

    /// What TAKE has handed over and may not have arrived.
    pub fn take_handed(&mut self) -> Vec<Handed> {
        self.session.take_handed()
    }

    /// Goes on as far as it can without waiting for an answer or another request.
    ///
    /// # Errors
    /// The edge is broken.
    pub async fn advance<E: Edge>(&mut self, edge: &mut E, peer: &impl Peer) -> io::Result<Step> {
        if self.session.is_known() {
            dantok_supervise::fail_point("connection");
        }
        self.take_requests(edge, peer).await?;
        if self.go_on_taking(edge, peer).await? {
            return Ok(Step::Again);
        }
        if self.take_answers(edge) && !self.end.closing {
            return Ok(Step::Again); // What was held, or has arrived, may go on now.
        }
        if !self.end.closing && self.session.has_news() {
            if self.session.over().is_some() {
                self.end.closing = true;
                self.held = None;
                return Ok(Step::Again);
            }
            unless_gone(peer, self.session.pump(&mut edge.items(None))).await?;
        }
        if self.pending.is_empty()
            && self.taking.is_none()
            && let Some(refusal) = self.session.over()
        {
            // Behind the answers to what was asked before.
            edge.closing(refusal);
            edge.flush().await?;
            return Ok(Step::Over);
        }
        let more = edge.is_full();
        edge.flush().await?;
        if more {
            return Ok(Step::Again);
        }
        let all_told = self.end.closing || self.end.ended && self.session.rests_until().is_none();
        let is_idle = self.pending.is_empty() && self.held.is_none() && self.taking.is_none();
        Ok(if is_idle && all_told { Step::Over } else { Step::Wait })
    }

    /// Waits until it can go on for a reason of its own. Cancel-safe.
    pub async fn wait(&mut self) -> Woken {
        self.too_late.take_if(|_| self.session.is_known());
        let taking = self.taking.as_ref().map(|taking| taking.1.look_at);
        let look_at = [self.session.rests_until(), taking].into_iter().flatten().min();
        let mut look_at = look_at.map(|at| Box::pin(sleep_until(at)));
        tokio::select! {
            biased;
            replies = next_answer(&mut self.pending) => Woken::Answered(replies),
            () = passed(&mut self.too_late) => Woken::TooLate,
            () = passed(self.patience.pause()) => Woken::Rested,
            () = passed(&mut look_at) => Woken::Look,
        }
    }

    /// Takes in what it has [waited](Pipeline::wait) for.
    pub fn resume(&mut self, woken: Woken, edge: &mut impl Edge) {
        match woken {
            Woken::Answered(replies) => self.answer(replies, edge),
            Woken::TooLate => {
                self.end.closing = true;
                let seconds = self.hub.settings.get().limits.hello_timeout.as_secs_f64();
                edge.closing(Refusal::new(ErrorCode::HelloFirst, format!("no HELLO within {seconds} s")));
            }
            Woken::Rested => self.patience.restore(),
            Woken::Look => {}
        }
    }

    /// Puts into effect what a SIGHUP has changed meanwhile.
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

    /// Carries out what has arrived, as far as it can go on now.
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
                    // Boxed, as most connections wait most of the time, and would hold room for it.
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

    /// Takes writes into the batch, as many as may be, up to what is none.
    fn next_request(&mut self, edge: &mut impl Edge) -> io::Result<Option<Box<Next>>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while self.waiting + self.batch.0.len() < PIPELINE_MAX_REQUESTS
            && self.batch_bytes < BATCH_MAX_BYTES
            && !self.patience.is_over()
        {
            let Some(incoming) = edge.next()? else { break };
            if let Some(next) = self.start(incoming) {
                return Ok(Some(Box::new(next)));
            }
        }
        Ok(None)
    }

    /// Refuses what exceeds the rate limit; whatever gets an answer counts.
    fn paced(&mut self, incoming: Incoming) -> Incoming {
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
                // At the end nobody is to be slowed down any more.
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

    /// Takes a write into the batch; gives back anything else.
    fn start(&mut self, incoming: Incoming) -> Option<Next> {
        let (tag, command) = match self.paced(incoming) {
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
        // Nobody but a known client has writes.
        if !writes.is_empty()
            && let (Some(author), Some(person)) = (self.session.author(), self.session.person())
        {
            self.batch_bytes = 0;
            self.waiting += tags.len();
            // Boxed, as it is over soon and an idle connection would hold room for it.
            let submitting = Box::pin(self.hub.committer.submit(author, person.clone(), writes));
            let answered = unless_gone(peer, submitting).await?;
            self.pending.push_back((tags, answered));
        }
        Ok(())
    }

    /// Answers what is no write, with nothing before it unanswered.
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
                self.begin_taking(tag, Take::begin(room, group, max, wait_ms, asked), edge, peer);
            }
        }
    }

    /// Answers the oldest batch; without `replies`, which says that the committer has ended, too.
    fn answer(&mut self, replies: Option<Vec<Reply>>, edge: &mut impl Edge) {
        let Some((tags, _)) = self.pending.pop_front() else { return };
        self.waiting -= tags.len();
        let replies = replies.unwrap_or_else(|| tags.iter().map(|_| committer::ended()).collect());
        for (tag, reply) in tags.iter().zip(replies) {
            edge.reply(tag, reply);
        }
    }

    /// Writes the answers that are there; true where something waits for just that.
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
