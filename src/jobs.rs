//! What commands ask for, carried out on a data directory [by its daemon or by the command itself](crate::control).

use crate::backup::cut;
use crate::control::{JobError, Request, Wire, Work};
use crate::{export, import, lookup};

/// Carries out a command's request.
///
/// # Errors
/// The connection is broken, or the request can't be carried out.
pub fn carry_out(request: Request, wire: &mut Wire, work: &Work<'_>) -> Result<(), JobError> {
    match request {
        Request::Backup { after, base } => cut::produce(wire, work, &after, base),
        Request::Export(asked) => export::produce(wire, work, &asked),
        Request::Import { room } => import::receive(wire, work, &room),
        Request::Room { name } => lookup::produce(wire, work, &name),
    }
}
