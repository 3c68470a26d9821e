//! The disk as a file system that any process can use, through FUSE.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::{Disk, Kind, Outcome, ROOT, Stop};

/// Nothing is cached by the kernel: a cut changes files behind its back.
const TTL: Duration = Duration::ZERO;
const BLOCK: u64 = 4096;

#[derive(Debug)]
struct State {
    disk: Disk,
    /// The machine that lost its power is gone: nobody waits for an answer any more.
    dead: bool,
    /// The longest that a sync takes, in microseconds.
    slow_us: u64,
    waits: Vec<Wait>,
    /// Operations that are held now, and those that were let go since.
    held: u64,
    let_go: u64,
    /// Whether those that were let go last are carried out.
    goes_on: bool,
    random: fastrand::Rng,
}

/// An order to have operations wait.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// Reads, or syncs.
    pub kind: Kind,
    /// Of files whose path has this in it.
    pub path: &'static str,
    /// Only the sync of what was written to a file's very beginning.
    pub of_beginning: bool,
    /// Only a sync that has so much to write, zeros not counted.
    pub at_least_bytes: usize,
    /// So many of them …
    pub times: u32,
    /// … for so long; none: until they are [let go](Mount::let_go).
    pub takes: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an operation is to wait.
    fn wait_for(&self, kind: Kind, ino: u64) -> Option<Wait> {
        let mut state = self.lock();
        let State { disk, waits, .. } = &mut *state;
        if waits.is_empty() {
            return None;
        }
        let path = disk.path(ino);
        let is_meant = |wait: &&mut Wait| {
            wait.kind == kind
                && wait.times > 0
                && path.contains(wait.path)
                && (wait.at_least_bytes == 0 || disk.pending_bytes(ino) >= wait.at_least_bytes)
                && (!wait.of_beginning || disk.is_beginning_pending(ino))
        };
        let wait = waits.iter_mut().find(is_meant)?;
        wait.times -= 1;
        Some(*wait)
    }

    /// Waits so long; false where it is not to be carried out.
    fn wait(&self, wait: Option<Wait>) -> bool {
        let Some(wait) = wait else { return true };
        if let Some(takes) = wait.takes {
            std::thread::sleep(takes);
            return true;
        }
        let mut state = self.lock();
        state.held += 1;
        self.changed.notify_all();
        let before = state.let_go;
        let is_held = |state: &mut State| state.let_go == before && !state.dead;
        let mut state = self.changed.wait_while(state, is_held).unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
        state.goes_on && !state.dead
    }

    /// Carries out an operation. Once the power is off none ends before the machine is gone, and nothing that hangs before its processes
    /// are.
    fn run<T>(&self, operation: impl FnOnce(&mut Disk) -> Outcome<T>) -> Result<T, Errno> {
        let mut state = self.lock();
        match operation(&mut state.disk) {
            Ok(done) => Ok(done),
            Err(Stop::Failed(errno)) => Err(Errno::from_i32(errno)),
            Err(Stop::Cut) => {
                self.changed.notify_all();
                let gone = |state: &mut State| !state.dead && state.disk.is_cut();
                drop(self.changed.wait_while(state, gone).unwrap_or_else(PoisonError::into_inner));
                Err(Errno::EIO)
            }
            Err(Stop::Hung) => {
                self.changed.notify_all();
                let waited = self.changed.wait_while(state, |state: &mut State| !state.dead);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                Err(Errno::EIO)
            }
        }
    }
}

/// A mounted disk; unmounted when it is dropped.
#[derive(Debug)]
pub struct Mount {
    shared: Arc<Shared>,
    path: PathBuf,
    _session: BackgroundSession,
}

impl Mount {
    /// Mounts a disk at an empty directory.
    ///
    /// # Errors
    /// What the system says; it takes root, or `fusermount3`.
    pub fn new(disk: Disk, at: &Path, seed: u64) -> std::io::Result<Mount> {
        let random = fastrand::Rng::with_seed(seed);
        let state =
            State { disk, dead: false, slow_us: 0, waits: Vec::new(), held: 0, let_go: 0, goes_on: true, random };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("dantok-torture".to_owned()), MountOption::NoAtime];
        let session = fuser::spawn_mount(Served(shared.clone()), at, &config)?;
        Ok(Mount { shared, path: at.to_owned(), _session: session })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does something with the disk, between two operations.
    pub fn disk<T>(&self, with: impl FnOnce(&mut Disk) -> T) -> T {
        with(&mut self.shared.lock().disk)
    }

    /// How long a sync takes at the most.
    pub fn set_slow(&self, most: Duration) {
        self.shared.lock().slow_us = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    }

    /// Orders that operations wait.
    pub fn wait_at(&self, wait: Wait) {
        self.shared.lock().waits.push(wait);
    }

    /// Waits until an operation is held; false where none is in time.
    pub fn wait_held(&self, most: Duration) -> bool {
        self.wait_until(most, |state| state.held > 0)
    }

