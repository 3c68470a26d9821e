//! Groups: cursors that workers share, so that each message goes to one of them.

use std::sync::Arc;
use std::time::Duration;

use super::{Client, Error};
use dantok_protocol::units::ms;
use dantok_protocol::{Begin, Command, Item, Reply, commands};

/// A group, as [`Client::groups`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub group: Arc<str>,
    /// Everything up to this seq is done.
    pub cursor: u64,
    /// How many messages are taken but not done.
    pub pending: u64,
    /// How many messages nobody has taken yet.
    pub waiting: u64,
    /// How long a worker has for a message before others may take it.
    pub timeout: Duration,
}

/// A message that is taken but not done, as [`Client::pending`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its seq.
    pub seq: u64,
    /// Who took it last.
    pub client: Arc<str>,
    /// When it was taken, in milliseconds since 1970 UTC.
    pub since_ms: u64,
    /// How often it has been taken since the daemon started.
    pub deliveries: u64,
}

impl Client {
    /// Creates a group that starts with everything still stored, or (`Begin::Now`) with what comes from now on; or sets the timeout of
    /// an existing group. Without a timeout, a new group has the daemon's default.
    ///
    /// # Errors
    /// `limit` if the room has as many groups as it may; otherwise as every call; see [`Error`].
    pub async fn group(&self, room: &str, group: &str, from: Begin, timeout: Option<Duration>) -> Result<(), Error> {
        let timeout_ms = timeout.map(ms);
        let (room, group) = (room.to_owned(), group.to_owned());
        match self.ask(Command::Group(commands::Group { room, group, from, timeout_ms })).await?.1 {
            Reply::Grouped { .. } => Ok(()),
            _ => Err(Error::Unexpected),
        }
    }

    /// Deletes a group.
    ///
    /// # Errors
    /// `no-group`, which after a broken connection may be due to this call itself; otherwise as every call; see [`Error`].
    pub async fn ungroup(&self, room: &str, group: &str) -> Result<(), Error> {
        self.ask_done(Command::Ungroup(commands::Ungroup { room: room.to_owned(), group: group.to_owned() })).await
    }

    /// A room's groups, by name.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn groups(&self, room: &str) -> Result<Vec<Group>, Error> {
        let (items, _) = self.ask(Command::Groups(commands::Groups { room: room.to_owned() })).await?;
        let groups = items.into_iter().map(|item| match item {
            Item::Group { group, cursor, pending, waiting, timeout_ms, .. } => {
                Ok(Group { group, cursor, pending, waiting, timeout: Duration::from_millis(timeout_ms) })
            }
            _ => Err(Error::Unexpected),
        });
        groups.collect()
    }

    /// Takes up to `max` messages that nobody else has, and waits up to `wait` (at most a minute) for the first. Returns messages, and gaps
    /// for messages that expired before anybody took them. Mark each message as [done](Client::done) within the group's timeout.
    ///
    /// While it waits, later calls on this client wait too, so give each worker a client of its own. Messages taken on a connection
    /// that broke before the answer arrived are free again at once.
    ///
    /// # Errors
    /// `no-group`; otherwise as every call; see [`Error`].
    pub async fn take(&self, room: &str, group: &str, max: u64, wait: Duration) -> Result<Vec<Item>, Error> {
        let (room, group) = (room.to_owned(), group.to_owned());
        let command = Command::Take(commands::Take { room, group, max: Some(max), wait_ms: ms(wait) });
        match self.ask(command).await? {
            (items, Reply::Count(_)) => Ok(items),
            _ => Err(Error::Unexpected),
        }
    }

    /// Marks a message as done: nobody gets it again. Returns the group's cursor.
    ///
    /// # Errors
    /// `no-group`; otherwise as every call; see [`Error`].
    pub async fn done(&self, room: &str, group: &str, seq: u64) -> Result<u64, Error> {
        match self.ask(Command::Done(commands::Done { room: room.to_owned(), group: group.to_owned(), seq })).await?.1 {
            Reply::Acked { cursor } => Ok(cursor),
            _ => Err(Error::Unexpected),
        }
    }

    /// The messages that are taken but not done, by seq.
    ///
    /// # Errors
    /// `no-group`; otherwise as every call; see [`Error`].
    pub async fn pending(&self, room: &str, group: &str) -> Result<Vec<Pending>, Error> {
        let (items, _) =
            self.ask(Command::Pending(commands::Pending { room: room.to_owned(), group: group.to_owned() })).await?;
        let pending = items.into_iter().map(|item| match item {
            Item::Pending { seq, client, since_ms, deliveries, .. } => {
                Ok(Pending { seq, client, since_ms, deliveries })
            }
            _ => Err(Error::Unexpected),
        });
        pending.collect()
    }
}
