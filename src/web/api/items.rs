//! What a response is made of: messages and other items, in the form that it has, handed on as it is read.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::limits::OUTPUT_HIGH_WATER_BYTES;
use crate::pushed::{PageInfo, Pushed};
use crate::session::Out;
use dantok_protocol::{Encoding, Item, MessageRef, Refusal, Tag, json, text};

/// The form of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object, with the items in an array.
    Object,
    /// A line of JSON for each.
    Lines,
    /// Server-sent events.
    Events,
    /// A line of text for each message.
    Text,
}

/// Collects items.
pub(super) struct Items {
    form: Form,
    bytes: Vec<u8>,
    epoch: Arc<str>,
    count: u64,
    /// How many more messages are taken.
    left: u64,
    /// The last seq of an item.
    reached: u64,
    /// Whatever is collected is handed on at once.
    is_live: bool,
    has_begun: bool,
    /// Nothing more comes.
    has_ended: bool,
    /// A stream is about to begin; not where the client left off, for this reason.
    opening: Option<Option<Refusal>>,
    sender: Option<mpsc::Sender<Bytes>>,
}

impl Items {
    /// For answers without items.
    pub(super) fn new(epoch: Arc<str>) -> Items {
        Items {
            form: Form::Object,
            bytes: Vec::new(),
            epoch,
            count: 0,
            left: u64::MAX,
            reached: 0,
            is_live: false,
            has_begun: false,
            has_ended: false,
            opening: None,
            sender: None,
        }
    }

    /// Begins a response in this form, which is handed on to `sender` in parts.
    pub(super) fn begin(&mut self, form: Form, sender: mpsc::Sender<Bytes>) {
        *self = Items { form, sender: Some(sender), ..Items::new(self.epoch.clone()) };
    }

    /// With the next FOLLOW, a stream begins; not where the client left off, if there is a reason.
    pub(super) fn open_with(&mut self, set_back: Option<Refusal>) {
        self.opening = Some(set_back);
    }

    /// A FOLLOW has begun: from now on, whatever there is is handed on at once.
    pub(super) fn followed(&mut self, room: &str, number: u64, after: u64) {
        let Some(set_back) = self.opening.take() else { return };
        self.is_live = true;
        if let Some(Refusal { code, text, .. }) = set_back {
            let told = json!({"type": "set-back", "room": room, "code": code.as_str(), "text": text});
            self.object("set-back", None, &told);
        }
        let begun = json!({"type": "begin", "room": room, "number": number, "epoch": self.epoch, "after": after});
        self.object("begin", Some(after), &begun);
    }

    /// Takes at most so many messages from now on.
    pub(super) fn limit(&mut self, messages: u64) {
        self.left = messages;
    }

    /// The epoch of all seqs.
    pub(super) fn epoch(&self) -> &Arc<str> {
        &self.epoch
    }

    /// How many items there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The last seq of an item.
    pub(super) fn reached(&self) -> u64 {
        self.reached
    }

    /// Puts text between items.
    pub(super) fn put(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Whether the last item says that no more come.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Puts something that means nothing.
    pub(super) fn beat(&mut self) {
        self.put(if self.form == Form::Events { ":\n\n" } else { "\n" });
    }

    /// Whether so much waits that it should be handed on.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= OUTPUT_HIGH_WATER_BYTES
    }

