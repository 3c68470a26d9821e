//! A TAKE that waits while pushes go on.

use std::io;

use super::{Edge, Peer, Pipeline, unless_gone};
use crate::session::Take;
use dantok_protocol::{Refusal, Reply, Tag};

impl Pipeline {
    /// Starts to try a TAKE, when everything before it has been answered.
    pub(super) fn start_take(&mut self, tag: Tag, take: Result<Take, Refusal>, edge: &mut impl Edge, peer: &impl Peer) {
        match take {
            Ok(take) => {
                peer.watch_closely();
                self.taking = Some(Box::new((tag, take)));
            }
            Err(refusal) => edge.reply(&tag, Reply::Error(refusal)),
        }
    }

    /// Tries a waiting TAKE again; true if it was answered, so that requests after it can go on. If the peer has stopped sending, it may be
    /// gone, so it gets no messages that arrived while the TAKE waited.
    pub(super) async fn retry_take<E: Edge>(&mut self, edge: &mut E, peer: &impl Peer) -> io::Result<bool> {
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
