//! One client: commands in, answers out, one function a command. Knows no bytes and no framing.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, sleep_until};

use crate::committer::{self, Write, no_room, not_joined};
use crate::error::Error;
use crate::hub::{Hub, cutoff_ms};
use crate::limits::{DENIED_AFTER, NAME_MAX_BYTES, PIPELINE_MAX_REQUESTS, TOKEN_MAX_BYTES};
use crate::protocol::name::{check_client, check_id, check_nick, check_room, check_topic, person};
use crate::protocol::{Command, ErrorCode, GapReason, Item, MessageRef, Refusal, Reply, VERSION, Welcome, line};
use crate::rooms::{Presence, Room, Rooms, Waker};
use crate::store::messages::Messages;
use crate::tokens::{Grant, Role};

/// Where a session's items go: an answer that is being given, or what is told unasked.
pub trait Out: Send {
    /// Takes an item.
    fn item(&mut self, item: Item);
    /// Takes a message.
    fn message(&mut self, message: MessageRef<'_>);
    /// Takes what another session was told of a room after this seq, if that is known and `is_wanted`; returns what it was.
    fn again(&mut self, room: u64, after: u64, is_wanted: impl FnOnce(&Told) -> bool) -> Option<Told>;
    /// What is taken from here on …
    fn begin(&mut self);
    /// … up to here is messages of this room that follow each other: others may be told them [again](Out::again).
    fn end(&mut self, room: u64, told: Told);
    /// Whether enough waits to be written that the session should stop and [`drain`](Out::drain).
    fn is_full(&self) -> bool;
    /// Writes what waits.
    fn drain(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Messages that a session was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The last one's seq.
    pub through: u64,
    /// How many.
    pub messages: u64,
    /// When the oldest was taken, on the kept clock.
    pub oldest_kept_ms: u64,
}

/// How a command is to be carried out.
#[derive(Debug)]
pub enum Action {
    /// Through the committer; more of these may be under way at once.
    Write(Write),
    /// By [`Session::run`], when everything before it is answered.
    Run(Command),
    /// Not at all.
    Refuse(Refusal),
}

#[derive(Debug)]
struct Who {
    client: Arc<str>,
    grant: Grant,
    _presence: Presence,
}

/// Where this connection stands in a room.
#[derive(Debug, Default)]
struct Place {
    /// Everything from the cursor up to here was handed over.
    handed: u64,
    /// What the last READ handed over.
    read: Option<u64>,
    /// What a FOLLOW has reached.
    followed: Option<(Arc<Room>, u64)>,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    who: Option<Who>,
    waker: Arc<Waker>,
    places: HashMap<u64, Place>,
    watching: bool,
    /// Followed rooms with something to hand over.
    behind: BTreeSet<u64>,
    /// Watched rooms with something to tell.
    changed: BTreeSet<u64>,
    /// The client's token is no longer good.
    is_over: bool,
}

impl Session {
    /// A session of nobody yet.
    pub fn new(hub: Arc<Hub>) -> Session {
        Session {
            hub,
            who: None,
            waker: Arc::default(),
            places: HashMap::new(),
            watching: false,
            behind: BTreeSet::new(),
            changed: BTreeSet::new(),
            is_over: false,
        }
    }

    /// Whether HELLO was said.
    pub fn is_known(&self) -> bool {
        self.who.is_some()
    }

    /// What notes that there is something to [`pump`](Session::pump).
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// How to carry out a command.
    pub fn action(&mut self, command: Command) -> Action {
        if let Err(refusal) = check_names(&command) {
            return Action::Refuse(refusal);
        }
        if self.who.is_none() {
            return match command {
                Command::Hello { .. } | Command::Help { .. } | Command::Ping | Command::Quit => Action::Run(command),
                _ => Action::Refuse(Refusal::new(ErrorCode::HelloFirst, "say HELLO <client> first")),
            };
        }
        let write = match command {
            Command::Create { room, topic } => Write::Create { room, topic },
            Command::Join { room } => Write::Join { room },
            Command::Send { room, id, body } => Write::Send { room, id, body },
            Command::Nick { nick } => Write::Nick { nick },
            Command::Ack { room, seq } => {
                let handed =
                    || self.hub.rooms.get(&room).and_then(|room| self.places.get(&room.id)).map(|place| place.handed);
                Write::Ack { seq: seq.or_else(handed).unwrap_or(0), room }
            }
            command => return Action::Run(command),
        };
        Action::Write(write)
    }

    /// Carries out a command that [`action`](Session::action) said to run. Items go to `out`, before the reply.
    ///
    /// # Errors
    /// What `out` says.
    pub async fn run(&mut self, command: Command, out: &mut impl Out) -> io::Result<Reply> {
        let answered = match command {
            Command::Hello { version, client, token } => self.hello(version, &client, token).await,
            Command::Fetch { room, after, max } => return self.fetch(&room, after, max, out).await,
            Command::Read { room, max } => return self.read(&room, max, out).await,
            Command::Leave { room } => Ok(self.leave(room).await),
            Command::Follow { room } => self.follow(&room),
            Command::Unfollow { room } => self.unfollow(&room),
            Command::Rooms => return self.rooms(out).await,
            Command::Watch => Ok(self.watch()),
            Command::Unwatch => Ok(self.unwatch()),
            Command::Who { room } => return self.who(&room, out).await,
            Command::Stats => Ok(Reply::Stats(self.hub.stats().await)),
            Command::Help { verb } => help(verb.as_deref(), out),
            Command::Ping => Ok(Reply::Pong),
            Command::Quit => Ok(Reply::Bye),
            // These are writes, and `action` never says to run one.
            Command::Nick { .. }
            | Command::Create { .. }
            | Command::Join { .. }
            | Command::Send { .. }
            | Command::Ack { .. } => Ok(committer::ended()),
        };
        Ok(answered.unwrap_or_else(Reply::Error))
    }

    async fn hello(&mut self, version: u16, client: &str, token: Option<String>) -> Result<Reply, Refusal> {
        let deny_at = Instant::now() + DENIED_AFTER;
        if version == 0 {
            return Err(Refusal::new(ErrorCode::BadArgument, format!("versions are 1 to {VERSION}")));
        }
        if token.as_ref().is_some_and(|token| token.len() > TOKEN_MAX_BYTES) {
            return Err(Refusal::new(ErrorCode::BadArgument, format!("a token has at most {TOKEN_MAX_BYTES} bytes")));
        }
        if let Some(who) = &self.who
            && *who.client != *client
        {
            return Err(Refusal::new(ErrorCode::Denied, "this connection is another client's; open one of your own"));
        }
        let client: Arc<str> = client.into();
        self.hub.tokens.refresh();
        let Some(grant) = self.hub.tokens.admit(&client, token.as_deref()) else {
            sleep_until(deny_at).await;
            return Err(Refusal::new(ErrorCode::Denied, "no such client, or another token"));
        };
        if self.who.is_none() {
            let presence = self.hub.rooms.connect(client.clone(), &self.waker);
            self.who = Some(Who { client: client.clone(), grant: grant.clone(), _presence: presence });
            self.recheck(); // What changed before it could be told of it.
        }
        Ok(Reply::Welcome(Welcome {
            version: version.min(VERSION),
            server: concat!("dantok/", env!("CARGO_PKG_VERSION")).to_owned(),
            client,
            max_body: self.hub.limits.body_max_bytes as u64,
            max_pipelined: PIPELINE_MAX_REQUESTS as u64,
            max_joined: self.hub.limits.joined_rooms_max as u64,
            retention_secs: self.hub.retention.as_secs(),
            admin: grant.role == Role::Admin,
        }))
    }

    /// Who it is, once HELLO was said.
    pub fn client(&self) -> Option<Arc<str>> {
        self.who.as_ref().map(|who| who.client.clone())
    }

    fn known(&self) -> Result<&Arc<str>, Refusal> {
        let who = self.who.as_ref().ok_or_else(|| Refusal::new(ErrorCode::HelloFirst, "say HELLO <client> first"))?;
        Ok(&who.client)
    }

    /// A room that the client is a member of, and its cursor.
    fn member(&self, name: &str) -> Result<(Arc<Room>, u64), Refusal> {
        let room = self.hub.rooms.get(name).ok_or_else(|| no_room(name))?;
        let cursor = room.cursor(self.known()?).ok_or_else(|| not_joined(name))?;
        Ok((room, cursor))
    }

    async fn write(&self, write: Write) -> Reply {
        match self.known() {
            Ok(client) => {
                let answered = self.hub.committer.submit(client.clone(), vec![write]).await;
                answered.await.ok().and_then(|mut replies| replies.pop()).unwrap_or_else(committer::ended)
            }
            Err(refusal) => Reply::Error(refusal),
        }
    }

    async fn fetch(
        &mut self,
        name: &str,
        after: Option<u64>,
        max: Option<u64>,
        out: &mut impl Out,
    ) -> io::Result<Reply> {
        let (room, cursor) = match self.member(name) {
            Ok(member) => member,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let after = after.unwrap_or(cursor);
        if after > room.last_seq() {
            let text = format!("{after} is past the room's last seq, {}", room.last_seq());
            return Ok(Reply::Error(Refusal::new(ErrorCode::BadArgument, text)));
        }
        self.hand_over(&room, after, max.unwrap_or(u64::MAX), out).await
    }

    async fn read(&mut self, name: &str, max: Option<u64>, out: &mut impl Out) -> io::Result<Reply> {
        let room = match self.member(name) {
            Ok((room, _)) => room,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        if let Some(seq) = self.places.entry(room.id).or_default().read.take()
            && let Reply::Error(refusal) = self.write(Write::Ack { room: name.to_owned(), seq }).await
        {
            return Ok(Reply::Error(refusal));
        }
        let cursor = match self.member(name) {
            Ok((_, cursor)) => cursor,
            Err(refusal) => return Ok(Reply::Error(refusal)),
        };
        let reply = self.hand_over(&room, cursor, max.unwrap_or(u64::MAX), out).await?;
        if let Reply::End { handed, .. } = &reply {
            self.places.entry(room.id).or_default().read = Some(*handed);
        }
        Ok(reply)
    }

    /// Hands over what comes after `after`, page by page, up to the room's last seq as it is now.
    async fn hand_over(&mut self, room: &Arc<Room>, after: u64, max: u64, out: &mut impl Out) -> io::Result<Reply> {
        let through = room.last_seq();
        let (mut reached, mut left) = (after, max);
        let mut reading = (reached < through && left > 0).then(|| self.hub.begin_read(room.id, reached, through, left));
        while let Some(page) = reading.take() {
            let messages = match page.read().await {
                Ok(messages) => messages,
                Err(error) => return Ok(Reply::Error(unreadable(&room.name, &error))),
            };
            let before = reached;
            reached = messages.last().map_or(through, |newest| newest.seq);
            left = left.saturating_sub(messages.len() as u64);
            // While this page is encoded and written, the next is read.
            reading = (reached < through && left > 0).then(|| self.hub.begin_read(room.id, reached, through, left));
            tell(room, before, through, &messages, out);
            self.note_handed(room, before, reached);
            if out.is_full() {
                out.drain().await?;
            }
        }
        Ok(Reply::End {
            room: room.name.clone(),
            handed: reached,
            oldest: self.hub.store.floor(room.id) + 1,
            last: through,
        })
    }

    /// Notes that everything after `from` and up to `to` was handed over. What jumped ahead does not count: an ACK without
    /// a seq must not acknowledge what was skipped.
    fn note_handed(&mut self, room: &Room, from: u64, to: u64) {
        let cursor = self.known().ok().and_then(|client| room.cursor(client)).unwrap_or(0);
        let place = self.places.entry(room.id).or_default();
        if from <= place.handed.max(cursor) {
            place.handed = place.handed.max(to);
        }
    }

    async fn leave(&mut self, name: String) -> Reply {
        let room = self.hub.rooms.get(&name);
        let reply = self.write(Write::Leave { room: name }).await;
        if let (Reply::Done, Some(room)) = (&reply, room) {
            self.forget(&room);
        }
        reply
    }

    fn forget(&mut self, room: &Room) {
        room.unfollow(&self.waker);
        self.places.remove(&room.id);
        self.behind.remove(&room.id);
    }

    fn follow(&mut self, name: &str) -> Result<Reply, Refusal> {
        let (room, cursor) = self.member(name)?;
        let place = self.places.entry(room.id).or_default();
        if let Some((_, reached)) = &place.followed {
            return Ok(Reply::Following { after: *reached });
        }
        place.followed = Some((room.clone(), cursor));
        room.follow(&self.waker);
        self.behind.insert(room.id);
        Ok(Reply::Following { after: cursor })
    }

    fn unfollow(&mut self, name: &str) -> Result<Reply, Refusal> {
        let room = self.hub.rooms.get(name).ok_or_else(|| no_room(name))?;
        room.unfollow(&self.waker);
        if let Some(place) = self.places.get_mut(&room.id) {
            place.followed = None;
        }
        self.behind.remove(&room.id);
        Ok(Reply::Done)
    }

    async fn rooms(&mut self, out: &mut impl Out) -> io::Result<Reply> {
        let rooms = self.hub.rooms.all();
        for room in &rooms {
            out.item(Item::Room(self.info(room)));
            if out.is_full() {
                out.drain().await?;
            }
        }
        Ok(Reply::Count(rooms.len() as u64))
    }

    fn info(&self, room: &Room) -> crate::protocol::RoomInfo {
        room.info(self.known().map_or("", |client| client), self.hub.store.floor(room.id))
    }

    fn watch(&mut self) -> Reply {
        if !self.watching {
            self.watching = true;
            self.hub.rooms.watch(&self.waker);
            self.changed = self.hub.rooms.all().iter().map(|room| room.id).collect();
        }
        Reply::Done
    }

    fn unwatch(&mut self) -> Reply {
        self.watching = false;
        self.hub.rooms.unwatch(&self.waker);
        self.changed.clear();
        Reply::Done
    }

    async fn who(&mut self, name: &str, out: &mut impl Out) -> io::Result<Reply> {
        let Some(room) = self.hub.rooms.get(name) else { return Ok(Reply::Error(no_room(name))) };
        let members = self.hub.rooms.members(&room);
        let count = members.len() as u64;
        for member in members {
            out.item(Item::Member(member));
            if out.is_full() {
                out.drain().await?;
            }
        }
        Ok(Reply::Count(count))
    }

    /// Whether [`pump`](Session::pump) has something to do.
    pub fn has_news(&mut self) -> bool {
        let changed = self.waker.take();
        self.behind.extend(changed.followed);
        if changed.recheck {
            self.recheck();
        }
        if self.watching {
            self.changed.extend(changed.watched);
        }
        !self.behind.is_empty() || !self.changed.is_empty() || self.is_over
    }

    fn recheck(&mut self) {
        self.is_over |= self.who.as_ref().is_some_and(|who| !self.hub.tokens.hold(&who.grant));
    }

    /// Why the connection has to end, if it has to.
    pub fn over(&self) -> Option<Refusal> {
        self.is_over.then(|| Refusal::new(ErrorCode::Denied, "this token has ended, or was revoked"))
    }

    /// Hands over what followed rooms and the watched list have for this client, until it is all or `out` is full.
    pub async fn pump(&mut self, out: &mut impl Out) {
        while !out.is_full() {
            let Some(id) = self.changed.pop_first() else { break };
            if let Some(room) = self.hub.rooms.by_id(id) {
                out.item(Item::Room(self.info(&room)));
            }
        }
        // A page of each room in turn, so that a long backlog does not hold up the others.
        let mut next = 0;
        while !out.is_full() {
            let Some(id) = self.behind.range(next..).next().copied() else {
                if self.behind.is_empty() {
                    return;
                }
                next = 0;
                continue;
            };
            next = id + 1;
            if !self.pump_room(id, out).await {
                self.behind.remove(&id);
            }
        }
    }

    /// Pushes a page of a room; returns how far it goes. Those who follow a room are told the same, mostly: what one was told, others
    /// are told again.
    async fn push(&self, room: &Room, after: u64, through: u64, out: &mut impl Out) -> Result<u64, Error> {
        let is_wanted = |told: &Told| {
            told.through <= through && told.oldest_kept_ms >= cutoff_ms(&self.hub.store, self.hub.retention)
        };
        if let Some(told) = out.again(room.id, after, is_wanted) {
            self.hub.figures.handed.fetch_add(told.messages, Ordering::Relaxed);
            return Ok(told.through);
        }
        let messages = self.hub.begin_read(room.id, after, through, u64::MAX).read().await?;
        let (Some(oldest), Some(newest)) = (messages.first(), messages.last()) else {
            tell(room, after, through, &messages, out);
            return Ok(through);
        };
        let is_shared = oldest.seq == after + 1 && room.has_followers();
        if is_shared {
            out.begin();
        }
        tell(room, after, through, &messages, out);
        if is_shared {
            let (through, oldest_kept_ms) = (newest.seq, oldest.kept_ms);
            out.end(room.id, Told { through, messages: messages.len() as u64, oldest_kept_ms });
        }
        Ok(newest.seq)
    }

    /// Hands over a page of a followed room; false when there is no more.
    async fn pump_room(&mut self, id: u64, out: &mut impl Out) -> bool {
        let Some((room, from)) = self.places.get(&id).and_then(|place| place.followed.clone()) else { return false };
        if self.known().ok().is_none_or(|client| room.cursor(client).is_none()) {
            self.forget(&room); // LEAVE, on another connection
            return false;
        }
        let through = room.last_seq();
        let mut reached = from;
        if reached < through {
            match self.push(&room, from, through, out).await {
                Ok(seq) => reached = seq,
                Err(error) => {
                    // Not told to the client: the FETCH that it will try says it. Following ends here.
                    let _ = unreadable(&room.name, &error);
                    self.forget(&room);
                    return false;
                }
            }
        }
        self.note_handed(&room, from, reached);
        if let Some(place) = self.places.get_mut(&id) {
            place.followed = Some((room, reached));
        }
        reached < through
    }
}

/// Puts a page: the gap before it, if there is one, and its messages. Where there are none, all up to `through` have expired.
fn tell(room: &Room, after: u64, through: u64, messages: &Messages, out: &mut impl Out) {
    let first = messages.first().map_or(through + 1, |message| message.seq);
    if first > after + 1 {
        let reason = GapReason::Expired;
        out.item(Item::Gap { room: room.name.clone(), from: after + 1, to: first - 1, reason });
    }
    messages.each(|message| {
        out.message(MessageRef {
            room: &room.name,
            seq: message.seq,
            time_ms: message.time_ms,
            client: person(message.client),
            body: message.body,
        });
    });
}

impl Drop for Session {
    fn drop(&mut self) {
        for (room, _) in self.places.values().filter_map(|place| place.followed.as_ref()) {
            room.unfollow(&self.waker);
        }
        if self.watching {
            let rooms: &Rooms = &self.hub.rooms;
            rooms.unwatch(&self.waker);
        }
    }
}

fn unreadable(room: &str, error: &Error) -> Refusal {
    tracing::error!(room, %error, "can't read messages");
    Refusal::new(ErrorCode::Storage, "the daemon can't read this room from its disk; its operator's log says why")
}

fn help(verb: Option<&str>, out: &mut impl Out) -> Result<Reply, Refusal> {
    let lines =
        line::help(verb).ok_or_else(|| Refusal::new(ErrorCode::BadArgument, "no such verb; HELP lists them"))?;
    let count = lines.len() as u64;
    for line in lines {
        out.item(Item::Help(line));
    }
    Ok(Reply::Count(count))
}

fn check_names(command: &Command) -> Result<(), Refusal> {
    match command {
        Command::Hello { client, .. } => check_client(client),
        Command::Nick { nick } => check_nick(nick),
        Command::Create { room, topic } => check_room(room).and_then(|()| check_topic(topic)),
        Command::Send { room, id, .. } => check_room(room).and_then(|()| id.as_deref().map_or(Ok(()), check_id)),
        Command::Join { room }
        | Command::Leave { room }
        | Command::Fetch { room, .. }
        | Command::Read { room, .. }
        | Command::Ack { room, .. }
        | Command::Follow { room }
        | Command::Unfollow { room }
        | Command::Who { room } => check_room(room),
        Command::Help { verb: Some(verb) } if verb.len() > NAME_MAX_BYTES => {
            Err(Refusal::new(ErrorCode::BadArgument, "no such verb; HELP lists them"))
        }
        Command::Rooms
        | Command::Watch
        | Command::Unwatch
        | Command::Stats
        | Command::Ping
        | Command::Help { .. }
        | Command::Quit => Ok(()),
    }
}
