//! What all connections share: the rooms, the store, the committer, the settings and the figures.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::committer::Committer;
use crate::figures::Figures;
use crate::hooks::Hooks;
use crate::person::People;
use crate::pushed::Pushed;
use crate::reader::Reader;
use crate::rooms::Rooms;
use crate::settings::Live;
use crate::survey::{Survey, Surveyed};
use crate::tokens::Tokens;
use dantok_store::Store;

/// The shared parts of a daemon.
#[derive(Debug)]
pub struct Hub {
    /// The rooms, and who is connected.
    pub rooms: Arc<Rooms>,
    /// The store, for reading.
    pub store: Arc<Store>,
    /// Reads rooms from the store.
    pub reader: Reader,
    /// The only way to change anything.
    pub committer: Committer,
    /// Connected people, each with their rate limits.
    pub people: People,
    /// Who may connect, and as whom.
    pub tokens: Arc<Tokens>,
    /// Which hooks write where.
    pub hooks: Arc<Hooks>,
    /// The settings in effect, which an operator may change.
    pub settings: Arc<Live>,
    /// Counters since the start.
    pub figures: Arc<Figures>,
    /// Cancelled when the daemon stops, so that nothing waits any longer.
    pub stopping: CancellationToken,
    /// Encoded pages that one follower was pushed, for the others.
    pub pushed: Pushed,
    /// The latest survey.
    pub surveyed: Surveyed,
}

impl Hub {
    /// Surveys the rooms and the store; see [`Surveyed::get`]. Blocks.
    pub fn survey(&self) -> Survey {
        self.surveyed.get(&self.rooms, &self.reader)
    }

    /// The figures that STATS shows. Blocks.
    pub fn stats(&self) -> Vec<(String, u64)> {
        let (figures, survey, store) = (&self.figures, self.survey(), self.store.figures());
        let (queued, in_flight) = self.committer.waiting();
        let seconds = |age: Option<Duration>| age.unwrap_or_default().as_secs();
        [
            ("uptime", figures.started.elapsed().as_secs()),
            ("connections", figures.connections()),
            ("rooms", survey.rooms),
            ("commits", figures.commits.get()),
            ("messages", figures.messages.get()),
            ("bytes", figures.bytes.get()),
            ("handed", figures.handed.get()),
            ("journal-memory", store.unmoved_bytes),
            ("recent-memory", store.recent_bytes),
            ("store-disk", survey.disk_bytes),
            ("handed-bytes", figures.handed_bytes.get()),
            ("received", figures.received_bytes.get()),
            ("sent", figures.sent_bytes.get()),
            ("accepted", figures.accepted.get()),
            ("turned-away", figures.turned_away().map(|(_, count)| count).sum()),
            ("errors", figures.errors().map(|(_, count)| count).sum()),
            ("memberships", survey.memberships),
            ("followers", survey.followers),
            ("lag", survey.lag),
            ("stored", survey.stored_messages),
            ("stored-bytes", survey.stored_bytes),
            ("expired", store.expired_messages),
            ("oldest", survey.oldest.as_secs()),
            ("oldest-unread", seconds(survey.oldest_unread)),
            ("oldest-undone", seconds(survey.oldest_undone)),
            ("queued", queued),
            ("in-flight", in_flight),
            ("free-disk", store.free_bytes.unwrap_or(0)),
            ("refuses-writes", u64::from(store.is_short_of_space || store.has_failed)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}
