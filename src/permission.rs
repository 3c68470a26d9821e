//! Who may do what in a room. Only this module decides it: for sessions, which see what is published, and for the committer, which also
//! sees what the current commit changes.

use std::sync::Arc;

use crate::rooms::{Membership, Room};
use dantok_protocol::Refusal;
use dantok_protocol::name::person;
use dantok_store::record::Access;

/// Who asks for something.
#[derive(Clone, Debug)]
pub struct Author {
    /// The client, with its device.
    pub client: Arc<str>,
    /// Whether the client is an admin.
    pub admin: bool,
    /// Of an incoming hook: the number of the only room that it may send to.
    pub hook: Option<u64>,
}

impl Author {
    /// The client, without its device.
    pub fn person(&self) -> &str {
        person(&self.client)
    }
}

/// What a client wants to do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Know that it exists.
    See,
    /// Become a member.
    Join,
    /// Send messages. Members may, and hooks of the room.
    Send,
    /// Acknowledge, and whatever else only members do.
    Participate,
    /// Look at its messages and lists. Members and admins may.
    Inspect,
    /// Set its topic and invite others. Members, its owner and admins may.
    Contribute,
    /// Decide who is a member and what it keeps. Its owner and admins may.
    Manage,
}

/// A room, as far as permissions depend on it.
pub trait Standing {
    /// Its number.
    fn number(&self) -> u64;
    /// Whether it is gone, for everybody.
    fn is_deleted(&self) -> bool;
    /// Whether only members and those who are invited may know of it.
    fn is_private(&self) -> bool;
    /// Whether this person owns it.
    fn is_owned_by(&self, person: &str) -> bool;
    /// The person's invitation or ban.
    fn access(&self, person: &str) -> Option<Access>;
    /// The client's membership, if any.
    fn membership(&self, client: &Arc<str>) -> Option<Membership>;
}

impl Standing for Room {
    fn number(&self) -> u64 {
        self.id
    }

    fn is_deleted(&self) -> bool {
        Room::is_deleted(self)
    }

    fn is_private(&self) -> bool {
        self.record().private
    }

    fn is_owned_by(&self, person: &str) -> bool {
        self.record().owner.as_deref() == Some(person)
    }

    fn access(&self, person: &str) -> Option<Access> {
        Room::access(self, person)
    }

    fn membership(&self, client: &Arc<str>) -> Option<Membership> {
        Room::membership(self, client)
    }
}

/// Whether the author may [manage](Permission::Manage) a room.
pub fn is_manager(room: &impl Standing, author: &Author) -> bool {
    author.admin || room.is_owned_by(author.person())
}

/// Checks whether the author has a permission in the room of this name.
///
/// # Errors
/// Why not. A client that must not know of the room gets `no-room`.
pub fn check(room: &impl Standing, name: &str, author: &Author, wanted: Permission) -> Result<(), Refusal> {
    if room.is_deleted() {
        return Err(Refusal::no_room(name));
    }
    if let Some(number) = author.hook {
        return check_hook(room, name, author, wanted, number);
    }
    let is_member = room.membership(&author.client).is_some();
    let is_manager = || is_manager(room, author);
    let access = || room.access(author.person());
    let sees = is_member || !room.is_private() || is_manager() || access() == Some(Access::Invited);
    let is_allowed = match wanted {
        Permission::See => true,
        Permission::Join => sees && (author.admin || access() != Some(Access::Banned)),
        Permission::Send | Permission::Participate => is_member,
        Permission::Inspect => is_member || author.admin,
        Permission::Contribute => is_member || is_manager(),
        Permission::Manage => is_manager(),
    };
    match (sees, wanted) {
        (true, _) if is_allowed => Ok(()),
        (_, Permission::Join) => Err(Refusal::denied(format!("{name} is private; a member can INVITE you"))),
        (true, Permission::Manage) => {
            Err(Refusal::denied("only the room's owner or an admin may do this; ACCESS says who owns it"))
        }
        (true, _) => Err(Refusal::not_joined(name)),
        (false, _) => Err(Refusal::no_room(name)),
    }
}

