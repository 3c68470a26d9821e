//! Cursors that workers share: each message is for one of them.

use std::sync::Arc;
use std::time::Duration;

use super::{Client, Error};
use dantok_protocol::units::ms;
use dantok_protocol::{Begin, Command, Item, Reply, commands};

/// A shared cursor, as [`Client::groups`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub group: Arc<str>,
    /// Everything up to here is done.
    pub cursor: u64,
    /// How many messages are taken and not done.
    pub pending: u64,
    /// How many nobody has had yet.
    pub waiting: u64,
    /// How long one has for a message.
    pub timeout: Duration,
}

/// A message that is taken and not done, as [`Client::pending`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its seq.
    pub seq: u64,
    /// Who took it last.
    pub client: Arc<str>,
    /// When, in milliseconds since 1970 UTC.
    pub since_ms: u64,
    /// How often it was taken, since the daemon started.
    pub deliveries: u64,
}

impl Client {
    /// Makes a shared cursor with everything that is still stored, or (`Begin::Now`) what comes from now on; or sets the timeout of one
    /// that is there. Without a timeout a new one has the daemon's default.
    ///
    /// # Errors
    /// `limit` where the room has as many as it may; otherwise as every call; see [`Error`].
    pub async fn group(&self, room: &str, group: &str, from: Begin, timeout: Option<Duration>) -> Result<(), Error> {
        let timeout_ms = timeout.map(ms);
        let (room, group) = (room.to_owned(), group.to_owned());
        match self.ask(Command::Group(commands::Group { room, group, from, timeout_ms })).await?.1 {
            Reply::Grouped { .. } => Ok(()),
            _ => Err(Error::Unexpected),
        }
    }

    /// Ends a shared cursor.
    ///
    /// # Errors
    /// `no-group`, which after a broken connection may be this call's own doing; otherwise as every call; see [`Error`].
    pub async fn ungroup(&self, room: &str, group: &str) -> Result<(), Error> {
        self.ask_done(Command::Ungroup(commands::Ungroup { room: room.to_owned(), group: group.to_owned() })).await
    }

    /// A room's shared cursors, by name.
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

    /// Takes up to `max` messages that nobody else has, waiting for the first for as long as `wait` (a minute at the most): messages,
    /// and gaps for what nobody had and is past retention. Each is to be [done](Client::done) within the group's timeout.
    ///
    /// While it waits, later calls on this client wait behind it: a worker is best a client of its own. What was taken on a
    /// connection that broke before the answer arrived is free again at once.
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

    /// A message is dealt with: nobody gets it again. Returns the group's cursor.
    ///
    /// # Errors
    /// `no-group`; otherwise as every call; see [`Error`].
    pub async fn done(&self, room: &str, group: &str, seq: u64) -> Result<u64, Error> {
        match self.ask(Command::Done(commands::Done { room: room.to_owned(), group: group.to_owned(), seq })).await?.1 {
            Reply::Acked { cursor } => Ok(cursor),
            _ => Err(Error::Unexpected),
        }
    }

    /// What is taken and not done, by seq.
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
