//! Who is invited to a room or banned from it, with their numbers.

use std::collections::HashMap;
use std::sync::Arc;

use dantok_store::record::Access;

/// The invitations and bans of one room.
#[derive(Debug, Default)]
pub(super) struct Accesses {
    by_person: HashMap<Arc<str>, Access>,
    invited: usize,
}

impl Accesses {
    pub(super) fn of(by_person: HashMap<Arc<str>, Access>) -> Accesses {
        let invited = by_person.values().filter(|access| **access == Access::Invited).count();
        Accesses { by_person, invited }
    }

    pub(super) fn get(&self, person: &str) -> Option<Access> {
        self.by_person.get(person).copied()
    }

    pub(super) fn set(&mut self, person: &Arc<str>, access: Option<Access>) {
        let before = match access {
            Some(access) => self.by_person.insert(person.clone(), access),
            None => self.by_person.remove(person),
        };
        self.invited -= usize::from(before == Some(Access::Invited));
        self.invited += usize::from(access == Some(Access::Invited));
    }

    /// How many of this kind there are.
    pub(super) fn count(&self, access: Access) -> usize {
        match access {
            Access::Invited => self.invited,
            Access::Banned => self.by_person.len() - self.invited,
        }
    }

    /// All of them, by person.
    pub(super) fn all(&self) -> &HashMap<Arc<str>, Access> {
        &self.by_person
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_whatever_becomes_of_it() {
        let mut accesses = Accesses::of([("a".into(), Access::Invited), ("b".into(), Access::Banned)].into());
        let counts = |accesses: &Accesses| (accesses.count(Access::Invited), accesses.count(Access::Banned));
        assert_eq!(counts(&accesses), (1, 1));
        for (person, access, expected) in [
            ("a", Some(Access::Banned), (0, 2)),
            ("a", Some(Access::Banned), (0, 2)),
            ("c", Some(Access::Invited), (1, 2)),
            ("b", None, (1, 1)),
            ("b", None, (1, 1)),
            ("c", None, (0, 1)),
        ] {
            accesses.set(&person.into(), access);
            assert_eq!(counts(&accesses), expected, "{person}");
        }
    }
}
