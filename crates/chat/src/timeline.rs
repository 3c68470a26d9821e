//! The part of a room's messages that is in memory. It has no holes, and its size is bounded.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use dantok_protocol::{Item, Kind, Message};

/// Messages and gaps kept per room. Others are fetched again when somebody scrolls to them.
const ENTRIES_MAX: usize = 1000;
/// Bytes of message bodies kept per room.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// An entry in a room's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message.
    Message(Message),
    /// Messages that have expired.
    Gap {
        /// The first seq.
        from: u64,
        /// The last seq.
        to: u64,
    },
}

impl Entry {
    /// Makes an entry of an item; `None` if the item has no place in the order.
    fn new(item: Item) -> Option<Entry> {
        match item {
            Item::Message(message) => Some(Entry::Message(message)),
            Item::Gap { from, to, .. } => Some(Entry::Gap { from, to }),
            _ => None,
        }
    }

    /// The entry's first seq.
    pub fn from(&self) -> u64 {
        match self {
            Entry::Message(message) => message.seq,
            Entry::Gap { from, .. } => *from,
        }
    }

    /// The entry's last seq.
    pub fn to(&self) -> u64 {
        match self {
            Entry::Message(message) => message.seq,
            Entry::Gap { to, .. } => *to,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Entry::Message(message) => message.body.len(),
            Entry::Gap { .. } => 0,
        }
    }
}

/// For a redaction, the seq of the redacted message, and its own seq.
pub fn redaction(message: &Message) -> Option<(u64, u64)> {
    match message.kind {
        Kind::Redaction(of) => Some((of, message.seq)),
        _ => None,
    }
}

/// Consecutive entries of a room.
#[derive(Debug, Default)]
pub struct Timeline {
    entries: VecDeque<Entry>,
    through: u64,
    bytes: usize,
}

