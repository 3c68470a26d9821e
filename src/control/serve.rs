//! One command, carried out.

use std::io;

use super::{Hello, Request, VERSION, Wire, Work, hello};
use crate::backup::cut;
use crate::error::Error;
use crate::{export, import};

/// Why a command's connection ends before the command does.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The connection is broken.
    Connection(io::Error),
    /// The command is told why.
    Told(Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Connection(error)
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Ended::Told(error)
    }
}

impl From<dantok_store::Error> for Ended {
    fn from(error: dantok_store::Error) -> Self {
        Ended::Told(error.into())
    }
}

/// Serves a connection to its end.
///
/// # Errors
/// The connection is broken.
pub fn serve(wire: &mut Wire, work: &Work<'_>) -> io::Result<()> {
    wire.send_json(b'H', &hello(work.store))?;
    let Some(theirs) = wire.receive()? else { return Ok(()) };
    if theirs.json::<Hello>()?.control != VERSION {
        // It has been told which one this is, and says so itself.
        return Ok(());
    }
    while let Some(request) = wire.receive()? {
        match carry_out(request.json()?, wire, work) {
            Ok(()) => {}
            Err(Ended::Connection(error)) => return Err(error),
            Err(Ended::Told(error)) => return wire.send(b'E', error.to_string().as_bytes()),
        }
    }
    Ok(())
}

fn carry_out(request: Request, wire: &mut Wire, work: &Work<'_>) -> Result<(), Ended> {
    match request {
        Request::Backup { after, base } => cut::produce(wire, work, &after, base),
        Request::Export(asked) => export::produce(wire, work, &asked),
        Request::Import { room } => import::take(wire, work, &room),
    }
}
