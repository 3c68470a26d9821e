//! What the screen shows, and what follows from what the daemon tells. It talks to nobody: what is to be asked is in
//! [`App::asks`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dantok_client::{Error, News};
use dantok_protocol::name::{composed, person};
use dantok_protocol::{ErrorCode, Item};
use jiff::tz::TimeZone;

use crate::ask::Ask;
use crate::input::Input;
use crate::room::{Pending, Room};
use crate::timeline::Timeline;
use dantok_client::outbox::Waiting;

/// Seconds between two looks at who is in the open room.
const WHO_EVERY: u64 = 10;
/// The others are told that one types at most this often.
const TYPING_EVERY: Duration = Duration::from_secs(3);

/// What is shown over the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// The keys and commands.
    Help,
    /// The members of the open room.
    Who,
    /// The rooms.
    Rooms,
}

/// The state of the connection.
#[derive(Clone, Debug)]
pub enum Link {
    /// There is one.
    Up,
    /// There is none since then; and why.
    Down(Instant, String),
}

/// Whether a refusal says that the client is no member of the room.
pub fn ends_membership(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NotJoined | ErrorCode::NoRoom | ErrorCode::Denied)
}

/// Everything.
#[derive(Debug)]
pub struct App {
    /// This client, with its device.
    pub me: String,
    /// Without it: who signs the messages.
    pub own: String,
    /// Where the daemon is.
    pub server: String,
    /// Where the clock on the wall is.
    pub zone: TimeZone,
    /// By name.
    pub rooms: BTreeMap<String, Room>,
    /// The one that is shown.
    pub open: Option<String>,
    /// The line that is being written.
    pub input: Input,
    /// What is shown over the messages, and the first of its lines that is.
    pub overlay: Option<(Overlay, usize)>,
    /// Something to read; gone with the next key.
    pub notice: Option<String>,
    /// Whether there is a daemon.
    pub link: Link,
    /// It is time to end.
    pub quit: bool,
    /// The room that is to be opened as soon as it is joined.
    pub wanted: Option<String>,
    /// What is to be done now.
    pub asks: Vec<Ask>,
    /// The list was asked for, to know which rooms are not seen any more.
    pub asked_rooms: bool,
    /// And is to be asked for again.
    pub ask_rooms_again: bool,
    /// Rooms that the feed has told of since then: it knows better than the answer.
    pub told_since: BTreeSet<String>,
    /// When the others were told last that one types.
    typed: Option<Instant>,
    seconds: u64,
}

impl App {
    /// Without a connection, and with what waits from the last time.
    pub fn new(me: &str, server: &str, zone: TimeZone, named: &[String], waiting: &[Waiting]) -> App {
        let mut app = App {
            me: me.to_owned(),
            own: person(me).to_owned(),
            server: server.to_owned(),
            zone,
            rooms: BTreeMap::new(),
            open: None,
            input: Input::default(),
            overlay: None,
            notice: None,
            link: Link::Down(Instant::now(), "connecting".to_owned()),
            quit: false,
            wanted: None,
            asks: Vec::new(),
            asked_rooms: false,
            ask_rooms_again: false,
            told_since: BTreeSet::new(),
            typed: None,
            seconds: 0,
        };
        for waiting in waiting {
            app.wait(waiting.clone());
        }
        // Until the daemon says otherwise: so that one can write into them while it is away.
        for room in named.iter().chain(waiting.iter().map(|waiting| &waiting.room)) {
            app.rooms.entry(room.clone()).or_default().joined = true;
        }
        if let Some(room) = named.first() {
            app.show(room);
        }
        app
    }

    /// A room's name as it is kept: as in the list, or else composed.
    pub fn kept(&self, name: String) -> String {
        if self.rooms.contains_key(&name) { name } else { composed(&name).into_owned() }
    }

