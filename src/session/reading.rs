//! Reading: hands the messages of a room to its members, on request and live.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::{Out, Session};
use crate::message::shown;
use crate::permission::Permission;
use crate::pushed::PageInfo;
use crate::rooms::Room;
use dantok_protocol::commands::Write;
use dantok_protocol::name::signature;
use dantok_protocol::{ErrorCode, GapReason, Item, Refusal, Reply, Seek, Since, commands};
use dantok_store::Error;
use dantok_store::clock::wall_ms;
use dantok_store::limits::READ_AGAIN_AFTER;
use dantok_store::messages::Messages;
use dantok_store::record::StoredRef;

/// The part of a room to hand over.
struct Part {
    /// Messages after this seq …
    after: u64,
    /// … and up to this one, …
    through: u64,
    /// … at most this many.
    max: Option<u64>,
    /// The room's last seq when the answer began.
    last: u64,
    /// Whether an ACK without a seq acknowledges it.
    counts: bool,
}

impl Session {
    pub(super) async fn fetch(
        &mut self,
        name: &str,
        after: Option<u64>,
        max: Option<u64>,
        out: &mut impl Out,
    ) -> io::Result<Reply> {
        let (room, cursor, last) = match self.reader(name) {
            Ok(reader) => reader,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let after = after.unwrap_or(cursor);
        if after > last {
            return Ok(Reply::Error(Refusal::set_back(name, after, last)));
        }
        self.hand_over(&room, Part { after, through: last, max, last, counts: true }, out).await
    }

    pub(super) async fn read(&mut self, name: &str, max: Option<u64>, out: &mut impl Out) -> io::Result<Reply> {
        let room = match self.reader(name) {
            Ok((room, ..)) => room,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        if let Some(seq) = self.position(room.id).read.take()
            && let Reply::Error(refusal) = self.write(Write::Ack { room: name.to_owned(), seq }).await
        {
            return Ok(Reply::Error(refusal));
        }
        let (cursor, last) = match self.reader(name) {
            Ok((_, cursor, last)) => (cursor, last),
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let part = Part { after: cursor, through: last, max, last, counts: true };
        let reply = self.hand_over(&room, part, out).await?;
        if let Reply::End { handed, .. } = &reply {
            self.position(room.id).read = Some(*handed);
        }
        Ok(reply)
    }

    /// Hands over a part of a room, page by page.
    async fn hand_over(&mut self, room: &Arc<Room>, part: Part, out: &mut impl Out) -> io::Result<Reply> {
        let Part { after, through, max, last, counts } = part;
        let (mut reached, mut left) = (after, max.unwrap_or(u64::MAX));
        // Before the read, so that a redaction during the read is noticed.
        let mut redactions = room.redactions();
        let mut reading = (reached < through && left > 0).then(|| self.hub.reader.page(room, reached, through, left));
        while let Some(page) = reading.take() {
            let read = page.read().await;
            // While a slow peer kept the page waiting, messages in it may have been redacted, or the client may have lost access.
            let current = room.redactions();
            let read = match read {
                Ok(_) if current != redactions => self.hub.reader.page(room, reached, through, left).read().await,
                read => read,
            };
            let messages = match read {
                Ok(messages) => messages,
                Err(error) => return Ok(Reply::Error(unreadable(&room.name, &error))),
            };
            if let Err(refusal) = self.still_readable(room) {
                return Ok(Reply::Error(refusal));
            }
            let before = reached;
            redactions = room.redactions();
            reached = messages.last().map_or(through, |newest| newest.seq);
            left = left.saturating_sub(messages.len() as u64);
            // The next page is read while this one is encoded and written.
            reading = (reached < through && left > 0).then(|| self.hub.reader.page(room, reached, through, left));
            self.count(put_page(room, before, through, &messages, out));
            if counts {
                self.note_handed(room, before, reached);
            }
            if out.is_full() {
                out.drain().await?;
            }
        }
        Ok(Reply::End { room: room.name.clone(), handed: reached, oldest: self.hub.store.floor(room.id) + 1, last })
    }

    /// Counts messages that were handed over, and the bytes of their bodies.
    pub(super) fn count(&self, (messages, bytes): (u64, u64)) {
        self.hub.figures.handed.add(messages);
        self.hub.figures.handed_bytes.add(bytes);
    }

    /// Notes that everything after `from` and up to `to` was handed over. A part further ahead does not count, because an ACK without a seq
    /// must not acknowledge what was skipped.
    fn note_handed(&mut self, room: &Room, from: u64, to: u64) {
        let cursor = self.known().ok().and_then(|client| room.cursor(client)).unwrap_or(0);
        let position = self.position(room.id);
        if from <= position.handed.max(cursor) {
            position.handed = position.handed.max(to);
        }
    }

    pub(super) fn follow(&mut self, name: &str, after: Option<u64>) -> Result<Reply, Refusal> {
        let (room, begin) = match after {
            None => self.reader(name).map(|(room, cursor, _)| (room, cursor))?,
            Some(after) => match self.readable(name)? {
                (_, last) if after > last => return Err(Refusal::set_back(name, after, last)),
                (room, _) => (room, after),
            },
        };
        // An older, deleted room of the same name: a client that follows the new one must not be told that it is gone.
        let is_old = |(of, _): &(Arc<Room>, Arc<AtomicU64>)| of.is_deleted() && of.name == room.name;
        let mut followed = self.positions.values().filter_map(|position| position.followed.as_ref());
        if self.hub.rooms.has_deleted()
            && let Some((old, _)) = followed.find(|followed| is_old(followed)).cloned()
        {
            self.forget(&old);
        }
        self.position(room.id);
        let position = self.positions.entry(room.id).or_default();
        if let Some((_, reached)) = &position.followed {
            if after.is_some() {
                reached.store(begin, Ordering::Relaxed);
                self.behind.insert(room.id);
            }
            return Ok(Reply::Following { after: reached.load(Ordering::Relaxed), number: room.id });
        }
        let reached = Arc::new(AtomicU64::new(begin));
        position.is_apart = after.is_some();
        position.followed = Some((room.clone(), reached.clone()));
        room.follow(&self.waker, reached);
        position.heard = self.events.then(|| self.hub.rooms.listen(&room, &self.waker));
        self.behind.insert(room.id);
        Ok(Reply::Following { after: begin, number: room.id })
    }

    pub(super) fn unfollow(&mut self, name: &str) -> Result<Reply, Refusal> {
        let room = self.permitted(name, Permission::See)?;
        self.stop_following(&room);
        Ok(Reply::Done)
    }

    /// Pushes a page of a room and returns its last seq. Followers of a room mostly get the same pages, so one that was encoded for another
    /// session is used again.
    async fn push(&self, room: &Room, after: u64, through: u64, out: &mut impl Out) -> Result<u64, Error> {
        let is_current = |page: &PageInfo| {
            page.through <= through
                && page.oldest_kept_ms >= self.hub.reader.cutoff_ms(room)
                && page.redactions == room.redactions()
        };
        if let Some(page) = out.repeat_page(room.id, after, is_current) {
            self.count((page.messages, page.bytes));
            return Ok(page.through);
        }
        let redactions = room.redactions();
        let messages = self.hub.reader.page(room, after, through, u64::MAX).read_once().await?;
        if !self.hub.store.has(room.id) {
            return Ok(after); // It was deleted meanwhile; the next pump says so.
        }
        let (Some(oldest), Some(newest)) = (messages.first(), messages.last()) else {
            put_page(room, after, through, &messages, out);
            return Ok(through);
        };
        let is_shared = oldest.seq == after + 1 && room.has_followers();
        if is_shared {
            out.begin_page();
        }
        let (count, bytes) = put_page(room, after, through, &messages, out);
        self.count((count, bytes));
        if is_shared {
            let (through, oldest_kept_ms) = (newest.seq, oldest.kept_ms);
            out.end_page(room.id, PageInfo { through, messages: count, bytes, oldest_kept_ms, redactions });
        }
        Ok(newest.seq)
    }

    /// Pushes a page of a followed room; false if there is no more.
    pub(super) async fn pump_room(&mut self, id: u64, out: &mut impl Out) -> bool {
        let followed = self.positions.get(&id).and_then(|position| position.followed.clone());
        let Some((room, shown)) = followed else { return false };
        let from = shown.load(Ordering::Relaxed);
        // Read before the membership is checked: messages after its end are not for this client.
        let through = room.last_seq();
        let is_allowed = match self.positions.get(&id) {
            Some(position) if position.is_apart => self.still_readable(&room).is_ok(),
            _ => self.known().is_ok_and(|client| room.cursor(client).is_some()),
        };
        if !is_allowed {
            // LEAVE on another connection, KICK, or DELETE, which a WATCH would report as well.
            self.forget(&room);
            if self.watching && room.is_deleted() {
                self.gone.insert(id);
            }
            out.item(Item::Gone { room: room.name.clone() });
            return false;
        }
        let mut reached = from;
        if reached < through {
            match self.push(&room, from, through, out).await {
                Ok(seq) => reached = seq,
                Err(error) => {
                    self.retry_or_end(&room, &error, out);
                    return false;
                }
            }
        }
        if let Some(position) = self.positions.get_mut(&id) {
            position.failed = 0;
        }
        self.note_handed(&room, from, reached);
        shown.store(reached, Ordering::Relaxed);
        reached < through
    }

    /// A followed room can't be read. A passing error is retried later, while the session goes on. Otherwise following ends and the client
    /// is told; what was handed over stays so, and the client can FOLLOW again.
    fn retry_or_end(&mut self, room: &Arc<Room>, error: &Error, out: &mut impl Out) {
        let position = self.positions.entry(room.id).or_default();
        let pause = READ_AGAIN_AFTER.get(position.failed).filter(|_| error.is_passing());
        if let Some(pause) = pause {
            tracing::warn!(%error, again_in = ?pause, "can't read messages");
            position.failed += 1;
            self.retries.insert(room.id, Instant::now() + *pause);
            return;
        }
        let Refusal { code, text, .. } = unreadable(&room.name, error);
        self.stop_following(room);
        out.item(Item::Ended { room: room.name.clone(), code, text });
    }

    pub(super) fn stop_following(&mut self, room: &Room) {
        room.unfollow(&self.waker);
        if let Some(position) = self.positions.get_mut(&room.id) {
            position.followed = None;
            position.heard = None;
            position.failed = 0;
        }
        self.hub.rooms.unlisten(room, &self.waker);
        self.behind.remove(&room.id);
        self.retries.remove(&room.id);
    }

    /// Hands over a part of the room without any effect on what counts as handed over or acknowledged.
    pub(super) async fn history(&mut self, history: commands::History, out: &mut impl Out) -> io::Result<Reply> {
        let commands::History { room: name, after, before, since, max } = history;
        let (room, last) = match self.readable(&name) {
            Ok((_, last)) if after > Some(last) => {
                return Ok(Reply::Error(Refusal::set_back(&name, after.unwrap_or(0), last)));
            }
            Ok(readable) => readable,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let through = last.min(before.map_or(u64::MAX, |before| before.saturating_sub(1)));
        let begin = match (self.hub.reader.floor(&room).await, since) {
            (Ok(floor), Some(since)) => {
                let since_ms = match since {
                    Since::At(ms) => ms,
                    Since::Ago(ms) => wall_ms().saturating_sub(ms),
                };
                let found = self.hub.reader.last_before(&room, floor.max(after.unwrap_or(0)), through, since_ms);
                found.await
            }
            // With what is gone after it, as FETCH tells it.
            (Ok(_), None) if after.is_some() => Ok(after.unwrap_or(0)),
            (Ok(floor), None) => Ok(floor.max(through.saturating_sub(max.unwrap_or(u64::MAX)))),
            (Err(error), _) => Err(error),
        };
        match begin {
            Ok(begin) => {
                let part = Part { after: begin.min(through), through, max, last, counts: false };
                self.hand_over(&room, part, out).await
            }
            Err(error) => Ok(Reply::Error(unreadable(&room.name, &error))),
        }
    }

    /// Checks that the client may still read this room, and that the name is still that of this room.
    pub(super) fn still_readable(&self, room: &Room) -> Result<(), Refusal> {
        match self.readable(&room.name) {
            Ok((found, _)) if found.id == room.id && self.hub.store.has(room.id) => Ok(()),
            Ok(_) => Err(Refusal::no_room(&room.name)),
            Err(refusal) => Err(refusal),
        }
    }

    /// A room that the client may read, and its last seq at that time.
    pub(super) fn readable(&self, name: &str) -> Result<(Arc<Room>, u64), Refusal> {
        match self.member(name) {
            Err(_) => self.permitted(name, Permission::Inspect).map(|room| (room.clone(), room.last_seq())),
            Ok((room, _, last)) => Ok((room, last)),
        }
    }

    pub(super) async fn seek(&mut self, name: String, to: Seek) -> Reply {
        let room = self.hub.rooms.get(&name);
        let reply = self.write(Write::Seek(commands::Seek { room: name, to })).await;
        if let (Reply::Acked { cursor }, Some(room)) = (&reply, room)
            && let Some(position) = self.positions.get_mut(&room.id)
        {
            // What was handed over before no longer counts, and a FOLLOW continues from here.
            position.handed = *cursor;
            position.read = None;
            if let Some((_, reached)) = &position.followed {
                reached.store(*cursor, Ordering::Relaxed);
                self.behind.insert(room.id);
            }
        }
        reply
    }
}

/// Puts a page: the gap before it, if any, and its messages. If there are no messages, all up to `through` have expired.
/// Returns the number of messages and the bytes of their bodies.
pub(super) fn put_page(room: &Room, after: u64, through: u64, messages: &Messages, out: &mut impl Out) -> (u64, u64) {
    let mut bytes = 0;
    let first = messages.first().map_or(through + 1, |message| message.seq);
    if first > after + 1 {
        let reason = GapReason::Expired;
        out.item(Item::Gap { room: room.name.clone(), from: after + 1, to: first - 1, reason });
    }
    messages.each(|message| {
        bytes += message.body.len() as u64;
        out.message(shown(&room.name, StoredRef { client: signature(message.client), ..message }));
    });
    (messages.len() as u64, bytes)
}

pub(super) fn unreadable(room: &str, error: &Error) -> Refusal {
    tracing::error!(room, %error, "can't read messages");
    Refusal::new(ErrorCode::Storage, "the daemon can't read this room from its disk; its operator's log says why")
}
