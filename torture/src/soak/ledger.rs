//! A record of what was sent and shown while messages expire, and its rules: like [`crate::history`], but for rooms
//! whose oldest messages disappear.
//!
//! A message is known from the moment its sender begins to send it. Its time at the daemon lies between that moment and
//! its OK. So it must not be gone before the retention has passed since the send, and must not be shown once it has
//! passed since the OK.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::history::{Figures, History};
use crate::wire::{Item, Message};

/// More than the daemon's clock for ages may lag: a message past retention by less may still be shown.
const SLACK: Duration = Duration::from_secs(2);
/// Messages are forgotten this many retention periods after they were sent, so that the memory of this program levels
/// off as well.
const REMEMBERED: u32 = 3;

/// A message to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its number.
    pub number: u64,
    /// To this room.
    pub room: String,
    /// With this id.
    pub id: Option<String>,
    /// These bytes.
    pub body: Vec<u8>,
}

#[derive(Debug)]
struct Sent {
    room: String,
    /// A hash of client and body.
    hash: u64,
    began: Instant,
    /// Whether its sender sent it again with the same id.
    again: bool,
    answered: Option<Instant>,
    seq: Option<u64>,
    redaction_asked: bool,
    redacted: Option<Instant>,
}

/// What is at a seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// The message with this number.
    Message(u64),
    /// A redaction.
    Redaction,
}

#[derive(Debug, Default)]
struct Room {
    by_seq: BTreeMap<u64, Entry>,
    /// The room's own retention, if it differs from the daemon's.
    keeps: Option<Duration>,
    /// The highest seq that was answered or shown.
    last: u64,
}

#[derive(Debug, Default)]
struct Inner {
    retention: Duration,
    next: u64,
    sent: BTreeMap<u64, Sent>,
    rooms: HashMap<String, Room>,
}

/// See the module documentation. Shared by the threads of a run.
#[derive(Debug)]
pub struct Ledger {
    retention: Duration,
    history: Arc<History>,
    inner: Mutex<Inner>,
}

fn hash(client: &str, body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (client, body).hash(&mut hasher);
    hasher.finish()
}

