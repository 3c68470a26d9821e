//! What a commit will change: requests checked one after the other, against what is durable and what those before them in the same
//! commit will have changed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Worker, ended, storage};
use crate::limits::{BANNED_MAX, INVITED_BY_OWNER_MAX, INVITED_MAX, Limits};
use crate::permission::{self, Author, Permission, Standing};
use crate::retention::cutoff_ms;
use crate::rooms::{Group, Membership, Rooms};
use crate::settings::Settings;
use dantok_protocol::name::{check_new, person};
use dantok_protocol::{Begin, Command, ErrorCode, Refusal, Reply, Seek};
use dantok_store::Error;
use dantok_store::clock::wall_ms;
use dantok_store::commit::Op;
use dantok_store::group::GroupRecord;
use dantok_store::record::{Access, Kind, RoomRecord, Stored};
use dantok_store::{Store, chunk, key};

/// What one commit will change, on top of what is published.
pub(super) struct Draft<'a> {
    store: &'a Store,
    rooms: &'a Rooms,
    settings: Arc<Settings>,
    pub(super) kept_ms: u64,
    pub(super) now_ms: u64,
    pub(super) next_room: u64,
    pub(super) ops: Vec<Op>,
    pub(super) made: HashMap<Arc<str>, u64>,
    /// Published rooms that are deleted.
    pub(super) deleted: HashSet<u64>,
    /// Rooms that are made or changed.
    pub(super) records: HashMap<u64, RoomRecord>,
    /// What changes of what persons may.
    accesses: HashMap<(u64, Arc<str>), Option<Access>>,
    /// How many more are invited to a room, or banned from it, than are published.
    access_counts: HashMap<(u64, Access), isize>,
    /// How many more rooms a person owns.
    owned: HashMap<Arc<str>, isize>,
    /// What was redacted, and by which message.
    pub(super) redacted: HashMap<(u64, u64), u64>,
    /// Shared cursors that change; none: gone.
    groups: HashMap<(u64, Arc<str>), Option<GroupRecord>>,
    /// What messages add to the rooms that have a cap.
    added_bytes: HashMap<u64, u64>,
    /// Last seq and time of the rooms that get messages.
    lasts: HashMap<u64, (u64, u64)>,
    /// Memberships that change; none: no member any more.
    members: HashMap<(u64, Arc<str>), Option<Membership>>,
    joined: HashMap<Arc<str>, usize>,
    /// Where in `ops` a message id stands.
    pub(super) ids: HashMap<Vec<u8>, usize>,
    /// The disk refuses: so does everything in this commit.
    refused: Option<Refusal>,
    /// Who sent last: who sends on to the same room need not be looked up again.
    sender: Option<Sender>,
}

/// What came of a draft.
pub(super) struct Drafted {
    pub(super) ops: Vec<Op>,
    pub(super) next_room: u64,
    pub(super) kept_ms: u64,
    pub(super) refused: Option<Refusal>,
}

/// Who sends to which room.
struct Sender {
    client: Arc<str>,
    name: Arc<str>,
    room: u64,
    cap_bytes: u64,
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
            made: HashMap::new(),
            deleted: HashSet::new(),
            records: HashMap::new(),
            accesses: HashMap::new(),
            access_counts: HashMap::new(),
            owned: HashMap::new(),
            redacted: HashMap::new(),
            groups: HashMap::new(),
            added_bytes: HashMap::new(),
            lasts: HashMap::new(),
            members: HashMap::new(),
            joined: HashMap::new(),
            ids: HashMap::new(),
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

