//! A client for the framed protocol that survives broken connections.
//!
//! A [`Client`] is one connection for many callers: calls are pipelined and answered in order. When the connection breaks, the
//! client reconnects with growing pauses and resends unanswered requests in the same order. A message keeps its id, so it is stored
//! once however often it is sent. A refusal caused by the daemon's state rather than by the request (`stopping`, and `storage` in
//! answer to a write) counts as a broken connection.
//!
//! If the daemon's rooms were restored from a backup in the meantime, requests that name a seq from before are not sent, and their
//! callers are told: see [`Error::Restored`]. If rooms were set back by other means, the daemon refuses seqs past a room's last one:
//! see [`Error::SetBack`].
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

/// Requests queued for the connection's task. When the queue is full, callers wait.
const QUEUED: usize = 64;

/// The parts of an answer, and its end.
type Answer = (Vec<Item>, Reply);

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The daemon refused the request and did not carry it out.
    #[error("{0}")]
    Refused(Refusal),
    /// The daemon did not answer for as long as the options allow. What was sent may or may not have been stored. The client has ended.
    #[error("no answer from {address}: {source}")]
    Unreachable {
        /// The daemon's address.
        address: String,
        /// How the last attempt failed.
        source: Arc<std::io::Error>,
    },
    /// TLS failed: a file named in the options is unusable, one side does not trust the other, or the daemon does not speak TLS
    /// there. Not retried; the client has ended.
    #[cfg(feature = "tls")]
    #[error("no TLS with {address}: {why}")]
    Tls {
        /// The daemon's address.
        address: String,
        /// What is wrong, with the name of the file, if it is a file.
        why: String,
    },
    /// The rooms were restored from a backup, and the request names a seq from before: it was not carried out, or its effect was lost in
    /// the restore. Forget all seqs, [adopt](Client::adopt) the new epoch, and start again from the cursor.
    #[error("the rooms were restored from a backup; seqs from before may now belong to other messages")]
    Restored {
        /// The rooms' new epoch.
        epoch: Arc<str>,
    },
    /// The daemon refused the request with [`ErrorCode::SetBack`](dantok_protocol::ErrorCode::SetBack): it names a seq past the room's
    /// last one, and was not carried out. The room was set back to an older state under the same epoch, for example by an old copy of the
    /// daemon's files. The client has forgotten this room's seqs; forget yours, and start again from the cursor.
    #[error("{0}")]
    SetBack(Refusal),
    /// The client has ended; an earlier call returned the reason.
    #[error("the client has ended")]
    Closed,
    /// The answer does not fit the request: the peer is not a dantok daemon, or speaks another version.
    #[error("the answer does not fit the request")]
    Unexpected,
}

/// The answer to a JOIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The member's cursor; 0 for a new member.
    pub cursor: u64,
    /// The room's last seq.
    pub last: u64,
    /// The room's number. No other room ever has it, not even a later one of the same name. Like a seq, it belongs to
    /// [an epoch](dantok_protocol::Welcome::epoch).
    pub number: u64,
    /// Whether this JOIN created the room.
    pub created: bool,
}

/// A room's retention, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retained {
    /// How long its messages are kept and how many bytes it may hold. `secs` is never 0.
    pub keep: Keep,
    /// Bytes of stored messages, including the overhead of each.
    pub stored_bytes: u64,
}

/// The result of a fetch or of a look into the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Messages and gaps in the room's order, without holes.
    pub items: Vec<Item>,
    /// The last seq among them; if there are none, where the fetch began.
    pub handed: u64,
    /// The oldest seq still stored.
    pub oldest: u64,
    /// The room's last seq. If `handed` is lower, there is more to fetch.
    pub last: u64,
}

/// What the client remembers about seqs, on behalf of its caller.
#[derive(Debug)]
struct Memory {
    /// The epoch of these seqs.
    epoch: Arc<str>,
    /// How far each room has been read without a hole: what [`ack`](Client::ack) without a seq acknowledges.
    handed: HashMap<String, u64>,
    /// The rooms' numbers, from JOIN. If a name gets another number, nothing of that room has been read.
    numbers: HashMap<String, u64>,
}

