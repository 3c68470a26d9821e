//! Who may connect, and as whom: tokens, each bound to a client. They are kept as hashes in a file beside the store. `dantok token` changes
//! it, and a running daemon reads it again as soon as it changes.
//!
//! A token is 160 random bits, so a plain SHA-256 of it gives nothing away: there is no dictionary of such tokens to try. Hashes are
//! compared in constant time, and a denial reveals nothing by its text or timing; see
//! [`DENIED_AFTER`](crate::limits::DENIED_AFTER).

pub mod command;
mod file;
mod ledger;
pub mod mark;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use subtle::{Choice, ConstantTimeEq};

use crate::error::{Error, READ_TOKENS as READ};
use crate::secrets::{Stamp, hash, stamp};
use file::{PREFIX, read};
pub use file::{Role, Token};

/// What a token has granted a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token's hash; none if there were no tokens.
    sha256: Option<Arc<str>>,
    /// What the client may do.
    pub role: Role,
}

impl Grant {
    /// What needs no token.
    pub fn none() -> Grant {
        Grant { sha256: None, role: Role::Member }
    }

    /// Whether no token was needed.
    pub fn is_open(&self) -> bool {
        self.sha256.is_none()
    }
}

/// What the daemon knows of the tokens file.
#[derive(Debug)]
struct Known {
    /// None: there never was a file, and anybody may be any client.
    tokens: Option<Vec<Token>>,
    stamp: Option<Stamp>,
    /// When the next valid token expires.
    next_end: Option<SystemTime>,
    changes: u64,
    /// Whether it was logged that the file can't be read.
    complained: bool,
    /// Whether the store remembers that there are tokens.
    noted: bool,
}

/// The tokens of a running daemon.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    /// The data directory, which remembers that there are tokens.
    data_dir: Option<PathBuf>,
    known: Mutex<Known>,
}

impl Tokens {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// I/O errors; the file is not a list of tokens, with the line.
    pub fn open(path: &Path) -> Result<Tokens, Error> {
        let (stamp, tokens) = read(path)?.unzip();
        let mut known = Known { tokens, stamp, next_end: None, changes: 0, complained: false, noted: false };
        known.note_next_end();
        Ok(Tokens { path: path.to_owned(), data_dir: None, known: Mutex::new(known) })
    }

    /// Reads the tokens of a daemon's store. `is_named`: the file was named explicitly. `is_open`: without tokens, anybody may be any client.
    ///
    /// # Errors
    /// As [`open`](Tokens::open). The file is missing although it was named, or although the store has had tokens and is not open: a
    /// lost or mistyped file lets nobody in.
    pub fn of_store(path: &Path, is_named: bool, data_dir: &Path, is_open: bool) -> Result<Tokens, Error> {
        let tokens = Tokens { data_dir: Some(data_dir.to_owned()), ..Tokens::open(path)? };
        if let Some(found) = &tokens.known().tokens {
            found.is_empty().then(|| warn_of_none(path));
        }
        if tokens.are_wanted() {
            return Ok(tokens);
        }
        let is_link = path.is_symlink();
        let refuse = |why: String| Err(Error::NoTokens { path: path.to_owned(), is_link, why });
        let make = "make one with `dantok token issue NAME`";
        if is_named {
            let path = path.display();
            return refuse(format!("name the right one with --tokens, {make} --tokens {path}, or omit --tokens"));
        }
        let (noted, or_open) = (mark::read(data_dir)?, "or use --open to let anyone connect as any client");
        match noted {
            Some(_) if is_open => Ok(tokens),
            Some(other) if other != path => refuse(format!(
                "this store's tokens were last in {other}: use --tokens {other}, {make}, {or_open}",
                other = other.display()
            )),
            Some(_) => refuse(format!("this store has had tokens: restore the file, {make}, {or_open}")),
            None if is_link => refuse(format!("restore the file, remove the link, or {make}")),
            None => Ok(tokens),
        }
    }

