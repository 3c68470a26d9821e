//! A session of one client: commands in, answers out, with one function per command. Independent of bytes and framing.

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
use dantok_protocol::commands::{Ask, Local, Work, Write};
use dantok_protocol::limits::TOKEN_MAX_BYTES;
use dantok_protocol::name::person;
use dantok_protocol::{Begin, Command, ErrorCode, Item, Refusal, Reply, VERSION, Welcome, commands, line};
pub use groups::Take;
pub use out::Out;

/// How a command is to be carried out.
#[derive(Debug)]
pub enum Action {
    /// Through the committer; several may be under way at once.
    Write(Write),
    /// By [`Session::run`], when everything before it is answered.
    Run(Run),
    /// By the connection itself, also when everything before it is answered.
    Local(Local),
    /// Not at all.
    Refuse(Refusal),
}

/// A command that the session carries out.
#[derive(Debug)]
pub enum Run {
    /// One that it answers on its own.
    Ask(Ask),
    /// One that the committer carries out, and that the session then has to finish.
    Write(Write),
}

#[derive(Debug)]
struct Who {
    client: Arc<str>,
    grant: Grant,
    /// Of an incoming hook: the number of its room.
    hook: Option<u64>,
    person: Arc<Person>,
    _presence: Option<Presence>,
}

/// Where this connection is in a room.
#[derive(Debug, Default)]
struct Position {
    /// Everything after the cursor up to this seq was handed over.
    handed: u64,
    /// The seq up to which the last READ handed over.
    read: Option<u64>,
    /// The seq that a FOLLOW has reached.
    followed: Option<(Arc<Room>, Arc<AtomicU64>)>,
    /// The FOLLOW did not begin at the cursor, and needs none.
    is_apart: bool,
    /// The next event, if events are wanted.
    heard: Option<u64>,
    /// How many attempts to read the next page have failed.
    failed: usize,
}

/// The range of timeouts that GROUP may set.
const GROUP_TIMEOUTS_MS: RangeInclusive<u64> = 1000..=GROUP_TIMEOUT_MAX.as_secs() * 1000;

/// For a client that has not sent HELLO.
const HELLO_FIRST: &str = "say HELLO <client> first";

/// For a client that remembers seqs of another epoch.
const RESTORED: &str = "the rooms were restored from a backup, and seqs from before may be other messages now; forget them, HELLO \
    without epoch=, and go on from your cursor or from 0";

/// For a client whose token is a plain word, while the daemon has no tokens.
const NO_TOKENS: &str =
    "this daemon uses no tokens; if that is part of your name: a name has no spaces, so try alice-smith";

/// For a client whose list of rooms can no longer be brought up to date.
const LOST: &str =
    "this connection was not read while more rooms were deleted than a WATCH can report; reconnect, then WATCH again";

/// See the module.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    who: Option<Who>,
    waker: Arc<Waker>,
    positions: HashMap<u64, Position>,
    watching: bool,
    /// Private rooms that the WATCH has shown, which may become invisible.
    shown: BTreeSet<u64>,
    /// Followed rooms with messages to push.
    behind: BTreeSet<u64>,
    /// Followed rooms that could not be read, and when to try again.
    retries: BTreeMap<u64, Instant>,
    /// Watched rooms that have changed.
    changed: BTreeSet<u64>,
    /// Deleted rooms that were reported as gone to a follower, and that its WATCH must not report again.
    gone: BTreeSet<u64>,
    /// The last unread counts that were pushed for watched rooms.
    counted: HashMap<u64, Unread>,
    /// Whether the client wants events of followed rooms.
    events: bool,
    /// Followed rooms with new events.
    eventful: BTreeSet<u64>,
    /// Messages that were taken and may not have arrived.
    handed: Vec<Handed>,
    /// The client's token is no longer valid.
    is_token_invalid: bool,
    /// The WATCH has missed changes that can no longer be reported.
    is_lost: bool,
    /// At this many positions, those of deleted rooms are removed.
    swept_at: usize,
    /// A DELETE is under way, so commands after it may be about a new room of that name.
    is_deleting: bool,
}

