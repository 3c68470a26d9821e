//! The state behind the screen, and how news from the daemon changes it. It does no I/O: whatever it wants done is in [`App::asks`].

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

/// Seconds between two WHO requests for the open room.
const WHO_EVERY: u64 = 10;
/// TYPING is sent at most this often.
const TYPING_EVERY: Duration = Duration::from_secs(3);

/// A window over the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// Keys and commands.
    Help,
    /// The members of the open room.
    Who,
    /// The rooms.
    Rooms,
}

/// The state of the connection.
#[derive(Clone, Debug)]
pub enum Link {
    /// Connected.
    Up,
    /// Not connected since then, and why.
    Down(Instant, String),
}

/// Whether a refusal means that the client is not a member of the room.
pub fn ends_membership(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NotJoined | ErrorCode::NoRoom | ErrorCode::Denied)
}

/// The whole state of the full screen.
#[derive(Debug)]
pub struct App {
    /// This client, with its device.
    pub me: String,
    /// The same without the device: the name on this person's messages.
    pub own: String,
    /// The daemon's address.
    pub server: String,
    /// The time zone in which times are shown.
    pub zone: TimeZone,
    /// All known rooms, by name.
    pub rooms: BTreeMap<String, Room>,
    /// The name of the room that is shown.
    pub open: Option<String>,
    /// The input line.
    pub input: Input,
    /// The window over the messages, and its first visible line.
    pub overlay: Option<(Overlay, usize)>,
    /// A notice in the status line; the next key clears it.
    pub notice: Option<String>,
    /// The state of the connection.
    pub link: Link,
    /// Set when the person quits.
    pub quit: bool,
    /// The room to open as soon as it is joined.
    pub wanted: Option<String>,
    /// What the screen's loop must do next.
    pub asks: Vec<Ask>,
    /// A request for the list of rooms is under way, to find which rooms are no longer visible.
    pub asked_rooms: bool,
    /// The list must be requested again after that.
    pub ask_rooms_again: bool,
    /// Rooms that the feed has reported since that request: its news is newer than the answer.
    pub told_since: BTreeSet<String>,
    /// When TYPING was last sent.
    typed: Option<Instant>,
    seconds: u64,
}

impl App {
    /// The initial state: no connection yet, and the messages that wait from the last run.
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
        // Assumed to be joined until the daemon says otherwise, so that one can write to them while it is away.
        for room in named.iter().chain(waiting.iter().map(|waiting| &waiting.room)) {
            app.rooms.entry(room.clone()).or_default().joined = true;
        }
        if let Some(room) = named.first() {
            app.show(room);
        }
        app
    }

    /// A room's name as the daemon keeps it: as it is in the list, or else in its composed form.
    pub fn kept(&self, name: String) -> String {
        if self.rooms.contains_key(&name) { name } else { composed(&name).into_owned() }
    }

    /// The names of all rooms in list order (joined ones first, then the most recently active), and how many are joined.
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

    /// The open room, mutable.
    pub fn room_mut(&mut self) -> Option<&mut Room> {
        self.rooms.get_mut(self.open.as_ref()?)
    }

    /// How many messages are not stored yet.
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

    /// Opens the room `by` places further down the list; `all` includes rooms that are not joined.
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

    /// Shows a message from the outbox as waiting.
    pub fn wait(&mut self, waiting: Waiting) {
        let room = self.rooms.entry(waiting.room.clone()).or_default();
        room.pending.push(Pending { waiting, seq: None, seen: false });
        room.touch();
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up)
    }

    /// Requests the members of the open room.
    pub fn who(&mut self) {
        let up = self.is_up();
        let Some(name) = self.open.clone() else { return };
        if let Some(room) = self.rooms.get_mut(&name).filter(|room| up && !room.asked.who && room.info.is_some()) {
            room.asked.who = true;
            self.asks.push(Ask::Who(name));
        }
    }

    /// Called every second.
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

    /// Called when the input line has changed: announces to the others that this person is typing.
    pub fn types(&mut self, now: Instant) {
        let text = self.input.text();
        let is_message = !text.is_empty() && !text.starts_with('/');
        let is_time = self.typed.is_none_or(|typed| now.saturating_duration_since(typed) >= TYPING_EVERY);
        let is_member = self.room().is_some_and(|room| room.joined && room.info.is_some());
        if let Some(name) = self.open.clone().filter(|_| is_message && is_time && is_member && self.is_up()) {
            self.typed = Some(now);
            self.asks.push(Ask::Typing(name));
        }
    }

    /// Handles news from the feed.
    pub fn news(&mut self, news: News) {
        match news {
            News::Connected(welcome) => {
                self.link = Link::Up;
                // In the Unicode form that the daemon uses.
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
                    "the rooms were restored from a backup: later messages are gone, except those still waiting here"
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
                    room.note(format!("this room can't be read now, trying again: {text}"));
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

    /// A room was set back to an older state: loads it again. Messages waiting for it keep waiting.
    pub fn set_back(&mut self, name: &str) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        if room.followed {
            self.asks.push(Ask::Unfollow(name.to_owned()));
        }
        room.restored();
        self.notice = Some(format!(
            "{name} was set back to an older state: later messages are gone, except those still waiting here"
        ));
        self.list_anew();
    }

    /// Shows an error in the status line.
    pub fn complain(&mut self, error: &Error) {
        self.notice = Some(error.to_string());
    }

    /// Requests what the open room lacks, and acknowledges what has been seen. Call it after [`Room::look`].
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
        // Only now: FOLLOW begins at the cursor, and pushing a long backlog is not wanted.
        if !std::mem::replace(&mut room.followed, true) {
            self.asks.push(Ask::Follow(name, through));
        }
    }

    /// Scrolls by a page, or the overlay by ten lines.
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
