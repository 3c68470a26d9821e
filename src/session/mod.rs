//! One client: commands in, answers out, one function a command. Knows no bytes and no framing.

mod events;
mod groups;
mod listing;
mod names;
mod out;
mod reading;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::time::{Instant, sleep_until};

use crate::committer;
use crate::hub::Hub;
use crate::limits::{DENIED_AFTER, GROUP_TIMEOUT_MAX, PIPELINE_MAX_REQUESTS};
use crate::permission::{self, Author, Permission};
use crate::person::Person;
use crate::reader::Unread;
use crate::rooms::{Handed, Membership, Presence, Room, Rooms, Waker};
use crate::tokens::{Grant, Role};
use dantok_protocol::limits::TOKEN_MAX_BYTES;
use dantok_protocol::name::person;
use dantok_protocol::{Begin, Command, ErrorCode, Item, Refusal, Reply, VERSION, Welcome, commands, line};
pub use groups::Take;
pub use out::Out;

/// How a command is to be carried out.
#[derive(Debug)]
pub enum Action {
    /// Through the committer; more of these may be under way at once.
    Write(Command),
    /// By [`Session::run`], when everything before it is answered.
    Run(Command),
    /// Not at all.
    Refuse(Refusal),
}

#[derive(Debug)]
struct Who {
    client: Arc<str>,
    grant: Grant,
    person: Arc<Person>,
    _presence: Presence,
}

/// Where this connection stands in a room.
#[derive(Debug, Default)]
struct Position {
    /// Everything from the cursor up to here was handed over.
    handed: u64,
    /// What the last READ handed over.
    read: Option<u64>,
    /// What a FOLLOW has reached.
    followed: Option<(Arc<Room>, Arc<AtomicU64>)>,
    /// The next event, where events are listened to.
    heard: Option<u64>,
    /// How often the next page could not be read.
    failed: usize,
}

/// What GROUP may say of how long one has for a message.
const GROUP_TIMEOUTS_MS: RangeInclusive<u64> = 1000..=GROUP_TIMEOUT_MAX.as_secs() * 1000;

/// What a client is told that remembers seqs of another epoch.
const RESTORED: &str = "the rooms were restored from a backup, and seqs from before may be other messages now; forget them, HELLO \
    without epoch=, and go on from your cursor or from 0";

/// What a client is told whose token is a word, where there are no tokens.
const NO_TOKENS: &str = "this daemon has no tokens, and that is none; if it is part of your name: a name has no spaces, so write alice-smith, say";

/// What a client is told whose list of rooms can't be mended any more.
const LOST: &str =
    "more rooms were deleted than this WATCH could be told of while it was not read; connect again and WATCH anew";

/// See the module.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    who: Option<Who>,
    waker: Arc<Waker>,
    positions: HashMap<u64, Position>,
    watching: bool,
    /// Private rooms that a WATCH has told of: they may vanish.
    shown: BTreeSet<u64>,
    /// Followed rooms with something to hand over.
    behind: BTreeSet<u64>,
    /// Those of which it could not be read, and when that is tried again.
    resting: BTreeMap<u64, Instant>,
    /// Watched rooms with something to tell.
    changed: BTreeSet<u64>,
    /// Deleted rooms that the client was told of as gone because it followed them, and that its WATCH still notes.
    gone: BTreeSet<u64>,
    /// What was unread in watched rooms when that was told last.
    counted: HashMap<u64, Unread>,
    /// Whether events of followed rooms are wanted.
    events: bool,
    /// Followed rooms with new ones.
    eventful: BTreeSet<u64>,
    /// What was taken and may not have arrived.
    handed: Vec<Handed>,
    /// The client's token is no longer good.
    is_over: bool,
    /// More has become of watched rooms than could be told.
    is_lost: bool,
    /// The number of positions at which those in deleted rooms are removed.
    swept_at: usize,
    /// A DELETE is under way: what is asked behind it may be of another room of the name.
    is_deleting: bool,
}

