//! The output of a connection: answers and pushes, encoded in its framing.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use crate::figures::Figures;
use crate::limits::OUTPUT_HIGH_WATER_BYTES;
use crate::pushed::{PageInfo, Pushed};
use crate::session::Out;
use dantok_net::WriteHalf;
use dantok_protocol::{Framing, Item, MessageRef, Refusal, Reply, Tag};

/// The buffer that an idle connection keeps: enough for a few short answers.
const KEPT_BYTES: usize = 64;

/// Where answers and pushes are put until they are written.
pub(crate) trait Sink: Send {
    /// What waits to be written; encoded answers are appended.
    fn bytes(&mut self) -> &mut Vec<u8>;
    /// Counts errors.
    fn figures(&self) -> &Figures;
    /// Whether so much waits that it should be written before more is added.
    fn is_full(&self) -> bool;
    /// Writes what waits.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Puts an answer.
    fn reply(&mut self, framing: &dyn Framing, tag: &Tag, reply: Reply) {
        if let Reply::Error(refusal) = &reply {
            self.figures().refused(refusal.code);
        }
        fits(framing.put_reply(tag, reply, self.bytes()));
    }

    /// Puts why the connection is closed.
    fn closing(&mut self, framing: &dyn Framing, refusal: Refusal) {
        self.figures().refused(refusal.code);
        fits(framing.put_closing(refusal, self.bytes()));
    }
}

/// Bytes that wait to be written, and the socket to write them to.
pub(super) struct Output {
    pub(super) socket: WriteHalf,
    bytes: Vec<u8>,
    figures: Arc<Figures>,
}

/// Logs an answer that does not fit its framing, which can't happen: the limits keep every part of one far smaller.
fn fits(put: Result<(), Refusal>) {
    if let Err(refusal) = put {
        tracing::error!(%refusal, "an answer does not fit a frame; this is a bug");
    }
}

impl Output {
    pub(super) fn new(socket: WriteHalf, figures: Arc<Figures>) -> Output {
        Output { socket, bytes: Vec::with_capacity(KEPT_BYTES), figures }
    }

    /// Puts an answer to a telnet negotiation, between two lines.
    pub(super) fn telnet(&mut self, answer: [u8; 3]) {
        self.bytes.extend_from_slice(&answer);
    }

    /// Frees the memory that a large answer took, so that an idle connection does not keep it.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to(KEPT_BYTES);
    }
}

impl Sink for Output {
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
        if !self.bytes.is_empty() {
            self.socket.write_all(&self.bytes).await?;
            self.socket.flush().await?;
            self.figures.sent_bytes.add(self.bytes.len() as u64);
            self.bytes.clear();
        }
        Ok(())
    }
}

/// The output, for the items of one answer (with its tag) or for pushes.
pub(crate) struct Items<'a, S> {
    output: &'a mut S,
    framing: &'a dyn Framing,
    tag: Option<&'a Tag>,
    pushed: &'a Pushed,
    page_start: usize,
}

impl<'a, S: Sink> Items<'a, S> {
    pub(crate) fn new(
        output: &'a mut S,
        framing: &'a dyn Framing,
        tag: Option<&'a Tag>,
        pushed: &'a Pushed,
    ) -> Items<'a, S> {
        Items { output, framing, tag, pushed, page_start: 0 }
    }
}

impl<S: Sink> Out for Items<'_, S> {
    fn item(&mut self, item: Item) {
        fits(self.framing.put_item(self.tag, item, self.output.bytes()));
    }

    fn message(&mut self, message: MessageRef<'_>) {
        fits(self.framing.put_message(self.tag, message, self.output.bytes()));
    }

    fn repeat_page(&mut self, room: u64, after: u64, is_current: impl FnOnce(&PageInfo) -> bool) -> Option<PageInfo> {
        let found = self.pushed.get(room, self.framing.encoding(), after);
        let (page, bytes) = found.filter(|(page, _)| is_current(page))?;
        self.output.bytes().extend_from_slice(&bytes);
        Some(page)
    }

    fn begin_page(&mut self) {
        self.page_start = self.output.bytes().len();
    }

    fn end_page(&mut self, room: u64, page: PageInfo) {
        let bytes = self.output.bytes().get(self.page_start..).unwrap_or_default();
        self.pushed.put(room, self.framing.encoding(), page, bytes);
    }

    fn is_full(&self) -> bool {
        self.output.is_full()
    }

    async fn drain(&mut self) -> io::Result<()> {
        self.output.flush().await
    }
}
