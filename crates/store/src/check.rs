//! Looks at a data directory that no daemon has, and says what in it is not as it was written.
//!
//! It changes nothing. sled overwrites what it takes for the torn end of its log as soon as it opens its files, and where a bit
//! has flipped that may be most of the log: so a copy of its files is what is opened.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use bytes::Bytes;

use crate::commit::{Commit, Op};
use crate::error::Error;
use crate::files::Place;
use crate::group::{self, GroupRecord};
use crate::limits::FREE_SPACE_MIN_BYTES;
use crate::record::{self, Access, Last, RoomRecord, Stored};
use crate::segments::Segments;
use crate::tables::{Tables, Tree};
use crate::{chunk, disk, journal, key, migrate};

/// Damage that was found; a damaged disk has more of it than anybody reads.
const FINDINGS_MAX: usize = 1000;

/// What was looked at, and found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The parts, in the order in which they were looked at.
    pub parts: Vec<Part>,
    /// What is to be known, though it is no damage.
    pub remarks: Vec<String>,
}

/// A part of what is stored.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// What it is called.
    pub name: &'static str,
    /// How much of it there is.
    pub figures: String,
    /// What is wrong with it: one line each.
    pub damage: Vec<String>,
}

impl Report {
    /// Whether everything is as it was written.
    pub fn is_sound(&self) -> bool {
        self.parts.iter().all(|part| part.damage.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            let (name, figures) = (part.name, &part.figures);
            match part.damage.len() {
                0 => writeln!(out, "{name:<10} sound: {figures}")?,
                FINDINGS_MAX.. => writeln!(out, "{name:<10} DAMAGED in {FINDINGS_MAX} places or more: {figures}")?,
                places => writeln!(out, "{name:<10} DAMAGED in {places} places: {figures}")?,
            }
            for damage in &part.damage {
                writeln!(out, "{:<10} {damage}", "")?;
            }
        }
        for remark in &self.remarks {
            writeln!(out, "note: {remark}")?;
        }
        Ok(())
    }
}

/// What is told while a check goes on.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The part that is looked at.
    pub part: &'static str,
    /// Records of it so far.
    pub records: u64,
}

/// Checks everything: every checksum, that seqs follow each other, cursors, ids. sled's files are copied into `scratch` for it.
///
/// # Errors
/// There is no data directory; another process has it; it is of another version; `scratch` has no room; what the system says about
/// it as a whole.
pub fn check(dir: &Path, scratch: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    disk::expect_finished(dir)?;
    // Nothing is made where nothing is: a mistyped name must not look sound.
    disk::expect_data_dir(dir)?;
    let _lock = disk::lock(dir)?;
    let format = migrate::format_of(dir)?;
    let copy = Copy::of(&dir.join("sled"), scratch)?;
    let mut check = Check { dir, copy: &copy.0, progress, records: 0, report: Report::default() };
    check.run();
    if let Some(format) = format.filter(|format| *format < migrate::FORMAT) {
        let (path, newest) = (dir.display(), migrate::FORMAT);
        check.report.remarks.push(format!("{path}: of format {format}; a start takes it to {newest}"));
    }
    Ok(check.report)
}

/// A copy of sled's files; removed when it is dropped.
struct Copy(PathBuf);

impl Copy {
    const PREFIX: &str = "dantok-check-";

    fn of(sled: &Path, scratch: &Path) -> Result<Copy, Error> {
        // What a check that was killed has left.
        for entry in std::fs::read_dir(scratch).map_err(Error::io("list the directory", scratch))?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.strip_prefix(Self::PREFIX)?.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let (needed, free) =
            (disk::bytes_in(sled, &|metadata| metadata.len()), disk::free_bytes(scratch).unwrap_or(u64::MAX));
        if free < needed + FREE_SPACE_MIN_BYTES {
            let why = format!("it takes {needed} bytes, and {free} are free; name a directory with room by --scratch");
            return Err(Error::io("copy the store to look at it", scratch)(io::Error::new(
                io::ErrorKind::StorageFull,
                why,
            )));
        }
        let copy = Copy(scratch.join(format!("{}{}", Self::PREFIX, std::process::id())));
        copy_dir(sled, &copy.0)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The next check removes what is left.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy_dir(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to).map_err(Error::io("create the directory", to))?;
    for entry in std::fs::read_dir(from).map_err(Error::io("list the store", from))? {
        let path = entry.map_err(Error::io("list the store", from))?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_dir(&path, &to.join(name))?;
        } else {
            // Where the file system can share the blocks of two files, this takes no space.
            std::fs::copy(&path, to.join(name)).map_err(Error::io("copy", &path))?;
        }
    }
    Ok(())
}

