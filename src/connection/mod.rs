//! A socket: which framing, its buffers, its deadlines. Hides the framing from the session.
//!
//! One task a connection. Writes are handed to the committer as they come, those that came together at once; any
//! other command waits until those before it are answered. So the answers come in the order of the requests, as if each had
//! been carried out before the next was read. A peer that does not read its answers is not read from either.

mod output;
mod patience;
mod peer;
#[cfg(feature = "tls")]
mod secure;
mod taking;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::codec::Decoder;

use crate::committer;
use crate::figures::Figures;
use crate::hub::Hub;
use crate::limits::{BATCH_MAX_BYTES, PIPELINE_MAX_REQUESTS};
use crate::person::Pace;
use crate::rooms::Handed;
use crate::session::{Action, Session, Take};
use dantok_net::{ReadHalf, WriteHalf};
use dantok_protocol::frame::RequestDecoder;
use dantok_protocol::line::LineDecoder;
use dantok_protocol::units;
use dantok_protocol::{Command, ErrorCode, Framing, Incoming, Refusal, Reply, Tag};
use dantok_supervise::Caught;
use output::{Items, Output};
use patience::Patience;

/// What a read takes at the most.
const READ_BYTES: usize = 64 * 1024;
/// Bytes that had arrived when the daemon was told to stop and that are still carried out.
const LAST_READ_BYTES: usize = 1024 * 1024;
/// How long a peer that is turned away has for its first byte, and before that for its TLS handshake.
const REFUSE: Duration = Duration::from_secs(1);
/// How long, and for how many bytes, a closed peer is listened to, so that it gets to read why it was closed.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

thread_local! {
    /// Where a read goes first: so a connection holds what came and no more, and one that waits holds nothing.
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Appends what comes next; 0 at the end. Cancel-safe.
async fn read(socket: &mut ReadHalf, input: &mut BytesMut) -> io::Result<usize> {
    std::future::poll_fn(|context| {
        PIECE.with_borrow_mut(|piece| {
            let mut piece = ReadBuf::new(piece);
            let read = std::task::ready!(Pin::new(&mut *socket).poll_read(context, &mut piece));
            input.extend_from_slice(piece.filled());
            std::task::Poll::Ready(read.map(|()| piece.filled().len()))
        })
    })
    .await
}

/// What a connection speaks below its framing, as the address says that it came in on.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// Nothing: the first byte is the framing's.
    Plain,
    /// TLS.
    #[cfg(feature = "tls")]
    Tls(Arc<crate::tls::Server>),
}

/// What the first byte says.
fn framing(first: u8) -> Result<Framing, Refusal> {
    match first {
        0x00 => Ok(Framing::Frames),
        letter if letter.is_ascii_alphabetic() => Ok(Framing::Lines),
        // What a person may begin with by mistake; it is told what is wrong once the line is there. The last are letters of other
        // alphabets.
        b'@' | b'\r' | b'\n' | b' ' | b'\t' | 0x08 | 0x1b | 0x7f | 0xff | 0xc2..=0xf4 => Ok(Framing::Lines),
        b'/' | b'\\' | b'?' | b'!' | b'.' | b':' | b'#' | b'\'' | b'"' | b'`' | b'(' | b'-' => Ok(Framing::Lines),
        0x16 => Err(Refusal::new(ErrorCode::BadCommand, "this port does not speak TLS; connect without it")),
        _ => Err(Refusal::new(ErrorCode::BadCommand, "this is dantok; begin with HELLO <client>, or a frame")),
    }
}

enum Requests {
    Lines(Box<LineDecoder>),
    Frames(RequestDecoder),
}

