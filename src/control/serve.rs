//! Serves the connection of one command.

use std::io;

use super::{Hello, Request, VERSION, Wire, Work, hello};
use crate::error::Error;

/// Carries out a request, with its data and its answer on the wire.
pub type CarryOut = fn(Request, &mut Wire, &Work<'_>) -> Result<(), JobError>;

/// Why a request was not carried out.
#[derive(Debug)]
pub enum JobError {
    /// The connection is broken.
    Connection(io::Error),
    /// The request failed, and the command is told why.
    Failed(Error),
}

impl From<io::Error> for JobError {
    fn from(error: io::Error) -> Self {
        JobError::Connection(error)
    }
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        JobError::Failed(error)
    }
}

impl From<dantok_store::Error> for JobError {
    fn from(error: dantok_store::Error) -> Self {
        JobError::Failed(error.into())
    }
}

/// Serves a connection to its end.
///
/// # Errors
/// The connection is broken.
pub fn serve(wire: &mut Wire, work: &Work<'_>, carry_out: CarryOut) -> io::Result<()> {
    wire.send_json(b'H', &hello(work.store))?;
    let Some(theirs) = wire.receive()? else { return Ok(()) };
    if theirs.json::<Hello>()?.control != VERSION {
        // It knows this version from the hello, and reports the difference itself.
        return Ok(());
    }
    while let Some(request) = wire.receive()? {
        match carry_out(request.json()?, wire, work) {
            Ok(()) => {}
            Err(JobError::Connection(error)) => return Err(error),
            Err(JobError::Failed(error)) => return wire.send(b'E', error.to_string().as_bytes()),
        }
    }
    Ok(())
}
