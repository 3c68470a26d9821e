//! A TAKE that waits, while the pipeline goes on with everything else.

use std::io;

use super::{Edge, Peer, Pipeline, unless_gone};
use crate::session::Take;
use dantok_protocol::{Refusal, Reply, Tag};

impl Pipeline {
    /// Has a TAKE tried from now on, with nothing before it unanswered.
    pub(super) fn begin_taking(
        &mut self,
        tag: Tag,
        take: Result<Take, Refusal>,
        edge: &mut impl Edge,
        peer: &impl Peer,
    ) {
        match take {
            Ok(take) => {
                peer.watch_closely();
                self.taking = Some(Box::new((tag, take)));
            }
            Err(refusal) => edge.reply(&tag, Reply::Error(refusal)),
        }
    }

    /// Tries a TAKE that waits again; true where it is answered, so that what is behind it may go on. Where the peer sends nothing
    /// any more there is no telling whether anybody is there: what is new is not for it.
    pub(super) async fn go_on_taking<E: Edge>(&mut self, edge: &mut E, peer: &impl Peer) -> io::Result<bool> {
        let Some(mut taking) = self.taking.take() else { return Ok(false) };
        let (tag, take) = &mut *taking;
        let is_over = self.end.ended || self.end.closing || peer.has_ended() || edge.is_interrupted();
        let reply = if take.has_waited && is_over {
            Some(Reply::Count(0))
        } else {
            let mut items = edge.items(Some(tag));
            Box::pin(unless_gone(peer, self.session.take(take, &mut items))).await??
        };
        let Some(reply) = reply.or_else(|| is_over.then_some(Reply::Count(0))) else {
            self.taking = Some(taking);
            return Ok(false);
        };
        edge.reply(tag, reply);
        Ok(true)
    }
}
