//! A TAKE that waits, while the connection goes on with everything else.

use std::io;

use super::output::Items;
use super::{Connection, peer};
use crate::limits::KEEPALIVE_TAKING;
use crate::session::Take;
use dantok_protocol::{Refusal, Reply, Tag};

impl Connection {
    /// Has a TAKE tried from now on, with nothing before it unanswered.
    pub(super) fn begin_taking(&mut self, tag: Tag, take: Result<Take, Refusal>) {
        match take {
            Ok(take) => {
                self.socket.keep_alive(KEEPALIVE_TAKING);
                self.taking = Some(Box::new((tag, take)));
            }
            Err(refusal) => self.output.reply(&tag, Reply::Error(refusal)),
        }
    }

    /// Tries a TAKE that waits again; true where it is answered, so that what is behind it may go on. Where the peer sends nothing
    /// any more there is no telling whether anybody is there: what is new is not for it.
    pub(super) async fn go_on_taking(&mut self) -> io::Result<bool> {
        let Some(mut taking) = self.taking.take() else { return Ok(false) };
        let (tag, take) = &mut *taking;
        let is_over =
            self.ended || self.closing || self.socket.peer().has_ended || self.requests.is_interrupted(&self.input);
        let reply = if take.has_waited && is_over {
            Some(Reply::Count(0))
        } else {
            let mut out = Items::new(&mut self.output, Some(tag), &self.hub.pushed);
            Box::pin(peer::unless_gone(&self.socket, self.session.take(take, &mut out))).await??
        };
        let Some(reply) = reply.or_else(|| is_over.then_some(Reply::Count(0))) else {
            self.taking = Some(taking);
            return Ok(false);
        };
        self.output.reply(tag, reply);
        Ok(true)
    }
}
