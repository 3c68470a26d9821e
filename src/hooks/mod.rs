//! Incoming hooks: URLs by which programs write into one room each. The secrets in them are kept as hashes, in a file beside the store.
//! `dantok hook` changes it, and a running daemon reads it again at the next request after a change.
//!
//! A hook is bound to a room's number, not to its name: a room that is deleted and made again is another room. Its messages are sent by
//! the client `hook/NAME`. Nobody can be that client, because HELLO refuses the person `hook`; and nobody's messages look
//! like it, because all others are signed with a person's name, which has no slash.

pub mod command;
mod file;
mod ledger;
pub mod payload;
mod strangers;

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq;

use crate::error::{Error, READ_HOOKS as READ};
use crate::secrets::{self, Stamp, hash, stamp};
use file::Contents;
pub use file::{Hook, Key, NAME};
use ledger::Ledger;
use strangers::Strangers;
pub use strangers::TooMany;

/// What the daemon knows of the file.
#[derive(Debug)]
struct Known {
    hooks: Vec<Hook>,
    stamp: Option<Stamp>,
    /// Whether it was logged that the file can't be read.
    complained: bool,
}

/// The hooks of a running daemon.
#[derive(Debug)]
pub struct Hooks {
    path: PathBuf,
    known: Mutex<Known>,
    strangers: Strangers,
}

fn read(path: &Path) -> Result<Option<(Stamp, Vec<Hook>)>, Error> {
    let found = secrets::read::<Contents>(path, READ)?;
    Ok(found.map(|(stamp, contents)| (stamp, contents.hook)))
}

impl Hooks {
    /// Reads the file of a data directory, if there is one.
    ///
    /// # Errors
    /// I/O errors; the file is not a list of hooks, with the line.
    pub fn open(data_dir: &Path) -> Result<Hooks, Error> {
        let path = data_dir.join(NAME);
        let (stamp, hooks) = read(&path)?.unzip();
        let known = Known { hooks: hooks.unwrap_or_default(), stamp, complained: false };
        Ok(Hooks { path, known: Mutex::new(known), strangers: Strangers::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic leaves nothing half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file again if it has changed. Without a file there are no hooks; one that can't be read changes nothing.
    pub fn refresh(&self) {
        let mut known = self.known();
        let found = match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(stamp(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(READ, &self.path)(error)),
        };
        match found {
            Ok(stamp) if stamp == known.stamp => known.complained = false,
            Ok(stamp) => match read(&self.path) {
                Ok(found) => {
                    let (stamp, hooks) = found.unzip();
                    *known = Known { hooks: hooks.unwrap_or_default(), stamp, complained: false };
                    tracing::info!(path = %self.path.display(), hooks = known.hooks.len(), "the hooks have changed");
                }
                Err(error) => {
                    // A malformed file is not read again before it changes; one that could not be read is.
                    if matches!(error, Error::Malformed { .. }) {
                        known.stamp = stamp;
                    }
                    known.complain(&error);
                }
            },
            Err(error) => known.complain(&error),
        }
    }

    /// The hook of this secret, by the file as it is now.
    pub fn find(&self, secret: &str) -> Option<Hook> {
        self.refresh();
        let shown = hash(secret);
        let mut found = None;
        for hook in &self.known().hooks {
            // All of them are compared, in full.
            if bool::from(shown.as_bytes().ct_eq(hook.sha256.as_bytes())) {
                found = Some(hook.clone());
            }
        }
        found
    }

    /// Counts a request of this address for a hook that does not exist.
    pub fn missed(&self, address: IpAddr) -> Option<TooMany> {
        self.strangers.missed(address)
    }

    /// Binds a hook to the room of this number, for good. Returns it as it is bound; none if it was removed. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn bind(&self, hook: &Hook, number: u64) -> Result<Option<Hook>, Error> {
        Ledger::open(&self.path)?.bind(&hook.sha256, number)
    }
}

impl Known {
    /// Logs an error once, not at every check.
    fn complain(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.complained, true) || matches!(error, Error::Malformed { .. }) {
            tracing::error!("{error}; the hooks stay as they were");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn ledger(dir: &Path) -> Ledger {
        Ledger::open(&dir.join(NAME)).unwrap()
    }

    #[test]
    fn a_secret_finds_its_hook_until_that_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let hooks = Hooks::open(dir.path()).unwrap();
        assert_eq!(hooks.find(""), None);
        let ci = ledger(dir.path()).add("ci", "general", Some(5), None).unwrap();
        let ops = ledger(dir.path()).add("ops", "ops", None, Some(Key("it's a secret".into()))).unwrap();
        assert_eq!(ci.len(), 2 * secrets::SECRET_BYTES);
        let found = hooks.find(&ci).unwrap();
        assert_eq!((found.client().as_str(), &*found.room, found.number), ("hook/ci", "general", Some(5)));
        assert_eq!(hooks.find(&ops).unwrap().github_secret, Some(Key("it's a secret".into())));
        for wrong in ["", "0", &ci[1..], &ci.to_uppercase()] {
            assert_eq!(hooks.find(wrong), None, "{wrong}");
        }
        assert_eq!(ledger(dir.path()).remove("ci").unwrap(), Some(found));
        assert_eq!((hooks.find(&ci), ledger(dir.path()).remove("ci").unwrap()), (None, None));
        std::fs::write(dir.path().join(NAME), "[[hook]]\nname = 5").unwrap();
        assert!(hooks.find(&ops).is_some(), "what can't be read changes nothing");
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        assert_eq!(hooks.find(&ops), None);
    }

    #[test]
    fn the_file_holds_no_secret_of_a_url_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let secret = ledger(dir.path()).add("ci", "general", None, Some(Key("signs".into()))).unwrap();
        let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert!(!text.contains(&secret) && text.contains("github-secret = \"signs\""), "{text}");
        assert_eq!(std::fs::metadata(dir.path().join(NAME)).unwrap().mode() & 0o777, 0o600);
        let shown = format!("{:?}", Hooks::open(dir.path()).unwrap());
        assert!(!shown.contains("signs"), "{shown}");
    }

    #[test]
    fn a_hook_is_bound_once() {
        let dir = tempfile::tempdir().unwrap();
        let secret = ledger(dir.path()).add("ci", "general", None, None).unwrap();
        let hooks = Hooks::open(dir.path()).unwrap();
        let hook = hooks.find(&secret).unwrap();
        let bound = |number| hooks.bind(&hook, number).unwrap().map(|hook| hook.number);
        assert_eq!((bound(7), bound(8)), (Some(Some(7)), Some(Some(7))));
        assert_eq!(hooks.find(&secret).unwrap().number, Some(7));
        ledger(dir.path()).remove("ci").unwrap();
        assert_eq!(bound(9), None);
    }
}
