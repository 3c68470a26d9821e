//! The task behind a [`Feed`](super::Feed). It owns the connection, reconnects, and fetches what was missed in between.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::codec::Encoder;

use super::{News, Order};
use crate::Error;
use crate::link::{Conn, Dialler, broken, is_passing, refused, unexpected};
use dantok_protocol::frame::{ClientCodec, RequestFrame, ServerFrame};
use dantok_protocol::name::composed;
use dantok_protocol::{Command, ErrorCode, Item, Refusal, Reply, commands};

/// Messages requested at a time when resuming.
const PAGE: u64 = 512;
/// Pause before a room that could not be read is tried again: doubles each time, up to `AGAIN_MAX`.
const AGAIN_MIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(10);

/// A message's seq, time and client. A redaction does not change them.
type Stamp = (u64, u64, Arc<str>);

/// How far a followed room has been yielded.
#[derive(Default)]
struct Followed {
    /// Join on the first connection. Later ones must not join: that would recreate a room deleted in the meantime.
    join: bool,
    /// The room's number, once it has been followed. `reached` does not apply to another room of the same name.
    number: Option<u64>,
    /// The last seq yielded, or the one after which the first FOLLOW began.
    reached: Option<u64>,
    /// Identifies the message at `reached`; `None` if it had expired.
    newest: Option<Stamp>,
    /// This connection's pushes continue from `reached` without a hole.
    live: bool,
    /// Set while the daemon can't read the room.
    unread: Option<Unread>,
}

/// A room that can't be read; dropped as soon as anything from it arrives.
struct Unread {
    since: Instant,
    /// The last failed attempt.
    last: Instant,
    /// When to try again; `None` during an attempt.
    again: Option<Instant>,
    pause: Duration,
}

pub(super) struct Task {
    dialler: Dialler,
    /// The epoch of all seqs in `places`.
    epoch: Arc<str>,
    watch: bool,
    places: BTreeMap<String, Followed>,
    news: mpsc::Sender<Result<News, Error>>,
    orders: mpsc::UnboundedReceiver<Order>,
    next_id: u64,
}

enum End {
    Broken(io::Error),
    Failed(Error),
    /// The feed was dropped.
    Dropped,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Broken(error)
    }
}

