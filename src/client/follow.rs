//! A FOLLOW that goes on over broken connections.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::link::{Connection, Patience, is_passing};
use super::{Error, Options};
use crate::protocol::frame::ServerFrame;
use crate::protocol::{Command, Item, Reply};

/// Items that wait for their reader; past them the connection is not read.
const WAITING: usize = 256;

/// A room's messages and gaps as they come, each once and in order. A stream; ends after its first error.
#[derive(Debug)]
pub struct Follow {
    items: mpsc::Receiver<Result<Item, Error>>,
}

impl Follow {
    pub(super) fn start(options: Options, room: String) -> Follow {
        let (sender, items) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            tokio::select! {
                Err(error) = run(&options, &room, &sender) => {
                    // The reader may have gone.
                    let _ = sender.send(Err(error)).await;
                }
                () = sender.closed() => {}
            }
        });
        Follow { items }
    }

    /// The next message or gap; none after an error.
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

async fn run(options: &Options, room: &str, items: &mpsc::Sender<Result<Item, Error>>) -> Result<(), Error> {
    let mut reached = 0;
    let mut patience = Patience::new(options.patience);
    loop {
        let mut connection = Connection::open_with(options, &mut patience).await?;
        let requests = [Command::Join { room: room.to_owned() }, Command::Follow { room: room.to_owned() }];
        for (id, command) in (1..).zip(requests) {
            connection.request(id, command)?;
        }
        let source = loop {
            let item = match connection.exchange().await {
                Ok(ServerFrame::Push { item }) => item,
                Ok(ServerFrame::Reply { reply: Reply::Error(refusal), .. } | ServerFrame::Closing { refusal }) => {
                    if !is_passing(&refusal) {
                        return Err(refusal.into());
                    }
                    break std::io::Error::other(refusal);
                }
                Ok(ServerFrame::Reply { .. } | ServerFrame::Part { .. }) => continue,
                Err(error) => break error,
            };
            patience = Patience::new(options.patience);
            // After a broken connection the daemon begins again at the cursor.
            let Some(item) = news(item, &mut reached) else { continue };
            if items.send(Ok(item)).await.is_err() {
                return Ok(());
            }
        };
        if !patience.pause().await {
            return Err(Error::Unreachable { address: options.address.clone(), source });
        }
    }
}

/// What of an item lies past what was reached.
fn news(item: Item, reached: &mut u64) -> Option<Item> {
    let before = *reached;
    let (to, item) = match item {
        Item::Message(message) => (message.seq, Item::Message(message)),
        Item::Gap { room, from, to, reason } => (to, Item::Gap { room, from: from.max(before + 1), to, reason }),
        other => return Some(other),
    };
    *reached = before.max(to);
    (to > before).then_some(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{GapReason, Message};

    #[test]
    fn what_comes_again_is_left_out() {
        let message = |seq| {
            let (room, client) = ("r".into(), "a".into());
            Item::Message(Message { room, seq, time_ms: 0, client, body: bytes::Bytes::new() })
        };
        let gap = |from, to| Item::Gap { room: "r".into(), from, to, reason: GapReason::Expired };
        let mut reached = 0;
        assert_eq!(news(gap(1, 2), &mut reached), Some(gap(1, 2)));
        assert_eq!(news(message(3), &mut reached), Some(message(3)));
        assert_eq!(news(gap(1, 3), &mut reached), None);
        assert_eq!(news(message(3), &mut reached), None);
        assert_eq!(news(gap(1, 5), &mut reached), Some(gap(4, 5)));
        assert_eq!(news(message(6), &mut reached), Some(message(6)));
    }
}
