//! Changes the tokens file.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::file::{Contents, HEAD, ID_BYTES, PREFIX};
use super::{Role, Token};
use crate::error::{Error, READ_TOKENS};
use crate::secrets::{SECRET_BYTES, hash, parse, random};
use dantok_protocol::name::person;
use dantok_store::replace::Target;

const WRITE: &str = "write the tokens";

/// The tokens file, locked for changes by one process.
#[derive(Debug)]
pub struct Ledger {
    target: Target,
    tokens: Vec<Token>,
    is_new: bool,
}

/// The result of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The tokens that were revoked.
    pub revoked: Vec<Token>,
    /// The tokens that the same people still have.
    pub remaining: Vec<Token>,
}

impl Ledger {
    /// Reads the file, if there is one, following links, and locks it against changes.
    ///
    /// # Errors
    /// Its directory is missing; the system reports an error; it is not a list of tokens, with the line.
    pub fn open(path: &Path) -> Result<Ledger, Error> {
        let target = Target::find(path, WRITE)?;
        target.lock()?;
        let file = target.open().map_err(Error::io(READ_TOKENS, target.path()))?;
        let is_new = file.is_none();
        let parsed = file.map(|file| parse::<Contents>(file, target.path(), READ_TOKENS)).transpose()?;
        Ok(Ledger { target, tokens: parsed.unwrap_or_default().token, is_new })
    }

    /// Whether there was no file before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The path of the file, with links followed.
    fn path(&self) -> &Path {
        self.target.path()
    }

    /// The tokens, oldest first.
    #[cfg(test)]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Issues a token and records it durably. The token itself is only in the return value.
    ///
    /// # Errors
    /// I/O errors.
    pub fn issue(&mut self, client: &str, role: Role, lasts: Option<Duration>) -> Result<String, Error> {
        let token = format!("{PREFIX}{}", random(SECRET_BYTES, self.path())?);
        let issued = SystemTime::now();
        self.tokens.push(Token {
            id: random(ID_BYTES, self.path())?,
            client: client.to_owned(),
            role,
            sha256: hash(&token),
            issued,
            // A time that can't be represented expires now rather than never.
            expires: lasts.map(|lasts| issued.checked_add(lasts).unwrap_or(issued)),
        });
        self.write()?;
        Ok(token)
    }

    /// Revokes the token with this id, or all tokens of this person with all devices, or those of this one device.
    ///
    /// # Errors
    /// I/O errors.
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
        Ok(self.target.write(format!("{HEAD}{text}").as_bytes(), WRITE)?)
    }
}
