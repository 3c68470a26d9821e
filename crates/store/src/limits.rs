//! Every bound of the store, each with its reason. Sizes are bytes, and a name ends in its unit.

use std::time::Duration;

/// A journal file, written with zeros beforehand. A commit never spans two files.
pub const JOURNAL_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Messages committed but not yet in sled: past this a commit waits for the mover.
pub const UNMOVED_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The newest backups that a store can prove to go on from, and that a backup's header has room for: hourly ones of ten days.
pub const MARKS_MAX: usize = 256;
/// Recent messages that stay in memory after sled has them, so that followers need not read them back.
pub const RECENT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// A chunk of messages, unless its only message is larger: what is read, checked and expires at once.
pub const CHUNK_MAX_BYTES: usize = 64 * 1024;
/// A chunk of a commit that stays where it is in the journal: a smaller one is gathered with others of its room, so that a room is
/// not read message by message.
pub const CHUNK_IN_PLACE_MIN_BYTES: u32 = 8 * 1024;
/// A segment, past which another is begun. It goes when nothing in it is wanted any more; what little is left moves into another.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// Segments and journal files that are held open to be read.
pub const OPEN_FILES_MAX: usize = 128;
/// One sled value. sled moves a leaf page of 16 values or so over a quarter of a
/// segment into blob files that it never syncs; see [`SLED_SEGMENT_BYTES`].
pub const SLED_VALUE_MAX_BYTES: usize = 32 * 1024;
/// sled's segment size, fixed when a data directory is made.
pub const SLED_SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// sled's page cache.
pub const SLED_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// A file that holds space so that a full disk can still be opened: sled writes while it opens.
pub const BALLAST_BYTES: u64 = 32 * 1024 * 1024;
/// Free space under which new writes are refused, so that the mover and a restart still have room.
pub const FREE_SPACE_MIN_BYTES: u64 = 48 * 1024 * 1024;
/// Free space under which the mover waits as well: less could end in a write that fails, and so end the daemon. What waits is in
/// the journal, and no more comes.
pub const MOVE_SPACE_MIN_BYTES: u64 = 24 * 1024 * 1024;
/// How long after a read that failed it is tried again, and after the next: a disk that is out of reach for a moment ends nothing. Behind
/// the last of them it has failed for good.
pub const READ_AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_millis(1000)];

const _: () = {
    assert!(17 * SLED_VALUE_MAX_BYTES < SLED_SEGMENT_BYTES / 4);
    assert!(MOVE_SPACE_MIN_BYTES < FREE_SPACE_MIN_BYTES && MOVE_SPACE_MIN_BYTES < BALLAST_BYTES);
};
