//! fdatasync where sled asks for less.
//!
//! sled 0.34 ends a flush with `sync_file_range`, which writes neither a file's size nor the drive's cache, and reuses freed
//! segments before their successors are durable; a power cut can then leave a store that does not open. The symbol
//! exported here takes the place of the C library's in any program that links this crate, and does a whole fdatasync.

#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicBool = AtomicBool::new(false);

/// Takes the place of `sync_file_range(2)`; same arguments and result, but makes all of the file's data durable.
///
/// # Safety
/// `fd` is an open file descriptor, or -1, for as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(
    fd: libc::c_int,
    _offset: libc::off64_t,
    _bytes: libc::off64_t,
    _flags: libc::c_uint,
) -> libc::c_int {
    CALLS.fetch_add(1, Ordering::Relaxed);
    if fd < 0 {
        // SAFETY: errno's location is this thread's own.
        unsafe { *libc::__errno_location() = libc::EBADF };
        return -1;
    }
    if FAILED.load(Ordering::Acquire) {
        // What the failed one should have written counts as written now, and is not there: nothing behind it must become durable.
        // SAFETY: errno's location is this thread's own.
        unsafe { *libc::__errno_location() = libc::EIO };
        return -1;
    }
    // SAFETY: the caller promises that the descriptor is open.
    match rustix::fs::fdatasync(unsafe { BorrowedFd::borrow_raw(fd) }) {
        Ok(()) => 0,
        Err(error) => {
            FAILED.store(true, Ordering::Release);
            // SAFETY: errno's location is this thread's own.
            unsafe { *libc::__errno_location() = error.raw_os_error() };
            -1
        }
    }
}

/// How often sled has synced through here; stays 0 where the linker took another `sync_file_range`.
pub fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// Whether one of these syncs has failed: after that nothing that sled says about durability is to be believed.
pub fn failed() -> bool {
    FAILED.load(Ordering::Acquire)
}
