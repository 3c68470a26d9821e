//! Mounts the simulated disk through FUSE, so that any process can use it.

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

/// The kernel must not cache anything: a power cut changes files behind its back.
const TTL: Duration = Duration::ZERO;
const BLOCK: u64 = 4096;

#[derive(Debug)]
struct State {
    disk: Disk,
    /// The machine that lost power is gone, and no process waits for an answer any more.
    dead: bool,
    /// The longest time that a sync takes, in microseconds.
    slow_us: u64,
    waits: Vec<Wait>,
    /// Operations held now, and operations released so far.
    held: u64,
    let_go: u64,
    /// Whether the operations released last are carried out.
    goes_on: bool,
    random: fastrand::Rng,
}

/// A rule that makes operations wait.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// Which operations: reads or syncs.
    pub kind: Kind,
    /// Only for files whose path contains this.
    pub path: &'static str,
    /// Only syncs of data written to the very beginning of a file.
    pub of_beginning: bool,
    /// Only syncs with at least this many bytes to write, not counting zeros.
    pub at_least_bytes: usize,
    /// How many operations …
    pub times: u32,
    /// … wait for how long; `None`: until they are [let go](Mount::let_go).
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

    /// Whether an operation has to wait.
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

    /// Waits for that time; returns false if the operation must not be carried out.
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

    /// Carries out an operation. Once the power is off, none returns before the machine is gone; an operation that
    /// hangs does not return before its processes are gone.
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

/// A mounted disk; unmounted on drop.
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
    /// The mount fails; it needs root or `fusermount3`.
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

    /// Its mount point.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Accesses the disk between two operations.
    pub fn disk<T>(&self, with: impl FnOnce(&mut Disk) -> T) -> T {
        with(&mut self.shared.lock().disk)
    }

    /// Sets the longest time that a sync takes.
    pub fn set_slow(&self, most: Duration) {
        self.shared.lock().slow_us = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    }

    /// Makes operations wait.
    pub fn wait_at(&self, wait: Wait) {
        self.shared.lock().waits.push(wait);
    }

    /// Waits until an operation is held; returns false if none is in time.
    pub fn wait_held(&self, most: Duration) -> bool {
        self.wait_until(most, |state| state.held > 0)
    }

    fn wait_until(&self, most: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let goes_on = |state: &mut State| !is_so(state);
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), most, goes_on);
        is_so(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Clears all these rules and releases the operations held: either they are carried out, or they are dropped
    /// because the calling process was killed meanwhile.
    pub fn let_go(&self, goes_on: bool) {
        let mut state = self.shared.lock();
        state.waits.clear();
        state.let_go += 1;
        state.goes_on = goes_on;
        self.shared.changed.notify_all();
    }

    /// Replaces the disk by another one, once no process uses it.
    pub fn put(&self, disk: Disk) {
        let mut state = self.shared.lock();
        state.dead = false;
        state.disk = disk;
    }

    /// Waits until the power is cut; returns false if it is not in time.
    pub fn wait_cut(&self, most: Duration) -> bool {
        self.wait_until(most, |state| state.disk.is_cut())
    }

    /// Waits until an operation hangs; returns false if none does in time.
    pub fn wait_hung(&self, most: Duration) -> bool {
        self.wait_until(most, |state| state.disk.is_hung())
    }

    /// Ends the operations that hang, with an error that no process sees because they have all been killed.
    pub fn release(&self) {
        self.shared.lock().dead = true;
        self.shared.changed.notify_all();
    }

    /// To be called after all processes have ended with the power on: the next ones see what is in memory.
    pub fn go_on(&self) {
        let mut state = self.shared.lock();
        state.dead = false;
        state.disk.heal();
    }

    /// To be called after all processes have ended: turns the power back on. Describes what survived.
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

    /// The sync runs concurrently with everything else and takes time.
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
            // What was read may be out of date by the time it is returned.
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
