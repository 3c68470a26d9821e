//! Live updates of one room: a [`Feed`] reduced to the room's items.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::feed::{Feed, News};
use super::{Error, Options};
use dantok_protocol::{ErrorCode, Item, Refusal};

/// A room's messages after the cursor, and then each message as it commits; see [`Client::follow`](super::Client::follow).
///
/// Yields [`Item::Message`] and [`Item::Gap`] in the room's order and each seq once, even if connections break. Yields [`Item::Ended`]
/// when the daemon can't read the room now, and retries for as long as the options allow. Ends after its first error, unless that is
/// [`Error::Restored`] or [`Error::SetBack`]: after these it yields what the room now has after the cursor, whatever seqs it yielded
/// before. Dropping it closes the connection.
#[derive(Debug)]
pub struct Follow {
    /// `None` after an error.
    feed: Option<Feed>,
}

impl Follow {
    pub(super) fn start(options: Options, epoch: Arc<str>, room: String) -> Follow {
        Follow { feed: Some(Feed::of_room(options, epoch, room)) }
    }

    /// The next item; `None` after an error. Cancel safe.
    ///
    /// # Errors
    /// The rooms were restored, the room was set back, the daemon refused, or it was unreachable for as long as the options allow.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        loop {
            let Some(feed) = &mut self.feed else { return Poll::Ready(None) };
            let error = match ready!(feed.poll(context)) {
                // KICK, BAN, DELETE, or a LEAVE from another connection.
                Some(Ok(News::Item(Item::Gone { room }))) => {
                    let text = format!("this client is no longer a member of {room}, or the room was deleted");
                    Some(Err(Error::Refused(Refusal::new(ErrorCode::NotJoined, text))))
                }
                Some(Ok(News::Item(item))) => return Poll::Ready(Some(Ok(item))),
                Some(Ok(News::Connected(_) | News::Disconnected(_))) => continue,
                Some(Ok(News::Restored(epoch))) => return Poll::Ready(Some(Err(Error::Restored { epoch }))),
                Some(Ok(News::SetBack { room })) => {
                    let text = format!(
                        "{room} was set back to an older state; seqs from before may now belong to other messages"
                    );
                    return Poll::Ready(Some(Err(Error::SetBack(Refusal::new(ErrorCode::SetBack, text)))));
                }
                Some(Ok(News::Refused { refusal, .. })) => Some(Err(Error::Refused(refusal))),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            };
            self.feed = None;
            return Poll::Ready(error);
        }
    }
}

impl futures_core::Stream for Follow {
    type Item = Result<Item, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}
