//! The operations of the file system.

use std::ffi::{OsStr, OsString};

use fuser::Errno;

use super::content::{self, Content};
use super::points::Around;
use super::{Change, DirData, Disk, FileData, Kind, NameChange, Names, Node, Outcome, Stop};

impl Disk {
    /// Whether it is a directory, and its size.
    pub fn stat(&self, ino: u64) -> Outcome<(bool, u64)> {
        match self.nodes.get(&ino) {
            Some(Node::File(file)) => Ok((false, file.seen.len() as u64)),
            Some(Node::Dir(_)) => Ok((true, 0)),
            None => Err(Errno::ENOENT.into()),
        }
    }

    /// Looks up a name in a directory.
    pub fn lookup(&mut self, dir: u64, name: &OsStr) -> Outcome<u64> {
        self.dir(dir)?.seen.get(name).copied().ok_or_else(|| Errno::ENOENT.into())
    }

    /// Lists a directory.
    pub fn list(&mut self, dir: u64) -> Outcome<Vec<(OsString, u64)>> {
        Ok(self.dir(dir)?.seen.iter().map(|(name, &ino)| (name.clone(), ino)).collect())
    }

    /// Creates a file or a directory.
    pub fn make(&mut self, dir: u64, name: &OsStr, is_dir: bool) -> Outcome<u64> {
        let operation = self.step()?;
        self.refuse(Kind::Name, |disk| format!("{}/{}", disk.path(dir), name.to_string_lossy()))?;
        if self.dir(dir)?.seen.contains_key(name) {
            return Err(Errno::EEXIST.into());
        }
        let ino = self.next_ino;
        self.next_ino += 1;
        let node = if is_dir { Node::Dir(DirData::default()) } else { Node::File(FileData::default()) };
        self.nodes.insert(ino, node);
        self.dir(dir)?.seen.insert(name.to_owned(), ino);
        self.names.push((operation, NameChange::Link { dir, name: name.to_owned(), ino }));
        self.point(Around::Change(operation), |disk| format!("made {}/{}", disk.path(dir), name.to_string_lossy()));
        Ok(ino)
    }

    /// Removes a name.
    pub fn unlink(&mut self, dir: u64, name: &OsStr) -> Outcome<()> {
        let operation = self.step()?;
        self.refuse(Kind::Name, |disk| format!("{}/{}", disk.path(dir), name.to_string_lossy()))?;
        let ino = self.dir(dir)?.seen.remove(name).ok_or(Errno::ENOENT)?;
        self.names.push((operation, NameChange::Unlink { dir, name: name.to_owned() }));
        // To the running system, its space is free at once.
        self.used -= self.stat(ino).map_or(0, |(_, size)| size);
        self.point(Around::Change(operation), |disk| format!("removed {}/{}", disk.path(dir), name.to_string_lossy()));
        Ok(())
    }

    /// Renames, replacing any file with the new name.
    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Outcome<()> {
        let operation = self.step()?;
        self.refuse(Kind::Name, |disk| format!("{}/{}", disk.path(from.0), from.1.to_string_lossy()))?;
        let ino = self.dir(from.0)?.seen.remove(from.1).ok_or(Errno::ENOENT)?;
        if let Some(replaced) = self.dir(to.0)?.seen.insert(to.1.to_owned(), ino) {
            self.used -= self.stat(replaced).map_or(0, |(_, size)| size);
        }
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        self.names.push((operation, NameChange::Rename { from, to, ino }));
        self.point(Around::Change(operation), |disk| format!("renamed to {}", disk.path(ino)));
        Ok(())
    }

    /// Reads.
    pub fn read(&mut self, ino: u64, at: usize, bytes: usize) -> Outcome<Vec<u8>> {
        if self.is_cut() {
            return Err(Stop::Cut);
        }
        self.refuse(Kind::Read, |disk| disk.path(ino))?;
        Ok(self.file(ino)?.seen.read(at, bytes))
    }

    fn grow(&mut self, old: usize, new: usize) -> Outcome<()> {
        let more = new.saturating_sub(old) as u64;
        if more > self.free() {
            self.counts.errors += 1;
            return Err(Errno::ENOSPC.into());
        }
        self.used = self.used + more - old.saturating_sub(new) as u64;
        Ok(())
    }

    /// Writes.
    pub fn write(&mut self, ino: u64, at: usize, bytes: &[u8]) -> Outcome<()> {
        let operation = self.step()?;
        let refused = self.refuse(Kind::Write, |disk| disk.path(ino));
        // A failed write may have written any part of its beginning.
        let done = if refused.is_ok() { bytes.len() } else { self.random.usize(..=bytes.len()) };
        let bytes = &bytes[..done];
        let size = self.file(ino)?.seen.len();
        self.grow(size, size.max(at + bytes.len()))?;
        let file = self.file(ino)?;
        file.seen.put(at, bytes);
        file.pending.push((operation, Change::Write { at, bytes: bytes.into() }));
        refused
    }

