//! What was sent, answered and seen, kept outside the daemon; and the judge of it.
//!
//! Seqs are dense and every body is unique, so nothing has to be searched: each rule is one look at what is known already.

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
    /// With this id.
    pub id: Option<String>,
    /// These bytes, which begin with the message's number.
    pub body: Arc<[u8]>,
    /// When it was first sent, on the history's own count.
    began: u64,
    /// The seq of its OK, and when that came.
    acked: Option<(u64, u64)>,
    /// Where a reader saw it.
    seen: Option<u64>,
    /// Whether a loss of it proves nothing: see [`History::excuse`].
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

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Messages that a sender tried to send.
    pub sent: u64,
    /// Of them, answered OK.
    pub acked: u64,
    /// OKs that repeated an earlier one.
    pub repeated: u64,
    /// Answered with an error.
    pub refused: u64,
    /// Messages handed to readers, audits included.
    pub read: u64,
    /// Cursors moved.
    pub cursors: u64,
    /// Complete looks at every room.
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

/// The history of a run; shared by its threads.
#[derive(Debug, Default)]
pub struct History(Mutex<Inner>, Amends, Reborn);

impl History {
    /// What is taken back and what is done.
    pub fn amends(&self) -> &Amends {
        &self.1
    }

    /// The room that is deleted and made anew.
    pub fn reborn(&self) -> &Reborn {
        &self.2
    }

    /// What is known now, to judge by it what a cut at this moment leaves; but not of the room that is deleted and made anew, of which its
    /// own thread knows only between two commands.
    pub fn copy(&self) -> History {
        History(Mutex::new(self.lock().clone()), self.1.copy(), Reborn::default())
    }

    /// Higher whenever more is known.
    pub fn mark(&self) -> u64 {
        let inner = self.lock();
        inner.now + inner.figures.read + inner.figures.cursors + self.1.mark()
    }

    /// The same for a store that was made of a backup: it is another one.
    pub fn copy_for_restored(&self) -> History {
        let copy = self.copy();
        copy.lock().epoch = None;
        copy
    }
}

/// Violations kept; one is enough to fail, and a broken daemon makes thousands.
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

    /// Notes that a reader was shown a message, and judges it.
    fn saw(&mut self, reader: &str, message: &Message) {
        self.figures.read += 1;
        let Message { room, seq, time, client, body, .. } = message;
        let at = format!("{reader} was shown {room} {seq}");
        let Some(number) = number_of(body).filter(|&number| number < self.sent.len()) else {
            return self.violation(format!("{at}, which nobody sent: {:.60?}", String::from_utf8_lossy(body)));
        };
        let sent = &mut self.sent[number];
        if sent.room != *room || sent.client != *client || *sent.body != **body {
            let what = format!("{at} not as it was sent (message {number}, by {} to {})", sent.client, sent.room);
            return self.violation(what);
        }
        let acked = sent.acked.map(|(seq, _)| seq);
        if let Some(other) = sent.seen.or(acked).filter(|other| other != seq) {
            return self.violation(format!("{at}: message {number}, which is at {other} too"));
        }
        sent.seen = Some(*seq);
        let before = self.seen.entry(room.clone()).or_default();
        let found = before.entry(*seq).or_insert_with(|| Seen { number, time: time.clone() });
        if found.number != number {
            let other = found.number;
            self.violation(format!("{at}: message {number}, where message {other} was before"));
        } else if found.time != *time {
            let other = found.time.clone();
            self.violation(format!("{at} with the time {time}, before it was {other}"));
        }
    }
}

