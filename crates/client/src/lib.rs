//! A client of the framed protocol that outlives its connections.
//!
//! A [`Client`] is one connection for many callers: calls are pipelined and answered in their order. When the connection
//! breaks it is made again, with growing pauses, and what was not answered is sent again in the same order. A message keeps
//! its id, so it is stored once however often it is sent. A refusal that is the daemon's trouble and not the request's
//! (`stopping`, and `storage` where something was to be written) counts as a broken connection.
//!
//! Where the daemon that comes back has rooms that were restored from a backup, what names a seq from before is not sent, and
//! its caller is told: see [`Error::Restored`]. Where the rooms were set back by other means, seqs that are past a room's last are
//! refused: see [`Error::SetBack`].
//!
//! ```no_run
//! # async fn example() -> Result<(), dantok_client::Error> {
//! use dantok_client::{Client, Options};
//!
//! let client = Client::connect(Options::new("127.0.0.1:7420", "alice")).await?;
//! client.join("lobby").await?;
//! let sent = client.send("lobby", "안녕").await?;
//! println!("on disk as {}", sent.seq);
//! # Ok(())
//! # }
//! ```
#![warn(clippy::disallowed_methods)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods
    )
)]

mod feed;
mod follow;
mod groups;
mod link;
mod manage;
pub mod outbox;
mod reading;
#[cfg(feature = "tls")]
mod tls;

use std::collections::HashMap;
use std::future::Future;
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use feed::{Feed, News};
pub use follow::Follow;
pub use groups::{Group, Pending};

use dantok_protocol::{Command, ErrorCode, Item, Keep, MemberInfo, Refusal, Reply, RoomInfo, Welcome, commands};

/// Requests that wait for the connection's task; past it callers wait.
const QUEUED: usize = 64;

/// The parts of an answer, and its end.
type Answer = (Vec<Item>, Reply);

/// Whom to talk to, and as whom.
#[derive(Clone)]
pub struct Options {
    /// The daemon's host and port.
    pub address: String,
    /// The client's name, with `/device` behind it if it has one.
    pub client: String,
    /// The client's secret, where the daemon has tokens.
    pub token: Option<String>,
    /// The epoch of what the caller remembers of an earlier client: [`Welcome::epoch`] from then. Where the rooms were restored
    /// from a backup since, [`connect`](Client::connect) is refused with [`ErrorCode::Epoch`]. None for who remembers no seqs.
    pub epoch: Option<String>,
    /// How long to keep trying while the daemon does not answer, the first connection included; none: for ever.
    pub reconnect: Option<Duration>,
    /// For an address where the daemon speaks TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
}

/// What TLS with a daemon takes. The files are read for each connection.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Who may sign the daemon's certificate: PEM.
    pub ca: PathBuf,
    /// The name that the certificate must be for; none: the address's host.
    pub server_name: Option<String>,
    /// The client's own certificate and its key, where the daemon asks for one: PEM.
    pub cert_and_key: Option<(PathBuf, PathBuf)>,
}

#[cfg(feature = "tls")]
impl Tls {
    /// Without a certificate of the client's own; the daemon's is for the address's host.
    pub fn new(ca: impl Into<PathBuf>) -> Self {
        Tls { ca: ca.into(), server_name: None, cert_and_key: None }
    }
}

