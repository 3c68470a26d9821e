//! What the kernel knows of a connection and nobody else tells: whether its peer is there, and has what was written.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How a connection's peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// It has ended its sending direction, be it that what it sent before is not read yet. It may still read, or be gone altogether.
    pub has_ended: bool,
    /// The connection is reset, or has timed out: nothing arrives any more.
    pub is_gone: bool,
}

/// How the peer of a TCP socket is now.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> Peer {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: it is one, and the kernel writes to it while this call lasts.
    let polled = unsafe { libc::poll(&raw mut poll, 1, 0) };
    let events = if polled > 0 { poll.revents } else { 0 };
    let is = |event: libc::c_short| events & event != 0;
    Peer { has_ended: is(libc::POLLRDHUP | libc::POLLHUP), is_gone: is(libc::POLLERR) }
}

/// Bytes that were written to a TCP socket and whose arrival its peer's kernel has not acknowledged; all of them after a reset.
/// None where it can't be told.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (SIOCOUTQ of a socket) writes an int.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { u64::try_from(bytes).ok() } else { None }
}

/// Has the kernel find out within half a minute that an idle peer's machine is gone.
pub(crate) fn watch_closely(socket: BorrowedFd<'_>) {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(15));
    let keepalive = keepalive.with_interval(Duration::from_secs(5)).with_retries(3);
    if let Err(error) = SockRef::from(&socket).set_tcp_keepalive(&keepalive) {
        tracing::debug!(%error, "can't set the socket's options");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn until(condition: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_peer_that_only_stops_sending_is_told_from_one_that_is_gone() {
        let (mut half, mut ours) = pair();
        assert_eq!(peer(ours.as_fd()), Peer { has_ended: false, is_gone: false });
        // Behind what is not read yet, too.
        half.write_all(b"more").unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        until(|| peer(ours.as_fd()).has_ended);
        ours.write_all(b"answer").unwrap();
        until(|| unacknowledged(ours.as_fd()) == Some(0));
        assert!(!peer(ours.as_fd()).is_gone);
        half.read_exact(&mut [0; 6]).unwrap();

        let (dead, mut ours) = pair();
        drop(dead);
        until(|| peer(ours.as_fd()).has_ended);
        assert!(!peer(ours.as_fd()).is_gone);
        ours.write_all(b"answer").unwrap();
        until(|| peer(ours.as_fd()).is_gone);
        assert_eq!(unacknowledged(ours.as_fd()), Some(6));
    }

    #[test]
    fn a_peer_that_is_waited_for_is_watched_closely() {
        let (_client, ours) = pair();
        watch_closely(ours.as_fd());
        assert_eq!(SockRef::from(&ours).tcp_keepalive_time().unwrap(), Duration::from_secs(15));
    }
}
