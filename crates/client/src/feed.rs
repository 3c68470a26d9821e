//! Rooms and their list, live: one connection that follows and watches, and a stream that survives it.

mod task;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::link::Dialler;
use super::{Error, Options};
use dantok_protocol::{Item, Refusal, Welcome};
use task::Task;

/// News between the task and its reader; past it the daemon waits.
const AHEAD: usize = 64;

/// What a [`Feed`] has to tell.
#[derive(Clone, Debug)]
pub enum News {
    /// There is a connection, the first or another one. What the list of rooms is now follows.
    Connected(Arc<Welcome>),
    /// The connection broke, for this reason; the feed is making another one.
    Disconnected(String),
    /// The rooms were restored from a backup, and have this epoch now: seqs from before may be other messages. Comes right before
    /// the connection that told it; behind it all followed rooms go on from their cursors.
    Restored(Arc<str>),
    /// A followed room was set back to an older state, without a word from its operator: seqs from before may be other messages.
    /// Behind it the room goes on from the cursor, and seqs come again.
    SetBack {
        /// Which.
        room: Arc<str>,
    },
    /// Of a followed room: a message, a gap or an event; [`Item::Ended`]: the daemon can't read it now, and the feed tries again, for as
    /// long as the options allow. Or [`Item::Room`]: a room of the list, as it is now; [`Item::Gone`]: one that the client does not
    /// see, or is no member of, any more.
    Item(Item),
    /// A room can't be followed, or not any more.
    Refused {
        /// Which.
        room: String,
        /// Why.
        refusal: Refusal,
    },
}

/// The list of rooms, and what any number of followed rooms have, on one connection; see
/// [`Client::feed`](super::Client::feed).
///
/// Each room's messages and gaps come in the room's order, each seq once, over broken connections too; but anew where the rooms
/// [were restored](News::Restored), or a room [was set back](News::SetBack). The list comes anew
/// with each connection. Ends after its first error. Dropping it ends the connection.
#[derive(Debug)]
pub struct Feed {
    news: mpsc::Receiver<Result<News, Error>>,
    orders: mpsc::UnboundedSender<Order>,
    /// What its reader knows of.
    epoch: Arc<str>,
}

impl Feed {
    /// A feed of the list, that follows nothing yet.
    pub(super) fn watch(options: Options, epoch: Arc<str>) -> Feed {
        Feed::start(options, epoch, true, None)
    }

    /// A feed of one room, which it joins.
    pub(super) fn of_room(options: Options, epoch: Arc<str>, room: String) -> Feed {
        Feed::start(options, epoch, false, Some(room))
    }

    fn start(options: Options, epoch: Arc<str>, watch: bool, join: Option<String>) -> Feed {
        let (sender, news) = mpsc::channel(AHEAD);
        // Grows only with what the reader asks for; nothing from the network is queued here.
        let (orders, receiver) = mpsc::unbounded_channel();
        let task = Task::new(Dialler::new(options), epoch.clone(), watch, join, sender, receiver);
        dantok_supervise::brief("the client's feed", task.run());
        Feed { news, orders, epoch }
    }

    /// Follows a room that the client has joined: what came after this seq (without one, after the cursor), and then each
    /// message as it commits. Changes nothing where the room is followed already. A room that never came to that seq
    /// [was set back](News::SetBack).
    pub fn follow(&self, room: &str, after: Option<u64>) {
        // A feed at its end has told why.
        let after = after.map(|after| (self.epoch.clone(), after));
        let _ = self.orders.send(Order::Follow { room: room.to_owned(), after });
    }

    /// Ends a [`follow`](Feed::follow). What was on its way may still come.
    pub fn unfollow(&self, room: &str) {
        let _ = self.orders.send(Order::Unfollow { room: room.to_owned() });
    }

    /// What comes next; none after an error. Cancel safe.
    ///
    /// # Errors
    /// A refused HELLO or WATCH, or a daemon that was not there for as long as the options allow.
    pub async fn next(&mut self) -> Option<Result<News, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// The same, for those who poll.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<News, Error>>> {
        let news = self.news.poll_recv(context);
        if let Poll::Ready(Some(Ok(News::Restored(epoch)))) = &news {
            self.epoch = epoch.clone();
        }
        news
    }
}

impl futures_core::Stream for Feed {
    type Item = Result<News, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

#[derive(Debug)]
enum Order {
    /// With what the seq is of.
    Follow {
        room: String,
        after: Option<(Arc<str>, u64)>,
    },
    Unfollow {
        room: String,
    },
}