impl Options {
    /// Without a token and without TLS; tries for ever.
    pub fn new(address: impl Into<String>, client: impl Into<String>) -> Self {
        Options {
            address: address.into(),
            client: client.into(),
            token: None,
            epoch: None,
            reconnect: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A token is not for logs.
        let mut shown = f.debug_struct("Options");
        shown
            .field("address", &self.address)
            .field("client", &self.client)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("epoch", &self.epoch)
            .field("reconnect", &self.reconnect);
        #[cfg(feature = "tls")]
        shown.field("tls", &self.tls);
        shown.finish()
    }
}

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The daemon refused the request; it did not happen.
    #[error("{0}")]
    Refused(Refusal),
    /// No answer for as long as the options allow. What was sent may or may not have been stored; the client is at its end.
    #[error("no answer from {address}: {source}")]
    Unreachable {
        /// The daemon's.
        address: String,
        /// What the last attempt met.
        source: Arc<std::io::Error>,
    },
    /// There is no TLS with the daemon: a file of the options can't be used, or one side does not trust the other, or does
    /// not speak TLS. This is not tried again; the client is at its end.
    #[cfg(feature = "tls")]
    #[error("no TLS with {address}: {why}")]
    Tls {
        /// The daemon's.
        address: String,
        /// What is wrong; it names the file, if it is one.
        why: String,
    },
    /// The rooms were restored from a backup, and the request, which names a seq, is of before that: it did not happen, or not
    /// where it counts. Forget all seqs, tell the client to [go on](Client::adopt) from there, and begin again from the cursor.
    #[error("the rooms were restored from a backup, and seqs from before may be other messages now")]
    Restored {
        /// The epoch that the rooms have now.
        epoch: Arc<str>,
    },
    /// The daemon refused the request, [`ErrorCode::SetBack`]: it names a seq past the room's last, and did not happen. The room was
    /// set back to an older state, as by an old copy of the daemon's files, under the same epoch. The client has forgotten what it
    /// knew of this room's seqs; forget yours, and begin again from the cursor.
    #[error("{0}")]
    SetBack(Refusal),
    /// The client has ended, for a reason that an earlier call was told.
    #[error("the client has ended")]
    Closed,
    /// An answer that does not fit the request: the peer is no dantok, or speaks another version.
    #[error("an answer that does not fit the request")]
    Unexpected,
}

/// A stored message's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its seq in the room.
    pub seq: u64,
    /// It had been stored before, under the same id; nothing was added.
    pub dup: bool,
}

/// Where a client stands in a room that it joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its cursor; 0 the first time.
    pub cursor: u64,
    /// The room's last seq.
    pub last: u64,
    /// The room's number, which no other has, or will have: not even one of the same name, once this is deleted. Like a seq it is
    /// [of an epoch](dantok_protocol::Welcome::epoch).
    pub number: u64,
    /// Whether the room was made by this.
    pub created: bool,
}

/// What is in force about the keeping of a room, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retained {
    /// How long its messages are kept, and how many bytes of them it may hold; `secs` is never 0.
    pub keep: Keep,
    /// Bytes of stored messages, with what each takes beside its body.
    pub stored_bytes: u64,
}

/// What a fetch, or a look into the history, handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Messages and gaps, in the room's order, without a hole.
    pub items: Vec<Item>,
    /// The last seq among them; where there are none, where it began.
    pub handed: u64,
    /// The oldest seq still stored.
    pub oldest: u64,
    /// The room's last seq: where `handed` is less, there is more to fetch.
    pub last: u64,
}

/// The answer to a queued message, to be awaited; see [`Client::queue`]. Dropping it does not take the message back.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Answer, Error>>);

impl Future for Receipt {
    type Output = Result<Sent, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| match answer.unwrap_or(Err(Error::Closed))?.1 {
            Reply::Sent { seq, dup } => Ok(Sent { seq, dup }),
            _ => Err(Error::Unexpected),
        })
    }
}

/// What seqs the client remembers, and its user.
#[derive(Debug)]
struct Memory {
    /// What they are of.
    epoch: Arc<str>,
    /// How far each room is read without a hole: what an [`ack`](Client::ack) without a seq acknowledges.
    handed: HashMap<String, u64>,
    /// The rooms' numbers, as JOIN has told them: another one of a name was read by nobody.
    numbers: HashMap<String, u64>,
}

/// A client: one connection at a time, for any number of concurrent calls.
///
/// When it is dropped, what was queued is still sent and answered while the runtime lives; await the answers to be sure.
#[derive(Debug)]
pub struct Client {
    options: Options,
    welcome: Arc<Welcome>,
    requests: mpsc::Sender<link::Request>,
    /// The same for all messages of this client and no other, so that counting makes ids.
    prefix: u64,
    sent: AtomicU64,
    memory: Arc<Mutex<Memory>>,
    /// The daemon's, as far as its task knows.
    current: link::Epoch,
}

