//! Memberships, as the list of rooms shows them: the feed reports each change, and the whole list shows which rooms are no longer
//! visible.

use std::collections::BTreeSet;

use dantok_protocol::RoomInfo;

use crate::app::App;
use crate::ask::Ask;

impl App {
    /// Requests the list, one request at a time.
    pub fn list_anew(&mut self) {
        if std::mem::replace(&mut self.asked_rooms, true) {
            self.ask_rooms_again = true;
        } else {
            self.told_since.clear();
            self.asks.push(Ask::Rooms);
        }
    }

    /// Handles the list's entry for a room.
    pub fn inform(&mut self, info: RoomInfo) {
        let name = info.room.to_string();
        let room = self.rooms.entry(name.clone()).or_default();
        let first = room.info.is_none();
        let came_or_went = room.info.as_ref().is_none_or(|before| before.members != info.members);
        let was_member = room.joined && room.info.as_ref().is_some_and(|before| before.unread.is_some());
        let shown_out = was_member && info.unread.is_none() && !room.leaving;
        room.inform(info);
        // For a followed room, events report who came and went.
        let is_told = room.followed;
        if shown_out {
            self.notice = Some(format!("you are no longer a member of {name}"));
        }
        if self.open.as_ref() == Some(&name) {
            // It was opened before its unread count was known.
            if first && let Some(room) = self.room_mut().filter(|room| room.timeline.is_none()) {
                room.open();
            }
            if came_or_went && !is_told {
                self.who();
            }
        }
    }

    /// Handles that the client is no longer a member of a room, or no longer sees it.
    pub fn gone(&mut self, name: &str) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        if room.joined && !room.leaving {
            self.notice = Some(format!("you are no longer a member of {name}"));
        }
        room.forget();
        // The list shows which of the two it is.
        self.told_since.remove(name);
        self.list_anew();
    }

    /// Handles the whole list: the client can't see rooms that are not in it.
    pub fn set_list(&mut self, list: Vec<RoomInfo>) {
        let seen: BTreeSet<String> = list.iter().map(|info| info.room.to_string()).collect();
        for info in list {
            if !self.told_since.contains(&*info.room) {
                self.inform(info);
            }
        }
        for (name, room) in &mut self.rooms {
            if room.info.is_some() && !seen.contains(name) && !self.told_since.contains(name) {
                room.forget();
                room.info = None;
            }
        }
        // Messages waiting for such a room will be refused, and the room is where people read that.
        self.rooms.retain(|_, room| room.info.is_some() || room.joined || !room.pending.is_empty());
        self.open.take_if(|open| !self.rooms.contains_key(open));
        let (list, joined) = self.list();
        if let Some(name) = list.first().filter(|_| joined > 0 && self.open.is_none()).map(|name| (*name).to_owned()) {
            self.show(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Link;
    use crate::ask::Told;
    use dantok_client::News;
    use dantok_protocol::Item;
    use jiff::tz::TimeZone;

    fn info(room: &str, private: bool, unread: Option<u64>) -> RoomInfo {
        let cursor = unread.map(|unread| 5 - unread);
        RoomInfo { room: room.into(), members: 1, last: 5, unread, active_ms: 0, topic: "".into(), private, cursor }
    }

    /// Connected, a member of a public room and of a private one; the private one is shown.
    fn app() -> App {
        let mut app = App::new("me", "s", TimeZone::UTC, &[], &[]);
        app.link = Link::Up;
        app.told(Told::Rooms(Ok(vec![info("lobby", false, Some(0)), info("plans", true, Some(0))])));
        app.show("plans");
        app.asks.clear();
        app
    }

    fn gone(app: &mut App, room: &str) {
        app.news(News::Item(Item::Gone { room: room.into() }));
    }

    #[test]
    fn a_room_that_is_gone_is_not_joined_and_one_that_is_not_seen_is_not_listed() {
        let mut app = app();
        gone(&mut app, "plans");
        assert!(app.notice.take().unwrap().contains("plans") && app.asks == [Ask::Rooms]);
        assert!(!app.rooms["plans"].joined);
        // GONE came twice, and a room was created, before the answer arrived, so the answer is out of date.
        gone(&mut app, "plans");
        app.news(News::Item(Item::Room(info("new", false, None))));
        assert_eq!(app.notice, None);
        app.told(Told::Rooms(Ok(vec![info("lobby", false, Some(0)), info("plans", true, None)])));
        assert!(app.rooms.contains_key("plans") && app.asks == [Ask::Rooms, Ask::Rooms]);
        app.news(News::Item(Item::Room(info("newer", false, None))));
        app.told(Told::Rooms(Ok(vec![info("lobby", false, Some(0)), info("new", false, None)])));
        assert_eq!(app.rooms.keys().collect::<Vec<_>>(), ["lobby", "new", "newer"]);
        assert_eq!(app.open.as_deref(), Some("lobby"));
    }

    #[test]
    fn leaving_a_room_shows_no_notice() {
        let mut app = app();
        app.rooms.get_mut("plans").unwrap().leaving = true;
        app.news(News::Item(Item::Room(info("plans", true, None))));
        gone(&mut app, "plans");
        app.told(Told::Left("plans".into(), Ok(())));
        assert_eq!(app.notice, None);
        // A public room stays in the list.
        gone(&mut app, "lobby");
        app.told(Told::Rooms(Ok(vec![info("lobby", false, None)])));
        app.told(Told::Rooms(Ok(vec![info("lobby", false, None)])));
        assert_eq!(app.rooms.keys().collect::<Vec<_>>(), ["lobby"]);
        assert!(!app.rooms["lobby"].joined && app.notice.is_some());
    }
}
