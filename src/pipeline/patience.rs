//! Pauses reading from a peer that keeps exceeding its rate limit.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use dantok_protocol::Refusal;

/// After this many more refused than granted requests, the peer is not read from for a while.
const REFUSALS_MAX: u32 = 64;
/// A refused request counts once more for every this many bytes of its body.
const REFUSAL_BYTES: usize = 4096;
/// Long enough that refusing requests costs next to nothing, and short enough to notice soon that a peer has stopped.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Each pause is twice as long as the one before, unless that began longer ago than this: others would notice a peer that wakes the
/// daemon ten times per second.
const PAUSE_FORGOTTEN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(super) struct Patience {
    refusals: u32,
    /// The last pause: when it began, and how long it was.
    last: Option<(Instant, Duration)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// A request was granted.
    pub(super) fn granted(&mut self) {
        self.refusals = self.refusals.saturating_sub(1);
    }

    /// A request with a body of this many bytes exceeded the rate limit and was refused.
    pub(super) fn refused(&mut self, refusal: &Refusal, body_bytes: usize) {
        self.refusals += 1 + u32::try_from(body_bytes / REFUSAL_BYTES).unwrap_or(REFUSALS_MAX);
        if self.refusals >= REFUSALS_MAX {
            self.refusals = 0;
            let now = Instant::now();
            let grown =
                self.last.filter(|(began, _)| now - *began < PAUSE_FORGOTTEN).map_or(PAUSE_MIN, |(_, last)| last * 2);
            let wait = Duration::from_millis(refusal.wait_ms.unwrap_or(0));
            let pause = wait.max(grown).clamp(PAUSE_MIN, PAUSE_MAX);
            self.last = Some((now, pause));
            self.pause = Some(Box::pin(sleep_until(now + pause)));
        }
    }

    /// Whether the peer is not read from now.
    pub(super) fn is_exhausted(&self) -> bool {
        self.pause.is_some()
    }

    /// Ends the pause.
    pub(super) fn end_pause(&mut self) {
        self.pause = None;
    }

    /// The timer of the current pause.
    pub(super) fn pause(&mut self) -> &mut Option<Pin<Box<Sleep>>> {
        &mut self.pause
    }
}
