//! The state of one room: its messages in memory, the scroll position, what is unread, and what waits to be sent.

use std::collections::VecDeque;

use dantok_protocol::{Item, RoomInfo};
use jiff::tz::TimeZone;

use crate::presence::Presence;
use crate::rows::{Row, rows};
use crate::timeline::{Timeline, redaction};
use dantok_client::outbox::Waiting;

/// Messages requested at a time.
pub const PAGE: u64 = 200;
/// How many read messages are shown above the first unread one.
const CONTEXT: u64 = 100;
/// Notes kept; the oldest are dropped.
const NOTES_MAX: usize = 50;
/// Seconds for which our own ACK overrides a list that does not show it yet.
const ACK_HOLDS_SECONDS: u8 = 3;

/// A message that is not in the timeline yet.
#[derive(Debug)]
pub struct Pending {
    /// The message from the outbox.
    pub waiting: Waiting,
    /// Its seq, once it is stored.
    pub seq: Option<u64>,
    /// FOLLOW has pushed a message with the same text before our answer arrived.
    pub seen: bool,
}

/// Something shown between the messages that is not a message itself.
#[derive(Debug)]
pub struct Note {
    /// It is shown after the message with this seq.
    pub after: u64,
    /// Its text.
    pub text: String,
    /// It is information about others, rather than an error.
    pub quiet: bool,
}

/// The row at the top of the screen.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// The seq of the entry that it belongs to.
    pub seq: u64,
    /// Its place among the entry's rows.
    pub row: usize,
}

/// Requests to the daemon that are not answered yet.
#[derive(Debug, Default)]
pub struct Asked {
    /// A page.
    pub page: bool,
    /// An ACK.
    pub ack: bool,
    /// WHO.
    pub who: bool,
}

/// The state of one room.
#[derive(Debug, Default)]
pub struct Room {
    /// Whether this client is a member.
    pub joined: bool,
    /// The room's entry in the list; `None` until that is known.
    pub info: Option<RoomInfo>,
    /// Everything up to this seq is read, or has expired.
    pub cursor: u64,
    /// The highest known seq.
    pub last: u64,
    /// The messages in memory; `None` until the room is opened.
    pub timeline: Option<Timeline>,
    /// The scroll position; `None`: at the end, following new messages.
    pub top: Option<Anchor>,
    /// The "new" line is shown after this seq.
    pub new_after: Option<u64>,
    /// Scroll to the first unread message.
    pub show_new: bool,
    /// Messages waiting to be sent, in order.
    pub pending: Vec<Pending>,
    /// Notes between the messages.
    pub notes: VecDeque<Note>,
    /// Who is a member, online and typing.
    pub presence: Presence,
    /// The selected message.
    pub selected: Option<u64>,
    /// Scroll to the selected message.
    pub show_selected: bool,
    /// Whether the room is followed.
    pub followed: bool,
    /// Requests under way.
    pub asked: Asked,
    /// Wait for the next second before the next request, because the last one failed or brought nothing.
    pub paused: bool,
    /// A LEAVE is under way.
    pub leaving: bool,
    /// An acknowledged seq that the list does not show yet, and for how many seconds.
    acked: Option<(u64, u8)>,
    /// The first visible row, and how many are visible.
    pub visible: (usize, usize),
    rows: Option<(usize, Vec<Row>)>,
    /// The rows must be made again.
    stale: bool,
}

impl Room {
    /// Handles the list's entry for the room. It may not move the cursor back behind an ACK answered on the other connection.
    pub fn inform(&mut self, info: RoomInfo) {
        if let Some(listed) = info.cursor {
            self.acked = self.acked.filter(|(acked, _)| *acked > listed);
            self.cursor = self.acked.map_or(listed, |(acked, _)| acked);
        }
        self.joined = info.unread.is_some();
        if !self.joined {
            self.forget();
        }
        // A followed room's messages are pushed; there is no need to fetch them as well.
        if !self.followed {
            self.last = self.last.max(info.last);
        }
        self.info = Some(info);
    }

    /// Drops everything that belongs to a membership.
    pub fn forget(&mut self) {
        (self.joined, self.cursor, self.timeline, self.top, self.new_after) = (false, 0, None, None, None);
        (self.followed, self.acked, self.selected, self.presence) = (false, None, None, Presence::default());
        self.touch();
    }

