//! Finds the number of a room, for commands that are about one.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::control::{self, CarryOut, JobError, Request, Wire, Work};
use crate::error::Error;

/// A room as commands know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// Its name, as it is stored.
    pub name: String,
}

/// The room of this name; none if there is none.
///
/// # Errors
/// What went wrong, for whoever typed the command.
pub fn room(config: &Config, carry_out: CarryOut, name: &str) -> Result<Option<Found>, Error> {
    let mut connection = control::connect(&config.data_dir, &config.limits, carry_out)?;
    connection.ask(&Request::Room { name: name.to_owned() })?;
    let frame = connection.receive()?;
    connection.json(&frame)
}

/// The daemon's side.
pub(crate) fn produce(wire: &mut Wire, work: &Work<'_>, name: &str) -> Result<(), JobError> {
    let found = work.rooms.find(name).map(|room| Found { number: room.id, name: room.name.to_string() });
    Ok(wire.send_json(b'Z', &found)?)
}
