//! A look through all of a chain of backups: whether they are valid and belong together, and what a restore has to know before it
//! writes the first message.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{End, Header, Reader};
use super::item::{self, Files, Item};
use crate::error::Error;
use dantok_protocol::limits::BODY_MAX_BYTES;
use dantok_protocol::name::{check_client, check_group, check_room};
use dantok_store::record::{Kind, Last, RoomRecord, Stored, is_past};
use dantok_store::{RoomState, State};

/// What a chain of backups holds. Small state is that of the newest backup.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The header of the newest backup.
    pub header: Header,
    /// The end of the newest backup.
    pub end: Option<End>,
    /// Everything but the messages.
    pub state: State,
    /// The files beside the store.
    pub files: Files,
    /// Up to which seq messages are gone, by room.
    pub floors: HashMap<u64, u64>,
    /// Redacted messages by room and seq, each with the seq of its redaction.
    pub redacted: HashMap<u64, BTreeMap<u64, u64>>,
    /// How many messages a restore writes.
    pub messages: u64,
    /// Bytes of all items.
    pub plain_bytes: u64,
    /// Seqs that the files hold, by room: the first and last of each run.
    runs: HashMap<u64, Vec<(u64, u64)>>,
    /// The numbers and names of the rooms in the current file.
    ids: HashSet<u64>,
    names: HashSet<Arc<str>>,
}

/// No room number and no seq is ever this large; a larger one could leave no next one.
const NUMBER_MAX: u64 = u64::MAX / 2;

/// Reads a full backup and those that build on it, in order, each to its end. Tells `tell` how many messages were read.
///
/// # Errors
/// One of them can't be read, is not what was written, or does not build on the one before it.
pub fn survey<R: Read>(
    readers: impl IntoIterator<Item = Result<Reader<R>, Error>>,
    tell: &mut dyn FnMut(&Path, u64),
) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    let mut path = PathBuf::new();
    for reader in readers {
        let mut reader = reader?;
        path = reader.path().to_owned();
        let header = reader.header().clone();
        if header.base != survey.end.map(|end| end.hash) {
            return Err(wrong(&path, "it does not build on the backup before it"));
        }
        if survey.end.is_some() && !header.is_after(&survey.header) {
            return Err(wrong(&path, "the backup that it claims to build on is of another history of the rooms"));
        }
        survey.read(&mut reader, tell)?;
        survey.header = header;
        survey.end = reader.end();
    }
    survey.judge().map_err(|what| wrong(&path, &what))?;
    Ok(survey)
}

/// A room, which an item before must have named.
fn named(rooms: &mut BTreeMap<u64, RoomState>, room: u64) -> Result<&mut RoomState, String> {
    rooms.get_mut(&room).ok_or_else(|| format!("it does not name room {room} before using it"))
}

fn wrong(path: &Path, what: &str) -> Error {
    Error::Backup { path: path.to_owned(), what: what.to_owned() }
}

impl Survey {
    /// The last seq of each room.
    pub fn lasts(&self) -> HashMap<u64, u64> {
        self.state.rooms.iter().map(|room| (room.id, room.last.seq)).collect()
    }

    /// Up to which seq a room's messages are gone.
    pub fn floor(&self, room: u64) -> u64 {
        self.floors.get(&room).copied().unwrap_or(0)
    }

    /// A message as it is restored; `None` if it is gone.
    pub fn restored(&self, room: &RoomState, mut message: Stored) -> Option<Stored> {
        if message.seq <= self.floor(room.id) || message.seq > room.last.seq {
            return None;
        }
        if let Some(by) = self.redacted.get(&room.id).and_then(|redacted| redacted.get(&message.seq)) {
            message.redact(*by);
        }
        // It was redacted while the backup was made, by a message that is not in it.
        if matches!(message.kind, Kind::Redacted(by) if by > room.last.seq) {
            message.redact(message.seq);
        }
        Some(message)
    }

    fn read<R: Read>(&mut self, reader: &mut Reader<R>, tell: &mut dyn FnMut(&Path, u64)) -> Result<(), Error> {
        let path = reader.path().to_owned();
        // Each backup has its own copy of this.
        let mut rooms: BTreeMap<u64, RoomState> = BTreeMap::new();
        (self.state, self.files) = Default::default();
        (self.ids, self.names) = Default::default();
        let mut messages = 0;
        while let Some(block) = reader.block()? {
            self.plain_bytes += block.len() as u64;
            for item in item::read(&block) {
                let item = item.ok_or_else(|| wrong(&path, "it contains items that this dantok does not know"))?;
                if let Item::Messages { messages: of_item, .. } = &item {
                    messages += of_item.len() as u64;
                    tell(&path, messages);
                }
                self.add(item, &mut rooms).map_err(|what| wrong(&path, &what))?;
            }
        }
        if reader.end().is_none_or(|end| end.messages != messages) {
            return Err(wrong(&path, "it does not contain as many messages as it says"));
        }
        self.state.rooms = rooms.into_values().collect();
        Ok(())
    }

