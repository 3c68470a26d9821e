//! What a commit will change. Requests are checked one after the other, against what is durable and what earlier requests of the same
//! commit change.

mod members;
mod messages;
mod overlay;

use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::limits::{BANNED_MAX, INVITED_BY_OWNER_MAX, INVITED_MAX, Limits};
use crate::permission::{self, Author, Permission, Standing};
use crate::rooms::{Group, Membership, Rooms};
use crate::settings::Settings;
use dantok_protocol::commands::Write;
use dantok_protocol::name::{check_new, person};
use dantok_protocol::{ErrorCode, Refusal, Reply, commands};
use dantok_store::Store;
use dantok_store::clock::wall_ms;
use dantok_store::commit::Op;
use dantok_store::group::GroupRecord;
use dantok_store::record::{Access, RoomRecord};
use messages::Sender;
use overlay::Overlay;

/// What one commit will change, on top of what is published.
pub(super) struct Draft<'a> {
    store: &'a Store,
    rooms: &'a Rooms,
    settings: Arc<Settings>,
    pub(super) kept_ms: u64,
    pub(super) now_ms: u64,
    pub(super) next_room: u64,
    pub(super) ops: Vec<Op>,
    /// Rooms by name; none: deleted.
    names: Overlay<Arc<str>, Option<u64>>,
    /// How many more rooms there are than published ones.
    rooms_added: isize,
    records: Overlay<u64, RoomRecord>,
    /// Invitations and bans.
    access: Overlay<(u64, Arc<str>), Option<Access>>,
    /// How many are invited to a room, and how many banned from it.
    access_counts: Overlay<(u64, Access), usize>,
    /// How many rooms a person owns.
    owned: Overlay<Arc<str>, usize>,
    /// Which message redacted another.
    pub(super) redacted: Overlay<(u64, u64), u64>,
    /// Shared cursors; none: deleted.
    groups: Overlay<(u64, Arc<str>), Option<GroupRecord>>,
    /// Bytes that rooms with a cap hold.
    stored_bytes: Overlay<u64, u64>,
    /// A room's last seq, and its time.
    lasts: Overlay<u64, (u64, u64)>,
    members: Overlay<(u64, Arc<str>), Option<Membership>>,
    /// How many rooms a client is a member of.
    joined: Overlay<Arc<str>, usize>,
    /// Message ids, each with the index of its message in `ops`.
    pub(super) ids: Overlay<Vec<u8>, usize>,
    /// Why the whole commit is refused, if the disk is nearly full.
    refused: Option<Refusal>,
    /// The last sender, which need not be looked up again for the next message to the same room.
    sender: Option<Sender>,
}

/// A finished draft.
pub(super) struct Drafted {
    pub(super) ops: Vec<Op>,
    pub(super) next_room: u64,
    pub(super) kept_ms: u64,
    pub(super) refused: Option<Refusal>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(worker: &'a Worker) -> Self {
        let short = worker.store.is_short_of_space();
        Draft {
            store: &worker.store,
            rooms: &worker.rooms,
            settings: worker.settings.get(),
            kept_ms: worker.store.clock().now_ms(),
            now_ms: wall_ms(),
            next_room: worker.next_room,
            ops: Vec::new(),
            names: Overlay::default(),
            rooms_added: 0,
            records: Overlay::default(),
            access: Overlay::default(),
            access_counts: Overlay::default(),
            owned: Overlay::default(),
            redacted: Overlay::default(),
            groups: Overlay::default(),
            stored_bytes: Overlay::default(),
            lasts: Overlay::default(),
            members: Overlay::default(),
            joined: Overlay::default(),
            ids: Overlay::default(),
            sender: None,
            refused: short.then(|| {
                Refusal::new(
                    ErrorCode::Storage,
                    "the disk is nearly full; nothing was stored, try again when there is room",
                )
            }),
        }
    }

    pub(super) fn end(self) -> Drafted {
        let Draft { ops, next_room, kept_ms, refused, .. } = self;
        Drafted { ops, next_room, kept_ms, refused }
    }

