//! Notifies the service manager by the protocol of sd_notify(3). Does nothing if there is none.

use std::sync::Weak;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::hub::Hub;
use crate::liveness::Liveness;

/// How often to ask for more time while the store opens …
const EXTEND_EVERY: Duration = Duration::from_secs(10);
/// … and how much.
const EXTEND_BY: Duration = Duration::from_secs(60);

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "can't notify the service manager ($NOTIFY_SOCKET)");
    }
}

fn extend(by: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))
}

/// Asks for more time for as long as this is polled, because everything that the last daemon left has to be read.
pub(super) async fn opening() {
    loop {
        notify(&[NotifyState::Status("opening the store"), extend(EXTEND_BY)]);
        tokio::time::sleep(EXTEND_EVERY).await;
    }
}

/// The daemon serves from now on.
pub(super) fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is being read again; [`ready`] says when that is over.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now, NotifyState::Status("reading the configuration again")]),
        Err(error) => tracing::warn!(%error, "can't read the monotonic clock"),
    }
}

/// No connection is accepted any more; open ones have this long to read their last answers.
pub(super) fn stopping(drain_timeout: Duration) {
    let states = [NotifyState::Stopping, NotifyState::Status("stopping"), extend(drain_timeout + EXTEND_BY)];
    notify(&states);
}

/// Notifies the watchdog, if there is one (`WatchdogSec=`), each time commits have been shown to complete. None do while the disk hangs;
/// then the daemon is killed and restarted, because nothing else ends a thread that waits for a disk.
pub(super) async fn watch(hub: Weak<Hub>, liveness: Liveness) {
    let Some(timeout) = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero()) else { return };
    loop {
        let proof = liveness.proven();
        tokio::pin!(proof);
        let proven = match tokio::time::timeout(timeout / 2, &mut proof).await {
            Ok(proven) => proven,
            Err(_) => {
                tracing::error!(
                    "no commit has completed for {}; the watchdog ends the daemon if none does soon",
                    dantok_protocol::units::in_words(timeout / 2)
                );
                proof.await
            }
        };
        // A daemon that is stopping logs why, and ends by itself.
        let (Ok(()), Some(hub)) = (proven, hub.upgrade()) else { return };
        let status = format!(
            "serving: {} connections, {} rooms, {} messages since the start",
            hub.figures.connections(),
            hub.rooms.count(),
            hub.figures.messages.get()
        );
        drop(hub);
        notify(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        tokio::time::sleep(timeout / 4).await;
    }
}
