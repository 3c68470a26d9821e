//! What a connection writes: answers and pushes, encoded in its framing.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use crate::figures::Figures;
use crate::limits::OUTPUT_HIGH_WATER_BYTES;
use crate::pushed::{PageInfo, Pushed};
use crate::session::Out;
use dantok_net::WriteHalf;
use dantok_protocol::Framing;
use dantok_protocol::frame::{self, ServerFrame};
use dantok_protocol::{ErrorCode, Item, MessageRef, Refusal, Reply, Tag};
use dantok_protocol::{json, line};

/// What an idle connection keeps for its answers: as much as a few short ones take.
const KEPT_BYTES: usize = 64;

/// What waits to be written, and where to.
pub(super) struct Output {
    pub(super) socket: WriteHalf,
    framing: Framing,
    bytes: Vec<u8>,
    figures: Arc<Figures>,
}

impl Output {
    pub(super) fn new(socket: WriteHalf, framing: Framing, figures: Arc<Figures>) -> Output {
        Output { socket, framing, bytes: Vec::with_capacity(KEPT_BYTES), figures }
    }

    /// Goes on in JSON, or in text.
    pub(super) fn set_format(&mut self, json: bool) -> Result<(), Refusal> {
        match self.framing {
            Framing::Lines | Framing::Json => self.framing = if json { Framing::Json } else { Framing::Lines },
            Framing::Frames => {
                return Err(Refusal::new(ErrorCode::BadArgument, "frames have one format; FORMAT is for lines"));
            }
        }
        Ok(())
    }

    pub(super) fn reply(&mut self, tag: &Tag, reply: Reply) {
        if let Reply::Error(refusal) = &reply {
            self.figures.refused(refusal.code);
        }
        match self.framing {
            Framing::Lines => line::encode_reply(tag, &reply, &mut self.bytes),
            Framing::Json => json::encode_reply(tag, &reply, &mut self.bytes),
            Framing::Frames => self.frame(&ServerFrame::Reply { id: id(tag), reply }),
        }
    }

    /// What telnet is answered with, between two lines.
    pub(super) fn telnet(&mut self, answer: [u8; 3]) {
        self.bytes.extend_from_slice(&answer);
    }

    fn item(&mut self, tag: Option<&Tag>, item: Item) {
        match (self.framing, tag) {
            (Framing::Lines, tag) => line::encode_item(tag.unwrap_or(&Tag::None), &item, &mut self.bytes),
            (Framing::Json, tag) => json::encode_item(tag.unwrap_or(&Tag::None), &item, &mut self.bytes),
            (Framing::Frames, Some(tag)) => self.frame(&ServerFrame::Part { id: id(tag), item }),
            (Framing::Frames, None) => self.frame(&ServerFrame::Push { item }),
        }
    }

    pub(super) fn closing(&mut self, refusal: Refusal) {
        self.figures.refused(refusal.code);
        match self.framing {
            Framing::Lines => line::encode_reply(&Tag::None, &Reply::Error(refusal), &mut self.bytes),
            Framing::Json => json::encode_reply(&Tag::None, &Reply::Error(refusal), &mut self.bytes),
            Framing::Frames => self.frame(&ServerFrame::Closing { refusal }),
        }
    }

    fn frame(&mut self, frame: &ServerFrame) {
        // Every part of an answer is bounded by the limits, far under a frame's.
        if let Err(refusal) = frame::encode_server(frame, &mut self.bytes) {
            tracing::error!(%refusal, "an answer does not fit a frame; this is a bug");
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= OUTPUT_HIGH_WATER_BYTES
    }

    /// Gives back what a large answer took: an idle connection does not keep it.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to(KEPT_BYTES);
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.bytes.is_empty() {
            self.socket.write_all(&self.bytes).await?;
            self.socket.flush().await?;
            self.figures.sent_bytes.add(self.bytes.len() as u64);
            self.bytes.clear();
        }
        Ok(())
    }
}

fn id(tag: &Tag) -> u64 {
    if let Tag::Id(id) = tag { *id } else { 0 }
}

/// The output, for the items of one answer (with its tag) or for pushes.
pub(super) struct Items<'a> {
    output: &'a mut Output,
    tag: Option<&'a Tag>,
    pushed: &'a Pushed,
    page_start: usize,
}

impl<'a> Items<'a> {
    pub(super) fn new(output: &'a mut Output, tag: Option<&'a Tag>, pushed: &'a Pushed) -> Items<'a> {
        Items { output, tag, pushed, page_start: 0 }
    }
}

impl Out for Items<'_> {
    fn item(&mut self, item: Item) {
        self.output.item(self.tag, item);
    }

    fn message(&mut self, message: MessageRef<'_>) {
        let Output { framing, bytes, .. } = self.output;
        let put = match framing {
            Framing::Lines => return line::encode_message(self.tag.unwrap_or(&Tag::None), message, bytes),
            Framing::Json => return json::encode_message(self.tag.unwrap_or(&Tag::None), message, bytes),
            Framing::Frames => frame::encode_message(self.tag.map(id), message, bytes),
        };
        if let Err(refusal) = put {
            tracing::error!(%refusal, "a message does not fit a frame; this is a bug");
        }
    }

    fn repeat_page(&mut self, room: u64, after: u64, is_current: impl FnOnce(&PageInfo) -> bool) -> Option<PageInfo> {
        let found = self.pushed.get(room, self.output.framing, after);
        let (page, bytes) = found.filter(|(page, _)| is_current(page))?;
        self.output.bytes.extend_from_slice(&bytes);
        Some(page)
    }

    fn begin_page(&mut self) {
        self.page_start = self.output.bytes.len();
    }

    fn end_page(&mut self, room: u64, page: PageInfo) {
        let bytes = self.output.bytes.get(self.page_start..).unwrap_or_default();
        self.pushed.put(room, self.output.framing, page, bytes);
    }

    fn is_full(&self) -> bool {
        self.output.is_full()
    }

    async fn drain(&mut self) -> io::Result<()> {
        self.output.flush().await
    }
}
