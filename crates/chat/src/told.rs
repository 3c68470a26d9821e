//! How the results of an [`Ask`] change the state.

use dantok_client::outbox::Waiting;
use dantok_client::{Error, Fetched, Joined};
use dantok_protocol::{Item, MemberInfo, Refusal, RoomInfo};

use crate::app::{App, ends_membership};
use crate::ask::{Ask, Change, Told};

type Answer<T> = Result<T, Error>;

impl App {
    /// Handles the result of an [`Ask`] from before the rooms were restored: its seqs mean nothing now.
    pub fn told_late(&mut self, told: Told) {
        match told {
            Told::Page(..) | Told::Older(..) | Told::Acked(..) | Told::Who(..) | Told::Joined(..) => {}
            Told::Rooms(_) => {
                (self.asked_rooms, self.ask_rooms_again) = (false, false);
                self.list_anew();
            }
            Told::Sent(waiting, Ok(_)) => {
                if let Some(room) = self.rooms.get_mut(&waiting.room) {
                    room.pending.retain(|pending| pending.waiting.id != waiting.id);
                    room.touch();
                }
                self.asks.push(Ask::Done(waiting.id));
            }
            told => self.told(told),
        }
    }

    /// Handles the result of an [`Ask`].
    pub fn told(&mut self, told: Told) {
        match told {
            Told::Page(name, Err(Error::SetBack(_)))
            | Told::Older(name, Err(Error::SetBack(_)))
            | Told::Acked(name, Err(Error::SetBack(_))) => self.set_back(&name),
            Told::Page(name, answer) => self.told_page(&name, answer),
            Told::Older(name, answer) => self.told_older(&name, answer),
            Told::Acked(name, answer) => self.told_acked(&name, answer),
            Told::Who(name, answer) => self.told_members(&name, answer),
            Told::Rooms(answer) => self.told_rooms(answer),
            Told::Joined(name, answer) => self.told_joined(&name, answer),
            Told::Left(name, answer) => self.told_left(name, answer),
            Told::Sent(waiting, answer) => self.told_sent(waiting, answer),
            Told::Nicked(Ok(())) => {
                self.notice = Some("your nick was set".to_owned());
                self.who();
            }
            Told::Change(change, Ok(())) => {
                self.notice = Some(change.done());
                // Whoever creates a room wants to be in it.
                if let Change::Create { room, .. } = change {
                    self.wanted = Some(room.clone());
                    self.asks.push(Ask::Join(room));
                }
            }
            Told::Nicked(Err(error)) | Told::Change(_, Err(error)) => self.complain(&error),
        }
    }

    fn told_page(&mut self, name: &str, answer: Answer<Fetched>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.asked.page = false;
        match answer {
            Ok(page) => {
                room.last = room.last.max(page.last);
                // After an empty page, wait a second before requesting the next.
                room.paused |= page.items.is_empty();
                page.items.into_iter().for_each(|item| room.push(item, &self.own));
                room.touch();
            }
            Err(error) => {
                room.paused = true;
                self.complain(&error);
            }
        }
    }

    fn told_older(&mut self, name: &str, answer: Answer<Vec<Item>>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.asked.page = false;
        match answer {
            Ok(items) => {
                room.paused |= items.is_empty();
                if let Some(timeline) = &mut room.timeline {
                    timeline.push_older(items);
                }
                room.touch();
            }
            Err(error) => {
                room.paused = true;
                self.complain(&error);
            }
        }
    }

    fn told_acked(&mut self, name: &str, answer: Answer<u64>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.asked.ack = false;
        match answer {
            Ok(cursor) => room.acked(cursor),
            Err(error) => {
                room.paused = true;
                self.complain(&error);
            }
        }
    }

    fn told_members(&mut self, name: &str, answer: Answer<Vec<MemberInfo>>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.asked.who = false;
        if let Ok(members) = answer {
            room.presence.members = members;
        }
    }

    fn told_rooms(&mut self, answer: Answer<Vec<RoomInfo>>) {
        self.asked_rooms = false;
        match answer {
            // A GONE arrived after the list was requested.
            Ok(_) if std::mem::take(&mut self.ask_rooms_again) => self.list_anew(),
            Ok(list) => self.set_list(list),
            Err(error) => self.complain(&error),
        }
    }

    fn told_joined(&mut self, name: &str, answer: Answer<Joined>) {
        match answer {
            Ok(joined) => {
                let room = self.rooms.entry(name.to_owned()).or_default();
                room.joined = true;
                (room.cursor, room.last) = (room.cursor.max(joined.cursor), room.last.max(joined.last));
                if self.wanted.take_if(|wanted| *wanted == name).is_some() {
                    self.show(name);
                }
            }
            Err(error) => {
                self.notice = Some(format!("{name}: {error}"));
                if let Some(room) = self.rooms.get_mut(name).filter(|room| room.info.is_none()) {
                    room.joined = false;
                }
            }
        }
    }

    fn told_left(&mut self, name: String, answer: Answer<()>) {
        if let Some(room) = self.rooms.get_mut(&name) {
            room.leaving = false;
            if answer.is_ok() {
                room.forget();
            }
        }
        if let Err(error) = answer {
            return self.complain(&error);
        }
        let was_open = self.open.as_ref() == Some(&name);
        self.asks.push(Ask::Unfollow(name));
        if was_open {
            self.step(1, false);
        }
    }

    fn told_sent(&mut self, waiting: Waiting, answer: Result<u64, Refusal>) {
        let room = self.rooms.entry(waiting.room.clone()).or_default();
        match answer {
            Ok(seq) => room.sent(&waiting.id, seq),
            Err(refusal) => {
                if ends_membership(refusal.code) && room.info.is_none() {
                    room.joined = false;
                }
                room.refused(&waiting.id, &refusal.to_string());
                self.notice = Some(format!("a message to {} was not sent: {refusal}", waiting.room));
            }
        }
        self.asks.push(Ask::Done(waiting.id));
    }
}
