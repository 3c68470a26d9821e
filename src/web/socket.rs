//! A connection's socket, as HTTP reads and writes it: counted, never stalled for good, and at the daemon's end only emptied.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::figures::Figures;
use crate::limits::HTTP_STALL_MAX;
use crate::pipeline;
use dantok_net::{Peer, ReadHalf, WriteHalf};

/// How often to look for the peer's end behind a request that has already arrived.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One task uses both ends of it, so the lock is never contended.
fn lock(read: &Mutex<ReadHalf>) -> MutexGuard<'_, ReadHalf> {
    read.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The peer of a connection, for a request that is being answered.
#[derive(Clone)]
pub(super) struct Line(Weak<Mutex<ReadHalf>>);

impl Line {
    /// The peer's state; none once the connection is no longer HTTP's.
    fn peer(&self) -> Option<Peer> {
        Some(lock(&*self.0.upgrade()?).peer())
    }

    /// Completes when the peer has stopped sending, or is gone.
    pub(super) async fn ended(&self) {
        let has_more = std::future::poll_fn(|context| {
            let Some(read) = self.0.upgrade() else { return Poll::Ready(false) };
            let mut byte = [0];
            lock(&read)
                .poll_peek(context, &mut ReadBuf::new(&mut byte))
                .map(|peeked| peeked.is_ok_and(|found| found > 0))
        });
        if has_more.await {
            // Its next request waits. Only the kernel knows of an end behind that.
            while self.peer().is_some_and(|peer| !peer.has_ended && !peer.is_gone) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

impl pipeline::Peer for Line {
    async fn gone(&self) -> io::Error {
        while self.peer().is_some_and(|peer| !peer.is_gone) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        io::Error::new(io::ErrorKind::ConnectionReset, "the peer has gone")
    }

    fn has_ended(&self) -> bool {
        self.peer().is_none_or(|peer| peer.has_ended)
    }

    fn watch_closely(&self) {
        // Nothing that is handed over here is withheld from others.
    }
}

/// See the module.
pub(super) struct Socket {
    read: Arc<Mutex<ReadHalf>>,
    write: WriteHalf,
    figures: Arc<Figures>,
    /// The daemon stops: only what has already arrived is read.
    is_last: Arc<AtomicBool>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(read: ReadHalf, write: WriteHalf, figures: Arc<Figures>, is_last: Arc<AtomicBool>) -> Socket {
        Socket { read: Arc::new(Mutex::new(read)), write, figures, is_last, stall: None }
    }

    /// Shows whether the peer is there while it is not read from.
    pub(super) fn line(&self) -> Line {
        Line(Arc::downgrade(&self.read))
    }

    /// Takes it apart.
    ///
    /// # Errors
    /// A request is still being answered.
    pub(super) fn halves(self) -> io::Result<(ReadHalf, WriteHalf)> {
        let read = Arc::into_inner(self.read).ok_or_else(|| io::Error::other("the socket is in use"))?;
        Ok((read.into_inner().unwrap_or_else(PoisonError::into_inner), self.write))
    }

    /// Fails if writing has waited for the peer for too long.
    fn not_stalled<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + HTTP_STALL_MAX)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its response")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let before = buffer.filled().len();
        if socket.is_last.load(Ordering::Relaxed) {
            let read = lock(&socket.read).read_now(buffer.initialize_unfilled());
            buffer.advance(read);
        } else {
            ready!(Pin::new(&mut *lock(&socket.read)).poll_read(context, buffer))?;
        }
        socket.figures.received_bytes.add((buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let polled = Pin::new(&mut socket.write).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            socket.figures.sent_bytes.add(*written as u64);
        }
        socket.not_stalled(context, polled)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let polled = Pin::new(&mut socket.write).poll_flush(context);
        socket.not_stalled(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let polled = Pin::new(&mut socket.write).poll_shutdown(context);
        socket.not_stalled(context, polled)
    }
}
