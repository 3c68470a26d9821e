//! sled: where rooms, members, cursors and ids live, and where it says in which [file](mod@crate::segments) a message stands. Nothing
//! outside this directory names it.
//!
//! One thread writes here (the mover, or the start). Everything is written such that doing it again, as a start does with what
//! the journal holds past the last checkpoint, ends the same.

mod apply;
mod build;
mod compact;
mod delete;
mod erase;
mod expire;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

pub use apply::Journaled;
pub use expire::Expired;

use crate::chunk::{self, Parsed};
use crate::clock::Reading;
use crate::error::Error;
use crate::files::{FileId, Place, sync_dir, sync_tree};
use crate::group::{self, GroupRecord};
use crate::limits::{SLED_CACHE_BYTES, SLED_SEGMENT_BYTES};
use crate::mutex::lock;
use crate::note::Note;
use crate::record::{self, Access, Last, RoomRecord};
use crate::segments::Segments;
use crate::state::{RoomState, State};
use crate::{key, marks, syscalls};

/// How often, and after which pause, sled's own lock is tried again.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
const CHECKPOINT_KEY: &[u8] = b"checkpoint";
const MARKS_KEY: &[u8] = b"marks";

/// The trees.
#[derive(Debug)]
pub struct Tables {
    dir: PathBuf,
    db: sled::Db,
    messages: sled::Tree,
    rooms: sled::Tree,
    lasts: sled::Tree,
    members: sled::Tree,
    access: sled::Tree,
    erasures: sled::Tree,
    deleted: sled::Tree,
    ids: sled::Tree,
    nicks: sled::Tree,
    meta: sled::Tree,
    /// The tree `lasts`, in memory.
    last: Mutex<HashMap<u64, Last>>,
    /// The tree `deleted`, in memory.
    deleting: Mutex<BTreeSet<u64>>,
    /// Those of them of which there may be messages and ids.
    to_drop: Mutex<BTreeSet<u64>>,
    /// Where the tree `messages` leads.
    segments: Segments,
    /// Which chunks of a file it leads to.
    references: Mutex<HashMap<FileId, Wanted>>,
}

/// What is wanted of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    chunks: u64,
    bytes: u64,
}

impl Wanted {
    fn add(&mut self, bytes: u32) {
        self.chunks += 1;
        self.bytes += u64::from(bytes);
    }
}

/// A tree, to look at [each](Tables::each) of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Where chunks of messages stand; from the first release, the parts of chunks.
    Messages,
    /// How far each room is.
    Lasts,
    /// The rooms' names.
    Rooms,
    /// Members and their cursors.
    Members,
    /// Who is invited to rooms, or banned from them.
    Access,
    /// Message ids.
    Ids,
    /// Nicks.
    Nicks,
    /// Rooms that were deleted, and of which something may still be there.
    Deleted,
}