impl Requests {
    fn next(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Incoming>> {
        match self {
            Requests::Lines(decoder) => decoder.decode(bytes),
            Requests::Frames(decoder) => decoder.decode(bytes),
        }
    }

    /// Whether what comes next has a key that is to end what goes on.
    fn is_interrupted(&self, bytes: &[u8]) -> bool {
        match self {
            Requests::Lines(decoder) => decoder.is_interrupted(bytes),
            Requests::Frames(_) => false,
        }
    }
}

struct Connection {
    socket: ReadHalf,
    input: BytesMut,
    requests: Requests,
    output: Output,
    hub: Arc<Hub>,
    session: Session,
    /// The settings' changes by which this goes.
    changes: u64,
    /// What holds until HELLO has said whose pace it is.
    pace: Option<Arc<Pace>>,
    patience: Patience,
    /// Writes of one client that go to the committer together, and their tags.
    batch: (Vec<Tag>, Vec<Command>),
    batch_bytes: usize,
    /// Batches with the committer, oldest first.
    pending: VecDeque<(Vec<Tag>, oneshot::Receiver<Vec<Reply>>)>,
    /// Requests in them.
    waiting: usize,
    /// What waits until they are answered.
    held: Option<Box<Incoming>>,
    /// A TAKE that waits for something to take. What comes behind it waits as well; what is told unasked goes on.
    taking: Option<Box<(Tag, Take)>>,
    /// There were as many as may be, so that the input may hold more.
    full: bool,
    /// No more bytes come, or none are taken any more.
    ended: bool,
    /// The daemon stops; the peer may not be done.
    stopped: bool,
    /// Nothing more is carried out.
    closing: bool,
}

/// Serves a connection until its peer is done, it breaks, or `stop` says so.
///
/// # Errors
/// What the socket says; of no concern to anybody but a debugging log.
pub async fn serve(stream: TcpStream, speaks: Speaks, hub: Arc<Hub>, stop: watch::Receiver<bool>) -> io::Result<()> {
    let changes = hub.settings.changes();
    let settings = hub.settings.get();
    let deadline = Instant::from_std(units::after(std::time::Instant::now(), settings.limits.hello_timeout));
    let begun = begin(stream, speaks, deadline, stop.clone(), &hub.figures);
    let Some((framing, input, socket, write)) = begun.await? else { return Ok(()) };
    hub.figures.received_bytes.add(input.len() as u64);
    let body_max = settings.limits.body_max_bytes;
    let framing = match framing {
        Ok(framing) => framing,
        Err(refusal) => return turn_away(socket, write, Framing::Lines, refusal, hub.figures.clone()).await,
    };
    let mut connection = Connection {
        socket,
        input,
        requests: match framing {
            Framing::Lines | Framing::Json => Requests::Lines(Box::new(LineDecoder::new(body_max))),
            Framing::Frames => Requests::Frames(RequestDecoder::new(body_max)),
        },
        output: Output::new(write, framing, hub.figures.clone()),
        session: Session::new(hub.clone()),
        changes,
        pace: Pace::new(&settings.limits).map(Arc::new),
        patience: Patience::default(),
        hub,
        batch: Default::default(),
        batch_bytes: 0,
        pending: VecDeque::new(),
        waiting: 0,
        held: None,
        taking: None,
        full: false,
        ended: false,
        stopped: false,
        closing: false,
    };
    let caught = {
        let run = std::pin::pin!(connection.run(deadline, stop));
        Caught(run).await
    };
    let (served, has_died) = match caught {
        Ok(served) => (served, false),
        Err(panic) => {
            tracing::error!("a connection died: {}; this is a bug", dantok_supervise::said(&*panic));
            let text =
                "the daemon has made a mistake, which its log tells; what was not answered may or may not be done";
            connection.output.closing(Refusal::new(ErrorCode::Storage, text));
            (connection.output.flush().await, true)
        }
    };
    let Connection { mut socket, mut output, mut session, ended, stopped, .. } = connection;
    let handed = session.take_handed();
    // Whoever asks who is there is told at once.
    drop(session);
    let closed = match served {
        Ok(()) if ended && !stopped && !has_died => output.socket.shutdown().await,
        Ok(()) => linger(&mut socket, &mut output.socket).await,
        Err(error) => Err(error),
    };
    peer::see_arrive(&socket, handed, closed.is_err() || has_died).await;
    closed
}

type Begun = (Result<Framing, Refusal>, BytesMut, ReadHalf, WriteHalf);

/// Waits for the first byte; none where it does not come.
async fn begin(
    stream: TcpStream,
    speaks: Speaks,
    deadline: Instant,
    mut stop: watch::Receiver<bool>,
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "nothing is refused here"))] figures: &Figures,
) -> io::Result<Option<Begun>> {
    match speaks {
        Speaks::Plain => {}
        // Boxed, as a handshake is large and soon over.
        #[cfg(feature = "tls")]
        Speaks::Tls(tls) => return Box::pin(secure::begin(stream, tls, deadline, stop, figures)).await,
    }
    let mut first = [0];
    let mut input = BytesMut::new();
    let found = tokio::select! {
        biased;
        peeked = stream.peek(&mut first) => peeked?,
        () = sleep_until(deadline) => 0,
        _ = stop.wait_for(|stop| *stop) => {
            let found = dantok_net::read_kernel(&stream, &mut first).unwrap_or(0);
            input.extend_from_slice(first.get(..found).unwrap_or_default());
            found
        }
    };
    let (socket, write) = dantok_net::plain(stream);
    let [first] = first;
    Ok((found > 0).then(|| (framing(first), input, socket, write)))
}

