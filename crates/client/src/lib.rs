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
mod options;
pub mod outbox;
mod reading;
mod sending;
#[cfg(feature = "tls")]
mod tls;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use feed::{Feed, News};
pub use follow::Follow;
pub use groups::{Group, Pending};
pub use options::Options;
#[cfg(feature = "tls")]
pub use options::Tls;
pub use sending::{Receipt, Sent};

use dantok_protocol::{Command, Item, Keep, MemberInfo, Refusal, Reply, RoomInfo, Welcome, commands};

/// Requests that wait for the connection's task; past it callers wait.
const QUEUED: usize = 64;

/// The parts of an answer, and its end.
type Answer = (Vec<Item>, Reply);

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
    /// The daemon refused the request, [`ErrorCode::SetBack`](dantok_protocol::ErrorCode::SetBack): it names a seq past the room's last, and did not happen. The room was
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
