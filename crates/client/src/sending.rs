//! Sending messages, replying to them and redacting them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Answer, Client, Error};
use dantok_protocol::{Command, ErrorCode, Refusal, Reply, commands};

/// A stored message's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its seq in the room.
    pub seq: u64,
    /// It had been stored before, under the same id; nothing was added.
    pub dup: bool,
}

/// The answer to a queued message, to be awaited; see [`Client::queue`]. Dropping it does not take the message back.
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
    /// Sends a message under an id of its own, and waits until it is on disk. Stored once, however often connections break.
    ///
    /// # Errors
    /// As every call; see [`Error`].
    pub async fn send(&self, room: &str, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue(room, body).await?.await
    }

    /// The same under an id that the caller remembers: after the caller's own restart a repetition adds nothing.
    ///
    /// # Errors
    /// `id-reused` for the same id with another body; otherwise as every call; see [`Error`].
    pub async fn send_with_id(&self, room: &str, id: &str, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, id.to_owned(), body.into(), None).await?.await
    }

    /// A message that answers the one with this seq, in the same room; sent as by [`send`](Client::send).
    ///
    /// # Errors
    /// [`Error::SetBack`] where there never was a message with this seq; otherwise as every call; see [`Error`].
    pub async fn reply(&self, room: &str, to: u64, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, self.next_id(), body.into(), Some(to)).await?.await
    }

    /// The same under an id that the caller remembers, as [`send_with_id`](Client::send_with_id).
    ///
    /// # Errors
    /// [`Error::SetBack`] where there never was a message with this seq; `id-reused` for the same id with another body or
    /// another seq; otherwise as every call; see [`Error`].
    pub async fn reply_with_id(&self, room: &str, id: &str, to: u64, body: impl Into<Bytes>) -> Result<Sent, Error> {
        self.queue_as(room, id.to_owned(), body.into(), Some(to)).await?.await
    }

    /// Takes a message for sending; await the [`Receipt`] to know that it is on disk. Messages are stored in the order in
    /// which their calls of this returned, so awaiting it in a loop pipelines them. Waits while too much is unsent.
    ///
    /// # Errors
    /// `too-long` at once; [`Error::Closed`]. All else comes with the receipt.
    pub async fn queue(&self, room: &str, body: impl Into<Bytes>) -> Result<Receipt, Error> {
        self.queue_as(room, self.next_id(), body.into(), None).await
    }

    fn next_id(&self) -> String {
        let count = self.sent.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{count}", self.prefix)
    }

    async fn queue_as(&self, room: &str, id: String, body: Bytes, reply: Option<u64>) -> Result<Receipt, Error> {
        // The daemon would close the connection over a frame that is too long.
        if body.len() as u64 > self.welcome.max_body {
            let text = format!("a body of {} bytes; at most {} are taken", body.len(), self.welcome.max_body);
            return Err(Error::Refused(Refusal::new(ErrorCode::TooLong, text)));
        }
        Ok(Receipt(
            self.begin(Command::Send(commands::Send { room: room.to_owned(), id: Some(id), body, reply })).await?,
        ))
    }

    /// Takes a message's text back; who has read it learns of it by the message whose place this returns. `dup`: it was
    /// redacted before, be it by this call on a connection that broke.
    ///
    /// # Errors
    /// [`Error::SetBack`] where there never was such a message; `bad-argument` where there is none any longer, or one that has no
    /// text; `denied` where it is somebody
    /// else's; otherwise as every call; see [`Error`].
    pub async fn redact(&self, room: &str, seq: u64) -> Result<Sent, Error> {
        match self.ask(Command::Redact(commands::Redact { room: room.to_owned(), seq })).await?.1 {
            Reply::Sent { seq, dup } => Ok(Sent { seq, dup }),
            _ => Err(Error::Unexpected),
        }
    }
}