/// The number at the start of a body.
fn number_of(body: &[u8]) -> Option<u64> {
    let digits = body.strip_prefix(b"#")?.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Ledger {
    /// A ledger for a daemon with this retention; violations go to `history`.
    pub fn new(retention: Duration, history: &Arc<History>) -> Ledger {
        let inner = Inner { retention, ..Inner::default() };
        Ledger { retention, history: history.clone(), inner: inner.into() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a room's own retention.
    pub fn keeps(&self, room: &str, time: Duration) {
        self.lock().rooms.entry(room.to_owned()).or_default().keeps = Some(time);
    }

    /// Records a message that is about to be sent.
    pub fn begin(&self, room: &str, client: &str, with_id: bool, content: &[u8]) -> Outgoing {
        let now = Instant::now();
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        let body = [format!("#{number} ").as_bytes(), content].concat();
        let hash = hash(client, &body);
        self.forget(&mut inner, room, now);
        let room = room.to_owned();
        let sent = Sent {
            room: room.clone(),
            hash,
            began: now,
            again: false,
            answered: None,
            seq: None,
            redaction_asked: false,
            redacted: None,
        };
        inner.sent.insert(number, sent);
        self.history.count(Figures { sent: 1, ..Figures::default() });
        Outgoing { number, room, id: with_id.then(|| format!("m{number}")), body }
    }

    /// Forgets the oldest messages of a room.
    fn forget(&self, inner: &mut Inner, room: &str, now: Instant) {
        let Some(known) = inner.rooms.get_mut(room) else { return };
        let remembered = known.keeps.unwrap_or(self.retention) * REMEMBERED + 4 * SLACK;
        while let Some(oldest) = known.by_seq.first_entry() {
            if let Entry::Message(number) = oldest.get() {
                if inner.sent.get(number).is_some_and(|sent| now - sent.began <= remembered) {
                    break;
                }
                inner.sent.remove(number);
            }
            oldest.remove();
        }
    }

    /// Records that messages are about to be sent again. An id is known only as long as its message is stored; a repeat
    /// after that is a new message.
    pub fn sends_again(&self, batch: &[Outgoing]) {
        let mut inner = self.lock();
        for outgoing in batch {
            if let Some(sent) = inner.sent.get_mut(&outgoing.number) {
                sent.again = true;
            }
        }
    }

    /// Records that a message was answered OK with this seq.
    pub fn answered(&self, outgoing: &Outgoing, seq: u64, repeated: bool) {
        let now = Instant::now();
        let mut inner = self.lock();
        let first = inner.sent.get_mut(&outgoing.number).is_some_and(|sent| sent.answered.replace(now).is_none());
        self.history.count(Figures { acked: first.into(), repeated: repeated.into(), ..Figures::default() });
        inner.stands(&self.history, "an OK", &outgoing.room, seq, Entry::Message(outgoing.number));
    }

    /// Records that a message was answered with an error.
    pub fn refused(&self) {
        self.history.refused();
    }

    /// Records that a redaction is about to be requested.
    pub fn asks_redaction(&self, room: &str, seq: u64) {
        if let Some(sent) = self.lock().at(room, seq) {
            sent.redaction_asked = true;
        }
    }

    /// Records a redaction answered OK, with the seq of the message that announces it.
    pub fn redacted(&self, room: &str, seq: u64, by: u64) {
        let mut inner = self.lock();
        inner.stands(&self.history, "an OK", room, by, Entry::Redaction);
        if let Some(sent) = inner.at(room, seq) {
            sent.redacted = Some(Instant::now());
        }
    }

    /// Records what a reader was handed. `after` is the seq that it had reached; returns the new one. `asked` is when
    /// the reader sent the request, if this is part of an answer.
    pub fn handed(&self, reader: &str, after: u64, item: &Item, asked: Option<Instant>) -> u64 {
        let now = Instant::now();
        let mut inner = self.lock();
        match item {
            Item::Message(message) => {
                if message.seq != after + 1 {
                    let what = format!("{reader} was shown {} {} right after {after}", message.room, message.seq);
                    self.history.violation(what);
                }
                self.shown(&mut inner, reader, message, asked);
                message.seq
            }
            Item::Gap { room, from, to } => {
                if *from != after + 1 || to < from {
                    self.history
                        .violation(format!("{reader} was told of a gap in {room}, {from} to {to}, after {after}"));
                }
                self.gone(&inner, reader, room, *from, *to, now);
                *to
            }
        }
    }

    fn shown(&self, inner: &mut Inner, reader: &str, message: &Message, asked: Option<Instant>) {
        self.history.count(Figures { read: 1, ..Figures::default() });
        let Message { room, seq, about, client, body, .. } = message;
        let at = format!("{reader} was shown {room} {seq}");
        if about.starts_with("redacts=") {
            return inner.stands(&self.history, &at, room, *seq, Entry::Redaction);
        }
        let longest = inner.rooms.get(room).and_then(|room| room.keeps).unwrap_or(self.retention);
        if about.starts_with("redacted=") {
            let asked = inner.at(room, *seq).is_none_or(|sent| sent.redaction_asked);
            if !asked || !body.is_empty() {
                self.history.violation(format!("{at} as redacted; asked for: {asked}; text: {}", !body.is_empty()));
            }
            return;
        }
        let Some((number, sent)) = number_of(body).and_then(|number| Some((number, inner.sent.get(&number)?))) else {
            let body = String::from_utf8_lossy(body);
            return self.history.violation(format!("{at}, which was never sent, or long ago: {body:.60?}"));
        };
        if sent.room != *room || sent.hash != hash(client, body) {
            return self.history.violation(format!("{at}, not as it was sent (message {number})"));
        }
        if let Some(asked) = asked {
            if sent.answered.is_some_and(|answered| asked.saturating_duration_since(answered) > longest + SLACK) {
                self.history.violation(format!("{at}, which is past retention"));
            }
            if sent.redacted.is_some_and(|redacted| redacted < asked) {
                self.history.violation(format!("{at} with its text, although it was redacted"));
            }
        }
        inner.stands(&self.history, &at, room, *seq, Entry::Message(number));
    }

    /// Checks seqs that the daemon reported as expired.
    fn gone(&self, inner: &Inner, reader: &str, room: &str, from: u64, to: u64, now: Instant) {
        let Some(known) = inner.rooms.get(room) else { return };
        let least = known.keeps.unwrap_or(self.retention);
        let of = |entry: &Entry| match entry {
            Entry::Message(number) => inner.sent.get(number),
            Entry::Redaction => None,
        };
        // The last seq belongs to the youngest message.
        let newest = known.by_seq.range(from..=to).rev().find_map(|(seq, entry)| Some((seq, of(entry)?)));
        if let Some((seq, sent)) = newest.filter(|(_, sent)| now - sent.began < least) {
            let age = (now - sent.began).as_secs_f64();
            self.history
                .violation(format!("LOST: {reader} was told that {room} {seq} is gone, {age:.2} s after its SEND"));
        }
    }

    /// The highest seq of a room that was acknowledged or shown so far.
    pub fn last(&self, room: &str) -> u64 {
        self.lock().rooms.get(room).map_or(0, |room| room.last)
    }

    /// Audits a room: `items` is everything that was handed over from 0 on, with the last seq according to the daemon;
    /// `last` is the highest seq known [before](Ledger::last). Only messages at the front may be missing, and only if
    /// they are too old.
    pub fn audit(&self, reader: &str, room: &str, items: &[Item], end: u64, last: u64, asked: Instant) {
        let mut after = 0;
        for (place, item) in items.iter().enumerate() {
            if place > 0 && matches!(item, Item::Gap { .. }) {
                self.history.violation(format!("{reader} was told of a gap in {room} after {after}, amid messages"));
            }
            after = self.handed(reader, after, item, Some(asked));
        }
        self.history.count(Figures { audits: 1, ..Figures::default() });
        if after != end || end < last {
            let what = format!("LOST: {reader} was handed {room} up to {after}; its last seq is {end}, and was {last}");
            self.history.violation(what);
        }
    }

    /// The number of messages that this program remembers.
    pub fn remembered(&self) -> usize {
        self.lock().sent.len()
    }
}

impl Inner {
    /// The message at a seq, if known.
    fn at(&mut self, room: &str, seq: u64) -> Option<&mut Sent> {
        match self.rooms.get(room)?.by_seq.get(&seq)? {
            Entry::Message(number) => self.sent.get_mut(number),
            Entry::Redaction => None,
        }
    }

    /// Records what is at a seq. It must be at no other seq, and nothing else may be at this one.
    fn stands(&mut self, history: &History, what: &str, room: &str, seq: u64, entry: Entry) {
        let known = self.rooms.entry(room.to_owned()).or_default();
        known.last = known.last.max(seq);
        let found = *known.by_seq.entry(seq).or_insert(entry);
        if found != entry {
            return history.violation(format!("{what}: {room} {seq} is {entry:?}, but was {found:?}"));
        }
        let Entry::Message(number) = entry else { return };
        let Some(sent) = self.sent.get_mut(&number) else { return };
        let before = *sent.seq.get_or_insert(seq);
        let may_have_expired = sent.again && sent.began.elapsed() >= known.keeps.unwrap_or(self.retention);
        if before != seq && !may_have_expired {
            history.violation(format!("{what}: message {number} is at {room} {seq}, and also at {before}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETENTION: Duration = Duration::from_secs(10);

    fn ledger(answered: u64) -> (Ledger, Arc<History>) {
        let history = Arc::new(History::default());
        let ledger = Ledger::new(RETENTION, &history);
        for seq in 1..=answered {
            let sent = ledger.begin("r", "a", true, b"hi");
            ledger.answered(&sent, seq, false);
        }
        (ledger, history)
    }

    fn shown(number: u64, seq: u64) -> Item {
        let body = format!("#{number} hi").into_bytes();
        let (room, client) = ("r".to_owned(), "a".to_owned());
        Item::Message(Message { room, seq, time: String::new(), about: String::new(), client, body })
    }

    fn about(seq: u64, about: &str, body: &[u8]) -> Item {
        let Item::Message(message) = shown(0, seq) else { panic!() };
        Item::Message(Message { about: about.to_owned(), body: body.to_vec(), ..message })
    }

    fn gap(from: u64, to: u64) -> Item {
        Item::Gap { room: "r".to_owned(), from, to }
    }

    #[track_caller]
    fn only(history: &History, what: &str) {
        let violations = history.violations();
        assert!(violations.iter().any(|violation| violation.contains(what)), "{violations:?}");
    }

    /// Ages everything by this much.
    fn age(ledger: &Ledger, by: Duration) {
        for sent in ledger.lock().sent.values_mut() {
            sent.began -= by;
            sent.answered = sent.answered.map(|answered| answered - by);
        }
    }

    #[test]
    fn what_is_right_is_right() {
        let (ledger, history) = ledger(3);
        let now = Instant::now();
        ledger.audit("audit", "r", &[shown(0, 1), shown(1, 2), shown(2, 3)], 3, ledger.last("r"), now);
        ledger.asks_redaction("r", 3);
        ledger.redacted("r", 3, 4);
        let items = [shown(0, 1), shown(1, 2), about(3, "redacted=4", b""), about(4, "redacts=3", b"")];
        ledger.audit("audit", "r", &items, 4, ledger.last("r"), Instant::now());
        age(&ledger, RETENTION);
        ledger.audit("audit", "r", &[gap(1, 4)], 4, 4, Instant::now());
        assert_eq!(history.violations(), Vec::<String>::new());
    }

    #[test]
    fn what_is_lost_is_found() {
        let (ledger, history) = ledger(3);
        ledger.audit("audit", "r", &[gap(1, 1), shown(1, 2), shown(2, 3)], 3, 3, Instant::now());
        only(&history, "LOST: audit was told that r 1 is gone");
        let (ledger, history) = self::ledger(3);
        ledger.audit("audit", "r", &[shown(0, 1), shown(1, 2)], 2, 3, Instant::now());
        only(&history, "LOST: audit was handed r up to 2");
        let (ledger, history) = self::ledger(3);
        age(&ledger, RETENTION);
        ledger.audit("audit", "r", &[shown(0, 1), gap(2, 2), shown(2, 3)], 3, 3, Instant::now());
        only(&history, "amid messages");
        ledger.audit("audit", "r", &[shown(0, 1), shown(2, 3)], 3, 3, Instant::now());
        only(&history, "was shown r 3 right after 1");
    }

    #[test]
    fn what_is_sent_again_may_be_another_message_once_the_first_may_have_expired() {
        let (ledger, history) = ledger(0);
        let sent = ledger.begin("r", "a", true, b"hi");
        ledger.answered(&sent, 1, false);
        age(&ledger, RETENTION);
        ledger.handed("one", 1, &shown(sent.number, 2), None);
        only(&history, "is at r 2, and also at 1");
        let (ledger, history) = self::ledger(0);
        let sent = ledger.begin("r", "a", true, b"hi");
        ledger.answered(&sent, 1, false);
        age(&ledger, RETENTION);
        ledger.sends_again(std::slice::from_ref(&sent));
        ledger.answered(&sent, 2, false);
        assert_eq!(history.violations(), Vec::<String>::new());
    }

    #[test]
    fn what_is_doubled_or_changed_is_found() {
        let (ledger, history) = ledger(2);
        ledger.handed("one", 2, &shown(1, 3), None);
        only(&history, "message 1 is at r 3, and also at 2");
        let sent = ledger.begin("r", "a", true, b"hi");
        ledger.answered(&sent, 2, false);
        only(&history, "r 2 is Message(2), but was Message(1)");
        ledger.handed("one", 0, &about(1, "", b"#0 ho"), None);
        only(&history, "not as it was sent (message 0)");
        ledger.handed("one", 1, &about(2, "redacted=3", b""), None);
        only(&history, "as redacted; asked for: false");
    }

    #[test]
    fn what_should_be_gone_is_found() {
        let (ledger, history) = ledger(2);
        ledger.asks_redaction("r", 1);
        ledger.redacted("r", 1, 3);
        ledger.handed("one", 0, &shown(0, 1), Some(Instant::now()));
        only(&history, "although it was redacted");
        age(&ledger, RETENTION + 2 * SLACK);
        ledger.handed("one", 1, &shown(1, 2), Some(Instant::now()));
        only(&history, "r 2, which is past retention");
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let (ledger, history) = ledger(2);
        age(&ledger, RETENTION * 4);
        age(&ledger, SLACK * 4);
        let sent = ledger.begin("r", "a", true, b"hi");
        ledger.answered(&sent, 3, false);
        assert_eq!((ledger.remembered(), ledger.lock().rooms["r"].by_seq.len()), (1, 1));
        assert_eq!(history.violations(), Vec::<String>::new());
    }
}