/// The same for a hook, which is a member of no room.
fn check_hook(
    room: &impl Standing,
    name: &str,
    author: &Author,
    wanted: Permission,
    number: u64,
) -> Result<(), Refusal> {
    if room.number() != number || wanted != Permission::Send {
        return Err(Refusal::no_room(name));
    }
    match room.access(author.person()) {
        Some(Access::Banned) => Err(Refusal::denied(format!("hooks are banned from {name}; its owner can UNBAN hook"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dantok_protocol::ErrorCode::{self, Denied, NoRoom, NotJoined};

    #[derive(Clone, Copy, Default)]
    struct Case {
        is_private: bool,
        access: Option<Access>,
        is_member: bool,
        is_owner: bool,
    }

    impl Standing for Case {
        fn number(&self) -> u64 {
            7
        }

        fn is_deleted(&self) -> bool {
            false
        }

        fn is_private(&self) -> bool {
            self.is_private
        }

        fn is_owned_by(&self, person: &str) -> bool {
            self.is_owner && person == "alice"
        }

        fn access(&self, person: &str) -> Option<Access> {
            self.access.filter(|_| person == "alice")
        }

        fn membership(&self, client: &Arc<str>) -> Option<Membership> {
            (self.is_member && **client == *"alice/phone").then_some(Membership::Writer)
        }
    }

    /// The result for each permission, in the order of their declaration.
    fn outcomes(room: Case, admin: bool, hook: Option<u64>) -> [Option<ErrorCode>; 7] {
        let author = Author { client: "alice/phone".into(), admin, hook };
        let all = [
            Permission::See,
            Permission::Join,
            Permission::Send,
            Permission::Participate,
            Permission::Inspect,
            Permission::Contribute,
            Permission::Manage,
        ];
        all.map(|wanted| check(&room, "room", &author, wanted).err().map(|refusal| refusal.code))
    }

    #[test]
    fn each_has_the_permissions_that_the_protocol_says() {
        let (public, private) = (Case::default(), Case { is_private: true, ..Case::default() });
        let (invited, banned) = (Some(Access::Invited), Some(Access::Banned));
        let member_only =
            [None, None, Some(NotJoined), Some(NotJoined), Some(NotJoined), Some(NotJoined), Some(Denied)];
        for (room, admin, expected) in [
            (public, false, member_only),
            (Case { access: invited, ..private }, false, member_only),
            (Case { access: banned, ..public }, false, {
                [None, Some(Denied), Some(NotJoined), Some(NotJoined), Some(NotJoined), Some(NotJoined), Some(Denied)]
            }),
            (private, false, {
                let no = Some(NoRoom);
                [no, Some(Denied), no, no, no, no, no]
            }),
            (Case { is_member: true, ..private }, false, [None, None, None, None, None, None, Some(Denied)]),
            (Case { is_owner: true, ..private }, false, {
                [None, None, Some(NotJoined), Some(NotJoined), Some(NotJoined), None, None]
            }),
            (Case { access: banned, ..private }, true, {
                [None, None, Some(NotJoined), Some(NotJoined), None, None, None]
            }),
        ] {
            assert_eq!(outcomes(room, admin, None), expected);
        }
    }

    #[test]
    fn a_hook_sends_to_its_room_and_does_nothing_else() {
        let no = Some(NoRoom);
        for is_private in [false, true] {
            for is_member in [false, true] {
                let room = Case { is_private, is_member, ..Case::default() };
                assert_eq!(outcomes(room, false, Some(7)), [no, no, None, no, no, no, no]);
                assert_eq!(outcomes(room, true, Some(8)), [no; 7]);
                let banned = Case { access: Some(Access::Banned), ..room };
                assert_eq!(outcomes(banned, false, Some(7)), [no, no, Some(Denied), no, no, no, no]);
            }
        }
    }
}