    /// The rooms in the order of the list: joined ones first, then what was active last. And how many are joined.
    pub fn list(&self) -> (Vec<&str>, usize) {
        let mut list: Vec<(&String, &Room)> = self.rooms.iter().collect();
        list.sort_by(|(a, first), (b, second)| {
            second.joined.cmp(&first.joined).then(second.active_ms().cmp(&first.active_ms())).then(a.cmp(b))
        });
        let joined = list.iter().filter(|(_, room)| room.joined).count();
        (list.into_iter().map(|(name, _)| &**name).collect(), joined)
    }

    /// The open room.
    pub fn room(&self) -> Option<&Room> {
        self.rooms.get(self.open.as_ref()?)
    }

    /// The open room, to be changed.
    pub fn room_mut(&mut self) -> Option<&mut Room> {
        self.rooms.get_mut(self.open.as_ref()?)
    }

    /// How many messages wait to be stored.
    pub fn waiting(&self) -> usize {
        self.rooms.values().map(|room| room.pending.iter().filter(|pending| pending.seq.is_none()).count()).sum()
    }

    /// Opens a room.
    pub fn show(&mut self, name: &str) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.open();
        if self.open.as_deref() != Some(name) {
            self.open = Some(name.to_owned());
        }
        self.who();
    }

    /// Opens the room that is so many further down the list; `all`: among those that are not joined, too.
    pub fn step(&mut self, by: isize, all: bool) {
        let (list, joined) = self.list();
        let list = list.get(..if all { list.len() } else { joined }).unwrap_or_default();
        let at = list.iter().position(|name| Some(*name) == self.open.as_deref());
        let count = isize::try_from(list.len()).unwrap_or(isize::MAX).max(1);
        let from = at.map_or(if by < 0 { 0 } else { -1 }, |at| isize::try_from(at).unwrap_or(0));
        let to = usize::try_from((from + by).rem_euclid(count)).unwrap_or(0);
        if let Some(name) = list.get(to).map(|name| (*name).to_owned()) {
            self.show(&name);
        }
    }

    /// A text was kept: it waits.
    pub fn wait(&mut self, waiting: Waiting) {
        let room = self.rooms.entry(waiting.room.clone()).or_default();
        room.pending.push(Pending { waiting, seq: None, seen: false });
        room.touch();
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up)
    }

    /// Asks who is in the open room.
    pub fn who(&mut self) {
        let up = self.is_up();
        let Some(name) = self.open.clone() else { return };
        if let Some(room) = self.rooms.get_mut(&name).filter(|room| up && !room.asked.who && room.info.is_some()) {
            room.asked.who = true;
            self.asks.push(Ask::Who(name));
        }
    }

    /// A second has passed.
    pub fn tick(&mut self) {
        self.seconds += 1;
        if let Some(room) = self.room_mut() {
            room.paused = false;
        }
        if self.seconds.is_multiple_of(WHO_EVERY) {
            self.who();
        }
        self.rooms.values_mut().for_each(|room| room.tick(self.seconds));
    }

    /// The input line has changed: the others are to know.
    pub fn types(&mut self, now: Instant) {
        let text = self.input.text();
        let is_said = !text.is_empty() && !text.starts_with('/');
        let is_time = self.typed.is_none_or(|typed| now.saturating_duration_since(typed) >= TYPING_EVERY);
        let is_member = self.room().is_some_and(|room| room.joined && room.info.is_some());
        if let Some(name) = self.open.clone().filter(|_| is_said && is_time && is_member && self.is_up()) {
            self.typed = Some(now);
            self.asks.push(Ask::Typing(name));
        }
    }

    /// Takes what the feed tells.
    pub fn news(&mut self, news: News) {
        match news {
            News::Connected(welcome) => {
                self.link = Link::Up;
                // As the daemon writes it.
                self.me = welcome.client.to_string();
                self.own = person(&self.me).to_owned();
                self.list_anew();
                self.who();
            }
            News::Restored(_) => {
                for (name, room) in &mut self.rooms {
                    if room.followed {
                        self.asks.push(Ask::Unfollow(name.clone()));
                    }
                    room.restored();
                }
                self.notice = Some(
                    "the rooms were restored from a backup: what was said after it is gone, but for what waits here"
                        .to_owned(),
                );
            }
            News::SetBack { room } => self.set_back(&room),
            News::Disconnected(why) => self.link = Link::Down(Instant::now(), why),
            News::Item(Item::Room(info)) => {
                if self.asked_rooms {
                    self.told_since.insert(info.room.to_string());
                }
                self.inform(info);
            }
            News::Item(Item::Gone { room }) => self.gone(&room),
            News::Item(Item::Ended { room: name, text, .. }) => {
                if let Some(room) = self.rooms.get_mut(&*name) {
                    room.note(format!("can't go on here now, and tries again: {text}"));
                }
            }
            News::Item(Item::Event { room: name, time_ms, client, event }) => {
                let Some(room) = self.rooms.get_mut(&*name) else { return };
                if let Some(note) = room.presence.event(&name, &client, time_ms, event, self.seconds) {
                    room.quiet_note(note);
                }
            }
            News::Item(item) => {
                let name = match &item {
                    Item::Message(message) => message.room.to_string(),
                    Item::Gap { room, .. } => room.to_string(),
                    _ => return,
                };
                if let Some(room) = self.rooms.get_mut(&name) {
                    room.push(item, &self.own);
                }
            }
            News::Refused { room, refusal } => {
                let Some(room) = self.rooms.get_mut(&room) else { return };
                if ends_membership(refusal.code) {
                    room.forget();
                }
                (room.followed, room.paused) = (false, true);
                room.note(refusal.to_string());
            }
        }
    }

    /// A room is not what it was: what is shown of it is taken anew, and what waits for it waits on.
    pub fn set_back(&mut self, name: &str) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        if room.followed {
            self.asks.push(Ask::Unfollow(name.to_owned()));
        }
        room.restored();
        self.notice = Some(format!(
            "{name} was set back to an older state: what was said after it is gone, but for what waits here"
        ));
        self.list_anew();
    }

    pub fn complain(&mut self, error: &Error) {
        self.notice = Some(error.to_string());
    }

    /// Asks for what the open room lacks, and acknowledges what one has seen. After [`Room::look`].
    pub fn tend(&mut self) {
        if !self.is_up() {
            return;
        }
        let Some(name) = self.open.clone() else { return };
        let Some(room) = self.rooms.get_mut(&name) else { return };
        if !room.joined || room.info.is_none() || room.paused {
            return;
        }
        if !room.asked.page {
            let after = match &room.timeline {
                None => {
                    let begin = room.begin();
                    room.timeline = Some(Timeline::starting(begin));
                    Some(begin)
                }
                Some(timeline) => room.wants_newer().then(|| timeline.through()),
            };
            let first = room.timeline.as_ref().map_or(1, Timeline::first);
            if let Some(after) = after.filter(|after| *after < room.last) {
                room.asked.page = true;
                self.asks.push(Ask::Page(name.clone(), after));
            } else if room.wants_older() {
                room.asked.page = true;
                self.asks.push(Ask::Older(name.clone(), first));
            }
        }
        if room.top.is_some() || room.show_new || !room.is_whole() {
            return;
        }
        let through = room.timeline.as_ref().map_or(0, Timeline::through);
        if through > room.cursor && !room.asked.ack {
            room.asked.ack = true;
            self.asks.push(Ask::Ack(name.clone(), through));
        }
        // Only now: FOLLOW begins at the cursor, and what lies far behind the end is not wanted.
        if !std::mem::replace(&mut room.followed, true) {
            self.asks.push(Ask::Follow(name, through));
        }
    }

    /// Goes up or down by a part of the screen.
    pub fn page(&mut self, up: bool) {
        if let Some((_, top)) = &mut self.overlay {
            *top = if up { top.saturating_sub(10) } else { *top + 10 };
            return;
        }
        if let Some(room) = self.room_mut() {
            let by = isize::try_from(room.visible.1.saturating_sub(2).max(1)).unwrap_or(1);
            room.scroll(if up { -by } else { by });
        }
    }
}
