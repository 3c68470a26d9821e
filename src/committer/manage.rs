//! Changes to rooms themselves: access, topic and retention.

use std::time::Duration;

use super::draft::Draft;
use crate::permission::{Author, Permission};
use dantok_protocol::units::in_words;
use dantok_protocol::{ErrorCode, Keep, Refusal, Reply};
use dantok_store::record::{Access, RoomRecord};

impl Draft<'_> {
    fn not_the_owner(&self, room: u64, who: &str) -> Result<(), Refusal> {
        match self.record(room).owner.as_deref() == Some(who) {
            true => Err(Refusal::denied("the room is theirs")),
            false => Ok(()),
        }
    }

    pub(super) fn topic(&mut self, author: &Author, name: &str, topic: &str) -> Result<Reply, Refusal> {
        let room = self.permitted(author, name, Permission::Contribute)?;
        let record = self.record(room);
        if *record.topic != *topic {
            self.change(room, RoomRecord { topic: topic.into(), ..record });
        }
        Ok(Reply::Done)
    }

    pub(super) fn invite(&mut self, author: &Author, name: &str, who: &str) -> Result<Reply, Refusal> {
        let room = self.permitted(author, name, Permission::Contribute)?;
        let is_manager = self.is_manager(author, room);
        if self.access(room, who) == Some(Access::Banned) && !is_manager {
            return Err(Refusal::denied("this person is banned; the room's owner or an admin may UNBAN"));
        }
        self.set_access(room, who, Some(Access::Invited), is_manager)?;
        Ok(Reply::Done)
    }

    pub(super) fn kick(&mut self, author: &Author, name: &str, who: &str) -> Result<Reply, Refusal> {
        let room = self.permitted(author, name, Permission::Manage)?;
        self.not_the_owner(room, who)?;
        let members = self.members_of(room, who);
        let access = self.access(room, who);
        if members.is_empty() && access != Some(Access::Invited) {
            let text = format!("{who} is not a member of {name}");
            return Err(Refusal::new(ErrorCode::NotJoined, text));
        }
        for client in &members {
            self.remove(room, client);
        }
        if access == Some(Access::Invited) {
            self.set_access(room, who, None, true)?;
        }
        Ok(Reply::Done)
    }

    pub(super) fn ban(&mut self, author: &Author, name: &str, who: &str) -> Result<Reply, Refusal> {
        let room = self.permitted(author, name, Permission::Manage)?;
        self.not_the_owner(room, who)?;
        self.set_access(room, who, Some(Access::Banned), true)?;
        for client in self.members_of(room, who) {
            self.remove(room, &client);
        }
        Ok(Reply::Done)
    }

    pub(super) fn unban(&mut self, author: &Author, name: &str, who: &str) -> Result<Reply, Refusal> {
        let room = self.permitted(author, name, Permission::Manage)?;
        if self.access(room, who) == Some(Access::Banned) {
            self.set_access(room, who, None, true)?;
        }
        Ok(Reply::Done)
    }

    /// Deletes a room; with `number`, only the room with that number, so that a repeated request deletes no other room of the same name.
    pub(super) fn delete(&mut self, author: &Author, name: &str, number: Option<u64>) -> Result<Reply, Refusal> {
        let room = self.permitted(author, name, Permission::Manage)?;
        if number.is_some_and(|number| number != room) {
            let text = format!("{name} is another room by now: its number is {room}");
            return Err(Refusal::new(ErrorCode::NoRoom, text));
        }
        self.forget(room);
        Ok(Reply::Done)
    }

    /// Sets what is given, and leaves the rest unchanged.
    pub(super) fn retain(
        &mut self,
        author: &Author,
        name: &str,
        secs: Option<u64>,
        cap_bytes: Option<u64>,
    ) -> Result<Reply, Refusal> {
        if secs.is_none() && cap_bytes.is_none() {
            let room = self.permitted(author, name, Permission::Contribute)?;
            return Ok(self.retained(room));
        }
        let room = self.permitted(author, name, Permission::Manage)?;
        let of_all = self.retention();
        let longest = self.limits().room_retention_max.max(of_all);
        if let Some(secs) = secs.filter(|secs| *secs > 0)
            && !(of_all..=longest).contains(&Duration::from_secs(secs))
        {
            let text = format!("a room is kept for {} to {}, or by default", in_words(of_all), in_words(longest));
            return Err(Refusal::new(ErrorCode::BadArgument, text));
        }
        let record = self.record(room);
        let keep_ms = secs.map_or(record.keep_ms, |secs| secs.saturating_mul(1000));
        let cap_bytes = cap_bytes.unwrap_or(record.cap_bytes);
        if (record.keep_ms, record.cap_bytes) != (keep_ms, cap_bytes) {
            self.change(room, RoomRecord { keep_ms, cap_bytes, ..record });
        }
        Ok(self.retained(room))
    }

    fn retained(&self, room: u64) -> Reply {
        let record = self.record(room);
        let keep = Duration::from_millis(record.keep_ms).max(self.retention());
        let keep = Keep { secs: keep.as_secs(), cap_bytes: record.cap_bytes };
        Reply::Retained { keep, stored_bytes: self.stored_bytes(room) }
    }
}
