//! A simulated disk that remembers what was synced, for the real daemon to run on.
//!
//! It keeps two states of every file and directory: what the running system sees, and what is certain to survive a
//! power cut. A write changes the first; a successful fsync brings the second up to date. [`Disk::power_on`] rebuilds
//! the first from the second and a random choice of what was not synced: sectors of writes, sizes of files, names. It
//! can also inject errors at the n-th write, sync or read of a file, and has a limited capacity.
//!
//! It assumes of a file system what POSIX promises, which is less than ext4, XFS or btrfs do: an fsync of a file makes
//! its bytes and its size durable, but not its name ([`Names::Strict`]); the name needs an fsync of the directory. Half
//! of the disks are kinder, like a journaling file system ([`Names::Journaled`]). A rename is atomic. After a failed
//! fsync, the data that it should have written counts as clean: it can be read, and no later fsync writes it.

mod content;
mod cut;
mod mount;
mod points;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use fuser::Errno;

use content::Content;
pub use mount::{Mount, Wait};
use points::{Around, Watch};
pub use points::{KEEPS, Keeps, Point};

/// The root directory.
pub const ROOT: u64 = 1;

/// Kinds of operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Writes, truncations and reservations.
    Write,
    /// fsync and fdatasync of files and directories.
    Sync,
    /// Reads.
    Read,
    /// Creating, renaming and removing names.
    Name,
}

/// A fault to inject.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The operations that fail.
    pub kind: Kind,
    /// Only for files whose path contains this.
    pub path: &'static str,
    /// Which operation fails first, counted from now; 1 is the next.
    pub nth: u64,
    /// Whether all later ones fail too.
    pub lasting: bool,
    /// The error.
    pub errno: i32,
    /// Whether the operation hangs until the calling process has been killed.
    pub hangs: bool,
}

/// What a power cut does to names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Each change that was not synced survives or not, independently.
    Strict,
    /// Changes survive in order up to some point, and an fsync of any file syncs those before it.
    Journaled,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Arc<[u8]> },
    Resize(usize),
}

#[derive(Clone, Debug, Default)]
struct FileData {
    seen: Content,
    stable: Content,
    pending: Vec<(u64, Change)>,
}

#[derive(Clone, Debug, Default)]
struct DirData {
    seen: BTreeMap<OsString, u64>,
    stable: BTreeMap<OsString, u64>,
}

#[derive(Clone, Debug)]
enum Node {
    File(FileData),
    Dir(DirData),
}

#[derive(Clone, Debug)]
enum NameChange {
    Link { dir: u64, name: OsString, ino: u64 },
    Unlink { dir: u64, name: OsString },
    Rename { from: (u64, OsString), to: (u64, OsString), ino: u64 },
}

impl NameChange {
    fn touches(&self, of: u64) -> bool {
        match self {
            NameChange::Link { dir, .. } | NameChange::Unlink { dir, .. } => *dir == of,
            NameChange::Rename { from, to, .. } => from.0 == of || to.0 == of,
        }
    }
}

/// Operations on the disk since its creation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Changes and syncs, including the one at which the power is cut.
    pub operations: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Writes that a power cut undid, in whole or in part.
    pub lost_writes: u64,
    /// Name changes that a power cut undid.
    pub lost_names: u64,
    /// Errors returned.
    pub errors: u64,
}

/// The disk.
#[derive(Debug)]
pub struct Disk {
    watch: Option<Box<Watch>>,
    /// The number of successful syncs of files whose path contains this.
    tally: (&'static str, u64),
    nodes: BTreeMap<u64, Node>,
    names: Vec<(u64, NameChange)>,
    names_mode: Names,
    next_ino: u64,
    used: u64,
    /// Capacity in bytes of file contents.
    pub capacity: u64,
    /// Operations so far.
    pub counts: Counts,
    /// The operation at which the power is cut.
    cut_at: Option<u64>,
    faults: Vec<Fault>,
    is_hung: bool,
    /// The injected errors, for the report: kind and file.
    pub given: Vec<String>,
    random: fastrand::Rng,
}

/// Why an operation was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The power is off.
    Cut,
    /// It fails with this errno.
    Failed(i32),
    /// It has failed, but does not return.
    Hung,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop::Failed(errno.code())
    }
}

type Outcome<T> = Result<T, Stop>;

