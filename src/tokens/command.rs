//! `dantok token`: manages who may connect, and as whom.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::read;
use super::ledger::{Ledger, Revoked};
use super::{Role, Token, mark};
use crate::error::{Error, READ_TOKENS};
use dantok_protocol::Refusal;
use dantok_protocol::name::{check_client, check_new, check_not_hook, composed};
use dantok_protocol::units;
use dantok_store::disk::expect_data_dir;

/// The tokens file that a command works on.
#[derive(Clone, Debug)]
pub struct TokensFile {
    /// The file.
    pub path: PathBuf,
    /// Whether it was named explicitly; otherwise it is the data directory's.
    pub is_named: bool,
    /// The data directory.
    pub data_dir: PathBuf,
}

impl TokensFile {
    /// Refuses a file that no daemon would read.
    fn expect_use(&self) -> Result<(), Error> {
        if self.is_named {
            return Ok(());
        }
        expect_data_dir(&self.data_dir)?;
        match mark::read(&self.data_dir)? {
            Some(other) if other != self.path && other.try_exists().unwrap_or(true) => Err(Error::Command(format!(
                "{}: the daemon takes its tokens from {other}, not from this file: use --tokens {other}",
                self.data_dir.display(),
                other = other.display()
            ))),
            _ => Ok(()),
        }
    }

    fn read_any(&self) -> Result<Vec<Token>, Error> {
        Ok(read(&self.path)?.map(|(_, tokens)| tokens).unwrap_or_default())
    }

    fn read(&self) -> Result<Option<Vec<Token>>, Error> {
        self.expect_use()?;
        match read(&self.path)? {
            None if self.is_named => Err(Error::Command(format!("{}: there is no such file", self.path.display()))),
            found => Ok(found.map(|(_, tokens)| tokens)),
        }
    }
}

/// Issues a token and prints it on standard output, alone, so that it can be piped. Explanations go to stderr.
///
/// # Errors
/// The name is not a client's; no daemon would read the file; the system reports an error.
pub fn issue(file: &TokensFile, client: &str, role: Role, lasts: Option<Duration>, as_is: bool) -> Result<(), Error> {
    let refused = |refusal: Refusal| Error::Command(refusal.text);
    let kept = if as_is { client.into() } else { composed(client) };
    check_client(&kept).and_then(|()| check_not_hook(&kept)).map_err(refused)?;
    file.expect_use()?;
    // Before anything is created for a name that is refused.
    let is_plain = kept == client && check_new(client).is_ok();
    let known = if is_plain { Vec::new() } else { file.read_any()? };
    let has_one = |name: &str| known.iter().any(|token| token.client == name);
    let client = if is_plain || has_one(client) { client } else { &*kept };
    if !(is_plain || as_is || has_one(client)) {
        let hint = "; for a client that already has this name, use --as-is";
        check_new(client).map_err(|refusal| Error::Command(format!("{}{hint}", refusal.text)))?;
    }
    let mut ledger = Ledger::open(&file.path)?;
    let (is_new, path) = (ledger.is_new(), file.path.display());
    let had_some = mark::read(&file.data_dir)?.is_some();
    let token = ledger.issue(client, role, lasts)?;
    println!("{token}");
    if file.path == file.data_dir.join(mark::DEFAULT) && expect_data_dir(&file.data_dir).is_ok() {
        mark::set(&file.data_dir, &file.path)?;
    }
    eprintln!("{client} says: HELLO {client} {token}");
    eprintln!("It is not shown again; {path} has its hash.");
    if is_new && file.is_named {
        eprintln!("{path} was created. A daemon uses it if it is started with --tokens {path}.");
    } else if is_new && had_some {
        eprintln!("{path} was missing and was created: earlier tokens are not in it.");
    }
    Ok(())
}

/// Revokes tokens. Prints them, and those that the same people still have.
///
/// # Errors
/// There is no such token; the system reports an error.
pub fn revoke(file: &TokensFile, which: &str) -> Result<(), Error> {
    // Nothing is created if there is no file.
    let found = file.read()?;
    let Revoked { revoked, remaining } = match found {
        Some(_) => {
            let mut ledger = Ledger::open(&file.path)?;
            match ledger.revoke(which)? {
                Revoked { revoked, .. } if revoked.is_empty() => ledger.revoke(&composed(which))?,
                revoked => revoked,
            }
        }
        None => Revoked { revoked: Vec::new(), remaining: Vec::new() },
    };
    if revoked.is_empty() {
        let path = file.path.display();
        let serving: Vec<_> = remaining.iter().filter(|token| token.serves(which)).map(|token| &*token.id).collect();
        let but = match serving.is_empty() {
            true => String::new(),
            false => format!("; {which} is admitted by {}, which is for all devices", serving.join(", ")),
        };
        return Err(Error::Command(format!("{path}: no token has the id {which} or belongs to {which}{but}")));
    }
    for Token { id, client, .. } in &revoked {
        println!("{id} of {client} is revoked");
    }
    for token in &remaining {
        println!("{} of {} remains{}", token.id, token.client, if token.has_expired() { " (expired)" } else { "" });
    }
    if remaining.is_empty() {
        println!("no other token of the same person remains");
    }
    Ok(())
}

/// Prints all tokens. Creates nothing.
///
/// # Errors
/// There is no store; the system reports an error.
pub fn list(file: &TokensFile) -> Result<(), Error> {
    let tokens = file.read()?;
    if tokens.is_none() {
        eprintln!("{}: there is no such file, so there are no tokens", file.path.display());
    }
    for token in tokens.unwrap_or_default() {
        let issued = units::time(token.issued);
        let ends = token.expires.map_or("never".to_owned(), |end| units::time(end).to_string());
        let role = if token.role == Role::Admin { "admin" } else { "member" };
        let over = if token.has_expired() { " (expired)" } else { "" };
        println!("{}  {role:6}  issued {issued}  ends {ends}{over}  {}", token.id, token.client);
    }
    Ok(())
}

/// The tokens file of a store for a backup. Empty if the tokens are kept elsewhere, none if there never were any.
///
/// # Errors
/// I/O errors.
pub(crate) fn to_back_up(data_dir: &Path) -> Result<Option<Vec<u8>>, Error> {
    let path = data_dir.join(mark::DEFAULT);
    match std::fs::read(&path) {
        Ok(tokens) => Ok(Some(tokens)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(mark::read(data_dir)?.map(|_| Vec::new())),
        Err(error) => Err(Error::io(READ_TOKENS, &path)(error)),
    }
}