impl Session {
    /// A session before HELLO.
    pub fn new(hub: Arc<Hub>) -> Session {
        Session {
            hub,
            who: None,
            waker: Arc::default(),
            positions: HashMap::new(),
            watching: false,
            shown: BTreeSet::new(),
            behind: BTreeSet::new(),
            retries: BTreeMap::new(),
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            counted: HashMap::new(),
            events: false,
            eventful: BTreeSet::new(),
            handed: Vec::new(),
            is_token_invalid: false,
            is_lost: false,
            swept_at: 0,
            is_deleting: false,
        }
    }

    /// A session of an incoming hook, which sends to the room of this number and does nothing else. It says no HELLO, is seen by
    /// nobody, and has rate limits of its own.
    pub fn of_hook(hub: Arc<Hub>, client: Arc<str>, room: u64) -> Session {
        // No person has such a name.
        let person = hub.people.get(&client, &hub.settings.get().limits);
        let mut session = Session::new(hub);
        session.who = Some(Who { client, grant: Grant::none(), hook: Some(room), person, _presence: None });
        session
    }

    /// Whether HELLO has succeeded.
    pub fn is_known(&self) -> bool {
        self.who.is_some()
    }

    /// Wakes when there is something to [`pump`](Session::pump).
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// How to carry out a command.
    pub fn action(&mut self, mut command: Command) -> Action {
        self.settle_names(&mut command);
        if let Err(refusal) = command.check().and_then(|()| self.check_new_names(&command)) {
            return Action::Refuse(refusal);
        }
        if self.who.is_none() && !command.is_allowed_before_hello() {
            let is_nick = matches!(command, Command::Nick(_));
            let text = if is_nick { line::NICK_FIRST } else { HELLO_FIRST };
            return Action::Refuse(Refusal::new(ErrorCode::HelloFirst, text));
        }
        match command.work() {
            Work::Write(write @ Write::Send(_)) => Action::Write(write),
            _ if self.who.as_ref().is_some_and(|who| who.hook.is_some()) => {
                Action::Refuse(Refusal::denied("a hook only sends messages"))
            }
            Work::Write(write) => self.write_action(write),
            // No DELETE is under way, so the position is that of the current room of this name.
            Work::Ask(Ask::Ack { room }) if !self.is_deleting => {
                let seq = self.handed(&room);
                Action::Write(Write::Ack { room, seq })
            }
            Work::Ask(ask) => Action::Run(Run::Ask(ask)),
            Work::Local(local) => Action::Local(local),
        }
    }

    fn write_action(&mut self, write: Write) -> Action {
        if let Write::Group(group) = &write
            && let Err(refusal) = check_group(group)
        {
            return Action::Refuse(refusal);
        }
        // The session finishes it after the answer.
        if matches!(write, Write::Leave(_) | Write::Seek(_)) {
            return Action::Run(Run::Write(write));
        }
        self.is_deleting |= matches!(write, Write::Delete(_));
        Action::Write(write)
    }

    /// Carries out a command that [`action`](Session::action) returned as [`Action::Run`]. Its items go to `out`, before the reply.
    ///
    /// # Errors
    /// As writing to `out`.
    pub async fn run(&mut self, run: Run, out: &mut impl Out) -> io::Result<Reply> {
        // Everything before it has been answered.
        self.is_deleting = false;
        match run {
            Run::Ask(ask) => self.ask(ask, out).await,
            Run::Write(Write::Leave(commands::Leave { room })) => Ok(self.leave(room).await),
            Run::Write(Write::Seek(commands::Seek { room, to })) => Ok(self.seek(room, to).await),
            Run::Write(write) => Ok(self.write(write).await),
        }
    }