    pub(super) fn apply(&mut self, author: &Author, write: Write) -> Result<Reply, Refusal> {
        let client = &author.client;
        match write {
            Write::Create(commands::Create { room, topic, private }) => self.create(author, &room, &topic, private),
            Write::Join(commands::Join { room, from }) => self.join(author, &room, from),
            Write::Leave(commands::Leave { room }) => self.leave(author, &room),
            Write::Seek(commands::Seek { room, to }) => self.seek(author, &room, to),
            Write::Topic { room, topic } => self.topic(author, &room, &topic),
            Write::Invite(commands::Invite { room, client }) => self.invite(author, &room, &client),
            Write::Kick(commands::Kick { room, client }) => self.kick(author, &room, &client),
            Write::Ban(commands::Ban { room, client }) => self.ban(author, &room, &client),
            Write::Unban(commands::Unban { room, client }) => self.unban(author, &room, &client),
            Write::Delete(commands::Delete { room, number }) => self.delete(author, &room, number),
            Write::Retain(commands::Retain { room, secs, cap_bytes }) => self.retain(author, &room, secs, cap_bytes),
            Write::Send(commands::Send { room, id, body, reply }) => self.send(author, &room, id, body, reply),
            Write::Redact(commands::Redact { room, seq }) => self.redact(author, &room, seq),
            Write::Group(commands::Group { room, group, from, timeout_ms }) => {
                self.make_group(author, &room, &group, from, timeout_ms)
            }
            Write::Ungroup(commands::Ungroup { room, group }) => self.end_group(author, &room, &group),
            Write::Done(commands::Done { room, group, seq }) => self.done(author, &room, &group, seq),
            Write::Ack { room, seq } => self.ack(author, &room, seq),
            Write::Nick(commands::Nick { nick }) => {
                self.ops.push(Op::Nick { client: person(client).into(), nick: nick.into() });
                Ok(Reply::Done)
            }
        }
    }

    pub(super) fn room(&self, name: &str) -> Option<u64> {
        self.names.get(name, || self.rooms.get(name).map(|room| room.id))
    }

    pub(super) fn record(&self, room: u64) -> RoomRecord {
        let published = || self.rooms.by_id(room).map(|room| RoomRecord::clone(&room.record())).unwrap_or_default();
        self.records.get(&room, published)
    }

    pub(super) fn change(&mut self, room: u64, record: RoomRecord) {
        self.sender = None;
        self.records.set(room, record.clone());
        self.ops.push(Op::Change { room, record });
    }

    pub(super) fn access(&self, room: u64, person: &str) -> Option<Access> {
        self.access.get(&(room, person.into()), || self.rooms.by_id(room).and_then(|room| room.access(person)))
    }

    fn access_count(&self, room: u64, access: Access) -> usize {
        let published = || self.rooms.by_id(room).map_or(0, |room| room.access_count(access));
        self.access_counts.get(&(room, access), published)
    }

    /// Invites or bans a person, or undoes that; `by_manager`: for the room's owner or an admin. Invitations and bans have separate
    /// limits, so that members' invitations can't prevent bans.
    pub(super) fn set_access(
        &mut self,
        room: u64,
        who: &str,
        access: Option<Access>,
        by_manager: bool,
    ) -> Result<(), Refusal> {
        let before = self.access(room, who);
        if before == access {
            return Ok(());
        }
        let (what, max) = match access {
            Some(Access::Invited) if by_manager => ("people invited to one room", INVITED_BY_OWNER_MAX),
            Some(Access::Invited) => ("people invited to one room by its members", INVITED_MAX),
            Some(Access::Banned) => ("people banned from one room; UNBAN lifts a ban", BANNED_MAX),
            None => ("", usize::MAX),
        };
        if access.is_some_and(|access| self.access_count(room, access) >= max) {
            return Err(Refusal::limit(what, max));
        }
        if let Some(before) = before {
            self.access_counts.set((room, before), self.access_count(room, before).saturating_sub(1));
        }
        if let Some(access) = access {
            self.access_counts.set((room, access), self.access_count(room, access) + 1);
        }
        let client: Arc<str> = who.into();
        self.access.set((room, client.clone()), access);
        self.ops.push(Op::Access { room, client, access });
        Ok(())
    }

    pub(super) fn group(&self, room: u64, group: &str) -> Option<GroupRecord> {
        let published = || self.published_group(room, group).map(|group| group.record());
        self.groups.get(&(room, group.into()), published)
    }

    pub(super) fn published_group(&self, room: u64, group: &str) -> Option<Arc<Group>> {
        self.rooms.by_id(room)?.group(group)
    }

    pub(super) fn set_group(&mut self, room: u64, group: &str, record: Option<GroupRecord>) {
        self.groups.set((room, group.into()), record);
    }

    pub(super) fn groups_in(&self, room: u64) -> usize {
        let published = self.rooms.by_id(room).map(|room| room.groups()).unwrap_or_default();
        let drafted = self.groups.iter().filter(|((of, _), record)| *of == room && record.is_some());
        let unchanged = published.iter().filter(|(name, _)| !self.groups.has(&(room, name.clone())));
        unchanged.count() + drafted.count()
    }

