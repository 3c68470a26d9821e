//! A room as this client sees it: what is in memory of it, where one looks at it, what is unread, what waits to be sent.

use std::collections::VecDeque;

use dantok_protocol::{Item, RoomInfo};
use jiff::tz::TimeZone;

use crate::presence::Presence;
use crate::rows::{Row, rows};
use crate::timeline::{Timeline, redaction};
use dantok_client::outbox::Waiting;

/// Messages asked for at a time.
pub const PAGE: u64 = 200;
/// Read messages that are shown above the first unread one.
const CONTEXT: u64 = 100;
/// Notes that are kept; the oldest go.
const NOTES_MAX: usize = 50;
/// Seconds for which an ACK of ours counts that the list does not know of.
const ACK_HOLDS_SECONDS: u8 = 3;

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
    /// It is about others, and nothing is to be done about it.
    pub quiet: bool,
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
    /// Who is in it, and there.
    pub presence: Presence,
    /// The message that is acted on.
    pub selected: Option<u64>,
    /// It is to be brought into view.
    pub show_selected: bool,
    /// Its messages are pushed.
    pub followed: bool,
    /// What is under way.
    pub asked: Asked,
    /// Something was refused: the next try is a second later.
    pub paused: bool,
    /// This client is about to be no member any more, and wants that.
    pub leaving: bool,
    /// Up to here an ACK was answered, ahead of the list; and for how many seconds that has been so.
    acked: Option<(u64, u8)>,
    /// The first visible row, and how many are visible.
    pub visible: (usize, usize),
    rows: Option<(usize, Vec<Row>)>,
    /// The rows are those of the last picture, not of the next.
    stale: bool,
}

impl Room {
    /// Takes the list's word. It is not behind an ACK that was answered on the other connection.
    pub fn inform(&mut self, info: RoomInfo) {
        if let Some(listed) = info.cursor {
            self.acked = self.acked.filter(|(acked, _)| *acked > listed);
            self.cursor = self.acked.map_or(listed, |(acked, _)| acked);
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
        (self.followed, self.acked, self.selected, self.presence) = (false, None, None, Presence::default());
        self.touch();
    }

    /// The room was restored from a backup: seqs from before say nothing. What waits to be sent waits on.
    pub fn restored(&mut self) {
        // Whether one is a member, the list tells.
        self.forget();
        (self.last, self.asked, self.show_new, self.show_selected) = (0, Asked::default(), false, false);
        // What is stored and was not shown yet is in the backup, or gone.
        self.pending.retain(|pending| pending.seq.is_none());
        self.pending.iter_mut().for_each(|pending| pending.seen = false);
        // What was not sent is said there alone.
        self.notes.retain(|note| !note.quiet);
        self.notes.iter_mut().for_each(|note| note.after = 0);
        self.info = None;
    }

    /// An ACK was answered.
    pub fn acked(&mut self, cursor: u64) {
        self.acked = Some((cursor, 0));
        self.cursor = self.cursor.max(cursor);
    }

    /// A second has passed.
    pub fn tick(&mut self, second: u64) {
        self.presence.tick(second);
        let Some((_, age)) = &mut self.acked else { return };
        *age += 1;
        if *age > ACK_HOLDS_SECONDS {
            // The list has had its time: if it says less, another connection went back.
            self.acked = None;
            self.cursor = self.info.as_ref().and_then(|info| info.cursor).unwrap_or(self.cursor);
        }
    }

    /// How many stored messages are unread.
    pub fn unread(&self) -> u64 {
        let Some(info) = self.info.as_ref().filter(|_| self.joined) else { return 0 };
        // What the list counted may be behind an ACK that was answered since: no more than what comes behind that is unread.
        info.unread.unwrap_or(0).min(info.last.saturating_sub(self.cursor))
    }

    /// When something was said last.
    pub fn active_ms(&self) -> u64 {
        self.info.as_ref().map_or(0, |info| info.active_ms)
    }

    /// Something that is shown has changed.
    pub fn touch(&mut self) {
        self.stale = true;
    }

    /// Tells something between the messages that went wrong.
    pub fn note(&mut self, text: String) {
        self.add_note(text, false);
    }

    /// Tells something between the messages that others did.
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

    /// One comes to look at it: from here on the "new" line stands still.
    pub fn open(&mut self) {
        let unread = self.unread() > 0;
        self.new_after = unread.then_some(self.cursor);
        (self.top, self.show_new, self.selected) = (None, unread, None);
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
            // Less than a screen, but there is more to come: it is found when that is here.
            show_new = top.is_some() || is_whole;
        }
        if let Some(selected) = selected {
            let first = rows.partition_point(|row| row.seq < selected);
            let behind = rows.partition_point(|row| row.seq <= selected);
            let now = top.unwrap_or(end);
            // Its end, and if there is room for all of it, its beginning.
            let to = now.max(behind.saturating_sub(height)).min(first);
            top = (to < end).then_some(to);
        }
        let anchor = top.and_then(|at| anchor(rows, at));
        self.visible = (top.unwrap_or(end), height);
        // At the end of what is in memory, but not of the room: what is missing is fetched, and this is not the end.
        self.top = anchor;
        self.show_new &= !show_new;
        self.show_selected = false;
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
        // The list has caught up: if it goes back now, the cursor has.
        room.inform(info(12, Some(5)));
        assert_eq!(room.unread(), 5);
        // It went back before the list ever told of the ACK.
        room.acked(12);
        room.inform(info(12, Some(6)));
        assert_eq!(room.unread(), 0);
        (0..=ACK_HOLDS_SECONDS.into()).for_each(|second| room.tick(second));
        assert_eq!(room.unread(), 6);
        room.inform(info(12, None));
        assert!(!room.joined);
    }

    #[test]
    fn what_waits_goes_when_it_came_back_and_not_before() {
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
        room.inform(info(200, Some(100)));
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