    async fn ask(&mut self, ask: Ask, out: &mut impl Out) -> io::Result<Reply> {
        let answered = match ask {
            Ask::Ack { room } => {
                let seq = self.handed(&room);
                Ok(self.write(Write::Ack { room, seq }).await)
            }
            Ask::Hello(hello) => self.hello(hello).await,
            Ask::Fetch(commands::Fetch { room, after, max }) => return self.fetch(&room, after, max, out).await,
            Ask::Read(commands::Read { room, max }) => return self.read(&room, max, out).await,
            Ask::Follow(commands::Follow { room, after }) => self.follow(&room, after),
            Ask::Unfollow(commands::Unfollow { room }) => self.unfollow(&room),
            Ask::Rooms(commands::Rooms { room }) => return self.rooms(room.as_deref(), out).await,
            Ask::Watch => Ok(self.watch()),
            Ask::Unwatch => Ok(self.unwatch()),
            Ask::Who(commands::Who { room }) => return self.who(&room, out).await,
            Ask::Access(commands::Access { room }) => return self.access(&room, out).await,
            Ask::History(history) => return self.history(history, out).await,
            Ask::Pending(commands::Pending { room, group }) => return self.pending(&room, &group, out).await,
            Ask::Topic { room } => self.topic(&room),
            Ask::Groups(commands::Groups { room }) => return self.groups(&room, out).await,
            Ask::Events(commands::Events { on }) => Ok(self.want_events(on)),
            Ask::Typing(commands::Typing { room }) => self.typing(&room),
            Ask::Stats => {
                let hub = self.hub.clone();
                Ok(Reply::Stats(dantok_supervise::blocking(move || hub.stats()).await))
            }
            Ask::Help(commands::Help { verb }) => help(verb.as_deref(), out),
            Ask::Ping => Ok(Reply::Pong),
        };
        Ok(answered.unwrap_or_else(Reply::Error))
    }

