//! How long a peer is listened to that goes on asking for more than it may.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use dantok_protocol::Refusal;

/// So many refusals more than requests granted, and the peer is not read from for a while.
const REFUSALS_MAX: u32 = 64;
/// A refused request counts once more for each so many bytes of its body.
const REFUSAL_BYTES: usize = 4096;
/// Long enough that what is refused meanwhile costs next to nothing, short enough that a peer that gave up is soon found out.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Each pause is twice as long as the one before it, unless that is longer ago than this: what wakes the daemon ten times a second
/// is felt by others.
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

    /// A request with a body of so many bytes was refused: it had come too soon.
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

    /// Whether nothing is to be taken from the peer now.
    pub(super) fn is_over(&self) -> bool {
        self.pause.is_some()
    }

    /// It is listened to again.
    pub(super) fn restore(&mut self) {
        self.pause = None;
    }

    /// What a pause ends by.
    pub(super) fn pause(&mut self) -> &mut Option<Pin<Box<Sleep>>> {
        &mut self.pause
    }
}
