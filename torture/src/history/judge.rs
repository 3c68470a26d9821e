//! The rules about messages: what a reader is shown, and what must be in a room that has been read completely.
//!
//! Seqs are dense and every body is unique, so each rule is a lookup and needs no search.

use super::{Inner, Seen};
use crate::wire::Message;

impl Inner {
    /// Records that a reader was shown a message, and judges it.
    pub(super) fn saw(&mut self, reader: &str, message: &Message) {
        self.figures.read += 1;
        let Message { room, seq, time, client, body, .. } = message;
        let at = format!("{reader} was shown {room} {seq}");
        let Some(number) = number_of(body).filter(|&number| number < self.sent.len()) else {
            return self.violation(format!("{at}, which was never sent: {:.60?}", String::from_utf8_lossy(body)));
        };
        let sent = &mut self.sent[number];
        if sent.room != *room || sent.client != *client || *sent.body != **body {
            let what = format!("{at}, not as it was sent (message {number}, by {} to {})", sent.client, sent.room);
            return self.violation(what);
        }
        let acked = sent.acked.map(|(seq, _)| seq);
        if let Some(other) = sent.seen.or(acked).filter(|other| other != seq) {
            return self.violation(format!("{at}: message {number}, which is also at {other}"));
        }
        sent.seen = Some(*seq);
        let before = self.seen.entry(room.clone()).or_default();
        let found = before.entry(*seq).or_insert_with(|| Seen { number, time: time.clone() });
        if found.number != number {
            let other = found.number;
            self.violation(format!("{at}: message {number}, where message {other} was earlier"));
        } else if found.time != *time {
            let other = found.time.clone();
            self.violation(format!("{at} with the time {time}, which was {other} earlier"));
        }
    }

    /// Applies the rules to a room that has been read completely, up to `last`.
    pub(super) fn judge(&mut self, room: &str, last: u64) {
        let mut found = Vec::new();
        for (number, sent) in self.sent.iter().enumerate().filter(|(_, sent)| sent.room == room && !sent.excused) {
            match (sent.acked, sent.seen) {
                (Some((seq, _)), None) => found.push(format!("LOST: message {number}, answered OK {seq} in {room}")),
                (Some((seq, _)), Some(_)) if seq > last => {
                    found
                        .push(format!("LOST: message {number}, answered OK {seq} in {room}, whose last seq is {last}"));
                }
                (None, Some(seq)) if seq > last => {
                    found
                        .push(format!("GHOST: message {number} was shown as {room} {seq}, but the last seq is {last}"));
                }
                _ => {}
            }
        }
        // A message that was answered before another was sent has the lower seq, and times never go back.
        let mut answered = u64::MAX;
        let mut time = None;
        for (seq, seen) in self.seen.get(room).into_iter().flatten().rev() {
            let sent = &self.sent[seen.number];
            if answered < sent.began {
                found.push(format!(
                    "ORDER: message {} is {room} {seq}, before one that was already acknowledged when it was sent",
                    seen.number
                ));
            }
            if let Some((_, at)) = sent.acked {
                answered = answered.min(at);
            }
            if time.is_some_and(|later: &String| *later < seen.time) {
                found.push(format!("TIME: {room} {seq} has a later time than the message after it"));
            }
            time = Some(&seen.time);
        }
        for what in found {
            self.violation(what);
        }
    }

    #[cfg(test)]
    fn only(&self, part: &str) {
        assert!(self.violations.iter().any(|violation| violation.contains(part)), "{part}: {:?}", self.violations);
    }
}

