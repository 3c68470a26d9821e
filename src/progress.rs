//! How far a command is, on stderr: one line that changes for whoever watches, now and then a line where nobody does.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often it is said where nobody watches …
const EVERY: Duration = Duration::from_secs(10);
/// … and where somebody does.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    is_dirty: bool,
    at: Option<Instant>,
}

impl Default for Progress {
    fn default() -> Self {
        let is_shown = std::io::stderr().is_terminal();
        // A command that is done in no time says nothing on the way.
        Progress { is_shown, is_dirty: false, at: (!is_shown).then(Instant::now) }
    }
}

impl Progress {
    /// Says how far it is, unless it was said just before.
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

    /// Leaves nothing of it on the terminal.
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
