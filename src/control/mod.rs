//! How commands like `dantok backup` work on a data directory whose daemon runs, or on one that no daemon has. What a request does
//! is not known here: whoever listens or connects brings [what carries it out](CarryOut).
//!
//! A daemon listens on `control.sock` in its data directory, for its own user (and root) only; the socket is there only while it
//! serves. Where nobody listens and nobody has the directory, the command opens the store itself, and what would have been behind
//! the socket runs in a thread of it: so both ways are one.
//!
//! The protocol is between a dantok and the same dantok. It is no contract: each side says [which one](VERSION) it speaks, and
//! goes no further with another.
//!
//! ```text
//! frame    kind u8 | length u32 | that many bytes
//! kinds    H hello, in both directions: JSON
//!          R request: JSON
//!          D data: what the request is about
//!          P how far it is: JSON
//!          Z the end of what was asked for, or of what is sent: JSON
//!          E what went wrong, for whoever typed the command: text; nothing follows
//! ```

mod connect;
mod listen;
mod request;
mod serve;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::committer::Committer;
use crate::hub::Hub;
use crate::rooms::Rooms;
pub use connect::{Connection, connect, connect_unless_busy};
use dantok_store::Store;
pub use listen::{SOCKET_FILE, listen};
pub use request::{Export, ExportFormat, Request};
pub use serve::{CarryOut, JobError};
pub use wire::{Frame, Wire};

/// Of the protocol. To be raised with every change to it.
pub const VERSION: u32 = 2;

/// What each side says first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its [`VERSION`].
    pub control: u32,
    /// Its release.
    pub dantok: String,
    /// The [store's epoch](Store::epoch); of the daemon's side.
    pub epoch: String,
    /// The store's [marks](dantok_store::Store::marks), oldest first; of the daemon's side. Other versions have none.
    #[serde(default)]
    pub marks: Vec<u64>,
}

/// What a request is carried out on: a daemon's, or what was opened for it.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The data directory.
    pub dir: &'a Path,
    /// The store.
    pub store: &'a Arc<Store>,
    /// The rooms.
    pub rooms: &'a Arc<Rooms>,
    /// The way to change them.
    pub committer: &'a Committer,
    /// How long messages are kept.
    pub retention: Duration,
}

impl<'a> Work<'a> {
    /// Of a daemon.
    pub fn of(hub: &'a Hub, dir: &'a Path) -> Work<'a> {
        Work {
            dir,
            store: &hub.store,
            rooms: &hub.rooms,
            committer: &hub.committer,
            retention: hub.settings.retention(),
        }
    }
}

fn hello(store: &Store) -> Hello {
    Hello {
        control: VERSION,
        dantok: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: store.epoch().to_string(),
        marks: store.marks().get(),
    }
}
