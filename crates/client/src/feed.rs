//! Live updates of rooms and of the room list: a stream that survives its connections.

mod task;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::link::Dialler;
use super::{Error, Options};
use dantok_protocol::{Item, Refusal, Welcome};
use task::Task;

/// News buffered between the task and its reader. When the buffer is full, the task stops reading and the daemon waits.
const AHEAD: usize = 64;

/// What a [`Feed`] reports.
#[derive(Clone, Debug)]
pub enum News {
    /// A connection was made, the first or a later one. The current list of rooms follows.
    Connected(Arc<Welcome>),
    /// The connection broke, for this reason. The feed is reconnecting.
    Disconnected(String),
    /// The rooms were restored from a backup and now have this epoch: seqs from before may belong to other messages. Comes right before
    /// the [`Connected`](News::Connected) of the connection that revealed it. After it, all followed rooms continue from their cursors.
    Restored(Arc<str>),
    /// A followed room was set back to an older state without a new epoch: seqs from before may belong to other messages.
    /// After it, the room continues from the cursor, and seqs repeat.
    SetBack {
        /// The room.
        room: Arc<str>,
    },
    /// From a followed room: a message, a gap or an event, or [`Item::Ended`] when the daemon can't read the room now; the feed then
    /// retries for as long as the options allow. From the list: [`Item::Room`], the current state of a room, or [`Item::Gone`], a room
    /// that the client no longer sees or is no longer a member of.
    Item(Item),
    /// A room can't be followed, or can no longer be followed.
    Refused {
        /// The room, as the caller wrote its name.
        room: String,
        /// Why not.
        refusal: Refusal,
    },
}

/// The list of rooms and any number of followed rooms, on one connection; see [`Client::feed`](super::Client::feed).
///
/// Yields each room's messages and gaps in the room's order and each seq once, even if connections break. Only after the rooms
/// [were restored](News::Restored) or a room [was set back](News::SetBack) do seqs repeat. Each new connection yields the whole list
/// again. The feed ends after its first error. Dropping it closes the connection.
#[derive(Debug)]
pub struct Feed {
    news: mpsc::Receiver<Result<News, Error>>,
    orders: mpsc::UnboundedSender<Order>,
    /// The epoch that the reader has been told.
    epoch: Arc<str>,
}

impl Feed {
    /// A feed of the list that follows no room yet.
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

    /// Follows a room that the client has joined: yields what came after this seq (without one, after the cursor), and then each
    /// message as it commits. Does nothing if the room is already followed. A room whose last seq is lower than `after`
    /// [was set back](News::SetBack).
    pub fn follow(&self, room: &str, after: Option<u64>) {
        // If the feed has ended, its reader has been told why.
        let after = after.map(|after| (self.epoch.clone(), after));
        let _ = self.orders.send(Order::Follow { room: room.to_owned(), after });
    }

    /// Stops [following](Feed::follow) a room. Items already on their way may still arrive.
    pub fn unfollow(&self, room: &str) {
        let _ = self.orders.send(Order::Unfollow { room: room.to_owned() });
    }

    /// The next piece of news; `None` after an error. Cancel safe.
    ///
    /// # Errors
    /// HELLO or WATCH was refused, or the daemon was unreachable for as long as the options allow.
    pub async fn next(&mut self) -> Option<Result<News, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// [`next`](Feed::next) for callers that poll.
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
    Follow {
        room: String,
        /// A seq and its epoch.
        after: Option<(Arc<str>, u64)>,
    },
    Unfollow {
        room: String,
    },
}