/// A client with one connection at a time, for any number of concurrent calls.
///
/// After it is dropped, queued requests are still sent as long as the runtime lives. To be sure, await their answers.
#[derive(Debug)]
pub struct Client {
    options: Options,
    welcome: Arc<Welcome>,
    requests: mpsc::Sender<link::Request>,
    /// Unique to this client, so that prefix and count make a message id.
    prefix: u64,
    sent: AtomicU64,
    memory: Arc<Mutex<Memory>>,
    /// The daemon's epoch, as the task last saw it.
    current: link::Epoch,
}

impl Client {
    /// Connects and says HELLO.
    ///
    /// # Errors
    /// [`Error::Refused`] if the daemon refuses the client or its [epoch](Options::epoch);
    /// [`Error::Unreachable`] if no daemon answers within [`Options::reconnect`].
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
        // The daemon has accepted it. From now on, the client compares epochs itself.
        options.epoch = None;
        Ok(Client { options, welcome, requests, prefix, sent: AtomicU64::new(0), memory, current })
    }

    /// The answer to the first HELLO: the daemon's version and limits.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The epoch of the seqs that the client remembers and accepts: the first HELLO's, or the one [adopted](Client::adopt) since.
    pub fn epoch(&self) -> Arc<str> {
        self.memory(|memory| memory.epoch.clone())
    }

    /// Whether the client knows that the rooms were restored from a backup since [that epoch](Client::epoch): memberships and rooms from
    /// after the backup are gone, and requests that name a seq fail with [`Error::Restored`].
    pub fn is_restored(&self) -> bool {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) != self.epoch()
    }

    /// Forgets all seqs and accepts those of this epoch from now on, as [`Error::Restored`] and [`News::Restored`] ask for. Call it once
    /// you have forgotten your own seqs and no older ones can still reach you: if you read with a [`Follow`] or a [`Feed`], go by what
    /// that reports. Until then each request that names a seq fails with `Restored`; all others work, including messages that are not
    /// replies.
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

    /// Queues a request whose seqs belong to this epoch.
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

    /// How far a room has been read without a hole.
    fn handed(&self, room: &str) -> u64 {
        self.memory(|memory| memory.handed.get(room).copied().unwrap_or(0))
    }

    /// Notes that a room was read up to `to`, by a request of this epoch.
    fn note(&self, epoch: &Arc<str>, room: &str, to: u64) {
        self.memory(|memory| match memory.handed.get_mut(room) {
            // The request was made before the rooms were restored.
            _ if memory.epoch != *epoch => {}
            Some(reached) => *reached = to.max(*reached),
            None => drop(memory.handed.insert(room.to_owned(), to)),
        });
    }

    /// Sets the name under which the client is shown.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn nick(&self, nick: &str) -> Result<(), Error> {
        self.ask_done(Command::Nick(commands::Nick { nick: nick.to_owned() })).await
    }

    /// Tells the others in a room that this client is typing. Repeat it every few seconds while that lasts. Sent at most once: if a
    /// broken connection prevents it, it is dropped rather than sent late, and that is not an error.
    ///
    /// # Errors
    /// `no-room`, `not-joined`; otherwise as every call; see [`Error`].
    pub async fn typing(&self, room: &str) -> Result<(), Error> {
        self.ask_done(Command::Typing(commands::Typing { room: room.to_owned() })).await
    }

    /// The rooms that the client can see.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        let (items, _) = self.ask(commands::Rooms::default().into()).await?;
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

    /// The daemon's figures, as STATS lists them: names and values.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn stats(&self) -> Result<Vec<(String, u64)>, Error> {
        match self.ask(Command::Stats).await?.1 {
            Reply::Stats(stats) => Ok(stats),
            _ => Err(Error::Unexpected),
        }
    }

    /// Returns once the daemon has answered.
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
