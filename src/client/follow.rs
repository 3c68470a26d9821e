//! A room, live: a stream that survives the connection it reads from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio_util::codec::Encoder;

use super::link::{Conn, Dialler, broken, is_passing, unexpected};
use super::{Error, Options};
use crate::protocol::frame::{ClientCodec, RequestFrame, ServerFrame};
use crate::protocol::{Command, Item, Reply};

/// Items between the task and its reader; past it the daemon waits.
const AHEAD: usize = 64;
/// Messages asked for at a time when resuming.
const PAGE: u64 = 512;

/// What a room has after the cursor, and then each message as it commits; see [`Client::follow`](super::Client::follow).
///
/// Yields [`Item::Message`] and [`Item::Gap`] in the room's order, each seq once, over broken connections too. Ends after
/// its first error. Dropping it ends the connection.
#[derive(Debug)]
pub struct Follow {
    items: mpsc::Receiver<Result<Item, Error>>,
}

impl Follow {
    pub(super) fn start(options: Options, room: String) -> Follow {
        let (sender, items) = mpsc::channel(AHEAD);
        let task = Task { dialler: Dialler::new(options), room, items: sender, reached: None, next_id: 1 };
        tokio::spawn(task.run());
        Follow { items }
    }

    /// The next item; none after an error. Cancel safe.
    ///
    /// # Errors
    /// A refusal, or a daemon that was not there for as long as the options allow.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        self.items.recv().await
    }
}

impl futures_core::Stream for Follow {
    type Item = Result<Item, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_recv(context)
    }
}

struct Task {
    dialler: Dialler,
    room: String,
    items: mpsc::Sender<Result<Item, Error>>,
    /// The last seq that was yielded, or the cursor where the first FOLLOW began.
    reached: Option<u64>,
    next_id: u64,
}

enum End {
    Broken(io::Error),
    Failed(Error),
    /// The reader is gone.
    Dropped,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Broken(error)
    }
}

impl Task {
    async fn run(mut self) {
        let mut why = None;
        loop {
            let items = self.items.clone();
            let dialled = tokio::select! {
                dialled = self.dialler.dial(why.take(), || true) => dialled,
                () = items.closed() => return,
            };
            let end = match dialled {
                Ok(mut conn) => tokio::select! {
                    end = self.serve(&mut conn) => end,
                    () = items.closed() => return,
                },
                Err(error) => End::Failed(error),
            };
            match end {
                End::Broken(error) => why = Some(error),
                End::Failed(error) => {
                    let _ = self.items.send(Err(error)).await;
                    return;
                }
                End::Dropped => return,
            }
        }
    }

    /// Reads until the connection ends.
    async fn serve(&mut self, conn: &mut Conn) -> End {
        let Err(end) = self.try_serve(conn).await;
        end
    }

    async fn try_serve(&mut self, conn: &mut Conn) -> Result<std::convert::Infallible, End> {
        self.ask(conn, Command::join(&self.room)).await?;
        // The cursor may since have passed what was yielded here, moved by another connection of the same client; FOLLOW
        // alone would skip what is between.
        while let Some(reached) = self.reached {
            let fetch = Command::Fetch { room: self.room.clone(), after: Some(reached), max: Some(PAGE) };
            match self.ask(conn, fetch).await? {
                Reply::End { handed, last, .. } if handed < last => {}
                _ => break,
            }
        }
        let Reply::Following { after } = self.ask(conn, Command::Follow { room: self.room.clone() }).await? else {
            return Err(End::Failed(Error::Unexpected));
        };
        if after > *self.reached.get_or_insert(after) {
            return Err(End::Broken(io::Error::other("the cursor moved on while resuming")));
        }
        self.dialler.settled();
        loop {
            match conn.frame().await? {
                ServerFrame::Push { item } => self.hand_on(item).await?,
                ServerFrame::Closing { refusal } => return Err(End::Broken(broken(refusal))),
                other => return Err(End::Broken(unexpected(&other))),
            }
        }
    }

    /// Sends a request and takes its answer; its items are handed on.
    async fn ask(&mut self, conn: &mut Conn, command: Command) -> Result<Reply, End> {
        let id = self.next_id;
        self.next_id += 1;
        let mut output = BytesMut::new();
        ClientCodec.encode(RequestFrame { id, command }, &mut output)?;
        conn.send(&output).await?;
        loop {
            match conn.frame().await? {
                ServerFrame::Reply { id: of, reply } if of == id => {
                    return match reply {
                        Reply::Error(refusal) if is_passing(&refusal) => Err(End::Broken(broken(refusal))),
                        Reply::Error(refusal) => Err(End::Failed(Error::Refused(refusal))),
                        reply => Ok(reply),
                    };
                }
                ServerFrame::Part { id: of, item } if of == id => self.hand_on(item).await?,
                ServerFrame::Closing { refusal } => return Err(End::Broken(broken(refusal))),
                other => return Err(End::Broken(unexpected(&other))),
            }
        }
    }

    /// Yields what is new of an item.
    async fn hand_on(&mut self, item: Item) -> Result<(), End> {
        let reached = self.reached.unwrap_or(0);
        if let Some((item, to)) = unseen(item, reached) {
            self.items.send(Ok(item)).await.map_err(|_| End::Dropped)?;
            self.reached = Some(to);
        }
        Ok(())
    }
}

/// What of an item lies past `reached`, and its last seq.
fn unseen(item: Item, reached: u64) -> Option<(Item, u64)> {
    match item {
        Item::Message(message) if message.seq > reached => {
            let to = message.seq;
            Some((Item::Message(message), to))
        }
        Item::Gap { room, from, to, reason } if to > reached => {
            Some((Item::Gap { room, from: from.max(reached.saturating_add(1)), to, reason }, to))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::GapReason;

    #[test]
    fn a_gap_is_cut_to_what_is_new() {
        let gap = |from, to| Item::Gap { room: "lobby".into(), from, to, reason: GapReason::Expired };
        assert_eq!(unseen(gap(1, 9), 4), Some((gap(5, 9), 9)));
        assert_eq!(unseen(gap(5, 9), 4), Some((gap(5, 9), 9)));
        assert_eq!(unseen(gap(1, 4), 4), None);
    }
}