impl Session {
    /// A session of nobody yet.
    pub fn new(hub: Arc<Hub>) -> Session {
        Session {
            hub,
            who: None,
            waker: Arc::default(),
            positions: HashMap::new(),
            watching: false,
            shown: BTreeSet::new(),
            behind: BTreeSet::new(),
            resting: BTreeMap::new(),
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            counted: HashMap::new(),
            events: false,
            eventful: BTreeSet::new(),
            handed: Vec::new(),
            is_over: false,
            is_lost: false,
            swept_at: 0,
            is_deleting: false,
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
    pub fn action(&mut self, mut command: Command) -> Action {
        self.settle_names(&mut command);
        if let Err(refusal) = command.check().and_then(|()| self.check_new_names(&command)) {
            return Action::Refuse(refusal);
        }
        if self.who.is_none() {
            return match command {
                Command::Hello(commands::Hello { .. })
                | Command::Format(commands::Format { .. })
                | Command::Help(commands::Help { .. })
                | Command::Ping
                | Command::Quit => Action::Run(command),
                Command::Nick(commands::Nick { .. }) => {
                    Action::Refuse(Refusal::new(ErrorCode::HelloFirst, line::NICK_FIRST))
                }
                _ => Action::Refuse(Refusal::new(ErrorCode::HelloFirst, "say HELLO <client> first")),
            };
        }
        match command {
            // With something left to do behind the answer.
            Command::Leave(commands::Leave { .. }) | Command::Seek(commands::Seek { .. }) => Action::Run(command),
            Command::Group(commands::Group { from: Begin::Nowhere, .. }) => {
                let text = "a group begins from=start or from=now";
                Action::Refuse(Refusal::new(ErrorCode::BadArgument, text))
            }
            Command::Group(commands::Group { timeout_ms: Some(ms), .. }) if !GROUP_TIMEOUTS_MS.contains(&ms) => {
                let (least, most) = (GROUP_TIMEOUTS_MS.start() / 1000, GROUP_TIMEOUTS_MS.end() / 1000);
                let text = format!("a timeout is {least} s to {most} s");
                Action::Refuse(Refusal::new(ErrorCode::BadArgument, text))
            }
            // What was handed over is of the room that there is now.
            Command::Ack(commands::Ack { seq: None, .. }) if self.is_deleting => Action::Run(command),
            Command::Ack(commands::Ack { room, seq: None }) => {
                let handed = self.handed(&room);
                Action::Write(Command::Ack(commands::Ack { room, seq: handed }))
            }
            command if command.is_write() => {
                self.is_deleting |= matches!(command, Command::Delete(commands::Delete { .. }));
                Action::Write(command)
            }
            command => Action::Run(command),
        }
    }

    /// Carries out a command that [`action`](Session::action) said to run. Items go to `out`, before the reply.
    ///
    /// # Errors
    /// What `out` says.
    pub async fn run(&mut self, command: Command, out: &mut impl Out) -> io::Result<Reply> {
        // All that was asked before is answered.
        self.is_deleting = false;
        let answered = match command {
            Command::Ack(commands::Ack { room, seq }) => Ok(self.ack(room, seq).await),
            Command::Hello(commands::Hello { version, client, token, epoch }) => {
                self.hello(version, &client, token, epoch).await
            }
            Command::Fetch(commands::Fetch { room, after, max }) => return self.fetch(&room, after, max, out).await,
            Command::Read(commands::Read { room, max }) => return self.read(&room, max, out).await,
            Command::Leave(commands::Leave { room }) => Ok(self.leave(room).await),
            Command::Follow(commands::Follow { room }) => self.follow(&room),
            Command::Unfollow(commands::Unfollow { room }) => self.unfollow(&room),
            Command::Rooms => return self.rooms(out).await,
            Command::Watch => Ok(self.watch()),
            Command::Unwatch => Ok(self.unwatch()),
            Command::Who(commands::Who { room }) => return self.who(&room, out).await,
            Command::Access(commands::Access { room }) => return self.access(&room, out).await,
            Command::History(commands::History { room, before, since, max }) => {
                return self.history(&room, before, since, max, out).await;
            }
            Command::Seek(commands::Seek { room, to }) => Ok(self.seek(room, to).await),
            Command::Pending(commands::Pending { room, group }) => return self.pending(&room, &group, out).await,
            Command::Topic(commands::Topic { room, topic: None }) => self.topic(&room),
            Command::Groups(commands::Groups { room }) => return self.groups(&room, out).await,
            Command::Events(commands::Events { on }) => Ok(self.want_events(on)),
            Command::Typing(commands::Typing { room }) => self.typing(&room),
            Command::Stats => {
                let hub = self.hub.clone();
                Ok(Reply::Stats(dantok_supervise::blocking(move || hub.stats()).await))
            }
            Command::Help(commands::Help { verb }) => help(verb.as_deref(), out),
            Command::Ping => Ok(Reply::Pong),
            Command::Quit => Ok(Reply::Bye),
            // Its connection has done it.
            Command::Format(commands::Format { .. }) => Ok(Reply::Done),
            // Nor is this run, but begun: it may wait, while other things go on.
            Command::Take(commands::Take { .. }) => Ok(Reply::Count(0)),
            // These are writes, and `action` never says to run one.
            Command::Nick(commands::Nick { .. })
            | Command::Create(commands::Create { .. })
            | Command::Join(commands::Join { .. })
            | Command::Send(commands::Send { .. })
            | Command::Delete(commands::Delete { .. })
            | Command::Topic(commands::Topic { topic: Some(_), .. })
            | Command::Invite(commands::Invite { .. })
            | Command::Kick(commands::Kick { .. })
            | Command::Ban(commands::Ban { .. })
            | Command::Unban(commands::Unban { .. })
            | Command::Group(commands::Group { .. })
            | Command::Ungroup(commands::Ungroup { .. })
            | Command::Done(commands::Done { .. })
            | Command::Redact(commands::Redact { .. })
            | Command::Retain(commands::Retain { .. }) => Ok(committer::ended()),
        };
        Ok(answered.unwrap_or_else(Reply::Error))
    }

    async fn hello(
        &mut self,
        version: u16,
        client: &str,
        token: Option<String>,
        epoch: Option<String>,
    ) -> Result<Reply, Refusal> {
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
        let settings = self.hub.settings.get();
        // No token that was ever issued is only letters.
        let is_word = |token: &str| !token.is_empty() && token.chars().all(char::is_alphabetic);
        if grant.is_open() && token.as_deref().is_some_and(is_word) {
            return Err(Refusal::new(ErrorCode::BadArgument, NO_TOKENS));
        }
        // Here, and not at each command that names a seq: the epoch does not change while a daemon runs, and nothing that comes
        // behind a refused HELLO is carried out.
        if epoch.is_some_and(|epoch| *epoch != **self.hub.store.epoch()) {
            return Err(Refusal::new(ErrorCode::Epoch, RESTORED));
        }
        if self.who.is_none() {
            let presence = self.hub.rooms.connect(client.clone(), &self.waker);
            let person = self.hub.people.get(person(&client), &settings.limits);
            self.who = Some(Who { client: client.clone(), grant: grant.clone(), person, _presence: presence });
            self.recheck(); // What changed before it could be told of it.
        }
        Ok(Reply::Welcome(Welcome {
            version: version.min(VERSION),
            server: concat!("dantok/", env!("CARGO_PKG_VERSION")).to_owned(),
            client,
            max_body: settings.limits.body_max_bytes as u64,
            max_pipelined: PIPELINE_MAX_REQUESTS as u64,
            max_joined: settings.limits.joined_rooms_max as u64,
            retention_secs: settings.retention.as_secs(),
            admin: grant.role == Role::Admin,
            epoch: self.hub.store.epoch().clone(),
        }))
    }

    /// Who it is, once HELLO was said.
    pub fn author(&self) -> Option<Author> {
        self.who.as_ref().map(|who| Author { client: who.client.clone(), admin: who.grant.role == Role::Admin })
    }

    /// What it shares with the person's other connections, once HELLO was said.
    pub fn person(&self) -> Option<&Arc<Person>> {
        self.who.as_ref().map(|who| &who.person)
    }

    fn known(&self) -> Result<&Arc<str>, Refusal> {
        let who = self.who.as_ref().ok_or_else(|| Refusal::new(ErrorCode::HelloFirst, "say HELLO <client> first"))?;
        Ok(&who.client)
    }

    fn sees(&self, room: &Room) -> bool {
        self.check(room, Permission::See).is_ok()
    }

    /// Checks whether the client may do this in a room.
    fn check(&self, room: &Room, wanted: Permission) -> Result<(), Refusal> {
        let author = self.author().ok_or_else(|| Refusal::no_room(&room.name))?;
        permission::check(room, &room.name, &author, wanted)
    }

    /// A room in which the client may do this.
    fn permitted(&self, name: &str, wanted: Permission) -> Result<Arc<Room>, Refusal> {
        let room = self.hub.rooms.get(name).ok_or_else(|| Refusal::no_room(name))?;
        self.check(&room, wanted).map(|()| room)
    }

    /// A room that the client reads, its cursor, and how far the room was then: what comes later may be for others.
    fn reader(&self, name: &str) -> Result<(Arc<Room>, u64, u64), Refusal> {
        let (room, membership, last) = self.member(name)?;
        let cursor = membership.cursor().ok_or_else(|| Refusal::no_cursor(name))?;
        Ok((room, cursor, last))
    }

    /// A room that the client is a member of, how, and how far the room was then.
    fn member(&self, name: &str) -> Result<(Arc<Room>, Membership, u64), Refusal> {
        let room = self.hub.rooms.get(name).ok_or_else(|| Refusal::no_room(name))?;
        // Before the check: what comes behind the end of a membership is for others.
        let last = room.last_seq();
        self.check(&room, Permission::Participate)?;
        let membership = room.membership(self.known()?).ok_or_else(|| Refusal::not_joined(name))?;
        // The cursor may have moved past that since, on another connection.
        let last = last.max(membership.cursor().unwrap_or(0));
        Ok((room, membership, last))
    }

    /// Where this connection stands in a room.
    fn position(&mut self, room: u64) -> &mut Position {
        if self.positions.len() >= self.swept_at {
            let rooms = &self.hub.rooms;
            self.positions.retain(|id, position| position.followed.is_some() || rooms.by_id(*id).is_some());
            self.swept_at = 2 * self.positions.len() + 64;
        }
        self.positions.entry(room).or_default()
    }

    /// What was handed over of the room of this name.
    fn handed(&self, name: &str) -> Option<u64> {
        self.hub.rooms.get(name).and_then(|room| self.positions.get(&room.id)).map(|position| position.handed)
    }

    async fn ack(&self, room: String, seq: Option<u64>) -> Reply {
        let seq = seq.or_else(|| self.handed(&room));
        self.write(Command::Ack(commands::Ack { room, seq })).await
    }

    async fn write(&self, write: Command) -> Reply {
        // Nobody but a known client has writes.
        let (Some(author), Some(person)) = (self.author(), self.person()) else { return committer::ended() };
        let answered = self.hub.committer.submit(author, person.clone(), vec![write]).await;
        answered.await.ok().and_then(|mut replies| replies.pop()).unwrap_or_else(committer::ended)
    }

    async fn leave(&mut self, name: String) -> Reply {
        let room = self.hub.rooms.get(&name);
        let reply = self.write(Command::Leave(commands::Leave { room: name })).await;
        if let (Reply::Done, Some(room)) = (&reply, room) {
            self.forget(&room);
        }
        reply
    }

    fn forget(&mut self, room: &Room) {
        self.stop_following(room);
        self.positions.remove(&room.id);
    }

    /// Whether [`pump`](Session::pump) has something to do.
    pub fn has_news(&mut self) -> bool {
        let changed = self.waker.take();
        self.behind.extend(changed.followed);
        if !self.resting.is_empty() {
            self.behind.extend(self.resting.keys());
            let now = Instant::now();
            self.resting.retain(|_, until| *until > now);
            // What is new there is no reason to read sooner.
            self.behind.retain(|id| !self.resting.contains_key(id));
        }
        self.eventful.extend(changed.events);
        if changed.recheck {
            self.recheck();
        }
        if self.watching {
            self.changed.extend(changed.watched);
            self.is_lost |= changed.lost;
        }
        !self.behind.is_empty() || !self.changed.is_empty() || !self.eventful.is_empty() || self.is_over || self.is_lost
    }

    /// When there is something to [`pump`](Session::pump) that nobody notes: what could not be read is tried again.
    pub fn rests_until(&self) -> Option<Instant> {
        self.resting.values().min().copied()
    }

    fn recheck(&mut self) {
        self.is_over |= !self.still_holds();
    }

    /// Whether the client's token, if it had to show one, is still good.
    fn still_holds(&self) -> bool {
        self.who.as_ref().is_none_or(|who| self.hub.tokens.hold(&who.grant))
    }

    /// Why the connection has to end, if it has to.
    pub fn over(&self) -> Option<Refusal> {
        if self.is_lost {
            return Some(Refusal::new(ErrorCode::Limit, LOST));
        }
        self.is_over.then(|| Refusal::new(ErrorCode::Denied, "this token has ended, or was revoked"))
    }

    /// Hands over what followed rooms and the watched list have for this client, until it is all or `out` is full.
    pub async fn pump(&mut self, out: &mut impl Out) {
        while !out.is_full() {
            let Some(id) = self.changed.pop_first() else { break };
            match self.hub.rooms.by_id(id) {
                Some(room) => self.pump_list(&room, out).await,
                None => self.pump_deleted(id, out),
            }
        }
        while !out.is_full() {
            let Some(id) = self.eventful.pop_first() else { break };
            self.pump_events(id, out);
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
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(who) = self.who.take() {
            self.hub.people.leave(who.person);
        }
        for (room, _) in self.positions.values().filter_map(|position| position.followed.as_ref()) {
            room.unfollow(&self.waker);
            self.hub.rooms.unlisten(room, &self.waker);
        }
        if self.watching {
            let rooms: &Rooms = &self.hub.rooms;
            rooms.unwatch(&self.waker);
        }
    }
}

fn help(verb: Option<&str>, out: &mut impl Out) -> Result<Reply, Refusal> {
    let lines = line::help(verb).ok_or_else(|| {
        let verb = verb.unwrap_or_default().to_uppercase();
        Refusal::new(ErrorCode::BadArgument, line::no_verb(&verb))
    })?;
    let count = lines.len() as u64;
    for line in lines {
        out.item(Item::Help(line));
    }
    Ok(Reply::Count(count))
}
