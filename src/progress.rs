//! Shows a command's progress on stderr: on a terminal one line that changes, elsewhere a line now and then.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often progress is shown where stderr is not a terminal …
const EVERY: Duration = Duration::from_secs(10);
/// … and where it is one.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// Shows progress.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    is_dirty: bool,
    at: Option<Instant>,
}

impl Default for Progress {
    fn default() -> Self {
        let is_shown = std::io::stderr().is_terminal();
        // Not on a terminal, a quick command shows nothing.
        Progress { is_shown, is_dirty: false, at: (!is_shown).then(Instant::now) }
    }
}

impl Progress {
    /// Shows progress, unless it was shown just now.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let every = if self.is_shown { SHOWN_EVERY } else { EVERY };
        if self.at.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.at = Some(Instant::now());
        if self.is_shown {
            eprint!("\r\x1b[K{}", what());
            self.is_dirty = true;
        } else {
            eprintln!("{}", what());
        }
    }

    /// Removes it from the terminal.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            eprint!("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
