//! Shared cursors: workers that take a room's messages, each message for one of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::listing::list;
use super::reading::{tell, unreadable};
use super::{Out, Session};
use crate::committer::{no_group, no_room};
use crate::limits::{TAKE_MAX, TAKE_WAIT_MAX};
use crate::protocol::{ErrorCode, GapReason, Item, Refusal, Reply};
use crate::rooms::{Group, Room};

/// How often a TAKE that waits looks whether its client may still wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Session {
    fn group(&self, name: &str, group: &str) -> Result<(Arc<Room>, Arc<Group>, u64), Refusal> {
        let (room, _, last) = self.member(name)?;
        let found = room.group(group).ok_or_else(|| no_group(name, group))?;
        Ok((room, found, last))
    }

    /// Takes messages, waiting for some where there are none.
    pub(super) async fn take(
        &mut self,
        name: &str,
        group: &str,
        max: Option<u64>,
        wait_ms: u64,
        out: &mut impl Out,
    ) -> io::Result<Reply> {
        let wait = Duration::from_millis(wait_ms);
        let max = usize::try_from(max.unwrap_or(1)).unwrap_or(usize::MAX);
        if wait > TAKE_WAIT_MAX || !(1..=TAKE_MAX).contains(&max) {
            let text =
                format!("a TAKE is of 1 to {TAKE_MAX} messages, and waits for {} s at most", TAKE_WAIT_MAX.as_secs());
            return Ok(Reply::Error(Refusal::new(ErrorCode::BadArgument, text)));
        }
        let deadline = Instant::now() + wait;
        let mut asked: Option<Arc<Room>> = None;
        loop {
            // Before anything is looked at, so that no change is missed.
            let changing = self.hub.rooms.get(name).and_then(|room| room.group(group));
            let changed = changing.as_ref().map(|group| group.changed());
            tokio::pin!(changed);
            if let Some(changed) = changed.as_mut().as_pin_mut() {
                changed.enable();
            }
            // Another one of the name is not what was asked about.
            if asked.as_ref().is_some_and(|room| room.is_deleted()) {
                return Ok(Reply::Error(no_room(name)));
            }
            // Again each time: it may have ended meanwhile, and so may the membership or the token.
            let (room, found, last) = match self.group(name, group) {
                Ok(found) => found,
                Err(refusal) => return Ok(Reply::Error(refusal)),
            };
            asked = Some(room.clone());
            let client = match self.known() {
                Ok(client) if self.over().is_none() && self.still_holds() => client.clone(),
                _ => return Ok(Reply::Count(0)),
            };
            let floor = match self.hub.floor(&room).await {
                Ok(floor) => floor,
                Err(error) => return Ok(Reply::Error(unreadable(&room.name, &error))),
            };
            let taken = found.take(&client, max, floor, last);
            if let Some((from, to)) = taken.gone {
                out.item(Item::Gap { room: room.name.clone(), from, to, reason: GapReason::Expired });
            }
            if !taken.seqs.is_empty() || taken.gone.is_some() || Instant::now() >= deadline {
                return self.hand_taken(&room, &taken.seqs, out).await;
            }
            let look = Instant::now() + LOOK_EVERY;
            let next = taken.next.map_or(look, |next| look.min(Instant::from_std(next)));
            tokio::select! {
                () = async {
                    match changed.as_mut().as_pin_mut() {
                        Some(changed) => changed.await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = sleep_until(deadline.min(next)) => {}
                () = self.hub.stopping.cancelled() => return Ok(Reply::Count(0)),
            }
        }
    }

    /// Hands over messages that were taken; what can't be handed over now may be taken again when its time is over.
    async fn hand_taken(&self, room: &Arc<Room>, seqs: &[u64], out: &mut impl Out) -> io::Result<Reply> {
        let mut count = 0;
        for run in seqs.chunk_by(|one, other| one + 1 == *other) {
            let (Some(first), Some(through)) = (run.first(), run.last()) else { continue };
            let mut after = first - 1;
            while after < *through {
                let messages = match self.hub.begin_read(room, after, *through, u64::MAX).read().await {
                    Ok(messages) => messages,
                    Err(error) => return Ok(Reply::Error(unreadable(&room.name, &error))),
                };
                if let Err(refusal) = self.still_readable(room) {
                    return Ok(Reply::Error(refusal));
                }
                self.count(tell(room, after, *through, &messages, out));
                count += messages.len() as u64;
                after = messages.last().map_or(*through, |newest| newest.seq);
                if out.is_full() {
                    out.drain().await?;
                }
            }
        }
        Ok(Reply::Count(count))
    }

    /// What of a group is taken and not done.
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

    /// A room's groups.
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
