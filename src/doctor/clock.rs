//! The wall clock: the times that messages show. No message's age depends on it.

use std::path::Path;

use super::{Finding, Level};

/// Where systemd-timesyncd announces that it has set the clock.
const ANNOUNCED: &str = "/run/systemd/timesync";

pub(super) fn findings() -> Vec<Finding> {
    vec![synchronized(), announced(Path::new(ANNOUNCED)), boot_id()]
}

fn synchronized() -> Finding {
    const LATER: &str = "the times that messages show may be wrong, and stand still after the clock is set back; ages do not depend on it";
    match kernel_state() {
        Some((true, error_us)) => {
            Finding::new("clock", Level::Fine, format!("synchronized to within {} ms", error_us / 1000))
        }
        Some((false, _)) => Finding::new("clock", Level::Warning, format!("not synchronized: {LATER}")),
        None => Finding::new(
            "clock",
            Level::Warning,
            format!("the kernel does not say whether it is synchronized: {LATER}"),
        ),
    }
}

/// Whether the kernel's clock is synchronized, and its maximum error in microseconds.
#[allow(unsafe_code)] // None of our dependencies has a safe adjtimex.
fn kernel_state() -> Option<(bool, i64)> {
    // SAFETY: all of timex is integers, for which zero is valid; with `modes` 0, adjtimex only reads the kernel's state into it.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    let synchronized = state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0;
    (state >= 0).then_some((synchronized, timex.maxerror))
}

/// Whether a program can learn by inotify when the clock is set after boot.
fn announced(dir: &Path) -> Finding {
    use rustix::fs::inotify;
    let watched = inotify::init(inotify::CreateFlags::CLOEXEC)
        .and_then(|watch| inotify::add_watch(&watch, dir, inotify::WatchFlags::CREATE));
    match watched {
        Ok(_) => Finding::new("time sync", Level::Fine, format!("announced in {}", dir.display())),
        Err(error) => Finding::new(
            "time sync",
            Level::Warning,
            format!(
                "{}: {error}: nothing announces when the clock is set after boot, so start the daemon after time-sync.target",
                dir.display()
            ),
        ),
    }
}

fn boot_id() -> Finding {
    if dantok_store::clock::boot_id().is_empty() {
        let text = "unknown: time while the daemon is down does not count towards ages, so messages are kept longer";
        Finding::new("boot id", Level::Warning, text)
    } else {
        Finding::new("boot id", Level::Fine, "known: ages keep counting across restarts of the daemon")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_announced_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(announced(dir.path()).level, Level::Fine);
        assert_eq!(announced(&dir.path().join("none")).level, Level::Warning);
    }
}
