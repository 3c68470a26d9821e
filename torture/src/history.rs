//! A record, kept outside the daemon, of what was sent, acknowledged and seen.
//!
//! Seqs are dense and every body is unique, so each rule is a lookup and needs no search.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::amends::Amends;
use crate::reborn::Reborn;
use crate::wire::{Item, Message};

/// A message that a sender tried to send.
#[derive(Clone, Debug)]
pub struct Sent {
    /// To this room.
    pub room: String,
    /// As this client.
    pub client: String,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its body, which begins with the message's number.
    pub body: Arc<[u8]>,
    /// When it was first sent, by the history's own counter.
    began: u64,
    /// The seq in its OK, and when the OK arrived.
    acked: Option<(u64, u64)>,
    /// The seq at which a reader saw it.
    seen: Option<u64>,
    /// Whether its loss proves nothing: see [`History::excuse`].
    excused: bool,
}

#[derive(Clone, Debug)]
struct Seen {
    number: usize,
    time: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    confirmed: u64,
    asked: u64,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    now: u64,
    sent: Vec<Sent>,
    seen: HashMap<String, BTreeMap<u64, Seen>>,
    cursors: HashMap<(String, String), Cursor>,
    created: HashMap<String, String>,
    epoch: Option<String>,
    violations: Vec<String>,
    figures: Figures,
}

/// Counts of what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Messages that a sender tried to send.
    pub sent: u64,
    /// Those answered OK.
    pub acked: u64,
    /// OKs that repeated an earlier one.
    pub repeated: u64,
    /// Answered with an error.
    pub refused: u64,
    /// Messages handed to readers, audits included.
    pub read: u64,
    /// Cursors moved.
    pub cursors: u64,
    /// Audits of a room.
    pub audits: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.sent += other.sent;
        self.acked += other.acked;
        self.repeated += other.repeated;
        self.refused += other.refused;
        self.read += other.read;
        self.cursors += other.cursors;
        self.audits += other.audits;
    }
}

/// The history of a run, shared by its threads.
#[derive(Debug, Default)]
pub struct History(Mutex<Inner>, Amends, Reborn);

impl History {
    /// The room with redactions and group work.
    pub fn amends(&self) -> &Amends {
        &self.1
    }

    /// The room that is deleted and recreated.
    pub fn reborn(&self) -> &Reborn {
        &self.2
    }

    /// A copy of what is known now, to judge what a power cut at this moment leaves. The room that is deleted and
    /// recreated is left out: its thread knows its state only between two commands.
    pub fn copy(&self) -> History {
        History(Mutex::new(self.lock().clone()), self.1.copy(), Reborn::default())
    }

    /// Increases whenever more is known.
    pub fn mark(&self) -> u64 {
        let inner = self.lock();
        inner.now + inner.figures.read + inner.figures.cursors + self.1.mark()
    }

    /// The same for a store restored from a backup, which has a new epoch.
    pub fn copy_for_restored(&self) -> History {
        let copy = self.copy();
        copy.lock().epoch = None;
        copy
    }
}

/// The most violations kept: one fails the run, and a broken daemon causes thousands.
const VIOLATIONS_MAX: usize = 20;

impl Inner {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn violation(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what);
        }
    }

    /// Records that a reader was shown a message, and judges it.
    fn saw(&mut self, reader: &str, message: &Message) {
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
}

