//! What every connection shares: the rooms, the store, the way to the committer, the settings and the figures.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::committer::Committer;
use crate::figures::Figures;
use crate::person::People;
use crate::pushed::Pushed;
use crate::reader::Reader;
use crate::rooms::Rooms;
use crate::settings::Live;
use crate::survey::{Survey, Surveyed};
use crate::tokens::Tokens;
use dantok_store::Store;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    /// The rooms, and who is here.
    pub rooms: Arc<Rooms>,
    /// The store, to read.
    pub store: Arc<Store>,
    /// Reads rooms from it.
    pub reader: Reader,
    /// The only way to change anything.
    pub committer: Committer,
    /// Who is connected, with what each may ask for.
    pub people: People,
    /// Who may be whom.
    pub tokens: Arc<Tokens>,
    /// What an operator sets, and may set anew.
    pub settings: Arc<Live>,
    /// What has happened so far.
    pub figures: Arc<Figures>,
    /// Cancelled when the daemon stops: what waits is to wait no more.
    pub stopping: CancellationToken,
    /// What was pushed to one follower and may be to others.
    pub pushed: Pushed,
    /// How everything was a moment ago.
    pub surveyed: Surveyed,
}

impl Hub {
    /// How everything is; see [`Surveyed::get`]. Blocks.
    pub fn survey(&self) -> Survey {
        self.surveyed.get(&self.rooms, &self.reader)
    }

    /// STATS. Blocks.
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