    async fn hello(&mut self, hello: commands::Hello) -> Result<Reply, Refusal> {
        let commands::Hello { version, client, token, epoch } = hello;
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
        // No issued token consists only of letters.
        let is_word = |token: &str| !token.is_empty() && token.chars().all(char::is_alphabetic);
        if grant.is_open() && token.as_deref().is_some_and(is_word) {
            return Err(Refusal::new(ErrorCode::BadArgument, NO_TOKENS));
        }
        // Checked here and not at each command with a seq: the epoch does not change while a daemon runs, and nothing after a refused
        // HELLO is carried out.
        if epoch.is_some_and(|epoch| *epoch != **self.hub.store.epoch()) {
            return Err(Refusal::new(ErrorCode::Epoch, RESTORED));
        }
        if self.who.is_none() {
            let presence = self.hub.rooms.connect(client.clone(), &self.waker);
            let person = self.hub.people.get(person(&client), &settings.limits);
            let (grant, _presence) = (grant.clone(), Some(presence));
            self.who = Some(Who { client: client.clone(), grant, hook: None, person, _presence });
            self.recheck(); // The tokens may have changed before this connection was notified of changes.
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

    /// Who the client is, once HELLO has succeeded.
    pub fn author(&self) -> Option<Author> {
        let author =
            |who: &Who| Author { client: who.client.clone(), admin: who.grant.role == Role::Admin, hook: who.hook };
        self.who.as_ref().map(author)
    }

    /// What the connection shares with the person's others, once HELLO has succeeded.
    pub fn person(&self) -> Option<&Arc<Person>> {
        self.who.as_ref().map(|who| &who.person)
    }

    fn known(&self) -> Result<&Arc<str>, Refusal> {
        let who = self.who.as_ref().ok_or_else(|| Refusal::new(ErrorCode::HelloFirst, HELLO_FIRST))?;
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

    /// A room that the client reads, its cursor, and the room's last seq at that time: later messages may not be for this client.
    fn reader(&self, name: &str) -> Result<(Arc<Room>, u64, u64), Refusal> {
        let (room, membership, last) = self.member(name)?;
        let cursor = membership.cursor().ok_or_else(|| Refusal::no_cursor(name))?;
        Ok((room, cursor, last))
    }

    /// A room that the client is a member of, its membership, and the room's last seq at that time.
    fn member(&self, name: &str) -> Result<(Arc<Room>, Membership, u64), Refusal> {
        let room = self.hub.rooms.get(name).ok_or_else(|| Refusal::no_room(name))?;
        // Read before the check: messages after the end of a membership are not for this client.
        let last = room.last_seq();
        self.check(&room, Permission::Participate)?;
        let membership = room.membership(self.known()?).ok_or_else(|| Refusal::not_joined(name))?;
        // Another connection may have moved the cursor past that since.
        let last = last.max(membership.cursor().unwrap_or(0));
        Ok((room, membership, last))
    }

    /// Where this connection is in a room.
    fn position(&mut self, room: u64) -> &mut Position {
        if self.positions.len() >= self.swept_at {
            let rooms = &self.hub.rooms;
            self.positions.retain(|id, position| position.followed.is_some() || rooms.by_id(*id).is_some());
            self.swept_at = 2 * self.positions.len() + 64;
        }
        self.positions.entry(room).or_default()
    }

    /// The seq up to which the room of this name was handed over.
    fn handed(&self, name: &str) -> u64 {
        self.hub.rooms.get(name).and_then(|room| self.positions.get(&room.id)).map_or(0, |position| position.handed)
    }

    async fn write(&self, write: Write) -> Reply {
        let (Some(author), Some(person)) = (self.author(), self.person()) else {
            return Reply::Error(Refusal::new(ErrorCode::HelloFirst, HELLO_FIRST));
        };
        let answered = self.hub.committer.submit(author, person.clone(), vec![write]).await;
        answered.await.ok().and_then(|mut replies| replies.pop()).unwrap_or_else(committer::ended)
    }

    async fn leave(&mut self, name: String) -> Reply {
        let room = self.hub.rooms.get(&name);
        let reply = self.write(Write::Leave(commands::Leave { room: name })).await;
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
        if !self.retries.is_empty() {
            self.behind.extend(self.retries.keys());
            let now = Instant::now();
            self.retries.retain(|_, until| *until > now);
            // New messages are no reason to retry sooner.
            self.behind.retain(|id| !self.retries.contains_key(id));
        }
        self.eventful.extend(changed.events);
        if changed.recheck {
            self.recheck();
        }
        if self.watching {
            self.changed.extend(changed.watched);
            self.is_lost |= changed.lost;
        }
        !self.behind.is_empty()
            || !self.changed.is_empty()
            || !self.eventful.is_empty()
            || self.is_token_invalid
            || self.is_lost
    }

    /// When to [`pump`](Session::pump) without being woken, because a failed read is to be retried.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retries.values().min().copied()
    }

    fn recheck(&mut self) {
        self.is_token_invalid |= !self.has_valid_token();
    }

    /// Whether the client's token, if it needed one, is still valid.
    fn has_valid_token(&self) -> bool {
        self.who.as_ref().is_none_or(|who| who.hook.is_some() || self.hub.tokens.hold(&who.grant))
    }

    /// Why the connection has to be closed, if it does.
    pub fn end_reason(&self) -> Option<Refusal> {
        if self.is_lost {
            return Some(Refusal::new(ErrorCode::Limit, LOST));
        }
        self.is_token_invalid.then(|| Refusal::new(ErrorCode::Denied, "this token has expired or was revoked"))
    }

    /// Pushes what followed rooms and the WATCH have for this client, until nothing is left or `out` is full.
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
        // One page of each room in turn, so that a long backlog does not delay the others.
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

/// Checks the arguments of GROUP.
fn check_group(group: &commands::Group) -> Result<(), Refusal> {
    if group.from == Begin::Nowhere {
        return Err(Refusal::new(ErrorCode::BadArgument, "a group begins from=start or from=now"));
    }
    if group.timeout_ms.is_some_and(|ms| !GROUP_TIMEOUTS_MS.contains(&ms)) {
        let (least, most) = (GROUP_TIMEOUTS_MS.start() / 1000, GROUP_TIMEOUTS_MS.end() / 1000);
        return Err(Refusal::new(ErrorCode::BadArgument, format!("a timeout is {least} s to {most} s")));
    }
    Ok(())
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
