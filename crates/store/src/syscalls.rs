//! Replacements for the system calls that sled uses.
//!
//! sled 0.34 ends a flush with `sync_file_range`, which writes neither a file's size nor the drive's cache, and reuses freed
//! segments before their successors are durable; after a power cut, the store may not open. While it opens its files, it takes
//! what it can't read for the torn end of its log, and overwrites it: an EIO that would have passed a minute later costs
//! everything after it. And when a write or a sync fails, its flush may wait for ever.
//!
//! So the symbols exported here replace the C library's in any program that links this crate. `sync_file_range` does a whole
//! fdatasync, and no sync succeeds after one has failed. While a store opens, any failure ends the process before sled sees it.
//! Later, the store's [`Failure`] is set first.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::failure::Failure;
use crate::mutex::lock;
use crate::note;

static SYNCS: AtomicU64 = AtomicU64::new(0);
static READS: AtomicU64 = AtomicU64::new(0);
static WRITES: AtomicU64 = AtomicU64::new(0);
static SYNC_FAILED: AtomicBool = AtomicBool::new(false);
/// The number of stores being opened.
static OPENING: AtomicU32 = AtomicU32::new(0);
static STORES: Mutex<Vec<Weak<Failure>>> = Mutex::new(Vec::new());

/// Whether these functions are the ones that are called, and the linker has not taken the C library's. Ask this after sled has
/// read, written and synced.
pub fn are_ours() -> bool {
    [&SYNCS, &READS, &WRITES].into_iter().all(|calls| calls.load(Ordering::Relaxed) > 0)
}

/// Whether a sync has failed: after that, nothing that sled says about durability can be trusted.
pub(crate) fn sync_failed() -> bool {
    SYNC_FAILED.load(Ordering::Acquire)
}

/// While this exists, a read, write or sync that fails ends the process with exit code 1, and the log names the file.
#[derive(Debug)]
pub(crate) struct Opening(());

impl Opening {
    pub(crate) fn begin() -> Opening {
        OPENING.fetch_add(1, Ordering::AcqRel);
        Opening(())
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        OPENING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether this process has a store: if it has none, these functions behave like the C library's.
fn is_in_use() -> bool {
    let stores = || lock(&STORES).iter().any(|store| store.strong_count() > 0);
    OPENING.load(Ordering::Acquire) > 0 || stores()
}

/// Registers a store's failure, to be set when a write or sync fails.
pub(crate) fn register_failure(failure: &Arc<Failure>) {
    let mut stores = lock(&STORES);
    stores.retain(|store| store.strong_count() > 0);
    stores.push(Arc::downgrade(failure));
}

/// Handles a failed call, and sets errno for the caller.
fn failed(what: &str, fd: BorrowedFd<'_>, errno: Errno) {
    if ![Errno::INTR, Errno::INVAL, Errno::ROFS].contains(&errno) {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default();
        let why = format!("{}: can't {what}: {errno}", path.display());
        if OPENING.load(Ordering::Acquire) > 0 {
            if what != "read" {
                note::fail_all();
            }
            tracing::error!("{why}; the store was not opened, because sled would have taken this for damage");
            std::process::exit(1);
        }
        if what != "read" {
            let stores = lock(&STORES).clone();
            stores.iter().filter_map(Weak::upgrade).for_each(|store| store.set(&why));
        }
    }
    set(errno);
}

fn set(errno: Errno) {
    // SAFETY: errno's location is this thread's own.
    unsafe { *libc::__errno_location() = errno.raw_os_error() };
}

fn result(bytes: usize) -> libc::ssize_t {
    libc::ssize_t::try_from(bytes).unwrap_or(libc::ssize_t::MAX)
}

/// Takes the place of `sync_file_range(2)`; same arguments and result, but makes all of the file's data durable.
///
/// # Safety
/// `fd` is an open file descriptor, or negative, for as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(
    fd: libc::c_int,
    _offset: libc::off64_t,
    _bytes: libc::off64_t,
    _flags: libc::c_uint,
) -> libc::c_int {
    SYNCS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: as the caller promises.
    unsafe { sync(fd, |fd| rustix::fs::fdatasync(fd)) }
}

/// Takes the place of `fsync(2)`; same arguments and result.
///
/// # Safety
/// `fd` is an open file descriptor, or negative, for as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: libc::c_int) -> libc::c_int {
    // SAFETY: as the caller promises.
    unsafe { sync(fd, |fd| rustix::fs::fsync(fd)) }
}