    pub(super) fn take(&mut self, author: &Author, write: Command) -> Result<Reply, Refusal> {
        let client = &author.client;
        match write {
            Command::Create { room, topic, private } => self.create(author, &room, &topic, private),
            Command::Join { room, from } => self.join(author, &room, from),
            Command::Leave { room } => self.leave(author, &room),
            Command::Seek { room, to } => self.seek(author, &room, to),
            Command::Topic { room, topic } => self.topic(author, &room, &topic.unwrap_or_default()),
            Command::Invite { room, client } => self.invite(author, &room, &client),
            Command::Kick { room, client } => self.kick(author, &room, &client),
            Command::Ban { room, client } => self.ban(author, &room, &client),
            Command::Unban { room, client } => self.unban(author, &room, &client),
            Command::Delete { room, number } => self.delete(author, &room, number),
            Command::Retain { room, secs, cap_bytes } => self.retain(author, &room, secs, cap_bytes),
            Command::Send { room, id, body, reply } => self.send(author, &room, id, body, reply),
            Command::Redact { room, seq } => self.redact(author, &room, seq),
            Command::Group { room, group, from, timeout_ms } => {
                self.make_group(author, &room, &group, from, timeout_ms)
            }
            Command::Ungroup { room, group } => self.end_group(author, &room, &group),
            Command::Done { room, group, seq } => self.done(author, &room, &group, seq),
            Command::Ack { room, seq } => self.ack(author, &room, seq.unwrap_or(0)),
            Command::Nick { nick } => {
                self.ops.push(Op::Nick { client: person(client).into(), nick: nick.into() });
                Ok(Reply::Done)
            }
            // None of the others is a write.
            _ => Ok(ended()),
        }
    }

    pub(super) fn room(&self, name: &str) -> Option<u64> {
        let published = || self.rooms.get(name).map(|room| room.id).filter(|room| !self.deleted.contains(room));
        self.made.get(name).copied().or_else(published)
    }

    pub(super) fn record(&self, room: u64) -> RoomRecord {
        let published = || self.rooms.by_id(room).map(|room| RoomRecord::clone(&room.record())).unwrap_or_default();
        self.records.get(&room).cloned().unwrap_or_else(published)
    }

    pub(super) fn change(&mut self, room: u64, record: RoomRecord) {
        self.sender = None;
        self.records.insert(room, record.clone());
        self.ops.push(Op::Change { room, record });
    }

    pub(super) fn access(&self, room: u64, person: &str) -> Option<Access> {
        match self.accesses.get(&(room, person.into())) {
            Some(access) => *access,
            None => self.rooms.by_id(room).and_then(|room| room.access(person)),
        }
    }

    fn access_count(&self, room: u64, access: Access) -> usize {
        let published = self.rooms.by_id(room).map_or(0, |room| room.access_count(access));
        published.saturating_add_signed(self.access_counts.get(&(room, access)).copied().unwrap_or(0))
    }

    /// Sets what a person may; `by_master`: for the room's owner, or an admin. Each kind has a bound of its own: what members do by
    /// INVITE is in nobody's way who bans.
    pub(super) fn set_access(
        &mut self,
        room: u64,
        who: &str,
        access: Option<Access>,
        by_master: bool,
    ) -> Result<(), Refusal> {
        let before = self.access(room, who);
        if before == access {
            return Ok(());
        }
        let (what, max) = match access {
            Some(Access::Invited) if by_master => ("persons who are invited to one room", INVITED_BY_OWNER_MAX),
            Some(Access::Invited) => ("persons who are invited to one room by its members", INVITED_MAX),
            Some(Access::Banned) => ("persons who are banned from one room; UNBAN or KICK takes one away", BANNED_MAX),
            None => ("", usize::MAX),
        };
        if access.is_some_and(|access| self.access_count(room, access) >= max) {
            return Err(Refusal::limit(what, max));
        }
        for (access, more) in before.map(|access| (access, -1)).into_iter().chain(access.map(|access| (access, 1))) {
            *self.access_counts.entry((room, access)).or_default() += more;
        }
        let client: Arc<str> = who.into();
        self.accesses.insert((room, client.clone()), access);
        self.ops.push(Op::Access { room, client, access });
        Ok(())
    }

    pub(super) fn group(&self, room: u64, group: &str) -> Option<GroupRecord> {
        match self.groups.get(&(room, group.into())) {
            Some(record) => record.clone(),
            None => self.published_group(room, group).map(|group| group.record()),
        }
    }

    pub(super) fn published_group(&self, room: u64, group: &str) -> Option<Arc<Group>> {
        self.rooms.by_id(room)?.group(group)
    }

    pub(super) fn set_group(&mut self, room: u64, group: &str, record: Option<GroupRecord>) {
        self.groups.insert((room, group.into()), record);
    }