    fn add(&mut self, item: Item, rooms: &mut BTreeMap<u64, RoomState>) -> Result<(), String> {
        match item {
            Item::Room { room: id, last, record } => {
                self.name(id, &last, &record)?;
                let (members, access, groups) = Default::default();
                rooms.insert(id, RoomState { id, record, last, members, access, groups });
            }
            Item::Member { room, client, cursor } => {
                let room = named(rooms, room)?;
                check_client(&client).map_err(|refusal| refusal.text)?;
                if is_past(cursor, room.last.seq) {
                    return Err(format!("{client}'s cursor in {} is past its last seq", room.record.name));
                }
                room.members.insert(client, cursor);
            }
            Item::Access { room, client, access } => drop(named(rooms, room)?.access.insert(client, access)),
            Item::Group { room, group, record } => {
                let room = named(rooms, room)?;
                check_group(&group).map_err(|refusal| refusal.text)?;
                let done = record.done.last().map_or(0, |(_, last)| *last);
                if record.cursor.max(done) > room.last.seq {
                    return Err(format!(
                        "what the group {group} in {} has done is past its last seq",
                        room.record.name
                    ));
                }
                room.groups.insert(group, record);
            }
            Item::Nick { client, nick } => drop(self.state.nicks.insert(client, nick)),
            Item::Tokens(tokens) => self.files.tokens = Some(tokens),
            Item::Hooks(hooks) => self.files.hooks = Some(hooks),
            Item::Floor { room, seq } => {
                let floor = self.floors.entry(named(rooms, room)?.id).or_default();
                *floor = seq.max(*floor);
            }
            Item::Messages { room, messages } => {
                let name = named(rooms, room)?.record.name.clone();
                self.note(room, &name, &messages)?;
            }
        }
        Ok(())
    }

    /// Notes the name and number of a room, which no other may have.
    fn name(&mut self, id: u64, last: &Last, record: &RoomRecord) -> Result<(), String> {
        check_room(&record.name).map_err(|refusal| refusal.text)?;
        if id > NUMBER_MAX || last.seq > NUMBER_MAX {
            return Err(format!("room {}: {id} can't be its number, or {} its last seq", record.name, last.seq));
        }
        if !self.ids.insert(id) || !self.names.insert(record.name.clone()) {
            return Err(format!("it contains room {}, number {id}, twice", record.name));
        }
        Ok(())
    }

