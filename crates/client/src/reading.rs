//! Reading a room: in pages from the cursor, from anywhere in its history, and live.

use super::{Client, Error, Feed, Fetched, Follow};
use dantok_protocol::{Command, Reply, Seek, Since, commands};

impl Client {
    /// Returns at most `max` messages after the cursor, or after a seq, without moving the cursor. The answer is held in memory: fetch
    /// a long backlog in pages, with `after` set to the previous page's `handed`.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn fetch(&self, room: &str, after: Option<u64>, max: Option<u64>) -> Result<Fetched, Error> {
        let epoch = self.epoch();
        match self.ask(Command::Fetch(commands::Fetch { room: room.to_owned(), after, max })).await? {
            (items, Reply::End { handed, oldest, last, .. }) => {
                // A fetch that jumped ahead does not count: an ack without a seq must not acknowledge what was skipped.
                if after.is_none_or(|after| after <= self.handed(room)) {
                    self.note(&epoch, room, handed);
                }
                Ok(Fetched { items, handed, oldest, last })
            }
            _ => Err(Error::Unexpected),
        }
    }

    /// Moves the cursor up to a seq; without one, to the end of what fetches have returned without a hole. Returns the cursor, as
    /// it is on disk.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn ack(&self, room: &str, seq: Option<u64>) -> Result<u64, Error> {
        // The daemon forgets what it handed over when the connection ends, so the seq is always sent. Epoch and seq are read under
        // one lock: another task may adopt an epoch in which that seq means something else.
        let (epoch, handed) =
            self.memory(|memory| (memory.epoch.clone(), memory.handed.get(room).copied().unwrap_or(0)));
        let ack = Command::Ack(commands::Ack { room: room.to_owned(), seq: Some(seq.unwrap_or(handed)) });
        match self.begin_in(epoch.clone(), ack).await?.await.unwrap_or(Err(Error::Closed))?.1 {
            Reply::Acked { cursor } => {
                self.note(&epoch, room, cursor);
                Ok(cursor)
            }
            _ => Err(Error::Unexpected),
        }
    }

    /// Returns a part of the room, whether read or not: only messages `before` a seq, only those at or after the time `since`, and at
    /// most `max` of them: the oldest with `since`, otherwise the newest. Does not move the cursor, and [`ack`](Client::ack) without
    /// a seq does not cover it. To page backwards, ask for what comes before the first message of the previous page.
    ///
    /// # Errors
    /// `no-room`, `not-joined`; otherwise as every call; see [`Error`].
    pub async fn history(
        &self,
        room: &str,
        before: Option<u64>,
        since: Option<Since>,
        max: Option<u64>,
    ) -> Result<Fetched, Error> {
        match self
            .ask(Command::History(commands::History { room: room.to_owned(), after: None, before, since, max }))
            .await?
        {
            (items, Reply::End { handed, oldest, last, .. }) => Ok(Fetched { items, handed, oldest, last }),
            _ => Err(Error::Unexpected),
        }
    }

    /// Moves the cursor forwards or backwards, so that fetches start from there; [`ack`](Client::ack) without a seq then covers what is
    /// fetched after it. Returns the cursor, as it is on disk. If a broken connection delays a [`Seek::Now`], it means the last seq at
    /// the time it is carried out. Does not affect a [`Follow`] or [`Feed`].
    ///
    /// # Errors
    /// [`Error::SetBack`] for a seq past the room's last one; otherwise as every call; see [`Error`].
    pub async fn seek(&self, room: &str, to: Seek) -> Result<u64, Error> {
        // Before the request: what was read before the SEEK does not count after it.
        let (epoch, before) = self.memory(|memory| (memory.epoch.clone(), memory.handed.remove(room)));
        match self.ask(Command::Seek(commands::Seek { room: room.to_owned(), to })).await {
            Ok((_, Reply::Acked { cursor })) => {
                self.memory(|memory| {
                    if memory.epoch == epoch {
                        memory.handed.insert(room.to_owned(), cursor);
                    }
                });
                Ok(cursor)
            }
            Ok(_) => Err(Error::Unexpected),
            Err(error @ Error::SetBack(_)) => Err(error),
            Err(error) => {
                before.into_iter().for_each(|before| self.note(&epoch, room, before));
                Err(error)
            }
        }
    }

    /// Joins a room and follows it on a separate connection: yields what came after the cursor, and then each message as it commits.
    /// Does not move the cursor: [`ack`](Client::ack) by seq what you have handled. A reader that is slow or stops delays nobody else.
    /// Must be called within a tokio runtime.
    pub fn follow(&self, room: &str) -> Follow {
        Follow::start(self.options.clone(), self.epoch(), room.to_owned())
    }

    /// Watches the list of rooms on a separate connection, on which any number of rooms can be [followed](Feed::follow). Does not move
    /// cursors. Must be called within a tokio runtime.
    pub fn feed(&self) -> Feed {
        Feed::watch(self.options.clone(), self.epoch())
    }
}
