//! The client library: durable rooms from a Rust program, over the framed protocol.
//!
//! A [`Client`] keeps one connection, over which any number of calls may be under way at once. When it breaks, the client
//! connects again, with growing and random pauses, and repeats what was not answered: a SEND carries an id by which the daemon
//! knows a repetition, everything else may be done twice. So a call that returns Ok has happened exactly once, and a message
//! that was sent before another stands before it.
//!
//! ```no_run
//! # async fn example() -> Result<(), dantok::client::Error> {
//! use dantok::client::{Client, Options};
//!
//! let client = Client::connect(Options::new("127.0.0.1:7420", "alice")).await?;
//! client.join("lobby").await?;
//! let sent = client.send("lobby", "hello").await?;
//! let fetched = client.fetch("lobby", None, None).await?;
//! client.ack("lobby", Some(fetched.handed)).await?;
//! let mut follow = client.follow("lobby");
//! while let Some(item) = follow.next().await {
//!     println!("{:?}", item?);
//! }
//! # Ok(())
//! # }
//! ```

mod follow;
mod link;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::protocol::{Command, Item, MemberInfo, Refusal, Reply, RoomInfo, Welcome};
pub use follow::Follow;
use link::{Answer, Connection, Job};

/// Calls that wait to be written; further ones wait to be queued.
const QUEUE: usize = 1024;

/// How to reach a daemon, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its address, `host:port`.
    pub address: String,
    /// The client's name, with `/device` behind it if it has one.
    pub client: String,
    /// A secret, where the daemon wants one.
    pub token: Option<String>,
    /// How long to go on trying when a connection breaks or can't be made; for ever where there is none.
    pub patience: Option<Duration>,
}

impl Options {
    /// Without a token, and with a patience of 30 s.
    pub fn new(address: impl Into<String>, client: impl Into<String>) -> Options {
        Options { address: address.into(), client: client.into(), token: None, patience: Some(Duration::from_secs(30)) }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon said no; trying again changes nothing.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The daemon can't be reached, and the patience is at its end. What was asked may or may not have happened.
    #[error("can't reach {address}: {source}")]
    Unreachable {
        /// The daemon's address.
        address: String,
        /// What the last try met.
        source: io::Error,
    },
    /// An earlier call found the daemon unreachable; connect anew.
    #[error("the connection was given up")]
    Closed,
    /// The daemon answered something else than was asked.
    #[error("unexpected answer: {0:?}")]
    Unexpected(Box<Reply>),
}

/// A message's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its seq.
    pub seq: u64,
    /// It had been sent before under this id.
    pub dup: bool,
}

/// What a fetch handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Messages and gaps, in the room's order.
    pub items: Vec<Item>,
    /// The last seq that they cover.
    pub handed: u64,
    /// The oldest seq still stored.
    pub oldest: u64,
    /// The room's last seq when the answer began.
    pub last: u64,
}

/// See the module. Dropping it closes the connection once the calls under way are answered.
#[derive(Debug)]
pub struct Client {
    options: Options,
    welcome: Welcome,
    jobs: mpsc::Sender<Job>,
    id_prefix: u64,
    next_id: AtomicU64,
    /// What was handed over without a hole, by room.
    handed: Mutex<HashMap<String, u64>>,
}

impl Client {
    /// Connects and says HELLO.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the patience is at its end; [`Error::Refused`] for a bad name or token.
    pub async fn connect(options: Options) -> Result<Client, Error> {
        let id_prefix = getrandom::u64().map_err(|error| Error::Unreachable {
            address: options.address.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        let connection = Connection::open(&options).await?;
        let welcome = connection.welcome.clone();
        let (jobs, queue) = mpsc::channel(QUEUE);
        tokio::spawn(link::run(options.clone(), connection, queue));
        Ok(Client { options, welcome, jobs, id_prefix, next_id: AtomicU64::new(0), handed: Mutex::default() })
    }

    /// What the daemon said to HELLO: the limits and the retention.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Queues a request, whose place in the order is fixed when this returns; the answer comes later.
    async fn queue(&self, command: Command) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { command, answer }).await.map_err(|_| Error::Closed)?;
        Ok(answered)
    }

    async fn ask(&self, command: Command) -> Result<Answer, Error> {
        self.queue(command).await?.await.map_err(|_| Error::Closed)?
    }