    pub(super) fn groups_in(&self, room: u64) -> usize {
        let published = self.rooms.by_id(room).map(|room| room.groups()).unwrap_or_default();
        let drafted = self.groups.iter().filter(|((of, _), record)| *of == room && record.is_some());
        let unchanged = published.iter().filter(|(name, _)| !self.groups.contains_key(&(room, name.clone())));
        unchanged.count() + drafted.count()
    }

    /// Up to where a room's messages are gone.
    pub(super) fn floor(&self, room: u64) -> u64 {
        // One that this commit makes is not there yet.
        if self.store.has(room) { self.store.floor(room) } else { 0 }
    }

    /// A room in which somebody may do this.
    pub(super) fn permitted(&self, author: &Author, name: &str, wanted: Permission) -> Result<u64, Refusal> {
        let room = self.room(name).ok_or_else(|| Refusal::no_room(name))?;
        permission::check(&DraftedRoom { draft: self, room }, name, author, wanted)?;
        Ok(room)
    }

    pub(super) fn is_manager(&self, author: &Author, room: u64) -> bool {
        permission::is_manager(&DraftedRoom { draft: self, room }, author)
    }

    pub(super) fn membership(&self, room: u64, client: &Arc<str>) -> Option<Membership> {
        match self.members.get(&(room, client.clone())) {
            Some(membership) => *membership,
            None => self.rooms.by_id(room).and_then(|room| room.membership(client)),
        }
    }

    fn set_membership(&mut self, room: u64, client: &Arc<str>, membership: Membership) {
        self.members.insert((room, client.clone()), Some(membership));
        self.ops.push(Op::Cursor { room, client: client.clone(), seq: membership.stored() });
    }