    /// Has the store remember that there are tokens, if there are.
    ///
    /// # Errors
    /// I/O errors.
    pub fn note(&self) -> Result<(), Error> {
        self.known().note(&self.path, self.data_dir.as_deref())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic leaves nothing half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether clients need a token.
    pub fn are_wanted(&self) -> bool {
        self.known().tokens.is_some()
    }

    /// Reads the file again if it has changed. Returns a number that changes whenever a grant may no longer hold.
    ///
    /// If the file is gone or can't be read, the tokens stay as they were: nobody is let in or shut out by that.
    pub fn refresh(&self) -> u64 {
        let mut known = self.known();
        let found = match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(stamp(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(READ, &self.path)(error)),
        };
        match found {
            Ok(stamp) if stamp == known.stamp => known.complained = false,
            Ok(stamp) => match read(&self.path) {
                Ok(None) => known.complain(&Error::io(READ, &self.path)(ErrorKind::NotFound.into())),
                Ok(Some((stamp, tokens))) => {
                    known.complained = false;
                    (known.tokens, known.stamp) = (Some(tokens), Some(stamp));
                    known.changes += 1;
                    let count = known.tokens.as_ref().map(Vec::len);
                    tracing::info!(path = %self.path.display(), tokens = count, "the tokens have changed");
                    if count == Some(0) {
                        warn_of_none(&self.path);
                    }
                    if let Err(error) = known.note(&self.path, self.data_dir.as_deref()) {
                        tracing::error!("{error}");
                    }
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
        if known.next_end.is_some_and(|end| end <= SystemTime::now()) {
            known.changes += 1;
        }
        known.note_next_end();
        known.changes
    }

    /// Reads the file again, and logs what is wrong with it even if that was logged before.
    pub fn refresh_aloud(&self) -> u64 {
        self.known().complained = false;
        self.refresh()
    }

    /// The client that a valid token is bound to: a person, or one of their devices.
    pub fn client_of(&self, token: &str) -> Option<String> {
        let known = self.known();
        let found = find(known.tokens.as_deref()?, token);
        found.filter(|found| !found.has_expired()).map(|found| found.client.clone())
    }

    /// What a token grants this client; none if nothing.
    pub fn admit(&self, client: &str, token: Option<&str>) -> Option<Grant> {
        let known = self.known();
        let Some(tokens) = &known.tokens else { return Some(Grant::none()) };
        // The same work without a token.
        let found = find(tokens, token.unwrap_or(PREFIX));
        let found =
            found.filter(|found| bool::from(is(token.is_some()) & is(found.serves(client)) & is(!found.has_expired())));
        found.map(|found| Grant { sha256: Some(found.sha256.as_str().into()), role: found.role })
    }

    /// Whether there is a token for such a client.
    pub fn name(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.known().tokens.iter().flatten().any(|token| is_meant(&token.client))
    }

    /// Whether a grant still holds.
    pub fn hold(&self, grant: &Grant) -> bool {
        match (&self.known().tokens, &grant.sha256) {
            (None, granted) => granted.is_none(),
            (Some(_), None) => false,
            (Some(tokens), Some(granted)) => tokens
                .iter()
                .any(|token| *token.sha256 == **granted && token.role == grant.role && !token.has_expired()),
        }
    }
}

/// The token with the hash of this one.
fn find<'a>(tokens: &'a [Token], shown: &str) -> Option<&'a Token> {
    let shown = hash(shown);
    let mut found = None;
    for token in tokens {
        // All of them are compared, in full.
        if bool::from(shown.as_bytes().ct_eq(token.sha256.as_bytes())) {
            found = Some(token);
        }
    }
    found
}

fn warn_of_none(path: &Path) {
    tracing::warn!(path = %path.display(), "there is no token in the file: nobody can connect until one is issued");
}

fn is(what: bool) -> Choice {
    Choice::from(u8::from(what))
}

impl Known {
    /// Logs an error once, not at every check.
    fn complain(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.complained, true) || matches!(error, Error::Malformed { .. }) {
            tracing::error!("{error}; the tokens stay as they were");
        }
    }

    /// Durably: if the file is lost, it must not look as if there never was one.
    fn note(&mut self, path: &Path, data_dir: Option<&Path>) -> Result<(), Error> {
        if let (Some(_), false, Some(dir)) = (&self.tokens, self.noted, data_dir) {
            mark::set(dir, path)?;
            self.noted = true;
        }
        Ok(())
    }

    fn note_next_end(&mut self) {
        let ends = self.tokens.iter().flatten().filter(|token| !token.has_expired()).filter_map(|token| token.expires);
        self.next_end = ends.min();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::ledger::{Ledger, Revoked};
    use super::*;

    fn ledger(dir: &Path) -> (PathBuf, Ledger) {
        let path = dir.join("tokens.toml");
        let ledger = Ledger::open(&path).unwrap();
        (path, ledger)
    }

    #[test]
    fn a_token_serves_its_client_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut ledger) = ledger(dir.path());
        let alice = ledger.issue("alice", Role::Member, None).unwrap();
        let phone = ledger.issue("bob/phone", Role::Admin, None).unwrap();
        let old = ledger.issue("carol", Role::Member, Some(Duration::ZERO)).unwrap();
        let tokens = Tokens::open(&path).unwrap();
        let may = |client: &str, token: Option<&str>| tokens.admit(client, token).map(|grant| grant.role);
        assert_eq!(may("alice", Some(&alice)), Some(Role::Member));
        assert_eq!(may("alice/desk", Some(&alice)), Some(Role::Member));
        assert_eq!(may("bob/phone", Some(&phone)), Some(Role::Admin));
        for (client, token) in [
            ("alice", None),
            ("alice", Some("dantok_0")),
            ("alice", Some(phone.as_str())),
            ("bob", Some(&phone)),
            ("bob/desk", Some(&phone)),
            ("alicex", Some(&alice)),
            ("carol", Some(&old)),
        ] {
            assert_eq!(may(client, token), None, "{client} {token:?}");
        }
        let of = |token: &str| tokens.client_of(token);
        assert_eq!((of(&alice), of(&phone)), (Some("alice".to_owned()), Some("bob/phone".to_owned())));
        assert_eq!((of(&old), of("dantok_0"), of("")), (None, None, None));
    }

