//! The two halves of a connection, plain or inside TLS, for the daemon and for its client. Little outside this crate knows which.
#![warn(clippy::disallowed_methods)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods
    )
)]

mod kernel;
#[cfg(feature = "tls")]
pub mod pem;

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
#[cfg(feature = "tls")]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(feature = "tls")]
use tokio_rustls::TlsStream;

pub use kernel::{Keepalive, Peer, keep_alive};

/// Both halves of a TLS connection share its state. One task owns both, so the lock is never contended.
#[cfg(feature = "tls")]
type Shared = Arc<Mutex<TlsStream<TcpStream>>>;

#[cfg(feature = "tls")]
fn lock(stream: &Shared) -> MutexGuard<'_, TlsStream<TcpStream>> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The half to read from.
pub enum ReadHalf {
    /// A plain socket.
    Plain(OwnedReadHalf),
    #[cfg(feature = "tls")]
    /// TLS over a socket.
    Tls(Shared),
}

/// The half to write to. With TLS, flush it: until then, written bytes may not have been sent.
pub enum WriteHalf {
    /// A plain socket.
    Plain(OwnedWriteHalf),
    /// TLS over a socket.
    #[cfg(feature = "tls")]
    Tls(Shared),
}

/// Splits a plain socket.
pub fn plain(stream: TcpStream) -> (ReadHalf, WriteHalf) {
    let (read, write) = stream.into_split();
    (ReadHalf::Plain(read), WriteHalf::Plain(write))
}

/// Splits a TLS connection.
#[cfg(feature = "tls")]
pub fn tls(stream: impl Into<TlsStream<TcpStream>>) -> (ReadHalf, WriteHalf) {
    let shared = Arc::new(Mutex::new(stream.into()));
    (ReadHalf::Tls(shared.clone()), WriteHalf::Tls(shared))
}

/// Reads what the kernel holds for a socket. tokio may not have noticed it yet, and when the daemon stops there is no time to wait
/// until it does.
pub fn read_kernel(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let socket = socket2::SockRef::from(stream);
    let mut socket: &socket2::Socket = &socket;
    socket.read(buffer)
}

impl ReadHalf {
    fn with_kernel<T>(&self, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            ReadHalf::Plain(half) => ask(half.as_ref().as_fd()),
            #[cfg(feature = "tls")]
            ReadHalf::Tls(stream) => ask(lock(stream).get_ref().0.as_fd()),
        }
    }

    /// The current state of the peer, whatever is still unread.
    pub fn peer(&self) -> Peer {
        self.with_kernel(kernel::peer)
    }

    /// Whether the peer's kernel has acknowledged everything that was written.
    pub fn has_arrived(&self) -> bool {
        self.with_kernel(kernel::unacknowledged) == Some(0)
    }

    /// Sets how the kernel probes the peer from now on.
    pub fn keep_alive(&self, keepalive: Keepalive) {
        if let Err(error) = self.with_kernel(|socket| keep_alive(socket, keepalive)) {
            tracing::debug!(%error, "can't set the socket's options");
        }
    }

    /// Waits until something has arrived, which stays unread, or the peer has stopped sending (0). `buffer` may be of one byte.
    pub fn poll_peek(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        match self {
            ReadHalf::Plain(half) => half.poll_peek(context, buffer),
            #[cfg(feature = "tls")]
            ReadHalf::Tls(stream) => lock(stream).get_mut().0.poll_peek(context, buffer),
        }
    }

    /// Reads what has arrived, without waiting; returns 0 if there is nothing (more).
    pub fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        match self {
            ReadHalf::Plain(half) => read_kernel(half.as_ref(), buffer).unwrap_or(0),
            #[cfg(feature = "tls")]
            ReadHalf::Tls(stream) => match &mut *lock(stream) {
                TlsStream::Server(stream) => read_records(stream, buffer),
                TlsStream::Client(_) => 0,
            },
        }
    }
}

/// [`read_kernel`] for TLS: returns what is already decrypted, or else decrypts the records that the kernel holds.
#[cfg(feature = "tls")]
fn read_records(stream: &mut tokio_rustls::server::TlsStream<TcpStream>, buffer: &mut [u8]) -> usize {
    struct Kernel<'a>(&'a TcpStream);
    impl Read for Kernel<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            read_kernel(self.0, buffer)
        }
    }
    let (socket, session) = stream.get_mut();
    loop {
        match session.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read.unwrap_or(0),
        }
        let is_more = matches!(session.read_tls(&mut Kernel(socket)), Ok(1..));
        if !is_more || session.process_new_packets().is_err() {
            return 0;
        }
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ReadHalf::Plain(half) => Pin::new(half).poll_read(context, buffer),
            #[cfg(feature = "tls")]
            ReadHalf::Tls(stream) => match Pin::new(&mut *lock(stream)).poll_read(context, buffer) {
                // A close without TLS's close_notify is fine: every line and frame shows by itself whether it is complete, so
                // cutting off the stream can't turn it into another command.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                polled => polled,
            },
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            WriteHalf::Plain(half) => Pin::new(half).poll_write(context, bytes),
            #[cfg(feature = "tls")]
            WriteHalf::Tls(stream) => Pin::new(&mut *lock(stream)).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteHalf::Plain(half) => Pin::new(half).poll_flush(context),
            #[cfg(feature = "tls")]
            WriteHalf::Tls(stream) => Pin::new(&mut *lock(stream)).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteHalf::Plain(half) => Pin::new(half).poll_shutdown(context),
            #[cfg(feature = "tls")]
            WriteHalf::Tls(stream) => Pin::new(&mut *lock(stream)).poll_shutdown(context),
        }
    }
}