/// Turns away a connection for which there is no place, in its own framing.
///
/// # Errors
/// What the socket says.
pub async fn refuse(stream: TcpStream, speaks: Speaks, refusal: Refusal, figures: Arc<Figures>) -> io::Result<()> {
    let (first, socket, write) = match speaks {
        Speaks::Plain => {
            let mut first = [b'\n'];
            // The first byte tells the framing; a peer that waits for us to begin is a person.
            let _ = timeout(REFUSE, stream.peek(&mut first)).await;
            let [first] = first;
            let (socket, write) = dantok_net::plain(stream);
            (first, socket, write)
        }
        #[cfg(feature = "tls")]
        Speaks::Tls(tls) => match Box::pin(secure::first(stream, &tls, &figures)).await? {
            Some(begun) => begun,
            None => return Ok(()),
        },
    };
    turn_away(socket, write, framing(first).unwrap_or(Framing::Lines), refusal, figures).await
}

/// Tells a peer why there is nothing for it here.
async fn turn_away(
    mut socket: ReadHalf,
    write: WriteHalf,
    framing: Framing,
    refusal: Refusal,
    figures: Arc<Figures>,
) -> io::Result<()> {
    let mut output = Output::new(write, framing, figures);
    output.closing(refusal);
    output.flush().await?;
    linger(&mut socket, &mut output.socket).await
}

/// Closes such that the peer can still read what was written: a close with unread bytes would throw it away.
async fn linger(socket: &mut ReadHalf, write: &mut WriteHalf) -> io::Result<()> {
    write.shutdown().await?;
    let mut sink = vec![0; 4096];
    let drain = async {
        let mut bytes = 0;
        while bytes < LINGER_BYTES {
            match socket.read(&mut sink).await {
                Ok(read) if read > 0 => bytes += read,
                _ => return,
            }
        }
    };
    let _ = timeout(LINGER, drain).await;
    Ok(())
}

impl Connection {
    async fn run(&mut self, deadline: Instant, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let waker = self.session.waker();
        // Made once: what waits for them need not be told again and again.
        let (changed, stopping) = (waker.changed(), stop.wait_for(|stop| *stop));
        tokio::pin!(changed, stopping);
        // Only until HELLO.
        let mut too_late = Some(Box::pin(sleep_until(deadline)));
        loop {
            if self.session.is_known() {
                dantok_supervise::fail_point("connection");
            }
            self.take_requests().await?;
            if self.go_on_taking().await? {
                continue;
            }
            if self.take_answers() && !self.closing {
                continue; // What was held, or is in the input yet, may go on now.
            }
            if !self.closing && self.session.has_news() {
                if self.session.over().is_some() {
                    self.closing = true;
                    self.held = None;
                    continue;
                }
                let mut out = Items::new(&mut self.output, None, &self.hub.pushed);
                peer::unless_gone(&self.socket, self.session.pump(&mut out)).await?;
            }
            if self.pending.is_empty()
                && self.taking.is_none()
                && let Some(refusal) = self.session.over()
            {
                // Behind the answers to what was asked before.
                self.output.closing(refusal);
                return self.output.flush().await;
            }
            let more = self.output.is_full();
            self.output.flush().await?;
            if more {
                continue;
            }
            let rests_until = self.session.rests_until();
            let all_told = self.closing || self.ended && rests_until.is_none();
            if self.pending.is_empty() && self.held.is_none() && self.taking.is_none() && all_told {
                return Ok(());
            }
            self.output.shrink();
            too_late = too_late.filter(|_| !self.session.is_known());
            let can_read = !(self.ended || self.closing || self.held.is_some() || self.patience.is_over())
                && self.waiting < PIPELINE_MAX_REQUESTS
                && (self.taking.is_none() || self.input.len() < READ_BYTES);
            let look_at =
                [rests_until, self.taking.as_ref().map(|taking| taking.1.look_at)].into_iter().flatten().min();
            let mut look_at = look_at.map(|at| Box::pin(sleep_until(at)));
            tokio::select! {
                biased;
                replies = next_answer(&mut self.pending) => self.answer(replies),
                read = peer::read_or_watch(&mut self.socket, &mut self.input, can_read) => {
                    self.note_read(read?);
                }
                () = &mut changed => changed.set(waker.changed()),
                () = passed(&mut too_late) => self.too_late(),
                () = passed(self.patience.pause()) => self.patience.restore(),
                () = passed(&mut look_at) => {}
                _ = &mut stopping, if !self.stopped => self.last_read(),
            }
            if self.input.is_empty() && self.input.capacity() > 0 {
                // An idle connection keeps no buffer.
                self.input = BytesMut::new();
            }
        }
    }

