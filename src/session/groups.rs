//! Groups: workers that share a cursor and take a room's messages, each message by one of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::listing::list;
use super::reading::{put_page, unreadable};
use super::{Out, Session};
use crate::limits::{TAKE_MAX, TAKE_WAIT_MAX};
use crate::rooms::{Group, Handed, Room};
use dantok_protocol::{ErrorCode, GapReason, Item, Refusal, Reply};

/// A TAKE that may have to wait.
#[derive(Debug)]
pub struct Take {
    room: String,
    group: String,
    max: usize,
    deadline: Instant,
    /// The room that had the name when the TAKE was sent.
    asked: Option<Arc<Room>>,
    /// When to try it again, if nothing happens first.
    pub look_at: Instant,
    /// There was nothing to take at the first attempt.
    pub has_waited: bool,
}

impl Take {
    /// A TAKE that starts now. `asked` is the room that has this name now.
    ///
    /// # Errors
    /// Too many messages, or too long a wait.
    pub fn new(
        room: String,
        group: String,
        max: Option<u64>,
        wait_ms: u64,
        asked: Option<Arc<Room>>,
    ) -> Result<Take, Refusal> {
        let wait = Duration::from_millis(wait_ms);
        let max = usize::try_from(max.unwrap_or(1)).unwrap_or(usize::MAX);
        if wait > TAKE_WAIT_MAX || !(1..=TAKE_MAX).contains(&max) {
            let text =
                format!("a TAKE gets 1 to {TAKE_MAX} messages and waits for at most {} s", TAKE_WAIT_MAX.as_secs());
            return Err(Refusal::new(ErrorCode::BadArgument, text));
        }
        let now = Instant::now();
        Ok(Take { room, group, max, deadline: now + wait, asked, look_at: now, has_waited: false })
    }
}

/// How often a waiting TAKE checks whether its client may still wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Session {
    fn group(&self, name: &str, group: &str) -> Result<(Arc<Room>, Arc<Group>, u64), Refusal> {
        let (room, _, last) = self.member(name)?;
        let found = room.group(group).ok_or_else(|| Refusal::no_group(name, group))?;
        Ok((room, found, last))
    }

    /// Takes messages if there are any, or gives up when its time to wait is over. `None`: try again, at the latest at
    /// [`look_at`](Take::look_at).
    ///
    /// # Errors
    /// As writing to `out`.
    pub async fn take(&mut self, take: &mut Take, out: &mut impl Out) -> io::Result<Option<Reply>> {
        let (name, group, max, deadline) = (&*take.room, &*take.group, take.max, take.deadline);
        // Before anything is checked, so that no change is missed.
        if let Some(group) = self.hub.rooms.get(name).and_then(|room| room.group(group)) {
            group.wait(&self.waker);
        }
        // A new room may have taken the name since.
        if take.asked.as_ref().is_some_and(|room| room.is_deleted()) {
            return Ok(Some(Reply::Error(Refusal::no_room(name))));
        }
        // Checked at each attempt: the group, the membership or the token may have ended meanwhile.
        let (room, found, last) = match self.group(name, group) {
            Ok(found) => found,
            Err(refusal) => return Ok(Some(Reply::Error(refusal))),
        };
        take.asked = Some(room.clone());
        let client = match self.known() {
            Ok(client) if self.end_reason().is_none() && self.has_valid_token() => client.clone(),
            _ => return Ok(Some(Reply::Count(0))),
        };
        let floor = match self.hub.reader.floor(&room).await {
            Ok(floor) => floor,
            Err(error) => return Ok(Some(Reply::Error(unreadable(&room.name, &error)))),
        };
        let taken = found.take(&client, max, floor, last);
        if let Some((from, to)) = taken.gone {
            out.item(Item::Gap { room: room.name.clone(), from, to, reason: GapReason::Expired });
        }
        if !taken.seqs.is_empty() || taken.gone.is_some() {
            let handed = Handed::of(found, &taken);
            return self.hand_taken(&room, &taken.seqs, handed, out).await.map(Some);
        }
        if Instant::now() >= deadline {
            return Ok(Some(Reply::Count(0)));
        }
        let look = Instant::now() + LOOK_EVERY;
        take.look_at = deadline.min(taken.next.map_or(look, |next| look.min(Instant::from_std(next))));
        take.has_waited = true;
        Ok(None)
    }

    /// Hands over messages that were taken. Those that can't be handed over now may be taken again.
    async fn hand_taken(
        &mut self,
        room: &Arc<Room>,
        seqs: &[u64],
        handed: Handed,
        out: &mut impl Out,
    ) -> io::Result<Reply> {
        // Before anything is written, so that the messages are free again if this ends halfway.
        self.handed.push(handed);
        let mut count = 0;
        for run in seqs.chunk_by(|one, other| one + 1 == *other) {
            let (Some(first), Some(through)) = (run.first(), run.last()) else { continue };
            let mut after = first - 1;
            while after < *through {
                let read = self.hub.reader.page(room, after, *through, u64::MAX).read().await;
                let read = read.map_err(|error| unreadable(&room.name, &error));
                let messages = match read.and_then(|messages| self.still_readable(room).map(|()| messages)) {
                    Ok(messages) => messages,
                    Err(refusal) => {
                        if let Some(handed) = self.handed.last_mut() {
                            handed.cut(after);
                        }
                        return Ok(Reply::Error(refusal));
                    }
                };
                self.count(put_page(room, after, *through, &messages, out));
                count += messages.len() as u64;
                after = messages.last().map_or(*through, |newest| newest.seq);
                if out.is_full() {
                    out.drain().await?;
                }
            }
        }
        Ok(Reply::Count(count))
    }

    /// Whether it is unknown if messages that TAKE handed over have arrived.
    pub fn is_handing(&self) -> bool {
        !self.handed.is_empty()
    }

    /// Takes out the messages that TAKE handed over and that may not have arrived.
    pub fn take_handed(&mut self) -> Vec<Handed> {
        std::mem::take(&mut self.handed)
    }

    /// Lists a group's messages that are taken and not done.
    pub(super) async fn pending(&self, name: &str, group: &str, out: &mut impl Out) -> io::Result<Reply> {
        let (room, found, _) = match self.group(name, group) {
            Ok(found) => found,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let group: Arc<str> = group.into();
        let item = |(seq, lease): (u64, crate::rooms::Lease)| Item::Pending {
            room: room.name.clone(),
            group: group.clone(),
            seq,
            client: lease.client,
            since_ms: lease.since_ms,
            deliveries: lease.deliveries,
        };
        list(found.pending().into_iter().map(item), out).await
    }

    /// Lists a room's groups.
    pub(super) async fn groups(&self, name: &str, out: &mut impl Out) -> io::Result<Reply> {
        let (room, last) = match self.readable(name) {
            Ok(readable) => readable,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let floor = self.hub.store.floor(room.id);
        let item = |(group, found): (Arc<str>, Arc<Group>)| {
            let (record, pending) = (found.record(), found.pending().len() as u64);
            let open = last.saturating_sub(record.cursor.max(floor)).saturating_sub(record.done_beyond());
            Item::Group {
                room: room.name.clone(),
                group,
                cursor: record.cursor,
                pending,
                waiting: open.saturating_sub(pending),
                timeout_ms: record.timeout_ms,
            }
        };
        list(room.groups().into_iter().map(item), out).await
    }
}