    /// Sets a file's size.
    pub fn resize(&mut self, ino: u64, size: usize) -> Outcome<()> {
        let operation = self.step()?;
        self.refuse(Kind::Write, |disk| disk.path(ino))?;
        let old = self.file(ino)?.seen.len();
        self.grow(old, size)?;
        let file = self.file(ino)?;
        file.seen.resize(size);
        file.pending.push((operation, Change::Resize(size)));
        self.point(Around::Change(operation), |disk| {
            format!("{} {}", if size < old { "cut" } else { "grown" }, disk.path(ino))
        });
        Ok(())
    }

    /// Reserves a file's space.
    pub fn reserve(&mut self, ino: u64, size: usize) -> Outcome<()> {
        if self.file(ino)?.seen.len() < size { self.resize(ino, size) } else { Ok(()) }
    }

    /// How many bytes a sync would write, without the zeros that a file is filled with before it is used.
    pub(super) fn pending_bytes(&self, ino: u64) -> usize {
        let Some(Node::File(file)) = self.nodes.get(&ino) else { return 0 };
        let bytes = |(_, change): &(u64, Change)| match change {
            Change::Write { bytes, .. } if !content::is_zero(bytes) => bytes.len(),
            _ => 0,
        };
        file.pending.iter().map(bytes).sum()
    }

    /// Whether a sync would write a header: a file's first bytes, and little else.
    pub(super) fn is_beginning_pending(&self, ino: u64) -> bool {
        let Some(Node::File(file)) = self.nodes.get(&ino) else { return false };
        let writes = file.pending.iter();
        let mut small =
            writes.filter(|(_, change)| matches!(change, Change::Write { bytes, .. } if bytes.len() < 4096));
        small.any(|(_, change)| matches!(change, Change::Write { at: 0, .. }))
    }

    /// Begins a sync; returns the argument for [`end_sync`](Disk::end_sync).
    pub fn begin_sync(&mut self) -> Outcome<u64> {
        self.step()
    }

    /// Ends a sync that began at an operation: changes before that are now durable, or the sync fails.
    pub fn end_sync(&mut self, ino: u64, began: u64) -> Outcome<()> {
        self.step()?;
        self.point(Around::SyncToCome(ino), |disk| format!("about to sync {}", disk.path(ino)));
        let refused = self.refuse(Kind::Sync, |disk| disk.path(ino));
        let mut random = self.random.fork();
        let is_file = if let Some(Node::File(file)) = self.nodes.get_mut(&ino) {
            let after = file.pending.partition_point(|(operation, _)| *operation <= began);
            let rest = file.pending.split_off(after);
            for (_, change) in std::mem::replace(&mut file.pending, rest) {
                // Pages that an fsync failed to write are clean, but not on the disk.
                if refused.is_ok() || random.bool() {
                    apply(&mut file.stable, &change);
                }
            }
            true
        } else {
            false
        };
        refused?;
        self.counts.syncs += 1;
        if !self.tally.0.is_empty() && self.path(ino).contains(self.tally.0) {
            self.tally.1 += 1;
        }
        let journaled = self.names_mode == Names::Journaled;
        let (synced, rest) = std::mem::take(&mut self.names).into_iter().partition(|(operation, change)| {
            *operation <= began && if is_file { journaled } else { journaled || change.touches(ino) }
        });
        self.names = rest;
        self.settle_names(synced);
        self.point(Around::Sync, |disk| format!("synced {}", disk.path(ino)));
        Ok(())
    }

    pub(super) fn settle_names(&mut self, changes: Vec<(u64, NameChange)>) {
        for (_, change) in changes {
            let mut stable = |dir: u64, name: OsString, ino: Option<u64>| {
                if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
                    match ino {
                        Some(ino) => drop(dir.stable.insert(name, ino)),
                        None => drop(dir.stable.remove(&name)),
                    }
                }
            };
            match change {
                NameChange::Link { dir, name, ino } => stable(dir, name, Some(ino)),
                NameChange::Unlink { dir, name } => stable(dir, name, None),
                NameChange::Rename { from, to, ino } => {
                    stable(from.0, from.1, None);
                    stable(to.0, to.1, Some(ino));
                }
            }
        }
    }
}

