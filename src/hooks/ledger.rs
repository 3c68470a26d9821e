//! Changes the file of hooks.

use std::path::Path;
use std::time::SystemTime;

use super::file::{Contents, HEAD, Hook, Key};
use crate::error::{Error, READ_HOOKS};
use crate::secrets::{SECRET_BYTES, hash, parse, random};
use dantok_store::replace::Target;

const WRITE: &str = "write the hooks";

/// The file of hooks, locked for changes by one process.
#[derive(Debug)]
pub struct Ledger {
    target: Target,
    hooks: Vec<Hook>,
}

impl Ledger {
    /// Reads the file, if there is one, and locks it against changes.
    ///
    /// # Errors
    /// Its directory is missing; the system reports an error; it is not a list of hooks, with the line.
    pub fn open(path: &Path) -> Result<Ledger, Error> {
        let target = Target::find(path, WRITE)?;
        target.lock()?;
        let file = target.open().map_err(Error::io(READ_HOOKS, target.path()))?;
        let parsed = file.map(|file| parse::<Contents>(file, target.path(), READ_HOOKS)).transpose()?;
        Ok(Ledger { target, hooks: parsed.unwrap_or_default().hook })
    }

    /// The hooks, oldest first.
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// Adds a hook and records it durably. The secret of its URL is only in the return value.
    ///
    /// # Errors
    /// I/O errors.
    pub fn add(
        &mut self,
        name: &str,
        room: &str,
        number: Option<u64>,
        github_secret: Option<Key>,
    ) -> Result<String, Error> {
        let secret = random(SECRET_BYTES, self.target.path())?;
        self.hooks.push(Hook {
            name: name.to_owned(),
            room: room.to_owned(),
            number,
            sha256: hash(&secret),
            added: SystemTime::now(),
            github_secret,
        });
        self.write()?;
        Ok(secret)
    }

    /// Removes a hook. Returns it, if there was one.
    ///
    /// # Errors
    /// I/O errors.
    pub fn remove(&mut self, name: &str) -> Result<Option<Hook>, Error> {
        let removed = self.hooks.extract_if(.., |hook| hook.name == name).next();
        if removed.is_some() {
            self.write()?;
        }
        Ok(removed)
    }

    /// Binds a hook to the room of this number, unless it is bound already. Returns it, if there is one with this hash.
    ///
    /// # Errors
    /// I/O errors.
    pub fn bind(&mut self, sha256: &str, number: u64) -> Result<Option<Hook>, Error> {
        let Some(hook) = self.hooks.iter_mut().find(|hook| hook.sha256 == sha256) else { return Ok(None) };
        if hook.number.is_some() {
            return Ok(Some(hook.clone()));
        }
        hook.number = Some(number);
        let bound = hook.clone();
        self.write()?;
        Ok(Some(bound))
    }

    fn write(&self) -> Result<(), Error> {
        let contents = toml::to_string(&Contents { hook: self.hooks.clone() });
        let text = contents.map_err(|error| Error::io(WRITE, self.target.path())(std::io::Error::other(error)))?;
        Ok(self.target.write(format!("{HEAD}{text}").as_bytes(), WRITE)?)
    }
}