impl Clone for Disk {
    /// A copy that no longer makes copies itself.
    fn clone(&self) -> Disk {
        Disk {
            watch: None,
            nodes: self.nodes.clone(),
            names: self.names.clone(),
            faults: self.faults.clone(),
            given: self.given.clone(),
            random: self.random.clone(),
            ..*self
        }
    }
}

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, capacity: u64) -> Disk {
        let mut random = fastrand::Rng::with_seed(seed);
        Disk {
            watch: None,
            tally: ("", 0),
            nodes: BTreeMap::from([(ROOT, Node::Dir(DirData::default()))]),
            names: Vec::new(),
            names_mode: if random.bool() { Names::Strict } else { Names::Journaled },
            next_ino: ROOT + 1,
            used: 0,
            capacity,
            counts: Counts::default(),
            cut_at: None,
            faults: Vec::new(),
            is_hung: false,
            given: Vec::new(),
            random,
        }
    }

    /// Cuts the power at the n-th operation from now.
    pub fn cut_after(&mut self, operations: u64) {
        self.cut_at = Some(self.counts.operations + operations);
    }

    /// Whether the power is off.
    pub fn is_cut(&self) -> bool {
        self.cut_at.is_some_and(|at| self.counts.operations >= at)
    }

    /// Injects a fault.
    pub fn fail(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Starts counting successful syncs of files whose path contains this.
    pub fn tally(&mut self, path: &'static str) {
        self.tally = (path, 0);
    }

    /// The number of syncs counted.
    pub fn tallied(&self) -> u64 {
        self.tally.1
    }

    /// Clears all faults, after the hanging processes have ended.
    pub fn heal(&mut self) {
        self.faults.clear();
        self.is_hung = false;
    }

    /// Clears all faults unless an operation already hangs; returns whether it did.
    pub fn heal_unless_hung(&mut self) -> bool {
        if !self.is_hung {
            self.heal();
        }
        !self.is_hung
    }

    /// Whether a failed operation hangs.
    pub fn is_hung(&self) -> bool {
        self.is_hung
    }

    /// Whether any operation may hang from now on.
    pub fn may_hang(&self) -> bool {
        self.faults.iter().any(|fault| fault.hangs)
    }

    /// Bytes free.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    fn step(&mut self) -> Outcome<u64> {
        if self.is_cut() {
            return Err(Stop::Cut);
        }
        self.counts.operations += 1;
        if self.is_cut() { Err(Stop::Cut) } else { Ok(self.counts.operations) }
    }

    fn path(&self, ino: u64) -> String {
        for (&dir, node) in &self.nodes {
            let Node::Dir(data) = node else { continue };
            if let Some((name, _)) = data.seen.iter().find(|(_, at)| **at == ino) {
                let above = if dir == ROOT { String::new() } else { self.path(dir) };
                return format!("{above}/{}", name.to_string_lossy());
            }
        }
        String::new()
    }

    fn refuse(&mut self, kind: Kind, path: impl FnOnce(&Disk) -> String) -> Outcome<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let path = path(self);
        for fault in &mut self.faults {
            if fault.kind != kind || !path.contains(fault.path) {
                continue;
            }
            fault.nth = fault.nth.saturating_sub(1);
            if fault.nth == 0 {
                let stop = if fault.hangs { Stop::Hung } else { Stop::Failed(fault.errno) };
                self.is_hung |= fault.hangs;
                if !fault.lasting {
                    fault.nth = u64::MAX;
                }
                self.counts.errors += 1;
                self.given.push(format!("{kind:?} {path}"));
                return Err(stop);
            }
        }
        Ok(())
    }

    fn file(&mut self, ino: u64) -> Outcome<&mut FileData> {
        match self.nodes.get_mut(&ino) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(Errno::EISDIR.into()),
        }
    }

    fn dir(&mut self, ino: u64) -> Outcome<&mut DirData> {
        match self.nodes.get_mut(&ino) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

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
    fn pending_bytes(&self, ino: u64) -> usize {
        let Some(Node::File(file)) = self.nodes.get(&ino) else { return 0 };
        let bytes = |(_, change): &(u64, Change)| match change {
            Change::Write { bytes, .. } if !content::is_zero(bytes) => bytes.len(),
            _ => 0,
        };
        file.pending.iter().map(bytes).sum()
    }

    /// Whether a sync would write a header: a file's first bytes, and little else.
    fn is_beginning_pending(&self, ino: u64) -> bool {
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

    fn settle_names(&mut self, changes: Vec<(u64, NameChange)>) {
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

fn apply(file: &mut Content, change: &Change) {
    match change {
        Change::Write { at, bytes } => file.put(*at, bytes),
        Change::Resize(size) => file.resize(*size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
