//! Names in commands: an existing room, group or person is found by exactly its name; any other name is composed (NFC).

use super::Session;
use dantok_protocol::commands::Names;
use dantok_protocol::name::{check_new, composed, person};
use dantok_protocol::{Command, Refusal, commands};

/// Replaces a name by its composed form if nothing has exactly this name.
fn settle(name: &mut String, is_there: impl FnOnce(&str) -> bool) {
    let kept = composed(name);
    if kept != **name && !is_there(name) {
        *name = kept.into_owned();
    }
}

impl Session {
    /// Puts the names in a command in the form in which they are stored.
    pub(super) fn settle_names(&self, command: &mut Command) {
        if let Command::Hello(commands::Hello { client, .. }) = command {
            return self.settle_client(client);
        }
        let rooms = &self.hub.rooms;
        let Names { room, group, person } = command.names();
        if let Some(room) = room {
            settle(room, |room| rooms.get(room).is_some());
            if let Some(group) = group {
                settle(group, |group| rooms.get(room).is_some_and(|room| room.group(group).is_some()));
            }
        }
        if let Some(person) = person {
            settle(person, |person| self.is_person(person));
        }
    }

    fn settle_client(&self, client: &mut String) {
        if composed(client) != **client && !self.is_client(client) {
            *client = match client.split_once('/') {
                Some((person, device)) if self.is_person(person) => format!("{person}/{}", composed(device)),
                _ => composed(client).into_owned(),
            };
        }
    }

    /// Checks the names of people that a command introduces. The committer checks those of rooms and groups when it creates them.
    pub(super) fn check_new_names(&self, command: &Command) -> Result<(), Refusal> {
        let Some(client) = command.introduces() else { return Ok(()) };
        let fault = check_new(client);
        if fault.is_ok() || self.is_client(client) {
            return Ok(());
        }
        match client.split_once('/') {
            Some((person, device)) if self.is_person(person) => check_new(device),
            None if self.is_person(client) => Ok(()),
            _ => fault,
        }
    }

    /// Whether the store or the tokens file knows a client.
    fn is_client(&self, client: &str) -> bool {
        self.hub.rooms.joined(client) > 0 || self.hub.tokens.name(|of| of == client)
    }

    /// The same for a person.
    fn is_person(&self, who: &str) -> bool {
        self.hub.rooms.knows(who) || self.hub.tokens.name(|of| person(of) == who)
    }
}