pub(super) fn apply(file: &mut Content, change: &Change) {
    match change {
        Change::Write { at, bytes } => file.put(*at, bytes),
        Change::Resize(size) => file.resize(*size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Fault, ROOT};

    fn written(disk: &mut Disk, name: &str, bytes: &[u8]) -> u64 {
        let ino = disk.make(ROOT, OsStr::new(name), false).unwrap();
        disk.write(ino, 0, bytes).unwrap();
        ino
    }

    fn sync(disk: &mut Disk, ino: u64) -> Outcome<()> {
        let began = disk.begin_sync()?;
        disk.end_sync(ino, began)
    }

    fn content(disk: &mut Disk, name: &str) -> Option<Vec<u8>> {
        let ino = disk.lookup(ROOT, OsStr::new(name)).ok()?;
        Some(disk.read(ino, 0, usize::MAX).unwrap())
    }

    #[test]
    fn synced_data_survives_every_cut() {
        for seed in 0..200 {
            let mut disk = Disk::new(seed, u64::MAX);
            let ino = written(&mut disk, "a", &[1; 3000]);
            sync(&mut disk, ino).unwrap();
            sync(&mut disk, ROOT).unwrap();
            disk.write(ino, 3000, &[2; 3000]).unwrap();
            disk.power_on();
            let found = content(&mut disk, "a").unwrap();
            assert_eq!(found[..3000], [1; 3000]);
            assert!(found[3000..].iter().all(|byte| [0, 2].contains(byte)));
        }
    }

    #[test]
    fn any_part_of_unsynced_data_may_be_lost() {
        let (mut whole, mut torn, mut none, mut nameless) = (0, 0, 0, 0);
        for seed in 0..200 {
            let mut disk = Disk::new(seed, u64::MAX);
            let ino = written(&mut disk, "a", &[]);
            sync(&mut disk, ROOT).unwrap();
            disk.write(ino, 100, &[2; 3000]).unwrap();
            written(&mut disk, "b", b"b");
            disk.power_on();
            match content(&mut disk, "a").unwrap().iter().filter(|byte| **byte == 2).count() {
                0 => none += 1,
                3000 => whole += 1,
                _ => torn += 1,
            }
            nameless += u32::from(content(&mut disk, "b").is_none());
        }
        assert!(whole > 10 && torn > 10 && none > 10 && nameless > 10, "{whole} {torn} {none} {nameless}");
    }

    #[test]
    fn a_write_during_a_sync_is_not_covered_by_it() {
        let mut lost = 0;
        for seed in 0..50 {
            let mut disk = Disk::new(seed, u64::MAX);
            let ino = written(&mut disk, "a", b"1");
            sync(&mut disk, ROOT).unwrap();
            let began = disk.begin_sync().unwrap();
            disk.write(ino, 1, b"2").unwrap();
            disk.end_sync(ino, began).unwrap();
            disk.power_on();
            let found = content(&mut disk, "a").unwrap();
            assert_eq!(found[0], b'1');
            lost += u32::from(found.get(1) != Some(&b'2'));
        }
        assert!(lost > 10, "{lost}");
    }

    #[test]
    fn a_sync_that_failed_may_have_lost_the_bytes_for_good() {
        let mut lost = 0;
        for seed in 0..50 {
            let mut disk = Disk::new(seed, u64::MAX);
            let ino = written(&mut disk, "a", b"1");
            sync(&mut disk, ROOT).unwrap();
            disk.fail(Fault { kind: Kind::Sync, path: "/a", nth: 1, lasting: false, errno: libc::EIO, hangs: false });
            disk.write(ino, 0, b"2").unwrap();
            assert_eq!(sync(&mut disk, ino), Err(Stop::Failed(libc::EIO)));
            sync(&mut disk, ino).unwrap();
            assert_eq!(content(&mut disk, "a").unwrap(), b"2");
            disk.power_on();
            lost += u32::from(content(&mut disk, "a").unwrap() != b"2");
        }
        assert!(lost > 10, "{lost}");
    }

    #[test]
    fn the_power_is_cut_at_the_given_operation_and_a_full_disk_returns_enospc() {
        let mut disk = Disk::new(1, 4);
        let ino = written(&mut disk, "a", b"1234");
        assert_eq!(disk.write(ino, 4, b"5"), Err(Stop::Failed(libc::ENOSPC)));
        disk.unlink(ROOT, OsStr::new("a")).unwrap();
        assert_eq!(disk.free(), 4);
        disk.cut_after(3);
        written(&mut disk, "b", b"");
        assert!(!disk.is_cut());
        assert_eq!(disk.unlink(ROOT, OsStr::new("b")), Err(Stop::Cut));
        assert!(disk.is_cut());
        assert_eq!(disk.write(ino, 0, b""), Err(Stop::Cut));
    }
}
