//! What only the kernel knows about a connection: whether its peer is still there, and whether what was written has arrived.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// When the kernel gives up on a silent peer: once nothing has arrived for `idle`, it sends `probes` probes, one `every` so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub every: Duration,
    /// Unanswered probes before the connection is given up.
    pub probes: u32,
}

/// The state of a connection's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// It has closed its sending direction, even if what it sent before has not been read yet. It may still read, or be gone altogether.
    pub has_ended: bool,
    /// The connection was reset or has timed out: nothing arrives any more.
    pub is_gone: bool,
}

/// The current state of a TCP socket's peer.
pub fn peer(socket: BorrowedFd<'_>) -> Peer {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: the pointer is to one pollfd, and the kernel writes to it only during this call.
    let polled = unsafe { libc::poll(&raw mut poll, 1, 0) };
    let events = if polled > 0 { poll.revents } else { 0 };
    let is = |event: libc::c_short| events & event != 0;
    Peer { has_ended: is(libc::POLLRDHUP | libc::POLLHUP), is_gone: is(libc::POLLERR) }
}

/// Bytes written to a TCP socket that the peer's kernel has not acknowledged; after a reset, all of them. `None` if unknown.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (SIOCOUTQ of a socket) writes an int.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { u64::try_from(bytes).ok() } else { None }
}

/// Lets the kernel detect that an idle peer's machine is gone.
///
/// # Errors
/// The socket option can't be set.
pub fn keep_alive(socket: BorrowedFd<'_>, Keepalive { idle, every, probes }: Keepalive) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(every).with_retries(probes);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)
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
        let started = std::time::Instant::now();
        while !condition() {
            assert!(started.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_peer_that_only_stops_sending_is_told_from_one_that_is_gone() {
        let (mut half, mut ours) = pair();
        assert_eq!(peer(ours.as_fd()), Peer { has_ended: false, is_gone: false });
        // Even behind unread bytes.
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
        let seconds = Duration::from_secs;
        for keepalive in [
            Keepalive { idle: seconds(60), every: seconds(15), probes: 4 },
            Keepalive { idle: seconds(15), every: seconds(5), probes: 3 },
        ] {
            keep_alive(ours.as_fd(), keepalive).unwrap();
            let socket = SockRef::from(&ours);
            let [idle, every] = [socket.tcp_keepalive_time(), socket.tcp_keepalive_interval()].map(Result::unwrap);
            assert_eq!(Keepalive { idle, every, probes: socket.tcp_keepalive_retries().unwrap() }, keepalive);
            assert!(socket.keepalive().unwrap());
        }
    }
}