/// The number that a body begins with.
fn number_of(body: &[u8]) -> Option<usize> {
    let digits = body.strip_prefix(b"#")?.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new message, about to be sent; returns its number and its whole body.
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

    /// A message.
    pub fn sent(&self, number: usize) -> Sent {
        self.lock().sent[number].clone()
    }

    /// Forgives the loss of a message, wherever it was answered OK: for the last one before a bit is flipped, whose record is
    /// the journal's last, which can't be told from one that a power cut tore.
    pub fn excuse(&self, number: usize) {
        self.lock().sent[number].excused = true;
    }

    /// An OK with this seq came for a message.
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

    /// An error came for a message.
    pub fn refused(&self) {
        self.lock().figures.refused += 1;
    }

    /// A reader was handed something; `after` is the seq it had reached in that room, and the new one is returned.
    pub fn handed(&self, reader: &str, after: u64, item: &Item) -> u64 {
        let mut inner = self.lock();
        match item {
            Item::Message(message) => {
                if message.seq != after + 1 {
                    let what = format!("{reader} was shown {} {} behind {after}", message.room, message.seq);
                    inner.violation(what);
                }
                inner.saw(reader, message);
                message.seq
            }
            Item::Gap { room, from, to } => {
                inner.violation(format!("{reader} was told that {room} {from} to {to} have expired"));
                *to
            }
        }
    }

    /// A client is about to acknowledge up to a seq.
    pub fn asks_cursor(&self, client: &str, room: &str, seq: u64) {
        let mut inner = self.lock();
        let cursor = inner.cursors.entry((client.to_owned(), room.to_owned())).or_default();
        cursor.asked = cursor.asked.max(seq);
    }

    /// The daemon has confirmed, or shown, where a client stands.
    pub fn cursor_is(&self, client: &str, room: &str, seq: u64) {
        let mut inner = self.lock();
        let cursor = inner.cursors.entry((client.to_owned(), room.to_owned())).or_default();
        let Cursor { confirmed, asked } = *cursor;
        cursor.confirmed = confirmed.max(seq);
        inner.figures.cursors += u64::from(seq > confirmed);
        if seq < confirmed || seq > asked {
            inner.violation(format!(
                "the cursor of {client} in {room} is {seq}; {confirmed} was confirmed, {asked} the most it asked for"
            ));
        }
    }

    /// The clients and rooms whose cursors are known.
    pub fn cursors(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.lock().cursors.keys().cloned().collect();
        all.sort();
        all
    }

    /// A room was made, and the daemon has confirmed it.
    pub fn created(&self, room: &str, topic: &str) {
        self.lock().created.insert(room.to_owned(), topic.to_owned());
    }

    /// What HELLO says of the epoch: no fault changes it.
    pub fn epoch_is(&self, epoch: &str) {
        let mut inner = self.lock();
        let before = inner.epoch.get_or_insert_with(|| epoch.to_owned()).clone();
        if before != epoch {
            inner.violation(format!("the epoch was {before}, and is {epoch}"));
        }
    }

    /// The rooms that the daemon lists, with their topics: those that were made must be among them.
    pub fn listed(&self, rooms: &HashMap<String, String>) {
        let mut inner = self.lock();
        let missing: Vec<_> = inner.created.iter().filter(|(room, topic)| rooms.get(*room) != Some(topic)).collect();
        let missing: Vec<String> = missing.iter().map(|(room, topic)| format!("{room} ({topic})")).collect();
        if let Some(first) = missing.first() {
            let (count, listed) = (missing.len(), rooms.len());
            inner.violation(format!("LOST: {count} rooms that were made, {first} among them; {listed} are listed"));
        }
    }

    /// A complete look at a room while nobody sends: all of it, and its last seq as the daemon says.
    pub fn audit(&self, reader: &str, room: &str, items: &[Item], last: u64) {
        let mut after = 0;
        for item in items {
            after = self.handed(reader, after, item);
        }
        let mut inner = self.lock();
        inner.figures.audits += 1;
        if after != last {
            inner.violation(format!("{reader} was handed {room} up to {after}, but it goes to {last}"));
        }
        inner.judge(room, last);
    }

    /// What was violated so far.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Notes what a schedule itself found.
    pub fn violation(&self, what: impl Into<String>) {
        self.lock().violation(what.into());
    }

    /// Counts what somebody else keeps the history of.
    pub fn count(&self, figures: Figures) {
        self.lock().figures += figures;
    }

    /// What happened so far.
    pub fn figures(&self) -> Figures {
        self.lock().figures
    }
}

impl Inner {
    /// The rules about a room of which all up to `last` has been seen.
    fn judge(&mut self, room: &str, last: u64) {
        let mut found = Vec::new();
        for (number, sent) in self.sent.iter().enumerate().filter(|(_, sent)| sent.room == room && !sent.excused) {
            match (sent.acked, sent.seen) {
                (Some((seq, _)), None) => found.push(format!("LOST: message {number}, answered OK {seq} in {room}")),
                (Some((seq, _)), Some(_)) if seq > last => {
                    found.push(format!("LOST: message {number}, answered OK {seq} in {room}, which ends at {last}"));
                }
                (None, Some(seq)) if seq > last => {
                    found.push(format!("GHOST: message {number} was shown as {room} {seq}, which ends at {last}"));
                }
                _ => {}
            }
        }
        // What was answered before another was sent has the lower seq; and times do not go back.
        let mut answered = u64::MAX;
        let mut time = None;
        for (seq, seen) in self.seen.get(room).into_iter().flatten().rev() {
            let sent = &self.sent[seen.number];
            if answered < sent.began {
                found.push(format!(
                    "ORDER: message {} is {room} {seq}, before one that was answered earlier",
                    seen.number
                ));
            }
            if let Some((_, at)) = sent.acked {
                answered = answered.min(at);
            }
            if time.is_some_and(|later: &String| *later < seen.time) {
                found.push(format!("TIME: {room} {seq} has a later time than the message behind it"));
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
    //! The judge is judged: each thing that a broken daemon could do is done to it.
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

    /// Three messages in one room; the first two answered OK 1 and 2.
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
    fn what_is_right_is_right() {
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
    fn another_epoch_is_found() {
        let history = history();
        history.epoch_is("one");
        history.epoch_is("one");
        assert_eq!(history.violations(), Vec::<String>::new());
        history.epoch_is("two");
        history.lock().only("the epoch was one, and is two");
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
    fn a_message_that_is_there_twice_is_found() {
        let history = history();
        audit(&history, &[0, 1, 1]);
        history.lock().only("message 1, which is at 2 too");
    }

    #[test]
    fn a_repeat_with_another_seq_is_found() {
        let history = history();
        history.acked(1, 3, true);
        history.lock().only("answered OK 3 in r, but it is at 2");
    }

    #[test]
    fn two_orders_are_found() {
        let history = history();
        history.begin("r", "a", true, b"hi");
        history.handed("one", 2, &shown(&history, 2, 3));
        history.handed("two", 2, &shown(&history, 3, 3));
        history.lock().only("message 3, where message 2 was before");
    }

    #[test]
    fn a_hole_is_found() {
        let history = history();
        history.handed("one", 0, &shown(&history, 1, 2));
        history.lock().only("behind 0");
    }

    #[test]
    fn an_order_against_the_answers_is_found() {
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
    fn what_is_young_and_said_to_have_expired_is_found() {
        let history = history();
        history.handed("one", 0, &Item::Gap { room: "r".to_owned(), from: 1, to: 1 });
        history.lock().only("have expired");
    }

    #[test]
    fn a_room_that_is_gone_is_found() {
        let history = history();
        history.created("new", "what for");
        history.listed(&HashMap::from([("new".to_owned(), "other".to_owned())]));
        history.lock().only("1 rooms that were made, new");
    }
}
