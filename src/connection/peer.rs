//! Whether the peer is still there, while nobody reads from it; and whether it got what it was handed.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, sleep};

use super::read;
use crate::limits::KEEPALIVE_TAKING;
use crate::pipeline::{self, Peer as _};
use crate::rooms::Handed;
use dantok_net::ReadHalf;

/// How often a peer is looked for that is not read from.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the last answers may take to arrive. The kernel knows before that, unless the peer's machine is gone.
const ARRIVE_WITHIN: Duration = Duration::from_secs(30);
/// A peer that is reset so soon after it was handed something, without another word, is taken not to have read it: its kernel had it,
/// but a program that ends with something unread is reset.
const RESET_WITHIN: Duration = Duration::from_secs(10);

impl pipeline::Peer for ReadHalf {
    /// Ends when the connection is reset or has timed out. Not when the peer has ended its sending direction: it may read.
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

/// Appends what comes next, as [`read`]; where nothing is to be read now, only sees whether the peer is there.
pub(super) async fn read_or_watch(socket: &mut ReadHalf, input: &mut BytesMut, can_read: bool) -> io::Result<usize> {
    if can_read { read(socket, input).await } else { Err(socket.gone().await) }
}

/// Sees whether what was handed over has arrived, when the connection is at its end; what has not is free again. `is_broken`: it was
/// not the peer, or we, who ended it in order.
pub(super) async fn see_arrive(socket: &ReadHalf, handed: Vec<Handed>, is_broken: bool) {
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
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    while begun.elapsed() < ARRIVE_WITHIN {
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
