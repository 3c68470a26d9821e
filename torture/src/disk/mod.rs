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
mod operations;
mod points;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use fuser::Errno;

use content::Content;
pub use mount::{Mount, Wait};
use points::Watch;
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
}
