//! Reading: by pages from a cursor, again from anywhere, and live.

use super::{Client, Error, Feed, Fetched, Follow};
use dantok_protocol::{Command, Reply, Seek, Since, commands};

impl Client {
    /// What came after the cursor, or after a seq; at most `max` messages. Moves nothing. The answer is held in memory:
    /// for a long backlog fetch by pages, each `after` what the last one `handed`.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn fetch(&self, room: &str, after: Option<u64>, max: Option<u64>) -> Result<Fetched, Error> {
        let epoch = self.epoch();
        match self.ask(Command::Fetch(commands::Fetch { room: room.to_owned(), after, max })).await? {
            (items, Reply::End { handed, oldest, last, .. }) => {
                // What jumped ahead does not count: an ack without a seq must not acknowledge what was skipped.
                if after.is_none_or(|after| after <= self.handed(room)) {
                    self.note(&epoch, room, handed);
                }
                Ok(Fetched { items, handed, oldest, last })
            }
            _ => Err(Error::Unexpected),
        }
    }

    /// Moves the cursor up to a seq; without one, to the end of what fetches have returned without a hole. Returns where it
    /// is, on disk.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn ack(&self, room: &str, seq: Option<u64>) -> Result<u64, Error> {
        // The daemon forgets with each connection what it handed over, so it is always told.
        // At one moment: another task may adopt an epoch meanwhile, in which what was handed over is something else.
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

    /// A part of the room, whatever was read: only what came before a seq, only what came at a time or later, and at most
    /// `max` messages, with `since` the oldest of them, otherwise the newest. Moves nothing, and an [`ack`](Client::ack)
    /// without a seq does not cover it. To go back page by page, ask for what is before the first of the last page.
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
        match self.ask(Command::History(commands::History { room: room.to_owned(), before, since, max })).await? {
            (items, Reply::End { handed, oldest, last, .. }) => Ok(Fetched { items, handed, oldest, last }),
            _ => Err(Error::Unexpected),
        }
    }

    /// Moves the cursor, back as well, so that what came after it is fetched again; an [`ack`](Client::ack) without a seq
    /// goes by what is fetched from there on. Returns where it is, on disk. A [`Seek::Now`] that a broken connection has
    /// delayed means the last seq there is when it is carried out. A [`Follow`] or [`Feed`] is not moved.
    ///
    /// # Errors
    /// [`Error::SetBack`] past the room's last seq; otherwise as every call; see [`Error`].
    pub async fn seek(&self, room: &str, to: Seek) -> Result<u64, Error> {
        // Before the request, too: what was read before it does not count after it.
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

    /// Joins a room and follows it on a connection of its own: what came after the cursor, and then each message as it
    /// commits. Moves nothing: [`ack`](Client::ack) what was taken care of, by its seq. A reader that is slow, or stops,
    /// holds up nobody but itself. Must be called within a tokio runtime.
    pub fn follow(&self, room: &str) -> Follow {
        Follow::start(self.options.clone(), self.epoch(), room.to_owned())
    }

    /// Watches the list of rooms on a connection of its own, on which any number of rooms can be
    /// [followed](Feed::follow). Moves nothing. Must be called within a tokio runtime.
    pub fn feed(&self) -> Feed {
        Feed::watch(self.options.clone(), self.epoch())
    }
}
