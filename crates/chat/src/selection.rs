//! Which message of a room a command applies to: the selected one, or the last.

use dantok_protocol::{Kind, Message};

use crate::room::Room;
use crate::timeline::redaction;

impl Room {
    /// Moves the selection up or down. Without a selection, up selects the last visible message; down from the last message clears
    /// the selection.
    pub fn select(&mut self, up: bool) {
        let Some(timeline) = &self.timeline else { return };
        let (top, height) = self.visible;
        let shown = self.shown_rows();
        let bottom = shown.get((top + height).min(shown.len()).saturating_sub(1)).map_or(u64::MAX, |row| row.seq);
        let selected = {
            let mut seqs =
                timeline.messages().filter(|message| redaction(message).is_none()).map(|message| message.seq);
            match (self.selected, up) {
                (None, true) => seqs.rfind(|seq| *seq <= bottom),
                (None, false) => None,
                (Some(at), true) => seqs.rfind(|seq| *seq < at).or(Some(at)),
                (Some(at), false) => seqs.find(|seq| *seq > at),
            }
        };
        self.selected = selected;
        self.show_selected = self.selected.is_some();
        self.touch();
    }

    /// Clears the selection. Returns whether there was one.
    pub fn unselect(&mut self) -> bool {
        self.touch();
        self.selected.take().is_some()
    }

    /// The last message by this person, or by others, that has not been redacted.
    pub fn last_said(&self, own: &str, by_own: bool) -> Option<&Message> {
        let has_text = |message: &&Message| matches!(message.kind, Kind::Plain | Kind::Reply(_));
        let mut messages = self.timeline.as_ref()?.messages().filter(has_text);
        messages.rfind(|message| (&*message.client == own) == by_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Timeline;
    use dantok_protocol::Item;
    use jiff::tz::TimeZone;

    fn message(seq: u64) -> Item {
        let (room, client, body) = ("r".into(), "me".into(), "text".into());
        Item::Message(Message { room, seq, time_ms: 0, client, body, kind: Kind::Plain })
    }

    #[test]
    fn a_message_is_selected_and_comes_into_view() {
        let mut room = Room::default();
        room.timeline = Some(Timeline::starting(0));
        (1..=50).for_each(|seq| room.push(message(seq), "me"));
        room.look(60, 10, &TimeZone::UTC, "me");
        room.select(false);
        assert_eq!(room.selected, None);
        room.select(true);
        assert_eq!(room.selected, Some(50));
        for _ in 0..20 {
            room.select(true);
            room.look(60, 10, &TimeZone::UTC, "me");
        }
        assert_eq!((room.selected, room.top.map(|top| top.seq)), (Some(30), Some(30)));
        for _ in 0..20 {
            room.select(false);
            room.look(60, 10, &TimeZone::UTC, "me");
        }
        assert_eq!((room.selected, room.top.map(|top| top.seq)), (Some(50), None));
        room.select(false);
        assert!(room.selected.is_none() && !room.unselect());
        room.scroll(-20);
        room.look(60, 10, &TimeZone::UTC, "me");
        room.select(true);
        assert_eq!(room.selected, Some(30));
        assert!(room.unselect());
        assert_eq!(room.last_said("me", true).map(|message| message.seq), Some(50));
        assert_eq!(room.last_said("me", false), None);
    }
}