/// The number at the start of a body.
fn number_of(body: &[u8]) -> Option<usize> {
    let digits = body.strip_prefix(b"#")?.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    //! Tests the judge: does to it each thing that a broken daemon could do.
    use std::collections::HashMap;

    use crate::history::History;
    use crate::wire::{Item, Message};

    fn shown(history: &History, number: usize, seq: u64) -> Item {
        let sent = history.sent(number);
        let time = format!("2026-11-21T00:00:00.{seq:03}Z");
        Item::Message(Message {
            room: sent.room,
            seq,
            time,
            about: String::new(),
            client: sent.client,
            body: sent.body.to_vec(),
        })
    }

    /// Three messages in one room, the first two answered OK 1 and OK 2.
    fn history() -> History {
        let history = History::default();
        for number in 0..3 {
            assert_eq!(history.begin("r", "a", true, b"hi"), number);
            if number < 2 {
                history.acked(number, number as u64 + 1, false);
            }
        }
        history
    }

    fn audit(history: &History, numbers: &[usize]) {
        let items: Vec<Item> = (1..).zip(numbers).map(|(seq, &number)| shown(history, number, seq)).collect();
        history.audit("audit", "r", &items, numbers.len() as u64);
    }

    #[test]
    fn a_correct_history_has_no_violations() {
        let history = history();
        audit(&history, &[0, 1]);
        audit(&history, &[0, 1, 2]);
        history.acked(2, 3, true);
        history.acked(2, 3, true);
        history.asks_cursor("a", "r", 3);
        history.cursor_is("a", "r", 2);
        history.cursor_is("a", "r", 3);
        assert_eq!(history.violations(), Vec::<String>::new());
    }

    #[test]
    fn a_changed_epoch_is_found() {
        let history = history();
        history.epoch_is("one");
        history.epoch_is("one");
        assert_eq!(history.violations(), Vec::<String>::new());
        history.epoch_is("two");
        history.lock().only("the epoch was one and is now two");
    }

    #[test]
    fn a_lost_message_is_found() {
        let history = history();
        audit(&history, &[0]);
        history.lock().only("LOST: message 1");
    }

    #[test]
    fn a_message_lost_after_it_was_seen_is_found() {
        let history = history();
        audit(&history, &[0, 1]);
        audit(&history, &[0]);
        history.lock().only("LOST: message 1");
    }

    #[test]
    fn a_ghost_is_found() {
        let history = history();
        audit(&history, &[0, 1, 2]);
        audit(&history, &[0, 1]);
        history.lock().only("GHOST: message 2");
    }

    #[test]
    fn a_duplicate_message_is_found() {
        let history = history();
        audit(&history, &[0, 1, 1]);
        history.lock().only("message 1, which is also at 2");
    }

    #[test]
    fn a_repeat_with_another_seq_is_found() {
        let history = history();
        history.acked(1, 3, true);
        history.lock().only("answered OK 3 in r, but it is at 2");
    }

    #[test]
    fn two_readers_with_different_orders_are_found() {
        let history = history();
        history.begin("r", "a", true, b"hi");
        history.handed("one", 2, &shown(&history, 2, 3));
        history.handed("two", 2, &shown(&history, 3, 3));
        history.lock().only("message 3, where message 2 was earlier");
    }

    #[test]
    fn a_gap_in_the_seqs_is_found() {
        let history = history();
        history.handed("one", 0, &shown(&history, 1, 2));
        history.lock().only("right after 0");
    }

    #[test]
    fn an_order_that_contradicts_the_acknowledgements_is_found() {
        let history = History::default();
        for number in 0..2 {
            history.begin("r", "a", true, b"hi");
            history.acked(number, 2 - number as u64, false);
        }
        audit(&history, &[1, 0]);
        history.lock().only("ORDER: message 1");
    }

    #[test]
    fn changed_bytes_a_changed_time_and_a_time_that_goes_back_are_found() {
        let history = history();
        let Item::Message(mut message) = shown(&history, 0, 1) else { panic!() };
        message.body.push(b'!');
        history.handed("one", 0, &Item::Message(message.clone()));
        history.lock().only("not as it was sent");
        message.body.pop();
        message.time = "2026-11-21T00:00:00.900Z".to_owned();
        history.handed("one", 0, &Item::Message(message));
        audit(&history, &[0, 1]);
        history.lock().only("with the time");
        history.lock().only("TIME: r 1");
    }

    #[test]
    fn a_cursor_that_moves_back_or_ahead_is_found() {
        let history = history();
        history.asks_cursor("a", "r", 2);
        history.cursor_is("a", "r", 2);
        history.cursor_is("a", "r", 1);
        history.lock().only("is 1; 2 was confirmed");
        history.cursor_is("a", "r", 3);
        history.lock().only("is 3; 2 was confirmed");
    }

    #[test]
    fn an_early_expiry_is_found() {
        let history = history();
        history.handed("one", 0, &Item::Gap { room: "r".to_owned(), from: 1, to: 1 });
        history.lock().only("has expired");
    }

    #[test]
    fn a_missing_room_is_found() {
        let history = history();
        history.created("new", "what for");
        history.listed(&HashMap::from([("new".to_owned(), "other".to_owned())]));
        history.lock().only("1 rooms that were created, new");
    }
}