    /// Hands on what there is, if it is time to.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.is_live || self.is_full() { self.hand_on().await } else { Ok(()) }
    }

    async fn hand_on(&mut self) -> io::Result<()> {
        let Some(sender) = &self.sender else { return Ok(()) };
        if self.bytes.is_empty() {
            return Ok(());
        }
        self.has_begun = true;
        let bytes = std::mem::take(&mut self.bytes);
        sender.send(bytes.into()).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Takes out what was not handed on, at the end.
    pub(super) fn end(&mut self) -> Bytes {
        self.sender = None;
        std::mem::take(&mut self.bytes).into()
    }

    /// Puts why a response ends early; false if it has not begun, or its form has no place for that.
    pub(super) fn fail(&mut self, refusal: &Refusal) -> bool {
        if !self.has_begun {
            return false;
        }
        let mut line = Vec::new();
        json::encode_reply(&Tag::None, &dantok_protocol::Reply::Error(refusal.clone()), &mut line);
        match self.form {
            Form::Object => return false,
            Form::Lines => self.bytes.extend(line),
            Form::Events => self.event("ended", None, &line),
            Form::Text => {}
        }
        true
    }

    /// Puts an event: its name, its id and its data, a line of JSON.
    fn event(&mut self, name: &str, seq: Option<u64>, line: &[u8]) {
        if !name.is_empty() {
            self.put(&format!("event: {name}\n"));
        }
        if let Some(seq) = seq {
            self.put(&format!("id: {}:{seq}\n", self.epoch.clone()));
        }
        self.put("data: ");
        self.bytes.extend_from_slice(line);
        self.put("\n");
    }

    /// Puts an object of the daemon's own, as an item.
    pub(super) fn object(&mut self, name: &str, seq: Option<u64>, object: &serde_json::Value) {
        let line = format!("{object}\n");
        match self.form {
            Form::Object | Form::Text => {}
            Form::Lines => self.put(&line),
            Form::Events => self.event(name, seq, line.as_bytes()),
        }
    }

    fn item(&mut self, item: &Item) {
        self.count += 1;
        let (name, seq) = match item {
            Item::Gap { to, .. } => ("gap", Some(*to)),
            Item::Gone { .. } => ("gone", None),
            Item::Ended { .. } => ("ended", None),
            _ => ("", None),
        };
        self.reached = seq.unwrap_or(self.reached);
        self.has_ended |= matches!(item, Item::Gone { .. } | Item::Ended { .. });
        match self.form {
            Form::Object => {
                self.separate();
                json::encode_item(&Tag::None, item, &mut self.bytes);
            }
            Form::Lines => json::encode_item(&Tag::None, item, &mut self.bytes),
            Form::Events => {
                let mut line = Vec::new();
                json::encode_item(&Tag::None, item, &mut line);
                self.event(name, seq, &line);
            }
            Form::Text => {}
        }
    }

    fn message(&mut self, message: MessageRef<'_>) {
        let Some(left) = self.left.checked_sub(1) else { return };
        (self.left, self.reached) = (left, message.seq);
        self.count += 1;
        match self.form {
            Form::Object => {
                self.separate();
                json::encode_message(&Tag::None, message, &mut self.bytes);
            }
            Form::Lines => json::encode_message(&Tag::None, message, &mut self.bytes),
            Form::Events => {
                self.put(&format!("id: {}:{}\ndata: ", self.epoch.clone(), message.seq));
                json::encode_message(&Tag::None, message, &mut self.bytes);
                self.put("\n");
            }
            Form::Text => {
                text::escape_into(&mut self.bytes, message.body);
                self.put("\n");
            }
        }
    }

    /// Separates an item from the one before.
    fn separate(&mut self) {
        if self.count > 1 {
            self.put(",");
        }
    }
}

/// Collects the items of an answer or of pushes.
pub(super) struct Collect<'a> {
    items: &'a mut Items,
    pushed: &'a Pushed,
    page_start: usize,
}

impl<'a> Collect<'a> {
    pub(super) fn new(items: &'a mut Items, pushed: &'a Pushed) -> Collect<'a> {
        Collect { items, pushed, page_start: 0 }
    }

    /// Whether the form is that of lines in JSON, so that pages can be shared with them.
    fn is_shared(&self) -> bool {
        self.items.form == Form::Lines && self.items.left == u64::MAX
    }
}

impl Out for Collect<'_> {
    fn item(&mut self, item: Item) {
        self.items.item(&item);
    }

    fn message(&mut self, message: MessageRef<'_>) {
        self.items.message(message);
    }

    fn repeat_page(&mut self, room: u64, after: u64, is_current: impl FnOnce(&PageInfo) -> bool) -> Option<PageInfo> {
        if !self.is_shared() {
            return None;
        }
        let (page, bytes) = self.pushed.get(room, Encoding::Json, after).filter(|(page, _)| is_current(page))?;
        self.items.bytes.extend_from_slice(&bytes);
        self.items.count += page.messages;
        self.items.reached = page.through;
        Some(page)
    }

    fn begin_page(&mut self) {
        self.page_start = self.items.bytes.len();
    }

    fn end_page(&mut self, room: u64, page: PageInfo) {
        if self.is_shared() {
            let bytes = self.items.bytes.get(self.page_start..).unwrap_or_default();
            self.pushed.put(room, Encoding::Json, page, bytes);
        }
    }

    fn is_full(&self) -> bool {
        self.items.is_full()
    }

    async fn drain(&mut self) -> io::Result<()> {
        self.items.hand_on().await
    }
}