    /// Resets the room after a restore from a backup: seqs from before mean nothing now. Messages waiting to be sent keep waiting.
    pub fn restored(&mut self) {
        // The list will show whether this client is a member.
        self.forget();
        (self.last, self.asked, self.show_new, self.show_selected) = (0, Asked::default(), false, false);
        // Messages that were stored but not shown yet are in the backup, or lost.
        self.pending.retain(|pending| pending.seq.is_none());
        self.pending.iter_mut().for_each(|pending| pending.seen = false);
        // Keep the other notes: only they say which messages were not sent.
        self.notes.retain(|note| !note.quiet);
        self.notes.iter_mut().for_each(|note| note.after = 0);
        self.info = None;
    }

    /// Handles the answer to an ACK.
    pub fn acked(&mut self, cursor: u64) {
        self.acked = Some((cursor, 0));
        self.cursor = self.cursor.max(cursor);
    }

    /// Called every second.
    pub fn tick(&mut self, second: u64) {
        self.presence.tick(second);
        let Some((_, age)) = &mut self.acked else { return };
        *age += 1;
        if *age > ACK_HOLDS_SECONDS {
            // The list has had time to catch up. If its cursor is lower, another connection moved it back.
            self.acked = None;
            self.cursor = self.info.as_ref().and_then(|info| info.cursor).unwrap_or(self.cursor);
        }
    }

    /// How many stored messages are unread.
    pub fn unread(&self) -> u64 {
        let Some(info) = self.info.as_ref().filter(|_| self.joined) else { return 0 };
        // The list's count may be older than our last ACK: no more can be unread than what comes after the cursor.
        info.unread.unwrap_or(0).min(info.last.saturating_sub(self.cursor))
    }

    /// The time of the last activity.
    pub fn active_ms(&self) -> u64 {
        self.info.as_ref().map_or(0, |info| info.active_ms)
    }

    /// Marks the rows as out of date.
    pub fn touch(&mut self) {
        self.stale = true;
    }

    /// Adds a note about an error.
    pub fn note(&mut self, text: String) {
        self.add_note(text, false);
    }

    /// Adds a note about something that others did.
    pub fn quiet_note(&mut self, text: String) {
        self.add_note(text, true);
    }

    fn add_note(&mut self, text: String, quiet: bool) {
        let after = self.timeline.as_ref().map_or(0, Timeline::through);
        self.notes.push_back(Note { after, text, quiet });
        if self.notes.len() > NOTES_MAX {
            self.notes.pop_front();
        }
        self.touch();
    }

    /// Called when the room is opened: fixes the place of the "new" line.
    pub fn open(&mut self) {
        let unread = self.unread() > 0;
        self.new_after = unread.then_some(self.cursor);
        (self.top, self.show_new, self.selected) = (None, unread, None);
        // The messages in memory may be far from the unread ones.
        if unread && self.timeline.as_ref().is_some_and(|timeline| timeline.through() < self.cursor) {
            self.timeline = None;
        }
        self.touch();
    }

    /// The seq after which the first page begins.
    pub fn begin(&self) -> u64 {
        self.cursor.min(self.last).saturating_sub(CONTEXT)
    }

    /// Jumps to the end, skipping what is not in memory.
    pub fn go_to_end(&mut self) {
        (self.top, self.show_new) = (None, false);
        if self.timeline.as_ref().is_some_and(|timeline| timeline.through().saturating_add(PAGE) < self.last) {
            self.timeline = Some(Timeline::starting(self.last.saturating_sub(PAGE)));
        }
        self.touch();
    }