/// The number at the start of a body.
fn number_of(body: &[u8]) -> Option<usize> {
    let digits = body.strip_prefix(b"#")?.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a message that is about to be sent; returns its number.
    pub fn begin(&self, room: &str, client: &str, with_id: bool, content: &[u8]) -> usize {
        let mut inner = self.lock();
        let number = inner.sent.len();
        let began = inner.tick();
        inner.figures.sent += 1;
        inner.sent.push(Sent {
            room: room.to_owned(),
            client: client.to_owned(),
            id: with_id.then(|| format!("m{number}")),
            body: [format!("#{number} ").as_bytes(), content].concat().into(),
            began,
            acked: None,
            seen: None,
            excused: false,
        });
        number
    }

    /// The record of a message.
    pub fn sent(&self, number: usize) -> Sent {
        self.lock().sent[number].clone()
    }

    /// Excuses the loss of a message, even if it was acknowledged. This is for the last message before a bit is
    /// flipped: its record is the last in the journal, and damage there can't be told from a record that a power cut
    /// tore.
    pub fn excuse(&self, number: usize) {
        self.lock().sent[number].excused = true;
    }

    /// Records that a message was answered OK with this seq.
    pub fn acked(&self, number: usize, seq: u64, repeated: bool) {
        let mut inner = self.lock();
        let now = inner.tick();
        inner.figures.repeated += u64::from(repeated);
        let sent = &mut inner.sent[number];
        let known = sent.acked.map(|(seq, _)| seq).or(sent.seen);
        let first = sent.acked.is_none();
        if first {
            sent.acked = Some((seq, now));
        }
        let room = sent.room.clone();
        inner.figures.acked += u64::from(first);
        if let Some(other) = known.filter(|other| *other != seq) {
            inner.violation(format!("message {number} was answered OK {seq} in {room}, but it is at {other}"));
        }
    }

    /// Records that a message was answered with an error.
    pub fn refused(&self) {
        self.lock().figures.refused += 1;
    }

    /// Records what a reader was handed. `after` is the seq that it had reached in that room; returns the new one.
    pub fn handed(&self, reader: &str, after: u64, item: &Item) -> u64 {
        let mut inner = self.lock();
        match item {
            Item::Message(message) => {
                if message.seq != after + 1 {
                    let what = format!("{reader} was shown {} {} right after {after}", message.room, message.seq);
                    inner.violation(what);
                }
                inner.saw(reader, message);
                message.seq
            }
            Item::Gap { room, from, to } => {
                inner.violation(format!("{reader} was told that {room} {from} to {to} has expired"));
                *to
            }
        }
    }

    /// Records that a client is about to acknowledge up to a seq.
    pub fn asks_cursor(&self, client: &str, room: &str, seq: u64) {
        let mut inner = self.lock();
        let cursor = inner.cursors.entry((client.to_owned(), room.to_owned())).or_default();
        cursor.asked = cursor.asked.max(seq);
    }

    /// Records a client's cursor as the daemon confirmed or reported it.
    pub fn cursor_is(&self, client: &str, room: &str, seq: u64) {
        let mut inner = self.lock();
        let cursor = inner.cursors.entry((client.to_owned(), room.to_owned())).or_default();
        let Cursor { confirmed, asked } = *cursor;
        cursor.confirmed = confirmed.max(seq);
        inner.figures.cursors += u64::from(seq > confirmed);
        if seq < confirmed || seq > asked {
            inner.violation(format!(
                "the cursor of {client} in {room} is {seq}; {confirmed} was confirmed, and the highest requested was {asked}"
            ));
        }
    }

    /// The clients and rooms whose cursors are known.
    pub fn cursors(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.lock().cursors.keys().cloned().collect();
        all.sort();
        all
    }

    /// Records a room whose creation the daemon confirmed.
    pub fn created(&self, room: &str, topic: &str) {
        self.lock().created.insert(room.to_owned(), topic.to_owned());
    }

    /// Records the epoch in the answer to HELLO, which no fault changes.
    pub fn epoch_is(&self, epoch: &str) {
        let mut inner = self.lock();
        let before = inner.epoch.get_or_insert_with(|| epoch.to_owned()).clone();
        if before != epoch {
            inner.violation(format!("the epoch was {before} and is now {epoch}"));
        }
    }

    /// Checks the daemon's list of rooms and topics: all rooms created must be in it.
    pub fn listed(&self, rooms: &HashMap<String, String>) {
        let mut inner = self.lock();
        let missing: Vec<_> = inner.created.iter().filter(|(room, topic)| rooms.get(*room) != Some(topic)).collect();
        let missing: Vec<String> = missing.iter().map(|(room, topic)| format!("{room} ({topic})")).collect();
        if let Some(first) = missing.first() {
            let (count, listed) = (missing.len(), rooms.len());
            inner.violation(format!("LOST: {count} rooms that were created, {first} among them; {listed} are listed"));
        }
    }

    /// Audits a room while nobody sends: `items` is everything in it, `last` its last seq according to the daemon.
    pub fn audit(&self, reader: &str, room: &str, items: &[Item], last: u64) {
        let mut after = 0;
        for item in items {
            after = self.handed(reader, after, item);
        }
        let mut inner = self.lock();
        inner.figures.audits += 1;
        if after != last {
            inner.violation(format!("{reader} was handed {room} up to {after}, but the last seq is {last}"));
        }
        inner.judge(room, last);
    }

    /// The violations so far.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Records a violation that a schedule found itself.
    pub fn violation(&self, what: impl Into<String>) {
        self.lock().violation(what.into());
    }

    /// Adds figures that are tracked elsewhere.
    pub fn count(&self, figures: Figures) {
        self.lock().figures += figures;
    }

    /// The figures so far.
    pub fn figures(&self) -> Figures {
        self.lock().figures
    }
}

impl Inner {
    /// Applies the rules to a room that has been read completely, up to `last`.
    fn judge(&mut self, room: &str, last: u64) {
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

#[cfg(test)]
mod tests {
    //! Tests the judge: does to it each thing that a broken daemon could do.
    use super::*;

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
