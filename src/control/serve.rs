//! Serves one command's connection.

use std::io;

use super::{Hello, Request, VERSION, Wire, Work, hello};
use crate::error::Error;

/// Carries out a request: reads what belongs to it from the wire, and answers there.
pub type CarryOut = fn(Request, &mut Wire, &Work<'_>) -> Result<(), JobError>;

/// Why a request was not carried out.
#[derive(Debug)]
pub enum JobError {
    /// The connection is broken.
    Connection(io::Error),
    /// The command is told why.
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
        // It has been told which one this is, and says so itself.
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