    /// Adds an item after the others. `own` is the person using this client.
    pub fn push(&mut self, item: Item, own: &str) {
        if let Item::Message(message) = &item {
            self.last = self.last.max(message.seq);
            self.presence.spoke(&message.client);
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
        if let Item::Message(message) = &item
            && let Some((of, by)) = redaction(message)
            && timeline.redact(of, by)
        {
            self.stale = true;
        }
        // If the person has scrolled up, keep the old messages. New ones are fetched once they scroll down to them.
        if self.top.is_some() && timeline.is_full() {
            return;
        }
        if timeline.push(item) {
            let through = timeline.through();
            self.pending.retain(|pending| pending.seq.is_none_or(|seq| seq > through));
            self.touch();
        }
    }

    /// Handles that the message with this id was stored.
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

    /// Handles that the message with this id was refused for good.
    pub fn refused(&mut self, id: &str, why: &str) {
        let Some(at) = self.pending.iter().position(|pending| pending.waiting.id == id) else { return };
        let pending = self.pending.remove(at);
        self.note(format!("not sent ({why}): {}", pending.waiting.text));
    }

    /// The room's rows for a screen of this width.
    pub fn rows(&mut self, width: usize, zone: &TimeZone, own: &str) -> &[Row] {
        if std::mem::take(&mut self.stale) || self.rows.as_ref().is_none_or(|(of, _)| *of != width) {
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
        let selected = self.selected.filter(|_| self.show_selected);
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
            // There is less than a screen so far, but more is to come: keep trying until it is here.
            show_new = top.is_some() || is_whole;
        }
        if let Some(selected) = selected {
            let first = rows.partition_point(|row| row.seq < selected);
            let behind = rows.partition_point(|row| row.seq <= selected);
            let now = top.unwrap_or(end);
            // Show the end of the message, and also its beginning if all of it fits.
            let to = now.max(behind.saturating_sub(height)).min(first);
            top = (to < end).then_some(to);
        }
        let anchor = top.and_then(|at| anchor(rows, at));
        self.visible = (top.unwrap_or(end), height);
        // `None` also at the end of what is in memory, even if that is not the room's end: the rest is fetched.
        self.top = anchor;
        self.show_new &= !show_new;
        self.show_selected = false;
    }

    /// Scrolls by this many rows; negative numbers scroll up.
    pub fn scroll(&mut self, by: isize) {
        let (top, height) = self.visible;
        let Some((_, rows)) = &self.rows else { return };
        let end = rows.len().saturating_sub(height);
        let to = top.saturating_add_signed(by);
        self.top = (to < end).then(|| anchor(rows, to)).flatten();
        // The next scroll may come before the next redraw.
        self.visible.0 = to.min(end);
    }

    /// Whether there are older messages to fetch, and the scroll position is near them.
    pub fn wants_older(&self) -> bool {
        let first = self.timeline.as_ref().map_or(1, Timeline::first);
        self.top.is_some() && first > 1 && self.visible.0 < self.visible.1
    }

    /// Whether there are newer messages to fetch, and the scroll position is near them.
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
    use dantok_protocol::{Kind, Message};

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
        let cursor = unread.map(|unread| last - unread);
        RoomInfo { room: "r".into(), members: 1, last, unread, active_ms: 0, topic: "".into(), private: false, cursor }
    }

    #[test]
    fn unread_counts_are_the_daemon_s_and_not_behind_our_acks() {
        let mut room = Room::default();
        room.inform(info(10, Some(3)));
        assert_eq!((room.unread(), room.cursor), (3, 7));
        room.acked(10);
        room.inform(info(10, Some(3)));
        assert_eq!(room.unread(), 0);
        room.inform(info(12, Some(2)));
        assert_eq!(room.unread(), 2);
        // The list has caught up: if its cursor goes back now, the real one did.
        room.inform(info(12, Some(5)));
        assert_eq!(room.unread(), 5);
        // The cursor went back before the list ever showed the ACK.
        room.acked(12);
        room.inform(info(12, Some(6)));
        assert_eq!(room.unread(), 0);
        (0..=ACK_HOLDS_SECONDS.into()).for_each(|second| room.tick(second));
        assert_eq!(room.unread(), 6);
        room.inform(info(12, None));
        assert!(!room.joined);
    }

    #[test]
    fn a_waiting_message_goes_once_the_room_has_it() {
        let mut room = Room { timeline: Some(Timeline::starting(0)), ..Room::default() };
        for id in ["a", "b"] {
            let waiting =
                Waiting { id: id.into(), room: "r".into(), text: "same".into(), time_ms: 0, reply: None, epoch: None };
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
            waiting: Waiting {
                id: "c".into(),
                room: "r".into(),
                text: "x".into(),
                time_ms: 0,
                reply: None,
                epoch: None,
            },
            seq: None,
            seen: false,
        });
        room.refused("c", "too-long");
        assert!(room.pending.is_empty() && room.notes[0].text.contains("too-long"));
    }

    #[test]
    fn the_scroll_position_stays() {
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
        room.inform(info(200, Some(100)));
        room.open();
        assert_eq!((room.new_after, room.begin()), (Some(100), 0));
        room.timeline = Some(Timeline::starting(0));
        for seq in 1..=200 {
            room.push(message(seq, "text"), "you");
        }
        room.look(60, 10, &TimeZone::UTC, "me");
        assert_eq!(room.top.unwrap().seq, 100);
        // The scroll is not abandoned while the page with the rest is still to come.
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