impl Task {
    /// A task that follows nothing yet except the room to `join`, if any.
    pub fn new(
        dialler: Dialler,
        epoch: Arc<str>,
        watch: bool,
        join: Option<String>,
        news: mpsc::Sender<Result<News, Error>>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Task {
        let places = join.into_iter().map(|room| (room, Followed { join: true, ..Followed::default() })).collect();
        Task { dialler, epoch, watch, places, news, orders, next_id: 1 }
    }

    pub async fn run(mut self) {
        let mut why = None;
        loop {
            let news = self.news.clone();
            let dialled = tokio::select! {
                dialled = self.dialler.dial(why.take(), || true) => dialled,
                () = news.closed() => return,
            };
            let end = match dialled {
                Ok(mut conn) => tokio::select! {
                    end = self.serve(&mut conn) => end,
                    () = news.closed() => return,
                },
                Err(error) => End::Failed(error),
            };
            match end {
                End::Broken(error) => {
                    if self.news.send(Ok(News::Disconnected(error.to_string()))).await.is_err() {
                        return;
                    }
                    why = Some(error);
                }
                End::Failed(error) => {
                    let _ = self.news.send(Err(error)).await;
                    return;
                }
                End::Dropped => return,
            }
        }
    }

    async fn tell(&self, news: News) -> Result<(), End> {
        self.news.send(Ok(news)).await.map_err(|_| End::Dropped)
    }

    /// Serves one connection until it ends.
    async fn serve(&mut self, conn: &mut Conn) -> End {
        let Err(end) = self.try_serve(conn).await;
        end
    }

    async fn try_serve(&mut self, conn: &mut Conn) -> Result<Infallible, End> {
        self.places.values_mut().for_each(|place| place.live = false);
        if conn.welcome.epoch != self.epoch {
            self.epoch = conn.welcome.epoch.clone();
            self.places.values_mut().for_each(|place| (place.reached, place.number, place.newest) = (None, None, None));
            self.tell(News::Restored(self.epoch.clone())).await?;
        }
        self.tell(News::Connected(conn.welcome.clone())).await?;
        if self.watch {
            self.ask(conn, Command::Watch).await?;
            self.ask(conn, Command::Events(commands::Events { on: true })).await?;
        }
        for room in self.places.keys().cloned().collect::<Vec<_>>() {
            self.resume(conn, &room).await?;
        }
        self.dialler.settled();
        loop {
            tokio::select! {
                frame = conn.frame() => match frame? {
                    ServerFrame::Push { item } => self.hand_on(item, false).await?,
                    ServerFrame::Closing { refusal } => return Err(End::Broken(broken(refusal))),
                    other => return Err(End::Broken(unexpected(&other))),
                },
                order = self.orders.recv() => match order {
                    Some(order) => self.carry_out(conn, order).await?,
                    None => return Err(End::Dropped),
                },
                room = next_unread(&self.places) => self.resume(conn, &room).await?,
            }
        }
    }

    async fn carry_out(&mut self, conn: &mut Conn, order: Order) -> Result<(), End> {
        match order {
            Order::Follow { room, .. } if self.places.contains_key(&room) => Ok(()),
            Order::Follow { room, after } => {
                // A seq of another epoch means nothing. The reader has been told of the restore, or will be.
                let after = after.filter(|(epoch, _)| *epoch == self.epoch).map(|(_, after)| after);
                self.places.insert(room.clone(), Followed { reached: after, ..Followed::default() });
                self.resume(conn, &room).await
            }
            Order::Unfollow { room } => match self.places.remove(&room) {
                Some(_) => self.ask(conn, Command::Unfollow(commands::Unfollow { room })).await.map(drop),
                None => Ok(()),
            },
        }
    }

    /// Follows a room from where it stands. A refusal is reported for this room, and the others continue.
    async fn resume(&mut self, conn: &mut Conn, room: &str) -> Result<(), End> {
        match self.try_resume(conn, room).await {
            Err(End::Failed(Error::Refused(refusal))) => {
                self.places.remove(room);
                self.tell(News::Refused { room: room.to_owned(), refusal }).await
            }
            result => result,
        }
    }

    async fn try_resume(&mut self, conn: &mut Conn, room: &str) -> Result<(), End> {
        let unread = self.places.get_mut(room).and_then(|place| place.unread.as_mut());
        unread.into_iter().for_each(|unread| unread.again = None);
        let name = || room.to_owned();
        if self.places.get(room).is_some_and(|place| place.join && place.number.is_none()) {
            self.ask(conn, Command::join(room)).await?;
        }
        let mut is_set_back = self.is_set_back(conn, room).await?;
        loop {
            let Reply::Following { after, number } =
                self.ask(conn, Command::Follow(commands::Follow { room: name(), after: None })).await?
            else {
                return Err(End::Failed(Error::Unexpected));
            };
            let Some(place) = self.places.get_mut(room) else { return Ok(()) };
            if *place.number.get_or_insert(number) != number {
                self.ask(conn, Command::Unfollow(commands::Unfollow { room: name() })).await?;
                return self.hand_on(Item::Gone { room: room.into() }, false).await;
            }
            if std::mem::take(&mut is_set_back) {
                (place.reached, place.newest, place.live) = (Some(after), None, true);
                self.tell(News::SetBack { room: room.into() }).await?;
                return self.is_set_back(conn, room).await.map(drop);
            }
            if after <= *place.reached.get_or_insert(after) {
                place.live = true;
                // If following begins here, look up the message by which to recognise the room later.
                return if place.newest.is_none() { self.is_set_back(conn, room).await.map(drop) } else { Ok(()) };
            }
            self.ask(conn, Command::Unfollow(commands::Unfollow { room: name() })).await?;
            // Another connection of the same client may have moved the cursor past what was yielded here; FOLLOW alone would
            // skip what lies between.
            while let Some(reached) = self.places.get(room).and_then(|place| place.reached) {
                let fetch = Command::Fetch(commands::Fetch { room: name(), after: Some(reached), max: Some(PAGE) });
                match self.ask_any(conn, fetch).await? {
                    Reply::End { handed, last, .. } if handed < last => {}
                    // Only this room is affected; the others continue.
                    Reply::Error(Refusal { code: ErrorCode::Storage, text, .. }) => {
                        return self.unreadable(name().into(), ErrorCode::Storage, text).await;
                    }
                    reply => {
                        taken(reply)?;
                        self.places.get_mut(room).into_iter().for_each(|place| place.unread = None);
                        break;
                    }
                }
            }
        }
    }

    /// Whether the room was set back: its last seq is lower than what was yielded, or it has another message at that seq. If this went
    /// unnoticed, all pushes up to there would be dropped as already seen.
    async fn is_set_back(&mut self, conn: &mut Conn, room: &str) -> Result<bool, End> {
        let Some(place) = self.places.get(room) else { return Ok(false) };
        let Some(reached) = place.reached.filter(|reached| *reached > 0) else { return Ok(false) };
        let newest = place.newest.clone();
        let fetch = Command::Fetch(commands::Fetch { room: room.to_owned(), after: Some(reached - 1), max: Some(1) });
        let mut found = Vec::new();
        let last = match self.exchange(conn, fetch, Some(&mut found)).await? {
            Reply::End { last, .. } => last,
            Reply::Error(refusal) if refusal.code == ErrorCode::SetBack => return Ok(true),
            // This message can't be read, but later ones may be.
            Reply::Error(refusal) if refusal.code == ErrorCode::Storage => return Ok(false),
            reply => return taken(reply).and(Err(End::Failed(Error::Unexpected))),
        };
        // If the message has expired, there is no way to tell; then the reader must not be kept from what is stored.
        let found = found.iter().find_map(stamp).filter(|(seq, ..)| *seq == reached);
        if let Some(place) = self.places.get_mut(room)
            && place.newest.is_none()
            && place.reached == Some(reached)
        {
            // It was not yielded here; remember it from now on.
            place.newest = found.clone();
        }
        let is_another = |found: Stamp| newest.is_some_and(|newest| newest != found);
        Ok(last < reached || found.is_some_and(is_another))
    }

    /// The name under which a room is followed, given the daemon's name for it: the caller may have written it in another Unicode form.
    fn key(&self, room: &str) -> String {
        let is_it = |written: &&String| composed(written) == room;
        let written = match self.places.contains_key(room) {
            true => None,
            false => self.places.keys().find(is_it),
        };
        written.map_or_else(|| room.to_owned(), Clone::clone)
    }

    /// Handles a followed room that can't be read, whether the daemon pushed that or answered it: retries later from the same place.
    async fn unreadable(&mut self, room: Arc<str>, code: ErrorCode, text: String) -> Result<(), End> {
        let limit = self.dialler.options.reconnect;
        let key = self.key(&room);
        let Some(place) = self.places.get_mut(&key) else { return Ok(()) };
        place.live = false;
        let now = Instant::now();
        // After a long time without a failed attempt, this is a new problem: the room was merely quiet.
        place.unread.take_if(|unread| unread.last.elapsed() > 2 * AGAIN_MAX);
        let is_new = place.unread.is_none();
        let unread = place.unread.get_or_insert(Unread { since: now, last: now, again: None, pause: AGAIN_MIN });
        unread.last = now;
        if limit.is_some_and(|limit| unread.since.elapsed() >= limit) {
            self.places.remove(&key);
            let refusal = Refusal::new(code, text);
            return self.tell(News::Refused { room: room.to_string(), refusal }).await;
        }
        unread.again = Some(now + unread.pause);
        unread.pause = AGAIN_MAX.min(unread.pause * 2);
        if is_new { self.tell(News::Item(Item::Ended { room, code, text })).await } else { Ok(()) }
    }

    /// Sends a request and returns its answer; a refusal is an error. Yields the answer's items.
    async fn ask(&mut self, conn: &mut Conn, command: Command) -> Result<Reply, End> {
        taken(self.ask_any(conn, command).await?)
    }

    /// Like [`ask`](Task::ask), but returns a refusal as an answer.
    async fn ask_any(&mut self, conn: &mut Conn, command: Command) -> Result<Reply, End> {
        self.exchange(conn, command, None).await
    }

    /// Like [`ask_any`](Task::ask_any), but collects the items in `aside`, if given, instead of yielding them.
    async fn exchange(
        &mut self,
        conn: &mut Conn,
        command: Command,
        mut aside: Option<&mut Vec<Item>>,
    ) -> Result<Reply, End> {
        let id = self.next_id;
        self.next_id += 1;
        let mut output = BytesMut::new();
        ClientCodec.encode(RequestFrame { id, command }, &mut output)?;
        conn.send(&output).await?;
        loop {
            match conn.frame().await? {
                ServerFrame::Reply { id: of, reply } if of == id => return Ok(reply),
                ServerFrame::Part { id: of, item } if of == id => match &mut aside {
                    Some(items) => items.push(item),
                    None => self.hand_on(item, true).await?,
                },
                // From another room, or from the list.
                ServerFrame::Push { item } => self.hand_on(item, false).await?,
                ServerFrame::Closing { refusal } => return Err(End::Broken(broken(refusal))),
                other => return Err(End::Broken(unexpected(&other))),
            }
        }
    }

    /// Yields what is new in an item. `fetched`: it was requested, to close the hole before the pushes.
    async fn hand_on(&mut self, item: Item, fetched: bool) -> Result<(), End> {
        match item {
            Item::Gone { ref room } => drop(self.places.remove(&self.key(room))),
            Item::Ended { room, code, text } => return self.unreadable(room, code, text).await,
            _ => {}
        }
        let Some(room) = in_order(&item) else { return self.tell(News::Item(item)).await };
        let key = self.key(room);
        let Some(place) = self.places.get_mut(&key) else { return Ok(()) };
        if !place.live && !fetched {
            return Ok(());
        }
        place.unread = None;
        let Some((item, to)) = unseen(item, place.reached.unwrap_or(0)) else { return Ok(()) };
        let newest = stamp(&item);
        self.tell(News::Item(item)).await?;
        if let Some(place) = self.places.get_mut(&key) {
            (place.reached, place.newest) = (Some(to), newest);
        }
        Ok(())
    }
}

/// Turns a refusal into an error.
fn taken(reply: Reply) -> Result<Reply, End> {
    match reply {
        Reply::Error(refusal) if is_passing(&refusal) => Err(End::Broken(broken(refusal))),
        Reply::Error(refusal) => Err(End::Failed(refused(refusal))),
        reply => Ok(reply),
    }
}

/// Waits until an unreadable room is due for another attempt, and returns it.
async fn next_unread(places: &BTreeMap<String, Followed>) -> String {
    let unread = places.iter().filter_map(|(room, place)| Some((place.unread.as_ref()?.again?, room)));
    match unread.min() {
        Some((again, room)) => {
            sleep_until(again).await;
            room.clone()
        }
        None => std::future::pending().await,
    }
}

/// The room of an item that has a place in the room's order.
fn in_order(item: &Item) -> Option<&str> {
    match item {
        Item::Message(message) => Some(&message.room),
        Item::Gap { room, .. } => Some(room),
        _ => None,
    }
}

fn stamp(item: &Item) -> Option<Stamp> {
    match item {
        Item::Message(message) => Some((message.seq, message.time_ms, message.client.clone())),
        _ => None,
    }
}

/// The part of an item that lies past `reached`, and its last seq.
fn unseen(item: Item, reached: u64) -> Option<(Item, u64)> {
    match item {
        Item::Message(message) if message.seq > reached => {
            let to = message.seq;
            Some((Item::Message(message), to))
        }
        Item::Gap { room, from, to, reason } if to > reached => {
            Some((Item::Gap { room, from: from.max(reached.saturating_add(1)), to, reason }, to))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dantok_protocol::GapReason;

    #[test]
    fn a_gap_is_cut_to_what_is_new() {
        let gap = |from, to| Item::Gap { room: "lobby".into(), from, to, reason: GapReason::Expired };
        assert_eq!(unseen(gap(1, 9), 4), Some((gap(5, 9), 9)));
        assert_eq!(unseen(gap(5, 9), 4), Some((gap(5, 9), 9)));
        assert_eq!(unseen(gap(1, 4), 4), None);
    }
}
