//! A WebSocket: an edge of the [pipeline], as a connection for lines is. Each text message from the client is one request in JSON, and
//! each message to it holds one or more objects, one a line. A peer that does not read its answers is not read from, and one that is
//! silent, whatever is asked of it, is given up.

mod close;
mod frames;
mod handshake;
mod outbox;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::socket::Socket;
use crate::connection::{Input, Items, Sink, linger, peer, read_last};
use crate::hub::Hub;
use crate::limits::{PING_EVERY, SILENCE_MAX};
use crate::pipeline::{self, Edge as _, Pipeline, Step};
use crate::rooms::Handed;
use close::Code;
use dantok_net::ReadHalf;
use dantok_protocol::limits::{ENVELOPE_BYTES, JSON_FACTOR};
use dantok_protocol::{ErrorCode, Framing, Incoming, Refusal, Reply, Tag, framing, units};
use dantok_supervise::Caught;
use frames::{End, Inbox};
pub(super) use handshake::{Opened, handshake, open};
use outbox::Outbox;

/// The longest message for bodies of at most so many bytes.
fn message_max(body_max: usize) -> usize {
    JSON_FACTOR.saturating_mul(body_max.saturating_add(ENVELOPE_BYTES))
}

/// Messages that have arrived and that wait to be written.
struct Wire {
    inbox: Inbox,
    framing: Box<dyn Framing>,
    outbox: Outbox,
    hub: Arc<Hub>,
    /// Why the WebSocket is closed.
    closing: Option<(Code, String)>,
}

impl Wire {
    /// Notes why the WebSocket is closed; the first reason counts.
    fn close(&mut self, code: Code, reason: &str) {
        self.closing.get_or_insert_with(|| (code, reason.to_owned()));
    }
}

impl pipeline::Edge for Wire {
    type Items<'a> = Items<'a, Outbox>;

    fn next(&mut self) -> io::Result<Option<Incoming>> {
        if let Some(mut message) = self.inbox.next() {
            if message.is_empty() {
                let refusal =
                    Refusal::new(ErrorCode::BadCommand, "a message is one request in JSON; this one is empty");
                return Ok(Some(Incoming::Refused { tag: Tag::None, refusal }));
            }
            return self.framing.decode(&mut message);
        }
        match self.inbox.end() {
            Some(End::Broken(code, refusal)) if self.closing.is_none() => {
                self.closing = Some((*code, refusal.text.clone()));
                Ok(Some(Incoming::Broken(refusal.clone())))
            }
            _ => Ok(None),
        }
    }

    fn is_interrupted(&self) -> bool {
        false
    }

    fn set_body_max(&mut self, bytes: usize) {
        self.framing.set_body_max(bytes);
        self.inbox.set_max(message_max(bytes));
    }

    fn set_format(&mut self, json: bool) -> Result<(), Refusal> {
        self.framing.set_format(json)
    }

    fn reply(&mut self, tag: &Tag, reply: Reply) {
        if matches!(reply, Reply::Bye) {
            self.close(Code::Normal, "");
        }
        self.outbox.reply(&*self.framing, tag, reply);
    }

    fn telnet(&mut self, _answer: [u8; 3]) {
        // Nothing that arrives in a message is telnet's.
    }

    fn closing(&mut self, refusal: Refusal) {
        self.close(Code::of(&refusal), &refusal.text);
        self.outbox.closing(&*self.framing, refusal);
    }

    fn items<'a>(&'a mut self, tag: Option<&'a Tag>) -> Items<'a, Outbox> {
        Items::new(&mut self.outbox, &*self.framing, tag, &self.hub.pushed)
    }

    fn is_full(&self) -> bool {
        self.outbox.is_full()
    }

    async fn flush(&mut self) -> io::Result<()> {
        if let Some(payload) = self.inbox.pinged() {
            self.outbox.pong(&payload);
        }
        self.outbox.flush().await
    }
}

struct Connection {
    socket: ReadHalf,
    wire: Wire,
    pipeline: Pipeline,
    /// When the peer was last known to be there.
    heard: Instant,
}

/// Serves a WebSocket from its first frame on, until its peer is done, it breaks, or `stop` says so.
///
/// # Errors
/// The socket failed, which matters only for the debug log.
pub(super) async fn serve(
    socket: Socket,
    mut begun: BytesMut,
    hub: Arc<Hub>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let limits = hub.settings.get().limits.clone();
    let deadline = Instant::from_std(units::after(std::time::Instant::now(), limits.hello_timeout));
    let mut inbox = Inbox::new(message_max(limits.body_max_bytes));
    inbox.take(&mut begun);
    drop(begun);
    let (socket, write) = socket.halves()?;
    let outbox = Outbox::new(write, hub.figures.clone(), SILENCE_MAX);
    let framing = framing::messages(limits.body_max_bytes);
    let mut connection = Connection {
        socket,
        wire: Wire { inbox, framing, outbox, hub: hub.clone(), closing: None },
        pipeline: Pipeline::new(hub, deadline),
        heard: Instant::now(),
    };
    connection.note_end();
    let caught = {
        let run = std::pin::pin!(connection.run(stop));
        Caught(run).await
    };
    let (served, has_died) = match caught {
        Ok(served) => (served, false),
        Err(panic) => {
            tracing::error!("a WebSocket panicked: {}; this is a bug", dantok_supervise::panic_message(&*panic));
            let text =
                "internal error: see the daemon's log; requests without an answer may or may not have been carried out";
            connection.wire.closing(Refusal::new(ErrorCode::Storage, text));
            (Ok(()), true)
        }
    };
    connection.end(served, has_died).await
}