    fn wait_until(&self, most: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let goes_on = |state: &mut State| !is_so(state);
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), most, goes_on);
        is_so(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Takes all such orders back, and lets what is held go: to be carried out, or as if it had never come, for whoever was killed meanwhile.
    pub fn let_go(&self, goes_on: bool) {
        let mut state = self.shared.lock();
        state.waits.clear();
        state.let_go += 1;
        state.goes_on = goes_on;
        self.shared.changed.notify_all();
    }

    /// Puts another disk in the place of this one, when no process is left on it.
    pub fn put(&self, disk: Disk) {
        let mut state = self.shared.lock();
        state.dead = false;
        state.disk = disk;
    }

    /// Waits until the power goes; false where it does not in time.
    pub fn wait_cut(&self, most: Duration) -> bool {
        self.wait_until(most, |state| state.disk.is_cut())
    }

    /// Waits until something hangs; false where nothing does in time.
    pub fn wait_hung(&self, most: Duration) -> bool {
        self.wait_until(most, |state| state.disk.is_hung())
    }

    /// Lets what hangs end, with an error that nobody sees: its processes have been killed.
    pub fn release(&self) {
        self.shared.lock().dead = true;
        self.shared.changed.notify_all();
    }

    /// After the end of all processes, with the power on: what is in memory is there for the next ones.
    pub fn go_on(&self) {
        let mut state = self.shared.lock();
        state.dead = false;
        state.disk.heal();
    }

    /// After the end of all processes: the power comes back. Says what it left.
    pub fn power_on(&self) -> String {
        let mut state = self.shared.lock();
        state.dead = false;
        state.disk.power_on()
    }
}

#[derive(Debug)]
struct Served(Arc<Shared>);

impl Served {
    fn attr(&self, ino: u64) -> Result<FileAttr, Errno> {
        let (is_dir, size) = self.0.run(|disk| disk.stat(ino))?;
        let now = SystemTime::now();
        Ok(FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: size.div_ceil(512),
            atime: now,
            mtime: now,
            ctime: now,
            crtime: UNIX_EPOCH,
            kind: if is_dir { FileType::Directory } else { FileType::RegularFile },
            perm: if is_dir { 0o755 } else { 0o644 },
            nlink: 1,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            rdev: 0,
            blksize: BLOCK as u32,
            flags: 0,
        })
    }

    /// The sync runs beside everything else, and takes its time.
    fn sync(&self, ino: u64, reply: ReplyEmpty) {
        let shared = self.0.clone();
        let began = match shared.run(Disk::begin_sync) {
            Ok(began) => began,
            Err(errno) => return reply.error(errno),
        };
        let wait = shared.wait_for(Kind::Sync, ino);
        let (takes, may_hang) = {
            let mut state = shared.lock();
            let most = state.slow_us;
            (if most == 0 { 0 } else { state.random.u64(..most) }, state.disk.may_hang())
        };
        let end = move || {
            std::thread::sleep(Duration::from_micros(takes));
            if shared.wait(wait) {
                done(reply, shared.run(|disk| disk.end_sync(ino, began)));
            } else {
                reply.error(Errno::EIO);
            }
        };
        if takes == 0 && wait.is_none() && !may_hang { end() } else { drop(std::thread::spawn(end)) }
    }
}

fn done(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.0.run(|disk| disk.lookup(parent.0, name)).and_then(|ino| self.attr(ino)) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(ino.0) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = size.map_or(Ok(()), |size| self.0.run(|disk| disk.resize(ino.0, place(size))));
        match resized.and_then(|()| self.attr(ino.0)) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        match self.0.run(|disk| disk.make(parent.0, name, true)).and_then(|ino| self.attr(ino)) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.0.run(|disk| disk.make(parent.0, name, false)).and_then(|ino| self.attr(ino)) {
            Ok(attr) => reply.created(&TTL, &attr, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.0.run(|disk| disk.unlink(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.0.run(|disk| disk.unlink(parent.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        done(reply, self.0.run(|disk| disk.rename((parent.0, name), (newparent.0, newname))));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let wait = self.0.wait_for(Kind::Read, ino.0);
        let read = self.0.run(|disk| disk.read(ino.0, place(offset), size as usize));
        let shared = self.0.clone();
        let end = move || {
            // What was read may be out of date when it is answered.
            shared.wait(wait);
            match read {
                Ok(bytes) => reply.data(&bytes),
                Err(errno) => reply.error(errno),
            }
        };
        if wait.is_none() { end() } else { drop(std::thread::spawn(end)) }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.run(|disk| disk.write(ino.0, place(offset), data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino.0, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino.0, reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.0.run(|disk| {
            let names = disk.list(ino.0)?;
            names.into_iter().map(|(name, ino)| Ok((name, ino, disk.stat(ino)?.0))).collect::<Outcome<Vec<_>>>()
        });
        let names = match listed {
            Ok(names) => names,
            Err(errno) => return reply.error(errno),
        };
        let own = [(".".into(), ino.0, true), ("..".into(), ROOT, true)];
        for (next, (name, ino, is_dir)) in (1u64..).zip(own.into_iter().chain(names)).skip(place(offset)) {
            let kind = if is_dir { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(ino), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (capacity, free) = {
            let state = self.0.lock();
            (state.disk.capacity / BLOCK, state.disk.free() / BLOCK)
        };
        reply.statfs(capacity, free, free, 1 << 20, 1 << 20, BLOCK as u32, 255, BLOCK as u32);
    }

    fn fallocate(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, length: u64, _: i32, reply: ReplyEmpty) {
        done(reply, self.0.run(|disk| disk.reserve(ino.0, place(offset + length))));
    }
}