    /// Goes by what a SIGHUP has changed meanwhile.
    fn follow_settings(&mut self) {
        let changes = self.hub.settings.changes();
        if self.changes == changes {
            return;
        }
        self.changes = changes;
        let settings = self.hub.settings.get();
        let body_max = settings.limits.body_max_bytes;
        match &mut self.requests {
            Requests::Lines(decoder) => decoder.set_body_max(body_max),
            Requests::Frames(decoder) => decoder.set_body_max(body_max),
        }
        if !self.session.is_known() {
            self.pace = Pace::new(&settings.limits).map(Arc::new);
        }
    }

    fn note_read(&mut self, read: usize) {
        self.hub.figures.received_bytes.add(read as u64);
        self.ended = read == 0;
        if read > 0 && self.session.is_handing() && self.socket.has_arrived() {
            // It has what it was given, and goes on.
            self.session.take_handed().into_iter().for_each(Handed::arrived);
        }
    }

    /// Carries out what the input holds, as far as it can go on now.
    async fn take_requests(&mut self) -> io::Result<()> {
        while !self.closing && self.taking.is_none() && self.waiting < PIPELINE_MAX_REQUESTS {
            self.follow_settings();
            let next = self.next_request()?;
            let is_more = self.batch_bytes >= BATCH_MAX_BYTES;
            self.submit().await?;
            match next {
                None if is_more => {}
                None => break,
                Some(next) if !self.pending.is_empty() => {
                    self.held = Some(next);
                    break;
                }
                Some(next) => {
                    // Boxed, as most connections wait most of the time, and would hold room for it.
                    Box::pin(self.finish(*next)).await?;
                    if self.output.is_full() {
                        self.output.flush().await?;
                    }
                }
            }
        }
        self.full = self.waiting >= PIPELINE_MAX_REQUESTS;
        Ok(())
    }

