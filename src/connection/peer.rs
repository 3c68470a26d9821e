//! Detects whether the peer is still there while it is not read from, and whether it received what it was handed.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Input, read};
use crate::limits::KEEPALIVE_TAKING;
use crate::pipeline::{self, Peer as _};
use crate::rooms::Handed;
use dantok_net::ReadHalf;

/// How often to check on a peer that is not read from.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the last answers may take to arrive. The kernel knows sooner, unless the peer's machine is gone.
const ARRIVE_WITHIN: Duration = Duration::from_secs(30);
/// A peer that resets the connection so soon after it was handed something, without sending anything else, is assumed not to have read
/// it: its kernel had it, but resets the connection of a program that ends with unread input.
const RESET_WITHIN: Duration = Duration::from_secs(10);

impl pipeline::Peer for ReadHalf {
    /// Completes when the connection was reset or has timed out, but not when the peer only stopped sending, because it may still read.
    async fn gone(&self) -> io::Error {
        while !self.peer().is_gone {
            sleep(LOOK_EVERY).await;
        }
        io::Error::new(io::ErrorKind::ConnectionReset, "the peer has gone")
    }

    fn has_ended(&self) -> bool {
        self.peer().has_ended
    }

    fn watch_closely(&self) {
        self.keep_alive(KEEPALIVE_TAKING);
    }
}

/// Appends what arrives next, as [`read`] does; if nothing is to be read now, only watches whether the peer is there.
pub(crate) async fn read_or_watch(socket: &mut ReadHalf, input: &mut impl Input, can_read: bool) -> io::Result<usize> {
    if can_read { read(socket, input).await } else { Err(socket.gone().await) }
}

/// At the end of a connection, finds out whether what was handed over has arrived; what has not is free again. `is_broken` says that
/// neither side closed the connection in order.
pub(crate) async fn see_arrive(socket: &ReadHalf, handed: Vec<Handed>, is_broken: bool) {
    if handed.is_empty() {
        return;
    }
    if is_broken {
        let has_arrived = socket.has_arrived();
        for handed in handed.into_iter().filter(|handed| has_arrived && handed.age() >= RESET_WITHIN) {
            handed.arrived();
        }
        return;
    }
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    while started.elapsed() < ARRIVE_WITHIN {
        if socket.has_arrived() {
            return handed.into_iter().for_each(Handed::arrived);
        }
        if socket.peer().is_gone {
            return;
        }
        sleep(pause).await;
        pause = LOOK_EVERY.min(pause * 2);
    }
}