    /// The last seq of a room that is gone.
    pub(super) fn floor(&self, room: u64) -> u64 {
        // A room made by this commit is not in the store yet.
        if self.store.has(room) { self.store.floor(room) } else { 0 }
    }

    /// Finds a room in which the author may do this.
    pub(super) fn permitted(&self, author: &Author, name: &str, wanted: Permission) -> Result<u64, Refusal> {
        let room = self.room(name).ok_or_else(|| Refusal::no_room(name))?;
        permission::check(&DraftedRoom { draft: self, room }, name, author, wanted)?;
        Ok(room)
    }

    pub(super) fn is_manager(&self, author: &Author, room: u64) -> bool {
        permission::is_manager(&DraftedRoom { draft: self, room }, author)
    }

    pub(super) fn retention(&self) -> Duration {
        self.settings.retention
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    pub(super) fn stored_bytes(&self, room: u64) -> u64 {
        self.stored_bytes.get(&room, || self.store.stored_bytes(room))
    }

    /// A room's last seq and its time, with what this commit adds.
    pub(super) fn last(&self, room: u64) -> (u64, u64) {
        let published = || self.rooms.by_id(room).map_or((0, 0), |room| (room.last_seq(), room.active_ms()));
        self.lasts.get(&room, published)
    }

    pub(super) fn rooms_count(&self) -> usize {
        self.rooms.count().saturating_add_signed(self.rooms_added)
    }

    /// Checks whether a room of this name may be made.
    pub(super) fn may_make(&self, name: &str) -> Result<(), Refusal> {
        check_new(name)?;
        let max = self.limits().rooms_max;
        if self.rooms_count() >= max { Err(Refusal::limit("rooms", max)) } else { Ok(()) }
    }

    pub(super) fn add_room(&mut self, record: RoomRecord) -> u64 {
        let room = self.next_room;
        self.next_room += 1;
        self.names.set(record.name.clone(), Some(room));
        self.rooms_added += 1;
        self.records.set(room, record.clone());
        self.ops.push(Op::Room { room, record });
        room
    }

    fn owned(&self, owner: &Arc<str>) -> usize {
        self.owned.get(owner, || self.rooms.owned(owner))
    }

    fn make(&mut self, author: &Author, name: &str, topic: &str, private: bool) -> Result<u64, Refusal> {
        self.may_make(name)?;
        let owner: Arc<str> = author.person().into();
        let (owned, max) = (self.owned(&owner), self.limits().rooms_of_person_max);
        if max > 0 && owned >= max && !author.admin {
            return Err(Refusal::limit("rooms of one person", max));
        }
        self.owned.set(owner.clone(), owned + 1);
        Ok(self.add_room(RoomRecord {
            time_ms: self.now_ms,
            name: name.into(),
            topic: topic.into(),
            private,
            owner: Some(owner),
            ..RoomRecord::default()
        }))
    }

    fn create(&mut self, author: &Author, name: &str, topic: &str, private: bool) -> Result<Reply, Refusal> {
        if self.room(name).is_some() {
            return Err(Refusal::new(ErrorCode::RoomExists, "there is such a room; JOIN it"));
        }
        let number = self.make(author, name, topic, private)?;
        Ok(Reply::Created { number })
    }

    /// Deletes a room, and stops counting its members and owner.
    pub(super) fn forget(&mut self, room: u64) {
        self.sender = None;
        let record = self.record(room);
        for client in self.members(room) {
            self.joined.set(client.clone(), self.joined(&client).saturating_sub(1));
        }
        if let Some(owner) = record.owner {
            self.owned.set(owner.clone(), self.owned(&owner).saturating_sub(1));
        }
        self.names.set(record.name, None);
        self.rooms_added -= 1;
        self.ops.push(Op::Delete { room });
    }
}

/// A room as this commit leaves it.
struct DraftedRoom<'a> {
    draft: &'a Draft<'a>,
    room: u64,
}

impl Standing for DraftedRoom<'_> {
    fn number(&self) -> u64 {
        self.room
    }

    fn is_deleted(&self) -> bool {
        false // It was found by its name.
    }

    fn is_private(&self) -> bool {
        self.draft.record(self.room).private
    }

    fn is_owned_by(&self, person: &str) -> bool {
        self.draft.record(self.room).owner.as_deref() == Some(person)
    }

    fn access(&self, person: &str) -> Option<Access> {
        self.draft.access(self.room, person)
    }

    fn membership(&self, client: &Arc<str>) -> Option<Membership> {
        self.draft.membership(self.room, client)
    }
}
