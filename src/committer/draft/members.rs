//! Who is a member of which room, and how far each member has read.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Draft;
use crate::permission::{Author, Permission};
use crate::rooms::Membership;
use dantok_protocol::name::person;
use dantok_protocol::{Begin, Refusal, Reply, Seek};
use dantok_store::commit::Op;

impl Draft<'_> {
    pub(in crate::committer) fn membership(&self, room: u64, client: &Arc<str>) -> Option<Membership> {
        let published = || self.rooms.by_id(room).and_then(|room| room.membership(client));
        self.members.get(&(room, client.clone()), published)
    }

    pub(in crate::committer) fn set_membership(&mut self, room: u64, client: &Arc<str>, membership: Membership) {
        self.members.set((room, client.clone()), Some(membership));
        self.ops.push(Op::Cursor { room, client: client.clone(), seq: membership.stored() });
    }

    /// Finds a room that the author is a member of, with the membership.
    pub(in crate::committer) fn member(&self, author: &Author, name: &str) -> Result<(u64, Membership), Refusal> {
        let room = self.permitted(author, name, Permission::Participate)?;
        let membership = self.membership(room, &author.client).ok_or_else(|| Refusal::not_joined(name))?;
        Ok((room, membership))
    }

    pub(super) fn joined(&self, client: &Arc<str>) -> usize {
        self.joined.get(client, || self.rooms.joined(client))
    }

    pub(super) fn join(&mut self, author: &Author, name: &str, from: Begin) -> Result<Reply, Refusal> {
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
        let membership = initial_membership(from, last);
        self.joined.set(client.clone(), joined + 1);
        self.ops.push(Op::Join { room, client: client.clone() });
        self.members.set((room, client.clone()), Some(membership));
        // Where a JOIN begins without it.
        if membership != Membership::Reader(0) {
            self.set_membership(room, client, membership);
        }
        Ok(Reply::Joined { cursor: membership.cursor(), last, number: room, created: found.is_none() })
    }

    /// A JOIN by a member: adds a cursor, if the member has none and asks for one.
    fn rejoin(&mut self, client: &Arc<str>, room: u64, before: Membership, from: Begin) -> Reply {
        let (last, _) = self.last(room);
        let membership = if before == Membership::Writer { initial_membership(from, last) } else { before };
        if membership != before {
            self.set_membership(room, client, membership);
        }
        Reply::Joined { cursor: membership.cursor(), last, number: room, created: false }
    }

    pub(super) fn leave(&mut self, author: &Author, name: &str) -> Result<Reply, Refusal> {
        let (room, _) = self.member(author, name)?;
        self.remove(room, &author.client);
        Ok(Reply::Done)
    }

    /// Ends a membership.
    pub(in crate::committer) fn remove(&mut self, room: u64, client: &Arc<str>) {
        self.sender = None;
        self.joined.set(client.clone(), self.joined(client).saturating_sub(1));
        self.members.set((room, client.clone()), None);
        self.ops.push(Op::Leave { room, client: client.clone() });
    }

    /// The memberships of a person.
    pub(in crate::committer) fn members_of(&self, room: u64, who: &str) -> Vec<Arc<str>> {
        let published = self.rooms.by_id(room).map(|room| room.members_of(who)).unwrap_or_default();
        self.members_among(room, published, |client| person(client) == who)
    }

    pub(super) fn members(&self, room: u64) -> Vec<Arc<str>> {
        let published = self.rooms.by_id(room).map(|room| room.member_names()).unwrap_or_default();
        self.members_among(room, published, |_| true)
    }

    fn members_among(&self, room: u64, published: Vec<Arc<str>>, is_wanted: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let drafted = self.members.iter().map(|(key, _)| key).filter(|(of, client)| *of == room && is_wanted(client));
        let all: BTreeSet<Arc<str>> = published.into_iter().chain(drafted.map(|(_, client)| client.clone())).collect();
        all.into_iter().filter(|client| self.membership(room, client).is_some()).collect()
    }

    pub(super) fn seek(&mut self, author: &Author, name: &str, to: Seek) -> Result<Reply, Refusal> {
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

    pub(super) fn ack(&mut self, author: &Author, name: &str, seq: u64) -> Result<Reply, Refusal> {
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
}

/// The membership of a client that joins and had no cursor.
fn initial_membership(from: Begin, last: u64) -> Membership {
    match from {
        Begin::Start => Membership::Reader(0),
        Begin::Now => Membership::Reader(last),
        Begin::Nowhere => Membership::Writer,
    }
}
