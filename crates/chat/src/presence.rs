//! Who is in a room, who is online and who is typing: the last answer to WHO, updated by events since.

use std::collections::BTreeMap;

use dantok_protocol::name::person;
use dantok_protocol::{Event, MemberInfo};

/// Seconds after which somebody no longer counts as typing. Clients repeat TYPING more often than that.
const TYPING_SECONDS: u64 = 6;
/// If more people than this are typing, only their number is shown.
const TYPING_NAMED_MAX: usize = 3;

/// The people in a room.
#[derive(Debug, Default)]
pub struct Presence {
    /// The members, by name.
    pub members: Vec<MemberInfo>,
    /// Who is typing, as names without devices, and the second at which that expires.
    typing: BTreeMap<String, u64>,
}

impl Presence {
    /// Handles an event in the room at this second. Returns the note to show for it, if any.
    pub fn event(&mut self, room: &str, client: &str, time_ms: u64, event: Event, second: u64) -> Option<String> {
        match event {
            Event::Joined => {
                self.members.retain(|member| *member.client != *client);
                // If the person is here on another device, the nick is known; otherwise the next WHO brings it.
                let of_the_same = self.members.iter().find(|member| person(&member.client) == person(client));
                let nick = of_the_same.map_or_else(|| person(client).into(), |member| member.nick.clone());
                let at = self.members.partition_point(|other| *other.client < *client);
                let (room, name, since_ms) = (room.into(), client.into(), Some(time_ms));
                let member = MemberInfo { room, client: name, connections: 1, cursor: Some(0), nick, since_ms };
                self.members.insert(at, member);
                Some(format!("{} joined", self.shown_as(client)))
            }
            Event::Left => {
                let note = format!("{} left", self.shown_as(client));
                self.members.retain(|member| *member.client != *client);
                self.typing.remove(person(client));
                Some(note)
            }
            Event::Online | Event::Offline => {
                let connections = u64::from(event == Event::Online);
                if let Some(member) = self.members.iter_mut().find(|member| *member.client == *client) {
                    (member.connections, member.since_ms) = (connections, Some(time_ms));
                }
                if event == Event::Offline {
                    self.typing.remove(person(client));
                }
                None
            }
            Event::Nick(nick) => {
                let of_the_person = |member: &&mut MemberInfo| person(&member.client) == person(client);
                self.members.iter_mut().filter(of_the_person).for_each(|member| member.nick = nick.clone());
                Some(format!("{} is now shown as {nick}", person(client)))
            }
            Event::Typing => {
                self.typing.insert(person(client).to_owned(), second + TYPING_SECONDS);
                None
            }
        }
    }

    /// Called every second.
    pub fn tick(&mut self, second: u64) {
        self.typing.retain(|_, until| *until > second);
    }

    /// Called when a message from this person arrives: they have finished typing.
    pub fn spoke(&mut self, client: &str) {
        self.typing.remove(person(client));
    }

    /// How a member is named: by nick, with the client's name if that differs.
    fn shown_as(&self, client: &str) -> String {
        match self.members.iter().find(|member| *member.client == *client) {
            Some(member) if *member.nick != *person(client) => format!("{} ({client})", member.nick),
            _ => client.to_owned(),
        }
    }

    /// The people who are online, each once, and how many of the members are connected.
    pub fn people(&self) -> String {
        let here: Vec<_> = self.members.iter().filter(|member| member.connections > 0).collect();
        let mut names: Vec<String> = Vec::new();
        for member in &here {
            let person = person(&member.client);
            let label = if *member.nick == *person { person.to_owned() } else { format!("{} ({person})", member.nick) };
            if !names.contains(&label) {
                names.push(label);
            }
        }
        format!("{} of {} here: {}", here.len(), self.members.len(), names.join(", "))
    }

    /// Who is typing, except the person using this client.
    pub fn typing(&self, own: &str) -> Option<String> {
        let others: Vec<&str> = self.typing.keys().filter(|client| *client != own).map(|client| &**client).collect();
        let nick = |client: &&str| {
            let member = self.members.iter().find(|member| person(&member.client) == *client);
            member.map_or_else(|| (*client).to_owned(), |member| member.nick.to_string())
        };
        let names: Vec<String> = others.iter().map(nick).collect();
        match names.as_slice() {
            [] => None,
            [one] => Some(format!("{one} is typing…")),
            some if some.len() <= TYPING_NAMED_MAX => Some(format!("{} are typing…", some.join(", "))),
            many => Some(format!("{} are typing…", many.len())),
        }
    }

    /// How many other people have read up to a seq on any device, and how many others read at all.
    pub fn read_by(&self, own: &str, seq: u64) -> (usize, usize) {
        let mut others: BTreeMap<&str, u64> = BTreeMap::new();
        for member in self.members.iter().filter(|member| person(&member.client) != own) {
            let Some(read) = member.cursor else { continue };
            let cursor = others.entry(person(&member.client)).or_default();
            *cursor = read.max(*cursor);
        }
        (others.values().filter(|cursor| **cursor >= seq).count(), others.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(members: &[(&str, u64, u64)]) -> Presence {
        let member = |(client, connections, cursor): &(&str, u64, u64)| MemberInfo {
            room: "r".into(),
            client: (*client).into(),
            connections: *connections,
            cursor: Some(*cursor),
            nick: person(client).into(),
            since_ms: None,
        };
        Presence { members: members.iter().map(member).collect(), ..Presence::default() }
    }

    #[test]
    fn events_update_the_members() {
        let mut of = presence(&[("alice", 1, 0), ("bob", 0, 0)]);
        let mut event = |client: &str, event: Event| of.event("r", client, 7, event, 0);
        assert_eq!(event("bob", Event::Online), None);
        assert_eq!(event("minji", Event::Joined), Some("minji joined".to_owned()));
        assert_eq!(event("minji", Event::Nick("민지".into())), Some("minji is now shown as 민지".to_owned()));
        assert_eq!(event("minji/phone", Event::Joined), Some("민지 (minji/phone) joined".to_owned()));
        assert_eq!(event("alice", Event::Offline), None);
        assert_eq!(event("minji/phone", Event::Left), Some("민지 (minji/phone) left".to_owned()));
        assert_eq!(of.people(), "2 of 3 here: bob, 민지 (minji)");
        assert_eq!(of.members.iter().map(|member| member.since_ms).collect::<Vec<_>>(), [Some(7); 3]);
    }

    #[test]
    fn typing_ends_after_a_while_or_with_the_message() {
        let mut of = presence(&[("alice", 1, 0), ("bob", 1, 0)]);
        for client in ["alice/phone", "bob", "minji"] {
            of.event("r", client, 0, Event::Typing, 10);
        }
        assert_eq!(of.typing("alice").unwrap(), "bob, minji are typing…");
        of.spoke("minji");
        of.tick(15);
        assert_eq!(of.typing("alice").unwrap(), "bob is typing…");
        of.event("r", "bob", 0, Event::Typing, 15);
        of.tick(16);
        assert!(of.typing("alice").is_some());
        of.tick(21);
        assert_eq!(of.typing("alice"), None);
    }

    #[test]
    fn a_person_has_read_what_any_of_their_devices_has() {
        let of =
            presence(&[("alice", 1, 9), ("alice/phone", 0, 9), ("bob", 0, 3), ("bob/desk", 0, 9), ("minji", 1, 8)]);
        assert_eq!((of.read_by("alice", 9), of.read_by("alice", 8), of.read_by("bob", 9)), ((1, 2), (2, 2), (1, 2)));
    }
}
