//! A room as this client sees it: what is in memory of it, where one looks at it, what is unread, what waits to be sent.

use std::collections::VecDeque;

use dantok::protocol::{Item, MemberInfo, RoomInfo};
use jiff::tz::TimeZone;

use crate::outbox::Waiting;
use crate::rows::{Row, rows};
use crate::timeline::Timeline;

/// Messages asked for at a time.
pub const PAGE: u64 = 200;
/// Read messages that are shown above the first unread one.
const CONTEXT: u64 = 100;
/// Notes that are kept; the oldest go.
const NOTES_MAX: usize = 50;

/// A message that is not in the timeline yet.
#[derive(Debug)]
pub struct Pending {
    /// What is to be sent.
    pub waiting: Waiting,
    /// It is stored, as this.
    pub seq: Option<u64>,
    /// A message that looks the same has come by FOLLOW, ahead of the answer.
    pub seen: bool,
}

/// Something that is told between the messages, and is no message.
#[derive(Debug)]
pub struct Note {
    /// Behind which seq it stands.
    pub after: u64,
    /// What.
    pub text: String,
}

/// The row that stands at the top of the screen.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// The entry that it belongs to.
    pub seq: u64,
    /// Which of the entry's rows it is.
    pub row: usize,
}

/// What has been asked of the daemon and is not answered.
#[derive(Debug, Default)]
pub struct Asked {
    /// A page.
    pub page: bool,
    /// An ACK.
    pub ack: bool,
    /// WHO.
    pub who: bool,
}

/// A room.
#[derive(Debug, Default)]
pub struct Room {
    /// This client is a member.
    pub joined: bool,
    /// As the list has it; none until it was told.
    pub info: Option<RoomInfo>,
    /// Up to here it is read, or gone.
    pub cursor: u64,
    /// The last seq that is known of.
    pub last: u64,
    /// What is in memory; none until it was opened.
    pub timeline: Option<Timeline>,
    /// Where one looks; none: at the end, and goes on with it.
    pub top: Option<Anchor>,
    /// Behind this seq stands the line "new".
    pub new_after: Option<u64>,
    /// The first unread message is to be brought into view.
    pub show_new: bool,
    /// What waits to be sent, in order.
    pub pending: Vec<Pending>,
    /// What else was told.
    pub notes: VecDeque<Note>,
    /// As WHO had them last.
    pub members: Vec<MemberInfo>,
    /// Its messages are pushed.
    pub followed: bool,
    /// What is under way.
    pub asked: Asked,
    /// Something was refused: the next try is a second later.
    pub paused: bool,
    /// An ACK was asked for after the whole list was.
    pub acked_since_list: bool,
    /// The first visible row, and how many are visible.
    pub visible: (usize, usize),
    rows: Option<(usize, Vec<Row>)>,
}

impl Room {
    /// Takes the list's word. `exact`: it came on the connection of our ACKs, so that it is not behind them.
    pub fn inform(&mut self, info: RoomInfo, exact: bool) {
        if let Some(unread) = info.unread {
            let cursor = info.last.saturating_sub(unread);
            let exact = exact && !self.asked.ack && !self.acked_since_list;
            self.cursor = if exact { cursor } else { cursor.max(self.cursor) };
        }
        self.joined = info.unread.is_some();
        if !self.joined {
            self.forget();
        }
        // What a followed room has is pushed; to fetch it as well would be for nothing.
        if !self.followed {
            self.last = self.last.max(info.last);
        }
        self.info = Some(info);
    }

    /// What was of a member is nobody's now.
    pub fn forget(&mut self) {
        (self.joined, self.cursor, self.timeline, self.top, self.new_after) = (false, 0, None, None, None);
        self.followed = false;
        self.touch();
    }

    /// How many stored messages are unread.
    pub fn unread(&self) -> u64 {
        // What the list counted may be behind an ACK that was answered since; and behind a message that was pushed.
        let listed = self.info.as_ref().filter(|_| self.joined).map_or(0, |info| info.last);
        listed.saturating_sub(self.cursor)
    }

    /// When something was said last.
    pub fn active_ms(&self) -> u64 {
        self.info.as_ref().map_or(0, |info| info.active_ms)
    }

    /// Something that is shown has changed.
    pub fn touch(&mut self) {
        self.rows = None;
    }

    /// Tells something between the messages.
    pub fn note(&mut self, text: String) {
        let after = self.timeline.as_ref().map_or(0, Timeline::through);
        self.notes.push_back(Note { after, text });
        if self.notes.len() > NOTES_MAX {
            self.notes.pop_front();
        }
        self.touch();
    }

    /// One comes to look at it: from here on the "new" line stands still.
    pub fn open(&mut self) {
        let unread = self.unread() > 0;
        self.new_after = unread.then_some(self.cursor);
        (self.top, self.show_new) = (None, unread);
        // What is in memory may be far from what is new.
        if unread && self.timeline.as_ref().is_some_and(|timeline| timeline.through() < self.cursor) {
            self.timeline = None;
        }
        self.touch();
    }