    fn note(&mut self, room: u64, name: &Arc<str>, messages: &[Stored]) -> Result<(), String> {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(()) };
        let runs = self.runs.entry(room).or_default();
        match runs.last_mut() {
            Some((_, end)) if first.seq <= *end => {
                return Err(format!("room {name}: seq {end} is followed by {}", first.seq));
            }
            Some((_, end)) if first.seq == *end + 1 => *end = last.seq,
            _ => runs.push((first.seq, last.seq)),
        }
        for message in messages {
            if message.body.len() > BODY_MAX_BYTES || check_client(&message.client).is_err() {
                return Err(format!("room {name}: message {} is not one that dantok accepts", message.seq));
            }
            if let Kind::Redaction(seq) = message.kind {
                self.redacted.entry(room).or_default().insert(seq, message.seq);
            }
        }
        Ok(())
    }

    /// Checks that all messages that are not gone are there, and counts them.
    fn judge(&mut self) -> Result<(), String> {
        for room in &self.state.rooms {
            let (floor, last) = (self.floor(room.id).min(room.last.seq), room.last.seq);
            let runs = self.runs.remove(&room.id).unwrap_or_default();
            let held = runs.into_iter().find(|(_, end)| *end > floor);
            if floor < last && held.is_none_or(|(first, end)| first > floor + 1 || end < last) {
                return Err(format!(
                    "room {}: some of the messages from seq {} to {last} are missing",
                    room.record.name,
                    floor + 1
                ));
            }
            self.messages += last - floor;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backup::file::Writer;
    use dantok_store::group::GroupRecord;

    fn room(seq: u64) -> RoomState {
        let record = RoomRecord { name: "lobby".into(), ..RoomRecord::default() };
        let (members, access, groups) = Default::default();
        RoomState { id: 7, record, last: Last { seq, time_ms: seq, ..Last::default() }, members, access, groups }
    }

    fn message(seq: u64, kind: Kind) -> Stored {
        let body = if kind == Kind::Plain { Bytes::from_static(b"text") } else { Bytes::new() };
        Stored { seq, time_ms: seq, kept_ms: seq, client: "alice".into(), id: None, body, kind }
    }

    /// A backup of a room with this last seq, these runs of messages, and this floor.
    fn backup(base: Option<[u8; 32]>, last: u64, runs: &[&[Stored]], floor: u64) -> Vec<u8> {
        let mut items = Vec::new();
        let state = State { rooms: vec![room(last)], ..State::default() };
        item::put_state(&mut items, &state, &Files::default(), |_| Ok::<(), ()>(())).unwrap();
        runs.iter().for_each(|run| item::put_messages(&mut items, 7, run));
        item::put_floor(&mut items, 7, floor);
        let mut writer = Writer::new(Vec::new(), &Header { base, ..Header::default() }).unwrap();
        writer.block(&items).unwrap();
        writer.finish(runs.iter().map(|run| run.len() as u64).sum()).unwrap().2
    }

    fn read(backups: &[&[u8]]) -> Result<Survey, Error> {
        let readers = backups.iter().map(|bytes| Reader::new(*bytes, Path::new("x.backup")));
        survey(readers, &mut |_, _| {})
    }

    fn plain(seqs: std::ops::RangeInclusive<u64>) -> Vec<Stored> {
        seqs.map(|seq| message(seq, Kind::Plain)).collect()
    }

    fn hash(bytes: &[u8]) -> Option<[u8; 32]> {
        bytes.last_chunk().copied()
    }

    #[test]
    fn what_expired_while_a_backup_was_made_is_gone_and_nothing_else_may_be_missing() {
        let (early, late) = (plain(1..=3), plain(6..=9));
        let survey = read(&[&backup(None, 9, &[&early, &late], 5)]).unwrap();
        assert_eq!((survey.messages, survey.floor(7)), (4, 5));
        let restored = |seq| survey.restored(&survey.state.rooms[0], message(seq, Kind::Plain)).is_some();
        assert!(!restored(3) && restored(6) && restored(9) && !restored(10));
        for (last, runs, floor) in
            [(9, vec![&early[..], &late], 4), (10, vec![&late], 5), (9, vec![], 8), (9, vec![&late, &late], 5)]
        {
            let error = read(&[&backup(None, last, &runs, floor)]).unwrap_err().to_string();
            assert!(error.starts_with("x.backup: not a valid backup: room lobby: "), "{error}");
        }
    }

    #[test]
    fn each_backup_of_a_chain_builds_on_the_one_before() {
        let full = backup(None, 3, &[&plain(1..=3)], 0);
        let next = backup(hash(&full), 5, &[&[message(4, Kind::Redaction(2)), message(5, Kind::Plain)]], 1);
        let survey = read(&[&full, &next]).unwrap();
        assert_eq!((survey.messages, survey.lasts()[&7]), (4, 5));
        let restored = |seq| survey.restored(&survey.state.rooms[0], message(seq, Kind::Plain));
        assert_eq!(restored(1), None);
        assert_eq!(restored(2), Some(message(2, Kind::Redacted(4))));
        assert_eq!(restored(3), Some(message(3, Kind::Plain)));
        let other = backup(None, 3, &[&plain(1..=3)], 1);
        for chain in [&[&next[..]][..], &[&other, &next], &[&full, &full], &[&next, &full]] {
            let error = read(chain).unwrap_err().to_string();
            assert!(error.contains("does not build on the backup before it"), "{error}");
        }
    }

    #[test]
    fn what_was_redacted_behind_the_cut_is_redacted_by_itself() {
        let survey =
            read(&[&backup(None, 2, &[&[message(1, Kind::Redacted(2)), message(2, Kind::Redacted(3))]], 0)]).unwrap();
        let restored =
            |seq, by| survey.restored(&survey.state.rooms[0], message(seq, Kind::Redacted(by))).unwrap().kind;
        assert_eq!((restored(1, 2), restored(2, 3)), (Kind::Redacted(2), Kind::Redacted(2)));
    }

    #[test]
    fn rooms_and_groups_that_no_store_has_are_refused() {
        let refused = |change: &dyn Fn(&mut Vec<RoomState>)| {
            let mut rooms = vec![room(0)];
            change(&mut rooms);
            let mut items = Vec::new();
            let state = State { rooms, ..State::default() };
            item::put_state(&mut items, &state, &Files::default(), |_| Ok::<(), ()>(())).unwrap();
            state.rooms.iter().for_each(|room| item::put_floor(&mut items, room.id, room.last.seq));
            let mut writer = Writer::new(Vec::new(), &Header::default()).unwrap();
            writer.block(&items).unwrap();
            read(&[&writer.finish(0).unwrap().2]).is_err()
        };
        let group = |cursor, done: &[(u64, u64)]| GroupRecord { cursor, timeout_ms: 1, done: done.to_vec() };
        assert!(!refused(&|_| {}));
        assert!(!refused(&|rooms| rooms[0].last.seq = 9));
        assert!(refused(&|rooms| rooms[0].last.seq = u64::MAX));
        assert!(refused(&|rooms| rooms[0].id = u64::MAX));
        assert!(refused(&|rooms| rooms.push(room(0))), "the same again");
        assert!(refused(&|rooms| rooms.push(RoomState { id: 8, ..room(0) })), "another of the same name");
        assert!(refused(&|rooms| rooms[0].record.name = "two\nlines".into()));
        assert!(refused(&|rooms| rooms[0].members = [("=w".into(), 0)].into()), "what groups stand under");
        assert!(refused(&|rooms| drop(rooms[0].groups.insert("w".into(), group(u64::MAX, &[])))));
        assert!(refused(&|rooms| drop(rooms[0].groups.insert("w".into(), group(0, &[(2, u64::MAX)])))));
    }
}