impl Client {
    /// Connects and says HELLO.
    ///
    /// # Errors
    /// [`Error::Refused`] where the daemon does not take the client, or what it [remembers](Options::epoch);
    /// [`Error::Unreachable`] where there is no daemon within [`Options::reconnect`].
    pub async fn connect(mut options: Options) -> Result<Client, Error> {
        let unreachable = |source| Error::Unreachable { address: options.address.clone(), source: Arc::new(source) };
        let prefix = getrandom::u64().map_err(|error| unreachable(std::io::Error::other(error)))?;
        let mut dialler = link::Dialler::new(options.clone());
        let conn = dialler.dial(None, || true).await?;
        dialler.met();
        let welcome = conn.welcome.clone();
        let (requests, receiver) = mpsc::channel(QUEUED);
        let current = Arc::new(Mutex::new(welcome.epoch.clone()));
        let memory = Memory { epoch: welcome.epoch.clone(), handed: HashMap::new(), numbers: HashMap::new() };
        let memory = Arc::new(Mutex::new(memory));
        let link = link::Link::new(dialler, receiver, current.clone(), memory.clone());
        dantok_supervise::brief("the client's connection", link.run(conn));
        // It was said, and is good; from here on it is compared.
        options.epoch = None;
        Ok(Client { options, welcome, requests, prefix, sent: AtomicU64::new(0), memory, current })
    }

    /// What the daemon said to the first HELLO: its version and limits.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The epoch of the seqs that the client remembers, and takes: the first HELLO's, or what was [adopted](Client::adopt) since.
    pub fn epoch(&self) -> Arc<str> {
        self.memory(|memory| memory.epoch.clone())
    }