struct Check<'a> {
    dir: &'a Path,
    copy: &'a Path,
    progress: &'a mut dyn FnMut(Progress),
    records: u64,
    report: Report,
}

/// What the trees say, for what is compared with them.
#[derive(Default)]
struct Known {
    names: BTreeMap<u64, String>,
    lasts: BTreeMap<u64, Last>,
    /// Rooms that were deleted, and of which anything may still be there.
    deleted: HashSet<u64>,
    /// Ids in commits past the store: a kill may have come when their messages were in it already, and they not.
    unmoved_ids: HashSet<Vec<u8>>,
}

impl Known {
    fn room(&self, room: u64) -> String {
        self.names.get(&room).cloned().unwrap_or_else(|| format!("number {room}"))
    }

    fn last(&self, room: u64) -> Last {
        self.lasts.get(&room).copied().unwrap_or_default()
    }
}

impl Check<'_> {
    fn run(&mut self) {
        let copy = self.copy;
        // sled panics on some of what it can't make sense of.
        let looked = std::panic::catch_unwind(AssertUnwindSafe(|| self.tables(copy)));
        let (covered, known) = looked
            .unwrap_or_else(|_| {
                self.damage(copy, "sled can't make sense of its files");
                None
            })
            .unzip();
        // What the store covers is not known where it can't be read: the journal is looked at on its own.
        match (covered, known) {
            (Some(covered), Some(known)) => self.journal(covered, known),
            _ => self.journal(u64::MAX - 1, Known::default()),
        }
    }

    fn part(&mut self, name: &'static str) {
        self.records = 0;
        self.report.parts.push(Part { name, ..Part::default() });
        (self.progress)(Progress { part: name, records: 0 });
    }

    fn figures(&mut self, figures: String) {
        if let Some(part) = self.report.parts.last_mut() {
            part.figures = figures;
        }
    }

    fn damage(&mut self, path: &Path, what: &str) {
        self.finding(format!("{}: {what}", path.display()));
    }

    fn finding(&mut self, what: String) {
        // An error names the copy, which nobody will find.
        let what = what.replace(&self.copy.display().to_string(), &self.dir.join("sled").display().to_string());
        if let Some(part) = self.report.parts.last_mut()
            && part.damage.len() < FINDINGS_MAX
        {
            part.damage.push(what);
        }
    }

    fn took(&mut self) {
        self.records += 1;
        let Some(part) = self.report.parts.last() else { return };
        if self.records.is_multiple_of(4096) {
            (self.progress)(Progress { part: part.name, records: self.records });
        }
    }

    /// A tree's records; what is wrong with one, `visit` says.
    fn each(&mut self, tables: &Tables, tree: Tree, mut visit: impl FnMut(&mut Self, &[u8], &[u8])) {
        let read = tables.each(tree, |key, value| {
            self.took();
            visit(self, key, value);
        });
        if let Err(error) = read {
            self.finding(error.to_string());
        }
    }

    /// sled; returns how far it covers the journal, and what the journal is compared with. None where it can't be read.
    fn tables(&mut self, dir: &Path) -> Option<(u64, Known)> {
        self.part("store");
        let tables = match Tables::open(dir, Segments::of(self.dir)) {
            Ok(tables) => tables,
            Err(error) => {
                self.finding(error.to_string());
                return None;
            }
        };
        let covered = match tables.checkpointed() {
            Ok((covered, _)) => covered,
            Err(error) => {
                self.finding(error.to_string());
                return None;
            }
        };
        self.figures(format!("{} bytes on disk, commits up to {covered}", tables.disk_bytes().unwrap_or(0)));
        let mut known = Known::default();
        let journal = journal::recover(&self.dir.join("journal"), covered, &mut |_, _, payload| {
            let commit = Commit::decode(&payload).unwrap_or_default().0;
            let id =
                |(room, message): (u64, &Stored)| Some(key::message_id(room, &message.client, message.id.as_deref()?));
            known.unmoved_ids.extend(commit.messages().filter_map(id));
            Ok(())
        });
        // What is wrong with it is told when it is looked at.
        drop(journal);
        self.rooms(&tables, &mut known);
        self.messages(&tables, &known);
        self.ids(&tables, &known);
        self.members(&tables, &known);
        self.access(&tables, &known);
        Some((covered, known))
    }

    fn rooms(&mut self, tables: &Tables, known: &mut Known) {
        self.part("rooms");
        self.each(tables, Tree::Deleted, |check, key, _| match key.try_into().map(u64::from_be_bytes) {
            Ok(number) => drop(known.deleted.insert(number)),
            Err(_) => check.finding(format!("the record {key:02x?} of a deleted room is none")),
        });
        self.records = 0;
        self.each(tables, Tree::Rooms, |check, key, value| {
            let number = key.try_into().map(u64::from_be_bytes);
            match (number, RoomRecord::decode(value)) {
                (Ok(number), Some(record)) => drop(known.names.insert(number, record.name.to_string())),
                _ => check.finding(format!("the record {key:02x?} of a room is none")),
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
                _ => check.finding(format!("the record {key:02x?} of a room's last seq is none")),
            }
        });
        self.each(tables, Tree::Nicks, |check, key, value| {
            if std::str::from_utf8(key).is_err() || record::decode_nick(value).is_none() {
                check.finding(format!("the nick of {} is no record", String::from_utf8_lossy(key)));
            }
        });
        self.figures(format!("{count}"));
    }

    fn messages(&mut self, tables: &Tables, known: &Known) {
        self.part("messages");
        let (mut count, mut bytes) = (0, 0);
        let mut chunk: Option<(u64, u64, Vec<u8>, Option<Place>)> = None;
        // Rooms, and up to where they have been looked at.
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
                return check.finding(format!("{key:02x?} is no key of messages"));
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
            // More than the last seq is what a crash left of a batch; a start drops it, and has it from the journal.
            if reached < last.seq {
                let name = known.room(room);
                self.finding(format!("room {name}: messages are missing from seq {} to {}", reached + 1, last.seq));
            }
        }
        self.figures(format!("{count}, {bytes} bytes of bodies"));
    }

    /// Whether the ids of messages lead back to them.
    fn ids_of(&mut self, tables: &Tables, known: &Known, room: u64, messages: &[Stored]) {
        let last = known.last(room);
        for message in messages.iter().filter(|message| message.seq > last.floor && message.seq <= last.seq) {
            let Some(id) = &message.id else { continue };
            let key = key::message_id(room, &message.client, id);
            match tables.find_id(&key) {
                // A later message may have the id again, once this one was past retention.
                Ok(Some(seq)) if seq >= message.seq => {}
                Ok(_) if known.unmoved_ids.contains(&key) => {}
                Ok(_) => {
                    let (name, seq) = (known.room(room), message.seq);
                    self.finding(format!(
                        "room {name}: the id {id} of seq {seq} is not known; a repeat would be stored twice"
                    ));
                }
                Err(error) => self.finding(error.to_string()),
            }
        }
    }

    fn ids(&mut self, tables: &Tables, known: &Known) {
        self.part("ids");
        self.each(tables, Tree::Ids, |check, key, value| {
            match (key::parse_message_id(key), record::decode_seq(value)) {
                (Some((room, ..)), Some(_)) if known.deleted.contains(&room) => {}
                (Some((room, client, id)), Some(seq)) => {
                    if seq == 0 || seq > known.last(room).seq {
                        let name = known.room(room);
                        check.finding(format!(
                            "room {name}: the id {id} of {client} leads to seq {seq}, which is not there"
                        ));
                    }
                }
                _ => check.finding(format!("the record {key:02x?} of an id is none")),
            }
        });
        self.figures(format!("{}", self.records));
    }

    fn members(&mut self, tables: &Tables, known: &Known) {
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
                _ => check.finding(format!("the record {key:02x?} of a member is none")),
            }
        });
        self.figures(format!("{}", self.records));
    }

    fn access(&mut self, tables: &Tables, known: &Known) {
        self.part("invitations");
        self.each(tables, Tree::Access, |check, key, value| match (key::parse_member(key), Access::decode(value)) {
            (Some((room, _)), Some(_)) if known.deleted.contains(&room) => {}
            (Some((room, client)), Some(_)) => {
                if !known.names.contains_key(&room) {
                    check.finding(format!("{client} is invited to or banned from room {room}, which has no name"));
                }
            }
            _ => check.finding(format!("the record {key:02x?} of an invitation is none")),
        });
        self.figures(format!("{}", self.records));
    }

    /// The journal, and that what it holds past the store goes on where the store ends.
    fn journal(&mut self, covered: u64, mut known: Known) {
        self.part("journal");
        let dir = self.dir.join("journal");
        let files = match journal::numbers(&dir) {
            Ok(numbers) => numbers.len(),
            Err(error) => return self.finding(error.to_string()),
        };
        let mut broken = HashSet::new();
        let recovered = journal::recover(&dir, covered, &mut |number, _, payload| {
            self.took();
            let Some((commit, _)) = Commit::decode(&payload) else {
                self.damage(&dir, &format!("commit {number} is no record"));
                return Ok(());
            };
            for op in &commit.ops {
                if let Err((room, what)) = known.follow(op)
                    && broken.insert(room)
                {
                    self.damage(&dir, &format!("commit {number}: {what}"));
                }
            }
            Ok(())
        });
        let past = self.records;
        self.figures(format!("{files} files, {past} commits past the store"));
        match recovered {
            Err(error) => self.finding(error.to_string()),
            Ok(recovered) if recovered.cut => self.report.remarks.push(format!(
                "{}: the last commit is torn. A crash does that to a commit that was not acknowledged; the next start cuts it off",
                dir.display()
            )),
            Ok(_) => {}
        }
    }
}

