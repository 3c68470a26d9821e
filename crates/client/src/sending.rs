//! Sending messages, replying to them and redacting them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Answer, Client, Error};
use dantok_protocol::{Command, ErrorCode, Refusal, Reply, commands};

/// Where a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its seq in the room.
    pub seq: u64,
    /// It was already stored under the same id, and nothing was added.
    pub dup: bool,
}

/// A future for the answer to a queued message; see [`Client::queue`]. Dropping it does not cancel the message.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Answer, Error>>);

impl Future for Receipt {
    type Output = Result<Sent, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| match answer.unwrap_or(Err(Error::Closed))?.1 {
            Reply::Sent { seq, dup } => Ok(Sent { seq, dup }),
            _ => Err(Error::Unexpected),
        })
    }
}

impl Client {
    /// Sends a message under a new id and waits until it is on disk. It is stored once, however often connections break.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn send(&self, room: &str, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue(room, body).await?.await
    }

    /// Like [`send`](Client::send), but under an id that the caller remembers, so that sending it again after the caller's own restart
    /// adds nothing.
    ///
    /// # Errors
    /// `id-reused` if the id was used for another body; otherwise as every call; see [`Error`].
    pub async fn send_with_id(&self, room: &str, id: &str, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, id.to_owned(), body.into(), None).await?.await
    }

    /// Replies to the message with this seq in the same room; sent like [`send`](Client::send).
    ///
    /// # Errors
    /// [`Error::SetBack`] if there never was a message with this seq; otherwise as every call; see [`Error`].
    pub async fn reply(&self, room: &str, to: u64, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, self.next_id(), body.into(), Some(to)).await?.await
    }

    /// Like [`reply`](Client::reply), but under an id that the caller remembers, as in [`send_with_id`](Client::send_with_id).
    ///
    /// # Errors
    /// [`Error::SetBack`] if there never was a message with this seq; `id-reused` if the id was used with another body or
    /// another seq; otherwise as every call; see [`Error`].
    pub async fn reply_with_id(&self, room: &str, id: &str, to: u64, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, id.to_owned(), body.into(), Some(to)).await?.await
    }

    /// Queues a message; await the [`Receipt`] to know that it is on disk. Messages are stored in the order in which the calls to
    /// `queue` returned, so awaiting `queue` in a loop pipelines them. Waits while too many requests are unsent.
    ///
    /// # Errors
    /// `too-long` or [`Error::Closed`]. The receipt returns all other errors.
    pub async fn queue(&self, room: &str, body: impl Into<Bytes>) -> Result<Receipt, Error> {
        self.queue_as(room, self.next_id(), body.into(), None).await
    }

    fn next_id(&self) -> String {
        let count = self.sent.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{count}", self.prefix)
    }

    async fn queue_as(&self, room: &str, id: String, body: Bytes, reply: Option<u64>) -> Result<Receipt, Error> {
        // The daemon would close the connection on a frame that is too long.
        if body.len() as u64 > self.welcome.max_body {
            let text = format!("a body of {} bytes; at most {} are allowed", body.len(), self.welcome.max_body);
            return Err(Error::Refused(Refusal::new(ErrorCode::TooLong, text)));
        }
        Ok(Receipt(
            self.begin(Command::Send(commands::Send { room: room.to_owned(), id: Some(id), body, reply })).await?,
        ))
    }

    /// Removes a message's text. Readers learn of it from the redaction message whose seq this returns. `dup`: it was already
    /// redacted, perhaps by this same call on a connection that broke.
    ///
    /// # Errors
    /// [`Error::SetBack`] if there never was such a message; `bad-argument` if it no longer exists or has no text; `denied` if it is
    /// somebody else's; otherwise as every call; see [`Error`].
    pub async fn redact(&self, room: &str, seq: u64) -> Result<Sent, Error> {
        match self.ask(Command::Redact(commands::Redact { room: room.to_owned(), seq })).await?.1 {
            Reply::Sent { seq, dup } => Ok(Sent { seq, dup }),
            _ => Err(Error::Unexpected),
        }
    }
}