    /// Whether the rooms are known to have been restored from a backup since that epoch: memberships and rooms from after the
    /// backup are gone, and what names a seq is answered [`Error::Restored`].
    pub fn is_restored(&self) -> bool {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) != self.epoch()
    }

    /// Forgets all seqs, and takes those of this epoch from here on: what [`Error::Restored`] and [`News::Restored`] ask for. To be
    /// called when the caller has forgotten its own, and has none before it that it is still to be given: who reads by a [`Follow`]
    /// or a [`Feed`] goes by what that says. Until then each request that names a seq is answered `Restored`; others, messages that
    /// answer none among them, go on.
    pub fn adopt(&self, epoch: &str) {
        self.memory(|memory| {
            if *memory.epoch != *epoch {
                *memory = Memory { epoch: epoch.into(), handed: HashMap::new(), numbers: HashMap::new() };
            }
        });
    }

    async fn begin(&self, command: Command) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        self.begin_in(self.epoch(), command).await
    }

    /// Asks for something; what it names of seqs is of this epoch.
    async fn begin_in(
        &self,
        epoch: Arc<str>,
        command: Command,
    ) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        let (answer, receiver) = oneshot::channel();
        self.requests
            .send(link::Request { command, epoch, asked: Instant::now(), answer })
            .await
            .map_err(|_| Error::Closed)?;
        Ok(receiver)
    }

    async fn ask(&self, command: Command) -> Result<Answer, Error> {
        self.begin(command).await?.await.unwrap_or(Err(Error::Closed))
    }

    async fn ask_done(&self, command: Command) -> Result<(), Error> {
        match self.ask(command).await?.1 {
            Reply::Done => Ok(()),
            _ => Err(Error::Unexpected),
        }
    }

    fn memory<T>(&self, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far a room is read without a hole.
    fn handed(&self, room: &str) -> u64 {
        self.memory(|memory| memory.handed.get(room).copied().unwrap_or(0))
    }

    /// Notes that a room is read up to `to`, as was asked for in this epoch.
    fn note(&self, epoch: &Arc<str>, room: &str, to: u64) {
        self.memory(|memory| match memory.handed.get_mut(room) {
            // It was asked for before the rooms were restored.
            _ if memory.epoch != *epoch => {}
            Some(reached) => *reached = to.max(*reached),
            None => drop(memory.handed.insert(room.to_owned(), to)),
        });
    }

    /// Sets what the client is shown as.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn nick(&self, nick: &str) -> Result<(), Error> {
        self.ask_done(Command::Nick(commands::Nick { nick: nick.to_owned() })).await
    }

    /// Sends a message under an id of its own, and waits until it is on disk. Stored once, however often connections break.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn send(&self, room: &str, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue(room, body).await?.await
    }

    /// The same under an id that the caller remembers: after the caller's own restart a repetition adds nothing.
    ///
    /// # Errors
    /// `id-reused` for the same id with another body; otherwise as every call; see [`Error`].
    pub async fn send_with_id(&self, room: &str, id: &str, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, id.to_owned(), body.into(), None).await?.await
    }

    /// A message that answers the one with this seq, in the same room; sent as by [`send`](Client::send).
    ///
    /// # Errors
    /// [`Error::SetBack`] where there never was a message with this seq; otherwise as every call; see [`Error`].
    pub async fn reply(&self, room: &str, to: u64, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, self.next_id(), body.into(), Some(to)).await?.await
    }

    /// The same under an id that the caller remembers, as [`send_with_id`](Client::send_with_id).
    ///
    /// # Errors
    /// [`Error::SetBack`] where there never was a message with this seq; `id-reused` for the same id with another body or
    /// another seq; otherwise as every call; see [`Error`].
    pub async fn reply_with_id(&self, room: &str, id: &str, to: u64, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, id.to_owned(), body.into(), Some(to)).await?.await
    }

    /// Takes a message for sending; await the [`Receipt`] to know that it is on disk. Messages are stored in the order in
    /// which their calls of this returned, so awaiting it in a loop pipelines them. Waits while too much is unsent.
    ///
    /// # Errors
    /// `too-long` at once; [`Error::Closed`]. All else comes with the receipt.
    pub async fn queue(&self, room: &str, body: impl Into<Bytes>) -> Result<Receipt, Error> {
        self.queue_as(room, self.next_id(), body.into(), None).await
    }

    fn next_id(&self) -> String {
        let count = self.sent.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{count}", self.prefix)
    }

    async fn queue_as(&self, room: &str, id: String, body: Bytes, reply: Option<u64>) -> Result<Receipt, Error> {
        // The daemon would close the connection over a frame that is too long.
        if body.len() as u64 > self.welcome.max_body {
            let text = format!("a body of {} bytes; at most {} are taken", body.len(), self.welcome.max_body);
            return Err(Error::Refused(Refusal::new(ErrorCode::TooLong, text)));
        }
        Ok(Receipt(
            self.begin(Command::Send(commands::Send { room: room.to_owned(), id: Some(id), body, reply })).await?,
        ))
    }

    /// Takes a message's text back; who has read it learns of it by the message whose place this returns. `dup`: it was
    /// redacted before, be it by this call on a connection that broke.
    ///
    /// # Errors
    /// [`Error::SetBack`] where there never was such a message; `bad-argument` where there is none any longer, or one that has no
    /// text; `denied` where it is somebody
    /// else's; otherwise as every call; see [`Error`].
    pub async fn redact(&self, room: &str, seq: u64) -> Result<Sent, Error> {
        match self.ask(Command::Redact(commands::Redact { room: room.to_owned(), seq })).await?.1 {
            Reply::Sent { seq, dup } => Ok(Sent { seq, dup }),
            _ => Err(Error::Unexpected),
        }
    }

    /// Lets the others in a room know that something is being typed; to be said again every few seconds while it goes on.
    /// Said once at most: what a broken connection kept from the daemon is not told late, and that is no error.
    ///
    /// # Errors
    /// `no-room`, `not-joined`; otherwise as every call; see [`Error`].
    pub async fn typing(&self, room: &str) -> Result<(), Error> {
        self.ask_done(Command::Typing(commands::Typing { room: room.to_owned() })).await
    }

    /// The rooms.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        let (items, _) = self.ask(Command::Rooms).await?;
        let rooms = items.into_iter().map(|item| match item {
            Item::Room(room) => Ok(room),
            _ => Err(Error::Unexpected),
        });
        rooms.collect()
    }

    /// A room's members.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn who(&self, room: &str) -> Result<Vec<MemberInfo>, Error> {
        let (items, _) = self.ask(Command::Who(commands::Who { room: room.to_owned() })).await?;
        let members = items.into_iter().map(|item| match item {
            Item::Member(member) => Ok(member),
            _ => Err(Error::Unexpected),
        });
        members.collect()
    }

    /// The daemon's figures, by name.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn stats(&self) -> Result<Vec<(String, u64)>, Error> {
        match self.ask(Command::Stats).await?.1 {
            Reply::Stats(stats) => Ok(stats),
            _ => Err(Error::Unexpected),
        }
    }

    /// Whether the daemon answers.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn ping(&self) -> Result<(), Error> {
        match self.ask(Command::Ping).await?.1 {
            Reply::Pong => Ok(()),
            _ => Err(Error::Unexpected),
        }
    }
}