impl Tables {
    /// Makes the trees in `dir`, which does not exist: in a directory beside it, and durably, before it gets its name. A crash while
    /// sled makes its files leaves some that it can't open.
    ///
    /// # Errors
    /// What sled or the system says.
    pub fn create(dir: &Path) -> Result<(), Error> {
        let new = dir.with_extension("new");
        match std::fs::remove_dir_all(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove the unfinished store", &new)(error));
            }
            _ => {}
        }
        std::fs::create_dir(&new).map_err(Error::io("create the directory", &new))?;
        let tables = Tables::open(&new, Segments::of(&new))?;
        tables.checkpoint(0, &Reading::default()).inspect_err(|_| tables.abandon())?;
        drop(tables); // sled keeps paths, so it is opened anew under the other name.
        std::fs::rename(&new, dir).map_err(Error::io("give its name to the store", &new))?;
        dir.parent().map_or(Ok(()), sync_dir)
    }

    /// Opens the trees in `dir`, which exists. A read, write or sync that fails meanwhile [ends the process](mod@syscalls).
    ///
    /// # Errors
    /// What sled or the system says.
    pub fn open(dir: &Path, segments: Segments) -> Result<Tables, Error> {
        // A snapshot that a kill left half made keeps sled from opening; sled makes another.
        for entry in std::fs::read_dir(dir).map_err(Error::io("list the store", dir))? {
            let path = entry.map_err(Error::io("list the store", dir))?.path();
            if path.extension().is_some_and(|extension| extension == "generating") {
                std::fs::remove_file(&path).map_err(Error::io("remove the unfinished snapshot", &path))?;
            }
        }
        let config = sled::Config::new()
            .path(dir)
            .segment_size(SLED_SEGMENT_BYTES)
            .cache_capacity(SLED_CACHE_BYTES)
            // Its own thread swallows the errors of its flushes; the mover flushes, and sees them.
            .flush_every_ms(None);
        let failed = |source| Error::Store { what: "open", path: dir.to_owned(), source };
        let _opening = syscalls::Opening::begin();
        let mut attempts = LOCK_ATTEMPTS;
        let db = loop {
            let opened = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()));
            match opened.map_err(|_| Error::damaged(dir, "sled can't make sense of its files"))? {
                Ok(db) => break db,
                // The data directory is ours: this is a thread of a store that this process has just closed.
                Err(error) if attempts > 0 && error.to_string().contains("acquire lock") => {
                    attempts -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(failed(error)),
            }
        };
        let tree = |name: &str| db.open_tree(name).map_err(failed).inspect_err(|_| std::mem::forget(db.clone()));
        Ok(Tables {
            dir: dir.to_owned(),
            messages: tree("messages")?,
            rooms: tree("rooms")?,
            lasts: tree("lasts")?,
            members: tree("members")?,
            access: tree("access")?,
            erasures: tree("erasures")?,
            deleted: tree("deleted")?,
            ids: tree("ids")?,
            nicks: tree("nicks")?,
            meta: tree("meta")?,
            last: Mutex::default(),
            deleting: Mutex::default(),
            to_drop: Mutex::default(),
            segments,
            references: Mutex::default(),
            db,
        })
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(sled::Error) -> Error {
        move |source| Error::Store { what, path: self.dir.clone(), source }
    }

    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(&self.dir, what)
    }

    fn last(&self) -> MutexGuard<'_, HashMap<u64, Last>> {
        lock(&self.last)
    }

    fn write_last(&self, room: u64, last: Last) -> Result<(), Error> {
        self.lasts.insert(key::room(room), last.encode()).map_err(self.failed("write the room"))?;
        self.last().insert(room, last);
        Ok(())
    }

    fn references(&self) -> MutexGuard<'_, HashMap<FileId, Wanted>> {
        lock(&self.references)
    }

    /// Notes that the index leads to this no more.
    fn let_go(&self, place: &Place) {
        let mut references = self.references();
        if let Some(wanted) = references.get_mut(&place.file) {
            // A start knows of what it has indexed itself only, until all is counted.
            wanted.chunks = wanted.chunks.saturating_sub(1);
            wanted.bytes = wanted.bytes.saturating_sub(u64::from(place.bytes));
            if wanted.chunks == 0 {
                references.remove(&place.file);
            }
        }
    }

    /// The files that messages stand in.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// Counts how many chunks of which file are wanted, which [`is_wanted`](Tables::is_wanted) relies on.
    ///
    /// # Errors
    /// What sled says; [`Error::Damaged`] for a record that is not one.
    pub fn count_references(&self) -> Result<(), Error> {
        let mut counted: HashMap<FileId, Wanted> = HashMap::new();
        for entry in &self.messages {
            let (key, value) = entry.map_err(self.failed("read where messages stand"))?;
            let place = chunk::place_of(&key, &value).ok_or_else(|| self.damaged("where messages stand"))?;
            if let Some((place, _)) = place {
                counted.entry(place.file).or_default().add(place.bytes);
            }
        }
        *self.references() = counted;
        Ok(())
    }

    /// Whether messages stand in this file that have not expired.
    pub fn is_wanted(&self, file: FileId) -> bool {
        self.references().contains_key(&file)
    }

    /// How far the journal was covered at the last checkpoint, and the kept clock then.
    ///
    /// # Errors
    /// What sled says; [`Error::Damaged`] for a record that is not one.
    pub fn checkpointed(&self) -> Result<(u64, Reading), Error> {
        match self.meta.get(CHECKPOINT_KEY).map_err(self.failed("read the checkpoint"))? {
            None => Ok((0, Reading::default())),
            Some(bytes) => record::decode_reading(&bytes).ok_or_else(|| self.damaged("the checkpoint's record")),
        }
    }

    /// The store's marks, oldest first.
    ///
    /// # Errors
    /// What sled says; [`Error::Damaged`] for a record that is not one.
    pub fn marks(&self) -> Result<Vec<u64>, Error> {
        match self.meta.get(MARKS_KEY).map_err(self.failed("read the marks"))? {
            None => Ok(Vec::new()),
            Some(bytes) => marks::decode(&bytes).ok_or_else(|| self.damaged("the marks' record")),
        }
    }

    /// Reads how far each room is, and which are deleted, which every other method relies on.
    ///
    /// # Errors
    /// What sled says; [`Error::Damaged`] for a record that is not one.
    pub fn load_lasts(&self) -> Result<(), Error> {
        self.load_deleted()?;
        let mut last = self.last();
        for entry in &self.lasts {
            let (room, value) = entry.map_err(self.failed("read the rooms"))?;
            let parsed = (|| Some((u64::from_be_bytes(room.as_ref().try_into().ok()?), Last::decode(&value)?)))();
            let (room, value) = parsed.ok_or_else(|| self.damaged("a room's last seq"))?;
            last.insert(room, value);
        }
        Ok(())
    }

    /// Makes everything that was applied durable, and that the journal is covered up to `covered`.
    ///
    /// # Errors
    /// What sled or the system says; the daemon must not go on then.
    pub fn checkpoint(&self, covered: u64, reading: &Reading) -> Result<(), Error> {
        let note = self.segments.note();
        // Before the flush, which waits for what is being written.
        note.inspect(|note| note.begin_sync());
        self.meta
            .insert(CHECKPOINT_KEY, record::encode_reading(covered, reading))
            .map_err(self.failed("write the checkpoint"))?;
        self.db.flush().map_err(self.failed("flush"))?;
        if syscalls::sync_failed() {
            let what =
                format!("{}: an fdatasync of the store failed; see the system's log for the disk", self.dir.display());
            return Err(Error::Failed(what));
        }
        sync_tree(&self.dir)?;
        note.map_or(Ok(()), Note::end_sync)
    }

    /// After a failure: sled must not write any more, which it would do when it is dropped. So it never is.
    pub fn abandon(&self) {
        std::mem::forget(self.db.clone());
        let trees = [&self.messages, &self.rooms, &self.lasts, &self.members, &self.access];
        std::mem::forget(trees.map(sled::Tree::clone));
        let trees = [&self.erasures, &self.deleted, &self.ids, &self.nicks, &self.meta];
        std::mem::forget(trees.map(sled::Tree::clone));
    }

    /// Everything but the messages.
    ///
    /// # Errors
    /// What sled says; [`Error::Damaged`] for a record that is not one.
    pub fn load(&self) -> Result<State, Error> {
        let mut rooms = BTreeMap::new();
        let last = self.last();
        for entry in &self.rooms {
            let (key, value) = entry.map_err(self.failed("read the rooms"))?;
            let parsed = (|| Some((u64::from_be_bytes(key.as_ref().try_into().ok()?), RoomRecord::decode(&value)?)))();
            let (id, record) = parsed.ok_or_else(|| self.damaged("a room's record"))?;
            let last = last.get(&id).copied().unwrap_or_default();
            rooms.insert(
                id,
                RoomState { id, record, last, members: HashMap::new(), access: HashMap::new(), groups: HashMap::new() },
            );
        }
        if let Some(stray) = last.keys().find(|room| !rooms.contains_key(room)) {
            return Err(self.damaged(format!("room {stray} has messages but no name")));
        }
        // The same client is in many rooms: one name for all.
        let mut clients: HashMap<Arc<str>, ()> = HashMap::new();
        for entry in &self.members {
            let (key, value) = entry.map_err(self.failed("read the members"))?;
            let (room, client) = key::parse_member(&key).ok_or_else(|| self.damaged("a member's key"))?;
            if let Some(group) = group::of_member(client) {
                let record = GroupRecord::decode(&value).ok_or_else(|| self.damaged("a group's record"))?;
                let room = rooms.get_mut(&room).ok_or_else(|| self.damaged(format!("{group} is in no known room")))?;
                room.groups.insert(group.into(), record);
                continue;
            }
            let cursor = record::decode_seq(&value).ok_or_else(|| self.damaged("a member's record"))?;
            let room = rooms.get_mut(&room).ok_or_else(|| self.damaged(format!("{client} is in no known room")))?;
            if record::is_past(cursor, room.last.seq) {
                return Err(self.damaged(format!("{client}'s cursor in {} is past its last seq", room.record.name)));
            }
            let client = match clients.get_key_value(client) {
                Some((shared, ())) => shared.clone(),
                None => {
                    let shared: Arc<str> = client.into();
                    clients.insert(shared.clone(), ());
                    shared
                }
            };
            room.members.insert(client, cursor);
        }
        for entry in &self.access {
            let (key, value) = entry.map_err(self.failed("read who is invited"))?;
            let parsed = (|| Some((key::parse_member(&key)?, Access::decode(&value)?)))();
            let ((room, client), access) = parsed.ok_or_else(|| self.damaged("an invitation's record"))?;
            let room = rooms.get_mut(&room).ok_or_else(|| self.damaged(format!("{client} is of no known room")))?;
            room.access.insert(client.into(), access);
        }
        let mut nicks = HashMap::new();
        for entry in &self.nicks {
            let (key, value) = entry.map_err(self.failed("read the nicks"))?;
            let parsed = (|| Some((Arc::from(std::str::from_utf8(&key).ok()?), record::decode_nick(&value)?)))();
            let (client, nick) = parsed.ok_or_else(|| self.damaged("a nick's record"))?;
            nicks.insert(client, nick);
        }
        let highest_room = rooms.keys().next_back().copied().unwrap_or(0).max(self.highest_deleted()?);
        Ok(State { rooms: rooms.into_values().collect(), nicks, highest_room })
    }

    /// The seq under which a message id was stored.
    ///
    /// # Errors
    /// What sled says; [`Error::Damaged`] for a record that is not one.
    pub fn find_id(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        let Some(value) = self.ids.get(key).map_err(self.failed("read a message id"))? else { return Ok(None) };
        record::decode_seq(&value).map(Some).ok_or_else(|| self.damaged("a message id's record"))
    }

    /// The chunk that holds `seq`, or else the next one; none where no such message is stored.
    ///
    /// # Errors
    /// What sled or the system says; [`Error::Damaged`] where the chunk is not whole.
    pub fn chunk_at(&self, room: u64, seq: u64) -> Result<Option<Parsed>, Error> {
        let Some((mut key, mut value)) = self.find(room, seq)? else { return Ok(None) };
        let messages = loop {
            match self.chunk(room, &key, &value) {
                Ok(messages) => break messages,
                Err(error) => {
                    // What was redacted meanwhile stands elsewhere, and where it stood there are zeros.
                    let Some(again) = self.find(room, seq)? else { return Ok(None) };
                    if again == (key, value) {
                        return Err(error);
                    }
                    (key, value) = again;
                }
            }
        };
        if messages.last().is_none_or(|newest| newest.seq >= seq) {
            return Ok(Some(messages));
        }
        // One of the first release does not say where it ends.
        match self.next_key(room, seq)? {
            Some((key, value)) => self.chunk(room, &key, &value).map(Some),
            None => Ok(None),
        }
    }

    /// The same, but only where the system has it in memory, and where nothing is wrong with it.
    pub fn cached_chunk_at(&self, room: u64, seq: u64) -> Option<Parsed> {
        let (key, value) = self.find(room, seq).ok()??;
        let (place, chunk) = chunk::place_of(&key, &value)??;
        let messages = Parsed::beginning_with(chunk.first_seq, self.segments.read_cached(&place).ok()??)?;
        (messages.last()?.seq == chunk.last_seq && chunk.last_seq >= seq).then_some(messages)
    }

    /// When the oldest message was taken, on the kept clock, of the chunk that holds `seq`.
    ///
    /// # Errors
    /// As [`chunk_at`](Tables::chunk_at).
    pub fn taken_ms(&self, room: u64, seq: u64) -> Result<Option<u64>, Error> {
        let Some((key, value)) = self.find(room, seq)? else { return Ok(None) };
        match chunk::place_of(&key, &value).flatten() {
            Some((_, chunk)) => Ok((chunk.first_seq <= seq).then_some(chunk.oldest_kept_ms)),
            // One of the first release does not say.
            None => Ok(self.chunk_at(room, seq)?.and_then(|chunk| chunk.first().map(|oldest| oldest.kept_ms))),
        }
    }

    /// The record of the chunk that holds `seq`, or may, or else of the next one.
    fn find(&self, room: u64, seq: u64) -> Result<Option<(sled::IVec, sled::IVec)>, Error> {
        let before = self.messages.range(key::chunk(room, 0, 0)..=key::chunk(room, seq, u32::MAX)).next_back();
        if let Some((key, value)) = before.transpose().map_err(self.failed("read messages"))?
            && chunk::place_of(&key, &value).flatten().is_none_or(|(_, chunk)| chunk.last_seq >= seq)
        {
            return Ok(Some((key, value)));
        }
        self.next_key(room, seq)
    }

    /// The first record of a room's messages from `seq` on.
    fn next_key(&self, room: u64, seq: u64) -> Result<Option<(sled::IVec, sled::IVec)>, Error> {
        let after = self.messages.range(key::chunk(room, seq, 0)..=key::chunk(room, u64::MAX, u32::MAX)).next();
        after.transpose().map_err(self.failed("read messages"))
    }

    /// The chunk that a record leads to, or that it is a part of.
    fn chunk(&self, room: u64, key: &[u8], value: &[u8]) -> Result<Parsed, Error> {
        let damaged = || self.damaged("where messages stand");
        let (_, first, _) = key::parse_chunk(key).ok_or_else(damaged)?;
        let place = chunk::place_of(key, value).ok_or_else(damaged)?.map(|(place, _)| place);
        let bytes = match &place {
            Some(place) => self.segments.read(place)?,
            None => {
                let mut bytes = Vec::new();
                for entry in self.messages.range(key::chunk(room, first, 0)..=key::chunk(room, first, u32::MAX)) {
                    let (_, value) = entry.map_err(self.failed("read messages"))?;
                    bytes.extend_from_slice(&value);
                }
                bytes.into()
            }
        };
        Parsed::beginning_with(first, bytes).ok_or_else(|| {
            let what = format!("the messages of room {room} from seq {first} on fail their checksum");
            match &place {
                Some(place) => Error::damaged(&self.segments.path(place.file), format!("{what}, at byte {}", place.at)),
                None => self.damaged(what),
            }
        })
    }

    /// Shows every record of a tree, key and value, in the order of the keys.
    ///
    /// # Errors
    /// What sled says; the rest of the tree can't be read then.
    pub fn each(&self, tree: Tree, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), Error> {
        let records = match tree {
            Tree::Messages => &self.messages,
            Tree::Lasts => &self.lasts,
            Tree::Rooms => &self.rooms,
            Tree::Members => &self.members,
            Tree::Access => &self.access,
            Tree::Ids => &self.ids,
            Tree::Nicks => &self.nicks,
            Tree::Deleted => &self.deleted,
        };
        for entry in records {
            let (key, value) = entry.map_err(self.failed("read"))?;
            visit(&key, &value);
        }
        Ok(())
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// What sled says.
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        self.db.size_on_disk().map_err(self.failed("measure"))
    }
}
