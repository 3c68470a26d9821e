//! How commands such as `dantok backup` work on a data directory, whether its daemon is running or not. This module does not know what
//! requests do: whoever listens or connects passes in [what carries them out](CarryOut).
//!
//! While a daemon serves, it listens on `control.sock` in its data directory, for its own user and root only. If no process has the
//! directory open, the command opens the store itself and runs the daemon's side in a thread, so both cases take the same path.
//!
//! The protocol is private to one version of dantok: each side says [which version](VERSION) it speaks, and refuses any other.
//!
//! ```text
//! frame    kind u8 | length u32 | that many bytes
//! kinds    H hello, in both directions: JSON
//!          R request: JSON
//!          D data that belongs to the request
//!          P progress: JSON
//!          Z the end of the answer: JSON
//!          E an error message for whoever typed the command: text; nothing follows
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

/// The protocol's version, which goes up with every change to it.
pub const VERSION: u32 = 3;

/// What each side sends first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The side's [`VERSION`].
    pub control: u32,
    /// The side's release.
    pub dantok: String,
    /// From the daemon's side: the [store's epoch](Store::epoch).
    pub epoch: String,
    /// From the daemon's side: the store's [marks](dantok_store::Store::marks), oldest first. Older versions send none.
    #[serde(default)]
    pub marks: Vec<u64>,
}

/// What requests work on: the parts of a daemon, or those opened for the command.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The data directory.
    pub dir: &'a Path,
    /// The store.
    pub store: &'a Arc<Store>,
    /// The rooms.
    pub rooms: &'a Arc<Rooms>,
    /// Changes the rooms.
    pub committer: &'a Committer,
    /// How long messages are kept.
    pub retention: Duration,
}

impl<'a> Work<'a> {
    /// The parts of a daemon.
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
