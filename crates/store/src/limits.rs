//! Every bound of the store, each with its reason. Sizes are bytes; a name ends in its unit.

use std::time::Duration;

/// A journal file, filled with zeros before its first use. A commit never spans two files.
pub const JOURNAL_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Messages committed but not yet in sled: above this, a commit waits for the mover.
pub(crate) const UNMOVED_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The newest backups that a store can prove to continue from, and that a backup's header has room for: ten days of hourly ones.
pub(crate) const MARKS_MAX: usize = 256;
/// Recent messages that stay in memory after sled has them, so that followers need not read them from files.
pub(crate) const RECENT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// A chunk of messages, unless its only message is larger: the unit of reading, checking and expiry.
pub(crate) const CHUNK_MAX_BYTES: usize = 64 * 1024;
/// The smallest chunk of a commit that stays in the journal. A smaller one is gathered with others of its room, so that readers
/// do not read the room message by message.
pub(crate) const CHUNK_IN_PLACE_MIN_BYTES: u32 = 8 * 1024;
/// A segment; after this, another one is started. It is removed when nothing in it is wanted any more, and what little is left
/// moves into another.
pub(crate) const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// Segments and journal files held open for readers.
pub(crate) const OPEN_FILES_MAX: usize = 128;
/// One sled value. sled moves a leaf page of 16 values or so over a quarter of a
/// segment into blob files that it never syncs; see [`SLED_SEGMENT_BYTES`].
pub const SLED_VALUE_MAX_BYTES: usize = 32 * 1024;
/// sled's segment size, fixed when a data directory is made.
pub const SLED_SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// sled's page cache.
pub(crate) const SLED_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// The file that reserves space so that a store on a full disk can still be opened: sled writes while it opens.
pub const BALLAST_BYTES: u64 = 32 * 1024 * 1024;
/// Free space below which new writes are refused, so that the mover and a restart still have room.
pub const FREE_SPACE_MIN_BYTES: u64 = 48 * 1024 * 1024;
/// Free space below which the mover waits as well: a write might fail, and that would end the daemon. What waits is in the
/// journal, and no more comes.
pub(crate) const MOVE_SPACE_MIN_BYTES: u64 = 24 * 1024 * 1024;
/// The pauses before a failed read is repeated: a disk that is out of reach for a moment ends nothing. After the last, the read
/// has failed for good.
pub const READ_AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_millis(1000)];

const _: () = {
    assert!(17 * SLED_VALUE_MAX_BYTES < SLED_SEGMENT_BYTES / 4);
    assert!(MOVE_SPACE_MIN_BYTES < FREE_SPACE_MIN_BYTES && MOVE_SPACE_MIN_BYTES < BALLAST_BYTES);
};
