//! Backups: everything that a store holds at one point between two commits, in a file.
//!
//! What is small (rooms, members and their cursors, groups, who is invited or banned, nicks) is copied in the committer's
//! thread, at one moment; then the messages up to each room's last seq of that moment are read a page at a time beside the daemon's
//! other work, and sent to the command [over the control socket](crate::control), which compresses and writes them. So everything
//! that was acknowledged before is in it, and nothing of what came later. A message that expires while a backup is made may not be in
//! it; one that is redacted meanwhile has no text in it.
//!
//! An incremental backup has all that is small, and of the messages those that its base (the backup before it) does not have.
//! What was redacted since, the redactions among them say: a restore writes none of it.
//!
//! Which backups are of one history is never told by numbers, which a data directory that was set back has again, but by
//! [marks](mod@dantok_store::marks): each cut leaves one in the store, and each backup has its own and those from before it.
//!
//! # The file
//!
//! ```text
//! file     header | block … | end
//! header   "DANTOKBK" | format u32 = 2 | length u32 of the fields | fields | crc32 u32 of all that, from the first byte on
//! fields   epoch | dantok's version | time_ms u64 | kept_ms u64 | base: 32 bytes, the SHA-256 at the end of the backup that this one
//!          goes on from; zeros where it is a full one | mark u64, 0 where there is none | the store's marks before it: u64 …
//!          Format 1, which is read, has no marks.
//! block    codec u8: 0 plain, 1 zstd | plain length u32 | stored length u32 | number u32: 0, 1, … | crc32 u32 of these 13 bytes and
//!          the stored ones | stored bytes: compressed items
//! end      255 | 0 u32 | 8 u32 | how many blocks u32 | crc32 u32, as of a block | messages u64 | SHA-256 of all bytes before it
//! item     kind u8 | length u32 | that many bytes
//!          1 room     | room u64 | last seq u64 | last time_ms u64 | room's record
//!          2 member   | room u64 | client | cursor u64
//!          3 access   | room u64 | person | access' record
//!          4 group    | room u64 | group | group's record
//!          5 nick     | client | nick
//!          6 tokens   | the file tokens.toml, where it lies in the data directory; empty where the store has tokens elsewhere
//!          7 messages | room u64 | messages u32 | chunk
//!          8 floor    | room u64 | seq u64: messages up to here are gone
//! ```
//!
//! Integers are little-endian; a text is a `u16` length and its bytes. Records and chunks are [those of the store](dantok_store::record),
//! each with its own version. To change anything else here, raise the format's number; what reads a format that is older
//! stays, and one that is newer is refused.

pub mod chain;
pub mod cut;
pub mod file;
pub mod item;
pub mod make;
pub mod outside;
pub mod restore;
pub mod survey;
