//! Checks of sled's trees, and of the messages that they lead to.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Check;
use super::known::Known;
use crate::files::Place;
use crate::group::{self, GroupRecord};
use crate::record::{self, Access, Last, RoomRecord, Stored};
use crate::tables::{Tables, Tree};
use crate::{chunk, key};

impl Check<'_> {
    pub(super) fn rooms(&mut self, tables: &Tables, known: &mut Known) {
        self.part("rooms");
        self.each(tables, Tree::Deleted, |check, key, _| match key.try_into().map(u64::from_be_bytes) {
            Ok(number) => drop(known.deleted.insert(number)),
            Err(_) => check.finding(format!("the record {key:02x?} of a deleted room can't be decoded")),
        });
        self.records = 0;
        self.each(tables, Tree::Rooms, |check, key, value| {
            let number = key.try_into().map(u64::from_be_bytes);
            match (number, RoomRecord::decode(value)) {
                (Ok(number), Some(record)) => drop(known.names.insert(number, record.name.to_string())),
                _ => check.finding(format!("the record {key:02x?} of a room can't be decoded")),
            }
        });
        let count = self.records;
        self.each(tables, Tree::Lasts, |check, key, value| {
            let number = key.try_into().map(u64::from_be_bytes);
            match (number, Last::decode(value)) {
                (Ok(number), Some(_)) if known.deleted.contains(&number) => {}
                (Ok(number), Some(last)) => {
                    if !known.names.contains_key(&number) {
                        check.finding(format!("room {} has messages, but no name", known.room(number)));
                    }
                    if last.floor > last.seq {
                        check.finding(format!("room {} has expired past its last seq", known.room(number)));
                    }
                    known.lasts.insert(number, last);
                }
                _ => check.finding(format!("the record {key:02x?} of a room's last seq can't be decoded")),
            }
        });
        self.each(tables, Tree::Nicks, |check, key, value| {
            if std::str::from_utf8(key).is_err() || record::decode_nick(value).is_none() {
                check.finding(format!("the nick of {} can't be decoded", String::from_utf8_lossy(key)));
            }
        });
        self.figures(format!("{count}"));
    }

    pub(super) fn messages(&mut self, tables: &Tables, known: &Known) {
        self.part("messages");
        let (mut count, mut bytes) = (0, 0);
        let mut chunk: Option<(u64, u64, Vec<u8>, Option<Place>)> = None;
        // How far each room was checked: its last seq and time.
        let mut reached: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut close = |check: &mut Self, chunk: Option<(u64, u64, Vec<u8>, Option<Place>)>| {
            let Some((room, first, encoded, place)) = chunk else { return };
            if known.deleted.contains(&room) {
                return;
            }
            let last = known.last(room);
            let (reached, time_ms) = reached.entry(room).or_insert((last.floor.min(first.saturating_sub(1)), 0));
            let messages = chunk::decode(&encoded.into()).unwrap_or_default();
            let (Some(oldest), Some(newest)) = (messages.first(), messages.last()) else {
                *reached = first;
                let path = |place: Place| tables.segments().path(place.file);
                let at = place.map(|place| format!(", at byte {} of {}", place.at, path(place).display()));
                return check.finding(format!(
                    "room {}: the messages from seq {first} on fail their checksum{}",
                    known.room(room),
                    at.unwrap_or_default()
                ));
            };
            if oldest.seq != first || first != *reached + 1 {
                check.finding(format!("room {}: seq {} is followed by {}", known.room(room), reached, oldest.seq));
            }
            for message in &messages {
                if message.time_ms < *time_ms {
                    check.finding(format!("room {}: the time goes back at seq {}", known.room(room), message.seq));
                }
                *time_ms = message.time_ms;
                bytes += message.body.len() as u64;
            }
            count += messages.len() as u64;
            *reached = newest.seq;
            check.ids_of(tables, known, room, &messages);
        };
        self.each(tables, Tree::Messages, |check, key, value| {
            let Some((room, first, part)) = key::parse_chunk(key) else {
                return check.finding(format!("the key {key:02x?} of messages is invalid"));
            };
            if let Some((place, _)) = chunk::place_of(key, value).flatten() {
                close(check, chunk.take());
                let bytes = tables.segments().read(&place).unwrap_or_else(|error| {
                    check.finding(error.to_string());
                    Bytes::new()
                });
                return close(check, Some((room, first, bytes.into(), Some(place))));
            }
            match &mut chunk {
                Some((of, from, encoded, _)) if (*of, *from) == (room, first) => encoded.extend_from_slice(value),
                _ if part > 0 => {
                    check.finding(format!("room {}: the beginning of seq {first} is missing", known.room(room)))
                }
                other => close(check, other.replace((room, first, value.to_vec(), None))),
            }
        });
        close(self, chunk);
        for (&room, last) in &known.lasts {
            let reached = reached.get(&room).map_or(last.floor, |(reached, _)| *reached);
            // Messages past the last seq are what a crash left of a batch; a start drops them, and has them from the journal.
            if reached < last.seq {
                let name = known.room(room);
                self.finding(format!("room {name}: messages are missing from seq {} to {}", reached + 1, last.seq));
            }
        }
        self.figures(format!("{count}, {bytes} bytes of bodies"));
    }

    /// Checks that the ids of messages lead back to them.
    fn ids_of(&mut self, tables: &Tables, known: &Known, room: u64, messages: &[Stored]) {
        let last = known.last(room);
        for message in messages.iter().filter(|message| message.seq > last.floor && message.seq <= last.seq) {
            let Some(id) = &message.id else { continue };
            let key = key::message_id(room, &message.client, id);
            match tables.find_id(&key) {
                // A later message may have the same id, once this one was past retention.
                Ok(Some(seq)) if seq >= message.seq => {}
                Ok(_) if known.unmoved_ids.contains(&key) => {}
                Ok(_) => {
                    let (name, seq) = (known.room(room), message.seq);
                    self.finding(format!(
                        "room {name}: the id {id} of seq {seq} is unknown; a repeat would be stored twice"
                    ));
                }
                Err(error) => self.finding(error.to_string()),
            }
        }
    }

    pub(super) fn ids(&mut self, tables: &Tables, known: &Known) {
        self.part("ids");
        self.each(tables, Tree::Ids, |check, key, value| {
            match (key::parse_message_id(key), record::decode_seq(value)) {
                (Some((room, ..)), Some(_)) if known.deleted.contains(&room) => {}
                (Some((room, client, id)), Some(seq)) => {
                    if seq == 0 || seq > known.last(room).seq {
                        let name = known.room(room);
                        check.finding(format!(
                            "room {name}: the id {id} of {client} leads to seq {seq}, which does not exist"
                        ));
                    }
                }
                _ => check.finding(format!("the record {key:02x?} of an id can't be decoded")),
            }
        });
        self.figures(format!("{}", self.records));
    }

    pub(super) fn members(&mut self, tables: &Tables, known: &Known) {
        self.part("cursors");
        self.each(tables, Tree::Members, |check, key, value| {
            let member = key::parse_member(key);
            let cursor = match member.and_then(|(_, client)| group::of_member(client)) {
                Some(_) => GroupRecord::decode(value).map(|record| record.cursor),
                None => record::decode_seq(value),
            };
            match (member, cursor) {
                (Some((room, _)), Some(_)) if known.deleted.contains(&room) => {}
                (Some((room, client)), Some(cursor)) => {
                    let last = known.last(room).seq;
                    if !known.names.contains_key(&room) {
                        check.finding(format!("{client} is in room {room}, which has no name"));
                    }
                    if record::is_past(cursor, last) {
                        let name = known.room(room);
                        check.finding(format!(
                            "room {name}: the cursor of {client} is {cursor}, the last seq is {last}"
                        ));
                    }
                }
                _ => check.finding(format!("the record {key:02x?} of a member can't be decoded")),
            }
        });
        self.figures(format!("{}", self.records));
    }

    pub(super) fn access(&mut self, tables: &Tables, known: &Known) {
        self.part("invitations");
        self.each(tables, Tree::Access, |check, key, value| match (key::parse_member(key), Access::decode(value)) {
            (Some((room, _)), Some(_)) if known.deleted.contains(&room) => {}
            (Some((room, client)), Some(_)) => {
                if !known.names.contains_key(&room) {
                    check.finding(format!("{client} is invited to or banned from room {room}, which has no name"));
                }
            }
            _ => check.finding(format!("the record {key:02x?} of an invitation can't be decoded")),
        });
        self.figures(format!("{}", self.records));
    }
}
