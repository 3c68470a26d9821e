//! The file of the tokens, to change.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::file::{Contents, HEAD, ID_BYTES, PREFIX, SECRET_BYTES, hash, parse, random};
use super::{Role, Token};
use crate::error::{Error, READ_TOKENS};
use dantok_protocol::name::person;
use dantok_store::replace::Place;

const WRITE: &str = "write the tokens";

/// The file, to change: one process at a time.
#[derive(Debug)]
pub struct Ledger {
    place: Place,
    tokens: Vec<Token>,
    is_new: bool,
}

/// What a revocation has changed, and what it has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Those that are taken back.
    pub revoked: Vec<Token>,
    /// Those that the same persons still have.
    pub remaining: Vec<Token>,
}

impl Ledger {
    /// Reads the file, where there is one, behind the links that lead to it, and keeps others from changing it.
    ///
    /// # Errors
    /// There is no directory for it; what the system says; what is no list of tokens, with its place.
    pub fn open(path: &Path) -> Result<Ledger, Error> {
        let place = Place::find(path, WRITE)?;
        place.lock()?;
        let file = place.open().map_err(Error::io(READ_TOKENS, place.path()))?;
        let is_new = file.is_none();
        let tokens = file.map(|file| parse(file, place.path())).transpose()?.unwrap_or_default();
        Ok(Ledger { place, tokens, is_new })
    }

    /// Whether there was no file.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The file, behind the links that lead to it.
    fn path(&self) -> &Path {
        self.place.path()
    }

    /// The tokens, the oldest first.
    #[cfg(test)]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Makes a token and writes it down, durably. Returns it: it is in no other place.
    ///
    /// # Errors
    /// What the system says.
    pub fn issue(&mut self, client: &str, role: Role, lasts: Option<Duration>) -> Result<String, Error> {
        let token = format!("{PREFIX}{}", random(SECRET_BYTES, self.path())?);
        let issued = SystemTime::now();
        self.tokens.push(Token {
            id: random(ID_BYTES, self.path())?,
            client: client.to_owned(),
            role,
            sha256: hash(&token),
            issued,
            // One that would end after all time ends now, rather than never.
            expires: lasts.map(|lasts| issued.checked_add(lasts).unwrap_or(issued)),
        });
        self.write()?;
        Ok(token)
    }

    /// Takes back the token of this id; or all of this person's, those of her devices as well; or of this one device all that are its own.
    ///
    /// # Errors
    /// What the system says.
    pub fn revoke(&mut self, which: &str) -> Result<Revoked, Error> {
        let is_meant = |token: &Token| token.id == which || token.client == which || person(&token.client) == which;
        let revoked: Vec<Token> = self.tokens.extract_if(.., |token| is_meant(token)).collect();
        if !revoked.is_empty() {
            self.write()?;
        }
        let is_of = |token: &&Token| {
            let of = person(&token.client);
            of == person(which) || revoked.iter().any(|revoked| of == person(&revoked.client))
        };
        let remaining = self.tokens.iter().filter(is_of).cloned().collect();
        Ok(Revoked { revoked, remaining })
    }

    fn write(&self) -> Result<(), Error> {
        let contents = toml::to_string(&Contents { token: self.tokens.clone() });
        let text = contents.map_err(|error| Error::io(WRITE, self.path())(std::io::Error::other(error)))?;
        Ok(self.place.write(format!("{HEAD}{text}").as_bytes(), WRITE)?)
    }
}
