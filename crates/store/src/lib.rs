//! Storage, and its promises: `durable`, `kept`, `honest failure`.
//!
//! A commit is durable in the [journal](mod@journal) when [`Writer::append`] returns. Later, a mover takes it into
//! [sled](mod@tables), and the messages of small commits into [segments](mod@segments). Until then, and for a while after, reads are
//! served from memory. Nothing outside this crate knows of any of them.
//!
//! The crate assumes this of a disk: after a successful fdatasync (fsync for a directory), the bytes, and a file's name, survive a
//! power cut. A write that was not synced may survive in any part, but changes no other bytes than its own. Bytes at rest do not
//! change; if they do, checksums find it, and it is reported, never repaired by guessing. After a failed sync, what it should have
//! written can be read although it is not on the disk. So after one, nothing more is written, and the next start writes that data
//! again. So does any start that finds that the store was not closed: the process that saw the sync fail may have been killed.
//! sled knows nothing of this, so its system calls are [replaced](mod@syscalls).
//!
//! All calls block: make them from threads that may block.
//!
//! # Layers
//!
//! A module knows only modules of the layers before its own. `tests/layers.rs` reads this table and holds the code to it.
//!
//! ```text
//! 1   clock count error key limits mutex             know nothing of storage
//! 2   files record replace                           the files by name; what is stored, byte for byte
//! 3   chunk group marks rewrite running              parts of what is stored
//! 4   commit disk messages note state                what is written and read; the data directory
//! 5   epoch failure journal migrate segments tail    one kind of file each; the newest messages
//! 6   syscalls                                       what sled calls
//! 7   closing tables                                 sled
//! 8   build check shared                             all of it: made by a restore, checked, or open
//! 9   mover                                          from the journal into sled and segments
//! 10  store                                          what the daemon uses
//! ```
#![warn(clippy::disallowed_methods)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods
    )
)]

pub mod build;
pub mod check;
pub mod chunk;
pub mod clock;
mod closing;
pub mod commit;
pub mod count;
pub mod disk;
pub mod epoch;
mod error;
mod failure;
pub mod files;
pub mod group;
pub mod journal;
pub mod key;
pub mod limits;
pub mod marks;
pub mod messages;
mod migrate;
mod mover;
mod mutex;
mod note;
pub mod record;
pub mod replace;
mod rewrite;
mod running;
pub mod segments;
mod shared;
mod state;
mod store;
pub mod syscalls;
pub mod tables;
mod tail;

pub use disk::is_data_dir;
pub use error::Error;
pub use failure::Failure;
pub use journal::JOURNAL;
pub use mover::MOVER;
pub use state::{RoomState, State};
pub use store::{Figures, Options, Page, Store, Writer, look};