    pub(super) fn retention(&self) -> Duration {
        self.settings.retention
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    pub(super) fn stored_bytes(&self, room: u64) -> u64 {
        self.store.stored_bytes(room) + self.added_bytes.get(&room).copied().unwrap_or(0)
    }

    /// A room's last seq and time, with what this commit adds.
    pub(super) fn last(&self, room: u64) -> (u64, u64) {
        let published = || self.rooms.by_id(room).map_or((0, 0), |room| (room.last_seq(), room.active_ms()));
        self.lasts.get(&room).copied().unwrap_or_else(published)
    }

    /// The same, of the last message alone: a room may have been made later than what is imported into it was sent.
    pub(super) fn last_message(&self, room: u64) -> Result<(u64, u64), Refusal> {
        let (seq, active_ms) = self.last(room);
        if seq == 0 || self.lasts.contains_key(&room) {
            return Ok((seq, if seq == 0 { 0 } else { active_ms }));
        }
        let found = self.store.message(room, seq, seq, 0).map_err(|error| self.unreadable(&error))?;
        Ok((seq, found.map_or(active_ms, |message| message.time_ms)))
    }

    pub(super) fn rooms_count(&self) -> usize {
        (self.rooms.count() + self.made.len()).saturating_sub(self.deleted.len())
    }

    /// A room that the client is a member of, and how.
    pub(super) fn member(&self, author: &Author, name: &str) -> Result<(u64, Membership), Refusal> {
        let room = self.permitted(author, name, Permission::Participate)?;
        let membership = self.membership(room, &author.client).ok_or_else(|| Refusal::not_joined(name))?;
        Ok((room, membership))
    }

    /// The room of a member that sends.
    fn sends_to(&mut self, author: &Author, name: &str) -> Result<&Sender, Refusal> {
        let client = &author.client;
        let same = |sender: &Sender| Arc::ptr_eq(&sender.client, client) && *sender.name == *name;
        if !self.sender.as_ref().is_some_and(same) {
            let (room, _) = self.member(author, name)?;
            let cap_bytes = self.record(room).cap_bytes;
            self.sender = Some(Sender { client: client.clone(), name: name.into(), room, cap_bytes });
        }
        self.sender.as_ref().ok_or_else(|| Refusal::no_room(name))
    }

    /// Refuses a message for which a room has no more place.
    pub(super) fn take_place(
        &mut self,
        name: &str,
        room: u64,
        cap_bytes: u64,
        message: &Stored,
    ) -> Result<(), Refusal> {
        let bytes = chunk::stored_bytes(message) as u64;
        let added = self.added_bytes.entry(room).or_default();
        let stored = self.store.stored_bytes(room) + *added;
        if stored + bytes > cap_bytes {
            let text =
                format!("{name} holds {stored} of at most {cap_bytes} bytes; there is room again when some expire");
            return Err(Refusal::new(ErrorCode::Limit, text));
        }
        *added += bytes;
        Ok(())
    }

    /// Whether there may be one more room, of this name.
    pub(super) fn may_make(&self, name: &str) -> Result<(), Refusal> {
        check_new(name)?;
        let max = self.limits().rooms_max;
        if self.rooms_count() >= max { Err(Refusal::limit("rooms", max)) } else { Ok(()) }
    }

    pub(super) fn add_room(&mut self, record: RoomRecord) -> u64 {
        let room = self.next_room;
        self.next_room += 1;
        self.made.insert(record.name.clone(), room);
        self.records.insert(room, record.clone());
        self.ops.push(Op::Room { room, record });
        room
    }

    fn make(&mut self, author: &Author, name: &str, topic: &str, private: bool) -> Result<u64, Refusal> {
        self.may_make(name)?;
        let owner: Arc<str> = author.person().into();
        let more = self.owned.get(&owner).copied().unwrap_or(0);
        let (owned, max) = (self.rooms.owned(&owner).saturating_add_signed(more), self.limits().rooms_of_person_max);
        if max > 0 && owned >= max && !author.admin {
            return Err(Refusal::limit("rooms of one person", max));
        }
        *self.owned.entry(owner.clone()).or_default() += 1;
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

    fn joined(&self, client: &Arc<str>) -> usize {
        self.joined.get(client).copied().unwrap_or_else(|| self.rooms.joined(client))
    }

    fn join(&mut self, author: &Author, name: &str, from: Begin) -> Result<Reply, Refusal> {
        let client = &author.client;
        let found = self.room(name);
        if let Some(room) = found
            && let Some(membership) = self.membership(room, client)
        {
            return Ok(self.rejoin(client, room, membership, from));
        }
        if found.is_some() {
            self.permitted(author, name, Permission::Join)?;
        }
        let joined = self.joined(client);
        if joined >= self.limits().joined_rooms_max {
            return Err(Refusal::limit("joined rooms of one client", self.limits().joined_rooms_max));
        }
        let room = match found {
            Some(room) => room,
            None => self.make(author, name, "", false)?,
        };
        let (last, _) = self.last(room);
        let membership = begin(from, last);
        self.joined.insert(client.clone(), joined + 1);
        self.ops.push(Op::Join { room, client: client.clone() });
        self.members.insert((room, client.clone()), Some(membership));
        // Where a JOIN begins without it.
        if membership != Membership::Reader(0) {
            self.set_membership(room, client, membership);
        }
        Ok(Reply::Joined { cursor: membership.cursor(), last, number: room, created: found.is_none() })
    }

    /// A JOIN of a member: gives it a cursor, where it has none and wants one.
    fn rejoin(&mut self, client: &Arc<str>, room: u64, before: Membership, from: Begin) -> Reply {
        let (last, _) = self.last(room);
        let membership = if before == Membership::Writer { begin(from, last) } else { before };
        if membership != before {
            self.set_membership(room, client, membership);
        }
        Reply::Joined { cursor: membership.cursor(), last, number: room, created: false }
    }

    fn leave(&mut self, author: &Author, name: &str) -> Result<Reply, Refusal> {
        let (room, _) = self.member(author, name)?;
        self.remove(room, &author.client);
        Ok(Reply::Done)
    }

    /// Forgets a room, and counts what was of it no more.
    pub(super) fn forget(&mut self, room: u64) {
        self.sender = None;
        let record = self.record(room);
        for client in self.members(room) {
            self.joined.insert(client.clone(), self.joined(&client).saturating_sub(1));
        }
        if let Some(owner) = record.owner {
            *self.owned.entry(owner).or_default() -= 1;
        }
        if self.made.remove(&record.name).is_none() {
            self.deleted.insert(room);
        }
        self.ops.push(Op::Delete { room });
    }

    /// Ends a membership.
    pub(super) fn remove(&mut self, room: u64, client: &Arc<str>) {
        self.sender = None;
        self.joined.insert(client.clone(), self.joined(client).saturating_sub(1));
        self.members.insert((room, client.clone()), None);
        self.ops.push(Op::Leave { room, client: client.clone() });
    }

    /// The memberships of a person.
    pub(super) fn members_of(&self, room: u64, who: &str) -> Vec<Arc<str>> {
        let published = self.rooms.by_id(room).map(|room| room.members_of(who)).unwrap_or_default();
        self.members_among(room, published, |client| person(client) == who)
    }

    fn members(&self, room: u64) -> Vec<Arc<str>> {
        let published = self.rooms.by_id(room).map(|room| room.member_names()).unwrap_or_default();
        self.members_among(room, published, |_| true)
    }

    fn members_among(&self, room: u64, published: Vec<Arc<str>>, is_wanted: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let drafted = self.members.keys().filter(|(of, client)| *of == room && is_wanted(client));
        let all: BTreeSet<Arc<str>> = published.into_iter().chain(drafted.map(|(_, client)| client.clone())).collect();
        all.into_iter().filter(|client| self.membership(room, client).is_some()).collect()
    }

    fn seek(&mut self, author: &Author, name: &str, to: Seek) -> Result<Reply, Refusal> {
        let (room, membership) = self.member(author, name)?;
        let (last, _) = self.last(room);
        let seq = match to {
            Seek::To(seq) if seq > last => return Err(Refusal::set_back(name, seq, last)),
            Seek::To(seq) => seq,
            Seek::Start => 0,
            Seek::Now => last,
        };
        if membership != Membership::Reader(seq) {
            self.set_membership(room, &author.client, Membership::Reader(seq));
        }
        Ok(Reply::Acked { cursor: seq })
    }

    fn ack(&mut self, author: &Author, name: &str, seq: u64) -> Result<Reply, Refusal> {
        let (room, membership) = self.member(author, name)?;
        let cursor = membership.cursor().ok_or_else(|| Refusal::no_cursor(name))?;
        let (last, _) = self.last(room);
        if seq > last {
            return Err(Refusal::set_back(name, seq, last));
        }
        if seq > cursor {
            self.set_membership(room, &author.client, Membership::Reader(seq));
        }
        Ok(Reply::Acked { cursor: cursor.max(seq) })
    }

    fn send(
        &mut self,
        author: &Author,
        name: &str,
        id: Option<String>,
        body: Bytes,
        reply: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let client = &author.client;
        let kind = reply.map_or(Kind::Plain, Kind::Reply);
        let Sender { room, cap_bytes, .. } = *self.sends_to(author, name)?;
        let id_key = id.as_deref().map(|id| key::message_id(room, client, id));
        if let (Some(key), Some(id)) = (&id_key, &id)
            && let Some(first) = self.find(room, client, id, key)?
        {
            // What was redacted can't be compared any more.
            let is_redacted = matches!(first.kind, Kind::Redacted(_));
            if !is_redacted && (first.body != body || first.kind != kind) {
                let text = format!("this id was used for another message, {}; a new message wants a new id", first.seq);
                return Err(Refusal::new(ErrorCode::IdReused, text));
            }
            return Ok(Reply::Sent { seq: first.seq, dup: true });
        }
        let (last, _) = self.last(room);
        match reply {
            Some(0) => return Err(Refusal::new(ErrorCode::BadArgument, "there is no message 0 to reply to")),
            Some(answered) if answered > last => return Err(Refusal::set_back(name, answered, last)),
            _ => {}
        }
        let message = self.message(client, room, id, body, kind);
        if cap_bytes > 0 {
            self.take_place(name, room, cap_bytes, &message)?;
        }
        if let Some(key) = id_key {
            self.ids.insert(key, self.ops.len());
        }
        Ok(Reply::Sent { seq: self.append(room, message), dup: false })
    }

    /// A room's next message.
    fn message(&self, client: &Arc<str>, room: u64, id: Option<String>, body: Bytes, kind: Kind) -> Stored {
        let (last_seq, last_ms) = self.last(room);
        let (seq, time_ms) = (last_seq + 1, self.now_ms.max(last_ms));
        Stored { seq, time_ms, kept_ms: self.kept_ms, client: client.clone(), id: id.map(Arc::from), body, kind }
    }

    pub(super) fn append(&mut self, room: u64, message: Stored) -> u64 {
        let seq = message.seq;
        self.lasts.insert(room, (seq, message.time_ms));
        self.ops.push(Op::Message { room, message });
        seq
    }

    fn redact(&mut self, author: &Author, name: &str, seq: u64) -> Result<Reply, Refusal> {
        let room = self.permitted(author, name, Permission::Inspect)?;
        let (last, _) = self.last(room);
        if seq > last {
            return Err(Refusal::set_back(name, seq, last));
        }
        let bad = |why: &str| Err(Refusal::new(ErrorCode::BadArgument, format!("message {seq} {why}")));
        let Some((client, kind)) = self.what_is(room, seq)? else { return bad("is not stored") };
        match kind {
            Kind::Redacted(by) => return Ok(Reply::Sent { seq: by, dup: true }),
            Kind::Redaction(_) => return bad("has no text: it says what was redacted"),
            Kind::Plain | Kind::Reply(_) => {}
        }
        if !author.admin && person(&client) != author.person() {
            return Err(Refusal::new(ErrorCode::Denied, "only who sent a message, or an admin, may redact it"));
        }
        let message = self.message(&author.client, room, None, Bytes::new(), Kind::Redaction(seq));
        let by = self.append(room, message);
        self.redacted.insert((room, seq), by);
        self.ops.push(Op::Redact { room, seq, by });
        Ok(Reply::Sent { seq: by, dup: false })
    }

    /// Who sent a message, and what it is; none where it is not stored.
    pub(super) fn what_is(&self, room: u64, seq: u64) -> Result<Option<(Arc<str>, Kind)>, Refusal> {
        let found = self.ops.iter().find_map(|op| match op {
            Op::Message { room: of, message } if *of == room && message.seq == seq => Some(message.clone()),
            _ => None,
        });
        let found = match found {
            Some(message) => Some(message),
            None => {
                let cutoff_ms = cutoff_ms(self.store, self.retention_of(room));
                let last = self.rooms.by_id(room).map_or(0, |room| room.last_seq());
                match self.store.message(room, seq.min(last + 1), last, cutoff_ms) {
                    Ok(found) => found,
                    Err(error) => return Err(self.unreadable(&error)),
                }
            }
        };
        let by = self.redacted.get(&(room, seq)).map(|by| Kind::Redacted(*by));
        Ok(found.map(|message| (message.client, by.unwrap_or(message.kind))))
    }

    fn retention_of(&self, room: u64) -> Duration {
        self.rooms.by_id(room).map_or(self.retention(), |room| room.retention(self.retention()))
    }

    /// Of one room's messages, or of all.
    fn unreadable(&self, error: &Error) -> Refusal {
        match error {
            Error::Damaged { .. } | Error::Io { .. } => {
                tracing::error!("{error}; can't tell what is stored already");
                let text = "the daemon can't read from its disk what it has already; its operator's log says why";
                Refusal::new(ErrorCode::Storage, text)
            }
            error => {
                self.store.failure().set(&error.to_string());
                storage(&error.to_string())
            }
        }
    }

    /// The message that this client sent with this id, stored or in this commit.
    pub(super) fn find(&mut self, room: u64, client: &str, id: &str, key: &[u8]) -> Result<Option<Stored>, Refusal> {
        if let Some(Op::Message { message, .. }) = self.ids.get(key).and_then(|place| self.ops.get(*place)) {
            return Ok(Some(message.clone()));
        }
        let cutoff_ms = cutoff_ms(self.store, self.retention_of(room));
        self.store.find(room, client, id, cutoff_ms).map_err(|error| self.unreadable(&error))
    }
}

/// A room as a draft has it.
struct DraftedRoom<'a> {
    draft: &'a Draft<'a>,
    room: u64,
}

impl Standing for DraftedRoom<'_> {
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

/// What a JOIN makes of a client that had no cursor.
fn begin(from: Begin, last: u64) -> Membership {
    match from {
        Begin::Start => Membership::Reader(0),
        Begin::Now => Membership::Reader(last),
        Begin::Nowhere => Membership::Writer,
    }
}
