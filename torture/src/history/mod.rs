//! A record, kept outside the daemon, of what was sent, acknowledged and seen. [`judge`] has the rules about messages.

mod judge;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::amends::Amends;
use crate::reborn::Reborn;
use crate::wire::Item;

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
    /// OKs that came over a WebSocket, repeats included.
    pub over_socket: u64,
    /// OKs that came over HTTP, repeats included.
    pub over_http: u64,
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
        self.over_socket += other.over_socket;
        self.over_http += other.over_http;
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
