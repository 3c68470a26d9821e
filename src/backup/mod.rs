//! Backups: files with everything that a store holds at one moment between two commits.
//!
//! Small state (rooms, members and their cursors, groups, invitations and bans, nicks) is copied in the committer's thread, at one
//! moment: the cut. Then the messages up to each room's last seq of that moment are read a page at a time, beside the daemon's other
//! work, and sent to the command [over the control socket](crate::control), which compresses and writes them. So a backup contains
//! everything that was acknowledged before the cut and nothing from after it. A message that expires while a backup is made may be
//! missing; one that is redacted meanwhile has no text in it.
//!
//! An incremental backup has all small state, and the messages that its base, the backup before it, does not have. The redactions among
//! them say which older messages were redacted since, and a restore does not write the text of those.
//!
//! Numbers can't tell which backups are of one history, because a data directory that was set back uses the same numbers again.
//! [Marks](mod@dantok_store::marks) can: each cut leaves one in the store, and each backup has its own and those from before it.
//!
//! # The file
//!
//! ```text
//! file     header | block … | end
//! header   "DANTOKBK" | format u32 = 3 | length u32 of the fields | fields | crc32 u32 of all that, from the first byte on
//! fields   epoch | dantok's version | time_ms u64 | kept_ms u64 | base: 32 bytes, the SHA-256 at the end of the backup that this one
//!          builds on; zeros in a full one | mark u64, 0 if there is none | the store's marks before it: u64 …
//!          Formats 1 and 2, which can be read, have no hooks, and format 1 has no marks.
//! block    codec u8: 0 plain, 1 zstd | plain length u32 | stored length u32 | number u32: 0, 1, … | crc32 u32 of these 13 bytes and
//!          the stored ones | stored bytes: compressed items
//! end      255 | 0 u32 | 8 u32 | how many blocks u32 | crc32 u32, as of a block | messages u64 | SHA-256 of all bytes before it
//! item     kind u8 | length u32 | that many bytes
//!          1 room     | room u64 | last seq u64 | last time_ms u64 | room's record
//!          2 member   | room u64 | client | cursor u64
//!          3 access   | room u64 | person | access' record
//!          4 group    | room u64 | group | group's record
//!          5 nick     | client | nick
//!          6 tokens   | the file tokens.toml, if it is in the data directory; empty if the store's tokens are elsewhere
//!          7 messages | room u64 | messages u32 | chunk
//!          8 floor    | room u64 | seq u64: messages up to here are gone
//!          9 hooks    | the file hooks.toml, if there is one
//! ```
//!
//! Integers are little-endian; a text is a `u16` length and its bytes. Records and chunks are [those of the store](dantok_store::record),
//! each with its own version. To change anything else here, raise the number of the format. Keep the code that reads older formats;
//! newer ones are refused.

pub mod chain;
pub mod cut;
pub mod file;
pub mod item;
pub mod make;
pub mod outside;
pub mod restore;
pub mod survey;