    #[test]
    fn the_file_holds_no_token_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut ledger) = ledger(dir.path());
        let token = ledger.issue("alice", Role::Member, None).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(token.strip_prefix(PREFIX).unwrap()) && text.contains("alice"), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_person_is_revoked_with_her_devices_and_one_device_or_id_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut ledger) = ledger(dir.path());
        let issue = |ledger: &mut Ledger| {
            for client in ["alice", "alice/phone", "alice/desk", "alicex", "alice.b/phone", "al", "bob/alice"] {
                ledger.issue(client, Role::Member, None).unwrap();
            }
            ledger.issue("alice/desk", Role::Admin, Some(Duration::ZERO)).unwrap();
        };
        issue(&mut ledger);
        let clients = |tokens: &[Token]| tokens.iter().map(|token| token.client.clone()).collect::<Vec<_>>();
        let Revoked { revoked, remaining } = ledger.revoke("alice/phone").unwrap();
        assert_eq!(clients(&revoked), ["alice/phone"]);
        assert_eq!(clients(&remaining), ["alice", "alice/desk", "alice/desk"]);
        let id = remaining[1].id.clone();
        let Revoked { revoked, remaining } = ledger.revoke(&id).unwrap();
        assert_eq!(
            (clients(&revoked), clients(&remaining)),
            (vec!["alice/desk".into()], vec!["alice".into(), "alice/desk".into()])
        );
        let Revoked { revoked, remaining } = ledger.revoke("alice").unwrap();
        assert_eq!((clients(&revoked), remaining), (vec!["alice".into(), "alice/desk".into()], vec![]));
        assert_eq!(clients(ledger.tokens()), ["alicex", "alice.b/phone", "al", "bob/alice"]);
        for nobody in ["alice", "alice/phone", "", "/", "bob/", "ali"] {
            assert_eq!(ledger.revoke(nobody).unwrap().revoked, [], "{nobody}");
        }
    }

    #[test]
    fn changes_are_seen_and_a_file_that_is_gone_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut ledger) = ledger(dir.path());
        let tokens = Tokens::open(&path).unwrap();
        let free = tokens.admit("alice", None).unwrap();
        let before = tokens.refresh();
        let first = ledger.issue("alice", Role::Member, None).unwrap();
        assert!(tokens.refresh() > before && !tokens.hold(&free) && tokens.admit("alice", None).is_none());
        let grant = tokens.admit("alice", Some(&first)).unwrap();
        ledger.issue("alice", Role::Member, None).unwrap();
        tokens.refresh();
        assert!(tokens.hold(&grant));
        assert_eq!(ledger.revoke("alice").unwrap().revoked.len(), 2);
        tokens.refresh();
        assert!(!tokens.hold(&grant) && tokens.are_wanted());
        let again = ledger.issue("alice", Role::Member, None).unwrap();
        tokens.refresh();
        std::fs::write(&path, "[[token]]\nid = 5").unwrap();
        tokens.refresh();
        assert!(tokens.admit("alice", Some(&again)).is_some(), "what can't be read changes nothing");
        // What can't be opened now is looked at again.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        tokens.refresh();
        std::fs::remove_dir(&path).unwrap();
        let text = ledger.tokens().len();
        ledger.revoke("alice").unwrap();
        assert!(text > 0 && tokens.admit("alice", Some(&again)).is_some());
        tokens.refresh();
        assert!(tokens.admit("alice", Some(&again)).is_none());
        let last = ledger.issue("alice", Role::Member, None).unwrap();
        tokens.refresh();
        std::fs::remove_file(&path).unwrap();
        tokens.refresh();
        assert!(tokens.admit("alice", Some(&last)).is_some() && tokens.admit("alice", None).is_none());
    }

    #[test]
    fn a_token_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut ledger) = ledger(dir.path());
        let token = ledger.issue("alice", Role::Member, Some(Duration::from_secs(3600))).unwrap();
        let tokens = Tokens::open(&path).unwrap();
        let grant = tokens.admit("alice", Some(&token)).unwrap();
        let before = tokens.refresh();
        // As if an hour had passed.
        for token in tokens.known().tokens.iter_mut().flatten() {
            token.expires = Some(SystemTime::now());
        }
        tokens.known().next_end = Some(SystemTime::now());
        assert!(tokens.refresh() > before && !tokens.hold(&grant));
    }
}