    /// Where the first page begins.
    pub fn begin(&self) -> u64 {
        self.cursor.min(self.last).saturating_sub(CONTEXT)
    }

    /// Goes to the end, over what is not in memory.
    pub fn go_to_end(&mut self) {
        (self.top, self.show_new) = (None, false);
        if self.timeline.as_ref().is_some_and(|timeline| timeline.through().saturating_add(PAGE) < self.last) {
            self.timeline = Some(Timeline::starting(self.last.saturating_sub(PAGE)));
        }
        self.touch();
    }

    /// Takes an item that came behind the others; `own`: the person at this keyboard.
    pub fn push(&mut self, item: Item, own: &str) {
        if let Item::Message(message) = &item {
            self.last = self.last.max(message.seq);
            if &*message.client == own {
                let same = |pending: &&mut Pending| {
                    pending.seq.is_none() && !pending.seen && pending.waiting.text.as_bytes() == &message.body[..]
                };
                if let Some(pending) = self.pending.iter_mut().find(same) {
                    pending.seen = true;
                }
            }
        }
        let Some(timeline) = &mut self.timeline else { return };
        // One who looks at the oldest keeps them; what is new is fetched when one comes there.
        if self.top.is_some() && timeline.is_full() {
            return;
        }
        if timeline.push(item) {
            let through = timeline.through();
            self.pending.retain(|pending| pending.seq.is_none_or(|seq| seq > through));
            self.touch();
        }
    }

    /// The message with this id is stored.
    pub fn sent(&mut self, id: &str, seq: u64) {
        if !self.followed {
            self.last = self.last.max(seq);
        }
        let through = self.timeline.as_ref().map_or(u64::MAX, Timeline::through);
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.waiting.id == id) {
            pending.seq = Some(seq);
        }
        self.pending.retain(|pending| pending.seq.is_none_or(|seq| seq > through));
        self.touch();
    }

    /// The message with this id will not be stored.
    pub fn refused(&mut self, id: &str, why: &str) {
        let Some(at) = self.pending.iter().position(|pending| pending.waiting.id == id) else { return };
        let pending = self.pending.remove(at);
        self.note(format!("not sent ({why}): {}", pending.waiting.text));
    }

    /// Its rows, for a screen of this width.
    pub fn rows(&mut self, width: usize, zone: &TimeZone, own: &str) -> &[Row] {
        if self.rows.as_ref().is_none_or(|(of, _)| *of != width) {
            self.rows = Some((width, rows(self, width, zone, own)));
        }
        self.rows.as_ref().map_or(&[], |(_, rows)| rows)
    }

    /// The rows that the last [`look`](Room::look) made.
    pub fn shown_rows(&self) -> &[Row] {
        self.rows.as_ref().map_or(&[], |(_, rows)| rows)
    }

    /// Finds which rows are visible on a screen of this size.
    pub fn look(&mut self, width: usize, height: usize, zone: &TimeZone, own: &str) {
        let mut show_new = self.show_new && self.timeline.as_ref().is_some_and(|timeline| !timeline.is_empty());
        let (top, new_after, is_whole) = (self.top, self.new_after, self.is_whole());
        let rows = self.rows(width, zone, own);
        let end = rows.len().saturating_sub(height);
        let mut top = top.and_then(|top| {
            let entry = rows.partition_point(|row| row.seq < top.seq);
            let of_it = rows.iter().skip(entry).take_while(|row| row.seq == top.seq).count();
            let at = entry + top.row.min(of_it.saturating_sub(1));
            (at < end).then_some(at)
        });
        if show_new && let Some(new_after) = new_after {
            let new = rows.partition_point(|row| row.seq <= new_after);
            top = (new < end).then(|| new.saturating_sub(1));
            // Less than a screen, but there is more to come: it is found when that is here.
            show_new = top.is_some() || is_whole;
        }
        let anchor = top.and_then(|at| anchor(rows, at));
        self.visible = (top.unwrap_or(end), height);
        // At the end of what is in memory, but not of the room: what is missing is fetched, and this is not the end.
        self.top = anchor;
        self.show_new &= !show_new;
    }

    /// Moves by so many rows; a negative number is up.
    pub fn scroll(&mut self, by: isize) {
        let (top, height) = self.visible;
        let Some((_, rows)) = &self.rows else { return };
        let end = rows.len().saturating_sub(height);
        let to = top.saturating_add_signed(by);
        self.top = (to < end).then(|| anchor(rows, to)).flatten();
        // The next step may come before the next picture.
        self.visible.0 = to.min(end);
    }

    /// Whether older messages are to be had, and one is near to where they would stand.
    pub fn wants_older(&self) -> bool {
        let first = self.timeline.as_ref().map_or(1, Timeline::first);
        self.top.is_some() && first > 1 && self.visible.0 < self.visible.1
    }

    /// Whether newer messages are to be had, and one is near to where they would stand.
    pub fn wants_newer(&self) -> bool {
        let rows = self.rows.as_ref().map_or(0, |(_, rows)| rows.len());
        let below = rows.saturating_sub(self.visible.0 + self.visible.1);
        !self.is_whole() && (self.top.is_none() || below < self.visible.1)
    }

    /// Whether everything up to the room's last message is in memory.
    pub fn is_whole(&self) -> bool {
        self.timeline.as_ref().is_some_and(|timeline| timeline.through() >= self.last)
    }
}