impl Known {
    /// Goes on with a change of the journal, or says why it does not follow. Doing a change again is all right: a start does.
    fn follow(&mut self, op: &Op) -> Result<(), (u64, String)> {
        if op.room().is_some_and(|room| self.deleted.contains(&room)) {
            return Ok(());
        }
        match op {
            Op::Delete { room } => {
                self.names.remove(room);
                self.lasts.remove(room);
                self.deleted.insert(*room);
            }
            Op::Room { room, record } => drop(self.names.insert(*room, record.name.to_string())),
            Op::Group { .. }
            | Op::Ungroup { .. }
            | Op::Done { .. }
            | Op::Redact { .. }
            | Op::Change { .. }
            | Op::Access { .. }
            | Op::Join { .. }
            | Op::Leave { .. }
            | Op::Nick { .. }
            | Op::Mark { .. } => {}
            Op::Cursor { room, client, seq } => {
                let last = self.last(*room).seq;
                if record::is_past(*seq, last) {
                    let name = self.room(*room);
                    return Err((
                        *room,
                        format!("the cursor of {client} in room {name} is {seq}, the last seq is {last}"),
                    ));
                }
            }
            Op::Message { room, message } => {
                let last = self.last(*room);
                if !self.names.contains_key(room) {
                    return Err((*room, format!("seq {} is in room {room}, which has no name", message.seq)));
                }
                if message.seq > last.seq + 1 {
                    let (name, seq) = (self.room(*room), last.seq);
                    return Err((*room, format!("room {name}: seq {seq} is followed by {}", message.seq)));
                }
                if message.seq > last.seq {
                    self.lasts.insert(*room, Last { seq: message.seq, ..last });
                }
            }
        }
        Ok(())
    }
}