    async fn done(&self, command: Command) -> Result<(), Error> {
        match self.ask(command).await?.reply {
            Reply::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Makes a room.
    ///
    /// # Errors
    /// `room-exists` and others as [`Error::Refused`]; [`Error::Unreachable`]. A repetition after a broken connection may
    /// be told `room-exists` of its own room.
    pub async fn create(&self, room: &str, topic: &str) -> Result<(), Error> {
        self.done(Command::Create { room: room.to_owned(), topic: topic.to_owned() }).await
    }

    /// Joins a room, which is made if it is missing. Returns the cursor and the room's last seq.
    ///
    /// # Errors
    /// `limit` and others as [`Error::Refused`]; [`Error::Unreachable`].
    pub async fn join(&self, room: &str) -> Result<(u64, u64), Error> {
        match self.ask(Command::Join { room: room.to_owned() }).await?.reply {
            Reply::Joined { cursor, last } => Ok((cursor, last)),
            other => Err(unexpected(other)),
        }
    }

    /// Forgets the membership and its cursor.
    ///
    /// # Errors
    /// `not-joined` and others as [`Error::Refused`]; [`Error::Unreachable`].
    pub async fn leave(&self, room: &str) -> Result<(), Error> {
        self.lock_handed().remove(room);
        self.done(Command::Leave { room: room.to_owned() }).await
    }

    /// Sets what the client is shown as.
    ///
    /// # Errors
    /// `bad-argument` as [`Error::Refused`]; [`Error::Unreachable`].
    pub async fn nick(&self, nick: &str) -> Result<(), Error> {
        self.done(Command::Nick { nick: nick.to_owned() }).await
    }

    /// Sends a message under an id of its own. When this returns, the message is on the daemon's disk.
    ///
    /// # Errors
    /// `too-long`, `not-joined` and others as [`Error::Refused`]; [`Error::Unreachable`], after which the message may or may
    /// not be there.
    pub async fn send(&self, room: &str, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.send_later(room, body.into()).await?.await
    }

    /// Queues a message: when this returns, its place behind earlier ones is fixed; what it returns waits for the disk.
    ///
    /// # Errors
    /// [`Error::Closed`]; the returned future's are those of [`send`](Client::send).
    pub async fn send_later(
        &self,
        room: &str,
        body: Bytes,
    ) -> Result<impl Future<Output = Result<Sent, Error>> + Send + use<>, Error> {
        let id = format!("{:016x}-{:x}", self.id_prefix, self.next_id.fetch_add(1, Ordering::Relaxed));
        let command = Command::Send { room: room.to_owned(), id: Some(id), body };
        let answered = self.queue(command).await?;
        Ok(async move { sent(answered.await.map_err(|_| Error::Closed)??) })
    }

    /// Sends a message under an id of the caller's: the same id and body from the same client are stored once, however often
    /// they are sent within retention.
    ///
    /// # Errors
    /// As [`send`](Client::send), and `id-reused` where the id was used for another body.
    pub async fn send_with_id(&self, room: &str, id: &str, body: impl Into<Bytes>) -> Result<Sent, Error> {
        let command = Command::Send { room: room.to_owned(), id: Some(id.to_owned()), body: body.into() };
        sent(self.ask(command).await?)
    }

    /// What came after the cursor, or after a seq; all of it, or at most `max` messages. Moves nothing.
    ///
    /// # Errors
    /// `not-joined` and others as [`Error::Refused`]; [`Error::Unreachable`].
    pub async fn fetch(&self, room: &str, after: Option<u64>, max: Option<u64>) -> Result<Fetched, Error> {
        let answer = self.ask(Command::Fetch { room: room.to_owned(), after, max }).await?;
        let Reply::End { handed, oldest, last, .. } = answer.reply else { return Err(unexpected(answer.reply)) };
        let mut known = self.lock_handed();
        let before = known.get(room).copied().unwrap_or(0);
        // What jumped ahead is not acknowledged by an ACK that names no seq.
        if after.is_none_or(|after| after <= before) {
            known.insert(room.to_owned(), before.max(handed));
        }
        Ok(Fetched { items: answer.items, handed, oldest, last })
    }

    /// Moves the cursor up: to `seq`, or to the end of what this client fetched. Returns where it is.
    ///
    /// # Errors
    /// `bad-argument` past the room's last seq and others as [`Error::Refused`]; [`Error::Unreachable`].
    pub async fn ack(&self, room: &str, seq: Option<u64>) -> Result<u64, Error> {
        // Told to the daemon in any case: a connection that was made anew has been handed nothing.
        let seq = seq.unwrap_or_else(|| self.lock_handed().get(room).copied().unwrap_or(0));
        match self.ask(Command::Ack { room: room.to_owned(), seq: Some(seq) }).await?.reply {
            Reply::Acked { cursor } => Ok(cursor),
            other => Err(unexpected(other)),
        }
    }

    /// The rooms.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        let items = self.ask(Command::Rooms).await?.items;
        Ok(items.into_iter().filter_map(|item| if let Item::Room(info) = item { Some(info) } else { None }).collect())
    }

    /// A room's members.
    ///
    /// # Errors
    /// `no-room` as [`Error::Refused`]; [`Error::Unreachable`].
    pub async fn who(&self, room: &str) -> Result<Vec<MemberInfo>, Error> {
        let items = self.ask(Command::Who { room: room.to_owned() }).await?.items;
        Ok(items.into_iter().filter_map(|item| if let Item::Member(info) = item { Some(info) } else { None }).collect())
    }

    /// The daemon's figures.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn stats(&self) -> Result<Vec<(String, u64)>, Error> {
        match self.ask(Command::Stats).await?.reply {
            Reply::Stats(figures) => Ok(figures),
            other => Err(unexpected(other)),
        }
    }

    /// Whether anybody is there.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn ping(&self) -> Result<(), Error> {
        match self.ask(Command::Ping).await?.reply {
            Reply::Pong => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Joins a room and follows it from the cursor on, over a connection of its own: a reader that stops taking holds up nothing
    /// but itself. Resumes after a broken connection without loss and without repetition. Moves no cursor: [`ack`](Client::ack)
    /// what was dealt with.
    pub fn follow(&self, room: &str) -> Follow {
        Follow::start(self.options.clone(), room.to_owned())
    }

    fn lock_handed(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sent(answer: Answer) -> Result<Sent, Error> {
    match answer.reply {
        Reply::Sent { seq, dup } => Ok(Sent { seq, dup }),
        other => Err(unexpected(other)),
    }
}

fn unexpected(reply: Reply) -> Error {
    Error::Unexpected(Box::new(reply))
}