impl Timeline {
    /// An empty timeline whose first entry will follow this seq.
    pub fn starting(after: u64) -> Timeline {
        Timeline { through: after, ..Timeline::default() }
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The messages, in order.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Message(message) => Some(message),
            Entry::Gap { .. } => None,
        })
    }

    /// The message with this seq, if it is in memory.
    pub fn get(&self, seq: u64) -> Option<&Message> {
        let at = self.entries.partition_point(|entry| entry.to() < seq);
        match self.entries.get(at)? {
            Entry::Message(message) if message.seq == seq => Some(message),
            _ => None,
        }
    }

    /// Drops the text of a message that another one redacts. Returns whether the message was in memory.
    pub fn redact(&mut self, seq: u64, by: u64) -> bool {
        let at = self.entries.partition_point(|entry| entry.to() < seq);
        match self.entries.get_mut(at) {
            Some(Entry::Message(message)) if message.seq == seq => {
                self.bytes -= message.body.len();
                (message.body, message.kind) = (Bytes::new(), Kind::Redacted(by));
                true
            }
            _ => false,
        }
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first seq in it or, while it is empty, the one with which it will begin.
    pub fn first(&self) -> u64 {
        self.entries.front().map_or(self.through.saturating_add(1), Entry::from)
    }

    /// The last seq in it or, while it is empty, the seq after which it begins.
    pub fn through(&self) -> u64 {
        self.through
    }

    /// Whether there is no room for another entry.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX
    }

    /// Adds an item at the end, unless it is already known or would leave a hole. Drops the oldest entries if there are too many.
    /// Returns whether it was added.
    pub fn push(&mut self, item: Item) -> bool {
        let Some(mut entry) = Entry::new(item) else { return false };
        if let Entry::Gap { from, .. } = &mut entry {
            *from = (*from).max(self.through.saturating_add(1));
        }
        if entry.from() != self.through.saturating_add(1) || entry.to() < entry.from() {
            return false;
        }
        self.through = entry.to();
        self.bytes += entry.bytes();
        // Adjacent gaps are merged into one.
        match (self.entries.back_mut(), &entry) {
            (Some(Entry::Gap { to: last, .. }), Entry::Gap { to, .. }) => *last = *to,
            _ => self.entries.push_back(entry),
        }
        while self.over() && self.entries.len() > 1 {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.bytes());
        }
        true
    }

    fn over(&self) -> bool {
        self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX
    }

    /// Adds a page that ends right before the first entry. Drops the newest entries if there are too many.
    pub fn push_older(&mut self, items: Vec<Item>) {
        // The page may have been read before one of its messages was redacted.
        let redacted: BTreeMap<u64, u64> = self.messages().filter_map(redaction).collect();
        for mut entry in items.into_iter().rev().filter_map(Entry::new) {
            let end = self.first().saturating_sub(1);
            if let Entry::Gap { to, .. } = &mut entry {
                *to = (*to).min(end);
            }
            if entry.to() != end || entry.from() > end {
                continue;
            }
            self.bytes += entry.bytes();
            match (self.entries.front_mut(), &entry) {
                (Some(Entry::Gap { from: first, .. }), Entry::Gap { from, .. }) => *first = *from,
                _ => self.entries.push_front(entry),
            }
        }
        for (of, by) in redacted {
            self.redact(of, by);
        }
        while self.over() && self.entries.len() > 1 {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| entry.bytes());
            self.through = self.entries.back().map_or(self.through, Entry::to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dantok_protocol::{GapReason, Kind};

    fn message(seq: u64) -> Item {
        let body = seq.to_string().into();
        Item::Message(Message { room: "r".into(), seq, time_ms: seq, client: "c".into(), body, kind: Kind::Plain })
    }

    fn gap(from: u64, to: u64) -> Item {
        Item::Gap { room: "r".into(), from, to, reason: GapReason::Expired }
    }

    fn seqs(timeline: &Timeline) -> Vec<(u64, u64)> {
        timeline.entries().map(|entry| (entry.from(), entry.to())).collect()
    }

    #[test]
    fn there_are_no_duplicates_and_no_holes() {
        let mut timeline = Timeline::starting(4);
        assert_eq!(timeline.first(), 5);
        for (item, taken) in
            [(message(4), false), (message(6), false), (gap(2, 6), true), (message(6), false), (message(7), true)]
        {
            assert_eq!(timeline.push(item.clone()), taken, "{item:?}");
        }
        assert_eq!(seqs(&timeline), [(5, 6), (7, 7)]);
        timeline.push_older(vec![gap(1, 2), message(3), message(4), message(5)]);
        assert_eq!(seqs(&timeline), [(1, 2), (3, 3), (4, 4), (5, 6), (7, 7)]);
        let mut timeline = Timeline::starting(4);
        for item in [gap(5, 6), gap(7, 8), message(9)] {
            assert!(timeline.push(item));
        }
        timeline.push_older(vec![gap(1, 4)]);
        assert_eq!(seqs(&timeline), [(1, 8), (9, 9)]);
    }

    #[test]
    fn redacted_messages_have_no_text_whatever_the_order() {
        let redacts = |seq, of| match message(seq) {
            Item::Message(message) => {
                Item::Message(Message { body: Bytes::new(), kind: Kind::Redaction(of), ..message })
            }
            other => other,
        };
        let mut timeline = Timeline::starting(4);
        for item in [message(5), message(6), redacts(7, 5), redacts(8, 3)] {
            assert!(timeline.push(item));
        }
        assert!(timeline.redact(5, 7) && !timeline.redact(3, 8));
        timeline.push_older(vec![message(2), message(3), message(4)]);
        let texts: Vec<&[u8]> = timeline.messages().map(|message| &message.body[..]).collect();
        assert_eq!(texts, [&b"2"[..], b"", b"4", b"", b"6", b"", b""]);
        assert_eq!(timeline.get(3).unwrap().kind, Kind::Redacted(8));
        assert_eq!(timeline.bytes, 3);
    }

    #[test]
    fn entries_are_dropped_at_the_other_end() {
        let mut timeline = Timeline::starting(5000);
        for seq in 5001..8000 {
            assert!(timeline.push(message(seq)));
        }
        assert_eq!((timeline.first(), timeline.through()), (7000, 7999));
        timeline.push_older((6600..7000).map(message).collect());
        assert_eq!((timeline.first(), timeline.through(), timeline.entries.len()), (6600, 7599, ENTRIES_MAX));
        assert!(!timeline.push(message(8000)) && timeline.push(message(7600)));
    }
}