/// Turns away a WebSocket over a limit.
///
/// # Errors
/// The socket failed.
pub(super) async fn turn_away(socket: Socket, refusal: Refusal, hub: &Hub) -> io::Result<()> {
    let (mut read, write) = socket.halves()?;
    let mut outbox = Outbox::new(write, hub.figures.clone(), SILENCE_MAX);
    let text = refusal.text.clone();
    outbox.closing(&*framing::messages(0), refusal);
    outbox.close(Some(Code::TryAgain.into()), &text).await?;
    linger(&mut read, &mut outbox.socket).await
}

impl Connection {
    async fn run(&mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let waker = self.pipeline.waker();
        // Created once, so that they need not register anew in each turn.
        let (changed, stopping) = (waker.changed(), stop.wait_for(|stop| *stop));
        let beat = sleep_until(self.heard + PING_EVERY);
        tokio::pin!(changed, stopping, beat);
        loop {
            let begun = Instant::now();
            match self.pipeline.advance(&mut self.wire, &self.socket).await? {
                Step::Continue => continue,
                Step::Done => return Ok(()),
                Step::Wait => {}
            }
            self.wire.outbox.shrink();
            let can_read = self.pipeline.wants(self.wire.inbox.len());
            if begun.elapsed() > Duration::from_secs(1) || !can_read {
                // What the peer has sent meanwhile is not read yet.
                self.heard = Instant::now();
            }
            let (count, beat) = (self.wire.inbox.count(), &mut beat);
            tokio::select! {
                biased;
                woken = self.pipeline.wait() => self.pipeline.resume(woken, &mut self.wire),
                read = peer::read_or_watch(&mut self.socket, &mut self.wire.inbox, can_read) => {
                    self.note_read(read?, count);
                }
                () = &mut changed => changed.set(waker.changed()),
                _ = &mut stopping, if !self.pipeline.has_stopped() => self.last_read(),
                () = beat.as_mut() => self.beat(beat.as_mut())?,
            }
        }
    }

    /// Asks a peer that was silent for a while whether it is there.
    fn beat(&mut self, beat: Pin<&mut Sleep>) -> io::Result<()> {
        let now = Instant::now();
        let silence = now - self.heard;
        if silence >= SILENCE_MAX {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not answer pings"));
        }
        if silence >= PING_EVERY {
            self.wire.outbox.ping();
        }
        let next = if silence >= PING_EVERY { now } else { self.heard } + PING_EVERY;
        beat.reset(next.min(self.heard + SILENCE_MAX));
        Ok(())
    }

    /// Notes what was read, while so many messages had arrived before.
    fn note_read(&mut self, read: usize, count: usize) {
        self.wire.hub.figures.received_bytes.add(read as u64);
        self.heard = Instant::now();
        if read == 0 {
            self.pipeline.end();
        } else if self.wire.inbox.count() > count && self.pipeline.is_handing() && self.socket.has_arrived() {
            // The peer has what it was handed, and goes on.
            self.pipeline.take_handed().into_iter().for_each(Handed::arrived);
        }
        self.note_end();
    }

    /// Notes if the peer has closed the WebSocket. What it sent before is still carried out.
    fn note_end(&mut self) {
        if matches!(self.wire.inbox.end(), Some(End::Closed(_))) {
            self.pipeline.end();
        }
    }

    /// The daemon stops: reads what has arrived, which is still carried out, and no more.
    fn last_read(&mut self) {
        if !self.pipeline.has_ended() {
            let read = read_last(&mut self.socket, &mut self.wire.inbox);
            self.wire.hub.figures.received_bytes.add(read as u64);
            let text = "the daemon is stopping; connect again";
            self.wire.close(Code::GoingAway, text);
        }
        self.pipeline.stop();
    }

    /// Says why the WebSocket is closed, and closes it.
    async fn end(mut self, served: io::Result<()>, has_died: bool) -> io::Result<()> {
        let in_order = self.pipeline.has_ended() && !self.pipeline.has_stopped() && !has_died;
        let handed = self.pipeline.take_handed();
        let Connection { mut socket, mut wire, pipeline, .. } = self;
        // Before the connection lingers, so that WHO shows at once that the client is gone.
        drop(pipeline);
        let closed = match served {
            Ok(()) => wire.say_goodbye().await,
            Err(error) => Err(error),
        };
        let closed = match closed {
            Ok(()) if in_order => wire.outbox.socket.shutdown().await,
            Ok(()) => linger(&mut socket, &mut wire.outbox.socket).await,
            Err(error) => Err(error),
        };
        peer::see_arrive(&socket, handed, closed.is_err() || has_died).await;
        closed
    }
}

impl Wire {
    async fn say_goodbye(&mut self) -> io::Result<()> {
        match (self.inbox.end(), self.closing.take()) {
            (Some(End::Closed(code)), _) => {
                let code = *code;
                self.outbox.close(code, "").await
            }
            (_, Some((code, reason))) => {
                if code == Code::GoingAway {
                    let refusal = Refusal::new(ErrorCode::Stopping, reason.clone());
                    self.outbox.closing(&*self.framing, refusal);
                }
                self.outbox.close(Some(code.into()), &reason).await
            }
            // The peer has stopped sending without a word.
            (_, None) => self.outbox.close(Some(Code::Normal.into()), "").await,
        }
    }
}