/// # Safety
/// `fd` is an open file descriptor, or negative, for as long as the call lasts.
unsafe fn sync(fd: libc::c_int, how: impl Fn(BorrowedFd<'_>) -> Result<(), Errno>) -> libc::c_int {
    if fd < 0 {
        set(Errno::BADF);
        return -1;
    }
    if sync_failed() {
        // What the failed sync should have written counts as written now, but is not on the disk: nothing after it must become
        // durable.
        set(Errno::IO);
        return -1;
    }
    // SAFETY: the caller promises that the descriptor is open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    match how(fd) {
        Ok(()) => 0,
        Err(errno) => {
            // Some files can't be synced, and nothing is lost by that.
            let refused = [Errno::INVAL, Errno::ROFS, Errno::INTR].contains(&errno);
            SYNC_FAILED.fetch_or(!refused && is_in_use(), Ordering::AcqRel);
            failed("sync", fd, errno);
            -1
        }
    }
}

/// Takes the place of `pread64(2)`, which musl has as `pread` only; same arguments and result.
///
/// # Safety
/// `fd` is an open file descriptor, or negative, for as long as the call lasts, and `buffer` has `bytes` bytes to write to.
#[cfg_attr(not(target_env = "musl"), unsafe(no_mangle))]
#[cfg_attr(target_env = "musl", unsafe(export_name = "pread"))]
pub unsafe extern "C" fn pread64(
    fd: libc::c_int,
    buffer: *mut libc::c_void,
    bytes: libc::size_t,
    offset: libc::off64_t,
) -> libc::ssize_t {
    READS.fetch_add(1, Ordering::Relaxed);
    let (Ok(offset), 0..) = (u64::try_from(offset), fd) else {
        set(if fd < 0 { Errno::BADF } else { Errno::INVAL });
        return -1;
    };
    // SAFETY: the caller promises both; nothing is read from the buffer before the kernel has written it.
    let (fd, buffer) = unsafe {
        let buffer = std::slice::from_raw_parts_mut(buffer.cast::<MaybeUninit<u8>>(), bytes);
        (BorrowedFd::borrow_raw(fd), buffer)
    };
    match rustix::io::pread(fd, buffer, offset) {
        Ok((read, _)) => result(read.len()),
        Err(errno) => {
            failed("read", fd, errno);
            -1
        }
    }
}

/// Takes the place of `pwrite64(2)`, which musl has as `pwrite` only; same arguments and result.
///
/// # Safety
/// `fd` is an open file descriptor, or negative, for as long as the call lasts, and `buffer` has `bytes` bytes to read from.
#[cfg_attr(not(target_env = "musl"), unsafe(no_mangle))]
#[cfg_attr(target_env = "musl", unsafe(export_name = "pwrite"))]
pub unsafe extern "C" fn pwrite64(
    fd: libc::c_int,
    buffer: *const libc::c_void,
    bytes: libc::size_t,
    offset: libc::off64_t,
) -> libc::ssize_t {
    WRITES.fetch_add(1, Ordering::Relaxed);
    let (Ok(offset), 0..) = (u64::try_from(offset), fd) else {
        set(if fd < 0 { Errno::BADF } else { Errno::INVAL });
        return -1;
    };
    // SAFETY: the caller promises both.
    let (fd, buffer) = unsafe { (BorrowedFd::borrow_raw(fd), std::slice::from_raw_parts(buffer.cast::<u8>(), bytes)) };
    // Until it is synced, nobody who reads it can tell whether it is on the disk.
    let noted = note::writing(fd, offset, bytes);
    let noted = noted.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
    match noted.and_then(|noted| {
        let written = rustix::io::pwrite(fd, buffer, offset);
        drop(noted);
        written
    }) {
        Ok(written) => result(written),
        Err(errno) => {
            failed("write", fd, errno);
            -1
        }
    }
}