fn anchor(rows: &[Row], at: usize) -> Option<Anchor> {
    let seq = rows.get(at)?.seq;
    Some(Anchor { seq, row: at - rows.partition_point(|row| row.seq < seq) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dantok::protocol::{Kind, Message};

    fn message(seq: u64, text: &str) -> Item {
        let body = text.to_owned().into();
        Item::Message(Message {
            room: "r".into(),
            seq,
            time_ms: 1_795_221_000_000,
            client: "me".into(),
            body,
            kind: Kind::Plain,
        })
    }

    fn info(last: u64, unread: Option<u64>) -> RoomInfo {
        RoomInfo { room: "r".into(), members: 1, last, unread, active_ms: 0, topic: "".into(), private: false }
    }

    #[test]
    fn unread_counts_are_the_daemon_s_and_not_behind_our_acks() {
        let mut room = Room::default();
        room.inform(info(10, Some(3)), false);
        assert_eq!((room.unread(), room.cursor), (3, 7));
        room.cursor = 10;
        room.inform(info(10, Some(3)), false);
        assert_eq!(room.unread(), 0);
        room.inform(info(12, Some(5)), true);
        assert_eq!(room.unread(), 5);
        room.inform(info(12, None), false);
        assert!(!room.joined);
    }

    #[test]
    fn what_waits_goes_when_it_came_back_and_not_before() {
        let mut room = Room { timeline: Some(Timeline::starting(0)), ..Room::default() };
        for id in ["a", "b"] {
            let waiting = Waiting { id: id.into(), room: "r".into(), text: "same".into(), time_ms: 0 };
            room.pending.push(Pending { waiting, seq: None, seen: false });
        }
        room.push(message(1, "same"), "me");
        assert_eq!(room.pending.iter().filter(|pending| pending.seen).count(), 1);
        room.sent("a", 1);
        assert_eq!(room.pending.len(), 1);
        room.sent("b", 2);
        assert_eq!(room.pending.len(), 1);
        room.push(message(2, "same"), "me");
        assert!(room.pending.is_empty());
        room.pending.push(Pending {
            waiting: Waiting { id: "c".into(), room: "r".into(), text: "x".into(), time_ms: 0 },
            seq: None,
            seen: false,
        });
        room.refused("c", "too-long");
        assert!(room.pending.is_empty() && room.notes[0].text.contains("too-long"));
    }

    #[test]
    fn one_stays_where_one_looks() {
        let mut room = Room { timeline: Some(Timeline::starting(100)), ..Room::default() };
        let zone = TimeZone::UTC;
        for seq in 101..=150 {
            room.push(message(seq, "text"), "me");
        }
        room.look(60, 10, &zone, "me");
        assert!(room.top.is_none() && room.is_whole() && !room.wants_older());
        room.scroll(-20);
        room.look(60, 10, &zone, "me");
        let seq = room.top.unwrap().seq;
        room.push(message(151, "more"), "me");
        if let Some(timeline) = &mut room.timeline {
            timeline.push_older((61..=100).map(|seq| message(seq, "older")).collect());
        }
        room.touch();
        room.look(60, 10, &zone, "me");
        assert_eq!(room.top.unwrap().seq, seq);
        room.scroll(100);
        room.look(60, 10, &zone, "me");
        assert!(room.top.is_none());
    }

    #[test]
    fn the_first_unread_message_is_in_view() {
        let mut room = Room::default();
        room.inform(info(200, Some(100)), false);
        room.open();
        assert_eq!((room.new_after, room.begin()), (Some(100), 0));
        room.timeline = Some(Timeline::starting(0));
        for seq in 1..=200 {
            room.push(message(seq, "text"), "you");
        }
        room.look(60, 10, &TimeZone::UTC, "me");
        assert_eq!(room.top.unwrap().seq, 100);
        // It is not given up because the page with the rest of it is still to come.
        room.open();
        room.timeline = Some(Timeline::starting(0));
        (1..=102).for_each(|seq| room.push(message(seq, "text"), "you"));
        room.look(60, 10, &TimeZone::UTC, "me");
        assert!(room.top.is_none() && room.show_new && room.wants_newer());
        (103..=200).for_each(|seq| room.push(message(seq, "text"), "you"));
        room.look(60, 10, &TimeZone::UTC, "me");
        assert_eq!(room.top.unwrap().seq, 100);
    }
}
