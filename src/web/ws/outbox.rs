//! A WebSocket's outgoing frames: everything that waits goes into one text message, a JSON object a line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::close::Code;
use crate::connection::Sink;
use crate::figures::Figures;
use crate::limits::OUTPUT_HIGH_WATER_BYTES;
use dantok_net::WriteHalf;

/// Room in front of a message for its head.
const HEAD_BYTES: usize = 10;
/// The buffer that an idle connection keeps.
const KEPT_BYTES: usize = 64;
/// The longest payload of a control frame.
const CONTROL_MAX_BYTES: usize = 125;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// What waits to be written, and the socket to write it to.
pub(super) struct Outbox {
    pub(super) socket: WriteHalf,
    /// Lines of JSON, behind room for the head.
    bytes: Vec<u8>,
    /// Control frames, which are written before the message.
    control: Vec<u8>,
    figures: Arc<Figures>,
    /// How long the peer may read nothing while something waits for it.
    stall: Duration,
}

impl Outbox {
    pub(super) fn new(socket: WriteHalf, figures: Arc<Figures>, stall: Duration) -> Outbox {
        let mut bytes = Vec::with_capacity(KEPT_BYTES);
        bytes.resize(HEAD_BYTES, 0);
        Outbox { socket, bytes, control: Vec::new(), figures, stall }
    }

    /// Frees the memory that a large answer took.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to(KEPT_BYTES);
    }

    pub(super) fn ping(&mut self) {
        self.control_frame(PING, b"");
    }

    pub(super) fn pong(&mut self, payload: &[u8]) {
        self.control_frame(PONG, payload);
    }

    fn control_frame(&mut self, first: u8, payload: &[u8]) {
        let payload = payload.get(..CONTROL_MAX_BYTES).unwrap_or(payload);
        self.control.extend([first, payload.len() as u8]);
        self.control.extend_from_slice(payload);
    }

    /// Writes what waits, and a close frame after it; nothing may follow. Without a code, the peer gave none.
    pub(super) async fn close(&mut self, code: Option<u16>, reason: &str) -> io::Result<()> {
        self.flush().await?;
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.extend(code.to_be_bytes());
            let mut end = reason.len().min(CONTROL_MAX_BYTES - 2);
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
        }
        self.control_frame(CLOSE, &payload);
        self.flush().await
    }

    /// Puts the head in front of the message and returns where it begins.
    fn put_head(&mut self) -> usize {
        let length = self.bytes.len() - HEAD_BYTES;
        let mut head = vec![TEXT];
        match length {
            0..126 => head.push(length as u8),
            126..0x1_0000 => {
                head.push(126);
                head.extend((length as u16).to_be_bytes());
            }
            _ => {
                head.push(127);
                head.extend((length as u64).to_be_bytes());
            }
        }
        let begins = HEAD_BYTES - head.len();
        if let Some(room) = self.bytes.get_mut(begins..HEAD_BYTES) {
            room.copy_from_slice(&head);
        }
        begins
    }
}

/// Writes all of it, while the peer goes on reading.
async fn write(socket: &mut WriteHalf, mut bytes: &[u8], stall: Duration) -> io::Result<()> {
    let stalled = |_| io::Error::new(io::ErrorKind::TimedOut, "the peer does not read");
    while !bytes.is_empty() {
        let written = timeout(stall, socket.write(bytes)).await.map_err(stalled)??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    timeout(stall, socket.flush()).await.map_err(stalled)?
}

impl Sink for Outbox {
    fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= OUTPUT_HIGH_WATER_BYTES
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.control.is_empty() {
            write(&mut self.socket, &self.control, self.stall).await?;
            self.figures.sent_bytes.add(self.control.len() as u64);
            self.control = Vec::new();
        }
        if self.bytes.len() > HEAD_BYTES {
            // Lines are separated, and not ended, by line feeds.
            self.bytes.pop_if(|last| *last == b'\n');
            let begins = self.put_head();
            let message = self.bytes.get(begins..).unwrap_or_default();
            write(&mut self.socket, message, self.stall).await?;
            self.figures.sent_bytes.add(message.len() as u64);
            self.bytes.truncate(HEAD_BYTES);
        }
        Ok(())
    }
}

impl From<Code> for u16 {
    fn from(code: Code) -> u16 {
        code as u16
    }
}