    /// Takes writes into the batch, as many as may be, up to what is none.
    fn next_request(&mut self) -> io::Result<Option<Box<Incoming>>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while self.waiting + self.batch.0.len() < PIPELINE_MAX_REQUESTS
            && self.batch_bytes < BATCH_MAX_BYTES
            && !self.patience.is_over()
        {
            let Some(incoming) = self.requests.next(&mut self.input)? else { break };
            if let Some(incoming) = self.start(incoming) {
                return Ok(Some(Box::new(incoming)));
            }
        }
        Ok(None)
    }

    /// Refuses what comes too soon; whatever gets an answer counts.
    fn paced(&mut self, incoming: Incoming) -> Incoming {
        let pace = match self.session.person() {
            Some(person) => person.pace(),
            None => self.pace.clone(),
        };
        let Some(pace) = pace else { return incoming };
        let body_bytes = match &incoming {
            Incoming::Request { command: Command::Send { body, .. }, .. } => body.len(),
            Incoming::Request { .. } | Incoming::Refused { .. } => 0,
            Incoming::Broken(_) | Incoming::Telnet(_) => return incoming,
        };
        match (pace.take(body_bytes), incoming) {
            (Err(refusal), Incoming::Request { tag, .. } | Incoming::Refused { tag, .. }) => {
                // At the end nobody is to be slowed down any more.
                if !self.stopped {
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
    fn start(&mut self, incoming: Incoming) -> Option<Incoming> {
        let incoming = self.paced(incoming);
        let Incoming::Request { tag, command } = incoming else { return Some(incoming) };
        match self.session.action(command) {
            Action::Write(write) => {
                self.batch_bytes += committer::bytes(&write);
                self.batch.0.push(tag);
                self.batch.1.push(write);
                None
            }
            Action::Run(command) => Some(Incoming::Request { tag, command }),
            Action::Refuse(refusal) => Some(Incoming::Refused { tag, refusal }),
        }
    }

    /// Hands the batch to the committer.
    async fn submit(&mut self) -> io::Result<()> {
        let (tags, writes) = std::mem::take(&mut self.batch);
        // Nobody but a known client has writes.
        if !writes.is_empty()
            && let (Some(author), Some(person)) = (self.session.author(), self.session.person())
        {
            self.batch_bytes = 0;
            self.waiting += tags.len();
            // Boxed, as it is over soon and an idle connection would hold room for it.
            let submitting = Box::pin(self.hub.committer.submit(author, person.clone(), writes));
            let answered = peer::unless_gone(&self.socket, submitting).await?;
            self.pending.push_back((tags, answered));
        }
        Ok(())
    }

    /// Answers what is no write, with nothing before it unanswered.
    async fn finish(&mut self, incoming: Incoming) -> io::Result<()> {
        match incoming {
            Incoming::Request { tag, command } => {
                self.closing = command == Command::Quit;
                if let Command::Format { json } = command
                    && let Err(refusal) = self.output.set_format(json)
                {
                    self.output.reply(&tag, Reply::Error(refusal));
                    return Ok(());
                }
                if let Command::Take { room, group, max, wait_ms } = command {
                    let asked = self.hub.rooms.get(&room);
                    self.begin_taking(tag, Take::begin(room, group, max, wait_ms, asked));
                    return Ok(());
                }
                let mut out = Items::new(&mut self.output, Some(&tag), &self.hub.pushed);
                let reply = peer::unless_gone(&self.socket, self.session.run(command, &mut out)).await??;
                self.output.reply(&tag, reply);
                self.pace.take_if(|_| self.session.is_known());
            }
            Incoming::Refused { tag, refusal } => self.output.reply(&tag, Reply::Error(refusal)),
            Incoming::Telnet(bytes) => self.output.telnet(bytes),
            Incoming::Broken(refusal) => {
                self.closing = true;
                self.output.closing(refusal);
            }
        }
        Ok(())
    }

    /// Answers the oldest batch; without `replies`, which says that the committer has ended, too.
    fn answer(&mut self, replies: Option<Vec<Reply>>) {
        let Some((tags, _)) = self.pending.pop_front() else { return };
        self.waiting -= tags.len();
        let replies = replies.unwrap_or_else(|| tags.iter().map(|_| committer::ended()).collect());
        for (tag, reply) in tags.iter().zip(replies) {
            self.output.reply(tag, reply);
        }
    }

    /// Writes the answers that are there; true where something waits for just that.
    fn take_answers(&mut self) -> bool {
        while let Some((_, answered)) = self.pending.front_mut() {
            match answered.try_recv() {
                Ok(replies) => self.answer(Some(replies)),
                Err(oneshot::error::TryRecvError::Closed) => self.answer(None),
                Err(oneshot::error::TryRecvError::Empty) => break,
            }
        }
        let held_goes_on = self.held.is_some() && self.pending.is_empty();
        held_goes_on || (self.full && self.waiting < PIPELINE_MAX_REQUESTS)
    }

    fn too_late(&mut self) {
        self.closing = true;
        let seconds = self.hub.settings.get().limits.hello_timeout.as_secs_f64();
        self.output.closing(Refusal::new(ErrorCode::HelloFirst, format!("no HELLO within {seconds} s")));
    }

    /// The daemon stops: what has arrived is still carried out, and no more.
    fn last_read(&mut self) {
        let mut piece = vec![0; READ_BYTES];
        for _ in 0..if self.ended { 0 } else { LAST_READ_BYTES / READ_BYTES } {
            let read = self.socket.read_now(&mut piece);
            if read == 0 {
                break;
            }
            self.hub.figures.received_bytes.add(read as u64);
            self.input.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
        self.patience.restore();
        self.ended = true;
        self.stopped = true;
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
