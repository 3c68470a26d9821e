//! A connection's socket, as HTTP reads and writes it: counted, never stalled for good, and at the daemon's end only emptied.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::figures::Figures;
use dantok_net::{ReadHalf, WriteHalf};

/// How long a peer may leave a response unread before the connection is given up.
const STALL: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Socket {
    pub(super) read: ReadHalf,
    pub(super) write: WriteHalf,
    figures: Arc<Figures>,
    /// The daemon stops: only what has already arrived is read.
    is_last: Arc<AtomicBool>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(read: ReadHalf, write: WriteHalf, figures: Arc<Figures>, is_last: Arc<AtomicBool>) -> Socket {
        Socket { read, write, figures, is_last, stall: None }
    }

    /// Fails if writing has waited for the peer for too long.
    fn not_stalled<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALL)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its response")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let before = buffer.filled().len();
        if socket.is_last.load(Ordering::Relaxed) {
            let read = socket.read.read_now(buffer.initialize_unfilled());
            buffer.advance(read);
        } else {
            ready!(Pin::new(&mut socket.read).poll_read(context, buffer))?;
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
